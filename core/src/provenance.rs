//! What an answer stands on, where that is not the backend itself.
//!
//! A layer that answers from what is known here says so with [`note`], while the call is polled; whoever makes the
//! call's answer of it asks with [`take`]. Both happen in one poll of one call, so a thread's own cell carries it,
//! and no store has to hand it on.

use std::cell::Cell;

use crate::clock::Timestamp;

/// What an answer stands on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// The backend.
    #[default]
    Backend,
    /// Writes that were accepted here and are still to be brought to the backend.
    Pending,
    /// Texts that were seen at this time, or later.
    Stale(Timestamp),
}

thread_local! {
    static LATEST: Cell<Provenance> = const { Cell::new(Provenance::Backend) };
}

/// Says what the outcome that is handed out now stands on.
pub fn note(provenance: Provenance) {
    LATEST.set(provenance);
}

/// What the latest outcome stands on.
#[must_use]
pub fn latest() -> Provenance {
    LATEST.get()
}

/// What the latest outcome stands on; asked once. Before a call is polled this forgets what others left.
pub fn take() -> Provenance {
    LATEST.take()
}

/// An answer that says what it stands on: `pending: true`, or `stale: true` and `asOf`, at the end of each record. The tag
/// in front changes with it, so that nobody takes it for the backend's own answer.
#[must_use]
pub fn dressed(answer: String, provenance: Provenance) -> String {
    let addition = match provenance {
        Provenance::Backend => return answer,
        Provenance::Pending => ",\"pending\":true".to_owned(),
        Provenance::Stale(at) => format!(",\"stale\":true,\"asOf\":{}", at.0),
    };
    match answer.as_bytes().first() {
        // A record behind its tag.
        Some(b'0'..=b'9') => {
            let (tag, record) = answer.split_once('\n').unwrap_or(("", &answer));
            let mark = if provenance == Provenance::Pending { 'p' } else { 's' };
            format!("{tag}{mark}\n{}", with_field(record, &addition))
        }
        Some(b'{') if !answer.starts_with("{\"items\":") => with_field(&answer, &addition),
        Some(b'[') | Some(b'{') => each_record(&answer, &addition),
        _ => answer,
    }
}

fn with_field(record: &str, addition: &str) -> String {
    record.strip_suffix('}').map_or_else(|| record.to_owned(), |open| format!("{open}{addition}}}"))
}

/// Adds it to every object of the outermost list.
fn each_record(json: &str, addition: &str) -> String {
    let mut out = String::with_capacity(json.len() + addition.len());
    let list_at = if json.starts_with('[') { 1 } else { 2 };
    let (mut depth, mut in_text, mut escaped) = (0, false, false);
    for char in json.chars() {
        match char {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            '{' | '[' if !in_text => depth += 1,
            '}' | ']' if !in_text => {
                if char == '}' && depth == list_at + 1 {
                    out.push_str(addition);
                }
                depth -= 1;
            }
            _ => {}
        }
        out.push(char);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Provenance, dressed, note, take};
    use crate::clock::Timestamp;

    #[test]
    fn every_record_of_an_answer_says_it() {
        let pending = |text: &str| dressed(text.to_owned(), Provenance::Pending);
        assert_eq!(pending("0abc\n{\"a\":1}"), "0abcp\n{\"a\":1,\"pending\":true}");
        assert_eq!(
            pending("[{\"a\":{\"b\":\"}]{\\\"\"}},{\"c\":[]}]"),
            "[{\"a\":{\"b\":\"}]{\\\"\"},\"pending\":true},{\"c\":[],\"pending\":true}]"
        );
        assert_eq!(
            pending("{\"items\":[{\"a\":{}}],\"cursor\":\"{\"}"),
            "{\"items\":[{\"a\":{},\"pending\":true}],\"cursor\":\"{\"}"
        );
        for plain in ["", "null", "=", "[]", "!{\"code\":1}"] {
            assert_eq!(pending(plain), plain);
        }
        let stale = dressed("{\"a\":1}".into(), Provenance::Stale(Timestamp(5)));
        assert_eq!(stale, "{\"a\":1,\"stale\":true,\"asOf\":5}");
        assert_eq!(dressed("{}".into(), Provenance::Backend), "{}");
    }

    #[test]
    fn it_is_asked_once() {
        note(Provenance::Pending);
        assert_eq!((take(), take()), (Provenance::Pending, Provenance::Backend));
    }
}
