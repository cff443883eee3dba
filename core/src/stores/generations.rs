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

    /// Looks at what is kept of a key and keeps something else instead, where `change` gives that with its weight.
    pub fn change<T>(&self, key: K, change: impl FnOnce(Option<&V>) -> (T, Option<(V, usize)>)) -> T {
        let mut state = self.lock();
        let State { young, old, weight } = &mut *state;
        if let Some(entry) = young.get_mut(&key) {
            let (answer, next) = change(Some(&entry.0));
            if let Some(next) = next {
                *weight = *weight + next.1 - entry.1;
                *entry = next;
            }
            self.turn(&mut state);
            return answer;
        }
        let before = old.remove(&key);
        let (answer, next) = change(before.as_ref().map(|(value, _)| value));
        if let Some((value, weight)) = next.or(before) {
            self.put(&mut state, key, value, weight);
        }
        answer
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

    /// Begins the next generation where the young one is full.
    fn turn(&self, state: &mut State<K, V>) {
        if state.weight >= self.full {
            // As many will come again: a map that grows from nothing moves each entry several times.
            let young = HashMap::with_capacity(state.young.len());
            state.old = std::mem::replace(&mut state.young, young);
            state.weight = 0;
        }
    }

    fn put(&self, state: &mut State<K, V>, key: K, value: V, weight: usize) {
        self.turn(state);
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
    fn what_is_changed_is_seen_as_it_was_and_counts_once() {
        let known = Generations::new(20);
        let swap = |key: u64, value: u64| known.change(key, |before| (before.copied(), Some((value, 4))));
        assert_eq!((swap(0, 1), swap(0, 2), swap(1, 3), swap(2, 4)), (None, Some(1), None, None));
        // The third made the generation full: what was in it is old, and comes back by being looked at.
        assert_eq!(swap(0, 5), Some(2));
        assert_eq!(known.change(1, |before| (before.copied(), None)), Some(3));
        assert_eq!((known.get(&1), known.change(9, |before| (before.copied(), None))), (Some(3), None));
        // Growing in its place fills it as well.
        (0..20).for_each(|grown| known.change(5, |_| ((), Some((grown, 1 + grown as usize)))));
        let kept = (0..10).filter(|key| known.get(key).is_some()).count();
        assert!(kept <= 2, "{kept}");
    }

    #[test]
    fn what_is_written_again_counts_once() {
        let known = Generations::new(20);
        known.insert(1, 1, 5);
        (0..1_000).for_each(|value| known.insert(0, value, 1));
        assert_eq!((known.get(&0), known.get(&1)), (Some(999), Some(1)));
    }
}
