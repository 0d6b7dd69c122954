//! Commands as lines of the language.
//!
//! Invariant: the line parses to the same command. Defaults are left out; words a shell would take apart are quoted.
//!
//! Deliberately not here: how values are written (`values.rs`, `who.rs`, `predicate.rs`).

use super::values::{LinkSpec, Setting, duration_text};
use super::verbs::{
    BrokerCommand, ClockCommand, ClockSkew, ConfigCommand, Consume, DiskCommand, DropCommand, ElectCommand,
    GroupCommand, GroupProtocol, LinkCommand, Membership, MessageCommand, Produce, ProduceCommand, QuorumCommand,
    ReassignCommand, ResetTo, Switch, TopicCommand, TransactionCommand,
};
use super::{Command, Partition, values};
use crate::cluster::view::Acks;
use std::fmt;

/// A line under construction.
pub(super) struct Line {
    verb: String,
    /// Words without a flag, not yet quoted.
    words: Vec<String>,
    /// Flags and their values, quoted.
    flags: Vec<String>,
}

/// Quotes a word unless it is one for us and for a shell without it. The signs of predicates stay bare for their looks:
/// a shell is given `'alive >= 2'`.
fn quote(text: &str) -> String {
    let sign = matches!(text, "=" | "!=" | "<" | "<=" | ">" | ">=");
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,=+@%{}".contains(&byte);
    if sign || (!text.is_empty() && text.bytes().all(bare)) {
        return text.to_owned();
    }
    let quoted = shlex::Quoter::new().allow_nul(true).quote(text).map(std::borrow::Cow::into_owned);
    quoted.unwrap_or_else(|_| text.to_owned())
}

impl Line {
    pub(super) fn new(verb: &str) -> Line {
        Line { verb: verb.to_owned(), words: Vec::new(), flags: Vec::new() }
    }

    /// Words of a value that is written without quotes.
    pub(super) fn words(mut self, words: impl fmt::Display) -> Line {
        self.words.extend(words.to_string().split_whitespace().map(str::to_owned));
        self
    }

    /// One word of any text.
    pub(super) fn word(mut self, text: &str) -> Line {
        self.words.push(text.to_owned());
        self
    }

    /// A flag with a value of any text.
    pub(super) fn flag(mut self, flag: &str, value: impl fmt::Display) -> Line {
        let value = value.to_string();
        // What begins with a dash would be taken for another flag.
        let dashed = value.starts_with('-');
        self.flags.push(if dashed { quote(&format!("{flag}={value}")) } else { format!("{flag} {}", quote(&value)) });
        self
    }

    pub(super) fn optional(self, flag: &str, value: Option<impl fmt::Display>) -> Line {
        match value {
            Some(value) => self.flag(flag, value),
            None => self,
        }
    }

    fn each<T: fmt::Display>(self, flag: &str, values: &[T]) -> Line {
        values.iter().fold(self, |line, value| line.flag(flag, value))
    }

    fn switch(mut self, flag: &str, on: bool) -> Line {
        if on {
            self.flags.push(flag.to_owned());
        }
        self
    }

    fn partitions(self, partitions: &[Partition]) -> Line {
        partitions.iter().fold(self, |line, partition| line.word(&partition.to_string()))
    }

    /// The line. Words that look like flags go last, behind `--`.
    fn finish(self) -> String {
        // A skew is expected to begin with a dash.
        let dashed = self.verb != "clock skew" && self.words.iter().any(|word| word.starts_with('-'));
        let words = self.words.iter().map(|word| quote(word));
        let parts: Vec<String> = if dashed {
            self.flags.iter().cloned().chain(["--".to_owned()]).chain(words).collect()
        } else {
            words.chain(self.flags.iter().cloned()).collect()
        };
        parts.into_iter().fold(self.verb, |line, part| line + " " + &part)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&line(self).finish())
    }
}

fn line(command: &Command) -> Line {
    match command {
        Command::Stop { who } => Line::new("stop").words(who),
        Command::Kill { who } => Line::new("kill").words(who),
        Command::Powerloss { who } => Line::new("powerloss").words(who),
        Command::Wipe { who } => Line::new("wipe").words(who),
        Command::Suspend { who } => Line::new("suspend").words(who),
        Command::Resume { who } => Line::new("resume").words(who),
        Command::Start { who } => Line::new("start").words(who),
        Command::Restart { who } => Line::new("restart").words(who),
        Command::Broker(BrokerCommand::Add) => Line::new("broker add"),
        Command::Broker(BrokerCommand::Remove { who }) => Line::new("broker remove").words(who),
        Command::Broker(BrokerCommand::List) => Line::new("broker list"),
        Command::Pause => Line::new("pause"),
        Command::Run { far } => Line::new("run").words(far),
        Command::Step { count, back, message } => step(*count, *back, message.as_deref()),
        Command::Rewind { by, to, violation, end } => {
            let line = match by {
                Some(by) => Line::new("rewind").word(&values::duration_text(*by)),
                None => Line::new("rewind"),
            };
            line.optional("--to", to.map(values::duration_text)).switch("--violation", *violation).switch("--end", *end)
        }
        Command::Branch => Line::new("branch"),
        Command::Speed { speed } => Line::new("speed").words(speed),
        Command::Link(command) => link(command),
        Command::Drop(DropCommand::Next { traffic, broker, count }) => {
            let line = Line::new("drop next").words(traffic).optional("--broker", *broker);
            if *count == 1 { line } else { line.flag("--count", count) }
        }
        Command::Message(command) => message(command),
        Command::Break { api: Some(api), off } => Line::new("break").words(api).switch("--off", *off),
        Command::Break { api: None, off } => Line::new("break").switch("--off", *off),
        Command::Disk(command) => disk(command),
        Command::Clock(ClockCommand::Skew(ClockSkew { who, skew })) => Line::new("clock skew").words(who).words(skew),
        Command::Heal => Line::new("heal"),
        Command::Demo => Line::new("demo"),
        Command::Undo => Line::new("undo"),
        Command::Topic(command) => topic(command),
        Command::Config(command) => config(command),
        Command::Reassign(ReassignCommand::Start { partitions, to }) => {
            Line::new("reassign start").partitions(partitions).flag("--to", values::join_ids(to))
        }
        Command::Reassign(ReassignCommand::List) => Line::new("reassign list"),
        Command::Reassign(ReassignCommand::Cancel { partitions }) => {
            Line::new("reassign cancel").partitions(partitions)
        }
        Command::Elect(ElectCommand::Preferred { partitions }) => Line::new("elect preferred").partitions(partitions),
        Command::Elect(ElectCommand::Align) => Line::new("elect align"),
        Command::Elect(ElectCommand::Unclean { partitions }) => Line::new("elect unclean").partitions(partitions),
        Command::Group(command) => group(command),
        Command::Transaction(command) => transaction(command),
        Command::Quorum(QuorumCommand::Describe) => Line::new("quorum describe"),
        Command::Produce(ProduceCommand::Stop { name }) => {
            name.iter().fold(Line::new("produce stop"), |line, name| line.word(name))
        }
        Command::Produce(ProduceCommand::Records(records)) => produce(records),
        Command::Consume(command) => command.line(),
        Command::Wait { predicate, within } => {
            Line::new("wait").words(predicate).flag("--within", duration_text(*within))
        }
        Command::Expect { predicate } => Line::new("expect").words(predicate),
        Command::Theme { name } => Line::new("theme").word(name),
        Command::Mouse { state: Switch::On } => Line::new("mouse on"),
        Command::Mouse { state: Switch::Off } => Line::new("mouse off"),
        Command::Screenshot { file } => Line::new("screenshot").word(&file.to_string_lossy()),
        Command::Quit => Line::new("quit"),
    }
}

fn step(count: u64, back: bool, message: Option<&str>) -> Line {
    let line = if count == 1 { Line::new("step") } else { Line::new("step").word(&count.to_string()) };
    let line = line.switch("--back", back);
    match message {
        Some("") => line.switch("--message", true),
        words => line.optional("--message", words),
    }
}

fn message(command: &MessageCommand) -> Line {
    match command {
        MessageCommand::Deliver { id } => Line::new("message deliver").words(id),
        MessageCommand::Drop { id } => Line::new("message drop").words(id),
        MessageCommand::Delay { id, by } => Line::new("message delay").words(id).word(&values::duration_text(*by)),
    }
}

fn link(command: &LinkCommand) -> Line {
    let line = |verb: &str, link: &LinkSpec| Line::new("link").words(verb).words(link);
    match command {
        LinkCommand::Cut { link } => line("cut", link),
        LinkCommand::Delay { link, by, jitter } => {
            line("delay", link).words(duration_text(*by)).optional("--jitter", jitter.map(duration_text))
        }
        LinkCommand::Lose { link, share } => line("lose", link).words(share),
        LinkCommand::Hold { link } => line("hold", link),
        LinkCommand::Release { link } => line("release", link),
        LinkCommand::Throttle { link, rate } => line("throttle", link).words(rate),
        LinkCommand::Heal { link } => line("heal", link),
    }
}

fn disk(command: &DiskCommand) -> Line {
    match command {
        DiskCommand::Slow { who, by } => Line::new("disk slow").words(who).words(duration_text(*by)),
        DiskCommand::Full { who } => Line::new("disk full").words(who),
        DiskCommand::Fail { who } => Line::new("disk fail").words(who),
        DiskCommand::Corrupt { who, partition, offset } => Line::new("disk corrupt")
            .words(who)
            .optional("--partition", partition.as_ref())
            .optional("--offset", *offset),
        DiskCommand::Heal { who } => Line::new("disk heal").words(who),
    }
}

fn topic(command: &TopicCommand) -> Line {
    match command {
        TopicCommand::List { internal } => Line::new("topic list").switch("--internal", *internal),
        TopicCommand::Describe { name } => Line::new("topic describe").word(name),
        TopicCommand::Create { name, partitions, replicas, assignment, config } => Line::new("topic create")
            .word(name)
            .optional("--partitions", *partitions)
            .optional("--replicas", *replicas)
            .optional("--assignment", assignment.as_ref())
            .each("--config", config),
        TopicCommand::Alter { name, partitions, config } => {
            Line::new("topic alter").word(name).optional("--partitions", *partitions).each("--config", config)
        }
        TopicCommand::Delete { name } => Line::new("topic delete").word(name),
        TopicCommand::DeleteRecords { partition, before } => {
            Line::new("topic delete-records").word(&partition.to_string()).optional("--before", *before)
        }
    }
}

fn group(command: &GroupCommand) -> Line {
    match command {
        GroupCommand::List => Line::new("group list"),
        GroupCommand::Describe { name } => Line::new("group describe").word(name),
        GroupCommand::Reset { name, topic, to, execute } => {
            Line::new("group reset").word(name).word(topic).flag("--to", to).switch("--execute", *execute)
        }
        GroupCommand::Delete { name } => Line::new("group delete").word(name),
    }
}

fn transaction(command: &TransactionCommand) -> Line {
    match command {
        TransactionCommand::List => Line::new("transaction list"),
        TransactionCommand::Describe { name } => Line::new("transaction describe").word(name),
        TransactionCommand::Abort { name: Some(name), .. } => Line::new("transaction abort").word(name),
        TransactionCommand::Abort { name: None, partition, start_offset } => Line::new("transaction abort")
            .optional("--partition", partition.as_ref())
            .optional("--start-offset", *start_offset),
    }
}

fn config(command: &ConfigCommand) -> Line {
    match command {
        ConfigCommand::Describe { entity, all } => Line::new("config describe").words(entity).switch("--all", *all),
        ConfigCommand::Alter { entity, set, delete } => {
            Line::new("config alter").words(entity).each("--set", set).each("--delete", delete)
        }
    }
}

fn produce(records: &Produce) -> Line {
    let Produce { topic, value, tombstone, key, header, partition, acks, load } = records;
    let acks: Option<&str> = match acks {
        Acks::All => None,
        Acks::Leader => Some("1"),
        Acks::None => Some("0"),
    };
    Line::new("produce")
        .word(topic)
        .optional("--key", key.as_ref())
        .optional("--value", value.as_ref())
        .switch("--tombstone", *tombstone)
        .each::<Setting>("--header", header)
        .optional("--partition", *partition)
        .optional("--rate", load.rate)
        .optional("--count", load.count)
        .optional("--size", load.size)
        .optional("--acks", acks)
        .optional("--name", load.name.as_ref())
}

pub(super) fn consume(command: &Consume) -> Line {
    let Consume { topic, from, partition, max, follow, membership } = command;
    let from = (*from != values::From::Earliest).then_some(from);
    let line = Line::new("consume")
        .word(topic)
        .optional("--from", from)
        .each("--partition", partition)
        .optional("--max", *max)
        .switch("--follow", *follow);
    let Membership { group: Some(group), reset, instance_id, session_timeout, protocol } = membership else {
        return line;
    };
    let reset = match reset {
        ResetTo::Earliest => None,
        ResetTo::Latest => Some("latest"),
        ResetTo::None => Some("none"),
    };
    let protocol = match protocol {
        GroupProtocol::Classic => None,
        GroupProtocol::Consumer => Some("consumer"),
    };
    let session_timeout =
        (*session_timeout != Membership::SESSION_TIMEOUT).then(|| values::duration_text(*session_timeout));
    line.flag("--group", group)
        .optional("--reset", reset)
        .optional("--instance-id", instance_id.as_ref())
        .optional("--session-timeout", session_timeout)
        .optional("--protocol", protocol)
}
