//! The verbs under a noun (`topic create`, `link cut`) and the arguments of `produce` and `consume`.
//!
//! Invariants: the comment of a verb is its summary, the comment of an argument its help, in every help text. A command
//! has the same arguments wherever it is written.
//!
//! Deliberately not here: the grammar of values that take several words (`words.rs`), consequences and examples
//! (`catalogue.rs`).

use super::predicate::Predicate;
use super::values::{
    Api, Assignment, ByteRate, From, LinkSpec, Partition, Rate, Setting, Share, Size, Skew, broker_id, duration,
};
use super::who::Who;
use crate::cluster::view::{Acks, ProduceDraft};
use crate::protocol::ids::BrokerId;
use clap::{Args, Subcommand, ValueEnum};
use std::time::Duration;

/// Verbs about brokers.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum BrokerCommand {
    /// Start one more broker
    Add,
    /// Take a broker out of the cluster for good
    Remove {
        /// Which brokers.
        #[command(flatten)]
        who: Who,
    },
    /// Show the brokers and how they are
    #[command(visible_alias = "ls")]
    List,
}

/// How far time runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Far {
    /// On, until somebody pauses it.
    On,
    /// For so long, then it stands still.
    For(Duration),
    /// Until something is true, then it stands still.
    Until(Predicate),
}

/// Verbs about links between brokers.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum LinkCommand {
    /// Lose everything sent over a link
    Cut {
        /// Which links.
        #[command(flatten)]
        link: LinkSpec,
    },
    /// Deliver everything sent over a link later
    Delay {
        /// Which links.
        #[command(flatten)]
        link: LinkSpec,
        /// How much later
        #[arg(value_name = "DURATION", value_parser = duration)]
        by: Duration,
        /// Up to so much more, at random
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        jitter: Option<Duration>,
    },
    /// Lose a share of the messages
    Lose {
        /// Which links.
        #[command(flatten)]
        link: LinkSpec,
        /// How many of them
        #[arg(value_name = "PERCENT")]
        share: Share,
    },
    /// Keep messages back until they are released
    Hold {
        /// Which links.
        #[command(flatten)]
        link: LinkSpec,
    },
    /// Deliver what is held back and hold no longer
    Release {
        /// Which links.
        #[command(flatten)]
        link: LinkSpec,
    },
    /// Limit the throughput
    Throttle {
        /// Which links.
        #[command(flatten)]
        link: LinkSpec,
        /// Bytes a second
        #[arg(value_name = "BYTES/s")]
        rate: ByteRate,
    },
    /// End every fault of a link
    Heal {
        /// Which links.
        #[command(flatten)]
        link: LinkSpec,
    },
}

impl LinkCommand {
    /// The links it is about.
    pub fn link(&self) -> &LinkSpec {
        match self {
            LinkCommand::Cut { link }
            | LinkCommand::Delay { link, .. }
            | LinkCommand::Lose { link, .. }
            | LinkCommand::Hold { link }
            | LinkCommand::Release { link }
            | LinkCommand::Throttle { link, .. }
            | LinkCommand::Heal { link } => link,
        }
    }
}

/// Which half of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The request does not arrive.
    Request,
    /// The request is carried out, its answer does not arrive.
    Response,
}

/// `response of Produce`: a kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Which half of the exchange.
    pub direction: Direction,
    /// Of which request.
    pub api: Api,
}

/// Verbs about single messages.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum DropCommand {
    /// Drop the next message of a kind
    Next {
        /// Which kind.
        #[command(flatten)]
        traffic: Traffic,
        /// Only at this broker; else at whichever comes first
        #[arg(long, value_name = "ID", value_parser = broker_id)]
        broker: Option<BrokerId>,
        /// How many in a row
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        count: u32,
    },
}

/// Verbs about messages that are under way.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum MessageCommand {
    /// Deliver a message that is under way at once
    Deliver {
        /// Its number
        #[arg(value_name = "N")]
        id: u64,
    },
    /// Drop a message that is under way
    Drop {
        /// Its number
        #[arg(value_name = "N")]
        id: u64,
    },
    /// Deliver a message that is under way later
    Delay {
        /// Its number
        #[arg(value_name = "N")]
        id: u64,
        /// How much later
        #[arg(value_name = "DURATION", value_parser = duration)]
        by: Duration,
    },
}

/// Verbs about disks.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum DiskCommand {
    /// Make every write wait
    Slow {
        /// Which brokers.
        #[command(flatten)]
        who: Who,
        /// How long
        #[arg(value_name = "DURATION", value_parser = duration)]
        by: Duration,
    },
    /// Refuse every write: no space left
    Full {
        /// Which brokers.
        #[command(flatten)]
        who: Who,
    },
    /// Fail every read and write
    Fail {
        /// Which brokers.
        #[command(flatten)]
        who: Who,
    },
    /// Flip a byte of a stored record batch
    Corrupt {
        /// Which brokers.
        #[command(flatten)]
        who: Who,
        /// In which partition; else in the largest
        #[arg(long, value_name = "PARTITION")]
        partition: Option<Partition>,
        /// In the batch that holds this offset; else in the last one
        #[arg(long, value_name = "OFFSET", requires = "partition", value_parser = clap::value_parser!(i64).range(0..))]
        offset: Option<i64>,
    },
    /// End the faults of a disk that can be ended
    Heal {
        /// Which brokers.
        #[command(flatten)]
        who: Who,
    },
}

/// Verbs about clocks.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum ClockCommand {
    /// Put a broker's wall clock ahead or behind; +0s sets it right
    Skew(ClockSkew),
}

/// By how much whose clock is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockSkew {
    /// Which brokers.
    pub who: Who,
    /// By how much.
    pub skew: Skew,
}

/// Verbs about consumer groups.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum GroupCommand {
    /// Show the groups
    #[command(visible_alias = "ls")]
    List,
    /// Show a group's state, members, committed offsets and lag
    Describe {
        /// The group
        #[arg(value_name = "GROUP")]
        name: String,
    },
    /// Show where a group without members would stand in a topic, and with --execute put it there
    Reset {
        /// The group
        #[arg(value_name = "GROUP")]
        name: String,
        /// The topic
        #[arg(value_name = "TOPIC")]
        topic: String,
        /// Where to: earliest, latest, an offset, -10 (before the end), 5m (ago) or a moment
        #[arg(long, value_name = "WHERE", allow_hyphen_values = true)]
        to: From,
        /// Do it
        #[arg(long)]
        execute: bool,
    },
    /// Delete a group without members, and its offsets
    #[command(visible_alias = "rm")]
    Delete {
        /// The group
        #[arg(value_name = "GROUP")]
        name: String,
    },
}

impl GroupCommand {
    /// Whether it changes the group, and does not only show it.
    pub fn changes(&self) -> bool {
        match self {
            GroupCommand::List | GroupCommand::Describe { .. } => false,
            GroupCommand::Reset { execute, .. } => *execute,
            GroupCommand::Delete { .. } => true,
        }
    }
}

/// Verbs about transactions.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum TransactionCommand {
    /// Show the transactional ids
    #[command(visible_alias = "ls")]
    List,
    /// Show a transactional id's state, producer, coordinator and partitions
    Describe {
        /// The transactional id
        #[arg(value_name = "TRANSACTIONAL-ID")]
        name: String,
    },
    /// Abort an open transaction, and fence its producer
    #[command(group = clap::ArgGroup::new("which").args(["name", "partition"]).required(true))]
    Abort {
        /// The transactional id
        #[arg(value_name = "TRANSACTIONAL-ID")]
        name: Option<String>,
        /// Only in this partition, for a transaction that no coordinator knows
        #[arg(long, value_name = "PARTITION", requires = "start_offset")]
        partition: Option<Partition>,
        /// Where that transaction begins
        #[arg(long, value_name = "OFFSET", requires = "partition")]
        start_offset: Option<i64>,
    },
}

/// Verbs about topics.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum TopicCommand {
    /// Show the topics
    #[command(visible_alias = "ls")]
    List {
        /// Kafka's own topics too
        #[arg(long)]
        internal: bool,
    },
    /// Show a topic's partitions: leader, epoch, replicas, in-sync replicas, offsets
    Describe {
        /// The topic, or a partition of it
        #[arg(value_name = "TOPIC")]
        name: String,
    },
    /// Create a topic
    Create {
        /// Its name
        #[arg(value_name = "TOPIC")]
        name: String,
        /// How many partitions; else the brokers' default
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// How many replicas of each; else the brokers' default
        #[arg(long, alias = "replication-factor", value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
        replicas: Option<i16>,
        /// Replicas by hand, a partition at a time: 1:2:3,2:3:1
        #[arg(long, value_name = "IDS", conflicts_with_all = ["partitions", "replicas"])]
        assignment: Option<Assignment>,
        /// A setting of the topic; may be given several times
        #[arg(long, value_name = "KEY=VALUE")]
        config: Vec<Setting>,
    },
    /// Give a topic more partitions or other settings
    #[command(group = clap::ArgGroup::new("change").args(["partitions", "config"]).required(true).multiple(true))]
    Alter {
        /// Its name
        #[arg(value_name = "TOPIC")]
        name: String,
        /// How many partitions there shall be
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// A setting of the topic; may be given several times
        #[arg(long, value_name = "KEY=VALUE")]
        config: Vec<Setting>,
    },
    /// Delete a topic and its records
    #[command(visible_alias = "rm")]
    Delete {
        /// Its name
        #[arg(value_name = "TOPIC")]
        name: String,
    },
    /// Delete the oldest records of a partition
    DeleteRecords {
        /// The partition
        partition: Partition,
        /// Every record below this offset; else all below the high watermark
        #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
        before: Option<i64>,
    },
}

/// What has settings: `topic orders`, `group billing`, `broker 2`, `brokers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigEntity {
    /// A topic.
    Topic(String),
    /// A consumer group (KIP-848).
    Group(String),
    /// One broker.
    Broker(BrokerId),
    /// The default of all brokers.
    Brokers,
}

/// Verbs about settings.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Show settings and where they come from
    Describe {
        /// Whose.
        #[command(flatten)]
        entity: ConfigEntity,
        /// Defaults too
        #[arg(long)]
        all: bool,
    },
    /// Change settings
    #[command(group = clap::ArgGroup::new("change").args(["set", "delete"]).required(true).multiple(true))]
    Alter {
        /// Whose.
        #[command(flatten)]
        entity: ConfigEntity,
        /// Set a value; may be given several times
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<Setting>,
        /// Go back to the default; may be given several times
        #[arg(long, value_name = "KEY")]
        delete: Vec<String>,
    },
}

/// Verbs about moving partitions.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum ReassignCommand {
    /// Begin to move partitions
    Start {
        /// Which partitions
        #[arg(required = true, value_name = "PARTITION")]
        partitions: Vec<Partition>,
        /// The brokers that shall hold them, the preferred leader first: 2,3,1
        #[arg(long, value_name = "IDS", required = true, value_delimiter = ',', value_parser = broker_id)]
        to: Vec<BrokerId>,
    },
    /// Show the moves under way
    #[command(visible_alias = "ls")]
    List,
    /// Call moves off and go back to the old replicas
    Cancel {
        /// Which partitions
        #[arg(required = true, value_name = "PARTITION")]
        partitions: Vec<Partition>,
    },
}

/// Verbs about elections.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum ElectCommand {
    /// Give leadership back to the first replica
    Preferred {
        /// Which partitions; none means all
        #[arg(value_name = "PARTITION")]
        partitions: Vec<Partition>,
    },
    /// Let the election timers of all voters of the quorum end at the same moment
    Align,
    /// Elect a replica that is not in sync
    Unclean {
        /// Which partitions
        #[arg(required = true, value_name = "PARTITION")]
        partitions: Vec<Partition>,
    },
}

/// Verbs about the metadata quorum.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum QuorumCommand {
    /// Show leader, epoch, high watermark, voters and observers
    Describe,
}

/// `on` or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// on
    On,
    /// off
    Off,
}

/// `produce TOPIC …` or `produce stop`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProduceCommand {
    /// Write records.
    Records(Produce),
    /// End a steady load; without a name, all of them.
    Stop {
        /// Its name: what `--name` said, else the topic.
        name: Option<String>,
    },
}

/// Records to write. A topic of the name `stop` has to be written to by other means.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Produce {
    /// The topic
    pub topic: String,
    /// The value; %n is the record's number. Without it records are made up
    #[arg(long, value_name = "TEXT", conflicts_with = "size")]
    pub value: Option<String>,
    /// No value: with a key, what compaction takes for a deletion
    #[arg(long, conflicts_with_all = ["value", "size"])]
    pub tombstone: bool,
    /// The key; %n is the record's number. Without it a record has none
    #[arg(long, value_name = "TEXT")]
    pub key: Option<String>,
    /// A header; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub header: Vec<Setting>,
    /// To this partition; else by key, or in turn
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<i32>,
    /// Which acknowledgement to wait for: all, 1 or 0
    #[arg(long, value_name = "ACKS", default_value = "all", value_parser = acks)]
    pub acks: Acks,
    /// How much, how fast.
    #[command(flatten)]
    pub load: Load,
}

impl Produce {
    /// What a form wants to have written.
    pub fn from_draft(draft: &ProduceDraft) -> Produce {
        let header = |(key, value): &(String, String)| Setting { key: key.clone(), value: value.clone() };
        Produce {
            topic: draft.topic.clone(),
            value: draft.value.clone(),
            tombstone: draft.value.is_none(),
            key: draft.key.clone(),
            header: draft.headers.iter().map(header).collect(),
            partition: draft.partition,
            acks: draft.acks,
            load: Load { count: Some(u64::from(draft.count.max(1))), ..Load::default() },
        }
    }

    /// What a load that it begins is called.
    pub fn load_name(&self) -> &str {
        self.load.name.as_deref().unwrap_or(&self.topic)
    }
}

/// How many records, how large, how fast.
#[derive(Debug, Clone, PartialEq, Eq, Args, Default)]
pub struct Load {
    /// How many records; else 1, or without end at a rate
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Keep writing at this rate and keep a ledger of what was acknowledged
    #[arg(long, value_name = "N/s")]
    pub rate: Option<Rate>,
    /// How large a made-up value is
    #[arg(long, value_name = "SIZE")]
    pub size: Option<Size>,
    /// The load's name, for `produce stop`; else the topic
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// Reads Kafka's `acks`: `all` (or `-1`), `1`, `0`.
pub fn acks(text: &str) -> Result<Acks, String> {
    match text {
        "all" | "-1" => Ok(Acks::All),
        "1" => Ok(Acks::Leader),
        "0" => Ok(Acks::None),
        _ => Err(format!("`{text}`: acks is all, 1 or 0")),
    }
}

/// Records to read.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Consume {
    /// The topic
    pub topic: String,
    /// Where to begin: earliest, latest, an offset, -10 (the last ten), 5m (the last five minutes) or a moment
    #[arg(long, value_name = "WHERE", default_value = "earliest", allow_hyphen_values = true)]
    pub from: From,
    /// Only this partition; may be given several times
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Vec<i32>,
    /// Stop after so many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max: Option<u64>,
    /// Wait for more at the end
    #[arg(long)]
    pub follow: bool,
    /// Whether as a member of a group.
    #[command(flatten)]
    pub membership: Membership,
}

/// How a reader is a member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[group(skip)]
pub struct Membership {
    /// Read as a member of this group: share the partitions with its other members, and commit what was read
    #[arg(long, value_name = "GROUP", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    #[arg(conflicts_with_all = ["from", "partition"], help_heading = "As a member of a group")]
    pub group: Option<String>,
    /// Where to begin in partitions for which the group has committed nothing
    #[arg(long, value_enum, value_name = "WHERE", default_value_t, requires = "group")]
    #[arg(help_heading = "As a member of a group")]
    pub reset: ResetTo,
    /// Be a static member of this name: it does not leave, and keeps its partitions if it comes back in time
    #[arg(long, value_name = "NAME", requires = "group", help_heading = "As a member of a group")]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub instance_id: Option<String>,
    /// After so long without a sign of life others get its partitions
    #[arg(long, value_name = "DURATION", default_value = "10s", requires = "group", value_parser = duration)]
    #[arg(help_heading = "As a member of a group")]
    pub session_timeout: Duration,
    /// Which protocol to be a member by
    #[arg(long, value_enum, value_name = "PROTOCOL", default_value_t, requires = "group")]
    #[arg(help_heading = "As a member of a group")]
    pub protocol: GroupProtocol,
}

impl Membership {
    /// The session timeout unless another is said.
    pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
}

impl Default for Membership {
    fn default() -> Membership {
        Membership {
            group: None,
            reset: ResetTo::default(),
            instance_id: None,
            session_timeout: Membership::SESSION_TIMEOUT,
            protocol: GroupProtocol::default(),
        }
    }
}

/// Where a member begins without a committed offset (`auto.offset.reset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ResetTo {
    /// At the first record there is
    #[default]
    Earliest,
    /// After the last record there is
    Latest,
    /// Nowhere: fail
    None,
}

/// How members of a group agree on who reads what (`group.protocol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum GroupProtocol {
    /// One member computes the assignment, and all join anew for another
    #[default]
    Classic,
    /// The coordinator decides, and each member moves there by itself (KIP-848)
    Consumer,
}
