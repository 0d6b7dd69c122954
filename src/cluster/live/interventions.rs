//! Faults begun and ended: links, messages, disks, clocks; what is active, told in the words of the language.
//!
//! Invariants: what [`Supervisor::active_faults`] lists is what acts at this moment, each with the command that ends
//! it.
//!
//! Deliberately not here: lives and deaths (`supervisor.rs`).

use crate::cluster::command::values::duration_text;
use crate::cluster::command::{Command, Direction, DropCommand, LinkCommand};
use crate::cluster::link::{CLIENTS, Drops, LinkFaults};
use crate::cluster::live::faults::DiskFaults;
use crate::cluster::live::history::{Ended, FaultSort, HostFact};
use crate::cluster::live::status::Phase;
use crate::cluster::live::supervisor::{Supervisor, is_alive};
use crate::cluster::observation::Fault;
use crate::cluster::observation::found::{self, Found};
use crate::cluster::store::{self, DamagedBatch, StoreControl};
use crate::cluster::view::FaultKind;
use crate::protocol::ids::{BrokerId, PartitionId};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Supervisor {
    /// Carries out a command about links.
    pub(super) fn change_links(&self, command: &LinkCommand) {
        for link in command.link().directed() {
            self.host.change_link(link, |faults| match command {
                LinkCommand::Cut { .. } => faults.is_cut = true,
                LinkCommand::Delay { by, jitter, .. } => {
                    (faults.delay, faults.jitter) = (*by, jitter.unwrap_or_default());
                }
                LinkCommand::Lose { share, .. } => faults.loss_per_million = share.per_million,
                LinkCommand::Hold { .. } => faults.is_held = true,
                LinkCommand::Release { .. } => faults.is_held = false,
                LinkCommand::Throttle { rate, .. } => faults.bytes_per_s = Some(rate.0.0),
                LinkCommand::Heal { .. } => *faults = LinkFaults::default(),
            });
        }
        let touches_clients = command.link().directed().iter().any(|(from, to)| [*from, *to].contains(&CLIENTS));
        for service in self.slots().values().filter_map(|slot| slot.service.as_ref()).filter(|_| touches_clients) {
            service.look_at_link();
        }
        let sort = match command {
            LinkCommand::Cut { .. } => FaultSort::LinkCut,
            LinkCommand::Delay { .. } | LinkCommand::Throttle { .. } => FaultSort::LinkSlow,
            _ => FaultSort::LinkLossy,
        };
        let text = Command::Link(command.clone()).to_string();
        if matches!(command, LinkCommand::Release { .. } | LinkCommand::Heal { .. }) {
            let spec = command.link().to_string();
            self.host.watch().healed(|fault| fault.starts_with("link ") && fault.contains(&format!(" {spec}")));
        }
        self.tell(match command {
            LinkCommand::Release { .. } | LinkCommand::Heal { .. } => HostFact::FaultEnded { text, broker: None },
            _ => HostFact::FaultBegan { sort, text, broker: None },
        });
    }

    /// Messages of a kind are to be lost.
    pub(super) fn drop_next(&self, command: &DropCommand) {
        let DropCommand::Next { traffic, broker, count } = command;
        let of_responses = traffic.direction == Direction::Response;
        let api = traffic.api.to_string();
        self.host.drop_next(Drops { of_responses, api, by: *broker, left: *count });
        let text = Command::Drop(command.clone()).to_string();
        self.tell(HostFact::FaultBegan { sort: FaultSort::LinkLossy, text, broker: *broker });
    }

    /// A disk is slow from now on.
    pub(super) fn slow_disk(&self, id: BrokerId, by: Duration) {
        self.change_disk(id, FaultSort::DiskSlow, Some(format!("disk slow {id} {}", duration_text(by))), |faults| {
            faults.delay = by;
        });
    }

    /// A disk takes nothing more.
    pub(super) fn fill_disk(&self, id: BrokerId) {
        self.change_disk(id, FaultSort::DiskFault, Some(format!("disk full {id}")), |faults| faults.is_full = true);
    }

    /// A disk answers every read and write with an error.
    pub(super) fn fail_disk(&self, id: BrokerId) {
        self.change_disk(id, FaultSort::DiskFault, Some(format!("disk fail {id}")), |faults| faults.is_failing = true);
    }

    /// A disk is as it should be.
    pub(super) fn heal_disk(&self, id: BrokerId) {
        self.change_disk(id, FaultSort::DiskFault, None, |faults| *faults = DiskFaults::default());
    }

    fn change_disk(&self, id: BrokerId, sort: FaultSort, begins: Option<String>, change: impl FnOnce(&mut DiskFaults)) {
        let faults = self.faults().change_disk(id, change);
        if let Some(store) = self.slots().get(&id).and_then(|slot| slot.status.store()) {
            store.set_disk_delay(faults.delay);
            store.set_disk_full(faults.is_full);
            store.set_disk_failing(faults.is_failing);
        }
        self.tell(match begins {
            Some(text) => HostFact::FaultBegan { sort, text, broker: Some(id) },
            None => {
                let ended = ["slow", "full", "fail"].map(|fault| format!("disk {fault} {id}"));
                self.host.watch().healed(|fault| ended.iter().any(|ended| fault.starts_with(ended)));
                HostFact::FaultEnded { text: format!("disk heal {id}"), broker: Some(id) }
            }
        });
    }

    /// Damages what a broker has stored; says what.
    ///
    /// # Errors
    /// If it keeps no files, or there is nothing to damage.
    pub(super) fn corrupt_disk(
        &self,
        id: BrokerId,
        partition: Option<PartitionId>,
        offset: Option<i64>,
    ) -> Result<String, String> {
        if self.options.durability == crate::cluster::options::Durability::Memory {
            return Err("there are no files to damage in mode `memory`".to_owned());
        }
        let store = match self.slots().get(&id) {
            None => return Err(format!("there is no broker {id}")),
            Some(slot) if !is_alive(slot) => None,
            Some(slot) => Some(slot.status.store().ok_or_else(|| format!("broker {id} is starting"))?),
        };
        let damaged = match store {
            Some(store) => self.corrupt_living(id, &store, partition, offset)?,
            None => self.corrupt_dead(id, partition, offset)?,
        };
        let text = format!("disk corrupt {id}");
        self.tell(HostFact::FaultBegan { sort: FaultSort::DiskFault, text, broker: Some(id) });
        Ok(match damaged {
            Some(DamagedBatch { topic, partition, base_offset }) => format!(
                "On the disk of {id} the batch of {topic}-{partition} at offset {base_offset} is damaged: its next \
                 reader finds it."
            ),
            None => format!("On the disk of {id} the journal's last record is damaged: a start ends before it."),
        })
    }

    /// A batch in a partition, or in the largest; the one that holds an offset, or the last one. `None`: nothing is
    /// flushed there, so that it is the journal's end.
    fn corrupt_living(
        &self,
        id: BrokerId,
        store: &StoreControl,
        partition: Option<PartitionId>,
        offset: Option<i64>,
    ) -> Result<Option<DamagedBatch>, String> {
        let said = self.snapshots(&BTreeMap::new()).into_iter().find(|snapshot| snapshot.broker == id);
        let said = said.ok_or_else(|| format!("broker {id} does not answer"))?;
        let wanted = said.replicas.iter().filter(|replica| partition.is_none_or(|wanted| wanted == replica.partition));
        let replica = wanted.max_by_key(|replica| replica.size_bytes);
        let replica = replica.ok_or_else(|| format!("broker {id} has no such replica"))?;
        let damaged = store.corrupt(replica.log, offset).map_err(|error| error.to_string())?;
        if damaged.is_none() {
            if partition.is_some() {
                return Err("no such batch is flushed: its next flush is what can be damaged".to_owned());
            }
            store.corrupt_tail();
        }
        let topic = said.image.topics.get(&replica.partition.topic).map_or("?", |topic| topic.name.as_str());
        let partition = replica.partition.partition;
        Ok(damaged.map(|base_offset| DamagedBatch { topic: topic.to_owned(), partition, base_offset }))
    }

    /// As [`Supervisor::corrupt_living`]; where no partition is named, what is in the journal alone comes first.
    fn corrupt_dead(
        &self,
        id: BrokerId,
        partition: Option<PartitionId>,
        offset: Option<i64>,
    ) -> Result<Option<DamagedBatch>, String> {
        let directory = self.directory_of(id);
        if partition.is_none() && store::corrupt_tail(&directory).map_err(|error| error.to_string())? {
            return Ok(None);
        }
        match store::corrupt_flushed(&directory, partition, offset).map_err(|error| error.to_string())? {
            Some(damaged) => Ok(Some(damaged)),
            None => Err(format!("no such batch is flushed on the disk of {id}")),
        }
    }

    /// A broker's wall clock is wrong by so much; zero sets it right.
    pub(super) fn skew_clock(&self, id: BrokerId, milliseconds: i64) {
        if let Some(slot) = self.slots().get(&id) {
            slot.skew_ms.store(milliseconds, Ordering::Relaxed);
        }
        let text = format!("clock skew {id} {milliseconds:+}ms");
        let before = format!("clock skew {id} ");
        self.host.watch().healed(|fault| fault.starts_with(&before));
        self.tell(if milliseconds == 0 {
            HostFact::FaultEnded { text, broker: Some(id) }
        } else {
            HostFact::FaultBegan { sort: FaultSort::Clock, text, broker: Some(id) }
        });
    }

    /// Ends every fault of links, messages, disks and clocks, and thaws what is frozen. Returns the brokers that are
    /// down.
    pub(super) fn heal(&self) -> Vec<BrokerId> {
        let links: Vec<_> = self.host.with_links(|links| links.faulty().map(|(link, _)| link).collect());
        for link in links {
            self.host.change_link(link, |faults| *faults = LinkFaults::default());
        }
        for service in self.slots().values().filter_map(|slot| slot.service.as_ref()) {
            service.look_at_link();
        }
        self.host.forget_drops();
        let disks: Vec<BrokerId> = self.faults().disks().map(|(id, _)| id).collect();
        for id in disks {
            self.heal_disk(id);
        }
        let ids: Vec<BrokerId> = self.slots().keys().copied().collect();
        for id in &ids {
            self.resume(*id);
            let skew = self.slots().get(id).map_or(0, |slot| slot.skew_ms.load(Ordering::Relaxed));
            if skew != 0 {
                self.skew_clock(*id, 0);
            }
        }
        self.host.watch().all_healed();
        self.tell(HostFact::FaultEnded { text: "everything healed".to_owned(), broker: None });
        let slots = self.slots();
        slots.iter().filter(|(_, slot)| !is_alive(slot)).map(|(id, _)| *id).collect()
    }

    /// Every fault that acts now, the newest first, with what it puts on the brokers' cards.
    pub(super) fn shown_faults(&self) -> Vec<Fault> {
        let mut found = self.broken_brokers();
        found.extend(self.host.with_links(found::on_links));
        for (id, disk) in self.faults().disks() {
            let undo = format!("disk heal {id}");
            if disk.is_full {
                found.push(Found::new(FaultKind::Disk, format!("disk of {id} full"), &undo).on(id, "full"));
            }
            if disk.is_failing {
                found.push(Found::new(FaultKind::Disk, format!("disk of {id} failing"), &undo).on(id, "failing"));
            }
            if !disk.delay.is_zero() {
                let by = format!("+{}", duration_text(disk.delay));
                found.push(Found::new(FaultKind::Slow, format!("disk of {id} {by}"), &undo).on(id, &by));
            }
        }
        let now = self.host.clock.now();
        let mut faults = self.faults();
        let names: Vec<String> = found.iter().map(|found| found.text.clone()).collect();
        faults.keep_only(&names);
        let since = |text: &str| faults.since(text, now).as_millis();
        found::shown(found, since)
    }

    fn broken_brokers(&self) -> Vec<Found> {
        let mut found = Vec::new();
        for (id, slot) in self.slots().iter() {
            let down = match slot.status.phase() {
                Phase::Ended(Ended::Stopped) => Some("stopped"),
                Phase::Ended(Ended::Killed) => Some("killed"),
                Phase::Ended(Ended::PowerLost) => Some("without power"),
                Phase::Ended(Ended::Crashed { .. }) => Some("crashed"),
                _ => None,
            };
            if let Some(word) = down {
                found.push(Found::new(FaultKind::Down, format!("broker {id} {word}"), &format!("start {id}")));
            } else if slot.status.is_suspended() {
                let undo = format!("resume {id}");
                found.push(Found::new(FaultKind::Suspended, format!("broker {id} suspended"), &undo));
            }
            let skew = slot.skew_ms.load(Ordering::Relaxed);
            if skew != 0 {
                let by = format!("{skew:+} ms");
                let undo = format!("clock skew {id} +0s");
                found.push(Found::new(FaultKind::Clock, format!("clock of {id} {by}"), &undo).on(*id, &by));
            }
        }
        found
    }
}
