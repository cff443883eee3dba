//! A line: texts that wait, texts that are lent, texts that are dead.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hashbrown::HashMap;

use crate::clock::Timestamp;
use crate::command::{Bytes, Data, Line as Command};
use crate::key::Name;

/// Texts whose time is over that one taking looks at; the same number stands in the script.
const RETURNS: usize = 16;

#[derive(Debug)]
struct Lent {
    text: Bytes,
    /// How often it was lent, this time included.
    times: u64,
    until: Timestamp,
}

/// What a key with a line holds.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The front is at the end.
    waiting: VecDeque<Bytes>,
    lent: HashMap<Name, Lent>,
    ends: BTreeSet<(Timestamp, Name)>,
    /// How often texts that came back were lent, and how many such texts wait. Equal texts are as good as each other.
    times: HashMap<Bytes, BTreeMap<u64, u64>>,
    /// The oldest first.
    dead: VecDeque<Bytes>,
    closed: bool,
}

impl Line {
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Nothing is left of it.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.lent.is_empty() && self.dead.is_empty() && !self.closed
    }

    pub fn apply(&mut self, command: Command, now: Timestamp) -> Data {
        match command {
            Command::Put { text, most } => Data::Int(self.put(text, most)),
            Command::Take { leases, ms, limit } => self.take(leases, now, ms, limit),
            Command::Settle { leases } => {
                Data::List(leases.iter().map(|lease| flag(self.end(lease).is_some())).collect())
            }
            Command::GiveBack { lease, counts, limit } => {
                let lent = self.end(&lease);
                flag(lent.map(|lent| self.give_back(lent, counts, limit)).is_some())
            }
            Command::Bury { lease } => {
                let lent = self.end(&lease);
                flag(lent.map(|lent| self.dead.push_back(lent.text)).is_some())
            }
            Command::Extend { lease, ms } => flag(self.extend(&lease, now.plus_ms(ms))),
            Command::Count => {
                let counts = [self.waiting.len(), self.lent.len(), self.dead.len()];
                Data::List(counts.map(number).to_vec())
            }
            Command::Close { closed } => flag(std::mem::replace(&mut self.closed, closed) != closed),
            Command::Dead { skip, limit } => {
                let (skip, limit) = (whole(skip), whole(limit));
                Data::List(self.dead.iter().skip(skip).take(limit).cloned().map(Data::Bytes).collect())
            }
            Command::Revive { count } => {
                let count = whole(count).min(self.dead.len());
                for text in self.dead.drain(..count) {
                    self.waiting.push_front(text);
                }
                number(count)
            }
        }
    }

    fn put(&mut self, text: Bytes, most: Option<u64>) -> i64 {
        if self.closed {
            return -1;
        }
        if most.is_some_and(|most| self.waiting.len() as u64 >= most) {
            return 0;
        }
        self.waiting.push_front(text);
        self.waiting.len() as i64
    }

    fn take(&mut self, leases: Vec<Name>, now: Timestamp, ms: u64, limit: u64) -> Data {
        let known: Vec<_> = leases.iter().map(|lease| self.lent.get(lease).map(lent_as)).collect();
        if known.iter().any(Option::is_none) {
            self.returns(now, limit);
        }
        let mut answers = Vec::with_capacity(2 * leases.len());
        for (lease, known) in leases.into_iter().zip(known) {
            answers.extend(known.unwrap_or_else(|| self.lend(lease, now, ms, limit)));
        }
        Data::List(answers)
    }

    fn lend(&mut self, lease: Name, now: Timestamp, ms: u64, limit: u64) -> [Data; 2] {
        if let Some(lent) = self.lent.get(&lease) {
            return lent_as(lent);
        }
        let Some(text) = self.waiting.pop_back() else {
            self.times.clear();
            let next = self.ends.first().map(|(at, _)| at.0.saturating_sub(now.0) as i64);
            return [Data::Nil, Data::Int(next.unwrap_or(if self.closed { -2 } else { -1 }))];
        };
        let (times, until) = (self.times_of(&text, limit) + 1, now.plus_ms(ms));
        self.ends.insert((until, lease.clone()));
        let lent = Lent { text, times, until };
        let answer = lent_as(&lent);
        self.lent.insert(lease, lent);
        answer
    }

    /// Those whose time is over come back, the one that was lent first to the very front.
    fn returns(&mut self, now: Timestamp, limit: u64) {
        let over: Vec<Name> = self
            .ends
            .iter()
            .take_while(|(at, _)| *at <= now)
            .take(RETURNS)
            .map(|(_, lease)| lease.clone())
            .collect();
        for lease in over.iter().rev() {
            if let Some(lent) = self.end(lease) {
                self.give_back(lent, true, limit);
            }
        }
    }

    fn end(&mut self, lease: &Name) -> Option<Lent> {
        let lent = self.lent.remove(lease)?;
        self.ends.remove(&(lent.until, lease.clone()));
        Some(lent)
    }

    fn give_back(&mut self, lent: Lent, counts: bool, limit: u64) {
        let times = if counts { lent.times } else { lent.times.saturating_sub(1) };
        if times >= limit {
            self.dead.push_back(lent.text);
            return;
        }
        if times > 0 {
            *self.times.entry(lent.text.clone()).or_default().entry(times).or_default() += 1;
        }
        self.waiting.push_back(lent.text);
    }

    /// How often a text that is taken now was lent before; of equal ones, that of the one that was lent most.
    fn times_of(&mut self, text: &Bytes, limit: u64) -> u64 {
        let Some(counts) = self.times.get_mut(text) else { return 0 };
        let Some((&times, waiting)) = counts.range_mut(..limit).next_back() else { return 0 };
        *waiting -= 1;
        if *waiting == 0 {
            counts.remove(&times);
        }
        if counts.is_empty() {
            self.times.remove(text);
        }
        times
    }

    fn extend(&mut self, lease: &Name, until: Timestamp) -> bool {
        let Some(lent) = self.lent.get_mut(lease) else { return false };
        self.ends.remove(&(lent.until, lease.clone()));
        self.ends.insert((until, lease.clone()));
        lent.until = until;
        true
    }
}

fn lent_as(lent: &Lent) -> [Data; 2] {
    [Data::Bytes(lent.text.clone()), Data::Int(lent.times as i64)]
}

fn flag(holds: bool) -> Data {
    Data::Int(i64::from(holds))
}

fn number(count: usize) -> Data {
    Data::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn whole(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
