//! Commands on plain values: what one key can hold that no record is, and what can be done with it.
//!
//! A key holds a text, a line, a hash, a set, a sorted set, a stream or a sketch (an estimate of how many members a set
//! has), made by the first command that writes to it and gone with its last member; only a stream stays when it is empty.
//! A command answers a [`Data`]. What does not fit what its key holds changes nothing, and is an error or a [`Fault`]: see
//! [`crate::txn::Effect`].

use std::cmp::Ordering;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::key::{Name, Space};
use crate::streaming::{Place, Streaming, place_text};
use crate::txn::Until;

/// Bytes of any kind.
pub type Bytes = Arc<[u8]>;

/// A score: a number, ordered; -0 is 0.
#[derive(Debug, Clone, Copy)]
pub struct Score(pub f64);

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Score {}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0 + 0.0).total_cmp(&(other.0 + 0.0))
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What is done with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// 1 when there was something, else 0.
    Delete,
    /// 1 or 0.
    Exists,
    /// A text, or `Nil`.
    Get,
    /// Sets a text, and when it goes. `Nil` when `when` did not hold, else something.
    Set {
        value: Bytes,
        until: Until,
        when: When,
    },
    /// Sets a text and leaves the key's deadline as it is.
    Replace(Bytes),
    /// The new number; a text that is no whole number of 64 bits is a fault.
    Increase(i64),
    /// The kind's name: `string`, `hash`, `set`, `zset`, `stream`, `none`.
    Kind,
    /// Sets when the key goes; 0 when there is none.
    Expire(Timestamp),
    /// Takes the deadline away; 0 when there is none.
    Persist,
    /// How many ms are left; -1 for ever, -2 when there is no key.
    Left,
    /// What is asked of the server as a whole, whatever the key.
    Server(Server),
    /// What is done with a line.
    Line(Line),

    // Hashes.
    HashGet(Bytes),
    /// The values of these fields, `Nil` where there is none.
    HashGets(Vec<Bytes>),
    /// How many fields are new.
    HashPut(Vec<(Bytes, Bytes)>),
    /// How many were there.
    HashDrop(Vec<Bytes>),
    /// Field, value, field, value, ... by the fields' bytes.
    HashAll,
    HashLen,
    HashIncrease(Bytes, i64),
    /// A cursor to go on with (`0` begins and ends) and some fields with their values. What is there all the
    /// time comes at least once.
    HashScan {
        cursor: Bytes,
        count: u64,
    },

    // Sets.
    SetAdd(Vec<Bytes>),
    SetDrop(Vec<Bytes>),
    SetHas(Bytes),
    /// By their bytes.
    SetAll,
    SetLen,

    // Sorted sets: members by score, then by their bytes.
    /// How many members are new.
    SortedAdd(Vec<(Score, Bytes)>),
    SortedDrop(Vec<Bytes>),
    SortedScore(Bytes),
    SortedIncrease(Bytes, Score),
    SortedLen,
    /// Member, score, ... of these ranks.
    SortedRanks {
        from: u64,
        count: u64,
        descending: bool,
    },
    /// Member, score, ... of these scores, bounds included.
    SortedScores {
        least: Score,
        most: Score,
        skip: u64,
        count: u64,
        descending: bool,
    },
    /// Members whose bytes lie between two texts, the first excluded; all scores must be equal.
    SortedTexts {
        after: Bytes,
        before: Bytes,
        count: u64,
        descending: bool,
    },
    /// How many lie between two texts, the first excluded.
    SortedTextCount {
        after: Bytes,
        before: Bytes,
    },

    // Sketches.
    /// 1 when the estimate changed.
    SketchAdd(Vec<Bytes>),
    /// How many different members were added, within 2 %.
    SketchCount,

    // Streams.
    Stream(Streaming),
}

/// A question to the server as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// Something, if it answers.
    Ping,
    /// How many keys it has, whoever they belong to.
    Size,
    /// What it tells of itself, as text.
    Info,
    /// A cursor to go on with (`0` begins and ends) and names of a space that match a pattern, some of them perhaps
    /// twice. It looks at about `count` keys. A name that is there all the time is found.
    Names { space: Space, pattern: Bytes, cursor: Bytes, count: u64 },
}

/// On what a text is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Always,
    Absent,
    Present,
}

/// What is done with a line: texts that are taken in the order in which they were put, each lent to whoever took it until
/// it is settled, given back, or its time is over.
///
/// The texts that wait are a plain list, which other programs may read and write. A text that was lent and came back
/// stands in front again; after `limit` times it goes to the dead ones, a list of their own. Times are the backend's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// How many wait now; 0 when it was refused, since so many as `most` wait already; -1 since the line is closed.
    Put { text: Bytes, most: Option<u64> },
    /// A text for each of these names. For each a text and how often it was lent with this one; or `Nil` and the ms until a
    /// text that is lent comes back (-1: none is), or `Nil` and -2 when besides the line is closed. Taking again by the same
    /// name gives the same text.
    Take { leases: Vec<Name>, ms: u64, limit: u64 },
    /// For each of these names 1 when something was lent by it, else 0.
    Settle { leases: Vec<Name> },
    /// Back to its place in front; 1 when it was lent by this name. `counts`: it was used, and this was one of its times.
    GiveBack { lease: Name, counts: bool, limit: u64 },
    /// To the dead ones; 1 when it was lent by this name.
    Bury { lease: Name },
    /// Lends it for so many ms from now; 1 when it was lent by this name.
    Extend { lease: Name, ms: u64 },
    /// How many wait, how many are lent, how many are dead.
    Count,
    /// Nothing can be put any more; or again. 1 when that is new.
    Close { closed: bool },
    /// The dead ones, the oldest first.
    Dead { skip: u64, limit: u64 },
    /// So many dead ones, the oldest first, to the end of the line, as if they were new. How many there were.
    Revive { count: u64 },
}

/// What a command answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    Nil,
    Int(i64),
    Bytes(Bytes),
    List(Vec<Data>),
    Fault(Fault),
}

/// Why a command could not be done. Nothing was changed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The key holds another kind of value.
    WrongKind,
    /// The text is no whole number.
    NoNumber,
    /// The number would leave 64 bits, or not be a number.
    OutOfRange,
    NoGroup,
    GroupExists,
    /// There is no such stream.
    NoStream,
    /// A stream's entries come in order.
    NotBehind,
}

impl Data {
    /// Text as bytes.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Bytes(Arc::from(text.as_bytes()))
    }

    /// A score as both backends write it.
    #[must_use]
    pub fn score(score: Score) -> Self {
        Self::text(&(score.0 + 0.0).to_string())
    }

    /// A place as `<ms>-<number>`.
    #[must_use]
    pub fn place(place: Place) -> Self {
        Self::text(&place_text(place))
    }

    /// The number that it is.
    #[must_use]
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }
}

/// What doing a command twice in a row comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// What doing it once does, and the same answer.
    Alike,
    /// What doing it once does; but the answer tells what was new, which the second time nothing is.
    Told,
    /// More than doing it once: it is done by name, see [`crate::txn::Noted`].
    Noted,
    /// It gives out what is there now: nobody may do it for whoever did not hear of the first time.
    Never,
}

impl Command {
    /// What doing it twice comes to.
    #[must_use]
    pub fn repeats(&self) -> Repeats {
        use Streaming as S;
        match self {
            Self::Increase(_)
            | Self::HashIncrease(..)
            | Self::SortedIncrease(..)
            | Self::Set { when: When::Absent | When::Present, .. }
            | Self::Line(Line::Put { .. } | Line::Revive { .. })
            | Self::Stream(S::Add { .. }) => Repeats::Noted,
            Self::Stream(S::GroupRead { .. } | S::Claim { .. }) => Repeats::Never,
            Self::Set { when: When::Always, .. }
            | Self::Replace(_)
            | Self::SketchAdd(_)
            | Self::Line(Line::Take { .. } | Line::Extend { .. }) => Repeats::Alike,
            command if command.writes() => Repeats::Told,
            _ => Repeats::Alike,
        }
    }

    /// The texts that it brings.
    #[must_use]
    pub fn texts(&self) -> Vec<&Bytes> {
        match self {
            Self::Set { value: text, .. } | Self::Replace(text) | Self::Line(Line::Put { text, .. }) => {
                vec![text]
            }
            Self::HashPut(fields) | Self::Stream(Streaming::Add { fields, .. }) => {
                fields.iter().flat_map(|(field, value)| [field, value]).collect()
            }
            _ => Vec::new(),
        }
    }

    /// About how many bytes they take.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.texts().iter().map(|text| text.len()).sum()
    }

    /// A text that is set whatever was there.
    #[must_use]
    pub fn set(text: &str, until: Until) -> Self {
        Self::Set { value: Arc::from(text.as_bytes()), until, when: When::Always }
    }

    /// Whether it may change something.
    #[must_use]
    pub fn writes(&self) -> bool {
        use Streaming as S;
        !matches!(
            self,
            Self::Exists
                | Self::Kind
                | Self::Server(_)
                | Self::Left
                | Self::Get
                | Self::Line(Line::Count | Line::Dead { .. })
                | Self::HashGet(_)
                | Self::HashGets(_)
                | Self::HashAll
                | Self::HashLen
                | Self::HashScan { .. }
                | Self::SetHas(_)
                | Self::SetAll
                | Self::SetLen
                | Self::SortedScore(_)
                | Self::SortedLen
                | Self::SortedRanks { .. }
                | Self::SortedScores { .. }
                | Self::SortedTexts { .. }
                | Self::SortedTextCount { .. }
                | Self::SketchCount
                | Self::Stream(
                    S::Range { .. } | S::Len | S::Pending { .. } | S::Groups | S::Consumers { .. }
                )
        )
    }
}

/// The instant, if there is one.
#[must_use]
pub fn instant(until: Until) -> Option<Timestamp> {
    match until {
        Until::Never => None,
        Until::At(at) => Some(at),
    }
}
