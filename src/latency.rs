//! How long calls take: one at a time is measured, so that many cost no more than one.

use flowkeep_core::clock::Stopwatch;

/// Measurements that are kept: the last ones.
const KEPT: usize = 1_024;

/// What was measured of late.
#[derive(Default)]
pub struct Latency {
    /// The ticket of the call that is measured now.
    measured: Option<(u32, Stopwatch)>,
    /// In µs; the oldest is replaced next.
    kept: Vec<u32>,
    next: usize,
}

impl Latency {
    /// A call waits for its answer from now on.
    pub fn begin(&mut self, ticket: u32) {
        self.measured.get_or_insert_with(|| (ticket, Stopwatch::start()));
    }

    /// A call is answered.
    pub fn end(&mut self, ticket: u32) {
        let Some((_, watch)) = self.measured.take_if(|(measured, _)| *measured == ticket) else { return };
        let took = watch.micros();
        match self.kept.get_mut(self.next) {
            Some(place) => *place = took,
            None => self.kept.push(took),
        }
        self.next = (self.next + 1) % KEPT;
    }

    /// A call was given up: how long it would have taken is not known.
    pub fn forget(&mut self, ticket: u32) {
        self.measured.take_if(|(measured, _)| *measured == ticket);
    }

    /// What was measured, as JSON; `null` while it is nothing.
    pub fn to_json(&self) -> String {
        let mut sorted = self.kept.clone();
        sorted.sort_unstable();
        let at = |part: f64| {
            let place = (sorted.len().saturating_sub(1) as f64 * part) as usize;
            sorted.get(place).map_or(0.0, |micros| f64::from(*micros) / 1_000.0)
        };
        if sorted.is_empty() {
            return "null".to_owned();
        }
        let sum: u64 = sorted.iter().copied().map(u64::from).sum();
        let mean = sum as f64 / sorted.len() as f64 / 1_000.0;
        format!(
            "{{\"samples\":{},\"meanMs\":{mean:.3},\"p50Ms\":{},\"p99Ms\":{},\"maxMs\":{}}}",
            sorted.len(),
            at(0.5),
            at(0.99),
            at(1.0),
        )
    }
}
