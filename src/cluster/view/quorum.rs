//! The metadata quorum as the console shows it.
//!
//! Invariants: its size depends on the number of brokers alone; lists of votes, terms and records are the newest of rings.
//!
//! Deliberately not here: how anything looks.

use super::{BrokerId, NextWake};

/// The quorum at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QuorumView {
    /// The highest epoch that any voter is in.
    pub epoch: i32,
    /// How many votes make a majority.
    pub needed: usize,
    /// The highest high watermark that anybody knows: everything before it is committed.
    pub committed: i64,
    /// The voters by id, then the observers by id.
    pub replicas: Vec<QuorumReplica>,
    /// Whoever stands now; else those who stood in the present epoch.
    pub ballots: Vec<Ballot>,
    /// The last votes that were asked for, the newest first.
    pub answers: Vec<VoteNote>,
    /// Requests of the quorum that are under way, elections first.
    pub messages: Vec<QuorumMessage>,
    /// Who led when, the oldest first.
    pub terms: Vec<Term>,
    /// The newest records of the metadata log, the newest first.
    pub records: Vec<MetadataLine>,
}

/// What a broker does in the quorum (Kafka's `QuorumState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum QuorumStanding {
    /// Nothing is known of it yet.
    #[default]
    Unknown,
    /// Leads: the active controller.
    Leader,
    /// Follows the leader and votes.
    Follower,
    /// Reads the log and does not vote.
    Observer,
    /// Knows of no leader.
    Unattached,
    /// Asks whether it would be elected (KIP-996).
    Prospective,
    /// Asks for votes.
    Candidate,
    /// Has led this epoch and does no more.
    Resigned,
}

/// Whether the others can hear a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Reach {
    /// It talks to a majority of the voters, itself included.
    #[default]
    Majority,
    /// It runs, and too few voters run or can be reached.
    Few,
    /// It is frozen.
    Frozen,
    /// Its process is gone.
    Down,
}

/// One broker's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumReplica {
    /// Which broker.
    pub broker: BrokerId,
    /// Whether it votes.
    pub is_voter: bool,
    /// What it does, or did last.
    pub standing: QuorumStanding,
    /// Whether it can be heard.
    pub reach: Reach,
    /// Links to other voters that are cut.
    pub cut_from: Vec<BrokerId>,
    /// Its epoch.
    pub epoch: i32,
    /// The leader it knows.
    pub leader: Option<BrokerId>,
    /// Whom it voted for in its epoch.
    pub voted_for: Option<BrokerId>,
    /// The first offset of its log.
    pub log_start: i64,
    /// The offset after its last record.
    pub log_end: i64,
    /// The high watermark that it knows.
    pub high_watermark: i64,
    /// The newest epochs of its log, each with its first offset.
    pub epochs: Vec<(i32, i64)>,
    /// Where its log parts from the leader's, if it does: everything from there on will be cut.
    pub cut_at: Option<i64>,
    /// Records of the leader that it does not have; `None` while nobody leads.
    pub behind: Option<u64>,
    /// The end of its latest snapshot of the metadata.
    pub snapshot_end: Option<i64>,
    /// Candidacies in a row that came to nothing.
    pub failed_elections: u32,
    /// When it stands, gives up or resigns if nothing comes in between.
    pub timer: Option<NextWake>,
    /// When it fetched from the leader last, as the leader saw it.
    pub fetched_ms: Option<u64>,
}

impl QuorumReplica {
    /// A broker that has told nothing yet.
    pub fn unheard(broker: BrokerId, is_voter: bool, reach: Reach) -> QuorumReplica {
        QuorumReplica {
            broker,
            is_voter,
            standing: QuorumStanding::Unknown,
            reach,
            cut_from: Vec::new(),
            epoch: 0,
            leader: None,
            voted_for: None,
            log_start: 0,
            log_end: 0,
            high_watermark: 0,
            epochs: Vec::new(),
            cut_at: None,
            behind: None,
            snapshot_end: None,
            failed_elections: 0,
            timer: None,
            fetched_ms: None,
        }
    }

    /// Records of its log that are not committed.
    pub fn uncommitted(&self, committed: i64) -> u64 {
        u64::try_from(self.log_end - committed).unwrap_or(0)
    }

    /// The epoch of the record at an offset of its log.
    pub fn epoch_at(&self, offset: i64) -> Option<i32> {
        if !(self.log_start..self.log_end).contains(&offset) {
            return None;
        }
        self.epochs.iter().rev().find(|(_, first)| *first <= offset).map(|(epoch, _)| *epoch)
    }
}

/// Someone who stands or stood, and what each voter says to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ballot {
    /// Who.
    pub candidate: BrokerId,
    /// The epoch it would lead.
    pub epoch: i32,
    /// It only asks what the answers would be (KIP-996).
    pub is_pre_vote: bool,
    /// It leads.
    pub is_won: bool,
    /// The voters by id: the candidate among them.
    pub votes: Vec<(BrokerId, Vote)>,
}

impl Ballot {
    /// How many votes it has.
    pub fn granted(&self) -> usize {
        self.votes.iter().filter(|(_, vote)| *vote == Vote::Granted).count()
    }
}

/// What a voter says to a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vote {
    /// Yes.
    Granted,
    /// The request is under way.
    Asked,
    /// Nothing: it has not been asked, or the answer is no longer known.
    Open,
    /// No, for this reason: `it chose 3`.
    Refused(String),
    /// Nothing: it is gone, or cannot be reached: `down`, `link is cut`.
    Silent(&'static str),
}

/// A vote that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoteNote {
    /// When.
    pub at_ms: u64,
    /// In which epoch it would lead.
    pub epoch: i32,
    /// Who asked.
    pub candidate: BrokerId,
    /// Whom.
    pub voter: BrokerId,
    /// It was only asked what the answer would be.
    pub is_pre_vote: bool,
    /// Why not; `None`: the vote was given.
    pub refusal: Option<String>,
}

/// A request of the quorum that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumMessage {
    /// Who asks.
    pub from: BrokerId,
    /// Whom.
    pub to: BrokerId,
    /// Its name: `Vote`.
    pub name: &'static str,
    /// What it says: `epoch 12, log end 4,417`.
    pub detail: String,
    /// Why no answer will come: `link is cut`.
    pub lost: Option<&'static str>,
}

/// Who led in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// The epoch.
    pub epoch: i32,
    /// Who led.
    pub leader: BrokerId,
    /// Since when.
    pub from_ms: u64,
    /// Until when; `None`: it still does.
    pub until_ms: Option<u64>,
}

/// A record of the metadata log in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataLine {
    /// Its offset.
    pub offset: i64,
    /// The epoch of the leader that wrote it.
    pub epoch: i32,
    /// When it was first heard of.
    pub at_ms: u64,
    /// What it says: `orders-0 led by 3, ISR 3,1`.
    pub text: String,
    /// Whether a majority has it.
    pub is_committed: bool,
}

/// Why the quorum cannot decide, or is about to: there is no leader, or the one there is cannot reach a majority.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contest {
    /// The epoch that is contested.
    pub epoch: i32,
    /// How many voters there are.
    pub voters: usize,
    /// How many make a majority.
    pub needed: usize,
    /// How many run.
    pub up: usize,
    /// The largest number of voters that can talk to each other.
    pub reachable: usize,
    /// Whoever leads and cannot reach a majority, and when it resigns.
    pub cut_off: Option<(BrokerId, Option<u64>)>,
    /// Whoever stands: the broker, its votes, and whether they are pre-votes; most votes first.
    pub standing: Vec<(BrokerId, usize, bool)>,
    /// The votes of the epoch are split so that nobody can win it: how many each candidate has.
    pub split: Option<Vec<(BrokerId, usize)>>,
    /// When the next voter stands, if one will.
    pub next: Option<(BrokerId, u64)>,
}
