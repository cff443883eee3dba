//! The breakers of one process on one store.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use hashbrown::HashMap;

use super::held::{Breaker, Settings};
use super::id::BreakerId;
use super::outbox::Outbox;
use super::state::Transition;
use super::store::BreakerStore;
use crate::clock::{Clock, Timestamp};
use crate::error::Result;
use crate::id::Ids;

/// A breaker that was used within this time is kept fresh.
const ACTIVE_MS: u64 = 5_000;

/// A transition that is told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The breaker's number.
    pub number: u32,
    pub transition: Transition,
}

/// Every breaker that this process asked for, each one once.
pub struct Breakers {
    store: Option<Arc<dyn BreakerStore>>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    outbox: Arc<Outbox>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    numbers: HashMap<BreakerId, u32>,
    breakers: Vec<Arc<Breaker>>,
}

impl Breakers {
    /// Without a store every breaker is this process' own.
    #[must_use]
    pub fn new(store: Option<Arc<dyn BreakerStore>>, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self { store, clock, ids, outbox: Arc::default(), held: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The breaker of this id. One that is there keeps its state; `settings` that are given are taken over, others
    /// come from `usual` the first time.
    pub fn get(
        &self,
        id: BreakerId,
        settings: Option<Settings>,
        usual: impl FnOnce() -> Settings,
    ) -> Arc<Breaker> {
        let mut held = self.lock();
        let known = held.numbers.get(&id).and_then(|number| held.breakers.get(*number as usize)).cloned();
        if let Some(breaker) = known {
            if let Some(settings) = settings {
                breaker.set(settings);
            }
            return breaker;
        }
        let number = u32::try_from(held.breakers.len()).unwrap_or(u32::MAX);
        let tools = (Arc::clone(&self.clock), Arc::clone(&self.ids));
        let settings = settings.unwrap_or_else(usual);
        let breaker = Arc::new(Breaker::new(
            number,
            id.clone(),
            settings,
            tools,
            self.store.clone(),
            Arc::clone(&self.outbox),
        ));
        held.numbers.insert(id, number);
        held.breakers.push(Arc::clone(&breaker));
        breaker
    }

    /// The breaker of this number.
    #[must_use]
    pub fn by_number(&self, number: u32) -> Option<Arc<Breaker>> {
        self.lock().breakers.get(number as usize).cloned()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Breaker>> {
        self.lock().breakers.clone()
    }

    /// Where changes wait for an audit elsewhere.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    #[must_use]
    pub fn store(&self) -> Option<&Arc<dyn BreakerStore>> {
        self.store.as_ref()
    }

    /// Those of this process and of the store.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn ids(&self, deadline: Timestamp) -> Result<Vec<BreakerId>> {
        let mut ids: Vec<BreakerId> = self.all().iter().map(|breaker| breaker.id.clone()).collect();
        if let Some(store) = &self.store {
            ids.extend(store.ids(deadline).await?);
        }
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    /// Refreshes every breaker that is in use and carries what it has to tell, all at the same time. How many those are.
    pub async fn sync(&self, deadline: Timestamp) -> usize {
        let active: Vec<Arc<Breaker>> =
            self.all().into_iter().filter(|breaker| breaker.is_active(ACTIVE_MS)).collect();
        let syncs: Vec<Unit<'_>> = active
            .iter()
            .map(|breaker| -> Unit<'_> {
                Box::pin(async move {
                    // The breaker remembers that the store is away.
                    let _ = breaker.sync(deadline).await;
                })
            })
            .collect();
        all(syncs).await;
        active.len()
    }

    /// The transitions that nobody was told yet.
    #[must_use]
    pub fn take_told(&self) -> Vec<Told> {
        let of = |breaker: &Arc<Breaker>| {
            let number = breaker.number;
            breaker.take_told().into_iter().map(move |transition| Told { number, transition })
        };
        self.all().iter().flat_map(of).collect()
    }
}

type Unit<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Waits for all of them, polling those that are not ready whenever one of them may be.
async fn all(mut units: Vec<Unit<'_>>) {
    std::future::poll_fn(|cx| {
        units.retain_mut(|unit| unit.as_mut().poll(cx).is_pending());
        if units.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
