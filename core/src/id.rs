//! Ids: opaque, ordered by time, and each one tells the partition and the tree that it lives in.
//!
//! A session's id is `ses_` and the 20 characters of its tree: 10 of time (ms), 2 of partition, 8 random.
//! A chain adds its number in the session (5 characters), a step its number in the chain (5 more), an
//! event its position in the session's log (8). The alphabet is Crockford's base 32 in lower case, whose
//! order is that of the bytes, so ids sort as their numbers do.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::key::Partition;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TREE_LEN: usize = 20;
const NUMBER_LEN: usize = 5;
const POSITION_LEN: usize = 8;
/// The last position that an event's id can name.
pub const LAST_POSITION: u64 = (1 << (5 * POSITION_LEN)) - 1;
/// 40 random bits: the last 8 characters of a tree, and an operation id.
const RANDOM_BITS: u64 = 40;

/// The character of the lowest five bits.
#[must_use]
pub fn digit(value: u64) -> u8 {
    ALPHABET.get((value & 31) as usize).copied().unwrap_or(b'0')
}

fn push_base32(out: &mut String, value: u64, width: usize) {
    // Seven bits, so a character is a byte; no number has more digits.
    let mut digits = [b'0'; 16];
    for (place, byte) in digits.iter_mut().take(width).enumerate() {
        *byte = digit(value >> (5 * (width - 1 - place)));
    }
    out.push_str(std::str::from_utf8(digits.get(..width).unwrap_or_default()).unwrap_or_default());
}

/// Each byte's value in the alphabet; 32 for one that is not in it.
#[expect(clippy::indexing_slicing, reason = "made while compiling: an index that is none would not compile")]
const VALUES: [u8; 256] = {
    let (mut values, mut value) = ([32; 256], 0);
    while value < 32 {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values
};

pub(crate) fn read_base32(text: &str) -> Option<u64> {
    text.bytes().try_fold(0u64, |sum, byte| {
        let value = VALUES.get(usize::from(byte)).copied().filter(|value| *value < 32)?;
        Some((sum << 5) | u64::from(value))
    })
}

/// `number` in `width` characters; ordered as the numbers are.
#[must_use]
pub fn base32(number: u64, width: usize) -> String {
    let mut out = String::with_capacity(width);
    push_base32(&mut out, number, width);
    out
}

/// So many characters of base32 by which a write is known again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sign<const LEN: usize>([u8; LEN]);

/// What tells one write from every other: 40 random bits as 8 characters. What a write appends carries it, so
/// that a repeat whose first answer was lost is known again.
pub type Mark = Sign<MARK_LEN>;

/// What tells a write that no log remembers from every other: 80 random bits as 16 characters. Its answer is kept under
/// this name for a while, so that a repeat whose first answer was lost is known again.
pub type Note = Sign<NOTE_LEN>;

/// Characters of a [`Mark`].
pub const MARK_LEN: usize = 8;
/// Characters of a [`Note`].
pub const NOTE_LEN: usize = 2 * MARK_LEN;

impl<const LEN: usize> Sign<LEN> {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        read_base32(text)?;
        Some(Self(text.as_bytes().try_into().ok()?))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl<const LEN: usize> fmt::Debug for Sign<LEN> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Mark {
    #[must_use]
    pub fn new(random: u64) -> Self {
        let mut text = [b'0'; MARK_LEN];
        for (place, byte) in text.iter_mut().rev().enumerate() {
            *byte = digit(random >> (5 * place));
        }
        Self(text)
    }
}

impl Note {
    /// Its first half: what a log remembers of what became of this write.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        self.as_str().get(..MARK_LEN).and_then(Mark::parse)
    }
}

/// The unit that one session's records live in, named by the 20 characters that all their ids share.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tree([u8; TREE_LEN]);

impl Tree {
    /// Characters of its name.
    pub const LEN: usize = TREE_LEN;

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        read_base32(text)?;
        Some(Self(text.as_bytes().try_into().ok()?))
    }

    fn new(at: Timestamp, partition: Partition, random: u64) -> Self {
        let mut text = String::with_capacity(TREE_LEN);
        push_base32(&mut text, at.0, 10);
        push_base32(&mut text, u64::from(partition.number()), 2);
        push_base32(&mut text, random, 8);
        Self(text.as_bytes().try_into().unwrap_or([b'0'; TREE_LEN]))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Where the tree lives.
    #[must_use]
    pub fn partition(&self) -> Partition {
        let number = self.as_str().get(10..12).and_then(read_base32).unwrap_or_default();
        Partition::from_number(number as u16)
    }

    /// When the tree was made.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        Timestamp(self.as_str().get(..10).and_then(read_base32).unwrap_or_default())
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The id of a session, or of something numbered below one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Id {
    Session(Tree),
    Chain(Tree, u32),
    Step(Tree, u32, u32),
    Event(Tree, u64),
}

impl Id {
    /// Reads an id of any kind; `None` for everything that this engine did not make.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once('_')?;
        let tree = Tree::parse(rest.get(..TREE_LEN)?)?;
        let tail = rest.get(TREE_LEN..)?;
        let number = |from: usize| {
            let value = read_base32(tail.get(from..from + NUMBER_LEN)?)?;
            u32::try_from(value).ok().filter(|number| *number > 0)
        };
        match (kind, tail.len()) {
            ("ses", 0) => Some(Self::Session(tree)),
            ("chn", NUMBER_LEN) => Some(Self::Chain(tree, number(0)?)),
            ("stp", len) if len == 2 * NUMBER_LEN => Some(Self::Step(tree, number(0)?, number(NUMBER_LEN)?)),
            ("evt", POSITION_LEN) => Some(Self::Event(tree, read_base32(tail)?)),
            _ => None,
        }
    }

    #[must_use]
    pub fn tree(&self) -> Tree {
        match self {
            Self::Session(tree) | Self::Chain(tree, _) | Self::Step(tree, ..) | Self::Event(tree, _) => *tree,
        }
    }
}

impl Id {
    /// Appends the id's text.
    pub fn push_to(&self, out: &mut String) {
        out.push_str(match self {
            Self::Session(_) => "ses_",
            Self::Chain(..) => "chn_",
            Self::Step(..) => "stp_",
            Self::Event(..) => "evt_",
        });
        out.push_str(self.tree().as_str());
        match *self {
            Self::Session(_) => {}
            Self::Chain(_, chain) => push_base32(out, u64::from(chain), NUMBER_LEN),
            Self::Step(_, chain, step) => {
                push_base32(out, u64::from(chain), NUMBER_LEN);
                push_base32(out, u64::from(step), NUMBER_LEN);
            }
            Self::Event(_, position) => push_base32(out, position, POSITION_LEN),
        }
    }
}

impl Id {
    /// Its text, without the detour by a formatter.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(4 + TREE_LEN + 2 * NUMBER_LEN);
        self.push_to(&mut text);
        text
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// Where new ids come from. Tests give seeded ones.
pub trait Ids: Send + Sync {
    /// 64 random bits.
    fn random(&self) -> u64;

    /// The tree of a new session. Trees drawn in one millisecond are ordered as they were drawn.
    fn tree(&self, now: Timestamp, partition: Partition) -> Tree;

    /// The mark of a new write.
    fn mark(&self) -> Mark {
        Mark::new(self.random())
    }

    /// What a new write that no log remembers is known by.
    fn note(&self) -> Note {
        let mut text = [b'0'; NOTE_LEN];
        for half in text.chunks_mut(MARK_LEN) {
            half.copy_from_slice(&self.mark().0);
        }
        Sign(text)
    }

    /// An operation's id: 8 characters. It tells two writes of one record version apart.
    fn operation(&self) -> String {
        base32(self.random(), 8)
    }
}

/// Ids from the system's random source.
#[derive(Debug, Default)]
pub struct RandomIds {
    state: Mutex<RandomState>,
}

#[derive(Debug)]
struct RandomState {
    /// Random bytes read ahead, so that a system call serves 512 ids.
    ahead: Vec<u8>,
    last: Timestamp,
    last_random: u64,
}

impl Default for RandomState {
    fn default() -> Self {
        Self { ahead: Vec::new(), last: Timestamp(0), last_random: 0 }
    }
}

const AHEAD_BYTES: usize = 4096;

impl RandomState {
    fn random(&mut self) -> u64 {
        if self.ahead.len() < 8 {
            self.ahead.resize(AHEAD_BYTES, 0);
            if getrandom::fill(&mut self.ahead).is_err() {
                self.ahead.clear();
            }
        }
        let Some(bytes) = self.ahead.last_chunk::<8>().copied() else { return hashed_fallback() };
        self.ahead.truncate(self.ahead.len() - bytes.len());
        u64::from_ne_bytes(bytes)
    }
}

/// Only when the system has no random source: std's randomly keyed hasher.
fn hashed_fallback() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

impl Ids for RandomIds {
    fn random(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    fn tree(&self, now: Timestamp, partition: Partition) -> Tree {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = state.random() & ((1 << RANDOM_BITS) - 1);
        state.last_random = if now > state.last { fresh >> 1 } else { state.last_random + 1 + (fresh >> 20) };
        state.last = state.last.max(now);
        Tree::new(state.last, partition, state.last_random)
    }
}

#[cfg(test)]
mod tests {
    use super::{Id, Ids, RandomIds};
    use crate::clock::Timestamp;
    use crate::key::Partition;

    #[test]
    fn ids_tell_their_partition_and_time() {
        let tree = RandomIds::default().tree(Timestamp(1_700_000_000_123), Partition::from_number(777));
        assert_eq!(tree.partition(), Partition::from_number(777));
        assert_eq!(tree.created_at(), Timestamp(1_700_000_000_123));
        for id in [Id::Session(tree), Id::Chain(tree, 7), Id::Step(tree, 7, 33_554_431), Id::Event(tree, 9)] {
            assert_eq!(Id::parse(&id.to_string()), Some(id));
        }
    }

    #[test]
    fn ids_of_one_millisecond_are_ordered_and_distinct() {
        let ids = RandomIds::default();
        let drawn: Vec<String> = (0..10_000)
            .map(|_| Id::Session(ids.tree(Timestamp(5), Partition::from_number(3))).to_string())
            .collect();
        assert!(drawn.windows(2).all(|pair| matches!(pair, [a, b] if a < b)));
    }

    #[test]
    fn what_is_not_ours_is_no_id() {
        for text in [
            "",
            "_",
            "ses_",
            "ses_0123456789abcdefghj",
            "ses_0123456789abcdefghjl",
            "xyz_0123456789abcdefghjk",
            "ses_0123456789abcdefghjk0",
            "chn_0123456789abcdefghjk00000",
            "ses_0123456789abcdefgh\u{e9}",
            "SES_0123456789abcdefghjk",
        ] {
            assert_eq!(Id::parse(text), None, "{text}");
        }
    }
}
