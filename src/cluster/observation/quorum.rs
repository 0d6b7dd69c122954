//! The metadata quorum, put together from what its members tell and from the links that are cut.
//!
//! Invariants: costs what there are brokers, whatever else exists; records and terms are rings. A broker that is gone keeps what it
//! said last. Whether two brokers hear each other is what the host's faults say, never a guess.
//!
//! Deliberately not here: records in words (`record_words`), the chain of causes (`why_quorum`).

use super::Observer;
use super::broker::Broker;
use super::record_words::{Names, words};
use crate::cluster::view::{
    Ballot, BrokerState, Contest, FaultKind, MetadataLine, NextWake, QuorumMessage, QuorumReplica, QuorumStanding,
    QuorumView, Reach, Term, Vote, VoteNote,
};
use crate::engine::observe::{BrokerSnapshot, EventId, QuorumRole, QuorumSnapshot};
use crate::engine::quorum::{QuorumRequest, RecentRecord, VoteAnswer, VoteRefusal};
use crate::protocol::ids::BrokerId;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::why::grouped;

/// So many records are kept in words.
const RECORDS_MAX: usize = 64;
/// So many terms are remembered.
const TERMS_MAX: usize = 64;
/// So many votes are told.
const ANSWERS_MAX: usize = 32;

#[derive(Debug, Clone)]
struct Line {
    epoch: i32,
    at_ms: u64,
    text: String,
    /// It was told with the metadata that it is part of: names are known.
    is_final: bool,
}

/// What is remembered beyond the last snapshots.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    records: Arc<BTreeMap<i64, Line>>,
    terms: Arc<Vec<Term>>,
    /// The event that told of the last election.
    pub(super) elected: Option<EventId>,
}

impl Memory {
    /// What this takes in memory beyond what it shares with another, words about.
    pub(super) fn bytes_beyond(&self, other: &Memory) -> usize {
        let records = if Arc::ptr_eq(&self.records, &other.records) { 0 } else { self.records.len() * 160 };
        let terms = if Arc::ptr_eq(&self.terms, &other.terms) { 0 } else { self.terms.capacity() * size_of::<Term>() };
        records + terms
    }

    /// Takes in the records that a broker knows.
    fn hear_records(&mut self, at_ms: u64, quorum: &QuorumSnapshot, applied: i64, names: Names<'_>) {
        let is_known = |one: &RecentRecord| {
            let known = self.records.get(&one.offset);
            known.is_some_and(|known| known.epoch >= one.epoch && (known.is_final || one.offset >= applied))
        };
        let is_old = |one: &RecentRecord| {
            self.records.len() >= RECORDS_MAX && self.records.keys().next().is_some_and(|first| one.offset < *first)
        };
        if quorum.recent.iter().all(|one| is_known(one) || is_old(one)) {
            return;
        }
        let records = Arc::make_mut(&mut self.records);
        for one in &quorum.recent {
            let is_final = one.offset < applied;
            match records.get_mut(&one.offset) {
                Some(known) if known.epoch > one.epoch => {}
                Some(known) if known.epoch == one.epoch => {
                    if is_final && !known.is_final {
                        (known.text, known.is_final) = (words(&one.record, names), true);
                    }
                }
                _ => {
                    let line = Line { epoch: one.epoch, at_ms, text: words(&one.record, names), is_final };
                    records.insert(one.offset, line);
                }
            }
        }
        while records.len() > RECORDS_MAX {
            records.pop_first();
        }
    }

    /// A broker leads.
    fn leads(&mut self, leader: BrokerId, epoch: i32, at_ms: u64) {
        let place = self.terms.partition_point(|term| term.epoch < epoch);
        if self.terms.get(place).is_some_and(|term| term.epoch == epoch) {
            return;
        }
        let terms = Arc::make_mut(&mut self.terms);
        for term in &mut terms[..place] {
            term.until_ms = Some(term.until_ms.unwrap_or(at_ms).min(at_ms));
        }
        let until_ms = terms.get(place).map(|next| next.from_ms);
        terms.insert(place, Term { epoch, leader, from_ms: at_ms, until_ms });
        if terms.len() > TERMS_MAX {
            terms.remove(0);
        }
    }

    /// A broker leads no more.
    pub(super) fn ended(&mut self, leader: BrokerId, at_ms: u64) {
        let last = self.terms.iter().rposition(|term| term.leader == leader);
        if let Some(last) = last.filter(|last| self.terms[*last].until_ms.is_none()) {
            Arc::make_mut(&mut self.terms)[last].until_ms = Some(at_ms);
        }
    }

    /// An event tells that a broker's role is another one.
    pub(super) fn turned(&mut self, event: EventId, at_ms: u64, from: QuorumRole, to: QuorumRole, epoch: i32) {
        if to == QuorumRole::Leader {
            self.elected = Some(event);
            self.leads(event.broker, epoch, at_ms);
        } else if from == QuorumRole::Leader {
            self.ended(event.broker, at_ms);
        }
    }

    /// Since when a broker leads.
    pub(super) fn led_since_ms(&self, leader: BrokerId) -> Option<u64> {
        self.terms.last().filter(|term| term.leader == leader).map(|term| term.from_ms)
    }
}

/// Whether a broker's process does its part.
fn runs(broker: &Broker) -> bool {
    broker.state.answers() || (broker.state == BrokerState::Starting && broker.host_state == BrokerState::Running)
}

fn standing(role: QuorumRole) -> QuorumStanding {
    match role {
        QuorumRole::Unattached => QuorumStanding::Unattached,
        QuorumRole::Prospective => QuorumStanding::Prospective,
        QuorumRole::Candidate => QuorumStanding::Candidate,
        QuorumRole::Follower => QuorumStanding::Follower,
        QuorumRole::Observer => QuorumStanding::Observer,
        QuorumRole::Leader => QuorumStanding::Leader,
        QuorumRole::Resigned => QuorumStanding::Resigned,
    }
}

/// The epoch that a vote is about: a pre-vote asks for the one after.
fn contested(epoch: i32, is_pre_vote: bool) -> i32 {
    epoch + i32::from(is_pre_vote)
}

fn refusal_words(refusal: VoteRefusal, candidate: BrokerId, voter: BrokerId) -> String {
    match refusal {
        VoteRefusal::OtherDirectory => "its disk is another one now".to_owned(),
        VoteRefusal::NotAVoter => format!("{candidate} is no voter"),
        VoteRefusal::StaleEpoch { epoch } => format!("it is in epoch {epoch} already"),
        VoteRefusal::LogBehind { theirs, ours } if theirs.0 == ours.0 => {
            format!("its log is longer: {} against {}", grouped(ours.1), grouped(theirs.1))
        }
        VoteRefusal::LogBehind { theirs, ours } => {
            format!("its log is newer: epoch {} against {}", ours.0, theirs.0)
        }
        VoteRefusal::VotedFor(other) if other == voter => "it chose itself".to_owned(),
        VoteRefusal::VotedFor(other) => format!("it chose {other}"),
        VoteRefusal::HasLeader(leader) if leader == voter => "it leads itself".to_owned(),
        VoteRefusal::HasLeader(leader) => format!("it hears leader {leader}"),
    }
}

/// Where a log parts from the leader's.
fn parts_at(log: &QuorumReplica, leader: &QuorumReplica) -> Option<i64> {
    let from = log.log_start.max(leader.log_start);
    let until = log.log_end.min(leader.log_end);
    let firsts = log.epochs.iter().chain(&leader.epochs).map(|(_, first)| *first);
    let mut bounds: Vec<i64> = firsts.chain([from]).filter(|at| (from..until).contains(at)).collect();
    bounds.sort_unstable();
    let differs = |at: &i64| match (log.epoch_at(*at), leader.epoch_at(*at)) {
        (Some(ours), Some(theirs)) => ours != theirs,
        // Older than what is told of either.
        _ => false,
    };
    bounds.into_iter().find(differs).or((log.log_end > leader.log_end).then_some(leader.log_end.max(log.log_start)))
}

impl Observer {
    /// Takes in what a broker says of the quorum. Called before its metadata is adopted.
    pub(super) fn hear_of_quorum(&mut self, snapshot: &BrokerSnapshot) {
        let (quorum, at_ms) = (&snapshot.quorum, snapshot.at.as_millis());
        let names = Names { images: [&snapshot.image, &self.image], beside: &quorum.recent };
        self.quorum.hear_records(at_ms, quorum, snapshot.image.end_offset, names);
        if quorum.role == QuorumRole::Leader {
            self.quorum.leads(snapshot.broker, quorum.epoch, at_ms);
        } else {
            self.quorum.ended(snapshot.broker, at_ms);
        }
    }

    fn is_cut(&self, one: BrokerId, other: BrokerId) -> bool {
        let cut = self.faults.iter().filter(|fault| fault.active.kind == FaultKind::Cut);
        cut.into_iter().any(|fault| fault.active.links.iter().any(|link| [(one, other), (other, one)].contains(link)))
    }

    /// How many voters a broker can talk to, itself included if it votes.
    fn hears(&self, one: BrokerId, voters: &[BrokerId]) -> usize {
        let is_heard = |other: &&BrokerId| {
            **other == one || (self.brokers.get(other).is_some_and(runs) && !self.is_cut(one, **other))
        };
        voters.iter().filter(is_heard).count()
    }

    fn reach(&self, broker: &Broker, voters: &[BrokerId]) -> Reach {
        // An observer is none of the majority: it needs to reach the leader alone, and is told by what it lacks.
        match &broker.state {
            BrokerState::Suspended => Reach::Frozen,
            _ if !runs(broker) => Reach::Down,
            _ if self.hears(broker.id, voters) > voters.len() / 2 => Reach::Majority,
            _ => Reach::Few,
        }
    }

    fn replica(&self, broker: &Broker, voters: &[BrokerId]) -> QuorumReplica {
        let cut_from = voters.iter().filter(|voter| **voter != broker.id && self.is_cut(broker.id, **voter));
        let replica = QuorumReplica {
            cut_from: cut_from.copied().collect(),
            ..QuorumReplica::unheard(broker.id, voters.contains(&broker.id), self.reach(broker, voters))
        };
        let Some(known) = &broker.quorum else { return replica };
        let leader = self.controller.and_then(|leader| self.known(leader));
        let fetched = leader.and_then(|leader| leader.followers.iter().find(|(id, ..)| *id == broker.id));
        let timer = known.timer.filter(|_| runs(broker));
        QuorumReplica {
            standing: standing(known.role),
            epoch: known.epoch,
            leader: known.leader,
            voted_for: known.voted_for,
            log_start: known.log_start,
            log_end: known.log_end,
            high_watermark: known.high_watermark,
            epochs: known.epochs.clone(),
            snapshot_end: known.snapshot_end,
            failed_elections: known.failed_elections,
            timer: timer.map(|timer| NextWake { at_ms: timer.at.as_millis(), why: timer.why.to_owned() }),
            fetched_ms: fetched.map(|(_, _, at)| at.as_millis()),
            ..replica
        }
    }

    /// The quorum for the console.
    pub(super) fn quorum_view(&self) -> QuorumView {
        let voters = self.voters();
        let mut replicas: Vec<QuorumReplica> =
            self.brokers.values().map(|broker| self.replica(broker, &voters)).collect();
        replicas.sort_by_key(|replica| (!replica.is_voter, replica.broker));
        if let Some(leader) = replicas.iter().find(|replica| Some(replica.broker) == self.controller).cloned() {
            for replica in replicas.iter_mut().filter(|replica| replica.standing != QuorumStanding::Unknown) {
                replica.cut_at = parts_at(replica, &leader).filter(|_| replica.broker != leader.broker);
                let shared = replica.cut_at.unwrap_or(replica.log_end);
                replica.behind = u64::try_from(leader.log_end - shared).ok();
            }
        }
        let committed = replicas.iter().map(|replica| replica.high_watermark).max().unwrap_or(0);
        QuorumView {
            epoch: self.quorum_epoch(&voters),
            needed: voters.len() / 2 + 1,
            committed,
            ballots: self.ballots(&voters),
            answers: self.vote_notes(),
            messages: self.quorum_messages(),
            terms: self.quorum.terms.to_vec(),
            records: self.metadata_lines(&replicas, committed),
            replicas,
        }
    }

    fn known(&self, broker: BrokerId) -> Option<&QuorumSnapshot> {
        self.brokers.get(&broker)?.quorum.as_deref()
    }

    fn quorum_epoch(&self, voters: &[BrokerId]) -> i32 {
        voters.iter().filter_map(|voter| self.known(*voter)).map(|known| known.epoch).max().unwrap_or(0)
    }

    fn metadata_lines(&self, replicas: &[QuorumReplica], committed: i64) -> Vec<MetadataLine> {
        // What a deposed leader wrote and nobody took over is gone with its tail.
        let is_held =
            |(offset, line): &(&i64, &Line)| replicas.iter().any(|log| log.epoch_at(**offset) == Some(line.epoch));
        let told = |(offset, line): (&i64, &Line)| MetadataLine {
            offset: *offset,
            epoch: line.epoch,
            at_ms: line.at_ms,
            text: line.text.clone(),
            is_committed: *offset < committed,
        };
        self.quorum.records.iter().rev().filter(|line| *line.0 < committed || is_held(line)).map(told).collect()
    }

    /// Whoever stands now, by epoch and votes.
    fn nominees(&self, voters: &[BrokerId]) -> Vec<(&Broker, &QuorumSnapshot)> {
        let known = voters.iter().filter_map(|voter| self.brokers.get(voter)).filter(|broker| runs(broker));
        let mut nominees: Vec<(&Broker, &QuorumSnapshot)> = known
            .filter_map(|broker| Some((broker, broker.quorum.as_deref()?)))
            .filter(|(_, known)| matches!(known.role, QuorumRole::Candidate | QuorumRole::Prospective))
            .collect();
        nominees.sort_by_key(|(broker, known)| std::cmp::Reverse((known.epoch, known.votes_granted.len(), broker.id)));
        nominees
    }

    pub(super) fn ballots(&self, voters: &[BrokerId]) -> Vec<Ballot> {
        let standing = self.nominees(voters);
        if !standing.is_empty() {
            return standing.into_iter().map(|(broker, known)| self.open_ballot(broker.id, known, voters)).collect();
        }
        let epoch = self.quorum_epoch(voters);
        let votes = self.tally(voters, epoch);
        let ballot = |candidate: BrokerId| Ballot {
            candidate,
            epoch,
            is_pre_vote: false,
            is_won: self.quorum.terms.iter().any(|term| (term.epoch, term.leader) == (epoch, candidate)),
            votes: voters.iter().map(|voter| (*voter, self.past_vote(*voter, candidate, epoch))).collect(),
        };
        votes.into_iter().map(|(candidate, _)| ballot(candidate)).collect()
    }

    fn open_ballot(&self, candidate: BrokerId, known: &QuorumSnapshot, voters: &[BrokerId]) -> Ballot {
        let is_pre_vote = known.role == QuorumRole::Prospective;
        let vote = |voter: BrokerId| {
            let is_asked = known.requests.iter().any(|(to, request)| {
                *to == voter && matches!(request, QuorumRequest::Vote { epoch, .. } if *epoch == known.epoch)
            });
            if known.votes_granted.contains(&voter) {
                Vote::Granted
            } else if known.votes_refused.contains(&voter) {
                Vote::Refused(self.reason(candidate, voter, known.epoch, is_pre_vote))
            } else if let Some(why) = self.silence(candidate, voter) {
                Vote::Silent(why)
            } else if is_asked {
                Vote::Asked
            } else {
                Vote::Open
            }
        };
        Ballot {
            candidate,
            epoch: contested(known.epoch, is_pre_vote),
            is_pre_vote,
            is_won: false,
            votes: voters.iter().map(|voter| (*voter, vote(*voter))).collect(),
        }
    }

    /// Why no answer will come.
    fn silence(&self, from: BrokerId, to: BrokerId) -> Option<&'static str> {
        let broker = self.brokers.get(&to)?;
        match &broker.state {
            BrokerState::Suspended => Some("suspended"),
            _ if !runs(broker) => Some("down"),
            _ if from != to && self.is_cut(from, to) => Some("link is cut"),
            _ => None,
        }
    }

    /// Why a voter said no, by its own account.
    fn reason(&self, candidate: BrokerId, voter: BrokerId, epoch: i32, is_pre_vote: bool) -> String {
        let is_it = |answer: &&VoteAnswer| {
            (answer.candidate, answer.epoch, answer.is_pre_vote) == (candidate, epoch, is_pre_vote)
        };
        let answer = self.known(voter).and_then(|known| known.answers.iter().rev().find(is_it));
        let refusal = answer.and_then(|answer| answer.refusal);
        refusal.map_or_else(|| "refused".to_owned(), |refusal| refusal_words(refusal, candidate, voter))
    }

    /// The votes that were given in an epoch, most first.
    fn tally(&self, voters: &[BrokerId], epoch: i32) -> Vec<(BrokerId, usize)> {
        let mut votes: BTreeMap<BrokerId, usize> = BTreeMap::new();
        for known in voters.iter().filter_map(|voter| self.known(*voter)).filter(|known| known.epoch == epoch) {
            if let Some(candidate) = known.voted_for {
                *votes.entry(candidate).or_default() += 1;
            }
        }
        let mut votes: Vec<_> = votes.into_iter().collect();
        votes.sort_by_key(|(candidate, votes)| (std::cmp::Reverse(*votes), *candidate));
        votes
    }

    fn past_vote(&self, voter: BrokerId, candidate: BrokerId, epoch: i32) -> Vote {
        let known = self.known(voter).filter(|known| known.epoch == epoch);
        match known.map(|known| known.voted_for) {
            Some(Some(other)) if other == candidate => Vote::Granted,
            Some(Some(other)) if other == voter => Vote::Refused("it chose itself".to_owned()),
            Some(Some(other)) => Vote::Refused(format!("it chose {other}")),
            // It follows without having voted.
            Some(None) => Vote::Open,
            None => self.silence(candidate, voter).map_or(Vote::Open, Vote::Silent),
        }
    }

    fn vote_notes(&self) -> Vec<VoteNote> {
        let told = |voter: BrokerId, answer: &VoteAnswer| VoteNote {
            at_ms: answer.at.as_millis(),
            epoch: contested(answer.epoch, answer.is_pre_vote),
            candidate: answer.candidate,
            voter,
            is_pre_vote: answer.is_pre_vote,
            refusal: answer.refusal.map(|refusal| refusal_words(refusal, answer.candidate, voter)),
        };
        let known = self.brokers.values().filter_map(|broker| Some((broker.id, broker.quorum.as_ref()?)));
        let mut notes: Vec<VoteNote> =
            known.flat_map(|(voter, known)| known.answers.iter().map(move |answer| told(voter, answer))).collect();
        notes.sort_by_key(|note| (std::cmp::Reverse(note.at_ms), note.voter));
        notes.truncate(ANSWERS_MAX);
        notes
    }

    fn quorum_messages(&self) -> Vec<QuorumMessage> {
        let mut messages = Vec::new();
        for broker in self.brokers.values().filter(|broker| runs(broker)) {
            let Some(known) = &broker.quorum else { continue };
            for (to, request) in &known.requests {
                let (name, detail) = match request {
                    QuorumRequest::Vote { epoch, is_pre_vote } => {
                        let name = if *is_pre_vote { "PreVote" } else { "Vote" };
                        let epoch = contested(*epoch, *is_pre_vote);
                        (name, format!("epoch {epoch}, log end {}", grouped(known.log_end)))
                    }
                    QuorumRequest::Begin => ("BeginEpoch", format!("leads epoch {}", known.epoch)),
                    QuorumRequest::End => ("EndEpoch", format!("leads epoch {} no more", known.epoch)),
                    QuorumRequest::Fetch { offset } => ("Fetch", format!("from {}", grouped(*offset))),
                    QuorumRequest::Snapshot => ("Snapshot", "its log begins too late".to_owned()),
                };
                let lost = self.silence(broker.id, *to);
                messages.push((request, QuorumMessage { from: broker.id, to: *to, name, detail, lost }));
            }
        }
        messages.sort_by_key(|(request, message)| (**request, message.from, message.to));
        let mut messages: Vec<QuorumMessage> = messages.into_iter().map(|(_, message)| message).collect();
        // Asked again before the first was given up.
        messages.dedup();
        messages
    }

    /// Why the quorum cannot decide now; `None` while it can.
    pub(super) fn contest(&self) -> Option<Contest> {
        let voters = self.voters();
        let needed = voters.len() / 2 + 1;
        let controller = self.controller.and_then(|leader| self.brokers.get(&leader));
        let cut_off = controller.filter(|broker| self.hears(broker.id, &voters) < needed);
        if voters.is_empty() || (controller.is_some() && cut_off.is_none()) {
            return None;
        }
        let up: Vec<&Broker> =
            voters.iter().filter_map(|voter| self.brokers.get(voter)).filter(|broker| runs(broker)).collect();
        let reachable = up.iter().map(|broker| self.hears(broker.id, &voters)).max().unwrap_or(0);
        let nominees = self.nominees(&voters);
        let epoch = self.quorum_epoch(&voters);
        let timer = |broker: &Broker| broker.quorum.as_ref()?.timer.map(|timer| timer.at.as_millis());
        let others = up.iter().filter(|broker| cut_off.is_none_or(|leader| leader.id != broker.id));
        let next = others.filter_map(|broker| Some((timer(broker)?, broker.id))).min();
        Some(Contest {
            epoch: nominees
                .first()
                .map_or(epoch, |(_, known)| contested(known.epoch, known.role == QuorumRole::Prospective).max(epoch)),
            voters: voters.len(),
            needed,
            up: up.len(),
            reachable,
            cut_off: cut_off.map(|leader| (leader.id, timer(leader))),
            standing: nominees
                .iter()
                .map(|(broker, known)| (broker.id, known.votes_granted.len(), known.role == QuorumRole::Prospective))
                .collect(),
            split: self.split(&voters, epoch, needed, &up),
            next: next.map(|(at_ms, broker)| (broker, at_ms)),
        })
    }

    /// The votes of an epoch, if nobody can win it any more.
    fn split(&self, voters: &[BrokerId], epoch: i32, needed: usize, up: &[&Broker]) -> Option<Vec<(BrokerId, usize)>> {
        let tally = self.tally(voters, epoch);
        let has_voted = |broker: &&&Broker| {
            broker.quorum.as_ref().is_some_and(|known| known.epoch == epoch && known.voted_for.is_some())
        };
        let undecided = up.len() - up.iter().filter(has_voted).count();
        let most = tally.first().map_or(0, |(_, votes)| *votes);
        let has_leader = self.quorum.terms.iter().any(|term| term.epoch == epoch);
        (tally.len() > 1 && most + undecided < needed && !has_leader).then_some(tally)
    }
}
