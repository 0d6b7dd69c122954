//! The coordinators' place in a broker: when they are given their turn, and with what.

use crate::engine::broker::Broker;
use crate::engine::controller::image::MetadataDelta;
use crate::engine::group::{Groups, OFFSETS_TOPIC, Turn};
use crate::engine::io::Ctx;
use std::collections::BTreeSet;

impl Broker {
    /// Gives the coordinators their turn; what they wrote goes to the followers.
    pub(in crate::engine) fn with_groups<R>(
        &mut self,
        cx: &mut Ctx,
        act: impl FnOnce(&mut Groups, &mut Ctx, &mut Turn) -> R,
    ) -> R {
        // Out of the broker for as long as the replicas are lent: they are what the coordinators write to.
        let mut groups = std::mem::take(&mut self.groups);
        let result = self.with_replicas(cx, |replicas, cx, rpc, env| {
            let result = act(&mut groups, cx, &mut Turn { replicas, env });
            replicas.after_coordinators(cx, rpc, env);
            result
        });
        self.groups = groups;
        result
    }

    /// Committed metadata removed topics: what groups had committed for them goes too.
    pub(in crate::engine) fn forget_topics_in_groups(&mut self, cx: &mut Ctx, delta: &MetadataDelta) {
        let gone: BTreeSet<String> = delta
            .removed_topics
            .values()
            .map(|topic| topic.name.clone())
            .filter(|name| name != OFFSETS_TOPIC && !self.image.topic_ids.contains_key(name))
            .collect();
        if !gone.is_empty() {
            self.with_groups(cx, |groups, cx, turn| groups.on_topics_removed(cx, turn, &gone));
        }
    }
}
