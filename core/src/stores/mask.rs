//! Masking: secrets in JSON become stars before anything is stored. What no rule names stays the text that it was.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Characters of a secret that stay.
const KEPT: usize = 4;
const STARS: &str = "****";
/// Headers that always hold secrets.
const HEADERS: [&str; 4] = ["authorization", "cookie", "set-cookie", "x-api-key"];

/// A word of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// A field or a place in a list; `*` stands for any characters.
    Name { pattern: String, any_case: bool },
    /// Whatever stands in between, however deep.
    Deep,
}

impl Word {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name { pattern, any_case: true } => glob(pattern, &name.to_lowercase()),
            Self::Name { pattern, any_case: false } => glob(pattern, name),
            Self::Deep => false,
        }
    }
}

/// Whether a pattern with `*` fits a whole text.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// What is to be masked.
#[derive(Debug, Default, Clone)]
pub struct Masks(Vec<Vec<Word>>);

impl Masks {
    /// The usual headers of a request and its response, more of them by name, and values by path. In a name `*` stands for
    /// any characters. A path is `request.body.card.number`, `response.body.items[*].token` or `$..password`.
    #[must_use]
    pub fn new(headers: &[String], paths: &[String]) -> Self {
        let own = headers.iter().map(|name| name.to_lowercase());
        let all: Vec<String> = HEADERS.iter().map(|name| (*name).to_owned()).chain(own).collect();
        let name = |pattern: &str, any_case| Word::Name { pattern: pattern.to_owned(), any_case };
        let mut rules = Vec::new();
        for side in ["request", "response"] {
            for header in &all {
                rules.push(vec![name(side, false), name("headers", true), name(header, true)]);
            }
        }
        rules.extend(paths.iter().map(|path| words(path)));
        Self(rules.into_iter().filter(|rule| !rule.is_empty()).collect())
    }

    /// The same JSON with its secrets masked.
    ///
    /// # Errors
    /// When it is no JSON.
    pub fn apply(&self, json: &str) -> Result<String, serde_json::Error> {
        let rules: Vec<&[Word]> = self.0.iter().map(Vec::as_slice).collect();
        rewrite(json.trim(), &rules)
    }
}

/// A path's words. Blank ones are those of `..`.
fn words(path: &str) -> Vec<Word> {
    let path = path.strip_prefix('$').unwrap_or(path).replace("[\"", ".").replace("\"]", "");
    let path = path.replace(['[', '\''], ".").replace(']', "");
    let mut words = Vec::new();
    let deep = path.starts_with("..");
    for (place, word) in path.trim_start_matches('.').split('.').enumerate() {
        if word == "**" || (place == 0 && deep) {
            words.push(Word::Deep);
        }
        match word {
            "**" => {}
            "" => words.push(Word::Deep),
            word => words.push(Word::Name { pattern: word.to_owned(), any_case: false }),
        }
    }
    while words.last() == Some(&Word::Deep) {
        words.pop();
    }
    words
}

/// An object's fields in their order, each value as its text.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Fields).map(Self)
    }
}

/// An object's fields in their order.
pub(super) fn entries(json: &str) -> Result<Vec<(String, &RawValue)>, serde_json::Error> {
    serde_json::from_str::<Entries<'_>>(json).map(|entries| entries.0)
}

fn rewrite(json: &str, rules: &[&[Word]]) -> Result<String, serde_json::Error> {
    if rules.iter().any(|rule| rule.is_empty()) {
        return masked(json);
    }
    if rules.is_empty() {
        return Ok(json.to_owned());
    }
    let parts = match json.as_bytes().first() {
        Some(b'{') => entries(json)?
            .into_iter()
            .map(|(name, value)| {
                let inner = rewrite(value.get(), &below(rules, &name))?;
                Ok(format!("{}:{inner}", serde_json::to_string(&name)?))
            })
            .collect::<Result<Vec<_>, serde_json::Error>>()
            .map(|parts| format!("{{{}}}", parts.join(",")))?,
        Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(json)?
            .into_iter()
            .enumerate()
            .map(|(place, value)| rewrite(value.get(), &below(rules, &place.to_string())))
            .collect::<Result<Vec<_>, _>>()
            .map(|parts| format!("[{}]", parts.join(",")))?,
        _ => json.to_owned(),
    };
    Ok(parts)
}

/// What the rules ask for below a field.
fn below<'a>(rules: &[&'a [Word]], name: &str) -> Vec<&'a [Word]> {
    let mut further = Vec::new();
    for rule in rules {
        match rule.split_first() {
            Some((Word::Deep, rest)) => {
                further.push(*rule);
                if let Some((word, rest)) = rest.split_first()
                    && word.matches(name)
                {
                    further.push(rest);
                }
            }
            Some((word, rest)) if word.matches(name) => further.push(rest),
            _ => {}
        }
    }
    further
}

/// A value whose last characters alone can be told; of a list, each of its items.
fn masked(json: &str) -> Result<String, serde_json::Error> {
    match json.as_bytes().first() {
        Some(b'"') => {
            let text: String = serde_json::from_str(json)?;
            let count = text.chars().count();
            let kept: String = text.chars().skip(count.saturating_sub(KEPT)).collect();
            serde_json::to_string(&if count > KEPT { format!("{STARS}{kept}") } else { STARS.to_owned() })
        }
        Some(b'[') => {
            let items = serde_json::from_str::<Vec<&RawValue>>(json)?;
            let items = items.into_iter().map(|item| masked(item.get())).collect::<Result<Vec<_>, _>>()?;
            Ok(format!("[{}]", items.join(",")))
        }
        Some(b'n') => Ok(json.to_owned()),
        _ => serde_json::to_string(STARS),
    }
}

#[cfg(test)]
mod tests {
    use super::Masks;

    fn masked(headers: &[&str], paths: &[&str], json: &str) -> String {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Masks::new(&own(headers), &own(paths)).apply(json).unwrap()
    }

    #[test]
    fn secrets_become_stars() {
        for (headers, paths, json, expected) in [
            // The usual headers, in any case, on both sides, and nowhere else.
            (
                &[][..],
                &[][..],
                r#"{"request":{"headers":{"Authorization":"Bearer abcd1234"}}}"#,
                r#"{"request":{"headers":{"Authorization":"****1234"}}}"#,
            ),
            (
                &[],
                &[],
                r#"{"request":{"headers":{"authorization":"abcde"}}}"#,
                r#"{"request":{"headers":{"authorization":"****bcde"}}}"#,
            ),
            (
                &[],
                &[],
                r#"{"request":{"headers":{"AUTHORIZATION":"abcd"}}}"#,
                r#"{"request":{"headers":{"AUTHORIZATION":"****"}}}"#,
            ),
            (
                &[],
                &[],
                r#"{"request":{"headers":{"Cookie":"a=b; c=d"}}}"#,
                r#"{"request":{"headers":{"Cookie":"**** c=d"}}}"#,
            ),
            (
                &[],
                &[],
                r#"{"response":{"headers":{"Set-Cookie":["sid=12345","lang=en"]}}}"#,
                r#"{"response":{"headers":{"Set-Cookie":["****2345","****g=en"]}}}"#,
            ),
            (
                &[],
                &[],
                r#"{"request":{"headers":{"X-Api-Key":""}}}"#,
                r#"{"request":{"headers":{"X-Api-Key":"****"}}}"#,
            ),
            (
                &[],
                &[],
                r#"{"request":{"headers":{"x-api-key":12345678}}}"#,
                r#"{"request":{"headers":{"x-api-key":"****"}}}"#,
            ),
            (
                &[],
                &[],
                r#"{"request":{"headers":{"cookie":null}}}"#,
                r#"{"request":{"headers":{"cookie":null}}}"#,
            ),
            (
                &[],
                &[],
                r#"{"request":{"Headers":{"cookie":"secret-one"}}}"#,
                r#"{"request":{"Headers":{"cookie":"****-one"}}}"#,
            ),
            (
                &[],
                &[],
                r#"{"request":{"headers":{"accept":"text/html"},"cookie":"mine"}}"#,
                r#"{"request":{"headers":{"accept":"text/html"},"cookie":"mine"}}"#,
            ),
            (
                &[],
                &[],
                r#"{"request":{"headers":{"cookie":"first-1","cookie":"second-2"}}}"#,
                r#"{"request":{"headers":{"cookie":"****st-1","cookie":"****nd-2"}}}"#,
            ),
            (
                &[],
                &[],
                r#"{"request":{"headers":{"cookie":"gr\u00fc\u00dfe-\ud83d\ude00"}}}"#,
                "{\"request\":{\"headers\":{\"cookie\":\"****ße-\u{1F600}\"}}}",
            ),
            // The caller's own headers, with wildcards.
            (
                &["X-*-Token"],
                &[],
                r#"{"request":{"headers":{"x-csrf-token":"12345","x-token":"12345"}}}"#,
                r#"{"request":{"headers":{"x-csrf-token":"****2345","x-token":"12345"}}}"#,
            ),
            (
                &["*secret*"],
                &[],
                r#"{"response":{"headers":{"My-Secret-Id":"12345"}}}"#,
                r#"{"response":{"headers":{"My-Secret-Id":"****2345"}}}"#,
            ),
            (
                &["*"],
                &[],
                r#"{"request":{"headers":{"a":"12345","b":"x"}}}"#,
                r#"{"request":{"headers":{"a":"****2345","b":"****"}}}"#,
            ),
            // Paths.
            (
                &[],
                &["request.body.password"],
                r#"{"request":{"body":{"password":"hunter22","user":"me"}}}"#,
                r#"{"request":{"body":{"password":"****er22","user":"me"}}}"#,
            ),
            (
                &[],
                &["$.request.body.card.number"],
                r#"{"request":{"body":{"card":{"number":"4111111111111111"}}}}"#,
                r#"{"request":{"body":{"card":{"number":"****1111"}}}}"#,
            ),
            (
                &[],
                &["response.body.items[*].token"],
                r#"{"response":{"body":{"items":[{"token":"aaaa1"},{"token":"bbbb2"}]}}}"#,
                r#"{"response":{"body":{"items":[{"token":"****aaa1"},{"token":"****bbb2"}]}}}"#,
            ),
            (
                &[],
                &["response.body.items[1]"],
                r#"{"response":{"body":{"items":["first","second"]}}}"#,
                r#"{"response":{"body":{"items":["first","****cond"]}}}"#,
            ),
            (
                &[],
                &["$..password"],
                r#"{"request":{"body":[{"a":{"password":"abcdef"}}]},"password":"12345"}"#,
                r#"{"request":{"body":[{"a":{"password":"****cdef"}}]},"password":"****2345"}"#,
            ),
            (
                &[],
                &["request..key"],
                r#"{"request":{"key":"12345","b":{"key":"67890"}},"key":"kept!"}"#,
                r#"{"request":{"key":"****2345","b":{"key":"****7890"}},"key":"kept!"}"#,
            ),
            (
                &[],
                &["request.body.*.pin"],
                r#"{"request":{"body":{"a":{"pin":1234},"b":{"pin":"99999"}}}}"#,
                r#"{"request":{"body":{"a":{"pin":"****"},"b":{"pin":"****9999"}}}}"#,
            ),
            (
                &[],
                &["request.body.secret*"],
                r#"{"request":{"body":{"secretA":{"deep":1},"Secret":"kept"}}}"#,
                r#"{"request":{"body":{"secretA":"****","Secret":"kept"}}}"#,
            ),
            (
                &[],
                &["request[\"body\"][\"a\"]"],
                r#"{"request":{"body":{"a":true}}}"#,
                r#"{"request":{"body":{"a":"****"}}}"#,
            ),
            // What no rule names stays to the letter.
            (
                &[],
                &["request.body.x"],
                r#"{"request":{"body":{"n":9007199254740993,"f":1.10,"e":[],"o":{},"u":"\u00fc"}}}"#,
                r#"{"request":{"body":{"n":9007199254740993,"f":1.10,"e":[],"o":{},"u":"\u00fc"}}}"#,
            ),
            (&[], &["", "$", ".."], r#"{"request":{"a":1}}"#, r#"{"request":{"a":1}}"#),
        ] {
            assert_eq!(masked(headers, paths, json), expected, "{headers:?} {paths:?} {json}");
        }
    }
}
