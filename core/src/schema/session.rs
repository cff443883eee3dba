//! A session: one user's visit, the root of a tree of chains and steps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ids::{SessionId, Tag, UserId};
use super::{JsonObject, Patch};
use crate::clock::Timestamp;

/// Where a session stands. `active` and `paused` alternate; `completed` is final.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("x-type" = "SessionState"))]
pub enum SessionState {
    #[default]
    Active,
    Paused,
    Completed,
}

/// A session as it is stored and returned.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    #[serde(default)]
    #[schemars(with = "SessionId")]
    pub session_id: String,
    /// Whose session it is: the caller's own name for the user.
    #[schemars(with = "UserId")]
    pub user_id: String,
    pub state: SessionState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("x-limit" = "titleCodePoints"))]
    pub title: Option<String>,
    #[schemars(with = "Vec<Tag>", extend("x-limit" = "tagCount"))]
    pub tags: Vec<String>,
    /// The caller's own data.
    pub metadata: JsonObject,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// When the session and everything below it go, or null: never.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// 1 at creation, one more with every change.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub version: u64,
}

/// What a caller gives to create a session.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionData {
    #[serde(default)]
    #[schemars(length(min = 1), extend("x-limit" = "titleCodePoints"))]
    pub title: Option<String>,
    #[serde(default)]
    #[schemars(with = "Vec<Tag>", extend("x-limit" = "tagCount"))]
    pub tags: Vec<String>,
    /// The caller's own data.
    #[serde(default)]
    pub metadata: JsonObject,
}

/// What a caller gives to change a session. Fields below `state` may be present only as they are.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SessionUpdate {
    /// `null` takes the title away.
    #[schemars(length(min = 1), extend("x-limit" = "titleCodePoints"))]
    pub title: Patch<String>,
    #[schemars(with = "Option<Vec<Tag>>", extend("x-limit" = "tagCount"))]
    pub tags: Option<Vec<String>>,
    /// Replaces the whole of it.
    pub metadata: Option<JsonObject>,
    pub state: Option<SessionState>,
    #[schemars(with = "Option<SessionId>")]
    pub session_id: Option<String>,
    #[schemars(with = "Option<UserId>")]
    pub user_id: Option<String>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub expires_at: Patch<Timestamp>,
    #[schemars(range(min = 1))]
    pub version: Option<u64>,
}
