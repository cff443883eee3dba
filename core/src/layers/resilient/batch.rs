//! Kept writes on one plain value that are brought together: a busy queue has many, and one round trip for each would take
//! longer than new ones come.
//!
//! They go as one transaction under the name of the first. Its answer has a part for each of their effects, so whoever sends
//! it again, with more behind it or less, learns how many of them were applied: what stands behind the first in the journal
//! never changes its order.

use std::collections::VecDeque;

use hashbrown::HashSet;

use super::drain::SCANNED;
use super::journal::{Entry, Stage};
use super::overlay::Place;
use crate::command::{Command, Data, Line};
use crate::error::Result;
use crate::run::Run;
use crate::txn::{Effect, Fate, Few, Reply, Txn};

/// Effects of one transaction at the most, and bytes of their texts, about.
const EFFECTS: usize = 512;
const BYTES: usize = 1 << 20;

/// Whether it may go with others: it was never sent alone, and every effect has one reply.
fn may_join(txn: &Txn) -> bool {
    let plain = |effect: &Effect| matches!(effect, Effect::Do { .. } | Effect::Try { .. });
    txn.noted.is_some_and(|noted| noted.fate == Fate::Kept)
        && txn.checks.is_empty()
        && txn.queries.is_empty()
        && txn.effects.iter().all(plain)
}

fn is_of(txn: &Txn, first: &Txn) -> bool {
    may_join(txn) && txn.partition == first.partition && txn.first_key() == first.first_key()
}

fn weight(txn: &Txn) -> usize {
    let command = |effect: &Effect| match effect {
        Effect::Do { command, .. } | Effect::Try { command, .. } => command.weight(),
        _ => 0,
    };
    txn.effects.iter().map(command).sum()
}

/// The transaction of the entry at this place, with those behind it that may go along; `held` are places that others are at.
pub(super) fn led(entries: &mut VecDeque<Entry>, at: usize, mut txn: Txn, held: &HashSet<Place>) -> Txn {
    if !may_join(&txn) {
        return txn;
    }
    let (mut bytes, first) = (weight(&txn), txn.clone());
    let mut passed: HashSet<Place> = HashSet::new();
    for entry in entries.range_mut(at + 1..).take(SCANNED) {
        let is_held = entry.places.iter().any(|place| held.contains(place) || passed.contains(place));
        let joins = matches!(entry.stage, Stage::Waiting) && !is_held && is_of(&entry.txn, &first);
        if !joins {
            // What has to come behind it does not go in front of it.
            passed.extend(entry.places.iter().cloned());
            continue;
        }
        bytes += weight(&entry.txn);
        if bytes > BYTES || txn.effects.len() + entry.txn.effects.len() > EFFECTS {
            break;
        }
        txn.effects.extend(entry.txn.effects.iter().cloned());
        entry.stage = Stage::Led;
    }
    txn
}

/// Gives each of those that went together its part of the answer; what is refused becomes a conflict.
pub(super) fn answered(
    entries: &mut VecDeque<Entry>,
    at: usize,
    replies: Few<Reply>,
    conflict: impl Fn(&Txn, &'static str) -> Run<Result<()>>,
) {
    let Some(first) = entries.get(at).map(|entry| entry.txn.clone()) else { return };
    let mut replies = replies.as_slice();
    let joined =
        |entry: &&mut Entry| entry.txn.noted == first.noted || may_join(&first) && is_of(&entry.txn, &first);
    for entry in entries.range_mut(at..).filter(joined) {
        let Some((own, rest)) = replies.split_at_checked(entry.txn.effects.len()) else { break };
        if own.is_empty() {
            break;
        }
        replies = rest;
        entry.stage = if is_refused(&entry.txn, own) {
            Stage::Settling(conflict(&entry.txn, "refused"))
        } else {
            Stage::Done
        };
    }
    release(entries, at);
}

/// Those that were led by this one and have no answer wait again.
pub(super) fn release(entries: &mut VecDeque<Entry>, at: usize) {
    let Some(first) = entries.get(at).map(|entry| entry.txn.clone()) else { return };
    for entry in entries.range_mut(at + 1..) {
        if matches!(entry.stage, Stage::Led) && is_of(&entry.txn, &first) {
            entry.stage = Stage::Waiting;
        }
    }
}

/// The queue is full or closed, or the key holds something else.
fn is_refused(txn: &Txn, replies: &[Reply]) -> bool {
    txn.effects.iter().zip(replies).any(|(effect, reply)| match (effect, reply) {
        (Effect::Do { command: Command::Line(Line::Put { .. }), .. }, Reply::Data(Data::Int(waiting))) => {
            *waiting < 1
        }
        (_, Reply::Data(Data::Fault(_))) => true,
        _ => false,
    })
}
