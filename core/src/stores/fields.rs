//! A JSON object's fields as raw text: found, merged and written without a tree, so that nothing in them changes.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::marked::quoted;

/// The fields of an object in their order.
#[derive(Debug, Clone, Default)]
pub struct Fields<'a>(Vec<(String, &'a str)>);

impl<'a> Fields<'a> {
    /// Reads an object; nothing for any other text.
    #[must_use]
    pub fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// A field's JSON text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, text)| *text)
    }

    /// This object with another's fields: those that it has stay in their place, new ones come behind.
    #[must_use]
    pub fn merged(&self, updates: &Self) -> String {
        let kept = self.0.iter().map(|(name, text)| (name, updates.get(name).unwrap_or(text)));
        let new = updates.0.iter().filter(|(name, _)| self.get(name).is_none());
        let all = kept.chain(new.map(|(name, text)| (name, *text)));
        let parts: Vec<String> = all.map(|(name, text)| format!("{}:{text}", quoted(name))).collect();
        format!("{{{}}}", parts.join(","))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Vec<(String, &'de str)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Self::Value = Vec::new();
                while let Some((name, text)) = map.next_entry::<String, &RawValue>()? {
                    // Of a name that stands twice the last one counts, as for `JSON.parse`.
                    match fields.iter_mut().find(|(known, _)| *known == name) {
                        Some(field) => field.1 = text.get(),
                        None => fields.push((name, text.get())),
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Read).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::Fields;

    #[test]
    fn a_merge_changes_nothing_but_what_it_names() {
        let base = r#"{"a":[],"n":9007199254740993,"o":{},"z": [1.0, 1e2] ,"\u00fc":"\u00fc"}"#;
        let updates = r#"{"o":{"x":[]},"new":{},"n":null}"#;
        let merged = Fields::read(base).unwrap().merged(&Fields::read(updates).unwrap());
        assert_eq!(merged, r#"{"a":[],"n":null,"o":{"x":[]},"z":[1.0, 1e2],"ü":"\u00fc","new":{}}"#);
        let same = Fields::read(r#"{"n":9007199254740993,"f":1.50}"#).unwrap();
        assert_eq!(same.merged(&Fields::default()), r#"{"n":9007199254740993,"f":1.50}"#);
        assert!(Fields::read("[]").is_none() && Fields::read("{").is_none());
    }
}
