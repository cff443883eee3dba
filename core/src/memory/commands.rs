//! Commands on plain values.

use std::sync::Arc;

use super::plain::{self, Held, Plain, Stream};
use super::shelf::{Shelf, Slot, wrong_kind};
use super::value::Value;
use crate::clock::Timestamp;
use crate::command::{Bytes, Command, Data, Fault, Line as LineCommand};
use crate::error::Result;
use crate::key::{Key, Space};
use crate::streaming::{Place, Streaming, place_text, read_place};
use crate::txn::Until;

impl Shelf {
    /// What does not fit is an error.
    pub(super) fn command(&mut self, key: Key, command: Command, now: Timestamp) -> Result<Data> {
        match self.try_command(key, command, now) {
            Data::Fault(_) => Err(wrong_kind()),
            data => Ok(data),
        }
    }

    /// What does not fit is a fault.
    pub(super) fn try_command(&mut self, key: Key, command: Command, now: Timestamp) -> Data {
        match command {
            // Whatever it holds.
            Command::Delete => {
                let there = self.slot(&key, now).is_some();
                self.slots.remove(&key);
                Data::Int(i64::from(there))
            }
            Command::Line(command) => self.line(key, command, now),
            Command::Stream(Streaming::Settle { group, places, floors }) => {
                self.settle(key, group, places, floors, now)
            }
            Command::Stream(Streaming::Mend { group, floors }) => self.mend(key, group, &floors, now),
            command if !command.writes() => self.ask(&key, &command, now),
            command => self.write(key, command, now),
        }
    }

    pub(super) fn plain(&self, key: &Key, now: Timestamp) -> Option<&Plain> {
        match &self.slot(key, now)?.value {
            Value::Plain(plain) => Some(plain),
            _ => None,
        }
    }

    pub(super) fn ask(&self, key: &Key, command: &Command, now: Timestamp) -> Data {
        match (self.slot(key, now), command) {
            (Some(Slot { value: Value::Plain(plain), until }), _) => {
                plain::read(Some((plain, *until)), command, now)
            }
            (Some(_), Command::Exists) => Data::Int(1),
            (Some(_), _) => Data::Fault(Fault::WrongKind),
            (None, _) => plain::read(None, command, now),
        }
    }

    /// Tells every name of a space.
    pub(super) fn names(&self, space: Space, now: Timestamp, mut tell: impl FnMut(&str)) {
        let there = self.slots.iter().filter(|(key, slot)| key.space == space && !slot.is_due(now));
        there.for_each(|(key, _)| tell(&key.name));
    }

    fn write(&mut self, key: Key, command: Command, now: Timestamp) -> Data {
        let (mut held, before) = match self.slots.remove(&key).filter(|slot| !slot.is_due(now)) {
            None => (None, Until::Never),
            Some(Slot { value: Value::Plain(plain), until }) => (Some(Held { plain, until }), until),
            Some(other) => {
                self.slots.insert(key, other);
                return Data::Fault(Fault::WrongKind);
            }
        };
        let answer = plain::write(&mut held, command, now);
        match held {
            // A deadline that stays is noted already.
            Some(Held { plain, until }) if until == before => {
                drop(self.slots.insert(key, Slot { value: Value::Plain(plain), until }));
            }
            Some(Held { plain, until }) => self.insert(key, Value::Plain(plain), until),
            None => {}
        }
        answer
    }

    fn settle(&mut self, key: Key, group: Bytes, places: Vec<Place>, floors: Key, now: Timestamp) -> Data {
        let done = if places.is_empty() {
            Data::Int(0)
        } else {
            let acknowledge = Streaming::Acknowledge { group: Arc::clone(&group), places };
            self.write(key.clone(), Command::Stream(acknowledge), now)
        };
        let stream = self.plain(&key, now).and_then(Plain::stream);
        if let (Data::Int(_), Some(floor)) = (&done, stream.and_then(|stream| stream.floor(&group))) {
            let noted = Bytes::from(place_text(floor).into_bytes());
            self.write(floors, Command::HashPut(vec![(group, noted)]), now);
        }
        done
    }

    fn mend(&mut self, key: Key, group: Bytes, floors: &Key, now: Timestamp) -> Data {
        let noted = match self.ask(floors, &Command::HashGet(Arc::clone(&group)), now) {
            Data::Bytes(text) => std::str::from_utf8(&text).ok().and_then(read_place),
            _ => None,
        };
        let latest = self.plain(&key, now).and_then(Plain::stream).map_or((0, 0), Stream::latest);
        let after = noted.filter(|floor| *floor <= latest).unwrap_or((0, 0));
        self.write(key, Command::Stream(Streaming::GroupMake { group, after: Some(after) }), now)
    }

    fn line(&mut self, key: Key, command: LineCommand, now: Timestamp) -> Data {
        let slot = self.open(key.clone(), || Value::Line(Box::default()), now);
        let Value::Line(line) = &mut slot.value else { return Data::Fault(Fault::WrongKind) };
        let data = line.apply(command, now);
        if line.is_empty() {
            self.slots.remove(&key);
        }
        data
    }
}
