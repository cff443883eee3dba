//! What callers may ask of the live feed.

use std::sync::OnceLock;

use serde::Deserialize;

use super::options::{TYPES, event_type, optional, read};
use super::shape::{Bound, Shape, TextShape};
use super::{Input, Issue, Issues, Limits};

/// Code points of a cursor: one over all partitions is the longest.
const LONGEST_CURSOR: usize = 40_000;

/// What a subscription follows, and from where.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscribeOptions {
    pub session_id: Option<String>,
    pub user_id: Option<String>,
    pub all: Option<bool>,
    /// A date in ISO form, an event's id, a cursor, or `now`.
    pub after: Option<String>,
    pub types: Vec<String>,
}

/// Reads what a subscription follows. Issues stand at its fields.
///
/// # Errors
/// At least one issue.
pub fn subscribe_options(input: Input<'_>, limits: &Limits) -> Result<SubscribeOptions, Issues> {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    let shape = SHAPE.get_or_init(|| Shape::Object {
        fields: vec![
            optional("sessionId", Shape::Text(TextShape::plain(1, 128))),
            optional("userId", Shape::Text(TextShape::plain(1, 128))),
            optional("all", Shape::Flag),
            optional("after", Shape::Instant(TextShape::plain(1, LONGEST_CURSOR))),
            optional("types", Shape::List { item: Box::new(event_type()), most: Bound::Fixed(TYPES) }),
            optional("signal", Shape::Never),
            optional("keepAlive", Shape::Flag),
        ],
        strict: true,
    });
    let query: SubscribeOptions = read(input, shape, limits)?;
    let wholes = [query.session_id.is_some(), query.user_id.is_some(), query.all == Some(true)];
    if wholes.into_iter().filter(|whole| *whole).count() != 1 {
        return Err(Issues(vec![Issue::custom(&[], "One of sessionId, userId and all: true is needed")]));
    }
    Ok(query)
}
