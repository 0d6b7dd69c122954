//! The journal's format under damage: whatever a file holds, replay yields a prefix of what was written and never
//! panics.

use super::*;
use crate::protocol::batch::BatchHeader;
use proptest::prelude::*;

fn batch(base_offset: i64, body: usize) -> Batch {
    let mut head = [0; HEADER_SIZE];
    head[23..27].copy_from_slice(&3_i32.to_be_bytes());
    let header = BatchHeader { base_offset, ..BatchHeader::parse(&head) };
    Batch::seal(header, vec![7; body].into())
}

fn ops() -> Vec<StorageOp> {
    let (log, partition) = (LogId(4), PartitionId::new(TopicId::METADATA, 2));
    vec![
        StorageOp::CreateLog { log, partition, topic: "orders".to_owned() },
        StorageOp::Append { log, batch: batch(0, 10) },
        StorageOp::Append { log, batch: batch(4, COPY_LIMIT + 1) },
        StorageOp::Rewrite { log, first_offset: 0, end_offset: 4, batches: vec![batch(0, 3)] },
        StorageOp::Truncate { log, end_offset: 4 },
        StorageOp::PutMeta { key: "quorum".to_owned(), value: Bytes::from_static(b"vote") },
        StorageOp::DeleteMeta { key: "quorum".to_owned() },
        StorageOp::Trim { log, start_offset: 4 },
        StorageOp::Append { log, batch: batch(4, 0) },
        StorageOp::Reset { log, offset: 90 },
        StorageOp::DeleteLog { log },
    ]
}

fn written(ops: &[StorageOp]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut segment = Segment::begin(directory.path(), 3, 17, None).expect("a segment");
    let mut encoder = Encoder::default();
    for op in ops.chunks(3) {
        segment.append(op, &mut encoder).expect("written");
    }
    let path = segment.path.clone();
    (directory, path)
}

fn same(a: &[StorageOp], b: &[StorageOp]) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

#[test]
fn every_operation_reads_back() {
    let (_directory, path) = written(&ops());
    let replay = Replay::read(&path).expect("readable").expect("a segment");
    assert_eq!((replay.generation, replay.first_op), (3, 17));
    assert!(same(&replay.ops, &ops()), "{:?}", replay.ops);
}

#[test]
fn what_a_reused_file_still_holds_does_not_count() {
    let (directory, path) = written(&ops());
    let old = Replay::read(&path).expect("readable").expect("a segment").bounds.len();
    assert_eq!(old, ops().len() + 1);
    let mut segment = Segment::begin(directory.path(), 4, 27, Some(&path)).expect("reused");
    segment.append(&ops()[..2], &mut Encoder::default()).expect("written");
    let replay = Replay::read(segment.path()).expect("readable").expect("a segment");
    assert!(same(&replay.ops, &ops()[..2]));
    let retired = segment.retire().expect("retired");
    assert!(Replay::read(&retired).expect("readable").is_none());
}

#[test]
fn power_loss_leaves_what_was_synced() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut segment = Segment::begin(directory.path(), 1, 1, None).expect("a segment");
    let mut encoder = Encoder::default();
    segment.append(&ops()[..3], &mut encoder).expect("written");
    segment.sync().expect("synced");
    segment.append(&ops()[3..], &mut encoder).expect("written");
    segment.lose_power().expect("cut");
    let replay = Replay::read(segment.path()).expect("readable").expect("a segment");
    assert!(same(&replay.ops, &ops()[..3]));
}

proptest! {
    #[test]
    fn a_damaged_segment_yields_a_prefix(at in 0_usize..4_000, with in any::<u8>(), cut in any::<bool>()) {
        let (_directory, path) = written(&ops());
        let mut bytes = std::fs::read(&path).expect("readable");
        let end = Replay::read(&path).expect("readable").expect("a segment").bounds[ops().len()];
        let at = at % end;
        if cut { bytes.truncate(at) } else { bytes[at] ^= with };
        if let Some(replay) = Replay::parse(&path, &Bytes::from(bytes)) {
            prop_assert!(same(&replay.ops, &ops()[..replay.ops.len()]));
            let whole = replay.bounds.len() - 1;
            prop_assert!(cut || with == 0 || replay.bounds[whole] <= at, "a damaged record counted");
        }
    }

    #[test]
    fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let (_directory, path) = written(&[]);
        let header = std::fs::read(&path).expect("readable")[..SEGMENT_HEADER].to_vec();
        bytes.splice(0..0, header);
        let replay = Replay::parse(&path, &Bytes::from(bytes)).expect("a good header");
        prop_assert_eq!(replay.bounds.len(), replay.ops.len() + 1);
    }
}
