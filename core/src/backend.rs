//! What runs transactions.

use std::task::Waker;

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::key::{Key, Name, Partition};
use crate::run::Run;
use crate::topic::{Subscription, Topic};
use crate::txn::{Outcome, Position, Txn, Until};

/// Runs transactions: memory, Redis, or a layer over another backend.
///
/// *Atomicity*: a transaction is applied wholly or not at all, and no other one of its partition is seen
/// half-way. *Errors*: an error means that the outcome could not be learned; its `effect` says whether
/// something may have been applied. A refusal is not an error.
pub trait Backend: Send + Sync {
    fn run(&self, txn: Txn) -> Run<Result<Outcome>>;

    /// The same for who may run it again: a failure gives the transaction back. A backend whose runs can fail at any
    /// time does so without a copy on the way there.
    fn attempt(&self, txn: Txn) -> Run<std::result::Result<Outcome, Box<Failed>>> {
        let copy = txn.clone();
        let failed = |error| Box::new(Failed { error, txn: copy });
        match self.run(txn) {
            Run::Ready(ready) => Run::now(ready.into_inner().map_err(failed)),
            Run::Pending(pending) => Run::later(async move { pending.await.map_err(failed) }),
        }
    }

    /// Asks for one field of a record in the cheapest way there is, for a caller that takes the answer where it lies, by [`Backend::look`].
    /// False where that can't be done now: then a transaction asks, as it does for all that a glance missed.
    ///
    /// It changes nothing and tells nothing of the backend's being there: trouble is what transactions meet.
    fn glance(&self, _: &Glance<'_>) -> bool {
        false
    }

    /// What the glance of this ticket came to, once its waker was woken. What it saw is told once.
    fn look(&self, _ticket: u32, see: &mut dyn FnMut(Sight<'_>)) {
        see(Sight::Missed);
    }

    /// Waits until there is something to take: true as soon as there may be, false when the deadline passed before.
    ///
    /// It takes nothing, so giving it up, at any moment and in any way, loses nothing. Who is woken runs the
    /// transaction that takes, and waits again if another was faster: run, wait, run, wait. What came between the two
    /// is seen by the wait at once. *Round trips*: one, on a connection of its own. *Errors*: when the server could not
    /// be asked at the deadline; before it, the wait goes on by itself once the server is back.
    fn wait(&self, wait: Wait) -> Run<Result<bool>>;

    /// Listens to hints: see [`Topic`]. One connection carries all subscriptions, and they come back by themselves after
    /// it was lost, with a wake that says so.
    fn subscribe(&self, topic: Topic) -> Subscription;

    /// What this backend is.
    fn info(&self) -> Info;
}

/// A glance at one field of a record.
#[derive(Debug, Clone, Copy)]
pub struct Glance<'a> {
    pub partition: Partition,
    pub key: &'a Key,
    pub field: &'a Name,
    /// By then it was answered, or it is missed.
    pub deadline: Timestamp,
    /// What it is known by, among those that are under way.
    pub ticket: u32,
    /// Woken when there is something to be seen.
    pub waker: &'a Waker,
}

/// What a glance came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight<'a> {
    /// Nothing yet.
    Waits,
    /// It was not answered, or not as expected: a transaction is to ask.
    Missed,
    /// What is there by now.
    Field { until: Until, text: Option<&'a str> },
}

/// A wait for something to take.
#[derive(Debug, Clone)]
pub struct Wait {
    pub partition: Partition,
    pub key: Key,
    pub until: Awaited,
    /// When the caller stops waiting.
    pub deadline: Timestamp,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// Items in a list.
    Items,
    /// Entries of a feed or a stream behind this position.
    Entries { after: Position },
}

/// A transaction that could not be answered, and why.
#[derive(Debug)]
pub struct Failed {
    pub error: Error,
    pub txn: Txn,
}

/// Facts about a backend that do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// `memory` or `redis`.
    pub kind: &'static str,
    /// Every run is ready at once, so reading first costs no round trip.
    pub immediate: bool,
}
