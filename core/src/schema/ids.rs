//! Strings with a meaning of their own. Only their schemas are here: in the records they are `String`s.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

macro_rules! marked {
    ($($(#[$doc:meta])* $name:ident => $schema:tt;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

marked! {
    /// The caller's name for a user.
    UserId => { "type": "string", "minLength": 1, "x-limit": "idCodePoints", "x-type": "UserId" };
    SessionId => { "type": "string", "minLength": 1, "x-limit": "idCodePoints", "x-type": "SessionId" };
    ChainId => { "type": "string", "minLength": 1, "x-limit": "idCodePoints", "x-type": "ChainId" };
    StepId => { "type": "string", "minLength": 1, "x-limit": "idCodePoints", "x-type": "StepId" };
    EventId => { "type": "string", "minLength": 1, "x-limit": "idCodePoints", "x-type": "EventId" };
    /// A word that sessions are found by.
    Tag => { "type": "string", "minLength": 1, "x-limit": "tagCodePoints" };
    /// The caller's own event type: a prefix and a name.
    CustomEventType => {
        "type": "string",
        "minLength": 8,
        "pattern": "^custom:",
        "x-prefix": "custom:",
        "x-limit": "eventTypeCodePoints",
        "x-type": "CustomEventType"
    };
    /// Any event type: ours, or the caller's own.
    EventType => {
        "type": "string",
        "anyOf": [
            { "enum": [
                "session:created", "session:updated", "session:paused", "session:resumed",
                "session:completed", "session:expired", "session:deleted",
                "chain:created", "chain:updated", "chain:started", "chain:completed", "chain:failed",
                "chain:cancelled", "chain:archived", "chain:deleted",
                "step:created", "step:updated", "step:started", "step:completed", "step:failed",
                "step:skipped", "step:retried", "step:deleted",
                "log:trimmed"
            ] },
            { "pattern": "^custom:", "minLength": 8 }
        ],
        "x-type": "EventType"
    };
}
