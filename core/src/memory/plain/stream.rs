//! Streams and their groups of consumers.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::{Held, Plain, WRONG, flag, int, or_nil, size};
use crate::clock::Timestamp;
use crate::command::{Bytes, Data, Fault};
use crate::streaming::{Place, Streaming};
use crate::txn::Until;

type Fields = Vec<(Bytes, Bytes)>;

/// Entries in the order of their places, and who has got them.
#[derive(Debug, Default)]
pub(in crate::memory) struct Stream {
    entries: BTreeMap<Place, Fields>,
    latest: Place,
    groups: BTreeMap<Bytes, Group>,
}

#[derive(Debug, Default)]
struct Group {
    /// Nothing behind this was delivered.
    delivered: Place,
    pending: BTreeMap<Place, Pending>,
    /// When each was seen last.
    consumers: BTreeMap<Bytes, Timestamp>,
}

#[derive(Debug)]
struct Pending {
    consumer: Bytes,
    since: Timestamp,
    deliveries: i64,
}

const NO_GROUP: Data = Data::Fault(Fault::NoGroup);
const NO_STREAM: Data = Data::Fault(Fault::NoStream);

/// The answer of a question to a stream that does not exist.
pub(super) fn read_none(streaming: &Streaming) -> Data {
    match streaming {
        Streaming::Range { .. } => Data::List(Vec::new()),
        Streaming::Pending { .. } => NO_GROUP,
        Streaming::Groups | Streaming::Consumers { .. } => NO_STREAM,
        _ => Data::Int(0),
    }
}

pub(super) fn write(held: &mut Option<Held>, streaming: Streaming, now: Timestamp) -> Data {
    let makes = matches!(streaming, Streaming::Add { .. } | Streaming::GroupMake { .. });
    if held.is_none() && !makes {
        return match streaming {
            Streaming::Drop(_) | Streaming::Acknowledge { .. } => Data::Int(0),
            Streaming::GroupRead { .. } | Streaming::Claim { .. } => NO_GROUP,
            _ => NO_STREAM,
        };
    }
    let fresh = || Held { plain: Box::new(Plain::Stream(Stream::default())), until: Until::Never };
    let is_new = held.is_none();
    let answer = match &mut *held.get_or_insert_with(fresh).plain {
        Plain::Stream(stream) => stream.write(streaming, now),
        _ => WRONG,
    };
    // A stream that is not made by a refused entry.
    if is_new && matches!(answer, Data::Fault(_)) {
        *held = None;
    }
    answer
}

fn ms_since(now: Timestamp, then: Timestamp) -> i64 {
    i64::try_from(now.0.saturating_sub(then.0)).unwrap_or(i64::MAX)
}

fn entry((place, fields): (&Place, &Fields)) -> Data {
    let parts = fields.iter().flat_map(|(field, value)| [or_nil(Some(field)), or_nil(Some(value))]);
    Data::List(vec![Data::place(*place), Data::List(parts.collect())])
}

impl Stream {
    pub fn is_pending(&self, group: &[u8], consumer: &[u8]) -> bool {
        let pending = self.groups.get(group).map(|group| group.pending.values());
        pending.is_some_and(|mut pending| pending.any(|entry| *entry.consumer == *consumer))
    }

    /// Up to where everything that a group was given is acknowledged.
    pub fn floor(&self, group: &[u8]) -> Option<Place> {
        let group = self.groups.get(group)?;
        let Some((first, _)) = group.pending.first_key_value() else { return Some(group.delivered) };
        Some(self.entries.range(..*first).next_back().map_or((0, 0), |(place, _)| *place))
    }

    pub fn latest(&self) -> Place {
        self.latest
    }

    pub fn is_behind(&self, place: Place) -> bool {
        self.entries.last_key_value().is_some_and(|(last, _)| *last > place)
    }

    pub fn read(&self, streaming: &Streaming, now: Timestamp) -> Data {
        match streaming {
            Streaming::Range { from, to, count, descending } => {
                if from > to {
                    return Data::List(Vec::new());
                }
                let range = self.entries.range(*from..=*to);
                let count = size(*count);
                Data::List(if *descending {
                    range.rev().take(count).map(entry).collect()
                } else {
                    range.take(count).map(entry).collect()
                })
            }
            Streaming::Len => int(self.entries.len()),
            Streaming::Groups => Data::List(self.groups.iter().map(Group::tell).collect()),
            Streaming::Pending { group, idle_ms, from, count, consumer } => match self.groups.get(group) {
                None => NO_GROUP,
                Some(group) => group.tell_pending(*idle_ms, *from, *count, consumer.as_ref(), now),
            },
            Streaming::Consumers { group } => match self.groups.get(group) {
                None => NO_GROUP,
                Some(group) => group.tell_consumers(now),
            },
            _ => flag(false),
        }
    }

    fn write(&mut self, streaming: Streaming, now: Timestamp) -> Data {
        match streaming {
            Streaming::Add { fields, place, keep } => self.add(fields, place, keep, now),
            Streaming::Drop(places) => {
                int(places.iter().filter(|place| self.entries.remove(*place).is_some()).count())
            }
            Streaming::GroupMake { group, after } => {
                if self.groups.contains_key(&group) {
                    return Data::Fault(Fault::GroupExists);
                }
                let delivered = after.unwrap_or(self.latest);
                self.groups.insert(group, Group { delivered, ..Group::default() });
                Data::Int(1)
            }
            Streaming::GroupEnd { group } => flag(self.groups.remove(&group).is_some()),
            Streaming::Acknowledge { group, places } => match self.groups.get_mut(&group) {
                None => Data::Int(0),
                Some(group) => {
                    int(places.iter().filter(|place| group.pending.remove(*place).is_some()).count())
                }
            },
            Streaming::GroupRead { group, consumer, count } => match self.groups.get_mut(&group) {
                None => NO_GROUP,
                Some(group) => group.deliver(&self.entries, consumer, size(count), now),
            },
            Streaming::Claim { group, consumer, idle_ms, places } => match self.groups.get_mut(&group) {
                None => NO_GROUP,
                Some(group) => group.claim(&self.entries, &consumer, idle_ms, &places, now),
            },
            Streaming::ConsumerEnd { group, consumer } => match self.groups.get_mut(&group) {
                None => NO_GROUP,
                Some(group) => {
                    let before = group.pending.len();
                    group.pending.retain(|_, entry| entry.consumer != consumer);
                    group.consumers.remove(&consumer);
                    int(before - group.pending.len())
                }
            },
            _ => WRONG,
        }
    }

    fn add(&mut self, fields: Fields, place: Option<Place>, keep: Option<u64>, now: Timestamp) -> Data {
        let next = if now.0 > self.latest.0 { (now.0, 0) } else { (self.latest.0, self.latest.1 + 1) };
        let place = place.unwrap_or(next);
        if place <= self.latest {
            return Data::Fault(Fault::NotBehind);
        }
        self.latest = place;
        self.entries.insert(place, fields);
        while keep.is_some_and(|keep| self.entries.len() > size(keep)) {
            self.entries.pop_first();
        }
        Data::place(place)
    }
}

impl Group {
    fn tell((name, group): (&Bytes, &Self)) -> Data {
        Data::List(vec![or_nil(Some(name)), int(group.pending.len()), Data::place(group.delivered)])
    }

    fn tell_pending(
        &self,
        idle_ms: u64,
        from: Place,
        count: u64,
        consumer: Option<&Bytes>,
        now: Timestamp,
    ) -> Data {
        let wanted = self.pending.range(from..).filter(|(_, entry)| {
            consumer.is_none_or(|consumer| entry.consumer == *consumer)
                && now.0.saturating_sub(entry.since.0) >= idle_ms
        });
        let told = wanted.take(size(count)).map(|(place, entry)| {
            let idle = Data::Int(ms_since(now, entry.since));
            let consumer = or_nil(Some(&entry.consumer));
            Data::List(vec![Data::place(*place), consumer, idle, Data::Int(entry.deliveries)])
        });
        Data::List(told.collect())
    }

    fn tell_consumers(&self, now: Timestamp) -> Data {
        let told = self.consumers.iter().map(|(name, seen)| {
            let pending = self.pending.values().filter(|entry| entry.consumer == *name).count();
            Data::List(vec![or_nil(Some(name)), int(pending), Data::Int(ms_since(now, *seen))])
        });
        Data::List(told.collect())
    }

    fn deliver(
        &mut self,
        entries: &BTreeMap<Place, Fields>,
        consumer: Bytes,
        count: usize,
        now: Timestamp,
    ) -> Data {
        self.consumers.insert(Arc::clone(&consumer), now);
        let fresh = entries.range((Bound::Excluded(self.delivered), Bound::Unbounded)).take(count);
        let mut told = Vec::new();
        for (place, fields) in fresh {
            let pending = Pending { consumer: Arc::clone(&consumer), since: now, deliveries: 1 };
            self.pending.insert(*place, pending);
            self.delivered = *place;
            told.push(entry((place, fields)));
        }
        if told.is_empty() { Data::Nil } else { Data::List(told) }
    }

    fn claim(
        &mut self,
        entries: &BTreeMap<Place, Fields>,
        consumer: &Bytes,
        idle_ms: u64,
        places: &[Place],
        now: Timestamp,
    ) -> Data {
        self.consumers.insert(Arc::clone(consumer), now);
        let mut told = Vec::new();
        for place in places {
            let Some(pending) = self.pending.get_mut(place) else { continue };
            let Some(fields) = entries.get(place) else {
                self.pending.remove(place);
                continue;
            };
            if now.0.saturating_sub(pending.since.0) < idle_ms {
                continue;
            }
            pending.consumer = Arc::clone(consumer);
            pending.since = now;
            pending.deliveries += 1;
            told.push(entry((place, fields)));
        }
        Data::List(told)
    }
}
