//! The validator: one pass over the text, every issue, in the order in which zod reports them.

use super::canon;
use super::issue::{Issue, MAX_SAFE, PathItem};
use super::limits::{DEEPEST, Limits};
use super::scan::{Cursor, Foreign, Malformed, Node, Text};
use super::shape::{EVENT_PREFIX, Field, Shape, TextShape};
use super::wrong::{not_finite, shown, symbol_keys, wrong_type};
use crate::clock::Timestamp;

/// One JSON value reports at most so many issues: a hostile one could hold a million.
const JSON_ISSUES: usize = 100;

pub(super) struct Checker<'a, 'l> {
    cursor: Cursor<'a>,
    limits: &'l Limits,
    pub issues: Vec<Issue>,
    /// Whether the text is not yet what is to be stored: it holds tags or oddly written numbers.
    pub rewrite: bool,
}

impl<'a, 'l> Checker<'a, 'l> {
    pub(super) fn new(text: &'a str, tagged: bool, limits: &'l Limits) -> Self {
        Self { cursor: Cursor::new(text, tagged), limits, issues: Vec::new(), rewrite: tagged }
    }

    /// Checks the whole text.
    pub(super) fn run(&mut self, shape: &Shape) -> Result<(), Malformed> {
        self.value(shape)?;
        if self.cursor.ended() { Ok(()) } else { Err(Malformed) }
    }

    fn value(&mut self, shape: &Shape) -> Result<(), Malformed> {
        match shape {
            Shape::Object { fields, strict } => self.object(fields, *strict),
            Shape::List { item, most } => self.list(item, most.of(self.limits)),
            Shape::Json { object, limited } => self.json(*object, *limited),
            Shape::Nullable(inner) if self.cursor.peek() != Some(b'n') => self.value(inner),
            Shape::Nullable(_) => self.cursor.skip(),
            Shape::Text(text) => match self.cursor.node()? {
                Node::Text(value) => {
                    self.text(text, value);
                    Ok(())
                }
                other => self.mismatch(shape, other),
            },
            Shape::Choice(values) => match self.cursor.node()? {
                Node::Text(value) if values.iter().any(|known| value.is(known)) => Ok(()),
                other => self.mismatch(shape, other),
            },
            Shape::Integer { least } => match self.cursor.node()? {
                Node::Number(number) => {
                    self.integer(number, *least);
                    Ok(())
                }
                other => self.mismatch(shape, other),
            },
            Shape::Number { least, most } => match self.cursor.node()? {
                Node::Number(number) => {
                    self.number(number, *least, *most);
                    Ok(())
                }
                other => self.mismatch(shape, other),
            },
            Shape::Flag => match self.cursor.node()? {
                Node::Bool => Ok(()),
                other => self.mismatch(shape, other),
            },
            Shape::Instant(text) => match self.cursor.node()? {
                Node::Text(value) => {
                    self.text(text, value);
                    Ok(())
                }
                Node::Foreign(Foreign::Date { ms: Some(ms), .. }) => {
                    self.date(ms);
                    Ok(())
                }
                other => self.mismatch(shape, other),
            },
            Shape::Date => match self.cursor.node()? {
                Node::Foreign(Foreign::Date { ms: Some(ms), .. }) => {
                    self.date(ms);
                    Ok(())
                }
                other => self.mismatch(shape, other),
            },
            Shape::Never => {
                let node = self.cursor.node()?;
                self.mismatch(shape, node)
            }
        }
    }

    /// Reports a value of another type and steps over the rest of it.
    fn mismatch(&mut self, shape: &Shape, node: Node<'_>) -> Result<(), Malformed> {
        let received = match (shape, node) {
            (Shape::Integer { .. } | Shape::Number { .. }, Node::Foreign(Foreign::Number(number))) => {
                not_finite(number)
            }
            (Shape::Date | Shape::Instant(_), Node::Foreign(Foreign::Date { .. })) => Some("Invalid Date"),
            _ => None,
        };
        self.issues.push(match (shape, node) {
            (Shape::Text(text), Node::Foreign(Foreign::Big(name))) if name.is("string") => {
                Issue::too_big(&[], "string", wide(text.most.of(self.limits)))
            }
            _ => wrong_type(shape, &shown(node), received),
        });
        self.leave(node)
    }

    fn leave(&mut self, node: Node<'_>) -> Result<(), Malformed> {
        match node {
            Node::Array => self.cursor.skip_open(1),
            Node::Object(wrap) => self.cursor.skip_open(1 + usize::from(wrap.tagged)),
            _ => Ok(()),
        }
    }

    fn object(&mut self, fields: &[Field], strict: bool) -> Result<(), Malformed> {
        let wrap = match self.cursor.node()? {
            Node::Object(wrap) => wrap,
            other => {
                self.issues.push(wrong_type(
                    &Shape::Json { object: true, limited: false },
                    &shown(other),
                    None,
                ));
                return self.leave(other);
            }
        };
        if wrap.symbols {
            self.issues.push(symbol_keys(&[]));
        }
        let before = self.issues.len();
        let (mut seen, mut next) = (0_u64, 0);
        let mut found: Vec<(usize, Vec<Issue>)> = Vec::new();
        let mut unknown = Vec::new();
        let mut first = true;
        while self.cursor.peek() != Some(b'}') {
            if !first {
                self.cursor.expect(b',')?;
            }
            first = false;
            let key = self.cursor.key()?;
            let Some((index, field)) = find(fields, next, key) else {
                if strict {
                    unknown.push(key.decoded());
                }
                self.cursor.skip()?;
                continue;
            };
            if seen & (1 << index) != 0 {
                return Err(Malformed);
            }
            (seen, next) = (seen | 1 << index, index + 1);
            if field.required || !self.undefined()? {
                self.value(&field.shape)?;
            }
            if self.issues.len() > before {
                found.push((index, self.issues.split_off(before)));
            }
        }
        self.cursor.close(wrap)?;
        for (index, field) in fields.iter().enumerate() {
            if field.required && seen & (1 << index) == 0 {
                found.push((index, vec![wrong_type(&field.shape, "undefined", None)]));
            }
        }
        found.sort_by_key(|(index, _)| *index);
        for (index, issues) in found {
            let name = fields.get(index).map_or("", |field| &field.name);
            self.issues.extend(issues.into_iter().map(|issue| under(issue, PathItem::from(name))));
        }
        if !unknown.is_empty() {
            self.issues.push(Issue::unrecognized_keys(&[], unknown));
        }
        Ok(())
    }

    /// Steps over the value if it is `undefined`.
    fn undefined(&mut self) -> Result<bool, Malformed> {
        if !self.cursor.tagged || self.cursor.peek() != Some(b'[') {
            return Ok(false);
        }
        let mut ahead = self.cursor.clone();
        let is = ahead.node()? == Node::Foreign(Foreign::Undefined);
        if is {
            self.cursor = ahead;
        }
        Ok(is)
    }

    fn list(&mut self, item: &Shape, most: usize) -> Result<(), Malformed> {
        let node = self.cursor.node()?;
        if node != Node::Array {
            self.issues.push(match node {
                Node::Foreign(Foreign::Big(name)) if name.is("array") => {
                    Issue::too_big(&[], "array", wide(most))
                }
                _ => Issue::invalid_type(&[], "array", &shown(node)),
            });
            return self.leave(node);
        }
        let before = self.issues.len();
        let mut count = 0;
        while !self.cursor.eat(b']') {
            if count > 0 {
                self.cursor.expect(b',')?;
            }
            let known = self.issues.len();
            if count < most {
                self.value(item)?;
            } else {
                self.cursor.skip()?;
            }
            if self.issues.len() > known {
                let index = u64::try_from(count).unwrap_or(u64::MAX);
                let issues = self.issues.split_off(known);
                self.issues.extend(issues.into_iter().map(|issue| under(issue, PathItem::from(index))));
            }
            count += 1;
        }
        // A list that is too long is only that: its items are not looked at.
        if count > most {
            self.issues.truncate(before);
            self.issues.push(Issue::too_big(&[], "array", wide(most)));
        }
        Ok(())
    }

    fn text(&mut self, shape: &TextShape, text: Text<'_>) {
        let most = shape.most.of(self.limits);
        // A code point is at least one byte, and one that is escaped more than one.
        let surely_fits =
            text.raw.len() <= most && (shape.least == 0 || shape.least == 1 && !text.raw.is_empty());
        if !surely_fits {
            let count = text.code_points();
            if count < shape.least {
                self.issues.push(Issue::too_small(
                    &[],
                    "string",
                    i64::try_from(shape.least).unwrap_or(i64::MAX),
                ));
            }
            if count > most {
                self.issues.push(Issue::too_big(&[], "string", wide(most)));
            }
        }
        if !text.well_formed() {
            self.issues.push(Issue::ill_formed(Vec::new(), "string"));
        }
        if let Some(prefix) =
            shape.prefix.as_ref().filter(|prefix| !text.decoded().starts_with(prefix.as_str()))
        {
            self.issues.push(Issue::starts_with(prefix));
        }
        if let Some(names) = &shape.events {
            let known = names.iter().any(|name| text.is(name));
            let decoded = text.decoded();
            if !known && decoded.strip_prefix(EVENT_PREFIX).is_none_or(str::is_empty) {
                self.issues.push(Issue::event_type());
            }
        }
    }

    fn integer(&mut self, number: &str, least: i64) {
        let exact = number.parse::<i64>().ok().filter(|value| (-MAX_SAFE..=MAX_SAFE).contains(value));
        if let Some(value) = exact {
            self.rewrite |= value == 0 && number.starts_with('-');
            if value < least {
                self.issues.push(Issue::too_small(&[], "number", least));
            }
            return;
        }
        let value = number.parse::<f64>().unwrap_or(f64::NAN);
        if !value.is_finite() || value.fract() != 0.0 {
            self.issues.push(Issue::mistyped("int".into(), "number", None, Some("safeint")));
            return;
        }
        self.rewrite = true;
        #[expect(clippy::cast_precision_loss, reason = "the safe range is exact in a double")]
        if value.abs() > MAX_SAFE as f64 {
            self.issues.push(Issue::unsafe_integer(value < 0.0));
        }
        #[expect(clippy::cast_precision_loss, reason = "bounds are small")]
        if value < least as f64 {
            self.issues.push(Issue::too_small(&[], "number", least));
        }
    }

    fn number(&mut self, number: &str, least: i64, most: u64) {
        let value = number.parse::<f64>().unwrap_or(f64::NAN);
        #[expect(clippy::cast_precision_loss, reason = "bounds are small")]
        if value < least as f64 {
            self.issues.push(Issue::too_small(&[], "number", least));
        } else if value > most as f64 {
            self.issues.push(Issue::too_big(&[], "number", most));
        }
    }

    fn date(&mut self, ms: i64) {
        let latest = i64::try_from(Timestamp::MAX.0).unwrap_or(i64::MAX);
        if ms < 0 {
            self.issues.push(Issue::too_small(&[], "date", 0));
        } else if ms > latest {
            self.issues.push(Issue::too_big(&[], "date", latest.unsigned_abs()));
        }
    }

    fn json(&mut self, object: bool, limited: bool) -> Result<(), Malformed> {
        self.cursor.peek();
        let start = self.cursor.at;
        if object {
            let node = self.cursor.node()?;
            if !matches!(node, Node::Object(_)) {
                self.issues.push(Issue::invalid_type(&[], "object", &shown(node)));
                return self.leave(node);
            }
            self.cursor.at = start;
        }
        let deepest = if limited { self.limits.json_depth.min(DEEPEST) } else { DEEPEST };
        let bytes = self.limits.json_bytes;
        if super::walk::clean(&mut self.cursor, deepest)? {
            if !limited {
                return Ok(());
            }
            let text = self.cursor.slice(start);
            // Tags only lengthen: the text itself is measured if they might matter.
            let too_long = text.len() > bytes && (!self.cursor.tagged || canon::json(text).len() > bytes);
            if too_long {
                self.issues.push(Issue::too_many_bytes(&[], wide(bytes)));
            }
            return Ok(());
        }
        self.cursor.at = start;
        let found = super::walk::issues(&mut self.cursor, deepest, bytes, JSON_ISSUES)?;
        self.issues.extend(found);
        Ok(())
    }
}

/// The field of that name; fields usually come in the order of their declaration.
fn find<'f>(fields: &'f [Field], next: usize, key: Text<'_>) -> Option<(usize, &'f Field)> {
    let (before, from) = fields.split_at_checked(next)?;
    let named = |field: &&Field| key.is(&field.name);
    match from.iter().position(|field| named(&field)) {
        Some(offset) => from.get(offset).map(|field| (next + offset, field)),
        None => before.iter().enumerate().find(|(_, field)| named(field)),
    }
}

pub(super) fn under(mut issue: Issue, item: PathItem) -> Issue {
    issue.path.insert(0, item);
    issue
}

pub(super) fn wide(bound: usize) -> u64 {
    u64::try_from(bound).unwrap_or(u64::MAX)
}
