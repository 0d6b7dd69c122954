//! Saving what was done as a demo: `save NAME` writes `NAME.md`.
//!
//! Invariants: a file that is there already is never written over unless that was said; what a simulated world's demo says was answered by
//! the world itself, played anew from its seed.
//!
//! Deliberately not here: what a demo of it consists of (`cluster::demo`).

use crate::cluster::demo::with_answers;
use crate::cluster::view::ClusterPort;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

/// A demo that is longer than this, in the cluster's time, is not played before it is written: the console would stand still.
const PLAYED_MAX: Duration = Duration::from_secs(300);

/// Whether a demo may be called so: a file's name without a way to it.
pub fn is_name(name: &str) -> bool {
    let is_fit = |character: char| character.is_alphanumeric() || matches!(character, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with(['.', '-']) && name.len() <= 100 && name.chars().all(is_fit)
}

/// Writes what was done to `NAME.md` in a directory; returns what to say of it.
///
/// # Errors
/// In words: nothing was done, the file is there already, or it cannot be written.
pub fn save(port: &impl ClusterPort, directory: &Path, name: &str, overwrite: bool) -> Result<String, String> {
    let file = directory.join(format!("{name}.md"));
    let shown = file.display();
    let taken = || format!("{shown} is there already: save {name} --force writes over it");
    if !overwrite && file.exists() {
        return Err(taken());
    }
    let deeds = port.deeds()?;
    let draft = deeds.as_demo(name)?;
    let (text, said) = match deeds.seed {
        None => (draft, format!("Wrote {shown}; kafkarium play {shown} --live plays it.")),
        Some(_) if deeds.length() > PLAYED_MAX => {
            (draft, format!("Wrote {shown}; kafkarium play {shown} --update puts the answers in."))
        }
        Some(_) => match with_answers(&shown.to_string(), &draft) {
            Ok(text) => (text, format!("Wrote {shown}; kafkarium play {shown} --check passes.")),
            // It is worth having all the same: whoever saved it mends it.
            Err(reason) => {
                let reason = reason.lines().collect::<Vec<_>>().join(" ");
                (draft, format!("Wrote {shown}, but played anew it goes otherwise: {reason}"))
            }
        },
    };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).create_new(!overwrite);
    let written = options.open(&file).and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Ok(()) => Ok(said),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(taken()),
        Err(error) => Err(format!("Cannot write {shown}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::command::parse_line;
    use crate::cluster::demo::Demo;
    use crate::cluster::sim::run::Run;
    use crate::cluster::sim::stage::Stage;

    #[test]
    fn a_file_is_written_once_and_over_it_only_if_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut stage = Stage::new(Run::open(5, 3), 5);
        let file = directory.path().join("lost-leader.md");
        let refused = save(&stage, directory.path(), "lost-leader", false).expect_err("nothing was done");
        assert!(refused.contains("nothing was broken") && !file.exists(), "{refused}");
        for line in ["topic create orders --partitions 1 --replicas 3", "kill leader of orders-0"] {
            assert!(stage.execute(parse_line(line).expect("a command")).is_done());
        }
        let said = save(&stage, directory.path(), "lost-leader", false).expect("it is written");
        assert!(said.contains("--check passes"), "{said}");
        let text = std::fs::read_to_string(&file).expect("a file");
        Demo::parse("lost-leader.md", &text).unwrap_or_else(|mistake| panic!("{mistake}"));
        let refused = save(&stage, directory.path(), "lost-leader", false).expect_err("it is there");
        assert!(refused.contains("--force"), "{refused}");
        assert!(stage.execute(parse_line("disk slow 1 100ms").expect("a command")).is_done());
        save(&stage, directory.path(), "lost-leader", true).expect("it was told to");
        assert!(std::fs::read_to_string(&file).expect("a file").contains("disk slow 1 100ms"));
    }

    #[test]
    fn a_name_is_no_way_to_another_place() {
        assert!(is_name("lost-leader.v2"));
        for name in ["", "../x", "a/b", ".hidden", "-rf", "two words"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
