//! Writes everything that is generated from the Rust types: JSON Schema files, TypeScript types, the zod
//! module. `generate <root>` writes below `<root>`; `npm run generate` calls it for the project.

mod render;

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    for (path, text) in render::files() {
        let path = root.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}
