//! The validator through its public face: what it says, what its limits are, and that no text is too much.

use flowkeep_core::schema::{
    ChainData, CustomEvent, Input, Issues, Limits, Patch, SchemaName, SessionData, SessionUpdate, StepData,
    StepUpdate, Validated, check, check_text, check_user_id, parse,
};

/// Every issue as `code path message`.
fn told(issues: &Issues) -> Vec<String> {
    let path = |issue: &flowkeep_core::schema::Issue| {
        let items = serde_json::to_value(&issue.path).unwrap_or_default();
        items.to_string()
    };
    issues.0.iter().map(|issue| format!("{} {} {}", issue.code(), path(issue), issue.message)).collect()
}

fn refused<T: Validated>(text: &str) -> Vec<String> {
    parse::<T>(Input::json(text), &Limits::default()).err().as_ref().map(told).unwrap_or_default()
}

fn tagged(text: &str) -> Input<'_> {
    Input { text, tagged: true }
}

#[test]
fn issues_come_in_the_order_of_the_fields_unknown_ones_last() {
    assert_eq!(
        refused::<StepData>(r#"{"z":1,"waitsFor":["",2],"action":"","a":1}"#),
        [
            r#"too_small ["action"] Too small: expected string to have >=1 characters"#,
            r#"too_small ["waitsFor",0] Too small: expected string to have >=1 characters"#,
            r#"invalid_type ["waitsFor",1] Invalid input: expected string, received number"#,
            r#"unrecognized_keys [] Unrecognized keys: "z", "a""#,
        ]
    );
    assert_eq!(
        refused::<ChainData>(r#"{"source":"x"}"#),
        [
            r#"invalid_type ["title"] Invalid input: expected string, received undefined"#,
            r#"invalid_value ["source"] Invalid option: expected one of "flow"|"composed"|"meta-task""#,
        ]
    );
    assert_eq!(
        refused::<ChainData>("[]"),
        ["invalid_type [] Invalid input: expected object, received array"]
    );
}

#[test]
fn an_issue_serializes_as_zod_has_it() {
    let issues = parse::<CustomEvent>(Input::json(r#"{"type":"x"}"#), &Limits::default());
    assert_eq!(
        issues.err().map(|issues| issues.to_json()).unwrap_or_default(),
        concat!(
            r#"[{"code":"too_small","origin":"string","minimum":8,"inclusive":true,"path":["type"],"#,
            r#""message":"Too small: expected string to have >=8 characters"},"#,
            r#"{"code":"invalid_format","origin":"string","format":"starts_with","prefix":"custom:","#,
            r#""path":["type"],"message":"Invalid string: must start with \"custom:\""}]"#
        )
    );
}

#[test]
fn limits_are_the_callers() {
    let limits: Limits = serde_json::from_str(
        r#"{"titleCodePoints":2,"tagCount":1,"jsonDepth":2,"jsonBytes":12,"eventTypeCodePoints":1}"#,
    )
    .unwrap_or_default();
    let session = |text| parse::<SessionData>(Input::json(text), &limits).is_ok();
    assert!(session(r#"{"title":"😀😀","tags":["a"],"metadata":{"a":{}}}"#));
    assert!(!session(r#"{"title":"abc"}"#));
    assert!(!session(r#"{"tags":["a","b"]}"#));
    assert!(!session(r#"{"metadata":{"a":{"b":{}}}}"#));
    assert!(session(r#"{"metadata":{"a":123456}}"#));
    assert!(!session(r#"{"metadata":{"a":1234567}}"#));
    assert!(parse::<CustomEvent>(Input::json(r#"{"type":"custom:ü"}"#), &limits).is_ok());
    assert!(parse::<CustomEvent>(Input::json(r#"{"type":"custom:ab"}"#), &limits).is_err());
    // A record may come from a storage with wider limits.
    assert!(serde_json::from_str::<Limits>(r#"{"titles":2}"#).is_err());
}

#[test]
fn an_update_tells_clearing_from_keeping() {
    let update = parse::<SessionUpdate>(
        tagged(
            r#"{"title":null,"tags":["["],"metadata":["undefined"],"expiresAt":["date",0,"Date"],"version":-0}"#,
        ),
        &Limits::default(),
    );
    assert_eq!(update.err().as_ref().map(told).unwrap_or_default().len(), 1);
    let update = parse::<SessionUpdate>(
        tagged(r#"{"title":null,"tags":["["],"metadata":["undefined"],"expiresAt":["date",0,"Date"]}"#),
        &Limits::default(),
    )
    .unwrap_or_default();
    assert_eq!(update.title, Patch::Clear);
    assert_eq!(update.tags, Some(Vec::new()));
    assert_eq!(update.metadata, None);
    assert!(matches!(update.expires_at, Patch::Set(at) if at.0 == 0));
    let step = parse::<StepUpdate>(Input::json(r#"{"result":null}"#), &Limits::default()).unwrap_or_default();
    assert_eq!(step.result.as_ref().map(|result| result.text()), Some("null"));
    assert_eq!(step.error, Patch::Keep);
}

#[test]
fn tags_are_read_and_arrays_that_look_like_them_are_kept() {
    let text = r#"{"metadata":{"zero":-0,"a":["[","undefined"],"b":["[",["["],["[",["{","object",0,{"c":["["]}]]]}}"#;
    assert_eq!(
        check(SchemaName::SessionData, tagged(text), &Limits::default()),
        Ok(r#"{"metadata":{"zero":-0,"a":["undefined"],"b":[[],[{"c":[]}]]}}"#.to_owned())
    );
    let text = r#"{"metadata":{"a":["[",["other","Map"],["number","NaN"],["cycle","object"]]}}"#;
    let issues = check(SchemaName::SessionData, tagged(text), &Limits::default());
    assert_eq!(
        issues.err().as_ref().map(told).unwrap_or_default(),
        [
            r#"invalid_type ["metadata","a",0] Invalid input: expected json, received Map"#,
            r#"invalid_type ["metadata","a",1] Invalid input: expected json, received NaN"#,
            r#"custom ["metadata","a",2] Invalid input: circular reference"#,
        ]
    );
}

#[test]
fn a_record_loses_what_its_schema_does_not_know() {
    let text = r#"{"version":1,"x":1,"sessionId":"s","userId":"u","state":"paused","tags":["["],"metadata":{},
        "createdAt":["date",0,"Date"],"updatedAt":["date",1,"Date"],"expiresAt":null,"title":["undefined"]}"#;
    assert_eq!(
        check(SchemaName::Session, tagged(text), &Limits::default()),
        Ok(concat!(
            r#"{"sessionId":"s","userId":"u","state":"paused","tags":[],"metadata":{},"#,
            r#""createdAt":"1970-01-01T00:00:00.000Z","updatedAt":"1970-01-01T00:00:00.001Z","#,
            r#""expiresAt":null,"version":1}"#
        )
        .to_owned())
    );
}

#[test]
fn single_strings_say_where_they_stand() {
    let limits = Limits::default();
    assert_eq!(check_user_id(Input::json(r#""\u00e9\n""#), &limits), Ok("é\n".to_owned()));
    let at = |result: Result<String, Issues>| result.err().as_ref().map(told).unwrap_or_default();
    assert_eq!(
        at(check_user_id(tagged(r#"["other","symbol"]"#), &limits)),
        [r#"invalid_type ["userId"] Invalid input: expected string, received symbol"#]
    );
    assert_eq!(
        at(check_text(Input::json(r#""""#), "idempotencyKey", 1, 128)),
        [r#"too_small ["idempotencyKey"] Too small: expected string to have >=1 characters"#]
    );
}

#[test]
fn depth_and_length_cost_no_stack() {
    let deep = format!(r#"{{"metadata":{{"a":{}1{}}}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(
        refused::<SessionData>(&deep),
        [r#"too_big ["metadata"] Too big: expected json to have <=64 levels"#]
    );
    let unknown = format!(r#"{{"x":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(refused::<SessionData>(&unknown), [r#"unrecognized_keys [] Unrecognized key: "x""#]);
    let long = format!(r#"{{"title":"{}"}}"#, "x".repeat(10_000_000));
    assert_eq!(
        refused::<SessionData>(&long),
        [r#"too_big ["title"] Too big: expected string to have <=500 characters"#]
    );
}

#[test]
fn every_schema_has_a_name() {
    for name in SchemaName::ALL {
        let (first, rest) = name.type_name().split_at(1);
        assert_eq!(format!("{}{rest}", first.to_lowercase()).parse(), Ok(name));
        assert!(name.type_name().parse::<SchemaName>().is_err());
    }
    assert!("".parse::<SchemaName>().is_err());
}

/// A small generator of numbers (Marsaglia's xorshift), so that a failure repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % sides.max(1)
    }
}

#[test]
fn no_text_at_all_breaks_it_and_what_passes_is_json() {
    const SEEDS: [&str; 4] = [
        r#"{"title":"x","tags":["a","b"],"metadata":{"a":[1,-2.5e3,{"b":null}],"c":"\ud83d\ude00\n"}}"#,
        r#"["{","object",1,{"tags":["[","a"],"title":["undefined"],"metadata":{"x":["date",0,"Date"]}}]"#,
        r#"{"version":1,"expiresAt":["date",null,"Date"],"metadata":["cycle","object"],"state":"active"}"#,
        r#"{"action":"run","inputs":{},"waitsFor":["stp_a"],"result":[[[]]],"attempt":9007199254740993}"#,
    ];
    const PIECES: [&str; 16] = [
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\\ud800", "-", "1e999", "null", "[\"[\"", "\u{1}", "é",
        " ",
    ];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let limits = Limits::default();
    for _ in 0..40_000 {
        let mut text: Vec<char> = SEEDS.get(dice.roll(SEEDS.len())).unwrap_or(&"").chars().collect();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(text.len());
            let piece = PIECES.get(dice.roll(PIECES.len())).unwrap_or(&"");
            let cut = dice.roll(3).min(text.len() - at);
            text.splice(at..at + cut, piece.chars());
        }
        let text: String = text.into_iter().collect();
        for name in SchemaName::ALL {
            for tagged in [false, true] {
                let _ = check(name, Input { text: &text, tagged }, &limits);
            }
        }
        if parse::<SessionData>(Input::json(&text), &limits).is_ok() {
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
        }
    }
}
