//! A result that is ready now, or comes later: one code path for memory and for the network.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What [`crate::backend::Backend::run`] gives back. Memory is always ready, at no cost of a task.
pub enum Run<T> {
    Ready(Ready<T>),
    Pending(Pending<T>),
}

/// A result to come.
pub struct Pending<T> {
    future: Pin<Box<dyn Future<Output = T> + Send>>,
    note: Option<Note<T>>,
}

impl<T> Pending<T> {
    /// The result of this future.
    pub fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self { future: Box::pin(future), note: None }
    }
}

/// Looks at a result on its way.
pub type Note<T> = Arc<dyn Fn(&T) + Send + Sync>;

impl<T> Run<T> {
    /// A result that is here already.
    pub fn now(value: T) -> Self {
        Self::Ready(ready(value))
    }

    /// A result that some future brings.
    pub fn later(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self::Pending(Pending::new(future))
    }
}

impl<T: Send + 'static> Run<T> {
    /// The same result, seen by `note` as well. The first who looks on takes no room of its own.
    pub fn noted(self, note: &Note<T>) -> Self {
        match self {
            Self::Ready(ready) => {
                let result = ready.into_inner();
                note(&result);
                Self::now(result)
            }
            Self::Pending(Pending { future, note: None }) => {
                Self::Pending(Pending { future, note: Some(Arc::clone(note)) })
            }
            Self::Pending(pending) => {
                let note = Arc::clone(note);
                Self::later(async move {
                    let result = pending.await;
                    note(&result);
                    result
                })
            }
        }
    }

    /// What `read` makes of the result.
    pub fn map<U: 'static>(self, read: impl FnOnce(T) -> U + Send + 'static) -> Run<U> {
        match self {
            Self::Ready(value) => Run::now(read(value.into_inner())),
            Self::Pending(future) => Run::later(async move { read(future.await) }),
        }
    }
}

impl<T> Future for Run<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match self.get_mut() {
            Self::Ready(value) => Pin::new(value).poll(cx),
            Self::Pending(pending) => Pin::new(pending).poll(cx),
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let polled = self.future.as_mut().poll(cx);
        if let (Poll::Ready(result), Some(note)) = (&polled, &self.note) {
            note(result);
        }
        polled
    }
}

/// Runs a future as far as it goes without waiting. On memory that is to its end.
pub fn poll_now<F: Future + ?Sized>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Note, Run, poll_now};

    #[test]
    fn everyone_who_looks_on_sees_a_result_once() {
        for run in [Run::now(7), Run::later(async { 7 })] {
            let seen = Arc::<AtomicU64>::default();
            let count = Arc::clone(&seen);
            let note: Note<u64> = Arc::new(move |result| _ = count.fetch_add(*result, Ordering::Relaxed));
            assert_eq!(poll_now(pin!(run.noted(&note).noted(&note))), Some(7));
            assert_eq!(seen.load(Ordering::Relaxed), 14);
        }
    }
}
