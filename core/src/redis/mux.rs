//! A connection without I/O of its own: bytes in, bytes out.
//!
//! Whoever owns the socket asks what to send ([`Mux::output`]), hands in what came ([`Mux::feed`]), says
//! when the connection began and ended, and looks in with the time ([`Mux::tick`]). All calls of a tick
//! leave as one write. When to dial, when to give up and what a silence means is decided here.

mod access;
mod glances;
mod heartbeat;
mod manage;
mod slot;
mod waiting;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use access::Access;
use glances::Glances;
pub use glances::Look;
use heartbeat::{Beat, Heartbeat};
pub(super) use slot::Pending;
use slot::Slot;
use waiting::{Waiting, end, keep};

use super::decode::refusal;
use super::history::History;
use super::link::{Call, Replies};
use super::resp::{self, Requests, Value};
use super::{encode, record};
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

/// What is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// So many bytes, written where there was room for them.
    Written(usize),
    /// These.
    Whole(Vec<u8>),
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
    /// Calls that were not sent yet, each with the length of its requests.
    queue: Vec<(Waiting, usize)>,
    /// The requests of these calls, one behind the other.
    requests: Vec<u8>,
    /// Calls that were sent, in the order in which their replies come.
    sent: VecDeque<Waiting>,
    glances: Glances,
    greeting: Option<Requests>,
    received: Vec<u8>,
    failures: u32,
    silent_calls: u32,
    /// Why this connection is of no use.
    useless: Option<&'static str>,
    last_error: Option<Error>,
    heartbeat: Heartbeat,
    /// What the server said of its history, until somebody asks.
    history: Option<History>,
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
            queue: Vec::new(),
            requests: Vec::new(),
            sent: VecDeque::new(),
            glances: Glances::default(),
            greeting: None,
            received: Vec::new(),
            failures: 0,
            silent_calls: 0,
            useless: None,
            last_error: None,
            heartbeat: Heartbeat::default(),
            history: None,
        };
        Self { state: Mutex::new(state), access, clock, ids }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes to send now; none while there is nothing to send or no connection.
    ///
    /// What fits is written into `room`: then the answer is its length. What does not comes as it is.
    pub fn output(&self, room: &mut [u8]) -> Output {
        let mut state = self.lock();
        if let Some(greeting) = state.greeting.take() {
            return Output::Whole(greeting.bytes);
        }
        if state.phase != Phase::Up || state.queue.is_empty() {
            return Output::Written(0);
        }
        let State { queue, sent, requests, .. } = &mut *state;
        // Nobody waits any more: what was not sent need not be.
        keep(queue, requests, |waiting| waiting.mark_sent());
        sent.extend(queue.drain(..).map(|(waiting, _)| waiting));
        match room.get_mut(..requests.len()) {
            Some(room) => {
                room.copy_from_slice(requests);
                requests.clear();
                Output::Written(room.len())
            }
            None => Output::Whole(std::mem::take(requests)),
        }
    }

    /// The connection is there: the next output greets the server.
    pub fn connected(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Closed {
            return;
        }
        let greeting = self.access.greeting(&[encode::SCRIPT, record::SCRIPT]);
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
        let reason = state.useless.take().unwrap_or(reason);
        state.silent_calls = 0;
        state.heartbeat.heard();
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
        let lost = state.sent.drain(..).collect();
        let name = self.access.name();
        end(state, lost, |effect| {
            Error::unavailable(format!("the connection to {name} was lost: {reason}"), effect)
        });
    }

    /// Bytes came. How many calls were under way: to answer half of them at a time keeps the server at work meanwhile.
    pub fn feed(&self, bytes: &[u8]) -> usize {
        let mut state = self.lock();
        let under_way = state.sent.len();
        // What came before and is not whole yet is put in front; nearly always there is no such thing, and nothing is copied.
        let mut received = std::mem::take(&mut state.received);
        let bytes = if received.is_empty() {
            bytes
        } else {
            received.extend_from_slice(bytes);
            &received
        };
        state.silent_calls = 0;
        state.heartbeat.heard();
        let mut done = 0;
        let mut answered = Vec::new();
        while state.useless.is_none() {
            let rest = bytes.get(done..).unwrap_or_default();
            // Most replies to a MULTI say nothing else; there are always some behind them.
            match state.sent.front() {
                Some(Waiting::Call(slot)) if rest.starts_with(resp::QUEUED) && slot.pass() => {
                    done += resp::QUEUED.len();
                    continue;
                }
                Some(Waiting::Glance(..)) => {
                    if let Some((pair, len)) = resp::pair(rest) {
                        done += len;
                        state.saw(&pair, &mut answered);
                        continue;
                    }
                }
                _ => {}
            }
            match resp::read(rest) {
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
                    state.useless = Some("it does not speak RESP");
                }
            }
        }
        let rest = bytes.get(done..).unwrap_or_default();
        state.received = if rest.len() == received.len() { received } else { rest.to_vec() };
        drop(state);
        answered.into_iter().for_each(Waiting::wake);
        under_way
    }

    fn take(&self, state: &mut State, value: Value, answered: &mut Vec<Waiting>) {
        match state.phase {
            Phase::Greeting(left, until) => {
                if self.access.is_no_master(&value) {
                    let message = format!("{} is none: it changes its role", self.access.name());
                    state.last_error = Some(Error::unavailable(message, Effect::NotApplied));
                    state.useless = Some("it is no master");
                } else if let Value::Error(text) = &value
                    && self.access.is_refused_by(text)
                {
                    self.refuse(state, refusal(text), answered);
                } else {
                    state.history = History::read(&value).or(state.history.take());
                    state.phase = Phase::Greeting(left.saturating_sub(1), until);
                }
                if matches!(state.phase, Phase::Greeting(0, _)) {
                    (state.phase, state.failures, state.last_error) = (Phase::Up, 0, None);
                }
            }
            _ => match state.sent.front() {
                Some(Waiting::Call(slot)) if !slot.add(value) => {}
                Some(_) => state.pop(answered),
                // A reply that nobody asked for: the next one might reach the wrong caller.
                None => state.useless = Some("it answered what nobody asked"),
            },
        }
    }

    /// The server does not let us in. With wrong credentials every waiting call fails at once: waiting won't help.
    fn refuse(&self, state: &mut State, error: Error, answered: &mut Vec<Waiting>) {
        state.useless = Some("it does not serve us");
        if error.code == Code::Config {
            let error = Error::new(Code::Config, format!("{} at {}", error.message, self.access.name()));
            state.requests.clear();
            for (waiting, _) in std::mem::take(&mut state.queue) {
                match &waiting {
                    Waiting::Call(slot) => slot.settle(Err(error.clone())),
                    Waiting::Glance(..) => state.miss(&waiting),
                }
                answered.push(waiting);
            }
            state.last_error = Some(error);
        }
    }

    /// Looks at the time: fails the calls whose deadline has passed, and says what the socket's owner is to do.
    pub fn tick(&self) -> Want {
        let now = self.clock.now();
        let mut state = self.lock();
        let mut late = Vec::new();
        let State { queue, requests, .. } = &mut *state;
        keep(queue, requests, |waiting| {
            let waits = waiting.waits(now);
            if !waits {
                late.push(waiting.share());
            }
            waits
        });
        let passed = state.sent.iter_mut().filter(|waiting| waiting.is_late(now));
        let sent_late: Vec<_> = passed.map(Waiting::share).collect();
        state.silent_calls = state.silent_calls.saturating_add(u32::from(!sent_late.is_empty()));
        if state.silent_calls >= SILENT_CALLS {
            state.useless = Some("it does not answer");
        }
        let waits = state.phase == Phase::Up && !state.sent.is_empty();
        match state.heartbeat.look(now, waits) {
            Beat::None => {}
            Beat::Ping => state.ping(),
            Beat::Dead => state.useless = Some("it is silent"),
        }
        let pause = if let Phase::Down(at) = state.phase {
            at.0.saturating_sub(now.0).max(1)
        } else {
            FIRST_PAUSE_MS
        };
        let known = state.last_error.clone();
        let want = self.want(&mut state, now);
        end(state, late, |_| match &known {
            Some(error) if error.retryable => error.clone().retry_after(pause),
            Some(error) => error.clone(),
            None => Error::timeout(Effect::NotApplied),
        });
        end(self.lock(), sent_late, Error::timeout);
        want
    }

    fn want(&self, state: &mut State, now: Timestamp) -> Want {
        if state.useless.is_some() {
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
        state.requests = Vec::new();
        let queued = std::mem::take(&mut state.queue).into_iter().map(|(waiting, _)| waiting);
        let all = queued.chain(std::mem::take(&mut state.sent)).collect();
        end(state, all, |effect| Error { effect, ..Error::closed() });
    }
}

impl Mux {
    /// Takes a call in. Its replies come together, or an error by its deadline.
    pub fn call(&self, call: Call<'_>) -> Replies {
        let mut state = self.lock();
        if call.blocking {
            state.heartbeat.never();
        }
        let slot = Arc::new(Slot::new(call.requests.replies, call.writes, call.deadline));
        if state.phase == Phase::Closed {
            slot.settle(Err(Error::closed()));
        } else if let Some(error) = state.refused(|| self.clock.now()) {
            slot.settle(Err(error));
        } else {
            state.requests.extend_from_slice(&call.requests.bytes);
            state.queue.push((Waiting::Call(Arc::clone(&slot)), call.requests.bytes.len()));
        }
        Replies::of(Pending(slot))
    }
}
