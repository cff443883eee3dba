//! `js/zod/index.ts`: the same schemas in zod's own words.

use std::fmt::Write as _;

use flowkeep_core::schema::Limits;

use super::{HEADER, Kind, Part, comment, quoted, schemas, shared};

const DOC: &str = "
/**
 * The storage's schemas for zod 4: the same verdict, issues and order as the storage itself.
 *
 * Records drop fields that they do not know; what is given to create or change one may have none.
 */
";

pub fn file() -> String {
    let schemas = schemas();
    let shared = shared(&schemas);
    let mut ids = shared.iter().filter_map(|(_, part)| match part.kind() {
        Kind::Id(name) => Some(name),
        Kind::CustomEventType => Some("CustomEventType"),
        Kind::EventType(_) => Some("EventType"),
        _ => None,
    });
    let mut imported: Vec<&str> = ids.by_ref().collect();
    imported.sort_unstable();
    let limits = Limits::default();
    let mut out = format!("{HEADER}{DOC}\nimport * as z from 'zod'\n\n");
    let _ = writeln!(out, "import type {{\n  {},\n}} from '../generated/records.js'", imported.join(",\n  "));
    out.push_str(
        "import { branded, eventType, integer, json, jsonObject, list, plain, text, timestamp } from './helpers.js'\n",
    );
    out.push_str("\n/** The contract's bounds of one JSON value. */\n");
    let _ =
        writeln!(out, "const JSON_LIMITS = {{ bytes: {}, depth: {} }}", limits.json_bytes, limits.json_depth);
    for (name, part) in &shared {
        out.push_str(&shared_schema(name, *part, &limits));
    }
    for (name, schema) in &schemas {
        let part = Part { schema, record: name.is_record() };
        let _ = write!(out, "\n{}", comment(part.word("description"), ""));
        let _ = writeln!(out, "export const {}Schema = {}", name.type_name(), object(part));
    }
    out
}

fn shared_schema(name: &str, part: Part<'_>, limits: &Limits) -> String {
    let says = comment(part.word("description"), "");
    match part.kind() {
        Kind::Id(_) => {
            let most = limits.id_code_points;
            format!("\nexport const {name}Schema = branded<{name}>(text(1, {most}))\n")
        }
        Kind::Choice(_, words) => {
            format!("\n{says}export const {name}Schema = z.enum([{}])\n", quoted(&words).join(", "))
        }
        Kind::CustomEventType => {
            format!(
                "\n{says}export const {name}Schema = branded<{name}>({}.startsWith('custom:'))\n",
                sized(part)
            )
        }
        Kind::EventType(words) => {
            let known = quoted(&words).join(",\n  ");
            format!("\n{says}export const {name}Schema = eventType<{name}>([\n  {known},\n])\n")
        }
        Kind::Object(_) => format!("\n{says}export const {name}Schema = {}\n", object(part)),
        _ => String::new(),
    }
}

fn object(part: Part<'_>) -> String {
    let strict = if part.record { "object" } else { "strictObject" };
    let mut out = format!("plain(\n  z.{strict}({{\n");
    for member in part.members() {
        let optional = if member.required { "" } else { ".optional()" };
        let _ = writeln!(out, "    {}: {}{optional},", member.name, schema(member.part));
    }
    out.push_str("  }),\n)");
    out
}

fn schema(part: Part<'_>) -> String {
    let limits = if part.record { "" } else { "JSON_LIMITS" };
    match part.kind() {
        Kind::Json => format!("json({limits})"),
        Kind::JsonObject => format!("jsonObject({limits})"),
        Kind::Id(name) if part.record => format!("branded<{name}>({})", sized(part)),
        Kind::Id(name) | Kind::Choice(name, _) => format!("{name}Schema"),
        Kind::CustomEventType => "CustomEventTypeSchema".to_owned(),
        Kind::EventType(_) => "EventTypeSchema".to_owned(),
        Kind::Object(name) => {
            let name = name.unwrap_or_default();
            if part.record { format!("{name}Schema") } else { format!("{name}Schema.strict()") }
        }
        Kind::List(item) => match part.number("maxItems") {
            Some(most) => format!("list({}, {most})", schema(item)),
            None => format!("list({})", schema(item)),
        },
        Kind::Integer => format!("integer({})", part.number("minimum").unwrap_or_default()),
        Kind::Date => "timestamp()".to_owned(),
        Kind::Text => sized(part),
        Kind::Nullable(inner) => format!("{}.nullable()", schema(inner)),
    }
}

fn sized(part: Part<'_>) -> String {
    let least = part.number("minLength").unwrap_or_default();
    match part.number("maxLength") {
        Some(most) => format!("text({least}, {most})"),
        None => format!("text({least})"),
    }
}
