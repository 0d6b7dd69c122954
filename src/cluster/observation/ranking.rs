//! A sorted set that knows the rank of its members: what makes "rows 400 to 440, worst first" cheap over 10,000 partitions.
//!
//! Invariants: members are in strictly ascending order across the chunks; no chunk is empty or longer than [`CHUNK_MAX`].
//! An insertion, a removal, a rank or the start of a window costs two binary searches and one walk over the chunks (n / 256 of
//! them), never a walk over the members.
//!
//! Deliberately not here: what the members mean, and how they come to be sorted so.

use std::sync::Arc;

/// The most members of a chunk; one that grows beyond is halved.
const CHUNK_MAX: usize = 512;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Ranking<K> {
    /// Copies share what neither has changed since.
    chunks: Vec<Arc<Vec<K>>>,
    len: usize,
}

impl<K: Ord> Default for Ranking<K> {
    fn default() -> Ranking<K> {
        Ranking { chunks: Vec::new(), len: 0 }
    }
}

impl<K: Ord> FromIterator<K> for Ranking<K> {
    /// A ranking of many members at once.
    fn from_iter<I: IntoIterator<Item = K>>(members: I) -> Ranking<K> {
        let mut members: Vec<K> = members.into_iter().collect();
        members.sort_unstable();
        members.dedup();
        let len = members.len();
        let mut chunks = Vec::with_capacity(len / (CHUNK_MAX / 2) + 1);
        let mut members = members.into_iter().peekable();
        while members.peek().is_some() {
            chunks.push(Arc::new(members.by_ref().take(CHUNK_MAX / 2).collect()));
        }
        Ranking { chunks, len }
    }
}

impl<K: Ord + Clone> Ranking<K> {
    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The chunk in which a key stands or would stand.
    fn chunk_of(&self, key: &K) -> usize {
        self.chunks.partition_point(|chunk| chunk.last().expect("no chunk is empty") < key)
    }

    /// Puts a member in; false if it was there.
    pub(super) fn insert(&mut self, key: K) -> bool {
        if self.chunks.is_empty() {
            self.chunks.push(Arc::new(vec![key]));
            self.len = 1;
            return true;
        }
        let at = self.chunk_of(&key).min(self.chunks.len() - 1);
        let Err(place) = self.chunks[at].binary_search(&key) else { return false };
        let chunk = Arc::make_mut(&mut self.chunks[at]);
        chunk.insert(place, key);
        self.len += 1;
        if chunk.len() > CHUNK_MAX {
            let upper = chunk.split_off(CHUNK_MAX / 2);
            self.chunks.insert(at + 1, Arc::new(upper));
        }
        true
    }

    /// Takes a member out; false if it was not there.
    pub(super) fn remove(&mut self, key: &K) -> bool {
        let at = self.chunk_of(key);
        let Some(chunk) = self.chunks.get_mut(at) else { return false };
        let Ok(place) = chunk.binary_search(key) else { return false };
        let chunk = Arc::make_mut(chunk);
        chunk.remove(place);
        self.len -= 1;
        if chunk.is_empty() {
            self.chunks.remove(at);
        }
        true
    }

    /// What this takes in memory beyond what it shares with another, what members point to aside.
    pub(super) fn bytes_beyond(&self, other: &Ranking<K>) -> usize {
        let mut theirs: Vec<*const Vec<K>> = other.chunks.iter().map(Arc::as_ptr).collect();
        theirs.sort_unstable();
        let own = self.chunks.iter().filter(|chunk| theirs.binary_search(&Arc::as_ptr(chunk)).is_err());
        self.chunks.capacity() * size_of::<usize>() + own.map(|chunk| chunk.capacity() * size_of::<K>()).sum::<usize>()
    }

    /// How many members are less than a key: its index, if it is a member.
    pub(super) fn rank(&self, key: &K) -> usize {
        self.count_while(|member| member < key)
    }

    /// How many members from the first on satisfy a condition that holds for a prefix of them.
    pub(super) fn count_while(&self, holds: impl Fn(&K) -> bool) -> usize {
        let at = self.chunks.partition_point(|chunk| holds(chunk.last().expect("no chunk is empty")));
        let before: usize = self.chunks[..at].iter().map(|chunk| chunk.len()).sum();
        before + self.chunks.get(at).map_or(0, |chunk| chunk.partition_point(holds))
    }

    /// The members from an index on.
    pub(super) fn from(&self, index: usize) -> impl Iterator<Item = &K> {
        let (mut at, mut skip) = (0, index);
        while let Some(chunk) = self.chunks.get(at)
            && skip >= chunk.len()
        {
            skip -= chunk.len();
            at += 1;
        }
        self.chunks[at..].iter().flat_map(|chunk| chunk.iter()).skip(skip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::prng::Prng;
    use std::collections::BTreeSet;

    #[test]
    fn it_agrees_with_a_sorted_set_whatever_comes_and_goes() {
        let mut rng = Prng::new(7);
        let (mut ranking, mut model) = (Ranking::default(), BTreeSet::new());
        for step in 0..20_000 {
            let key = rng.below(3_000);
            if rng.chance(3, 5) {
                assert_eq!(ranking.insert(key), model.insert(key));
            } else {
                assert_eq!(ranking.remove(&key), model.remove(&key));
            }
            if step % 500 == 0 {
                let first = usize::try_from(rng.below(3_000)).expect("small");
                let window: Vec<u64> = ranking.from(first).take(40).copied().collect();
                assert_eq!(window, model.iter().skip(first).take(40).copied().collect::<Vec<_>>());
                assert_eq!(ranking.rank(&key), model.range(..key).count());
                assert_eq!(ranking.count_while(|member| *member <= key), model.range(..=key).count());
                assert_eq!(ranking.len(), model.len());
            }
        }
        for key in model {
            assert!(ranking.remove(&key));
        }
        assert_eq!((ranking.len(), ranking.from(0).count()), (0, 0));
    }

    #[test]
    fn many_at_once_are_sorted_and_each_is_in_once() {
        let ranking: Ranking<u32> = (0..2_000).rev().chain(500..700).collect();
        assert_eq!(ranking.len(), 2_000);
        assert!(ranking.from(1_998).copied().eq([1_998, 1_999]));
        assert_eq!(ranking.from(5_000).count(), 0);
    }
}
