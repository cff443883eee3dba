//! What was seen of records: the near-cache, as those ask it who can't ask the backend.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::key::{Key, Name};
use crate::txn::Until;

/// A field as it was seen.
#[derive(Debug, Clone)]
pub struct Known {
    /// `None`: it was seen to be absent.
    pub text: Option<Arc<str>>,
    /// When the record goes, where that was seen with the field.
    pub until: Option<Until>,
    /// When it was seen, or earlier.
    pub as_of: Timestamp,
}

/// Remembers what passed of records' fields. What it does not know it does not guess.
pub trait Near: Send + Sync {
    fn known(&self, key: &Key, field: &Name) -> Option<Known>;

    /// What it knows of a record may never have been stored.
    fn forget(&self, key: &Key);
}
