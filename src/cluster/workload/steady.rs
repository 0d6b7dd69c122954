//! A member of a group that stays until it is told to leave: what `consume --name` starts.
//!
//! Invariants: what it hands out counts as processed at once; a slow one takes no more than its rate allows, and commits no more; a paused one
//! is not driven at all, as a process that stands still.
//!
//! Deliberately not here: members that the ledger follows (`follow`).

use super::beat::{Beat, Pace};
use crate::client::consumer::ConsumerOptions;
use crate::cluster::command::Join;
use crate::cluster::command::values::Rate;
use crate::cluster::dial::Driver;
use crate::cluster::reading::{Reader, new_member_id};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long one turn may wait.
const STEP: Duration = Duration::from_millis(100);

/// What it is to do.
#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    leaves: bool,
    is_paused: bool,
    rate: Option<Rate>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Steady {
    task: JoinHandle<()>,
    orders: watch::Sender<Orders>,
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Steady {
    pub(super) fn begin(runtime: &Handle, bootstrap: String, join: Join) -> Steady {
        let (orders, told) = watch::channel(Orders { rate: join.rate, ..Orders::default() });
        Steady { task: runtime.spawn(read(bootstrap, join, told)), orders }
    }

    /// Whether it is in its group, or on the way into it or out of it.
    pub(super) fn runs(&self) -> bool {
        !self.task.is_finished() && !self.orders.borrow().leaves
    }

    pub(super) fn leave(&self) {
        self.orders.send_modify(|orders| (orders.leaves, orders.is_paused) = (true, false));
    }

    pub(super) fn pause(&self) {
        self.orders.send_modify(|orders| orders.is_paused = true);
    }

    pub(super) fn resume(&self) {
        self.orders.send_modify(|orders| (orders.is_paused, orders.rate) = (false, None));
    }

    pub(super) fn slow(&self, rate: Rate) {
        self.orders.send_modify(|orders| orders.rate = Some(rate));
    }
}

async fn read(bootstrap: String, join: Join, mut told: watch::Receiver<Orders>) {
    let reader = Reader::new(&join.consume, ConsumerOptions::default(), new_member_id);
    let mut driver = Driver::new(reader, &bootstrap, &join.name);
    let (mut beat, mut last, mut is_leaving) = (None, Instant::now(), false);
    while !(is_leaving && driver.machine.is_gone()) {
        let orders = *told.borrow_and_update();
        if orders.is_paused {
            if told.changed().await.is_err() {
                return;
            }
            continue;
        }
        if orders.leaves && !is_leaving {
            is_leaving = true;
            let now_ms = driver.now_ms();
            driver.machine.leave(now_ms);
        }
        tokio::select! {
            () = driver.step(STEP) => {}
            changed = told.changed(), if !is_leaving => if changed.is_err() { return },
        }
        let now = Instant::now();
        let limit = match orders.rate {
            None => usize::MAX,
            Some(rate) => {
                beat.take_if(|(known, _): &mut (Rate, Beat)| *known != rate);
                let (_, beat) = beat.get_or_insert_with(|| (rate, Beat::new(rate.interval())));
                usize::try_from(beat.due(now - last, Pace::default())).unwrap_or(usize::MAX)
            }
        };
        last = now;
        if limit > 0 {
            driver.machine.take_records(limit);
            driver.machine.processed();
        }
        driver.machine.take_events();
        driver.machine.take_errors();
    }
}
