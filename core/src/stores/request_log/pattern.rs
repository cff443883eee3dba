//! Paths and their patterns: `/users/42` is found by `/users/42`, `/users/*`, `/users/:id` and `/users/**`.

/// Segments of a path that it is found by; what lies deeper is looked at in the record.
const DEPTH: usize = 3;
/// A segment of so many characters with a digit in it names one thing among many.
const LONG: usize = 20;
/// The same for what is written in hexadecimal digits.
const LONG_HEX: usize = 8;

/// A path without what stands behind `?` and `#`.
pub(super) fn bare(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or_default()
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    bare(path).split('/').filter(|segment| !segment.is_empty())
}

/// Whether a segment names one thing among many: a number, a hash, a random name.
fn is_id(segment: &str) -> bool {
    let has_digit = segment.bytes().any(|byte| byte.is_ascii_digit());
    let all = |is: fn(u8) -> bool| segment.bytes().all(is);
    has_digit
        && (all(|byte| byte.is_ascii_digit())
            || (segment.len() >= LONG_HEX && all(|byte| byte.is_ascii_hexdigit() || byte == b'-'))
            || (segment.len() >= LONG
                && all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))))
}

/// One of many is as good as the other.
fn place(segment: &str) -> &str {
    if is_id(segment) { "*" } else { segment }
}

/// What a path is found by: how it begins, up to some depth.
pub(super) fn prefixes(path: &str) -> Vec<String> {
    let mut prefix = String::new();
    let mut all: Vec<String> = segments(path)
        .take(DEPTH)
        .map(|segment| {
            prefix.push('/');
            prefix.push_str(place(segment));
            prefix.clone()
        })
        .collect();
    if all.is_empty() {
        all.push("/".to_owned());
    }
    all
}

/// A part of a pattern.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Exactly(String),
    /// Any one segment.
    Any,
    /// Whatever follows, nothing included; only at the end.
    Rest,
}

/// A path as it is looked for.
#[derive(Debug)]
pub(super) struct Pattern(Vec<Part>);

impl Pattern {
    pub fn new(text: &str) -> Self {
        let all: Vec<&str> = segments(text).collect();
        let part = |(at, segment): (usize, &&str)| match *segment {
            "**" if at + 1 == all.len() => Part::Rest,
            "*" => Part::Any,
            named if named.starts_with(':') => Part::Any,
            exactly => Part::Exactly(exactly.to_owned()),
        };
        Self(all.iter().enumerate().map(part).collect())
    }

    /// How the paths begin that fit, as [`prefixes`] says it; nothing where the pattern begins with any segment.
    pub fn prefix(&self) -> Option<String> {
        if self.0.is_empty() {
            return Some("/".to_owned());
        }
        let exact = self.0.iter().take(DEPTH).map_while(|part| match part {
            Part::Exactly(segment) => Some(format!("/{}", place(segment))),
            _ => None,
        });
        Some(exact.collect::<String>()).filter(|prefix| !prefix.is_empty())
    }

    pub fn fits(&self, path: &str) -> bool {
        let mut segments = segments(path);
        for part in &self.0 {
            match (part, segments.next()) {
                (Part::Rest, _) => return true,
                (Part::Any, Some(_)) => {}
                (Part::Exactly(wanted), Some(segment)) if wanted == segment => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, is_id, prefixes};

    #[test]
    fn a_pattern_finds_what_it_fits() {
        let fits = |pattern: &str, path: &str| Pattern::new(pattern).fits(path);
        for pattern in ["/users/42", "/users/*", "/users/:id", "/users/**", "/**", "users/42/", "/*/42"] {
            assert!(fits(pattern, "/users/42?token=x"), "{pattern}");
            // What finds it is among what it is found by.
            let prefix = Pattern::new(pattern).prefix();
            assert!(prefix.is_none_or(|prefix| prefixes("/users/42").contains(&prefix)), "{pattern}");
        }
        for pattern in ["/users", "/users/43", "/users/*/x", "/", "/USERS/42", "/users/4*"] {
            assert!(!fits(pattern, "/users/42"), "{pattern}");
        }
        assert!(fits("/", "") && fits("/users/**", "/users") && fits("/", "//?x"));
        assert_eq!(prefixes("/api/v1/users/42/x"), ["/api", "/api/v1", "/api/v1/users"]);
        assert_eq!(prefixes("/?q"), ["/"]);
    }

    #[test]
    fn one_of_many_is_known() {
        for id in
            ["7", "20261121", "deadbeef1", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "V1StGXR8_Z5jdHi6B-myT"]
        {
            assert!(is_id(id), "{id}");
        }
        for word in ["users", "v1", "deadbeef", "a-very-long-word-in-a-path", "", "oauth2"] {
            assert!(!is_id(word), "{word}");
        }
    }
}
