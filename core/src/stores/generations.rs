//! A bounded map: what was not used for long goes.

use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

/// Two generations of entries. When the young one is full it becomes the old one, and what was not used meanwhile
/// goes: a look and an insertion are one step in a map each, without a list to keep in order.
pub(super) struct Generations<K, V> {
    state: Mutex<State<K, V>>,
    /// The weight at which the young generation is full.
    full: usize,
}

struct State<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    weight: usize,
}

impl<K: Hash + Eq, V: Clone> Generations<K, V> {
    /// Keeps entries of at most this weight together.
    pub fn new(most: usize) -> Self {
        let state = State { young: HashMap::new(), old: HashMap::new(), weight: 0 };
        Self { state: Mutex::new(state), full: most / 2 }
    }

    fn lock(&self) -> MutexGuard<'_, State<K, V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, key: &K) -> Option<V> {
        let mut state = self.lock();
        if let Some((value, _)) = state.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, weight)) = state.old.remove_entry(key)?;
        self.put(&mut state, key, value.clone(), weight);
        Some(value)
    }

    pub fn insert(&self, key: K, value: V, weight: usize) {
        self.put(&mut self.lock(), key, value, weight);
    }

    /// Keeps only the entries of these keys.
    pub fn retain(&self, wanted: impl Fn(&K) -> bool) {
        let State { young, old, weight } = &mut *self.lock();
        old.retain(|key, _| wanted(key));
        young.retain(|key, _| wanted(key));
        *weight = young.values().map(|(_, weight)| weight).sum();
    }

    fn put(&self, state: &mut State<K, V>, key: K, value: V, weight: usize) {
        if state.weight >= self.full {
            state.old = std::mem::take(&mut state.young);
            state.weight = 0;
        }
        let before = state.young.insert(key, (value, weight)).map_or(0, |(_, before)| before);
        state.weight = state.weight + weight - before;
    }
}

#[cfg(test)]
mod tests {
    use super::Generations;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let known = Generations::new(20);
        for number in 0..100 {
            known.insert(number, number, 1);
            assert_eq!(known.get(&0), Some(0), "after {number}");
        }
        let kept = (0..100).filter(|number| known.get(number).is_some()).count();
        assert!((10..=20).contains(&kept), "{kept}");
        assert_eq!(known.get(&99), Some(99));
    }

    #[test]
    fn what_is_written_again_counts_once() {
        let known = Generations::new(20);
        known.insert(1, 1, 5);
        (0..1_000).for_each(|value| known.insert(0, value, 1));
        assert_eq!((known.get(&0), known.get(&1)), (Some(999), Some(1)));
    }
}
