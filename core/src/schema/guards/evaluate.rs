//! A value against a compiled schema.

use regress::Regex;
use serde_json::{Map, Value};

use super::compile::{Check, Id, Measure, Schema};
use crate::schema::issue::{Issue, PathItem};

/// Schemas applied inside each other. The value's own depth needs few; a reference to itself, all.
const DEEPEST: usize = 1_000;

/// Everything that is wrong with a value which stands at `path`.
pub(super) fn issues(schema: &Schema, value: &Value, path: Vec<PathItem>) -> Vec<Issue> {
    let mut run = Run { schema, path, depth: 0, issues: Vec::new() };
    run.node(0, value);
    run.issues
}

struct Run<'s> {
    schema: &'s Schema,
    path: Vec<PathItem>,
    depth: usize,
    issues: Vec<Issue>,
}

impl<'s> Run<'s> {
    fn node(&mut self, id: Id, value: &Value) {
        if self.depth >= DEEPEST {
            return self.wrong("the schema refers to itself without end");
        }
        self.depth += 1;
        for check in self.schema.node(id) {
            self.check(check, value);
        }
        self.depth -= 1;
    }

    fn below(&mut self, item: PathItem, id: Id, value: &Value) {
        self.path.push(item);
        self.node(id, value);
        self.path.pop();
    }

    /// Whether a value passes, without a word about it.
    fn passes(&self, id: Id, value: &Value) -> bool {
        let mut run = Run { schema: self.schema, path: Vec::new(), depth: self.depth, issues: Vec::new() };
        run.node(id, value);
        run.issues.is_empty()
    }

    fn wrong(&mut self, why: impl AsRef<str>) {
        self.issues.push(Issue::custom(&self.path, format!("Invalid input: {}", why.as_ref())));
    }

    fn check(&mut self, check: &'s Check, value: &Value) {
        match check {
            Check::Never => self.wrong("nothing is allowed here"),
            Check::Type(types) => {
                if !types.iter().any(|name| is_type(value, name)) {
                    self.issues.push(Issue::invalid_type(&self.path, types.join(" | "), type_name(value)));
                }
            }
            Check::OneOfValues(values) => {
                if !values.iter().any(|known| same(known, value)) {
                    self.wrong("not one of the allowed values");
                }
            }
            Check::All(nodes) => nodes.iter().for_each(|id| self.node(*id, value)),
            Check::Any(nodes) => {
                if !nodes.iter().any(|id| self.passes(*id, value)) {
                    self.wrong("no option matches");
                }
            }
            Check::One(nodes) => match nodes.iter().filter(|id| self.passes(**id, value)).count() {
                0 => self.wrong("no option matches"),
                1 => {}
                _ => self.wrong("more than one option matches"),
            },
            Check::Not(id) => {
                if self.passes(*id, value) {
                    self.wrong("this is not allowed");
                }
            }
            Check::If(condition, then, other) => {
                let branch = if self.passes(*condition, value) { then } else { other };
                if let Some(id) = branch {
                    self.node(*id, value);
                }
            }
            _ => match value {
                Value::Object(fields) => self.object(check, fields, value),
                Value::Array(items) => self.array(check, items),
                Value::String(text) => self.string(check, text),
                Value::Number(number) => self.number(check, number.as_f64().unwrap_or(f64::NAN)),
                _ => {}
            },
        }
    }

    fn object(&mut self, check: &'s Check, fields: &Map<String, Value>, whole: &Value) {
        match check {
            Check::Fields { named, patterned, rest } => self.fields(named, patterned, *rest, fields),
            Check::FieldNames(id) => {
                for name in fields.keys() {
                    self.below(PathItem::from(name.as_str()), *id, &Value::String(name.clone()));
                }
            }
            Check::Required(names) => self.required(names, fields),
            Check::RequiredWith(name, names) if fields.contains_key(name) => self.required(names, fields),
            Check::SchemaWith(name, id) if fields.contains_key(name) => self.node(*id, whole),
            Check::Least(Measure::Fields, least) => self.least(fields.len(), *least, "fields"),
            Check::Most(Measure::Fields, most) => self.most(fields.len(), *most, "fields"),
            _ => {}
        }
    }

    fn fields(
        &mut self,
        named: &[(String, Id)],
        patterned: &[(Regex, Id)],
        rest: Option<Id>,
        fields: &Map<String, Value>,
    ) {
        let mut unknown = Vec::new();
        for (name, value) in fields {
            let known = named.iter().filter(|(known, _)| known == name).map(|(_, id)| *id);
            let matching =
                patterned.iter().filter(|(regex, _)| regex.find(name).is_some()).map(|(_, id)| *id);
            let applied: Vec<Id> = known.chain(matching).collect();
            match rest {
                Some(id) if applied.is_empty() => {
                    if matches!(self.schema.node(id), [Check::Never]) {
                        unknown.push(name.clone());
                    } else {
                        self.below(PathItem::from(name.as_str()), id, value);
                    }
                }
                _ => applied.into_iter().for_each(|id| self.below(PathItem::from(name.as_str()), id, value)),
            }
        }
        if !unknown.is_empty() {
            self.issues.push(Issue::unrecognized_keys(&self.path, unknown));
        }
    }

    fn required(&mut self, names: &[String], fields: &Map<String, Value>) {
        for name in names.iter().filter(|name| !fields.contains_key(*name)) {
            self.path.push(PathItem::from(name.as_str()));
            self.wrong("required");
            self.path.pop();
        }
    }

    fn array(&mut self, check: &Check, items: &[Value]) {
        match check {
            Check::Items { first, rest } => {
                for (index, item) in items.iter().enumerate() {
                    if let Some(id) = first.get(index).copied().or(*rest) {
                        self.below(PathItem::Index(u64::try_from(index).unwrap_or(u64::MAX)), id, item);
                    }
                }
            }
            Check::Contains { item: id, least, most } => {
                let count = items.iter().filter(|item| self.passes(*id, item)).count();
                self.least(count, *least, "matching items");
                self.most(count, *most, "matching items");
            }
            Check::Unique => {
                let twice =
                    items.iter().enumerate().any(|(at, item)| items.iter().take(at).any(|i| same(i, item)));
                if twice {
                    self.wrong("items must differ");
                }
            }
            Check::Least(Measure::Items, least) => self.least(items.len(), *least, "items"),
            Check::Most(Measure::Items, most) => self.most(items.len(), *most, "items"),
            _ => {}
        }
    }

    fn string(&mut self, check: &Check, text: &str) {
        match check {
            Check::Pattern(regex, pattern) if regex.find(text).is_none() => {
                self.wrong(format!("must match pattern {pattern}"));
            }
            Check::Least(Measure::CodePoints, least) => {
                self.least(text.chars().count(), *least, "characters")
            }
            Check::Most(Measure::CodePoints, most) => self.most(text.chars().count(), *most, "characters"),
            _ => {}
        }
    }

    fn number(&mut self, check: &Check, number: f64) {
        match check {
            Check::Least(Measure::Number, least) if number < *least => {
                self.wrong(format!("must be >= {least}"))
            }
            Check::Most(Measure::Number, most) if number > *most => self.wrong(format!("must be <= {most}")),
            Check::Above(bound) if number <= *bound => self.wrong(format!("must be > {bound}")),
            Check::Below(bound) if number >= *bound => self.wrong(format!("must be < {bound}")),
            Check::MultipleOf(step) => {
                let ratio = number / step;
                // Both ends and the division are rounded: decimals such as 0.07 need some slack.
                if (ratio - ratio.round()).abs() > 4.0 * f64::EPSILON * ratio.abs().max(1.0) {
                    self.wrong(format!("must be a multiple of {step}"));
                }
            }
            _ => {}
        }
    }

    fn least(&mut self, count: usize, least: f64, what: &str) {
        if as_number(count) < least {
            self.wrong(format!("must have at least {least} {what}"));
        }
    }

    fn most(&mut self, count: usize, most: f64, what: &str) {
        if as_number(count) > most {
            self.wrong(format!("must have at most {most} {what}"));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of what fits into memory stay far below 2^53")]
fn as_number(count: usize) -> f64 {
    count as f64
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => type_name(value) == other,
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Equal as JSON Schema means it: 1 and 1.0 are the same number, and the order of fields is nothing.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}
