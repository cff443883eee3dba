//! Plain values: what [`Command`]s read and write.

mod sorted;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::command::{Bytes, Command, Data, Fault, When};
use crate::streaming::Place;
use crate::txn::Until;

use sorted::Sorted;
pub(super) use stream::Stream;

/// What a key holds.
#[derive(Debug)]
pub(super) enum Plain {
    Text(Bytes),
    Hash(BTreeMap<Bytes, Bytes>),
    Set(BTreeSet<Bytes>),
    Sorted(Sorted),
    /// In memory a sketch counts exactly.
    Sketch(BTreeSet<Bytes>),
    Stream(Stream),
}

/// A key's value and when it goes.
pub(super) struct Held {
    pub plain: Box<Plain>,
    pub until: Until,
}

impl Plain {
    pub fn text(&self) -> Option<&Bytes> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn field(&self, field: &[u8]) -> Option<&Bytes> {
        match self {
            Self::Hash(hash) => hash.get(field),
            _ => None,
        }
    }

    pub fn is_pending(&self, group: &str, consumer: &str) -> bool {
        matches!(self, Self::Stream(stream) if stream.is_pending(group.as_bytes(), consumer.as_bytes()))
    }

    /// Whether there is an entry behind a place, or something that is no stream.
    pub fn is_behind(&self, place: Place) -> bool {
        match self {
            Self::Stream(stream) => stream.is_behind(place),
            _ => true,
        }
    }

    /// The stream that it is.
    pub fn stream(&self) -> Option<&Stream> {
        match self {
            Self::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Sketch(_) => "string",
            Self::Hash(_) => "hash",
            Self::Set(_) => "set",
            Self::Sorted(_) => "zset",
            Self::Stream(_) => "stream",
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Hash(hash) => hash.is_empty(),
            Self::Set(set) => set.is_empty(),
            Self::Sorted(sorted) => sorted.len() == 0,
            Self::Text(_) | Self::Sketch(_) | Self::Stream(_) => false,
        }
    }
}

const WRONG: Data = Data::Fault(Fault::WrongKind);

fn int(number: usize) -> Data {
    Data::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn flag(is: bool) -> Data {
    Data::Int(i64::from(is))
}

fn or_nil(bytes: Option<&Bytes>) -> Data {
    bytes.map_or(Data::Nil, |bytes| Data::Bytes(Arc::clone(bytes)))
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Answers a command that changes nothing.
pub(super) fn read(held: Option<(&Plain, Until)>, command: &Command, now: Timestamp) -> Data {
    let plain = held.map(|(plain, _)| plain);
    match command {
        Command::Exists => flag(plain.is_some()),
        Command::Kind => Data::text(plain.map_or("none", Plain::kind)),
        Command::Left => Data::Int(match held.map(|(_, until)| until) {
            None => -2,
            Some(Until::Never) => -1,
            Some(Until::At(at)) => i64::try_from(at.0.saturating_sub(now.0)).unwrap_or(i64::MAX),
        }),
        Command::Get => match plain {
            None => Data::Nil,
            Some(Plain::Text(text)) => Data::Bytes(Arc::clone(text)),
            Some(_) => WRONG,
        },
        Command::HashGet(_)
        | Command::HashGets(_)
        | Command::HashAll
        | Command::HashLen
        | Command::HashScan { .. } => match plain {
            None => read_hash(&BTreeMap::new(), command),
            Some(Plain::Hash(hash)) => read_hash(hash, command),
            Some(_) => WRONG,
        },
        Command::SetHas(_) | Command::SetAll | Command::SetLen => match plain {
            None => read_set(&BTreeSet::new(), command),
            Some(Plain::Set(set)) => read_set(set, command),
            Some(_) => WRONG,
        },
        Command::SketchCount => match plain {
            None => Data::Int(0),
            Some(Plain::Sketch(members)) => int(members.len()),
            Some(_) => WRONG,
        },
        Command::Stream(streaming) => match plain {
            None => stream::read_none(streaming),
            Some(Plain::Stream(stream)) => stream.read(streaming, now),
            Some(_) => WRONG,
        },
        _ => match plain {
            None => Sorted::default().read(command),
            Some(Plain::Sorted(sorted)) => sorted.read(command),
            Some(_) => WRONG,
        },
    }
}

fn read_hash(hash: &BTreeMap<Bytes, Bytes>, command: &Command) -> Data {
    match command {
        Command::HashGet(field) => or_nil(hash.get(field)),
        Command::HashGets(fields) => Data::List(fields.iter().map(|field| or_nil(hash.get(field))).collect()),
        Command::HashLen => int(hash.len()),
        Command::HashScan { cursor, count } => {
            // A cursor is the field that it stands behind, after a mark.
            let from = match cursor.split_first() {
                Some((b'f', field)) => Bound::Excluded(Arc::from(field)),
                _ => Bound::Unbounded,
            };
            let page: Vec<(&Bytes, &Bytes)> =
                hash.range((from, Bound::Unbounded)).take(size(*count).max(1)).collect();
            let last = page.last().filter(|_| page.len() as u64 >= *count).map(|(field, _)| *field);
            let next = last.map_or_else(|| b"0".to_vec(), |field| [b"f", field.as_ref()].concat());
            Data::List(vec![Data::Bytes(next.into()), Data::List(pairs(page.into_iter()))])
        }
        _ => Data::List(pairs(hash.iter())),
    }
}

fn pairs<'a>(items: impl Iterator<Item = (&'a Bytes, &'a Bytes)>) -> Vec<Data> {
    items
        .flat_map(|(field, value)| [Data::Bytes(Arc::clone(field)), Data::Bytes(Arc::clone(value))])
        .collect()
}

fn read_set(set: &BTreeSet<Bytes>, command: &Command) -> Data {
    match command {
        Command::SetHas(member) => flag(set.contains(member)),
        Command::SetLen => int(set.len()),
        _ => Data::List(set.iter().map(|member| Data::Bytes(Arc::clone(member))).collect()),
    }
}

/// Does a command that may change something.
pub(super) fn write(held: &mut Option<Held>, command: Command, now: Timestamp) -> Data {
    let done = match command {
        Command::Expire(at) => expire(held, Until::At(at), now),
        Command::Persist => {
            let had = matches!(held, Some(Held { until: Until::At(_), .. }));
            expire(held, Until::Never, now);
            flag(had)
        }
        Command::Set { value, until, when } => set(held, value, until, when),
        Command::Replace(value) => {
            let until = held.as_ref().map_or(Until::Never, |held| held.until);
            set(held, value, until, When::Always)
        }
        Command::Increase(by) => increase(held, by),
        Command::HashPut(_) | Command::HashDrop(_) | Command::HashIncrease(..) => {
            match plain(held, || Plain::Hash(BTreeMap::new())) {
                Plain::Hash(hash) => write_hash(hash, command),
                _ => WRONG,
            }
        }
        Command::SetAdd(members) => match plain(held, || Plain::Set(BTreeSet::new())) {
            Plain::Set(set) => {
                int(members.into_iter().filter(|member| set.insert(Arc::clone(member))).count())
            }
            _ => WRONG,
        },
        Command::SetDrop(members) => match plain(held, || Plain::Set(BTreeSet::new())) {
            Plain::Set(set) => int(members.iter().filter(|member| set.remove(*member)).count()),
            _ => WRONG,
        },
        Command::SketchAdd(members) => match plain(held, || Plain::Sketch(BTreeSet::new())) {
            Plain::Sketch(set) => {
                flag(members.into_iter().filter(|member| set.insert(Arc::clone(member))).count() > 0)
            }
            _ => WRONG,
        },
        Command::Stream(streaming) => stream::write(held, streaming, now),
        command => match plain(held, || Plain::Sorted(Sorted::default())) {
            Plain::Sorted(sorted) => sorted.write(command),
            _ => WRONG,
        },
    };
    if held.as_ref().is_some_and(|held| held.plain.is_empty()) {
        *held = None;
    }
    done
}

/// The key's value, made when there is none.
fn plain(held: &mut Option<Held>, fresh: impl FnOnce() -> Plain) -> &mut Plain {
    &mut held.get_or_insert_with(|| Held { plain: Box::new(fresh()), until: Until::Never }).plain
}

fn expire(held: &mut Option<Held>, until: Until, now: Timestamp) -> Data {
    let Some(some) = held else { return Data::Int(0) };
    some.until = until;
    if matches!(until, Until::At(at) if at <= now) {
        *held = None;
    }
    Data::Int(1)
}

fn set(held: &mut Option<Held>, value: Bytes, until: Until, when: When) -> Data {
    if (when == When::Absent && held.is_some()) || (when == When::Present && held.is_none()) {
        return Data::Nil;
    }
    *held = Some(Held { plain: Box::new(Plain::Text(value)), until });
    Data::Int(1)
}

/// A text as a number, if it is written as one: no sign of plus, no zeros before it.
fn number(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}

fn increased(text: Option<&Bytes>, by: i64) -> Result<i64, Data> {
    let before = match text {
        None => 0,
        Some(text) => number(text).ok_or(Data::Fault(Fault::NoNumber))?,
    };
    before.checked_add(by).ok_or(Data::Fault(Fault::OutOfRange))
}

fn increase(held: &mut Option<Held>, by: i64) -> Data {
    let before = match held.as_ref().map(|held| &*held.plain) {
        None => None,
        Some(Plain::Text(text)) => Some(text),
        Some(_) => return WRONG,
    };
    match increased(before, by) {
        Ok(now) => {
            *plain(held, || Plain::Text(Arc::from([]))) = Plain::Text(now.to_string().into_bytes().into());
            Data::Int(now)
        }
        Err(fault) => fault,
    }
}

fn write_hash(hash: &mut BTreeMap<Bytes, Bytes>, command: Command) -> Data {
    match command {
        Command::HashPut(fields) => int(fields
            .into_iter()
            .filter(|(field, value)| hash.insert(field.clone(), value.clone()).is_none())
            .count()),
        Command::HashDrop(fields) => int(fields.iter().filter(|field| hash.remove(*field).is_some()).count()),
        Command::HashIncrease(field, by) => match increased(hash.get(&field), by) {
            Ok(now) => {
                hash.insert(field, now.to_string().into_bytes().into());
                Data::Int(now)
            }
            Err(fault) => fault,
        },
        _ => WRONG,
    }
}
