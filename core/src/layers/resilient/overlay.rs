//! What is known here of records while the backend is away: kept writes applied to what was seen of them.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::clock::Timestamp;
use crate::command::{Command, Data};
use crate::key::{Key, Name, Partition};
use crate::near::{Known, Near};
use crate::provenance::Provenance;
use crate::txn::{Check, Effect, Few, Fields, Log, Outcome, Query, Reply, Txn, Until};

/// Positions that are given to entries of a log whose end is not known here: far behind all real ones, and given anew
/// when the entry is appended. Half of the 40 bits that a position has.
const PROVISIONAL: u64 = 1 << 39;

/// A record's place.
pub(super) type Place = (Partition, Key);

/// What is known of one record from kept writes.
#[derive(Debug, Default)]
struct Held {
    /// It began here, so all of it is known.
    whole: bool,
    fields: HashMap<Name, Option<Arc<str>>>,
    until: Option<Until>,
    log: Vec<Arc<str>>,
    /// It is a plain value that was deleted here, and nothing else is known of it.
    is_deleted: bool,
    /// Kept writes that touch it.
    writes: usize,
}

/// Records that kept writes have touched.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    records: HashMap<Place, Held>,
    /// Indexes that kept writes change, and how many of them.
    indexes: HashMap<Place, usize>,
}

/// What can be said of a transaction here.
#[derive(Debug)]
pub(super) enum Said {
    /// A question's answer, or a refusal, and what it stands on.
    Answer(Outcome, Provenance),
    /// A write may be kept: it is applied here by [`Overlay::apply`].
    MayKeep,
    /// Nothing known here answers.
    Unknown,
}

/// The records that a transaction checks or changes; indexes and feeds are none.
pub(super) fn places(txn: &Txn) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    let checked = txn.checks.iter().filter_map(|check| match check {
        Check::Absent { key, .. } | Check::Present { key, .. } | Check::Begins { key, .. } => Some(key),
        _ => None,
    });
    let changed = txn.effects.iter().filter_map(|effect| match effect {
        Effect::Open { key, .. }
        | Effect::Put { key, .. }
        | Effect::Drop { key, .. }
        | Effect::Delete { key }
        | Effect::Slide { key, .. }
        | Effect::Append { key, .. }
        | Effect::Do { key, .. }
        | Effect::Try { key, .. } => Some(key),
        _ => None,
    });
    for key in checked.chain(changed) {
        let place = (txn.partition, key.clone());
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// Whether it can be kept; of plain values, whoever makes the write says so.
fn is_kept(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Open { .. }
            | Effect::Put { .. }
            | Effect::Drop { .. }
            | Effect::Delete { .. }
            | Effect::Slide { .. }
            | Effect::Append { .. }
            | Effect::Add { .. }
            | Effect::Remove { .. }
            | Effect::Do { .. }
            | Effect::Try { .. }
            | Effect::Lower { .. }
            // What goes to another record stays known here in the one that it came from.
            | Effect::Move { .. }
            | Effect::Hold { .. }
    )
}

fn indexes(txn: &Txn) -> impl Iterator<Item = Place> {
    txn.effects.iter().filter_map(|effect| match effect {
        Effect::Add { key, .. } | Effect::Remove { key, .. } => Some((txn.partition, key.clone())),
        _ => None,
    })
}

/// What the answers of one transaction stand on.
struct Grounds(Provenance);

impl Grounds {
    fn add(&mut self, more: Provenance) {
        self.0 = match (self.0, more) {
            (Provenance::Pending, _) | (_, Provenance::Pending) => Provenance::Pending,
            (Provenance::Stale(a), Provenance::Stale(b)) => Provenance::Stale(a.min(b)),
            (Provenance::Backend, other) | (other, Provenance::Backend) => other,
        };
    }
}

impl Overlay {
    /// Whether kept writes touch one of these.
    pub fn touches(&self, partition: Partition, key: &Key) -> bool {
        !self.records.is_empty() && self.records.contains_key(&(partition, key.clone()))
    }

    /// Whether kept writes change this index.
    pub fn adds_to(&self, partition: Partition, key: &Key) -> bool {
        !self.indexes.is_empty() && self.indexes.contains_key(&(partition, key.clone()))
    }

    fn hold(&mut self, txn: &Txn) {
        for place in places(txn) {
            self.records.entry(place).or_default().writes += 1;
        }
        for place in indexes(txn) {
            *self.indexes.entry(place).or_default() += 1;
        }
    }

    /// What can be said of a transaction; `near` is what was seen of records.
    pub fn look(&self, txn: &Txn, near: &dyn Near, now: Timestamp) -> Said {
        let mut grounds = Grounds(Provenance::Backend);
        let refused = txn.checks.iter().position(|check| self.holds(txn.partition, check) == Some(false));
        if txn.is_read() || refused.is_some() {
            let queries = if refused.is_some() { &txn.witness } else { &txn.queries };
            if refused.is_none() && txn.checks.iter().any(|check| self.holds(txn.partition, check).is_none())
            {
                return Said::Unknown;
            }
            let asked = if refused.is_some() { &[][..] } else { &txn.effects };
            let commands = asked.iter().map(|effect| self.deleted(txn.partition, effect));
            let Some(mut replies) = commands.collect::<Option<Few<_>>>() else { return Said::Unknown };
            if !replies.is_empty() {
                grounds.add(Provenance::Pending);
            }
            let reply = |query| self.answer(txn.partition, query, near, now, &mut grounds);
            let Some(answers) = queries.iter().map(reply).collect::<Option<Vec<_>>>() else {
                return Said::Unknown;
            };
            replies.extend(answers);
            let outcome = match refused {
                Some(check) => Outcome::Refused(check, replies),
                None => Outcome::Committed(replies),
            };
            return Said::Answer(outcome, grounds.0);
        }
        let may = txn.deferrable && txn.queries.is_empty() && txn.effects.iter().all(is_kept);
        if may { Said::MayKeep } else { Said::Unknown }
    }

    /// What a command that asks is answered of a plain value that was deleted here; of others nothing is known.
    fn deleted(&self, partition: Partition, effect: &Effect) -> Option<Reply> {
        let Effect::Do { key, command } = effect else { return None };
        self.records.get(&(partition, key.clone())).filter(|held| held.is_deleted)?;
        match command {
            Command::Get => Some(Reply::Data(Data::Nil)),
            Command::Exists => Some(Reply::Data(Data::Int(0))),
            _ => None,
        }
    }

    /// `None` when it is not known here: then the base that the check stands for was seen before, and the backend decides.
    fn holds(&self, partition: Partition, check: &Check) -> Option<bool> {
        let (Check::Absent { key, field } | Check::Present { key, field } | Check::Begins { key, field, .. }) =
            check
        else {
            return None;
        };
        let text = self.field(partition, key, field)?;
        Some(match check {
            Check::Absent { .. } => text.is_none(),
            Check::Present { .. } => text.is_some(),
            Check::Begins { with, .. } => text.is_some_and(|text| text.starts_with(with.as_str())),
            _ => return None,
        })
    }

    /// A field's text, as far as kept writes tell.
    fn field(&self, partition: Partition, key: &Key, field: &Name) -> Option<Option<&Arc<str>>> {
        let held = self.records.get(&(partition, key.clone()))?;
        match held.fields.get(field) {
            Some(text) => Some(text.as_ref()),
            None => held.whole.then_some(None),
        }
    }

    fn answer(
        &self,
        partition: Partition,
        query: &Query,
        near: &dyn Near,
        now: Timestamp,
        grounds: &mut Grounds,
    ) -> Option<Reply> {
        match query {
            Query::Record { key, fields } => {
                let mut until = self.records.get(&(partition, key.clone())).and_then(|held| held.until);
                let mut texts = Few::with_capacity(fields.len());
                for field in fields {
                    if let Some(text) = self.field(partition, key, field) {
                        grounds.add(Provenance::Pending);
                        texts.push(text.cloned());
                        continue;
                    }
                    let Known { text, until: known, as_of } = near.known(key, field)?;
                    // What may have gone meanwhile is not known any more.
                    if matches!(known, Some(Until::At(at)) if at <= now) {
                        return None;
                    }
                    until = until.or(known);
                    grounds.add(Provenance::Stale(as_of));
                    texts.push(text);
                }
                Some(Reply::Record(Fields { until: until.unwrap_or(Until::Never), texts }))
            }
            Query::Log { key, after, limit } => {
                let held = self.records.get(&(partition, key.clone())).filter(|held| held.whole)?;
                grounds.add(Provenance::Pending);
                Some(Reply::Log(held.log(*after, *limit)))
            }
            // Indexes and feeds hold what others have written, too.
            _ => None,
        }
    }

    fn held(&mut self, partition: Partition, key: &Key) -> &mut Held {
        self.records.entry((partition, key.clone())).or_default()
    }

    /// Applies a write that is kept, and gives the replies of its effects.
    pub fn apply(&mut self, txn: &Txn, now: Timestamp) -> Outcome {
        let mut replies = Few::new();
        self.hold(txn);
        for effect in &txn.effects {
            match effect {
                Effect::Open { key, until } => {
                    let held = self.held(txn.partition, key);
                    *held = Held { whole: true, until: Some(*until), writes: held.writes, ..Held::default() };
                }
                Effect::Put { key, field, text } => {
                    self.held(txn.partition, key).fields.insert(field.clone(), Some(Arc::clone(text)));
                }
                Effect::Drop { key, fields } => {
                    self.held(txn.partition, key)
                        .fields
                        .extend(fields.iter().map(|field| (field.clone(), None)));
                }
                Effect::Delete { key } => {
                    let held = self.held(txn.partition, key);
                    *held = Held { whole: true, writes: held.writes, ..Held::default() };
                }
                Effect::Do { key, command } | Effect::Try { key, command } => {
                    let held = self.held(txn.partition, key);
                    held.is_deleted = *command == Command::Delete;
                    replies.push(Reply::Data(provisional(command, held.writes, now)));
                }
                Effect::Slide { key, until } => {
                    replies.push(Reply::Until(self.held(txn.partition, key).slide(*until)))
                }
                Effect::Append { key, text, .. } => {
                    replies.push(Reply::Position(self.held(txn.partition, key).append(text)))
                }
                _ => {}
            }
        }
        Outcome::Committed(replies)
    }

    /// A write that has become a later one's past: it is kept, but what is known already stands on it.
    pub fn apply_behind(&mut self, txn: &Txn, now: Timestamp) -> Outcome {
        self.hold(txn);
        let reply = |effect: &Effect| match effect {
            Effect::Slide { until, .. } => Some(Reply::Until(*until)),
            Effect::Append { .. } => Some(Reply::Position(PROVISIONAL)),
            Effect::Do { command, .. } | Effect::Try { command, .. } => {
                Some(Reply::Data(provisional(command, 1, now)))
            }
            _ => None,
        };
        Outcome::Committed(txn.effects.iter().filter_map(reply).collect())
    }

    /// A kept write was brought to the backend, or given up: records that no other one touches are forgotten here.
    pub fn release(&mut self, txn: &Txn) {
        for place in places(txn) {
            if let Some(held) = self.records.get_mut(&place) {
                held.writes = held.writes.saturating_sub(1);
                if held.writes == 0 {
                    self.records.remove(&place);
                }
            }
        }
        for place in indexes(txn) {
            if let Some(writes) = self.indexes.get_mut(&place) {
                *writes -= 1;
                if *writes == 0 {
                    self.indexes.remove(&place);
                }
            }
        }
    }
}

/// What a kept command on a plain value is answered: what was there before nobody knows. A push counts those that are kept
/// here; an addition's place is near the one that it will get.
fn provisional(command: &Command, writes: usize, now: Timestamp) -> Data {
    match command {
        Command::Line(_) => Data::Int(i64::try_from(writes).unwrap_or(i64::MAX)),
        Command::Stream(_) => Data::place((now.0, writes as u64)),
        _ => Data::Int(1),
    }
}

impl Held {
    fn slide(&mut self, to: Until) -> Until {
        let until = match (self.until, to) {
            (None, to) => to,
            (Some(Until::At(before)), Until::At(later)) => Until::At(before.max(later)),
            _ => Until::Never,
        };
        self.until = Some(until);
        until
    }

    fn append(&mut self, text: &Arc<str>) -> u64 {
        self.log.push(Arc::clone(text));
        self.log.len() as u64 + if self.whole { 0 } else { PROVISIONAL }
    }

    fn log(&self, after: u64, limit: u64) -> Log {
        let numbered = self.log.iter().zip(1u64..).filter(|(_, position)| *position > after);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let entries = numbered.take(limit).map(|(text, position)| (position, Arc::clone(text))).collect();
        Log { first: 1, last: self.log.len() as u64, entries }
    }
}
