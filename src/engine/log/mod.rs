//! The log of one replica: what lies in it, from where to where, by which leaders and which producers. The bytes are in
//! the store; here is the state that answers without reading them.
//!
//! Invariants: `start_offset <= persisted_end <= end_offset`; the epoch cache holds every epoch that the log's batches
//! carry; the state rebuilt from the store (checkpoint and headers after it) equals the state kept while running.
//!
//! Not here: high watermark, ISR and leadership (`replica/`), coordinators of transactions (`txn/`).

mod append;
mod cleaner;
mod epochs;
mod partition_log;
mod producer_state;
mod read;
mod recovery;
mod retention;
mod segments;
mod time_index;
mod transactions;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod testing;

pub use append::{AppendError, Appended, RecordError};
pub use cleaner::{Cleaned, Cleaning, Dirt, Progress};
pub use partition_log::PartitionLog;
pub use producer_state::{ProducerSummary, end_of_transaction};
pub use read::OffsetAtTime;
pub use transactions::AbortedTransaction;
