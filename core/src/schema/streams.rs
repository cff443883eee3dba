//! What callers say of streams: each call gives one object.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::options::{LONGEST_LIFE_SECONDS, LONGEST_TIMER_MS, optional, read};
use super::shape::{Bound, Field, Shape, TextShape};
use super::{Input, Issue, Issues, Limits, PathItem};

/// Code points of the name of a stream, a group, a consumer.
const NAME: usize = 256;
/// Code points of a field's name, and of a value with the mark in front of it.
const FIELD: usize = 1_024;
const VALUE: usize = (16 << 20) + 1;
/// Fields of an entry, and ids of one call.
const PARTS: usize = 1_000;
/// Code points of a place and of a cursor.
const PLACE: usize = 64;
/// Entries of one answer: at the most, and unless it says otherwise.
const MOST_ENTRIES: u64 = 1_000;
const USUAL_ENTRIES: u64 = 100;

/// The arguments of one call; those that it does not take are absent.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StreamArgs {
    pub stream: String,
    pub group: String,
    pub consumer: String,
    pub fields: Vec<String>,
    /// Marked texts: `t` and the text itself, or `b` and the base64 form of bytes.
    pub values: Vec<String>,
    pub ids: Vec<String>,
    pub options: StreamOptions,
}

/// The options of one call; those that it does not take are absent.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StreamOptions {
    pub timeout_ms: Option<f64>,
    pub id: Option<String>,
    pub max_length: Option<u64>,
    /// A place, `start` or `end`.
    pub after: Option<String>,
    pub limit: Option<u64>,
    pub block: bool,
    pub timeout_seconds: Option<f64>,
    pub idle_seconds: Option<f64>,
    pub consumer: Option<String>,
    pub claim_after_seconds: Option<f64>,
    pub forget_after_seconds: Option<f64>,
    pub max_deliveries: Option<u64>,
    pub cursor: Option<String>,
    /// Values as bytes, all of them.
    pub bytes: bool,
}

impl StreamOptions {
    /// Entries of an answer: what was asked for, or 100; 1,000 at the most.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit.unwrap_or(USUAL_ENTRIES).min(MOST_ENTRIES)
    }
}

/// An operation, arguments that it needs, options.
type Takes = (&'static str, &'static [&'static str], &'static [&'static str]);

/// What each operation takes.
const CALLS: &[Takes] = &[
    ("add", &["stream", "fields", "values"], &["id", "maxLength"]),
    ("read", &["stream"], &["after", "limit", "block", "timeoutSeconds", "bytes"]),
    ("length", &["stream"], &[]),
    ("delete", &["stream"], &[]),
    ("createGroup", &["stream", "group"], &["after"]),
    ("deleteGroup", &["stream", "group"], &[]),
    ("groups", &["stream"], &[]),
    ("readGroup", &["stream", "group", "consumer"], &["limit", "block", "timeoutSeconds", "bytes"]),
    ("ack", &["stream", "group", "ids"], &[]),
    ("pending", &["stream", "group"], &["consumer", "idleSeconds", "after", "limit"]),
    ("claim", &["stream", "group", "consumer", "ids"], &["idleSeconds", "bytes"]),
    (
        "take",
        &["stream", "group", "consumer"],
        &[
            "concurrency",
            "limit",
            "consumer",
            "claimAfterSeconds",
            "forgetAfterSeconds",
            "maxDeliveries",
            "cursor",
            "bytes",
        ],
    ),
    ("leave", &["stream", "group", "consumer"], &[]),
    ("deadLetters", &["stream"], &["after", "limit", "bytes"]),
];

/// Reads the arguments of an operation on streams.
///
/// # Errors
/// At least one issue, at the argument's name.
pub fn stream_args(op: &str, input: Input<'_>, limits: &Limits) -> Result<StreamArgs, Issues> {
    static SHAPES: OnceLock<BTreeMap<&'static str, Shape>> = OnceLock::new();
    let shapes = SHAPES.get_or_init(|| CALLS.iter().map(|call| (call.0, shape(call))).collect());
    let Some(shape) = shapes.get(op) else {
        return Err(Issues(vec![Issue::custom(&[], "no such operation")]));
    };
    let args: StreamArgs = read(input, shape, limits)?;
    let issues = wrong(op, &args);
    if issues.is_empty() { Ok(args) } else { Err(Issues(issues)) }
}

fn shape((_, needed, options): &Takes) -> Shape {
    let mut fields: Vec<Field> =
        needed.iter().map(|name| Field { required: true, ..optional(name, argument(name)) }).collect();
    let timeout = optional("timeoutMs", Shape::Number { least: 1, most: LONGEST_TIMER_MS });
    let always = [timeout, optional("signal", Shape::Never)];
    let own = options.iter().map(|name| optional(name, option(name)));
    fields.push(optional(
        "options",
        Shape::Object { fields: always.into_iter().chain(own).collect(), strict: true },
    ));
    Shape::Object { fields, strict: true }
}

fn text(most: usize) -> Shape {
    Shape::Text(TextShape::plain(1, most))
}

fn list(item: Shape) -> Shape {
    Shape::List { item: Box::new(item), most: Bound::Fixed(PARTS) }
}

fn argument(name: &str) -> Shape {
    match name {
        "fields" => list(text(FIELD)),
        "values" => list(text(VALUE)),
        "ids" => list(text(PLACE)),
        _ => text(NAME),
    }
}

fn option(name: &str) -> Shape {
    match name {
        "id" | "after" | "cursor" => text(PLACE),
        "consumer" => text(NAME),
        "maxLength" | "limit" | "maxDeliveries" | "concurrency" => Shape::Integer { least: 1 },
        "block" | "bytes" => Shape::Flag,
        _ => Shape::Number { least: 0, most: LONGEST_LIFE_SECONDS },
    }
}

/// What its shape does not say.
fn wrong(op: &str, args: &StreamArgs) -> Vec<Issue> {
    let mut issues = Vec::new();
    let mut few = |name: &str| {
        issues.push(Issue::custom(&[PathItem::from(name)], "Too small: expected array to have >=1 items"));
    };
    if op == "add" && (args.fields.is_empty() || args.fields.len() != args.values.len()) {
        few("fields");
    }
    if matches!(op, "ack" | "claim") && args.ids.is_empty() {
        few("ids");
    }
    let option = |name: &str| [PathItem::from("options"), PathItem::from(name)];
    if op != "take" && args.options.limit.is_some_and(|limit| limit > MOST_ENTRIES) {
        issues.push(Issue::too_big(&option("limit"), "number", MOST_ENTRIES));
    }
    if args.options.claim_after_seconds == Some(0.0) {
        issues.push(Issue::custom(&option("claimAfterSeconds"), "Too small: expected number to be >0"));
    }
    issues
}
