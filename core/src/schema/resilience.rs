//! How a storage that may lose its backend is to behave: the option `resilience`.

use serde::Deserialize;

use super::shape::{Field, Shape, TextShape};

/// The longest time in ms that can be set: a day.
const LONGEST_MS: u64 = 86_400_000;
/// Code points of a file's path: what Linux takes.
const LONGEST_PATH: usize = 4_096;
/// Attempts of one call at the most.
const ATTEMPTS: u64 = 100;

/// What the caller asks for; what is absent is as the stack has it.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResilienceOptions {
    pub on_unavailable: Option<OnUnavailable>,
    pub attempt_timeout_ms: Option<f64>,
    pub retry: RetryOptions,
    pub breaker: BreakerOptions,
    pub journal: JournalOptions,
    pub conflicts: Option<OnConflict>,
    pub chaos: Option<ChaosOptions>,
}

/// What happens to writes while the backend is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnavailable {
    Journal,
    Reject,
}

/// What wins when a kept write meets a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnConflict {
    RemoteWins,
    LocalWins,
    Manual,
}

#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryOptions {
    pub attempts: Option<f64>,
    pub first_pause_ms: Option<f64>,
    pub longest_pause_ms: Option<f64>,
    pub budget_percentage: Option<f64>,
    pub reserve: Option<f64>,
}

#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BreakerOptions {
    pub failures: Option<f64>,
    pub percentage: Option<f64>,
    pub minimum: Option<f64>,
    pub window_ms: Option<f64>,
    pub open_ms: Option<f64>,
    pub longest_open_ms: Option<f64>,
    pub successes: Option<f64>,
}

#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JournalOptions {
    /// Where kept writes outlive the process; absent: in memory alone.
    pub path: Option<String>,
    pub fsync: Option<FsyncOption>,
    pub max_entries: Option<f64>,
    pub max_bytes: Option<f64>,
}

/// When what was written to the journal's file is forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FsyncOption {
    Always,
    Interval,
    Never,
}

/// Trouble on purpose, for tests and development.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChaosOptions {
    pub fail_percentage: Option<f64>,
    pub lose_percentage: Option<f64>,
}

/// The shape of the option.
pub(super) fn shape() -> Shape {
    let ms = |name: &str| number(name, 1, LONGEST_MS);
    let percentage = |name: &str| number(name, 0, 100);
    let choice = |names: &[&str]| Shape::Choice(names.iter().map(|name| (*name).to_owned()).collect());
    object(vec![
        optional("onUnavailable", choice(&["journal", "reject"])),
        ms("attemptTimeoutMs"),
        optional(
            "retry",
            object(vec![
                number("attempts", 1, ATTEMPTS),
                ms("firstPauseMs"),
                ms("longestPauseMs"),
                percentage("budgetPercentage"),
                number("reserve", 0, 1_000_000),
            ]),
        ),
        optional(
            "breaker",
            object(vec![
                number("failures", 1, 1_000_000),
                percentage("percentage"),
                number("minimum", 1, 1_000_000),
                ms("windowMs"),
                ms("openMs"),
                ms("longestOpenMs"),
                number("successes", 1, 1_000),
            ]),
        ),
        optional(
            "journal",
            object(vec![
                optional("path", Shape::Text(TextShape::plain(1, LONGEST_PATH))),
                optional("fsync", choice(&["always", "interval", "never"])),
                number("maxEntries", 1, 10_000_000),
                number("maxBytes", 1_024, 1 << 40),
            ]),
        ),
        optional("conflicts", choice(&["remote-wins", "local-wins", "manual"])),
        optional("chaos", object(vec![percentage("failPercentage"), percentage("losePercentage")])),
    ])
}

fn object(fields: Vec<Field>) -> Shape {
    Shape::Object { fields, strict: true }
}

fn number(name: &str, least: i64, most: u64) -> Field {
    optional(name, Shape::Number { least, most })
}

fn optional(name: &str, shape: Shape) -> Field {
    Field { name: name.to_owned(), shape, required: false }
}
