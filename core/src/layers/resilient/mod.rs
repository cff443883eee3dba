//! A backend that may go away, wrapped so that callers notice as little as can honestly be.
//!
//! Outermost first: fallback ([`overlay`], [`journal`]), the call's deadline, [`retry`], the breaker ([`gate`]), the
//! time of one attempt, the backend. They are one layer rather than six around each other, because a healthy call then
//! costs one look at a flag and no allocation: what differs from handing a transaction through begins when an attempt
//! fails, or when the breaker is not closed.
//!
//! Nothing here waits by itself: whoever drives the connection calls [`Resilient::tick`].

mod batch;
mod conflict;
mod drain;
mod fallback;
mod gate;
mod journal;
mod news;
mod overlay;
mod policy;
mod probe;
mod retry;
mod standings;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub use conflict::{Redo, conflicts_after};
pub use news::Standing;
pub use policy::{Bounds, Conflicts, Policy, Retry};
pub use standings::Standings;

use crate::backend::{Backend, Failed, Glance, Info, Sight, Wait};
use crate::breaker::{Mode, Permit};
use crate::clock::{Clock, Timestamp};
use crate::error::{Effect, Error, Result};
use crate::id::Ids;
use crate::journal::{Found, JournalFile};
use crate::layers::Counts;
use crate::near::Near;
use crate::run::Run;
use crate::timer::Timers;
use crate::topic::{Subscription, Topic};
use crate::txn::{Fate, Noted, Outcome, Txn};

use fallback::Away;
use gate::{Gate, Told};
use news::News;
use probe::Probe;
use retry::{Budget, Repeat, pause, repeat, tells_nothing};

/// What a resilient backend is made of.
pub struct Parts {
    pub inner: Arc<dyn Backend>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub timers: Arc<Timers>,
    pub counts: Arc<Counts>,
}

/// A backend that may go away.
pub struct Resilient {
    core: Arc<Core>,
}

struct Core {
    inner: Arc<dyn Backend>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    timers: Arc<Timers>,
    counts: Arc<Counts>,
    policy: Policy,
    gate: Gate,
    budget: Budget,
    /// The breaker is closed and nothing is kept: transactions are handed through.
    clear: AtomicBool,
    /// Calls so far: their order.
    calls: AtomicU64,
    away: Mutex<Away>,
    probe: Mutex<Probe>,
    news: Arc<News>,
    near: OnceLock<Arc<dyn Near>>,
    redo: OnceLock<Arc<dyn Redo>>,
}

impl Resilient {
    /// `journal` is where kept writes outlive this process, with what it holds by now: that is brought first.
    #[must_use]
    pub fn new(parts: Parts, policy: Policy, journal: Option<(JournalFile, Found)>) -> Self {
        let Parts { inner, clock, ids, timers, counts } = parts;
        let (file, Found { entries, damage }) =
            journal.map_or_else(Default::default, |(file, found)| (Some(file), found));
        let news = Arc::<News>::default();
        if let Some(damage) = damage {
            news.tell_damage(clock.now().0, &damage);
        }
        let calls = entries.iter().map(|entry| entry.order + 1).max().unwrap_or_default();
        let core = Core {
            inner,
            clock,
            ids,
            timers,
            counts,
            gate: Gate::new(policy.breaker.clone()),
            budget: Budget::new(policy.retry),
            clear: AtomicBool::new(entries.is_empty()),
            calls: AtomicU64::new(calls),
            away: Mutex::new(Away::new(policy.bounds, file, entries)),
            probe: Mutex::default(),
            news,
            near: OnceLock::new(),
            redo: OnceLock::new(),
            policy,
        };
        Self { core: Arc::new(core) }
    }

    /// Gives it what was seen of records, to answer from. Until then it knows of none.
    pub fn know(&self, near: Arc<dyn Near>) {
        // A second one changes nothing: what was seen before stays in the first.
        let _ = self.core.near.set(near);
    }

    /// Gives it what makes a change anew. Until then `local-wins` is as `remote-wins`.
    pub fn redo_with(&self, redo: Arc<dyn Redo>) {
        let _ = self.core.redo.set(redo);
    }

    /// Looks at the time: asks whether the backend is back, and brings it what was kept.
    pub fn tick(&self) {
        self.core.tick();
    }

    /// Bytes came: what was brought may have been answered.
    pub fn stir(&self) {
        if self.is_busy() {
            self.core.go_on();
        }
    }

    /// The connection was lost, or could not be made: nobody has to wait for a deadline to know.
    pub fn unreachable(&self, reason: &str) {
        let error = Error::unavailable(format!("no connection: {reason}"), Effect::NotApplied);
        self.core.note_failure(self.core.gate.permit(), &error);
    }

    /// The server goes on with another history: the latest acknowledged writes may be missing.
    pub fn epoch(&self, reason: &str) {
        let reason = serde_json::to_string(reason).unwrap_or_default();
        self.core.news.tell("epoch", self.core.clock.now().0, &format!("\"reason\":{reason}"));
    }

    /// Whether [`Resilient::tick`] has something to do, even when no call waits.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.core.clear.load(Ordering::Relaxed)
    }

    /// What happened since the last time, as a JSON array; `None` when nothing did.
    #[must_use]
    pub fn news(&self) -> Option<String> {
        self.core.news.take()
    }

    #[must_use]
    pub fn standings(&self) -> Standings {
        let (breaker, retry_after_ms) = self.core.gate.look(self.core.clock.now());
        let away = self.core.away();
        Standings {
            standing: Standing::of(breaker, away.journal.entries.len()),
            breaker,
            retry_after_ms: retry_after_ms.filter(|_| breaker != Mode::Closed),
            journal_entries: away.journal.entries.len(),
            journal_bytes: away.journal.bytes(),
            journal_failed: away.file.as_ref().and_then(JournalFile::failed),
            conflicts: away.conflicts,
            last_error: away.last_error.clone(),
        }
    }

    /// Writes what the journal's file does not have yet, and lets go of it.
    pub fn close(&self) {
        self.core.commit(self.core.clock.now());
        self.core.away().file = None;
    }
}

impl Backend for Resilient {
    fn run(&self, txn: Txn) -> Run<Result<Outcome>> {
        Core::run(&self.core, txn)
    }

    /// Only while all is well: what goes wrong is the business of transactions.
    fn glance(&self, glance: &Glance<'_>) -> bool {
        let deadline = glance.deadline.min(self.core.clock.now().plus_ms(self.core.policy.attempt_ms));
        !self.is_busy() && self.core.inner.glance(&Glance { deadline, ..*glance })
    }

    fn look(&self, ticket: u32, see: &mut dyn FnMut(Sight<'_>)) {
        self.core.inner.look(ticket, &mut |sight| {
            if let Sight::Field { .. } = sight {
                self.core.gate.passed();
                self.core.counts.note_sight(&sight);
            }
            see(sight);
        });
    }

    fn wait(&self, wait: Wait) -> Run<Result<bool>> {
        self.core.inner.wait(wait)
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.core.inner.subscribe(topic)
    }

    /// Its answers may have to be waited for, whatever it stands on.
    fn info(&self) -> Info {
        Info { immediate: false, ..self.core.inner.info() }
    }
}

/// A call on its way.
struct Calling {
    deadline: Timestamp,
    order: u64,
    permit: Permit,
}

impl Core {
    fn away(&self) -> MutexGuard<'_, Away> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(self: &Arc<Self>, mut txn: Txn) -> Run<Result<Outcome>> {
        if txn.needs_note() {
            txn.noted = Some(Noted::new(self.ids.note(), self.clock.now()));
        }
        let order = self.calls.fetch_add(1, Ordering::Relaxed);
        if !self.clear.load(Ordering::Relaxed) {
            if drain::bypasses() {
                return self.inner.run(txn);
            }
            if let Some(answer) = self.aside(&txn, order) {
                return answer;
            }
        }
        let deadline = txn.deadline;
        let calling = Calling { deadline, order, permit: self.gate.permit() };
        let txn = Txn { deadline: deadline.min(self.clock.now().plus_ms(self.policy.attempt_ms)), ..txn };
        let core = Arc::clone(self);
        match self.inner.attempt(txn) {
            Run::Ready(ready) => match ready.into_inner() {
                Ok(outcome) => Run::now(Ok(core.passed(outcome))),
                Err(failed) => Run::later(core.failed(failed, calling)),
            },
            Run::Pending(first) => Run::later(async move {
                match first.await {
                    Ok(outcome) => Ok(core.passed(outcome)),
                    // Boxed, so that the usual end of a call does not carry the room for this one.
                    Err(failed) => Box::pin(core.failed(failed, calling)).await,
                }
            }),
        }
    }

    fn passed(&self, outcome: Outcome) -> Outcome {
        self.gate.passed();
        self.counts.note_outcome(&outcome);
        outcome
    }

    fn give_up(&self, error: Error) -> Result<Outcome> {
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        Err(error)
    }

    /// An attempt failed: others, as long as they may help and nothing is done twice, then what is known here.
    async fn failed(self: Arc<Self>, failed: Box<Failed>, calling: Calling) -> Result<Outcome> {
        let Failed { mut error, mut txn } = *failed;
        let Calling { deadline, order, mut permit } = calling;
        let (mut attempts, mut doubt) = (1, Effect::NotApplied);
        loop {
            if !error.is_of_the_way() {
                let effect = if doubt == Effect::Unknown { doubt } else { error.effect };
                return self.give_up(Error { effect, ..error }.after(attempts));
            }
            self.note_failure(permit, &error);
            if error.effect == Effect::Unknown {
                doubt = Effect::Unknown;
                txn.noted = txn.noted.map(|noted| Noted { fate: Fate::Lost, ..noted });
            }
            let again = repeat(&txn, doubt);
            let at = self.clock.now().plus_ms(pause(self.policy.retry, attempts, self.ids.random()));
            let known = txn.noted.is_none_or(|noted| noted.is_known(at));
            let may =
                again != Repeat::Never && known && attempts < self.policy.retry.attempts && at < deadline;
            // What is neither known nor can be kept waits for the backend as long as its caller does.
            let stays = doubt == Effect::Unknown && again == Repeat::Safe && !self.keeps(&txn);
            if !may || !(stays || self.is_closed()) || !self.budget.take() {
                break;
            }
            txn.repeated |= doubt == Effect::Unknown;
            self.timers.sleep_until(at).await;
            if !(self.is_closed() || stays && self.closes_by(deadline).await) {
                break;
            }
            permit = self.gate.permit();
            attempts += 1;
            txn.deadline = deadline.min(self.clock.now().plus_ms(self.policy.attempt_ms));
            match self.inner.attempt(txn).await {
                Ok(outcome) if again == Repeat::Guessing && tells_nothing(&outcome) => {
                    self.gate.passed();
                    return self.give_up(Error { effect: doubt, ..error }.after(attempts));
                }
                Ok(outcome) => return Ok(self.passed(outcome)),
                Err(failed) => (error, txn) = (failed.error, failed.txn),
            }
        }
        (txn.repeated, txn.deadline) = (txn.repeated || doubt == Effect::Unknown, deadline);
        let error = Error { effect: doubt, ..error }.after(attempts);
        self.fall_back(txn, order, error).await
    }

    fn is_closed(&self) -> bool {
        self.gate.look(self.clock.now()).0 == Mode::Closed
    }

    /// A failure that says that the backend is away, or in trouble.
    fn note_failure(&self, permit: Permit, error: &Error) {
        // It answers questions: that its writes fail says nothing of its being there.
        if error.detail.as_ref().is_some_and(|detail| detail.only_writes) {
            return;
        }
        let now = self.clock.now();
        let chance = (self.ids.random() % 1_001) as f64 / 1_000.0;
        let told = self.gate.failed(permit, now, chance);
        self.away().last_error = Some(error.message.clone());
        self.probe().note(error);
        self.turned(told);
    }

    /// The breaker may have opened or closed.
    fn turned(&self, told: Told) {
        if told.mode != Mode::Closed {
            self.clear.store(false, Ordering::Relaxed);
        }
        if told.transition.is_some() {
            self.stand(told.mode);
        }
    }

    fn probe(&self) -> MutexGuard<'_, Probe> {
        self.probe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) {
        let now = self.clock.now();
        self.budget.pay(self.gate.fold(now));
        if self.clear.load(Ordering::Relaxed) {
            return;
        }
        self.go_on();
    }

    /// What there is to do while things are not as usual.
    fn go_on(&self) {
        let now = self.clock.now();
        self.commit(now);
        self.ask(now);
        if self.gate.look(now).0 == Mode::Closed {
            self.drain(now);
        }
        self.stand(self.gate.look(now).0);
    }

    /// Has the journal's file take what was kept since the last time.
    fn commit(&self, now: Timestamp) {
        let failed = self.away().file.as_mut().and_then(|file| file.commit(now));
        if let Some(why) = failed {
            let reason = format!("the journal's file can't be written: {why}; nothing more is kept by it");
            self.news.tell_journal_error(now.0, &reason, None);
        }
    }

    /// Says how things stand by now, if that is news.
    fn stand(&self, mode: Mode) {
        let mut away = self.away();
        let standing = Standing::of(mode, away.journal.entries.len());
        self.clear.store(standing == Standing::Healthy, Ordering::Relaxed);
        if standing == Standing::Healthy {
            away.last_error = None;
        }
        if standing != away.standing {
            away.standing = standing;
            let entries = away.journal.entries.len();
            let error = serde_json::to_string(&away.last_error).unwrap_or_default();
            let fields = format!("\"journal\":{entries},\"lastError\":{error}");
            self.news.tell(standing.as_str(), self.clock.now().0, &fields);
        }
    }
}
