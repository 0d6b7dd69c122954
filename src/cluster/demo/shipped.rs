//! The demos that ship with the program, in the order in which they teach.
//!
//! Deliberately not here: demos of one's own, which are files.

use super::story::Demo;

/// Name and text of each.
pub const SHIPPED: &[(&str, &str)] = &[
    ("follow-one-record", include_str!("../../../demos/follow-one-record.md")),
    ("keys-and-partitions", include_str!("../../../demos/keys-and-partitions.md")),
    ("leader-failover", include_str!("../../../demos/leader-failover.md")),
    ("crash-and-shutdown", include_str!("../../../demos/crash-and-shutdown.md")),
    ("leaders-pile-up", include_str!("../../../demos/leaders-pile-up.md")),
    ("rolling-restart", include_str!("../../../demos/rolling-restart.md")),
    ("price-of-acks", include_str!("../../../demos/price-of-acks.md")),
    ("not-enough-replicas", include_str!("../../../demos/not-enough-replicas.md")),
    ("acks-all-is-not-enough", include_str!("../../../demos/acks-all-is-not-enough.md")),
    ("slow-follower", include_str!("../../../demos/slow-follower.md")),
    ("all-replicas-down", include_str!("../../../demos/all-replicas-down.md")),
    ("unclean-election", include_str!("../../../demos/unclean-election.md")),
    ("zombie-leader", include_str!("../../../demos/zombie-leader.md")),
    ("leader-epochs", include_str!("../../../demos/leader-epochs.md")),
    ("wiped-disk", include_str!("../../../demos/wiped-disk.md")),
    ("add-a-broker", include_str!("../../../demos/add-a-broker.md")),
    ("kill-the-controller", include_str!("../../../demos/kill-the-controller.md")),
    ("lose-the-quorum", include_str!("../../../demos/lose-the-quorum.md")),
    ("split-vote", include_str!("../../../demos/split-vote.md")),
    ("one-to-four-consumers", include_str!("../../../demos/one-to-four-consumers.md")),
    ("consumer-dies", include_str!("../../../demos/consumer-dies.md")),
    ("slow-not-dead", include_str!("../../../demos/slow-not-dead.md")),
    ("ways-to-share", include_str!("../../../demos/ways-to-share.md")),
    ("the-group-that-died", include_str!("../../../demos/the-group-that-died.md")),
    ("at-most-at-least", include_str!("../../../demos/at-most-at-least.md")),
    ("exactly-once", include_str!("../../../demos/exactly-once.md")),
    ("retention-overtakes", include_str!("../../../demos/retention-overtakes.md")),
    ("compaction", include_str!("../../../demos/compaction.md")),
];

/// Reads one that ships with the program; `None` if there is none of that name.
///
/// # Panics
/// If it has a mistake, which a test would have found.
pub fn shipped(name: &str) -> Option<Demo> {
    let (name, source) = SHIPPED.iter().find(|(known, _)| *known == name)?;
    let file = format!("demos/{name}.md");
    Some(Demo::parse(&file, source).unwrap_or_else(|mistake| panic!("{mistake}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::demo::story::Part;
    use crate::cluster::demo::{Player, SimHost};
    use std::collections::BTreeSet;
    use std::sync::Arc;

    #[test]
    fn every_file_of_the_folder_ships_and_is_without_mistakes() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/demos");
        let files = std::fs::read_dir(folder).expect("the folder of demos");
        let files = files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
        let files: BTreeSet<String> = files.filter_map(|name| Some(name.strip_suffix(".md")?.to_owned())).collect();
        let known: BTreeSet<String> = SHIPPED.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(files, known);
        for (name, _) in SHIPPED {
            let demo = shipped(name).expect("it ships");
            let asks = demo.scenes.iter().flat_map(|scene| &scene.parts).any(|part| matches!(part, Part::Asked(_)));
            assert!(demo.name == *name && asks, "{name} asks nothing");
        }
    }

    #[test]
    fn what_every_demo_says_is_so_in_the_simulator() {
        for (name, _) in SHIPPED {
            let demo = shipped(name).expect("it ships");
            let mut host = SimHost::new(demo.seed, demo.brokers);
            let mut player = Player::new(Arc::new(demo));
            while let Some(beat) = player.next(&mut host) {
                beat.unwrap_or_else(|mismatch| panic!("{mismatch}"));
            }
        }
    }
}
