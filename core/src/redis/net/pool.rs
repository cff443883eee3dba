//! Connections for calls whose answer the server may keep back: each carries one at a time.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::redis::cluster::Place;
use crate::redis::mux::Mux;

/// One connection.
pub(super) struct Lane {
    pub number: u32,
    pub place: Place,
    pub mux: Arc<Mux>,
}

#[derive(Default)]
struct State {
    free: Vec<Arc<Lane>>,
    /// Those that carry a call now.
    busy: usize,
    /// Those that are to be destroyed.
    doomed: Vec<Arc<Lane>>,
    wakers: Vec<Waker>,
}

/// At most so many of them; further calls wait for their turn.
pub(super) struct Pool {
    state: Mutex<State>,
    most: usize,
}

impl Pool {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), most })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to this place for itself, as soon as one is free or may be opened.
    pub async fn take(self: &Arc<Self>, place: &Place, open: impl Fn() -> Arc<Lane>) -> Held {
        poll_fn(|cx| {
            let mut state = self.lock();
            let lane = match state.free.iter().position(|lane| lane.place == *place) {
                Some(at) => state.free.swap_remove(at),
                None if state.busy < self.most => {
                    // One that leads elsewhere makes room.
                    if state.busy + state.free.len() >= self.most
                        && let Some(other) = state.free.pop()
                    {
                        state.doomed.push(other);
                    }
                    open()
                }
                None => {
                    state.wakers.push(cx.waker().clone());
                    return Poll::Pending;
                }
            };
            state.busy += 1;
            Poll::Ready(Held { pool: Arc::clone(self), lane, whole: false })
        })
        .await
    }

    /// Those that carry a call, those that are free, and how many there may be.
    pub fn counts(&self) -> [usize; 3] {
        let state = self.lock();
        [state.busy, state.free.len(), self.most]
    }

    /// The connections to be destroyed, each told once.
    pub fn doomed(&self) -> Vec<Arc<Lane>> {
        std::mem::take(&mut self.lock().doomed)
    }

    /// Those that carry nothing are to be destroyed.
    pub fn empty(&self) {
        let mut state = self.lock();
        let free = std::mem::take(&mut state.free);
        state.doomed.extend(free);
    }
}

/// A connection for one call.
pub(super) struct Held {
    pool: Arc<Pool>,
    pub lane: Arc<Lane>,
    whole: bool,
}

impl Held {
    /// The call was answered: the connection is free for another. One that is dropped without this word is destroyed,
    /// since an answer may still be on its way.
    pub fn is_whole(&mut self) {
        self.whole = true;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.busy = state.busy.saturating_sub(1);
        let lane = Arc::clone(&self.lane);
        if self.whole {
            state.free.push(lane);
        } else {
            state.doomed.push(lane);
        }
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}
