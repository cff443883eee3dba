//! Changes on their way to an audit in another store: in order, bounded; what does not fit is told as a range.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::audit::Audit;
use super::id::BreakerId;

/// A change that waits for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Grows by one with every change of this process.
    pub number: u64,
    pub id: BreakerId,
    pub entry: Audit,
}

/// Keeps what was changed until the audit has it. Until it is opened it keeps nothing.
#[derive(Debug, Default)]
pub struct Outbox(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Entries at the most, apart from one range for each breaker.
    limit: usize,
    next: u64,
    posted: VecDeque<Posted>,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on at most so many entries are kept.
    pub fn open(&self, limit: usize) {
        self.lock().limit = limit;
    }

    /// Takes changes of a breaker in.
    pub(super) fn post(&self, id: &BreakerId, entries: &[Audit]) {
        let mut kept = self.lock();
        if kept.limit == 0 {
            return;
        }
        for entry in entries {
            let number = kept.next;
            kept.next += 1;
            kept.posted.push_back(Posted { number, id: id.clone(), entry: entry.clone() });
        }
        while kept.posted.len() > kept.limit && kept.shrink() {}
    }

    /// The oldest changes, at most so many. They stay until they are said to be [`Outbox::done`].
    #[must_use]
    pub fn batch(&self, most: usize) -> Vec<Posted> {
        self.lock().posted.iter().take(most).cloned().collect()
    }

    /// The audit has the changes up to this number.
    pub fn done(&self, number: u64) {
        let mut kept = self.lock();
        while kept.posted.front().is_some_and(|posted| posted.number <= number) {
            kept.posted.pop_front();
        }
    }
}

impl Kept {
    /// Makes one entry of the oldest one and the next one of the same breaker; of each breaker one stays.
    fn shrink(&mut self) -> bool {
        for oldest in 0..self.posted.len() {
            let Some(first) = self.posted.get(oldest) else { return false };
            let next = self.posted.iter().skip(oldest + 1).position(|later| later.id == first.id);
            let Some(next) = next.map(|place| place + oldest + 1) else { continue };
            let Some(first) = self.posted.remove(oldest) else { return false };
            if let Some(later) = self.posted.get_mut(next - 1) {
                later.entry = first.entry.merged(&later.entry);
            }
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::audit::Note;
    use super::super::state::{Cause, Mode};
    use super::*;

    fn entry(at: u64) -> Audit {
        Audit {
            event: "opened".to_owned(),
            from: Mode::Closed,
            to: Mode::Open,
            at,
            generation: at,
            cause: Cause::Command,
            until: None,
            failures: 0,
            successes: 0,
            dropped: None,
            dropped_since: None,
            note: Note::default(),
        }
    }

    fn id(name: &str) -> BreakerId {
        BreakerId { name: name.to_owned(), ..BreakerId::default() }
    }

    fn seen(outbox: &Outbox) -> Vec<(u64, String, u64, Option<u64>)> {
        let batch = outbox.batch(100);
        batch.into_iter().map(|it| (it.number, it.id.name, it.entry.at, it.entry.dropped)).collect()
    }

    #[test]
    fn it_keeps_what_the_audit_has_not_got() {
        let outbox = Outbox::default();
        outbox.post(&id("a"), &[entry(1)]);
        assert!(seen(&outbox).is_empty(), "nobody asked for an audit");
        outbox.open(10);
        outbox.post(&id("a"), &[entry(1), entry(2)]);
        outbox.post(&id("b"), &[entry(3)]);
        assert_eq!(outbox.batch(2).len(), 2);
        outbox.done(1);
        assert_eq!(seen(&outbox), [(2, "b".to_owned(), 3, None)]);
    }

    #[test]
    fn what_does_not_fit_becomes_a_range() {
        let outbox = Outbox::default();
        outbox.open(3);
        outbox.post(&id("b"), &[entry(1)]);
        outbox.post(&id("a"), &(2..=6).map(entry).collect::<Vec<_>>());
        let own = |text: &str| text.to_owned();
        // What is alone stays; of the others the oldest are one.
        assert_eq!(
            seen(&outbox),
            [(0, own("b"), 1, None), (4, own("a"), 5, Some(4)), (5, own("a"), 6, None)]
        );
        let range = outbox.batch(2).remove(1).entry;
        assert_eq!((range.event.as_str(), range.dropped_since), ("dropped", Some(2)));
        // More breakers than there is room for: one entry of each.
        for name in ["c", "d", "e"] {
            outbox.post(&id(name), &[entry(9)]);
        }
        assert_eq!(seen(&outbox).len(), 5);
    }
}
