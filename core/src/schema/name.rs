//! The schemas by name, and each as one self-contained JSON Schema document.

use std::str::FromStr;

use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::issue::MAX_SAFE;
use super::limits::{LimitName, Limits};
use super::{
    Chain, ChainData, ChainUpdate, CustomEvent, Event, Session, SessionData, SessionUpdate, Step, StepData,
    StepUpdate,
};

/// The schemas that callers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaName {
    Session,
    SessionData,
    SessionUpdate,
    Chain,
    ChainData,
    ChainUpdate,
    Step,
    StepData,
    StepUpdate,
    Event,
    CustomEvent,
}

impl SchemaName {
    /// Every schema, in the order of the records' tree.
    pub const ALL: [Self; 11] = [
        Self::Session,
        Self::SessionData,
        Self::SessionUpdate,
        Self::Chain,
        Self::ChainData,
        Self::ChainUpdate,
        Self::Step,
        Self::StepData,
        Self::StepUpdate,
        Self::Event,
        Self::CustomEvent,
    ];

    /// The name of the type: `SessionData`.
    #[must_use]
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Session => "Session",
            Self::SessionData => "SessionData",
            Self::SessionUpdate => "SessionUpdate",
            Self::Chain => "Chain",
            Self::ChainData => "ChainData",
            Self::ChainUpdate => "ChainUpdate",
            Self::Step => "Step",
            Self::StepData => "StepData",
            Self::StepUpdate => "StepUpdate",
            Self::Event => "Event",
            Self::CustomEvent => "CustomEvent",
        }
    }

    /// Whether this is what the storage returns, not what a caller gives. A record's unknown fields are
    /// stripped, and the configurable limits do not bind it: it may come from a storage with wider ones.
    #[must_use]
    pub fn is_record(self) -> bool {
        matches!(self, Self::Session | Self::Chain | Self::Step | Self::Event)
    }

    /// The JSON Schema, with the keywords `x-...` that the validator and the generators read.
    #[must_use]
    pub fn annotated(self) -> Value {
        let root = match self {
            Self::Session => root::<Session>(self),
            Self::SessionData => root::<SessionData>(self),
            Self::SessionUpdate => root::<SessionUpdate>(self),
            Self::Chain => root::<Chain>(self),
            Self::ChainData => root::<ChainData>(self),
            Self::ChainUpdate => root::<ChainUpdate>(self),
            Self::Step => root::<Step>(self),
            Self::StepData => root::<StepData>(self),
            Self::StepUpdate => root::<StepUpdate>(self),
            Self::Event => root::<Event>(self),
            Self::CustomEvent => root::<CustomEvent>(self),
        };
        normal(root, self.is_record())
    }

    /// The JSON Schema as it is published: draft 2020-12, the contract's limits as numbers.
    #[must_use]
    pub fn json_schema(self) -> Value {
        let mut schema = self.annotated();
        strip_private(&mut schema);
        schema
    }
}

/// Reads `session`, `sessionData`, ...
impl FromStr for SchemaName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let same = |name: &Self| {
            let known = name.type_name();
            text.len() == known.len()
                && text.starts_with(|first: char| first.is_ascii_lowercase())
                && text.get(1..) == known.get(1..)
                && text.get(..1).is_some_and(|first| known.starts_with(&first.to_ascii_uppercase()))
        };
        Self::ALL.into_iter().find(same).ok_or(())
    }
}

fn root<T: JsonSchema>(name: SchemaName) -> Value {
    let contract = if name.is_record() { Contract::Serialize } else { Contract::Deserialize };
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.contract = contract;
    });
    SchemaGenerator::new(settings).into_root_schema_for::<T>().to_value()
}

/// Brings what schemars says into the few forms that the rest knows.
fn normal(schema: Value, record: bool) -> Value {
    let Value::Object(mut schema) = schema else { return schema };
    schema.remove("default");
    if schema.get("type") == Some(&json!("integer")) {
        schema.remove("format");
        schema.insert("maximum".to_owned(), json!(MAX_SAFE));
    }
    bind(&mut schema, record);
    if let Some(items) = schema.remove("items") {
        schema.insert("items".to_owned(), normal(items, record));
    }
    let required: Vec<Value> = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    if let Some(Value::Object(fields)) = schema.get_mut("properties") {
        for (name, field) in fields.iter_mut() {
            let keeps_null = required.iter().any(|known| known == name) || field.get("x-clear").is_some();
            let (inner, null) = without_null(field.take());
            let inner = normal(inner, record);
            *field = if null && keeps_null { nullable(inner) } else { inner };
        }
        schema.remove("additionalProperties");
        if !record {
            schema.insert("additionalProperties".to_owned(), json!(false));
        }
    }
    Value::Object(schema)
}

/// Gives a named limit its default number, or takes it off a record.
fn bind(schema: &mut Map<String, Value>, record: bool) {
    if record {
        schema.remove("x-limit");
    }
    let named = schema.get("x-limit").and_then(|name| serde_json::from_value::<LimitName>(name.clone()).ok());
    let Some(limit) = named.map(|name| Limits::default().of(name)) else { return };
    let prefix = schema.get("x-prefix").and_then(Value::as_str).unwrap_or_default().chars().count();
    let keyword = if schema.contains_key("items") { "maxItems" } else { "maxLength" };
    schema.insert(keyword.to_owned(), json!(limit + prefix));
}

/// The schema of what may be null, without the null, and whether there was one.
fn without_null(schema: Value) -> (Value, bool) {
    let Value::Object(mut schema) = schema else { return (schema, false) };
    let null = json!("null");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|known| *known != null);
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
        if let Some(Value::Array(values)) = schema.get_mut("enum") {
            values.retain(|value| !value.is_null());
        }
        return (Value::Object(schema), true);
    }
    let Some(Value::Array(mut options)) = schema.remove("anyOf") else {
        return (Value::Object(schema), false);
    };
    let before = options.len();
    options.retain(|option| option.get("type") != Some(&null));
    let dropped = options.len() < before;
    if let (true, [Value::Object(only)]) = (dropped, options.as_mut_slice()) {
        let mut inner = std::mem::take(only);
        inner.append(&mut schema);
        return (Value::Object(inner), true);
    }
    schema.insert("anyOf".to_owned(), Value::Array(options));
    (Value::Object(schema), dropped)
}

/// The same schema for a value or null; its description stays outside.
fn nullable(schema: Value) -> Value {
    let Value::Object(mut inner) = schema else { return schema };
    let mut outer = Map::new();
    for keyword in ["description", "x-clear"] {
        if let Some(value) = inner.remove(keyword) {
            outer.insert(keyword.to_owned(), value);
        }
    }
    outer.insert("anyOf".to_owned(), json!([inner, { "type": "null" }]));
    Value::Object(outer)
}

fn strip_private(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|keyword, _| !keyword.starts_with("x-"));
            fields.values_mut().for_each(strip_private);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_private),
        _ => {}
    }
}
