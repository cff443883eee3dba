//! Names of stored things, as far as the engine knows them: a partition, a space and a name.
//! How they are spelled in a server's keyspace is the business of `redis/` alone.

/// How many partitions there are. Part of the stored format: it never changes under one format version.
pub const PARTITIONS: u16 = 1024;

/// The unit of atomicity: a lock in memory, a hash tag in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition(u16);

impl Partition {
    /// The partition of everything that belongs to `owner`: FNV-1a (64 bit) of its bytes, folded to 10 bits.
    #[must_use]
    pub fn of(owner: &str) -> Self {
        let hash = owner.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        let folded = hash ^ (hash >> 32);
        Self(((folded ^ (folded >> 16)) % u64::from(PARTITIONS)) as u16)
    }

    #[must_use]
    pub fn from_number(number: u16) -> Self {
        Self(number % PARTITIONS)
    }

    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

/// A kind of stored thing, named by a store. A space and a name make a key, and the space says how it is spelled:
/// see [`Spelling`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Space(pub &'static str);

/// How the keys of a space are spelled where others can see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// Under the partition. The space is a word: `Space("t")`.
    Tagged,
    /// As other programs would write it. The space is what stands in front of the name: `Space("queue:")`. Such a key
    /// stands alone: only its companions share its partition.
    Plain,
    /// Plain, with the name as it is: a part of it in braces is what decides on the partition. `Space("kv:{}")`.
    Braced(&'static str),
    /// The name and nothing else, in a keyspace that belongs to others: `Space("")`.
    Verbatim,
    /// Beside the key of the same name in the space of the first word: `Space("queue:leases")`.
    Beside { space: &'static str, companion: &'static str },
}

impl Space {
    #[must_use]
    pub fn spelling(self) -> Spelling {
        match self.0.find(':').map(|colon| self.0.split_at(colon + 1)) {
            None if self.0.is_empty() => Spelling::Verbatim,
            None => Spelling::Tagged,
            Some((_, "")) => Spelling::Plain,
            Some((space, "{}")) => Spelling::Braced(space),
            Some((space, companion)) => Spelling::Beside { space, companion },
        }
    }
}

/// A stored thing in the partition of its transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub space: Space,
    pub name: Name,
}

/// A short text; up to 23 bytes are held in place.
pub type Name = smol_str::SmolStr;

impl Key {
    pub fn new(space: Space, name: impl Into<Name>) -> Self {
        Self { space, name: name.into() }
    }

    /// What stands in the first braces of a name: keys of one tag share a partition.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        let (_, rest) = self.name.split_once('{')?;
        rest.split_once('}').map(|(tag, _)| tag).filter(|tag| !tag.is_empty())
    }

    /// The partition of a key that stands alone, and of its companions: each has one of its own.
    #[must_use]
    pub fn alone(&self) -> Partition {
        let space = match self.space.spelling() {
            Spelling::Beside { space, .. } => space,
            Spelling::Braced(_) | Spelling::Verbatim => {
                if let Some(tag) = self.tag() {
                    return Partition::of(tag);
                }
                self.space.0
            }
            _ => self.space.0,
        };
        Partition::of(&format!("{space}{}", self.name))
    }

    /// The key beside this one. Plain keys have companions; `space` is this key's with a word behind it.
    #[must_use]
    pub fn beside(&self, space: Space) -> Self {
        Self { space, name: self.name.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, PARTITIONS, Partition, Space, Spelling};

    #[test]
    fn a_space_says_how_its_keys_are_spelled() {
        assert_eq!(Space("t").spelling(), Spelling::Tagged);
        assert_eq!(Space("queue:").spelling(), Spelling::Plain);
        assert_eq!(Space("").spelling(), Spelling::Verbatim);
        let beside = Spelling::Beside { space: "queue:", companion: "leases" };
        assert_eq!(Space("queue:leases").spelling(), beside);
        let key = Key::new(Space("queue:"), "a");
        assert_eq!(key.alone(), key.beside(Space("queue:leases")).alone());
        assert_ne!(key.alone(), Key::new(Space("cache:"), "a").alone());
    }

    #[test]
    fn owners_spread_evenly() {
        let mut counts = vec![0u32; usize::from(PARTITIONS)];
        for owner in 0..102_400 {
            counts[usize::from(Partition::of(&format!("user-{owner}")).number())] += 1;
        }
        // 100 are expected in each; a fair spread leaves none beyond six standard deviations.
        assert!(counts.iter().all(|count| (40..=160).contains(count)), "{counts:?}");
    }

    #[test]
    fn the_spread_is_part_of_the_format() {
        for (owner, partition) in [("", 17), ("demo", 867), ("ü", 55)] {
            assert_eq!(Partition::of(owner).number(), partition, "{owner}");
        }
    }
}
