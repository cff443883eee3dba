//! How a key is spelled in Redis: `<prefix>v1:{<partition>}:<space>:<name>`.
//!
//! The braces make the partition the hash tag, so that all keys of a transaction share a slot. `v1` is
//! the version of this format, the number of partitions included.
//!
//! A key that other programs share is spelled plainly, `<prefix>queue:<name>`, and what belongs to it beside it:
//! `{<prefix>queue:<name>}:leases`. Redis takes what stands between the first `{` and the first `}` behind it for the hash
//! tag, and the whole key when there is no such thing. No brace is left in a plain key, so the whole of it is hashed; the
//! tag of its companions is that whole. Nothing but a companion begins with a brace, so none is another's name.

use super::cluster::{slot_of, tag_of};
use crate::error::{Code, Error, Result};
use crate::key::{Key, Partition, Space, Spelling};
use crate::txn::{Fate, Noted};

/// Code points of a prefix at the most: it is part of every key.
const PREFIX_CODE_POINTS: usize = 64;

/// The space of answers that are kept.
const NOTES: &str = "m";
/// Answers of so many ms lie in one hash: enough that few keys are made, few enough that dropping them takes no time.
const TOGETHER_MS: u64 = 1_000;
const KEPT_TOGETHER_MS: u64 = 3_600_000;

/// How long such a hash lives from its first answer on, in ms.
pub(super) fn note_life_ms(noted: &Noted) -> u64 {
    noted.life_ms() + if noted.fate == Fate::Kept { KEPT_TOGETHER_MS } else { TOGETHER_MS }
}

/// Room for what stands between prefix and name.
const ROOM: usize = 16;

/// Spells keys under one prefix.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// As it was given.
    plain: String,
    /// With the version of the format behind it.
    prefix: String,
    /// Whether a hint stays with the node that has the partition.
    sharded: bool,
}

impl Keys {
    /// A brace in the prefix would become the hash tag of every key, so it is refused.
    pub fn new(prefix: &str) -> Result<Self> {
        if prefix.contains(['{', '}']) || prefix.chars().count() > PREFIX_CODE_POINTS {
            let message = format!("prefix: at most {PREFIX_CODE_POINTS} code points, without braces");
            return Err(Error::new(Code::Config, message));
        }
        Ok(Self { plain: prefix.to_owned(), prefix: format!("{prefix}v1:"), sharded: false })
    }

    /// The same for a Cluster, or not.
    pub fn sharded(self, sharded: bool) -> Self {
        Self { sharded, ..self }
    }

    /// The command that gives a hint.
    pub fn publish(&self) -> &'static str {
        if self.sharded { "SPUBLISH" } else { "PUBLISH" }
    }

    /// Appends the channel of a partition's hints.
    pub fn channel_into(&self, text: &mut String, partition: Partition) {
        self.push_tag(text, partition);
        text.push_str("hints");
    }

    /// What every key and channel of a partition begins with.
    fn push_tag(&self, text: &mut String, partition: Partition) {
        text.push_str(&self.prefix);
        text.push('{');
        text.push_str(itoa::Buffer::new().format(partition.number()));
        text.push_str("}:");
    }

    /// The partition of a channel, if it is one of ours.
    pub fn partition_of(&self, channel: &[u8]) -> Option<Partition> {
        let text = std::str::from_utf8(channel).ok()?.strip_prefix(&self.prefix)?;
        let number = text.strip_prefix('{')?.strip_suffix("}:hints")?;
        number.parse().ok().map(Partition::from_number)
    }

    pub fn spell(&self, partition: Partition, key: &Key) -> String {
        let mut text = String::with_capacity(self.prefix.len() + key.name.len() + ROOM);
        self.spell_into(&mut text, partition, key);
        text
    }

    /// Appends a key's text.
    pub fn spell_into(&self, text: &mut String, partition: Partition, key: &Key) {
        match key.space.spelling() {
            Spelling::Tagged => {
                self.push_tag(text, partition);
                text.push_str(key.space.0);
                text.push(':');
                escape(text, &key.name, true);
            }
            Spelling::Plain => text.push_str(&self.plain(key.space.0, &key.name)),
            Spelling::Braced(space) => {
                text.push_str(&self.plain);
                text.push_str(space);
                text.push_str(&key.name);
            }
            Spelling::Verbatim => text.push_str(&key.name),
            Spelling::Beside { space, companion } => {
                text.push('{');
                text.push_str(&self.plain(space, &key.name));
                text.push_str("}:");
                text.push_str(companion);
            }
        }
    }

    /// Where the answer of a noted write is kept, a hash of those that were made at the same time: in the slot of the first
    /// key that it changes. In a Cluster a plain key
    /// decides on its slot by itself, and what is to share it takes a tag that has the same one.
    pub fn spell_note(&self, partition: Partition, first: Option<&Key>, noted: &Noted) -> String {
        let is_plain = |key: &&Key| self.sharded && key.space.spelling() != Spelling::Tagged;
        let tag = match first.filter(is_plain) {
            Some(key) => tag_of(slot_of(self.spell(partition, key).as_bytes())),
            None => u32::from(partition.number()),
        };
        let (kind, ms) = if noted.fate == Fate::Kept { ("k", KEPT_TOGETHER_MS) } else { ("", TOGETHER_MS) };
        format!("{}{{{tag}}}:{NOTES}:{kind}{}", self.prefix, noted.at.0 / ms)
    }

    /// What stands in front of a name in a space whose names are not changed.
    pub fn front(&self, space: Space) -> String {
        match space.spelling() {
            Spelling::Braced(space) | Spelling::Beside { space, .. } => format!("{}{space}", self.plain),
            Spelling::Plain => format!("{}{}", self.plain, space.0),
            Spelling::Verbatim | Spelling::Tagged => String::new(),
        }
    }

    /// What stands beside a key that is plain or a companion itself, or under its partition.
    pub fn spell_beside(&self, partition: Partition, key: &Key, companion: &str) -> String {
        match key.space.spelling() {
            Spelling::Plain => format!("{{{}}}:{companion}", self.plain(key.space.0, &key.name)),
            _ => format!("{}:{companion}", self.spell(partition, key)),
        }
    }

    fn plain(&self, space: &str, name: &str) -> String {
        let mut text = format!("{}{space}", self.plain);
        escape(&mut text, name, false);
        text
    }
}

/// Appends a name without the characters that mean something in a key. A colon in a plain key means nothing: only the
/// name stands behind the space.
fn escape(text: &mut String, name: &str, colons: bool) {
    if !name.bytes().any(|byte| matches!(byte, b'%' | b':' | b'{' | b'}')) {
        text.push_str(name);
        return;
    }
    for char in name.chars() {
        match char {
            '%' => text.push_str("%25"),
            ':' if colons => text.push_str("%3A"),
            '{' => text.push_str("%7B"),
            '}' => text.push_str("%7D"),
            _ => text.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Keys;
    use crate::key::{Key, Partition, Space};

    #[test]
    fn names_cannot_leave_their_place() {
        let keys = Keys::new("app:").unwrap();
        let spell = |name: &str| keys.spell(Partition::from_number(7), &Key::new(Space("u"), name));
        assert_eq!(spell("a:{b}%"), "app:v1:{7}:u:a%3A%7Bb%7D%25");
        assert_ne!(spell("a:b"), spell("a%3Ab"));
        let mut channel = String::new();
        keys.channel_into(&mut channel, Partition::from_number(7));
        assert_eq!(channel, "app:v1:{7}:hints");
        assert_eq!(keys.partition_of(channel.as_bytes()), Some(Partition::from_number(7)));
        assert_eq!(keys.partition_of(b"apt:v1:{7}:hints"), None);
        let keys = Keys::new("").unwrap();
        let spell = |space, name: &str| keys.spell(Partition::from_number(7), &Key::new(Space(space), name));
        assert_eq!(spell("queue:", "a:{b}%"), "queue:a:%7Bb%7D%25");
        assert_eq!(spell("queue:leases", "a:{b}%"), "{queue:a:%7Bb%7D%25}:leases");
        assert_eq!(spell("", "{a}:b"), "{a}:b");
        assert!(Keys::new("a{b").is_err() && Keys::new(&"a".repeat(65)).is_err());
    }
}
