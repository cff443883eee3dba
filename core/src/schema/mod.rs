//! Records and inputs: their shapes, their validation, and the one source of every generated type.
//!
//! The Rust types say what a record is. From them schemars makes JSON Schema ([`SchemaName`]), and from
//! that come the validator's own tree, the published schema files, the TypeScript types and the zod
//! module: nothing is said twice.
//!
//! The validator reads text where it lies. It builds no tree of the value, does not recurse into it, and
//! finds all that is wrong, in zod's words and order.

mod args;
mod breakers;
mod canon;
mod chain;
mod check;
mod collections;
mod event;
mod feed_options;
mod guards;
mod ids;
mod issue;
mod json;
mod life;
mod limits;
mod name;
mod options;
mod plain;
mod query;
mod request_log;
mod resilience;
mod scan;
mod service;
mod session;
mod shape;
mod step;
mod streams;
mod walk;
mod wrong;

pub use args::{ArgOptions, Args, args, page_of};
pub use breakers::{
    BreakerConfig, HISTORY_A_PAGE, OrderOptions, PresetName, ScopeName, StrategyName, TableFilter,
    breaker_config, order_options, table_filter,
};
pub use chain::{Chain, ChainData, ChainSource, ChainStatus, ChainUpdate, StepCounts};
pub use collections::{CollectionArgs, CollectionOptions, Definition, collection_args};
pub use event::{CustomEvent, Event};
pub use feed_options::{SubscribeOptions, subscribe_options};
pub use guards::{GuardKind, Guards};
pub use issue::{Issue, IssueKind, Issues, PathItem};
pub use json::{Json, JsonObject, Patch};
pub use life::{PruneQuery, SweepOptions, prune_query, sweep_options};
pub use limits::{DEEPEST, Limits};
pub use name::SchemaName;
pub use options::{
    BackendName, EventsOptions, OnCorrupt, OnLost, Options, OptionsFor, Order, Shown, StorageOptions,
    events_options, options, storage_options,
};
pub use plain::{
    KEY_CODE_POINTS, NAME_CODE_POINTS, PlainFor, PlainOptions, TOKEN_CODE_POINTS, json_value, plain_options,
};
pub use query::{Queried, RecordsQuery, records_query};
pub use request_log::{LogEntry, LogQuery, LogSpan, log_entry, log_query, log_span};
pub use resilience::{
    BreakerOptions, ChaosOptions, FsyncOption, JournalOptions, OnConflict, OnUnavailable, ResilienceOptions,
    RetryOptions,
};
pub use service::{
    Address, AddressOf, Exchanged, RequestLine, ServiceFor, ServiceOptions, address, exchanged, json_object,
    service_options,
};
pub use session::{Session, SessionData, SessionState, SessionUpdate};
pub use step::{Step, StepData, StepStatus, StepUpdate};
pub use streams::{StreamArgs, StreamOptions, stream_args};

use serde::de::DeserializeOwned;

use check::Checker;
use shape::{Bound, Shape, TextShape};

/// What a caller gave, as text.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    pub text: &'a str,
    /// Whether the text is in the face's form for values that JSON can't write.
    pub tagged: bool,
}

impl<'a> Input<'a> {
    /// Plain JSON.
    #[must_use]
    pub fn json(text: &'a str) -> Self {
        Self { text, tagged: false }
    }
}

/// A type with a schema of its own.
pub trait Validated: DeserializeOwned {
    const NAME: SchemaName;
}

macro_rules! validated {
    ($($name:ident)*) => {$(
        impl Validated for $name {
            const NAME: SchemaName = SchemaName::$name;
        }
    )*};
}

validated! {
    Session SessionData SessionUpdate Chain ChainData ChainUpdate Step StepData StepUpdate Event CustomEvent
}

/// Reads an input: all of it is right, or every issue is told.
///
/// *Errors*: at least one issue.
pub fn parse<T: Validated>(input: Input<'_>, limits: &Limits) -> Result<T, Issues> {
    let shape = Shape::of(T::NAME);
    let rewritten = validate(input, shape, limits)?;
    let text = rewritten.as_deref().unwrap_or(input.text);
    serde_json::from_str(text).map_err(|_| not_json())
}

/// Checks a value and gives it back as JSON text: fields in the schema's order, dates in ISO form, and
/// without what the schema strips.
///
/// *Errors*: at least one issue.
pub fn check(name: SchemaName, input: Input<'_>, limits: &Limits) -> Result<String, Issues> {
    let shape = Shape::of(name);
    validate(input, shape, limits)?;
    canon::value(input.text, input.tagged, shape).map_err(|_| not_json())
}

/// Reads the caller's name for a user. Its issues stand at `userId`.
pub fn check_user_id(input: Input<'_>, limits: &Limits) -> Result<String, Issues> {
    check_text(input, "userId", 1, limits.id_code_points)
}

/// Reads a string of `least` to `most` code points. Its issues stand at `name`.
pub fn check_text(input: Input<'_>, name: &str, least: usize, most: usize) -> Result<String, Issues> {
    let shape = Shape::Text(TextShape { least, most: Bound::Fixed(most), prefix: None, events: None });
    let checked = validate(input, &shape, &Limits::default());
    checked.map_err(|issues| issues.under(&[PathItem::from(name)]))?;
    serde_json::from_str(input.text).map_err(|_| not_json())
}

/// The text to go on with, if it is not the input's own.
fn validate(input: Input<'_>, shape: &Shape, limits: &Limits) -> Result<Option<String>, Issues> {
    let mut checker = Checker::new(input.text, input.tagged, limits);
    checker.run(shape).map_err(|_| not_json())?;
    if !checker.issues.is_empty() {
        return Err(Issues(checker.issues));
    }
    if !checker.rewrite {
        return Ok(None);
    }
    canon::value(input.text, input.tagged, shape).map(Some).map_err(|_| not_json())
}

fn not_json() -> Issues {
    Issues::from(Issue::custom(&[], "Invalid input: not JSON"))
}
