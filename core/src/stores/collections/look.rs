//! Looking into a collection.

use super::super::fields::Fields;
use super::super::kv::data;
use super::super::marked::quoted;
use super::super::{Call, Stores, invalid};
use super::entry::{Entry, held, id_text, lookup_field, record_field, scalar, set_front};
use super::{Keys, bytes, has, texts};
use crate::command::{Command, Data};
use crate::error::{Error, Result};
use crate::schema::{CollectionOptions, Definition, Issue, Json, PathItem};
use crate::txn::Query;

/// Records of a page: by default, and at the most.
const USUAL_PAGE: u64 = 100;
const LARGEST_PAGE: u64 = 1_000;

pub(super) fn bad_id() -> Error {
    let path = [PathItem::from("id")];
    invalid(vec![Issue::custom(&path, "Invalid id: expected a string or a whole number")])
}

fn bad_cursor() -> Error {
    let path = [PathItem::from("options"), PathItem::from("cursor")];
    invalid(vec![Issue::custom(&path, "Invalid cursor")])
}

/// The id that an argument is.
pub fn collection_id(id: Option<&Json>) -> Result<String> {
    id.and_then(|id| id_text(id.text())).ok_or_else(bad_id)
}

/// An update merged into a record, whose id stays.
pub(super) fn merged(definition: &Definition, id: &str, current: &Entry, given: &str) -> Result<String> {
    let updates = Fields::read(given).unwrap_or_default();
    if updates.get(&definition.id).is_some_and(|text| id_text(text).as_deref() != Some(id)) {
        let path = [PathItem::from("record"), PathItem::from(definition.id.as_str())];
        return Err(invalid(vec![Issue::custom(&path, "Invalid input: the id can't be changed")]));
    }
    Ok(Fields::read(&current.json).unwrap_or_default().merged(&updates))
}

/// The members of an answer with scores.
pub(super) fn members(data: Data) -> Vec<String> {
    let Data::List(items) = data else { return Vec::new() };
    items.into_iter().step_by(2).filter_map(text).collect()
}

fn text(data: Data) -> Option<String> {
    match data {
        Data::Bytes(text) => Some(String::from_utf8_lossy(&text).into_owned()),
        _ => None,
    }
}

fn page(records: &[String], cursor: Option<String>) -> String {
    let cursor = cursor.map_or_else(|| "null".to_owned(), |cursor| quoted(&cursor));
    format!("{{\"items\":[{}],\"cursor\":{cursor}}}", records.join(","))
}

impl Stores {
    /// A record, or `null`. *Round trips*: one.
    pub async fn collection_get(&self, call: Call, definition: &Definition, id: &str) -> Result<String> {
        let entry = self.collection_entry(call, &Keys::of(definition), id).await?;
        let live = entry.filter(|entry| !entry.is_over(self.clock.now()));
        Ok(live.map_or_else(|| "null".to_owned(), |entry| entry.json))
    }

    /// The record that a second key stands for, or `null`. *Round trips*: two.
    pub async fn collection_get_by(
        &self,
        call: Call,
        definition: &Definition,
        by: &str,
        value: &Json,
    ) -> Result<String> {
        if !definition.lookup.iter().any(|name| name == by) {
            return Err(invalid(vec![Issue::invalid_value(&[PathItem::from("by")], &definition.lookup)]));
        }
        let Some(value) = key_value(value)? else { return Ok("null".to_owned()) };
        let keys = Keys::of(definition);
        let field = lookup_field(by, &value);
        let reply = self.ask(keys.partition, call, vec![keys.get(vec![bytes(&field)])]).await?.pop();
        let Some(text) = texts(reply)?.pop().flatten() else { return Ok("null".to_owned()) };
        let id = held(&text);
        let entry = self.collection_entry(call, &keys, &id).await?;
        // A key that is wrong must not give out another record.
        let found =
            entry.filter(|entry| !entry.is_over(self.clock.now()) && has(definition, &id, entry, &field));
        Ok(found.map_or_else(|| "null".to_owned(), |entry| entry.json))
    }

    /// How many records there are, those that are over and not yet removed included.
    pub async fn collection_count(&self, call: Call, definition: &Definition) -> Result<String> {
        let keys = Keys::of(definition);
        let query = Query::Ask { key: keys.order.clone(), command: Command::SortedLen };
        match data(self.ask(keys.partition, call, vec![query]).await?.pop())? {
            Data::Int(count) => Ok(count.to_string()),
            _ => Err(Error::internal("a count was answered by something else")),
        }
    }

    /// A page in the collection's order. *Round trips*: two. The cursor counts places.
    pub async fn collection_list(
        &self,
        call: Call,
        definition: &Definition,
        options: &CollectionOptions,
    ) -> Result<String> {
        let keys = Keys::of(definition);
        let from = match &options.cursor {
            None => 0,
            Some(cursor) => cursor.parse::<u64>().map_err(|_| bad_cursor())?,
        };
        let count = options.limit.unwrap_or(USUAL_PAGE).min(LARGEST_PAGE);
        let command = Command::SortedRanks { from, count, descending: options.descending };
        let query = Query::Ask { key: keys.order.clone(), command };
        let ids = members(data(self.ask(keys.partition, call, vec![query]).await?.pop())?);
        let full = ids.len() as u64 == count;
        let records = self.collection_records(call, &keys, &ids).await?;
        Ok(page(&records, full.then(|| (from + count).to_string())))
    }

    /// A page of the records whose field has a value, by their ids. *Round trips*: two.
    pub async fn collection_in(
        &self,
        call: Call,
        definition: &Definition,
        set: &str,
        value: &Json,
        options: &CollectionOptions,
    ) -> Result<String> {
        if !definition.sets.iter().any(|name| name == set) {
            return Err(invalid(vec![Issue::invalid_value(&[PathItem::from("by")], &definition.sets)]));
        }
        let Some(value) = key_value(value)? else { return Ok(page(&[], None)) };
        let keys = Keys::of(definition);
        let front = set_front(set, &value);
        let end = format!("{}\u{1}", front.trim_end_matches('\0'));
        let after = format!("{front}{}", options.cursor.as_deref().unwrap_or_default());
        let count = options.limit.unwrap_or(USUAL_PAGE).min(LARGEST_PAGE);
        let (after, before) = (bytes(&after), bytes(&end));
        let command = Command::SortedTexts { after, before, count, descending: false };
        let query = Query::Ask { key: keys.sets.clone(), command };
        let Data::List(items) = data(self.ask(keys.partition, call, vec![query]).await?.pop())? else {
            return Err(Error::internal("members were answered by something else"));
        };
        let full = items.len() as u64 == count;
        let ids: Vec<String> = items
            .into_iter()
            .filter_map(text)
            .filter_map(|item| item.get(front.len()..).map(str::to_owned))
            .collect();
        let records = self.collection_records(call, &keys, &ids).await?;
        Ok(page(&records, ids.last().filter(|_| full).cloned()))
    }

    /// Those of these records that are there.
    async fn collection_records(&self, call: Call, keys: &Keys, ids: &[String]) -> Result<Vec<String>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let fields = ids.iter().map(|id| bytes(&record_field(id))).collect();
        let found = texts(self.ask(keys.partition, call, vec![keys.get(fields)]).await?.pop())?;
        let now = self.clock.now();
        let mut records = Vec::with_capacity(found.len());
        for (id, text) in ids.iter().zip(found) {
            let Some(text) = text else { continue };
            match Entry::read(id, &text) {
                Ok(entry) if entry.is_over(now) => {}
                Ok(entry) => records.push(entry.json),
                Err(_) if self.policy.skips_corrupt => {}
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }
}

fn key_value(value: &Json) -> Result<Option<String>> {
    let wrong = || {
        Issue::custom(&[PathItem::from("value")], "Invalid input: expected a string, a number or a boolean")
    };
    scalar(value.text()).map_err(|()| invalid(vec![wrong()]))
}
