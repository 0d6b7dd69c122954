//! A sorted map whose copies share what neither has changed since: what makes four recorded pictures a second affordable.
//!
//! Invariants: keys are in strictly ascending order across the chunks; no chunk is empty or longer than [`CHUNK_MAX`]; a copy costs a
//! pointer a chunk, a change after it one chunk of pointers and the one value.
//!
//! Deliberately not here: what is kept (`partitions`, `topics`, `groups`), and for how long (`recorder`).

use std::borrow::Borrow;
use std::sync::Arc;

/// The most entries of a chunk; one that grows beyond is halved.
const CHUNK_MAX: usize = 64;

type Chunk<K, V> = Vec<(K, Arc<V>)>;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct SharedMap<K, V> {
    chunks: Vec<Arc<Chunk<K, V>>>,
    len: usize,
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> SharedMap<K, V> {
        SharedMap { chunks: Vec::new(), len: 0 }
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The chunk in which a key stands or would stand.
    fn chunk_of<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.chunks.partition_point(|chunk| chunk.last().expect("no chunk is empty").0.borrow() < key)
    }

    /// Where a key stands: its chunk and its place in it.
    fn place_of<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(usize, usize)>
    where
        K: Borrow<Q>,
    {
        let at = self.chunk_of(key);
        let place = self.chunks.get(at)?.binary_search_by(|(known, _)| known.borrow().cmp(key)).ok()?;
        Some((at, place))
    }

    fn shared<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.place_of(key).map(|(at, place)| &self.chunks[at][place].1)
    }

    /// The value of a key.
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.shared(key).map(|value| &**value)
    }

    /// The value of a key, to be changed: it is shared with no copy from then on.
    pub(super) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (at, place) = self.place_of(key)?;
        Some(Arc::make_mut(&mut Arc::make_mut(&mut self.chunks[at])[place].1))
    }

    /// Puts an entry in, in place of what was there.
    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.chunks.is_empty() {
            self.chunks.push(Arc::new(vec![(key, Arc::new(value))]));
            self.len = 1;
            return;
        }
        let at = self.chunk_of(&key).min(self.chunks.len() - 1);
        let chunk = Arc::make_mut(&mut self.chunks[at]);
        match chunk.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(place) => chunk[place].1 = Arc::new(value),
            Err(place) => {
                chunk.insert(place, (key, Arc::new(value)));
                self.len += 1;
                if chunk.len() > CHUNK_MAX {
                    let upper = chunk.split_off(CHUNK_MAX / 2);
                    self.chunks.insert(at + 1, Arc::new(upper));
                }
            }
        }
    }

    /// Takes an entry out.
    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        let (at, place) = self.place_of(key)?;
        let chunk = Arc::make_mut(&mut self.chunks[at]);
        let (_, value) = chunk.remove(place);
        if chunk.is_empty() {
            self.chunks.remove(at);
        }
        self.len -= 1;
        Some(value)
    }

    /// All entries in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).map(|(key, value)| (key, &**value))
    }

    /// All entries from a key on, in order.
    pub(super) fn from<Q: Ord + ?Sized>(&self, key: &Q) -> impl Iterator<Item = (&K, &V)>
    where
        K: Borrow<Q>,
    {
        let at = self.chunk_of(key);
        let skip = self.chunks.get(at).map_or(0, |chunk| chunk.partition_point(|(known, _)| known.borrow() < key));
        let entries = self.chunks[at.min(self.chunks.len())..].iter().flat_map(|chunk| chunk.iter());
        entries.skip(skip).map(|(key, value)| (key, &**value))
    }

    /// All values in order.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// What this takes in memory beyond what it shares with another, by what its values say they take.
    pub(super) fn bytes_beyond(&self, other: &SharedMap<K, V>, bytes_of: impl Fn(&V) -> usize) -> usize {
        let mut theirs: Vec<*const Chunk<K, V>> = other.chunks.iter().map(Arc::as_ptr).collect();
        theirs.sort_unstable();
        let own = self.chunks.iter().filter(|chunk| theirs.binary_search(&Arc::as_ptr(chunk)).is_err());
        let of_chunk = |chunk: &Arc<Chunk<K, V>>| {
            let is_own =
                |(key, value): &&(K, Arc<V>)| !other.shared(key).is_some_and(|known| Arc::ptr_eq(known, value));
            let values: usize = chunk.iter().filter(is_own).map(|(_, value)| 16 + bytes_of(value)).sum();
            chunk.capacity() * size_of::<(K, Arc<V>)>() + values
        };
        self.chunks.capacity() * size_of::<usize>() + own.map(of_chunk).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::prng::Prng;
    use std::collections::BTreeMap;

    #[test]
    fn it_agrees_with_a_map_and_its_copies_stay_as_they_were() {
        let mut rng = Prng::new(11);
        let (mut shared, mut model) = (SharedMap::default(), BTreeMap::new());
        let mut copies = Vec::new();
        for step in 0..6_000_u64 {
            let key = rng.below(900);
            match rng.below(5) {
                0 => assert_eq!(shared.remove(&key).as_deref(), model.remove(&key).as_ref()),
                1 | 2 => {
                    if let Some(value) = shared.get_mut(&key) {
                        *value += step;
                    }
                    model.entry(key).and_modify(|value| *value += step);
                }
                _ => {
                    shared.insert(key, step);
                    model.insert(key, step);
                }
            }
            if step % 400 == 0 {
                copies.push((shared.clone(), model.clone()));
            }
        }
        copies.push((shared, model));
        for (shared, model) in copies {
            assert!(shared.iter().eq(model.iter()), "a copy changed with the original");
            assert_eq!((shared.len(), shared.get(&7)), (model.len(), model.get(&7)));
            assert!(shared.from(&450).eq(model.range(450..)));
        }
    }

    #[test]
    fn what_did_not_change_costs_a_copy_nothing() {
        let mut shared: SharedMap<u32, u64> = SharedMap::default();
        (0..10_000).for_each(|key| shared.insert(key, 0));
        let before = shared.clone();
        let pointers = before.bytes_beyond(&shared, |_| 1_000);
        assert!(pointers < 10_000, "pointers to chunks alone: {pointers}");
        *shared.get_mut(&5_000).expect("it is there") += 1;
        let changed = shared.bytes_beyond(&before, |_| 1_000);
        assert!((1_000..pointers + 4_000).contains(&changed), "one value and one chunk of pointers: {changed}");
        assert!(shared.bytes_beyond(&SharedMap::default(), |_| 1_000) > 10_000_000);
    }
}
