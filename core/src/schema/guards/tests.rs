use super::{GuardKind, Guards};

/// Every issue of `value` under `schema`, as `code path`.
fn found(schema: &str, value: &str) -> Vec<String> {
    let guards = Guards::new(&format!("{{\"session\":{schema}}}")).unwrap();
    let issues = guards.check(GuardKind::Session, value).err().unwrap_or_default();
    issues
        .iter()
        .map(|issue| format!("{} {}", issue.code(), serde_json::to_string(&issue.path).unwrap()))
        .collect()
}

#[test]
fn every_keyword_says_yes_and_no() {
    for (schema, good, bad) in [
        (r#"{"type":"integer"}"#, "1.0", "1.5"),
        (r#"{"type":["string","null"]}"#, "null", "true"),
        (r#"{"enum":[{"a":1,"b":2}]}"#, r#"{"b":2.0,"a":1}"#, r#"{"a":1}"#),
        (r#"{"const":"x"}"#, r#""x""#, r#""y""#),
        (r#"{"minLength":2,"maxLength":3}"#, r#""\ud83d\ude00b""#, r#""\ud83d\ude00""#),
        (r#"{"pattern":"^(?!a)[a-z]+$"}"#, r#""ba""#, r#""ab""#),
        (r#"{"minimum":1,"exclusiveMaximum":3}"#, "2.9", "3"),
        (r#"{"maximum":1,"exclusiveMinimum":0}"#, "1", "0"),
        (r#"{"multipleOf":0.07}"#, "2.03", "2.04"),
        (r#"{"items":{"type":"string"},"minItems":1}"#, r#"["a"]"#, "[]"),
        (r#"{"prefixItems":[{"type":"string"}],"items":false}"#, r#"["a"]"#, r#"["a",1]"#),
        (r#"{"contains":{"const":1},"maxContains":1}"#, "[1,2]", "[1,1]"),
        (r#"{"uniqueItems":true,"maxItems":2}"#, "[1,2]", "[1,1.0]"),
        (r#"{"required":["a"],"maxProperties":1}"#, r#"{"a":1}"#, r#"{"b":1}"#),
        (
            r#"{"patternProperties":{"^x-":{"type":"number"}},"additionalProperties":false}"#,
            r#"{"x-a":1}"#,
            r#"{"y":1}"#,
        ),
        (r#"{"propertyNames":{"maxLength":1},"minProperties":1}"#, r#"{"a":1}"#, r#"{"ab":1}"#),
        (r#"{"dependentRequired":{"a":["b"]}}"#, r#"{"a":1,"b":1}"#, r#"{"a":1}"#),
        (r#"{"dependentSchemas":{"a":{"maxProperties":1}}}"#, r#"{"a":1}"#, r#"{"a":1,"b":1}"#),
        (r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#, "null", "1"),
        (r#"{"oneOf":[{"minimum":1},{"maximum":3}]}"#, "0", "2"),
        (r#"{"allOf":[{"minimum":1},{"maximum":3}]}"#, "2", "4"),
        (r#"{"not":{"type":"null"}}"#, "1", "null"),
        (r#"{"if":{"minimum":5},"then":{"multipleOf":5},"else":{"multipleOf":2}}"#, "10", "3"),
        (r##"{"$defs":{"a/b":{"type":"null"}},"$ref":"#/$defs/a~1b"}"##, "null", "1"),
        (
            r##"{"$defs":{"t":{"$anchor":"tree","items":{"$ref":"#tree"},"type":"array"}},"$ref":"#tree"}"##,
            "[[],[[]]]",
            "[[1]]",
        ),
        ("true", "1", ""),
    ] {
        assert_eq!(found(schema, good), Vec::<String>::new(), "{schema} {good}");
        assert!(bad.is_empty() || !found(schema, bad).is_empty(), "{schema} {bad}");
    }
}

#[test]
fn issues_stand_where_they_belong() {
    let schema = r#"{"type":"object","properties":{"a":{"items":{"type":"string"}}},"required":["b"],
        "additionalProperties":false}"#;
    assert_eq!(
        found(schema, r#"{"a":["x",1],"c":1}"#),
        [
            r#"custom ["metadata","b"]"#,
            r#"invalid_type ["metadata","a",1]"#,
            r#"unrecognized_keys ["metadata"]"#,
        ]
    );
}

#[test]
fn what_is_not_supported_is_refused() {
    for schema in [
        r#"{"unevaluatedProperties":false}"#,
        r#"{"items":[{}]}"#,
        r#"{"$ref":"https://example.com/other"}"#,
        r##"{"$ref":"#/nowhere"}"##,
        r#"{"type":"int"}"#,
        r#"{"pattern":"("}"#,
        r#"{"minimum":"1"}"#,
        "1",
    ] {
        assert!(Guards::new(&format!("{{\"result\":{schema}}}")).is_err(), "{schema}");
    }
    assert!(Guards::new(r#"{"step":{}}"#).is_err());
    assert!(Guards::new("[]").is_err());
}

#[test]
fn a_schema_that_only_refers_to_itself_ends() {
    assert_eq!(found(r##"{"$ref":"#"}"##, "1").len(), 1);
}
