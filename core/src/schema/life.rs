//! The options of calls about what lives and ends.

use std::sync::OnceLock;

use serde::Deserialize;

use super::options::{LONGEST_TIMER_MS, optional, read};
use super::shape::{Field, Shape};
use super::{Input, Issues, Limits, PathItem};

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
