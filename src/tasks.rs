//! Calls that wait for bytes: polled again when theirs have come.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use flowkeep_core::error::Result;
use flowkeep_core::operation::Operation;
use hashbrown::HashMap;

use crate::guarded;

type Answer = Pin<Box<dyn Future<Output = Result<String>> + Send>>;

struct Task {
    operation: Operation,
    answer: Answer,
    waker: Waker,
}

/// The calls under way, by ticket.
#[derive(Default)]
pub struct Tasks {
    waiting: HashMap<u32, Task>,
    woken: Arc<Mutex<Vec<u32>>>,
    latest: u32,
}

struct Ticket {
    number: u32,
    woken: Arc<Mutex<Vec<u32>>>,
}

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
    }
}

/// The text of a finished call: its answer, or `!` and an error.
pub fn text(operation: Operation, answer: Result<String>) -> String {
    answer.unwrap_or_else(|error| guarded::failed(Some(operation), &error))
}

impl Tasks {
    /// Runs a call as far as it goes: its text if that is to its end, else its ticket.
    pub fn begin(&mut self, operation: Operation, answer: Answer) -> std::result::Result<String, u32> {
        self.latest = self.latest.wrapping_add(1);
        let number = self.latest;
        let waker = Waker::from(Arc::new(Ticket { number, woken: Arc::clone(&self.woken) }));
        let mut task = Task { operation, answer, waker };
        match poll(&mut task) {
            Poll::Ready(text) => Ok(text),
            Poll::Pending => {
                self.waiting.insert(number, task);
                Err(number)
            }
        }
    }

    /// Polls the calls whose bytes have come, and gives those that are finished.
    pub fn finished(&mut self) -> Vec<(u32, String)> {
        let mut finished = Vec::new();
        loop {
            let woken = std::mem::take(&mut *self.woken.lock().unwrap_or_else(PoisonError::into_inner));
            if woken.is_empty() {
                return finished;
            }
            for number in woken {
                let Some(task) = self.waiting.get_mut(&number) else { continue };
                if let Poll::Ready(text) = poll(task) {
                    self.waiting.remove(&number);
                    finished.push((number, text));
                }
            }
        }
    }

    /// Gives a call up: what was not sent never will be.
    pub fn abandon(&mut self, number: u32) {
        self.waiting.remove(&number);
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

fn poll(task: &mut Task) -> Poll<String> {
    let mut context = Context::from_waker(&task.waker);
    let polled = catch_unwind(AssertUnwindSafe(|| task.answer.as_mut().poll(&mut context)));
    match polled {
        Ok(polled) => polled.map(|answer| text(task.operation, answer)),
        Err(_) => Poll::Ready(guarded::failed(Some(task.operation), &guarded::panicked())),
    }
}
