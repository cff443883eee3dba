//! The request log: records that are found by what they say, counts by the hour, how long requests took.
//!
//! Everything lies in one partition, so a record and all that notes it are one step. What belongs to an hour stands under
//! keys of that hour, which go by themselves: records and what they are found by after a day, counts after two. So
//! nothing sweeps, and nothing grows with the log's age.

mod entry;
mod follow;
mod pattern;
mod rebuild;
mod search;
mod stats;

use super::kv::data;
use super::{Call, Stores, invalid};
use crate::clock::Timestamp;
use crate::command::{Bytes, Command, Data, Score};
use crate::error::{Error, Result};
use crate::key::{Key, Name, Partition, Space};
use crate::schema::{Issue, LogEntry, PathItem};
use crate::streaming::Streaming;
use crate::txn::{Effect, Outcome, Query, Txn};

use entry::Logged;

/// Records of an hour by id; what they are found by; those that are told live.
const RECORDS: Space = Space("lr");
const INDEX: Space = Space("li");
const LIVE: Space = Space("ll");
/// Counts of an hour; visitors of a host in an hour; times of a minute.
const COUNTS: Space = Space("ls");
const VISITORS: Space = Space("lv");
const TIMES: Space = Space("lt");

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;
/// How long a record is kept, and how long what was counted.
const RECORDS_MS: u64 = 24 * HOUR_MS;
const COUNTS_MS: u64 = 48 * HOUR_MS;
/// Records that are told live and kept for those who are behind, about.
const LIVE_RECORDS: u64 = 10_000;
/// How much later than now a record may say that it happened: clocks differ.
const AHEAD_MS: u64 = 5 * MINUTE_MS;

const REQUESTS: &str = "requests";
const ERRORS: &str = "errors";

fn partition() -> Partition {
    Partition::of("requestLog")
}

fn bytes(text: &str) -> Bytes {
    text.as_bytes().into()
}

fn hour_of(at: Timestamp) -> u64 {
    at.0 / HOUR_MS
}

fn records_key(hour: u64) -> Key {
    Key::new(RECORDS, hour.to_string())
}

fn index_key(hour: u64, filter: &str) -> Key {
    Key::new(INDEX, format!("{hour}/{filter}"))
}

fn counts_key(hour: u64) -> Key {
    Key::new(COUNTS, hour.to_string())
}

fn visitors_key(hour: u64, host: &str) -> Key {
    Key::new(VISITORS, format!("{hour}/{host}"))
}

fn times_key(minute: u64) -> Key {
    Key::new(TIMES, minute.to_string())
}

fn live_key() -> Key {
    Key::new(LIVE, Name::default())
}

/// When the keys of an hour go.
fn end(hour: u64, kept_ms: u64) -> Command {
    Command::Expire(Timestamp((hour + 1) * HOUR_MS + kept_ms))
}

/// An instant that the schema has looked at.
fn instant(text: Option<&str>) -> Option<Timestamp> {
    text.and_then(Timestamp::parse)
}

impl Stores {
    /// Several commands on the log as one step, in the order of their answers: those that write first.
    async fn on_log(&self, call: Call, commands: Vec<(Key, Command)>) -> Result<Vec<Data>> {
        let records = matches!(commands.first(), Some((key, Command::HashPut(_))) if key.space == RECORDS);
        let mut txn = Txn { deferrable: records, ..Txn::new(partition(), call.deadline) };
        for (key, command) in commands {
            if command.writes() {
                txn.effects.push(Effect::Try { key, command });
            } else {
                txn.queries.push(Query::Ask { key, command });
            }
        }
        let Outcome::Committed(replies) = self.backend.run(txn).await? else {
            return Err(Error::internal("commands without a check were refused"));
        };
        let unless_fault = |data: Data| match data {
            Data::Fault(wrong) => Err(super::kv_answers::fault(wrong)),
            data => Ok(data),
        };
        replies.into_iter().map(|reply| data(Some(reply)).and_then(unless_fault)).collect()
    }

    /// Logs a request: the record, what it is found by, the counts of its hour, its host's visitors, how long it took, and
    /// the live stream. *Atomicity*: one step. *Round trips*: one. While the backend is away it is kept.
    ///
    /// # Errors
    /// `STORAGE_INVALID` for a time that is longer ago than records are kept, or ahead of now.
    pub async fn log_record(&self, call: Call, entry: LogEntry) -> Result<String> {
        let now = self.clock.now();
        let at = instant(entry.at.as_deref()).unwrap_or(now);
        if at > now.plus_ms(AHEAD_MS) || at.plus_ms(RECORDS_MS) <= now {
            let message = "Invalid input: expected a time of the last 24 hours";
            return Err(invalid(vec![Issue::custom(&[PathItem::from("at")], message)]));
        }
        let logged = Logged::new(entry, at, &self.operation());
        let json = logged.json()?;
        let (hour, minute) = (hour_of(at), at.0 / MINUTE_MS);
        let (records, counts, times) = (records_key(hour), counts_key(hour), times_key(minute));
        let visitors = visitors_key(hour, &logged.host);
        let field = vec![(bytes(&logged.id), bytes(&json))];
        let mut done = vec![
            (records.clone(), Command::HashPut(field)),
            (records, end(hour, RECORDS_MS)),
            (counts.clone(), Command::HashIncrease(bytes(REQUESTS), 1)),
        ];
        if logged.is_error() {
            done.push((counts.clone(), Command::HashIncrease(bytes(ERRORS), 1)));
        }
        let bucket = stats::bucket(logged.duration_ms).to_string();
        done.extend([
            (counts, end(hour, COUNTS_MS)),
            (visitors.clone(), Command::SketchAdd(vec![bytes(&logged.ip)])),
            (visitors, end(hour, COUNTS_MS)),
            (times.clone(), Command::HashIncrease(bytes(&bucket), 1)),
            (times, end(hour, COUNTS_MS)),
        ]);
        for filter in logged.filters() {
            let key = index_key(hour, &filter);
            let member = vec![(Score(0.0), bytes(&logged.id))];
            done.extend([(key.clone(), Command::SortedAdd(member)), (key, end(hour, RECORDS_MS))]);
        }
        let fields = vec![(bytes("record"), bytes(&json))];
        let tell = Streaming::Add { fields, place: None, keep: Some(LIVE_RECORDS) };
        done.push((live_key(), Command::Stream(tell)));
        done.push((live_key(), Command::Expire(now.plus_ms(RECORDS_MS))));
        self.on_log(call, done).await?;
        Ok(json)
    }
}
