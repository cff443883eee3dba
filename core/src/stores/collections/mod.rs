//! Collections: records with an id, found by second keys, kept apart by constraints, in an order and in sets.
//!
//! A collection is one hash with its records and keys, and three sorted sets: the order, the sets, the deadlines. All
//! are in one partition, so a write and its indexes are one step. Deadlines are looked at here, not by the server: a
//! record that is over counts as absent, and is removed with everything that notes it by later writes and lists.

mod entry;
mod look;
mod repair;

use super::kv::{data, until as until_of};
use super::{Call, Stores};
use crate::clock::Timestamp;
use crate::command::{Bytes, Command, Data, Score};
use crate::error::{Code, Detail, Error, Result};
use crate::key::{Key, Name, Partition, Space};
use crate::schema::{Definition, Json};
use crate::txn::{Check, Effect, Outcome, Query, Reply, Txn, Until};

pub use look::collection_id;

use entry::{Entry, Notes, held, holding, id_of, notes, record_field};

const RECORDS: Space = Space("c");
const ORDER: Space = Space("co");
const SETS: Space = Space("cs");
const ENDS: Space = Space("cx");

/// How often a write is tried again when another one was faster.
const ATTEMPTS: u32 = 256;
/// Records that are over and that one write removes at the most.
const SWEPT: u64 = 2;

/// What a write does to a record that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// It must not be there.
    Create,
    /// It is replaced.
    Put,
    /// Fields are merged into it; it must be there.
    Update,
}

fn bytes(text: &str) -> Bytes {
    text.as_bytes().into()
}

/// One collection's keys.
pub(super) struct Keys {
    pub records: Key,
    pub order: Key,
    pub sets: Key,
    pub ends: Key,
    pub partition: Partition,
}

impl Keys {
    pub fn of(definition: &Definition) -> Self {
        let key = |space| Key::new(space, definition.name.as_str());
        let partition = Partition::of(&format!("c:{}", definition.name));
        Self { records: key(RECORDS), order: key(ORDER), sets: key(SETS), ends: key(ENDS), partition }
    }

    fn get(&self, fields: Vec<Bytes>) -> Query {
        Query::Ask { key: self.records.clone(), command: Command::HashGets(fields) }
    }

    fn due(&self, now: Timestamp) -> Query {
        #[expect(clippy::cast_precision_loss, reason = "ms until the year 9999 are exact in a double")]
        let most = Score(now.0 as f64);
        let (least, descending) = (Score(0.0), false);
        Query::Ask {
            key: self.ends.clone(),
            command: Command::SortedScores { least, most, skip: 0, count: SWEPT, descending },
        }
    }
}

/// Notes when a record is over; 0 is never.
#[expect(clippy::cast_precision_loss, reason = "ms until the year 9999 are exact in a double")]
fn end_of(id: &str, until: u64) -> Command {
    match until {
        0 => Command::SortedDrop(vec![bytes(id)]),
        until => Command::SortedAdd(vec![(Score(until as f64), bytes(id))]),
    }
}

/// Adds what notes a record, or takes it away.
struct Change<'a> {
    keys: &'a Keys,
    txn: &'a mut Txn,
}

impl Change<'_> {
    fn push(&mut self, key: &Key, command: Command) {
        self.txn.effects.push(Effect::Try { key: key.clone(), command });
    }

    /// `fresh` are the keys that it did not have.
    #[expect(clippy::cast_precision_loss, reason = "ms until the year 9999 are exact in a double")]
    fn put<'f>(
        &mut self,
        id: &str,
        entry: &Entry,
        notes: &Notes,
        fresh: impl Iterator<Item = &'f (String, String)>,
    ) {
        let mut fields = vec![(bytes(&record_field(id)), bytes(&entry.text()))];
        fields.extend(fresh.map(|(field, _)| (bytes(field), bytes(&holding(id)))));
        self.push(&self.keys.records.clone(), Command::HashPut(fields));
        let score = notes.order.unwrap_or(entry.made as f64);
        self.push(&self.keys.order.clone(), Command::SortedAdd(vec![(Score(score), bytes(id))]));
        if !notes.sets.is_empty() {
            let members = notes.sets.iter().map(|member| (Score(0.0), bytes(member))).collect();
            self.push(&self.keys.sets.clone(), Command::SortedAdd(members));
        }
        self.push(&self.keys.ends.clone(), end_of(id, entry.until));
    }

    fn drop_fields(&mut self, fields: Vec<Bytes>) {
        if !fields.is_empty() {
            self.push(&self.keys.records.clone(), Command::HashDrop(fields));
        }
    }

    fn drop_sets(&mut self, members: Vec<Bytes>) {
        if !members.is_empty() {
            self.push(&self.keys.sets.clone(), Command::SortedDrop(members));
        }
    }

    fn remove(&mut self, id: &str, notes: &Notes) {
        let own = std::iter::once(bytes(&record_field(id)));
        self.drop_fields(own.chain(notes.keys.iter().map(|(field, _)| bytes(field))).collect());
        self.drop_sets(notes.sets.iter().map(|member| bytes(member)).collect());
        self.push(&self.keys.order.clone(), Command::SortedDrop(vec![bytes(id)]));
        self.push(&self.keys.ends.clone(), Command::SortedDrop(vec![bytes(id)]));
    }
}

/// The texts of a reply to a question for fields.
pub(super) fn texts(reply: Option<Reply>) -> Result<Vec<Option<Bytes>>> {
    let Data::List(items) = data(reply)? else {
        return Err(Error::internal("fields were answered by something else"));
    };
    let text = |item| match item {
        Data::Bytes(text) => Some(text),
        _ => None,
    };
    Ok(items.into_iter().map(text).collect())
}

fn conflict(what: &str, current: &Entry) -> Error {
    let detail = Detail { current: Some(current.json.clone()), ..Detail::default() };
    Error::new(Code::Exists, what).with(detail)
}

/// Whether a record has what a key stands for; a record that does not fit the definition may.
fn has(definition: &Definition, id: &str, entry: &Entry, field: &str) -> bool {
    notes(definition, id, &entry.json).map_or(true, |noted| noted.has(field))
}

fn field_name(field: &str) -> Name {
    field.into()
}

impl Stores {
    /// Writes a record with everything that notes it. *Atomicity*: one step. *Round trips*: one to create, two to replace
    /// or to update, two more for each time that another writer was faster. The record as it is then.
    pub async fn collection_write(
        &self,
        call: Call,
        definition: &Definition,
        how: Write,
        id: Option<&Json>,
        given: &str,
        ttl_seconds: Option<f64>,
    ) -> Result<String> {
        let keys = Keys::of(definition);
        let id = match id {
            Some(id) => entry::id_text(id.text()).ok_or_else(look::bad_id)?,
            None => id_of(definition, given)?,
        };
        let mut old = match how {
            Write::Create => None,
            _ => self.collection_entry(call, &keys, &id).await?,
        };
        for _ in 0..ATTEMPTS {
            let now = self.clock.now();
            let live = old.as_ref().filter(|old| !old.is_over(now));
            let json = match (how, live) {
                (Write::Create, Some(current)) => {
                    return Err(conflict("a record has this id already", current));
                }
                (Write::Update, None) => return Err(Error::not_found("record", &id)),
                (Write::Update, Some(current)) => look::merged(definition, &id, current, given)?,
                _ => given.to_owned(),
            };
            let until = match (ttl_seconds.or(definition.ttl_seconds), how, live) {
                // An update leaves the deadline unless it names another.
                (_, Write::Update, Some(current)) if ttl_seconds.is_none() => current.until,
                (seconds, ..) => match until_of(now, seconds) {
                    Until::At(at) => at.0,
                    Until::Never => 0,
                },
            };
            let made = live.map_or(now.0, |current| current.made);
            let new = Entry { mark: self.operation(), until, made, json };
            let noted = notes(definition, &id, &new.json)?;
            match self.collection_commit(call, definition, &keys, &id, old.as_ref(), &new, &noted).await? {
                None => return Ok(new.json),
                Some(seen) => old = seen,
            }
        }
        Err(Error { retryable: true, ..Error::new(Code::Conflict, "other writers were always faster") })
    }

    /// Tries one write; what is there when another was faster.
    #[expect(clippy::too_many_arguments, reason = "one step's parts")]
    async fn collection_commit(
        &self,
        call: Call,
        definition: &Definition,
        keys: &Keys,
        id: &str,
        old: Option<&Entry>,
        new: &Entry,
        noted: &Notes,
    ) -> Result<Option<Option<Entry>>> {
        let mut txn = Txn::new(keys.partition, call.deadline);
        let own = record_field(id);
        let key = keys.records.clone();
        txn.checks.push(match old {
            None => Check::Absent { key, field: field_name(&own) },
            Some(old) => Check::Begins { key, field: field_name(&own), with: format!("{} ", old.mark) },
        });
        let before = old.map_or_else(|| Ok(Notes::default()), |old| notes(definition, id, &old.json));
        // A definition that has changed may not fit what was stored before it.
        let before = before.unwrap_or_default();
        let fresh: Vec<&(String, String)> =
            noted.keys.iter().filter(|(field, _)| !before.has(field)).collect();
        for (field, _) in &fresh {
            txn.checks.push(Check::Absent { key: keys.records.clone(), field: field_name(field) });
        }
        let asked = std::iter::once(&own).chain(fresh.iter().map(|(field, _)| field));
        txn.witness.push(keys.get(asked.map(|field| bytes(field)).collect()));
        let gone = before.keys.iter().filter(|(field, _)| !noted.has(field));
        let left = before.sets.iter().filter(|member| !noted.sets.contains(member));
        let mut change = Change { keys, txn: &mut txn };
        change.drop_fields(gone.map(|(field, _)| bytes(field)).collect());
        change.drop_sets(left.map(|member| bytes(member)).collect());
        change.put(id, new, noted, fresh.iter().copied());
        let now = self.clock.now();
        txn.queries.push(keys.due(now));
        match self.backend.run(txn).await? {
            Outcome::Committed(mut replies) => {
                let due = look::members(data(replies.pop())?);
                for id in due {
                    self.collection_expire(call, definition, keys, &id).await?;
                }
                Ok(None)
            }
            Outcome::Refused(_, seen) => {
                let mut seen = texts(seen.into_iter().next())?.into_iter();
                let there = seen.next().flatten().map(|text| Entry::read(id, &text)).transpose()?;
                for ((field, names), text) in fresh.iter().zip(seen) {
                    let Some(text) = text else { continue };
                    let holder = held(&text);
                    let current = self.collection_entry(call, keys, &holder).await?;
                    match current {
                        Some(current) if has(definition, &holder, &current, field) => {
                            if current.is_over(now) {
                                self.collection_expire(call, definition, keys, &holder).await?;
                            } else if holder != id {
                                let what = format!("another record has the same {names}");
                                return Err(conflict(&what, &current));
                            }
                        }
                        // It was left over: nothing has it.
                        current => {
                            self.drop_key(call, keys, field, &text, &holder, current.as_ref()).await?;
                        }
                    }
                }
                Ok(Some(there))
            }
        }
    }

    /// A record's stored text, be it over or not.
    async fn collection_entry(&self, call: Call, keys: &Keys, id: &str) -> Result<Option<Entry>> {
        let query = keys.get(vec![bytes(&record_field(id))]);
        let reply = self.ask(keys.partition, call, vec![query]).await?.pop();
        texts(reply)?.pop().flatten().map(|text| Entry::read(id, &text)).transpose()
    }

    /// Removes a record and gives it; `null` where there is none. Of several callers one gets it. *Atomicity*: one step with
    /// all that notes it. *Round trips*: two, two more for each time that another writer was faster.
    pub async fn collection_take(&self, call: Call, definition: &Definition, id: &str) -> Result<String> {
        let keys = Keys::of(definition);
        for _ in 0..ATTEMPTS {
            let Some(old) = self.collection_entry(call, &keys, id).await? else {
                return Ok("null".to_owned());
            };
            if self.collection_remove(call, definition, &keys, id, &old).await? {
                let live = !old.is_over(self.clock.now());
                return Ok(if live { old.json } else { "null".to_owned() });
            }
        }
        Err(Error { retryable: true, ..Error::new(Code::Conflict, "other writers were always faster") })
    }

    /// Removes a record if it is over, and otherwise notes its end as it is.
    async fn collection_expire(
        &self,
        call: Call,
        definition: &Definition,
        keys: &Keys,
        id: &str,
    ) -> Result<()> {
        match self.collection_entry(call, keys, id).await? {
            Some(old) if old.is_over(self.clock.now()) => {
                self.collection_remove(call, definition, keys, id, &old).await.map(drop)
            }
            old => {
                let command = end_of(id, old.as_ref().map_or(0, |old| old.until));
                let effect = Effect::Try { key: keys.ends.clone(), command };
                self.mend(call, keys, id, old.as_ref(), Vec::new(), effect).await.map(drop)
            }
        }
    }

    /// Whether it was still the one that was seen.
    async fn collection_remove(
        &self,
        call: Call,
        definition: &Definition,
        keys: &Keys,
        id: &str,
        old: &Entry,
    ) -> Result<bool> {
        let mut txn = Txn::new(keys.partition, call.deadline);
        let (key, field) = (keys.records.clone(), field_name(&record_field(id)));
        txn.checks.push(Check::Begins { key, field, with: format!("{} ", old.mark) });
        let noted = notes(definition, id, &old.json).unwrap_or_default();
        Change { keys, txn: &mut txn }.remove(id, &noted);
        Ok(matches!(self.backend.run(txn).await?, Outcome::Committed(_)))
    }
}
