//! How a record of a collection is stored, and where else it is noted.

use super::super::fields::Fields;
use super::super::invalid;
use super::super::marked::quoted;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::schema::{Definition, Issue, PathItem};

/// A record as it is stored: `<mark> <deadline> <made at>`, a line feed, its JSON. No two writes share a mark.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub mark: String,
    /// 0 is never.
    pub until: u64,
    pub made: u64,
    pub json: String,
}

impl Entry {
    pub fn read(id: &str, text: &[u8]) -> Result<Self> {
        let corrupt = || Error::corrupt(id, "its head is not what this version writes");
        let text = std::str::from_utf8(text).map_err(|_| corrupt())?;
        let (head, json) = text.split_once('\n').ok_or_else(corrupt)?;
        let mut parts = head.split(' ');
        let mark = parts.next().ok_or_else(corrupt)?.to_owned();
        let mut number = || parts.next().and_then(|part| part.parse().ok()).ok_or_else(corrupt);
        let (until, made) = (number()?, number()?);
        if Fields::read(json).is_none() {
            return Err(Error::corrupt(id, "it is no JSON object"));
        }
        Ok(Self { mark, until, made, json: json.to_owned() })
    }

    pub fn text(&self) -> String {
        format!("{} {} {}\n{}", self.mark, self.until, self.made, self.json)
    }

    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until != 0 && self.until <= now.0
    }
}

/// Where a record is noted beside its own field.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Notes {
    /// Fields that hold its id: constraints and second keys, each with the names of what it stands for.
    pub keys: Vec<(String, String)>,
    /// Its place in the order; none: that of its making.
    pub order: Option<f64>,
    /// Its places in sets.
    pub sets: Vec<String>,
}

impl Notes {
    pub fn has(&self, field: &str) -> bool {
        self.keys.iter().any(|(known, _)| known == field)
    }
}

/// The field of the hash that holds a record.
pub(super) fn record_field(id: &str) -> String {
    format!("r{id}")
}

/// What a key's field holds: the id of the record that it stands for, ended, so that no other id begins with it.
pub(super) fn holding(id: &str) -> String {
    format!("{id}\0")
}

/// The id that a key's field holds.
pub(super) fn held(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.strip_suffix('\0').unwrap_or(&text).to_owned()
}

/// The field that a second key is.
pub(super) fn lookup_field(name: &str, value: &str) -> String {
    format!("l[{},{value}]", quoted(name))
}

/// What stands in front of the ids of one set.
pub(super) fn set_front(name: &str, value: &str) -> String {
    format!("{}{value}\0", quoted(name))
}

fn issue(path: &str, message: &str) -> Issue {
    Issue::custom(&[PathItem::from("record"), PathItem::from(path)], message)
}

/// A scalar's one spelling; nothing for `null`.
///
/// # Errors
/// For lists and objects.
pub(super) fn scalar(text: &str) -> std::result::Result<Option<String>, ()> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Null) => Ok(None),
        Ok(serde_json::Value::Array(_) | serde_json::Value::Object(_)) | Err(_) => Err(()),
        Ok(value) => Ok(Some(value.to_string())),
    }
}

/// A field's scalars: its own, or those of a list of them.
fn scalars(text: &str) -> std::result::Result<Vec<String>, ()> {
    if !text.starts_with('[') {
        return Ok(scalar(text)?.into_iter().collect());
    }
    let items: Vec<Box<serde_json::value::RawValue>> = serde_json::from_str(text).map_err(|_| ())?;
    let mut values: Vec<String> = items
        .iter()
        .filter_map(|item| scalar(item.get()).transpose())
        .collect::<std::result::Result<_, ()>>()?;
    values.sort();
    values.dedup();
    Ok(values)
}

/// A record's id: a text, or a whole number as it is written.
pub(super) fn id_of(definition: &Definition, json: &str) -> Result<String> {
    let text = Fields::read(json).and_then(|fields| fields.get(&definition.id));
    text.and_then(id_text).ok_or_else(|| {
        invalid(vec![issue(&definition.id, "Invalid id: expected a string or a whole number")])
    })
}

/// The text of an id; 1 to 512 bytes without U+0000.
pub(super) fn id_text(json: &str) -> Option<String> {
    let id = match serde_json::from_str::<serde_json::Value>(json).ok()? {
        serde_json::Value::String(text) => text,
        serde_json::Value::Number(number) => number.as_i64()?.to_string(),
        _ => return None,
    };
    ((1..=512).contains(&id.len()) && !id.contains('\0')).then_some(id)
}

/// Where a record belongs.
///
/// # Errors
/// `STORAGE_INVALID` for fields that can't be keys.
pub(super) fn notes(definition: &Definition, id: &str, json: &str) -> Result<Notes> {
    let fields = Fields::read(json).unwrap_or_default();
    let (mut notes, mut issues) = (Notes::default(), Vec::new());
    for names in &definition.unique {
        let mut values = Vec::new();
        for name in names {
            match fields.get(name).map_or(Ok(None), scalar) {
                Ok(value) => values.extend(value),
                Err(()) => {
                    issues.push(issue(name, "Invalid input: expected a string, a number or a boolean"))
                }
            }
        }
        // Where a part is absent, the constraint does not bind.
        if values.len() == names.len() && !names.is_empty() {
            let quoted: Vec<String> = names.iter().map(|name| quoted(name)).collect();
            let field = format!("u[[{}],[{}]]", quoted.join(","), values.join(","));
            notes.keys.push((field, names.join(", ")));
        }
    }
    for name in &definition.lookup {
        match fields.get(name).map_or(Ok(Vec::new()), scalars) {
            Ok(values) => {
                notes.keys.extend(values.iter().map(|value| (lookup_field(name, value), name.clone())));
            }
            Err(()) => issues
                .push(issue(name, "Invalid input: expected a string, a number, a boolean or a list of them")),
        }
    }
    for name in &definition.sets {
        match fields.get(name).map_or(Ok(Vec::new()), scalars) {
            Ok(values) => {
                notes.sets.extend(values.iter().map(|value| format!("{}{id}", set_front(name, value))))
            }
            Err(()) => issues
                .push(issue(name, "Invalid input: expected a string, a number, a boolean or a list of them")),
        }
    }
    if let Some(name) = &definition.order_by {
        match fields.get(name).and_then(|text| text.parse::<f64>().ok()).filter(|score| score.is_finite()) {
            Some(score) => notes.order = Some(score),
            None => issues.push(issue(name, "Invalid input: expected number")),
        }
    }
    if issues.is_empty() { Ok(notes) } else { Err(invalid(issues)) }
}
