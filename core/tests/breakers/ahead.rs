//! Leave in advance changes nothing that can be seen: the same calls, told one by one and told some at a time, on two
//! breakers that share a clock and a store; random histories, in which another process takes part.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use flowkeep_core::backend::Backend;
use flowkeep_core::breaker::{
    Ahead, Begun, Breaker, BreakerId, BreakerStore, Breakers, Command, Event, KernelStore, Mode, Note,
    Permit, Policy, Rate, Scope, Settings, Slow, Span, Standing,
};
use flowkeep_core::clock::{Clock, Timestamp};
use flowkeep_core::id::RandomIds;
use flowkeep_core::memory::Memory;

use super::hand::Hand;

/// Where the histories begin.
const SEED: u64 = 20_261_121;

/// Who calls: with leave in advance, or asking every time.
struct Caller {
    breakers: Breakers,
    breaker: Arc<Breaker>,
    clock: Arc<Hand>,
    goes_ahead: bool,
    leave: Option<(Ahead, u64)>,
    permit: Permit,
    begun: u32,
    noted: Vec<u64>,
    /// Calls that were made without asking.
    unasked: u64,
}

impl Caller {
    fn new(name: &str, settings: Settings, store: Option<&Arc<dyn Backend>>, clock: &Arc<Hand>) -> Self {
        let store =
            store.map(|backend| -> Arc<dyn BreakerStore> { Arc::new(KernelStore::new(Arc::clone(backend))) });
        let breakers = Breakers::new(store, Arc::clone(clock) as _, Arc::new(RandomIds::default()));
        let id = BreakerId { name: name.to_owned(), ..BreakerId::default() };
        let breaker = breakers.get(id, Some(settings.clone()), || settings);
        Self {
            breakers,
            breaker,
            clock: Arc::clone(clock),
            goes_ahead: name == "ahead",
            leave: None,
            permit: Permit { generation: 0, probe: 0 },
            begun: 0,
            noted: Vec::new(),
            unasked: 0,
        }
    }

    fn soon(&self) -> Timestamp {
        self.clock.now().plus_ms(20_000)
    }

    async fn begin(&mut self) -> Option<Permit> {
        let now = self.clock.now().0;
        if let Some((ahead, since)) = self.leave
            && ahead.valid_ms.is_none_or(|ms| now < since + ms)
        {
            self.begun += 1;
            self.unasked += 1;
            return Some(self.permit);
        }
        self.hand_over();
        let begun = match self.breaker.begin() {
            Begun::AskStore => self.breaker.acquire(self.soon()).await,
            begun => {
                self.renew(true);
                begun
            }
        };
        let Begun::Admitted(permit) = begun else { return None };
        self.permit = permit;
        Some(permit)
    }

    fn renew(&mut self, wanted: bool) {
        let ahead = self.breaker.ahead().filter(|_| self.goes_ahead && wanted);
        self.leave = ahead.map(|ahead| (ahead, self.clock.now().0));
    }

    fn end(&mut self, permit: Permit, failed: bool) {
        let room = self.leave.map_or(0, |(ahead, _)| ahead.results as usize);
        if !failed && permit == self.permit && self.noted.len() < room {
            self.noted.push(self.clock.now().0);
            if self.noted.len() == room {
                self.hand_over();
            }
            return;
        }
        if failed {
            self.leave = None;
        }
        self.hand_over();
        self.breaker.end(permit, failed, 1.0);
    }

    fn hand_over(&mut self) {
        let (begun, noted) = (std::mem::take(&mut self.begun), std::mem::take(&mut self.noted));
        if begun == 0 && noted.is_empty() {
            return;
        }
        let now = self.clock.now().0;
        self.breaker.noted(self.permit, begun, noted.into_iter().map(|time| now - time));
        self.renew(self.leave.is_some());
    }

    fn recall(&mut self) {
        self.leave = None;
        self.hand_over();
    }

    async fn sync(&mut self) {
        self.recall();
        self.breaker.sync(self.soon()).await.unwrap();
    }

    async fn order(&mut self, command: Command) {
        self.recall();
        self.breaker.command(Event::Command(command), Note::default(), self.soon()).await;
    }

    /// Everything that can be seen of it.
    fn seen(&mut self) -> String {
        self.recall();
        let told: Vec<_> = self.breakers.take_told().iter().map(|told| told.transition).collect();
        let Standing { mut state, counts, scope, away, admitted, rejected, late, .. } =
            self.breaker.standing();
        // Each process has a number of its own.
        state.votes.iter_mut().for_each(|vote| vote.who = 0);
        // When it was looked at last is nobody's affair.
        state.at = 0;
        let history = self.breaker.history_here(100);
        format!(
            "{state:?} {counts:?} {scope:?} {away} {admitted} {rejected} {late}\n{told:?}\n{history:?}\n{:?}",
            self.breakers.take_told()
        )
    }
}

fn random_policy(rng: &mut Rng) -> Policy {
    let maybe = |rng: &mut Rng, most: u64| rng.bool().then(|| rng.u64(2..most * 2) as f64 / 2.0);
    let minimum = rng.u64(1..40) as f64;
    let slow = Slow { from_ms: 5.0, percentage: 50.0, minimum };
    Policy {
        consecutive: maybe(rng, 5),
        failures: maybe(rng, 8),
        rate: rng.bool().then(|| Rate { percentage: rng.f64() * 60.0, minimum }),
        slow: (rng.u8(0..10) == 0).then_some(slow),
        span: if rng.bool() { Span::Calls(rng.usize(1..100)) } else { Span::Time(rng.u64(1..2_000) as f64) },
        open_ms: rng.u64(1..300) as f64,
        success_threshold: 1.0,
        lease_ms: 200.0,
        metrics_only: rng.u8(0..10) == 0,
        ..Policy::default()
    }
}

/// One step of a history, the same for both.
#[derive(Debug, Clone, Copy)]
enum Step {
    Begin,
    End(usize, bool),
    Release(usize),
    Trip,
    Order(Command),
    Sync,
    Look,
    Pass(u64),
    Other(bool),
}

fn random_step(rng: &mut Rng, fail: f64) -> Step {
    match rng.u16(0..1_000) {
        0..450 => Step::Begin,
        450..900 => Step::End(rng.usize(0..1_000), rng.f64() < fail),
        900..905 => Step::Release(rng.usize(0..1_000)),
        905 => Step::Trip,
        906 => Step::Order(Command::Open { for_ms: Some(rng.u64(0..200)) }),
        907 => Step::Order(Command::Isolate { for_ms: Some(rng.u64(0..200)) }),
        908 => Step::Order(Command::Disable { for_ms: Some(rng.u64(0..200)) }),
        909 => Step::Order(Command::Reset),
        910..920 => Step::Sync,
        920..935 => Step::Other(rng.f64() < fail),
        935..960 => Step::Look,
        _ => Step::Pass(if rng.u8(0..6) == 0 { rng.u64(0..400) } else { rng.u64(0..15) }),
    }
}

struct Pair {
    callers: [Caller; 2],
    /// The same name in another process.
    others: [Caller; 2],
    under_way: Vec<[Permit; 2]>,
}

impl Pair {
    async fn take(&mut self, step: Step) {
        let place = |at: usize, all: usize| (all > 0).then(|| at % all);
        match step {
            Step::Begin => {
                let permits = [self.callers[0].begin().await, self.callers[1].begin().await];
                match permits {
                    [Some(one), Some(two)] => {
                        assert_eq!(one, two);
                        self.under_way.push([one, two]);
                    }
                    permits => assert_eq!(permits, [None, None]),
                }
            }
            Step::End(at, failed) => {
                let Some(at) = place(at, self.under_way.len()) else { return };
                let permits = self.under_way.swap_remove(at);
                for (caller, permit) in self.callers.iter_mut().zip(permits) {
                    caller.end(permit, failed);
                }
            }
            Step::Release(at) => {
                let Some(at) = place(at, self.under_way.len()) else { return };
                let permits = self.under_way.swap_remove(at);
                for (caller, permit) in self.callers.iter_mut().zip(permits) {
                    caller.recall();
                    caller.breaker.release(permit);
                }
            }
            Step::Trip => self.callers.iter_mut().for_each(|caller| {
                caller.recall();
                caller.breaker.trip();
            }),
            Step::Order(command) => {
                for caller in &mut self.callers {
                    caller.order(command).await;
                }
            }
            Step::Sync => {
                for caller in &mut self.callers {
                    caller.sync().await;
                }
            }
            Step::Other(failed) => {
                for other in &mut self.others {
                    if let Some(permit) = other.begin().await {
                        other.end(permit, failed);
                    }
                    other.sync().await;
                }
            }
            Step::Look => {
                let [one, two] = &mut self.callers;
                assert_eq!(one.seen(), two.seen());
            }
            Step::Pass(ms) => {
                self.callers[0].clock.0.fetch_add(ms, Ordering::SeqCst);
            }
        }
    }
}

/// How many calls were made without asking, and how many of them in all.
async fn histories(count: u64, shared: bool) -> (u64, u64) {
    // The same histories every time, unless others are asked for.
    let given = std::env::var("FLOWKEEP_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or(SEED);
    println!("FLOWKEEP_SEED={seed}");
    let (mut unasked, mut begun) = (0, 0);
    for history in 0..count {
        let mut rng = Rng::with_seed(seed.wrapping_add(history));
        let clock = Arc::new(Hand(AtomicU64::new(1_000_000)));
        let backend: Arc<dyn Backend> = Arc::new(Memory::new(Arc::clone(&clock) as _));
        let policy = random_policy(&mut rng);
        let scope = if rng.u8(0..8) == 0 { Scope::Quorum } else { Scope::Shared };
        let settings = Settings { policy: policy.clone(), scope };
        let make = |name| Caller::new(name, settings.clone(), shared.then_some(&backend), &clock);
        let mut pair = Pair {
            callers: [make("ahead"), make("asking")],
            others: [make("ahead"), make("asking")],
            under_way: Vec::new(),
        };
        pair.others.iter_mut().for_each(|other| other.goes_ahead = false);
        let fail = [0.0, 0.01, 0.3][rng.usize(0..3)];
        let mut steps = Vec::new();
        for _ in 0..rng.usize(50..500) {
            let step = random_step(&mut rng, fail);
            steps.push(step);
            let told = std::panic::AssertUnwindSafe(pair.take(step));
            if let Err(panic) = caught(told).await {
                println!("history {history} of {seed}: {policy:?} {scope:?}\n{steps:?}");
                std::panic::resume_unwind(panic);
            }
        }
        pair.take(Step::Look).await;
        let standing = pair.callers[1].breaker.standing();
        begun += standing.admitted;
        unasked += pair.callers[0].unasked;
        assert!(standing.state.mode != Mode::Isolated || standing.state.until.is_some());
    }
    (unasked, begun)
}

/// Awaits something that may panic.
async fn caught(
    work: std::panic::AssertUnwindSafe<impl Future<Output = ()>>,
) -> Result<(), Box<dyn std::any::Any + Send>> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| {
        let poll = || work.as_mut().poll(context);
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(poll)) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => std::task::Poll::Ready(Err(panic)),
        }
    })
    .await
}

#[tokio::test]
async fn leave_in_advance_changes_nothing_in_one_process() {
    let (unasked, begun) = histories(2_000, false).await;
    assert!(unasked * 4 > begun, "{unasked} of {begun} calls were made without asking");
}

#[tokio::test]
async fn leave_in_advance_changes_nothing_where_processes_share() {
    let (unasked, begun) = histories(1_000, true).await;
    assert!(unasked * 4 > begun, "{unasked} of {begun} calls were made without asking");
}
