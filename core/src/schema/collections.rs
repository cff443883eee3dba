//! What callers say of a collection and of its records.

use std::sync::OnceLock;

use serde::Deserialize;

use super::options::{optional, read};
use super::shape::{Bound, Field, Shape, TextShape};
use super::{Input, Issues, Json, JsonObject, Limits};

/// Code points of a name and of an id.
const NAME: usize = 512;
/// Constraints, second keys, sets of one collection; fields of one constraint.
const PARTS: usize = 16;
const LONGEST_LIFE_SECONDS: u64 = 220_000_000_000;
const LONGEST_TIMER_MS: u64 = 2_147_483_647;

/// What a collection is: its name, and the fields by which its records are found.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Definition {
    pub name: String,
    /// The field that holds a record's id.
    pub id: String,
    pub unique: Vec<Vec<String>>,
    pub lookup: Vec<String>,
    pub order_by: Option<String>,
    pub sets: Vec<String>,
    pub ttl_seconds: Option<f64>,
}

/// A call on a collection.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CollectionArgs {
    pub definition: Definition,
    pub record: Option<JsonObject>,
    pub id: Option<Json>,
    pub by: Option<String>,
    pub value: Option<Json>,
    pub options: CollectionOptions,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CollectionOptions {
    pub timeout_ms: Option<f64>,
    pub ttl_seconds: Option<f64>,
    pub limit: Option<u64>,
    pub cursor: Option<String>,
    pub descending: bool,
}

/// Reads a call on a collection.
///
/// # Errors
/// At least one issue, at the argument's name.
pub fn collection_args(input: Input<'_>, limits: &Limits) -> Result<CollectionArgs, Issues> {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    let shape = SHAPE.get_or_init(|| {
        let any = || Shape::Json { object: false, limited: true };
        Shape::Object {
            fields: vec![
                Field { name: "definition".to_owned(), shape: definition(), required: true },
                optional("record", Shape::Json { object: true, limited: true }),
                optional("id", any()),
                optional("by", text()),
                optional("value", any()),
                optional("options", options()),
            ],
            strict: true,
        }
    });
    read(input, shape, limits)
}

fn text() -> Shape {
    Shape::Text(TextShape::plain(1, NAME))
}

fn list(item: Shape) -> Shape {
    Shape::List { item: Box::new(item), most: Bound::Fixed(PARTS) }
}

fn seconds() -> Shape {
    Shape::Number { least: 0, most: LONGEST_LIFE_SECONDS }
}

fn definition() -> Shape {
    let fields = vec![
        Field { name: "name".to_owned(), shape: text(), required: true },
        Field { name: "id".to_owned(), shape: text(), required: true },
        optional("unique", list(list(text()))),
        optional("lookup", list(text())),
        optional("orderBy", text()),
        optional("sets", list(text())),
        optional("ttlSeconds", seconds()),
    ];
    Shape::Object { fields, strict: true }
}

fn options() -> Shape {
    let fields = vec![
        optional("timeoutMs", Shape::Number { least: 1, most: LONGEST_TIMER_MS }),
        optional("signal", Shape::Never),
        optional("ttlSeconds", seconds()),
        optional("limit", Shape::Integer { least: 1 }),
        optional("cursor", Shape::Text(TextShape::plain(1, 2 * NAME))),
        optional("descending", Shape::Flag),
    ];
    Shape::Object { fields, strict: true }
}
