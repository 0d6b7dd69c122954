//! Which brokers hold a new partition: striped over racks and brokers from a random start (Kafka's
//! `StripedReplicaPlacer`).
//!
//! Invariants: the replicas of a partition are distinct; its first is not fenced; racks take turns, so that no rack has
//! two more replicas than another while that one has brokers left; over many partitions every broker leads about as
//! many.
//!
//! Brokers that are stopping are not placed on. Loads and disks are not looked at, as in Kafka.

use crate::engine::controller::image::MetadataImage;
use crate::engine::prng::Prng;
use crate::protocol::ids::BrokerId;
use std::collections::BTreeMap;

/// The brokers of a rack.
#[derive(Debug, Clone, Default)]
struct Rack {
    unfenced: Vec<BrokerId>,
    fenced: Vec<BrokerId>,
}

impl Rack {
    /// In the order in which partition `turn` takes them: another one first each time, fenced ones last.
    fn in_turn(&self, turn: usize) -> impl Iterator<Item = BrokerId> {
        let rotate = move |brokers: &[BrokerId]| {
            let start = if brokers.is_empty() { 0 } else { turn % brokers.len() };
            let mut rotated = brokers.to_vec();
            rotated.rotate_left(start);
            rotated
        };
        rotate(&self.unfenced).into_iter().chain(rotate(&self.fenced))
    }
}

/// Places new partitions, one after the other.
#[derive(Debug)]
pub struct Placer<'r> {
    rng: &'r mut Prng,
    racks: Vec<Rack>,
    brokers: usize,
    unfenced: usize,
    turn: usize,
    first_rack: usize,
}

impl<'r> Placer<'r> {
    /// Over the brokers of an image.
    pub fn new(image: &MetadataImage, rng: &'r mut Prng) -> Placer<'r> {
        let mut racks: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
        for (id, broker) in image.brokers.iter().filter(|(_, broker)| !broker.in_controlled_shutdown) {
            let rack = racks.entry(broker.rack.as_deref()).or_default();
            if broker.fenced { rack.fenced.push(*id) } else { rack.unfenced.push(*id) }
        }
        let racks: Vec<Rack> = racks.into_values().collect();
        let unfenced = racks.iter().map(|rack| rack.unfenced.len()).sum();
        let brokers = unfenced + racks.iter().map(|rack| rack.fenced.len()).sum::<usize>();
        let below = |rng: &mut Prng, bound: usize| {
            let bound = u64::try_from(bound.max(1)).expect("few brokers");
            usize::try_from(rng.below(bound)).expect("few brokers")
        };
        let first_rack = below(rng, racks.len());
        let turn = below(rng, unfenced);
        Placer { rng, racks, brokers, unfenced, turn, first_rack }
    }

    /// Whether partitions of so many replicas can be placed.
    ///
    /// # Errors
    /// Why not, in Kafka's words.
    pub fn check(&self, replication_factor: usize) -> Result<(), String> {
        if self.unfenced == 0 {
            return Err("All brokers are currently fenced.".to_owned());
        }
        if replication_factor > self.brokers {
            return Err(format!(
                "The target replication factor of {replication_factor} cannot be reached because only {} broker(s) \
                 are registered.",
                self.brokers
            ));
        }
        Ok(())
    }

    /// The replicas of the next partition.
    ///
    /// # Panics
    /// If [`Placer::check`] refuses the number.
    pub fn place(&mut self, replication_factor: usize) -> Vec<BrokerId> {
        assert!(self.check(replication_factor).is_ok(), "the number of replicas was checked");
        let racks = self.racks.len();
        let order = (0..racks).map(|step| (self.first_rack + step) % racks);
        let turns: Vec<Vec<BrokerId>> =
            order.map(|rack| self.racks[rack].in_turn(self.turn / racks).collect()).collect();
        // Whoever leads must not be fenced: the first rack in turn that has such a broker begins.
        let leads = |rack: &usize| {
            let index = (self.first_rack + rack) % racks;
            !self.racks[index].unfenced.is_empty()
        };
        let start = (0..racks).find(leads).expect("an unfenced broker is in some rack");
        let mut replicas = Vec::with_capacity(replication_factor);
        let mut taken = vec![0; racks];
        let mut rack = start;
        while replicas.len() < replication_factor {
            if let Some(broker) = turns[rack].get(taken[rack]) {
                replicas.push(*broker);
                taken[rack] += 1;
            }
            rack = (rack + 1) % racks;
        }
        self.next_turn();
        replicas
    }

    /// After a round over all brokers they are shuffled, so that the same ones do not always follow each other.
    fn next_turn(&mut self) {
        self.turn += 1;
        self.first_rack = (self.first_rack + 1) % self.racks.len();
        if self.unfenced > 1 && self.turn.is_multiple_of(self.unfenced) {
            self.rng.shuffle(&mut self.racks);
            for rack in &mut self.racks {
                self.rng.shuffle(&mut rack.unfenced);
                self.rng.shuffle(&mut rack.fenced);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::controller::harness::registered;
    use std::collections::BTreeSet;

    fn image(brokers: &[(i32, Option<&str>, bool)]) -> MetadataImage {
        let mut image = MetadataImage::default();
        for (id, rack, fenced) in brokers {
            let mut broker = registered(*id);
            broker.rack = rack.map(str::to_owned);
            broker.fenced = *fenced;
            image.brokers.insert(BrokerId(*id), broker);
        }
        image
    }

    fn place(image: &MetadataImage, seed: u64, partitions: usize, factor: usize) -> Vec<Vec<BrokerId>> {
        let mut rng = Prng::new(seed);
        let mut placer = Placer::new(image, &mut rng);
        (0..partitions).map(|_| placer.place(factor)).collect()
    }

    #[test]
    fn replicas_are_distinct_and_leaders_and_replicas_are_spread_evenly() {
        let image = image(&[(1, None, false), (2, None, false), (3, None, false), (4, None, false)]);
        for seed in 0..20 {
            let placed = place(&image, seed, 40, 3);
            let mut leads = BTreeMap::new();
            let mut holds = BTreeMap::new();
            for replicas in &placed {
                assert_eq!(replicas.iter().collect::<BTreeSet<_>>().len(), 3);
                *leads.entry(replicas[0]).or_insert(0) += 1;
                for replica in replicas {
                    *holds.entry(*replica).or_insert(0) += 1;
                }
            }
            assert!(leads.len() == 4 && leads.values().all(|count| (7..=13).contains(count)), "{leads:?}");
            assert!(holds.values().all(|count| (25..=35).contains(count)), "{holds:?}");
        }
    }

    #[test]
    fn every_rack_gets_a_replica_before_one_gets_two() {
        let image = image(&[
            (1, Some("a"), false),
            (2, Some("a"), false),
            (3, Some("b"), false),
            (4, Some("b"), false),
            (5, Some("c"), false),
        ]);
        for seed in 0..20 {
            for replicas in place(&image, seed, 20, 3) {
                let racks: BTreeSet<_> = replicas.iter().map(|broker| image.brokers[broker].rack.clone()).collect();
                assert_eq!(racks.len(), 3, "{replicas:?}");
            }
        }
    }

    #[test]
    fn fenced_brokers_hold_replicas_but_do_not_come_first() {
        let image = image(&[(1, Some("a"), true), (2, Some("b"), false), (3, Some("c"), true)]);
        for seed in 0..10 {
            for replicas in place(&image, seed, 9, 3) {
                assert_eq!(replicas[0], BrokerId(2));
                assert_eq!(replicas.len(), 3);
            }
        }
    }

    #[test]
    fn too_few_brokers_are_told_in_kafkas_words() {
        let mut rng = Prng::new(1);
        let image = image(&[(1, None, false)]);
        let message = Placer::new(&image, &mut rng).check(3).expect_err("one is too few");
        assert!(message.ends_with("cannot be reached because only 1 broker(s) are registered."), "{message}");
        assert!(Placer::new(&MetadataImage::default(), &mut rng).check(1).is_err());
    }
}
