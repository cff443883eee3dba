//! The connection that hears hints: it subscribes to what is wanted, and again after it was lost.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::keys::Keys;
use super::mux::{Access, Want};
use super::resp::{self, Requests, Value};
use crate::clock::{Clock, Timestamp};
use crate::id::Ids;
use crate::key::{PARTITIONS, Partition};
use crate::topic::Topics;

/// Who is to hear, and how their channels are spelled.
#[derive(Clone)]
pub struct Hints {
    pub(super) keys: Keys,
    pub(super) topics: Arc<Topics>,
}

impl Hints {
    /// Takes in a message of a channel.
    pub(super) fn heard(&self, channel: &[u8], payload: &[u8]) {
        if let Some(partition) = self.keys.partition_of(channel) {
            self.topics.hint(partition, &digests_in(payload));
        }
    }

    fn wanted(&self, now: Timestamp) -> BTreeSet<Partition> {
        let mut wanted = BTreeSet::new();
        for partition in self.topics.wanted(now) {
            match partition {
                Some(partition) => wanted.extend([partition]),
                None => wanted.extend((0..PARTITIONS).map(Partition::from_number)),
            }
        }
        wanted
    }
}

/// Appends a hint's text: the digests, in hexadecimal.
pub(super) fn payload(text: &mut String, digests: &[u64]) {
    for (place, digest) in digests.iter().enumerate() {
        text.push_str(if place == 0 { "" } else { "," });
        let _ = write!(text, "{digest:x}");
    }
}

fn digests_in(payload: &[u8]) -> Vec<u64> {
    let text = std::str::from_utf8(payload).unwrap_or_default();
    text.split(',').filter_map(|digest| u64::from_str_radix(digest, 16).ok()).collect()
}

const FIRST_PAUSE_MS: u64 = 50;
const LONGEST_PAUSE_MS: u64 = 1_000;
const CONNECT_MS: u64 = 2_000;
/// Silence after which the server is asked whether it is there, and how long it may take to say so.
const SILENCE_MS: u64 = 1_000;
const PATIENCE_MS: u64 = 800;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Down(Timestamp),
    Dialling(Timestamp),
    Greeting(usize, Timestamp),
    Up,
    Closed,
}

struct State {
    phase: Phase,
    hints: Option<Hints>,
    /// What the server was asked for on this connection.
    subscribed: BTreeSet<Partition>,
    revision: Option<u64>,
    output: Vec<u8>,
    received: Vec<u8>,
    failures: u32,
    drop_wanted: bool,
    /// Of a Cluster's node: the partitions that it has.
    only: Option<BTreeSet<Partition>>,
    /// A subscription was refused or taken away, since its slot is elsewhere.
    elsewhere: bool,
    heard_at: Timestamp,
    asked_at: Option<Timestamp>,
}

/// Driven as [`super::Mux`] is.
pub(super) struct Ear {
    state: Mutex<State>,
    access: Access,
    /// Whether it hears a Cluster's node.
    sharded: bool,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl Ear {
    pub fn new(access: Access, sharded: bool, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        let state = State {
            phase: Phase::Down(Timestamp(0)),
            hints: None,
            subscribed: BTreeSet::new(),
            revision: None,
            output: Vec::new(),
            received: Vec::new(),
            failures: 0,
            drop_wanted: false,
            only: sharded.then(BTreeSet::new),
            elsewhere: false,
            heard_at: Timestamp(0),
            asked_at: None,
        };
        Self { state: Mutex::new(state), access, sharded, clock, ids }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn access(&self) -> &Access {
        &self.access
    }

    pub fn listen(&self, hints: &Hints) {
        self.lock().hints = Some(hints.clone());
    }

    /// The partitions that this node has now.
    pub fn only(&self, partitions: BTreeSet<Partition>) {
        let mut state = self.lock();
        if state.only.as_ref() != Some(&partitions) || state.elsewhere {
            (state.only, state.revision, state.elsewhere) = (Some(partitions), None, false);
        }
    }

    /// Whether it was told that a partition is elsewhere.
    pub fn is_elsewhere(&self) -> bool {
        self.lock().elsewhere
    }

    /// The connection is of no use any more.
    pub fn hang_up(&self) {
        let mut state = self.lock();
        state.drop_wanted = matches!(state.phase, Phase::Up | Phase::Greeting(..));
    }

    pub fn is_up(&self) -> bool {
        self.lock().phase == Phase::Up
    }

    pub fn connected(&self) {
        let now = self.clock.now();
        let mut state = self.lock();
        if state.phase == Phase::Closed {
            return;
        }
        let greeting = self.access.login();
        state.heard_at = now;
        state.asked_at = None;
        state.output = greeting.bytes;
        state.phase = match greeting.replies {
            0 => Phase::Up,
            replies => Phase::Greeting(replies, now.plus_ms(CONNECT_MS)),
        };
        if state.phase == Phase::Up {
            state.failures = 0;
        }
    }

    pub fn disconnected(&self) {
        let now = self.clock.now();
        let mut state = self.lock();
        if state.phase == Phase::Closed {
            return;
        }
        let was_up = state.phase == Phase::Up;
        state.failures = if was_up { 0 } else { state.failures.saturating_add(1) };
        let pause = (FIRST_PAUSE_MS << state.failures.min(10)).min(LONGEST_PAUSE_MS);
        state.phase = Phase::Down(now.plus_ms(if was_up { 0 } else { self.ids.random() % pause + 1 }));
        state.output.clear();
        state.received.clear();
        state.subscribed.clear();
        (state.revision, state.drop_wanted, state.asked_at) = (None, false, None);
    }

    pub fn output(&self) -> Vec<u8> {
        let now = self.clock.now();
        let mut state = self.lock();
        if state.phase == Phase::Up {
            subscribe(&mut state, now, self.sharded);
        }
        std::mem::take(&mut state.output)
    }

    pub fn feed(&self, bytes: &[u8]) {
        let now = self.clock.now();
        let mut state = self.lock();
        (state.heard_at, state.asked_at) = (now, None);
        let mut received = std::mem::take(&mut state.received);
        received.extend_from_slice(bytes);
        let (mut done, mut values) = (0, Vec::new());
        while !state.drop_wanted {
            match resp::read(received.get(done..).unwrap_or_default()) {
                Ok(Some((value, len))) => {
                    done += len;
                    values.extend(take(&mut state, value));
                }
                Ok(None) => break,
                Err(resp::NotResp) => state.drop_wanted = true,
            }
        }
        received.drain(..done);
        state.received = received;
        let Some(hints) = state.hints.clone() else { return };
        drop(state);
        values.into_iter().for_each(|value| push(&hints, value));
    }

    pub fn tick(&self) -> Want {
        let now = self.clock.now();
        let mut state = self.lock();
        if state.drop_wanted || state.phase == Phase::Closed {
            return Want::Drop;
        }
        let wanted = state.hints.as_ref().is_some_and(|hints| hints.topics.is_wanted());
        match state.phase {
            Phase::Down(at) if at <= now && wanted => {
                state.phase = Phase::Dialling(now.plus_ms(CONNECT_MS));
                Want::Connect
            }
            Phase::Dialling(until) | Phase::Greeting(_, until) if until <= now => Want::Drop,
            Phase::Up => heartbeat(&mut state, now),
            _ => Want::Nothing,
        }
    }

    pub fn close(&self) {
        self.lock().phase = Phase::Closed;
    }
}

/// A subscribed connection is silent by nature, so it is asked now and then.
fn heartbeat(state: &mut State, now: Timestamp) -> Want {
    match state.asked_at {
        Some(at) if at.plus_ms(PATIENCE_MS) <= now => return Want::Drop,
        None if state.heard_at.plus_ms(SILENCE_MS) <= now => {
            let mut ping = Requests::default();
            ping.request(&[b"PING"]);
            state.output.extend_from_slice(&ping.bytes);
            state.asked_at = Some(now);
        }
        _ => {}
    }
    Want::Nothing
}

/// Asks for what is wanted and was not asked for, and takes back the rest.
fn subscribe(state: &mut State, now: Timestamp, sharded: bool) {
    let Some(hints) = state.hints.clone() else { return };
    if state.revision == Some(hints.topics.revision()) {
        return;
    }
    let mut wanted = hints.wanted(now);
    if let Some(only) = &state.only {
        wanted.retain(|partition| only.contains(partition));
    }
    state.revision = Some(hints.topics.revision());
    let (begin, end) = if sharded { ("SSUBSCRIBE", "SUNSUBSCRIBE") } else { ("SUBSCRIBE", "UNSUBSCRIBE") };
    let mut requests = Requests::default();
    for (name, partitions) in [
        (begin, wanted.difference(&state.subscribed).collect::<Vec<_>>()),
        (end, state.subscribed.difference(&wanted).collect()),
    ] {
        // The channels of one command must share a slot.
        let size = if sharded { 1 } else { partitions.len().max(1) };
        for some in partitions.chunks(size) {
            requests.begin(1 + some.len()).part(name);
            for partition in some {
                requests.made(|text| hints.keys.channel_into(text, **partition));
            }
        }
    }
    state.output.extend_from_slice(&requests.bytes);
    state.subscribed = wanted;
}

fn take(state: &mut State, value: Value) -> Option<Value> {
    match (state.phase, value) {
        // Not let in: the calls of others say so.
        (Phase::Greeting(..), Value::Error(_)) => state.drop_wanted = true,
        (Phase::Greeting(left, until), _) if left > 1 => state.phase = Phase::Greeting(left - 1, until),
        (Phase::Greeting(..), _) => (state.phase, state.failures) = (Phase::Up, 0),
        (_, Value::Error(text)) if text.starts_with("MOVED") => state.elsewhere = true,
        // Channels that this user may not hear: it stays without hints.
        (_, Value::Error(_)) => {}
        (_, Value::Array(items)) if items.first().and_then(Value::as_text) == Some("sunsubscribe") => {
            let channel = items.get(1).and_then(Value::as_bytes);
            let channel = channel.and_then(|channel| state.hints.as_ref()?.keys.partition_of(channel));
            // By itself only when the slot has left.
            state.elsewhere |= channel.is_some_and(|partition| state.subscribed.remove(&partition));
        }
        (_, value) => return Some(value),
    }
    None
}

/// What the server says by itself: a message, or that it heard a subscription.
fn push(hints: &Hints, value: Value) {
    let Value::Array(items) = value else { return };
    let text = |place: usize| items.get(place).and_then(Value::as_bytes).unwrap_or_default();
    match text(0) {
        b"message" | b"smessage" => hints.heard(text(1), text(2)),
        b"subscribe" | b"ssubscribe" => {
            if let Some(partition) = hints.keys.partition_of(text(1)) {
                hints.topics.missed(Some(partition));
            }
        }
        _ => {}
    }
}
