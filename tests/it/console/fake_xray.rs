//! The inside of the scripted cluster's partitions: the copy on broker 2 has fourteen records that nobody else has.

use super::Scene;
use kafkarium::cluster::view::*;
use kafkarium::engine::log::ProducerSummary;
use kafkarium::engine::observe::{BatchHead, ProducerInside};
use std::sync::Arc;

const BATCHES: [i64; 18] = [
    12_741, 12_750, 12_759, 12_766, 12_772, 12_781, 12_788, 12_796, 12_805, 12_812, 12_820, 12_826, 12_834, 12_840,
    12_847, 12_856, 12_862, 12_869,
];
const EPOCHS: [(i32, i64); 3] = [(6, 12_604), (7, 12_772), (8, 12_840)];
const END: i64 = 12_873;
const CUT: i64 = 12_840;

fn batches(end: i64, want: &XrayRequest) -> Arc<[BatchHead]> {
    let ends = BATCHES.iter().skip(1).copied().chain([END]);
    let head = |(base, next): (i64, i64)| BatchHead {
        base_offset: base,
        last_offset: next - 1,
        leader_epoch: epoch_at(&EPOCHS, base).expect("an epoch"),
        records: (next - base) as i32,
        size_bytes: 900,
        producer_id: 4_001,
        base_sequence: 0,
        is_transactional: false,
        is_control: false,
    };
    let all = BATCHES.into_iter().zip(ends).map(head);
    all.filter(|head| head.base_offset < end.min(want.to) && head.last_offset >= want.from).collect()
}

fn replica(broker: i32, role: ReplicaRole, end: i64, epochs: usize, want: &XrayRequest) -> XrayReplica {
    XrayReplica {
        broker: BrokerId(broker),
        role,
        leader_epoch: Some(EPOCHS[epochs - 1].0),
        log_start: 12_604,
        log_end: Some(end),
        in_isr: matches!(role, ReplicaRole::Leader | ReplicaRole::InSync),
        behind: (END - end) as u64,
        diverges_at: None,
        batches: Some(batches(end, want)),
        epochs: Arc::from(&EPOCHS[..epochs]),
    }
}

/// The copy on broker 2, by how far the scene is, and the truncation of it.
fn second(want: &XrayRequest, scene: Scene) -> (XrayReplica, Option<Truncation>) {
    let cut = Truncation {
        broker: BrokerId(2),
        leader: Some(BrokerId(3)),
        from: 12_854,
        to: CUT,
        epoch: Some(7),
        leader_epoch: 8,
        stage: TruncationStage::Extra,
        at_ms: None,
        is_over: false,
    };
    let diverging =
        XrayReplica { diverges_at: Some(CUT), behind: 33, ..replica(2, ReplicaRole::Dead, 12_854, 2, want) };
    match scene {
        Scene::Failover | Scene::BeforeTheFence => (diverging, Some(cut)),
        Scene::CatchingUp => {
            let truncation = Truncation { stage: TruncationStage::Cuts, at_ms: Some(3_599_900), ..cut };
            (replica(2, ReplicaRole::CatchingUp, CUT, 2, want), Some(truncation))
        }
        Scene::Large => {
            let truncation = Truncation { stage: TruncationStage::Asks, ..cut };
            (XrayReplica { role: ReplicaRole::OutOfSync, ..diverging }, Some(truncation))
        }
        _ => (replica(2, ReplicaRole::InSync, 12_866, 3, want), None),
    }
}

/// What a host would answer.
pub fn view(want: &XrayRequest, scene: Scene) -> Option<Box<XrayView>> {
    if matches!(scene, Scene::Empty | Scene::Starting) {
        return None;
    }
    let producer = |(id, sequence, at, transaction_start): (i64, i32, i64, Option<i64>)| XrayProducer {
        known: ProducerInside {
            summary: ProducerSummary {
                producer_id: id,
                producer_epoch: 0,
                last_sequence: sequence,
                last_timestamp: 0,
                coordinator_epoch: -1,
                transaction_start_offset: transaction_start.unwrap_or(-1),
            },
            last_offset: Some(at),
        },
        transactional_id: transaction_start.map(|_| Arc::from("payments")),
    };
    let (second, truncation) = second(want, scene);
    let name = |number| PartitionName { topic: Arc::clone(&want.partition.topic), partition: number };
    let number = want.partition.partition;
    Some(Box::new(XrayView {
        name: want.partition.clone(),
        previous: (number > 0).then(|| name(number - 1)),
        next: Some(name(number + 1)),
        leader: Some(BrokerId(3)),
        leader_epoch: 8,
        isr: if second.in_isr { vec![BrokerId(3), BrokerId(1), BrokerId(2)] } else { vec![BrokerId(3), BrokerId(1)] },
        elr: Vec::new(),
        min_isr: 2,
        high_watermark: Some(12_866),
        records_per_s: Some(12),
        stalled_since_ms: None,
        last_stable_offset: Some(12_860),
        reason: String::new(),
        replicas: vec![
            second,
            replica(3, ReplicaRole::Leader, END, 3, want),
            replica(1, ReplicaRole::InSync, 12_866, 3, want),
        ],
        producers: [(9_001, 17, 12_860, Some(12_860)), (4_001, 481, 12_872, None), (4_002, 96, 12_865, None)]
            .map(producer)
            .to_vec(),
        producer_count: 3,
        truncation,
    }))
}
