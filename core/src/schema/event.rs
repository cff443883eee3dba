//! An event: what changed, in the order in which it changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::JsonObject;
use super::ids::{ChainId, CustomEventType, EventId, EventType, SessionId, StepId, UserId};
use crate::clock::Timestamp;

/// One entry of a session's log and of its user's feed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    #[serde(default)]
    #[schemars(with = "EventId")]
    pub event_id: String,
    /// `session:created`, `step:failed`, ... or the caller's own `custom:<name>`.
    #[serde(rename = "type")]
    #[schemars(with = "EventType")]
    pub kind: String,
    #[serde(default)]
    #[schemars(with = "SessionId")]
    pub session_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ChainId>")]
    pub chain_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<StepId>")]
    pub step_id: Option<String>,
    #[schemars(with = "UserId")]
    pub user_id: String,
    pub at: Timestamp,
    pub data: JsonObject,
}

/// What a caller gives to append an event of its own.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomEvent {
    /// `custom:` and a name of 1 to 64 code points.
    #[serde(rename = "type")]
    #[schemars(with = "CustomEventType")]
    pub kind: String,
    /// What the caller says of it.
    #[serde(default)]
    pub data: JsonObject,
}
