//! What the replicas tell of themselves, and the rounds that keep the logs tidy (retention, forgotten producers).

use super::partition::{Replica, Role};
use super::timers::Timer;
use super::{PRODUCER_CHECK_INTERVAL_MS, ReplicaEnv, Replicas};
use crate::engine::io::{Ctx, LogRead};
use crate::engine::observe::{BatchHead, Inside, ProducerInside, ReplicaRole, ReplicaSnapshot, Scope, Stretch};
use crate::protocol::ids::PartitionId;
use std::cmp::Reverse;
use std::ops::ControlFlow;

/// A look inside a log holds so many batches at most.
const INSIDE_BATCHES_MAX: usize = 400;
/// And passes so many bytes at most, so that it costs a broker no more than a fetch does.
const INSIDE_BYTES_MAX: usize = 16 << 20;
/// So many leader epochs.
const INSIDE_EPOCHS_MAX: usize = 64;
/// So many producers.
const INSIDE_PRODUCERS_MAX: usize = 64;

impl Replicas {
    /// The account of all replicas within a scope.
    pub fn snapshot(&self, scope: &Scope) -> Vec<ReplicaSnapshot> {
        match &scope.partitions {
            None => self.partitions.keys().filter_map(|id| self.snapshot_of(*id)).collect(),
            Some(wanted) => wanted.iter().filter_map(|id| self.snapshot_of(*id)).collect(),
        }
    }

    /// What is inside one log. Headers are read, no record is; a log that cannot be read shows no batches.
    pub fn inside(&self, stretch: Stretch, read: &dyn LogRead) -> Option<Inside> {
        let replica = self.partitions.get(&stretch.partition)?;
        let log = &replica.log;
        let (mut batches, mut bytes) = (Vec::new(), 0);
        let from = stretch.from.max(log.start_offset());
        let visited = read.scan(log.id(), from, &mut |header| {
            if header.base_offset >= stretch.to {
                return ControlFlow::Break(());
            }
            bytes += header.size();
            batches.push(BatchHead {
                base_offset: header.base_offset,
                last_offset: header.last_offset(),
                leader_epoch: header.leader_epoch,
                records: header.record_count,
                size_bytes: header.size() as u64,
                producer_id: header.producer_id,
                base_sequence: header.base_sequence,
                is_transactional: header.is_transactional(),
                is_control: header.is_control(),
            });
            if batches.len() >= INSIDE_BATCHES_MAX || bytes >= INSIDE_BYTES_MAX {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        if visited.is_err() {
            // Whoever wants to read it finds out, and goes offline.
            batches.clear();
        }
        let epochs: Vec<(i32, i64)> = log.epochs().collect();
        let mut producers: Vec<ProducerInside> = log.producers_inside().collect();
        let producer_count = producers.len();
        producers.sort_by_key(|producer| (producer.summary.open_since().is_none(), Reverse(producer.last_offset)));
        producers.truncate(INSIDE_PRODUCERS_MAX);
        Some(Inside {
            partition: stretch.partition,
            last_stable_offset: log.last_stable_offset(replica.high_watermark),
            batches,
            epochs: epochs[epochs.len().saturating_sub(INSIDE_EPOCHS_MAX)..].to_vec(),
            producers,
            producer_count,
        })
    }

    fn snapshot_of(&self, id: PartitionId) -> Option<ReplicaSnapshot> {
        let replica = self.partitions.get(&id)?;
        let role = match (&replica.role, replica.leader) {
            (Role::Leader(_), _) => ReplicaRole::Leader,
            (Role::Follower, Some(_)) => ReplicaRole::Follower,
            (Role::Follower, None) | (Role::Idle, _) => ReplicaRole::Idle,
        };
        let leader = replica.as_leader();
        Some(ReplicaSnapshot {
            partition: id,
            log: replica.log.id(),
            role,
            leader_epoch: replica.leader_epoch,
            log_start: replica.log.start_offset(),
            log_end: replica.log.end_offset(),
            persisted_end: replica.log.persisted_end(),
            high_watermark: replica.high_watermark,
            last_stable_offset: replica.log.last_stable_offset(replica.high_watermark),
            size_bytes: replica.log.size_bytes(),
            isr: leader.map(|leader| leader.isr.clone()).unwrap_or_default(),
            maximal_isr: leader.map(|leader| leader.maximal_isr()).unwrap_or_default(),
            stalled_since: leader.and_then(|leader| leader.stalled_since),
        })
    }

    /// Moves a leader's log start: its followers and readers are told.
    pub(in crate::engine) fn move_log_start(&mut self, cx: &mut Ctx, id: PartitionId, offset: i64) {
        let Some(replica) = self.partitions.get_mut(&id) else { return };
        if replica.log.trim(cx, offset) {
            self.log_start_moved(cx, id);
        }
    }

    fn log_start_moved(&mut self, cx: &Ctx, id: PartitionId) {
        self.note_write(cx, id);
        self.touch_readers(id);
        self.tell_log_start(id);
    }

    /// Old records go (`LogManager.cleanupLogs`): leaders' and followers' alike, each by itself.
    pub(super) fn retention_round(&mut self, cx: &mut Ctx, env: &ReplicaEnv) {
        self.timers.set(cx.now.plus_millis(env.config.retention_check_interval_ms), Timer::Retention);
        let mut moved = Vec::new();
        for (id, replica) in &mut self.partitions {
            if replica.log.start_offset() == replica.log.end_offset() {
                continue;
            }
            if replica.log.retention(cx, replica.high_watermark, &replica.config).is_some() {
                moved.push(*id);
            }
        }
        for id in moved {
            self.log_start_moved(cx, id);
            self.finish_deleted(cx, env, id);
        }
    }

    /// A store with a limit (`--memory-limit`) holds too much: the oldest records go, below the high watermark, from every
    /// log by its share of the whole, and a sixteenth more than has to, so that not every batch comes here.
    pub(super) fn relieve_store(&mut self, cx: &mut Ctx, env: &ReplicaEnv) {
        let excess = cx.log().excess_bytes();
        // What compaction keeps is state, not history: no limit takes it away.
        let may_go = |replica: &Replica| replica.config.cleanup_delete;
        let sizes = self.partitions.values().filter(|replica| may_go(replica)).map(|replica| replica.log.size_bytes());
        let total: u64 = sizes.sum();
        if excess == 0 || total == 0 {
            return;
        }
        let wanted = u128::from(excess + total / 16);
        let mut moved = Vec::new();
        for (id, replica) in self.partitions.iter_mut().filter(|(_, replica)| may_go(replica)) {
            let share = wanted * u128::from(replica.log.size_bytes()) / u128::from(total);
            let (mut removed, mut start_offset) = (0_u128, replica.log.start_offset());
            let high_watermark = replica.high_watermark;
            let scanned = cx.log().scan(replica.log.id(), start_offset, &mut |header| {
                if removed >= share || header.next_offset() > high_watermark {
                    return ControlFlow::Break(());
                }
                removed += header.size() as u128;
                start_offset = header.next_offset();
                ControlFlow::Continue(())
            });
            // What cannot be read is told by whoever wants to read it.
            if scanned.is_ok() && replica.log.trim(cx, start_offset) {
                moved.push(*id);
            }
        }
        for id in moved {
            self.log_start_moved(cx, id);
            self.finish_deleted(cx, env, id);
        }
    }

    /// Producers that were not heard of for `producer.id.expiration.ms` are forgotten.
    pub(super) fn expire_producers(&mut self, cx: &mut Ctx, env: &ReplicaEnv) {
        self.timers.set(cx.now.plus_millis(PRODUCER_CHECK_INTERVAL_MS), Timer::Producers);
        for replica in self.partitions.values_mut() {
            replica.log.expire_producers(cx.wall, env.config.producer_id_expiration_ms);
        }
    }
}
