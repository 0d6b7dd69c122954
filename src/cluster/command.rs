//! THE command language: everything a user, a demo, a program or a test may say to a cluster.
//!
//! One closed [`Command`], parsed once (from a line or from words), executed once (by whoever implements [`Execute`])
//! and documented once ([`catalogue()`]: `?`, `--help`, the manual page and the palette print the same text).
//!
//! Invariants: a [`Command`] written with `Display` parses to the same command; every verb has a summary, a consequence
//! and an example that parses (tested); a verb that does not exist is answered with the nearest one that does.
//!
//! Deliberately not here: what a command does (the hosts), and the program's own arguments (`cli`).

mod catalogue;
mod complete;
mod consume;
mod display;
mod line;
pub mod predicate;
mod reply;
#[cfg(test)]
mod tests;
pub mod values;
mod verbs;
pub mod who;
mod words;

pub use catalogue::{catalogue, document, grammar};
pub use complete::{Names, complete};
pub use consume::{ConsumeCommand, Join};
pub use line::{ParseError, parse_line, parse_words, split_words};
pub use predicate::Predicate;
pub use reply::{Execute, Reply};
pub use values::Partition;
pub use verbs::{
    BrokerCommand, ClockCommand, ClockSkew, ConfigCommand, ConfigEntity, Consume, Direction, DiskCommand, DropCommand,
    ElectCommand, Far, GroupCommand, GroupProtocol, LinkCommand, Load, Membership, MessageCommand, Produce,
    ProduceCommand, QuorumCommand, ReassignCommand, ResetTo, Switch, TopicCommand, Traffic, TransactionCommand, acks,
};
pub use who::{Who, pin};

use clap::Subcommand;
use std::time::Duration;
use values::{MessageApi, Speed};

/// One command. The comments of the verbs are their summaries in every help text.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub enum Command {
    /// Shut a broker down in order
    Stop {
        /// Which brokers.
        #[command(flatten)]
        who: Who,
    },
    /// End a broker's process at once, like kill -9
    Kill {
        /// Which brokers.
        #[command(flatten)]
        who: Who,
    },
    /// Cut a broker's power
    Powerloss {
        /// Which brokers.
        #[command(flatten)]
        who: Who,
    },
    /// Replace a broker's disk by an empty one
    Wipe {
        /// Which brokers.
        #[command(flatten)]
        who: Who,
    },
    /// Freeze a broker, like SIGSTOP
    Suspend {
        /// Which brokers.
        #[command(flatten)]
        who: Who,
    },
    /// Let a suspended broker go on
    Resume {
        /// Which brokers.
        #[command(flatten)]
        who: Who,
    },
    /// Start a broker that is down
    Start {
        /// Which brokers.
        #[command(flatten)]
        who: Who,
    },
    /// Stop a broker in order and start it again; start it if it is down
    Restart {
        /// Which brokers.
        #[command(flatten)]
        who: Who,
    },
    /// Add, remove and list brokers
    #[command(subcommand, visible_alias = "brokers")]
    Broker(BrokerCommand),
    /// Stop the cluster's time
    Pause,
    /// Let the cluster's time go on; in a simulated world also for so long, or until something is true
    Run {
        /// How far.
        #[command(flatten)]
        far: Far,
    },
    /// Let single happenings of a simulated world happen, or take them back
    Step {
        /// How many
        #[arg(value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        count: u64,
        /// Back instead of on
        #[arg(long, conflicts_with = "message")]
        back: bool,
        /// On until a message arrives that the words fit, as the Wire screen filters
        #[arg(long, value_name = "WORDS", num_args = 0..=1, default_missing_value = "")]
        message: Option<String>,
    },
    /// Go back in a simulated world's time, or to a moment of it
    #[command(group = clap::ArgGroup::new("where").args(["by", "to", "violation", "end"]).required(true))]
    Rewind {
        /// So far back
        #[arg(value_name = "DURATION", value_parser = values::duration)]
        by: Option<Duration>,
        /// To so long after the world's beginning
        #[arg(long, value_name = "DURATION", value_parser = values::duration)]
        to: Option<Duration>,
        /// To the first broken rule, running on to find it
        #[arg(long)]
        violation: bool,
        /// To the latest moment that was seen
        #[arg(long)]
        end: bool,
    },
    /// Forget what came after this moment of a simulated world: another line of history begins
    Branch,
    /// Slow the cluster's time down
    Speed {
        /// 1 is real time, 0.1 ten times slower
        speed: Speed,
    },
    /// Break and mend links between brokers
    #[command(subcommand, visible_alias = "links")]
    Link(LinkCommand),
    /// Drop single messages
    #[command(subcommand)]
    Drop(DropCommand),
    /// Deliver, drop or delay a message that is under way in a simulated world
    #[command(subcommand)]
    Message(MessageCommand),
    /// Stand still when a message of an API is sent in a simulated world
    Break {
        /// Which API; none with --off: all of them
        #[arg(value_name = "API", required_unless_present = "off")]
        api: Option<MessageApi>,
        /// No longer
        #[arg(long)]
        off: bool,
    },
    /// Make disks slow, full or corrupt
    #[command(subcommand, visible_alias = "disks")]
    Disk(DiskCommand),
    /// Set clocks wrong
    #[command(subcommand, visible_alias = "clocks")]
    Clock(ClockCommand),
    /// End every fault
    Heal,
    /// Take the last fault or intervention back
    Undo,
    /// List, describe, create, alter and delete topics
    #[command(subcommand, visible_alias = "topics")]
    Topic(TopicCommand),
    /// Show and change the settings of topics and brokers
    #[command(subcommand, visible_alias = "configs")]
    Config(ConfigCommand),
    /// Move partitions to other brokers
    #[command(subcommand)]
    Reassign(ReassignCommand),
    /// Elect leaders by hand
    #[command(subcommand)]
    Elect(ElectCommand),
    /// Look at the metadata quorum
    #[command(subcommand)]
    Quorum(QuorumCommand),
    /// List, describe, reset and delete consumer groups
    #[command(subcommand, visible_alias = "groups")]
    Group(GroupCommand),
    /// List, describe and abort transactions
    #[command(subcommand, visible_alias = "transactions")]
    Transaction(TransactionCommand),
    /// Write records, once or as a steady load
    Produce(ProduceCommand),
    /// Read records, once or as a member of a group that stays
    Consume(ConsumeCommand),
    /// Start the demo workload: a stream of orders and a group of two readers
    Demo,
    /// Wait until something is true
    Wait {
        /// What has to be true.
        #[command(flatten)]
        predicate: Predicate,
        /// How long to wait for it, in real time
        #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::duration)]
        within: Duration,
    },
    /// Fail unless something is true now
    Expect {
        /// What has to be true.
        #[command(flatten)]
        predicate: Predicate,
    },
    /// Change the console's colours
    Theme {
        /// dark, light, high-contrast or mono
        name: String,
    },
    /// Let the console take the mouse, or leave it to the terminal
    Mouse {
        /// on or off
        state: Switch,
    },
    /// Write what the console shows to a file
    Screenshot {
        /// The file: .svg, .txt or .ans
        file: std::path::PathBuf,
    },
    /// Leave the console and stop what it started
    #[command(visible_aliases = ["q", "exit"])]
    Quit,
}

impl Command {
    /// Whether the command is about the console itself: no host executes it.
    pub fn is_console_local(&self) -> bool {
        matches!(self, Command::Theme { .. } | Command::Mouse { .. } | Command::Screenshot { .. } | Command::Quit)
    }

    /// Whether the command has to wait for the cluster to do something, and so fails while time is paused.
    pub fn needs_time(&self) -> bool {
        match self {
            Command::Stop { .. }
            | Command::Start { .. }
            | Command::Restart { .. }
            | Command::Consume(ConsumeCommand::Records(_) | ConsumeCommand::Join(_))
            | Command::Demo
            | Command::Elect(_)
            | Command::Wait { .. } => true,
            Command::Produce(produce) => !matches!(produce, ProduceCommand::Stop { .. }),
            Command::Topic(topic) => !matches!(topic, TopicCommand::List { .. } | TopicCommand::Describe { .. }),
            Command::Config(config) => matches!(config, ConfigCommand::Alter { .. }),
            Command::Reassign(reassign) => !matches!(reassign, ReassignCommand::List),
            Command::Broker(broker) => !matches!(broker, BrokerCommand::List),
            _ => false,
        }
    }

    /// Whether the command only asks: it may be given again and again, and changes nothing.
    pub fn is_question(&self) -> bool {
        match self {
            Command::Expect { .. } | Command::Quorum(_) => true,
            Command::Broker(broker) => matches!(broker, BrokerCommand::List),
            Command::Topic(topic) => matches!(topic, TopicCommand::List { .. } | TopicCommand::Describe { .. }),
            Command::Config(config) => !matches!(config, ConfigCommand::Alter { .. }),
            Command::Reassign(reassign) => matches!(reassign, ReassignCommand::List),
            Command::Transaction(transaction) => !matches!(transaction, TransactionCommand::Abort { .. }),
            _ => false,
        }
    }

    /// What the command destroys cannot be brought back by another one: the console asks first.
    pub fn is_destructive(&self) -> bool {
        match self {
            Command::Powerloss { .. } | Command::Wipe { .. } => true,
            Command::Broker(broker) => matches!(broker, BrokerCommand::Remove { .. }),
            Command::Disk(disk) => matches!(disk, DiskCommand::Corrupt { .. }),
            Command::Topic(topic) => matches!(topic, TopicCommand::Delete { .. } | TopicCommand::DeleteRecords { .. }),
            Command::Elect(elect) => matches!(elect, ElectCommand::Unclean { .. }),
            Command::Group(group) => group.changes(),
            Command::Transaction(transaction) => matches!(transaction, TransactionCommand::Abort { .. }),
            _ => false,
        }
    }

    /// The command that takes this one back, where the command alone says it. What was before a change (a setting, a
    /// replica list) only the host knows.
    pub fn undo(&self) -> Option<Command> {
        match self {
            Command::Stop { who } | Command::Kill { who } | Command::Powerloss { who } => match who {
                Who::Ids(_) => Some(Command::Start { who: who.clone() }),
                // Who led or controlled then no longer does: only the host knows whom to start.
                Who::LeaderOf(_) | Who::Controller | Who::CoordinatorOf(_) | Who::Killed => None,
            },
            Command::Suspend { who: who @ Who::Ids(_) } => Some(Command::Resume { who: who.clone() }),
            Command::Resume { who: who @ Who::Ids(_) } => Some(Command::Suspend { who: who.clone() }),
            Command::Pause => Some(Command::Run { far: Far::On }),
            Command::Run { far: Far::On } => Some(Command::Pause),
            Command::Link(link) => match link {
                LinkCommand::Heal { .. } => None,
                LinkCommand::Hold { link } => Some(Command::Link(LinkCommand::Release { link: link.clone() })),
                other => Some(Command::Link(LinkCommand::Heal { link: other.link().clone() })),
            },
            Command::Disk(DiskCommand::Slow { who, .. } | DiskCommand::Full { who } | DiskCommand::Fail { who }) => {
                Some(Command::Disk(DiskCommand::Heal { who: who.clone() }))
            }
            Command::Clock(ClockCommand::Skew(ClockSkew { who, .. })) => {
                let skew = values::Skew { millis: 0 };
                Some(Command::Clock(ClockCommand::Skew(ClockSkew { who: who.clone(), skew })))
            }
            Command::Produce(ProduceCommand::Records(Produce { topic, load, .. })) if load.rate.is_some() => {
                let name = load.name.clone().unwrap_or_else(|| topic.clone());
                Some(Command::Produce(ProduceCommand::Stop { name: Some(name) }))
            }
            Command::Consume(consume) => consume.undo().map(Command::Consume),
            Command::Demo => Some(Command::Produce(ProduceCommand::Stop { name: Some("demo".to_owned()) })),
            Command::Break { api: Some(api), off } => Some(Command::Break { api: Some(*api), off: !off }),
            _ => None,
        }
    }
}
