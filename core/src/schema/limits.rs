//! How long, how many, how deep: the bounds that an input must keep.

use serde::Deserialize;

/// JSON values nest no deeper than this, whatever the caller's own limit says: every walk over a
/// value stays bounded, here and in the face.
pub const DEEPEST: usize = 1_000;

/// The bounds of what callers may give. The defaults are the contract's; all are inclusive.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Code points of an id, the user's included. 128.
    pub id_code_points: usize,
    /// Code points of a title. 500.
    pub title_code_points: usize,
    /// Code points of a step's action. 500.
    pub action_code_points: usize,
    /// Code points of a step's error. 2,000.
    pub error_code_points: usize,
    /// Code points of a chain's summary. 2,000.
    pub summary_code_points: usize,
    /// Code points of a model's name. 128.
    pub model_code_points: usize,
    /// Tags of one session. 32.
    pub tag_count: usize,
    /// Code points of one tag. 64.
    pub tag_code_points: usize,
    /// Bytes of one JSON value as UTF-8 text. 1 MiB.
    pub json_bytes: usize,
    /// Nested arrays and objects of one JSON value, itself counted. 64, at most [`DEEPEST`].
    pub json_depth: usize,
    /// Steps that one step may wait for. 1,000.
    pub waits_for_count: usize,
    /// Code points of a custom event's name, after `custom:`. 64.
    pub event_type_code_points: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            id_code_points: 128,
            title_code_points: 500,
            action_code_points: 500,
            error_code_points: 2_000,
            summary_code_points: 2_000,
            model_code_points: 128,
            tag_count: 32,
            tag_code_points: 64,
            json_bytes: 1 << 20,
            json_depth: 64,
            waits_for_count: 1_000,
            event_type_code_points: 64,
        }
    }
}

/// A bound that the schemas refer to by name, in the keyword `x-limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum LimitName {
    IdCodePoints,
    TitleCodePoints,
    ActionCodePoints,
    ErrorCodePoints,
    SummaryCodePoints,
    ModelCodePoints,
    TagCount,
    TagCodePoints,
    WaitsForCount,
    EventTypeCodePoints,
}

impl Limits {
    pub(super) fn of(&self, name: LimitName) -> usize {
        match name {
            LimitName::IdCodePoints => self.id_code_points,
            LimitName::TitleCodePoints => self.title_code_points,
            LimitName::ActionCodePoints => self.action_code_points,
            LimitName::ErrorCodePoints => self.error_code_points,
            LimitName::SummaryCodePoints => self.summary_code_points,
            LimitName::ModelCodePoints => self.model_code_points,
            LimitName::TagCount => self.tag_count,
            LimitName::TagCodePoints => self.tag_code_points,
            LimitName::WaitsForCount => self.waits_for_count,
            LimitName::EventTypeCodePoints => self.event_type_code_points,
        }
    }
}
