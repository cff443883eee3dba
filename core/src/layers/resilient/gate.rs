//! The circuit breaker in front of the backend: one state machine, held so that a healthy call costs two atomics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::breaker::{Event, Mode, Outcome, Permit, Policy, State, Transition, Verdict, apply};
use crate::clock::Timestamp;

/// A breaker that is asked and told.
#[derive(Debug)]
pub(super) struct Gate {
    policy: Policy,
    state: Mutex<State>,
    /// The generation that calls of now belong to.
    generation: AtomicU64,
    /// Successes that the state has not heard of yet: it hears of them once a tick.
    fresh: AtomicU64,
}

const FAILED: Outcome = Outcome { failed: true, slow: false };
const PASSED: Outcome = Outcome { failed: false, slow: false };

/// What being told of a failure comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    pub transition: Option<Transition>,
    pub mode: Mode,
}

impl Gate {
    pub fn new(policy: Policy) -> Self {
        let (generation, fresh) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { policy, state: Mutex::default(), generation, fresh }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave for a call while the breaker is closed, without a look at it.
    pub fn permit(&self) -> Permit {
        Permit { generation: self.generation.load(Ordering::Relaxed), probe: 0 }
    }

    /// A call that did not have to ask ended well.
    pub fn passed(&self) {
        self.fresh.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells the state of the successes since the last time; how many they were.
    pub fn fold(&self, now: Timestamp) -> u64 {
        if self.fresh.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let mut state = self.lock();
        self.folded(&mut state, now)
    }

    fn folded(&self, state: &mut State, now: Timestamp) -> u64 {
        let fresh = self.fresh.swap(0, Ordering::Relaxed);
        if fresh > 0 && state.mode == Mode::Closed {
            for _ in 0..fresh {
                state.window.add(self.policy.span, now.0, false, false);
            }
            (state.in_a_row, state.successes) = (0, state.successes + fresh);
        }
        fresh
    }

    fn apply(&self, event: Event, now: Timestamp, chance: f64) -> (Verdict, Told) {
        let mut state = self.lock();
        self.folded(&mut state, now);
        let applied = apply(&self.policy, &mut state, event, now.0, chance);
        self.generation.store(state.generation, Ordering::Relaxed);
        (applied.verdict, Told { transition: applied.transitions.last().copied(), mode: state.mode })
    }

    /// A call failed in a way that says something of the backend.
    pub fn failed(&self, permit: Permit, now: Timestamp, chance: f64) -> Told {
        self.apply(Event::Report(permit, FAILED), now, chance).1
    }

    /// A probe ended well.
    pub fn probed(&self, permit: Permit, now: Timestamp) -> Told {
        self.apply(Event::Report(permit, PASSED), now, 0.5).1
    }

    /// Leave for a probe, if one may start now.
    pub fn probe(&self, now: Timestamp) -> (Option<Permit>, Told) {
        let (verdict, told) = self.apply(Event::Acquire, now, 0.5);
        match verdict {
            Verdict::Admitted(permit) => (Some(permit), told),
            _ => (None, told),
        }
    }

    /// The server was reached again: it may be asked at once, whatever the time that was set.
    pub fn ready(&self, now: Timestamp) {
        let mut state = self.lock();
        if state.mode == Mode::Open {
            state.until = Some(now.0);
        }
    }

    /// How it stands, and how long until it may let something through, in ms.
    pub fn look(&self, now: Timestamp) -> (Mode, Option<u64>) {
        let state = self.lock();
        (state.mode, state.retry_after(now.0))
    }
}

#[cfg(test)]
mod tests {
    use super::Gate;
    use crate::breaker::Mode;
    use crate::clock::Timestamp;
    use crate::layers::resilient::policy::Policy;

    fn gate() -> Gate {
        Gate::new(Policy::default().breaker)
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_two_probes_close_it() {
        let gate = gate();
        let at = |ms: u64| Timestamp(1_000_000 + ms);
        for n in 0..4 {
            assert_eq!(gate.failed(gate.permit(), at(n), 0.5).mode, Mode::Closed);
        }
        gate.passed();
        for n in 0..5 {
            let told = gate.failed(gate.permit(), at(10 + n), 0.5);
            assert_eq!(told.mode, if n < 4 { Mode::Closed } else { Mode::Open }, "a success came between");
        }
        assert_eq!(gate.look(at(14)), (Mode::Open, Some(1_000)));
        assert_eq!(gate.probe(at(1_013)).0, None);
        let first = gate.probe(at(1_014)).0.unwrap();
        assert_eq!(gate.probe(at(1_014)).0, None, "one at a time");
        assert_eq!(gate.probed(first, at(1_015)).mode, Mode::HalfOpen);
        let second = gate.probe(at(1_016)).0.unwrap();
        assert_eq!(gate.probed(second, at(1_017)).mode, Mode::Closed);
    }

    #[test]
    fn half_of_twenty_open_it_and_a_failed_probe_doubles_the_time() {
        let gate = gate();
        let at = |ms: u64| Timestamp(1_000_000 + ms);
        for n in 0..10 {
            gate.passed();
            assert_eq!(
                gate.failed(gate.permit(), at(n), 0.5).mode,
                if n < 9 { Mode::Closed } else { Mode::Open }
            );
        }
        for (wait, longest) in [(1_000, 2_000), (2_000, 4_000)] {
            let now = at(9 + wait);
            let permit = gate.probe(now).0.or_else(|| gate.probe(at(20_000)).0).unwrap();
            let told = gate.failed(permit, now, 0.5);
            assert_eq!((told.mode, gate.look(now).1), (Mode::Open, Some(longest)));
            gate.ready(now);
        }
    }

    #[test]
    fn what_was_begun_before_it_opened_counts_for_nothing() {
        let gate = gate();
        let (early, at) = (gate.permit(), Timestamp(1_000_000));
        for _ in 0..5 {
            gate.failed(gate.permit(), at, 0.5);
        }
        let probe = gate.probe(at.plus_ms(1_001)).0.unwrap();
        gate.failed(early, at.plus_ms(1_002), 0.5);
        assert_eq!(gate.look(at.plus_ms(1_002)).0, Mode::HalfOpen, "a late failure decides nothing");
        gate.probed(probe, at.plus_ms(1_003));
    }
}
