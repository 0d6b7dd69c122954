//! [`LiveCluster`]: the handle of a live cluster that everybody holds: command line, control socket, console, tests.
//!
//! Invariants: cheap to clone; the cluster is stopped in order when the last handle goes, or earlier by
//! [`LiveCluster::shut_down`].
//!
//! Deliberately not here: the work (`supervisor.rs`), the language (`execute.rs`).

use crate::cluster::data_dir::DataDir;
use crate::cluster::live::history::Fact;
use crate::cluster::live::supervisor::{StartError, Supervisor};
use crate::cluster::options::ClusterOptions;
use crate::engine::observe::Scope;
use crate::protocol::ids::{BrokerId, TopicId};
use std::sync::Arc;
use std::time::Duration;

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

    /// Waits until every broker that lives is unfenced: a produce with acks=all would succeed. False if that took
    /// longer than `limit`.
    pub fn wait_ready(&self, limit: Duration) -> bool {
        self.inner.wait_until(limit, || {
            let slots = self.inner.slots();
            slots.values().all(|slot| slot.status.is_serving())
        })
    }

    /// Waits until a broker answers on its port and is unfenced.
    pub fn wait_serving(&self, id: BrokerId, limit: Duration) -> bool {
        self.inner.wait_until(limit, || self.inner.slots().get(&id).is_some_and(|slot| slot.status.is_serving()))
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

    /// Starts the demo workload: a stream of orders with keys, and two readers. False if it runs already.
    pub fn start_demo_load(&self) -> bool {
        self.inner.workload.start_demo()
    }

    /// A topic's name, by the metadata of a broker that knows it.
    pub fn topic_name(&self, topic: TopicId) -> Option<String> {
        let ids: Vec<BrokerId> = self.inner.slots().keys().copied().collect();
        let none = Scope { partitions: Some(Vec::new()) };
        let snapshots = self.inner.snapshots(&ids.into_iter().map(|id| (id, none.clone())).collect());
        snapshots.iter().find_map(|snapshot| Some(snapshot.image.topics.get(&topic)?.name.clone()))
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
