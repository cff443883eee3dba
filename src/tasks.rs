//! Calls that wait for bytes: polled again when theirs have come.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use flowkeep_core::error::{Error, Result};
use flowkeep_core::operation::Operation;
use flowkeep_core::provenance;
use flowkeep_core::run::Pending;

use crate::guarded;
use crate::latency::Latency;

type Answer = Pending<Result<String>>;

/// A call's place. Its number is the call's ticket, and another call's when this one is done: its waker
/// lives on. A wake that comes late polls that other call once too often, no more.
struct Place {
    waker: Waker,
    call: Option<Call>,
}

enum Call {
    Waits(Operation, Answer),
    /// It came to its end before anybody asked.
    Done(String),
}

/// The calls under way, by ticket.
#[derive(Default)]
pub struct Tasks {
    places: Vec<Place>,
    free: Vec<u32>,
    woken: Arc<Mutex<Vec<u32>>>,
    /// Those of the woken that are finished next: the others may go on meanwhile.
    ready: VecDeque<u32>,
    latency: Latency,
    closed: bool,
}

struct Ticket {
    number: u32,
    woken: Arc<Mutex<Vec<u32>>>,
}

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
    }
}

/// The text of a finished call: its answer, or `!` and an error.
pub fn text(operation: Operation, answer: Result<String>) -> String {
    match answer {
        Ok(text) => provenance::dressed(text, provenance::take()),
        Err(error) => guarded::failed(Some(operation), &error),
    }
}

impl Tasks {
    /// Runs a call as far as it goes: its text if that is to its end, else its ticket.
    pub fn begin(&mut self, operation: Operation, answer: Answer) -> std::result::Result<String, u32> {
        let number = self.free.pop().unwrap_or_else(|| {
            let number = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
            let waker = Waker::from(Arc::new(Ticket { number, woken: Arc::clone(&self.woken) }));
            self.places.push(Place { waker, call: None });
            number
        });
        if let Some(place) = self.places.get_mut(number as usize) {
            place.call = Some(Call::Waits(operation, answer));
        }
        match self.poll(number) {
            Some(text) => Ok(text),
            None => {
                // Who waits for others tells nothing of the server.
                if !operation.waits() {
                    self.latency.begin(number);
                }
                Err(number)
            }
        }
    }

    /// The text of a call that has come to its end.
    fn poll(&mut self, number: u32) -> Option<String> {
        let text = self.advance(number)?;
        self.free.push(number);
        Some(text)
    }

    /// The same; its place is empty then, but not yet another one's.
    fn advance(&mut self, number: u32) -> Option<String> {
        let Place { waker, call } = self.places.get_mut(number as usize)?;
        let (operation, answer) = match call.as_mut()? {
            Call::Waits(operation, answer) => (operation, answer),
            Call::Done(text) => {
                let text = std::mem::take(text);
                *call = None;
                return Some(text);
            }
        };
        let mut context = Context::from_waker(waker);
        let _ = provenance::take();
        let text = match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *answer).poll(&mut context))) {
            Ok(Poll::Pending) => return None,
            Ok(Poll::Ready(answer)) => text(*operation, answer),
            Err(_) => guarded::failed(Some(*operation), &guarded::panicked()),
        };
        *call = None;
        Some(text)
    }

    /// Polls the calls that let others come first, so that what they send leaves with the rest.
    pub fn go_on(&mut self) {
        let mut over = Vec::new();
        loop {
            let woken = {
                let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
                if woken.is_empty() {
                    break;
                }
                std::mem::take(&mut *woken)
            };
            for number in woken {
                if let Some(text) = self.advance(number)
                    && let Some(place) = self.places.get_mut(number as usize)
                {
                    place.call = Some(Call::Done(text));
                    over.push(number);
                }
            }
        }
        if !over.is_empty() {
            self.woken.lock().unwrap_or_else(PoisonError::into_inner).append(&mut over);
        }
    }

    /// Polls the calls whose bytes have come, and gives those that are finished, for as long as `take` has room for
    /// another one; whether there are more.
    pub fn finished(&mut self, mut take: impl FnMut(u32, String) -> bool) -> bool {
        loop {
            if self.ready.is_empty() {
                self.ready.extend(self.woken.lock().unwrap_or_else(PoisonError::into_inner).drain(..));
                if self.ready.is_empty() {
                    return self.closed && self.end_all(take);
                }
            }
            while let Some(number) = self.ready.pop_front() {
                if let Some(text) = self.poll(number) {
                    self.latency.end(number);
                    if !take(number, text) {
                        let woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
                        return !self.ready.is_empty() || !woken.is_empty();
                    }
                }
            }
        }
    }

    /// What waits for others, not for bytes, ends when the storage is closed.
    fn end_all(&mut self, mut take: impl FnMut(u32, String) -> bool) -> bool {
        for (number, place) in (0..).zip(&mut self.places) {
            let text = match place.call.take() {
                Some(Call::Waits(operation, _)) => guarded::failed(Some(operation), &Error::closed()),
                Some(Call::Done(text)) => text,
                None => continue,
            };
            self.free.push(number);
            if !take(number, text) {
                return true;
            }
        }
        false
    }

    /// Gives a call up: what was not sent never will be.
    pub fn abandon(&mut self, number: u32) {
        if let Some(place) = self.places.get_mut(number as usize)
            && place.call.take().is_some()
        {
            self.latency.forget(number);
            self.free.push(number);
        }
    }

    /// From now on nothing waits.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// How long calls took of late.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// Calls under way that follow a feed.
    pub fn subscribers(&self) -> usize {
        let follows = |place: &&Place| matches!(place.call, Some(Call::Waits(Operation::Subscribe, _)));
        self.places.iter().filter(follows).count()
    }

    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}
