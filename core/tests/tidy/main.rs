//! The house rules as tests: what imports what, how long a file may be, what must not be written where.
//!
//! Each test names every violation, not the first. The rules are plain functions (`rules.rs`); `bad.rs`
//! feeds each a snippet that breaks it, so that a rule that finds nothing is known to be able to.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bad;
mod rules;
mod source;

use rules::{Findings, PANICS, SOURCES_OF_CHANCE, UNSAFE};
use source::{File, files};

/// Applies a rule to every file below the folders that `wanted` picks.
fn check(folders: &[&str], wanted: impl Fn(&File) -> bool, rule: impl Fn(&File) -> Findings) {
    let all: Vec<File> = folders.iter().flat_map(|folder| files(folder)).filter(&wanted).collect();
    assert!(!all.is_empty(), "no file to look at below {folders:?}");
    let found: Vec<String> = all.iter().flat_map(rule).collect();
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
}

/// Rust that ships. A file of tests only, beside the module it tests, is called `tests.rs`.
fn is_rust(file: &File) -> bool {
    file.path.ends_with(".rs") && !file.path.ends_with("/tests.rs")
}

fn is_in(file: &File, folders: &[&str]) -> bool {
    folders.iter().any(|folder| file.path.starts_with(folder))
}

fn is_generated(file: &File) -> bool {
    ["native.js", "native.d.ts", "Cargo.lock"].contains(&file.path.as_str())
        || file.path.ends_with("package-lock.json")
        || is_in(file, &["js/generated/", "js/zod/", "schemas/"])
}

#[test]
fn families_import_only_what_stands_below_them() {
    check(&["core/src"], is_rust, rules::imports);
}

#[test]
fn hand_written_files_are_short() {
    let source = |file: &File| [".rs", ".ts", ".mjs", ".js"].iter().any(|end| file.path.ends_with(end));
    check(&[""], |file| source(file) && !is_generated(file), rules::length);
}

#[test]
fn the_node_face_is_thin() {
    let lines: usize = files("src").iter().map(|file| file.text.lines().count()).sum();
    assert!(lines < 1500, "src/ has {lines} lines, 1,500 or more: what decides belongs to core");
}

#[test]
fn nothing_panics() {
    check(&["core/src", "src"], is_rust, |file| rules::banned(file, PANICS));
}

#[test]
fn time_and_chance_have_one_source() {
    check(&["core/src", "src"], is_rust, |file| rules::banned(file, SOURCES_OF_CHANCE));
}

#[test]
fn the_engine_has_no_unsafe_code() {
    check(&["core/src"], is_rust, |file| rules::banned(file, UNSAFE));
}

#[test]
fn backends_know_no_domain_word() {
    let blind = [
        "core/src/memory",
        "core/src/redis",
        "core/src/layers",
        "core/src/journal",
        "core/src/txn.rs",
        "core/src/backend.rs",
        "core/src/layer.rs",
        "core/src/key.rs",
        "core/src/run.rs",
    ];
    check(&["core/src"], |file| is_rust(file) && is_in(file, &blind), rules::domain_words);
}

#[test]
fn only_redis_writes_key_text() {
    check(&["core/src", "src"], |file| is_rust(file) && !is_in(file, &["core/src/redis/"]), rules::key_text);
}

#[test]
fn nobody_sends_the_command_keys() {
    let sources = |file: &File| !is_in(file, &["core/tests/tidy/"]) && !is_generated(file);
    let code = |file: &File| [".rs", ".lua", ".ts", ".mjs", ".js"].iter().any(|end| file.path.ends_with(end));
    check(
        &["core", "src", "js", "examples", "benchmark"],
        |file| sources(file) && code(file),
        rules::no_keys_command,
    );
}

#[test]
fn nothing_is_left_for_later() {
    check(&[""], |file| !is_generated(file), rules::unfinished);
}

#[test]
fn nothing_belongs_to_one_machine() {
    check(&[""], |_| true, rules::machine_places);
}

#[test]
fn lock_files_name_no_registry_of_their_own() {
    let lock = |file: &File| file.path.ends_with("Cargo.lock") || file.path.ends_with("package-lock.json");
    check(&[""], lock, rules::lock_file_sources);
}
