//! What is done while the backend is away: questions are answered from what is known here, writes are kept.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Core;
use super::journal::Journal;
use super::news::Standing;
use super::overlay::{Overlay, Said, places};
use super::policy::Bounds;
use crate::breaker::Mode;
use crate::clock::Timestamp;
use crate::error::{Code, Effect, Error, Result};
use crate::journal::{Commit, FoundEntry, JournalFile};
use crate::key::{Key, Name};
use crate::near::{Known, Near};
use crate::provenance::{self, Provenance};
use crate::run::Run;
use crate::txn::{Fate, Outcome, Query, Txn};

/// Between two looks at whether what is kept in front of a call has gone, or the backend is back.
const LOOK_AGAIN_MS: u64 = 10;

/// What is kept and known while the backend is away.
pub(super) struct Away {
    pub overlay: Overlay,
    pub journal: Journal,
    /// Where what is kept outlives this process.
    pub file: Option<JournalFile>,
    pub standing: Standing,
    pub conflicts: u64,
    pub last_error: Option<String>,
    /// The caller was told that the journal is full, and it has been so since.
    pub full: bool,
}

impl Away {
    /// `found` was kept before this process began.
    pub fn new(bounds: Bounds, file: Option<JournalFile>, found: Vec<FoundEntry>) -> Self {
        let (mut overlay, mut journal) = (Overlay::default(), Journal::new(bounds));
        for FoundEntry { id, order, txn } in found {
            overlay.apply(&txn, Timestamp(0));
            journal.keep(order, Some(id), txn);
        }
        Self {
            overlay,
            journal,
            file,
            standing: Standing::Healthy,
            conflicts: 0,
            last_error: None,
            full: false,
        }
    }

    /// Whether kept writes touch what this transaction asks or changes.
    fn touches(&self, txn: &Txn) -> bool {
        let asked = |query: &Query| match query {
            Query::Record { key, .. } | Query::Log { key, .. } => self.overlay.touches(txn.partition, key),
            // A list without what is still to be added to it would be a false one.
            Query::Members { key, .. } => self.overlay.adds_to(txn.partition, key),
            _ => false,
        };
        txn.queries.iter().any(asked) || places(txn).iter().any(|(at, key)| self.overlay.touches(*at, key))
    }
}

/// What is known here of a call.
enum Here {
    Answer(Outcome),
    /// A write was kept, and is acknowledged once its file has it.
    Kept(Outcome, Option<Commit>),
}

/// A kept write's answer, as soon as it may be given.
async fn acknowledged(outcome: Outcome, commit: Commit) -> Result<Outcome> {
    commit.await?;
    provenance::note(Provenance::Pending);
    Ok(outcome)
}

/// Nothing was seen.
struct Blind;

impl Near for Blind {
    fn known(&self, _: &Key, _: &Name) -> Option<Known> {
        None
    }

    fn forget(&self, _: &Key) {}
}

impl Core {
    fn near(&self) -> &dyn Near {
        self.near.get().map_or(&Blind, |near| &**near)
    }

    pub(super) fn forget(&self, key: &Key) {
        self.near().forget(key);
    }

    /// Whether it would be kept while the backend is away.
    pub(super) fn keeps(&self, txn: &Txn) -> bool {
        self.policy.journals && txn.deferrable
    }

    /// Waits for the breaker to close; false when the time is over.
    pub(super) async fn closes_by(&self, deadline: Timestamp) -> bool {
        while !self.is_closed() {
            let soon = self.clock.now().plus_ms(LOOK_AGAIN_MS);
            if soon >= deadline {
                return false;
            }
            self.timers.sleep_until(soon).await;
        }
        true
    }

    /// Answers a call that is not to be handed through now; `None` when it is.
    pub(super) fn aside(self: &Arc<Self>, txn: &Txn, order: u64) -> Option<Run<Result<Outcome>>> {
        let (mode, retry_after) = self.gate.look(self.clock.now());
        // Back again: only what kept writes touch waits behind them.
        if mode == Mode::Closed && !self.away().touches(txn) {
            return None;
        }
        let missing = || {
            let wait = retry_after.unwrap_or(0).max(1);
            if mode != Mode::Closed && !self.policy.journals {
                let error = Error::new(Code::CircuitOpen, "the circuit of the backend is open");
                return Error { retryable: true, ..error }.retry_after(wait);
            }
            let message = "the backend is away, and nothing that is known here answers";
            Error::unavailable(message, Effect::NotApplied).retry_after(wait)
        };
        let answer = if self.policy.journals { self.answer_here(txn.clone(), order) } else { Ok(None) };
        match answer.and_then(|answer| answer.ok_or_else(missing)) {
            Ok(Here::Kept(outcome, Some(commit))) => {
                self.counts.note_outcome(&outcome);
                Some(Run::later(acknowledged(outcome, commit)))
            }
            Ok(Here::Answer(outcome) | Here::Kept(outcome, None)) => {
                self.counts.note_outcome(&outcome);
                Some(Run::now(Ok(outcome)))
            }
            // It is back: what is kept of these records is there in a moment, and then they can be asked for.
            Err(_) if mode == Mode::Closed => Some(Run::later(Arc::clone(self).behind(txn.clone()))),
            Err(error) => Some(Run::now(self.give_up(error))),
        }
    }

    /// Runs a transaction once nothing kept is in front of it.
    async fn behind(self: Arc<Self>, txn: Txn) -> Result<Outcome> {
        while self.away().touches(&txn) {
            let soon = self.clock.now().plus_ms(LOOK_AGAIN_MS);
            if soon >= txn.deadline {
                let message = "what is kept of these records is still on its way";
                return self.give_up(Error::unavailable(message, Effect::NotApplied));
            }
            self.timers.sleep_until(soon).await;
        }
        Self::run(&self, txn).await
    }

    /// The last resort of a call whose attempts failed.
    pub(super) async fn fall_back(self: Arc<Self>, txn: Txn, order: u64, error: Error) -> Result<Outcome> {
        let only_writes = error.detail.as_ref().is_some_and(|detail| detail.only_writes);
        if !self.policy.journals || only_writes {
            return self.give_up(error);
        }
        let doubt = error.effect;
        match self.answer_here(txn, order) {
            Ok(Some(Here::Kept(outcome, Some(commit)))) => {
                self.counts.note_outcome(&outcome);
                acknowledged(outcome, commit).await
            }
            Ok(Some(Here::Answer(outcome) | Here::Kept(outcome, None))) => {
                self.counts.note_outcome(&outcome);
                Ok(outcome)
            }
            Ok(None) => self.give_up(error),
            Err(full) => self.give_up(Error { effect: doubt, ..full }),
        }
    }

    /// Answers from what is known here, or keeps a write; `None` when neither can be done.
    fn answer_here(&self, mut txn: Txn, order: u64) -> Result<Option<Here>> {
        let (mut away, now) = (self.away(), self.clock.now());
        // What was made after it is kept already, and stands on it.
        let behind = !away.journal.is_latest(order) && txn.deferrable && away.touches(&txn);
        let said = if behind { Said::MayKeep } else { away.overlay.look(&txn, self.near(), now) };
        match said {
            Said::Unknown => Ok(None),
            // What is refused here may have been applied there: only the backend knows.
            Said::Answer(Outcome::Refused(..), _) if txn.repeated => Ok(None),
            Said::Answer(outcome, on) => {
                provenance::note(on);
                Ok(Some(Here::Answer(outcome)))
            }
            Said::MayKeep => {
                if let Err(full) = away.journal.room_for(&txn) {
                    if !std::mem::replace(&mut away.full, true) {
                        self.news.tell("journalFull", self.clock.now().0, "");
                    }
                    return Err(full);
                }
                away.full = false;
                if let Some(noted) = txn.noted.as_mut().filter(|noted| noted.fate == Fate::Fresh) {
                    noted.fate = Fate::Kept;
                }
                let order = away.journal.order_of(&txn, order);
                let id = away.file.as_mut().map(|file| file.keep(order, &txn)).transpose()?;
                let commit = id.and_then(|id| Some(away.file.as_ref()?.committed(id)));
                let overlay = &mut away.overlay;
                let outcome = if behind { overlay.apply_behind(&txn, now) } else { overlay.apply(&txn, now) };
                away.journal.keep(order, id, txn);
                self.clear.store(false, Ordering::Relaxed);
                provenance::note(Provenance::Pending);
                Ok(Some(Here::Kept(outcome, commit)))
            }
        }
    }
}
