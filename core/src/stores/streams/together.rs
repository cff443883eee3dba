//! What several callers do with a stream at the same time, done as one.

use super::told;
use super::{Keys, bytes, fault, places};
use crate::command::{Bytes, Command, Data};
use crate::error::Result;
use crate::run::Run;
use crate::schema::StreamArgs;
use crate::stores::together::Together;
use crate::stores::{Call, Stores};
use crate::streaming::{Place, Streaming};
use crate::txn::{Effect, Txn};

/// An entry that is read, about: so many that few are asked for together when each wants many.
const ENTRY_BYTES: usize = 1_024;
/// A place as text, about.
const PLACE_BYTES: usize = 20;

/// An entry's names and values.
type Fields = Vec<(Bytes, Bytes)>;

/// Calls of one moment.
#[derive(Debug, Default)]
pub(in crate::stores) struct Calls {
    /// By stream and bound.
    adds: Together<Fields, Data>,
    /// By stream, consumer and how many entries are wanted.
    reads: Together<(), Data>,
    /// By stream and group.
    acks: Together<Vec<Place>, Data>,
}

/// What one answer has for each of those who asked: entries in their order, or the same fault.
fn parts(answer: Option<Data>, limit: u64, count: usize) -> Vec<Data> {
    match answer {
        Some(Data::List(all)) => {
            let (mut all, limit) = (all.into_iter(), usize::try_from(limit).unwrap_or(usize::MAX));
            (0..count).map(|_| Data::List(all.by_ref().take(limit).collect())).collect()
        }
        other => vec![other.unwrap_or(Data::Nil); count],
    }
}

impl Stores {
    /// Puts an entry where the stream wants it.
    pub(super) async fn add_together(&self, call: Call, args: &StreamArgs, fields: Fields) -> Result<Data> {
        let (key, keep) = (Keys::of(&args.stream).stream, args.options.max_length);
        let bytes = args.fields.iter().chain(&args.values).map(String::len).sum();
        let what = format!("{keep:?} {}", args.stream);
        let add = |all: Vec<Fields>| {
            let add = |fields| Command::Stream(Streaming::Add { fields, place: None, keep });
            let effect = |fields| Effect::Try { key: key.clone(), command: add(fields) };
            let effects = all.into_iter().map(effect).collect();
            // Where an entry goes is left to the stream, so it may come later.
            self.answers(Txn { effects, deferrable: true, ..Txn::new(key.alone(), call.deadline) })
        };
        match self.together(&self.streams.adds, &what, call, (fields, bytes), add).await? {
            Data::Fault(wrong) => Err(fault(wrong, "")),
            id => Ok(id),
        }
    }

    /// Who reads for the same consumer at the same time gets its part of what one command brings.
    pub(super) async fn read_together(&self, call: Call, args: &StreamArgs) -> Result<Data> {
        let StreamArgs { stream, group, consumer, options, .. } = args;
        let (key, limit) = (Keys::of(stream).stream, options.limit());
        let read = |all: Vec<()>| {
            let (group, consumer) = (bytes(group), bytes(consumer));
            let read =
                Streaming::GroupRead { group, consumer, count: limit.saturating_mul(all.len() as u64) };
            let effects = vec![Effect::Try { key: key.clone(), command: Command::Stream(read) }];
            let answers = self.answers(Txn { effects, ..Txn::new(key.alone(), call.deadline) });
            answers.map(move |answers| Ok(parts(answers?.pop(), limit, all.len())))
        };
        let what = format!("{limit} {}:{stream}{}:{group}{consumer}", stream.len(), group.len());
        let bytes = usize::try_from(limit).unwrap_or(usize::MAX).saturating_mul(ENTRY_BYTES);
        match self.together(&self.streams.reads, &what, call, ((), bytes), read).await? {
            Data::Fault(wrong) => Err(fault(wrong, group)),
            part => Ok(part),
        }
    }

    /// Says that a group is done with entries; how many of them were pending. *Round trips*: one.
    pub async fn stream_ack(&self, call: Call, args: &StreamArgs) -> Result<String> {
        let (ids, keys) = (places(&args.ids)?, Keys::of(&args.stream));
        let weight = ids.len() * PLACE_BYTES;
        let what = format!("{}:{}{}", args.stream.len(), args.stream, args.group);
        let ack = |all| self.ack_all(call, &keys, &bytes(&args.group), all);
        match self.together(&self.streams.acks, &what, call, (ids, weight), ack).await? {
            Data::Fault(wrong) => Err(fault(wrong, &args.group)),
            done => told::int(&done),
        }
    }

    /// Only behind the last one it is noted up to where everything is acknowledged.
    fn ack_all(
        &self,
        call: Call,
        keys: &Keys,
        group: &Bytes,
        mut all: Vec<Vec<Place>>,
    ) -> Run<Result<Vec<Data>>> {
        let (group, floors) = (group.clone(), keys.floors.clone());
        let places = all.pop().unwrap_or_default();
        let before = all.into_iter().map(|places| Streaming::Acknowledge { group: group.clone(), places });
        let last = Streaming::Settle { group: group.clone(), places, floors };
        let effect = |one| Effect::Try { key: keys.stream.clone(), command: Command::Stream(one) };
        let effects = before.chain([last]).map(effect).collect();
        self.answers(Txn { effects, ..Txn::new(keys.stream.alone(), call.deadline) })
    }
}
