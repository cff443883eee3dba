//! What callers may say of a circuit breaker.

use std::sync::OnceLock;

use serde::Deserialize;

use super::options::{optional, read};
use super::shape::{Bound, Field, Shape, TextShape};
use super::{Input, Issues, Limits};
use crate::clock::Timestamp;

/// The longest time in seconds: a hundred years.
const LONGEST_SECONDS: u64 = 3_155_760_000;
/// Counts of calls and failures.
const MOST_CALLS: u64 = 1_000_000_000;
/// Calls that a window may hold one by one.
const WINDOW_CALLS: u64 = 10_000;
const PROBES: u64 = 1_000;
/// Rules of one breaker.
const STRATEGIES: usize = 8;
/// Code points of a name, and of what is said about an order.
const NAME: usize = 128;
const REASON: usize = 500;
/// Entries of one answer.
pub const HISTORY_A_PAGE: u64 = 100;

/// A rule by its public name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrategyName {
    ConsecutiveFailures,
    PercentageFailures,
    RollingWindow,
    SlowCalls,
    Custom,
}

/// Numbers by their public name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PresetName {
    Fuse,
    Connexions,
}

/// Whose state a breaker has, by its public name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScopeName {
    Local,
    Shared,
    Quorum,
}

/// Which breaker, and how it is to be. What is absent comes from the preset.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BreakerConfig {
    pub name: String,
    pub context: Option<String>,
    pub boundary: Option<String>,
    pub preset: Option<PresetName>,
    pub strategy: Option<Vec<StrategyName>>,
    pub failure_threshold: Option<f64>,
    pub success_threshold: Option<f64>,
    pub open_seconds: Option<f64>,
    pub open_growth: Option<f64>,
    pub max_open_seconds: Option<f64>,
    pub jitter: Option<f64>,
    pub sampling_seconds: Option<f64>,
    pub sampling_calls: Option<u64>,
    pub minimum_throughput: Option<f64>,
    pub percentage_threshold: Option<f64>,
    pub slow_call_seconds: Option<f64>,
    pub slow_call_percentage: Option<f64>,
    pub half_open_probes: Option<f64>,
    pub probe_lease_seconds: Option<f64>,
    pub max_half_open_seconds: Option<f64>,
    pub metrics_only: Option<bool>,
    pub scope: Option<ScopeName>,
    /// Whether anything but the id was given.
    pub configured: bool,
}

/// What is said with an order.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OrderOptions {
    pub reason: Option<String>,
    pub actor: Option<String>,
    pub for_seconds: Option<f64>,
    pub timeout_ms: Option<f64>,
}

fn number(name: &str, least: i64, most: u64) -> Field {
    optional(name, Shape::Number { least, most })
}

fn choice(names: &[&str]) -> Shape {
    Shape::Choice(names.iter().map(|name| (*name).to_owned()).collect())
}

fn text(name: &str, least: usize, most: usize) -> Field {
    optional(name, Shape::Text(TextShape::plain(least, most)))
}

/// Reads a breaker's id and configuration. Issues stand at its fields.
///
/// # Errors
/// At least one issue.
pub fn breaker_config(input: Input<'_>) -> Result<BreakerConfig, Issues> {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    let shape = SHAPE.get_or_init(|| {
        let strategies =
            ["consecutive_failures", "percentage_failures", "rolling_window", "slow_calls", "custom"];
        let seconds = |name| number(name, 0, LONGEST_SECONDS);
        Shape::Object {
            fields: vec![
                Field {
                    name: "name".to_owned(),
                    shape: Shape::Text(TextShape::plain(1, NAME)),
                    required: true,
                },
                text("context", 1, NAME),
                text("boundary", 1, NAME),
                optional("preset", choice(&["fuse", "connexions"])),
                optional(
                    "strategy",
                    Shape::List { item: Box::new(choice(&strategies)), most: Bound::Fixed(STRATEGIES) },
                ),
                number("failureThreshold", 0, MOST_CALLS),
                number("successThreshold", 0, MOST_CALLS),
                seconds("openSeconds"),
                number("openGrowth", 1, 1_000),
                seconds("maxOpenSeconds"),
                number("jitter", 0, 1),
                seconds("samplingSeconds"),
                optional("samplingCalls", Shape::Integer { least: 1 }),
                number("minimumThroughput", 0, MOST_CALLS),
                number("percentageThreshold", 0, 100),
                seconds("slowCallSeconds"),
                number("slowCallPercentage", 0, 100),
                number("halfOpenProbes", 0, PROBES),
                seconds("probeLeaseSeconds"),
                seconds("maxHalfOpenSeconds"),
                optional("metricsOnly", Shape::Flag),
                optional("scope", choice(&["local", "shared", "quorum"])),
                optional("configured", Shape::Flag),
            ],
            strict: true,
        }
    });
    let config: BreakerConfig = read(input, shape, &Limits::default())?;
    match config.sampling_calls {
        Some(calls) if calls > WINDOW_CALLS => Err(too_big("samplingCalls", WINDOW_CALLS)),
        _ => Ok(config),
    }
}

/// Reads what is said with an order: reason, actor, for how long.
///
/// # Errors
/// At least one issue.
pub fn order_options(input: Input<'_>) -> Result<OrderOptions, Issues> {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    let shape = SHAPE.get_or_init(|| Shape::Object {
        fields: vec![
            text("reason", 0, REASON),
            text("actor", 0, NAME),
            number("forSeconds", 0, LONGEST_SECONDS),
            number("timeoutMs", 1, super::options::LONGEST_TIMER_MS),
        ],
        strict: true,
    });
    read(input, shape, &Limits::default())
}

fn too_big(field: &str, most: u64) -> Issues {
    Issues(vec![super::Issue::too_big(&[super::PathItem::from(field)], "number", most)])
}

/// What is asked of the tables of a database.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TableFilter {
    pub state: Option<String>,
    pub failure_count_over: Option<u64>,
    pub opened_since: Option<Timestamp>,
    pub name: Option<String>,
    pub event: Option<String>,
    pub since: Option<Timestamp>,
    pub older_than_seconds: Option<f64>,
    pub limit: Option<u64>,
    pub cursor: Option<String>,
    pub timeout_ms: Option<f64>,
}

/// Rows of one answer at the most.
const MOST_ROWS: u64 = 1_000;

/// Reads a filter of rows or events. Issues stand at its fields.
///
/// # Errors
/// At least one issue.
pub fn table_filter(input: Input<'_>) -> Result<TableFilter, Issues> {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    let shape = SHAPE.get_or_init(|| Shape::Object {
        fields: vec![
            optional("state", choice(&["closed", "open", "half_open", "isolated", "disabled"])),
            optional("failureCountOver", Shape::Integer { least: 0 }),
            optional("openedSince", Shape::Date),
            text("name", 1, NAME),
            text("event", 1, 50),
            optional("since", Shape::Date),
            number("olderThanSeconds", 0, LONGEST_SECONDS),
            optional("limit", Shape::Integer { least: 1 }),
            text("cursor", 1, 20),
            number("timeoutMs", 1, super::options::LONGEST_TIMER_MS),
        ],
        strict: true,
    });
    let filter: TableFilter = read(input, shape, &Limits::default())?;
    match filter.limit {
        Some(limit) if limit > MOST_ROWS => Err(too_big("limit", MOST_ROWS)),
        _ => Ok(filter),
    }
}
