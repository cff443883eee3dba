//! What runs transactions.

use crate::error::Result;
use crate::run::Run;
use crate::txn::{Outcome, Txn};

/// Runs transactions: memory, Redis, or a layer over another backend.
///
/// *Atomicity*: a transaction is applied wholly or not at all, and no other one of its partition is seen
/// half-way. *Errors*: an error means that the outcome could not be learned; its `effect` says whether
/// something may have been applied. A refusal is not an error.
pub trait Backend: Send + Sync {
    fn run(&self, txn: Txn) -> Run<Result<Outcome>>;

    /// What this backend is.
    fn info(&self) -> Info;
}

/// Facts about a backend that do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// `memory` or `redis`.
    pub kind: &'static str,
    /// Every run is ready at once, so reading first costs no round trip.
    pub immediate: bool,
}
