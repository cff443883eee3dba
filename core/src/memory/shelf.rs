//! One partition's keys, and how a transaction is applied to them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use hashbrown::HashMap;

use super::plain::Plain;
use super::value::{Index, Record, Value};
use crate::backend::Awaited;
use crate::clock::Timestamp;
use crate::command::Data;
use crate::error::{Code, Error, Result};
use crate::id::Mark;
use crate::key::{Key, Name, Space};
use crate::txn::{
    Bundle, Check, Effect, Feed, Few, Fields, Log, Outcome, Position, Query, Reply, Txn, Until,
};

/// Answers of noted writes.
const NOTES: Space = Space("m");

/// How many due keys one transaction frees at the most.
pub(super) const SWEEP: usize = 4;

#[derive(Debug)]
pub(super) struct Slot {
    pub value: Value,
    pub until: Until,
}

impl Slot {
    pub fn is_due(&self, now: Timestamp) -> bool {
        matches!(self.until, Until::At(at) if at <= now)
    }
}

/// The keys of one partition.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) slots: HashMap<Key, Slot>,
    /// When a key may be due. A deadline that moved leaves its old entry here; sweeping looks again.
    pub(super) due: BinaryHeap<Reverse<(Timestamp, Key)>>,
}

impl Shelf {
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether what is waited for is there. A list without items is no key.
    pub fn has(&self, key: &Key, awaited: Awaited, now: Timestamp) -> bool {
        match (awaited, self.slot(key, now).map(|slot| &slot.value)) {
            (_, None) => false,
            (Awaited::Items, Some(Value::Line(line))) => line.waits(),
            (Awaited::Items, Some(_)) => true,
            (Awaited::Entries { after }, Some(Value::Feed(log))) => !log.entries(after, 1).is_empty(),
            (Awaited::Entries { after: Position(ms, number) }, Some(Value::Plain(plain))) => {
                plain.is_behind((ms, number))
            }
            // Another kind of value: who is woken is told so.
            (Awaited::Entries { .. }, Some(_)) => true,
        }
    }

    pub fn run(&mut self, txn: Txn, now: Timestamp) -> Result<Outcome> {
        self.sweep(now);
        if txn.repeated
            && let Some(position) = self.applied(&txn, now)
        {
            return self.answer_again(&txn, position, now);
        }
        let noted =
            txn.noted.map(|noted| (Key::new(NOTES, noted.note.as_str()), now.plus_ms(noted.life_ms())));
        if let Some((key, _)) = &noted
            && let Some(Slot { value: Value::Noted(replies), .. }) = self.slot(key, now)
        {
            return Ok(Outcome::Committed((**replies).clone()));
        }
        if let Some(refused) = txn.checks.iter().position(|check| !self.holds(check, now)) {
            let seen = txn.witness.iter().map(|query| self.answer(query, now)).collect::<Result<_>>()?;
            return Ok(Outcome::Refused(refused, seen));
        }
        let mut replies = Few::new();
        let mark = txn.carried();
        for effect in txn.effects {
            self.apply(effect, mark, now, &mut replies)?;
        }
        for query in &txn.queries {
            replies.push(self.answer(query, now)?);
        }
        if let Some((key, until)) = noted {
            self.insert(key, Value::Noted(Box::new(replies.clone())), Until::At(until));
        }
        Ok(Outcome::Committed(replies))
    }

    /// Where the first entry stands that this transaction appended when it was applied before.
    fn applied(&self, txn: &Txn, now: Timestamp) -> Option<u64> {
        let (log, begins) = txn.remembered_in()?;
        self.record(log, now)?.0.first_of(txn.mark.filter(|_| !begins))
    }

    fn answer_again(&self, txn: &Txn, position: u64, now: Timestamp) -> Result<Outcome> {
        let mut positions = position..;
        let reply = |effect: &Effect| match effect {
            Effect::Append { .. } => positions.next().map(Reply::Position),
            Effect::Slide { key, until } => {
                Some(Reply::Until(self.slot(key, now).map_or(*until, |slot| slot.until)))
            }
            Effect::Do { .. } | Effect::Try { .. } => Some(Reply::Data(Data::Nil)),
            _ => None,
        };
        let mut replies: Few<Reply> = txn.effects.iter().filter_map(reply).collect();
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

    pub(super) fn slot(&self, key: &Key, now: Timestamp) -> Option<&Slot> {
        self.slots.get(key).filter(|slot| !slot.is_due(now))
    }

    fn record(&self, key: &Key, now: Timestamp) -> Option<(&Record, Until)> {
        match self.slot(key, now)? {
            Slot { value: Value::Record(record), until } => Some((record, *until)),
            _ => None,
        }
    }

    fn index(&self, key: &Key, now: Timestamp) -> Option<&Index> {
        match &self.slot(key, now)?.value {
            Value::Index(index) => Some(index),
            _ => None,
        }
    }

    fn holds(&self, check: &Check, now: Timestamp) -> bool {
        let text = |key, field: &Name| match self.plain(key, now) {
            Some(plain) => plain.field(field.as_bytes()).map(|text| &**text),
            None => self
                .record(key, now)
                .and_then(|(record, _)| record.fields.get(field))
                .map(|text| text.as_bytes()),
        };
        match check {
            Check::Absent { key, field } => text(key, field).is_none(),
            Check::Present { key, field } => text(key, field).is_some(),
            Check::Begins { key, field, with } => {
                text(key, field).is_some_and(|text| text.starts_with(with.as_bytes()))
            }
            Check::Holds { key, text } => self.plain(key, now).and_then(Plain::text) == Some(text),
            Check::Gone { key } => self.slot(key, now).is_none(),
            Check::Idle { key, group, consumer } => {
                !self.plain(key, now).is_some_and(|plain| plain.is_pending(group, consumer))
            }
            Check::Last { key, position } => {
                self.record(key, now).map_or(0, |(record, _)| record.last()) == *position
            }
            Check::Due { key, member, by } => {
                self.index(key, now).and_then(|index| index.score(member)).is_some_and(|score| score <= *by)
            }
            Check::Clear { key, below } => {
                self.index(key, now).and_then(Index::lowest).is_none_or(|lowest| lowest >= *below)
            }
        }
    }

    pub(super) fn insert(&mut self, key: Key, value: Value, until: Until) {
        if let Until::At(at) = until {
            self.due.push(Reverse((at, key.clone())));
        }
        self.slots.insert(key, Slot { value, until });
    }

    /// The key's value, made new when it is not there. What is due counts as not there.
    pub(super) fn open(&mut self, key: Key, fresh: fn() -> Value, now: Timestamp) -> &mut Slot {
        let due = self.slots.get(&key).is_some_and(|slot| slot.is_due(now));
        if due {
            self.slots.remove(&key);
        }
        self.slots.entry(key).or_insert_with(|| Slot { value: fresh(), until: Until::Never })
    }

    fn record_mut(&mut self, key: Key, now: Timestamp) -> Result<&mut Record> {
        match &mut self.open(key, || Value::Record(Box::default()), now).value {
            Value::Record(record) => Ok(record),
            _ => Err(wrong_kind()),
        }
    }

    fn index_mut(&mut self, key: Key, now: Timestamp) -> Result<&mut Index> {
        match &mut self.open(key, || Value::Index(Box::default()), now).value {
            Value::Index(index) => Ok(index),
            _ => Err(wrong_kind()),
        }
    }

    fn apply(
        &mut self,
        effect: Effect,
        mark: Option<Mark>,
        now: Timestamp,
        replies: &mut Few<Reply>,
    ) -> Result<()> {
        match effect {
            Effect::Open { key, until } => {
                // One that has passed on the way here: the record outlasts its transaction, which would begin it anew
                // without an end otherwise, and nothing else.
                let until = match until {
                    Until::At(at) => Until::At(at.max(now.plus_ms(1))),
                    Until::Never => Until::Never,
                };
                self.insert(key, Value::Record(Box::new(Record::opened())), until);
            }
            Effect::Put { key, field, text } => {
                self.record_mut(key, now)?.fields.insert(field, text);
            }
            Effect::Drop { key, fields } => {
                self.take(key, &fields, now)?;
            }
            Effect::Hold { key, until } => self.hold(key, until, now)?,
            Effect::Move { key, fields, to, field } => {
                let mut bundle = String::new();
                for (name, text) in self.take(key, &fields, now)? {
                    Bundle::push(&mut bundle, &name, &text);
                }
                self.record_mut(to, now)?.fields.insert(field, bundle.into());
            }
            Effect::Delete { key } => drop(self.slots.remove(&key)),
            Effect::Slide { key, until } => replies.push(Reply::Until(self.slide(&key, until, now))),
            Effect::Add { key, member, score } => self.index_mut(key, now)?.add(member, score),
            Effect::Lower { key, member, score } => self.index_mut(key, now)?.lower(member, score),
            Effect::Remove { key, member } => {
                let index = self.index_mut(key.clone(), now)?;
                index.remove(&member);
                if index.is_empty() {
                    self.slots.remove(&key);
                }
            }
            Effect::Append { key, text, keep, feed } => {
                let position = self.record_mut(key.clone(), now)?.append(mark, Arc::clone(&text), keep);
                self.gather(feed, key.name, position, text, now)?;
                replies.push(Reply::Position(position));
            }
            Effect::Trim { key, below } => {
                if let Some(Slot { value: Value::Record(record), .. }) = self.slots.get_mut(&key) {
                    record.trim(below);
                }
            }
            Effect::TrimFeed { key, before } => {
                if let Some(Slot { value: Value::Feed(log), .. }) = self.slots.get_mut(&key) {
                    log.trim(before);
                }
            }
            Effect::Strike { key, positions } => {
                if let Some(Slot { value: Value::Feed(log), .. }) = self.slots.get_mut(&key) {
                    log.strike(&positions);
                }
            }
            Effect::Do { key, command } => replies.push(Reply::Data(self.command(key, command, now)?)),
            Effect::Try { key, command } => replies.push(Reply::Data(self.try_command(key, command, now))),
            Effect::Announce { feed, origin, position, text } => {
                self.gather(feed, origin, position, text, now)?;
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

    /// Takes fields out of a record; it goes when nothing is left of it. Gives those that were there.
    fn take(&mut self, key: Key, fields: &[Name], now: Timestamp) -> Result<Vec<(Name, Arc<str>)>> {
        let record = self.record_mut(key.clone(), now)?;
        let taken = fields.iter().filter_map(|field| record.fields.remove(field)).collect();
        record.fields.give_room_back();
        if record.is_gone() {
            self.slots.remove(&key);
        }
        Ok(taken)
    }

    fn hold(&mut self, key: Key, until: Until, now: Timestamp) -> Result<()> {
        let record = self.record_mut(key.clone(), now)?;
        if std::mem::replace(&mut record.opened, true) {
            self.slide(&key, until, now);
            return Ok(());
        }
        if let (Until::At(at), Some(slot)) = (until, self.slots.get_mut(&key)) {
            slot.until = until;
            self.due.push(Reverse((at, key)));
        }
        Ok(())
    }

    fn gather(
        &mut self,
        feed: Feed,
        origin: Name,
        position: u64,
        text: Arc<str>,
        now: Timestamp,
    ) -> Result<()> {
        if let Some(key) = feed.also {
            let also = Feed { key, also: None, ..feed };
            self.gather(also, origin.clone(), position, Arc::clone(&text), now)?;
        }
        let is_new = self.slot(&feed.key, now).is_none();
        if is_new {
            self.due.push(Reverse((feed.until, feed.key.clone())));
        }
        let slot = self.open(feed.key, || Value::Feed(Box::default()), now);
        slot.until = Until::At(feed.until);
        match &mut slot.value {
            Value::Feed(log) => log.append(origin, position, text, feed.keep, now),
            _ => return Err(wrong_kind()),
        }
        Ok(())
    }

    fn answer(&self, query: &Query, now: Timestamp) -> Result<Reply> {
        if let Query::Ask { key, command } = query {
            return Ok(Reply::Data(self.ask(key, command, now)));
        }
        let (Query::Record { key, .. }
        | Query::Names { key }
        | Query::Members { key, .. }
        | Query::Between { key, .. }
        | Query::Count { key, .. }
        | Query::Due { key, .. }
        | Query::Log { key, .. }
        | Query::Entries { key, .. }
        | Query::Newest { key }
        | Query::Now { key }
        | Query::Ask { key, .. }) = query;
        let slot = self.slot(key, now);
        let value = slot.map(|slot| &slot.value);
        let until = slot.map_or(Until::Never, |slot| slot.until);
        Ok(match (query, value) {
            (Query::Record { fields, .. }, Some(Value::Record(record))) => {
                Reply::Record(record.fields(fields, until))
            }
            (Query::Record { fields, .. }, None) => Reply::Record(Fields::absent(fields.len(), until)),
            (Query::Names { .. }, Some(Value::Record(record))) => Reply::Members(record.fields.names()),
            (Query::Members { descending, skip, limit, .. }, Some(Value::Index(index))) => {
                Reply::Members(index.members(*descending, *skip, *limit))
            }
            (Query::Names { .. } | Query::Members { .. }, None) => Reply::Members(Vec::new()),
            (Query::Between { range, descending, limit, .. }, Some(Value::Index(index))) => {
                Reply::Members(index.between(range, *descending, *limit))
            }
            (Query::Between { .. }, None) => Reply::Members(Vec::new()),
            (Query::Count { first, .. }, Some(Value::Index(index))) => Reply::Count(index.count(*first)),
            (Query::Count { .. }, None) => Reply::Count(0),
            (Query::Due { by, limit, .. }, Some(Value::Index(index))) => {
                Reply::Scored(index.due(*by, *limit))
            }
            (Query::Due { .. }, None) => Reply::Scored(Vec::new()),
            (Query::Log { after, limit, .. }, Some(Value::Record(record))) => {
                Reply::Log(record.log(*after, *limit))
            }
            (Query::Log { .. }, None) => Reply::Log(Log { first: 1, last: 0, entries: Vec::new() }),
            (Query::Entries { after, limit, .. }, Some(Value::Feed(feed))) => {
                Reply::Entries(feed.entries(*after, *limit))
            }
            (Query::Now { .. }, _) => Reply::Now(now),
            (Query::Newest { .. }, Some(Value::Feed(feed))) => Reply::Entries(feed.newest()),
            (Query::Entries { .. } | Query::Newest { .. }, None) => Reply::Entries(Vec::new()),
            _ => return Err(wrong_kind()),
        })
    }
}

pub(super) fn wrong_kind() -> Error {
    Error::new(Code::Corrupt, "a key of this storage holds a value of another kind")
}
