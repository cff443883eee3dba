//! The backend in this process: a lock per partition, everything ready at once.

mod shelf;
mod value;

use std::sync::{Arc, Mutex, PoisonError};

use crate::backend::{Backend, Info};
use crate::clock::Clock;
use crate::error::Result;
use crate::key::PARTITIONS;
use crate::run::Run;
use crate::txn::{Outcome, Txn};

use shelf::Shelf;

/// Keeps everything in this process; nothing outlives it.
///
/// *Atomicity*: one lock per partition, held for one transaction. *Expiry*: a key that is due is gone for
/// every transaction from that millisecond on; its memory is freed by later transactions of its
/// partition, at most [`shelf::SWEEP`] keys by each.
pub struct Memory {
    shelves: Box<[Mutex<Shelf>]>,
    clock: Arc<dyn Clock>,
}

impl Memory {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { shelves: (0..PARTITIONS).map(|_| Mutex::default()).collect(), clock }
    }

    /// How many keys are held, those that are due but not yet swept included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shelves.iter().map(|shelf| shelf.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Backend for Memory {
    fn run(&self, txn: Txn) -> Run<Result<Outcome>> {
        let now = self.clock.now();
        Run::now(match self.shelves.get(usize::from(txn.partition.number())) {
            // A panic inside a transaction is a bug of ours; what it left is still the truth.
            Some(shelf) => shelf.lock().unwrap_or_else(PoisonError::into_inner).run(txn, now),
            None => Ok(Outcome::Committed(Vec::new())),
        })
    }

    fn info(&self) -> Info {
        Info { kind: "memory", immediate: true }
    }
}
