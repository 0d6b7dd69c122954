//! The active controller on this broker: decisions go into the metadata log, and their replies wait until it is committed up to there
//! (Kafka's `ControllerWriteEvent` and its purgatory). It lives only while this broker leads the quorum; when it stops leading, every
//! waiting reply becomes NOT_CONTROLLER, and whoever asked asks the next controller.

use crate::engine::config::ClusterConfig;
use crate::engine::controller::image::MetadataImage;
use crate::engine::controller::record::MetadataRecord;
use crate::engine::controller::{Controller, ControllerEnv, ControllerReply, Decision};
use crate::engine::io::{Ctx, RequestToken, Wake};
use crate::engine::mutant::Mutant;
use crate::engine::quorum::Quorum;
use crate::protocol::codec::{Request, RequestHeader};
use crate::protocol::ids::BrokerId;
use crate::protocol::peer::PeerRequest;
use std::collections::BTreeMap;

/// Who waits for a controller's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// Another broker, for itself.
    Peer {
        /// Who.
        broker: BrokerId,
        /// Its request.
        correlation_id: u64,
    },
    /// Another broker, for a client of its own.
    PeerForward {
        /// Who.
        broker: BrokerId,
        /// Its request.
        correlation_id: u64,
    },
    /// A client of this broker.
    Client(RequestToken),
    /// This broker's own lifecycle.
    Lifecycle,
    /// This broker's own leaders.
    AlterPartition,
    /// This broker's own producer ids.
    ProducerIds,
    /// Nobody: a topic made because a client asked for its metadata.
    AutoCreate,
}

/// A reply that may go out.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// To whom.
    pub asker: Asker,
    /// What; `None` when this broker is not the controller any more.
    pub reply: Option<ControllerReply>,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct ActiveController {
    controller: Controller,
    /// By the offset that has to be committed first, in order of arrival.
    waiting: BTreeMap<(i64, u64), (Asker, ControllerReply)>,
    arrivals: u64,
}

impl ActiveController {
    /// This broker leads the quorum and has committed a record of its epoch: it begins to decide.
    pub fn activate(
        cx: &mut Ctx,
        quorum: &mut Quorum,
        image: MetadataImage,
        config: &ClusterConfig,
    ) -> ActiveController {
        let (controller, decision) = Controller::activate(image, &mut env(cx, quorum, config));
        let mut active = ActiveController { controller, waiting: BTreeMap::new(), arrivals: 0 };
        active.carry_out(cx, quorum, decision, None);
        active
    }

    /// Another broker's (or this broker's own) request.
    pub fn on_request(
        &mut self,
        cx: &mut Ctx,
        quorum: &mut Quorum,
        config: &ClusterConfig,
        from: BrokerId,
        asker: Asker,
        request: &PeerRequest,
    ) {
        let decision = self.controller.handle(&mut env(cx, quorum, config), from, request);
        self.carry_out(cx, quorum, decision, Some(asker));
    }

    /// A client's request.
    pub fn on_admin(
        &mut self,
        cx: &mut Ctx,
        quorum: &mut Quorum,
        config: &ClusterConfig,
        asker: Asker,
        header: &RequestHeader,
        request: &Request,
    ) {
        let decision = self.controller.admin(&mut env(cx, quorum, config), header, request);
        self.carry_out(cx, quorum, decision, Some(asker));
    }

    /// Lets time-driven decisions be made: sessions that expire, leaders out of balance.
    pub fn on_wake(&mut self, cx: &mut Ctx, quorum: &mut Quorum, config: &ClusterConfig) {
        if self.controller.next_wake().is_some_and(|wake| wake.at <= cx.now) {
            let decision = self.controller.tick(&mut env(cx, quorum, config));
            self.carry_out(cx, quorum, decision, None);
        }
    }

    fn carry_out(&mut self, cx: &mut Ctx, quorum: &mut Quorum, decision: Decision, asker: Option<Asker>) {
        for event in decision.events {
            cx.emit(event);
        }
        if !decision.records.is_empty() {
            self.append(cx, quorum, &decision.records);
        }
        let (Some(asker), Some(reply)) = (asker, decision.reply) else { return };
        let at_once = decision.answers_at_once || cx.has(Mutant::ControllerAnswersBeforeCommit);
        let after = if at_once { 0 } else { quorum.log_end() };
        self.arrivals += 1;
        self.waiting.insert((after, self.arrivals), (asker, reply));
    }

    fn append(&mut self, cx: &mut Ctx, quorum: &mut Quorum, records: &[MetadataRecord]) {
        // A leader that was deposed a moment ago decides nothing more; `abandon` follows in the same step.
        if let Ok(offsets) = quorum.append(cx, records) {
            self.controller.applied(offsets.start, quorum.epoch(), records);
        }
    }

    /// The replies whose records are committed.
    pub fn take_committed(&mut self, high_watermark: i64) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Some(entry) = self.waiting.first_entry() {
            if entry.key().0 > high_watermark {
                break;
            }
            let (asker, reply) = entry.remove();
            answers.push(Answer { asker, reply: Some(reply) });
        }
        answers
    }

    /// This broker leads no more: everyone who waits has to ask again elsewhere.
    pub fn abandon(self) -> Vec<Answer> {
        self.waiting.into_values().map(|(asker, _)| Answer { asker, reply: None }).collect()
    }

    /// How many replies wait for the metadata log.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// When it has something to decide.
    pub fn next_wake(&self) -> Option<Wake> {
        self.controller.next_wake()
    }
}

fn env<'a>(cx: &'a mut Ctx, quorum: &Quorum, config: &'a ClusterConfig) -> ControllerEnv<'a> {
    ControllerEnv {
        now: cx.now,
        next_offset: quorum.log_end(),
        epoch: quorum.epoch(),
        rng: cx.rng,
        config,
        committed: quorum.high_watermark(),
    }
}
