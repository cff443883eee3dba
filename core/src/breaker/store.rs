//! Where breakers are kept, when several processes share them: the one seam beside the backend.

use super::audit::Audit;
use super::id::BreakerId;
use super::state::State;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::run::Run;

/// A state as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Grows with every write.
    pub version: u64,
    /// Tells this write from every other one.
    pub stamp: String,
    /// Entries that its history ever had, where the store counts them.
    pub audited: u64,
    pub state: State,
}

/// What a store holds of a breaker, and what time it is there, in ms since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub stored: Option<Stored>,
    pub now: u64,
}

/// A state to be written in the place of another one.
#[derive(Debug, Clone)]
pub struct Write {
    /// Tells this write from every other one: an answer that was lost is known again by it.
    pub stamp: String,
    /// What it was made from; `None` for a breaker that is not stored yet.
    pub expected: Option<Stored>,
    pub state: State,
    /// Entries of the history, written in the same atomic step.
    pub audit: Vec<Audit>,
}

/// What came of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It is done; this is stored now.
    Done(Stored, u64),
    /// Somebody else was faster: this is there.
    Changed(Loaded),
}

/// Keeps breakers for several processes.
///
/// *Atomicity*: a write happens wholly or not at all, with its history, and only if what is stored is what was
/// expected. *Errors*: as of a backend; an error says that the outcome is not known. *Time*: the store's clock is the
/// one that counts.
pub trait BreakerStore: Send + Sync {
    /// What is stored. One round trip.
    fn load(&self, id: &BreakerId, deadline: Timestamp) -> Run<Result<Loaded>>;

    /// Writes a state and its history, by compare-and-set.
    fn transition(&self, id: &BreakerId, write: Write, deadline: Timestamp) -> Run<Result<Written>>;

    /// The latest entries of the history, the newest first.
    fn history(&self, id: &BreakerId, limit: usize, deadline: Timestamp) -> Run<Result<Vec<Audit>>>;

    /// The breakers that are stored.
    fn ids(&self, deadline: Timestamp) -> Run<Result<Vec<BreakerId>>>;
}
