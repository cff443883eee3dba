//! Records of a file: each says how long it is, and proves that it is what was written.
//!
//! `<mark> <kind> <length: 4> <checksum of the body: 4> <checksum of these ten: 4> <body>`, numbers with their lowest byte
//! first, CRC-32C. Since the head proves itself, a record whose end is missing (the process died while it wrote) is told
//! from one that was damaged, and behind damage the next record is found by its head.

use std::ops::Range;

use super::crc::crc32c;

/// Every record begins with it.
const MARK: u8 = 0xf1;
const PROVEN: usize = 10;
const HEAD: usize = PROVEN + 4;

/// What a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whose file it is: the first record.
    Owner = 1,
    /// A kept write.
    Entry = 2,
    /// The end of one.
    Done = 3,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Owner, Self::Entry, Self::Done].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A part of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Record(Kind, &'a [u8]),
    /// Bytes that are no record, and were not left by a write that did not end.
    Damage(Range<usize>),
    /// From here on stands the beginning of a record whose end was never written.
    Torn(usize),
}

/// Adds a record to `out`.
pub(super) fn push(out: &mut Vec<u8>, kind: Kind, body: &[u8]) {
    let from = out.len();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    out.extend([MARK, kind as u8]);
    out.extend(length.to_le_bytes());
    out.extend(crc32c(body).to_le_bytes());
    let proof = crc32c(out.get(from..).unwrap_or_default());
    out.extend(proof.to_le_bytes());
    out.extend_from_slice(body);
}

enum Look<'a> {
    Record(Kind, &'a [u8], usize),
    Torn,
    None,
}

fn look(bytes: &[u8]) -> Look<'_> {
    if bytes.first() != Some(&MARK) {
        return Look::None;
    }
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else { return Look::Torn };
    let number = |at: usize| {
        let four = head.get(at..at + 4).and_then(|four| four.try_into().ok()).unwrap_or_default();
        u32::from_le_bytes(four)
    };
    let kind = head.get(1).copied().and_then(Kind::of);
    let (Some(kind), true) = (kind, crc32c(head.get(..PROVEN).unwrap_or_default()) == number(PROVEN)) else {
        return Look::None;
    };
    let length = number(2) as usize;
    match rest.get(..length) {
        None => Look::Torn,
        Some(body) if crc32c(body) == number(6) => Look::Record(kind, body, HEAD + length),
        Some(_) => Look::None,
    }
}

/// Takes a file apart.
pub(super) fn pieces(bytes: &[u8]) -> Vec<Piece<'_>> {
    let (mut pieces, mut at) = (Vec::new(), 0);
    let rest = |at: usize| bytes.get(at..).unwrap_or_default();
    while at < bytes.len() {
        match look(rest(at)) {
            Look::Record(kind, body, length) => {
                pieces.push(Piece::Record(kind, body));
                at += length;
            }
            Look::Torn => {
                pieces.push(Piece::Torn(at));
                return pieces;
            }
            Look::None => {
                // A head that is cut proves nothing in the midst of damage: a whole record has to follow.
                let goes_on = |at: &usize| matches!(look(rest(*at)), Look::Record(..));
                let next = (at + 1..bytes.len()).find(goes_on).unwrap_or(bytes.len());
                pieces.push(Piece::Damage(at..next));
                at = next;
            }
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::{HEAD, Kind, Piece, pieces, push};

    fn file() -> Vec<u8> {
        let mut out = Vec::new();
        push(&mut out, Kind::Owner, b"me");
        push(&mut out, Kind::Entry, b"\xf1\x02 a body that looks like a head");
        push(&mut out, Kind::Done, b"");
        out
    }

    #[test]
    fn what_was_written_is_read() {
        let file = file();
        let kinds = [Kind::Owner, Kind::Entry, Kind::Done];
        let read = pieces(&file);
        assert_eq!(read.len(), kinds.len());
        for (piece, kind) in read.iter().zip(kinds) {
            assert!(matches!(piece, Piece::Record(of, _) if *of == kind));
        }
        assert_eq!(pieces(b""), []);
    }

    #[test]
    fn an_end_that_is_missing_is_torn_wherever_it_was_cut() {
        let file = file();
        let last = file.len() - HEAD;
        for length in last + 1..file.len() {
            let cut = pieces(file.get(..length).unwrap());
            assert_eq!(cut.len(), 3, "{length}");
            assert_eq!(cut.last(), Some(&Piece::Torn(last)), "{length}");
        }
    }

    #[test]
    fn damage_is_found_and_what_follows_is_read() {
        let file = file();
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut file = file.clone();
                *file.get_mut(at).unwrap() ^= 1 << bit;
                let read = pieces(&file);
                let records = read.iter().filter(|piece| matches!(piece, Piece::Record(..))).count();
                let damaged = read.iter().filter(|piece| matches!(piece, Piece::Damage(_))).count();
                assert_eq!((records, damaged), (2, 1), "bit {bit} of byte {at}: {read:?}");
            }
        }
    }
}
