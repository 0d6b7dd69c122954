//! Snapshots of the metadata (KIP-630): written when the log has grown enough, kept in the store as named values,
//! given to those whose position the log no longer has, and fetched from the leader in pieces. Also what of the log
//! is committed, for those who apply it.
//!
//! Invariants: a snapshot covers committed records alone; the log starts at a snapshot's end or at 0; committed
//! records are handed out once each and in order.
//!
//! A snapshot is one JSON document and one named value: metadata of a few thousand partitions is a few megabytes.

use crate::engine::controller::image::MetadataImage;
use crate::engine::controller::record::MetadataRecord;
use crate::engine::io::{Ctx, LogRead, ReadError, StorageOp};
use crate::engine::observe::{EventKind, TruncationReason};
use crate::engine::quorum::follower::Fetch;
use crate::engine::quorum::log;
use crate::engine::quorum::voters::VoterHistory;
use crate::engine::quorum::{Quorum, Role, Sent};
use crate::engine::rpc::Rpc;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::{BrokerId, LogId, PartitionId};
use crate::protocol::peer::{FetchSnapshotRequest, FetchSnapshotResponse, PeerRequest, PeerResponse, SnapshotId};
use bytes::{Bytes, BytesMut};

/// The largest piece of a snapshot in one response, in bytes.
const PIECE_BYTES: u32 = 1024 * 1024;
/// How much of the log is read at once to be applied, in bytes.
const READ_BYTES: usize = 1024 * 1024;
const PREFIX: &str = "snapshot/";

/// What is committed and has not been handed out before.
#[derive(Debug, Clone, PartialEq)]
pub enum Committed {
    /// The records of one batch.
    Records {
        /// The offset of the first; the others follow one by one.
        base_offset: i64,
        /// The epoch of the leader that wrote them.
        epoch: i32,
        /// The records.
        records: Vec<MetadataRecord>,
    },
    /// A snapshot that takes the place of everything handed out before.
    Snapshot(MetadataImage),
}

/// A snapshot on its way here.
#[derive(Debug, Clone)]
pub(super) struct Download {
    pub(super) snapshot: SnapshotId,
    pub(super) bytes: BytesMut,
}

/// The store's name of a snapshot: padded, so that names sort as offsets do.
pub(super) fn key(snapshot: SnapshotId) -> String {
    format!("{PREFIX}{:020}-{:010}", snapshot.end_offset, snapshot.epoch)
}

/// The snapshots in the store, the latest last.
pub(super) fn list(read: &dyn LogRead) -> Vec<SnapshotId> {
    let parse = |key: &String| {
        let (end_offset, epoch) = key.strip_prefix(PREFIX)?.split_once('-')?;
        Some(SnapshotId { end_offset: end_offset.parse().ok()?, epoch: epoch.parse().ok()? })
    };
    read.meta_keys(PREFIX).iter().filter_map(parse).collect()
}

/// A snapshot's image.
pub(super) fn load(read: &dyn LogRead, snapshot: SnapshotId) -> Result<MetadataImage, ReadError> {
    let key = key(snapshot);
    let refused = |reason: String| ReadError { log: LogId::METADATA, reason };
    let bytes = read.meta(&key).ok_or_else(|| refused(format!("{key} is gone")))?;
    MetadataImage::from_bytes(&bytes).map_err(|error| refused(format!("{key}: {error}")))
}

impl Quorum {
    /// What was committed since the last call, in order. To be applied at once.
    ///
    /// # Errors
    /// If the store cannot read the log, or a record is not of this release.
    pub fn take_committed(&mut self, read: &dyn LogRead) -> Result<Vec<Committed>, ReadError> {
        let mut taken = Vec::new();
        if let Some(image) = self.arrived.take() {
            self.applied = image.end_offset;
            taken.push(Committed::Snapshot(image));
        }
        while self.applied < self.high_watermark {
            let batches = read.read(LogId::METADATA, self.applied, READ_BYTES)?;
            assert!(!batches.is_empty(), "the log holds what is committed: {}", self.applied);
            for batch in batches {
                if batch.header.next_offset() > self.high_watermark {
                    assert!(self.applied == self.high_watermark, "the high watermark lies between batches");
                    break;
                }
                assert_eq!(batch.header.base_offset, self.applied, "committed batches follow each other");
                self.applied = batch.header.next_offset();
                let records = log::decode(&batch)?;
                let (base_offset, epoch) = (batch.header.base_offset, batch.header.leader_epoch);
                self.recent.note(base_offset, epoch, &records);
                taken.push(Committed::Records { base_offset, epoch, records });
            }
        }
        Ok(taken)
    }

    /// Writes a snapshot of the image if the log has grown by `metadata.log.max.record.bytes.between.snapshots` since
    /// the last one, and lets the log start there. The snapshot before stays, for those who are fetching it.
    ///
    /// # Panics
    /// If the image is ahead of what is committed.
    pub fn maybe_snapshot(&mut self, cx: &mut Ctx, image: &MetadataImage) {
        let latest = self.snapshots.last().map_or(0, |snapshot| snapshot.end_offset);
        if self.log.bytes_since_snapshot() < self.settings.snapshot_bytes || image.end_offset <= latest {
            return;
        }
        assert!(image.end_offset <= self.high_watermark, "only what is committed goes into a snapshot");
        let snapshot = SnapshotId { end_offset: image.end_offset, epoch: image.epoch };
        let sync = self.must_sync();
        put(cx, StorageOp::PutMeta { key: key(snapshot), value: image.to_bytes() }, sync);
        self.log.trim(cx, snapshot, sync);
        self.voters.trim(snapshot.end_offset);
        self.remember_snapshot(cx, snapshot);
        cx.emit(EventKind::SnapshotWritten { end_offset: snapshot.end_offset });
    }

    fn remember_snapshot(&mut self, cx: &mut Ctx, snapshot: SnapshotId) {
        self.snapshots.push(snapshot);
        let gone = self.snapshots.len().saturating_sub(2);
        for old in self.snapshots.drain(..gone) {
            cx.write(StorageOp::DeleteMeta { key: key(old) });
        }
    }

    pub(super) fn on_fetch_snapshot(
        &mut self,
        cx: &mut Ctx,
        from: BrokerId,
        correlation_id: u64,
        request: FetchSnapshotRequest,
    ) {
        let mut response = FetchSnapshotResponse {
            error: self.leader_error(request.epoch),
            epoch: self.epoch(),
            leader: self.leader(),
            snapshot: request.snapshot,
            size: 0,
            position: request.position,
            bytes: Bytes::new(),
        };
        if response.error.is_none()
            && let Role::Leader(leader) = &mut self.role
        {
            leader.note_contact(from, cx.now);
            let held = leader.serving.take().filter(|(id, _)| *id == request.snapshot);
            let is_known = self.snapshots.contains(&request.snapshot);
            let held = held.or_else(|| Some((request.snapshot, cx.log().meta(&key(request.snapshot))?)));
            match held.filter(|_| is_known) {
                None => response.error = ErrorCode::SnapshotNotFound,
                Some((id, bytes)) => {
                    response.size = u64::try_from(bytes.len()).expect("a size fits 64 bits");
                    match piece(&bytes, request.position, request.max_bytes) {
                        Some(piece) => response.bytes = piece,
                        None => response.error = ErrorCode::PositionOutOfRange,
                    }
                    leader.serving = Some((id, bytes));
                }
            }
        }
        Rpc::respond(cx, from, correlation_id, PeerResponse::FetchSnapshot(response));
    }

    /// Asks the leader for the next piece.
    pub(super) fn fetch_piece(&mut self, cx: &mut Ctx, rpc: &mut Rpc) {
        let Role::Follower(follower) = &self.role else { return };
        let Some(download) = &follower.download else { return };
        let position = u64::try_from(download.bytes.len()).expect("a size fits 64 bits");
        let (to, snapshot) = (follower.leader, download.snapshot);
        let request = PeerRequest::FetchSnapshot(FetchSnapshotRequest {
            epoch: self.epoch(),
            replica: self.me,
            snapshot,
            position,
            max_bytes: PIECE_BYTES,
        });
        let timeout_ms = self.settings.request_timeout_ms;
        let id = self.send(cx, rpc, to, request, timeout_ms, Sent::Snapshot { epoch: self.epoch() });
        self.set_fetch(Fetch::InFlight(id));
    }

    /// A piece has come, from the leader that is followed and in its epoch.
    pub(super) fn on_piece(&mut self, cx: &mut Ctx, rpc: &mut Rpc, response: FetchSnapshotResponse) {
        let retry_at = cx.now.plus_millis(super::RETRY_BACKOFF_MS);
        let fetch_timeout_ms = self.settings.fetch_timeout_ms;
        let Role::Follower(follower) = &mut self.role else { return };
        let Some(download) = &mut follower.download else { return };
        let position = u64::try_from(download.bytes.len()).expect("a size fits 64 bits");
        let fits = response.error.is_none()
            && response.snapshot == download.snapshot
            && response.position == position
            && !response.bytes.is_empty();
        if !fits {
            // Gone, or another one by now: the next Fetch tells which snapshot there is.
            follower.download = None;
            follower.fetch = Fetch::At(retry_at);
            return;
        }
        follower.deadline = cx.now.plus_millis(fetch_timeout_ms);
        download.bytes.extend_from_slice(&response.bytes);
        let length = u64::try_from(download.bytes.len()).expect("a size fits 64 bits");
        if length < response.size {
            self.fetch_piece(cx, rpc);
            return;
        }
        let download = follower.download.take().expect("a download is under way");
        follower.fetch = Fetch::At(retry_at);
        let bytes = download.bytes.freeze();
        match MetadataImage::from_bytes(&bytes) {
            Ok(image) if image.end_offset == download.snapshot.end_offset => {
                self.install(cx, download.snapshot, bytes, image);
                self.set_fetch(Fetch::At(cx.now));
                self.send_fetch(cx, rpc);
            }
            _ => {}
        }
    }

    fn install(&mut self, cx: &mut Ctx, snapshot: SnapshotId, bytes: Bytes, image: MetadataImage) {
        // A snapshot is committed, so it cannot be behind what is known to be committed unless it is of no use.
        if snapshot.end_offset < self.high_watermark {
            return;
        }
        let (from, to) = (self.log.end(), snapshot.end_offset);
        put(cx, StorageOp::PutMeta { key: key(snapshot), value: bytes }, true);
        self.log.reset(cx, snapshot, true);
        self.recent.truncate(0);
        if self.snapshots.last() != Some(&snapshot) {
            self.remember_snapshot(cx, snapshot);
        }
        if from > to {
            let reason = TruncationReason::Snapshot;
            cx.emit(EventKind::Truncated { partition: PartitionId::METADATA, from, to, reason });
        }
        self.high_watermark = snapshot.end_offset;
        let before = self.voters.current().clone();
        self.voters = VoterHistory::new(&self.initial_voters, Some(&image.voters), Vec::new());
        self.arrived = Some(image);
        cx.emit(EventKind::SnapshotLoaded { end_offset: snapshot.end_offset });
        if *self.voters.current() != before {
            self.voters_changed(cx);
        }
    }
}

fn put(cx: &mut Ctx, op: StorageOp, sync: bool) {
    if sync { cx.write_synced(op) } else { cx.write(op) }
}

/// A piece of a snapshot; `None` if it begins beyond the end.
fn piece(bytes: &Bytes, position: u64, max_bytes: u32) -> Option<Bytes> {
    let from = usize::try_from(position).ok().filter(|from| *from < bytes.len())?;
    let size = usize::try_from(max_bytes.min(PIECE_BYTES)).ok()?.min(bytes.len() - from);
    Some(bytes.slice(from..from + size))
}
