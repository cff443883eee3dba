//! Bringing what was kept to the backend that is back: in order, each write once, while others go on.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::pin::Pin;

use hashbrown::HashSet;

use super::Core;
use super::batch;
use super::conflict::{describe, event_of, put_down};
use super::journal::{Entry, Stage};
use super::overlay::Place;
use super::policy::Conflicts;
use crate::clock::Timestamp;
use crate::error::{Code, Error, Result};
use crate::key::Key;
use crate::run::{Run, poll_now};
use crate::txn::{Few, Outcome, Reply, Txn};

/// Kept writes that are on their way at the same time: some 3 ms of the server's time.
const WINDOW: usize = 128;
/// Kept writes that one round looks at, so that one busy record does not hold up the others.
pub(super) const SCANNED: usize = 1_024;

/// What one round finds.
#[derive(Default)]
struct Round {
    /// Records of writes that are not done: what comes behind on those waits.
    held: HashSet<Place>,
    flying: usize,
    failure: Option<Error>,
    conflicts: u64,
    /// Records whose texts here were never stored.
    forgotten: BTreeSet<Key>,
}

thread_local! {
    static BYPASSES: Cell<bool> = const { Cell::new(false) };
}

fn poll<T>(run: &mut Run<T>) -> Option<T> {
    poll_now(Pin::new(run))
}

/// Whether what runs now belongs to the recovery itself: it neither waits behind what is kept nor is kept.
pub(super) fn bypasses() -> bool {
    BYPASSES.get()
}

impl Core {
    /// One round: hears what came of what was sent, settles conflicts, sends more.
    ///
    /// Of one record only one write is under way at a time, so that none overtakes another, whatever becomes of it.
    pub(super) fn drain(&self, now: Timestamp) {
        let mut guard = self.away();
        let away = &mut *guard;
        let mut round = Round::default();
        for at in 0..away.journal.entries.len().min(SCANNED) {
            let Some(entry) = away.journal.entries.get_mut(at) else { break };
            let was_flying = matches!(entry.stage, Stage::Flying(_));
            let answer = self.hear(entry, now, &mut round);
            let is_flying = matches!(entry.stage, Stage::Flying(_));
            if let Some(replies) = answer {
                let change = |txn: &Txn, why| self.settling(txn.clone(), why, now);
                batch::answered(&mut away.journal.entries, at, replies, change);
            } else if was_flying && !is_flying {
                batch::release(&mut away.journal.entries, at);
            }
            let Some(entry) = away.journal.entries.get_mut(at) else { break };
            let is_free = !entry.places.iter().any(|place| round.held.contains(place));
            let may = round.failure.is_none() && round.flying < WINDOW;
            if matches!(entry.stage, Stage::Waiting) && is_free && may {
                let deadline = now.plus_ms(self.policy.attempt_ms);
                // It may have been sent before, by this process or by one that is gone.
                let txn = Txn { repeated: true, deadline, ..entry.txn.clone() };
                if entry.txn.noted.is_some_and(|noted| !noted.is_known(now)) {
                    // Whether it was applied nobody knows any more.
                    entry.stage = Stage::Settling(self.settling(txn, "unknown", now));
                } else {
                    let txn = batch::led(&mut away.journal.entries, at, txn, &round.held);
                    let run = self.inner.run(txn);
                    if let Some(entry) = away.journal.entries.get_mut(at) {
                        entry.stage = Stage::Flying(run);
                    }
                }
            }
            let Some(entry) = away.journal.entries.get(at) else { break };
            if !matches!(entry.stage, Stage::Done) {
                round.flying += usize::from(!matches!(entry.stage, Stage::Waiting));
                round.held.extend(entry.places.iter().cloned());
            }
        }
        let (journal, overlay, file) = (&mut away.journal, &mut away.overlay, &mut away.file);
        let mut finished = Vec::new();
        journal.finish(|entry| {
            overlay.release(&entry.txn);
            finished.extend(entry.id);
        });
        if let (Some(file), false) = (file, finished.is_empty()) {
            file.done(finished);
            let live = journal.entries.iter().filter_map(|entry| Some((entry.id?, entry.order, &entry.txn)));
            file.tidy(journal.bytes(), live);
        }
        away.conflicts += round.conflicts;
        round.forgotten.iter().for_each(|key| self.forget(key));
        if let Some(error) = round.failure {
            let only_writes = error.detail.as_ref().is_some_and(|detail| detail.only_writes);
            if !only_writes {
                self.gate.failed(self.gate.permit(), now, 0.5);
            }
            away.last_error = Some(error.message);
        }
    }

    /// What came of a write that was sent, or of its conflict. Gives what a write that no log remembers was answered.
    fn hear(&self, entry: &mut Entry, now: Timestamp, round: &mut Round) -> Option<Few<Reply>> {
        let mut answer = None;
        let result = match &mut entry.stage {
            Stage::Flying(run) => poll(run),
            _ => None,
        };
        entry.stage = match result {
            None => std::mem::replace(&mut entry.stage, Stage::Waiting),
            Some(Ok(Outcome::Committed(replies))) => {
                self.gate.passed();
                answer = entry.txn.noted.map(|_| replies);
                Stage::Done
            }
            Some(Err(error)) if is_for_now(&error) => {
                round.failure = Some(error);
                Stage::Waiting
            }
            Some(refused) => {
                let why = if refused.is_ok() { "changed" } else { "error" };
                round.forgotten.extend(entry.places.iter().map(|(_, key)| key.clone()));
                Stage::Settling(self.settling(entry.txn.clone(), why, now))
            }
        };
        if let Stage::Settling(run) = &mut entry.stage {
            BYPASSES.set(true);
            let settled = poll(run);
            BYPASSES.set(false);
            match settled {
                Some(Ok(())) => {
                    round.conflicts += 1;
                    entry.stage = Stage::Done;
                }
                // It is sent again, and refused again.
                Some(Err(error)) => {
                    round.failure = Some(error);
                    entry.stage = Stage::Waiting;
                }
                None => {}
            }
        }
        answer
    }

    /// Writes a conflict down, and makes the change anew where that is the policy.
    fn settling(&self, txn: Txn, why: &'static str, now: Timestamp) -> Run<Result<()>> {
        let policy = self.policy.conflicts;
        let redo = event_of(&txn)
            .filter(|_| policy == Conflicts::LocalWins)
            .and_then(|(log, event)| self.redo.get().map(|redo| redo.redo(log, event)));
        let (inner, news) = (std::sync::Arc::clone(&self.inner), std::sync::Arc::clone(&self.news));
        let attempt_ms = self.policy.attempt_ms;
        Run::later(async move {
            let redone = match redo {
                Some(redo) => Some(redo.await),
                None => None,
            };
            if let Some(Err(error)) = &redone
                && is_for_now(error)
            {
                return Err(error.clone());
            }
            let conflict = describe(&txn, why, policy, redone.as_ref(), now.0);
            inner.run(put_down(&txn, &conflict, now, now.plus_ms(attempt_ms))).await?;
            news.tell("conflict", now.0, &conflict.members());
            Ok(())
        })
    }
}

/// Whether it may go better later: the backend, or our leave to use it, is away.
fn is_for_now(error: &Error) -> bool {
    error.is_of_the_way() || matches!(error.code, Code::Config | Code::Closed | Code::CircuitOpen)
}
