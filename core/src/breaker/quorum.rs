//! What one process thinks, where a circuit opens only when most of the processes that call see it failing.
//!
//! Its results stay here. What they mean by the breaker's rules is its vote, which the shared state holds: told when
//! it changes, and again while calls go on, since an old vote does not count.

use super::machine::{Event, Outcome, judge};
use super::policy::Policy;
use super::state::State;

/// A vote that stands is told again after this, while calls go on.
const AGAIN_MS: u64 = 3_000;

/// A process' own results since the circuit was closed, and its vote.
#[derive(Debug, Default)]
pub(super) struct Ballot {
    /// What was counted here; its mode is never looked at.
    pub own: State,
    /// The generation that it was counted in.
    generation: u64,
    /// The vote that was told last, and when.
    told: Option<(bool, u64)>,
    /// When the caller's own rule spoke last.
    tripped_at: Option<u64>,
}

impl Ballot {
    /// Counts a result of this generation: the vote, if there is one to tell.
    pub fn count(
        &mut self,
        who: u64,
        policy: &Policy,
        generation: u64,
        outcome: Outcome,
        now: u64,
    ) -> Option<Event> {
        self.enter(generation);
        let by_rules = judge(policy, &mut self.own, outcome, now);
        // The caller's own rule says only that it should open; what it said holds for a while.
        let by_caller = self.tripped_at.is_some_and(|at| now.saturating_sub(at) < AGAIN_MS);
        self.vote(who, by_rules || by_caller, now)
    }

    /// The caller's own rule says that it should open.
    pub fn trip(&mut self, who: u64, generation: u64, now: u64) -> Option<Event> {
        self.enter(generation);
        self.tripped_at = Some(now);
        self.vote(who, true, now)
    }

    /// Puts what was counted here where what all counted would stand.
    pub fn show(&self, state: &mut State) {
        if self.generation != state.generation {
            return;
        }
        let own = &self.own;
        (state.failures, state.successes, state.in_a_row) = (own.failures, own.successes, own.in_a_row);
        state.last_failure_at = own.last_failure_at.or(state.last_failure_at);
        state.window.clone_from(&own.window);
    }

    fn enter(&mut self, generation: u64) {
        if self.generation != generation {
            *self = Self { generation, ..Self::default() };
        }
    }

    fn vote(&mut self, who: u64, failing: bool, now: u64) -> Option<Event> {
        let stands = |&(told, at): &(bool, u64)| told == failing && now.abs_diff(at) < AGAIN_MS;
        if self.told.as_ref().is_some_and(stands) {
            return None;
        }
        self.told = Some((failing, now));
        Some(Event::Vote { who, failing })
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::Policy;
    use super::*;

    const GOOD: Outcome = Outcome { failed: false, slow: false };
    const BAD: Outcome = Outcome { failed: true, slow: false };

    fn vote(failing: bool) -> Option<Event> {
        Some(Event::Vote { who: 7, failing })
    }

    #[test]
    fn a_vote_is_told_when_it_changes_and_again_after_a_while() {
        let policy = Policy { consecutive: Some(2.0), ..Policy::default() };
        let mut ballot = Ballot::default();
        let mut count = |generation, outcome, now| ballot.count(7, &policy, generation, outcome, now);
        assert_eq!(count(0, GOOD, 1_000), vote(false));
        assert_eq!(count(0, BAD, 1_001), None);
        assert_eq!(count(0, BAD, 1_002), vote(true));
        assert_eq!(count(0, BAD, 1_003), None);
        assert_eq!(count(0, GOOD, 1_004), vote(false));
        assert_eq!(count(0, GOOD, 4_003), None);
        assert_eq!(count(0, GOOD, 4_004), vote(false));
        // Another generation begins with nothing.
        assert_eq!(count(2, BAD, 4_005), vote(false));
        assert_eq!(count(2, BAD, 4_006), vote(true));
    }

    #[test]
    fn the_callers_own_rule_holds_for_a_while() {
        let policy = Policy { consecutive: None, ..Policy::default() };
        let mut ballot = Ballot::default();
        assert_eq!(ballot.count(7, &policy, 0, GOOD, 1_000), vote(false));
        assert_eq!(ballot.trip(7, 0, 1_001), vote(true));
        assert_eq!(ballot.count(7, &policy, 0, GOOD, 4_000), None);
        assert_eq!(ballot.count(7, &policy, 0, GOOD, 4_001), vote(false));
    }

    #[test]
    fn failures_in_the_window_count_until_they_leave_it() {
        let policy = Policy { consecutive: None, failures: Some(2.0), ..Policy::default() };
        let mut ballot = Ballot::default();
        let told: Vec<_> =
            [BAD, BAD, GOOD].iter().map(|&outcome| ballot.count(7, &policy, 0, outcome, 1_000)).collect();
        assert_eq!(told, [vote(false), vote(true), None]);
    }
}
