//! What is kept of a breaker's changes.

use serde::{Deserialize, Serialize};

use super::machine::{Applied, Command, Event};
use super::state::{Cause, Mode, State, Transition};

/// Why somebody gave an order, and who.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

/// One entry of a breaker's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// `opened`, `halfOpened`, `closed`, `isolated`, `disabled`, `reset`; `dropped` for entries that were lost.
    pub event: String,
    pub from: Mode,
    pub to: Mode,
    pub at: u64,
    pub generation: u64,
    pub cause: Cause,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Results since it was closed last.
    pub failures: u64,
    pub successes: u64,
    /// Of `dropped`: how many changes there were, and when the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped_since: Option<u64>,
    #[serde(flatten)]
    pub note: Note,
}

impl Audit {
    /// What `event` brought into the history. `counted` are failures and successes as they were before it.
    #[must_use]
    pub fn entries(
        applied: &Applied,
        event: Event,
        counted: (u64, u64),
        after: &State,
        note: &Note,
    ) -> Vec<Self> {
        let (failures, successes) = (counted.0.max(after.failures), counted.1.max(after.successes));
        let reset = event == Event::Command(Command::Reset);
        let entry = |name: &str, moved: &Transition| Self {
            event: name.to_owned(),
            from: moved.from,
            to: moved.to,
            at: moved.at,
            generation: moved.generation,
            cause: moved.cause,
            until: moved.until,
            failures,
            successes,
            dropped: None,
            dropped_since: None,
            note: if moved.cause == Cause::Command { note.clone() } else { Note::default() },
        };
        let mut entries: Vec<Self> =
            applied.transitions.iter().map(|moved| entry(name_of(moved.to), moved)).collect();
        if reset {
            // An order of its own, whether or not it closed something.
            match entries.last_mut() {
                Some(last) if last.cause == Cause::Command => "reset".clone_into(&mut last.event),
                _ => entries.push(entry("reset", &standing(after))),
            }
        }
        entries
    }

    /// One entry in the place of this one and a later one: a range of which no more is known.
    #[must_use]
    pub fn merged(self, later: &Self) -> Self {
        Self {
            event: "dropped".to_owned(),
            from: self.from,
            dropped: Some(self.dropped.unwrap_or(1) + later.dropped.unwrap_or(1)),
            dropped_since: Some(self.dropped_since.unwrap_or(self.at)),
            note: Note::default(),
            ..later.clone()
        }
    }
}

fn name_of(mode: Mode) -> &'static str {
    match mode {
        Mode::Open => "opened",
        Mode::HalfOpen => "halfOpened",
        Mode::Closed => "closed",
        Mode::Isolated => "isolated",
        Mode::Disabled => "disabled",
    }
}

/// As if it had moved to where it is.
fn standing(state: &State) -> Transition {
    let State { mode, at, generation, until, .. } = *state;
    Transition { from: mode, to: mode, at, generation, until, cause: Cause::Command }
}
