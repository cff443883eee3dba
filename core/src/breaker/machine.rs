//! The state machine of a breaker: `(state, event, now, policy) -> (state, transition?)`.
//!
//! It is pure: no clock, no chance, no storage. Whoever holds a state, a layer, this process or a server,
//! moves it by [`apply`] alone.

use super::policy::{Policy, whole};
use super::state::{Cause, Lease, Mode, State, Transition, Vote};
use super::window::Counts;

/// Leave to make one call. It belongs to one generation and is finished once: by a result, or by dropping it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    pub generation: u64,
    /// The number of a probe in its generation, from 1; 0 for a call that is none.
    pub probe: u32,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    pub failed: bool,
    pub slow: bool,
}

impl Outcome {
    /// Of a call that took so long.
    #[must_use]
    pub fn of(policy: &Policy, failed: bool, took_ms: f64) -> Self {
        Self { failed, slow: policy.slow.is_some_and(|slow| took_ms >= slow.from_ms) }
    }
}

/// What somebody may tell a breaker. Times are in ms; without one it stays so until told otherwise, but an open
/// breaker, which stays open for as long as its policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Open {
        for_ms: Option<u64>,
    },
    Isolate {
        for_ms: Option<u64>,
    },
    Disable {
        for_ms: Option<u64>,
    },
    Close,
    /// Closed, and nothing counted, whatever it was.
    Reset,
}

/// What can happen to a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A call asks to be let through.
    Acquire,
    /// A call that was let through has ended.
    Report(Permit, Outcome),
    /// A call that was let through ended without a result.
    Release(Permit),
    /// The caller's own rule says that it should open.
    Trip,
    /// A process says what its own results mean, where most of them have to agree.
    Vote {
        who: u64,
        failing: bool,
    },
    Command(Command),
    /// Nothing but time passed.
    Tick,
}

/// Why a call is not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    pub mode: Mode,
    /// When it may be worth asking again, in ms; `None` where no time is set.
    pub retry_after_ms: Option<u64>,
}

/// The answer to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Admitted(Permit),
    Rejected(Rejection),
    /// The event counts.
    Noted,
    /// It came too late, or changes nothing.
    Ignored,
}

/// What came of an event. An event may find that time has changed the mode, and then change it once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub verdict: Verdict,
    pub transitions: Vec<Transition>,
}

/// Moves `state` by one event. `now` is in ms since 1970; a time before the latest seen is taken for that one, unless
/// the clock was set back by more than a second: then the times of the state are moved back too. `chance`, from 0
/// to 1, spreads the open times.
pub fn apply(policy: &Policy, state: &mut State, event: Event, now: u64, chance: f64) -> Applied {
    let now = clamp(policy, state, now);
    let mut moves = Moves { policy, state, now, chance, transitions: Vec::new() };
    moves.settle();
    let verdict = match event {
        Event::Acquire => moves.acquire(),
        Event::Report(permit, outcome) => moves.report(permit, outcome),
        Event::Release(permit) => moves.release(permit),
        Event::Trip => moves.trip(),
        Event::Vote { who, failing } => moves.vote(who, failing),
        Event::Command(command) => moves.command(command),
        Event::Tick => Verdict::Noted,
    };
    Applied { verdict, transitions: moves.transitions }
}

/// Counts a result without moving anything: whether what `state` has counted so far would open a circuit.
pub fn judge(policy: &Policy, state: &mut State, outcome: Outcome, now: u64) -> bool {
    let now = clamp(policy, state, now);
    let mut moves = Moves { policy, state, now, chance: 0.5, transitions: Vec::new() };
    moves.count(outcome, 1);
    moves.tripped(true).is_some()
}

/// Counts so many calls of a closed circuit that did well. The same as an event for each, where no rule can say
/// anything after one of them.
pub(super) fn pass(policy: &Policy, state: &mut State, times: u32, now: u64) {
    let now = clamp(policy, state, now);
    let mut moves = Moves { policy, state, now, chance: 0.5, transitions: Vec::new() };
    moves.count(Outcome { failed: false, slow: false }, times);
}

/// A vote that is older does not count: who makes no calls has no say.
pub const VOTE_MS: u64 = 10_000;

/// A clock that was set back by more than this is believed.
const SET_BACK_MS: u64 = 1_000;

fn clamp(policy: &Policy, state: &mut State, now: u64) -> u64 {
    if now + SET_BACK_MS >= state.at {
        state.at = state.at.max(now);
        return state.at;
    }
    let back = state.at - now;
    state.at = now;
    state.since = state.since.saturating_sub(back);
    state.until = state.until.map(|until| until.saturating_sub(back));
    if state.mode == Mode::Open && policy.longest_open() < u64::MAX {
        state.until = state.until.map(|until| until.min(now + policy.longest_open()));
    }
    for lease in &mut state.leases {
        lease.until = lease.until.saturating_sub(back);
    }
    for vote in &mut state.votes {
        vote.at = vote.at.saturating_sub(back);
    }
    now
}

struct Moves<'a> {
    policy: &'a Policy,
    state: &'a mut State,
    now: u64,
    chance: f64,
    transitions: Vec<Transition>,
}

impl Moves<'_> {
    /// What time alone does.
    fn settle(&mut self) {
        let over = self.state.until.is_some_and(|until| until <= self.now);
        match self.state.mode {
            Mode::Open if over => {
                let most = whole(self.policy.max_half_open_ms);
                let until = (most > 0).then(|| self.now.saturating_add(most));
                self.enter(Mode::HalfOpen, until, Cause::TimeOver);
            }
            Mode::HalfOpen if over => self.open(None, Cause::HalfOpenTooLong),
            Mode::HalfOpen => {
                let now = self.now;
                self.state.leases.retain(|lease| lease.until > now);
                self.next_wave();
            }
            Mode::Isolated | Mode::Disabled if over => self.close(Cause::TimeOver),
            _ => {}
        }
    }

    /// When all probes of a generation have ended and decided nothing, others may start: in a new generation.
    fn next_wave(&mut self) {
        if self.state.leases.is_empty() && !self.has_room() {
            self.state.generation += 1;
            self.state.started = 0;
        }
    }

    /// Whether one more probe may start in this generation: the first always may.
    fn has_room(&self) -> bool {
        self.state.started == 0 || f64::from(self.state.started) + 1.0 <= self.policy.probes
    }

    fn acquire(&mut self) -> Verdict {
        let generation = self.state.generation;
        match self.state.mode {
            Mode::Closed | Mode::Disabled => Verdict::Admitted(Permit { generation, probe: 0 }),
            Mode::HalfOpen if self.has_room() => {
                self.state.started += 1;
                let probe = self.state.started;
                let until = self.now.saturating_add(whole(self.policy.lease_ms).max(1));
                self.state.leases.push(Lease { number: probe, until });
                Verdict::Admitted(Permit { generation, probe })
            }
            mode => {
                let retry_after_ms = self.state.retry_after(self.now);
                Verdict::Rejected(Rejection { mode, retry_after_ms })
            }
        }
    }

    fn report(&mut self, permit: Permit, outcome: Outcome) -> Verdict {
        if permit.generation != self.state.generation {
            return Verdict::Ignored;
        }
        match self.state.mode {
            Mode::Closed => {
                self.count(outcome, 1);
                if let Some(cause) = self.tripped(outcome.failed) {
                    self.open(None, cause);
                }
                Verdict::Noted
            }
            Mode::HalfOpen => self.probed(permit, outcome),
            _ => Verdict::Ignored,
        }
    }

    fn probed(&mut self, permit: Permit, outcome: Outcome) -> Verdict {
        if !self.end_lease(permit) {
            return Verdict::Ignored;
        }
        self.count(outcome, 1);
        if outcome.failed || outcome.slow {
            self.open(None, Cause::ProbeFailed);
            return Verdict::Noted;
        }
        self.state.passed += 1;
        if self.state.passed as f64 >= self.policy.success_threshold {
            self.close(Cause::ProbesPassed);
        } else {
            self.next_wave();
        }
        Verdict::Noted
    }

    fn release(&mut self, permit: Permit) -> Verdict {
        let mine = permit.generation == self.state.generation && self.state.mode == Mode::HalfOpen;
        if !mine || !self.end_lease(permit) {
            return Verdict::Ignored;
        }
        self.next_wave();
        Verdict::Noted
    }

    fn end_lease(&mut self, permit: Permit) -> bool {
        let before = self.state.leases.len();
        self.state.leases.retain(|lease| lease.number != permit.probe);
        self.state.leases.len() < before
    }

    fn count(&mut self, outcome: Outcome, times: u32) {
        let (state, all) = (&mut *self.state, u64::from(times));
        state.window.add_times(self.policy.span, self.now, outcome.failed, outcome.slow, times);
        if outcome.failed {
            state.in_a_row += all;
            state.failures += all;
            state.last_failure_at = Some(self.now);
        } else {
            state.in_a_row = 0;
            state.successes += all;
        }
    }

    /// Which rule says now that it should open. Rules that count failures are asked after a failure only, unless
    /// `failed` says otherwise.
    fn tripped(&mut self, failed: bool) -> Option<Cause> {
        if self.policy.metrics_only {
            return None;
        }
        let Policy { consecutive, failures, rate, slow, .. } = self.policy;
        let Counts { calls, failures: lost, slow: slowed } =
            self.state.window.counts(self.policy.span, self.now);
        let reached = |part: u64, percentage: f64, minimum: f64| {
            calls > 0 && calls as f64 >= minimum && part as f64 * 100.0 >= percentage * calls as f64
        };
        let in_a_row = self.state.in_a_row;
        if failed && in_a_row > 0 && consecutive.is_some_and(|most| in_a_row as f64 >= most) {
            return Some(Cause::ConsecutiveFailures);
        }
        if failed && lost > 0 && failures.is_some_and(|most| lost as f64 >= most) {
            return Some(Cause::FailuresInWindow);
        }
        // A success can be what reaches the minimum, so rates are looked at after each result.
        if lost > 0 && rate.is_some_and(|rate| reached(lost, rate.percentage, rate.minimum)) {
            return Some(Cause::FailureRate);
        }
        let slow = slowed > 0 && slow.is_some_and(|slow| reached(slowed, slow.percentage, slow.minimum));
        slow.then_some(Cause::SlowCallRate)
    }

    fn trip(&mut self) -> Verdict {
        if self.state.mode != Mode::Closed || self.policy.metrics_only {
            return Verdict::Ignored;
        }
        self.open(None, Cause::Custom);
        Verdict::Noted
    }

    /// Opens when more than half of those who voted lately see it failing.
    fn vote(&mut self, who: u64, failing: bool) -> Verdict {
        if self.state.mode != Mode::Closed || self.policy.metrics_only {
            return Verdict::Ignored;
        }
        let now = self.now;
        let votes = &mut self.state.votes;
        votes.retain(|vote| vote.who != who && now.saturating_sub(vote.at) < VOTE_MS);
        votes.push(Vote { who, at: now, failing });
        let against = votes.iter().filter(|vote| vote.failing).count();
        if against * 2 > votes.len() {
            self.open(None, Cause::Quorum);
        }
        Verdict::Noted
    }

    fn command(&mut self, command: Command) -> Verdict {
        let until = |for_ms: Option<u64>| for_ms.map(|ms| self.now.saturating_add(ms));
        let mode = self.state.mode;
        match command {
            Command::Open { for_ms } if mode != Mode::Open => self.open(for_ms, Cause::Command),
            Command::Isolate { for_ms } if mode != Mode::Isolated => {
                self.enter(Mode::Isolated, until(for_ms), Cause::Command);
            }
            Command::Disable { for_ms } if mode != Mode::Disabled => {
                self.enter(Mode::Disabled, until(for_ms), Cause::Command);
            }
            Command::Close if mode != Mode::Closed => self.close(Cause::Command),
            Command::Reset => self.reset(),
            _ => return Verdict::Ignored,
        }
        Verdict::Noted
    }

    fn open(&mut self, for_ms: Option<u64>, cause: Cause) {
        let ms = for_ms.unwrap_or_else(|| self.policy.open_for(self.state.streak, self.chance));
        self.state.streak = self.state.streak.saturating_add(1);
        self.state.opened_at = Some(self.now);
        self.enter(Mode::Open, Some(self.now.saturating_add(ms)), cause);
    }

    fn close(&mut self, cause: Cause) {
        self.state.closed_at = Some(self.now);
        self.forget();
        self.enter(Mode::Closed, None, cause);
    }

    fn reset(&mut self) {
        self.forget();
        if self.state.mode == Mode::Closed {
            // What runs now was begun before: it does not count any more.
            self.state.generation += 1;
            return;
        }
        self.close(Cause::Command);
    }

    fn forget(&mut self) {
        let state = &mut *self.state;
        (state.streak, state.in_a_row, state.failures, state.successes) = (0, 0, 0, 0);
        state.window.clear();
        state.votes.clear();
    }

    fn enter(&mut self, mode: Mode, until: Option<u64>, cause: Cause) {
        let state = &mut *self.state;
        let from = std::mem::replace(&mut state.mode, mode);
        state.generation += 1;
        (state.since, state.until, state.cause) = (self.now, until, Some(cause));
        (state.passed, state.started) = (0, 0);
        state.leases.clear();
        state.votes.clear();
        let (at, generation) = (self.now, state.generation);
        self.transitions.push(Transition { from, to: mode, at, generation, until, cause });
    }
}
