//! The text of a checked value as it is stored: no tags, no field that the schema strips, dates in ISO form.

use super::scan::{Cursor, Foreign, Malformed, Node};
use super::shape::Shape;
use crate::clock::Timestamp;

/// Writes a value that has passed the check of `shape`.
pub(super) fn value(text: &str, tagged: bool, shape: &Shape) -> Result<String, Malformed> {
    let mut out = String::with_capacity(text.len());
    write(&mut Cursor::new(text, tagged), shape, &mut out)?;
    Ok(out)
}

/// Writes a tagged JSON value that has passed the walk: only its arrays differ, and objects with a name.
pub(super) fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let written = write_json(&mut Cursor::new(text, true), &mut out);
    if written.is_ok() { out } else { String::new() }
}

fn write(cursor: &mut Cursor<'_>, shape: &Shape, out: &mut String) -> Result<(), Malformed> {
    cursor.peek();
    let start = cursor.at;
    match shape {
        Shape::Json { .. } if cursor.tagged => write_json(cursor, out),
        Shape::Nullable(inner) if cursor.peek() != Some(b'n') => write(cursor, inner, out),
        Shape::Object { .. } => write_object(cursor, shape, out),
        Shape::List { item, .. } => write_list(cursor, item, out),
        Shape::Integer { .. } => {
            let Node::Number(number) = cursor.node()? else { return Err(Malformed) };
            let plain = number.parse::<i64>().ok().map(|value| value.to_string());
            out.push_str(&plain.unwrap_or_else(|| format!("{:.0}", number.parse::<f64>().unwrap_or(0.0))));
            Ok(())
        }
        Shape::Instant(_) if cursor.peek() == Some(b'"') => {
            cursor.skip()?;
            out.push_str(cursor.slice(start));
            Ok(())
        }
        Shape::Date | Shape::Instant(_) => {
            let Node::Foreign(Foreign::Date { ms: Some(ms), .. }) = cursor.node()? else {
                return Err(Malformed);
            };
            out.push('"');
            out.push_str(&Timestamp(u64::try_from(ms).map_err(|_| Malformed)?).to_string());
            out.push('"');
            Ok(())
        }
        _ => {
            cursor.skip()?;
            out.push_str(cursor.slice(start));
            Ok(())
        }
    }
}

fn write_object(cursor: &mut Cursor<'_>, shape: &Shape, out: &mut String) -> Result<(), Malformed> {
    let (Node::Object(wrap), Shape::Object { fields, .. }) = (cursor.node()?, shape) else {
        return Err(Malformed);
    };
    // In the order of the declaration, as zod writes its output.
    let mut values: Vec<Option<usize>> = vec![None; fields.len()];
    while cursor.peek() != Some(b'}') {
        cursor.eat(b',');
        let key = cursor.key()?;
        let index = fields.iter().position(|field| key.is(&field.name));
        if let Some(slot) = index.and_then(|index| values.get_mut(index)) {
            *slot = Some(cursor.at);
        }
        cursor.skip()?;
    }
    cursor.close(wrap)?;
    let end = cursor.at;
    out.push('{');
    let opening = out.len();
    for (field, at) in fields.iter().zip(values).filter_map(|(field, at)| Some((field, at?))) {
        cursor.at = at;
        if cursor.tagged && cursor.clone().node()? == Node::Foreign(Foreign::Undefined) {
            continue;
        }
        if out.len() > opening {
            out.push(',');
        }
        out.push('"');
        out.push_str(&field.name);
        out.push_str("\":");
        write(cursor, &field.shape, out)?;
    }
    out.push('}');
    cursor.at = end;
    Ok(())
}

fn write_list(cursor: &mut Cursor<'_>, item: &Shape, out: &mut String) -> Result<(), Malformed> {
    cursor.node()?;
    out.push('[');
    let mut first = true;
    while !cursor.eat(b']') {
        if !first {
            cursor.expect(b',')?;
            out.push(',');
        }
        first = false;
        write(cursor, item, out)?;
    }
    out.push(']');
    Ok(())
}

/// Copies a value, leaving out what only tags its arrays and objects.
fn write_json(cursor: &mut Cursor<'_>, out: &mut String) -> Result<(), Malformed> {
    // For every open bracket: whether a tag's bracket follows the closing one.
    let mut open: Vec<bool> = Vec::new();
    loop {
        match cursor.peek().ok_or(Malformed)? {
            mark @ (b',' | b':') => {
                cursor.at += 1;
                out.push(char::from(mark));
            }
            mark @ (b']' | b'}') => {
                cursor.at += 1;
                out.push(char::from(mark));
                if open.pop().ok_or(Malformed)? {
                    cursor.expect(b']')?;
                }
            }
            _ => {
                let start = cursor.at;
                match cursor.node()? {
                    Node::Array => {
                        out.push('[');
                        open.push(false);
                    }
                    Node::Object(wrap) => {
                        out.push('{');
                        open.push(wrap.tagged);
                    }
                    Node::Foreign(_) => return Err(Malformed),
                    _ => out.push_str(cursor.slice(start)),
                }
            }
        }
        if open.is_empty() {
            return Ok(());
        }
    }
}
