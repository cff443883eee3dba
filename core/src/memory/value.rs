//! What a key holds in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use hashbrown::HashMap;

use super::fields::FieldMap;
use super::line::Line;
use super::plain::Plain;
use crate::clock::Timestamp;
use crate::id::Mark;
use crate::key::Name;
use crate::txn::{Between, Entry, Few, Fields, Log, Position, REMEMBERED, Reply, Until};

/// A key's content. Boxed: a table of keys has room for up to twice as many as there are, and the largest content would be
/// the measure of each.
#[derive(Debug)]
pub(super) enum Value {
    Record(Box<Record>),
    Index(Box<Index>),
    Feed(Box<FeedLog>),
    Plain(Box<Plain>),
    Line(Box<Line>),
    /// What a noted write was answered.
    Noted(Box<Few<Reply>>),
}

/// Named texts with a log beside them.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub fields: FieldMap,
    /// Entries, with the marks of the writes that appended them.
    log: VecDeque<(Option<Mark>, Arc<str>)>,
    /// Entries that the log has dropped.
    trimmed: u64,
    /// It was begun as a record: it is there even without a field.
    pub opened: bool,
}

impl Record {
    /// A record that is there from now on.
    pub fn opened() -> Self {
        Self { opened: true, ..Self::default() }
    }

    /// Whether nothing is left of it.
    pub fn is_gone(&self) -> bool {
        !self.opened && self.fields.is_empty() && self.log.is_empty() && self.trimmed == 0
    }

    /// The position of the first entry that the write of this mark appended; any write, where none is given.
    pub fn first_of(&self, mark: Option<Mark>) -> Option<u64> {
        if mark.is_none() {
            // Entries go by their age; that there was one does not.
            return (self.last() > 0).then_some(1);
        }
        let last = self.trimmed + self.log.len() as u64;
        let latest = (0..REMEMBERED).zip(self.log.iter().rev()).skip_while(|(_, (known, _))| *known != mark);
        latest.take_while(|(_, (known, _))| *known == mark).last().map(|(back, _)| last - back)
    }

    pub fn append(&mut self, mark: Option<Mark>, text: Arc<str>, keep: u64) -> u64 {
        // The first room of its own would be for four, and most logs begin with one entry and stay there for long.
        if self.log.capacity() == 0 {
            self.log.reserve_exact(1);
        }
        self.log.push_back((mark, text));
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

    /// The newest position of the log.
    pub fn last(&self) -> u64 {
        self.trimmed + self.log.len() as u64
    }

    /// Drops the entries below a position.
    pub fn trim(&mut self, below: u64) {
        while self.trimmed + 1 < below && self.log.pop_front().is_some() {
            self.trimmed += 1;
        }
    }

    pub fn log(&self, after: u64, limit: u64) -> Log {
        let last = self.trimmed + self.log.len() as u64;
        let (from, to) = (after.max(self.trimmed), after.saturating_add(limit).min(last));
        let skip = usize::try_from(from - self.trimmed).unwrap_or(usize::MAX);
        let take = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let numbered = self.log.iter().skip(skip).take(take).zip(from + 1..);
        let entries = numbered.map(|((_, text), position)| (position, Arc::clone(text))).collect();
        Log { first: self.trimmed + 1, last, entries }
    }
}

/// Members ordered by score, then by their bytes.
#[derive(Debug, Default)]
pub(super) struct Index {
    ordered: BTreeSet<(u64, Name)>,
    scores: HashMap<Name, u64>,
    /// How many members begin with each character.
    counts: BTreeMap<char, u64>,
}

impl Index {
    pub fn add(&mut self, member: Name, score: u64) {
        match self.scores.insert(member.clone(), score) {
            Some(before) => drop(self.ordered.remove(&(before, member.clone()))),
            None => *self.counts.entry(first_of(&member)).or_default() += 1,
        }
        self.ordered.insert((score, member));
    }

    pub fn remove(&mut self, member: &str) {
        if let Some(score) = self.scores.remove(member) {
            let left = self.counts.entry(first_of(member)).or_default();
            *left = left.saturating_sub(1);
            self.ordered.remove(&(score, member.into()));
        }
    }

    /// As [`Self::add`], but never to a higher score.
    pub fn lower(&mut self, member: Name, score: u64) {
        if self.scores.get(&member).is_none_or(|before| score < *before) {
            self.add(member, score);
        }
    }

    pub fn score(&self, member: &str) -> Option<u64> {
        self.scores.get(member).copied()
    }

    pub fn lowest(&self) -> Option<u64> {
        self.ordered.first().map(|(score, _)| *score)
    }

    pub fn is_empty(&self) -> bool {
        self.ordered.is_empty()
    }

    fn range(&self, range: &Between) -> impl DoubleEndedIterator<Item = &Name> {
        let score = self.lowest().unwrap_or_default();
        let after = Bound::Excluded((score, range.after.clone()));
        let before = match range.before.as_str() {
            "" => Bound::Unbounded,
            before => Bound::Excluded((score, before.into())),
        };
        // A range that ends before it begins holds nothing.
        let empty = !range.before.is_empty() && range.before <= range.after;
        let found = (!empty).then(|| self.ordered.range((after, before)));
        found.into_iter().flatten().map(|(_, member)| member)
    }

    pub fn between(&self, range: &Between, descending: bool, limit: u64) -> Vec<Name> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if descending {
            self.range(range).rev().take(limit).cloned().collect()
        } else {
            self.range(range).take(limit).cloned().collect()
        }
    }

    pub fn count(&self, first: char) -> u64 {
        self.counts.get(&first).copied().unwrap_or_default()
    }

    pub fn due(&self, by: u64, limit: u64) -> Vec<(Name, u64)> {
        let due = self.ordered.iter().take_while(|(score, _)| *score <= by);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        due.take(limit).map(|(score, member)| (member.clone(), *score)).collect()
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

fn first_of(member: &str) -> char {
    member.chars().next().unwrap_or_default()
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

    /// Drops the entries from before this time.
    pub fn trim(&mut self, before: Timestamp) {
        while self.entries.front().is_some_and(|entry| entry.position.0 < before.0) {
            self.entries.pop_front();
        }
    }

    /// Takes single entries out.
    pub fn strike(&mut self, positions: &[Position]) {
        let struck: BTreeSet<&Position> = positions.iter().collect();
        self.entries.retain(|entry| !struck.contains(&entry.position));
    }

    pub fn newest(&self) -> Vec<Entry> {
        self.entries.back().cloned().into_iter().collect()
    }

    pub fn entries(&self, after: Position, limit: u64) -> Vec<Entry> {
        let from = self.entries.partition_point(|entry| entry.position <= after);
        self.entries.iter().skip(from).take(usize::try_from(limit).unwrap_or(usize::MAX)).cloned().collect()
    }
}
