//! Waiting for an instant without a thread: what sleeps is woken by whoever looks at the time.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::clock::{Clock, Timestamp};

/// The sleepers of one storage. Its owner calls [`Timers::tick`] often enough; a sleeper wakes that late.
pub struct Timers {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sleeping: BTreeMap<(Timestamp, u64), Waker>,
    latest: u64,
}

impl Timers {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready from this instant on.
    #[must_use]
    pub fn sleep_until(self: &Arc<Self>, at: Timestamp) -> Sleep {
        Sleep { timers: Arc::clone(self), at, place: None }
    }

    /// Ready after so many ms.
    #[must_use]
    pub fn sleep_ms(self: &Arc<Self>, ms: u64) -> Sleep {
        self.sleep_until(self.clock.now().plus_ms(ms))
    }

    /// Wakes everybody whose instant has come.
    pub fn tick(&self) {
        let now = self.clock.now();
        let due = {
            let mut state = self.lock();
            let later = state.sleeping.split_off(&(now.plus_ms(1), 0));
            std::mem::replace(&mut state.sleeping, later)
        };
        due.into_values().for_each(Waker::wake);
    }
}

/// See [`Timers::sleep_until`]. Dropped, it is forgotten.
pub struct Sleep {
    timers: Arc<Timers>,
    at: Timestamp,
    place: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.timers.clock.now() >= self.at {
            return Poll::Ready(());
        }
        let timers = Arc::clone(&self.timers);
        let mut state = timers.lock();
        let place = *self.place.get_or_insert_with(|| {
            state.latest += 1;
            state.latest
        });
        state.sleeping.insert((self.at, place), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.timers.lock().sleeping.remove(&(self.at, place));
        }
    }
}

/// What `work` gives, unless `end` comes first: then nothing, and `work` is dropped.
pub async fn unless<T>(end: impl Future<Output = ()>, work: impl Future<Output = T>) -> Option<T> {
    let (mut end, mut work) = (pin!(end), pin!(work));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => end.as_mut().poll(cx).map(|()| None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Timers, unless};
    use crate::clock::{Clock, Timestamp};
    use crate::run::poll_now;

    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::SeqCst))
        }
    }

    #[test]
    fn sleepers_wake_at_their_instant_and_are_forgotten_when_dropped() {
        let clock = Arc::new(Hand(AtomicU64::new(10)));
        let timers = Timers::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let mut early = Box::pin(timers.sleep_ms(5));
        let mut late = Box::pin(timers.sleep_until(Timestamp(30)));
        assert!(poll_now(early.as_mut()).is_none() && poll_now(late.as_mut()).is_none());
        assert_eq!(timers.lock().sleeping.len(), 2);
        clock.0.store(15, Ordering::SeqCst);
        timers.tick();
        assert_eq!(timers.lock().sleeping.len(), 1, "only the one that is due was woken");
        assert!(poll_now(early.as_mut()).is_some() && poll_now(late.as_mut()).is_none());
        drop(late);
        assert!(timers.lock().sleeping.is_empty());
    }

    #[test]
    fn work_ends_at_its_end() {
        let clock = Arc::new(Hand(AtomicU64::new(0)));
        let timers = Timers::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let mut limited = pin!(unless(timers.sleep_ms(5), pending::<()>()));
        assert!(poll_now(limited.as_mut()).is_none());
        clock.0.store(5, Ordering::SeqCst);
        assert_eq!(poll_now(limited.as_mut()), Some(None));
        assert_eq!(poll_now(pin!(unless(timers.sleep_ms(5), async { 1 }))), Some(Some(1)));
    }
}
