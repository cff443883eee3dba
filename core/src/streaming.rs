//! Commands on streams: entries in order, and groups of consumers that share them.

use crate::command::Bytes;
use crate::key::Key;

/// A place in a stream: milliseconds and a number within them.
pub type Place = (u64, u64);

/// The place behind every other one.
pub const LAST_PLACE: Place = (u64::MAX, u64::MAX);

/// What is done with a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Streaming {
    /// The place of the new entry. It keeps about `keep` entries (never fewer). A place that is not behind the latest is a fault.
    Add {
        fields: Vec<(Bytes, Bytes)>,
        place: Option<Place>,
        keep: Option<u64>,
    },
    /// Entries between two places, both included.
    Range {
        from: Place,
        to: Place,
        count: u64,
        descending: bool,
    },
    Len,
    /// How many were there.
    Drop(Vec<Place>),
    /// Makes a group that stands behind `after`, or behind the latest entry. Makes the stream too.
    GroupMake {
        group: Bytes,
        after: Option<Place>,
    },
    /// 1 when there was one.
    GroupEnd {
        group: Bytes,
    },
    /// Entries that no consumer of the group has got; they are then pending. `Nil` when there are none.
    GroupRead {
        group: Bytes,
        consumer: Bytes,
        count: u64,
    },
    /// How many were pending.
    Acknowledge {
        group: Bytes,
        places: Vec<Place>,
    },
    /// Place, consumer, ms since the delivery, deliveries: of entries pending for at least `idle_ms`.
    Pending {
        group: Bytes,
        idle_ms: u64,
        from: Place,
        count: u64,
        consumer: Option<Bytes>,
    },
    /// Takes over what has been pending for at least `idle_ms`: the entries that are still there.
    Claim {
        group: Bytes,
        consumer: Bytes,
        idle_ms: u64,
        places: Vec<Place>,
    },
    /// Name, pending, the place behind which nothing was delivered; of each group, by name.
    Groups,
    /// Name, pending, ms since it was last seen; of each consumer, by name.
    Consumers {
        group: Bytes,
    },
    /// Forgets a consumer, with what is pending for it.
    ConsumerEnd {
        group: Bytes,
        consumer: Bytes,
    },
    /// Acknowledges, and notes in a hash beside the stream up to where everything that the group was given is
    /// acknowledged: its floor. How many were pending. Without places it only notes.
    Settle {
        group: Bytes,
        places: Vec<Place>,
        floors: Key,
    },
    /// Makes a group that is not there at the floor that is noted for it; at the beginning where none is noted, or one that
    /// lies behind the stream's latest entry and so is another stream's. Makes the stream too.
    Mend {
        group: Bytes,
        floors: Key,
    },
}

impl Streaming {
    /// The second key of those that have one.
    #[must_use]
    pub fn floors(&self) -> Option<&Key> {
        match self {
            Self::Settle { floors, .. } | Self::Mend { floors, .. } => Some(floors),
            _ => None,
        }
    }
}

/// A place as `<ms>-<number>`.
#[must_use]
pub fn place_text((ms, number): Place) -> String {
    format!("{ms}-{number}")
}

/// Reads `<ms>-<number>`.
#[must_use]
pub fn read_place(text: &str) -> Option<Place> {
    let (ms, number) = text.split_once('-')?;
    let read = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?;
    Some((read(ms)?, read(number)?))
}
