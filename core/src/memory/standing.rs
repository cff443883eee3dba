//! What an answer that was given out still stands on: so whoever holds it need not ask again.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, Ordering};

use super::shelf::Shelf;
use crate::key::{PARTITIONS, Partition};

const COUNT: usize = PARTITIONS as usize;

/// For each partition, how often it was written to, and when the first of its keys goes by itself; behind them, which
/// partition was looked at last. All of them are the bits of an `f64`, as the language reads them in which answers are held.
///
/// An answer of one partition's transactions is the same until that partition is written to or that instant has come. The
/// instant may be too early, where a deadline has moved since: never too late.
#[derive(Debug)]
pub struct Standing {
    cells: Box<[AtomicU64]>,
}

impl Default for Standing {
    fn default() -> Self {
        let cell = |place| AtomicU64::new(if place < COUNT { 0.0 } else { f64::INFINITY }.to_bits());
        Self { cells: (0..Self::CELLS).map(cell).collect() }
    }
}

impl Standing {
    /// How many numbers there are.
    pub const CELLS: usize = 2 * COUNT + 1;
    const LATEST: usize = 2 * COUNT;

    /// The numbers, for whoever reads them in place.
    #[must_use]
    pub fn cells(&self) -> &[AtomicU64] {
        &self.cells
    }

    fn set(&self, place: usize, number: f64) {
        if let Some(cell) = self.cells.get(place) {
            cell.store(number.to_bits(), Ordering::Relaxed);
        }
    }

    /// A partition was looked at; this is its shelf, still locked.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds until the year 9999 are exact")]
    pub(super) fn looked(&self, partition: Partition, wrote: bool, shelf: &Shelf) {
        let place = usize::from(partition.number());
        if wrote && let Some(cell) = self.cells.get(place) {
            // 2^53 writes of one partition are centuries of them.
            let written = f64::from_bits(cell.load(Ordering::Relaxed)) + 1.0;
            cell.store(written.to_bits(), Ordering::Relaxed);
        }
        let first_end = shelf.due.peek().map(|Reverse((at, _))| at.0 as f64);
        self.set(COUNT + place, first_end.unwrap_or(f64::INFINITY));
        self.set(Self::LATEST, f64::from(partition.number()));
    }
}
