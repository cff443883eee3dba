//! The generated files, as text. The test that finds stale ones uses this module too.

#![allow(clippy::indexing_slicing, reason = "a schema of another form stops the generator")]

#[path = "typescript.rs"]
mod typescript;
#[path = "zod.rs"]
mod zod;

use flowkeep_core::schema::SchemaName;
use serde_json::{Map, Value};

/// Every generated file: its path from the project's root, and its text.
pub fn files() -> Vec<(String, String)> {
    let schemas = SchemaName::ALL.map(|name| (format!("schemas/{}.json", name.type_name()), json_file(name)));
    let mut files = Vec::from(schemas);
    files.push(("js/generated/records.ts".to_owned(), typescript::file()));
    files.push(("js/zod/index.ts".to_owned(), zod::file()));
    files
}

fn json_file(name: SchemaName) -> String {
    let schema = name.json_schema();
    let mut ordered = Map::new();
    for keyword in ["$schema", "title", "description", "type"] {
        ordered.insert(keyword.to_owned(), schema[keyword].clone());
    }
    for (keyword, value) in schema.as_object().into_iter().flatten() {
        ordered.entry(keyword.clone()).or_insert_with(|| value.clone());
    }
    format!("{:#}\n", Value::Object(ordered))
}

/// A schema with the keywords that the generators read.
#[derive(Clone, Copy)]
struct Part<'a> {
    schema: &'a Value,
    record: bool,
}

/// A field of an object.
struct Member<'a> {
    name: &'a str,
    part: Part<'a>,
    required: bool,
}

/// What a part is, with what only that has.
enum Kind<'a> {
    Json,
    JsonObject,
    /// An id: its type's name.
    Id(&'a str),
    CustomEventType,
    EventType(Vec<&'a str>),
    /// A choice of words: its type's name, and the words.
    Choice(&'a str, Vec<&'a str>),
    /// An object: its type's name, if it is shared.
    Object(Option<&'a str>),
    List(Part<'a>),
    Integer,
    Date,
    Text,
    Nullable(Part<'a>),
}

impl<'a> Part<'a> {
    fn word(self, keyword: &str) -> Option<&'a str> {
        self.schema.get(keyword).and_then(Value::as_str)
    }

    fn number(self, keyword: &str) -> Option<u64> {
        self.schema.get(keyword).and_then(Value::as_u64)
    }

    fn kind(self) -> Kind<'a> {
        let words = |pointer| {
            let values = self.schema.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
            values.filter_map(Value::as_str).collect::<Vec<_>>()
        };
        match (self.word("x-type"), self.word("type")) {
            (Some("Json"), _) => Kind::Json,
            (Some("JsonObject"), _) => Kind::JsonObject,
            (Some("CustomEventType"), _) => Kind::CustomEventType,
            (Some("EventType"), _) => Kind::EventType(words("/anyOf/0/enum")),
            (Some(name), Some("string")) if self.schema.get("enum").is_some() => {
                Kind::Choice(name, words("/enum"))
            }
            (Some(name), Some("string")) => Kind::Id(name),
            (shared, Some("object")) => Kind::Object(shared),
            (_, Some("array")) => Kind::List(Self { schema: &self.schema["items"], record: self.record }),
            (_, Some("integer")) => Kind::Integer,
            (_, Some("string")) if self.word("format") == Some("date-time") => Kind::Date,
            (_, Some("string")) => Kind::Text,
            _ => Kind::Nullable(Self { schema: &self.schema["anyOf"][0], record: self.record }),
        }
    }

    fn members(self) -> Vec<Member<'a>> {
        let required = self.schema["required"].as_array().into_iter().flatten().collect::<Vec<_>>();
        let fields = self.schema["properties"].as_object().into_iter().flatten();
        let member = |(name, schema): (&'a String, &'a Value)| Member {
            name,
            part: Self { schema, record: self.record },
            required: required.iter().any(|known| *known == name),
        };
        fields.map(member).collect()
    }
}

/// The named parts of all schemas, each once: ids first, then in the order in which they are met.
fn shared<'a>(schemas: &'a [(SchemaName, Value)]) -> Vec<(&'a str, Part<'a>)> {
    fn visit<'a>(part: Part<'a>, found: &mut Vec<(&'a str, Part<'a>)>) {
        if let Some(name) = part.word("x-type")
            && !found.iter().any(|(known, _)| *known == name)
        {
            found.push((name, part));
        }
        match part.kind() {
            Kind::List(inner) | Kind::Nullable(inner) => visit(inner, found),
            Kind::Object(_) => part.members().into_iter().for_each(|member| visit(member.part, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for (name, schema) in schemas {
        visit(Part { schema, record: name.is_record() }, &mut found);
    }
    found.sort_by_key(|(_, part)| !matches!(part.kind(), Kind::Id(_)));
    found
}

fn schemas() -> Vec<(SchemaName, Value)> {
    SchemaName::ALL.into_iter().map(|name| (name, name.annotated())).collect()
}

/// A comment, on one line if it fits.
fn comment(text: Option<&str>, indent: &str) -> String {
    let Some(text) = text else { return String::new() };
    let text = text.replace('\n', " ");
    if indent.len() + text.len() + 7 <= 110 {
        return format!("{indent}/** {text} */\n");
    }
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if lines.last().is_some_and(|line| indent.len() + 3 + line.len() + 1 + word.len() > 110) {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    let body: String = lines.iter().map(|line| format!("{indent} *{line}\n")).collect();
    format!("{indent}/**\n{body}{indent} */\n")
}

fn quoted(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| format!("'{word}'")).collect()
}

const HEADER: &str = "// Generated from core/src/schema by `npm run generate`. Not to be edited.\n";
