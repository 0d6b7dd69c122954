//! `kafkarium consume TOPIC`: records of any Kafka-compatible cluster, as lines.
//!
//! Invariants: records of a partition come in the order of their offsets; without `--follow` it ends at the end that
//! each leader told; a closed pipe ends it quietly.
//!
//! Deliberately not here: groups; the consumer (`client::consumer`), writing of records (`records`).

use super::exit::{Exit, Failure, Outcome};
use super::output::{self, Format};
use super::records::{Part, to_json, to_text};
use super::remote::{Bootstrap, CLIENT_ID};
use crate::client::consumer::{Consumer, ConsumerOptions, ConsumerRecord, Start};
use crate::cluster::command::Consume as Wanted;
use crate::cluster::command::values::From;
use crate::cluster::dial::Driver;
use clap::Args;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
        // What is read from the end on has not been written yet.
        let follows = self.wanted.follow || self.wanted.from == From::Latest;
        let topics = [self.wanted.topic.clone()];
        let mut driver = Driver::new(Consumer::new(&topics, options), &self.cluster.servers, CLIENT_ID);
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        let mut left = self.wanted.max.unwrap_or(u64::MAX);
        let (mut read, began, mut shown) = (0_u64, Instant::now(), Instant::now());
        let interrupted = tokio::signal::ctrl_c();
        tokio::pin!(interrupted);
        let mut ended = Ok(());
        while left > 0 {
            tokio::select! {
                biased;
                _ = &mut interrupted => break,
                () = driver.step(Duration::from_millis(250)) => {}
            }
            for record in driver.machine.take_records() {
                if left == 0 {
                    break;
                }
                self.show(&record, &mut out)?;
                (left, read) = (left - 1, read + 1);
            }
            out.flush()?;
            if let Some(reason) = driver.machine.take_errors().into_iter().next() {
                ended = Err(Failure::new(Exit::Failed, reason));
                break;
            }
            if !follows && driver.machine.is_at_end() {
                break;
            }
            // Not over records on the same screen.
            let beside = io::stderr().is_terminal() && !io::stdout().is_terminal();
            if beside && shown.elapsed() > Duration::from_secs(1) {
                shown = Instant::now();
                let _ = write!(
                    io::stderr(),
                    "\r\x1b[K{read} records, {:.0}/s",
                    read as f64 / began.elapsed().as_secs_f64()
                );
            }
        }
        out.flush()?;
        if io::stderr().is_terminal() {
            output::narrate(&format!("{read} records of {}", self.wanted.topic));
        }
        ended
    }

    fn show(&self, record: &ConsumerRecord, out: &mut impl Write) -> Outcome {
        match self.output {
            Format::Text => out.write_all(&to_text(record, &self.with, &self.separator))?,
            Format::Json => serde_json::to_writer(&mut *out, &to_json(record)).map_err(io::Error::from)?,
        }
        out.write_all(b"\n").map_err(Failure::from)
    }
}
