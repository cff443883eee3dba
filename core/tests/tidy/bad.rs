//! Each rule, shown something that breaks it.

use crate::rules::{self, Findings, PANICS, SOURCES_OF_CHANCE, UNSAFE};
use crate::source::{Code, File};

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

/// Exactly one finding per name in `expected`, in that order.
fn finds(findings: &Findings, expected: &[&str]) {
    assert_eq!(findings.len(), expected.len(), "{findings:?}");
    for (finding, part) in findings.iter().zip(expected) {
        assert!(finding.contains(part), "{finding:?} does not speak of {part:?}");
    }
}

#[test]
fn code_is_told_from_comments_literals_and_tests() {
    let text = "a(\"x // y\"); // z\nlet c = '\"'; /* one /* two */ */ b::<'l>(r#\"q\"\"#, '\\'', 'é');\n\
                #[cfg(test)]\nmod tests {\n fn f() -> [u8; 2] { g() }\n}\n#[cfg(test)]\nuse h;\ni();";
    let code = Code::of(text);
    assert_eq!((code.bare.len(), code.bare.lines().count()), (text.len(), text.lines().count()));
    for gone in ["x //", "y", "z", "one", "two", "q\"", "é"] {
        assert!(!code.bare.contains(gone), "{gone:?} is left in {:?}", code.bare);
    }
    assert!(code.with_literals.contains("x // y") && !code.with_literals.contains('z'));
    assert!(code.bare.contains("b::<'l>(r#\"") && code.bare.contains("g()"));
    let shipped = Code::shipped(text).bare;
    assert!(!shipped.contains("g()") && !shipped.contains("use h") && shipped.contains("i();"));
}

#[test]
fn imports_against_the_order_are_found() {
    let backend = "use crate::{\n  error::{Error, Result},\n  stores::Stores,\n};\nfn f() { crate::schema::check() }\n\
                   #[cfg(test)]\nmod tests { use crate::stores; }";
    let wrong = rules::imports(&file("core/src/memory/shelf.rs", backend));
    finds(
        &wrong,
        &["memory/shelf.rs:1: `memory` must not use `stores`", "rs:5: `memory` must not use `schema`"],
    );
    finds(&rules::imports(&file("core/src/stores/mod.rs", "use crate::memory::Memory;")), &["`memory`"]);
    finds(&rules::imports(&file("core/src/stores/tree.rs", "use super::super::redis::Keys;")), &["`redis`"]);
    finds(&rules::imports(&file("core/src/stores/tree.rs", "use super::redis_like::Keys;")), &[]);
    finds(&rules::imports(&file("core/src/clock.rs", "use super::txn::Txn;")), &["`txn`"]);
    finds(&rules::imports(&file("core/src/novel.rs", "")), &["no place"]);
}

#[test]
fn long_files_are_found() {
    assert!(rules::length(&file("a.rs", &"x\n".repeat(rules::MAX_LINES))).is_empty());
    finds(&rules::length(&file("a.rs", &"x\n".repeat(rules::MAX_LINES + 1))), &["401 lines"]);
}

#[test]
fn domain_words_are_found() {
    let text =
        "// a session\nlet sessionId = a.iter().chain(b).step_by(2);\nstruct StepCounts; let t = \"chains\";";
    finds(
        &rules::domain_words(&file("a.rs", text)),
        &["2: the domain word `sessionId`", "StepCounts", "chains"],
    );
    finds(&rules::domain_words(&file("a.rs", "let stepping = unchained;")), &[]);
}

#[test]
fn panics_are_found_but_not_in_tests_or_hooks() {
    let text = "fn f() { a.unwrap(); b.unwrap_or(0); c.expect(\"c\"); cursor.expect(b','); panic!(\"\"); }\n\
                #[cfg(test)]\nmod tests { fn g() { a.unwrap() } }\n\
                #[cfg(feature = \"test-hooks\")]\nfn hook() { panic!() }";
    finds(&rules::banned(&file("core/src/a.rs", text), PANICS), &[".unwrap()", ".expect(", "panic!"]);
    finds(
        &rules::banned(&file("a.rs", "fn f() { unreachable!(); todo!(); unimplemented!() }"), PANICS),
        &["unreachable!", "todo!", "unimplemented!"],
    );
}

#[test]
fn clocks_chance_and_unsafe_code_are_found() {
    let text = "let a = SystemTime::now(); let b = std::time::Instant::now(); getrandom::fill(&mut c); unsafe { d() }";
    let found = rules::banned(&file("core/src/a.rs", text), SOURCES_OF_CHANCE);
    finds(&found, &["SystemTime::now", "Instant::now", "getrandom::"]);
    finds(&rules::banned(&file("core/src/clock.rs", "SystemTime::now()"), SOURCES_OF_CHANCE), &[]);
    finds(&rules::banned(&file("core/src/a.rs", text), UNSAFE), &["unsafe"]);
    finds(&rules::banned(&file("core/src/a.rs", "#![forbid(unsafe_code)]"), UNSAFE), &[]);
}

#[test]
fn key_text_and_the_command_keys_are_found() {
    finds(&rules::key_text(&file("a.rs", "format!(\"{prefix}{{{bucket}}}:{name}\")")), &["key text"]);
    finds(&rules::key_text(&file("a.rs", "format!(\"{}v1:\", \"v1:\")")), &["key text"]);
    finds(&rules::no_keys_command(&file("a.rs", "cmd(\"KEYS\") // \"KEYS\"")), &["the command KEYS"]);
    finds(&rules::no_keys_command(&file("a.lua", "call('HGET', KEYS[1])")), &[]);
    finds(&rules::no_keys_command(&file("a.ts", "client.keys('*')")), &["the command KEYS"]);
}

#[test]
fn marks_places_and_registries_are_found() {
    finds(&rules::unfinished(&file("a.md", concat!("TO", "DO: more. METO", "DOS"))), &["mark"]);
    finds(&rules::machine_places(&file("a.md", concat!("see /ho", "me/me/x"))), &["one machine"]);
    let lock = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\nsource = \"git+https://x\"\n\
                \"resolved\": \"https://x\"";
    finds(&rules::lock_file_sources(&file("Cargo.lock", lock)), &["git+", "resolved"]);
}
