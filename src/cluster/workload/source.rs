//! What a steady load writes: the demo's records, or those that a command describes.
//!
//! Invariant: record n of a source is the same in every run, but for its timestamp.
//!
//! Deliberately not here: when records are written (`load`, and `sim/guest/load.rs` in a simulated world).

use super::demo;
use super::once::made_up;
use crate::client::producer::ProducerRecord;
use crate::cluster::command::Produce;
use crate::cluster::view::Acks;
use std::time::Duration;

/// See the module.
#[derive(Debug, Clone)]
pub(in crate::cluster) enum Source {
    /// The demo workload.
    Demo,
    /// A command's.
    Command(Box<Produce>),
}

impl Source {
    /// Record `number`, from 1.
    pub(in crate::cluster) fn record(&self, number: u64, timestamp_ms: i64) -> ProducerRecord {
        match self {
            Source::Demo => demo::record(number, timestamp_ms),
            Source::Command(produce) => made_up(produce, number, timestamp_ms),
        }
    }

    /// From one record to the next.
    pub(in crate::cluster) fn interval(&self) -> Duration {
        match self {
            Source::Demo => demo::INTERVAL,
            Source::Command(produce) => produce.load.rate.map_or(Duration::from_secs(1), |rate| rate.interval()),
        }
    }

    /// Whose acknowledgement is waited for.
    pub(in crate::cluster) fn acks(&self) -> Acks {
        match self {
            Source::Demo => Acks::All,
            Source::Command(produce) => produce.acks,
        }
    }

    /// How many records there are; without end if `None`.
    pub(in crate::cluster) fn count(&self) -> Option<u64> {
        match self {
            Source::Demo => None,
            Source::Command(produce) => produce.load.count,
        }
    }

    /// Where they go.
    pub(in crate::cluster) fn topics(&self) -> Vec<String> {
        match self {
            Source::Demo => demo::topics(),
            Source::Command(produce) => vec![produce.topic.clone()],
        }
    }

    /// The partitions that its reader takes; empty is all.
    pub(in crate::cluster) fn partitions(&self) -> Vec<i32> {
        match self {
            Source::Demo => Vec::new(),
            Source::Command(produce) => produce.partition.into_iter().collect(),
        }
    }
}
