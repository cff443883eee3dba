//! A shared breaker and its store: the copy is refreshed, the log is carried, probes are asked for, orders are given.
//!
//! Nothing here makes a protected call fail: when the store can't be reached, the breaker goes on with what is known.

use std::task::{Poll, Waker};

use super::audit::{Audit, Note};
use super::held::{Begun, Breaker, Entry, Inner};
use super::machine::{Applied, Event, Verdict, apply};
use super::policy::Policy;
use super::state::State;
use super::store::{BreakerStore, Loaded, Stored, Write, Written};
use crate::clock::Timestamp;
use crate::error::{Effect, Error, Result};

/// How often a write is made anew after another one was faster.
const TRIES: usize = 64;

/// Sets a mark back, also where a call is given up half-way.
struct Mark<'a>(&'a Breaker, fn(&mut Inner));

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        (self.1)(&mut self.0.lock());
    }
}

/// What is to be carried.
struct Cargo {
    entries: Vec<Entry>,
    /// Entries before this one are in it.
    carried: u64,
    /// What the store is thought to hold, if that is worth a try.
    base: Option<Option<Stored>>,
    policy: Policy,
    stamp: String,
    /// A write that may have been done after all.
    tried: Option<(String, u64)>,
    /// The state here, where it may be the one that counts.
    fork: Option<(State, Vec<Audit>)>,
    /// Whether the store held it once.
    stood: bool,
}

impl Breaker {
    /// Refreshes the copy and carries the log: one round trip, more when another process writes at the same time.
    /// A second call meanwhile does nothing.
    ///
    /// # Errors
    /// Those of the store; the breaker goes on from what it knows.
    pub async fn sync(&self, deadline: Timestamp) -> Result<()> {
        let (store, cargo) = {
            let mut inner = self.lock();
            let Some(store) = self.shared(&inner).cloned() else { return Ok(()) };
            if std::mem::replace(&mut inner.syncing, true) {
                return Ok(());
            }
            inner.leaving = inner.next;
            let cargo = inner.cargo(self.ids.operation());
            inner.tried = Some((cargo.stamp.clone(), cargo.carried));
            (store, cargo)
        };
        let _mark = Mark(self, |inner| {
            inner.syncing = false;
            inner.waiting.drain(..).for_each(Waker::wake);
        });
        let sent = self.clock.now().0;
        let carried = cargo.carried;
        let done = carry(&*store, &self.id, cargo, deadline).await;
        let mut inner = self.lock();
        match done {
            Ok((stored, now)) => {
                inner.tried = None;
                self.heard(&mut inner, sent, now);
                inner.adopt(stored, carried);
                Ok(())
            }
            Err(error) => {
                inner.away = true;
                Err(error)
            }
        }
    }

    /// Asks the store for leave to make a call: a probe of a half-open circuit, or a call of which only the store
    /// knows whether it may be made. At the most as many at a time ask as there may be probes.
    pub async fn acquire(&self, deadline: Timestamp) -> Begun {
        // A probe of ours that has ended makes room for the next one.
        self.carried(deadline).await;
        let (store, base) = {
            let mut inner = self.lock();
            let Some(store) = self.shared(&inner).cloned() else {
                return self.begin_here(&mut inner, self.clock.now().0);
            };
            inner.acquiring += 1;
            let fresh = !inner.is_stale(self.clock.now().0) && !inner.syncing && inner.log.is_empty();
            (store, fresh.then(|| inner.base.clone()))
        };
        let _mark = Mark(self, |inner| inner.acquiring -= 1);
        let done = self.decide(&*store, Event::Acquire, &Note::default(), base, deadline).await;
        let mut inner = self.lock();
        match done {
            Ok(applied) => inner.begun(applied.verdict),
            Err(_) => {
                inner.away = true;
                self.begin_here(&mut inner, self.clock.now().0)
            }
        }
    }

    /// Gives an order, to all processes that share the breaker. With the store away it holds here, and is carried
    /// when the store is back.
    pub async fn command(&self, event: Event, note: Note, deadline: Timestamp) {
        let (shared, was_away) = {
            let inner = self.lock();
            (self.shared(&inner).cloned(), inner.away)
        };
        // What went on here while the store was away comes first.
        let is_back = !was_away || self.sync(deadline).await.is_ok();
        if let Some(store) = shared
            && is_back
            && self.decide(&*store, event, &note, None, deadline).await.is_ok()
        {
            return;
        }
        let mut inner = self.lock();
        let now = inner.now(self.clock.now().0);
        inner.away = self.shared(&inner).is_some();
        self.happen(&mut inner, event, now, &note);
    }

    /// Takes over a state from elsewhere, unless there is one of the same or a later generation here already.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn import(&self, state: &State, deadline: Timestamp) -> Result<bool> {
        let shared = {
            let inner = self.lock();
            self.shared(&inner).cloned()
        };
        let Some(store) = shared else { return Ok(self.lock().replace(state)) };
        for _ in 0..TRIES {
            let seen = store.load(&self.id, deadline).await?.stored;
            if seen.as_ref().is_some_and(|stored| stored.state.generation >= state.generation) {
                return Ok(false);
            }
            let (stamp, audit) = (self.ids.operation(), Vec::new());
            let write = Write { stamp, expected: seen, state: state.clone(), audit };
            if let Written::Done(stored, _) = store.transition(&self.id, write, deadline).await? {
                self.lock().adopt(Some(stored), 0);
                return Ok(true);
            }
        }
        Err(Error::unavailable("too many write at the same time", Effect::NotApplied))
    }

    /// Its history, the newest first: the store's, or with the store away what is known here.
    pub async fn history(&self, limit: usize, deadline: Timestamp) -> Vec<Audit> {
        let shared = {
            let inner = self.lock();
            self.shared(&inner).cloned()
        };
        let Some(store) = shared else { return self.history_here(limit) };
        self.carried(deadline).await;
        store.history(&self.id, limit, deadline).await.unwrap_or_else(|_| self.history_here(limit))
    }

    /// Refreshes the copy, if it is too old to be believed.
    pub async fn refresh(&self, deadline: Timestamp) {
        self.carried(deadline).await;
        let stale = {
            let inner = self.lock();
            self.shared(&inner).is_some() && inner.is_stale(self.clock.now().0)
        };
        if stale {
            // What can't be refreshed is told as it is known.
            let _ = self.sync(deadline).await;
        }
    }

    /// Waits until what happened here so far is in the store, or the store could not be asked.
    async fn carried(&self, deadline: Timestamp) {
        std::future::poll_fn(|cx| {
            let mut inner = self.lock();
            if !inner.syncing {
                return Poll::Ready(());
            }
            inner.waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
        let has_news = !self.lock().log.is_empty();
        if has_news {
            // A failure is remembered: the store is away then.
            let _ = self.sync(deadline).await;
        }
    }

    /// Whether it was used lately, or has something to carry.
    #[must_use]
    pub fn is_active(&self, within_ms: u64) -> bool {
        let inner = self.lock();
        let used = self.clock.now().0.saturating_sub(inner.used_at) < within_ms;
        self.shared(&inner).is_some() && (used || !inner.log.is_empty() && !inner.away)
    }

    /// One event, decided by what the store holds.
    async fn decide(
        &self,
        store: &dyn BreakerStore,
        event: Event,
        note: &Note,
        mut base: Option<Option<Stored>>,
        deadline: Timestamp,
    ) -> Result<Applied> {
        for _ in 0..TRIES {
            let sent = self.clock.now().0;
            let seen = match base.take() {
                Some(seen) => seen,
                None => {
                    let loaded = store.load(&self.id, deadline).await?;
                    self.heard(&mut self.lock(), sent, loaded.now);
                    loaded.stored
                }
            };
            let (applied, write) = self.planned(event, note, seen.clone());
            let Some(write) = write else {
                let mut inner = self.lock();
                inner.adopt(seen, 0);
                return Ok(applied);
            };
            match store.transition(&self.id, write, deadline).await? {
                Written::Done(stored, now) => {
                    let mut inner = self.lock();
                    self.heard(&mut inner, sent, now);
                    inner.adopt(Some(stored), 0);
                    return Ok(applied);
                }
                Written::Changed(Loaded { stored, now }) => {
                    self.heard(&mut self.lock(), sent, now);
                    base = Some(stored);
                }
            }
        }
        Err(Error::unavailable("too many write at the same time", Effect::NotApplied))
    }

    /// What an event makes of what the store holds; no write where it changes nothing that others must know.
    fn planned(&self, event: Event, note: &Note, seen: Option<Stored>) -> (Applied, Option<Write>) {
        let inner = self.lock();
        let now = inner.now(self.clock.now().0);
        let mut state = seen.as_ref().map(|stored| stored.state.clone()).unwrap_or_default();
        let counted = (state.failures, state.successes);
        let chance = (self.ids.random() >> 11) as f64 / (1u64 << 53) as f64;
        let applied = apply(&inner.policy, &mut state, event, now, chance);
        let audit = Audit::entries(&applied, event, counted, &state, note);
        let probes = matches!(applied.verdict, Verdict::Admitted(permit) if permit.probe > 0);
        let orders = matches!(event, Event::Command(_)) && applied.verdict == Verdict::Noted;
        let writes = probes || orders || !applied.transitions.is_empty();
        let stamp = self.ids.operation();
        let write = writes.then_some(Write { stamp, expected: seen, state, audit });
        (applied, write)
    }

    /// The store answered, and told its time: taken for that of the middle of the round trip.
    fn heard(&self, inner: &mut Inner, sent: u64, now: u64) {
        let local = self.clock.now().0;
        let middle = sent.midpoint(local);
        inner.offset = now.cast_signed().saturating_sub(middle.cast_signed());
        inner.loaded_at = local;
        inner.known = true;
        inner.away = false;
    }
}

impl Inner {
    fn cargo(&self, stamp: String) -> Cargo {
        let entries: Vec<Entry> = self.log.iter().cloned().collect();
        let worth = self.known && !self.away && !entries.is_empty();
        Cargo {
            carried: self.next,
            base: worth.then(|| self.base.clone()),
            policy: self.policy.clone(),
            stamp,
            tried: self.tried.clone(),
            fork: (self.away || self.base.is_some()).then(|| (self.state.clone(), self.unsaved.clone())),
            stood: !self.away,
            entries,
        }
    }
}

/// Brings the store what happened here; answers what it then holds.
async fn carry(
    store: &dyn BreakerStore,
    id: &super::id::BreakerId,
    mut cargo: Cargo,
    deadline: Timestamp,
) -> Result<(Option<Stored>, u64)> {
    let mut time = 0;
    for _ in 0..TRIES {
        let seen = match cargo.base.take() {
            Some(seen) => seen,
            None => {
                let loaded = store.load(id, deadline).await?;
                time = loaded.now;
                loaded.stored
            }
        };
        let Some(write) = cargo.write(seen.clone()) else {
            if time == 0 {
                // Nothing to write after all: then at least the copy is made fresh.
                continue;
            }
            return Ok((seen, time));
        };
        match store.transition(id, write, deadline).await? {
            Written::Done(stored, now) => return Ok((Some(stored), now)),
            Written::Changed(loaded) => {
                time = loaded.now;
                cargo.base = Some(loaded.stored);
            }
        }
    }
    Err(Error::unavailable("too many write at the same time", Effect::NotApplied))
}

impl Cargo {
    /// The later generation counts: what went on here while the store was away, or what went on there.
    fn write(&mut self, seen: Option<Stored>) -> Option<Write> {
        let done = |stored: &Stored, stamp: &str| stored.stamp.rsplit('.').next() == Some(stamp);
        let tried = self.tried.take_if(|(stamp, _)| seen.as_ref().is_some_and(|stored| done(stored, stamp)));
        if let Some((_, carried)) = tried {
            // Its answer was lost, not the write.
            self.entries.retain(|entry| entry.number >= carried);
            self.stood = true;
        }
        if let Some((state, audit)) = &self.fork {
            let there = seen.as_ref().map_or(0, |stored| stored.state.generation);
            let lost = seen.is_none() && state.generation > 0;
            if lost || (!self.stood && state.generation > there) {
                return Some(Write {
                    stamp: self.stamp.clone(),
                    expected: seen,
                    state: state.clone(),
                    audit: audit.clone(),
                });
            }
        }
        let mut state = seen.as_ref().map(|stored| stored.state.clone()).unwrap_or_default();
        let (mut audit, mut changed) = (Vec::new(), false);
        for entry in &self.entries {
            for _ in 0..entry.times {
                let counted = (state.failures, state.successes);
                let applied = apply(&self.policy, &mut state, entry.event, entry.at, entry.chance);
                changed |= applied.verdict != Verdict::Ignored || !applied.transitions.is_empty();
                audit.extend(Audit::entries(&applied, entry.event, counted, &state, &entry.note));
            }
        }
        changed.then(|| Write { stamp: self.stamp.clone(), expected: seen, state, audit })
    }
}
