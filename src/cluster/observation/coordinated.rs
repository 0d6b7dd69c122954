//! What coordinators keep, groups and transactional ids, as far as completions and told consequences need it.
//!
//! Invariant: a broker that is down coordinates nothing; who took over tells the same anew.
//!
//! Deliberately not here: members, offsets and lag in detail.

use super::partition::{Life, Lives, life};
use crate::cluster::view::CompletionValue;
use crate::engine::observe::BrokerSnapshot;
use crate::protocol::ids::BrokerId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownGroup {
    /// Its name.
    pub(super) name: Arc<str>,
    /// How many members it has.
    pub(super) members: usize,
    /// Of how many partitions it has committed offsets, by topic.
    pub(super) committed: BTreeMap<String, usize>,
}

/// A transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownTransaction {
    /// The id.
    pub(super) id: Arc<str>,
    /// The producer id it writes with.
    pub(super) producer_id: i64,
    /// Whether a transaction of it is open or ends.
    pub(super) is_open: bool,
    /// The partitions in it.
    pub(super) partitions: usize,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Coordinated {
    groups: BTreeMap<BrokerId, Arc<Vec<KnownGroup>>>,
    transactions: BTreeMap<BrokerId, Arc<Vec<KnownTransaction>>>,
}

impl Coordinated {
    /// Takes over what a broker coordinates.
    pub(super) fn hear(&mut self, snapshot: &BrokerSnapshot) {
        let groups = snapshot.groups.iter().map(|group| {
            let committed = group.offsets.iter().map(|(topic, partitions)| (topic.to_string(), partitions.len()));
            KnownGroup { name: Arc::clone(&group.group), members: group.members.len(), committed: committed.collect() }
        });
        keep(&mut self.groups, snapshot.broker, groups.collect());
        let transactions = snapshot.transactions.iter().map(|transaction| KnownTransaction {
            id: Arc::clone(&transaction.id),
            producer_id: transaction.state.producer_id,
            is_open: transaction.is_open(),
            partitions: transaction.state.partitions.len(),
        });
        keep(&mut self.transactions, snapshot.broker, transactions.collect());
    }

    /// What these take in memory beyond what they share with others, names about.
    pub(super) fn bytes_beyond(&self, other: &Coordinated) -> usize {
        let groups = self
            .groups
            .iter()
            .filter(|(id, known)| !other.groups.get(id).is_some_and(|other| Arc::ptr_eq(other, known)));
        let transactions = self
            .transactions
            .iter()
            .filter(|(id, known)| !other.transactions.get(id).is_some_and(|other| Arc::ptr_eq(other, known)));
        groups.map(|(_, known)| known.len() * 128).sum::<usize>()
            + transactions.map(|(_, known)| known.len() * 64).sum::<usize>()
    }

    /// The groups that are coordinated by somebody who is up.
    fn groups<'a>(&'a self, lives: &'a Lives) -> impl Iterator<Item = &'a KnownGroup> {
        self.groups.iter().filter(|(id, _)| is_up(lives, **id)).flat_map(|(_, groups)| groups.iter())
    }

    /// The transactional ids that are coordinated by somebody who is up.
    fn transactions<'a>(&'a self, lives: &'a Lives) -> impl Iterator<Item = &'a KnownTransaction> {
        self.transactions.iter().filter(|(id, _)| is_up(lives, **id)).flat_map(|(_, known)| known.iter())
    }

    /// A group by its name.
    pub(super) fn group<'a>(&'a self, lives: &'a Lives, name: &str) -> Option<&'a KnownGroup> {
        self.groups(lives).find(|group| *group.name == *name)
    }

    /// A transactional id.
    pub(super) fn transaction<'a>(&'a self, lives: &'a Lives, id: &str) -> Option<&'a KnownTransaction> {
        self.transactions(lives).find(|known| *known.id == *id)
    }

    /// The transactional id that writes with a producer id.
    pub(super) fn transactional_id(&self, lives: &Lives, producer_id: i64) -> Option<Arc<str>> {
        self.transactions(lives).find(|known| known.producer_id == producer_id).map(|known| Arc::clone(&known.id))
    }

    /// The transactional ids that start so, at most `limit`, in order.
    pub(super) fn transaction_values(&self, lives: &Lives, start: &str, limit: usize) -> Vec<CompletionValue> {
        let mut found: Vec<&KnownTransaction> =
            self.transactions(lives).filter(|known| known.id.starts_with(start)).collect();
        found.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let value = |known: &KnownTransaction| {
            let note = if known.is_open { "open" } else { "no open transaction" };
            CompletionValue { text: known.id.to_string(), note: note.to_owned(), refused: false }
        };
        found.into_iter().take(limit).map(value).collect()
    }
}

/// What is the same as before stays what copies share.
fn keep<T: PartialEq>(known: &mut BTreeMap<BrokerId, Arc<Vec<T>>>, broker: BrokerId, told: Vec<T>) {
    if known.get(&broker).is_none_or(|before| **before != told) {
        known.insert(broker, Arc::new(told));
    }
}

fn is_up(lives: &Lives, broker: BrokerId) -> bool {
    matches!(life(lives, broker), Life::Up { .. })
}

/// `no members`, `1 member`, `2 members`.
pub(super) fn members(count: usize) -> String {
    match count {
        0 => "no members".to_owned(),
        1 => "1 member".to_owned(),
        count => format!("{count} members"),
    }
}
