//! Counts what comes of transactions. It changes none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::backend::{Backend, Glance, Info, Sight, Wait};
use crate::error::Result;
use crate::layer::Layer;
use crate::run::{Note, Run};
use crate::topic::{Subscription, Topic};
use crate::txn::{Outcome, Txn};

/// How many transactions came to what, since the layer was made.
#[derive(Debug, Default)]
pub struct Counts {
    pub committed: AtomicU64,
    pub refused: AtomicU64,
    pub failed: AtomicU64,
}

impl Counts {
    fn note(&self, result: &Result<Outcome>) {
        match result {
            Ok(outcome) => self.note_outcome(outcome),
            Err(_) => drop(self.failed.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// A glance that saw something is as good as a transaction; one that missed is followed by one.
    pub(super) fn note_sight(&self, sight: &Sight<'_>) {
        if matches!(sight, Sight::Field { .. }) {
            self.committed.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn note_outcome(&self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Committed(_) => &self.committed,
            Outcome::Refused(..) => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Configures the counting: where the counts go.
#[derive(Debug, Default, Clone)]
pub struct Observe {
    pub counts: Arc<Counts>,
}

impl Layer for Observe {
    fn wrap(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        let (counts, noting) = (Arc::clone(&self.counts), Arc::clone(&self.counts));
        Arc::new(Observed { inner, counts, note: Arc::new(move |result| noting.note(result)) })
    }
}

struct Observed {
    inner: Arc<dyn Backend>,
    counts: Arc<Counts>,
    note: Note<Result<Outcome>>,
}

impl Backend for Observed {
    fn run(&self, txn: Txn) -> Run<Result<Outcome>> {
        self.inner.run(txn).noted(&self.note)
    }

    fn glance(&self, glance: &Glance<'_>) -> bool {
        self.inner.glance(glance)
    }

    fn look(&self, ticket: u32, see: &mut dyn FnMut(Sight<'_>)) {
        self.inner.look(ticket, &mut |sight| {
            self.counts.note_sight(&sight);
            see(sight);
        });
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
