//! Who waits for something in a key.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use crate::backend::Awaited;
use crate::key::{Key, Partition};

#[derive(Debug)]
struct Waiter {
    number: u64,
    partition: Partition,
    key: Key,
    until: Awaited,
    woken: bool,
    waker: Option<Waker>,
}

/// The waits of one memory. A transaction wakes the waits for the keys that it writes, if what they wait for is there then:
/// those who only look would otherwise wake each other for ever.
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
    pub fn begin(self: &Arc<Self>, partition: Partition, key: Key, until: Awaited) -> Waiting {
        self.count.fetch_add(1, Ordering::SeqCst);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        let number = state.0;
        state.1.push(Waiter { number, partition, key, until, woken: false, waker: None });
        Waiting { waits: Arc::clone(self), number }
    }

    /// Who is to be woken; to be called under the partition's lock as well. `has` says whether something is there.
    pub fn woken(
        &self,
        partition: Partition,
        keys: &[Key],
        has: impl Fn(&Key, Awaited) -> bool,
    ) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for waiter in &mut self.state.lock().unwrap_or_else(PoisonError::into_inner).1 {
            let is_written = waiter.partition == partition && keys.contains(&waiter.key);
            if is_written && has(&waiter.key, waiter.until) {
                waiter.woken = true;
                wakers.extend(waiter.waker.take());
            }
        }
        wakers
    }
}

/// One wait. Dropped, it is forgotten.
pub(super) struct Waiting {
    waits: Arc<Waits>,
    number: u64,
}

impl Waiting {
    /// Until a transaction has written what is waited for.
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
