//! A chain: the ordered steps of one piece of work in a session.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ids::{ChainId, SessionId, StepId};
use super::{JsonObject, Patch};
use crate::clock::Timestamp;

/// Where a chain came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(extend("x-type" = "ChainSource"))]
pub enum ChainSource {
    Flow,
    Composed,
    MetaTask,
}

/// Where a chain stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("x-type" = "ChainStatus"))]
pub enum ChainStatus {
    #[default]
    Pending,
    InProgress,
    Completed,
    Failed,
    Cancelled,
}

/// How many steps of a chain stand where.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-type" = "StepCounts"))]
pub struct StepCounts {
    pub total: u64,
    pub pending: u64,
    pub in_progress: u64,
    pub completed: u64,
    pub failed: u64,
    pub skipped: u64,
}

/// A chain as it is stored and returned.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    #[serde(default)]
    #[schemars(with = "ChainId")]
    pub chain_id: String,
    #[serde(default)]
    #[schemars(with = "SessionId")]
    pub session_id: String,
    #[schemars(length(min = 1), extend("x-limit" = "titleCodePoints"))]
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ChainSource>,
    pub status: ChainStatus,
    /// The steps' ids in the order of their creation.
    #[serde(default)]
    #[schemars(with = "Vec<StepId>")]
    pub step_order: Vec<String>,
    pub step_counts: StepCounts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-limit" = "summaryCodePoints"))]
    pub summary: Option<String>,
    /// The caller's own data.
    pub metadata: JsonObject,
    /// When its first step started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// 1 at creation, one more with every change.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub version: u64,
}

/// What a caller gives to create a chain.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChainData {
    #[schemars(length(min = 1), extend("x-limit" = "titleCodePoints"))]
    pub title: String,
    #[serde(default)]
    pub source: Option<ChainSource>,
    #[serde(default)]
    #[schemars(extend("x-limit" = "summaryCodePoints"))]
    pub summary: Option<String>,
    /// The caller's own data.
    #[serde(default)]
    pub metadata: JsonObject,
}

/// What a caller gives to change a chain. Fields below `status` may be present only as they are.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ChainUpdate {
    #[schemars(length(min = 1), extend("x-limit" = "titleCodePoints"))]
    pub title: Option<String>,
    /// `null` takes the source away.
    pub source: Patch<ChainSource>,
    /// `null` takes the summary away.
    #[schemars(extend("x-limit" = "summaryCodePoints"))]
    pub summary: Patch<String>,
    /// Replaces the whole of it.
    pub metadata: Option<JsonObject>,
    pub status: Option<ChainStatus>,
    #[schemars(with = "Option<ChainId>")]
    pub chain_id: Option<String>,
    #[schemars(with = "Option<SessionId>")]
    pub session_id: Option<String>,
    #[schemars(with = "Option<Vec<StepId>>")]
    pub step_order: Option<Vec<String>>,
    pub step_counts: Option<StepCounts>,
    pub started_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    pub archived_at: Option<Timestamp>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    #[schemars(range(min = 1))]
    pub version: Option<u64>,
}
