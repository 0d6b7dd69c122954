//! Who belongs to a cluster: its id, its brokers with their ports and log directories, its first voters. Kept as
//! `cluster.json` in the data folder, so that the same cluster comes back.
//!
//! Invariants: an id, once given, keeps its directory until a wipe; the first voters never change (later changes are in
//! the metadata log); the file is replaced as a whole or not at all.
//!
//! Deliberately not here: what a broker stores.

use crate::cluster::options::ClusterOptions;
use crate::engine::prng::Prng;
use crate::protocol::ids::{BrokerId, DirectoryId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const FILE: &str = "cluster.json";
/// Kafka's alphabet for ids in text (URL-safe base 64).
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Why a roster cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// The operating system refuses.
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    /// It is none.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
}

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub id: BrokerId,
    /// Its port.
    pub port: u16,
    /// Its log directory.
    pub directory: DirectoryId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Contents {
    cluster_id: String,
    brokers: Vec<Member>,
    voters: BTreeMap<i32, DirectoryId>,
}

/// See the module.
#[derive(Debug)]
pub struct Roster {
    path: Option<PathBuf>,
    contents: Contents,
    voters: BTreeMap<BrokerId, DirectoryId>,
}

impl Roster {
    /// Reads the roster of a folder, or makes one for what the options ask for. Ports are the options' if they name
    /// some.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn open(
        folder: &Path,
        keeps_files: bool,
        options: &ClusterOptions,
        rng: &mut Prng,
    ) -> Result<Roster, RosterError> {
        let path = folder.join(FILE);
        let found = if keeps_files { read(&path)? } else { None };
        let mut contents = found.unwrap_or_else(|| found_cluster(options, rng));
        for n in 1..=i32::from(options.brokers) {
            if !contents.brokers.iter().any(|member| member.id.0 == n) {
                contents.brokers.push(Member { id: BrokerId(n), port: 0, directory: DirectoryId(rng.uuid()) });
            }
        }
        contents.brokers.sort_by_key(|member| member.id);
        for (n, member) in (0_u16..).zip(&mut contents.brokers) {
            if options.first_port > 0 {
                member.port = options.first_port.saturating_add(n);
            }
        }
        let voters = contents.voters.iter().map(|(id, directory)| (BrokerId(*id), *directory)).collect();
        let roster = Roster { path: keeps_files.then_some(path), contents, voters };
        roster.save()?;
        Ok(roster)
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> &str {
        &self.contents.cluster_id
    }

    /// The brokers, by id.
    pub fn members(&self) -> &[Member] {
        &self.contents.brokers
    }

    /// The voters of the quorum when the cluster was made.
    pub fn voters(&self) -> &BTreeMap<BrokerId, DirectoryId> {
        &self.voters
    }

    /// One more broker.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn add(&mut self, member: Member) -> Result<(), RosterError> {
        self.contents.brokers.push(member);
        self.save()
    }

    /// One broker less.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn remove(&mut self, id: BrokerId) -> Result<(), RosterError> {
        self.contents.brokers.retain(|member| member.id != id);
        self.save()
    }

    /// A broker's disk was replaced.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn set_directory(&mut self, id: BrokerId, directory: DirectoryId) -> Result<(), RosterError> {
        self.change(id, |member| member.directory = directory)
    }

    /// A broker's port is known. That it may not be written does no harm: it is then asked for anew.
    pub fn set_port(&mut self, id: BrokerId, port: u16) {
        if self.contents.brokers.iter().any(|member| member.id == id && member.port != port) {
            drop(self.change(id, |member| member.port = port));
        }
    }

    fn change(&mut self, id: BrokerId, change: impl Fn(&mut Member)) -> Result<(), RosterError> {
        self.contents.brokers.iter_mut().filter(|member| member.id == id).for_each(change);
        self.save()
    }

    fn save(&self) -> Result<(), RosterError> {
        let Some(path) = &self.path else { return Ok(()) };
        let text = serde_json::to_vec_pretty(&self.contents).expect("plain data is always JSON");
        let next = path.with_extension("json.next");
        let write = || {
            let mut file = File::create(&next)?;
            file.write_all(&text)?;
            file.sync_data()?;
            std::fs::rename(&next, path)?;
            path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        write().map_err(|error| RosterError::Io { path: path.clone(), error })
    }
}

fn read(path: &Path) -> Result<Option<Contents>, RosterError> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| RosterError::Damaged { path: path.to_owned(), reason: error.to_string() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RosterError::Io { path: path.to_owned(), error }),
    }
}

fn found_cluster(options: &ClusterOptions, rng: &mut Prng) -> Contents {
    let member = |n: u8| Member { id: BrokerId(i32::from(n)), port: 0, directory: DirectoryId(rng.uuid()) };
    let brokers: Vec<Member> = (1..=options.brokers).map(member).collect();
    let voters = brokers.iter().take(usize::from(options.voters())).map(|member| (member.id.0, member.directory));
    let voters = voters.collect();
    Contents { cluster_id: cluster_id(rng.uuid()), brokers, voters }
}

/// An id as Kafka writes it: 22 letters for 16 bytes.
fn cluster_id(id: uuid::Uuid) -> String {
    let number = id.as_u128();
    let letter = |shift: u32| char::from(ALPHABET[usize::try_from(number >> shift & 63).expect("six bits")]);
    let last = char::from(ALPHABET[usize::try_from((number & 3) << 4).expect("six bits")]);
    (0..21).map(|n| letter(122 - 6 * n)).chain([last]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_cluster_comes_back_and_may_grow() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut rng = Prng::new(1);
        let options = ClusterOptions { first_port: 0, ..ClusterOptions::default() };
        let mut first = Roster::open(folder.path(), true, &options, &mut rng).expect("made");
        first.set_port(BrokerId(2), 4_711);
        let mut again = Roster::open(folder.path(), true, &options, &mut rng).expect("read");
        assert_eq!((again.contents.clone(), again.voters().len()), (first.contents.clone(), 3));
        let directory = DirectoryId(rng.uuid());
        again.set_directory(BrokerId(1), directory).expect("written");
        let options = ClusterOptions { brokers: 4, first_port: 9_092, ..options };
        let grown = Roster::open(folder.path(), true, &options, &mut rng).expect("read");
        assert_eq!(grown.members().iter().map(|member| member.port).collect::<Vec<_>>(), [9_092, 9_093, 9_094, 9_095]);
        assert_eq!((grown.members()[0].directory, grown.voters().len()), (directory, 3));
        assert_ne!(grown.voters()[&BrokerId(1)], directory, "the first voters never change");
    }

    #[test]
    fn an_id_is_written_as_kafka_writes_it() {
        assert_eq!(cluster_id(uuid::Uuid::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(cluster_id(uuid::Uuid::from_u128(u128::MAX)), "_____________________w");
    }
}
