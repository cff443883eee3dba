//! `js/generated/records.ts`: the records and inputs as TypeScript types.

use std::fmt::Write as _;

use flowkeep_core::schema::SchemaName;

use super::{HEADER, Kind, Part, comment, quoted, schemas, shared};

const PREAMBLE: &str = "
declare const brand: unique symbol

/** A string that stands for one thing only. */
type Branded<Name extends string> = string & { readonly [brand]: Name }

/**
 * A string that is not branded as the id of something else: a plain text from a URL is welcome where an
 * id is expected, the id of another kind of record is not.
 */
export type Plain = string & { readonly [brand]?: never }

export type JsonPrimitive = string | number | boolean | null
/** Any JSON value. */
export type Json = JsonPrimitive | readonly Json[] | JsonObject
/** A JSON object. */
export type JsonObject = { readonly [key: string]: Json }
";

pub fn file() -> String {
    let schemas = schemas();
    let mut out = format!("{HEADER}{PREAMBLE}\n");
    for (name, part) in shared(&schemas) {
        out.push_str(&shared_type(name, part));
    }
    for (name, schema) in &schemas {
        let part = Part { schema, record: name.is_record() };
        let _ = write!(out, "\n{}", comment(part.word("description"), ""));
        let _ = write!(out, "export interface {}{} {}", name.type_name(), parameters(*name), body(part));
    }
    out
}

fn shared_type(name: &str, part: Part<'_>) -> String {
    let says = comment(part.word("description"), "");
    match part.kind() {
        Kind::Id(_) => format!("export type {name} = Branded<'{name}'>\n"),
        Kind::Choice(_, words) => format!("\n{says}export type {name} = {}\n", quoted(&words).join(" | ")),
        Kind::CustomEventType => format!("\n{says}export type {name} = `custom:${{string}}`\n"),
        Kind::EventType(words) => {
            let known = quoted(&words).join("\n  | ");
            format!("\n{says}export type {name} =\n  | {known}\n  | `custom:${{string}}`\n")
        }
        Kind::Object(_) => format!("\n{says}export interface {name} {}", body(part)),
        _ => String::new(),
    }
}

/// The caller's own types: of `metadata`, or of `inputs` and `result`.
fn parameters(name: SchemaName) -> &'static str {
    match name {
        SchemaName::Session | SchemaName::SessionData | SchemaName::SessionUpdate => {
            "<Meta extends object = JsonObject>"
        }
        SchemaName::Chain | SchemaName::ChainData | SchemaName::ChainUpdate => {
            "<Meta extends object = JsonObject>"
        }
        SchemaName::Step | SchemaName::StepUpdate => "<Inputs extends object = JsonObject, Result = Json>",
        SchemaName::StepData => "<Inputs extends object = JsonObject>",
        SchemaName::Event | SchemaName::CustomEvent => "",
    }
}

fn body(part: Part<'_>) -> String {
    let mut out = String::from("{\n");
    for member in part.members() {
        out.push_str(&comment(member.part.word("description").filter(|_| speaks(member.part)), "  "));
        let of = type_of(member.name, member.part);
        let _ = if member.required {
            writeln!(out, "  readonly {}: {of}", member.name)
        } else {
            writeln!(out, "  readonly {}?: {of} | undefined", member.name)
        };
    }
    out.push_str("}\n");
    out
}

/// Whether a field says more than its type, which has a comment of its own.
fn speaks(part: Part<'_>) -> bool {
    !matches!(part.kind(), Kind::Choice(..) | Kind::Object(_) | Kind::EventType(_) | Kind::CustomEventType)
}

fn type_of(field: &str, part: Part<'_>) -> String {
    match part.kind() {
        Kind::Json => "Result".to_owned(),
        Kind::JsonObject => match field {
            "metadata" => "Meta".to_owned(),
            "inputs" => "Inputs".to_owned(),
            _ => "JsonObject".to_owned(),
        },
        Kind::Id(name) if part.record => name.to_owned(),
        Kind::Id(name) => format!("{name} | Plain"),
        Kind::Text => "string".to_owned(),
        Kind::CustomEventType => "CustomEventType".to_owned(),
        Kind::EventType(_) => "EventType".to_owned(),
        Kind::Choice(name, _) => name.to_owned(),
        Kind::Object(name) => name.unwrap_or("JsonObject").to_owned(),
        Kind::List(item) => match type_of(field, item) {
            of if of.contains(' ') => format!("readonly ({of})[]"),
            of => format!("readonly {of}[]"),
        },
        Kind::Integer => "number".to_owned(),
        Kind::Date => "Date".to_owned(),
        Kind::Nullable(inner) => format!("{} | null", type_of(field, inner)),
    }
}
