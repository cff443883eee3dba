//! How the stack behaves. The defaults are those of the contract.

use crate::breaker;

/// How a resilient backend behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// What happens to writes while the backend is away: kept and applied later, or rejected.
    pub journals: bool,
    /// How long one attempt may take, in ms; the call's own deadline bounds it too.
    pub attempt_ms: u64,
    pub retry: Retry,
    pub breaker: breaker::Policy,
    pub bounds: Bounds,
    pub conflicts: Conflicts,
}

/// When a failed attempt is made again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    /// Attempts of one call, the first included.
    pub attempts: u32,
    /// The longest first pause, in ms. It doubles with each attempt; how much of it is waited is left to chance.
    pub first_pause_ms: u64,
    pub longest_pause_ms: u64,
    /// Repeats that each call pays for: 0.1 is one repeat for ten calls.
    pub budget: f64,
    /// Repeats that may be made without any paid for.
    pub reserve: f64,
}

/// What the journal holds at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub entries: usize,
    pub bytes: usize,
}

/// What wins when a kept write stands on something that has changed meanwhile.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Conflicts {
    /// What is stored stays.
    #[default]
    RemoteWins,
    /// The kept change is made to what is stored by now, if its rules allow it.
    LocalWins,
    /// What is stored stays, and somebody is to decide.
    Manual,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            journals: true,
            attempt_ms: 1_000,
            retry: Retry {
                attempts: 5,
                first_pause_ms: 40,
                longest_pause_ms: 400,
                budget: 0.1,
                reserve: 3.0,
            },
            breaker: breaker::Policy {
                consecutive: Some(5.0),
                rate: Some(breaker::Rate { percentage: 50.0, minimum: 20.0 }),
                span: breaker::Span::Time(10_000.0),
                open_ms: 1_000.0,
                open_growth: 2.0,
                max_open_ms: 30_000.0,
                jitter: 0.1,
                probes: 1.0,
                success_threshold: 2.0,
                lease_ms: 5_000.0,
                ..breaker::Policy::default()
            },
            bounds: Bounds { entries: 10_000, bytes: 64 << 20 },
            conflicts: Conflicts::default(),
        }
    }
}
