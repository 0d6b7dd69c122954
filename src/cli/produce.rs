//! `kafkarium produce TOPIC`: records from a file, standard input or made up, to any Kafka-compatible cluster.
//!
//! Invariants: with acks=all the producer is idempotent, so nothing is written twice; a bounded number of records is in
//! memory, however fast the input; the process ends with 0 only if every record was acknowledged as asked.
//!
//! Deliberately not here: the producer (`client::producer`), reading of lines (`records`).

use super::exit::{Exit, Failure, Outcome};
use super::output::{self, Format};
use super::records::{InputFormat, Reading};
use super::remote::{Bootstrap, CLIENT_ID};
use crate::client::producer::{Delivery, Producer, ProducerOptions, ProducerRecord};
use crate::cluster::command::acks;
use crate::cluster::command::values::{Rate, Setting, Size, duration};
use crate::cluster::dial::Driver;
use crate::cluster::view::Acks;
use crate::protocol::records::Compression;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use serde_json::json;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

/// Records that may be on their way at once.
const UNFINISHED_MAX: usize = 20_000;
/// Bytes of records that may be on their way at once.
const UNFINISHED_BYTES_MAX: usize = 64 << 20;
/// How long records on their way may take after an interruption.
const INTERRUPTED_TIME: Duration = Duration::from_millis(800);
/// The longest line that is read, bytes.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// `--compression`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Codec {
    /// None
    None,
    /// Gzip
    Gzip,
    /// Snappy
    Snappy,
    /// LZ4
    Lz4,
    /// Zstandard
    Zstd,
}

/// Arguments of `produce`.
#[derive(Debug, Args)]
pub struct Produce {
    /// The topic
    topic: String,
    #[command(flatten)]
    cluster: Bootstrap,
    /// Read records from this file, a line each; - is standard input
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    file: Option<PathBuf>,
    /// How a line is read
    #[arg(long, value_enum, default_value_t = InputFormat::Text, help_heading = "Input")]
    format: InputFormat,
    /// In a line of text, what stands between key and value
    #[arg(long, value_name = "TEXT", help_heading = "Input")]
    key_separator: Option<String>,
    /// Make records up with this value instead of reading them; %n is the record's number
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["file", "size"], help_heading = "Made up")]
    value: Option<String>,
    /// Make records up of this size instead of reading them
    #[arg(long, value_name = "SIZE", conflicts_with = "file", help_heading = "Made up")]
    size: Option<Size>,
    /// How many to make up; else 1, or without end at a rate
    #[arg(long, value_name = "N", conflicts_with = "file", help_heading = "Made up")]
    count: Option<u64>,
    /// Not faster than this
    #[arg(long, value_name = "N/s", help_heading = "Records")]
    rate: Option<Rate>,
    /// The key of every record that brings none; %n is the record's number
    #[arg(long, value_name = "TEXT", help_heading = "Records")]
    key: Option<String>,
    /// A header of every record; may be given several times
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Records")]
    header: Vec<Setting>,
    /// To this partition; else by key, or in turn
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..), help_heading = "Records")]
    partition: Option<i32>,
    /// Which acknowledgement to wait for: all, 1 or 0
    #[arg(long, value_name = "ACKS", default_value = "all", value_parser = acks, help_heading = "Records")]
    acks: Acks,
    /// How to compress
    #[arg(long, value_enum, value_name = "CODEC", default_value_t = Codec::None, help_heading = "Records")]
    compression: Codec,
    /// After this long a record that is not acknowledged has failed
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration, help_heading = "Records")]
    timeout: Duration,
    /// json: tell on standard output where each record went
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text, help_heading = "Output")]
    output: Format,
}

/// Where records come from.
enum Source {
    /// Lines of an input, read by a thread of their own.
    Lines(mpsc::Receiver<Result<ProducerRecord, Failure>>),
    /// Made up: so many are still to come; `None` is without end.
    MadeUp { left: Option<u64> },
}

/// What has happened so far.
#[derive(Default)]
struct Tally {
    taken: u64,
    taken_bytes: u64,
    written: u64,
    failed: u64,
    first_failure: Option<String>,
    input_failure: Option<Failure>,
    unfinished_bytes: usize,
    sizes: std::collections::BTreeMap<u64, usize>,
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn size_of(record: &ProducerRecord) -> usize {
    record.key.as_ref().map_or(0, Bytes::len) + record.value.as_ref().map_or(0, Bytes::len)
}

impl Produce {
    /// Writes everything, and tells how it went.
    pub fn run(&self) -> Outcome {
        self.cluster.find_topic(&self.topic, true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
        let source = self.source()?;
        let outcome = runtime.block_on(self.write(source));
        // A thread that still waits for a line would keep an orderly end waiting.
        runtime.shutdown_background();
        outcome
    }

    fn reading(&self) -> Reading {
        Reading {
            topic: self.topic.clone(),
            format: self.format,
            key_separator: self.key_separator.clone(),
            key: self.key.clone(),
            headers: self.headers(),
            partition: self.partition,
        }
    }

    fn headers(&self) -> Vec<(String, Option<Bytes>)> {
        self.header.iter().map(|header| (header.key.clone(), Some(Bytes::from(header.value.clone())))).collect()
    }

    fn source(&self) -> Result<Source, Failure> {
        if self.value.is_some() || self.size.is_some() || self.count.is_some() {
            let left = self.count.or(if self.rate.is_some() { None } else { Some(1) });
            return Ok(Source::MadeUp { left });
        }
        let input: Box<dyn Read + Send> = match self.file.as_deref() {
            Some(path) if path.as_os_str() != "-" => Box::new(File::open(path).map_err(|error| {
                let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NoInput } else { Exit::Io };
                Failure::new(exit, format!("{}: {error}", path.display()))
            })?),
            _ => {
                if io::stdin().is_terminal() {
                    output::narrate("A line is a record. Ctrl-D ends.");
                }
                Box::new(io::stdin())
            }
        };
        let (send, receive) = mpsc::channel(1_024);
        let reading = self.reading();
        std::thread::Builder::new()
            .name("input".to_owned())
            .spawn(move || read_lines(input, &reading, &send))
            .map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
        Ok(Source::Lines(receive))
    }

    fn made_up(&self, number: u64) -> ProducerRecord {
        let fill = |text: &str| Bytes::from(text.replace("%n", &number.to_string()));
        let value = match (&self.value, self.size) {
            (Some(value), _) => fill(value),
            (None, Some(size)) => {
                let size = usize::try_from(size.0).unwrap_or(usize::MAX);
                // The number first, so that records can be told apart.
                let mut value = format!("record {number} ").into_bytes();
                value.resize(size, b'x');
                Bytes::from(value)
            }
            (None, None) => Bytes::from(format!("record {number}")),
        };
        ProducerRecord {
            topic: self.topic.clone(),
            partition: self.partition,
            key: self.key.as_deref().map(fill),
            value: Some(value),
            headers: self.headers(),
            timestamp_ms: now_ms(),
        }
    }

    fn options(&self) -> ProducerOptions {
        let acks = match self.acks {
            Acks::All => -1,
            Acks::Leader => 1,
            Acks::None => 0,
        };
        let compression = match self.compression {
            Codec::None => Compression::None,
            Codec::Gzip => Compression::Gzip,
            Codec::Snappy => Compression::Snappy,
            Codec::Lz4 => Compression::Lz4,
            Codec::Zstd => Compression::Zstd,
        };
        let delivery_timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX / 2);
        ProducerOptions { acks, compression, delivery_timeout_ms, ..ProducerOptions::default() }
    }

    async fn write(&self, mut source: Source) -> Outcome {
        let mut driver = Driver::new(Producer::new(self.options()), &self.cluster.servers, CLIENT_ID);
        let mut tally = Tally::default();
        let (began, mut shown) = (Instant::now(), Instant::now());
        let mut next_at = tokio::time::Instant::now();
        let mut ended = None;
        let interrupted = tokio::signal::ctrl_c();
        tokio::pin!(interrupted);
        // After an interruption what is on its way gets a moment, and no more.
        let mut leave_at: Option<Instant> = None;
        loop {
            let room = driver.machine.unfinished() < UNFINISHED_MAX && tally.unfinished_bytes < UNFINISHED_BYTES_MAX;
            let is_over = leave_at.is_some_and(|at| Instant::now() >= at);
            if ended.is_some() && (driver.machine.unfinished() == 0 || is_over) {
                break;
            }
            tokio::select! {
                biased;
                _ = &mut interrupted, if leave_at.is_none() => {
                    leave_at = Some(Instant::now() + INTERRUPTED_TIME);
                    ended.get_or_insert(Ok(()));
                }
                next = next_record(self, &mut source, tally.taken, next_at), if room && ended.is_none() => match next {
                    Some(Ok(record)) => {
                        self.take(&mut driver, record, &mut tally);
                        if let Some(rate) = self.rate {
                            next_at += rate.interval();
                        }
                        // Whatever else is there goes into the same batches; a turn a record would make none.
                        self.take_more(&mut driver, &mut source, &mut tally);
                    }
                    Some(Err(failure)) => ended = Some(Err(failure)),
                    None => ended = Some(Ok(())),
                },
                () = driver.step(Duration::from_millis(100)) => {}
            }
            for delivery in driver.machine.take_deliveries() {
                self.settle(&delivery, &mut tally)?;
            }
            if shown.elapsed() > Duration::from_secs(1) && io::stderr().is_terminal() {
                shown = Instant::now();
                progress(&tally, began);
            }
        }
        let ended = tally.input_failure.take().map_or(ended.unwrap_or(Ok(())), Err);
        self.finish(&tally, began, driver.last_failure(), ended)
    }

    fn take(&self, driver: &mut Driver<Producer>, record: ProducerRecord, tally: &mut Tally) {
        let size = size_of(&record);
        let now_ms = driver.now_ms();
        let number = driver.machine.send(now_ms, record);
        tally.taken += 1;
        tally.taken_bytes += size as u64;
        tally.unfinished_bytes += size;
        tally.sizes.insert(number, size);
    }

    /// Takes what is there without waiting, unless a rate says when the next one is due.
    fn take_more(&self, driver: &mut Driver<Producer>, source: &mut Source, tally: &mut Tally) {
        while self.rate.is_none()
            && driver.machine.unfinished() < UNFINISHED_MAX
            && tally.unfinished_bytes < UNFINISHED_BYTES_MAX
        {
            let record = match source {
                Source::Lines(lines) => match lines.try_recv() {
                    Ok(Ok(record)) => record,
                    // The input has ended with this; what was read before it still goes out.
                    Ok(Err(failure)) => {
                        tally.input_failure = Some(failure);
                        return;
                    }
                    Err(_) => return,
                },
                Source::MadeUp { left: Some(0) } => return,
                Source::MadeUp { left } => {
                    *left = left.map(|left| left - 1);
                    self.made_up(tally.taken)
                }
            };
            self.take(driver, record, tally);
        }
    }

    fn settle(&self, delivery: &Delivery, tally: &mut Tally) -> Result<(), Failure> {
        tally.unfinished_bytes -= tally.sizes.remove(&delivery.record).unwrap_or(0);
        let partition = delivery.partition.as_ref().map(|partition| partition.partition);
        match &delivery.outcome {
            Ok(offset) => {
                tally.written += 1;
                if self.output == Format::Json {
                    let offset = Some(*offset).filter(|offset| *offset >= 0);
                    output::json(&json!({"record": delivery.record, "partition": partition, "offset": offset}))?;
                }
            }
            Err(reason) => {
                tally.failed += 1;
                let at = delivery.partition.as_ref().map(|at| format!("{at}: ")).unwrap_or_default();
                tally.first_failure.get_or_insert_with(|| format!("{at}{reason}"));
                if self.output == Format::Json {
                    output::json(
                        &json!({"record": delivery.record, "partition": partition, "error": reason.to_string()}),
                    )?;
                }
            }
        }
        Ok(())
    }

    fn finish(&self, tally: &Tally, began: Instant, connection: Option<&str>, ended: Outcome) -> Outcome {
        let seconds = began.elapsed().as_secs_f64();
        let size = bytesize::ByteSize(tally.taken_bytes);
        if io::stderr().is_terminal() {
            // Over the line of progress.
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        output::narrate(&format!(
            "{} of {} records written to {} ({size}) in {seconds:.1} s",
            tally.written, tally.taken, self.topic
        ));
        ended?;
        let unknown = tally.taken - tally.written - tally.failed;
        if unknown > 0 {
            return Err(Failure::new(
                Exit::Failed,
                format!("{unknown} records were not acknowledged when it was interrupted"),
            ));
        }
        if tally.failed == 0 {
            return Ok(());
        }
        let reason = tally.first_failure.as_deref().unwrap_or("unknown");
        let connection = connection.map(|reason| format!(" (last: {reason})")).unwrap_or_default();
        Err(Failure::new(Exit::Failed, format!("{} records failed; the first: {reason}{connection}", tally.failed)))
    }
}

/// The next record, once it is due. `None`: there are no more.
async fn next_record(
    produce: &Produce,
    source: &mut Source,
    number: u64,
    due: tokio::time::Instant,
) -> Option<Result<ProducerRecord, Failure>> {
    if produce.rate.is_some() {
        tokio::time::sleep_until(due).await;
    }
    match source {
        Source::Lines(lines) => lines.recv().await,
        Source::MadeUp { left: Some(0) } => None,
        Source::MadeUp { left } => {
            *left = left.map(|left| left - 1);
            Some(Ok(produce.made_up(number)))
        }
    }
}

/// Reads lines until the input ends, one cannot be read, or nobody wants more.
fn read_lines(input: Box<dyn Read + Send>, reading: &Reading, send: &mpsc::Sender<Result<ProducerRecord, Failure>>) {
    let mut input = BufReader::with_capacity(1 << 16, input);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        let record = match read {
            Ok(0) => return,
            Ok(_) => {
                if line.last() == Some(&b'\n') {
                    line.pop();
                    if line.last() == Some(&b'\r') {
                        line.pop();
                    }
                }
                let wrong = |reason| Failure::new(Exit::Failed, format!("line {number}: {reason}"));
                reading.record(&line, now_ms()).map_err(wrong)
            }
            Err(error) => Err(Failure::new(Exit::Io, format!("line {number}: {error}"))),
        };
        let last = record.is_err();
        if send.blocking_send(record).is_err() || last {
            return;
        }
    }
}

fn progress(tally: &Tally, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    let rate = tally.written as f64 / seconds;
    let size = bytesize::ByteSize(tally.taken_bytes);
    // Whoever closed standard error does not want to know.
    let _ = write!(io::stderr(), "\r\x1b[K{} records ({size}), {rate:.0}/s", tally.written);
}
