//! Values between text and bytes: how they come from a face and go back to it.

use crate::command::Bytes;
use crate::error::{Code, Error, Result};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The value of a marked text: `t` and the text itself, or `b` and the base64 form of bytes.
///
/// # Errors
/// `STORAGE_INTERNAL`: a face marks what it sends.
pub fn unmark(text: &str) -> Result<Bytes> {
    let unmarked = || Error::internal("a value is not marked");
    match text.split_at_checked(1) {
        Some(("t", text)) => Ok(text.as_bytes().into()),
        Some(("b", base64)) => from_base64(base64).map(Into::into).ok_or_else(unmarked),
        _ => Err(unmarked()),
    }
}

/// Adds a value to a JSON text: as a string where it is text and that will do, else as bytes.
pub fn add(out: &mut Vec<u8>, value: &[u8], bytes: bool) {
    match std::str::from_utf8(value) {
        Ok(text) if !bytes => add_text(out, text),
        _ => {
            out.extend_from_slice(br#"{"base64":""#);
            out.extend_from_slice(to_base64(value).as_bytes());
            out.extend_from_slice(br#""}"#);
        }
    }
}

/// Whether a text stands in a JSON string as it is.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\')
}

/// Adds a text to a JSON text, as a string.
pub fn add_text(out: &mut Vec<u8>, text: &str) {
    if !is_plain(text) {
        out.extend_from_slice(quoted(text).as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// The same to a JSON text that is a string.
pub fn push_text(out: &mut String, text: &str) {
    if !is_plain(text) {
        out.push_str(&quoted(text));
        return;
    }
    out.push('"');
    out.push_str(text);
    out.push('"');
}

/// A value as JSON: a string, or `{"base64":"..."}` where bytes are wanted.
///
/// # Errors
/// `STORAGE_CORRUPT` for bytes that are no text, where text is wanted.
pub fn json(value: &[u8], bytes: bool) -> Result<String> {
    if !bytes && std::str::from_utf8(value).is_err() {
        return Err(Error::new(Code::Corrupt, "the value is no text: ask for its bytes"));
    }
    let mut out = Vec::new();
    add(&mut out, value, bytes);
    Ok(String::from_utf8(out).unwrap_or_default())
}

/// A text as a JSON string.
#[must_use]
pub fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

fn to_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    let digit = |group: u32, shift: u32| {
        ALPHABET.get((group >> shift & 63) as usize).map_or('=', |byte| char::from(*byte))
    };
    for chunk in bytes.chunks(3) {
        let part = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
        let group = part(0) << 16 | part(1) << 8 | part(2);
        out.push(digit(group, 18));
        out.push(digit(group, 12));
        out.push(if chunk.len() > 1 { digit(group, 6) } else { '=' });
        out.push(if chunk.len() > 2 { digit(group, 0) } else { '=' });
    }
    out
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut group, mut bits) = (0_u32, 0);
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        group = group << 6 | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((group >> bits & 255) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::{from_base64, to_base64, unmark};

    #[test]
    fn bytes_come_back_as_they_went() {
        for len in 0..70_usize {
            let bytes: Vec<u8> = (0..len).map(|n| (n * 37 + len * 11) as u8).collect();
            assert_eq!(from_base64(&to_base64(&bytes)), Some(bytes));
        }
        assert_eq!(to_base64(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
        assert_eq!(from_base64("a*"), None);
        assert_eq!(&*unmark("tbx").unwrap(), b"bx");
        assert!(unmark("").is_err() && unmark("x").is_err());
    }
}
