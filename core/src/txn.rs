//! The transaction as a value: a small atomic step on one partition.
//!
//! A [`Txn`] has one partition, so a write across partitions can't be expressed. Its checks are looked at
//! first; when all hold, its effects are applied in order and its queries answered, all in one atomic
//! step. When one does not hold nothing is applied, and the `witness` queries are answered instead, so
//! that the caller sees what is there.
//!
//! A transaction may be run again when its answer was lost. One that appends to a log carries a [`Mark`], and
//! the log remembers it: run again as `repeated`, it is not applied twice but answered anew. One that no log remembers may
//! carry a [`Noted`] instead: its answer is kept beside what it changes, for a while.

mod bundle;

use std::sync::Arc;

pub use bundle::Bundle;
use smallvec::SmallVec;

use crate::clock::Timestamp;
use crate::command::{Bytes, Command, Data, Repeats};
use crate::id::{Mark, Note};
use crate::key::{Key, Name, Partition};

/// A list that nearly always has one item, which then takes no room of its own.
pub type Few<T> = SmallVec<[T; 1]>;

/// A small atomic step. See the module's text for the order in which its parts count.
#[derive(Debug, Clone)]
pub struct Txn {
    pub partition: Partition,
    pub checks: Vec<Check>,
    pub effects: Vec<Effect>,
    pub queries: Few<Query>,
    pub witness: Few<Query>,
    /// When the caller stops waiting. A backend answers or fails by then.
    pub deadline: Timestamp,
    /// What this write is known by; without one it is not known again.
    pub mark: Option<Mark>,
    /// What it is known by where no log remembers it. Whenever it is run under this name again, while its answer is kept, it is
    /// not applied but answered as it was.
    pub noted: Option<Noted>,
    /// It may have been applied already. If one of the last [`REMEMBERED`] entries of its log carries its mark (or
    /// if the log is there at all, where the transaction opens the record), nothing is checked and nothing
    /// applied: the effects' replies are given as they were, or as they are by now, and the queries are answered.
    pub repeated: bool,
    /// It may be applied later and answered from what is known here, when the backend is away.
    pub deferrable: bool,
}

/// How many entries of a log are looked through for a mark.
pub const REMEMBERED: u64 = 1_000;
/// How long the answer of a noted write is kept, in ms: as long as its caller may repeat it, and a server stand still
/// meanwhile.
pub const NOTED_MS: u64 = 60_000;
/// The same for one that waited here for the backend: whoever brings it may die, and be followed by another much later.
pub const NOTED_KEPT_MS: u64 = 24 * 3_600_000;
/// What is sent is heard later.
const SPARE_MS: u64 = 10_000;

/// The name of a write that no log remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    pub note: Note,
    /// When it was made.
    pub at: Timestamp,
    pub fate: Fate,
}

/// What is known of a noted write that is not answered yet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    #[default]
    Fresh,
    /// It may have been applied: from [`NOTED_MS`] after it was made nobody can know.
    Lost,
    /// It was not sent before it was kept for later.
    Kept,
}

impl Noted {
    #[must_use]
    pub fn new(note: Note, at: Timestamp) -> Self {
        Self { note, at, fate: Fate::Fresh }
    }

    /// Whether the answer of a first attempt would still be there, if one was applied.
    #[must_use]
    pub fn is_known(&self, now: Timestamp) -> bool {
        self.fate != Fate::Lost || now.plus_ms(SPARE_MS) < self.at.plus_ms(NOTED_MS)
    }

    /// How long its answer is kept, in ms.
    #[must_use]
    pub fn life_ms(&self) -> u64 {
        if self.fate == Fate::Kept { NOTED_KEPT_MS } else { NOTED_MS }
    }
}

impl Txn {
    /// A transaction that does nothing yet.
    #[must_use]
    pub fn new(partition: Partition, deadline: Timestamp) -> Self {
        let (checks, effects, queries, witness) = (Vec::new(), Vec::new(), Few::new(), Few::new());
        let (mark, noted, repeated, deferrable) = (None, None, false, false);
        Self { partition, checks, effects, queries, witness, deadline, mark, noted, repeated, deferrable }
    }

    /// One that only asks.
    #[must_use]
    pub fn read(partition: Partition, deadline: Timestamp, queries: impl Into<Few<Query>>) -> Self {
        Self { queries: queries.into(), ..Self::new(partition, deadline) }
    }

    #[must_use]
    pub fn is_read(&self) -> bool {
        self.effects.iter().all(|effect| matches!(effect, Effect::Do { command, .. } | Effect::Try { command, .. } if !command.writes()))
    }

    /// Commands that may not fit and what they need, and nothing else.
    #[must_use]
    pub fn tries(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Try { .. }))
            || self.queries.iter().chain(&self.witness).any(|query| matches!(query, Query::Ask { .. }))
    }

    /// The log that remembers this transaction, and whether it begins with it.
    #[must_use]
    pub fn remembered_in(&self) -> Option<(&Key, bool)> {
        self.mark?;
        let log = self.effects.iter().find_map(|effect| match effect {
            Effect::Append { key, .. } => Some(key),
            _ => None,
        })?;
        let opened = |effect: &Effect| matches!(effect, Effect::Open { key, .. } if key == log);
        Some((log, self.effects.iter().any(opened)))
    }

    /// Whether it has to be noted, so that it can be repeated: it does something with plain values, which no log remembers, and
    /// doing that twice would not leave what doing it once does, or its checks would refuse what it has itself written.
    #[must_use]
    pub fn needs_note(&self) -> bool {
        if self.mark.is_some() || self.noted.is_some() {
            return false;
        }
        let (mut counts, mut writes) = (false, false);
        for effect in &self.effects {
            match effect {
                Effect::Append { .. } => return false,
                Effect::Do { command, .. } | Effect::Try { command, .. } => match command.repeats() {
                    Repeats::Never => return false,
                    Repeats::Noted => counts = true,
                    Repeats::Alike | Repeats::Told => writes |= command.writes(),
                },
                _ => {}
            }
        }
        counts || (writes && !self.checks.is_empty())
    }

    /// The first plain value that it changes.
    #[must_use]
    pub fn first_key(&self) -> Option<&Key> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Do { key, .. } | Effect::Try { key, .. } => Some(key),
            _ => None,
        })
    }

    /// What its entries carry: nothing where it begins the log, which then tells by itself that it was applied.
    #[must_use]
    pub fn carried(&self) -> Option<Mark> {
        self.mark.filter(|_| self.remembered_in().is_some_and(|(_, begins)| !begins))
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
    /// The key holds this text.
    Holds {
        key: Key,
        text: Bytes,
    },
    /// There is no such key.
    Gone {
        key: Key,
    },
    /// A consumer of a stream's group has nothing pending.
    Idle {
        key: Key,
        group: Name,
        consumer: Name,
    },
    /// The member is in the index, with a score of `by` or less.
    Due {
        key: Key,
        member: Name,
        by: u64,
    },
    /// The newest position of the record's log is this.
    Last {
        key: Key,
        position: u64,
    },
    /// No member of the index has a score below this.
    Clear {
        key: Key,
        below: u64,
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
    /// Begins a record if it is not there, else moves its deadline forward. Comes after its other effects.
    Hold { key: Key, until: Until },
    /// Takes fields out of a record and puts those that are there into one field of another, as a [`Bundle`].
    Move { key: Key, fields: Vec<Name>, to: Key, field: Name },
    /// Adds a member to an index, or moves it to another score.
    Add { key: Key, member: Name, score: u64 },
    /// Adds a member to an index, or moves it to a lower score, never to a higher one.
    Lower { key: Key, member: Name, score: u64 },
    /// Takes a member out of an index.
    Remove { key: Key, member: Name },
    /// Appends to a record's log, which keeps its last `keep` entries, and to a feed. Replies with the position.
    Append { key: Key, text: Arc<str>, keep: u64, feed: Feed },
    /// Drops the entries of a log below this position, as if it had kept fewer.
    Trim { key: Key, below: u64 },
    /// Drops the entries of a feed that were gathered before.
    TrimFeed { key: Key, before: Timestamp },
    /// Takes single entries out of a feed.
    Strike { key: Key, positions: Vec<Position> },
    /// Does something with a plain value, even if that is only to look. Replies with what it answers.
    Do { key: Key, command: Command },
    /// The same for what may not fit: then it changes nothing and replies with a fault, and the other effects stay.
    ///
    /// A transaction with such an effect, or with [`Query::Ask`], has no other effects and questions.
    Try { key: Key, command: Command },
    /// Appends to a feed alone, in the name of a log that is no longer there.
    Announce { feed: Feed, origin: Name, position: u64, text: Arc<str> },
}

/// Where a log's entries are gathered with those of other logs. It keeps about `keep` entries (never
/// fewer) and goes when nothing was added until `until`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    pub key: Key,
    pub keep: u64,
    pub until: Timestamp,
    /// A second feed that gathers the same, kept alike.
    pub also: Option<Key>,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// Fields of a record, and its deadline.
    Record { key: Key, fields: Few<Name> },
    /// The names of a record's fields, in the order of their bytes.
    Names { key: Key },
    /// Members of an index by score (equal scores: by bytes), beginning after `skip` of them.
    Members { key: Key, descending: bool, skip: u64, limit: u64 },
    /// Members of an index whose scores are all the same, by their bytes, from one to another.
    Between { key: Key, range: Between, descending: bool, limit: u64 },
    /// How many members of such an index begin with this ASCII letter.
    Count { key: Key, first: char },
    /// Members of an index with a score of `by` or less, the lowest first, with their scores.
    Due { key: Key, by: u64, limit: u64 },
    /// Entries of a record's log: of the `limit` positions after one, those that are kept.
    Log { key: Key, after: u64, limit: u64 },
    /// Entries of a feed after a position.
    Entries { key: Key, after: Position, limit: u64 },
    /// What time the backend has; the key only says where it is asked.
    Now { key: Key },
    /// A command that changes nothing; what does not fit answers a fault.
    Ask { key: Key, command: Command },
    /// The newest entry of a feed. Answered as [`Query::Entries`] is.
    Newest { key: Key },
}

impl Query {
    /// Asks for these fields of a record.
    pub fn record(key: Key, fields: impl IntoIterator<Item = Name>) -> Self {
        Self::Record { key, fields: fields.into_iter().collect() }
    }
}

/// A range of members by their bytes; neither end is part of it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Between {
    pub after: Name,
    /// Empty is no bound.
    pub before: Name,
}

/// A place in a feed; opaque above the backends, but ordered.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64, pub u64);

/// The answer to a query, or to an effect that replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Record(Fields),
    Members(Vec<Name>),
    Scored(Vec<(Name, u64)>),
    Count(u64),
    Log(Log),
    Entries(Vec<Entry>),
    /// Where an entry was appended.
    Position(u64),
    /// When the record goes.
    Until(Until),
    Now(Timestamp),
    /// What a command answered.
    Data(Data),
}

/// Fields as asked for, in that order. A record that does not exist has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    pub until: Until,
    pub texts: Few<Option<Arc<str>>>,
}

impl Fields {
    /// So many, of which none is there.
    #[must_use]
    pub fn absent(count: usize, until: Until) -> Self {
        Self { until, texts: std::iter::repeat_n(None, count).collect() }
    }
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
    Committed(Few<Reply>),
    /// The check of this index did not hold. Nothing was applied; these answer the witness queries.
    Refused(usize, Few<Reply>),
}
