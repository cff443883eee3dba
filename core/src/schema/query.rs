//! Queries of records: what may be asked, and which fields may be wanted.

use std::sync::OnceLock;

use serde::Deserialize;

use super::name::SchemaName;
use super::options::{Order, Shown, optional, order, read, shown};
use super::shape::{Bound, Field, Shape, TextShape};
use super::{Input, Issue, Issues, Limits, PathItem};
use crate::clock::Timestamp;

/// Records of one page.
const A_PAGE: u64 = 1_000;
const DEFAULT_A_PAGE: u64 = 100;
/// Fields that one query may name.
const FIELDS: usize = 100;

/// Which records are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queried {
    Sessions,
    Chains,
    Steps,
}

impl Queried {
    fn record(self) -> SchemaName {
        match self {
            Self::Sessions => SchemaName::Session,
            Self::Chains => SchemaName::Chain,
            Self::Steps => SchemaName::Step,
        }
    }
}

/// What a query asks for.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RecordsQuery {
    /// The user of the sessions, the session of the chains, the chain of the steps.
    pub parent: String,
    /// Of sessions.
    pub state: Option<String>,
    /// Of chains and steps.
    pub status: Option<String>,
    /// Of sessions: one that they carry.
    pub tag: Option<String>,
    pub created_after: Option<Timestamp>,
    pub created_before: Option<Timestamp>,
    pub order: Order,
    pub limit: Option<u64>,
    pub cursor: Option<String>,
    /// Of chains: whether archived ones are shown.
    pub archived: Shown,
    /// The fields that are wanted beside the id; all unless given.
    pub fields: Option<Vec<String>>,
}

impl RecordsQuery {
    /// Records of a page: what was asked for, or 100.
    #[must_use]
    pub fn limit(&self) -> usize {
        usize::try_from(self.limit.unwrap_or(DEFAULT_A_PAGE)).unwrap_or(usize::MAX)
    }
}

/// Reads a query. Issues stand at its fields.
///
/// # Errors
/// At least one issue.
pub fn records_query(which: Queried, input: Input<'_>, limits: &Limits) -> Result<RecordsQuery, Issues> {
    static SHAPES: [OnceLock<Shape>; 3] = [const { OnceLock::new() }; 3];
    static NEVER: Shape = Shape::Never;
    let shape = SHAPES.get(which as usize).map_or(&NEVER, |slot| slot.get_or_init(|| shape(which)));
    let query: RecordsQuery = read(input, shape, limits)?;
    match query.limit {
        Some(limit) if limit > A_PAGE => {
            Err(Issues(vec![Issue::too_big(&[PathItem::from("limit")], "number", A_PAGE)]))
        }
        _ => Ok(query),
    }
}

fn shape(which: Queried) -> Shape {
    let Shape::Object { fields: record, .. } = Shape::of(which.record()) else { return Shape::Never };
    let names = record.iter().map(|field| field.name.clone()).collect();
    let of_record =
        |name: &str| match record.iter().find(|field| field.name == name).map(|field| &field.shape) {
            Some(Shape::Choice(values)) => Shape::Choice(values.clone()),
            _ => Shape::Never,
        };
    let parent = Shape::Text(TextShape::plain(1, Limits::default().id_code_points));
    let mut fields = vec![Field { name: "parent".to_owned(), shape: parent, required: true }];
    match which {
        Queried::Sessions => {
            fields.push(optional("state", of_record("state")));
            fields.push(optional("tag", Shape::Text(TextShape::plain(1, Limits::default().tag_code_points))));
        }
        Queried::Chains => {
            fields.extend([optional("status", of_record("status")), optional("archived", shown())]);
        }
        Queried::Steps => fields.push(optional("status", of_record("status"))),
    }
    let wanted = Shape::List { item: Box::new(Shape::Choice(names)), most: Bound::Fixed(FIELDS) };
    fields.extend([
        optional("createdAfter", Shape::Date),
        optional("createdBefore", Shape::Date),
        optional("order", order()),
        optional("limit", Shape::Integer { least: 1 }),
        optional("cursor", Shape::Text(TextShape::plain(1, 128))),
        optional("fields", wanted),
    ]);
    Shape::Object { fields, strict: true }
}
