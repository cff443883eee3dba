//! Where a session's records lie: one record per tree, one field per session, chain and step.

use std::sync::Arc;

use smol_str::SmolStrBuilder;

use super::record::SCHEMA_VERSION;
use crate::clock::Timestamp;
use crate::id::{Tree, base32, digit, read_base32};
use crate::key::{Key, Name, Partition, Space};
use crate::schema::SessionState;
use crate::txn::{Effect, Feed, Until};

/// A session's tree: its session, chains, steps and log.
const TREE: Space = Space("t");
/// What is archived of a session: it may outlive its tree.
const ARCHIVE: Space = Space("a");
/// What is due below a session, and when.
const BELOW: Space = Space("w");
/// A user's sessions: a letter for the state, then the tree, so that each state is a range in the order of creation.
const SESSIONS: Space = Space("u");
/// A user's feed.
const FEED: Space = Space("f");
/// What happens in a partition, whoever's it is.
const ALL: Space = Space("g");
/// A user's idempotency keys for sessions, and the sessions that hold them.
const KEYS: Space = Space("k");
/// The trees of a partition that something is due in, each with its user, by the time to look at it.
const DUE: Space = Space("d");

/// The field of the session itself.
pub(super) const SESSION: &str = "s";
/// The number of the latest chain.
pub(super) const CHAINS: &str = "n";
/// Characters of a number in a field's name.
const WIDTH: usize = 5;

/// A name of several parts.
fn joined(parts: &[&str]) -> Name {
    let mut name = SmolStrBuilder::new();
    parts.iter().for_each(|part| name.push_str(part));
    name.finish()
}

pub(super) fn tree_key(tree: Tree) -> Key {
    Key::new(TREE, tree.as_str())
}

/// The tree that a key is of.
pub(super) fn tree_of(key: &Key) -> Option<Tree> {
    if key.space == TREE { Tree::parse(&key.name) } else { None }
}

pub(super) fn sessions_key(user: &str) -> Key {
    Key::new(SESSIONS, user)
}

/// The feed of a partition.
pub(super) fn all_key() -> Key {
    Key::new(ALL, "all")
}

pub(super) fn feed_key(user: &str) -> Key {
    Key::new(FEED, user)
}

pub(super) fn archive_key(tree: Tree) -> Key {
    Key::new(ARCHIVE, tree.as_str())
}

/// Of an archive: the steps of a chain, as a bundle. The chain itself is the bundle in its usual field.
pub(super) fn steps_field(chain: u32) -> Name {
    numbered(b'p', &[chain])
}

/// The chain that an archive's field is of, if it is the chain itself.
pub(super) fn chain_of_field(field: &str) -> Option<u32> {
    let number = field.strip_prefix('c').filter(|digits| digits.len() == WIDTH)?;
    read_base32(number).and_then(|number| u32::try_from(number).ok())
}

/// The chain and the step that a step's field is of.
pub(super) fn step_of_field(field: &str) -> Option<(u32, u32)> {
    let (chain, step) = field.strip_prefix('p')?.split_at_checked(WIDTH)?;
    let number = |digits: &str| read_base32(digits).and_then(|number| u32::try_from(number).ok());
    Some((number(chain)?, number(step).filter(|_| step.len() == WIDTH)?))
}

/// What is due below a session, by its time: a step's field where a lease ends, a chain's where it is to be archived.
pub(super) fn below_key(tree: Tree) -> Key {
    Key::new(BELOW, tree.as_str())
}

/// A user's idempotency keys: `i<key>` is the session that a key stands for, `t<tree>` the key of a session.
pub(super) fn keys_key(user: &str) -> Key {
    Key::new(KEYS, user)
}

pub(super) fn key_field(key: &str) -> Name {
    joined(&["i", key])
}

pub(super) fn key_of_field(tree: Tree) -> Name {
    joined(&["t", tree.as_str()])
}

/// What is due in a partition.
pub(super) fn due_key() -> Key {
    Key::new(DUE, "")
}

/// What is to be looked at when its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DueKind {
    /// A session's tree: its deadline, or something below it.
    Session,
    /// An archive that has outlived its session.
    Archive,
}

/// A tree and its user, as what is due knows them.
pub(super) fn due_member(kind: DueKind, tree: Tree, user: &str) -> Name {
    let letter = if kind == DueKind::Session { 's' } else { ARCHIVED };
    joined(&[letter.encode_utf8(&mut [0; 4]), tree.as_str(), user])
}

/// The kind, the tree and the user of what is due.
pub(super) fn due_parts(member: &str) -> Option<(DueKind, Tree, &str)> {
    let kind = if member.starts_with(ARCHIVED) { DueKind::Archive } else { DueKind::Session };
    let (tree, user) = member.get(1..)?.split_at_checked(Tree::LEN)?;
    Some((kind, Tree::parse(tree)?, user))
}

/// The letter of a user's sessions of which only an archive is left.
pub(super) const ARCHIVED: char = 'z';
/// The letters of the others: one for each state.
pub(super) const LIVE: [char; 3] = ['a', 'p', 'c'];

/// A state's letter.
pub(super) fn letter(state: SessionState) -> char {
    match state {
        SessionState::Active => 'a',
        SessionState::Paused => 'p',
        SessionState::Completed => 'c',
    }
}

/// A session among those of its user.
pub(super) fn session_member(letter: char, tree: Tree) -> Name {
    joined(&[letter.encode_utf8(&mut [0; 4]), tree.as_str()])
}

pub(super) fn member_tree(member: &str) -> Option<Tree> {
    member.get(1..).and_then(Tree::parse)
}

pub(super) fn user_partition(user: &str) -> Partition {
    Partition::of(user)
}

pub(super) fn chain_field(chain: u32) -> Name {
    numbered(b'c', &[chain])
}

pub(super) fn step_field(chain: u32, step: u32) -> Name {
    numbered(b'p', &[chain, step])
}

/// A letter and numbers behind it, every one of the same width.
fn numbered(letter: u8, numbers: &[u32]) -> Name {
    let mut name = [letter; 1 + 2 * WIDTH];
    let places = name.iter_mut().skip(1);
    let digits = numbers
        .iter()
        .flat_map(|number| (0..WIDTH).rev().map(move |place| digit(u64::from(*number) >> (5 * place))));
    places.zip(digits).for_each(|(place, digit)| *place = digit);
    let name = name.get(..1 + numbers.len() * WIDTH).unwrap_or_default();
    Name::new(std::str::from_utf8(name).unwrap_or_default())
}

pub(super) fn chain_number(number: u32) -> String {
    base32(u64::from(number), WIDTH)
}

/// The field that remembers a chain's idempotency key in its session.
pub(super) fn chain_key_field(key: &str) -> Name {
    joined(&["kc", key])
}

/// The field that remembers a step's idempotency key in its chain.
pub(super) fn step_key_field(chain: u32, key: &str) -> Name {
    joined(&["kp", &chain_number(chain), key])
}

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// A session's life after the last write in its tree; `None` is for ever.
    pub session_ttl_ms: Option<u64>,
    /// The longest life of a session, whatever is written; `None` is no cap.
    pub session_life_ms: Option<u64>,
    /// How long a chain lies in its tree after its end: 0 is no time at all, `None` as long as the tree.
    pub archive_after_ms: Option<u64>,
    /// An archive's life after the last chain came to it; `None` is for ever.
    pub archive_ms: Option<u64>,
    /// The version of the form in which records are written.
    pub schema: u32,
    /// Entries of a session's log.
    pub log_entries: u64,
    /// Entries of a user's feed, at the least.
    pub feed_entries: u64,
    /// The age at which an event goes, and a feed's life after its last entry.
    pub feed_ms: u64,
    /// A feed over all users is kept as well.
    pub feed_of_all: bool,
}

impl Default for Keeping {
    /// The contract's: 24 h after the last write, 10,000 events a session, 7 days; chains archived at their end.
    fn default() -> Self {
        Self {
            session_ttl_ms: Some(24 * 3_600_000),
            session_life_ms: None,
            archive_after_ms: Some(0),
            archive_ms: Some(7 * 24 * 3_600_000),
            schema: SCHEMA_VERSION,
            log_entries: 10_000,
            feed_entries: 10_000,
            feed_ms: 7 * 24 * 3_600_000,
            feed_of_all: false,
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

    /// When an archive goes that a chain comes to now.
    pub(super) fn archive_until(&self, now: Timestamp) -> Until {
        self.archive_ms.map_or(Until::Never, |ms| Until::At(now.plus_ms(ms)))
    }

    /// When to look at a tree again that goes then: at its end, and before when an event may have become too old.
    pub(super) fn look_at(&self, until: Until, now: Timestamp) -> Timestamp {
        let aged = now.plus_ms(self.feed_ms);
        match until {
            Until::At(at) => at.min(aged),
            Until::Never => aged,
        }
    }

    pub(super) fn slide(&self, tree: Tree, now: Timestamp) -> Effect {
        Effect::Slide { key: tree_key(tree), until: self.until(tree, now) }
    }

    fn feed(&self, user: &str, now: Timestamp) -> Feed {
        let also = self.feed_of_all.then(all_key);
        Feed { key: feed_key(user), keep: self.feed_entries, until: now.plus_ms(self.feed_ms), also }
    }

    /// Tells the user's feed of a session whose log is gone. `position` is one that no entry of the log had.
    pub(super) fn announce(
        &self,
        tree: Tree,
        user: &str,
        now: Timestamp,
        position: u64,
        text: Arc<str>,
    ) -> Effect {
        Effect::Announce { feed: self.feed(user, now), origin: tree.as_str().into(), position, text }
    }

    pub(super) fn append(&self, tree: Tree, user: &str, now: Timestamp, text: Arc<str>) -> Effect {
        Effect::Append { key: tree_key(tree), text, keep: self.log_entries, feed: self.feed(user, now) }
    }
}
