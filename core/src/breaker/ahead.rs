//! Leave in advance: while nothing but a failure can move a circuit, calls go without asking, and those that did well
//! are told some at a time, each with its age.
//!
//! It changes nothing that can be seen: who holds such leave tells what it noted before anything else happens to the
//! breaker, or is asked of it.

use super::audit::Note;
use super::held::{BATCH, Breaker, Ended, FRESH_MS, Scope};
use super::inner::Inner;
use super::machine::{Event, Outcome, Permit, pass};
use super::policy::Policy;
use super::state::{Mode, State};

/// Results that may be noted where no other process has to hear of them.
const NOTED: usize = 64;

/// Leave in advance, with the permit that was given last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// Results that may be noted before they are told: at the most 64.
    pub results: u32,
    /// How long calls may begin without asking, in ms; `None` for as long as nothing is told or ordered.
    pub valid_ms: Option<u64>,
}

const WELL: Outcome = Outcome { failed: false, slow: false };

impl Breaker {
    /// Leave in advance, if calls that do well can't bring anything about. A failure, an order, another setting or
    /// an answer of the store ends it.
    #[must_use]
    pub fn ahead(&self) -> Option<Ahead> {
        let local = self.clock.now().0;
        let inner = self.lock();
        // How long a call took is not noted, and a vote is the affair of each result.
        let shared = self.shared(&inner).is_some();
        let votes = shared && inner.scope == Scope::Quorum;
        if inner.policy.slow.is_some() || votes || !is_calm(&inner.policy, &inner.state) {
            return None;
        }
        let (room, valid_ms) = if !shared {
            (NOTED, None)
        } else if inner.is_alone() {
            (BATCH, Some(FRESH_MS))
        } else if inner.must_ask(local) {
            (0, None)
        } else {
            // What is noted and what is logged are one batch.
            let age = local.abs_diff(inner.loaded_at);
            (BATCH.saturating_sub(inner.log.len()), Some(FRESH_MS.saturating_sub(age)))
        };
        let results = u32::try_from(room).unwrap_or_default();
        (results > 0).then_some(Ahead { results, valid_ms })
    }

    /// What was noted: so many calls began, and those of these ages, in ms and the oldest first, have ended well.
    pub fn noted(&self, permit: Permit, begun: u32, ages: impl Iterator<Item = u64>) -> Ended {
        let local = self.clock.now().0;
        let mut inner = self.lock();
        inner.used_at = local;
        inner.admitted += u64::from(begun);
        let now = inner.now(local);
        // What the store said meanwhile may be later.
        let earliest = inner.state.at.min(now);
        let mut ended = Ended { told: !inner.told.is_empty(), urgent: false };
        let mut ages = ages.peekable();
        while let Some(age) = ages.next() {
            let mut times = 1;
            while ages.next_if_eq(&age).is_some() {
                times += 1;
            }
            let at = now.saturating_sub(age).max(earliest);
            let one = self.passed(&mut inner, permit, times, at);
            ended = Ended { told: ended.told || one.told, urgent: ended.urgent || one.urgent };
        }
        ended
    }

    /// So many results of one time.
    fn passed(&self, inner: &mut Inner, permit: Permit, times: u32, at: u64) -> Ended {
        let counts = permit.generation == inner.state.generation && !self.votes(inner, permit.generation);
        if !counts || !is_calm(&inner.policy, &inner.state) {
            let mut ended = Ended { told: false, urgent: false };
            for _ in 0..times {
                let one = self.result(inner, permit, WELL, at);
                ended = Ended { told: one.told, urgent: ended.urgent || one.urgent };
            }
            return ended;
        }
        pass(&inner.policy, &mut inner.state, times, at);
        if self.shared(inner).is_none() {
            return Ended { told: !inner.told.is_empty(), urgent: false };
        }
        let chance = self.chance(inner);
        inner.remember(Event::Report(permit, WELL), (at, times), chance, &Note::default(), true);
        Ended { told: !inner.told.is_empty(), urgent: inner.log.len() >= BATCH }
    }
}

/// Whether no rule can say anything after a call that did well: rules that look at a share need something to share.
fn is_calm(policy: &Policy, state: &State) -> bool {
    let Policy { rate, slow, metrics_only, .. } = policy;
    let shares =
        (rate.is_some() && state.window.has_failures()) || (slow.is_some() && state.window.has_slow());
    state.mode == Mode::Closed && (*metrics_only || !shares)
}
