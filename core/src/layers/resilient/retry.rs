//! Which failed attempts are made again, and when. Pure but for the budget, which is a number.

use std::sync::Mutex;
use std::sync::PoisonError;

use super::policy::Retry;
use crate::command::{Data, Repeats};
use crate::error::Effect as Applied;
use crate::txn::{Effect, Outcome, Reply, Txn};

/// Repeats that are paid for: each call pays a part of one, so that a backend in trouble is not asked many times more than
/// a healthy one.
#[derive(Debug)]
pub(super) struct Budget {
    policy: Retry,
    /// Repeats that may be made now.
    left: Mutex<f64>,
}

/// So many times the reserve is saved up at the most.
const SAVED: f64 = 10.0;

impl Budget {
    pub fn new(policy: Retry) -> Self {
        Self { left: Mutex::new(policy.reserve), policy }
    }

    /// So many calls were made.
    pub fn pay(&self, calls: u64) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let most = (self.policy.reserve * SAVED).max(SAVED);
        *left = (*left + calls as f64 * self.policy.budget).min(most.max(*left));
    }

    /// Takes one repeat, if there is one.
    pub fn take(&self) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let may = *left >= 1.0;
        if may {
            *left -= 1.0;
        }
        may
    }
}

/// How long to wait before the attempt after `attempts` of them, in ms: full jitter, so that callers who failed together do
/// not come back together (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
pub(super) fn pause(policy: Retry, attempts: u32, random: u64) -> u64 {
    let longest = policy.first_pause_ms.checked_shl(attempts.saturating_sub(1)).unwrap_or(u64::MAX);
    random % (longest.min(policy.longest_pause_ms) + 1)
}

/// How a transaction may be run again after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Without harm.
    Safe,
    /// Without harm, but what comes of it may not tell whether the first attempt was applied: see [`tells_nothing`].
    Guessing,
    /// It could be applied twice.
    Never,
}

/// Whether `txn` may be run again when this is known of its effect.
pub(super) fn repeat(txn: &Txn, effect: Applied) -> Repeat {
    let is_known = txn.remembered_in().is_some() || txn.noted.is_some();
    if effect == Applied::NotApplied || txn.is_read() || is_known {
        return Repeat::Safe;
    }
    let (mut tells, mut repeats) = (false, true);
    for effect in &txn.effects {
        match repeats_of(effect) {
            Repeats::Alike => {}
            Repeats::Told => tells = true,
            Repeats::Noted | Repeats::Never => repeats = false,
        }
    }
    match repeats {
        false => Repeat::Never,
        true if tells || !txn.checks.is_empty() => Repeat::Guessing,
        true => Repeat::Safe,
    }
}

/// Whether an outcome of what was repeated by guess tells nothing: a refusal by what it may itself have written, or a command
/// that found nothing to do, perhaps since it was done.
pub(super) fn tells_nothing(outcome: &Outcome) -> bool {
    let nothing = |reply: &Reply| matches!(reply, Reply::Data(Data::Int(0) | Data::Nil | Data::Fault(_)));
    match outcome {
        Outcome::Refused(..) => true,
        Outcome::Committed(replies) => replies.iter().any(nothing),
    }
}

/// What applying it twice in a row comes to.
fn repeats_of(effect: &Effect) -> Repeats {
    match effect {
        Effect::Put { .. }
        | Effect::Drop { .. }
        | Effect::Delete { .. }
        | Effect::Slide { .. }
        | Effect::Add { .. }
        | Effect::Remove { .. } => Repeats::Alike,
        Effect::Do { command, .. } | Effect::Try { command, .. } => command.repeats(),
        _ => Repeats::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Repeat, pause, repeat};
    use crate::clock::Timestamp;
    use crate::error::Effect as Applied;
    use crate::id::Mark;
    use crate::key::{Key, Partition, Space};
    use crate::layers::resilient::policy::Policy;
    use crate::txn::{Check, Effect, Feed, Txn, Until};

    #[test]
    fn ten_calls_pay_for_one_repeat() {
        let budget = Budget::new(Policy::default().retry);
        assert_eq!((0..10).filter(|_| budget.take()).count(), 3, "the reserve");
        budget.pay(99);
        assert_eq!((0..100).filter(|_| budget.take()).count(), 9);
        budget.pay(1_000_000);
        assert_eq!((0..100).filter(|_| budget.take()).count(), 30, "saved up to a bound");
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_are_spread_over_all_of_it() {
        let policy = Policy::default().retry;
        for (attempts, longest) in [(1, 40), (2, 80), (3, 160), (4, 320), (5, 400), (60, 400), (200, 400)] {
            assert_eq!(pause(policy, attempts, longest), longest, "{attempts}");
            assert_eq!(pause(policy, attempts, longest + 1), 0, "{attempts}");
        }
    }

    #[test]
    fn only_what_has_one_effect_is_repeated() {
        let key = Key::new(Space("t"), "a");
        let feed = Feed { key: Key::new(Space("f"), "u"), keep: 1, until: Timestamp(1), also: None };
        let txn = |effects: Vec<Effect>, checked: bool, marked: bool| {
            let mut txn = Txn::new(Partition::of("u"), Timestamp(1));
            txn.effects = effects;
            txn.mark = marked.then(|| Mark::new(7));
            if checked {
                txn.checks.push(Check::Present { key: key.clone(), field: "s".into() });
            }
            txn
        };
        let append = Effect::Append { key: key.clone(), text: "e".into(), keep: 9, feed };
        let slide = Effect::Slide { key: key.clone(), until: Until::Never };
        let unknown = |effects, checked, marked| repeat(&txn(effects, checked, marked), Applied::Unknown);
        assert_eq!(unknown(vec![append.clone()], true, true), Repeat::Safe);
        assert_eq!(unknown(vec![append.clone()], true, false), Repeat::Never);
        assert_eq!(unknown(vec![slide.clone()], false, true), Repeat::Safe);
        assert_eq!(unknown(vec![slide], true, true), Repeat::Guessing);
        assert_eq!(unknown(vec![], true, false), Repeat::Safe);
        assert_eq!(repeat(&txn(vec![append], true, false), Applied::NotApplied), Repeat::Safe);
    }
}
