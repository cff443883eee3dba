//! A shared breaker and its store: the copy is refreshed, the log is carried, probes are asked for, orders are given.
//!
//! Nothing here makes a protected call fail: when the store can't be reached, the breaker goes on with what is known.

use std::task::{Poll, Waker};

use super::audit::{Audit, Note};
use super::cargo::Cargo;
use super::held::{Begun, Breaker};
use super::inner::Inner;
use super::machine::{Applied, Event, Rejection, Verdict, apply};
use super::state::{Mode, State};
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
            (store, inner.cargo(self.ids.operation()))
        };
        let _mark = Mark(self, |inner| {
            inner.syncing = false;
            inner.waiting.drain(..).for_each(Waker::wake);
        });
        let sent = self.clock.now().0;
        let (unheard, since) = {
            let inner = self.lock();
            (inner.unheard, inner.heard)
        };
        let carried = cargo.carried;
        let done = self.carry(&*store, cargo, deadline).await;
        let mut inner = self.lock();
        match done {
            Ok((stored, now, audit)) => {
                self.outbox.post(&self.id, &audit);
                inner.tried = None;
                self.heard(&mut inner, sent, now);
                inner.adopt(stored, carried, since);
                Ok(())
            }
            Err(error) => {
                inner.failed(unheard);
                Err(error)
            }
        }
    }

    /// Asks the store for leave to make a call: a probe of a half-open circuit, or a call of which only the store
    /// knows whether it may be made. At the most as many at a time ask as there may be probes.
    pub async fn acquire(&self, deadline: Timestamp) -> Begun {
        let unheard = self.lock().unheard;
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
                inner.failed(unheard);
                let local = self.clock.now().0;
                if inner.is_alone() || matches!(inner.state.mode, Mode::Closed | Mode::Disabled) {
                    return self.begin_here(&mut inner, local);
                }
                let (mode, now) = (inner.state.mode, inner.now(local));
                let retry_after_ms = inner.state.retry_after(now);
                inner.begun(Verdict::Rejected(Rejection { mode, retry_after_ms }))
            }
        }
    }

    /// Gives an order, to all processes that share the breaker. With the store away it holds here, and is carried
    /// when the store is back.
    pub async fn command(&self, event: Event, note: Note, deadline: Timestamp) {
        let (shared, was_away, has_news) = {
            let inner = self.lock();
            (self.shared(&inner).cloned(), inner.is_away(), !inner.log.is_empty())
        };
        // What went on here comes first: an order that overtook it would begin a generation in which it does not count any
        // more, and an opening that callers saw would be in no history.
        let mut is_back = true;
        if was_away {
            is_back = self.sync(deadline).await.is_ok();
        } else if has_news {
            self.carried(deadline).await;
        }
        if let Some(store) = shared
            && is_back
            && self.decide(&*store, event, &note, None, deadline).await.is_ok()
        {
            return;
        }
        let mut inner = self.lock();
        let now = inner.now(self.clock.now().0);
        if self.shared(&inner).is_some() {
            inner.unheard = inner.unheard.max(1);
        }
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
            let since = self.lock().heard;
            let seen = store.load(&self.id, deadline).await?.stored;
            if seen.as_ref().is_some_and(|stored| stored.state.generation >= state.generation) {
                return Ok(false);
            }
            let (stamp, audit) = (self.ids.operation(), Vec::new());
            let write = Write { stamp, expected: seen, state: state.clone(), audit };
            if let Written::Done(stored, _) = store.transition(&self.id, write, deadline).await? {
                self.lock().adopt(Some(stored), 0, since);
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
        self.shared(&inner).is_some() && (used || !inner.log.is_empty())
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
        let since = self.lock().heard;
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
                inner.adopt(seen, 0, since);
                return Ok(applied);
            };
            let audit = write.audit.clone();
            match store.transition(&self.id, write, deadline).await? {
                Written::Done(stored, now) => {
                    let mut inner = self.lock();
                    self.heard(&mut inner, sent, now);
                    inner.adopt(Some(stored), 0, since);
                    self.outbox.post(&self.id, &audit);
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

    /// Brings the store what happened here: what it then holds, its time, and the changes that this made.
    async fn carry(
        &self,
        store: &dyn BreakerStore,
        mut cargo: Cargo,
        deadline: Timestamp,
    ) -> Result<(Option<Stored>, u64, Vec<Audit>)> {
        let mut time = 0;
        for _ in 0..TRIES {
            let seen = match cargo.base.take() {
                Some(seen) => seen,
                None => {
                    let loaded = store.load(&self.id, deadline).await?;
                    time = loaded.now;
                    loaded.stored
                }
            };
            let Some(write) = cargo.write(seen.clone()) else {
                if time == 0 {
                    // Nothing to write after all: then at least the copy is made fresh.
                    continue;
                }
                return Ok((seen, time, cargo.settled));
            };
            // Should the answer be lost, the write is known again by its stamp.
            self.lock().tried = Some(cargo.send(&write));
            let audit = write.audit.clone();
            match store.transition(&self.id, write, deadline).await? {
                Written::Done(stored, now) => {
                    cargo.settled.extend(audit);
                    return Ok((Some(stored), now, cargo.settled));
                }
                Written::Changed(loaded) => {
                    time = loaded.now;
                    cargo.base = Some(loaded.stored);
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
        inner.unheard = 0;
    }
}
