//! Who has what in a Cluster: slots of keys, the map of slots, redirections. No connection is known here.

use std::sync::OnceLock;

use super::resp::{self, Value};

/// Hash slots of a Cluster.
pub(super) const SLOTS: usize = 16_384;

/// A node's place: host and port.
pub(super) type Place = (String, u16);

/// CRC-16/XMODEM, by bytes.
const CRC: [u16; 256] = {
    let mut table = [0u16; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        // A constant's table can't be filled through an iterator.
        #[expect(clippy::indexing_slicing, reason = "the index is below the length")]
        {
            table[byte] = crc;
        }
        byte += 1;
    }
    table
};

/// The slot of a key: of what stands between its first `{` and the first `}` behind it, or of the whole key.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    let tag = || {
        let from = key.iter().position(|byte| *byte == b'{')? + 1;
        let len = key.get(from..)?.iter().position(|byte| *byte == b'}')?;
        key.get(from..from + len).filter(|tag| !tag.is_empty())
    };
    let crc = tag().unwrap_or(key).iter().fold(0u16, |crc, byte| {
        let at = usize::from((crc >> 8) ^ u16::from(*byte));
        (crc << 8) ^ CRC.get(at).copied().unwrap_or_default()
    });
    crc % SLOTS as u16
}

/// A number whose slot this is. All of them are looked for once: the largest has six digits.
pub(super) fn tag_of(slot: u16) -> u32 {
    static TAGS: OnceLock<Vec<u32>> = OnceLock::new();
    let tags = TAGS.get_or_init(|| {
        let (mut tags, mut left) = (vec![None; SLOTS], SLOTS);
        for number in 0u32.. {
            let tag = tags.get_mut(usize::from(slot_of(itoa::Buffer::new().format(number).as_bytes())));
            if let Some(tag @ None) = tag {
                *tag = Some(number);
                left -= 1;
            }
            if left == 0 {
                break;
            }
        }
        tags.into_iter().map(Option::unwrap_or_default).collect()
    });
    tags.get(usize::from(slot)).copied().unwrap_or_default()
}

/// The first key of requests: the one of a script, of a stream's command, or else what follows a command's name.
pub(super) fn key_of(requests: &[u8]) -> Option<&[u8]> {
    let mut rest = requests;
    loop {
        let parts = parts(&mut rest)?;
        let name = parts.first()?.to_ascii_uppercase();
        match name.as_slice() {
            b"MULTI" | b"ASKING" => {}
            b"EVAL" | b"EVALSHA" => return parts.get(3).copied(),
            b"XGROUP" | b"XINFO" | b"OBJECT" => return parts.get(2).copied(),
            b"XREAD" | b"XREADGROUP" => {
                let at = parts.iter().position(|part| part.eq_ignore_ascii_case(b"STREAMS"))?;
                return parts.get(at + 1).copied();
            }
            _ => return parts.get(1).copied(),
        }
    }
}

/// The parts of the next request, and no further than the first few: a key stands in front.
fn parts<'a>(rest: &mut &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let line = |rest: &mut &'a [u8]| {
        let end = rest.iter().position(|byte| *byte == b'\r')?;
        let number = std::str::from_utf8(rest.get(1..end)?).ok()?.parse::<usize>().ok()?;
        *rest = rest.get(end + 2..)?;
        Some(number)
    };
    let count = line(rest)?;
    let mut parts = Vec::with_capacity(count.min(16));
    for _ in 0..count.min(16) {
        let len = line(rest)?;
        parts.push(rest.get(..len)?);
        *rest = rest.get(len + 2..)?;
    }
    Some(parts)
}

/// Who owns which slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Map {
    places: Vec<Place>,
    /// For each slot the index of its owner.
    owners: Vec<Option<u16>>,
}

impl Map {
    /// Reads the answer of `CLUSTER SLOTS`; `asked` is the host that was asked, which does not always name itself.
    pub fn read(reply: &Value, asked: &str) -> Option<Self> {
        let Value::Array(ranges) = reply else { return None };
        let mut map = Self { places: Vec::new(), owners: vec![None; SLOTS] };
        for range in ranges {
            let Value::Array(parts) = range else { return None };
            let [Value::Int(from), Value::Int(to), Value::Array(master), ..] = parts.as_slice() else {
                return None;
            };
            let [host, Value::Int(port), ..] = master.as_slice() else { return None };
            let host = match host {
                Value::Text(host) if !host.is_empty() && host != "?" => host.as_str(),
                Value::Bytes(_) => return None,
                _ => asked,
            };
            let owner = map.place((host.to_owned(), u16::try_from(*port).ok()?));
            let (from, to) = (usize::try_from(*from).ok()?, usize::try_from(*to).ok()?);
            for slot in map.owners.get_mut(from..to + 1)? {
                *slot = Some(owner);
            }
        }
        (!map.places.is_empty()).then_some(map)
    }

    fn place(&mut self, place: Place) -> u16 {
        let known = self.places.iter().position(|other| *other == place);
        let at = known.unwrap_or_else(|| {
            self.places.push(place);
            self.places.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    pub fn owner(&self, slot: u16) -> Option<&Place> {
        let at = self.owners.get(usize::from(slot)).copied().flatten()?;
        self.places.get(usize::from(at))
    }

    /// This slot has another owner now.
    pub fn moved(&mut self, slot: u16, to: Place) {
        let owner = self.place(to);
        if let Some(slot) = self.owners.get_mut(usize::from(slot)) {
            *slot = Some(owner);
        }
    }

    /// Everybody who owns a slot.
    pub fn owners(&self) -> Vec<&Place> {
        let mut owning = vec![false; self.places.len()];
        for owner in self.owners.iter().flatten() {
            if let Some(owning) = owning.get_mut(usize::from(*owner)) {
                *owning = true;
            }
        }
        self.places.iter().zip(owning).filter(|(_, owning)| *owning).map(|(place, _)| place).collect()
    }
}

/// A node's word that another one is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redirection {
    /// Only for this once, by `ASKING`: the slot is on its way there.
    pub once: bool,
    pub slot: u16,
    /// An empty host is the one that was asked.
    pub place: Place,
}

impl Redirection {
    /// Reads `MOVED 3999 127.0.0.1:6381` or `ASK ...`.
    pub fn read(error: &str) -> Option<Self> {
        let mut words = error.split(' ');
        let once = match words.next()? {
            "MOVED" => false,
            "ASK" => true,
            _ => return None,
        };
        let slot = words.next()?.parse().ok().filter(|slot| usize::from(*slot) < SLOTS)?;
        let (host, port) = words.next()?.rsplit_once(':')?;
        Some(Self { once, slot, place: (host.to_owned(), port.parse().ok()?) })
    }
}

/// The same behind what opens the door of a node that a slot is on its way to, for a whole `MULTI` as well.
pub(super) fn asked_for(requests: &resp::Requests) -> resp::Requests {
    let mut all = resp::Requests::default();
    all.request(&[b"ASKING"]);
    all.bytes.extend_from_slice(&requests.bytes);
    all.replies += requests.replies;
    all
}

#[cfg(test)]
mod tests;
