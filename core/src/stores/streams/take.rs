//! What a consumer of a group does next: what others left behind first, then what is new.

use super::told::{self, Entry, Pending, entries, idle_consumers, list, pendings};
use super::{Blocking, Keys, LOOK_AGAIN_MS, bytes, fault};
use crate::clock::Timestamp;
use crate::command::{Bytes, Command, Data, Fault};
use crate::error::{Error, Result};
use crate::stores::{Call, Stores};
use crate::streaming::{Place, Streaming, place_text};
use crate::txn::{Check, Effect, Txn};

/// Dead letters that are kept, about.
const DEAD_LETTERS: u64 = 10_000;
/// Consumers that one look forgets at the most.
const FORGOTTEN: usize = 16;
/// Between two looks for what others left behind: a part of the time after which it counts as that, within bounds.
const LOOKS_A_CLAIM: u64 = 4;
const LOOK_MS: std::ops::RangeInclusive<u64> = 10..=5_000;
/// Pauses while the backend is away.
const FIRST_PAUSE_MS: u64 = 50;
const LONGEST_PAUSE_MS: u64 = 1_000;

/// Fields that a dead letter has behind its own.
const OF_GROUP: &str = "flowkeep:group";
const OF_ID: &str = "flowkeep:id";
const OF_DELIVERIES: &str = "flowkeep:deliveries";

/// How a consumer takes.
#[derive(Debug)]
pub struct StreamTaking<'a> {
    pub stream: &'a str,
    pub group: &'a str,
    pub consumer: &'a str,
    pub limit: u64,
    /// What was not acknowledged so long after it was given to somebody is given to the next.
    pub claim_after_ms: u64,
    /// Consumers that have nothing and were not seen so long are forgotten.
    pub forget_after_ms: u64,
    /// So often an entry is given until it counts as poison.
    pub most_deliveries: u64,
    /// When it was looked for what others left behind.
    pub looked: Option<Timestamp>,
    pub bytes: bool,
    pub patience_ms: u64,
}

/// An entry that a consumer is to do.
struct Message {
    entry: Entry,
    deliveries: i64,
}

enum Seen {
    Messages(Vec<Message>),
    NoGroup,
}

/// The dead letters as JSON: what they were, and why they are here.
pub(super) fn dead_json(letters: &[Entry], as_bytes: bool) -> String {
    list(letters.iter().map(|letter| {
        let own = |name: &str| {
            let field = letter.fields.iter().rev().find(|(field, _)| **field == *name.as_bytes());
            field.map_or_else(|| "null".to_owned(), |(_, value)| told::value(value, false))
        };
        let kept: Vec<(Bytes, Bytes)> = letter
            .fields
            .iter()
            .filter(|(name, _)| ![OF_GROUP, OF_ID, OF_DELIVERIES].iter().any(|own| *own.as_bytes() == **name))
            .cloned()
            .collect();
        let deliveries = own(OF_DELIVERIES);
        format!(
            "{{\"id\":\"{}\",\"fields\":{},\"group\":{},\"of\":{},\"deliveries\":{}}}",
            place_text(letter.place),
            told::fields_json(&kept, as_bytes),
            own(OF_GROUP),
            own(OF_ID),
            deliveries.trim_matches('"'),
        )
    }))
}

impl StreamTaking<'_> {
    fn keys(&self) -> Keys {
        Keys::of(self.stream)
    }

    fn look_ms(&self) -> u64 {
        (self.claim_after_ms / LOOKS_A_CLAIM).clamp(*LOOK_MS.start(), *LOOK_MS.end())
    }

    fn is_due(&self, looked: Option<Timestamp>, now: Timestamp) -> bool {
        looked.is_none_or(|at| now >= at.plus_ms(self.look_ms()))
    }

    fn page(&self, messages: &[Message], looked: Option<Timestamp>) -> String {
        let message = |message: &Message| {
            let Message { entry, deliveries } = message;
            let (id, fields) = (place_text(entry.place), told::fields_json(&entry.fields, self.bytes));
            format!("{{\"id\":\"{id}\",\"deliveries\":{deliveries},\"fields\":{fields}}}")
        };
        let cursor = looked.map_or_else(|| "null".to_owned(), |at| format!("\"{}\"", at.0));
        format!("{{\"items\":{},\"cursor\":{cursor}}}", list(messages.iter().map(message)))
    }
}

impl Stores {
    /// The next messages of a consumer, or a wait for the first of them: what was given to others and not acknowledged in
    /// time, then what is new. What was given too often goes to the dead letters instead; consumers that are gone are
    /// forgotten; a group that was lost is made anew at its floor, one that never was at the beginning. Trouble that
    /// passes is waited out.
    ///
    /// *Round trips*: one; some more now and then, and two for each second that it waits.
    pub async fn stream_take(&self, how: &StreamTaking<'_>) -> Result<String> {
        let (mut looked, mut pause) = (how.looked, FIRST_PAUSE_MS);
        loop {
            let call = Call { deadline: self.clock.now().plus_ms(how.patience_ms) };
            match self.take_or_wait(call, how, &mut looked).await {
                Ok(messages) if messages.is_empty() => pause = FIRST_PAUSE_MS,
                Ok(messages) => return Ok(how.page(&messages, looked)),
                Err(error) if error.retryable => {
                    self.timers.sleep_ms(pause).await;
                    pause = LONGEST_PAUSE_MS.min(pause * 2);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn take_or_wait(
        &self,
        call: Call,
        how: &StreamTaking<'_>,
        looked: &mut Option<Timestamp>,
    ) -> Result<Vec<Message>> {
        let keys = how.keys();
        match self.take_messages(call, how, looked).await? {
            Seen::Messages(messages) if !messages.is_empty() => return Ok(messages),
            Seen::Messages(_) => {}
            Seen::NoGroup => {
                self.mend_group(call, &keys, how.group).await?;
                return Ok(Vec::new());
            }
        }
        let Some(after) = self.delivered(call, &keys, how.group).await? else { return Ok(Vec::new()) };
        let now = self.clock.now();
        let again = looked.map_or(now, |at| at.plus_ms(how.look_ms())).max(now.plus_ms(1));
        self.backend.wait(keys.wait(after, again.min(now.plus_ms(LOOK_AGAIN_MS)))).await?;
        Ok(Vec::new())
    }

    async fn take_messages(
        &self,
        call: Call,
        how: &StreamTaking<'_>,
        looked: &mut Option<Timestamp>,
    ) -> Result<Seen> {
        let (now, mut messages) = (self.clock.now(), Vec::new());
        if how.is_due(*looked, now) {
            match self.take_over(call, how).await? {
                None => return Ok(Seen::NoGroup),
                Some(left) => messages = left,
            }
            *looked = Some(now);
        }
        let count = how.limit.saturating_sub(messages.len() as u64);
        if count == 0 {
            return Ok(Seen::Messages(messages));
        }
        let (group, consumer) = (bytes(how.group), bytes(how.consumer));
        let read = Command::Stream(Streaming::GroupRead { group, consumer, count });
        let answer = self.on_stream(call, vec![(how.keys().stream, read)]).await;
        let fresh = match answer.map(|mut answers| answers.pop()) {
            // What was taken over is this consumer's now, whatever else fails.
            Err(_) | Ok(Some(Data::Fault(_)) | None) if !messages.is_empty() => Vec::new(),
            Err(error) => return Err(error),
            Ok(None) => return Err(Error::internal("a command was not answered")),
            Ok(Some(Data::Fault(Fault::NoGroup))) => return Ok(Seen::NoGroup),
            Ok(Some(Data::Fault(wrong))) => return Err(fault(wrong, how.group)),
            Ok(Some(data)) => entries(data)?,
        };
        messages.extend(fresh.into_iter().map(|entry| Message { entry, deliveries: 1 }));
        Ok(Seen::Messages(messages))
    }

    /// Makes a lost group anew.
    async fn mend_group(&self, call: Call, keys: &Keys, group: &str) -> Result<()> {
        let mend = Streaming::Mend { group: bytes(group), floors: keys.floors.clone() };
        match self.on_stream(call, vec![(keys.stream.clone(), Command::Stream(mend))]).await?.pop() {
            Some(Data::Fault(Fault::GroupExists)) => Ok(()),
            Some(Data::Fault(wrong)) => Err(fault(wrong, group)),
            _ => Ok(()),
        }
    }

    /// Takes over what was not acknowledged in time; nothing when there is no such group.
    async fn take_over(&self, call: Call, how: &StreamTaking<'_>) -> Result<Option<Vec<Message>>> {
        let (keys, group) = (how.keys(), bytes(how.group));
        let pending = Streaming::Pending {
            group: group.clone(),
            idle_ms: how.claim_after_ms,
            from: (0, 0),
            count: how.limit,
            consumer: None,
        };
        let both = [pending, Streaming::Consumers { group }];
        let ask = both.map(|one| (keys.stream.clone(), Command::Stream(one))).into();
        let told = self.on_stream(call, ask).await?;
        let [pending, consumers] = told.as_slice() else {
            return Err(Error::internal("two questions were not answered by two"));
        };
        match (pending, consumers) {
            (Data::Fault(Fault::NoGroup), _) | (_, Data::Fault(Fault::NoGroup | Fault::NoStream)) => {
                return Ok(None);
            }
            (Data::Fault(wrong), _) | (_, Data::Fault(wrong)) => return Err(fault(*wrong, how.group)),
            _ => {}
        }
        let gone = idle_consumers(consumers, how.forget_after_ms)?;
        for consumer in gone.iter().filter(|name| *name != how.consumer).take(FORGOTTEN) {
            self.stream_leave(call, how.stream, how.group, consumer).await?;
        }
        let left = pendings(pending)?;
        if left.is_empty() {
            return Ok(Some(Vec::new()));
        }
        self.claim_left(call, how, &keys, &left).await.map(Some)
    }

    async fn claim_left(
        &self,
        call: Call,
        how: &StreamTaking<'_>,
        keys: &Keys,
        left: &[Pending],
    ) -> Result<Vec<Message>> {
        let wanted: Vec<Place> = left.iter().map(|one| one.place).collect();
        let claim = Streaming::Claim {
            group: bytes(how.group),
            consumer: bytes(how.consumer),
            idle_ms: how.claim_after_ms,
            places: wanted.clone(),
        };
        let claimed =
            match self.on_stream(call, vec![(keys.stream.clone(), Command::Stream(claim))]).await?.pop() {
                Some(Data::Fault(wrong)) => return Err(fault(wrong, how.group)),
                Some(data) => entries(data)?,
                None => return Err(Error::internal("a command was not answered")),
            };
        let missing = wanted.iter().filter(|place| !claimed.iter().any(|entry| entry.place == **place));
        let missing: Vec<Place> = missing.copied().collect();
        let mut messages = Vec::with_capacity(claimed.len());
        for entry in claimed {
            let before = left.iter().find(|one| one.place == entry.place).map_or(0, |one| one.deliveries);
            if u64::try_from(before).is_ok_and(|before| before >= how.most_deliveries) {
                self.bury(call, how, keys, &entry, before).await?;
            } else {
                messages.push(Message { entry, deliveries: before + 1 });
            }
        }
        self.settle_gone(call, how, keys, &missing).await?;
        Ok(messages)
    }

    /// An entry goes to the dead letters, with what it was. *Atomicity*: one step.
    async fn bury(
        &self,
        call: Call,
        how: &StreamTaking<'_>,
        keys: &Keys,
        entry: &Entry,
        deliveries: i64,
    ) -> Result<()> {
        let mut fields = entry.fields.clone();
        fields.extend([
            (bytes(OF_GROUP), bytes(how.group)),
            (bytes(OF_ID), bytes(&place_text(entry.place))),
            (bytes(OF_DELIVERIES), bytes(&deliveries.to_string())),
        ]);
        let add = Streaming::Add { fields, place: None, keep: Some(DEAD_LETTERS) };
        let settle = Streaming::Settle {
            group: bytes(how.group),
            places: vec![entry.place],
            floors: keys.floors.clone(),
        };
        let both =
            vec![(keys.dead.clone(), Command::Stream(add)), (keys.stream.clone(), Command::Stream(settle))];
        self.on_stream(call, both).await.map(drop)
    }

    /// What is pending but no longer in the stream is done with: some versions of the server keep it pending for ever.
    async fn settle_gone(
        &self,
        call: Call,
        how: &StreamTaking<'_>,
        keys: &Keys,
        missing: &[Place],
    ) -> Result<()> {
        if missing.is_empty() {
            return Ok(());
        }
        let look = |place: &Place| {
            let range = Streaming::Range { from: *place, to: *place, count: 1, descending: false };
            (keys.stream.clone(), Command::Stream(range))
        };
        let found = self.on_stream(call, missing.iter().map(look).collect()).await?;
        let is_gone = |data: &Data| matches!(data, Data::List(entries) if entries.is_empty());
        let gone = missing.iter().zip(&found).filter(|(_, data)| is_gone(data));
        let places: Vec<Place> = gone.map(|(place, _)| *place).collect();
        if places.is_empty() {
            return Ok(());
        }
        let settle = Streaming::Settle { group: bytes(how.group), places, floors: keys.floors.clone() };
        self.on_stream(call, vec![(keys.stream.clone(), Command::Stream(settle))]).await.map(drop)
    }

    /// Forgets a consumer that has nothing pending; false when it has, or is not known. *Atomicity*: looked at and
    /// forgotten in one step. *Round trips*: one.
    pub async fn stream_leave(&self, call: Call, stream: &str, group: &str, consumer: &str) -> Result<bool> {
        let key = Keys::of(stream).stream;
        let mut txn = Txn::new(key.alone(), call.deadline);
        txn.checks.push(Check::Idle { key: key.clone(), group: group.into(), consumer: consumer.into() });
        let end = Streaming::ConsumerEnd { group: bytes(group), consumer: bytes(consumer) };
        txn.effects.push(Effect::Try { key, command: Command::Stream(end) });
        let outcome = self.backend.run(txn).await?;
        Ok(matches!(outcome, crate::txn::Outcome::Committed(_)))
    }
}

impl Blocking {
    /// One look and no wait.
    #[must_use]
    pub fn not(now: Timestamp, patience_ms: u64) -> Self {
        Self { until: Some(now), patience_ms }
    }
}
