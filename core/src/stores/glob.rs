//! Patterns of keys: `*` any bytes, `?` one byte, `[a-z]` one of these, `[^a-z]` none of these, `\x` the character itself.

/// Whether the whole of `text` matches.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when a star has to take one byte more.
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), text.get(t)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            (Some(_), Some(byte)) => {
                if let Some(next) = one(pattern, p, *byte) {
                    (p, t) = (next, t + 1);
                    continue;
                }
            }
            _ => {}
        }
        match star {
            Some((behind, from)) if from < text.len() => {
                star = Some((behind, from + 1));
                (p, t) = (behind, from + 1);
            }
            _ => return false,
        }
    }
}

/// Where the pattern goes on when its part at `p` takes this byte.
fn one(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    match pattern.get(p)? {
        b'?' => Some(p + 1),
        b'\\' => match pattern.get(p + 1) {
            Some(escaped) => (*escaped == byte).then_some(p + 2),
            None => (byte == b'\\').then_some(p + 1),
        },
        b'[' => class(pattern, p + 1, byte),
        literal => (*literal == byte).then_some(p + 1),
    }
}

fn class(pattern: &[u8], mut p: usize, byte: u8) -> Option<usize> {
    let negated = pattern.get(p) == Some(&b'^');
    p += usize::from(negated);
    let mut found = false;
    loop {
        match (pattern.get(p), pattern.get(p + 1), pattern.get(p + 2)) {
            (None, ..) => return (found != negated).then_some(p),
            (Some(b']'), ..) => return (found != negated).then_some(p + 1),
            (Some(b'\\'), Some(escaped), _) => {
                found |= *escaped == byte;
                p += 2;
            }
            (Some(from), Some(b'-'), Some(to)) => {
                let (from, to) = if from <= to { (from, to) } else { (to, from) };
                found |= (*from..=*to).contains(&byte);
                p += 3;
            }
            (Some(one), ..) => {
                found |= *one == byte;
                p += 1;
            }
        }
    }
}

/// A pattern that matches whatever this one does, and perhaps more, in every server's reading of it.
#[must_use]
pub fn wider(pattern: &str) -> Vec<u8> {
    let (mut out, mut bytes) = (Vec::new(), pattern.bytes());
    while let Some(byte) = bytes.next() {
        match byte {
            b'*' | b'?' => out.push(b'*'),
            // What a set of characters is differs in its odd forms: the rest is looked at here.
            b'[' => {
                out.push(b'*');
                return out;
            }
            b'\\' => out.extend([b'\\', bytes.next().unwrap_or(b'\\')]),
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{matches, wider};

    #[test]
    fn patterns_match_as_they_say() {
        for (pattern, text, is) in [
            ("*", "", true),
            ("", "a", false),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("*a*b*", "xxaxxbxx", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[c-a]", "b", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[\\]]", "]", true),
            ("[a", "a", true),
            ("proxy:*.example.com", "proxy:api.example.com", true),
            ("proxy:*.example.com", "proxy:api.example.org", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), is, "{pattern} {text}");
            if is {
                assert!(matches(&wider(pattern), text.as_bytes()), "{pattern} {text}");
            }
        }
    }
}
