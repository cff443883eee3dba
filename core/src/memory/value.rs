//! What a key holds in memory.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;

use crate::clock::Timestamp;
use crate::key::Name;
use crate::txn::{Entry, Fields, Log, Position, Until};

/// A key's content.
#[derive(Debug)]
pub(super) enum Value {
    Record(Record),
    Index(Index),
    Feed(FeedLog),
}

/// Named texts with a log beside them.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub fields: HashMap<Name, Arc<str>>,
    log: VecDeque<Arc<str>>,
    /// Entries that the log has dropped.
    trimmed: u64,
}

impl Record {
    pub fn append(&mut self, text: Arc<str>, keep: u64) -> u64 {
        self.log.push_back(text);
        while self.log.len() as u64 > keep {
            self.log.pop_front();
            self.trimmed += 1;
        }
        self.trimmed + self.log.len() as u64
    }

    pub fn fields(&self, names: &[Name], until: Until) -> Fields {
        let text = |name: &Name| self.fields.get(name).cloned();
        Fields { until, texts: names.iter().map(text).collect() }
    }

    pub fn log(&self, after: u64, limit: u64) -> Log {
        let last = self.trimmed + self.log.len() as u64;
        let (from, to) = (after.max(self.trimmed), after.saturating_add(limit).min(last));
        let skip = usize::try_from(from - self.trimmed).unwrap_or(usize::MAX);
        let take = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let numbered = self.log.iter().skip(skip).take(take).zip(from + 1..);
        let entries = numbered.map(|(text, position)| (position, Arc::clone(text))).collect();
        Log { first: self.trimmed + 1, last, entries }
    }
}

/// Members ordered by score, then by their bytes.
#[derive(Debug, Default)]
pub(super) struct Index {
    ordered: BTreeSet<(u64, Name)>,
    scores: HashMap<Name, u64>,
}

impl Index {
    pub fn add(&mut self, member: Name, score: u64) {
        if let Some(before) = self.scores.insert(member.clone(), score) {
            self.ordered.remove(&(before, member.clone()));
        }
        self.ordered.insert((score, member));
    }

    pub fn remove(&mut self, member: &str) {
        if let Some(score) = self.scores.remove(member) {
            self.ordered.remove(&(score, member.into()));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.ordered.is_empty()
    }

    pub fn members(&self, descending: bool, skip: u64, limit: u64) -> Vec<Name> {
        let (skip, limit) =
            (usize::try_from(skip).unwrap_or(usize::MAX), usize::try_from(limit).unwrap_or(usize::MAX));
        let name = |(_, member): &(u64, Name)| member.clone();
        if descending {
            self.ordered.iter().rev().skip(skip).take(limit).map(name).collect()
        } else {
            self.ordered.iter().skip(skip).take(limit).map(name).collect()
        }
    }
}

/// Entries of many logs in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct FeedLog {
    entries: VecDeque<Entry>,
    last: Position,
}

impl FeedLog {
    pub fn append(&mut self, origin: Name, origin_position: u64, text: Arc<str>, keep: u64, now: Timestamp) {
        let position =
            if now.0 > self.last.0 { Position(now.0, 0) } else { Position(self.last.0, self.last.1 + 1) };
        self.last = position;
        self.entries.push_back(Entry { position, origin, origin_position, text });
        while self.entries.len() as u64 > keep {
            self.entries.pop_front();
        }
    }

    pub fn entries(&self, after: Position, limit: u64) -> Vec<Entry> {
        let from = self.entries.partition_point(|entry| entry.position <= after);
        self.entries.iter().skip(from).take(usize::try_from(limit).unwrap_or(usize::MAX)).cloned().collect()
    }
}
