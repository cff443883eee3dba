//! Passes over one JSON object, checking it by the grammar of RFC 8259 and building nothing.
//!
//! A stored record is read far more often than it is written, and each time what it holds is looked at before it is
//! believed. A parser that calls itself for each value took five times as long for that as this loop does.

/// How deep it follows. What nests deeper is left to a parser.
const DEEPEST: u32 = 64;

/// What may stand next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// A value.
    Value,
    /// A value or the end of the array that was just opened.
    FirstItem,
    /// A key or the end of the object that was just opened.
    FirstKey,
    /// A key.
    Key,
    /// A comma, or the end of what is open.
    Behind,
}

/// The length of the JSON object at the beginning of `text`, or `None` if there is none that it can follow.
pub(super) fn object(text: &[u8]) -> Option<usize> {
    if text.first() != Some(&b'{') {
        return None;
    }
    // A bit for each container that is open, the innermost lowest: 1 for an object.
    let (mut open, mut depth, mut at, mut next) = (1u64, 1u32, 1usize, Next::FirstKey);
    loop {
        let byte = *text.get(at)?;
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            at += 1;
            continue;
        }
        let in_object = open & 1 == 1;
        match (next, byte) {
            (Next::Behind, b',') => {
                at += 1;
                next = if in_object { Next::Key } else { Next::Value };
            }
            (Next::Behind | Next::FirstKey, b'}') if in_object => {
                (at, open, depth, next) = (at + 1, open >> 1, depth - 1, Next::Behind);
                if depth == 0 {
                    return Some(at);
                }
            }
            (Next::Behind | Next::FirstItem, b']') if !in_object => {
                (at, open, depth, next) = (at + 1, open >> 1, depth - 1, Next::Behind);
            }
            (Next::Key | Next::FirstKey, b'"') => {
                at = behind_string(text, at + 1)?;
                while matches!(text.get(at)?, b' ' | b'\n' | b'\r' | b'\t') {
                    at += 1;
                }
                if text.get(at) != Some(&b':') {
                    return None;
                }
                (at, next) = (at + 1, Next::Value);
            }
            (Next::Value | Next::FirstItem, b'{' | b'[') => {
                if depth == DEEPEST {
                    return None;
                }
                let is_object = byte == b'{';
                (at, depth, open) = (at + 1, depth + 1, open << 1 | u64::from(is_object));
                next = if is_object { Next::FirstKey } else { Next::FirstItem };
            }
            (Next::Value | Next::FirstItem, _) => (at, next) = (behind_scalar(text, at, byte)?, Next::Behind),
            _ => return None,
        }
    }
}

fn behind_scalar(text: &[u8], at: usize, first: u8) -> Option<usize> {
    let word = |word: &[u8]| text.get(at..)?.starts_with(word).then_some(at + word.len());
    match first {
        b'"' => behind_string(text, at + 1),
        b't' => word(b"true"),
        b'f' => word(b"false"),
        b'n' => word(b"null"),
        _ => behind_number(text, at),
    }
}

/// `at` is behind the first quote.
pub(super) fn behind_string(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += plain_len(text.get(at..)?);
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => {
                at += match text.get(at + 1)? {
                    b'u' => {
                        let digits = text.get(at + 2..at + 6)?;
                        if !digits.iter().all(u8::is_ascii_hexdigit) {
                            return None;
                        }
                        6
                    }
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                    _ => return None,
                };
            }
            _ => return None,
        }
    }
}

/// How many bytes at the beginning mean themselves in a JSON string: no quote, no backslash, no control character.
///
/// Eight at a time: a byte of `word - lows` borrows where the byte was too small. A borrow can also come from the byte
/// before, but only where that one was too small itself, so the first mark is always right.
pub(super) fn plain_len(text: &[u8]) -> usize {
    const LOWS: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = LOWS << 7;
    let below = |word: u64, bound: u8| word.wrapping_sub(LOWS * u64::from(bound)) & !word & HIGHS;
    let (words, rest) = text.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let [quote, backslash] = [b'"', b'\\'].map(|byte| below(word ^ (LOWS * u64::from(byte)), 1));
        let marks = below(word, b' ') | quote | backslash;
        if marks != 0 {
            return 8 * place + marks.trailing_zeros() as usize / 8;
        }
    }
    let is_plain = |byte: &&u8| !matches!(byte, 0..b' ' | b'"' | b'\\');
    text.len() - rest.len() + rest.iter().take_while(is_plain).count()
}

fn behind_number(text: &[u8], at: usize) -> Option<usize> {
    let digits = |mut at: usize| {
        let from = at;
        while text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        (at > from).then_some(at)
    };
    let whole = if text.get(at) == Some(&b'-') { at + 1 } else { at };
    let mut end = if text.get(whole) == Some(&b'0') { whole + 1 } else { digits(whole)? };
    if text.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        end = digits(end + 1 + sign)?;
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::{object, plain_len};
    use crate::id::{Ids, RandomIds};

    /// Changes one byte, takes one away or puts one in.
    fn damaged(text: &str, chance: u64) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        let at = (chance >> 16) as usize % bytes.len();
        let with = b"{}[]\",:0-.eE+ \\untrf\x01\xc3"[(chance >> 8) as usize % 22];
        match chance % 3 {
            0 => bytes[at] = with,
            1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, with),
        }
        bytes
    }

    #[test]
    fn it_takes_what_a_parser_takes_and_nothing_else() {
        let whole = r#"{"a":[1,-0.5e+10,"x\n\u00fc\"",true,false,null,[],{}], "b" : {"c":[[0]],"":{"d":"ü"}},"e":12}"#;
        let ids = RandomIds::default();
        for text in [whole, "{}", r#"{"a":0}"#, r#"{"a":[]}"#] {
            assert_eq!(object(text.as_bytes()), Some(text.len()));
            assert_eq!(object(format!("{text},x").as_bytes()), Some(text.len()));
            for _ in 0..20_000 {
                let bytes = damaged(text, ids.random());
                let Ok(text) = std::str::from_utf8(&bytes) else { continue };
                let mut values =
                    serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
                let parsed = text.starts_with('{') && matches!(values.next(), Some(Ok(_)));
                assert_eq!(object(&bytes), parsed.then(|| values.byte_offset()), "{text}");
            }
        }
    }

    #[test]
    fn what_means_itself_is_counted_wherever_it_ends() {
        for len in 0..20 {
            for end in (0..=0x1f).chain([b'"', b'\\']) {
                for before in [b' ', b'!', b'#', b'[', b']', b'a', 0x7f, 0x80, 0xa0, 0xa2, 0xdc, 0xff] {
                    let mut text = vec![before; len];
                    assert_eq!(plain_len(&text), len);
                    text.extend([end, 0, b'"', b'a', b'\\']);
                    assert_eq!(plain_len(&text), len, "{before:#x}, then {end:#x}");
                }
            }
        }
    }

    #[test]
    fn what_nests_too_deep_is_left_to_others() {
        let nested = |depth: usize| "{\"a\":".repeat(depth) + "0" + &"}".repeat(depth);
        assert_eq!(object(nested(64).as_bytes()), Some(nested(64).len()));
        assert_eq!(object(nested(65).as_bytes()), None);
    }
}
