//! One partition's keys, and how a transaction is applied to them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use hashbrown::HashMap;

use super::value::{FeedLog, Index, Record, Value};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::key::{Key, Name};
use crate::txn::{Check, Effect, Feed, Fields, Log, Outcome, Query, Reply, Txn, Until};

/// How many due keys one transaction frees at the most.
pub(super) const SWEEP: usize = 4;

#[derive(Debug)]
struct Slot {
    value: Value,
    until: Until,
}

impl Slot {
    fn is_due(&self, now: Timestamp) -> bool {
        matches!(self.until, Until::At(at) if at <= now)
    }
}

/// The keys of one partition.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    slots: HashMap<Key, Slot>,
    /// When a key may be due. A deadline that moved leaves its old entry here; sweeping looks again.
    due: BinaryHeap<Reverse<(Timestamp, Key)>>,
}

impl Shelf {
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn run(&mut self, txn: Txn, now: Timestamp) -> Result<Outcome> {
        self.sweep(now);
        if let Some(refused) = txn.checks.iter().position(|check| !self.holds(check, now)) {
            let seen = txn.witness.iter().map(|query| self.answer(query, now)).collect::<Result<_>>()?;
            return Ok(Outcome::Refused(refused, seen));
        }
        let mut replies = Vec::with_capacity(txn.queries.len() + 2);
        for effect in txn.effects {
            self.apply(effect, now, &mut replies)?;
        }
        for query in &txn.queries {
            replies.push(self.answer(query, now)?);
        }
        Ok(Outcome::Committed(replies))
    }

    fn sweep(&mut self, now: Timestamp) {
        for _ in 0..SWEEP {
            let Some(Reverse((at, _))) = self.due.peek() else { return };
            if *at > now {
                return;
            }
            let Some(Reverse((_, key))) = self.due.pop() else { return };
            match self.slots.get(&key).map(|slot| slot.until) {
                Some(Until::At(at)) if at <= now => drop(self.slots.remove(&key)),
                Some(Until::At(later)) => self.due.push(Reverse((later, key))),
                Some(Until::Never) | None => {}
            }
        }
    }

    fn slot(&self, key: &Key, now: Timestamp) -> Option<&Slot> {
        self.slots.get(key).filter(|slot| !slot.is_due(now))
    }

    fn record(&self, key: &Key, now: Timestamp) -> Option<(&Record, Until)> {
        match self.slot(key, now)? {
            Slot { value: Value::Record(record), until } => Some((record, *until)),
            _ => None,
        }
    }

    fn holds(&self, check: &Check, now: Timestamp) -> bool {
        let text = |key, field: &Name| self.record(key, now).and_then(|(record, _)| record.fields.get(field));
        match check {
            Check::Absent { key, field } => text(key, field).is_none(),
            Check::Present { key, field } => text(key, field).is_some(),
            Check::Begins { key, field, with } => {
                text(key, field).is_some_and(|text| text.starts_with(with.as_str()))
            }
        }
    }

    fn insert(&mut self, key: Key, value: Value, until: Until) {
        if let Until::At(at) = until {
            self.due.push(Reverse((at, key.clone())));
        }
        self.slots.insert(key, Slot { value, until });
    }

    /// The key's value, made new when it is not there. What is due counts as not there.
    fn open(&mut self, key: Key, fresh: fn() -> Value, now: Timestamp) -> &mut Slot {
        let due = self.slots.get(&key).is_some_and(|slot| slot.is_due(now));
        if due {
            self.slots.remove(&key);
        }
        self.slots.entry(key).or_insert_with(|| Slot { value: fresh(), until: Until::Never })
    }

    fn record_mut(&mut self, key: Key, now: Timestamp) -> Result<&mut Record> {
        match &mut self.open(key, || Value::Record(Record::default()), now).value {
            Value::Record(record) => Ok(record),
            _ => Err(wrong_kind()),
        }
    }

    fn index_mut(&mut self, key: Key, now: Timestamp) -> Result<&mut Index> {
        match &mut self.open(key, || Value::Index(Index::default()), now).value {
            Value::Index(index) => Ok(index),
            _ => Err(wrong_kind()),
        }
    }

    fn apply(&mut self, effect: Effect, now: Timestamp, replies: &mut Vec<Reply>) -> Result<()> {
        match effect {
            Effect::Open { key, until } => self.insert(key, Value::Record(Record::default()), until),
            Effect::Put { key, field, text } => {
                self.record_mut(key, now)?.fields.insert(field, text);
            }
            Effect::Drop { key, fields } => {
                let record = self.record_mut(key, now)?;
                for field in fields {
                    record.fields.remove(&field);
                }
            }
            Effect::Delete { key } => drop(self.slots.remove(&key)),
            Effect::Slide { key, until } => replies.push(Reply::Until(self.slide(&key, until, now))),
            Effect::Add { key, member, score } => self.index_mut(key, now)?.add(member, score),
            Effect::Remove { key, member } => {
                let index = self.index_mut(key.clone(), now)?;
                index.remove(&member);
                if index.is_empty() {
                    self.slots.remove(&key);
                }
            }
            Effect::Append { key, text, keep, feed } => {
                let position = self.record_mut(key.clone(), now)?.append(Arc::clone(&text), keep);
                self.gather(feed, key, position, text, now)?;
                replies.push(Reply::Position(position));
            }
        }
        Ok(())
    }

    fn slide(&mut self, key: &Key, until: Until, now: Timestamp) -> Until {
        let Some(slot) = self.slots.get_mut(key).filter(|slot| !slot.is_due(now)) else { return until };
        slot.until = match (slot.until, until) {
            (Until::At(before), Until::At(later)) => Until::At(before.max(later)),
            _ => Until::Never,
        };
        slot.until
    }

    fn gather(
        &mut self,
        feed: Feed,
        origin: Key,
        position: u64,
        text: Arc<str>,
        now: Timestamp,
    ) -> Result<()> {
        let is_new = self.slot(&feed.key, now).is_none();
        if is_new {
            self.due.push(Reverse((feed.until, feed.key.clone())));
        }
        let slot = self.open(feed.key, || Value::Feed(FeedLog::default()), now);
        slot.until = Until::At(feed.until);
        match &mut slot.value {
            Value::Feed(log) => log.append(origin.name, position, text, feed.keep, now),
            _ => return Err(wrong_kind()),
        }
        Ok(())
    }

    fn answer(&self, query: &Query, now: Timestamp) -> Result<Reply> {
        let (Query::Record { key, .. }
        | Query::Members { key, .. }
        | Query::Log { key, .. }
        | Query::Entries { key, .. }) = query;
        let slot = self.slot(key, now);
        let value = slot.map(|slot| &slot.value);
        let until = slot.map_or(Until::Never, |slot| slot.until);
        Ok(match (query, value) {
            (Query::Record { fields, .. }, Some(Value::Record(record))) => {
                Reply::Record(record.fields(fields, until))
            }
            (Query::Record { fields, .. }, None) => {
                Reply::Record(Fields { until, texts: vec![None; fields.len()] })
            }
            (Query::Members { descending, skip, limit, .. }, Some(Value::Index(index))) => {
                Reply::Members(index.members(*descending, *skip, *limit))
            }
            (Query::Members { .. }, None) => Reply::Members(Vec::new()),
            (Query::Log { after, limit, .. }, Some(Value::Record(record))) => {
                Reply::Log(record.log(*after, *limit))
            }
            (Query::Log { .. }, None) => Reply::Log(Log { first: 1, last: 0, entries: Vec::new() }),
            (Query::Entries { after, limit, .. }, Some(Value::Feed(feed))) => {
                Reply::Entries(feed.entries(*after, *limit))
            }
            (Query::Entries { .. }, None) => Reply::Entries(Vec::new()),
            _ => return Err(wrong_kind()),
        })
    }
}

fn wrong_kind() -> Error {
    Error::internal("a key holds another kind of value than the transaction expects")
}
