//! [`ClusterPort`]: the only way from the console to a cluster, and the data that passes through it.
//!
//! Invariants: no call blocks for longer than it takes to copy what was asked for; commands, records and their
//! results pass as data, answered later by [`ClusterPort::replies`] and [`ClusterPort::poll_tail`]; a command is a
//! line of the one command language, never a method of its own.
//!
//! Deliberately not here: parsing of the language (`cluster::command`), drawing, and the hosts themselves.

use super::{ClusterView, Turn, ViewRequest};
use crate::cluster::demo::Deeds;
use crate::cluster::query::Query;
use std::sync::Arc;

/// A cluster as the console sees it: live, simulated or attached.
pub trait ClusterPort {
    /// The cluster as it is now (or at [`ViewRequest::at_ms`]). Called at most 30 times a second.
    fn view(&mut self, want: &ViewRequest) -> Arc<ClusterView>;

    /// What has changed since the last `view`. Cheap: asked every few milliseconds.
    fn changed(&mut self) -> Change;

    /// Starts a line of the command language. Errors of grammar come back as a reply too.
    fn submit(&mut self, line: &str) -> CommandId;

    /// Everything answered since the last call, oldest first.
    fn replies(&mut self) -> Vec<CommandReply>;

    /// What the line would do if it ran now, told from the live state: `Killing 3 now leaves 1 of 3 voters: no
    /// controller until one returns.` `None` when there is nothing worth saying. The line may be incomplete.
    fn consequence(&self, line: &str) -> Option<Consequence>;

    /// The line that undoes it, if one does: `start 3` for `kill 3`.
    fn undo_of(&self, line: &str) -> Option<String>;

    /// What can stand at the end of `line`, live values included. The line may be empty.
    fn complete(&self, line: &str) -> Completion;

    /// Every command there is, in the order of the manual.
    fn commands(&self) -> &[CommandDoc];

    /// What was done so far, to be saved as a demo.
    ///
    /// # Errors
    /// If the host does not remember it, in words.
    fn deeds(&self) -> Result<Deeds, String> {
        Err("this cluster does not remember what was done".to_owned())
    }

    /// At most `limit` topics whose name contains `containing`, by name, internal ones last.
    fn topics(&self, containing: &str, limit: usize) -> Vec<TopicSummary>;

    /// Sends records by hand. Answered in [`ClusterPort::replies`].
    fn produce(&mut self, draft: &ProduceDraft) -> CommandId;

    /// Starts reading a topic as a consumer without a group would.
    fn open_reader(&mut self, want: &ReadRequest) -> TailId;

    /// Starts reading a whole topic.
    fn open_tail(&mut self, topic: &str, from: TailFrom) -> TailId {
        self.open_reader(&ReadRequest { topic: topic.to_owned(), from, ..ReadRequest::default() })
    }

    /// Records that arrived since the last call, at most `limit`.
    fn poll_tail(&mut self, tail: TailId, limit: usize) -> TailBatch;

    /// Ends a tail. Unknown ids are ignored.
    fn close_tail(&mut self, tail: TailId);

    /// The reader of a lesson does something. It is about the story, not about the cluster, so it is no command; hosts without a lesson
    /// ([`ClusterView::lesson`]) ignore it.
    fn turn(&mut self, _turn: Turn) {}
}

/// What has changed since the last view, for the rate of drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// Offsets, rates and clocks only.
    Progress,
    /// Facts: states, leaders, ISRs, replies.
    Facts,
}

/// Names a submitted command until its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommandId(pub u64);

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandReply {
    /// Which command.
    pub id: CommandId,
    /// The line as it was run.
    pub line: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a command. A command sends any number of `Progress` and exactly one of the others, last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It still runs: `3 of 6 partitions moved`.
    Progress(String),
    /// It is done.
    Done {
        /// One sentence: `Broker 2 is dead. 3 partitions have new leaders.`
        summary: String,
        /// Its output, line by line, if it has any (`topic list`).
        output: Vec<String>,
    },
    /// It failed and nothing changed, or the reason says what did.
    Failed {
        /// What failed and who holds it.
        reason: String,
        /// What to do next. Empty when there is nothing.
        next: String,
    },
}

/// What a command would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consequence {
    /// Whether it costs something.
    pub weight: Weight,
    /// One or two sentences.
    pub text: String,
}

/// How heavy a consequence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Nothing gets worse.
    Harmless,
    /// Something waits, or one copy fewer.
    Notice,
    /// Something stops working or is lost.
    Severe,
    /// It cannot run now; the text says why.
    Refused,
}

/// One command of the language.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandDoc {
    /// The words before its arguments: `topic create`.
    pub name: String,
    /// `topic create NAME [--partitions N] [--replicas N]`.
    pub usage: String,
    /// A few words: `stop a broker at once`.
    pub summary: String,
    /// The full text, plain, paragraphs apart by an empty line.
    pub long: String,
    /// A line that works: `kill leader of orders-0`.
    pub example: String,
    /// Names of commands to see as well.
    pub see_also: Vec<String>,
    /// Its arguments and flags.
    pub arguments: Vec<ArgumentDoc>,
    /// It destroys what cannot be brought back: the console asks first.
    pub destructive: bool,
}

/// An argument or a flag of a command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArgumentDoc {
    /// `WHO`, `--after`.
    pub name: String,
    /// What it means, or examples of values.
    pub help: String,
}

/// What can stand at the end of an unfinished line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completion {
    /// Byte offset in the line from which a value replaces the text.
    pub from: usize,
    /// Name of the argument that stands there: `WHO`. Empty while a command's own words are typed.
    pub argument: String,
    /// The values, best first.
    pub values: Vec<CompletionValue>,
}

/// A value for an argument.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CompletionValue {
    /// What is typed.
    pub text: String,
    /// Its state in a word or two: `already dead`, `leads 8`.
    pub note: String,
    /// It would be refused now.
    pub refused: bool,
}

/// A topic, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSummary {
    /// Its name.
    pub name: Arc<str>,
    /// Number of partitions.
    pub partitions: u32,
    /// Replication factor.
    pub replicas: u32,
    /// Kafka's own (`__consumer_offsets`).
    pub internal: bool,
}

/// Records to send by hand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProduceDraft {
    /// The topic.
    pub topic: String,
    /// A partition, or by key and else in turn.
    pub partition: Option<i32>,
    /// The key; `None` for no key (which is not the same as an empty one).
    pub key: Option<String>,
    /// The value; `None` for a tombstone.
    pub value: Option<String>,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// How many acknowledgements to wait for.
    pub acks: Acks,
    /// How many times to send it.
    pub count: u32,
}

/// Kafka's `acks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Acks {
    /// `acks=0`: send and forget.
    None,
    /// `acks=1`: the leader has it.
    Leader,
    /// `acks=all`: every in-sync replica has it.
    #[default]
    All,
}

/// Where a tail begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TailFrom {
    /// With what comes from now on.
    #[default]
    End,
    /// With the oldest record kept.
    Start,
    /// So many records before the end of each partition.
    Last(u32),
    /// At an offset, or the first one kept after it.
    Offset(i64),
    /// At the first record of this timestamp or a later one, in milliseconds since 1970 UTC.
    Time(i64),
}

impl TailFrom {
    /// Whether it is read from here on, and not what comes last that counts: then nothing is left out however slowly it is polled.
    pub fn is_browsed(self) -> bool {
        matches!(self, TailFrom::Start | TailFrom::Offset(_) | TailFrom::Time(_))
    }
}

/// What is to be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadRequest {
    /// The topic.
    pub topic: String,
    /// Where to begin.
    pub from: TailFrom,
    /// Which partitions; all if empty.
    pub partitions: Vec<i32>,
    /// Which records.
    pub query: Query,
}

/// Names an open tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TailId(pub u64);

/// What a tail has to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TailBatch {
    /// New records in the order of their arrival.
    pub records: Vec<TailRecord>,
    /// Why nothing comes: `orders-0 has no leader`. Empty while all is well.
    pub problem: String,
    /// Records left out because they came faster than they were polled.
    pub skipped: u64,
    /// Records that were looked at since the last call, whether they were wanted or not.
    pub read: u64,
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TailRecord {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Its timestamp, milliseconds since 1970 UTC.
    pub timestamp_ms: i64,
    /// The key, if it has one, as text; bytes that are no UTF-8 are shown as `\xNN`.
    pub key: Option<String>,
    /// The value, or `None` for a tombstone.
    pub value: Option<String>,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The leader epoch of its batch; −1 where the answer did not say.
    pub leader_epoch: i32,
    /// Key or value hold bytes that are no text: what is shown cannot be sent again.
    pub is_binary: bool,
}
