//! A quick look at a stored body: whether it is just what this engine writes. It builds nothing; what it does not
//! recognise, an escape in a text for one, is read with more care.

use super::skim;
use crate::clock::Timestamp;

/// What stands in a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    Texts,
    Object,
    Time,
}

/// A field that a body has, in the order of writing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub optional: bool,
}

/// A field that is always there.
pub(super) const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, optional: false }
}

/// A field that may be absent.
pub(super) const fn optional(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, optional: true }
}

/// Whether the body is an object of just these fields, each with a value of its kind. Of no fields nothing is known.
pub(super) fn fits(body: &str, fields: &[Field]) -> bool {
    if fields.is_empty() {
        return false;
    }
    let Some(mut rest) = body.strip_prefix('{') else { return false };
    let mut first = true;
    for Field { name, kind, optional } in fields {
        let start = if first { Some(rest) } else { rest.strip_prefix(',') };
        let named = start
            .and_then(|rest| rest.strip_prefix('"'))
            .and_then(|rest| rest.strip_prefix(name))
            .and_then(|rest| rest.strip_prefix("\":"));
        match named {
            None if *optional => {}
            None => return false,
            Some(value) => match behind(value, *kind) {
                Some(behind) => (rest, first) = (behind, false),
                None => return false,
            },
        }
    }
    rest == "}"
}

/// What stands behind the value at the beginning of `text`, if it is one of this kind.
fn behind(text: &str, kind: Kind) -> Option<&str> {
    match kind {
        Kind::Text => quoted(text).map(|(_, rest)| rest),
        Kind::Word(words) => quoted(text).filter(|(word, _)| words.contains(word)).map(|(_, rest)| rest),
        Kind::Time => quoted(text).filter(|(time, _)| Timestamp::parse(time).is_some()).map(|(_, rest)| rest),
        Kind::Texts => {
            let mut rest = text.strip_prefix('[')?;
            if let Some(rest) = rest.strip_prefix(']') {
                return Some(rest);
            }
            loop {
                rest = quoted(rest)?.1;
                match rest.strip_prefix(',') {
                    Some(more) => rest = more,
                    None => return rest.strip_prefix(']'),
                }
            }
        }
        Kind::Object => text.get(skim::object(text.as_bytes())?..),
    }
}

/// A text without escapes, and what stands behind it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('"')?;
    let (inner, rest) = inner.split_at_checked(skim::plain_len(inner.as_bytes()))?;
    Some((inner, rest.strip_prefix('"')?))
}

#[cfg(test)]
mod tests {
    use super::{Field, Kind, field, fits, optional};

    const FIELDS: &[Field] = &[
        field("a", Kind::Text),
        optional("b", Kind::Word(&["x", "y"])),
        field("c", Kind::Texts),
        field("d", Kind::Object),
        field("e", Kind::Time),
    ];

    #[test]
    fn what_is_written_fits_and_what_is_not_is_left_to_others() {
        let times = "\"e\":\"2026-01-31T12:00:00.000Z\"";
        for body in [
            format!("{{\"a\":\"\",\"b\":\"y\",\"c\":[],\"d\":{{}},{times}}}"),
            format!("{{\"a\":\"ü\",\"c\":[\"1\",\"2\"],\"d\":{{\"x\":[1,\"}}\",null]}},{times}}}"),
        ] {
            assert!(fits(&body, FIELDS), "{body}");
            for cut in (0..body.len()).filter(|cut| body.is_char_boundary(*cut)) {
                assert!(!fits(&body[..cut], FIELDS), "cut at {cut}");
            }
            assert!(!fits(&format!("{body} "), FIELDS));
        }
        assert!(!fits("{}", &[]));
        for body in [
            format!("{{\"a\":1,\"c\":[],\"d\":{{}},{times}}}"),
            format!("{{\"a\":\"\\n\",\"c\":[],\"d\":{{}},{times}}}"),
            format!("{{\"a\":\"\",\"b\":\"z\",\"c\":[],\"d\":{{}},{times}}}"),
            format!("{{\"a\":\"\",\"c\":[1],\"d\":{{}},{times}}}"),
            format!("{{\"a\":\"\",\"c\":[],\"d\":[],{times}}}"),
            format!("{{\"a\":\"\",\"c\":[],\"d\":{{x}},{times}}}"),
            "{\"a\":\"\",\"c\":[],\"d\":{},\"e\":\"2026-02-31T12:00:00.000Z\"}".to_owned(),
            format!("{{\"c\":[],\"a\":\"\",\"d\":{{}},{times}}}"),
        ] {
            assert!(!fits(&body, FIELDS), "{body}");
        }
    }
}
