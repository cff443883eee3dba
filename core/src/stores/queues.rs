//! Queues: lines of JSON values, which other programs can read and write as a plain list.
//!
//! Whoever takes an item holds a lease of it. Until it is settled the item is not gone: it comes back when its lease is
//! over. So an answer that nobody hears any more loses nothing.

use std::convert::identity;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::plain::{int, json};
use super::together::{MOST, Together};
use super::{Call, Stores};
use crate::backend::{Awaited, Wait};
use crate::clock::Timestamp;
use crate::command::{Bytes, Command, Data, Line};
use crate::error::{Code, Detail, Effect, Error, Result};
use crate::key::{Key, Name, Space};
use crate::run::Run;
use crate::schema::Json;
use crate::txn::{self, Txn};

const QUEUE: Space = Space("queue:");
/// How often an item is lent until it counts as poison.
const POISON: u64 = 5;
/// A waiter looks again this often: a lease may have ended, or the queue been closed, which no push tells.
const LOOK_AGAIN_MS: u64 = 1_000;

/// How an item is taken.
#[derive(Debug, Clone, Copy)]
pub struct Taking {
    pub lease_ms: u64,
    /// Until when to wait for one; `None`: until the call is given up.
    pub until: Option<Timestamp>,
    /// How long one question may take.
    pub patience_ms: u64,
}

/// What came of taking.
#[derive(Debug)]
pub enum Taken {
    /// The item's JSON, the name of its lease, and how often it was lent with this time.
    Item { lease: Name, times: i64, json: String },
    /// Nothing in time.
    Nothing,
    /// Nothing, and nothing will come: the queue is closed.
    Closed,
}

/// What is asked about leases.
#[derive(Debug, Default)]
pub(super) struct Leases {
    puts: Together<Bytes, Data>,
    takes: Together<Name, [Data; 2]>,
    settles: Together<Name, Data>,
    strays: Strays,
}

/// Leases whose answer nobody heard, by queue.
#[derive(Debug, Default)]
struct Strays(Mutex<Vec<(String, Name)>>);

impl Strays {
    fn lock(&self) -> MutexGuard<'_, Vec<(String, Name)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lease that was asked for. Dropped before it was heard of, it is a stray.
struct Asked<'a> {
    strays: &'a Strays,
    queue: &'a str,
    lease: Option<Name>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.strays.lock().push((self.queue.to_owned(), lease));
        }
    }
}

impl Stores {
    async fn line(&self, call: Call, queue: &str, line: Line) -> Result<Data> {
        self.command(call, Key::new(QUEUE, queue), Command::Line(line)).await
    }

    /// Does one thing for several calls; `parts` takes the list of what it answers apart.
    fn line_for_many<T: Send + 'static>(
        &self,
        call: Call,
        queue: &str,
        line: Line,
        parts: fn(Vec<Data>) -> Vec<T>,
    ) -> Run<Result<Vec<T>>> {
        let key = Key::new(QUEUE, queue);
        let effects = vec![txn::Effect::Do { key: key.clone(), command: Command::Line(line) }];
        let answers = self.answers(Txn { effects, ..Txn::new(key.alone(), call.deadline) });
        answers.map(move |answers| match answers?.pop() {
            Some(Data::List(all)) => Ok(parts(all)),
            _ => Err(no_item()),
        })
    }

    /// Puts an item at the end of a queue; gives the number of those that wait now. *Round trips*: one. While the backend is
    /// away it is kept, unless it has a bound, and gives the number of those that are kept here.
    ///
    /// # Errors
    /// `STORAGE_CAPACITY` when so many as `most` wait already, `STORAGE_CONFLICT` when the queue is closed.
    pub async fn queue_push(&self, call: Call, queue: &str, item: &Json, most: Option<u64>) -> Result<i64> {
        let put = |texts: Vec<Bytes>| {
            let key = Key::new(QUEUE, queue);
            let put =
                |text| txn::Effect::Do { key: key.clone(), command: Command::Line(Line::Put { text, most }) };
            let effects = texts.into_iter().map(put).collect();
            self.answers(Txn { effects, deferrable: most.is_none(), ..Txn::new(key.alone(), call.deadline) })
        };
        let (what, text) = (format!("{most:?} {queue}"), item.text().as_bytes());
        let length = self.together(&self.queues.puts, &what, call, (text.into(), text.len()), put).await?;
        match int(&length)? {
            0 => {
                let detail = Detail { limit: most, ..Detail::default() };
                Err(Error::new(Code::Capacity, "the queue is full").with(detail))
            }
            -1 => Err(Error::new(Code::Conflict, "the queue is closed")),
            length => Ok(length),
        }
    }

    /// Takes the first item, or waits for one. *Round trips*: one, and two for each second that it waits.
    ///
    /// Given up at any moment it loses nothing: what it took and nobody heard of is given back by
    /// [`Stores::queue_strays`], or comes back by itself when its lease is over.
    ///
    /// # Errors
    /// `STORAGE_CORRUPT` for an item that is no JSON: it is among the dead ones then.
    pub async fn queue_take(&self, queue: &str, how: Taking) -> Result<Taken> {
        loop {
            let call = Call { deadline: self.clock.now().plus_ms(how.patience_ms) };
            let left = match self.take_once(call, queue, how.lease_ms).await? {
                Ok(item) => return Ok(item),
                Err(-2) => return Ok(Taken::Closed),
                Err(left) => u64::try_from(left).unwrap_or(LOOK_AGAIN_MS),
            };
            let now = self.clock.now();
            if how.until.is_some_and(|until| until <= now) {
                return Ok(Taken::Nothing);
            }
            let again = now.plus_ms(left.clamp(1, LOOK_AGAIN_MS));
            let deadline = how.until.map_or(again, |until| until.min(again));
            let key = Key::new(QUEUE, queue);
            let wait = Wait { partition: key.alone(), key, until: Awaited::Items, deadline };
            if let Err(error) = self.backend.wait(wait).await
                && !error.retryable
            {
                return Err(error);
            }
        }
    }

    /// An item, or how long until one that is lent comes back, as [`Line::Take`] says it.
    async fn take_once(&self, call: Call, queue: &str, ms: u64) -> Result<std::result::Result<Taken, i64>> {
        let lease = Name::from(format!("{}{}", self.ids.operation(), self.ids.operation()));
        let mut asked = Asked { strays: &self.queues.strays, queue, lease: Some(lease.clone()) };
        let take = |leases| {
            let line = Line::Take { leases, ms, limit: POISON };
            self.line_for_many(call, queue, line, pairs)
        };
        // Whose times differ have groups of their own.
        let what = format!("{ms} {queue}");
        let answer = self.together(&self.queues.takes, &what, call, (lease.clone(), lease.len()), take).await;
        if !matches!(&answer, Err(error) if error.effect == Effect::Unknown) {
            asked.lease = None;
        }
        match answer? {
            [Data::Nil, Data::Int(left)] => Ok(Err(left)),
            [Data::Bytes(bytes), Data::Int(times)] => match json(&bytes) {
                Some(text) => Ok(Ok(Taken::Item { lease, times, json: text.to_owned() })),
                None => {
                    self.line(call, queue, Line::Bury { lease }).await?;
                    Err(Error::corrupt(queue, "an item is no JSON; it is a dead letter now"))
                }
            },
            _ => Err(no_item()),
        }
    }

    /// Removes an item that was taken; false when its lease was over. *Round trips*: one.
    pub async fn queue_settle(&self, call: Call, queue: &str, lease: &str) -> Result<bool> {
        let settle = |leases| self.line_for_many(call, queue, Line::Settle { leases }, identity);
        let was =
            self.together(&self.queues.settles, queue, call, (lease.into(), lease.len()), settle).await?;
        int(&was).map(|was| was == 1)
    }

    /// Removes items that were taken; it is sent before whatever is asked of the queue next. *Round trips*: one.
    pub async fn queue_settle_all(&self, call: Call, queue: &str, leases: Vec<String>) -> Result<()> {
        let settle = |leases: &[String]| {
            let leases = leases.iter().map(|lease| lease.as_str().into()).collect();
            (Key::new(QUEUE, queue), Command::Line(Line::Settle { leases }))
        };
        self.commands(call, leases.chunks(MOST).map(settle).collect()).await.map(drop)
    }

    /// Gives an item back to the front of its queue, at once or after a while, or to the dead ones when this was its
    /// last time; false when its lease was over. *Round trips*: one.
    pub async fn queue_give_back(
        &self,
        call: Call,
        queue: &str,
        lease: &str,
        delay_ms: Option<u64>,
    ) -> Result<bool> {
        let lease = lease.into();
        let line = match delay_ms {
            None => Line::GiveBack { lease, counts: true, limit: POISON },
            Some(ms) => Line::Extend { lease, ms },
        };
        self.line(call, queue, line).await.and_then(|data| int(&data)).map(|was| was == 1)
    }

    /// Holds an item for so long from now; false when its lease was over. *Round trips*: one.
    pub async fn queue_extend(&self, call: Call, queue: &str, lease: &str, ms: u64) -> Result<bool> {
        let line = Line::Extend { lease: lease.into(), ms };
        self.line(call, queue, line).await.and_then(|data| int(&data)).map(|was| was == 1)
    }

    /// How many items wait, are lent, are dead. *Round trips*: one.
    pub async fn queue_count(&self, call: Call, queue: &str) -> Result<[i64; 3]> {
        match self.line(call, queue, Line::Count).await? {
            Data::List(counts) => match counts.as_slice() {
                [Data::Int(waiting), Data::Int(lent), Data::Int(dead)] => Ok([*waiting, *lent, *dead]),
                _ => Err(no_item()),
            },
            _ => Err(no_item()),
        }
    }

    /// Closes a queue, or opens it again; false when it was so already. What waits in it can still be taken.
    /// *Round trips*: one.
    pub async fn queue_close(&self, call: Call, queue: &str, closed: bool) -> Result<bool> {
        let line = Line::Close { closed };
        self.line(call, queue, line).await.and_then(|data| int(&data)).map(|was| was == 1)
    }

    /// The dead ones, the oldest first: the JSON of each, nothing for what is none. *Round trips*: one.
    pub async fn queue_dead(&self, call: Call, queue: &str, limit: u64) -> Result<Vec<Option<String>>> {
        let Data::List(items) = self.line(call, queue, Line::Dead { skip: 0, limit }).await? else {
            return Err(no_item());
        };
        let text = |item: &Data| match item {
            Data::Bytes(bytes) => json(bytes).map(str::to_owned),
            _ => None,
        };
        Ok(items.iter().map(text).collect())
    }

    /// Puts the oldest dead ones to the end of their queue, as if they were new; gives their number. *Round trips*: one.
    pub async fn queue_requeue(&self, call: Call, queue: &str, count: u64) -> Result<i64> {
        int(&self.line(call, queue, Line::Revive { count }).await?)
    }

    /// Gives back what was taken and not heard of; gives the number of those that had been. *Round trips*: one for each.
    pub async fn queue_strays(&self, call: Call) -> Result<u64> {
        let mut found = 0;
        loop {
            let Some((queue, lease)) = self.queues.strays.lock().pop() else { return Ok(found) };
            let mut asked = Asked { strays: &self.queues.strays, queue: &queue, lease: Some(lease.clone()) };
            let line = Line::GiveBack { lease, counts: false, limit: POISON };
            found += u64::from(int(&self.line(call, &queue, line).await?)? == 1);
            asked.lease = None;
        }
    }
}

/// What waits for each lease, or for how long to wait, and a number that says more.
fn pairs(all: Vec<Data>) -> Vec<[Data; 2]> {
    let mut all = all.into_iter();
    std::iter::from_fn(|| Some([all.next()?, all.next()?])).collect()
}

fn no_item() -> Error {
    Error::internal("a line answered something else")
}
