//! The stored text of an event: everything but what its place in the log tells (event and session id).

use std::sync::Arc;

use super::marked::push_text;
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
        let mut text = String::with_capacity(ROOM_FOR_PLACE + self.user.len() + self.data.len());
        text.push_str("{\"type\":");
        push_text(&mut text, self.kind);
        for (name, id) in [(",\"chainId\":\"", self.chain), (",\"stepId\":\"", self.step)] {
            if let Some(id) = id {
                text.push_str(name);
                id.push_to(&mut text);
                text.push('"');
            }
        }
        text.push_str(",\"userId\":");
        push_text(&mut text, self.user);
        text.push_str(",\"at\":\"");
        self.at.push_to(&mut text);
        text.push_str("\",\"data\":");
        text.push_str(self.data);
        text.push('}');
        text.into()
    }
}

/// Room for what an event tells beside its user and its data.
const ROOM_FOR_PLACE: usize = 192;

/// The public JSON of an event: `stored` with the ids that its place tells.
pub(super) fn public_event(origin: Id, position: u64, stored: &str) -> String {
    let event = Id::Event(origin.tree(), position);
    let session = Id::Session(origin.tree());
    format!("{{\"eventId\":\"{event}\",\"sessionId\":\"{session}\",{}", stored.get(1..).unwrap_or("}"))
}
