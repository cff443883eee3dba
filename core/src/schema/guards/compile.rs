//! A JSON Schema as a flat list of nodes that name each other by index, so that it may be recursive.

use std::collections::HashMap;

use regress::Regex;
use serde_json::{Map, Value};

/// A compiled schema; node 0 is the whole.
#[derive(Debug)]
pub(super) struct Schema(Vec<Vec<Check>>);

/// The index of a node.
pub(super) type Id = usize;

/// One keyword, or a group that must be looked at together.
#[derive(Debug)]
pub(super) enum Check {
    Never,
    Type(Vec<String>),
    /// `enum`, and `const` as an `enum` of one.
    OneOfValues(Vec<Value>),
    /// `$ref` and `allOf`.
    All(Vec<Id>),
    Any(Vec<Id>),
    One(Vec<Id>),
    Not(Id),
    If(Id, Option<Id>, Option<Id>),
    Fields {
        named: Vec<(String, Id)>,
        patterned: Vec<(Regex, Id)>,
        rest: Option<Id>,
    },
    FieldNames(Id),
    Required(Vec<String>),
    RequiredWith(String, Vec<String>),
    SchemaWith(String, Id),
    Items {
        first: Vec<Id>,
        rest: Option<Id>,
    },
    Contains {
        item: Id,
        least: f64,
        most: f64,
    },
    Unique,
    Pattern(Regex, String),
    MultipleOf(f64),
    /// A lower bound of a number or of a count.
    Least(Measure, f64),
    Most(Measure, f64),
    Above(f64),
    Below(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    Number,
    CodePoints,
    Items,
    Fields,
}

/// What would be ignored in silence if it were not refused.
const REFUSED: [&str; 9] = [
    "unevaluatedProperties",
    "unevaluatedItems",
    "$dynamicRef",
    "$recursiveRef",
    "dependencies",
    "additionalItems",
    "divisibleBy",
    "extends",
    "disallow",
];

const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];

impl Schema {
    pub(super) fn compile(document: &Value) -> Result<Self, String> {
        let mut compiler = Compiler { document, nodes: Vec::new(), known: HashMap::new() };
        compiler.node(document)?;
        Ok(Self(compiler.nodes))
    }

    pub(super) fn node(&self, id: Id) -> &[Check] {
        self.0.get(id).map_or(&[], Vec::as_slice)
    }
}

struct Compiler<'a> {
    document: &'a Value,
    nodes: Vec<Vec<Check>>,
    /// The nodes by the address of their schema: a reference to it, from inside even, finds it.
    known: HashMap<*const Value, Id>,
}

impl<'a> Compiler<'a> {
    fn node(&mut self, schema: &'a Value) -> Result<Id, String> {
        if let Some(id) = self.known.get(&std::ptr::from_ref(schema)) {
            return Ok(*id);
        }
        let id = self.nodes.len();
        self.known.insert(std::ptr::from_ref(schema), id);
        self.nodes.push(Vec::new());
        let checks = match schema {
            Value::Bool(true) => Vec::new(),
            Value::Bool(false) => vec![Check::Never],
            Value::Object(keywords) => self.checks(keywords)?,
            _ => return Err("a schema must be an object or a boolean".to_owned()),
        };
        if let Some(node) = self.nodes.get_mut(id) {
            *node = checks;
        }
        Ok(id)
    }

    fn checks(&mut self, keywords: &'a Map<String, Value>) -> Result<Vec<Check>, String> {
        if let Some(refused) = REFUSED.iter().find(|keyword| keywords.contains_key(**keyword)) {
            return Err(format!("`{refused}` is not supported"));
        }
        let mut checks = Vec::new();
        for (keyword, value) in keywords {
            let check = self.check(keyword, value, keywords).map_err(|why| format!("{keyword}: {why}"))?;
            checks.extend(check);
        }
        self.fields(keywords, &mut checks)?;
        self.items(keywords, &mut checks)?;
        Ok(checks)
    }

    fn check(
        &mut self,
        keyword: &str,
        value: &'a Value,
        all: &'a Map<String, Value>,
    ) -> Result<Vec<Check>, String> {
        let one = match keyword {
            "type" => Check::Type(types(value)?),
            "enum" => Check::OneOfValues(value.as_array().ok_or("must be an array")?.clone()),
            "const" => Check::OneOfValues(vec![value.clone()]),
            "$ref" => {
                let target = self.target(value.as_str().ok_or("must be a string")?)?;
                Check::All(vec![self.node(target)?])
            }
            "allOf" => Check::All(self.list(value)?),
            "anyOf" => Check::Any(self.list(value)?),
            "oneOf" => Check::One(self.list(value)?),
            "not" => Check::Not(self.node(value)?),
            "if" => {
                let then = all.get("then").map(|then| self.node(then)).transpose()?;
                let other = all.get("else").map(|other| self.node(other)).transpose()?;
                Check::If(self.node(value)?, then, other)
            }
            "propertyNames" => Check::FieldNames(self.node(value)?),
            "required" => Check::Required(strings(value)?),
            "dependentRequired" => {
                let dependent = value.as_object().ok_or("must be an object")?.iter();
                return dependent
                    .map(|(key, list)| Ok(Check::RequiredWith(key.clone(), strings(list)?)))
                    .collect();
            }
            "dependentSchemas" => {
                let dependent = value.as_object().ok_or("must be an object")?.iter();
                return dependent
                    .map(|(key, schema)| Ok(Check::SchemaWith(key.clone(), self.node(schema)?)))
                    .collect();
            }
            "uniqueItems" if value.as_bool() == Some(true) => Check::Unique,
            "pattern" => {
                let pattern = value.as_str().ok_or("must be a string")?;
                Check::Pattern(regex(pattern)?, pattern.to_owned())
            }
            "multipleOf" => Check::MultipleOf(positive(value)?),
            "minimum" => Check::Least(Measure::Number, number(value)?),
            "maximum" => Check::Most(Measure::Number, number(value)?),
            "exclusiveMinimum" => Check::Above(number(value)?),
            "exclusiveMaximum" => Check::Below(number(value)?),
            "minLength" => Check::Least(Measure::CodePoints, number(value)?),
            "maxLength" => Check::Most(Measure::CodePoints, number(value)?),
            "minItems" => Check::Least(Measure::Items, number(value)?),
            "maxItems" => Check::Most(Measure::Items, number(value)?),
            "minProperties" => Check::Least(Measure::Fields, number(value)?),
            "maxProperties" => Check::Most(Measure::Fields, number(value)?),
            _ => return Ok(Vec::new()),
        };
        Ok(vec![one])
    }

    fn fields(&mut self, all: &'a Map<String, Value>, checks: &mut Vec<Check>) -> Result<(), String> {
        let object = |keyword: &str| match all.get(keyword) {
            None => Ok(None),
            Some(value) => value.as_object().map(Some).ok_or(format!("{keyword}: must be an object")),
        };
        let (named, patterned) = (object("properties")?, object("patternProperties")?);
        let rest = all.get("additionalProperties");
        if named.is_none() && patterned.is_none() && rest.is_none() {
            return Ok(());
        }
        let named = named.into_iter().flatten().map(|(name, schema)| Ok((name.clone(), self.node(schema)?)));
        let named = named.collect::<Result<_, String>>()?;
        let patterned = patterned
            .into_iter()
            .flatten()
            .map(|(pattern, schema)| Ok((regex(pattern)?, self.node(schema)?)));
        let patterned = patterned.collect::<Result<_, String>>()?;
        let rest = rest.map(|schema| self.node(schema)).transpose()?;
        checks.push(Check::Fields { named, patterned, rest });
        Ok(())
    }

    fn items(&mut self, all: &'a Map<String, Value>, checks: &mut Vec<Check>) -> Result<(), String> {
        let first = all.get("prefixItems").map_or(Ok(Vec::new()), |first| self.list(first))?;
        let rest = match all.get("items") {
            Some(Value::Array(_)) => return Err("items: must be a schema; see prefixItems".to_owned()),
            items => items.map(|items| self.node(items)).transpose()?,
        };
        if !first.is_empty() || rest.is_some() {
            checks.push(Check::Items { first, rest });
        }
        if let Some(contains) = all.get("contains") {
            let least = all.get("minContains").map_or(Ok(1.0), number)?;
            let most = all.get("maxContains").map_or(Ok(f64::INFINITY), number)?;
            checks.push(Check::Contains { item: self.node(contains)?, least, most });
        }
        Ok(())
    }

    fn list(&mut self, value: &'a Value) -> Result<Vec<Id>, String> {
        value.as_array().ok_or("must be an array")?.iter().map(|schema| self.node(schema)).collect()
    }

    /// What a reference means; only places in the same document are known.
    fn target(&self, reference: &str) -> Result<&'a Value, String> {
        let base = self.document.get("$id").and_then(Value::as_str).unwrap_or_default();
        let local = reference.strip_prefix(base.trim_end_matches('#')).unwrap_or(reference);
        let found = match local.strip_prefix('#').unwrap_or(local) {
            "" => Some(self.document),
            pointer if pointer.starts_with('/') => self.document.pointer(&percent_decoded(pointer)),
            anchor if local.starts_with('#') => anchored(self.document, anchor),
            _ => None,
        };
        found.ok_or_else(|| format!("`{reference}` is not in this document"))
    }
}

fn anchored<'a>(schema: &'a Value, anchor: &str) -> Option<&'a Value> {
    match schema {
        Value::Object(fields) if fields.get("$anchor").and_then(Value::as_str) == Some(anchor) => {
            Some(schema)
        }
        Value::Object(fields) => fields.values().find_map(|field| anchored(field, anchor)),
        Value::Array(items) => items.iter().find_map(|item| anchored(item, anchor)),
        _ => None,
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let mut digit = || ahead.next().and_then(|byte| char::from(byte).to_digit(16));
        let code = if byte == b'%' { digit().zip(digit()) } else { None };
        let code = code.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        if code.is_some() {
            rest = ahead;
        }
        bytes.push(code.unwrap_or(byte));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// JSON Schema's patterns are ECMAScript's; some that are in use are no good in its strict mode.
fn regex(pattern: &str) -> Result<Regex, String> {
    Regex::with_flags(pattern, "u")
        .or_else(|_| Regex::new(pattern))
        .map_err(|error| format!("`{pattern}`: {error}"))
}

fn types(value: &Value) -> Result<Vec<String>, String> {
    let types = value.as_str().map_or_else(|| strings(value), |one| Ok(vec![one.to_owned()]))?;
    match types.iter().find(|name| !TYPES.contains(&name.as_str())) {
        Some(unknown) => Err(format!("`{unknown}` is no type")),
        None => Ok(types),
    }
}

fn strings(value: &Value) -> Result<Vec<String>, String> {
    let list = value.as_array().ok_or("must be an array of strings")?;
    list.iter().map(|item| item.as_str().map(str::to_owned).ok_or("must hold strings".to_owned())).collect()
}

fn number(value: &Value) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| "must be a number".to_owned())
}

fn positive(value: &Value) -> Result<f64, String> {
    number(value).and_then(|number| if number > 0.0 { Ok(number) } else { Err("must be above 0".to_owned()) })
}
