//! What carries requests to a server and replies back.

use std::future::{Future, ready};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::ear::Hints;
use super::mux::{Look, Pending};
use super::resp::{Requests, Values};
use crate::clock::Timestamp;
use crate::error::Result;

/// Replies to come.
pub struct Replies(Kind);

enum Kind {
    /// Those of one connection, as nearly always: they need no room but its own.
    Of(Pending),
    Later(Pin<Box<dyn Future<Output = Result<Values>> + Send>>),
}

impl Replies {
    /// What one connection answers.
    pub(super) fn of(pending: Pending) -> Self {
        Self(Kind::Of(pending))
    }

    /// Replies that some future brings.
    pub fn later(future: impl Future<Output = Result<Values>> + Send + 'static) -> Self {
        Self(Kind::Later(Box::pin(future)))
    }

    /// Replies that are here already.
    pub(super) fn now(replies: Result<Values>) -> Self {
        Self::later(ready(replies))
    }
}

impl Future for Replies {
    type Output = Result<Values>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            Kind::Of(pending) => Pin::new(pending).poll(cx),
            Kind::Later(future) => future.as_mut().poll(cx),
        }
    }
}

/// What is to be carried.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub requests: &'a Requests,
    /// Whether it changes something: then a lost answer means an unknown outcome.
    pub writes: bool,
    pub deadline: Timestamp,
    /// The server may keep its answer back: it goes by a connection of its own, where it keeps nobody waiting. Given up,
    /// that connection is destroyed, so a late answer reaches nobody.
    pub blocking: bool,
    /// The place that a node of a Cluster named for this once, where `ASKING` opens the door.
    pub asked: Option<&'a str>,
}

/// A question that is answered by one list of two texts, which stay where they were read to until [`Link::look`] takes them.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub requests: &'a Requests,
    pub deadline: Timestamp,
    /// What it is known by.
    pub ticket: u32,
    /// Woken when there is something to be looked at.
    pub waker: &'a Waker,
}

/// Carries calls to a server; those that do not block by one connection, in order.
///
/// The replies of a call come together, or an error by its deadline. *Errors*: `STORAGE_UNAVAILABLE` and
/// `STORAGE_TIMEOUT`, whose effect is known to be none for a call that was never sent.
pub trait Link: Send + Sync {
    fn call(&self, call: Call<'_>) -> Replies;

    /// Asks, if that can be done at once by one connection; false where it has to be a call.
    fn glance(&self, _: &Asked<'_>) -> bool {
        false
    }

    /// What a glance came to; told once.
    fn look(&self, _ticket: u32, see: &mut dyn FnMut(Look<'_>)) {
        see(Look::Missed);
    }

    /// What time it is.
    fn now(&self) -> Timestamp;

    /// Ready at this instant.
    fn sleep_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// A server refused a call by these words: they may tell that another one is to be asked.
    fn heed(&self, refusal: &str);

    /// From now on, hints that come from the server are given to these; once is enough. A link that can't hear gives none.
    fn listen(&self, hints: &Hints);

    /// Whether the hints of this link's listening have begun.
    fn hears(&self) -> bool;

    /// Whether hints stay with the node that has their partition.
    fn is_sharded(&self) -> bool;
}
