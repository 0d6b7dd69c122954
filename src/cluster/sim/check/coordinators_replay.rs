//! ReplayEqualsLive, of coordinators: the groups and committed offsets that a coordinator works with are those that its partition of
//! `__consumer_offsets` says, and its transactions those of `__transaction_state`. Looked at when one has loaded, now and then while it works,
//! and when all is calm (redpanda#31483).

use crate::cluster::sim::check::Violation;
use crate::cluster::sim::disk::DiskLog;
use crate::cluster::sim::world::{Node, StepOutcome, World};
use crate::engine::group::image::{Change, Image};
use crate::engine::group::record::GroupRecord;
use crate::engine::log::end_of_transaction;
use crate::engine::observe::{EventKind, GroupEvent, TransactionEvent};
use crate::engine::time::Instant;
use crate::engine::txn::record::TransactionRecord;
use crate::protocol::ids::BrokerId;
use crate::protocol::records;
use bytes::Bytes;
use std::collections::BTreeMap;

const RULE: &str = "ReplayEqualsLive";
/// So often coordinators at work are looked at, in milliseconds; more seldom by as much for each batch in the longest log.
const LOOK_EVERY_MS: u64 = 4_000;
const LOOK_LATER_MS: u64 = 4;

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct CoordinatorsReplay {
    next_look: Option<Instant>,
}

impl CoordinatorsReplay {
    pub(super) fn look(&mut self, world: &World, outcome: &StepOutcome) -> Result<(), Violation> {
        if self.next_look.is_none_or(|at| at <= world.now) {
            let looked_at = everywhere(world)?;
            self.next_look = Some(world.now.plus_millis(LOOK_EVERY_MS + LOOK_LATER_MS * looked_at));
            return Ok(());
        }
        let has_loaded = |kind: &EventKind| {
            matches!(
                kind,
                EventKind::Group(GroupEvent::CoordinatorLoaded { .. })
                    | EventKind::Transaction(TransactionEvent::CoordinatorLoaded { .. })
            )
        };
        match outcome.stepped {
            Some(id) if outcome.events.iter().any(|event| has_loaded(&event.kind)) => {
                of_broker(id, &world.nodes[&id]).map(|_| ())
            }
            _ => Ok(()),
        }
    }
}

/// All coordinators on all brokers; how many batches the longest of their logs has.
pub(super) fn everywhere(world: &World) -> Result<u64, Violation> {
    world.nodes.iter().try_fold(0, |longest, (id, node)| Ok(longest.max(of_broker(*id, node)?)))
}

fn of_broker(id: BrokerId, node: &Node) -> Result<u64, Violation> {
    let Some(broker) = &node.broker else { return Ok(0) };
    let mut longest = 0;
    for shard in broker.groups().shards().filter(|shard| shard.is_active()) {
        let Some(log) = node.disk.log_of(shard.id()) else { continue };
        longest = longest.max(log.batches.len());
        let replayed = groups(log);
        if *shard.appended() != replayed {
            let what = difference(shard.appended(), &replayed);
            return Err(broken(id, log, shard.id().partition, &what));
        }
    }
    for shard in broker.transactions().shards().filter(|shard| shard.is_active()) {
        let Some(log) = node.disk.log_of(shard.id()) else { continue };
        let live: BTreeMap<String, Bytes> = shard
            .appended()
            .filter_map(|(id, state)| {
                let record = TransactionRecord { id: id.clone(), value: Some(state.clone()) };
                Some((id.to_string(), record.value()?))
            })
            .collect();
        longest = longest.max(log.batches.len());
        let replayed = transactions(log);
        let differs = |id: &&String| live.get(*id) != replayed.get(*id);
        if let Some(name) = live.keys().chain(replayed.keys()).find(differs) {
            return Err(broken(id, log, shard.id().partition, &format!("the state of {name}")));
        }
    }
    Ok(u64::try_from(longest).unwrap_or(u64::MAX))
}

fn broken(id: BrokerId, log: &DiskLog, partition: i32, what: &str) -> Violation {
    let what = format!("{}-{partition} on broker {id}: its coordinator differs from the log in {what}", log.topic);
    Violation { rule: RULE, what }
}

/// What a log of `__consumer_offsets` says, from its first record on.
fn groups(log: &DiskLog) -> Image {
    let mut image = Image::default();
    for batch in &log.batches {
        let producer_id = batch.header.producer_id;
        if batch.header.is_control() {
            if let Some(commits) = end_of_transaction(batch) {
                image.apply_change(&Change::Ended { producer_id, commits });
            }
            continue;
        }
        let decoded = records::decode(batch).unwrap_or_default().into_iter();
        let read = decoded.filter_map(|record| GroupRecord::read(&record.key?, record.value.as_deref()).ok()?);
        let read: Vec<GroupRecord> = read.collect();
        image.apply_change(&if batch.header.is_transactional() {
            Change::InTransaction(producer_id, read)
        } else {
            Change::Plain(read)
        });
    }
    image
}

/// The last state of each transactional id in a log of `__transaction_state`.
fn transactions(log: &DiskLog) -> BTreeMap<String, Bytes> {
    let mut states = BTreeMap::new();
    for batch in log.batches.iter().filter(|batch| !batch.header.is_control()) {
        for record in records::decode(batch).unwrap_or_default() {
            let Some(key) = record.key else { continue };
            let Ok(Some(read)) = TransactionRecord::read(&key, record.value.as_deref()) else { continue };
            match read.value() {
                Some(value) => states.insert(read.id.to_string(), value),
                None => states.remove(&*read.id),
            };
        }
    }
    states
}

fn difference(live: &Image, replayed: &Image) -> String {
    let names = live.groups().chain(replayed.groups()).map(|(name, _)| name);
    match names.into_iter().find(|name| live.group(name) != replayed.group(name)) {
        Some(name) => format!("group {name}: {:?} and {:?}", live.group(name), replayed.group(name)),
        None => "offsets of open transactions".to_owned(),
    }
}
