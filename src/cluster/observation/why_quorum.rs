//! Why the metadata quorum is as it is: what took the controller away, who stands, who refuses, and what happens next.
//!
//! Invariant: as in `why`: what has happened is told as it was seen, and what is expected says so.

use super::Observer;
use crate::cluster::command::values::join_ids;
use crate::cluster::view::{Contest, EventKind, Vote, Why, WhyStep};
use crate::protocol::ids::BrokerId;

impl Observer {
    /// Why there is this controller, or none.
    pub(super) fn why_quorum(&self) -> Why {
        let Some(contest) = self.contest() else { return self.why_elected() };
        let lost = self.controller_lost;
        let (question, from) = match (&contest.cut_off, &contest.split) {
            (Some((leader, _)), _) => {
                let trouble = self.facts.trouble_of(*leader).or_else(|| self.facts.newest_cut());
                (format!("Why can controller {leader} decide nothing?"), trouble.map(|fact| fact.event))
            }
            (None, _) if contest.reachable < contest.needed => ("Why can no controller be elected?".to_owned(), lost),
            (None, Some(_)) => (format!("Why did nobody win epoch {}?", contest.epoch), lost),
            (None, None) => ("Why is there no controller?".to_owned(), lost),
        };
        let mut why = self.answer(question, from, None);
        why.steps.extend(self.contest_steps(&contest));
        why
    }

    fn step_now(&self, kind: EventKind, text: String) -> WhyStep {
        WhyStep { at_ms: self.moment.at_ms, kind, text, expected: false }
    }

    fn contest_steps(&self, contest: &Contest) -> Vec<WhyStep> {
        let mut steps = Vec::new();
        let Contest { voters, needed, up, reachable, .. } = contest;
        if reachable < needed {
            let who = if up < needed {
                format!("{up} of {voters} voters run")
            } else {
                format!("No more than {reachable} of {voters} voters can talk to each other")
            };
            let text = format!("{who}, and a majority is {needed}: no record can be committed and nobody elected.");
            steps.push(self.step_now(EventKind::ControllerLost, text));
        }
        if let Some(split) = &contest.split {
            let told: Vec<String> = split.iter().map(|(broker, votes)| format!("{votes} for {broker}")).collect();
            let text =
                format!("Each voter votes once an epoch. In this one: {}; {needed} are needed.", told.join(", "));
            steps.push(self.step_now(EventKind::ControllerLost, text));
        }
        for ballot in self.ballots(&self.voters()).iter().filter(|ballot| !ballot.is_won).take(2) {
            let refused = ballot.votes.iter().filter_map(|(voter, vote)| match vote {
                Vote::Refused(why) => Some(format!("{voter} refuses: {why}")),
                Vote::Silent(why) => Some(format!("{voter} does not answer: {why}")),
                Vote::Granted | Vote::Asked | Vote::Open => None,
            });
            let refused: Vec<String> = refused.collect();
            let what = if ballot.is_pre_vote { "asks whether it would win" } else { "stands for" };
            let mut text = format!(
                "Broker {} {what} epoch {} and has {} of {needed} votes.",
                ballot.candidate,
                ballot.epoch,
                ballot.granted()
            );
            if !refused.is_empty() {
                text.push_str(&format!(" {}.", refused.join("; ")));
            }
            steps.push(self.step_now(EventKind::CandidateStands, text));
        }
        let expected = |at_ms, text| WhyStep { at_ms, kind: EventKind::CandidateStands, text, expected: true };
        if let Some((leader, Some(at_ms))) = contest.cut_off {
            let text = format!("If nothing changes, {leader} resigns: a majority has not fetched from it.");
            steps.push(expected(at_ms, text));
        }
        match contest.next {
            Some((broker, at_ms)) if reachable >= needed => {
                let text = format!("If nobody wins before, {broker} asks for votes next.");
                steps.push(expected(at_ms, text));
            }
            _ if reachable < needed => {
                let text = "A controller is elected as soon as a majority of the voters runs and can talk.".to_owned();
                steps.push(expected(self.moment.at_ms, text));
            }
            _ => {}
        }
        steps
    }

    fn why_elected(&self) -> Why {
        let Some(controller) = self.controller else {
            return self.answer("Who are the voters?".to_owned(), None, None);
        };
        let mut why = self.answer(format!("Why is {controller} the controller?"), self.quorum.elected, None);
        let ballots = self.ballots(&self.voters());
        if let Some(won) = ballots.iter().find(|ballot| ballot.candidate == controller) {
            let granted = won.votes.iter().filter(|(_, vote)| *vote == Vote::Granted).map(|(voter, _)| *voter);
            let granted: Vec<BrokerId> = granted.collect();
            let text = format!("It has the votes of {} in epoch {}.", join_ids(&granted), won.epoch);
            let at_ms = self.quorum.led_since_ms(controller).unwrap_or(self.moment.at_ms);
            why.steps.push(WhyStep { at_ms, kind: EventKind::ControllerElected, text, expected: false });
        }
        why
    }
}
