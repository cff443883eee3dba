//! What callers say of requests that they log.

use std::sync::OnceLock;

use serde::Deserialize;

use super::options::{optional, order, read};
use super::shape::{Field, Shape, TextShape};
use super::{Input, Issue, Issues, JsonObject, Limits, Order, PathItem};
use crate::clock::Timestamp;

/// Code points of an address, a host (RFC 1035 allows 253), a user, a method, a path, an id.
const IP: usize = 64;
const HOST: usize = 253;
const USER: usize = 128;
const METHOD: usize = 32;
const PATH: usize = 2_048;
const ID: usize = 64;
/// The range of statuses (RFC 9110).
const STATUS: std::ops::RangeInclusive<u64> = 100..=999;
/// The longest time that a request may take, in ms: a day and some.
const LONGEST_MS: u64 = 100_000_000;
/// Records of one page.
const A_PAGE: u64 = 1_000;
const USUAL_PAGE: u64 = 100;

/// A request as the caller gives it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEntry {
    pub ip: String,
    pub host: String,
    pub user: Option<String>,
    pub method: String,
    pub path: String,
    pub status: u64,
    pub duration_ms: f64,
    pub at: Option<String>,
    pub details: Option<JsonObject>,
}

/// Which requests are looked for: those that fit all that is said.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogQuery {
    pub ip: Option<String>,
    pub host: Option<String>,
    pub user: Option<String>,
    pub status: Option<u64>,
    pub method: Option<String>,
    pub path: Option<String>,
    pub errors: bool,
    pub slow: bool,
    pub since: Option<String>,
    pub until: Option<String>,
    pub order: Option<Order>,
    pub limit: Option<u64>,
    pub cursor: Option<String>,
}

impl LogQuery {
    /// Records of a page: what was asked for, or 100.
    #[must_use]
    pub fn limit(&self) -> usize {
        usize::try_from(self.limit.unwrap_or(USUAL_PAGE)).unwrap_or(usize::MAX)
    }
}

/// Which hours, and of which host visitors are told.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogSpan {
    pub since: Option<String>,
    pub until: Option<String>,
    pub host: Option<String>,
    /// Behind which of those that are told live.
    pub after: Option<String>,
}

fn text(most: usize) -> Shape {
    Shape::Text(TextShape::plain(1, most))
}

fn instant(name: &str) -> Field {
    optional(name, Shape::Instant(TextShape::plain(1, ID)))
}

fn needed(name: &str, shape: Shape) -> Field {
    Field { required: true, ..optional(name, shape) }
}

fn status() -> Shape {
    Shape::Integer { least: 100 }
}

/// Reads a request that is to be logged. Issues stand at its fields.
///
/// # Errors
/// At least one issue.
pub fn log_entry(input: Input<'_>, limits: &Limits) -> Result<LogEntry, Issues> {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    let shape = SHAPE.get_or_init(|| Shape::Object {
        fields: vec![
            needed("ip", text(IP)),
            needed("host", text(HOST)),
            optional("user", text(USER)),
            needed("method", text(METHOD)),
            needed("path", text(PATH)),
            needed("status", status()),
            needed("durationMs", Shape::Number { least: 0, most: LONGEST_MS }),
            instant("at"),
            optional("details", Shape::Json { object: true, limited: true }),
        ],
        strict: true,
    });
    let entry: LogEntry = read(input, shape, limits)?;
    all_right(entry, |entry| [bad_status(Some(entry.status)), bad_instant("at", entry.at.as_deref())])
}

/// Reads what is searched for. Issues stand at its fields.
///
/// # Errors
/// At least one issue.
pub fn log_query(input: Input<'_>, limits: &Limits) -> Result<LogQuery, Issues> {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    let shape = SHAPE.get_or_init(|| Shape::Object {
        fields: vec![
            optional("ip", text(IP)),
            optional("host", text(HOST)),
            optional("user", text(USER)),
            optional("status", status()),
            optional("method", text(METHOD)),
            optional("path", text(PATH)),
            optional("errors", Shape::Flag),
            optional("slow", Shape::Flag),
            instant("since"),
            instant("until"),
            optional("order", order()),
            optional("limit", Shape::Integer { least: 1 }),
            optional("cursor", text(ID)),
        ],
        strict: true,
    });
    let query: LogQuery = read(input, shape, limits)?;
    all_right(query, |query| {
        let over = query.limit.filter(|limit| *limit > A_PAGE);
        [
            bad_status(query.status),
            bad_instant("since", query.since.as_deref()),
            bad_instant("until", query.until.as_deref()),
            over.map(|_| Issue::too_big(&[PathItem::from("limit")], "number", A_PAGE)),
        ]
    })
}

/// Reads a span of time. Issues stand at its fields.
///
/// # Errors
/// At least one issue.
pub fn log_span(input: Input<'_>, limits: &Limits) -> Result<LogSpan, Issues> {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    let shape = SHAPE.get_or_init(|| Shape::Object {
        fields: vec![
            instant("since"),
            instant("until"),
            optional("host", text(HOST)),
            optional("after", text(ID)),
        ],
        strict: true,
    });
    let span: LogSpan = read(input, shape, limits)?;
    all_right(span, |span| {
        [bad_instant("since", span.since.as_deref()), bad_instant("until", span.until.as_deref())]
    })
}

fn all_right<T, const N: usize>(value: T, wrong: impl Fn(&T) -> [Option<Issue>; N]) -> Result<T, Issues> {
    let issues: Vec<Issue> = wrong(&value).into_iter().flatten().collect();
    if issues.is_empty() { Ok(value) } else { Err(Issues(issues)) }
}

fn bad_status(status: Option<u64>) -> Option<Issue> {
    let over = status.is_some_and(|status| !STATUS.contains(&status));
    over.then(|| Issue::too_big(&[PathItem::from("status")], "number", *STATUS.end()))
}

fn bad_instant(name: &str, text: Option<&str>) -> Option<Issue> {
    let bad = text.is_some_and(|text| Timestamp::parse(text).is_none());
    bad.then(|| Issue::invalid_type(&[PathItem::from(name)], "date", "string"))
}
