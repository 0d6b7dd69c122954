//! A decision about a consumer group while it is made (KIP-848): what the group looks like so far, and the records that
//! say so. Nothing of it is in force before the records are appended.
//!
//! The steps are those of Kafka's `GroupMetadataManager`: a change of members, subscriptions or topics raises the group's
//! epoch; the targets follow it; each member goes to its target when it shows itself.

use crate::engine::config::ClusterConfig;
use crate::engine::controller::image::MetadataImage;
use crate::engine::group::consumer::assignor::{Assignor, Candidate};
use crate::engine::group::consumer::image::ConsumerImage;
use crate::engine::group::consumer::reconcile::Step;
use crate::engine::group::consumer::record::{
    ConsumerMember, ConsumerRecord, Current, GroupEpoch, Partitions, ResolvedRegex,
};
use crate::engine::group::consumer::regex;
use crate::engine::group::record::GroupRecord;
use crate::engine::mutant::Mutant;
use crate::protocol::error::ErrorCode;
use crate::protocol::ids::TopicId;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a client is told instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind.
    pub error: ErrorCode,
    /// In words.
    pub message: String,
}

impl Refusal {
    /// With words.
    pub fn new(error: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { error, message: message.into() }
    }
}

/// What a decision may know of the world.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// What all brokers have in common.
    pub config: &'a ClusterConfig,
    /// The topics.
    pub metadata: &'a MetadataImage,
    /// Wall time, in milliseconds, for what is written.
    pub wall_ms: i64,
}

/// See the module.
#[derive(Debug)]
pub struct Draft<'a> {
    group: Arc<str>,
    world: World<'a>,
    image: Cow<'a, ConsumerImage>,
    records: Vec<GroupRecord>,
}

impl<'a> Draft<'a> {
    /// Nothing is decided yet.
    pub fn new(group: &Arc<str>, world: World<'a>, image: Cow<'a, ConsumerImage>) -> Draft<'a> {
        Draft { group: Arc::clone(group), world, image, records: Vec::new() }
    }

    /// The group as it would be.
    pub fn image(&self) -> &ConsumerImage {
        &self.image
    }

    /// What the decision may know of the world.
    pub fn world(&self) -> World<'a> {
        self.world
    }

    /// What was decided.
    pub fn into_records(self) -> Vec<GroupRecord> {
        self.records
    }

    /// Decides something.
    pub fn push(&mut self, record: ConsumerRecord) {
        self.image.to_mut().apply(&record);
        self.records.push(GroupRecord::Consumer { group: Arc::clone(&self.group), record });
    }

    /// The classic group of the same name ends.
    pub fn end_classic(&mut self) {
        self.records.push(GroupRecord::Group { group: Arc::clone(&self.group), value: None });
    }

    /// A member is as told from now on. Whether that changes what the group subscribes to, or who is in it.
    pub fn subscribe(&mut self, id: &Arc<str>, member: ConsumerMember) -> bool {
        let before = self.image.member(id);
        if before.is_some_and(|before| **before == member) {
            return false;
        }
        let has_changed = before.is_none_or(|before| before.topics != member.topics || before.regex != member.regex);
        self.push(ConsumerRecord::Member(Arc::clone(id), Some(member)));
        has_changed
    }

    /// A member is gone, with all that it had.
    pub fn remove(&mut self, id: &Arc<str>) {
        self.push(ConsumerRecord::Current(Arc::clone(id), None));
        self.push(ConsumerRecord::Target(Arc::clone(id), None));
        self.push(ConsumerRecord::Member(Arc::clone(id), None));
    }

    /// A static member has another id from now on, and begins anew with what it had (KIP-345).
    pub fn replace(&mut self, old: &Arc<str>, new: &Arc<str>) {
        let Some(member) = self.image.member(old).map(|member| (**member).clone()) else { return };
        let (target, current) = (self.image.target(old), self.image.current(old));
        self.remove(old);
        self.push(ConsumerRecord::Member(Arc::clone(new), Some(member)));
        self.push(ConsumerRecord::Target(Arc::clone(new), Some(target)));
        let current = Current { epoch: 0, previous_epoch: 0, ..current };
        self.push(ConsumerRecord::Current(Arc::clone(new), Some(current)));
    }

    /// Looks at the topics again: what regular expressions match, and which partitions there are. The group's epoch
    /// rises if they have changed, or if something else of it `has_changed`. Whether it does.
    ///
    /// # Errors
    /// `INVALID_REGULAR_EXPRESSION`.
    pub fn look_at_topics(&mut self, has_changed: bool) -> Result<bool, Refusal> {
        self.settle_regexes()?;
        let metadata_hash = self.metadata_hash();
        let rises = has_changed || metadata_hash != self.image.metadata_hash();
        if rises {
            let epoch = self.image.epoch() + 1;
            self.push(ConsumerRecord::Epoch(Some(GroupEpoch { epoch, metadata_hash })));
        }
        Ok(rises)
    }

    /// Expressions that are used are resolved, others forgotten.
    fn settle_regexes(&mut self) -> Result<(), Refusal> {
        let used: BTreeSet<Arc<str>> =
            self.image.members().filter_map(|(_, member)| member.regex.as_ref()).map(Arc::clone).collect();
        let unused: Vec<Arc<str>> =
            self.image.regexes().map(|(regex, _)| regex).filter(|regex| !used.contains(*regex)).cloned().collect();
        for regex in unused {
            self.push(ConsumerRecord::Regex(regex, None));
        }
        let version = self.world.metadata.end_offset - 1;
        for expression in used {
            let before = self.image.regex(&expression);
            if before.is_some_and(|before| before.version == version) {
                continue;
            }
            let topics = regex::resolve(&expression, self.world.metadata).map_err(|message| {
                let message =
                    format!("SubscribedTopicRegex `{expression}` is not a valid regular expression: {message}");
                Refusal::new(ErrorCode::InvalidRegularExpression, message)
            })?;
            if before.is_none_or(|before| before.topics != topics) {
                let resolved = ResolvedRegex { topics, version, at_ms: self.world.wall_ms };
                self.push(ConsumerRecord::Regex(expression, Some(resolved)));
            }
        }
        Ok(())
    }

    /// The topics that members subscribe to and that exist, with their numbers of partitions.
    fn counts(&self) -> BTreeMap<TopicId, i32> {
        let names: BTreeSet<&Arc<str>> =
            self.image.members().flat_map(|(_, member)| self.image.topics_of(member)).collect();
        let topics = names.into_iter().filter_map(|name| self.world.metadata.topic_by_name(name));
        topics.map(|topic| (topic.id, i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX))).collect()
    }

    /// FNV-1a over topics and their numbers of partitions; 0 for none.
    fn metadata_hash(&self) -> i64 {
        let counts = self.counts();
        if counts.is_empty() {
            return 0;
        }
        let mut hash = 0xCBF2_9CE4_8422_2325_u64;
        for (topic, count) in &counts {
            for byte in topic.0.as_bytes().iter().copied().chain(count.to_be_bytes()) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
            }
        }
        i64::from_be_bytes(hash.max(1).to_be_bytes())
    }

    /// Members get their targets for the group's epoch, if they do not have them.
    pub fn assign(&mut self) {
        let epoch = self.image.epoch();
        if self.image.target_epoch() >= epoch {
            return;
        }
        let candidate = |(id, member): (&Arc<str>, &Arc<ConsumerMember>)| {
            let topics = self.image.topics_of(member).filter_map(|name| self.world.metadata.topic_by_name(name));
            Candidate {
                member: Arc::clone(id),
                instance: member.instance.clone(),
                topics: topics.map(|topic| topic.id).collect(),
                target: self.image.target(id),
            }
        };
        let candidates: Vec<Candidate> = self.image.members().map(candidate).collect();
        let targets = assignor(&self.image, self.world.config).assign(&candidates, &self.counts());
        let before: BTreeMap<Arc<str>, Partitions> =
            self.image.targets().map(|(id, target)| (Arc::clone(id), target.clone())).collect();
        for (id, target) in targets {
            if before.get(&id) != Some(&target) {
                self.push(ConsumerRecord::Target(id, Some(target)));
            }
        }
        self.push(ConsumerRecord::TargetEpoch(Some(epoch)));
    }

    /// A member makes its next step towards its target.
    pub fn reconcile(&mut self, id: &Arc<str>, owned: Option<&Partitions>) -> Current {
        let before = self.image.current(id);
        let target = self.image.target(id);
        let gives_at_once = self.world.config.has(Mutant::AssignedBeforeRevoked);
        let is_held = |topic, number| self.image.owner(topic, number).is_some() && !gives_at_once;
        let step = Step { target_epoch: self.image.target_epoch(), target: &target, owned, is_held: &is_held };
        let after = step.from(&before);
        if after != before {
            self.push(ConsumerRecord::Current(Arc::clone(id), Some(after.clone())));
        }
        after
    }
}

/// The assignor that most members want, of those that are served; else the first that is served
/// (`group.consumer.assignors`).
pub fn assignor(image: &ConsumerImage, config: &ClusterConfig) -> Assignor {
    let served = &config.group_consumer_assignors;
    let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
    for (_, member) in image.members() {
        let wanted = member.assignor.as_deref().and_then(Assignor::by_name);
        if let Some(wanted) = wanted.filter(|wanted| served.contains(wanted)) {
            *votes.entry(wanted).or_default() += 1;
        }
    }
    let favourite = votes.into_iter().max_by_key(|(_, count)| *count).map(|(assignor, _)| assignor);
    favourite.or_else(|| served.first().copied()).unwrap_or(Assignor::Uniform)
}
