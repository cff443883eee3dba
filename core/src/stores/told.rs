//! A record as it is told to the caller: its public JSON, and the tag by which it is known again.

use super::record::{Aside, Record};
use crate::clock::Timestamp;
use crate::id::{Id, digit};
use crate::txn::Until;

/// A stored record as it is told to the caller.
pub(super) struct Seen<'a> {
    pub id: Id,
    pub version: u64,
    pub body: &'a str,
    pub aside: &'a Aside,
    pub until: Until,
}

/// How every record's body ends.
const CREATED: &str = "\"createdAt\":\"";
const UPDATED: &str = "\",\"updatedAt\":\"";
const TIMES_LEN: usize = CREATED.len() + 24 + UPDATED.len() + 24 + 1;

/// Appends a number.
pub(super) fn push_number(out: &mut String, number: u64) {
    out.push_str(itoa::Buffer::new().format(number));
}

/// Writes the fields and, as milliseconds, the two times behind them: a face makes a date of a number four
/// times as fast as of a text. False when the times are not there.
fn push_times(out: &mut String, fields: &str, times: &str) -> bool {
    let time = |from: usize| times.get(from..from + 24).and_then(Timestamp::parse);
    let second = CREATED.len() + 24 + UPDATED.len();
    let (true, Some(created), Some(updated)) =
        (times.starts_with(CREATED), time(CREATED.len()), time(second))
    else {
        return false;
    };
    out.push_str(fields);
    out.push_str("\"createdAt\":");
    push_number(out, created.0);
    out.push_str(",\"updatedAt\":");
    push_number(out, updated.0);
    true
}

/// Writes the public JSON of a record but for its end: the ids that its place tells, and its body.
pub(super) fn push_public(out: &mut String, front: &[(&str, Id)], seen: &Seen<'_>) {
    for (place, (name, id)) in front.iter().enumerate() {
        out.push_str(if place == 0 { "{\"" } else { ",\"" });
        out.push_str(name);
        out.push_str("\":\"");
        id.push_to(out);
        out.push('"');
    }
    let inner = seen.body.strip_prefix('{').and_then(|body| body.strip_suffix('}')).unwrap_or_default();
    out.push_str(if inner.is_empty() { "" } else { "," });
    match inner.len().checked_sub(TIMES_LEN).and_then(|at| inner.split_at_checked(at)) {
        Some((fields, times)) if push_times(out, fields, times) => {}
        _ => out.push_str(inner),
    }
}

/// Writes the end of a record's public JSON.
pub(super) fn push_version(out: &mut String, version: u64) {
    out.push_str(",\"version\":");
    push_number(out, version);
    out.push('}');
}

/// The tag of a record's public JSON: a fingerprint of all that it depends on, its stamp and, for a session,
/// its deadline. 55 bits of FNV-1a in 12 characters, which V8 copies out of an answer where it would hold on
/// to the whole answer for a longer piece of it.
pub(super) fn fingerprint(stamp: &str, until: Until) -> Tag {
    let at = if let Until::At(at) = until { at.0.to_le_bytes() } else { [0; 8] };
    let bytes = stamp.bytes().chain(at);
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mut text = [READ_ONCE; 12];
    for (place, byte) in text.iter_mut().rev().take(11).enumerate() {
        *byte = digit((hash ^ (hash >> 7)) >> (5 * place));
    }
    Tag(text)
}

/// A digit in front tells an answer with a record from every other one, and whether the record is worth holding: one that
/// is another one at each reading is not.
const READ_ONCE: u8 = b'0';
const READ_MORE: u8 = b'1';

/// A record's tag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag([u8; 12]);

impl Tag {
    /// The tag that a caller names.
    pub fn told(text: &str) -> Self {
        Self(text.as_bytes().try_into().unwrap_or_default())
    }

    /// Whether it is of the same record; its first digit does not matter.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.get(1..) == other.0.get(1..)
    }

    /// The tag of a record that is read more than once.
    pub fn of_more(mut self) -> Self {
        if let Some(first) = self.0.first_mut() {
            *first = READ_MORE;
        }
        self
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The public JSON of a stored record.
pub(super) fn public<R: Record>(seen: &Seen<'_>) -> String {
    let mut out = String::with_capacity(seen.body.len() + ROOM_FOR_IDS);
    R::write(seen, &mut out);
    out
}

/// Room for what a record's place tells.
const ROOM_FOR_IDS: usize = 224;

/// The answer of a call for one record: its tag, by which a face knows it again, and its JSON.
///
/// The tag changes whenever the JSON does. A caller that holds the record of a tag sends the tag along, and
/// is told [`UNCHANGED`] instead of the same again.
pub(super) fn tagged<R: Record>(tag: &Tag, seen: &Seen<'_>) -> String {
    let mut out = String::new();
    push_tagged::<R>(&mut out, tag, seen);
    out
}

/// The same behind what is there.
pub(super) fn push_tagged<R: Record>(out: &mut String, tag: &Tag, seen: &Seen<'_>) {
    out.reserve(seen.body.len() + ROOM_FOR_IDS);
    out.push_str(tag.as_str());
    out.push('\n');
    R::write(seen, out);
}

/// The answer for a record that is not there.
pub(super) const NOTHING: &str = "null";

/// A record's answer, unless it says that there is none.
pub(super) fn if_there(answer: String) -> Option<String> {
    (answer != NOTHING).then_some(answer)
}

/// The answer for a record that the caller holds already.
pub const UNCHANGED: &str = "=";
