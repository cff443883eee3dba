//! Calls that wait for bytes: polled again when theirs have come.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use flowkeep_core::error::{Error, Result};
use flowkeep_core::id::Id;
use flowkeep_core::operation::Operation;
use flowkeep_core::provenance;
use flowkeep_core::run::{Pending, Run};
use flowkeep_core::storage::Storage;
use flowkeep_core::stores::{Glancing, Glimpse};

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
    /// A read that is answered in place, or has to become a call.
    Glances(Operation, Glancing),
    /// It came to its end before anybody asked.
    Done(String),
}

/// The calls under way, by ticket.
#[derive(Default)]
pub struct Tasks {
    /// Whose records are read.
    storage: Option<Arc<Storage>>,
    places: Vec<Place>,
    free: Vec<u32>,
    woken: Arc<Mutex<Vec<u32>>>,
    /// Those of the woken that are finished next: the others may go on meanwhile.
    ready: VecDeque<u32>,
    latency: Latency,
    closed: bool,
    /// Room for the answer that is given out next.
    room: String,
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

/// Bytes of room that are kept for the next answer.
const ROOM_KEPT: usize = 64 * 1_024;

/// The text of a finished call: its answer, or `!` and an error.
pub fn text(operation: Operation, answer: Result<String>) -> String {
    match answer {
        Ok(text) => provenance::dressed(text, provenance::take()),
        Err(error) => guarded::failed(Some(operation), &error),
    }
}

impl Tasks {
    /// Those of a storage.
    pub fn of(storage: Arc<Storage>) -> Self {
        Self { storage: Some(storage), ..Self::default() }
    }

    /// A place that is free; its number.
    fn place(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            let number = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
            let waker = Waker::from(Arc::new(Ticket { number, woken: Arc::clone(&self.woken) }));
            self.places.push(Place { waker, call: None });
            number
        })
    }

    /// Begins a read of a record as a glance, where that may be. It is not to be abandoned: its answer belongs to its ticket.
    pub fn glance(&mut self, operation: Operation, id: Id, known: Option<&str>) -> Option<u32> {
        let storage = self.storage.clone()?;
        let number = self.place();
        let glancing = self.places.get_mut(number as usize).and_then(|place| {
            let glancing = storage.glance(id, known, (number, &place.waker))?;
            place.call = Some(Call::Glances(operation, glancing));
            Some(())
        });
        match glancing {
            Some(()) => self.latency.begin(number),
            None => self.free.push(number),
        }
        glancing.map(|()| number)
    }

    /// Runs a call as far as it goes: its text if that is to its end, else its ticket.
    pub fn begin(&mut self, operation: Operation, answer: Answer) -> std::result::Result<String, u32> {
        let number = self.place();
        if let Some(place) = self.places.get_mut(number as usize) {
            place.call = Some(Call::Waits(operation, answer));
        }
        let mut text = String::new();
        match self.poll(number, &mut text) {
            true => Ok(text),
            false => {
                // Who waits for others tells nothing of the server.
                if !operation.waits() {
                    self.latency.begin(number);
                }
                Err(number)
            }
        }
    }

    /// Whether a call has come to its end; then this is its text.
    fn poll(&mut self, number: u32, text: &mut String) -> bool {
        let over = self.advance(number, text);
        if over {
            self.free.push(number);
        }
        over
    }

    /// The same; its place is empty then, but not yet another one's.
    fn advance(&mut self, number: u32, out: &mut String) -> bool {
        let Some(Place { waker, call }) = self.places.get_mut(number as usize) else { return false };
        let _ = provenance::take();
        if let (Some(Call::Glances(operation, glancing)), Some(storage)) = (&*call, &self.storage) {
            let (operation, glancing) = (*operation, *glancing);
            out.clear();
            match catch_unwind(AssertUnwindSafe(|| storage.glimpse(&glancing, out))) {
                Ok(Glimpse::Waits) => return false,
                Ok(Glimpse::Told) => {
                    *call = None;
                    return true;
                }
                // What went wrong there may go well on the usual way, where everything is told.
                Ok(Glimpse::Missed) | Err(_) => {
                    let answer = match guarded::run(|| storage.instead(operation, &glancing)) {
                        Run::Ready(answer) => Pending::new(answer),
                        Run::Pending(answer) => answer,
                    };
                    *call = Some(Call::Waits(operation, answer));
                }
            }
        }
        let (operation, answer) = match call {
            Some(Call::Waits(operation, answer)) => (operation, answer),
            Some(Call::Done(text)) => {
                *out = std::mem::take(text);
                *call = None;
                return true;
            }
            Some(Call::Glances(..)) | None => return false,
        };
        let mut context = Context::from_waker(waker);
        *out = match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *answer).poll(&mut context))) {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(answer)) => text(*operation, answer),
            Err(_) => guarded::failed(Some(*operation), &guarded::panicked()),
        };
        *call = None;
        true
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
                let mut text = String::new();
                if self.advance(number, &mut text)
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
    pub fn finished(&mut self, take: impl FnMut(u32, &str) -> bool) -> bool {
        let mut room = std::mem::take(&mut self.room);
        let more = self.finish(take, &mut room);
        self.room = if room.capacity() > ROOM_KEPT { String::new() } else { room };
        more
    }

    fn finish(&mut self, mut take: impl FnMut(u32, &str) -> bool, text: &mut String) -> bool {
        loop {
            if self.ready.is_empty() {
                self.ready.extend(self.woken.lock().unwrap_or_else(PoisonError::into_inner).drain(..));
                if self.ready.is_empty() {
                    return self.closed && self.end_all(take);
                }
            }
            while let Some(number) = self.ready.pop_front() {
                if self.poll(number, text) {
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
    fn end_all(&mut self, mut take: impl FnMut(u32, &str) -> bool) -> bool {
        for (number, place) in (0..).zip(&mut self.places) {
            let text = match place.call.take() {
                Some(Call::Waits(operation, _) | Call::Glances(operation, _)) => {
                    guarded::failed(Some(operation), &Error::closed())
                }
                Some(Call::Done(text)) => text,
                None => continue,
            };
            self.free.push(number);
            if !take(number, &text) {
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
