//! A connection without I/O of its own: bytes in, bytes out.
//!
//! Whoever owns the socket asks what to send ([`Mux::output`]), hands in what came ([`Mux::feed`]), says
//! when the connection began and ended, and looks in with the time ([`Mux::tick`]). All calls of a tick
//! leave as one write. When to dial, when to give up and what a silence means is decided here.

mod access;
mod slot;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use access::Access;
use slot::{Pending, Slot};

use super::decode::refusal;
use super::encode::SCRIPT;
use super::link::{Call, Link, Replies};
use super::resp::{self, Requests, Value};
use crate::clock::{Clock, Timestamp};
use crate::error::{Code, Effect, Error};
use crate::id::Ids;

/// What the owner of the socket is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    Nothing,
    /// Dial now.
    Connect,
    /// This connection is of no use: destroy it, and say so by [`Mux::disconnected`].
    Drop,
}

/// The first pause between two dials; it doubles up to the longest, with full jitter.
const FIRST_PAUSE_MS: u64 = 50;
const LONGEST_PAUSE_MS: u64 = 1_000;
/// How long dialling and greeting may take together.
const CONNECT_MS: u64 = 2_000;
/// Calls in a row whose deadline passed in silence until the connection counts as dead.
const SILENT_CALLS: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not connected; dial again at this instant.
    Down(Timestamp),
    /// Dialled; waiting for the connection until this instant.
    Dialling(Timestamp),
    /// Connected; so many greeting replies are to come, until this instant.
    Greeting(usize, Timestamp),
    Up,
    Closed,
}

struct State {
    phase: Phase,
    /// Calls that were not sent yet.
    queue: VecDeque<(Arc<Slot>, Requests)>,
    /// Calls that were sent, in the order in which their replies come.
    sent: VecDeque<Arc<Slot>>,
    greeting: Option<Requests>,
    received: Vec<u8>,
    failures: u32,
    silent_calls: u32,
    drop_wanted: bool,
    last_error: Option<Error>,
}

/// One connection's calls. See the module's text for how it is driven.
pub struct Mux {
    state: Mutex<State>,
    access: Access,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl Mux {
    #[must_use]
    pub fn new(access: Access, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        let state = State {
            phase: Phase::Down(Timestamp(0)),
            queue: VecDeque::new(),
            sent: VecDeque::new(),
            greeting: None,
            received: Vec::new(),
            failures: 0,
            silent_calls: 0,
            drop_wanted: false,
            last_error: None,
        };
        Self { state: Mutex::new(state), access, clock, ids }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes to send now; empty while there is nothing to send or no connection.
    pub fn output(&self) -> Vec<u8> {
        let mut state = self.lock();
        if let Some(greeting) = state.greeting.take() {
            return greeting.bytes;
        }
        if state.phase != Phase::Up {
            return Vec::new();
        }
        let State { queue, sent, .. } = &mut *state;
        let mut bytes = Vec::new();
        for (slot, requests) in queue.drain(..) {
            // Nobody waits any more: what was not sent need not be.
            if slot.mark_sent() {
                bytes = if bytes.is_empty() {
                    requests.bytes
                } else {
                    bytes.extend_from_slice(&requests.bytes);
                    bytes
                };
                sent.push_back(slot);
            }
        }
        bytes
    }

    /// The connection is there: the next output greets the server.
    pub fn connected(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Closed {
            return;
        }
        let greeting = self.access.greeting(SCRIPT);
        state.phase = Phase::Greeting(greeting.replies, self.clock.now().plus_ms(CONNECT_MS));
        state.greeting = Some(greeting);
        state.received.clear();
    }

    /// The connection is gone or could not be made. Calls that were sent fail; the others wait for the next one.
    pub fn disconnected(&self, reason: &str) {
        let now = self.clock.now();
        let mut state = self.lock();
        state.greeting = None;
        state.received.clear();
        (state.drop_wanted, state.silent_calls) = (false, 0);
        if state.phase == Phase::Closed {
            return;
        }
        state.failures = if state.phase == Phase::Up { 0 } else { state.failures.saturating_add(1) };
        let pause = (FIRST_PAUSE_MS << state.failures.min(10)).min(LONGEST_PAUSE_MS);
        let jitter = self.ids.random() % pause.max(1);
        state.phase = Phase::Down(if state.failures == 0 { now } else { now.plus_ms(jitter + 1) });
        let permanent = state.last_error.as_ref().is_some_and(|error| error.code == Code::Config);
        if permanent {
            // A wrong password does not become right by asking often.
            state.phase = Phase::Down(now.plus_ms(LONGEST_PAUSE_MS));
        } else {
            let message = format!("no connection to {}: {reason}", self.access.name());
            state.last_error = Some(Error::unavailable(message, Effect::NotApplied));
        }
        let lost: Vec<_> = state.sent.drain(..).collect();
        let name = self.access.name();
        drop(state);
        for slot in lost {
            slot.fail(|effect| {
                Error::unavailable(format!("the connection to {name} was lost: {reason}"), effect)
            });
        }
    }

    /// Bytes came.
    pub fn feed(&self, bytes: &[u8]) {
        let mut state = self.lock();
        let mut received = std::mem::take(&mut state.received);
        received.extend_from_slice(bytes);
        state.silent_calls = 0;
        let mut done = 0;
        let mut answered = Vec::new();
        while !state.drop_wanted {
            match resp::read(received.get(done..).unwrap_or_default()) {
                Ok(Some((value, len))) => {
                    done += len;
                    self.take(&mut state, value, &mut answered);
                }
                Ok(None) => break,
                Err(resp::NotResp) => {
                    state.last_error = Some(Error::unavailable(
                        format!("{} does not speak RESP", self.access.name()),
                        Effect::NotApplied,
                    ));
                    state.drop_wanted = true;
                }
            }
        }
        received.drain(..done);
        state.received = received;
        drop(state);
        for slot in answered {
            slot.wake();
        }
    }

    fn take(&self, state: &mut State, value: Value, answered: &mut Vec<Arc<Slot>>) {
        match state.phase {
            Phase::Greeting(left, until) => {
                if let Value::Error(text) = &value
                    && self.access.is_refused_by(text)
                {
                    self.refuse(state, refusal(text), answered);
                } else if left <= 1 {
                    (state.phase, state.failures, state.last_error) = (Phase::Up, 0, None);
                } else {
                    state.phase = Phase::Greeting(left - 1, until);
                }
            }
            _ => match state.sent.front() {
                Some(slot) => {
                    if slot.add(value)
                        && let Some(slot) = state.sent.pop_front()
                    {
                        answered.push(slot);
                    }
                }
                // A reply that nobody asked for: the next one might reach the wrong caller.
                None => state.drop_wanted = true,
            },
        }
    }

    /// The server does not let us in. With wrong credentials every waiting call fails at once: waiting won't help.
    fn refuse(&self, state: &mut State, error: Error, answered: &mut Vec<Arc<Slot>>) {
        state.drop_wanted = true;
        if error.code == Code::Config {
            let error = Error::new(Code::Config, format!("{} at {}", error.message, self.access.name()));
            for (slot, _) in state.queue.drain(..) {
                slot.settle(Err(error.clone()));
                answered.push(slot);
            }
            state.last_error = Some(error);
        }
    }

    /// Looks at the time: fails the calls whose deadline has passed, and says what the socket's owner is to do.
    pub fn tick(&self) -> Want {
        let now = self.clock.now();
        let mut state = self.lock();
        let mut late = Vec::new();
        state.queue.retain(|(slot, _)| {
            let waits = slot.waits(now);
            if !waits {
                late.push(Arc::clone(slot));
            }
            waits
        });
        let sent_late: Vec<_> =
            state.sent.iter().filter(|slot| !slot.waits(now) && !slot.is_settled()).cloned().collect();
        state.silent_calls = state.silent_calls.saturating_add(u32::from(!sent_late.is_empty()));
        if state.silent_calls >= SILENT_CALLS {
            state.drop_wanted = true;
        }
        let pause = if let Phase::Down(at) = state.phase {
            at.0.saturating_sub(now.0).max(1)
        } else {
            FIRST_PAUSE_MS
        };
        let known = state.last_error.clone();
        let want = self.want(&mut state, now);
        drop(state);
        for slot in late {
            slot.fail(|_| match &known {
                Some(error) if error.retryable => error.clone().retry_after(pause),
                Some(error) => error.clone(),
                None => Error::timeout(Effect::NotApplied),
            });
        }
        for slot in sent_late {
            slot.fail(Error::timeout);
        }
        want
    }

    fn want(&self, state: &mut State, now: Timestamp) -> Want {
        if state.drop_wanted {
            return Want::Drop;
        }
        match state.phase {
            Phase::Down(at) if at <= now && !state.queue.is_empty() => {
                state.phase = Phase::Dialling(now.plus_ms(CONNECT_MS));
                Want::Connect
            }
            Phase::Dialling(until) | Phase::Greeting(_, until) if until <= now => Want::Drop,
            Phase::Closed => Want::Drop,
            _ => Want::Nothing,
        }
    }

    /// Nothing is sent any more; calls that wait fail with `STORAGE_CLOSED`.
    pub fn close(&self) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        let queued: Vec<_> = state.queue.drain(..).map(|(slot, _)| slot).collect();
        let sent: Vec<_> = state.sent.drain(..).collect();
        drop(state);
        for slot in queued.into_iter().chain(sent) {
            slot.fail(|effect| Error { effect, ..Error::closed() });
        }
    }

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
}

impl Link for Mux {
    fn call(&self, call: Call) -> Replies {
        let mut state = self.lock();
        let slot = Arc::new(Slot::new(call.requests.replies, call.writes, call.deadline));
        if state.phase == Phase::Closed {
            slot.settle(Err(Error::closed()));
        } else {
            state.queue.push_back((Arc::clone(&slot), call.requests));
        }
        Box::pin(Pending(slot))
    }
}
