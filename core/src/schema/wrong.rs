//! What is said of a value that is not what it should be.

use std::borrow::Cow;

use super::issue::{Issue, PathItem};
use super::scan::{Foreign, Node, Text};
use super::shape::Shape;

/// An object with keys that no text can hold.
pub(super) fn symbol_keys(path: &[PathItem]) -> Issue {
    Issue::custom(path, "Invalid input: symbol keys are not allowed")
}

/// A value of another type than the shape's: `shown` is what it is in a message.
pub(super) fn wrong_type(shape: &Shape, shown: &str, received: Option<&'static str>) -> Issue {
    let expected = match shape {
        Shape::Choice(values) => return Issue::invalid_value(&[], values),
        Shape::Nullable(inner) => return wrong_type(inner, shown, received),
        Shape::Object { .. } | Shape::Json { object: true, .. } => "object",
        Shape::Json { .. } => "json",
        Shape::List { .. } => "array",
        Shape::Text(_) => "string",
        Shape::Integer { .. } | Shape::Number { .. } => "number",
        Shape::Flag => "boolean",
        Shape::Date | Shape::Instant(_) => "date",
        Shape::Never => "never",
    };
    Issue::mistyped(Cow::Borrowed(expected), shown, received, None)
}

/// What zod calls a value in a message.
pub(super) fn shown(node: Node<'_>) -> Cow<'static, str> {
    Cow::Borrowed(match node {
        Node::Null => "null",
        Node::Bool => "boolean",
        Node::Number(_) => "number",
        Node::Text(_) => "string",
        Node::Array => "array",
        Node::Foreign(Foreign::Undefined) => "undefined",
        Node::Object(wrap) => return Cow::Owned(wrap.name.decoded()),
        Node::Foreign(
            Foreign::Number(name)
            | Foreign::Date { name, .. }
            | Foreign::Cycle(name)
            | Foreign::Deep(name)
            | Foreign::Big(name)
            | Foreign::Other(name),
        ) => return Cow::Owned(name.decoded()),
    })
}

/// The name of a number that JSON can't write.
pub(super) fn not_finite(number: Text<'_>) -> Option<&'static str> {
    ["NaN", "Infinity", "-Infinity"].into_iter().find(|known| number.is(known))
}
