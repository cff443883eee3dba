//! The options of calls about what lives and ends.

use std::sync::OnceLock;

use serde::Deserialize;

use super::options::{LONGEST_TIMER_MS, optional, read};
use super::shape::{Field, Shape, TextShape};
use super::{Input, Issues, Limits, PathItem};
use crate::clock::Timestamp;

/// What a sweep takes.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SweepOptions {
    /// How long the caller waits, in ms.
    pub timeout_ms: Option<f64>,
    /// How many partitions are looked through; all unless given.
    pub partitions: Option<u64>,
}

/// Reads what a sweep takes. Issues stand below `options`.
///
/// # Errors
/// At least one issue.
pub fn sweep_options(input: Input<'_>, limits: &Limits) -> Result<SweepOptions, Issues> {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    let shape = SHAPE.get_or_init(|| call_with(vec![optional("partitions", Shape::Integer { least: 1 })]));
    read(input, shape, limits).map_err(below_options)
}

/// Sessions that one call looks at unless it says otherwise.
const PRUNED_A_CALL: u64 = 10_000;
/// Sessions that are looked at in a second unless the caller says otherwise.
const PRUNED_A_SECOND: u64 = 1_000;

/// Which events are to go.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PruneQuery {
    pub older_than: Timestamp,
    #[serde(default)]
    pub dry_run: bool,
    pub limit: Option<u64>,
    pub per_second: Option<u64>,
    pub cursor: Option<String>,
}

impl PruneQuery {
    /// Sessions that are looked at: what was asked for, or 10,000.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit.unwrap_or(PRUNED_A_CALL)
    }

    /// Sessions that are looked at in a second: what was asked for, or 1,000.
    #[must_use]
    pub fn per_second(&self) -> u64 {
        self.per_second.unwrap_or(PRUNED_A_SECOND).max(1)
    }
}

/// Reads which events are to go. Issues stand at its fields.
///
/// # Errors
/// At least one issue.
pub fn prune_query(input: Input<'_>, limits: &Limits) -> Result<PruneQuery, Issues> {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    let shape = SHAPE.get_or_init(|| Shape::Object {
        fields: vec![
            Field { name: "olderThan".to_owned(), shape: Shape::Date, required: true },
            optional("dryRun", Shape::Flag),
            optional("limit", Shape::Integer { least: 1 }),
            optional("perSecond", Shape::Integer { least: 1 }),
            optional("cursor", Shape::Text(TextShape::plain(1, 64))),
        ],
        strict: true,
    });
    read(input, shape, limits)
}

/// The options that every call takes, and more.
pub(super) fn call_with(more: Vec<Field>) -> Shape {
    let mut fields = vec![
        optional("timeoutMs", Shape::Number { least: 1, most: LONGEST_TIMER_MS }),
        optional("signal", Shape::Never),
    ];
    fields.extend(more);
    Shape::Object { fields, strict: true }
}

pub(super) fn below_options(issues: Issues) -> Issues {
    issues.under(&[PathItem::from("options")])
}
