//! Whether everything that notes a record is true, and making it so, while others read and write.

use super::super::kv::data;
use super::super::marked::quoted;
use super::super::{Call, Stores};
use super::entry::{Entry, Notes, held, notes, record_field};
use super::{Change, Keys, bytes, field_name, texts};
use crate::command::{Bytes, Command, Data, Score};
use crate::error::{Code, Error, Result};
use crate::key::Key;
use crate::schema::Definition;
use crate::txn::{Check, Effect, Outcome, Query, Txn};

/// Fields that one round trip looks at.
const PAGE: u64 = 200;

/// What was found so far.
struct Report {
    records: u64,
    problems: Vec<String>,
    mended: u64,
    fix: bool,
}

/// What a walk over the hash looks at. To mend, the keys come first: one that is wrong stands in the way of a right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Keys,
    Records,
    Both,
}

impl Report {
    fn note(&mut self, id: &str, what: &str) {
        self.problems.push(format!("{{\"id\":{},\"problem\":{}}}", quoted(id), quoted(what)));
    }
}

fn score(key: &Key, member: &str) -> Query {
    Query::Ask { key: key.clone(), command: Command::SortedScore(bytes(member)) }
}

/// What a text says of a record, if it can be read: what can't keeps what notes it.
fn readable(id: &str, text: Option<Bytes>) -> Option<Option<Entry>> {
    text.map(|text| Entry::read(id, &text)).transpose().ok()
}

impl Stores {
    /// Looks at every record and everything that notes one; with `fix`, mends what is wrong. Each look and each change is
    /// one step of its own, so others may go on meanwhile. *Round trips*: two for each record, one for each key and each
    /// place in the order, in a set and among the ends; one more for what is mended.
    pub async fn collection_verify(&self, call: Call, definition: &Definition, fix: bool) -> Result<String> {
        let keys = Keys::of(definition);
        let mut report = Report { records: 0, problems: Vec::new(), mended: 0, fix };
        let parts: &[Part] = if fix { &[Part::Keys, Part::Records] } else { &[Part::Both] };
        for part in parts {
            self.verify_fields(call, definition, &keys, *part, &mut report).await?;
        }
        for key in [&keys.order, &keys.sets, &keys.ends] {
            self.verify_members(call, definition, &keys, key, &mut report).await?;
        }
        let Report { records, problems, mended, .. } = report;
        Ok(format!("{{\"records\":{records},\"problems\":[{}],\"mended\":{mended}}}", problems.join(",")))
    }

    /// A walk over the hash.
    async fn verify_fields(
        &self,
        call: Call,
        definition: &Definition,
        keys: &Keys,
        part: Part,
        report: &mut Report,
    ) -> Result<()> {
        let wrong = || Error::internal("a scan was answered by something else");
        let mut cursor: Bytes = bytes("0");
        loop {
            let query =
                Query::Ask { key: keys.records.clone(), command: Command::HashScan { cursor, count: PAGE } };
            let Data::List(parts) = data(self.ask(keys.partition, call, vec![query]).await?.pop())? else {
                return Err(wrong());
            };
            let [Data::Bytes(next), Data::List(items)] = parts.as_slice() else { return Err(wrong()) };
            for pair in items.chunks(2) {
                let [Data::Bytes(field), Data::Bytes(value)] = pair else { continue };
                let field = String::from_utf8_lossy(field);
                match field.strip_prefix('r') {
                    Some(id) if part != Part::Keys => {
                        self.verify_record(call, definition, keys, id, report).await?;
                    }
                    None if part != Part::Records => {
                        self.verify_key(call, definition, keys, &field, value, report).await?;
                    }
                    _ => {}
                }
            }
            cursor = next.clone();
            if &*cursor == b"0" {
                return Ok(());
            }
        }
    }

    /// A record is noted everywhere where it belongs.
    async fn verify_record(
        &self,
        call: Call,
        definition: &Definition,
        keys: &Keys,
        id: &str,
        report: &mut Report,
    ) -> Result<()> {
        let entry = match self.collection_entry(call, keys, id).await {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(()),
            Err(error) if error.code == Code::Corrupt => {
                report.note(id, "can't be read");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if entry.is_over(self.clock.now()) {
            return if report.fix {
                self.collection_expire(call, definition, keys, id).await
            } else {
                Ok(())
            };
        }
        report.records += 1;
        let Ok(noted) = notes(definition, id, &entry.json) else {
            report.note(id, "its fields can't be keys");
            return Ok(());
        };
        let own = record_field(id);
        let fields = std::iter::once(&own).chain(noted.keys.iter().map(|(field, _)| field));
        let mut queries = vec![keys.get(fields.map(|field| bytes(field)).collect())];
        queries.push(score(&keys.order, id));
        queries.push(score(&keys.ends, id));
        queries.extend(noted.sets.iter().map(|member| score(&keys.sets, member)));
        let mut replies = self.ask(keys.partition, call, queries).await?.into_iter();
        let mut seen = texts(replies.next())?.into_iter();
        // Another writer has been here: it wrote everything in one step.
        let same = seen.next().flatten().is_some_and(|text| *text == *entry.text().as_bytes());
        if !same {
            return Ok(());
        }
        let mut missing = Vec::new();
        for ((_, names), holder) in noted.keys.iter().zip(seen) {
            match holder {
                Some(holder) if held(&holder) == id => {}
                Some(_) => report.note(id, &format!("another record holds its key {names}")),
                None => missing.push(format!("its key {names} is missing")),
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "ms until the year 9999 are exact in a double")]
        let (made, until) = (entry.made as f64, entry.until as f64);
        if data(replies.next())? != Data::score(Score(noted.order.unwrap_or(made))) {
            missing.push("its place in the order is missing or wrong".to_owned());
        }
        let end = if entry.until == 0 { Data::Nil } else { Data::score(Score(until)) };
        if data(replies.next())? != end {
            missing.push("its end is noted wrongly".to_owned());
        }
        for reply in replies {
            if data(Some(reply))? == Data::Nil {
                missing.push("its place in a set is missing".to_owned());
            }
        }
        for what in &missing {
            report.note(id, what);
        }
        if report.fix && !missing.is_empty() && self.mend_record(call, keys, id, &entry, noted).await? {
            report.mended += missing.len() as u64;
        }
        Ok(())
    }

    async fn mend_record(
        &self,
        call: Call,
        keys: &Keys,
        id: &str,
        entry: &Entry,
        mut noted: Notes,
    ) -> Result<bool> {
        // A key that another record holds stays there.
        let fields = noted.keys.iter().map(|(field, _)| bytes(field)).collect::<Vec<_>>();
        if !fields.is_empty() {
            let holders = texts(self.ask(keys.partition, call, vec![keys.get(fields)]).await?.pop())?;
            let mut holders = holders.into_iter();
            noted.keys.retain(|_| holders.next().flatten().is_none());
        }
        let mut txn = Txn::new(keys.partition, call.deadline);
        let (key, field) = (keys.records.clone(), field_name(&record_field(id)));
        txn.checks.push(Check::Begins { key, field, with: format!("{} ", entry.mark) });
        for (field, _) in &noted.keys {
            txn.checks.push(Check::Absent { key: keys.records.clone(), field: field_name(field) });
        }
        Change { keys, txn: &mut txn }.put(id, entry, &noted, noted.keys.iter());
        Ok(matches!(self.backend.run(txn).await?, Outcome::Committed(_)))
    }

    /// A key stands for a record that has it.
    async fn verify_key(
        &self,
        call: Call,
        definition: &Definition,
        keys: &Keys,
        field: &str,
        text: &Bytes,
        report: &mut Report,
    ) -> Result<()> {
        let id = held(text);
        // Both in one step: between two of them another writer may have been here.
        let both = keys.get(vec![bytes(&record_field(&id)), bytes(field)]);
        let mut seen = texts(self.ask(keys.partition, call, vec![both]).await?.pop())?.into_iter();
        let Some(entry) = readable(&id, seen.next().flatten()) else { return Ok(()) };
        if seen.next().flatten().as_ref() != Some(text) {
            return Ok(());
        }
        let known = entry
            .as_ref()
            .is_some_and(|entry| notes(definition, &id, &entry.json).unwrap_or_default().has(field));
        if known {
            return Ok(());
        }
        report.note(&id, "a key stands for it that it does not have");
        if report.fix && self.drop_key(call, keys, field, text, &id, entry.as_ref()).await? {
            report.mended += 1;
        }
        Ok(())
    }

    /// Takes a key away that stands for a record that does not have it, if both are still as they were seen.
    pub(super) async fn drop_key(
        &self,
        call: Call,
        keys: &Keys,
        field: &str,
        text: &Bytes,
        id: &str,
        entry: Option<&Entry>,
    ) -> Result<bool> {
        let command = Command::HashDrop(vec![bytes(field)]);
        let effect = Effect::Try { key: keys.records.clone(), command };
        let with = String::from_utf8_lossy(text).into_owned();
        let same = Check::Begins { key: keys.records.clone(), field: field_name(field), with };
        self.mend(call, keys, id, entry, vec![same], effect).await
    }

    /// What an order or the sets name is there and belongs there.
    async fn verify_members(
        &self,
        call: Call,
        definition: &Definition,
        keys: &Keys,
        key: &Key,
        report: &mut Report,
    ) -> Result<()> {
        let mut from = 0;
        loop {
            let command = Command::SortedRanks { from, count: PAGE, descending: false };
            let query = Query::Ask { key: key.clone(), command };
            let members =
                super::look::members(data(self.ask(keys.partition, call, vec![query]).await?.pop())?);
            let mut mended = 0;
            for member in &members {
                let id = member.rsplit_once('\0').map_or(member.as_str(), |(_, id)| id);
                let record = keys.get(vec![bytes(&record_field(id))]);
                let mut replies =
                    self.ask(keys.partition, call, vec![record, score(key, member)]).await?.into_iter();
                let text = texts(replies.next())?.pop().flatten();
                let Some(entry) = readable(id, text) else { continue };
                if data(replies.next())? == Data::Nil {
                    continue;
                }
                let belongs = entry.as_ref().is_some_and(|entry| {
                    *key != keys.sets
                        || notes(definition, id, &entry.json).unwrap_or_default().sets.contains(member)
                });
                if belongs {
                    continue;
                }
                let what = if *key == keys.order {
                    "the order names it"
                } else if *key == keys.sets {
                    "a set names it"
                } else {
                    "an end is noted for it"
                };
                report.note(id, what);
                let command = Command::SortedDrop(vec![bytes(member)]);
                let effect = Effect::Try { key: key.clone(), command };
                if report.fix && self.mend(call, keys, id, entry.as_ref(), Vec::new(), effect).await? {
                    mended += 1;
                }
            }
            report.mended += mended;
            if (members.len() as u64) < PAGE {
                return Ok(());
            }
            from += PAGE - mended;
        }
    }

    /// Makes a note right, if the record is still as it was seen; whether it was.
    pub(super) async fn mend(
        &self,
        call: Call,
        keys: &Keys,
        id: &str,
        entry: Option<&Entry>,
        checks: Vec<Check>,
        effect: Effect,
    ) -> Result<bool> {
        let mut txn = Txn::new(keys.partition, call.deadline);
        let (key, field) = (keys.records.clone(), field_name(&record_field(id)));
        txn.checks = checks;
        txn.checks.push(match entry {
            None => Check::Absent { key, field },
            Some(entry) => Check::Begins { key, field, with: format!("{} ", entry.mark) },
        });
        txn.effects.push(effect);
        Ok(matches!(self.backend.run(txn).await?, Outcome::Committed(_)))
    }
}
