//! A map that forgets what was not used for a while, and so never outgrows its bounds.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Two generations of entries: what is used moves to the young one; when that is full, it becomes the old one, and what was old and not used since
/// is forgotten. So an operation costs one or two lookups, and no list of uses is kept.
#[derive(Debug)]
pub(super) struct Generations<K, V> {
    young: HashMap<K, Entry<V>, foldhash::fast::RandomState>,
    old: HashMap<K, Entry<V>, foldhash::fast::RandomState>,
    young_bytes: usize,
    generation_bytes_max: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    bytes: usize,
}

impl<K: Eq + Hash, V> Generations<K, V> {
    /// An empty map whose entries take `bytes_max` at most, by what [`Self::insert`] is told.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            young: HashMap::default(),
            old: HashMap::default(),
            young_bytes: 0,
            generation_bytes_max: bytes_max / 2,
        }
    }

    /// An entry, which counts as used.
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        if !self.young.contains_key(key) {
            let (key, entry) = self.old.remove_entry(key)?;
            self.put(key, entry);
        }
        self.young.get(key).map(|entry| &entry.value)
    }

    /// Forgets an entry.
    pub(super) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.old.remove(key);
        if let Some(entry) = self.young.remove(key) {
            self.young_bytes -= entry.bytes;
        }
    }

    /// Adds or replaces an entry that takes so many bytes.
    pub(super) fn insert(&mut self, key: K, value: V, bytes: usize) {
        self.put(key, Entry { value, bytes });
    }

    fn put(&mut self, key: K, entry: Entry<V>) {
        if self.young_bytes + entry.bytes > self.generation_bytes_max {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += entry.bytes;
        if let Some(before) = self.young.insert(key, entry) {
            self.young_bytes -= before.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten() {
        let mut map = Generations::new(20);
        for key in 0..1000 {
            map.insert(key, key, 1);
            assert_eq!(map.get(&0), Some(&0));
        }
        assert_eq!(map.get(&999), Some(&999));
        assert_eq!(map.get(&900), None);
        assert!(map.young.len() + map.old.len() <= 20);
    }

    #[test]
    fn a_replaced_entry_counts_once() {
        let mut map = Generations::new(20);
        map.insert("kept", 0, 5);
        for value in 0..100 {
            map.insert("replaced", value, 5);
        }
        assert_eq!(map.get("kept"), Some(&0));
        assert_eq!(map.get("replaced"), Some(&99));
        map.remove("replaced");
        assert_eq!(map.get("replaced"), None);
        assert_eq!(map.young_bytes, 5);
    }
}
