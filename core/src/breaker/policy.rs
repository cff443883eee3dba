//! When a breaker opens, for how long, and what closes it again.

/// How a breaker behaves. Every rule that is there can open it; without one it never opens by itself.
///
/// Thresholds are compared as they are, so each may be a fraction.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Opens at so many failures in a row.
    pub consecutive: Option<f64>,
    /// Opens at so many failures in the window.
    pub failures: Option<f64>,
    /// Opens at this share of failures in the window.
    pub rate: Option<Rate>,
    /// Opens at this share of slow calls in the window. A slow probe then counts as failed.
    pub slow: Option<Slow>,
    /// What the window holds.
    pub span: Span,
    /// How long it stays open the first time, in ms.
    pub open_ms: f64,
    /// What the time is multiplied with for every opening that no closing came between: 1 for no growth.
    pub open_growth: f64,
    /// The longest time, before jitter.
    pub max_open_ms: f64,
    /// How far the time is spread, as a part of it: 0.1 for 90 to 110 %.
    pub jitter: f64,
    /// Probes that may start in one generation, and so run at the same time.
    pub probes: f64,
    /// Successful probes that close it.
    pub success_threshold: f64,
    /// When a probe that has not ended counts for nothing any more.
    pub lease_ms: f64,
    /// When it opens again, if the probes decided nothing. 0 for never.
    pub max_half_open_ms: f64,
    /// Counts, and never opens by itself.
    pub metrics_only: bool,
}

/// A share of failures, from so many calls on. Equal counts as reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    pub percentage: f64,
    pub minimum: f64,
}

/// A share of calls that took at least so long, from so many calls on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slow {
    pub from_ms: f64,
    pub percentage: f64,
    pub minimum: f64,
}

/// What a window holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Span {
    /// What happened in the last so many ms, to a hundredth of that.
    Time(f64),
    /// The last so many calls.
    Calls(usize),
}

impl Default for Policy {
    /// That of the preset `fuse`.
    fn default() -> Self {
        Self {
            consecutive: Some(5.0),
            failures: None,
            rate: None,
            slow: None,
            span: Span::Time(120_000.0),
            open_ms: 60_000.0,
            open_growth: 1.0,
            max_open_ms: f64::INFINITY,
            jitter: 0.0,
            probes: 1.0,
            success_threshold: 2.0,
            lease_ms: 30_000.0,
            max_half_open_ms: 0.0,
            metrics_only: false,
        }
    }
}

impl Policy {
    /// How long it stays open now that it opens for the `streak`-th time in a row (from 0), in ms. `chance`
    /// is from 0 to 1.
    #[must_use]
    pub fn open_for(&self, streak: u32, chance: f64) -> u64 {
        let grown = self.open_ms * self.open_growth.powi(streak.min(1_000).cast_signed());
        whole(grown.min(self.max_open_ms) * (1.0 + self.jitter * (2.0 * chance - 1.0)))
    }

    /// The longest that `open_for` can answer.
    #[must_use]
    pub fn longest_open(&self) -> u64 {
        let grows = self.open_growth > 1.0;
        let longest = if grows { self.max_open_ms } else { self.open_ms.min(self.max_open_ms) };
        whole(longest * (1.0 + self.jitter))
    }
}

/// Whole ms, rounded up: who waits for half a ms waits for one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is meant")]
pub(super) fn whole(ms: f64) -> u64 {
    ms.ceil() as u64
}
