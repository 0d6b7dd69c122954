//! The live host: real brokers on real sockets, each with a thread of its own, in one process.
//!
//! [`LiveCluster`] is the handle; `supervisor.rs` begins and ends lives, `broker_thread.rs` lives them, `conn.rs`
//! speaks to clients, `mailbox.rs` is what lies between.
//!
//! Invariants: what one broker, client or console does costs the others nothing but what Kafka's protocol says; no call
//! of the handle waits for a broker longer than its documentation tells.
//!
//! Deliberately not here: how anything is drawn or parsed.

mod broker_thread;
mod client_link;
mod clock;
mod conn;
mod execute;
mod faults;
mod handle;
mod history;
mod host;
mod interventions;
mod listener;
mod mailbox;
mod port;
mod roster;
mod status;
mod supervisor;
mod watch;
mod wire;

pub use handle::{LiveCluster, NotReady};
pub use history::{Ended, Fact, FactKind, FaultSort, HostFact};
pub use port::LivePort;
pub use status::Phase;
pub use supervisor::{StartError, Supervisor};
