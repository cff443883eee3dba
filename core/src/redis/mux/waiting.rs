//! What waits on a connection, and how it ends without an answer.

use std::sync::{Arc, MutexGuard};
use std::task::Waker;

use super::State;
use super::slot::Slot;
use crate::clock::Timestamp;
use crate::error::{Effect, Error};
use crate::redis::resp::Pair;

/// What waits for replies, in their order.
pub(super) enum Waiting {
    Call(Arc<Slot>),
    /// Who asked, until that one is told that nothing came of it.
    Glance(Option<(u32, Waker)>, Timestamp),
}

impl Waiting {
    pub fn wake(self) {
        match self {
            Self::Call(slot) => slot.wake(),
            Self::Glance(asked, _) => asked.into_iter().for_each(|(_, waker)| waker.wake()),
        }
    }

    /// Marks it as sent, unless nobody waits for it any more.
    pub fn mark_sent(&self) -> bool {
        match self {
            Self::Call(slot) => slot.mark_sent(),
            Self::Glance(asked, _) => asked.is_some(),
        }
    }

    /// Whether its deadline is still to come and somebody waits.
    pub fn waits(&self, now: Timestamp) -> bool {
        match self {
            Self::Call(slot) => slot.waits(now),
            Self::Glance(_, deadline) => *deadline > now,
        }
    }

    /// Whether its deadline has passed and nobody was told so yet.
    pub fn is_late(&self, now: Timestamp) -> bool {
        match self {
            Self::Call(slot) => slot.is_late(now) && !slot.is_settled(),
            Self::Glance(asked, deadline) => *deadline <= now && asked.is_some(),
        }
    }

    /// Whether a caller waits for it.
    pub fn is_waited_for(&self) -> bool {
        match self {
            Self::Call(slot) => Arc::strong_count(slot) > 1,
            Self::Glance(asked, _) => asked.is_some(),
        }
    }

    /// The same to be told that it failed; of a glance, the right to be told at all.
    pub fn share(&mut self) -> Self {
        match self {
            Self::Call(slot) => Self::Call(Arc::clone(slot)),
            Self::Glance(asked, deadline) => Self::Glance(asked.take(), *deadline),
        }
    }
}

impl State {
    /// The next glance is answered.
    pub fn saw(&mut self, pair: &Pair<'_>, answered: &mut Vec<Waiting>) {
        let Some(waiting) = self.sent.pop_front() else { return };
        if let Waiting::Glance(Some((ticket, _)), _) = &waiting {
            self.glances.saw(*ticket, pair);
        }
        answered.push(waiting);
    }

    /// The next one has all that comes; a glance is answered by something else than it asks for.
    pub fn pop(&mut self, answered: &mut Vec<Waiting>) {
        let Some(waiting) = self.sent.pop_front() else { return };
        self.miss(&waiting);
        answered.push(waiting);
    }

    /// Nothing comes of it: whoever asked is to be told so by a wake.
    pub fn miss(&mut self, waiting: &Waiting) {
        if let Waiting::Glance(Some((ticket, _)), _) = waiting {
            self.glances.missed(*ticket);
        }
    }
}

/// Ends these without an answer. Calls are told the error, with what is known of their effect; who glanced asks otherwise.
pub(super) fn end(mut state: MutexGuard<'_, State>, ended: Vec<Waiting>, error: impl Fn(Effect) -> Error) {
    ended.iter().for_each(|waiting| state.miss(waiting));
    drop(state);
    for waiting in ended {
        match &waiting {
            Waiting::Call(slot) => slot.fail(&error),
            Waiting::Glance(..) => waiting.wake(),
        }
    }
}

/// Takes out the calls that are not wanted, with their requests.
pub(super) fn keep(
    queue: &mut Vec<(Waiting, usize)>,
    requests: &mut Vec<u8>,
    mut wanted: impl FnMut(&mut Waiting) -> bool,
) {
    // Usually all of them are: then nothing is moved.
    let (mut at, mut gone) = (0, Vec::new());
    queue.retain_mut(|(waiting, len)| {
        let stays = wanted(waiting);
        if !stays {
            gone.push((at, *len));
        }
        at += *len;
        stays
    });
    if gone.is_empty() {
        return;
    }
    let (mut rest, mut from) = (Vec::with_capacity(requests.len()), 0);
    for (at, len) in gone {
        rest.extend_from_slice(requests.get(from..at).unwrap_or_default());
        from = at + len;
    }
    rest.extend_from_slice(requests.get(from..).unwrap_or_default());
    *requests = rest;
}
