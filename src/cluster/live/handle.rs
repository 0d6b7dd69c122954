//! [`LiveCluster`]: the handle of a live cluster that everybody holds: command line, control socket, console, tests.
//!
//! Invariants: cheap to clone; the cluster is stopped in order when the last handle goes, or earlier by
//! [`LiveCluster::shut_down`].
//!
//! Deliberately not here: the work (`supervisor.rs`), the language (`execute.rs`).

use crate::cluster::data_dir::DataDir;
use crate::cluster::live::history::{Ended, Fact};
use crate::cluster::live::status::Phase;
use crate::cluster::live::supervisor::{StartError, Supervisor};
use crate::cluster::options::ClusterOptions;
use crate::engine::observe::Scope;
use crate::protocol::ids::{BrokerId, TopicId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Why a cluster is not ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotReady {
    /// What is the matter with which broker.
    pub reason: String,
    /// A broker has ended: waiting longer changes nothing.
    pub is_final: bool,
}

/// See the module.
#[derive(Clone)]
pub struct LiveCluster {
    pub(super) inner: Arc<Supervisor>,
}

impl LiveCluster {
    /// Starts a cluster in a data folder; returns once its brokers have begun their lives.
    ///
    /// # Errors
    /// If a port is in use, a setting is wrong, or the folder cannot be used. Nothing runs then.
    pub fn start(options: ClusterOptions, data: DataDir) -> Result<LiveCluster, StartError> {
        Ok(LiveCluster { inner: Supervisor::start(options, data)? })
    }

    /// `HOST:PORT,…` as a client wants it.
    pub fn bootstrap_servers(&self) -> String {
        self.inner.bootstrap_servers()
    }

    /// The folder the cluster lives in.
    pub fn data(&self) -> &DataDir {
        self.inner.data()
    }

    /// Waits until every broker is unfenced: a produce with acks=all would succeed.
    ///
    /// # Errors
    /// Which brokers are not ready and why, after `limit`, or at once if one has ended.
    pub fn wait_ready(&self, limit: Duration) -> Result<(), NotReady> {
        let look = || {
            let slots = self.inner.slots();
            let unready = slots.iter().filter(|(_, slot)| !slot.status.is_serving());
            unready.map(|(id, slot)| (*id, slot.status.phase(), slot.status.is_suspended())).collect::<Vec<_>>()
        };
        let has_ended = |(_, phase, _): &(BrokerId, Phase, bool)| matches!(phase, Phase::Ended(_));
        self.inner.wait_until(limit, || {
            let unready = look();
            unready.is_empty() || unready.iter().any(has_ended)
        });
        let unready = look();
        let is_final = unready.iter().any(has_ended);
        let why = |(id, phase, is_suspended): &(BrokerId, Phase, bool)| match phase {
            Phase::Ended(Ended::Crashed { message }) => format!("broker {id} crashed: {message}"),
            Phase::Ended(_) => format!("broker {id} is down"),
            Phase::Starting => format!("broker {id} still recovers its log"),
            Phase::Running if *is_suspended => format!("broker {id} is suspended"),
            Phase::Running => format!("broker {id} runs and is still fenced"),
        };
        let reasons: Vec<String> = unready.iter().map(why).collect();
        if reasons.is_empty() { Ok(()) } else { Err(NotReady { reason: reasons.join("; "), is_final }) }
    }

    /// Waits until a broker answers on its port and is unfenced. False if that took longer than `limit`, or it has
    /// ended.
    pub fn wait_serving(&self, id: BrokerId, limit: Duration) -> bool {
        let is_serving = || self.inner.slots().get(&id).is_some_and(|slot| slot.status.is_serving());
        let has_ended =
            || self.inner.slots().get(&id).is_none_or(|slot| matches!(slot.status.phase(), Phase::Ended(_)));
        self.inner.wait_until(limit, || is_serving() || has_ended());
        is_serving()
    }

    /// Facts after a number (0: all that are kept), oldest first, and whether some in between are no longer kept.
    pub fn facts_after(&self, number: u64) -> (Vec<Fact>, bool) {
        self.inner.host.history.after(number)
    }

    /// Waits for up to `limit` until there is more to tell than when `seen` was returned; returns what to wait with
    /// next.
    pub fn wait_change(&self, seen: u64, limit: Duration) -> u64 {
        self.inner.host.history.wait(seen, limit)
    }

    /// Starts the demo workload: a stream of orders with keys, and a group of two readers. False if it runs already.
    pub fn start_demo_load(&self) -> bool {
        self.inner.workload.start_demo()
    }

    /// The topics' names, by the metadata of all brokers that live. Takes as long as the slowest broker's step.
    pub fn topic_names(&self) -> BTreeMap<TopicId, String> {
        let ids: Vec<BrokerId> = self.inner.slots().keys().copied().collect();
        let none = Scope { partitions: Some(Vec::new()), inside: None };
        let snapshots = self.inner.snapshots(&ids.into_iter().map(|id| (id, none.clone())).collect());
        let topics = snapshots.iter().flat_map(|snapshot| snapshot.image.topics.iter());
        topics.map(|(id, topic)| (*id, topic.name.clone())).collect()
    }

    /// Milliseconds of cluster time since the start.
    pub fn now_ms(&self) -> u64 {
        self.inner.host.clock.now().as_millis()
    }

    /// Stops every broker, flushed and marked as clean. Blocks until it is done, well below a second. Does nothing the
    /// second time.
    pub fn shut_down(&self) {
        self.inner.shut_down();
    }
}
