//! A clock that is set by hand.

use std::sync::atomic::{AtomicU64, Ordering};

use flowkeep_core::clock::{Clock, Timestamp};

/// What it shows, in ms.
#[derive(Default)]
pub struct Hand(pub AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}
