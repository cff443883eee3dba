//! Streams: entries in order, which other programs can read and write, and groups of consumers that share them.
//!
//! Beside a stream stand the floors of its groups: up to where everything that a group was given is acknowledged. A group
//! that is lost is made anew there, so that nothing that was not acknowledged is passed over. What was acknowledged behind
//! something that was not is then given once more.

mod take;
mod together;
mod told;

pub use take::StreamTaking;
pub(super) use together::Calls;

use super::kv::data;
use super::marked::unmark;
use super::{Call, Stores, invalid};
use crate::backend::{Awaited, Wait};
use crate::clock::Timestamp;
use crate::command::{Bytes, Command, Data, Fault};
use crate::error::{Error, Result};
use crate::key::{Key, Space};
use crate::schema::{Issue, PathItem, StreamArgs};
use crate::streaming::{LAST_PLACE, Place, Streaming, read_place};
use crate::txn::{Effect, Outcome, Position, Query, Txn};

use told::{entries, groups, list, pendings};

const STREAM: Space = Space("stream:");
const FLOORS: Space = Space("stream:floors");
const DEAD: Space = Space("stream:dead");

/// A waiter looks again this often: a group may have been lost, which no entry tells.
const LOOK_AGAIN_MS: u64 = 1_000;

/// A stream and what stands beside it.
pub(super) struct Keys {
    pub stream: Key,
    pub floors: Key,
    pub dead: Key,
}

impl Keys {
    pub fn of(name: &str) -> Self {
        let stream = Key::new(STREAM, name);
        Self { floors: stream.beside(FLOORS), dead: stream.beside(DEAD), stream }
    }

    fn wait(&self, (ms, number): Place, deadline: Timestamp) -> Wait {
        let until = Awaited::Entries { after: Position(ms, number) };
        Wait { partition: self.stream.alone(), key: self.stream.clone(), until, deadline }
    }
}

pub(super) fn bytes(text: &str) -> Bytes {
    text.as_bytes().into()
}

/// The error of a command that a stream does not take.
pub(super) fn fault(fault: Fault, group: &str) -> Error {
    match fault {
        Fault::NoGroup => Error::not_found("group of the stream", group),
        other => super::kv_answers::fault(other),
    }
}

/// The place that an argument names.
fn place(text: &str, path: &[PathItem]) -> Result<Place> {
    let wrong = || invalid(vec![Issue::custom(path, "Invalid id: expected <milliseconds>-<number>")]);
    read_place(text).ok_or_else(wrong)
}

fn places(texts: &[String]) -> Result<Vec<Place>> {
    let one = |(at, text): (usize, &String)| place(text, &[PathItem::from("ids"), PathItem::from(at)]);
    texts.iter().enumerate().map(one).collect()
}

fn option(name: &str) -> [PathItem; 2] {
    [PathItem::from("options"), PathItem::from(name)]
}

/// The first place behind another one.
fn behind((ms, number): Place) -> Place {
    number.checked_add(1).map_or_else(|| (ms.saturating_add(1), 0), |number| (ms, number))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the schema bounds it")]
fn whole_ms(seconds: Option<f64>) -> u64 {
    seconds.map_or(0, |seconds| (seconds * 1000.0).ceil() as u64)
}

/// Until when to look, and how long each look may take.
#[derive(Debug, Clone, Copy)]
pub struct Blocking {
    /// `None`: until the call is given up.
    pub until: Option<Timestamp>,
    pub patience_ms: u64,
}

impl Stores {
    /// Several commands on a stream and what stands beside it, as one step; a fault is an answer. *Round trips*: one.
    pub(super) async fn on_stream(&self, call: Call, commands: Vec<(Key, Command)>) -> Result<Vec<Data>> {
        let Some((first, _)) = commands.first() else { return Ok(Vec::new()) };
        let mut txn = Txn::new(first.alone(), call.deadline);
        for (key, command) in commands {
            if command.writes() {
                txn.effects.push(Effect::Try { key, command });
            } else {
                txn.queries.push(Query::Ask { key, command });
            }
        }
        match self.backend.run(txn).await? {
            Outcome::Committed(replies) => replies.into_iter().map(|reply| data(Some(reply))).collect(),
            Outcome::Refused(..) => Err(Error::internal("commands without a check were refused")),
        }
    }

    async fn stream_one(&self, call: Call, args: &StreamArgs, streaming: Streaming) -> Result<Data> {
        let key = Keys::of(&args.stream).stream;
        match self.on_stream(call, vec![(key, Command::Stream(streaming))]).await?.pop() {
            Some(Data::Fault(wrong)) => Err(fault(wrong, &args.group)),
            Some(data) => Ok(data),
            None => Err(Error::internal("a command was not answered")),
        }
    }

    /// Puts an entry at the end; gives its id. *Round trips*: one. While the backend is away it is kept, unless it names its
    /// id, and the id is provisional.
    ///
    /// # Errors
    /// `STORAGE_CONFLICT` for an id that is not behind the latest one.
    pub async fn stream_add(&self, call: Call, args: &StreamArgs) -> Result<String> {
        let at = args.options.id.as_deref().map(|id| place(id, &option("id"))).transpose()?;
        let value = |(name, value): (&String, &String)| Ok((bytes(name), unmark(value)?));
        let fields = args.fields.iter().zip(&args.values).map(value).collect::<Result<_>>()?;
        if at.is_none() {
            return told::text(&self.add_together(call, args, fields).await?);
        }
        let add = Streaming::Add { fields, place: at, keep: args.options.max_length };
        told::text(&self.stream_one(call, args, add).await?)
    }

    /// Entries behind a place, or a wait for the first of them. *Round trips*: one, and two for each second that it waits.
    pub async fn stream_read(&self, args: &StreamArgs, how: Blocking) -> Result<String> {
        let call = Call { deadline: self.clock.now().plus_ms(how.patience_ms) };
        let after = match args.options.after.as_deref() {
            None | Some("start") => (0, 0),
            Some("end") => {
                let newest = Streaming::Range { from: (0, 0), to: LAST_PLACE, count: 1, descending: true };
                let newest = entries(self.stream_one(call, args, newest).await?)?;
                newest.first().map_or((0, 0), |entry| entry.place)
            }
            Some(text) => place(text, &option("after"))?,
        };
        let count = args.options.limit();
        loop {
            let call = Call { deadline: self.clock.now().plus_ms(how.patience_ms) };
            let range = Streaming::Range { from: behind(after), to: LAST_PLACE, count, descending: false };
            let found = entries(self.stream_one(call, args, range).await?)?;
            if !found.is_empty() || !self.stream_wait(args, after, how).await? {
                return Ok(told::json(&found, args.options.bytes));
            }
        }
    }

    /// Entries that no consumer of a group has got, or a wait for the first of them. *Round trips*: as for a read.
    pub async fn stream_read_group(&self, args: &StreamArgs, how: Blocking) -> Result<String> {
        loop {
            let call = Call { deadline: self.clock.now().plus_ms(how.patience_ms) };
            let found = entries(self.read_together(call, args).await?)?;
            if !found.is_empty() || how.until.is_some_and(|until| until <= self.clock.now()) {
                return Ok(told::json(&found, args.options.bytes));
            }
            let keys = Keys::of(&args.stream);
            let after = self.delivered(call, &keys, &args.group).await?;
            let after = after.ok_or_else(|| fault(Fault::NoGroup, &args.group))?;
            if !self.stream_wait(args, after, how).await? {
                return Ok("[]".to_owned());
            }
        }
    }

    /// Waits for an entry behind a place, a while; false when the time is over.
    async fn stream_wait(&self, args: &StreamArgs, after: Place, how: Blocking) -> Result<bool> {
        let now = self.clock.now();
        if how.until.is_some_and(|until| until <= now) {
            return Ok(false);
        }
        let again = now.plus_ms(LOOK_AGAIN_MS);
        let deadline = how.until.map_or(again, |until| until.min(again));
        match self.backend.wait(Keys::of(&args.stream).wait(after, deadline)).await {
            Err(error) if !error.retryable => Err(error),
            _ => Ok(true),
        }
    }

    /// The place behind which a group was given nothing. *Round trips*: one.
    pub(super) async fn delivered(&self, call: Call, keys: &Keys, group: &str) -> Result<Option<Place>> {
        let ask = vec![(keys.stream.clone(), Command::Stream(Streaming::Groups))];
        match self.on_stream(call, ask).await?.pop() {
            Some(Data::Fault(Fault::NoStream)) => Ok(None),
            Some(Data::Fault(wrong)) => Err(fault(wrong, group)),
            Some(told) => {
                Ok(groups(&told)?.into_iter().find(|one| one.name == group).map(|one| one.delivered))
            }
            None => Err(Error::internal("a command was not answered")),
        }
    }

    /// How many entries there are. *Round trips*: one.
    pub async fn stream_length(&self, call: Call, args: &StreamArgs) -> Result<String> {
        told::int(&self.stream_one(call, args, Streaming::Len).await?)
    }

    /// Removes a stream with its groups and its dead letters; whether there was one. *Round trips*: one.
    pub async fn stream_delete(&self, call: Call, args: &StreamArgs) -> Result<String> {
        let Keys { stream, floors, dead } = Keys::of(&args.stream);
        let all = [stream, floors, dead].into_iter().map(|key| (key, Command::Delete)).collect();
        let was = self.on_stream(call, all).await?.into_iter().next();
        Ok((was == Some(Data::Int(1))).to_string())
    }

    /// Makes a group, and its stream if need be; false when there is such a group. *Round trips*: one.
    pub async fn stream_create_group(&self, call: Call, args: &StreamArgs) -> Result<String> {
        let after = match args.options.after.as_deref() {
            None | Some("end") => None,
            Some("start") => Some((0, 0)),
            Some(text) => Some(place(text, &option("after"))?),
        };
        let (keys, group) = (Keys::of(&args.stream), bytes(&args.group));
        let make = Streaming::GroupMake { group: group.clone(), after };
        // It is made anew where it began, not at the beginning, if it is lost before anything is acknowledged.
        let note = Streaming::Settle { group, places: Vec::new(), floors: keys.floors };
        let both = [make, note].map(|one| (keys.stream.clone(), Command::Stream(one)));
        match self.on_stream(call, both.into()).await?.into_iter().next() {
            Some(Data::Fault(Fault::GroupExists)) => Ok("false".to_owned()),
            Some(Data::Fault(wrong)) => Err(fault(wrong, &args.group)),
            _ => Ok("true".to_owned()),
        }
    }

    /// Removes a group with all that it remembers; whether there was one. *Round trips*: one.
    pub async fn stream_delete_group(&self, call: Call, args: &StreamArgs) -> Result<String> {
        let (keys, group) = (Keys::of(&args.stream), bytes(&args.group));
        let end = Command::Stream(Streaming::GroupEnd { group: group.clone() });
        let both = vec![(keys.stream, end), (keys.floors, Command::HashDrop(vec![group]))];
        match self.on_stream(call, both).await?.into_iter().next() {
            Some(Data::Fault(Fault::NoStream)) => Ok("false".to_owned()),
            Some(Data::Fault(wrong)) => Err(fault(wrong, &args.group)),
            was => Ok((was == Some(Data::Int(1))).to_string()),
        }
    }

    /// The groups of a stream by name. *Round trips*: one.
    pub async fn stream_groups(&self, call: Call, args: &StreamArgs) -> Result<String> {
        let key = Keys::of(&args.stream).stream;
        match self.on_stream(call, vec![(key, Command::Stream(Streaming::Groups))]).await?.pop() {
            Some(Data::Fault(Fault::NoStream)) | None => Ok("[]".to_owned()),
            Some(Data::Fault(wrong)) => Err(fault(wrong, "")),
            Some(told) => Ok(list(groups(&told)?.iter().map(told::group_json))),
        }
    }

    /// What a group was given and did not acknowledge, by id. *Round trips*: one.
    pub async fn stream_pending(&self, call: Call, args: &StreamArgs) -> Result<String> {
        let options = &args.options;
        let from = match options.after.as_deref() {
            None | Some("start") => (0, 0),
            Some(text) => behind(place(text, &option("after"))?),
        };
        let pending = Streaming::Pending {
            group: bytes(&args.group),
            idle_ms: whole_ms(options.idle_seconds),
            from,
            count: options.limit(),
            consumer: options.consumer.as_deref().map(bytes),
        };
        let told = self.stream_one(call, args, pending).await?;
        Ok(list(pendings(&told)?.iter().map(told::pending_json)))
    }

    /// Takes entries over that have been pending so long; gives those that it got. *Round trips*: one.
    pub async fn stream_claim(&self, call: Call, args: &StreamArgs) -> Result<String> {
        let claim = Streaming::Claim {
            group: bytes(&args.group),
            consumer: bytes(&args.consumer),
            idle_ms: whole_ms(args.options.idle_seconds),
            places: places(&args.ids)?,
        };
        let found = entries(self.stream_one(call, args, claim).await?)?;
        Ok(told::json(&found, args.options.bytes))
    }

    /// The dead letters, the oldest first. *Round trips*: one.
    pub async fn stream_dead(&self, call: Call, args: &StreamArgs) -> Result<String> {
        let from = match args.options.after.as_deref() {
            None | Some("start") => (0, 0),
            Some(text) => behind(place(text, &option("after"))?),
        };
        let count = args.options.limit();
        let range = Streaming::Range { from, to: LAST_PLACE, count, descending: false };
        let key = Keys::of(&args.stream).dead;
        match self.on_stream(call, vec![(key, Command::Stream(range))]).await?.pop() {
            Some(Data::Fault(wrong)) => Err(fault(wrong, "")),
            Some(told) => Ok(take::dead_json(&entries(told)?, args.options.bytes)),
            None => Err(Error::internal("a command was not answered")),
        }
    }
}
