//! A kept write that stands on something that has changed meanwhile: written down, told, and decided.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::policy::Conflicts;
use crate::clock::Timestamp;
use crate::command::{Bytes, Command};
use crate::error::{Error, Result};
use crate::id::Mark;
use crate::key::{Key, Partition, Space};
use crate::txn::{Effect, Feed, Query, Txn};

/// Where conflicts are written down: one log for all of a prefix.
const CONFLICTS: Space = Space("w");
/// Conflicts that are remembered.
const KEPT: u64 = 10_000;
/// How long their feed lives after the last of them.
const FEED_MS: u64 = 30 * 24 * 3_600_000;

/// Makes a change anew, on what is stored by now: what `local-wins` means.
pub trait Redo: Send + Sync {
    /// `log` is where the change appended `event`. *Errors*: when the rules do not allow the change any more.
    fn redo(&self, log: &Key, event: &str) -> Pin<Box<dyn Future<Output = Result<()>> + Send>>;
}

/// What is written down of a conflict.
pub(super) struct Conflict {
    /// JSON, as it is told.
    text: String,
}

impl Conflict {
    /// The members of its JSON object but the time, which comes first.
    pub fn members(&self) -> String {
        let members = self.text.split_once(',').map_or("", |(_, members)| members);
        members.strip_suffix('}').unwrap_or(members).to_owned()
    }
}

/// The place of all conflicts.
#[must_use]
pub fn conflicts_place() -> (Partition, Key) {
    (Partition::from_number(0), Key::new(CONFLICTS, "conflicts"))
}

/// The question for conflicts behind a position.
#[must_use]
pub fn conflicts_after(after: u64, limit: u64, deadline: Timestamp) -> Txn {
    let (partition, key) = conflicts_place();
    Txn::read(partition, deadline, vec![Query::Log { key, after, limit }])
}

/// The log and the entry by which a change tells what it is: its first.
pub(super) fn event_of(txn: &Txn) -> Option<(&Key, &Arc<str>)> {
    txn.effects.iter().find_map(|effect| match effect {
        Effect::Append { key, text, .. } => Some((key, text)),
        _ => None,
    })
}

/// What a conflict of a write is known by.
fn mark_of(txn: &Txn) -> Option<Mark> {
    txn.mark.or_else(|| txn.noted.and_then(|noted| noted.note.mark()))
}

/// What a write would have put into a plain value, as JSON.
fn values_of(txn: &Txn) -> String {
    let commands = txn.effects.iter().filter_map(|effect| match effect {
        Effect::Do { command, .. } | Effect::Try { command, .. } => Some(command),
        _ => None,
    });
    let text = |text: &Bytes| serde_json::to_string(&String::from_utf8_lossy(text)).unwrap_or_default();
    let texts: Vec<String> = commands.flat_map(Command::texts).map(text).collect();
    format!("{{\"values\":[{}]}}", texts.join(","))
}

/// A conflict as it is told: which change, of what, why it could not be made, and what became of it.
pub(super) fn describe(
    txn: &Txn,
    why: &str,
    policy: Conflicts,
    redone: Option<&Result<()>>,
    at: u64,
) -> Conflict {
    let resolution = match (policy, redone) {
        (Conflicts::RemoteWins, _) => "remote",
        (Conflicts::LocalWins, Some(Ok(()))) => "local",
        (Conflicts::LocalWins, _) => "remote",
        (Conflicts::Manual, _) => "open",
    };
    let mark = mark_of(txn);
    let id = mark.as_ref().map_or("", |mark| mark.as_str());
    let of =
        event_of(txn).map(|(log, _)| log).or_else(|| txn.first_key()).map_or("", |key| key.name.as_str());
    let change = event_of(txn).map_or_else(|| values_of(txn), |(_, event)| event.to_string());
    let of = serde_json::to_string(of).unwrap_or_default();
    let error = match redone {
        Some(Err(Error { code, .. })) => format!(",\"error\":\"{}\"", code.as_str()),
        _ => String::new(),
    };
    let text = format!(
        "\"conflictId\":\"{id}\",\"tree\":{of},\"why\":\"{why}\",\"resolution\":\"{resolution}\"{error},\"change\":{change}"
    );
    Conflict { text: format!("{{\"at\":{at},{text}}}") }
}

/// The write that puts a conflict down. It carries the mark of the kept write, so it is put down once.
pub(super) fn put_down(txn: &Txn, conflict: &Conflict, now: Timestamp, deadline: Timestamp) -> Txn {
    let (partition, key) = conflicts_place();
    let feed = Feed { key: Key::new(CONFLICTS, "feed"), keep: KEPT, until: now.plus_ms(FEED_MS), also: None };
    let text = conflict.text.as_str().into();
    Txn {
        effects: vec![Effect::Append { key, text, keep: KEPT, feed }],
        mark: mark_of(txn),
        repeated: true,
        ..Txn::new(partition, deadline)
    }
}
