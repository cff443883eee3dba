//! The caller's own schemas for the data that is the caller's own: JSON Schema, draft 2020-12.
//!
//! Written here instead of taken from a crate: the ready-made validators add 2 to 4 MB to a binary that
//! has less than one without them. What is not supported is refused when the storage opens, never ignored:
//! references to other documents, `unevaluated...`, `$dynamicRef`, and what only older drafts know.
//! `format` is an annotation, as the draft has it.

mod compile;
mod evaluate;

use serde_json::Value;

use super::issue::{Issue, PathItem};
use compile::Schema;

/// Which of the caller's data a schema guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardKind {
    /// A session's `metadata`.
    Session,
    /// A chain's `metadata`.
    Chain,
    /// A step's `inputs`.
    Inputs,
    /// A step's `result`.
    Result,
}

impl GuardKind {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "session" => Self::Session,
            "chain" => Self::Chain,
            "inputs" => Self::Inputs,
            "result" => Self::Result,
            _ => return None,
        })
    }

    /// The field of the record that holds the data.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Session | Self::Chain => "metadata",
            Self::Inputs => "inputs",
            Self::Result => "result",
        }
    }
}

/// The caller's schemas, compiled.
#[derive(Debug, Default)]
pub struct Guards(Vec<(GuardKind, Schema)>);

impl Guards {
    /// Compiles a map of JSON Schemas: `{ "session": {...}, "inputs": {...} }`.
    ///
    /// *Errors*: which schema can't be used, where and why.
    pub fn new(schemas: &str) -> Result<Self, String> {
        let schemas: Value = serde_json::from_str(schemas).map_err(|error| format!("schemas: {error}"))?;
        let schemas = schemas.as_object().ok_or("schemas: not an object")?;
        let compiled = schemas.iter().map(|(name, schema)| {
            let kind = GuardKind::named(name)
                .ok_or_else(|| format!("schemas.{name}: not one of session, chain, inputs, result"))?;
            let schema = Schema::compile(schema).map_err(|why| format!("schemas.{name}: {why}"))?;
            Ok((kind, schema))
        });
        compiled.collect::<Result<_, String>>().map(Self)
    }

    /// Whether no schema guards anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks one value, as JSON text. Nothing happens if no schema guards it.
    ///
    /// *Errors*: every issue, with its path from the record: `["metadata", "x"]`.
    pub fn check(&self, kind: GuardKind, text: &str) -> Result<(), Vec<Issue>> {
        let Some((_, schema)) = self.0.iter().find(|(known, _)| *known == kind) else { return Ok(()) };
        let path = vec![PathItem::from(kind.field())];
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            return Err(vec![Issue::custom(&path, "Invalid input: nested too deep for a schema")]);
        };
        let issues = evaluate::issues(schema, &value, path);
        if issues.is_empty() { Ok(()) } else { Err(issues) }
    }
}

#[cfg(test)]
mod tests;
