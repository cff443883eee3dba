//! A record's body in the making: its fields as JSON, with the place of each value.

use std::ops::Range;

use serde::Serialize;

use super::marked::push_text;
use super::replay::{CLEARED, NULLABLE};
use super::told::push_number;
use crate::clock::Timestamp;

/// Room for a typical record's text and fields.
const TYPICAL_BYTES: usize = 512;
const TYPICAL_FIELDS: usize = 14;

/// A record's fields as JSON, in order, with the place of each value.
#[derive(Debug, Default, Clone)]
pub(super) struct Body {
    text: String,
    spans: Vec<(&'static str, Range<usize>)>,
}

impl Body {
    /// Adds a field with any serializable value.
    pub fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> &mut Self {
        // Of the types that are put here none can fail to become JSON.
        self.raw(name, &serde_json::to_string(value).unwrap_or_default())
    }

    /// Adds a field whose value `write` adds, as JSON.
    fn put(&mut self, name: &'static str, write: impl FnOnce(&mut String)) -> &mut Self {
        if self.text.capacity() == 0 {
            (self.text, self.spans) =
                (String::with_capacity(TYPICAL_BYTES), Vec::with_capacity(TYPICAL_FIELDS));
        }
        self.text.push_str(if self.text.is_empty() { "{\"" } else { ",\"" });
        self.text.push_str(name);
        self.text.push_str("\":");
        let from = self.text.len();
        write(&mut self.text);
        self.spans.push((name, from..self.text.len()));
        self
    }

    /// Adds a field whose value is a text.
    pub fn text(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.put(name, |text| push_text(text, value))
    }

    /// The same, if there is a value.
    pub fn optional_text(&mut self, name: &'static str, value: Option<&String>) -> &mut Self {
        if let Some(value) = value {
            self.text(name, value);
        }
        self
    }

    /// Adds a field whose value is a time.
    pub fn time(&mut self, name: &'static str, at: Timestamp) -> &mut Self {
        self.put(name, |text| {
            text.push('"');
            at.push_to(text);
            text.push('"');
        })
    }

    /// The same, if there is a value.
    pub fn optional_time(&mut self, name: &'static str, at: Option<Timestamp>) -> &mut Self {
        if let Some(at) = at {
            self.time(name, at);
        }
        self
    }

    /// Adds a field whose value is a number.
    pub fn number(&mut self, name: &'static str, number: u64) -> &mut Self {
        self.put(name, |text| push_number(text, number))
    }

    /// Adds a field with any serializable value, if there is one.
    pub fn optional<T: Serialize>(&mut self, name: &'static str, value: Option<&T>) -> &mut Self {
        if let Some(value) = value {
            self.field(name, value);
        }
        self
    }

    /// Adds a field whose value is JSON already.
    pub fn raw(&mut self, name: &'static str, json: &str) -> &mut Self {
        self.put(name, |text| text.push_str(json))
    }

    fn values(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.spans.iter().map(|(name, span)| (*name, self.text.get(span.clone()).unwrap_or("null")))
    }

    fn value(&self, name: &str) -> Option<&str> {
        let (_, span) = self.spans.iter().find(|(known, _)| *known == name)?;
        self.text.get(span.clone())
    }

    /// The JSON object.
    pub fn json(&self) -> String {
        let open = if self.text.is_empty() { "{" } else { &self.text };
        [open, "}"].concat()
    }

    /// The fields that differ from `before`, as a JSON object: new values, and `null` for what is gone; of a field whose
    /// value may be `null`, its name in a list.
    pub fn changes_since(&self, before: &Self, version: u64) -> String {
        let mut changes = Self::default();
        for (name, value) in self.values().filter(|(name, _)| *name != "updatedAt") {
            if before.value(name) != Some(value) {
                changes.raw(name, value);
            }
        }
        for (name, _) in before.values().filter(|(name, _)| self.value(name).is_none()) {
            if name == NULLABLE {
                changes.field(CLEARED, &[name]);
            } else {
                changes.raw(name, "null");
            }
        }
        changes.number("version", version).json()
    }

    /// The fields of a new record that its event does not tell otherwise: those behind the owner, before the times.
    pub fn as_created(&self) -> String {
        let from = match self.spans.first() {
            Some(("userId", span)) => span.end + 1,
            _ => 1,
        };
        let times = self.spans.iter().position(|(name, _)| *name == "createdAt").unwrap_or(self.spans.len());
        let to =
            times.checked_sub(1).and_then(|last| self.spans.get(last)).map_or(from, |(_, span)| span.end);
        ["{", self.text.get(from..to).unwrap_or_default(), "}"].concat()
    }

    pub fn differs_from(&self, before: &Self) -> bool {
        let mine = self.values().filter(|(name, _)| *name != "updatedAt");
        !mine.eq(before.values().filter(|(name, _)| *name != "updatedAt"))
    }
}
