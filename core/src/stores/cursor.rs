//! Places in logs and feeds, as the texts that callers keep and give back.

use std::fmt;

use crate::id::{base32, read_base32};
use crate::key::Partition;
use crate::txn::Position;

/// Characters of a partition's number.
const PARTITION_LEN: usize = 2;
/// Characters of the longest time: 55 bits.
const LONGEST_MS: usize = 11;

/// Where a reader stands: behind the last event that it was given or passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cursor {
    /// In a session's log. The user is known to those who follow it: the feed tells what came last when the log is gone.
    Log(u64, Option<String>),
    /// In a user's feed.
    Feed(Position),
    /// In the feeds of all partitions where something has happened, ordered by partition.
    All(Vec<(Partition, Position)>),
}

impl Cursor {
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.get(1..)?;
        match text.as_bytes().first()? {
            b'l' => match rest.split_once('.') {
                Some((position, user)) => Some(Self::Log(position.parse().ok()?, Some(unescaped(user)?))),
                None => Some(Self::Log(rest.parse().ok()?, None)),
            },
            b'f' => position(rest.split_once('-')?).map(Self::Feed),
            b'a' => all(rest).map(Self::All),
            _ => None,
        }
    }
}

fn position((ms, n): (&str, &str)) -> Option<Position> {
    Some(Position(ms.parse().ok()?, n.parse().ok()?))
}

/// For each partition `.<partition><ms>[-<n>]`: short enough for a header of HTTP.
fn all(text: &str) -> Option<Vec<(Partition, Position)>> {
    let one = |part: &str| {
        let (number, rest) = part.split_at_checked(PARTITION_LEN)?;
        let (ms, n) = rest.split_once('-').unwrap_or((rest, "0"));
        let number = u16::try_from(read_base32(number)?).ok()?;
        let ms = (!ms.is_empty() && ms.len() <= LONGEST_MS).then(|| read_base32(ms)).flatten()?;
        Some((Partition::from_number(number), Position(ms, n.parse().ok()?)))
    };
    let places: Vec<_> = match text.strip_prefix('.') {
        Some(parts) => parts.split('.').map(one).collect::<Option<_>>()?,
        None => text.is_empty().then(Vec::new)?,
    };
    places.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a < b)).then_some(places)
}

/// The part of a cursor over all partitions that tells of one.
pub(super) fn part(partition: Partition, Position(ms, n): Position) -> String {
    let number = base32(u64::from(partition.number()), PARTITION_LEN);
    let n = if n > 0 { format!("-{n}") } else { String::new() };
    format!(".{number}{}{n}", shortest(ms))
}

fn shortest(number: u64) -> String {
    let text = base32(number, LONGEST_MS);
    let shown = text.trim_start_matches('0');
    if shown.is_empty() { "0".to_owned() } else { shown.to_owned() }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(position, None) => write!(f, "l{position}"),
            Self::Log(position, Some(user)) => write!(f, "l{position}.{}", escaped(user)),
            Self::Feed(Position(ms, n)) => write!(f, "f{ms}-{n}"),
            Self::All(places) => {
                f.write_str("a")?;
                places.iter().try_for_each(|(partition, position)| f.write_str(&part(*partition, *position)))
            }
        }
    }
}

/// Any text in letters, digits and `%`: it goes into headers of HTTP.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn unescaped(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((plain, escape)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        let (hex, after) = escape.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::Cursor;
    use crate::key::Partition;
    use crate::txn::Position;

    #[test]
    fn cursors_read_back() {
        let place = |number, ms, n| (Partition::from_number(number), Position(ms, n));
        let at = 1_790_000_000_000;
        let all = vec![place(0, at, 0), place(7, at + 604_800_000, 12), place(1023, at + 31, 1)];
        for cursor in [
            Cursor::Log(0, None),
            Cursor::Log(77, Some("ü:{a}\n%.b".into())),
            Cursor::Feed(Position(5, 6)),
            Cursor::All(Vec::new()),
            Cursor::All(all),
        ] {
            let text = cursor.to_string();
            assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
            assert_eq!(Cursor::parse(&text), Some(cursor), "{text}");
        }
    }

    #[test]
    fn a_cursor_of_every_partition_fits_into_a_header() {
        let place = |number| {
            (Partition::from_number(number), Position(1_790_000_000_000 + u64::from(number) * 590_000, 1))
        };
        assert!(Cursor::All((0..1024).map(place).collect()).to_string().len() < 15_000);
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in [
            "",
            "l",
            "lx",
            "l-1",
            "l1.%",
            "l1.%ff",
            "f1",
            "f1-",
            "a1",
            "a.",
            "a.0",
            "a.00",
            "a.zz0.000",
            "x1",
            "ü",
        ] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
