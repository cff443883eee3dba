//! Writes that are kept until the backend is back, in the order in which they were made.

use std::collections::VecDeque;

use super::overlay::{Place, places};
use super::policy::Bounds;
use crate::error::{Code, Detail, Error, Result};
use crate::run::Run;
use crate::txn::{Check, Effect, Outcome, Txn};

/// How far a kept write has come on its way to the backend.
pub(super) enum Stage {
    Waiting,
    /// It was sent, perhaps with others behind it: see [`crate::layers::resilient::batch`].
    Flying(Run<Result<Outcome>>),
    /// It was sent with one in front of it.
    Led,
    /// Its conflict is being written down and decided.
    Settling(Run<Result<()>>),
    Done,
}

/// A kept write.
pub(super) struct Entry {
    /// Its place among all calls, by the time that they were made.
    pub order: u64,
    pub txn: Txn,
    /// The records that it touches.
    pub places: Vec<Place>,
    pub stage: Stage,
    /// Its number in the file, where there is one.
    pub id: Option<u64>,
    bytes: usize,
}

/// Kept writes, the oldest first.
pub(super) struct Journal {
    pub entries: VecDeque<Entry>,
    bounds: Bounds,
    bytes: usize,
}

impl Journal {
    pub fn new(bounds: Bounds) -> Self {
        Self { entries: VecDeque::new(), bounds, bytes: 0 }
    }

    /// Whether one more may be kept.
    ///
    /// # Errors
    /// `STORAGE_CAPACITY` with the bound that is reached.
    pub fn room_for(&self, txn: &Txn) -> Result<()> {
        let full = |what: &str, limit: usize| {
            let detail = Detail { limit: Some(limit as u64), ..Detail::default() };
            let message = format!("the journal of writes for the time after the outage holds {limit} {what}");
            Err(Error { retryable: true, ..Error::new(Code::Capacity, message).with(detail) })
        };
        if self.entries.len() >= self.bounds.entries {
            return full("entries", self.bounds.entries);
        }
        if self.bytes + weight(txn) > self.bounds.bytes {
            return full("bytes", self.bounds.bytes);
        }
        Ok(())
    }

    /// Keeps a write, in its order. What was sent already stays in front.
    pub fn keep(&mut self, order: u64, id: Option<u64>, txn: Txn) {
        let bytes = weight(&txn);
        self.bytes += bytes;
        let later = |entry: &&Entry| entry.order > order && matches!(entry.stage, Stage::Waiting);
        let behind = self.entries.iter().rev().take_while(later).count();
        let entry = Entry { order, places: places(&txn), txn, stage: Stage::Waiting, id, bytes };
        self.entries.insert(self.entries.len() - behind, entry);
    }

    /// Whether a write of this order comes behind all that are kept.
    pub fn is_latest(&self, order: u64) -> bool {
        self.entries.back().is_none_or(|last| last.order < order)
    }

    /// The order that a write is kept in: those that are sent together stay together, so nothing comes in between.
    pub fn order_of(&self, txn: &Txn, order: u64) -> u64 {
        let latest = self.entries.back().map_or(0, |last| last.order);
        if txn.noted.is_some() { order.max(latest) } else { order }
    }

    /// Takes out what is done, and tells of each.
    pub fn finish(&mut self, mut done: impl FnMut(&Entry)) {
        let bytes = &mut self.bytes;
        self.entries.retain(|entry| {
            let stays = !matches!(entry.stage, Stage::Done);
            if !stays {
                *bytes = bytes.saturating_sub(entry.bytes);
                done(entry);
            }
            stays
        });
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What an entry takes beside its texts, about.
const FRAME: usize = 256;

/// About how many bytes a write takes.
fn weight(txn: &Txn) -> usize {
    let texts = txn.effects.iter().map(|effect| match effect {
        Effect::Put { text, .. } | Effect::Append { text, .. } => text.len() + 64,
        Effect::Do { command, .. } | Effect::Try { command, .. } => command.weight() + 64,
        _ => 64,
    });
    let checks = txn.checks.iter().map(|check| match check {
        Check::Begins { with, .. } => with.len() + 64,
        _ => 64,
    });
    FRAME + texts.chain(checks).sum::<usize>()
}
