//! The values of the command language, each with one way to be read (`FromStr`) and one to be written (`Display`).
//!
//! Invariants: what `Display` writes, `FromStr` reads back as the same value; nothing is rounded on the way. Durations
//! are written as humantime writes them without spaces (`1s500ms`), sizes with the largest unit that divides them
//! (`64MiB`).
//!
//! Deliberately not here: whether a broker, topic or partition exists (the host knows), and the legality of topic names
//! (the broker answers with Kafka's own error).

use crate::cluster::link;
use crate::protocol::ids::BrokerId;
use kafka_protocol::messages::ApiKey;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// A partition as people write it: `orders-0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl FromStr for Partition {
    type Err = String;
    fn from_str(text: &str) -> Result<Partition, String> {
        let wrong = || format!("`{text}` is no partition: write it as orders-0");
        let (topic, number) = text.rsplit_once('-').ok_or_else(wrong)?;
        let partition = number.parse::<u32>().ok().and_then(|number| i32::try_from(number).ok()).ok_or_else(wrong)?;
        if topic.is_empty() || topic.contains(char::is_whitespace) {
            return Err(wrong());
        }
        Ok(Partition { topic: topic.to_owned(), partition })
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Reads a broker's id. Ours begin with 1, other clusters' with 0.
pub fn broker_id(text: &str) -> Result<BrokerId, String> {
    match text.parse::<i32>() {
        Ok(id) if id >= 0 => Ok(BrokerId(id)),
        _ => Err(format!("`{text}` is no broker: ids are numbers")),
    }
}

/// Reads `1,2,3`.
pub fn broker_ids(text: &str) -> Result<Vec<BrokerId>, String> {
    text.split(',').map(|id| broker_id(id.trim())).collect()
}

/// Writes `1,2,3`.
pub fn join_ids(ids: &[BrokerId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Reads a duration as people write it: `500ms`, `2s`, `1m30s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| format!("`{text}` is no duration: write 500ms, 2s or 1m30s"))
}

/// Writes a duration so that it is one word and is read back exactly.
pub fn duration_text(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

/// How a link's end at the clients is written.
pub const CLIENTS: &str = "clients";

/// One side of a link: brokers, or the clients of those on the other side.
fn link_side(text: &str) -> Result<Vec<BrokerId>, String> {
    let end = |word: &str| if word == CLIENTS { Ok(link::CLIENTS) } else { broker_id(word) };
    text.split(',').map(|word| end(word.trim())).collect()
}

/// Writes a link's end: `2`, `clients`.
pub fn link_end(end: BrokerId) -> String {
    if end == link::CLIENTS { CLIENTS.to_owned() } else { end.to_string() }
}

/// Links between brokers, and between brokers and their clients: both ways (`1 2`) or one way (`1>2`, in a shell
/// `1 to 2`). Each side may name several ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSpec {
    /// The ends on one side; the senders, if it is one way. [`link::CLIENTS`] stands for the clients.
    pub from: Vec<BrokerId>,
    /// The ends on the other side.
    pub to: Vec<BrokerId>,
    /// Only what `from` sends to `to`.
    pub one_way: bool,
}

impl LinkSpec {
    /// Every directed link meant: sender and receiver, each pair once, never a broker with itself.
    pub fn directed(&self) -> Vec<(BrokerId, BrokerId)> {
        let mut links = std::collections::BTreeSet::new();
        for &from in &self.from {
            for &to in self.to.iter().filter(|to| **to != from) {
                links.insert((from, to));
                if !self.one_way {
                    links.insert((to, from));
                }
            }
        }
        links.into_iter().collect()
    }
}

impl FromStr for LinkSpec {
    type Err = String;
    fn from_str(text: &str) -> Result<LinkSpec, String> {
        let spaced = text.replace("->", " > ").replace('>', " > ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let (from, to, one_way) = match words.as_slice() {
            [from, ">" | "to", to] => (from, to, true),
            [from, to] => (from, to, false),
            _ => return Err(format!("`{text}` is no link: write 1 2 (both ways), 1>2 (one way) or 1 clients")),
        };
        let link = LinkSpec { from: link_side(from)?, to: link_side(to)?, one_way };
        if link.directed().is_empty() {
            let who = if link.from.contains(&link::CLIENTS) {
                "clients have no link to each other"
            } else {
                "a broker has no link to itself"
            };
            return Err(who.to_owned());
        }
        Ok(link)
    }
}

impl fmt::Display for LinkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if self.one_way { " to " } else { " " };
        let side = |ends: &[BrokerId]| ends.iter().copied().map(link_end).collect::<Vec<_>>().join(",");
        write!(f, "{}{between}{}", side(&self.from), side(&self.to))
    }
}

/// A number of bytes: `500`, `1KiB`, `64MiB`, `2MB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Size, String> {
        let digits = text.trim();
        if let Ok(bytes) = digits.parse::<u64>() {
            return Ok(Size(bytes));
        }
        digits
            .parse::<bytesize::ByteSize>()
            .map(|size| Size(size.as_u64()))
            .map_err(|_| format!("`{text}` is no size: write 500, 1KiB or 64MiB"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Beyond 2^53 the units would pass through a float when read back.
        let units = [("GiB", bytesize::GIB), ("MiB", bytesize::MIB), ("KiB", bytesize::KIB)];
        let exact = |bytes: &u64| self.0 > 0 && self.0.is_multiple_of(*bytes) && self.0 < 1 << 53;
        match units.iter().find(|(_, bytes)| exact(bytes)) {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            None => self.0.fmt(f),
        }
    }
}

/// The unit of time a rate counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// `/s`
    Second,
    /// `/m`
    Minute,
    /// `/h`
    Hour,
}

/// So many records a unit of time: `50/s`, `6/m`. A bare number is meant a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many, from 1.
    pub count: u32,
    /// In which time.
    pub per: Per,
}

impl Rate {
    /// The pause between two records that keeps the rate.
    pub fn interval(self) -> Duration {
        let unit = match self.per {
            Per::Second => Duration::from_secs(1),
            Per::Minute => Duration::from_secs(60),
            Per::Hour => Duration::from_secs(3_600),
        };
        unit / self.count
    }
}

impl FromStr for Rate {
    type Err = String;
    fn from_str(text: &str) -> Result<Rate, String> {
        let wrong = || format!("`{text}` is no rate: write 50/s, 30/m or 5/h");
        let (count, unit) = text.split_once('/').unwrap_or((text, "s"));
        let count = count.trim().parse::<u32>().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
        let per = match unit.trim() {
            "s" | "sec" | "second" => Per::Second,
            "m" | "min" | "minute" => Per::Minute,
            "h" | "hour" => Per::Hour,
            _ => return Err(wrong()),
        };
        Ok(Rate { count, per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per {
            Per::Second => "s",
            Per::Minute => "m",
            Per::Hour => "h",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

/// So many bytes a second: `1MiB/s`. The `/s` may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRate(pub Size);

impl FromStr for ByteRate {
    type Err = String;
    fn from_str(text: &str) -> Result<ByteRate, String> {
        match text.strip_suffix("/s").unwrap_or(text).parse::<Size>() {
            Ok(size) if size.0 > 0 => Ok(ByteRate(size)),
            _ => Err(format!("`{text}` is no throughput: write 64KiB/s or 1MiB/s")),
        }
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

/// Reads a decimal with at most `places` places as an integer of that scale: `0.25` with 3 places is 250.
fn scaled(text: &str, places: usize) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > places {
        return None;
    }
    format!("{whole}{fraction:0<places$}").parse().ok()
}

/// Writes what [`scaled`] reads, without needless zeros.
fn unscaled(value: u32, places: u32) -> String {
    let unit = 10_u32.pow(places);
    let (whole, fraction) = (value / unit, value % unit);
    let fraction = format!("{fraction:0>width$}", width = places as usize);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") }
}

/// How fast the cluster's time runs against real time: `0.1` is ten times slower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Speed {
    /// Cluster seconds per 1000 real seconds; never 0 (that is a pause).
    pub permille: u32,
}

impl Speed {
    /// Real time.
    pub const NORMAL: Speed = Speed { permille: 1_000 };
}

impl FromStr for Speed {
    type Err = String;
    fn from_str(text: &str) -> Result<Speed, String> {
        match scaled(text.strip_suffix(['x', '×']).unwrap_or(text), 3) {
            Some(0) => Err("speed 0 stands still: say `pause`".to_owned()),
            Some(permille) => Ok(Speed { permille }),
            None => Err(format!("`{text}` is no speed: write 1, 0.5 or 0.1")),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&unscaled(self.permille, 3))
    }
}

/// A share of messages: `20%`, `0.5%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    /// Of a million messages, so many.
    pub per_million: u32,
}

impl FromStr for Share {
    type Err = String;
    fn from_str(text: &str) -> Result<Share, String> {
        match scaled(text.strip_suffix('%').unwrap_or(text), 4) {
            Some(per_million) if per_million <= 1_000_000 && text.ends_with('%') => Ok(Share { per_million }),
            _ => Err(format!("`{text}` is no share: write 20% or 0.5%")),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", unscaled(self.per_million, 4))
    }
}

/// By how much a clock is wrong: `+5s` ahead, `-500ms` behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    /// Milliseconds added to the true time.
    pub millis: i64,
}

impl FromStr for Skew {
    type Err = String;
    fn from_str(text: &str) -> Result<Skew, String> {
        let (behind, size) = match text.strip_prefix(['-', '−']) {
            Some(size) => (true, size),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let wrong = || format!("`{text}` is no skew: write +5s (ahead) or -500ms (behind)");
        let millis = duration(size).ok().and_then(|size| i64::try_from(size.as_millis()).ok()).ok_or_else(wrong)?;
        Ok(Skew { millis: if behind { -millis } else { millis } })
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.millis < 0 { '-' } else { '+' };
        write!(f, "{sign}{}", duration_text(Duration::from_millis(self.millis.unsigned_abs())))
    }
}

/// One setting: `retention.ms=1000`. The value may be empty and may hold further `=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Kafka's name of it.
    pub key: String,
    /// Its value, as text.
    pub value: String,
}

impl FromStr for Setting {
    type Err = String;
    fn from_str(text: &str) -> Result<Setting, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Setting { key: key.trim().to_owned(), value: value.to_owned() })
            }
            _ => Err(format!("`{text}` is no setting: write KEY=VALUE")),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// Replicas by hand, as Kafka's own tools write them: `1:2:3,2:3:1` is two partitions, the first replica preferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment(pub Vec<Vec<BrokerId>>);

impl FromStr for Assignment {
    type Err = String;
    fn from_str(text: &str) -> Result<Assignment, String> {
        let replicas = |part: &str| part.split(':').map(|id| broker_id(id.trim())).collect::<Result<Vec<_>, _>>();
        text.split(',')
            .map(replicas)
            .collect::<Result<Vec<_>, _>>()
            .map(Assignment)
            .map_err(|reason| format!("{reason} (two partitions on three brokers: 1:2:3,2:3:1)"))
    }
}

impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |ids: &Vec<BrokerId>| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(":");
        f.write_str(&self.0.iter().map(part).collect::<Vec<_>>().join(","))
    }
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With the oldest record kept.
    Earliest,
    /// With what is written from now on.
    Latest,
    /// With an offset of each partition.
    Offset(i64),
    /// So many records before the end of each partition: `-10`.
    Last(u32),
    /// With what was written in the last while: `5m`.
    Ago(Duration),
    /// With the first record stamped at or after a moment, milliseconds since 1970 UTC: `2026-01-31T12:00:00Z`.
    Moment(i64),
}

impl FromStr for From {
    type Err = String;
    fn from_str(text: &str) -> Result<From, String> {
        match text {
            "earliest" | "beginning" | "start" => return Ok(From::Earliest),
            "latest" | "end" => return Ok(From::Latest),
            _ => {}
        }
        if let Some(last) = text.strip_prefix('-').and_then(|last| last.parse().ok()) {
            return Ok(From::Last(last));
        }
        if let Some(offset) = text.parse().ok().filter(|offset| *offset >= 0) {
            return Ok(From::Offset(offset));
        }
        if let Ok(ago) = duration(text) {
            return Ok(From::Ago(ago));
        }
        humantime::parse_rfc3339_weak(text)
            .ok()
            .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok())
            .and_then(|since| i64::try_from(since.as_millis()).ok())
            .map(From::Moment)
            .ok_or_else(|| {
                format!("`{text}` is no place to read from: earliest, latest, 120, -10, 5m or 2026-01-31T12:00:00Z")
            })
    }
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            From::Earliest => f.write_str("earliest"),
            From::Latest => f.write_str("latest"),
            From::Offset(offset) => offset.fmt(f),
            From::Last(last) => write!(f, "-{last}"),
            From::Ago(ago) => f.write_str(&duration_text(*ago)),
            From::Moment(millis) => {
                let since = Duration::from_millis(u64::try_from(*millis).unwrap_or(0));
                humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since).fmt(f)
            }
        }
    }
}

/// The name of what a message between clients and brokers, or between brokers, is about, whatever its case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageApi(pub &'static str);

/// What brokers ask each other (`PeerRequest::api_name`).
const AMONG_BROKERS: [&str; 13] = [
    "AddPartitionsToTxn",
    "AllocateProducerIds",
    "AlterPartition",
    "BeginQuorumEpoch",
    "BrokerHeartbeat",
    "BrokerRegistration",
    "EndQuorumEpoch",
    "Fetch",
    "FetchSnapshot",
    "Forward",
    "QuorumFetch",
    "Vote",
    "WriteTxnMarkers",
];

impl FromStr for MessageApi {
    type Err = String;
    fn from_str(text: &str) -> Result<MessageApi, String> {
        let of_clients = crate::protocol::api::ApiKey::ALL.iter().map(|api| api.name());
        AMONG_BROKERS
            .into_iter()
            .chain(of_clients)
            .find(|name| name.eq_ignore_ascii_case(text))
            .map(MessageApi)
            .ok_or_else(|| format!("`{text}` is no API that is sent here: Produce, Fetch, AlterPartition, Vote, …"))
    }
}

impl fmt::Display for MessageApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A request's name in Kafka's protocol, whatever its case: `Produce`, `AlterPartition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api(pub ApiKey);

impl FromStr for Api {
    type Err = String;
    fn from_str(text: &str) -> Result<Api, String> {
        ApiKey::iter()
            .find(|key| format!("{key:?}").eq_ignore_ascii_case(text))
            .map(Api)
            .ok_or_else(|| format!("`{text}` is no API of Kafka: Produce, Fetch, Metadata, AlterPartition, …"))
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
