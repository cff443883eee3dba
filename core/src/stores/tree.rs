//! Where a session's records lie: one record per tree, one field per session, chain and step.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::id::{Tree, base32};
use crate::key::{Key, Name, Partition, Space};
use crate::txn::{Effect, Feed, Until};

/// A session's tree: its session, chains, steps and log.
const TREE: Space = Space("t");
/// A user's sessions, by time of creation.
const SESSIONS: Space = Space("u");
/// A user's feed.
const FEED: Space = Space("f");
/// A user's idempotency keys for sessions.
const KEYS: Space = Space("k");

/// The field of the session itself.
pub(super) const SESSION: &str = "s";
/// The number of the latest chain.
pub(super) const CHAINS: &str = "n";
/// The field of an idempotency key's record: the id that the key stands for.
pub(super) const KEY_ID: &str = "i";

/// Characters of a number in a field's name.
const WIDTH: usize = 5;

pub(super) fn tree_key(tree: Tree) -> Key {
    Key::new(TREE, tree.as_str())
}

pub(super) fn sessions_key(user: &str) -> Key {
    Key::new(SESSIONS, user)
}

pub(super) fn feed_key(user: &str) -> Key {
    Key::new(FEED, user)
}

/// No two (user, idempotency key) meet: the length stands in front.
pub(super) fn idempotency_key(user: &str, key: &str) -> Key {
    Key::new(KEYS, format!("{}.{user}.{key}", user.len()))
}

pub(super) fn user_partition(user: &str) -> Partition {
    Partition::of(user)
}

pub(super) fn chain_field(chain: u32) -> Name {
    smol_str::format_smolstr!("c{}", base32(u64::from(chain), WIDTH))
}

pub(super) fn step_field(chain: u32, step: u32) -> Name {
    smol_str::format_smolstr!("p{}{}", base32(u64::from(chain), WIDTH), base32(u64::from(step), WIDTH))
}

pub(super) fn chain_number(number: u32) -> String {
    base32(u64::from(number), WIDTH)
}

/// The field that remembers a chain's idempotency key in its session.
pub(super) fn chain_key_field(key: &str) -> Name {
    smol_str::format_smolstr!("kc{key}")
}

/// The field that remembers a step's idempotency key in its chain.
pub(super) fn step_key_field(chain: u32, key: &str) -> Name {
    smol_str::format_smolstr!("kp{}{key}", base32(u64::from(chain), WIDTH))
}

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// A session's life after the last write in its tree; `None` is for ever.
    pub session_ttl_ms: Option<u64>,
    /// The longest life of a session, whatever is written; `None` is no cap.
    pub session_life_ms: Option<u64>,
    /// Entries of a session's log.
    pub log_entries: u64,
    /// Entries of a user's feed, at the least.
    pub feed_entries: u64,
    /// A feed's life after its last entry.
    pub feed_ms: u64,
}

impl Default for Keeping {
    /// The contract's: 24 h after the last write, 10,000 events a session, 7 days.
    fn default() -> Self {
        Self {
            session_ttl_ms: Some(24 * 3_600_000),
            session_life_ms: None,
            log_entries: 10_000,
            feed_entries: 10_000,
            feed_ms: 7 * 24 * 3_600_000,
        }
    }
}

impl Keeping {
    /// When a tree that is written now goes.
    pub(super) fn until(&self, tree: Tree, now: Timestamp) -> Until {
        let slid = self.session_ttl_ms.map(|ms| now.plus_ms(ms));
        let cap = self.session_life_ms.map(|ms| tree.created_at().plus_ms(ms));
        match (slid, cap) {
            (Some(slid), Some(cap)) => Until::At(slid.min(cap)),
            (Some(at), None) | (None, Some(at)) => Until::At(at),
            (None, None) => Until::Never,
        }
    }

    pub(super) fn slide(&self, tree: Tree, now: Timestamp) -> Effect {
        Effect::Slide { key: tree_key(tree), until: self.until(tree, now) }
    }

    pub(super) fn append(&self, tree: Tree, user: &str, now: Timestamp, text: Arc<str>) -> Effect {
        let feed = Feed { key: feed_key(user), keep: self.feed_entries, until: now.plus_ms(self.feed_ms) };
        Effect::Append { key: tree_key(tree), text, keep: self.log_entries, feed }
    }
}
