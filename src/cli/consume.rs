//! `kafkarium consume TOPIC`: records of any Kafka-compatible cluster, as lines.
//!
//! Invariants: records of a partition come in the order of their offsets; without `--follow` it ends at the end that
//! each leader told; a closed pipe ends it quietly; what a member of a group commits was written to standard output before,
//! and however it ends it leaves its group, unless it is killed.
//!
//! Deliberately not here: the consumer and the member (`client`), writing of records (`records`).

use super::exit::{Exit, Failure, Outcome};
use super::output::{self, Format};
use super::records::{Part, to_json, to_text};
use super::remote::{Bootstrap, CLIENT_ID};
use crate::client::consumer::{ConsumerOptions, ConsumerRecord, Start};
use crate::client::member::Event;
use crate::cluster::command::values::From;
use crate::cluster::command::{Consume as Wanted, GroupProtocol, ResetTo};
use crate::cluster::dial::Driver;
use crate::cluster::reading::{Reader, new_member_id};
use crate::protocol::codec::Request;
use clap::Args;
use kafka_protocol::messages::ConsumerGroupDescribeRequest;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long one turn may wait.
const STEP: Duration = Duration::from_millis(250);
/// A member to which its group gives nothing waits so long for something, unless it follows.
const NOTHING_FOR: Duration = Duration::from_secs(5);

/// Arguments of `consume`.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Consume {
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    cluster: Bootstrap,
    /// Leave out records of transactions that were aborted or are still open
    #[arg(long)]
    read_committed: bool,
    /// What to show before the value; several with commas between
    #[arg(long, value_enum, value_name = "PARTS", value_delimiter = ',', help_heading = "Output")]
    with: Vec<Part>,
    /// What to write between the parts
    #[arg(long, value_name = "TEXT", default_value = "\t", hide_default_value = true, help_heading = "Output")]
    separator: String,
    /// How to write records; json is what `produce --format json` reads
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text, help_heading = "Output")]
    output: Format,
}

/// Where a consumer begins.
pub fn start(from: From) -> Start {
    match from {
        From::Earliest => Start::Earliest,
        From::Latest => Start::Latest,
        From::Offset(offset) => Start::Offset(offset),
        From::Last(records) => Start::BeforeEnd(i64::from(records)),
        From::Moment(at_ms) => Start::Timestamp(at_ms),
        From::Ago(ago) => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Start::Timestamp(i64::try_from(since.saturating_sub(ago).as_millis()).unwrap_or(i64::MAX))
        }
    }
}

impl Consume {
    /// Reads until the end, as many as were wanted, or until it is interrupted.
    pub fn run(&self) -> Outcome {
        self.cluster.find_topic(&self.wanted.topic, false)?;
        if self.wanted.membership.group.is_some() && self.wanted.membership.protocol == GroupProtocol::Consumer {
            self.cluster.serves(Request::ConsumerGroupDescribe(ConsumerGroupDescribeRequest::default()))?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
        runtime.block_on(self.read())
    }

    async fn read(&self) -> Outcome {
        let options = ConsumerOptions {
            start: start(self.wanted.from),
            partitions: self.wanted.partition.clone(),
            read_committed: self.read_committed,
            ..ConsumerOptions::default()
        };
        let mut driver =
            Driver::new(Reader::new(&self.wanted, options, new_member_id), &self.cluster.servers, CLIENT_ID);
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        let mut read = 0;
        let ended = self.read_on(&mut driver, &mut out, &mut read).await;
        let now_ms = driver.now_ms();
        driver.machine.leave(now_ms);
        while !driver.machine.is_gone() {
            driver.step(STEP).await;
        }
        if io::stderr().is_terminal() {
            output::narrate(&format!("{read} records of {}", self.wanted.topic));
        }
        ended
    }

    async fn read_on(&self, driver: &mut Driver<Reader>, out: &mut impl Write, read: &mut usize) -> Outcome {
        let Wanted { from, follow, max, membership, .. } = &self.wanted;
        // What is read from the end on has not been written yet.
        let follows = *follow || *from == From::Latest || membership.reset == ResetTo::Latest;
        let wanted = usize::try_from(max.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let (began, mut shown, mut had_something) = (Instant::now(), Instant::now(), Instant::now());
        let interrupted = tokio::signal::ctrl_c();
        tokio::pin!(interrupted);
        while *read < wanted {
            tokio::select! {
                biased;
                _ = &mut interrupted => break,
                () = driver.step(STEP) => {}
            }
            for record in driver.machine.take_records(wanted - *read) {
                self.show(&record, out)?;
                *read += 1;
            }
            out.flush()?;
            driver.machine.processed();
            self.narrate(driver.machine.take_events());
            if let Some(reason) = driver.machine.take_errors().into_iter().next() {
                return Err(Failure::new(Exit::Failed, reason));
            }
            if !driver.machine.has_nothing() {
                had_something = Instant::now();
            }
            if !follows && (driver.machine.is_at_end() || had_something.elapsed() > NOTHING_FOR) {
                break;
            }
            // Not over records on the same screen.
            let beside = io::stderr().is_terminal() && !io::stdout().is_terminal();
            if beside && shown.elapsed() > Duration::from_secs(1) {
                shown = Instant::now();
                let rate = *read as f64 / began.elapsed().as_secs_f64();
                let _ = write!(io::stderr(), "\r\x1b[K{read} records, {rate:.0}/s");
            }
        }
        Ok(())
    }

    /// Tells what happens in the group, to people alone.
    fn narrate(&self, events: Vec<Event>) {
        let group = self.wanted.membership.group.as_deref().unwrap_or_default();
        for event in events {
            let sentence = match event {
                Event::Joined { generation, partitions } => {
                    format!(
                        "{group}: generation {generation}, {partitions} partitions of {} are ours",
                        self.wanted.topic
                    )
                }
                Event::Lost(partitions) => {
                    format!("{group}: the group went on without us, {} partitions are lost", partitions.len())
                }
                Event::Trouble(reason) => format!("{group}: {reason}"),
                Event::Assigned(_) | Event::Revoked(_) => continue,
            };
            if io::stderr().is_terminal() {
                output::narrate(&sentence);
            }
        }
    }

    fn show(&self, record: &ConsumerRecord, out: &mut impl Write) -> Outcome {
        match self.output {
            Format::Text => out.write_all(&to_text(record, &self.with, &self.separator))?,
            Format::Json => serde_json::to_writer(&mut *out, &to_json(record)).map_err(io::Error::from)?,
        }
        out.write_all(b"\n").map_err(Failure::from)
    }
}
