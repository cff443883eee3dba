//! Several processes on one backend, as far as breakers know: each with a clock of its own, and a store that can be cut off.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use flowkeep_core::backend::Backend;
use flowkeep_core::breaker::{
    Audit, Begun, Breaker, BreakerId, BreakerStore, Breakers, Command, Event, KernelStore, Loaded, Mode,
    Note, Permit, Policy, Scope, Settings, Write, Written,
};
use flowkeep_core::clock::{Clock, SystemClock, Timestamp};
use flowkeep_core::error::{Effect, Error, Result};
use flowkeep_core::id::RandomIds;
use flowkeep_core::run::Run;

/// A clock that is wrong by as much as is said, or stands still until it is moved on.
pub struct OwnClock {
    skew: i64,
    /// 0 while it runs.
    stands: AtomicU64,
}

impl Clock for OwnClock {
    fn now(&self) -> Timestamp {
        match self.stands.load(Ordering::SeqCst) {
            0 => Timestamp(SystemClock.now().0.saturating_add_signed(self.skew)),
            stands => Timestamp(stands),
        }
    }
}

/// Nothing is held back.
const FREE: u8 = 0;
/// The answer of the next load is.
pub const ARMED: u8 = 1;
/// One is, until it is set free.
pub const HELD: u8 = 2;

/// A store that can be cut off.
struct Cut {
    inner: Arc<Mutex<KernelStore>>,
    away: Arc<AtomicBool>,
    /// Writes are done, and their answers lost.
    deaf: Arc<AtomicBool>,
    late: Arc<AtomicU8>,
}

impl Cut {
    fn with<T>(&self, ask: impl FnOnce(&KernelStore) -> Run<T>) -> Run<T> {
        ask(&self.inner.lock().unwrap())
    }

    fn check(&self) -> Result<()> {
        let away = self.away.load(Ordering::SeqCst);
        if away { Err(Error::unavailable("cut off", Effect::NotApplied)) } else { Ok(()) }
    }
}

impl BreakerStore for Cut {
    fn load(&self, id: &BreakerId, deadline: Timestamp) -> Run<Result<Loaded>> {
        if let Err(error) = self.check() {
            return Run::now(Err(error));
        }
        let loaded = self.with(|store| store.load(id, deadline));
        if self.late.compare_exchange(ARMED, HELD, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return loaded;
        }
        let late = Arc::clone(&self.late);
        Run::later(async move {
            let loaded = loaded.await;
            while late.load(Ordering::SeqCst) == HELD {
                tokio::task::yield_now().await;
            }
            loaded
        })
    }

    fn transition(&self, id: &BreakerId, write: Write, deadline: Timestamp) -> Run<Result<Written>> {
        if let Err(error) = self.check() {
            return Run::now(Err(error));
        }
        let done = self.with(|store| store.transition(id, write, deadline));
        let deaf = Arc::clone(&self.deaf);
        Run::later(async move {
            let done = done.await;
            if deaf.swap(false, Ordering::SeqCst) { Err(Error::timeout(Effect::Unknown)) } else { done }
        })
    }

    fn history(&self, id: &BreakerId, limit: usize, deadline: Timestamp) -> Run<Result<Vec<Audit>>> {
        self.with(|store| store.history(id, limit, deadline))
    }

    fn ids(&self, deadline: Timestamp) -> Run<Result<Vec<BreakerId>>> {
        self.with(|store| store.ids(deadline))
    }
}

/// One process, as far as breakers know.
pub struct Process {
    pub breakers: Breakers,
    pub breaker: Arc<Breaker>,
    pub clock: Arc<OwnClock>,
    pub away: Arc<AtomicBool>,
    pub deaf: Arc<AtomicBool>,
    pub late: Arc<AtomicU8>,
    store: Arc<Mutex<KernelStore>>,
}

impl Process {
    /// From now on its store is on this backend.
    pub fn moves_to(&self, backend: &Arc<dyn Backend>) {
        *self.store.lock().unwrap() = KernelStore::new(Arc::clone(backend));
    }

    /// Gives the answer out that is held back.
    pub fn set_free(&self) {
        assert_eq!(self.late.swap(FREE, Ordering::SeqCst), HELD, "nothing was held back");
    }

    pub fn soon(&self) -> Timestamp {
        self.clock.now().plus_ms(20_000)
    }

    /// Stops its clock, or moves it on from where it stands.
    pub fn stand(&self, ms: u64) {
        let now = self.clock.now().0 + ms;
        self.clock.stands.store(now, Ordering::SeqCst);
    }

    /// Stops its clock so much before now.
    pub fn stand_before(&self, ms: u64) {
        let then = self.clock.now().0 - ms;
        self.clock.stands.store(then, Ordering::SeqCst);
    }

    pub fn mode(&self) -> Mode {
        self.breaker.standing().state.mode
    }

    pub async fn sync(&self) {
        self.breaker.sync(self.soon()).await.unwrap();
    }

    /// Asks as a call does.
    pub async fn begin(&self) -> Option<Permit> {
        let begun = match self.breaker.begin() {
            Begun::AskStore => self.breaker.acquire(self.soon()).await,
            begun => begun,
        };
        match begun {
            Begun::Admitted(permit) => Some(permit),
            Begun::Rejected(_) => None,
            Begun::AskStore => panic!("nobody knows"),
        }
    }

    pub async fn fail(&self, times: usize) {
        for _ in 0..times {
            let permit = self.begin().await.unwrap();
            self.breaker.end(permit, true, 1.0);
        }
    }

    pub async fn order(&self, command: Command) {
        let note = Note { reason: Some("a test".to_owned()), actor: Some("me".to_owned()) };
        self.breaker.command(Event::Command(command), note, self.soon()).await;
    }
}

/// Open for so long that a slow machine makes no difference.
pub fn policy() -> Policy {
    Policy { consecutive: Some(3.0), open_ms: 60_000.0, success_threshold: 1.0, ..Policy::default() }
}

/// `many` processes on one backend, whose clocks are `skews` off.
pub fn processes(backend: &Arc<dyn Backend>, name: &str, policy: &Policy, skews: &[i64]) -> Vec<Process> {
    scoped(backend, name, policy, skews, Scope::Shared)
}

/// The same, with another scope.
pub fn scoped(
    backend: &Arc<dyn Backend>,
    name: &str,
    policy: &Policy,
    skews: &[i64],
    scope: Scope,
) -> Vec<Process> {
    let make = |skew: &i64| {
        let clock = Arc::new(OwnClock { skew: *skew, stands: AtomicU64::new(0) });
        let (away, deaf, late): (Arc<AtomicBool>, Arc<AtomicBool>, Arc<AtomicU8>) = Default::default();
        let inner = Arc::new(Mutex::new(KernelStore::new(Arc::clone(backend))));
        // A deadline is by the clock of the process; the connection's is the system's.
        let store = Cut {
            inner: Arc::clone(&inner),
            away: Arc::clone(&away),
            deaf: Arc::clone(&deaf),
            late: Arc::clone(&late),
        };
        let breakers = Breakers::new(
            Some(Arc::new(store)),
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::new(RandomIds::default()),
        );
        let settings = Settings { policy: policy.clone(), scope };
        let id = BreakerId { name: name.to_owned(), ..BreakerId::default() };
        let breaker = breakers.get(id, Some(settings.clone()), || settings);
        Process { breakers, breaker, clock, away, deaf, late, store: inner }
    };
    skews.iter().map(make).collect()
}
