//! Glances: questions for one field of a record, whose answers stay where they were read to until who asked takes them. They need no
//! room of their own on the way, which is most of what a question costs.

use std::collections::VecDeque;
use std::ops::Range;

use super::waiting::Waiting;
use super::{Mux, Phase};
use crate::redis::link::Asked;
use crate::redis::resp::Pair;

/// What a glance came to.
enum Seen {
    /// It is to be asked for otherwise.
    Missed,
    Pair(Option<Range<usize>>, Option<Range<usize>>),
}

/// What glances saw, until it is asked for: nearly always in this order.
#[derive(Default)]
pub(super) struct Glances {
    seen: VecDeque<(u32, Seen)>,
    bytes: Vec<u8>,
}

/// Bytes of room that are kept.
const ROOM_KEPT: usize = 1 << 20;

impl Glances {
    /// Keeps an answer until it is asked for.
    pub fn saw(&mut self, ticket: u32, pair: &Pair<'_>) {
        let mut keep = |bytes: Option<&[u8]>| {
            let from = self.bytes.len();
            self.bytes.extend_from_slice(bytes?);
            Some(from..self.bytes.len())
        };
        let (first, second) = (keep(pair.0), keep(pair.1));
        self.seen.push_back((ticket, Seen::Pair(first, second)));
    }

    pub fn missed(&mut self, ticket: u32) {
        self.seen.push_back((ticket, Seen::Missed));
    }

    fn take(&mut self, ticket: u32) -> Option<Seen> {
        let is_next = self.seen.front().is_some_and(|(next, _)| *next == ticket);
        let at = if is_next { 0 } else { self.seen.iter().position(|(other, _)| *other == ticket)? };
        self.seen.remove(at).map(|(_, seen)| seen)
    }
}

/// What a glance came to, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look<'a> {
    /// Its answer is still to come.
    Waits,
    /// It is to be asked for otherwise.
    Missed,
    /// Two texts, each of which may be absent.
    Pair(Pair<'a>),
}

impl Mux {
    /// Asks, if that can be done at once. The answer is one list of two texts; who asked is woken when it is there.
    pub fn glance(&self, asked: &Asked<'_>) -> bool {
        let mut state = self.lock();
        if state.phase != Phase::Up || state.useless.is_some() {
            return false;
        }
        let bytes = &asked.requests.bytes;
        state.requests.extend_from_slice(bytes);
        let who = Some((asked.ticket, asked.waker.clone()));
        state.queue.push((Waiting::Glance(who, asked.deadline), bytes.len()));
        true
    }

    /// What a glance came to; once.
    pub fn look(&self, ticket: u32, see: &mut dyn FnMut(Look<'_>)) {
        let glances = &mut self.lock().glances;
        match glances.take(ticket) {
            None => see(Look::Waits),
            Some(Seen::Missed) => see(Look::Missed),
            Some(Seen::Pair(first, second)) => {
                let bytes = &glances.bytes;
                let of = |at: Option<Range<usize>>| bytes.get(at?);
                see(Look::Pair(Pair(of(first), of(second))));
            }
        }
        if glances.seen.is_empty() {
            glances.bytes.clear();
            glances.bytes.shrink_to(ROOM_KEPT);
        }
    }
}
