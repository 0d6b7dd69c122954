//! 500 topics behind the console's door, or none.

use super::Scene;
use kafkarium::cluster::view::*;
use std::sync::Arc;

/// The window that is wanted.
pub fn view(want: &TopicsRequest, scene: Scene) -> TopicsView {
    let total = if scene == Scene::Large { 500 } else { 0 };
    let row = |index: usize| TopicRow {
        name: Arc::from(format!("team-{index:03}")),
        internal: false,
        severity: PartitionSeverity::Healthy,
        partitions: 20,
        replicas: 3,
        min_isr: 2,
        no_leader: 0,
        stalled: 0,
        under_replicated: 0,
        records_per_s: 17 * index as u64,
        rate_history: (0..want.spark_samples as u64).map(|sample| sample * 7 % 5 * index as u64).collect(),
        bytes: 1_000_003 * index as u64,
        cleanup: "delete".into(),
        changed: 0,
    };
    let selected = (0..total).find(|index| want.selected.as_deref() == Some(&*row(*index).name)).unwrap_or(0);
    TopicsView {
        rows: (want.first_row..total.min(want.first_row + want.row_count)).map(row).collect(),
        first_row: want.first_row,
        total,
        own: TopicSums { topics: total as u32, partitions: 20 * total as u32, bytes: 12_000_000_000 },
        internal: TopicSums::default(),
        selected_index: selected,
        detail: (total > 0).then(|| {
            let setting = TopicSetting {
                name: "min.insync.replicas",
                value: Some("2".into()),
                set_by: SetBy::Topic,
                default: Some("1"),
                doc: "acks=all needs so many copies in sync.",
            };
            Box::new(TopicDetail { row: row(selected), settings: vec![setting; 30] })
        }),
    }
}
