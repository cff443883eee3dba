//! JSON values that stay text: read once, checked in place, never built into a tree.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::clock::Timestamp;

/// Any JSON value, as the compact text that it arrived in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

/// A JSON object, as the compact text that it arrived in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonObject(Box<RawValue>);

macro_rules! raw_text {
    ($name:ident, $schema:expr) => {
        impl $name {
            /// The value's JSON text.
            #[must_use]
            pub fn text(&self) -> &str {
                self.0.get()
            }
        }

        impl PartialEq for $name {
            /// Equal text: the same value written with other spacing or key order is another one.
            fn eq(&self, other: &Self) -> bool {
                self.text() == other.text()
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

raw_text!(Json, json_schema!({ "x-type": "Json" }));
raw_text!(JsonObject, json_schema!({ "type": "object", "x-type": "JsonObject" }));

impl Default for JsonObject {
    fn default() -> Self {
        Self(RawValue::from_string("{}".to_owned()).unwrap_or_default())
    }
}

/// What an update says of one field that may be cleared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// The field is not in the update.
    #[default]
    Keep,
    /// `null`: the field goes.
    Clear,
    /// The field's new value.
    Set(T),
}

impl<T: Clone> Patch<T> {
    /// The field's value after the update.
    #[must_use]
    pub fn merged(&self, before: Option<&T>) -> Option<T> {
        match self {
            Self::Keep => before.cloned(),
            Self::Clear => None,
            Self::Set(value) => Some(value.clone()),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<T>::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

impl<T: JsonSchema> JsonSchema for Patch<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Option::<T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Option::<T>::json_schema(generator);
        schema.insert("x-clear".to_owned(), true.into());
        schema
    }

    fn _schemars_private_is_option() -> bool {
        true
    }
}

/// Reads a field that is there, `null` included, where serde would take `null` for an absent one.
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Timestamp")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}
