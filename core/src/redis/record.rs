//! Most writes are of one record: it is checked, its fields are set, its log is appended to, its deadline moves. They go by a
//! script that does only that, at two thirds of what the general one costs the server.

use std::sync::OnceLock;

use smallvec::SmallVec;

use super::encode::{Form, plain_effect};
use super::keys::Keys;
use super::operand::{Operand, deadline};
use super::resp::Requests;
use crate::key::{Key, Name};
use crate::txn::{Check, Effect, Feed, Query, Txn, Until};

/// The script that writes one record.
pub(super) const SCRIPT: &str = include_str!("record.lua");

/// The script's name in the server's cache.
fn script_sha() -> &'static str {
    static SHA: OnceLock<String> = OnceLock::new();
    SHA.get_or_init(|| sha1_smol::Sha1::from(SCRIPT).digest().to_string())
}

/// How the script is named: by its hash, or where the server does not have it, by its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Sha,
    Text,
}

/// A list that is short for most writes.
type Short<T> = SmallVec<[T; 4]>;

/// A transaction that is a write of one record.
struct Write<'a> {
    key: &'a Key,
    /// Where its log's entries are gathered, and how many of them it keeps.
    feed: Option<(&'a Feed, u64)>,
    entries: Short<&'a str>,
    texts: Short<(&'a Name, &'a str)>,
    until: Option<Until>,
    fields: &'a [Name],
    /// Of other keys.
    rest: Vec<&'a Effect>,
}

impl<'a> Write<'a> {
    /// Nothing for what needs the general script.
    fn of(txn: &'a Txn) -> Option<Self> {
        let [Query::Record { key, fields }] = txn.witness.as_slice() else { return None };
        if txn.noted.is_some() || txn.repeated || !txn.queries.is_empty() || txn.checks.is_empty() {
            return None;
        }
        let (feed, until) = (None, None);
        let (entries, texts, rest) = (Short::new(), Short::new(), Vec::new());
        let mut write = Self { key, feed, entries, texts, until, fields, rest };
        let taken = txn.checks.iter().all(|check| checked(check).is_some_and(|(_, on, ..)| on == key))
            && txn.effects.iter().all(|effect| write.take(effect));
        (taken && write.sizes(txn.checks.len()).is_some()).then_some(write)
    }

    fn take(&mut self, effect: &'a Effect) -> bool {
        match effect {
            Effect::Put { key, field, text } if key == self.key => self.texts.push((field, text)),
            // Its deadline is the last of its replies.
            Effect::Append { key, text, keep, feed }
                if key == self.key && feed.also.is_none() && self.until.is_none() =>
            {
                self.entries.push(text);
                return *self.feed.get_or_insert((feed, *keep)) == (feed, *keep);
            }
            Effect::Slide { key, until } if key == self.key => {
                return self.until.replace(*until).is_none();
            }
            // They come behind the others, so they are of other keys.
            Effect::Add { key, .. } | Effect::Lower { key, .. } | Effect::Remove { key, .. }
                if key != self.key =>
            {
                self.rest.push(effect);
            }
            _ => return false,
        }
        true
    }

    /// How many of each there are, where each number is one byte.
    fn sizes(&self, checks: usize) -> Option<[u8; 5]> {
        let byte = |count: usize| u8::try_from(count).ok();
        let (entries, texts) = (byte(self.entries.len())?, byte(2 * self.texts.len())?);
        Some([byte(checks)?, entries, texts, byte(self.fields.len())?, u8::from(self.until.is_some())])
    }
}

/// A check's kind, what it looks at and what that begins with.
fn checked(check: &Check) -> Option<(u8, &Key, &Name, &str)> {
    match check {
        Check::Absent { key, field } => Some((b'A', key, field, "")),
        Check::Present { key, field } => Some((b'P', key, field, "")),
        Check::Begins { key, field, with } => Some((b'B', key, field, with)),
        _ => None,
    }
}

/// Adds a transaction as a request, if it is such a write.
pub(super) fn encode(txn: &Txn, keys: &Keys, by: By, requests: &mut Requests) -> Option<Form> {
    let write = Write::of(txn)?;
    let checks: Short<_> = txn.checks.iter().filter_map(checked).collect();
    let mut counts: SmallVec<[u8; 16]> = write.sizes(checks.len())?.into_iter().collect();
    counts.extend(checks.iter().map(|(kind, ..)| *kind));

    let mut further: Vec<(&'static str, &Key, Vec<Operand<'_>>)> = Vec::new();
    for effect in &write.rest {
        plain_effect(effect, &[], |name, key, operands| further.push((name, key, operands.to_vec())));
    }
    let first = 1 + usize::from(write.feed.is_some());
    let named = first + further.len();
    let args = 5
        + 2 * checks.len()
        + write.entries.len()
        + 2 * write.texts.len()
        + 2 * usize::from(write.until.is_some())
        + write.fields.len()
        + further.iter().map(|(_, _, operands)| 3 + operands.len()).sum::<usize>();
    requests.begin(3 + named + args);
    match by {
        By::Sha => requests.part("EVALSHA").part(script_sha()),
        By::Text => requests.part("EVAL").part(SCRIPT),
    };
    requests.number(named);
    let feed = write.feed.map(|(feed, _)| &feed.key);
    for key in std::iter::once(write.key).chain(feed).chain(further.iter().map(|(_, key, _)| *key)) {
        requests.made(|text| keys.spell_into(text, txn.partition, key));
    }
    requests.part(counts);
    match write.feed {
        Some((feed, keep)) => requests.whole(keep).whole(feed.keep).whole(feed.until.0).part(&write.key.name),
        None => requests.part("").part("").part("").part(""),
    };
    for (_, _, field, _) in &checks {
        requests.part(field);
    }
    for (_, _, _, with) in &checks {
        requests.part(with);
    }
    let mark = txn.carried();
    for entry in &write.entries {
        match &mark {
            Some(mark) => requests.joined(&["\u{1}", mark.as_str(), entry]),
            None => requests.part(entry),
        };
    }
    for (field, text) in &write.texts {
        requests.part(field).part(text);
    }
    if let Some(until) = write.until {
        requests.part("x").part(deadline(until));
    }
    for field in write.fields {
        requests.part(field);
    }
    for (place, (name, _, operands)) in (first + 1..).zip(&further) {
        requests.part(name).number(place).number(operands.len());
        for operand in operands {
            requests.part(operand);
        }
    }
    Some(Form::Script)
}
