//! Where a sweep goes on, and what an instance expects it to find.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Timestamp;
use crate::id::Tree;
use crate::key::{PARTITIONS, Partition};

/// Partitions where this instance expects something to become due; beyond, it is found when their turn comes.
const EXPECTED: usize = 4_096;

/// Archived chains that this instance has yet to make small; beyond, they stay as they are until their session ends.
const TO_COMPACT: usize = 16_384;

/// Where this instance's sweep goes on. Instances begin at different places.
#[derive(Debug)]
pub(super) struct Sweeper {
    turn: AtomicU32,
    /// Where what this instance wrote becomes due, by the time: looked at without waiting for its turn.
    expected: Mutex<BTreeSet<(Timestamp, u16)>>,
    /// Archived chains that are to be made small, by the time.
    archived: Mutex<BTreeSet<(Timestamp, Tree, u32)>>,
}

impl Sweeper {
    pub fn beginning_at(random: u64) -> Self {
        let turn = AtomicU32::new((random % u64::from(PARTITIONS)) as u32);
        Self { turn, expected: Mutex::default(), archived: Mutex::default() }
    }

    /// Something becomes due there at this time.
    pub fn expect(&self, at: Timestamp, partition: Partition) {
        let mut expected = lock(&self.expected);
        expected.insert((at, partition.number()));
        if expected.len() > EXPECTED {
            expected.pop_last();
        }
    }

    /// A chain lies in the archive, or will at once: it is to be made small at this time.
    pub fn expect_archived(&self, at: Timestamp, tree: Tree, chain: u32) {
        let mut archived = lock(&self.archived);
        archived.insert((at, tree, chain));
        if archived.len() > TO_COMPACT {
            archived.pop_last();
        }
    }

    /// So many of the archived chains whose time has come; they are given once.
    pub fn next_archived(&self, some: usize, now: Timestamp) -> Vec<(Tree, u32)> {
        let mut archived = lock(&self.archived);
        let mut next = Vec::new();
        while next.len() < some && archived.first().is_some_and(|(at, ..)| *at <= now) {
            next.extend(archived.pop_first().map(|(_, tree, chain)| (tree, chain)));
        }
        next
    }

    /// So many partitions: first those that are expected to have something due, then those whose turn it is.
    pub fn next(&self, some: u16, now: Timestamp) -> Vec<Partition> {
        let mut numbers = BTreeSet::new();
        let mut expected = lock(&self.expected);
        while numbers.len() < usize::from(some)
            && let Some((at, number)) = expected.first().copied()
            && at <= now
        {
            expected.pop_first();
            numbers.insert(number);
        }
        drop(expected);
        while numbers.len() < usize::from(some) {
            let number = self.turn.fetch_add(1, Ordering::Relaxed) % u32::from(PARTITIONS);
            numbers.insert(number as u16);
        }
        numbers.into_iter().map(Partition::from_number).collect()
    }
}

fn lock<T>(expected: &Mutex<BTreeSet<T>>) -> MutexGuard<'_, BTreeSet<T>> {
    expected.lock().unwrap_or_else(PoisonError::into_inner)
}
