//! A result that is ready now, or comes later: one code path for memory and for the network.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// What [`crate::backend::Backend::run`] gives back. Memory is always ready, at no cost of a task.
pub enum Run<T> {
    Ready(Ready<T>),
    Pending(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<T> Run<T> {
    /// A result that is here already.
    pub fn now(value: T) -> Self {
        Self::Ready(ready(value))
    }

    /// A result that some future brings.
    pub fn later(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self::Pending(Box::pin(future))
    }
}

impl<T: Send + 'static> Run<T> {
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
            Self::Pending(future) => future.as_mut().poll(cx),
        }
    }
}

/// Runs a future as far as it goes without waiting. On memory that is to its end.
pub fn poll_now<F: Future + ?Sized>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
