//! Who waits for something in a key.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use crate::key::{Key, Partition};

#[derive(Debug)]
struct Waiter {
    number: u64,
    partition: Partition,
    key: Key,
    woken: bool,
    waker: Option<Waker>,
}

/// The waits of one memory. A transaction wakes all waits for the keys that it writes.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// How many wait: with none, a transaction has nothing to do here.
    count: AtomicUsize,
    state: Mutex<(u64, Vec<Waiter>)>,
}

impl Waits {
    pub fn any(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Waits from now on; to be called under the partition's lock, so that nothing comes between a look and this.
    pub fn begin(self: &Arc<Self>, partition: Partition, key: Key) -> Waiting {
        self.count.fetch_add(1, Ordering::SeqCst);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        let number = state.0;
        state.1.push(Waiter { number, partition, key, woken: false, waker: None });
        Waiting { waits: Arc::clone(self), number }
    }

    pub fn wake(&self, partition: Partition, keys: &[Key]) {
        let mut wakers = Vec::new();
        for waiter in &mut self.state.lock().unwrap_or_else(PoisonError::into_inner).1 {
            if waiter.partition == partition && keys.contains(&waiter.key) {
                waiter.woken = true;
                wakers.extend(waiter.waker.take());
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// One wait. Dropped, it is forgotten.
pub(super) struct Waiting {
    waits: Arc<Waits>,
    number: u64,
}

impl Waiting {
    /// Until a transaction has written to the key.
    pub async fn written(self) {
        poll_fn(|cx| {
            let mut state = self.waits.state.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(waiter) = state.1.iter_mut().find(|waiter| waiter.number == self.number) else {
                return Poll::Ready(());
            };
            if waiter.woken {
                return Poll::Ready(());
            }
            waiter.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.waits.count.fetch_sub(1, Ordering::SeqCst);
        let mut state = self.waits.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1.retain(|waiter| waiter.number != self.number);
    }
}
