//! The schemas as the validator walks them: compiled once from their JSON Schema.

use std::sync::OnceLock;

use serde_json::Value;

use super::limits::{LimitName, Limits};
use super::name::SchemaName;

/// What a value must look like.
#[derive(Debug)]
pub(super) enum Shape {
    Object {
        fields: Vec<Field>,
        strict: bool,
    },
    List {
        item: Box<Shape>,
        most: Bound,
    },
    Text(TextShape),
    Choice(Vec<String>),
    Integer {
        least: i64,
    },
    /// Any finite number within bounds; only in options.
    Number {
        least: i64,
        most: u64,
    },
    Flag,
    Date,
    /// A date, or the text of an id; only in options.
    Instant(TextShape),
    Json {
        object: bool,
        limited: bool,
    },
    Nullable(Box<Shape>),
    /// A part of a schema that the compiler does not know: nothing passes. A test finds it.
    Never,
}

/// One field of an object, in the order of declaration.
#[derive(Debug)]
pub(super) struct Field {
    pub name: String,
    pub shape: Shape,
    pub required: bool,
}

#[derive(Debug, Clone)]
pub(super) struct TextShape {
    pub least: usize,
    pub most: Bound,
    /// What it must start with.
    pub prefix: Option<String>,
    /// The whole values that are allowed beside those with [`EVENT_PREFIX`]: an event's type.
    pub events: Option<Vec<String>>,
}

/// What a caller's own event type starts with.
pub(super) const EVENT_PREFIX: &str = "custom:";

/// An upper bound.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    None,
    Fixed(usize),
    /// A caller's limit, and what is added to it.
    Limit(LimitName, usize),
}

impl Bound {
    pub(super) fn of(self, limits: &Limits) -> usize {
        match self {
            Self::None => usize::MAX,
            Self::Fixed(most) => most,
            Self::Limit(name, more) => limits.of(name).saturating_add(more),
        }
    }
}

impl TextShape {
    /// Any text of `least` to `most` code points.
    pub(super) fn plain(least: usize, most: usize) -> Self {
        Self { least, most: Bound::Fixed(most), prefix: None, events: None }
    }
}

impl Shape {
    /// The shape of a schema, compiled at its first use.
    pub(super) fn of(name: SchemaName) -> &'static Self {
        static SHAPES: [OnceLock<Shape>; SchemaName::ALL.len()] =
            [const { OnceLock::new() }; SchemaName::ALL.len()];
        static NEVER: Shape = Shape::Never;
        SHAPES
            .get(name as usize)
            .map_or(&NEVER, |shape| shape.get_or_init(|| compile(&name.annotated(), name.is_record())))
    }
}

fn compile(schema: &Value, record: bool) -> Shape {
    let word = |keyword: &str| schema.get(keyword).and_then(Value::as_str);
    match (word("x-type"), word("type")) {
        (Some("Json"), _) => return Shape::Json { object: false, limited: !record },
        (Some("JsonObject"), _) => return Shape::Json { object: true, limited: !record },
        (_, Some("object")) => return object(schema, record),
        (_, Some("array")) => {
            let item = schema.get("items").map_or(Shape::Never, |item| compile(item, record));
            return Shape::List { item: Box::new(item), most: bound(schema, "maxItems", 0) };
        }
        (_, Some("integer")) => {
            return Shape::Integer { least: schema.get("minimum").and_then(Value::as_i64).unwrap_or(0) };
        }
        (_, Some("string")) if word("format") == Some("date-time") => return Shape::Date,
        (_, Some("string")) => return text(schema),
        _ => {}
    }
    match schema.get("anyOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([inner, null]) if null.get("type").and_then(Value::as_str) == Some("null") => {
            Shape::Nullable(Box::new(compile(inner, record)))
        }
        _ => Shape::Never,
    }
}

fn object(schema: &Value, record: bool) -> Shape {
    let required = schema.get("required").and_then(Value::as_array);
    let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let fields = fields
        .map(|(name, field)| Field {
            name: name.clone(),
            shape: compile(field, record),
            required: required.is_some_and(|required| required.iter().any(|known| known == name)),
        })
        .collect();
    Shape::Object { fields, strict: !record }
}

fn text(schema: &Value) -> Shape {
    if let Some(values) = words(schema.get("enum")) {
        return Shape::Choice(values);
    }
    let prefix = schema.get("x-prefix").and_then(Value::as_str).map(str::to_owned);
    let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0);
    let most = bound(schema, "maxLength", prefix.as_ref().map_or(0, |prefix| prefix.chars().count()));
    let events = schema.pointer("/anyOf/0/enum").and_then(|values| words(Some(values)));
    Shape::Text(TextShape { least: usize::try_from(least).unwrap_or(usize::MAX), most, prefix, events })
}

fn words(values: Option<&Value>) -> Option<Vec<String>> {
    values?.as_array()?.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

fn bound(schema: &Value, keyword: &str, more: usize) -> Bound {
    let named = schema.get("x-limit").and_then(|name| serde_json::from_value(name.clone()).ok());
    if let Some(name) = named {
        return Bound::Limit(name, more);
    }
    let fixed = schema.get(keyword).and_then(Value::as_u64).and_then(|most| usize::try_from(most).ok());
    fixed.map_or(Bound::None, Bound::Fixed)
}

#[cfg(test)]
mod tests {
    use super::{SchemaName, Shape};

    fn holds_never(shape: &Shape) -> bool {
        match shape {
            Shape::Never => true,
            Shape::Object { fields, .. } => fields.is_empty() || fields.iter().any(|f| holds_never(&f.shape)),
            Shape::List { item, .. } => holds_never(item),
            Shape::Nullable(inner) => holds_never(inner),
            _ => false,
        }
    }

    #[test]
    fn every_schema_compiles_whole() {
        for name in SchemaName::ALL {
            assert!(!holds_never(Shape::of(name)), "{}: {:#?}", name.type_name(), Shape::of(name));
        }
    }
}
