//! What a process knows of one breaker: the state, the log of what moved it, what the store is known to hold.

use std::collections::VecDeque;
use std::task::Waker;

use super::audit::{Audit, Note};
use super::cargo::Tried;
use super::held::{Begun, FRESH_MS, Scope, Settings};
use super::machine::{Applied, Event, Verdict, apply};
use super::policy::Policy;
use super::quorum::Ballot;
use super::state::{Cause, Mode, State, Transition};
use super::store::Stored;

/// Entries of the log at the most: when the store is away for long the oldest go, and the state stays.
const LOG: usize = 2_000;
/// Entries of a history that is kept here.
const HISTORY: usize = 100;

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

pub(super) struct Inner {
    pub policy: Policy,
    pub scope: Scope,
    pub state: State,
    pub log: VecDeque<Entry>,
    /// The number of the next entry.
    pub next: u64,
    /// Entries before this one are on their way, and as they are.
    pub leaving: u64,
    /// The latest write of the log whose answer never came.
    pub tried: Option<Tried>,
    /// What the store is known to hold.
    pub base: Option<Stored>,
    /// How often the store said what it holds.
    pub heard: u64,
    /// Whether that is known at all.
    pub known: bool,
    /// What is to be added to the clock here for the store's.
    pub offset: i64,
    pub loaded_at: u64,
    /// Failures of the store since it answered last; those of one moment are one.
    pub unheard: u32,
    pub syncing: bool,
    pub acquiring: u32,
    /// Who waits until the log is carried.
    pub waiting: Vec<Waker>,
    /// Entries of the history that the store has not got, in case it is away.
    pub unsaved: Vec<Audit>,
    pub history: VecDeque<Audit>,
    pub told: Vec<Transition>,
    pub used_at: u64,
    pub admitted: u64,
    pub rejected: u64,
    pub late: u64,
    /// What this process thinks, where most of them have to agree.
    pub ballot: Ballot,
}

impl Inner {
    pub fn new(settings: Settings) -> Self {
        Self {
            policy: settings.policy,
            scope: settings.scope,
            state: State::default(),
            log: VecDeque::new(),
            next: 0,
            leaving: 0,
            tried: None,
            base: None,
            heard: 0,
            known: false,
            offset: 0,
            loaded_at: 0,
            unheard: 0,
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
            ballot: Ballot::default(),
        }
    }

    /// The time that counts: the store's, as far as it is known.
    pub fn now(&self, local: u64) -> u64 {
        local.saturating_add_signed(self.offset)
    }

    /// The same as the machine takes it: never before the latest time that was seen. The store's time is an estimate, made
    /// anew with each answer, and may seem to go back by a few ms.
    pub fn present(&self, local: u64) -> u64 {
        self.now(local).max(self.state.at)
    }

    /// The store could not be reached last time.
    pub fn is_away(&self) -> bool {
        self.unheard > 0
    }

    /// The store could not be reached twice: this process decides alone. Once may be a hiccup, and who is not sure
    /// starts no probe.
    pub fn is_alone(&self) -> bool {
        self.unheard > 1
    }

    /// The store could not be reached by what began when `unheard` was this.
    pub fn failed(&mut self, unheard: u32) {
        if self.unheard == unheard {
            self.unheard = unheard.saturating_add(1);
        }
    }

    pub fn is_stale(&self, local: u64) -> bool {
        !self.known || local.abs_diff(self.loaded_at) > FRESH_MS
    }

    /// Whether only the store can say what happens to a call now.
    pub fn must_ask(&self, local: u64) -> bool {
        let now = self.present(local);
        let over = self.state.until.is_some_and(|until| until <= now);
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
            self.bound_unsaved();
            self.history.extend(entries);
            while self.history.len() > HISTORY {
                self.history.pop_front();
            }
        }
        applied
    }

    /// The store is away for long: the oldest changes become a range.
    fn bound_unsaved(&mut self) {
        while self.unsaved.len() > HISTORY {
            let first = self.unsaved.remove(0);
            if let Some(next) = self.unsaved.first_mut() {
                *next = first.merged(next);
            }
        }
    }

    /// Writes into the log what happened, so many times.
    pub fn remember(&mut self, event: Event, (at, times): (u64, u32), chance: f64, note: &Note, alone: bool) {
        if let Some(last) = self.log.back_mut() {
            // Equal results of one ms are one entry.
            let same = last.event == event && last.at == at && last.number >= self.leaving;
            if alone && same && matches!(event, Event::Report(..)) {
                last.times = last.times.saturating_add(times);
                return;
            }
        }
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        self.log.push_back(Entry { number: self.next, event, at, chance, times, note: note.clone() });
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

    /// The store holds `stored`, which has the log's entries before `carried` in it. It was asked when it had been heard
    /// `since` times: an older state is the store's that began anew, or of an answer that another one has overtaken.
    pub fn adopt(&mut self, stored: Option<Stored>, carried: u64, since: u64) {
        let version = |stored: &Option<Stored>| stored.as_ref().map_or(0, |stored| stored.version);
        if version(&stored) < version(&self.base) && self.heard != since {
            return;
        }
        self.heard += 1;
        while self.log.front().is_some_and(|entry| entry.number < carried) {
            self.log.pop_front();
        }
        let before = self.state.mode;
        let history = self.history.clone();
        self.unsaved.clear();
        self.state = stored.as_ref().map(|stored| stored.state.clone()).unwrap_or_default();
        self.base = stored;
        // What a vote brings is known when the store has it.
        let votes = |entry: &Entry| matches!(entry.event, Event::Vote { .. });
        for entry in self.log.clone().into_iter().filter(|entry| !votes(entry)) {
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
