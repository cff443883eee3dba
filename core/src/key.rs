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

/// A kind of stored thing, named by a store. A space and a name make a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Space(pub &'static str);

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
}

#[cfg(test)]
mod tests {
    use super::{PARTITIONS, Partition};

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
