//! A call's place: where its replies gather and who waits for them.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::clock::Timestamp;
use crate::error::{Effect, Error, Result};
use crate::redis::resp::{Value, Values};

/// One call's replies.
#[derive(Debug)]
pub struct Slot {
    state: Mutex<State>,
    writes: bool,
    deadline: Timestamp,
}

#[derive(Debug)]
struct State {
    missing: usize,
    replies: Values,
    settled: Option<Result<Values>>,
    is_settled: bool,
    sent: bool,
    abandoned: bool,
    waker: Option<Waker>,
}

impl Slot {
    pub fn new(replies: usize, writes: bool, deadline: Timestamp) -> Self {
        let state = State {
            missing: replies,
            replies: Values::new(),
            settled: None,
            is_settled: false,
            sent: false,
            abandoned: false,
            waker: None,
        };
        Self { state: Mutex::new(state), writes, deadline }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks it as sent, unless nobody waits for it any more.
    pub fn mark_sent(&self) -> bool {
        let mut state = self.lock();
        state.sent = !state.abandoned && !state.is_settled;
        state.sent
    }

    /// Takes one reply; true with the last one. Who waits is woken by [`Slot::wake`].
    pub fn add(&self, value: Value) -> bool {
        let mut state = self.lock();
        // That a command of a MULTI was taken is no news; its refusal is.
        if state.missing == 1 || !matches!(value, Value::Status(_)) {
            state.replies.push(value);
        }
        state.missing = state.missing.saturating_sub(1);
        let whole = state.missing == 0;
        if whole && !state.is_settled {
            state.is_settled = true;
            state.settled = Some(Ok(std::mem::take(&mut state.replies)));
        }
        whole
    }

    /// Takes a reply that says nothing, unless it is the last one: then it says something.
    pub fn pass(&self) -> bool {
        let mut state = self.lock();
        let passes = state.missing > 1;
        if passes {
            state.missing -= 1;
        }
        passes
    }

    /// Settles it, if nothing else has.
    pub fn settle(&self, result: Result<Values>) {
        let mut state = self.lock();
        if !state.is_settled {
            state.is_settled = true;
            state.settled = Some(result);
        }
    }

    /// Fails it; the error is told what is known of the effect.
    pub fn fail(&self, error: impl FnOnce(Effect) -> Error) {
        let sent = self.lock().sent;
        self.settle(Err(error(if sent && self.writes { Effect::Unknown } else { Effect::NotApplied })));
        self.wake();
    }

    pub fn wake(&self) {
        let waker = self.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether its deadline is still to come and somebody waits.
    pub fn waits(&self, now: Timestamp) -> bool {
        self.deadline > now && !self.lock().abandoned
    }

    /// Whether its deadline has passed. One that was given up is not late: the server may well be about to answer it.
    pub fn is_late(&self, now: Timestamp) -> bool {
        self.deadline <= now
    }

    pub fn is_settled(&self) -> bool {
        self.lock().is_settled
    }
}

/// Waits for a call's replies. Dropped, it gives the call up: what was not sent never will be.
pub struct Pending(pub(super) Arc<Slot>);

impl Future for Pending {
    type Output = Result<Values>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        match state.settled.take() {
            Some(result) => Poll::Ready(result),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.lock().abandoned = true;
    }
}
