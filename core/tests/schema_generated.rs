//! What is generated from the Rust types is what is committed.

#[path = "../examples/generate/render.rs"]
mod render;

use std::fs;
use std::path::Path;

#[test]
fn nothing_generated_is_stale() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let stale: Vec<String> = render::files()
        .into_iter()
        .filter(|(path, text)| fs::read_to_string(root.join(path)).ok().as_ref() != Some(text))
        .map(|(path, _)| path)
        .collect();
    assert!(stale.is_empty(), "run `npm run generate`: {stale:?}");
}

#[test]
fn no_other_schema_file_lies_about() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas");
    let known: Vec<String> = render::files().into_iter().map(|(path, _)| path).collect();
    for entry in fs::read_dir(root).unwrap() {
        let path = format!("schemas/{}", entry.unwrap().file_name().to_string_lossy());
        assert!(known.contains(&path), "{path}");
    }
}
