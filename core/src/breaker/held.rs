//! A breaker as a process holds it: its own state, or its copy of one that several processes share.
//!
//! A shared breaker is moved here at once, and what moved it is kept in a log until the store has it too. What the
//! store then holds is the base, on which the rest of the log is played again: so the copy is the store's state and
//! whatever happened here since. `sync.rs` carries the log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::audit::{Audit, Note};
use super::id::BreakerId;
use super::machine::{Applied, Event, Outcome, Permit, Rejection, Verdict, apply};
use super::policy::Policy;
use super::state::{Cause, Mode, State, Transition};
use super::store::{BreakerStore, Stored};
use super::window::Counts;
use crate::clock::Clock;
use crate::id::Ids;

/// A copy that is older is not believed.
pub(super) const FRESH_MS: u64 = 100;
/// Entries of the log that are carried at once.
const BATCH: usize = 50;
/// Entries of the log at the most: when the store is away for long the oldest go, and the state stays.
const LOG: usize = 2_000;
/// Entries of a history that is kept here.
const HISTORY: usize = 100;

/// Whose state it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This process' own.
    Local,
    /// That of all processes on the store.
    Shared,
}

/// How a breaker is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub policy: Policy,
    pub scope: Scope,
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    Admitted(Permit),
    Rejected(Rejection),
    /// Only the store can say: see [`Breaker::acquire`].
    AskStore,
}

/// What a result or an order brought about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// There are transitions to be told.
    pub told: bool,
    /// The store should hear of it now.
    pub urgent: bool,
}

/// How a breaker is doing.
#[derive(Debug, Clone)]
pub struct Standing {
    pub state: State,
    pub counts: Counts,
    /// By the clock that counts.
    pub now: u64,
    pub scope: Scope,
    /// The store could not be reached last time.
    pub away: bool,
    /// Calls that were let through or not, here.
    pub admitted: u64,
    pub rejected: u64,
    /// Results that came too late to count, here.
    pub late: u64,
}

/// One thing that moved the state.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub number: u64,
    pub event: Event,
    pub at: u64,
    pub chance: f64,
    pub times: u32,
    pub note: Note,
}

/// See the module.
pub struct Breaker {
    pub number: u32,
    pub id: BreakerId,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<dyn Ids>,
    pub(super) store: Option<Arc<dyn BreakerStore>>,
    inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub policy: Policy,
    pub scope: Scope,
    pub state: State,
    pub log: VecDeque<Entry>,
    /// The number of the next entry.
    pub next: u64,
    /// Entries before this one are on their way, and as they are.
    pub leaving: u64,
    /// The stamp of the latest write of the log whose answer never came, and the entries that it carried.
    pub tried: Option<(String, u64)>,
    /// What the store is known to hold.
    pub base: Option<Stored>,
    /// Whether that is known at all.
    pub known: bool,
    /// What is to be added to the clock here for the store's.
    pub offset: i64,
    pub loaded_at: u64,
    pub away: bool,
    pub syncing: bool,
    pub acquiring: u32,
    /// Who waits until the log is carried.
    pub waiting: Vec<Waker>,
    /// Entries of the history that the store has not got, in case it is away.
    pub unsaved: Vec<Audit>,
    pub history: VecDeque<Audit>,
    pub told: Vec<Transition>,
    pub used_at: u64,
    admitted: u64,
    rejected: u64,
    late: u64,
}

impl Breaker {
    pub(super) fn new(
        number: u32,
        id: BreakerId,
        settings: Settings,
        (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>),
        store: Option<Arc<dyn BreakerStore>>,
    ) -> Self {
        let inner = Inner {
            policy: settings.policy,
            scope: settings.scope,
            state: State::default(),
            log: VecDeque::new(),
            next: 0,
            leaving: 0,
            tried: None,
            base: None,
            known: false,
            offset: 0,
            loaded_at: 0,
            away: false,
            syncing: false,
            acquiring: 0,
            waiting: Vec::new(),
            unsaved: Vec::new(),
            history: VecDeque::new(),
            told: Vec::new(),
            used_at: 0,
            admitted: 0,
            rejected: 0,
            late: 0,
        };
        Self { number, id, clock, ids, store, inner: Mutex::new(inner) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic here is a bug of ours; what it left is still the best that is known.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store, if this breaker is shared.
    pub(super) fn shared(&self, inner: &Inner) -> Option<&Arc<dyn BreakerStore>> {
        self.store.as_ref().filter(|_| inner.scope == Scope::Shared)
    }

    /// Takes other settings; the state stays as it is.
    pub fn set(&self, settings: Settings) {
        let mut inner = self.lock();
        (inner.policy, inner.scope) = (settings.policy, settings.scope);
    }

    /// Asks for leave to make a call. No round trip, no waiting.
    #[must_use]
    pub fn begin(&self) -> Begun {
        let local = self.clock.now().0;
        let mut inner = self.lock();
        inner.used_at = local;
        if self.shared(&inner).is_some() && !inner.away && inner.must_ask(local) {
            let probes = inner.policy.probes.max(1.0);
            let waiting = f64::from(inner.acquiring) >= probes && inner.state.mode != Mode::Closed;
            if !waiting {
                return Begun::AskStore;
            }
            let (mode, now) = (inner.state.mode, inner.now(local));
            let retry_after_ms = inner.state.retry_after(now);
            return inner.begun(Verdict::Rejected(Rejection { mode, retry_after_ms }));
        }
        self.begin_here(&mut inner, local)
    }

    /// The same without asking anybody.
    pub(super) fn begin_here(&self, inner: &mut Inner, local: u64) -> Begun {
        let now = inner.now(local);
        let verdict = self.happen(inner, Event::Acquire, now, &Note::default()).verdict;
        inner.begun(verdict)
    }

    /// Finishes a call that was let through. No round trip.
    pub fn end(&self, permit: Permit, failed: bool, took_ms: f64) -> Ended {
        let local = self.clock.now().0;
        let mut inner = self.lock();
        let outcome = Outcome::of(&inner.policy, failed, took_ms);
        self.told(&mut inner, Event::Report(permit, outcome), local)
    }

    /// Ends a call that was let through without a result.
    pub fn release(&self, permit: Permit) -> Ended {
        let local = self.clock.now().0;
        self.told(&mut self.lock(), Event::Release(permit), local)
    }

    /// The caller's own rule says that it should open.
    pub fn trip(&self) -> Ended {
        let local = self.clock.now().0;
        self.told(&mut self.lock(), Event::Trip, local)
    }

    fn told(&self, inner: &mut Inner, event: Event, local: u64) -> Ended {
        inner.used_at = local;
        let now = inner.now(local);
        let applied = self.happen(inner, event, now, &Note::default());
        inner.late += u64::from(applied.verdict == Verdict::Ignored);
        let decides = !applied.transitions.is_empty() || inner.state.mode == Mode::HalfOpen;
        let urgent = self.shared(inner).is_some() && (decides || inner.log.len() >= BATCH);
        Ended { told: !inner.told.is_empty(), urgent }
    }

    /// Moves the state here, and remembers it for the store.
    pub(super) fn happen(&self, inner: &mut Inner, event: Event, now: u64, note: &Note) -> Applied {
        let chance = if inner.policy.jitter > 0.0 {
            (self.ids.random() >> 11) as f64 / (1u64 << 53) as f64
        } else {
            0.5
        };
        let applied = inner.play(event, now, chance, note);
        let changed = applied.verdict == Verdict::Noted
            || !applied.transitions.is_empty()
            || matches!(applied.verdict, Verdict::Admitted(Permit { probe: 1.., .. }));
        if changed && self.shared(inner).is_some() {
            inner.remember(event, now, chance, note, applied.transitions.is_empty());
        }
        inner.told.extend(&applied.transitions);
        applied
    }

    /// The transitions since this was asked last.
    #[must_use]
    pub fn take_told(&self) -> Vec<Transition> {
        std::mem::take(&mut self.lock().told)
    }

    /// How it is doing, as far as is known here.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let local = self.clock.now().0;
        let mut inner = self.lock();
        let now = inner.now(local);
        if self.shared(&inner).is_none() || inner.away {
            self.happen(&mut inner, Event::Tick, now, &Note::default());
        }
        let span = inner.policy.span;
        Standing {
            counts: inner.state.window.counts(span, now),
            state: inner.state.clone(),
            now,
            scope: if self.store.is_some() { inner.scope } else { Scope::Local },
            away: inner.away,
            admitted: inner.admitted,
            rejected: inner.rejected,
            late: inner.late,
        }
    }

    /// What is known here of its history, the newest first.
    #[must_use]
    pub fn history_here(&self, limit: usize) -> Vec<Audit> {
        self.lock().history.iter().rev().take(limit).cloned().collect()
    }
}

impl Inner {
    /// The time that counts: the store's, as far as it is known.
    pub fn now(&self, local: u64) -> u64 {
        local.saturating_add_signed(self.offset)
    }

    pub fn is_stale(&self, local: u64) -> bool {
        !self.known || local.abs_diff(self.loaded_at) > FRESH_MS
    }

    /// Whether only the store can say what happens to a call now.
    fn must_ask(&self, local: u64) -> bool {
        let over = self.state.until.is_some_and(|until| until <= self.now(local));
        self.is_stale(local) || self.state.mode == Mode::HalfOpen || over
    }

    pub fn begun(&mut self, verdict: Verdict) -> Begun {
        match verdict {
            Verdict::Admitted(permit) => {
                self.admitted += 1;
                Begun::Admitted(permit)
            }
            Verdict::Rejected(rejection) => {
                self.rejected += 1;
                Begun::Rejected(rejection)
            }
            // The machine answers an Acquire in one of the two ways.
            Verdict::Noted | Verdict::Ignored => Begun::AskStore,
        }
    }

    /// Moves the state and writes the history.
    pub fn play(&mut self, event: Event, now: u64, chance: f64, note: &Note) -> Applied {
        let counted = (self.state.failures, self.state.successes);
        let applied = apply(&self.policy, &mut self.state, event, now, chance);
        if !applied.transitions.is_empty() || matches!(event, Event::Command(_)) {
            let entries = Audit::entries(&applied, event, counted, &self.state, note);
            self.unsaved.extend(entries.iter().cloned());
            self.unsaved.truncate(HISTORY);
            self.history.extend(entries);
            while self.history.len() > HISTORY {
                self.history.pop_front();
            }
        }
        applied
    }

    fn remember(&mut self, event: Event, at: u64, chance: f64, note: &Note, alone: bool) {
        if let Some(last) = self.log.back_mut() {
            // Equal results of one ms are one entry.
            let same = last.event == event && last.at == at && last.number >= self.leaving;
            if alone && same && matches!(event, Event::Report(..)) {
                last.times += 1;
                return;
            }
        }
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        self.log.push_back(Entry { number: self.next, event, at, chance, times: 1, note: note.clone() });
        self.next += 1;
    }

    /// Takes another state, of a later generation, or the first that there is.
    pub fn replace(&mut self, state: &State) -> bool {
        let is_later = state.generation > self.state.generation || self.state == State::default();
        if is_later {
            self.state = state.clone();
        }
        is_later
    }

    /// The store holds `stored`, which has the log's entries before `carried` in it.
    pub fn adopt(&mut self, stored: Option<Stored>, carried: u64) {
        let version = |stored: &Option<Stored>| stored.as_ref().map_or(0, |stored| stored.version);
        if version(&stored) < version(&self.base) && stored.is_some() {
            return;
        }
        while self.log.front().is_some_and(|entry| entry.number < carried) {
            self.log.pop_front();
        }
        let before = self.state.mode;
        let history = self.history.clone();
        self.unsaved.clear();
        self.state = stored.as_ref().map(|stored| stored.state.clone()).unwrap_or_default();
        self.base = stored;
        for entry in self.log.clone() {
            for _ in 0..entry.times {
                self.play(entry.event, entry.at, entry.chance, &entry.note);
            }
        }
        // Playing again is not happening again.
        self.history = history;
        if self.state.mode != before {
            let State { mode, since, generation, until, cause, .. } = self.state;
            let cause = cause.unwrap_or(Cause::Command);
            self.told.push(Transition { from: before, to: mode, at: since, generation, until, cause });
        }
    }
}
