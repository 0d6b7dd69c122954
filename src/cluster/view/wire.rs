//! Messages as the console shows them: who sent what to whom, when, and what became of it.
//!
//! Invariants: the list is bounded by the host's ring, oldest first; ids rise with the time of sending and stay from picture to picture.
//! Bytes and fields are told for one message only.
//!
//! Deliberately not here: recording (`cluster::wire`), and how anything looks.

use super::BrokerId;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// What the console wants to see of messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WireRequest {
    /// The message wanted in detail; the newest if there is no such message.
    pub selected: Option<u64>,
    /// Heartbeats and fetches that bring nothing too.
    pub routine: bool,
    /// Words that all have to fit, ignoring case: part of an API's name, a client's name or a summary, a broker's number, `error`, `routine` (for
    /// heartbeats and fetches that bring nothing too), or any of them after `!` for those that must not. Empty: everything.
    pub filter: String,
}

/// One end of a message's way. Clients come before brokers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum WireEnd {
    /// A client, by the name it gives itself.
    Client(Arc<str>),
    /// A broker.
    Broker(BrokerId),
}

impl fmt::Display for WireEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireEnd::Client(name) => f.write_str(name),
            WireEnd::Broker(id) => write!(f, "broker {id}"),
        }
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireState {
    /// It is on its way; when it arrives if nothing comes in between, in microseconds of the host's time, where that is known.
    InFlight(Option<u64>),
    /// A link holds it.
    Held,
    /// It arrived, at this time in microseconds.
    Delivered(u64),
    /// It never arrives, for this reason; since this time in microseconds.
    Dropped(u64, &'static str),
}

impl WireState {
    /// Whether it may still arrive.
    pub fn is_under_way(self) -> bool {
        matches!(self, WireState::InFlight(_) | WireState::Held)
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireMessage {
    /// Rises with the time of sending.
    pub id: u64,
    /// When it was sent, in microseconds of the host's time.
    pub sent_us: u64,
    /// Who sent it.
    pub from: WireEnd,
    /// Whom it is for.
    pub to: WireEnd,
    /// Kafka's name of the API.
    pub api: &'static str,
    /// The API's version; `None` between brokers, whose messages are typed.
    pub version: Option<i16>,
    /// Pairs an answer with its question on one connection.
    pub correlation_id: u64,
    /// An answer, or a question.
    pub is_response: bool,
    /// How many bytes it is on a wire, about as many where it never was bytes.
    pub size: u64,
    /// A few words: `Produce orders-0`.
    pub summary: Arc<str>,
    /// Kafka's name of the first error in it.
    pub error: Option<&'static str>,
    /// What became of it.
    pub state: WireState,
    /// So many messages before it are not shown.
    pub hidden_before: u32,
}

/// One field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireField {
    /// Its name.
    pub name: String,
    /// Its value; nothing for what has fields of its own.
    pub value: String,
    /// How deep it lies.
    pub depth: usize,
    /// What the value means, in a word or two; nothing where it speaks for itself.
    pub note: String,
    /// Where it lies in the bytes; `None` where the message never was bytes.
    pub range: Option<Range<usize>>,
}

/// A message's contents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WireDetail {
    /// Which message.
    pub id: u64,
    /// Its fields, header first, as many as a console can show.
    pub fields: Vec<WireField>,
    /// How many fields were left out.
    pub left_out: usize,
    /// Its first bytes; none where it never was bytes.
    pub bytes: Vec<u8>,
    /// What such a message is for, in a sentence.
    pub meaning: &'static str,
}

/// The messages at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WireView {
    /// The moment, in microseconds of the host's time.
    pub at_us: u64,
    /// Those that the request lets through, oldest first.
    pub messages: Vec<WireMessage>,
    /// How many the ring holds.
    pub recorded: usize,
    /// How many were not recorded, because more were sent than there was room for between two looks.
    pub lost: u64,
    /// The selected one's contents.
    pub detail: Option<WireDetail>,
    /// What will be sent next if nothing else fails, from a copy of the simulated world; only while its time stands still.
    pub following: Vec<WireMessage>,
    /// The APIs at whose messages time stands still.
    pub breaks: Vec<&'static str>,
}

impl WireView {
    /// Leaves what was known at a moment of the past, in microseconds: what was sent by then, and what had arrived.
    pub fn go_back(&mut self, at_us: u64) {
        self.at_us = at_us;
        self.messages.retain(|message| message.sent_us <= at_us);
        for message in &mut self.messages {
            match message.state {
                WireState::Delivered(then_us) if then_us > at_us => message.state = WireState::InFlight(Some(then_us)),
                WireState::Dropped(then_us, _) if then_us > at_us => message.state = WireState::InFlight(None),
                _ => {}
            }
        }
        let messages = &self.messages;
        self.detail.take_if(|detail| messages.iter().all(|message| message.id != detail.id));
    }
}
