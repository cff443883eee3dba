//! Reading sources: the files of the checkout, and their text without comments, literals and tests.

use std::path::{Path, PathBuf};

/// A file of the checkout: its path from the root, with forward slashes, and its text.
pub struct File {
    pub path: String,
    pub text: String,
}

/// What a build, a package manager or git leaves behind is nobody's source.
const FOREIGN: [&str; 6] = ["target", "node_modules", "dist", "coverage", ".git", ".cache"];

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every text file below `folder` (a path from the root; empty: all), in a stable order.
pub fn files(folder: &str) -> Vec<File> {
    let mut found = Vec::new();
    collect(&root().join(folder), folder, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "no files below {folder:?}: the walk is broken");
    found
}

fn collect(place: &Path, path: &str, found: &mut Vec<File>) {
    for entry in std::fs::read_dir(place).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        if entry.file_type().unwrap().is_dir() {
            if !FOREIGN.contains(&name.as_str()) {
                collect(&entry.path(), &path, found);
            }
        } else if let Ok(text) = std::fs::read_to_string(entry.path()) {
            // What is not UTF-8 is no text: a binary, an image.
            found.push(File { path, text });
        }
    }
}

/// Rust text made easy to search. Both forms keep every byte's place, so that line numbers stay true.
pub struct Code {
    /// Without comments.
    pub with_literals: String,
    /// Without comments and without what stands in string and character literals.
    pub bare: String,
}

impl Code {
    /// All code of a file.
    pub fn of(text: &str) -> Self {
        let mut blanker =
            Blanker { text: text.as_bytes(), at: 0, comments: Vec::new(), literals: Vec::new() };
        blanker.run();
        let with_literals = blank(text, &blanker.comments);
        let bare = blank(&with_literals, &blanker.literals);
        Self { with_literals, bare }
    }

    /// The code that ships: without items under `#[cfg(test)]` and under a test-only feature.
    pub fn shipped(text: &str) -> Self {
        let Self { with_literals, bare } = Self::of(text);
        let mut cut = Vec::new();
        for gate in ["#[cfg(test)]", "#[cfg(feature = \"test-hooks\")]"] {
            for (start, _) in with_literals.match_indices(gate) {
                cut.push((start, end_of_item(&bare, start + gate.len())));
            }
        }
        Self { with_literals: blank(&with_literals, &cut), bare: blank(&bare, &cut) }
    }
}

/// The number of the line in which `offset` stands.
pub fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn blank(text: &str, ranges: &[(usize, usize)]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for &(start, end) in ranges {
        for byte in bytes.iter_mut().take(end).skip(start).filter(|byte| **byte != b'\n') {
            *byte = b' ';
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Where the item after an attribute ends: at its `;`, or with the brace that closes it.
fn end_of_item(bare: &str, from: usize) -> usize {
    let (mut depth, mut braces) = (0i32, 0i32);
    for (at, byte) in bare.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' => braces += 1,
            b'}' if braces <= 1 => return at + 1,
            b'}' => braces -= 1,
            b';' | b',' if depth == 0 && braces == 0 => return at + 1,
            _ => {}
        }
    }
    bare.len()
}

/// Finds comments and the insides of literals.
struct Blanker<'a> {
    text: &'a [u8],
    at: usize,
    comments: Vec<(usize, usize)>,
    literals: Vec<(usize, usize)>,
}

impl Blanker<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn run(&mut self) {
        while self.at < self.text.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'/') => self.line_comment(),
                (b'/', b'*') => self.block_comment(),
                (b'"', _) => self.string(),
                (b'r', b'"' | b'#') if !self.after_word() => self.raw_string(),
                (b'\'', _) => self.character(),
                _ => self.at += 1,
            }
        }
    }

    /// Whether a word runs into this place; the `b` of `br"..."` is none.
    fn after_word(&self) -> bool {
        let before =
            |n: usize| self.at.checked_sub(n).and_then(|at| self.text.get(at)).copied().unwrap_or(b' ');
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        word(before(1)) && (before(1) != b'b' || word(before(2)))
    }

    fn line_comment(&mut self) {
        let start = self.at;
        while self.at < self.text.len() && self.peek(0) != b'\n' {
            self.at += 1;
        }
        self.comments.push((start, self.at));
    }

    fn block_comment(&mut self) {
        let (start, mut depth) = (self.at, 0);
        loop {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => (depth, self.at) = (depth + 1, self.at + 2),
                (b'*', b'/') => (depth, self.at) = (depth - 1, self.at + 2),
                _ => self.at += 1,
            }
            if depth == 0 || self.at >= self.text.len() {
                break;
            }
        }
        self.comments.push((start, self.at.min(self.text.len())));
    }

    fn string(&mut self) {
        let start = self.at + 1;
        self.at = start;
        while self.at < self.text.len() && self.peek(0) != b'"' {
            self.at += if self.peek(0) == b'\\' { 2 } else { 1 };
        }
        self.literals.push((start, self.at.min(self.text.len())));
        self.at += 1;
    }

    fn raw_string(&mut self) {
        let mut hashes = 0;
        while self.peek(1 + hashes) == b'#' {
            hashes += 1;
        }
        if self.peek(1 + hashes) != b'"' {
            self.at += 1; // r#type, a raw name
            return;
        }
        let start = self.at + hashes + 2;
        let end = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
        let rest = self.text.get(start..).unwrap_or_default();
        let len = rest.windows(end.len()).position(|part| part == end).unwrap_or(rest.len());
        self.literals.push((start, start + len));
        self.at = start + len + end.len();
    }

    /// A character literal, or the tick of a lifetime.
    fn character(&mut self) {
        let text = std::str::from_utf8(self.text.get(self.at + 1..).unwrap_or_default()).unwrap_or_default();
        let len = match text.chars().next() {
            Some('\\') => text.get(2..).and_then(|rest| rest.find('\'')).map_or(0, |at| at + 2),
            Some(first) if text.get(first.len_utf8()..).is_some_and(|rest| rest.starts_with('\'')) => {
                first.len_utf8()
            }
            _ => 0,
        };
        if len > 0 {
            self.literals.push((self.at + 1, self.at + 1 + len));
            self.at += len + 1;
        }
        self.at += 1;
    }
}
