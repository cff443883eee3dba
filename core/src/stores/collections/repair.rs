//! Whether everything that notes a record is true, and making it so, while others read and write.

use super::super::kv::data;
use super::super::marked::quoted;
use super::super::{Call, Stores};
use super::entry::{Entry, Notes, notes, record_field};
use super::{Change, Keys, bytes, field_name, texts};
use crate::command::{Bytes, Command, Data};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::schema::Definition;
use crate::txn::{Check, Effect, Query, Txn};

/// Fields that one round trip looks at.
const PAGE: u64 = 200;

/// What was found so far.
struct Report {
    records: u64,
    problems: Vec<String>,
    fix: bool,
}

impl Report {
    fn note(&mut self, id: &str, what: &str) {
        self.problems.push(format!("{{\"id\":{},\"problem\":{}}}", quoted(id), quoted(what)));
    }
}

impl Stores {
    /// Looks at every record and everything that notes one; with `fix`, mends what is wrong. Each look and each change is
    /// one step of its own, so others may go on meanwhile. *Round trips*: two for each record, one for each key.
    pub async fn collection_verify(&self, call: Call, definition: &Definition, fix: bool) -> Result<String> {
        let keys = Keys::of(definition);
        let mut report = Report { records: 0, problems: Vec::new(), fix };
        let mut cursor: Bytes = bytes("0");
        loop {
            let command = Command::HashScan { cursor, count: PAGE };
            let query = Query::Ask { key: keys.records.clone(), command };
            let Data::List(parts) = data(self.ask(keys.partition, call, vec![query]).await?.pop())? else {
                return Err(Error::internal("a scan was answered by something else"));
            };
            let [Data::Bytes(next), Data::List(items)] = parts.as_slice() else {
                return Err(Error::internal("a scan was answered by something else"));
            };
            for pair in items.chunks(2) {
                let [Data::Bytes(field), Data::Bytes(value)] = pair else { continue };
                let (field, value) = (String::from_utf8_lossy(field), String::from_utf8_lossy(value));
                match field.strip_prefix('r') {
                    Some(id) => self.verify_record(call, definition, &keys, id, &mut report).await?,
                    None => self.verify_key(call, definition, &keys, &field, &value, &mut report).await?,
                }
            }
            cursor = next.clone();
            if &*cursor == b"0" {
                break;
            }
        }
        self.verify_members(call, definition, &keys, &keys.order, &mut report).await?;
        self.verify_members(call, definition, &keys, &keys.sets, &mut report).await?;
        let Report { records, problems, .. } = report;
        let mended = if fix { problems.len() } else { 0 };
        Ok(format!("{{\"records\":{records},\"problems\":[{}],\"mended\":{mended}}}", problems.join(",")))
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
            Err(_) => {
                report.note(id, "can't be read");
                return Ok(());
            }
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
        let score = |key: &Key, member: &str| Query::Ask {
            key: key.clone(),
            command: Command::SortedScore(bytes(member)),
        };
        queries.push(score(&keys.order, id));
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
                Some(holder) if &*holder == id.as_bytes() => {}
                Some(_) => report.note(id, &format!("another record holds its key {names}")),
                None => missing.push(format!("its key {names} is missing")),
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "ms until the year 9999 are exact in a double")]
        let place = Data::score(crate::command::Score(noted.order.unwrap_or(entry.made as f64)));
        if data(replies.next())? != place {
            missing.push("its place in the order is missing or wrong".to_owned());
        }
        for reply in replies {
            if data(Some(reply))? == Data::Nil {
                missing.push("its place in a set is missing".to_owned());
            }
        }
        for what in &missing {
            report.note(id, what);
        }
        if report.fix && !missing.is_empty() {
            self.mend_record(call, keys, id, &entry, noted).await?;
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
    ) -> Result<()> {
        // A key that another record holds stays there.
        let fields = noted.keys.iter().map(|(field, _)| bytes(field)).collect::<Vec<_>>();
        if !fields.is_empty() {
            let held = texts(self.ask(keys.partition, call, vec![keys.get(fields)]).await?.pop())?;
            let mut held = held.into_iter();
            noted.keys.retain(|_| held.next().flatten().is_none_or(|holder| &*holder == id.as_bytes()));
        }
        let mut txn = Txn::new(keys.partition, call.deadline);
        let (key, field) = (keys.records.clone(), field_name(&record_field(id)));
        txn.checks.push(Check::Begins { key, field, with: format!("{} ", entry.mark) });
        Change { keys, txn: &mut txn }.put(id, entry, &noted);
        self.backend.run(txn).await.map(drop)
    }

    /// A key stands for a record that has it.
    async fn verify_key(
        &self,
        call: Call,
        definition: &Definition,
        keys: &Keys,
        field: &str,
        id: &str,
        report: &mut Report,
    ) -> Result<()> {
        let entry = self.collection_entry(call, keys, id).await.unwrap_or(None);
        let noted = entry.as_ref().map(|entry| notes(definition, id, &entry.json).unwrap_or_default());
        if noted.is_some_and(|noted| noted.keys.iter().any(|(known, _)| known == field)) {
            return Ok(());
        }
        report.note(id, "a key stands for it that it does not have");
        if report.fix {
            let effect =
                Effect::Try { key: keys.records.clone(), command: Command::HashDrop(vec![bytes(field)]) };
            let held =
                Check::Begins { key: keys.records.clone(), field: field_name(field), with: id.to_owned() };
            self.mend(call, keys, id, entry.as_ref(), vec![held], effect).await?;
        }
        Ok(())
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
                let entry = self.collection_entry(call, keys, id).await.unwrap_or(None);
                let belongs = entry.as_ref().is_some_and(|entry| {
                    *key == keys.order
                        || notes(definition, id, &entry.json).unwrap_or_default().sets.contains(member)
                });
                if belongs {
                    continue;
                }
                report.note(id, if *key == keys.order { "the order names it" } else { "a set names it" });
                if report.fix {
                    let effect =
                        Effect::Try { key: key.clone(), command: Command::SortedDrop(vec![bytes(member)]) };
                    self.mend(call, keys, id, entry.as_ref(), Vec::new(), effect).await?;
                    mended += 1;
                }
            }
            if (members.len() as u64) < PAGE {
                return Ok(());
            }
            from += PAGE - mended;
        }
    }

    /// Takes a wrong note away, if the record is still as it was seen.
    async fn mend(
        &self,
        call: Call,
        keys: &Keys,
        id: &str,
        entry: Option<&Entry>,
        checks: Vec<Check>,
        effect: Effect,
    ) -> Result<()> {
        let mut txn = Txn::new(keys.partition, call.deadline);
        let (key, field) = (keys.records.clone(), field_name(&record_field(id)));
        txn.checks = checks;
        txn.checks.push(match entry {
            None => Check::Absent { key, field },
            Some(entry) => Check::Begins { key, field, with: format!("{} ", entry.mark) },
        });
        txn.effects.push(effect);
        self.backend.run(txn).await.map(drop)
    }
}
