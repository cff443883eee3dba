//! A text made smaller: LZ4, seven bits to a character, so that it is a text again.
//!
//! `z<bytes of the plain text> <packed>`. LZ4 because it costs next to nothing: two microseconds for a chain of ten steps, and
//! less for the way back, on a thread that has other things to do.

use std::borrow::Cow;

/// What a pressed text begins with: no bundle does.
const MARK: char = 'z';
/// A text is worth pressing when at least one byte in so many is saved.
const WORTH: usize = 8;
/// No text becomes smaller than this part of itself: what claims to be is damaged.
const SMALLEST: usize = 256;
/// Bits of a character.
const BITS: u32 = 7;

/// The text, pressed; nothing where it would not be worth it, or was done already.
pub(super) fn pressed(plain: &str) -> Option<String> {
    if plain.starts_with(MARK) {
        return None;
    }
    let packed = pack(&lz4_flex::block::compress(plain.as_bytes()));
    let pressed = format!("{MARK}{} {packed}", plain.len());
    (pressed.len() < plain.len() - plain.len() / WORTH).then_some(pressed)
}

/// The text as it was; one that was never pressed is given back. Nothing where it is damaged.
pub(super) fn plain(text: &str) -> Option<Cow<'_, str>> {
    let Some(pressed) = text.strip_prefix(MARK) else { return Some(Cow::Borrowed(text)) };
    let (length, packed) = pressed.split_once(' ')?;
    let length = length.parse().ok().filter(|length| *length / SMALLEST <= packed.len())?;
    let plain = lz4_flex::block::decompress(&unpack(packed), length).ok()?;
    String::from_utf8(plain).ok().filter(|plain| plain.len() == length).map(Cow::Owned)
}

/// Seven bits to a character, the lowest first.
fn pack(bytes: &[u8]) -> String {
    let mut packed = String::with_capacity(bytes.len() + bytes.len() / BITS as usize + 1);
    let (mut held, mut bits) = (0_u32, 0);
    for byte in bytes {
        held |= u32::from(*byte) << bits;
        bits += u8::BITS;
        while bits >= BITS {
            packed.push(char::from((held & 0x7f) as u8));
            held >>= BITS;
            bits -= BITS;
        }
    }
    if bits > 0 {
        packed.push(char::from(held as u8));
    }
    packed
}

fn unpack(packed: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(packed.len());
    let (mut held, mut bits) = (0_u32, 0);
    for byte in packed.bytes() {
        held |= u32::from(byte & 0x7f) << bits;
        bits += BITS;
        if bits >= u8::BITS {
            bytes.push((held & 0xff) as u8);
            held >>= u8::BITS;
            bits -= u8::BITS;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::{pack, plain, pressed, unpack};

    #[test]
    fn bytes_come_back_from_their_characters() {
        for length in 0..40_u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(151) ^ 0xa5).collect();
            let packed = pack(&bytes);
            assert!(packed.is_ascii() && packed.len() == (bytes.len() * 8).div_ceil(7));
            assert_eq!(unpack(&packed).get(..bytes.len()), Some(bytes.as_slice()), "{length}");
        }
    }

    #[test]
    fn a_text_that_repeats_itself_becomes_smaller_and_comes_back() {
        let text = "p0000100001 12:{\"ü\":\"\u{1f600}\"}".repeat(40);
        let small = pressed(&text).unwrap_or_default();
        assert!(small.len() * 4 < text.len(), "{} of {}", small.len(), text.len());
        assert_eq!(plain(&small).as_deref(), Some(text.as_str()));
        assert_eq!(pressed(&small), None, "once is enough");
    }

    #[test]
    fn what_would_not_become_smaller_stays_as_it_is() {
        for text in ["", "c00001 9:something", "0123456789abcdefghijklmnopqrstuvwxyz"] {
            assert_eq!(pressed(text), None, "{text}");
            assert_eq!(plain(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_damaged_is_told_from_what_is_there() {
        let text = "a longer text, ".repeat(50);
        let small = pressed(&text).unwrap_or_default();
        let body = small.split_once(' ').map(|(_, body)| body).unwrap_or_default();
        let cut: String = small.chars().take(small.len() / 2).collect();
        for damaged in ["z", "z12", "z 1", "zx abc", "z99999999999 abc", &format!("z7 {body}"), &cut] {
            assert_eq!(plain(damaged), None, "{damaged:?}");
        }
    }
}
