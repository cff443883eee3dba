//! A step: one action of a chain.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ids::{ChainId, SessionId, StepId};
use super::json::present;
use super::{Json, JsonObject, Patch};
use crate::clock::Timestamp;

/// Where a step stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("x-type" = "StepStatus"))]
pub enum StepStatus {
    #[default]
    Pending,
    InProgress,
    Completed,
    Failed,
    Skipped,
}

/// A step as it is stored and returned.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    #[serde(default)]
    #[schemars(with = "StepId")]
    pub step_id: String,
    #[serde(default)]
    #[schemars(with = "ChainId")]
    pub chain_id: String,
    #[serde(default)]
    #[schemars(with = "SessionId")]
    pub session_id: String,
    /// 1 for the first step of the chain, in the order of creation.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub step_number: u64,
    /// What the step does.
    #[schemars(length(min = 1), extend("x-limit" = "actionCodePoints"))]
    pub action: String,
    /// The model that does it, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("x-limit" = "modelCodePoints"))]
    pub model: Option<String>,
    /// What the action is given: the caller's own data.
    pub inputs: JsonObject,
    /// The steps of the same chain that come before this one.
    #[schemars(with = "Vec<StepId>", extend("x-limit" = "waitsForCount"))]
    pub waits_for: Vec<String>,
    pub status: StepStatus,
    /// What came of it: the caller's own data; `null` is a result like any other.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub result: Option<Json>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-limit" = "errorCodePoints"))]
    pub error: Option<String>,
    /// 1, and one more with every retry.
    #[schemars(range(min = 1))]
    pub attempt: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// 1 at creation, one more with every change.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub version: u64,
}

/// What a caller gives to create a step.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepData {
    /// What the step does.
    #[schemars(length(min = 1), extend("x-limit" = "actionCodePoints"))]
    pub action: String,
    /// The model that does it, if one does.
    #[serde(default)]
    #[schemars(length(min = 1), extend("x-limit" = "modelCodePoints"))]
    pub model: Option<String>,
    /// What the action is given: the caller's own data.
    #[serde(default)]
    pub inputs: JsonObject,
    /// Steps of the same chain that come before this one.
    #[serde(default)]
    #[schemars(with = "Vec<StepId>", extend("x-limit" = "waitsForCount"))]
    pub waits_for: Vec<String>,
}

/// What a caller gives to change a step. Fields below `error` may be present only as they are.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StepUpdate {
    #[schemars(length(min = 1), extend("x-limit" = "actionCodePoints"))]
    pub action: Option<String>,
    /// `null` takes the model away.
    #[schemars(length(min = 1), extend("x-limit" = "modelCodePoints"))]
    pub model: Patch<String>,
    /// Replaces the whole of it.
    pub inputs: Option<JsonObject>,
    #[schemars(with = "Option<Vec<StepId>>", extend("x-limit" = "waitsForCount"))]
    pub waits_for: Option<Vec<String>>,
    pub status: Option<StepStatus>,
    /// `null` is a result like any other.
    #[serde(deserialize_with = "present")]
    pub result: Option<Json>,
    /// `null` takes the error away.
    #[schemars(extend("x-limit" = "errorCodePoints"))]
    pub error: Patch<String>,
    #[schemars(with = "Option<StepId>")]
    pub step_id: Option<String>,
    #[schemars(with = "Option<ChainId>")]
    pub chain_id: Option<String>,
    #[schemars(with = "Option<SessionId>")]
    pub session_id: Option<String>,
    #[schemars(range(min = 1))]
    pub step_number: Option<u64>,
    #[schemars(range(min = 1))]
    pub attempt: Option<u64>,
    pub started_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    #[schemars(range(min = 1))]
    pub version: Option<u64>,
}
