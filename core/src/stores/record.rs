//! How a record is stored: `<stamp> <schema> <proof> <length>:<aside><body>`.
//!
//! The stamp, `<version>.<operation>`, comes first, so that a check compares a prefix and nothing has to
//! be parsed by the server. Behind it the version of this format, the proof (a hash of the record's kind and
//! of all that follows: what proves itself is as this engine wrote it, anything else is read with care), the aside (what the store needs beside the
//! record) and the record's body: JSON without what its place already tells (ids, version, deadline).

use std::fmt::Display;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(super) use super::body::Body;
use super::told::{Seen, fingerprint, push_number, tagged};
use crate::error::{Code, Error, Result};
use crate::id::{Id, digit};
use crate::txn::Until;

/// The version of the stored form. A higher one was written by a later version of this library.
///
/// 1: chains and steps lie in their tree for as long as it lives. 2: chains may be archived, and steps leased.
/// A record of version 1 is one of version 2 of which neither is true, so reading it is all that its upgrade takes.
pub const SCHEMA_VERSION: u32 = 2;

/// The first version, which knew neither archives nor leases.
pub(super) const BEFORE_ARCHIVES: u32 = 1;

/// A record that can be stored.
pub(super) trait Record: DeserializeOwned {
    /// Its kind's number, which is part of its proof: what is whole may still stand in the place of another.
    const KIND: u64;

    /// Whether the tree's deadline is part of it.
    const TELLS_DEADLINE: bool = false;

    /// Its fields without what its place tells.
    fn body(&self) -> Body;

    /// Writes the public JSON of one that is stored.
    fn write(seen: &Seen<'_>, out: &mut String);
}

/// What the store needs beside the record itself.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Aside {
    /// Of a chain: whose it is.
    #[serde(rename = "u", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Of a chain: the number of its latest step.
    #[serde(rename = "n", skip_serializing_if = "is_default")]
    pub steps: u32,
    /// Of a chain: the numbers of deleted steps.
    #[serde(rename = "g", skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<u32>,
    /// Of a chain: its status does not follow its steps.
    #[serde(rename = "m", skip_serializing_if = "is_default")]
    pub manual: bool,
    /// Of a step that is in progress: for how long its worker may be silent.
    #[serde(rename = "l", skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// The key that it was created with, for the day that it is deleted.
    #[serde(rename = "k", skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// How long a worker may be silent, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    #[serde(rename = "m")]
    pub ms: u64,
    /// The step goes back to pending instead of failing.
    #[serde(rename = "r")]
    pub retry: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A record as it is stored, taken apart.
#[derive(Debug, Clone)]
pub(super) struct Stored<R> {
    pub version: u64,
    /// Version and operation: no two writes have the same.
    pub stamp: String,
    pub aside: Aside,
    pub record: R,
    /// The record's body as it is stored.
    pub json: String,
}

impl<R: Record> Stored<R> {
    /// # Errors
    /// `STORAGE_CORRUPT` for what is not a stored record, and for a later schema version.
    pub fn read(id: impl Display, text: &str) -> Result<Self> {
        let head = Head::read(&id, text)?;
        let aside = head.aside(&id)?;
        let record = parse(&id, head.body)?;
        Ok(Self { version: head.version, stamp: head.stamp.into(), aside, record, json: head.body.into() })
    }

    /// The first version of a record, whose body this is, by `operation`.
    pub fn first(operation: &str, body: &Body, record: R, aside: Aside) -> Self {
        let json = body.json();
        Self { version: 1, stamp: ["1.", operation].concat(), aside, record, json }
    }

    /// The next version of this record, whose body this is, by `operation`.
    pub fn next(&self, operation: &str, body: &Body, record: R, aside: Aside) -> Self {
        let version = self.version + 1;
        let json = body.json();
        Self {
            version,
            stamp: [itoa::Buffer::new().format(version), ".", operation].concat(),
            aside,
            record,
            json,
        }
    }

    /// The stored text, in the form of this version.
    pub fn text(&self, schema: u32) -> Arc<str> {
        let mut text = String::with_capacity(self.stamp.len() + ROOM_FOR_HEAD + self.json.len());
        text.push_str(&self.stamp);
        text.push(' ');
        push_number(&mut text, u64::from(schema));
        text.push(' ');
        let proof = text.len();
        text.push_str(UNPROVED);
        let proved = text.len();
        if self.aside == Aside::default() {
            text.push_str("0:");
        } else {
            let aside = serde_json::to_string(&self.aside).unwrap_or_default();
            push_number(&mut text, aside.len() as u64);
            text.push(':');
            text.push_str(&aside);
        }
        text.push_str(&self.json);
        let sign = prove::<R>(text.get(proved..).unwrap_or_default());
        text.replace_range(proof..proof + PROOF_LEN, &sign);
        text.into()
    }

    /// The record as it is told at this place.
    pub fn seen(&self, id: Id, until: Until) -> Seen<'_> {
        Seen { id, version: self.version, body: &self.json, aside: &self.aside, until }
    }

    /// The answer of the call that wrote it, or found it so.
    pub fn answer(&self, id: Id, until: Until) -> String {
        let deadline = if R::TELLS_DEADLINE { until } else { Until::Never };
        tagged::<R>(&fingerprint(&self.stamp, deadline), &self.seen(id, until))
    }

    /// What a stored text of this very version and operation begins with.
    pub fn prefix(&self) -> String {
        [&self.stamp, " "].concat()
    }
}

/// A stored text, taken apart but not yet read.
pub(super) struct Head<'a> {
    pub version: u64,
    pub stamp: &'a str,
    proof: &'a str,
    proved: &'a str,
    aside: &'a str,
    pub body: &'a str,
}

impl<'a> Head<'a> {
    pub fn read(id: &impl Display, text: &'a str) -> Result<Self> {
        let corrupt = || Error::corrupt(&id.to_string(), "its head is not one of ours");
        let (stamp, rest) = cut(text, b' ').ok_or_else(corrupt)?;
        let (schema, rest) = cut(rest, b' ').ok_or_else(corrupt)?;
        let (proof, proved) = cut(rest, b' ').ok_or_else(corrupt)?;
        let version = cut(stamp, b'.').and_then(|(version, _)| version.parse().ok()).ok_or_else(corrupt)?;
        match schema.parse::<u32>() {
            Ok(1..=SCHEMA_VERSION) => {}
            Ok(later) if later > SCHEMA_VERSION => {
                let message = format!(
                    "the stored record {id} has schema version {later}; this version reads up to {SCHEMA_VERSION}"
                );
                return Err(Error::new(Code::Corrupt, message));
            }
            _ => return Err(corrupt()),
        }
        let (length, rest) = cut(proved, b':').ok_or_else(corrupt)?;
        let length = length.parse().map_err(|_| corrupt())?;
        let (aside, body) = rest.split_at_checked(length).ok_or_else(corrupt)?;
        Ok(Self { version, stamp, proof, proved, aside, body })
    }

    /// Whether it is byte for byte what this engine wrote for a record of this kind: then nothing of it need be looked at
    /// before it is told.
    pub fn is_whole<R: Record>(&self) -> bool {
        prove::<R>(self.proved) == self.proof
    }

    pub fn aside(&self, id: &impl Display) -> Result<Aside> {
        if self.aside.is_empty() { Ok(Aside::default()) } else { parse(id, self.aside) }
    }
}

/// What stands before and behind the first such byte, which is ASCII. The parts of a head are a few bytes each: to look for
/// their ends by words, as the standard library does, takes longer.
fn cut(text: &str, end: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == end)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// The proof of a record's text: 40 bits of XXH3 in 8 characters.
fn prove<R: Record>(text: &str) -> SmolStr {
    let hash = xxh3_64_with_seed(text.as_bytes(), R::KIND);
    let mut proof = [b'0'; PROOF_LEN];
    for (place, byte) in proof.iter_mut().enumerate() {
        *byte = digit(hash >> (5 * place));
    }
    SmolStr::new(std::str::from_utf8(&proof).unwrap_or_default())
}

/// Characters of a proof.
const PROOF_LEN: usize = 8;
/// What stands in its place until it is known, with the blank behind it.
const UNPROVED: &str = "-------- ";
/// Room for a head's parts but the stamp, with a usual aside.
const ROOM_FOR_HEAD: usize = 96;

fn parse<T: DeserializeOwned>(id: &impl Display, json: &str) -> Result<T> {
    // serde's own words may quote the stored value; its place is enough to find it.
    serde_json::from_str(json).map_err(|error| {
        Error::corrupt(&id.to_string(), &format!("its body breaks at column {}", error.column()))
    })
}

#[cfg(test)]
mod tests {
    use super::{Aside, Body, Head, SCHEMA_VERSION, Stored};
    use crate::schema::{Chain, Session};

    #[test]
    fn a_record_proves_that_it_is_as_it_was_written() {
        let mut body = Body::default();
        body.field("userId", "ada \u{fc}\n").field("tags", &["a", "b"]);
        let aside = Aside { steps: 7, ..Aside::default() };
        let text = Stored::first("abc", &body, Session::default(), aside).text(SCHEMA_VERSION);
        let head = Head::read(&"it", &text).unwrap();
        assert!(head.is_whole::<Session>() && head.version == 1 && head.body == body.json());
        assert!(!head.is_whole::<Chain>(), "in another's place");
        let proof = text.find(head.proof).unwrap();
        let mut changed = 0;
        for (at, _) in text.char_indices().skip(proof) {
            for other in ["", "0", "x", "\"", "}"] {
                let Some(char) = text[at..].chars().next().filter(|char| char.to_string() != other) else {
                    continue;
                };
                let text = [&text[..at], other, &text[at + char.len_utf8()..]].concat();
                changed += 1;
                assert!(!Head::read(&"it", &text).is_ok_and(|head| head.is_whole::<Session>()), "{text}");
            }
        }
        assert!(changed > 200);
        // One without a proof is none: it is read with care.
        let bare = text.replace(head.proof, "-");
        assert!(
            Head::read(&"it", &bare)
                .is_ok_and(|head| !head.is_whole::<Session>() && head.body == body.json())
        );
    }
}
