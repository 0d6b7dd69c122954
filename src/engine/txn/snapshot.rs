//! What coordinators tell people of their transactions.

use crate::engine::txn::Coordinators;
use crate::engine::txn::metadata::{TransactionMetadata, TransactionStatus};
use std::sync::Arc;

/// One transactional id, as its coordinator has it committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionSnapshot {
    /// The transactional id.
    pub id: Arc<str>,
    /// The partition of `__transaction_state` that it lives in.
    pub partition: i32,
    /// Its state.
    pub state: TransactionMetadata,
}

impl TransactionSnapshot {
    /// Whether a transaction of it is open or ends.
    pub fn is_open(&self) -> bool {
        self.state.status == TransactionStatus::Ongoing || self.state.status.is_prepared()
    }
}

impl Coordinators {
    /// The transactional ids that are coordinated here, by partition and name.
    pub fn snapshot(&self) -> Vec<TransactionSnapshot> {
        let of = |shard: &super::shard::Shard| {
            let partition = shard.id().partition;
            let one = |(id, state): (&Arc<str>, &TransactionMetadata)| TransactionSnapshot {
                id: Arc::clone(id),
                partition,
                state: state.clone(),
            };
            shard.committed().map(one).collect::<Vec<_>>()
        };
        self.shards().flat_map(of).collect()
    }
}
