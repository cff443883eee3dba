//! What callers may say of a service's tables and of its history.

use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::options::{LONGEST_LIFE_SECONDS, LONGEST_TIMER_MS, optional, read};
use super::shape::{Bound, Field, Shape, TextShape};
use super::{Input, Issue, Issues, JsonObject, KEY_CODE_POINTS, Limits, PathItem, not_json};

/// Code points of the name of a service, and of a table.
const NAME: usize = 128;
const METHOD: usize = 32;
const URL: usize = 8_192;
/// Code points of an entry's id, and of a cursor.
const ID: usize = 2_048;
/// Entries of one page.
const PAGE: u64 = 1_000;
/// Names of headers, and paths, that are to be masked.
const MASKS: usize = 100;
const MASK: usize = 256;
/// Bytes of an entry of a history at the most: room for its head at the least.
const LEAST_BYTES: u64 = 1_024;

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressOf {
    Table,
    Key,
    History,
    Entry,
    Request,
}

/// A place within a service; the parts that a call does not take are empty.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct Address {
    pub service: String,
    pub table: String,
    pub key: String,
    pub id: String,
    pub method: String,
    pub url: String,
}

/// Reads an address. Issues stand at its parts.
///
/// # Errors
/// At least one issue.
pub fn address(which: AddressOf, input: Input<'_>, limits: &Limits) -> Result<Address, Issues> {
    static SHAPES: [OnceLock<Shape>; 5] = [const { OnceLock::new() }; 5];
    let slot = SHAPES.get(which as usize).ok_or_else(not_json)?;
    let shape = slot.get_or_init(|| {
        let part = |name: &str, most| Field {
            name: name.to_owned(),
            shape: Shape::Text(TextShape::plain(1, most)),
            required: true,
        };
        let mut fields = vec![part("service", NAME)];
        fields.extend(match which {
            AddressOf::Table => vec![part("table", NAME)],
            AddressOf::Key => vec![part("table", NAME), part("key", KEY_CODE_POINTS)],
            AddressOf::History => Vec::new(),
            AddressOf::Entry => vec![part("id", ID)],
            AddressOf::Request => vec![part("method", METHOD), part("url", URL)],
        });
        Shape::Object { fields, strict: true }
    });
    read(input, shape, limits)
}

/// The options of calls on tables and histories; those that a call does not take are absent.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceOptions {
    pub timeout_ms: Option<f64>,
    /// 0 is for ever.
    pub ttl_seconds: Option<f64>,
    pub limit: Option<u64>,
    pub cursor: Option<String>,
    /// 0 is for ever.
    pub history_duration_seconds: Option<f64>,
    pub mask_headers: Vec<String>,
    pub mask_paths: Vec<String>,
    pub max_entry_bytes: Option<u64>,
}

/// Which options a call on a table or a history takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceFor {
    Call,
    Set,
    Page,
    Record,
}

/// Reads such options. Issues stand below `options`.
///
/// # Errors
/// At least one issue.
pub fn service_options(
    which: ServiceFor,
    input: Input<'_>,
    limits: &Limits,
) -> Result<ServiceOptions, Issues> {
    static SHAPES: [OnceLock<Shape>; 4] = [const { OnceLock::new() }; 4];
    let slot = SHAPES.get(which as usize).ok_or_else(not_json)?;
    let shape = slot.get_or_init(|| {
        let seconds = |name| optional(name, Shape::Number { least: 0, most: LONGEST_LIFE_SECONDS });
        let texts = |name| {
            let item = Box::new(Shape::Text(TextShape::plain(1, MASK)));
            optional(name, Shape::List { item, most: Bound::Fixed(MASKS) })
        };
        let mut fields = vec![
            optional("timeoutMs", Shape::Number { least: 1, most: LONGEST_TIMER_MS }),
            optional("signal", Shape::Never),
        ];
        fields.extend(match which {
            ServiceFor::Call => Vec::new(),
            ServiceFor::Set => vec![seconds("ttlSeconds")],
            ServiceFor::Page => vec![
                optional("limit", Shape::Integer { least: 1 }),
                optional("cursor", Shape::Text(TextShape::plain(1, ID))),
            ],
            ServiceFor::Record => vec![
                seconds("historyDurationSeconds"),
                texts("maskHeaders"),
                texts("maskPaths"),
                optional("maxEntryBytes", Shape::Integer { least: LEAST_BYTES as i64 }),
            ],
        });
        Shape::Object { fields, strict: true }
    });
    let options: Result<ServiceOptions, Issues> = read(input, shape, limits);
    let checked = options.and_then(|options| match options.limit {
        Some(limit) if limit > PAGE => {
            Err(Issues::from(Issue::too_big(&[PathItem::from("limit")], "number", PAGE)))
        }
        _ => Ok(options),
    });
    checked.map_err(|issues| issues.under(&[PathItem::from("options")]))
}

/// A request and its response, as the caller gives them.
#[derive(Debug, Clone, Deserialize)]
pub struct Exchanged {
    pub request: JsonObject,
    pub response: Option<JsonObject>,
}

/// What every request has.
#[derive(Debug, Default, Clone)]
pub struct RequestLine {
    pub method: String,
    pub url: String,
}

/// Reads what is to be recorded, and the request's method and URL. Issues stand at its fields.
///
/// # Errors
/// At least one issue.
pub fn exchanged(input: Input<'_>, limits: &Limits) -> Result<(Exchanged, RequestLine), Issues> {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    let object = || Shape::Json { object: true, limited: true };
    let shape = SHAPE.get_or_init(|| Shape::Object {
        fields: vec![
            Field { name: "request".to_owned(), shape: object(), required: true },
            optional("response", object()),
        ],
        strict: true,
    });
    let exchanged: Exchanged = read(input, shape, limits)?;
    let parts: std::collections::HashMap<String, &RawValue> =
        serde_json::from_str(exchanged.request.text()).map_err(|_| not_json())?;
    let mut issues = Vec::new();
    let mut part = |name: &str, most| {
        let text = parts.get(name).map_or(r#"["undefined"]"#, |value| value.get());
        let input = Input { text, tagged: !parts.contains_key(name) };
        super::check_text(input, name, 1, most).unwrap_or_else(|wrong| {
            issues.extend(wrong.under(&[PathItem::from("request")]).0);
            String::new()
        })
    };
    let line = RequestLine { method: part("method", METHOD), url: part("url", URL) };
    if issues.is_empty() { Ok((exchanged, line)) } else { Err(Issues(issues)) }
}

/// Reads a JSON object that stands alone. Its issues stand at `name`.
///
/// # Errors
/// At least one issue.
pub fn json_object(input: Input<'_>, name: &str, limits: &Limits) -> Result<JsonObject, Issues> {
    let shape = Shape::Json { object: true, limited: true };
    let rewritten =
        super::validate(input, &shape, limits).map_err(|issues| issues.under(&[PathItem::from(name)]))?;
    serde_json::from_str(rewritten.as_deref().unwrap_or(input.text)).map_err(|_| not_json())
}
