//! The arguments of what stands on plain values: each call gives one object.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::options::{optional, read};
use super::shape::{Bound, Field, Shape, TextShape};
use super::{Input, Issue, Issues, JsonObject, Limits, PathItem};

/// Code points of a key, a field or a pattern.
const KEY: usize = 1_024;
/// Code points of a value.
const VALUE: usize = 16 << 20;
/// Parts of one call: keys, fields, members, commands.
const PARTS: usize = 10_000;
/// The longest life in seconds: 7,000 years.
const LONGEST_LIFE_SECONDS: u64 = 220_000_000_000;
/// The longest time in ms that a timer of the face can count.
const LONGEST_TIMER_MS: u64 = 2_147_483_647;
/// Items of one page.
const PAGE: u64 = 10_000;

/// The arguments of one call; those that it does not take are absent.
///
/// Values are marked texts: `t` and the text itself, or `b` and the base64 form of bytes.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Args {
    pub op: Option<String>,
    pub key: String,
    pub keys: Vec<String>,
    pub field: String,
    pub fields: Vec<String>,
    pub value: Option<String>,
    pub expected: Option<String>,
    pub values: Vec<String>,
    pub scores: Vec<f64>,
    pub updates: Option<JsonObject>,
    pub by: Option<f64>,
    pub from: Option<f64>,
    pub to: Option<f64>,
    pub pattern: String,
    pub commands: Vec<Args>,
    pub options: ArgOptions,
}

/// The options of one call; those that it does not take are absent.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ArgOptions {
    pub timeout_ms: Option<f64>,
    pub ttl_seconds: Option<f64>,
    pub bytes: bool,
    pub atomic: Option<bool>,
    pub limit: Option<u64>,
    pub cursor: Option<String>,
    pub descending: bool,
}

/// What an argument may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Key,
    Keys,
    Value,
    /// A value, or null.
    Expected,
    Values,
    Scores,
    Number,
    Object,
    Commands,
}

/// Every argument by its name.
const KINDS: &[(&str, Kind)] = &[
    ("key", Kind::Key),
    ("keys", Kind::Keys),
    ("field", Kind::Key),
    ("fields", Kind::Keys),
    ("value", Kind::Value),
    ("expected", Kind::Expected),
    ("values", Kind::Values),
    ("scores", Kind::Scores),
    ("updates", Kind::Object),
    ("by", Kind::Number),
    ("from", Kind::Number),
    ("to", Kind::Number),
    ("pattern", Kind::Key),
    ("commands", Kind::Commands),
];

/// An operation, arguments that it needs, arguments that it may have, options.
type Takes = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

/// What each operation takes.
const CALLS: &[Takes] = &[
    ("get", &["key"], &[], &["bytes"]),
    ("getMany", &["keys"], &[], &["bytes"]),
    ("set", &["key", "value"], &[], &["ttlSeconds"]),
    ("setIfNotExists", &["key", "value"], &[], &["ttlSeconds"]),
    ("compareAndSet", &["key", "expected", "value"], &[], &["ttlSeconds"]),
    ("updateJson", &["key", "updates"], &[], &[]),
    ("increment", &["key"], &["by"], &[]),
    ("delete", &["keys"], &[], &[]),
    ("exists", &["key"], &[], &[]),
    ("expire", &["key", "by"], &[], &[]),
    ("ttlSeconds", &["key"], &[], &[]),
    ("hget", &["key", "field"], &[], &["bytes"]),
    ("hset", &["key", "fields", "values"], &[], &[]),
    ("hgetall", &["key"], &[], &["bytes"]),
    ("hdel", &["key", "fields"], &[], &[]),
    ("hincrement", &["key", "field"], &["by"], &[]),
    ("sadd", &["key", "values"], &[], &[]),
    ("srem", &["key", "values"], &[], &[]),
    ("sismember", &["key", "value"], &[], &[]),
    ("smembers", &["key"], &[], &["bytes"]),
    ("scard", &["key"], &[], &[]),
    ("zadd", &["key", "values", "scores"], &[], &[]),
    ("zrem", &["key", "values"], &[], &[]),
    ("zscore", &["key", "value"], &[], &[]),
    ("zincrement", &["key", "value", "by"], &[], &[]),
    ("zcard", &["key"], &[], &[]),
    ("zrange", &["key", "from", "to"], &[], &["bytes", "descending"]),
    ("zrangeByScore", &["key", "from", "to"], &[], &["bytes", "descending", "limit"]),
    ("keys", &["pattern"], &[], &["limit", "cursor"]),
    ("pipeline", &["commands"], &[], &["atomic", "bytes"]),
    ("ping", &[], &[], &[]),
    ("info", &[], &[], &[]),
    ("dbSize", &[], &[], &[]),
];

/// Reads the arguments of an operation on keys and values.
///
/// # Errors
/// At least one issue, at the argument's name.
pub fn args(op: &str, input: Input<'_>, limits: &Limits) -> Result<Args, Issues> {
    static SHAPES: OnceLock<BTreeMap<&'static str, Shape>> = OnceLock::new();
    let shapes = SHAPES.get_or_init(|| CALLS.iter().map(|call| (call.0, shape(call))).collect());
    let Some(shape) = shapes.get(op) else {
        return Err(Issues(vec![Issue::custom(&[], "no such operation")]));
    };
    let args: Args = read(input, shape, limits)?;
    let issues: Vec<Issue> =
        args.commands.iter().enumerate().flat_map(|(place, command)| missing(place, command)).collect();
    if issues.is_empty() { Ok(args) } else { Err(Issues(issues)) }
}

fn shape((_, needed, allowed, options): &Takes) -> Shape {
    let field = |name: &&str, required| Field { required, ..optional(name, kind(name)) };
    let mut fields: Vec<Field> = needed.iter().map(|name| field(name, true)).collect();
    fields.extend(allowed.iter().map(|name| field(name, false)));
    fields.push(optional("options", self::options(options)));
    Shape::Object { fields, strict: true }
}

fn options(names: &[&str]) -> Shape {
    let timeout = optional("timeoutMs", Shape::Number { least: 1, most: LONGEST_TIMER_MS });
    let more = names.iter().map(|name| {
        optional(
            name,
            match *name {
                "ttlSeconds" => Shape::Number { least: 0, most: LONGEST_LIFE_SECONDS },
                "limit" => Shape::Integer { least: 1 },
                "cursor" => text(0, KEY),
                _ => Shape::Flag,
            },
        )
    });
    let signal = optional("signal", Shape::Never);
    Shape::Object { fields: [timeout, signal].into_iter().chain(more).collect(), strict: true }
}

fn text(least: usize, most: usize) -> Shape {
    Shape::Text(TextShape::plain(least, most))
}

fn kind(name: &str) -> Shape {
    let list = |item| Shape::List { item: Box::new(item), most: Bound::Fixed(PARTS) };
    let number = || Shape::Number { least: i64::MIN, most: u64::MAX };
    match KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind) {
        Some(Kind::Key) => text(1, KEY),
        Some(Kind::Keys) => list(text(1, KEY)),
        // The mark in front counts.
        Some(Kind::Value) => text(1, VALUE + 1),
        Some(Kind::Expected) => Shape::Nullable(Box::new(text(1, VALUE + 1))),
        Some(Kind::Values) => list(text(1, VALUE + 1)),
        Some(Kind::Scores) => list(number()),
        Some(Kind::Number) => number(),
        Some(Kind::Object) => Shape::Json { object: true, limited: true },
        Some(Kind::Commands) => list(command()),
        None => Shape::Never,
    }
}

/// One command of a pipeline: those that stand for themselves.
fn command() -> Shape {
    let single = |call: &&Takes| call.1.contains(&"key") && is_single(call.0);
    let mut fields = vec![Field {
        required: true,
        ..optional("op", Shape::Choice(CALLS.iter().filter(single).map(|call| call.0.to_owned()).collect()))
    }];
    fields.extend(
        KINDS.iter().filter(|(_, kind)| *kind != Kind::Commands).map(|(name, _)| optional(name, kind(name))),
    );
    fields.push(optional("options", options(&["ttlSeconds", "bytes", "descending", "limit"])));
    Shape::Object { fields, strict: true }
}

/// Whether an operation is one command.
fn is_single(op: &str) -> bool {
    !matches!(op, "compareAndSet" | "updateJson")
}

/// What a pipeline's command needs and does not have.
fn missing(place: usize, command: &Args) -> Vec<Issue> {
    let needed =
        CALLS.iter().find(|call| command.op.as_deref() == Some(call.0)).map_or(&[][..], |call| call.1);
    let has = |name: &str| match name {
        "key" => !command.key.is_empty(),
        "field" => !command.field.is_empty(),
        "fields" => !command.fields.is_empty(),
        "value" => command.value.is_some(),
        "values" => !command.values.is_empty(),
        "scores" => command.scores.len() == command.values.len(),
        "by" => command.by.is_some(),
        "from" => command.from.is_some(),
        "to" => command.to.is_some(),
        _ => true,
    };
    let at = |name: &str| [PathItem::from("commands"), PathItem::from(place), PathItem::from(name)];
    let expected = |name: &str| match name {
        "fields" | "values" | "scores" => "array",
        "by" | "from" | "to" => "number",
        _ => "string",
    };
    needed
        .iter()
        .filter(|name| !has(name))
        .map(|name| Issue::invalid_type(&at(name), expected(name), "undefined"))
        .collect()
}

/// How many items a page has: what was asked for, or 1,000; 10,000 at the most.
#[must_use]
pub fn page_of(limit: Option<u64>) -> u64 {
    limit.unwrap_or(1_000).min(PAGE)
}
