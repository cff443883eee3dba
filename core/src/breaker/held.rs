//! A breaker as a process holds it: its own state, or its copy of one that several processes share.
//!
//! A shared breaker is moved here at once, and what moved it is kept in a log until the store has it too. What the
//! store then holds is the base, on which the rest of the log is played again: so the copy is the store's state and
//! whatever happened here since. `sync.rs` carries the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::audit::{Audit, Note};
use super::id::BreakerId;
use super::inner::Inner;
use super::machine::{Applied, Event, Outcome, Permit, Rejection, Verdict};
use super::outbox::Outbox;
use super::policy::Policy;
use super::state::{Mode, State, Transition};
use super::store::BreakerStore;
use super::window::Counts;
use crate::clock::Clock;
use crate::id::Ids;

/// A copy that is older is not believed.
pub(super) const FRESH_MS: u64 = 100;
/// Entries of the log that are carried at once.
pub(super) const BATCH: usize = 50;
/// What a random number is shifted by for a process' own: what is left is exact in every JSON.
const WHO_BITS: u32 = 16;

/// Whose state it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This process' own.
    Local,
    /// That of all processes on the store; their results count together.
    Shared,
    /// The same, but each process counts for itself, and it opens when most of those that call see it failing.
    Quorum,
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

/// See the module.
pub struct Breaker {
    pub number: u32,
    pub id: BreakerId,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<dyn Ids>,
    pub(super) store: Option<Arc<dyn BreakerStore>>,
    pub(super) outbox: Arc<Outbox>,
    /// This process' number, where votes are told apart.
    who: u64,
    inner: Mutex<Inner>,
}

impl Breaker {
    pub(super) fn new(
        number: u32,
        id: BreakerId,
        settings: Settings,
        (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>),
        store: Option<Arc<dyn BreakerStore>>,
        outbox: Arc<Outbox>,
    ) -> Self {
        let (who, inner) = (ids.random() >> WHO_BITS, Inner::new(settings));
        Self { number, id, clock, ids, store, outbox, who, inner: Mutex::new(inner) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic here is a bug of ours; what it left is still the best that is known.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store, if this breaker is shared.
    pub(super) fn shared(&self, inner: &Inner) -> Option<&Arc<dyn BreakerStore>> {
        self.store.as_ref().filter(|_| inner.scope != Scope::Local)
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
        if self.shared(&inner).is_some() && !inner.is_alone() && inner.must_ask(local) {
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
        let now = inner.now(local);
        inner.used_at = local;
        self.result(&mut inner, permit, outcome, now)
    }

    /// A result of this time.
    pub(super) fn result(&self, inner: &mut Inner, permit: Permit, outcome: Outcome, now: u64) -> Ended {
        let event = if self.votes(inner, permit.generation) {
            inner.ballot.count(self.who, &inner.policy, permit.generation, outcome, now)
        } else {
            Some(Event::Report(permit, outcome))
        };
        self.told(inner, event, now)
    }

    /// Ends a call that was let through without a result.
    pub fn release(&self, permit: Permit) -> Ended {
        let local = self.clock.now().0;
        let mut inner = self.lock();
        inner.used_at = local;
        let now = inner.now(local);
        self.told(&mut inner, Some(Event::Release(permit)), now)
    }

    /// The caller's own rule says that it should open.
    pub fn trip(&self) -> Ended {
        let local = self.clock.now().0;
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.used_at = local;
        let (now, generation) = (inner.now(local), inner.state.generation);
        let event = if self.votes(inner, generation) {
            inner.ballot.trip(self.who, generation, now)
        } else {
            Some(Event::Trip)
        };
        self.told(inner, event, now)
    }

    /// Whether a result of this generation is this process' own affair, and its vote that of all.
    pub(super) fn votes(&self, inner: &Inner, generation: u64) -> bool {
        let State { mode, generation: present, .. } = inner.state;
        let quorum = inner.scope == Scope::Quorum && self.shared(inner).is_some();
        quorum && mode == Mode::Closed && generation == present
    }

    fn told(&self, inner: &mut Inner, event: Option<Event>, now: u64) -> Ended {
        let Some(event) = event else { return Ended { told: false, urgent: false } };
        let applied = self.happen(inner, event, now, &Note::default());
        inner.late += u64::from(applied.verdict == Verdict::Ignored);
        let warns = matches!(event, Event::Vote { failing: true, .. });
        let decides = warns || !applied.transitions.is_empty() || inner.state.mode == Mode::HalfOpen;
        let urgent = self.shared(inner).is_some() && (decides || inner.log.len() >= BATCH);
        Ended { told: !inner.told.is_empty(), urgent }
    }

    /// What an open time that begins now would be spread by.
    pub(super) fn chance(&self, inner: &Inner) -> f64 {
        if inner.policy.jitter > 0.0 { (self.ids.random() >> 11) as f64 / (1u64 << 53) as f64 } else { 0.5 }
    }

    /// Moves the state here, and remembers it for the store.
    pub(super) fn happen(&self, inner: &mut Inner, event: Event, now: u64, note: &Note) -> Applied {
        let chance = self.chance(inner);
        if matches!(event, Event::Vote { .. }) && self.shared(inner).is_some() && !inner.is_alone() {
            // The others' votes may be unknown here: the store decides.
            inner.remember(event, (now, 1), chance, note, false);
            return Applied { verdict: Verdict::Noted, transitions: Vec::new() };
        }
        let applied = inner.play(event, now, chance, note);
        let changed = applied.verdict == Verdict::Noted
            || !applied.transitions.is_empty()
            || matches!(applied.verdict, Verdict::Admitted(Permit { probe: 1.., .. }));
        if self.shared(inner).is_none() {
            // What happens here is what happened: nobody else has to know first.
            if !inner.unsaved.is_empty() {
                self.outbox.post(&self.id, &std::mem::take(&mut inner.unsaved));
            }
        } else if changed {
            inner.remember(event, (now, 1), chance, note, applied.transitions.is_empty());
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
        if self.shared(&inner).is_none() || inner.is_alone() {
            let now = inner.now(local);
            self.happen(&mut inner, Event::Tick, now, &Note::default());
        }
        let now = inner.present(local);
        let (span, mut state) = (inner.policy.span, inner.state.clone());
        if self.votes(&inner, state.generation) {
            inner.ballot.show(&mut state);
        }
        Standing {
            counts: state.window.counts(span, now),
            state,
            now,
            scope: if self.store.is_some() { inner.scope } else { Scope::Local },
            away: inner.is_away(),
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
