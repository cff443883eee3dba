//! Hints that nobody hears are not given: a publication costs the server as much as another command of the write.

use std::sync::atomic::{AtomicU64, Ordering};

use super::link::Link;
use crate::key::PARTITIONS;
use crate::txn::Txn;

/// How long no hint is given after one that nobody heard, in ms. Who begins to listen meanwhile looks at least that often.
const SILENCE_MS: u64 = 250;

/// Until when there is no use in hints, by partition.
pub(super) struct Silence(Box<[AtomicU64]>);

impl Default for Silence {
    fn default() -> Self {
        Self((0..PARTITIONS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Silence {
    /// Whether somebody may listen to what this transaction appends.
    pub fn is_over(&self, txn: &Txn, link: &dyn Link) -> bool {
        let until = self.0.get(usize::from(txn.partition.number()));
        !txn.is_read() && until.is_none_or(|until| until.load(Ordering::Relaxed) <= link.now().0)
    }

    /// Nobody heard the hint of this transaction.
    pub fn begin(&self, txn: &Txn, link: &dyn Link) {
        if let Some(until) = self.0.get(usize::from(txn.partition.number())) {
            until.store(link.now().plus_ms(SILENCE_MS).0, Ordering::Relaxed);
        }
    }
}
