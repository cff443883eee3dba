//! The stored text of an event: everything but what its place in the log tells (event and session id).

use std::sync::Arc;

use super::record::Body;
use crate::clock::Timestamp;
use crate::id::Id;

/// What happened, to what.
pub(super) struct Happened<'a> {
    pub kind: &'a str,
    pub chain: Option<Id>,
    pub step: Option<Id>,
    pub user: &'a str,
    pub at: Timestamp,
    /// JSON object.
    pub data: &'a str,
}

impl Happened<'_> {
    pub fn text(&self) -> Arc<str> {
        let mut body = Body::default();
        body.field("type", self.kind);
        body.optional("chainId", self.chain.map(|id| id.to_string()).as_ref());
        body.optional("stepId", self.step.map(|id| id.to_string()).as_ref());
        body.field("userId", self.user).field("at", &self.at).raw("data", self.data);
        body.into_json().into()
    }
}

/// The public JSON of an event: `stored` with the ids that its place tells.
pub(super) fn public_event(origin: Id, position: u64, stored: &str) -> String {
    let event = Id::Event(origin.tree(), position);
    let session = Id::Session(origin.tree());
    format!("{{\"eventId\":\"{event}\",\"sessionId\":\"{session}\",{}", stored.get(1..).unwrap_or("}"))
}
