//! What callers may ask for beside the data: options of calls, of queries and of a storage.

use std::sync::OnceLock;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::name::SchemaName;
use super::resilience::{self, ResilienceOptions};
use super::shape::{Bound, Field, Shape, TextShape};
use super::{Input, Issue, Issues, Limits, PathItem, not_json, validate};

/// The longest time in ms that a timer of the face can count: 2^31 - 1, some 24 days.
pub(super) const LONGEST_TIMER_MS: u64 = 2_147_483_647;
/// The longest life in seconds that still ends in a year of four digits, whenever it began: 7,000 years.
pub(super) const LONGEST_LIFE_SECONDS: u64 = 220_000_000_000;
/// Events of one page.
const EVENTS_A_PAGE: u64 = 1_000;
const DEFAULT_EVENTS_A_PAGE: u64 = 100;
/// Code points of a server's URL: room for a list of servers.
const LONGEST_URL: usize = 8_192;
/// Code points of certificates: room for a system's whole list.
const LONGEST_PEM: usize = 1_048_576;
/// Code points of a cursor of events: one that was given by a subscription names its user.
const LONGEST_CURSOR: usize = 2_048;
/// Types that one query of events may name.
pub(super) const TYPES: usize = 100;

/// Which options a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionsFor {
    Call,
    Create,
    CreateChain,
    Update,
    UpdateStep,
    Heartbeat,
    List,
    ListChains,
    Replay,
}

/// Which chains, as far as the archive goes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shown {
    #[default]
    Include,
    Exclude,
    Only,
}

/// What becomes of a step whose worker fell silent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLost {
    #[default]
    Fail,
    Retry,
}

/// A list's order: that of creation, or the other way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    #[default]
    Asc,
    Desc,
}

/// The options of one call; those that it does not take are absent.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Options {
    /// How long the caller waits, in ms. 1 to 2^31 - 1.
    pub timeout_ms: Option<f64>,
    /// 1 to 128 code points.
    pub idempotency_key: Option<String>,
    pub rollup: Option<bool>,
    pub if_version: Option<u64>,
    pub limit: Option<u64>,
    pub order: Order,
    pub archived: Shown,
    /// Of a step: for how long its worker may be silent.
    pub lease_seconds: Option<f64>,
    pub on_lost: OnLost,
    pub if_attempt: Option<u64>,
    /// Of a replay: a date in ISO form or an event's id.
    pub at: Option<String>,
}

/// What a query of events asks for.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventsOptions {
    pub session_id: Option<String>,
    pub user_id: Option<String>,
    /// A date in ISO form or an event's id.
    pub after: Option<String>,
    pub before: Option<String>,
    pub types: Vec<String>,
    pub limit: Option<u64>,
    pub cursor: Option<String>,
}

impl EventsOptions {
    /// Events of a page: what was asked for, or 100.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit.unwrap_or(DEFAULT_EVENTS_A_PAGE)
    }
}

/// How a storage is to be.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageOptions {
    pub backend: Option<BackendName>,
    pub url: Option<String>,
    pub prefix: Option<String>,
    /// 0 is for ever.
    pub session_ttl_seconds: Option<f64>,
    /// 0 is no cap.
    pub max_session_life_seconds: Option<f64>,
    /// Events of a session's log.
    pub max_events: Option<u64>,
    /// The age at which an event goes.
    pub event_ttl_seconds: Option<f64>,
    /// 0 is with the write that ends a chain.
    pub archive_after_seconds: Option<f64>,
    /// 0 is for ever.
    pub archive_ttl_seconds: Option<f64>,
    /// The form in which records are written: an older one while older versions still read them.
    pub write_schema_version: Option<u64>,
    pub timeout_ms: Option<f64>,
    pub on_corrupt: Option<OnCorrupt>,
    pub feed_of_all: Option<bool>,
    /// How often the face has what is due done; 0 is never.
    pub sweep_seconds: Option<f64>,
    pub kv: KvOptions,
    /// For connections by TLS, as the face hands it to what makes them.
    pub tls: Option<TlsOptions>,
    /// Inside the resilient stack, so configured; absent: bare.
    pub resilience: Option<ResilienceOptions>,
}

/// How a server proves who it is, and who we are: PEM texts.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsOptions {
    /// Whom to trust; the system's list where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The name that the server's certificate must have; its host where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servername: Option<String>,
    /// False takes any certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reject_unauthorized: Option<bool>,
}

/// How keys and values are to be.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KvOptions {
    /// Keys as they are given, in a keyspace that other programs share: no prefix.
    pub raw_keys: bool,
}

/// A backend by its public name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendName {
    Memory,
    Redis,
}

/// What a list does with a record that can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnCorrupt {
    Throw,
    Skip,
}

/// Reads a call's options. Issues stand below `options`.
///
/// # Errors
/// At least one issue.
pub fn options(which: OptionsFor, input: Input<'_>, limits: &Limits) -> Result<Options, Issues> {
    static SHAPES: [OnceLock<Shape>; 9] = [const { OnceLock::new() }; 9];
    let slot = SHAPES.get(which as usize).ok_or_else(not_json)?;
    let shape = slot.get_or_init(|| {
        let mut fields = vec![
            optional("timeoutMs", Shape::Number { least: 1, most: LONGEST_TIMER_MS }),
            optional("signal", Shape::Never),
        ];
        let more = match which {
            OptionsFor::Call => Vec::new(),
            OptionsFor::Create => vec![key()],
            OptionsFor::CreateChain => vec![key(), optional("rollup", Shape::Flag)],
            OptionsFor::Update => vec![optional("ifVersion", Shape::Integer { least: 1 })],
            OptionsFor::UpdateStep => vec![
                optional("ifVersion", Shape::Integer { least: 1 }),
                attempt(),
                optional("leaseSeconds", Shape::Number { least: 0, most: LONGEST_LIFE_SECONDS }),
                optional("onLost", Shape::Choice(vec!["fail".to_owned(), "retry".to_owned()])),
            ],
            OptionsFor::Heartbeat => vec![attempt()],
            OptionsFor::ListChains => vec![
                optional("limit", Shape::Integer { least: 1 }),
                optional("order", order()),
                optional("archived", shown()),
            ],
            OptionsFor::List => {
                vec![optional("limit", Shape::Integer { least: 1 }), optional("order", order())]
            }
            OptionsFor::Replay => vec![optional("at", Shape::Instant(TextShape::plain(1, 128)))],
        };
        fields.extend(more);
        Shape::Object { fields, strict: true }
    });
    read(input, shape, limits).map_err(|issues| issues.under(&[PathItem::from("options")]))
}

/// Reads a query of events. Issues stand at its fields.
///
/// # Errors
/// At least one issue.
pub fn events_options(input: Input<'_>, limits: &Limits) -> Result<EventsOptions, Issues> {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    let text = |most| Shape::Text(TextShape::plain(1, most));
    let shape = SHAPE.get_or_init(|| Shape::Object {
        fields: vec![
            optional("sessionId", text(128)),
            optional("userId", text(128)),
            optional("after", Shape::Instant(TextShape::plain(1, 128))),
            optional("before", Shape::Instant(TextShape::plain(1, 128))),
            optional("types", Shape::List { item: Box::new(event_type()), most: Bound::Fixed(TYPES) }),
            optional("limit", Shape::Integer { least: 1 }),
            optional("cursor", text(LONGEST_CURSOR)),
        ],
        strict: true,
    });
    let query: EventsOptions = read(input, shape, limits)?;
    if query.limit() > EVENTS_A_PAGE {
        return Err(Issues(vec![Issue::too_big(&[PathItem::from("limit")], "number", EVENTS_A_PAGE)]));
    }
    Ok(query)
}

/// Reads a storage's options, without those that the face keeps for itself.
///
/// # Errors
/// At least one issue.
pub fn storage_options(input: Input<'_>) -> Result<StorageOptions, Issues> {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    let seconds = || Shape::Number { least: 0, most: LONGEST_LIFE_SECONDS };
    let shape = SHAPE.get_or_init(|| Shape::Object {
        fields: vec![
            optional("backend", Shape::Choice(vec!["memory".to_owned(), "redis".to_owned()])),
            optional("url", Shape::Text(TextShape::plain(1, LONGEST_URL))),
            optional("prefix", Shape::Text(TextShape::plain(0, 64))),
            optional("sessionTtlSeconds", seconds()),
            optional("maxSessionLifeSeconds", seconds()),
            optional("maxEvents", Shape::Integer { least: 1 }),
            optional("eventTtlSeconds", Shape::Number { least: 1, most: LONGEST_LIFE_SECONDS }),
            optional("archiveAfterSeconds", seconds()),
            optional("archiveTtlSeconds", seconds()),
            optional("writeSchemaVersion", Shape::Integer { least: 1 }),
            optional("timeoutMs", Shape::Number { least: 1, most: LONGEST_TIMER_MS }),
            optional("sweepSeconds", seconds()),
            optional("kv", Shape::Object { fields: vec![optional("rawKeys", Shape::Flag)], strict: true }),
            optional("feedOfAll", Shape::Flag),
            optional("onCorrupt", Shape::Choice(vec!["throw".to_owned(), "skip".to_owned()])),
            optional("tls", tls()),
            optional("resilience", resilience::shape()),
        ],
        strict: true,
    });
    read(input, shape, &Limits::default())
}

pub(super) fn read<T: DeserializeOwned>(
    input: Input<'_>,
    shape: &Shape,
    limits: &Limits,
) -> Result<T, Issues> {
    let rewritten = validate(input, shape, limits)?;
    serde_json::from_str(rewritten.as_deref().unwrap_or(input.text)).map_err(|_| not_json())
}

pub(super) fn optional(name: &str, shape: Shape) -> Field {
    Field { name: name.to_owned(), shape, required: false }
}

fn tls() -> Shape {
    let text = |most| Shape::Text(TextShape::plain(1, most));
    let fields = vec![
        optional("ca", text(LONGEST_PEM)),
        optional("cert", text(LONGEST_PEM)),
        optional("key", text(LONGEST_PEM)),
        optional("servername", text(253)),
        optional("rejectUnauthorized", Shape::Flag),
    ];
    Shape::Object { fields, strict: true }
}

/// The types that an event may have.
pub(super) fn event_type() -> Shape {
    let Shape::Object { fields, .. } = Shape::of(SchemaName::Event) else { return Shape::Never };
    match fields.iter().find(|field| field.name == "type").map(|field| &field.shape) {
        Some(Shape::Text(text)) => Shape::Text(text.clone()),
        _ => Shape::Never,
    }
}

fn attempt() -> Field {
    optional("ifAttempt", Shape::Integer { least: 1 })
}

pub(super) fn shown() -> Shape {
    Shape::Choice(["include", "exclude", "only"].map(str::to_owned).into())
}

fn key() -> Field {
    optional("idempotencyKey", Shape::Text(TextShape::plain(1, 128)))
}

pub(super) fn order() -> Shape {
    Shape::Choice(vec!["asc".to_owned(), "desc".to_owned()])
}
