//! The transaction as a value: a small atomic step on one partition.
//!
//! A [`Txn`] has one partition, so a write across partitions can't be expressed. Its checks are looked at
//! first; when all hold, its effects are applied in order and its queries answered, all in one atomic
//! step. When one does not hold nothing is applied, and the `witness` queries are answered instead, so
//! that the caller sees what is there.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::key::{Key, Name, Partition};

/// A small atomic step. See the module's text for the order in which its parts count.
#[derive(Debug, Clone)]
pub struct Txn {
    pub partition: Partition,
    pub checks: Vec<Check>,
    pub effects: Vec<Effect>,
    pub queries: Vec<Query>,
    pub witness: Vec<Query>,
    /// When the caller stops waiting. A backend answers or fails by then.
    pub deadline: Timestamp,
}

impl Txn {
    /// A transaction that does nothing yet.
    #[must_use]
    pub fn new(partition: Partition, deadline: Timestamp) -> Self {
        let (checks, effects, queries, witness) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { partition, checks, effects, queries, witness, deadline }
    }

    /// One that only asks.
    #[must_use]
    pub fn read(partition: Partition, deadline: Timestamp, queries: Vec<Query>) -> Self {
        Self { queries, ..Self::new(partition, deadline) }
    }

    #[must_use]
    pub fn is_read(&self) -> bool {
        self.effects.is_empty()
    }
}

/// What must hold for a transaction to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    Absent {
        key: Key,
        field: Name,
    },
    Present {
        key: Key,
        field: Name,
    },
    /// The field is there and its text begins so.
    Begins {
        key: Key,
        field: Name,
        with: String,
    },
}

/// When a key goes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    Never,
    At(Timestamp),
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Begins a record that is new: its log starts at position 1. Comes before its other effects.
    Open { key: Key, until: Until },
    /// Sets a field of a record.
    Put { key: Key, field: Name, text: Arc<str> },
    /// Removes fields of a record.
    Drop { key: Key, fields: Vec<Name> },
    /// Removes a key with all that it holds.
    Delete { key: Key },
    /// Moves a record's deadline forward, never backward. Replies with the deadline that then holds.
    Slide { key: Key, until: Until },
    /// Adds a member to an index, or moves it to another score.
    Add { key: Key, member: Name, score: u64 },
    /// Takes a member out of an index.
    Remove { key: Key, member: Name },
    /// Appends to a record's log, which keeps its last `keep` entries, and to a feed. Replies with the position.
    Append { key: Key, text: Arc<str>, keep: u64, feed: Feed },
}

/// Where a log's entries are gathered with those of other logs. It keeps about `keep` entries (never
/// fewer) and goes when nothing was added until `until`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    pub key: Key,
    pub keep: u64,
    pub until: Timestamp,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// Fields of a record, and its deadline.
    Record { key: Key, fields: Vec<Name> },
    /// Members of an index by score (equal scores: by bytes), beginning after `skip` of them.
    Members { key: Key, descending: bool, skip: u64, limit: u64 },
    /// Entries of a record's log: of the `limit` positions after one, those that are kept.
    Log { key: Key, after: u64, limit: u64 },
    /// Entries of a feed after a position.
    Entries { key: Key, after: Position, limit: u64 },
}

/// A place in a feed; opaque above the backends, but ordered.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64, pub u64);

/// The answer to a query, or to an effect that replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Record(Fields),
    Members(Vec<Name>),
    Log(Log),
    Entries(Vec<Entry>),
    /// Where an entry was appended.
    Position(u64),
    /// When the record goes.
    Until(Until),
}

/// Fields as asked for, in that order. A record that does not exist has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    pub until: Until,
    pub texts: Vec<Option<Arc<str>>>,
}

/// A range of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The oldest position kept; 1 unless the log was trimmed.
    pub first: u64,
    /// The newest position; 0 when there is no log.
    pub last: u64,
    pub entries: Vec<(u64, Arc<str>)>,
}

/// An entry of a feed, with the log and the position that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub position: Position,
    pub origin: Name,
    pub origin_position: u64,
    pub text: Arc<str>,
}

/// What came of a transaction that the backend could answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Applied: replies of the effects that reply, in order, then of the queries.
    Committed(Vec<Reply>),
    /// The check of this index did not hold. Nothing was applied; these answer the witness queries.
    Refused(usize, Vec<Reply>),
}
