//! What is known of a breaker.

use serde::{Deserialize, Serialize};

use super::window::Window;

/// What a breaker does with calls.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// All pass and are counted.
    #[default]
    Closed,
    /// None passes until a time.
    Open,
    /// A few pass, and decide.
    HalfOpen,
    /// None passes: somebody said so.
    Isolated,
    /// All pass and none is counted: somebody said so.
    Disabled,
}

impl Mode {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::Isolated => "isolated",
            Self::Disabled => "disabled",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Closed, Self::Open, Self::HalfOpen, Self::Isolated, Self::Disabled]
            .into_iter()
            .find(|mode| mode.as_str() == text)
    }
}

/// Why a breaker changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    ConsecutiveFailures,
    FailuresInWindow,
    FailureRate,
    SlowCallRate,
    /// The caller's own rule.
    Custom,
    ProbeFailed,
    ProbesPassed,
    /// The time it was to be open, isolated or disabled is over.
    TimeOver,
    /// The probes decided nothing in time.
    HalfOpenTooLong,
    /// Most of the processes that call see it failing.
    Quorum,
    /// Somebody said so.
    Command,
}

impl Cause {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::FailuresInWindow => "failures_in_window",
            Self::FailureRate => "failure_rate",
            Self::SlowCallRate => "slow_call_rate",
            Self::Custom => "custom",
            Self::ProbeFailed => "probe_failed",
            Self::ProbesPassed => "probes_passed",
            Self::TimeOver => "time_over",
            Self::HalfOpenTooLong => "half_open_too_long",
            Self::Quorum => "quorum",
            Self::Command => "command",
        }
    }
}

/// A change of a breaker's mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    pub from: Mode,
    pub to: Mode,
    /// In ms since 1970, like all times here.
    pub at: u64,
    /// The generation that begins.
    pub generation: u64,
    /// When the new mode ends by itself.
    pub until: Option<u64>,
    pub cause: Cause,
}

/// A probe that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its place among the probes of its generation, from 1.
    pub number: u32,
    /// When it counts for nothing any more.
    pub until: u64,
}

/// What one process thinks of what is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The process, by a number of its own.
    pub who: u64,
    pub at: u64,
    /// Whether its own results alone would open the circuit.
    pub failing: bool,
}

/// A breaker's state: a plain value, which can be stored and compared.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    pub mode: Mode,
    /// Grows with every change of mode and every new wave of probes. A result counts in its own only.
    pub generation: u64,
    /// The latest time that it was looked at.
    pub at: u64,
    /// When the mode began.
    pub since: u64,
    /// When the mode ends by itself.
    pub until: Option<u64>,
    /// Why the mode began; `None` before the first change.
    pub cause: Option<Cause>,
    /// Openings since it was closed last.
    pub streak: u32,
    /// Failures in a row.
    pub in_a_row: u64,
    /// Results since it was closed last.
    pub failures: u64,
    pub successes: u64,
    /// Successful probes since it is half-open.
    pub passed: u64,
    /// Probes that started in this generation.
    pub started: u32,
    pub leases: Vec<Lease>,
    pub window: Window,
    /// Of the processes that called lately, where they vote; only while it is closed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Vote>,
    pub last_failure_at: Option<u64>,
    pub opened_at: Option<u64>,
    pub closed_at: Option<u64>,
}

impl State {
    /// How long until it may let something through, in ms: 0 when it may now, `None` when no time is set.
    #[must_use]
    pub fn retry_after(&self, now: u64) -> Option<u64> {
        match self.mode {
            Mode::Closed | Mode::Disabled => Some(0),
            Mode::Open | Mode::Isolated => self.until.map(|until| until.saturating_sub(now)),
            Mode::HalfOpen => {
                Some(self.leases.iter().map(|lease| lease.until.saturating_sub(now)).min().unwrap_or(0))
            }
        }
    }
}
