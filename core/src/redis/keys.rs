//! How a key is spelled in Redis: `<prefix>v1:{<partition>}:<space>:<name>`.
//!
//! The braces make the partition the hash tag, so that all keys of a transaction share a slot. `v1` is
//! the version of this format, the number of partitions included.

use crate::error::{Code, Error, Result};
use crate::key::{Key, Partition};

/// Code points of a prefix at the most: it is part of every key.
const PREFIX_CODE_POINTS: usize = 64;

/// Spells keys under one prefix.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    /// A brace in the prefix would become the hash tag of every key, so it is refused.
    pub fn new(prefix: &str) -> Result<Self> {
        if prefix.contains(['{', '}']) || prefix.chars().count() > PREFIX_CODE_POINTS {
            let message = format!("prefix: at most {PREFIX_CODE_POINTS} code points, without braces");
            return Err(Error::new(Code::Config, message));
        }
        Ok(Self { prefix: format!("{prefix}v1:") })
    }

    pub fn spell(&self, partition: Partition, key: &Key) -> String {
        let mut text = format!("{}{{{}}}:{}:", self.prefix, partition.number(), key.space.0);
        for char in key.name.chars() {
            match char {
                '%' => text.push_str("%25"),
                ':' => text.push_str("%3A"),
                '{' => text.push_str("%7B"),
                '}' => text.push_str("%7D"),
                _ => text.push(char),
            }
        }
        text
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
        assert!(Keys::new("a{b").is_err() && Keys::new(&"a".repeat(65)).is_err());
    }
}
