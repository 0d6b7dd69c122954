//! ConsistentRead: whoever reads from a replica, leader or follower, is shown only what was committed, at the offset at which it was committed
//! (KIP-392: a consumer never sees a record that may yet be lost). What compaction has rewritten is not compared.

use crate::cluster::sim::check::{History, Violation};
use crate::protocol::fetch::FetchReply;
use crate::protocol::ids::{BrokerId, PartitionId};

pub(in crate::cluster::sim) fn look(
    history: &History,
    broker: BrokerId,
    partition: PartitionId,
    reply: &FetchReply,
) -> Result<(), Violation> {
    if history.is_compacted(partition) {
        return Ok(());
    }
    let answers = reply.topics.iter().flat_map(|topic| &topic.partitions);
    for batch in answers.flat_map(|answer| &answer.records) {
        let header = &batch.header;
        if !history.at(partition, header.base_offset).is_some_and(|committed| committed.is(header)) {
            let what = format!(
                "broker {broker} shows the batch at {} of epoch {} in {partition}, which is not what was committed there",
                header.base_offset, header.leader_epoch
            );
            return Err(Violation { rule: "ConsistentRead", what });
        }
    }
    Ok(())
}
