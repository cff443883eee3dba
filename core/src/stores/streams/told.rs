//! What streams answer, read and as JSON.

use super::super::marked::{self, quoted};
use crate::command::{Bytes, Data};
use crate::error::{Error, Result};
use crate::streaming::{Place, place_text, read_place};

/// An entry of a stream.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub place: Place,
    pub fields: Vec<(Bytes, Bytes)>,
}

/// A group of consumers.
pub(super) struct Group {
    pub name: String,
    pub pending: i64,
    pub delivered: Place,
}

/// What a group was given and did not acknowledge.
pub(super) struct Pending {
    pub place: Place,
    pub consumer: String,
    pub idle_ms: i64,
    pub deliveries: i64,
}

fn odd() -> Error {
    Error::internal("a stream answered something else")
}

fn text_of(data: &Data) -> Result<String> {
    match data {
        Data::Bytes(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        _ => Err(odd()),
    }
}

fn place(data: &Data) -> Result<Place> {
    read_place(&text_of(data)?).ok_or_else(odd)
}

fn number(data: &Data) -> Result<i64> {
    data.int().ok_or_else(odd)
}

fn items(data: &Data) -> Result<&[Data]> {
    match data {
        Data::List(items) => Ok(items),
        _ => Err(odd()),
    }
}

/// Entries; none for `Nil`.
pub(super) fn entries(data: Data) -> Result<Vec<Entry>> {
    match data {
        Data::Nil => Ok(Vec::new()),
        Data::List(items) => items.into_iter().map(entry).collect(),
        _ => Err(odd()),
    }
}

fn entry(data: Data) -> Result<Entry> {
    let Data::List(parts) = data else { return Err(odd()) };
    let [at, Data::List(flat)] = parts.as_slice() else { return Err(odd()) };
    let pair = |pair: &[Data]| match pair {
        [Data::Bytes(name), Data::Bytes(value)] => Ok((name.clone(), value.clone())),
        _ => Err(odd()),
    };
    Ok(Entry { place: place(at)?, fields: flat.chunks(2).map(pair).collect::<Result<_>>()? })
}

pub(super) fn groups(data: &Data) -> Result<Vec<Group>> {
    let group = |one: &Data| match items(one)? {
        [name, pending, delivered] => {
            Ok(Group { name: text_of(name)?, pending: number(pending)?, delivered: place(delivered)? })
        }
        _ => Err(odd()),
    };
    items(data)?.iter().map(group).collect()
}

pub(super) fn pendings(data: &Data) -> Result<Vec<Pending>> {
    let pending = |one: &Data| match items(one)? {
        [at, consumer, idle, deliveries] => Ok(Pending {
            place: place(at)?,
            consumer: text_of(consumer)?,
            idle_ms: number(idle)?,
            deliveries: number(deliveries)?,
        }),
        _ => Err(odd()),
    };
    items(data)?.iter().map(pending).collect()
}

/// Names of consumers with nothing pending that were not seen for so long.
pub(super) fn idle_consumers(data: &Data, idle_ms: u64) -> Result<Vec<String>> {
    let idle_ms = i64::try_from(idle_ms).unwrap_or(i64::MAX);
    let mut names = Vec::new();
    for one in items(data)? {
        let [name, pending, idle] = items(one)? else { return Err(odd()) };
        if number(pending)? == 0 && number(idle)? > idle_ms {
            names.push(text_of(name)?);
        }
    }
    Ok(names)
}

pub(super) fn int(data: &Data) -> Result<String> {
    number(data).map(|number| number.to_string())
}

/// An id as JSON.
pub(super) fn text(data: &Data) -> Result<String> {
    text_of(data).map(|text| quoted(&text))
}

/// JSON texts as a list.
pub(super) fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

/// A value as a JSON text where it is one; as bytes where it is none, or where bytes are wanted.
pub(super) fn value(value: &[u8], bytes: bool) -> String {
    let mut out = Vec::new();
    marked::add(&mut out, value, bytes);
    text_from(out)
}

pub(super) fn fields_json(fields: &[(Bytes, Bytes)], bytes: bool) -> String {
    let mut out = Vec::new();
    add_fields(&mut out, fields, bytes);
    text_from(out)
}

fn add_fields(out: &mut Vec<u8>, fields: &[(Bytes, Bytes)], bytes: bool) {
    out.push(b'{');
    for (at, (name, value)) in fields.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        marked::add_text(out, &String::from_utf8_lossy(name));
        out.push(b':');
        marked::add(out, value, bytes);
    }
    out.push(b'}');
}

/// All that is added to a JSON text is text.
fn text_from(out: Vec<u8>) -> String {
    String::from_utf8(out).unwrap_or_default()
}

/// Entries as a list: one text for all of them, since there may be many and each is small.
pub(super) fn json(entries: &[Entry], bytes: bool) -> String {
    let mut out = Vec::with_capacity(2 + entries.len() * USUAL_BYTES);
    out.push(b'[');
    for (at, entry) in entries.iter().enumerate() {
        out.extend_from_slice(if at > 0 { b",{\"id\":\"" } else { b"{\"id\":\"" });
        out.extend_from_slice(place_text(entry.place).as_bytes());
        out.extend_from_slice(b"\",\"fields\":");
        add_fields(&mut out, &entry.fields, bytes);
        out.push(b'}');
    }
    out.push(b']');
    text_from(out)
}

/// What an entry takes as JSON, about.
const USUAL_BYTES: usize = 192;

pub(super) fn group_json(group: &Group) -> String {
    let (name, delivered) = (quoted(&group.name), place_text(group.delivered));
    format!("{{\"name\":{name},\"pending\":{},\"delivered\":\"{delivered}\"}}", group.pending)
}

pub(super) fn pending_json(pending: &Pending) -> String {
    let Pending { place, consumer, idle_ms, deliveries } = pending;
    format!(
        "{{\"id\":\"{}\",\"consumer\":{},\"idleMs\":{idle_ms},\"deliveries\":{deliveries}}}",
        place_text(*place),
        quoted(consumer)
    )
}
