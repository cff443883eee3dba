//! What callers may say of queues and caches.

use std::sync::OnceLock;

use serde::Deserialize;

use super::options::{LONGEST_LIFE_SECONDS, LONGEST_TIMER_MS, optional, read};
use super::shape::{Shape, TextShape};
use super::{Input, Issue, Issues, Json, Limits, PathItem, not_json, validate};

/// Code points of the name of a queue, and of a key.
pub const NAME_CODE_POINTS: usize = 256;
pub const KEY_CODE_POINTS: usize = 1_024;
/// Code points of the token of what is being computed.
pub const TOKEN_CODE_POINTS: usize = 64;
/// Items that one call brings at the most.
const MOST_ITEMS: u64 = 1_000;

/// Which options a call takes beside those of every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainFor {
    /// None.
    Call,
    Push,
    Take,
    GiveBack,
    Extend,
    Several,
    CacheSet,
    CacheFlight,
    CacheLand,
}

/// The options of a call on a queue or a cache; those that it does not take are absent.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PlainOptions {
    pub timeout_ms: Option<f64>,
    /// Items that may wait in a queue.
    pub max_length: Option<u64>,
    /// How long to wait for an item; 0 is not at all.
    pub timeout_seconds: Option<f64>,
    pub lease_seconds: Option<f64>,
    pub delay_seconds: Option<f64>,
    pub limit: Option<u64>,
    /// 0 is for ever.
    pub ttl_seconds: Option<f64>,
    pub stale_seconds: Option<f64>,
    pub negative_ttl_seconds: Option<f64>,
    /// The token of what was computed.
    pub token: Option<String>,
}

/// Reads such options. Issues stand below `options`.
///
/// # Errors
/// At least one issue.
pub fn plain_options(which: PlainFor, input: Input<'_>, limits: &Limits) -> Result<PlainOptions, Issues> {
    static SHAPES: [OnceLock<Shape>; 9] = [const { OnceLock::new() }; 9];
    let slot = SHAPES.get(which as usize).ok_or_else(not_json)?;
    let options: Result<PlainOptions, Issues> = read(input, slot.get_or_init(|| shape(which)), limits);
    let checked = options.and_then(|options| match wrong(&options) {
        Some(issue) => Err(Issues::from(issue)),
        None => Ok(options),
    });
    checked.map_err(|issues| issues.under(&[PathItem::from("options")]))
}

fn shape(which: PlainFor) -> Shape {
    let seconds = |name| optional(name, Shape::Number { least: 0, most: LONGEST_LIFE_SECONDS });
    let count = |name| optional(name, Shape::Integer { least: 1 });
    let mut fields = vec![
        optional("timeoutMs", Shape::Number { least: 1, most: LONGEST_TIMER_MS }),
        optional("signal", Shape::Never),
    ];
    fields.extend(match which {
        PlainFor::Call => Vec::new(),
        PlainFor::Push => vec![count("maxLength")],
        PlainFor::Take => vec![seconds("timeoutSeconds"), seconds("leaseSeconds")],
        PlainFor::GiveBack => vec![seconds("delaySeconds")],
        PlainFor::Extend => vec![seconds("leaseSeconds")],
        PlainFor::Several => vec![count("limit")],
        PlainFor::CacheSet => vec![seconds("ttlSeconds")],
        PlainFor::CacheFlight => vec![seconds("leaseSeconds")],
        PlainFor::CacheLand => {
            let token = optional("token", Shape::Text(TextShape::plain(1, TOKEN_CODE_POINTS)));
            vec![token, seconds("ttlSeconds"), seconds("staleSeconds"), seconds("negativeTtlSeconds")]
        }
    });
    Shape::Object { fields, strict: true }
}

fn wrong(options: &PlainOptions) -> Option<Issue> {
    if options.lease_seconds == Some(0.0) {
        let message = "Too small: expected number to be >0";
        return Some(Issue::custom(&[PathItem::from("leaseSeconds")], message));
    }
    let over = options.limit.is_some_and(|limit| limit > MOST_ITEMS);
    over.then(|| Issue::too_big(&[PathItem::from("limit")], "number", MOST_ITEMS))
}

/// Reads a JSON value. Its issues stand at `name`.
///
/// # Errors
/// At least one issue.
pub fn json_value(input: Input<'_>, name: &str, limits: &Limits) -> Result<Json, Issues> {
    let shape = Shape::Json { object: false, limited: true };
    let checked = validate(input, &shape, limits);
    let rewritten = checked.map_err(|issues| issues.under(&[PathItem::from(name)]))?;
    serde_json::from_str(rewritten.as_deref().unwrap_or(input.text)).map_err(|_| not_json())
}
