//! The house rules, each a function from a file to what is wrong in it. `bad.rs` shows that each can fail.

use crate::source::{Code, File, line_of};

/// What a rule says about a place.
pub type Findings = Vec<String>;

fn at(file: &File, text: &str, offset: usize, what: &str) -> String {
    format!("{}:{}: {what}", file.path, line_of(text, offset))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The places where `needle` stands as a whole word (its ends that are word characters touch no other).
fn places<'a>(text: &'a str, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
    let touches =
        |inner: Option<u8>, outer: Option<u8>| inner.is_some_and(is_word) && outer.is_some_and(is_word);
    text.match_indices(needle).map(|(start, _)| start).filter(move |&start| {
        let (before, after) = (text.as_bytes().get(..start), text.as_bytes().get(start + needle.len()..));
        !touches(needle.bytes().next(), before.and_then(|bytes| bytes.last().copied()))
            && !touches(needle.bytes().last(), after.and_then(|bytes| bytes.first().copied()))
    })
}

// ---- length

/// Lines of a hand-written source at the most; around 120 is usual.
pub const MAX_LINES: usize = 400;

pub fn length(file: &File) -> Findings {
    let lines = file.text.lines().count();
    let found = lines > MAX_LINES;
    found
        .then(|| format!("{}: {lines} lines, more than {MAX_LINES}: split it", file.path))
        .into_iter()
        .collect()
}

// ---- imports

/// The ground stands on nothing. `key` is part of it here, because an id carries its partition.
const GROUND: &[&str] = &["run", "id", "clock", "timer", "provenance", "error", "key"];
const KERNEL: &[&str] = &["streaming", "txn", "command", "topic", "near", "backend", "layer"];
const BACKENDS: &[&str] = &["memory", "redis", "layers"];

/// Which families a family may use beside itself; `None`: whatever it needs.
fn allowed(family: &str) -> Result<Option<Vec<&'static str>>, String> {
    let lists: &[&[&str]] = match family {
        _ if GROUND.contains(&family) => &[GROUND],
        "operation" => &[],
        "schema" => &[GROUND],
        // Its machine is used by a layer as well as by what holds breakers.
        "breaker" => &[GROUND, KERNEL],
        "sql" => &[GROUND, &["breaker"]],
        // Kept writes are transactions.
        "journal" => &[GROUND, KERNEL],
        "layers" => &[GROUND, KERNEL, &["breaker", "journal"]],
        _ if KERNEL.contains(&family) || BACKENDS.contains(&family) => &[GROUND, KERNEL],
        "stores" => &[GROUND, KERNEL, &["schema"]],
        // Where everything is put together.
        "lib" | "config" | "storage" | "given" | "perform" => return Ok(None),
        _ => return Err(format!("the family `{family}` has no place in the import rules yet: give it one")),
    };
    Ok(Some(lists.concat()))
}

/// The module path of a file below core/src: `redis/mux/slot.rs` -> `[redis, mux, slot]`.
fn module_path(path: &str) -> Vec<&str> {
    let inside = path.trim_start_matches("core/src/").trim_end_matches(".rs");
    let mut parts: Vec<&str> = inside.split('/').collect();
    if parts.last() == Some(&"mod") {
        parts.pop();
    }
    parts
}

/// The first names of what follows a path's `::`: one name, or each name of a `{...}` group.
fn first_names(rest: &str) -> Vec<&str> {
    let name = |text: &str| text.bytes().take_while(|byte| is_word(*byte)).count();
    let Some(group) = rest.trim_start().strip_prefix('{') else {
        let rest = rest.trim_start();
        return rest.get(..name(rest)).into_iter().collect();
    };
    let (mut names, mut depth, mut fresh) = (Vec::new(), 0, true);
    for (offset, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => break,
            b'}' => depth -= 1,
            b',' if depth == 0 => fresh = true,
            _ if fresh && depth == 0 && is_word(byte) => {
                let rest = group.get(offset..).unwrap_or_default();
                names.extend(rest.get(..name(rest)));
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

pub fn imports(file: &File) -> Findings {
    let path = module_path(&file.path);
    let family = path.first().copied().unwrap_or("lib");
    let may = match allowed(family) {
        Ok(Some(may)) => may,
        Ok(None) => return Vec::new(),
        Err(problem) => return vec![format!("{}: {problem}", file.path)],
    };
    let code = Code::shipped(&file.text).bare;
    let mut used: Vec<(usize, &str)> = Vec::new();
    for start in places(&code, "crate::") {
        let rest = code.get(start + "crate::".len()..).unwrap_or_default();
        used.extend(first_names(rest).into_iter().map(|name| (start, name)));
    }
    for start in places(&code, "super::") {
        let mut rest = code.get(start..).unwrap_or_default();
        let mut ups = 0;
        while let Some(next) = rest.strip_prefix("super::") {
            (rest, ups) = (next, ups + 1);
        }
        // A path that climbs to the crate's root names a family next.
        if ups == path.len() {
            used.extend(first_names(rest).into_iter().map(|name| (start, name)));
        }
    }
    let wrong =
        used.into_iter().filter(|(_, name)| *name != family && *name != "self" && !may.contains(name));
    wrong.map(|(start, name)| at(file, &code, start, &format!("`{family}` must not use `{name}`"))).collect()
}

// ---- words and calls

/// No domain word where only transactions are known. Comments may explain by example.
pub fn domain_words(file: &File) -> Findings {
    let code = Code::shipped(&file.text).with_literals;
    let mut found = Vec::new();
    let mut word_start = None;
    let ends = std::iter::once(b' ');
    for (offset, byte) in code.bytes().chain(ends).enumerate() {
        if is_word(byte) {
            word_start.get_or_insert(offset);
            continue;
        }
        let Some(start) = word_start.take() else { continue };
        let (name, before) =
            (code.get(start..offset).unwrap_or_default(), code.get(..start).unwrap_or_default());
        let of_an_iterator = before.ends_with('.') && ["chain", "step_by"].contains(&name);
        if !of_an_iterator && parts(name).any(|part| DOMAIN.contains(&part.as_str())) {
            found.push(at(file, &code, start, &format!("the domain word `{name}`")));
        }
    }
    found
}

const DOMAIN: [&str; 6] = ["session", "sessions", "chain", "chains", "step", "steps"];

/// The words in a name, in lower case: `StepCounts` and `step_counts` -> step, counts.
fn parts(name: &str) -> impl Iterator<Item = String> + '_ {
    let mut spaced = String::new();
    for char in name.chars() {
        if char.is_uppercase() && !spaced.ends_with(|last: char| last.is_uppercase()) {
            spaced.push('_');
        }
        spaced.push(char);
    }
    let words: Vec<String> = spaced.split('_').map(str::to_lowercase).collect();
    words.into_iter()
}

/// What must not stand in code that ships, with the reason, and the files where it may after all.
pub struct Ban {
    pub needle: &'static str,
    pub reason: &'static str,
    pub except: &'static [&'static str],
}

pub const PANICS: &[Ban] = &[
    Ban { needle: ".unwrap()", reason: "a panic: answer with an error", except: &[] },
    Ban { needle: ".expect(\"", reason: "a panic: answer with an error", except: &[] },
    Ban { needle: "panic!", reason: "a panic: answer with an error", except: &[] },
    Ban { needle: "unreachable!", reason: "a panic: make it impossible by types", except: &[] },
    Ban { needle: "todo!", reason: "unfinished", except: &[] },
    Ban { needle: "unimplemented!", reason: "unfinished", except: &[] },
];

pub const SOURCES_OF_CHANCE: &[Ban] = &[
    Ban { needle: "SystemTime::now", reason: "time comes from Clock alone", except: &["core/src/clock.rs"] },
    Ban { needle: "Instant::now", reason: "time comes from Clock alone", except: &["core/src/clock.rs"] },
    Ban { needle: "getrandom::", reason: "randomness comes from Ids alone", except: &["core/src/id.rs"] },
    Ban { needle: "rand::", reason: "randomness comes from Ids alone", except: &["core/src/id.rs"] },
];

pub const UNSAFE: &[Ban] = &[Ban { needle: "unsafe", reason: "none in the engine", except: &[] }];

/// Looks for banned code; literals count only as far as their quotes.
pub fn banned(file: &File, bans: &[Ban]) -> Findings {
    let code = Code::shipped(&file.text);
    let mut found = Vec::new();
    for ban in bans.iter().filter(|ban| !ban.except.contains(&file.path.as_str())) {
        for start in places(&code.bare, ban.needle) {
            found.push(at(file, &code.bare, start, &format!("`{}`: {}", ban.needle, ban.reason)));
        }
    }
    found
}

// ---- Redis

/// Only `redis/` spells keys: nobody else writes a hash tag or the version of the key format.
pub fn key_text(file: &File) -> Findings {
    let code = Code::shipped(&file.text).with_literals;
    let marks = ["}}:", "\"v1:"];
    let hits = marks.iter().flat_map(|mark| code.match_indices(mark));
    hits.map(|(start, _)| at(file, &code, start, "key text outside redis/")).collect()
}

/// The command that blocks a server while it looks at every key.
pub fn no_keys_command(file: &File) -> Findings {
    let text =
        if file.path.ends_with(".rs") { Code::of(&file.text).with_literals } else { file.text.clone() };
    let quoted =
        ["\"KEYS\"", "'KEYS'", "\"KEYS ", "'KEYS ", "call('keys'", "call(\"keys\"", ".keys('*", ".keys(\"*"];
    let hits = quoted.iter().flat_map(|needle| text.match_indices(needle));
    hits.map(|(start, _)| at(file, &text, start, "the command KEYS")).collect()
}

// ---- every file

// Written apart, so that this file does not find itself.
const UNFINISHED: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
const PLACES: [&str; 9] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("C:", "\\Users"),
    concat!("registry.", "npmjs.org"),
    concat!("registry.", "yarnpkg"),
    concat!("npm", "mirror"),
    concat!("replace", "-with"),
];

/// No promise for later: what is open stands in the tracker, not in the code.
pub fn unfinished(file: &File) -> Findings {
    let hits = UNFINISHED.iter().flat_map(|mark| places(&file.text, mark).map(move |start| (start, *mark)));
    hits.map(|(start, mark)| at(file, &file.text, start, &format!("the mark {mark}"))).collect()
}

/// Nothing that is true of one machine only: no home folder, no registry's address.
pub fn machine_places(file: &File) -> Findings {
    let hits = PLACES.iter().flat_map(|place| file.text.match_indices(place));
    hits.map(|(start, place)| at(file, &file.text, start, &format!("`{place}` belongs to one machine")))
        .collect()
}

/// A lock file names packages by version and hash; where they were fetched from is the machine's business.
pub fn lock_file_sources(file: &File) -> Findings {
    let index = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let odd = |line: &str| {
        let line = line.trim_start();
        line.starts_with("\"resolved\": \"http") || (line.starts_with("source = ") && line != index)
    };
    let lines = file.text.lines().enumerate().filter(|(_, line)| odd(line));
    lines.map(|(number, line)| format!("{}:{}: {}", file.path, number + 1, line.trim())).collect()
}
