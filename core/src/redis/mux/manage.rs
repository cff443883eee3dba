//! What the owner of several connections wants of each.

use std::sync::Arc;

use super::slot::Slot;
use super::waiting::{Waiting, end};
use super::{Access, Mux, Phase, State};
use crate::clock::Timestamp;
use crate::error::{Code, Effect, Error};
use crate::redis::history::History;
use crate::redis::resp::Requests;

impl Mux {
    /// Whether a server has greeted back.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.lock().phase == Phase::Up
    }

    /// What went wrong last, until a connection is made; without secrets.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.lock().last_error.as_ref().map(|error| error.message.clone())
    }

    pub(in crate::redis) fn access(&self) -> &Access {
        &self.access
    }

    /// What the server said of its history since the last time.
    pub(in crate::redis) fn history(&self) -> Option<History> {
        self.lock().history.take()
    }

    /// The connection is of no use any more, though it may stand.
    pub(in crate::redis) fn hang_up(&self) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Up | Phase::Greeting(..)) {
            state.useless = Some("it is no master any more");
        }
    }

    /// Calls that were not sent fail, so that they may go another way.
    pub(in crate::redis) fn surrender(&self) {
        let mut state = self.lock();
        state.requests.clear();
        let queued = std::mem::take(&mut state.queue).into_iter().map(|(waiting, _)| waiting).collect();
        let known = state.last_error.clone();
        end(state, queued, |_| {
            let message = || format!("no connection to {}", self.access.name());
            known.clone().unwrap_or_else(|| Error::unavailable(message(), Effect::NotApplied))
        });
    }

    /// Whether calls wait here, sent or not.
    pub(in crate::redis) fn is_waited_for(&self) -> bool {
        let state = self.lock();
        !state.queue.is_empty() || state.sent.iter().any(Waiting::is_waited_for)
    }

    /// Why the server did not let us in.
    pub(in crate::redis) fn refused(&self) -> Option<Error> {
        self.lock().last_error.clone().filter(|error| error.code == Code::Config)
    }
}

impl State {
    /// With credentials that were refused a moment ago nobody waits for the next try.
    pub(super) fn refused(&self, now: impl Fn() -> Timestamp) -> Option<Error> {
        match self.phase {
            Phase::Down(at) if at > now() => {
                self.last_error.clone().filter(|error| error.code == Code::Config)
            }
            _ => None,
        }
    }

    /// Asks whether the server is there; the answer is for nobody.
    pub(super) fn ping(&mut self) {
        let mut requests = Requests::default();
        requests.request(&[b"PING"]);
        self.requests.extend_from_slice(&requests.bytes);
        let waiting = Waiting::Call(Arc::new(Slot::new(1, false, Timestamp::MAX)));
        self.queue.push((waiting, requests.bytes.len()));
    }
}
