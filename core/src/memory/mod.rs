//! The backend in this process: a lock per partition, everything ready at once but what waits.

mod commands;
mod fields;
mod line;
mod plain;
mod shelf;
mod standing;
mod value;
mod waits;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::backend::{Backend, Info, Wait};
use crate::clock::{Clock, Timestamp};
use crate::command::{Command, Data, Server};
use crate::error::Result;
use crate::key::{Key, PARTITIONS};
use crate::run::Run;
use crate::timer::{Timers, unless};
use crate::topic::{Subscription, Topic, Topics, digests};
use crate::txn::{Effect, Few, Outcome, Query, Reply, Txn};

use shelf::Shelf;
pub use standing::Standing;
use waits::Waits;

/// Keeps everything in this process; nothing outlives it.
///
/// *Atomicity*: one lock per partition, held for one transaction. *Expiry*: a key that is due is gone for
/// every transaction from that millisecond on; its memory is freed by later transactions of its
/// partition, at most [`shelf::SWEEP`] keys by each.
pub struct Memory {
    shelves: Box<[Mutex<Shelf>]>,
    clock: Arc<dyn Clock>,
    timers: Arc<Timers>,
    waits: Arc<Waits>,
    topics: Arc<Topics>,
    standing: Arc<Standing>,
}

impl Memory {
    /// Waits end at their deadline only if somebody calls [`Timers::tick`] of [`Memory::timers`].
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let timers = Timers::new(Arc::clone(&clock));
        Self::with_timers(clock, timers)
    }

    /// One whose waits end by these timers.
    #[must_use]
    pub fn with_timers(clock: Arc<dyn Clock>, timers: Arc<Timers>) -> Self {
        let shelves = (0..PARTITIONS).map(|_| Mutex::default()).collect();
        Self {
            shelves,
            clock,
            timers,
            waits: Arc::default(),
            topics: Arc::default(),
            standing: Arc::default(),
        }
    }

    /// What ends its waits.
    #[must_use]
    pub fn timers(&self) -> Arc<Timers> {
        Arc::clone(&self.timers)
    }

    /// What answers stand on, kept up to date by every transaction.
    #[must_use]
    pub fn standing(&self) -> Arc<Standing> {
        Arc::clone(&self.standing)
    }

    /// How many keys are held, those that are due but not yet swept included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shelves.iter().map(|shelf| lock(shelf).len()).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Questions about all partitions. Names are told a partition's at a time, so a cursor is a partition's number.
    fn server(&self, server: &Server, now: Timestamp) -> Data {
        match server {
            Server::Ping => Data::Int(1),
            Server::Size => Data::Int(i64::try_from(self.len()).unwrap_or(i64::MAX)),
            Server::Info => Data::text("# Server\r\nserver:memory\r\n"),
            Server::Names { space, cursor, count, .. } => {
                let from =
                    std::str::from_utf8(cursor).ok().and_then(|text| text.parse().ok()).unwrap_or(0_usize);
                let (mut names, mut next) = (Vec::new(), from);
                for shelf in self.shelves.iter().skip(from) {
                    next += 1;
                    lock(shelf).names(*space, now, |name| names.push(Data::text(name)));
                    if names.len() as u64 >= *count {
                        break;
                    }
                }
                let next = if next >= self.shelves.len() { 0 } else { next };
                Data::List(vec![Data::text(&next.to_string()), Data::List(names)])
            }
        }
    }
}

/// A panic inside a transaction is a bug of ours; what it left is still the truth.
fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Backend for Memory {
    fn run(&self, txn: Txn) -> Run<Result<Outcome>> {
        let now = self.clock.now();
        if let [Query::Ask { command: Command::Server(server), .. }] = txn.queries.as_slice() {
            return Run::now(Ok(Outcome::Committed([Reply::Data(self.server(server, now))].into())));
        }
        let Some(shelf) = self.shelves.get(usize::from(txn.partition.number())) else {
            return Run::now(Ok(Outcome::Committed(Few::new())));
        };
        let (partition, writes) = (txn.partition, !txn.is_read());
        let mut shelf = lock(shelf);
        if !self.waits.any() && !self.topics.is_wanted() {
            let outcome = shelf.run(txn, now);
            self.standing.looked(partition, writes, &shelf);
            return Run::now(outcome);
        }
        let (keys, digests) = (written(&txn.effects), digests(&txn.effects));
        let outcome = shelf.run(txn, now);
        self.standing.looked(partition, writes, &shelf);
        if let Ok(Outcome::Committed(_)) = outcome {
            let woken = self.waits.woken(partition, &keys, |key, until| shelf.has(key, until, now));
            drop(shelf);
            woken.into_iter().for_each(Waker::wake);
            self.topics.hint(partition, &digests);
        }
        Run::now(outcome)
    }

    fn wait(&self, wait: Wait) -> Run<Result<bool>> {
        let Wait { partition, key, until, deadline } = wait;
        let Some(shelf) = self.shelves.get(usize::from(partition.number())) else {
            return Run::now(Ok(false));
        };
        let shelf = lock(shelf);
        if shelf.has(&key, until, self.clock.now()) {
            return Run::now(Ok(true));
        }
        let waiting = self.waits.begin(partition, key, until);
        let end = self.timers.sleep_until(deadline);
        Run::later(async move { Ok(unless(end, waiting.written()).await.is_some()) })
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.topics.subscribe(&topic, |_| true)
    }

    fn info(&self) -> Info {
        Info { kind: "memory", immediate: true }
    }
}

/// The keys that effects write to.
fn written(effects: &[Effect]) -> Vec<Key> {
    let mut keys = Vec::with_capacity(effects.len());
    for effect in effects {
        match effect {
            Effect::Append { key, feed, .. } => keys.extend([key.clone(), feed.key.clone()]),
            Effect::Open { key, .. }
            | Effect::Put { key, .. }
            | Effect::Drop { key, .. }
            | Effect::Delete { key }
            | Effect::Slide { key, .. }
            | Effect::Hold { key, .. }
            | Effect::Add { key, .. }
            | Effect::Lower { key, .. }
            | Effect::Remove { key, .. }
            | Effect::Trim { key, .. }
            | Effect::TrimFeed { key, .. }
            | Effect::Strike { key, .. } => keys.push(key.clone()),
            Effect::Do { key, command } | Effect::Try { key, command } if command.writes() => {
                keys.push(key.clone())
            }
            Effect::Do { .. } | Effect::Try { .. } => {}
            Effect::Move { key, to, .. } => keys.extend([key.clone(), to.clone()]),
            Effect::Announce { feed, .. } => keys.push(feed.key.clone()),
        }
    }
    keys
}
