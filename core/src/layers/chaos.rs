//! Trouble on purpose, for tests and for development: a backend that fails, loses answers, or goes away when told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::backend::{Backend, Info, Wait};
use crate::error::{Effect, Error, Result};
use crate::id::Ids;
use crate::layer::Layer;
use crate::run::Run;
use crate::topic::{Subscription, Topic};
use crate::txn::{Outcome, Txn};

/// Configures the trouble.
#[derive(Clone)]
pub struct Chaos {
    pub ids: Arc<dyn Ids>,
    /// Of a hundred transactions so many fail and do nothing.
    pub fail_percentage: f64,
    /// Of a hundred transactions so many are run, and their answers lost.
    pub lose_percentage: f64,
    /// The backend is away while this is set.
    pub outage: Arc<AtomicBool>,
}

impl Layer for Chaos {
    fn wrap(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        Arc::new(Troubled { inner, chaos: self.clone() })
    }
}

struct Troubled {
    inner: Arc<dyn Backend>,
    chaos: Chaos,
}

impl Troubled {
    fn strikes(&self, percentage: f64) -> bool {
        percentage > 0.0 && (self.chaos.ids.random() % 1_000_000) as f64 / 10_000.0 < percentage
    }
}

impl Backend for Troubled {
    fn run(&self, txn: Txn) -> Run<Result<Outcome>> {
        if self.chaos.outage.load(Ordering::Relaxed) || self.strikes(self.chaos.fail_percentage) {
            return Run::now(Err(Error::unavailable("an outage is simulated", Effect::NotApplied)));
        }
        if !self.strikes(self.chaos.lose_percentage) {
            return self.inner.run(txn);
        }
        let effect = if txn.is_read() { Effect::NotApplied } else { Effect::Unknown };
        let lost = Err(Error::unavailable("the loss of an answer is simulated", effect));
        match self.inner.run(txn) {
            Run::Ready(_) => Run::now(lost),
            Run::Pending(pending) => Run::later(async move {
                drop(pending.await);
                lost
            }),
        }
    }

    fn wait(&self, wait: Wait) -> Run<Result<bool>> {
        self.inner.wait(wait)
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.inner.subscribe(topic)
    }

    fn info(&self) -> Info {
        self.inner.info()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::Chaos;
    use crate::clock::SystemClock;
    use crate::error::Effect as Applied;
    use crate::id::RandomIds;
    use crate::key::{Key, Partition, Space};
    use crate::layer::Layer as _;
    use crate::memory::Memory;
    use crate::run::poll_now;
    use crate::txn::{Effect, Txn};

    #[test]
    fn what_it_strikes_fails_and_is_done_or_not_as_it_says() {
        let memory = Arc::new(Memory::new(Arc::new(SystemClock)));
        let chaos = |fail_percentage, lose_percentage| Chaos {
            ids: Arc::new(RandomIds::default()),
            fail_percentage,
            lose_percentage,
            outage: Arc::new(AtomicBool::new(false)),
        };
        let write = |backend: &dyn crate::backend::Backend, name: &str| {
            let mut txn = Txn::new(Partition::from_number(1), crate::clock::Timestamp::MAX);
            let (key, field) = (Key::new(Space("t"), name), "f".into());
            txn.effects.push(Effect::Put { key, field, text: "x".into() });
            poll_now(pin!(backend.run(txn))).unwrap().map_err(|error| error.effect)
        };
        let failing = chaos(100.0, 0.0).wrap(Arc::clone(&memory) as _);
        assert_eq!((write(&*failing, "a").unwrap_err(), memory.len()), (Applied::NotApplied, 0));
        let losing = chaos(0.0, 100.0).wrap(Arc::clone(&memory) as _);
        assert_eq!((write(&*losing, "b").unwrap_err(), memory.len()), (Applied::Unknown, 1));
        let told = chaos(0.0, 0.0);
        let quiet = told.wrap(Arc::clone(&memory) as _);
        assert!(write(&*quiet, "c").is_ok());
        told.outage.store(true, Ordering::Relaxed);
        assert_eq!((write(&*quiet, "d").unwrap_err(), memory.len()), (Applied::NotApplied, 2));
    }
}
