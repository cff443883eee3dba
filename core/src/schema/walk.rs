//! The walk over one JSON value of any depth, without recursion.

use super::check::wide;
use super::issue::{Issue, PathItem};
use super::limits::DEEPEST;
use super::scan::{Cursor, Foreign, Malformed, Node};
use super::wrong::{shown, symbol_keys};

/// One bit per level of nesting.
#[derive(Default)]
struct Levels([u64; DEEPEST / 64 + 1]);

impl Levels {
    fn set(&mut self, level: usize, on: bool) {
        if let Some(word) = self.0.get_mut(level / 64) {
            *word = *word & !(1 << (level % 64)) | u64::from(on) << (level % 64);
        }
    }

    fn get(&self, level: usize) -> bool {
        self.0.get(level / 64).is_some_and(|word| word >> (level % 64) & 1 == 1)
    }
}

/// What a walk does with what it finds.
trait Report {
    /// Goes into the next item or field.
    fn enter(&mut self, depth: usize, item: impl FnOnce() -> PathItem);
    /// Takes note of an issue of the value at `depth`; the walk stops if this is false.
    fn found(&mut self, depth: usize, wrong: Wrong<'_>) -> bool;
}

/// What can be wrong in a JSON value.
#[derive(Clone, Copy)]
enum Wrong<'a> {
    Value(Node<'a>),
    Text,
    Key,
    Symbols,
    Deep,
}

/// Whether a value is JSON, through and through, and not nested deeper than `deepest`.
/// If not, the cursor stays somewhere inside it.
pub(super) fn clean(cursor: &mut Cursor<'_>, deepest: usize) -> Result<bool, Malformed> {
    walk(cursor, deepest, &mut First)
}

/// Everything that is wrong with a value, up to `most` issues.
pub(super) fn issues(
    cursor: &mut Cursor<'_>,
    deepest: usize,
    bytes: usize,
    most: usize,
) -> Result<Vec<Issue>, Malformed> {
    let mut all = All { path: Vec::new(), issues: Vec::new(), most, deepest, bytes, was_deep: false };
    let start = cursor.at;
    if !walk(cursor, deepest, &mut all)? {
        cursor.at = start;
        cursor.skip()?;
    }
    Ok(all.issues)
}

/// Returns false as soon as `report` has heard enough.
fn walk<R: Report>(cursor: &mut Cursor<'_>, deepest: usize, report: &mut R) -> Result<bool, Malformed> {
    let (mut objects, mut tagged) = (Levels::default(), Levels::default());
    let mut depth = 0;
    // The index of the item that was read last, per open array.
    let mut indexes: Vec<u64> = Vec::new();
    loop {
        let node = cursor.node()?;
        let wrong = match node {
            Node::Object(_) | Node::Array if depth == deepest => Some(Wrong::Deep),
            Node::Foreign(Foreign::Deep(_)) => Some(Wrong::Deep),
            Node::Foreign(_) => Some(Wrong::Value(node)),
            Node::Number(number) if !finite(number) => Some(Wrong::Value(node)),
            Node::Text(text) if !text.well_formed() => Some(Wrong::Text),
            Node::Object(wrap) if wrap.symbols => Some(Wrong::Symbols),
            _ => None,
        };
        if wrong.is_some_and(|wrong| !report.found(depth, wrong)) {
            return Ok(false);
        }
        let mut opened = false;
        match node {
            Node::Object(wrap) => {
                if depth == deepest {
                    cursor.skip_open(1 + usize::from(wrap.tagged))?;
                } else {
                    depth += 1;
                    objects.set(depth, true);
                    tagged.set(depth, wrap.tagged);
                    opened = true;
                }
            }
            Node::Array => {
                if depth == deepest {
                    cursor.skip_open(1)?;
                } else {
                    depth += 1;
                    objects.set(depth, false);
                    tagged.set(depth, false);
                    indexes.push(0);
                    opened = true;
                }
            }
            _ => {}
        }
        // On to the next value, out of every array and object that ends here.
        loop {
            if depth == 0 {
                return Ok(true);
            }
            let object = objects.get(depth);
            if cursor.eat(if object { b'}' } else { b']' }) {
                if tagged.get(depth) {
                    cursor.expect(b']')?;
                }
                if !object {
                    indexes.pop();
                }
                depth -= 1;
                opened = false;
                continue;
            }
            if !opened {
                cursor.expect(b',')?;
            }
            if object {
                let key = cursor.key()?;
                report.enter(depth, || PathItem::Key(key.decoded()));
                if !key.well_formed() && !report.found(depth, Wrong::Key) {
                    return Ok(false);
                }
            } else if let Some(index) = indexes.last_mut() {
                *index += u64::from(!opened);
                report.enter(depth, || PathItem::Index(*index));
            }
            break;
        }
    }
}

/// Whether a number is one that a double can hold; the face never writes another.
fn finite(number: &str) -> bool {
    let surely = number.len() < 300 && !number.bytes().any(|byte| matches!(byte, b'e' | b'E'));
    surely || number.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Hears one issue and no more.
struct First;

impl Report for First {
    fn enter(&mut self, _: usize, _: impl FnOnce() -> PathItem) {}

    fn found(&mut self, _: usize, _: Wrong<'_>) -> bool {
        false
    }
}

/// Takes note of every issue, each with its path.
struct All {
    path: Vec<PathItem>,
    issues: Vec<Issue>,
    most: usize,
    deepest: usize,
    bytes: usize,
    was_deep: bool,
}

impl Report for All {
    fn enter(&mut self, depth: usize, item: impl FnOnce() -> PathItem) {
        self.path.truncate(depth.saturating_sub(1));
        self.path.push(item());
    }

    fn found(&mut self, depth: usize, wrong: Wrong<'_>) -> bool {
        self.path.truncate(depth);
        match wrong {
            Wrong::Deep if self.was_deep => {}
            Wrong::Deep => {
                self.was_deep = true;
                self.issues.push(Issue::too_deep(&[], wide(self.deepest)));
            }
            Wrong::Text => self.issues.push(Issue::ill_formed(self.path.clone(), "string")),
            Wrong::Key => self.issues.push(Issue::ill_formed(self.path.clone(), "key")),
            Wrong::Symbols => self.issues.push(symbol_keys(&self.path)),
            Wrong::Value(Node::Foreign(Foreign::Cycle(_))) => {
                self.issues.push(Issue::custom(&self.path, "Invalid input: circular reference"));
            }
            Wrong::Value(Node::Foreign(Foreign::Big(_))) => {
                self.issues.push(Issue::too_many_bytes(&[], wide(self.bytes)));
                return false;
            }
            Wrong::Value(node) => self.issues.push(Issue::invalid_type(&self.path, "json", &shown(node))),
        }
        self.issues.len() < self.most
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan::Text;
    use super::{Cursor, clean};

    #[test]
    fn depth_is_counted_in_arrays_and_objects() {
        for (text, depth) in [("1", 0), ("{}", 1), ("[[]]", 2), ("{\"a\":[{\"b\":1}]}", 3)] {
            assert_eq!(clean(&mut Cursor::new(text, false), depth), Ok(true), "{text}");
            if depth > 0 {
                assert_eq!(clean(&mut Cursor::new(text, false), depth - 1), Ok(false), "{text}");
            }
        }
    }

    #[test]
    fn code_points_and_surrogates() {
        for (raw, count, well) in [
            ("abc", 3, true),
            ("\u{1F600}", 1, true),
            (r"\ud83d\ude00", 1, true),
            (r"\ud83d", 1, false),
            (r"\ud83d\ud83d\ude00", 2, false),
            (r"\ude00a", 2, false),
            (r#"\"\\\n"#, 3, true),
        ] {
            let text = Text { raw, escaped: raw.contains('\\') };
            assert_eq!((text.code_points(), text.well_formed()), (count, well), "{raw}");
        }
    }
}
