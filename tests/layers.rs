//! The rules of the house that a compiler does not check: layers point down, one module names mio, clocks and randomness
//! stay in the drivers, files stay short. Reads the sources as text; the failure says what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Every file `src/NAME.rs` and folder `src/NAME/`, with its layer. A unit may use units of lower layers, and those of
/// its own layer that stand before it, so there are no circles.
const UNITS: [(&str, u8); 15] = [
    ("limits", 0),
    ("buffer", 0),
    ("slab", 0),
    ("timers", 0),
    ("json", 0),
    ("schema", 0),
    ("http", 1),
    ("sse", 1),
    ("jsonrpc", 1),
    ("mcp", 2),
    ("engine", 3),
    ("net", 4),
    ("client", 4),
    ("cli", 5),
    ("main", 6),
];

/// What may use sockets, threads, clocks and randomness.
const DRIVERS: [&str; 4] = ["net", "client", "cli", "main"];

/// Lines of code in a file, its tests at the end left out.
const LINES_MAX: usize = 600;

/// Files that are longer all the same, with what they may have. This list is to get shorter.
const LONG: [(&str, usize); 0] = [];

struct Source {
    /// Below `src/`, with `/`.
    path: String,
    /// The first part of the path.
    unit: String,
    text: String,
    /// The text without comments and string literals, line by line as in the file.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
                let unit = path.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
                let code = without_comments_and_strings(&text);
                found.push(Source { path, unit, text, code });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 20, "src/ was not read");
    found
}

/// Blanks comments and literals: names in them are no uses.
fn without_comments_and_strings(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let end = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(end) = raw_string(text, at) {
            end
        } else if rest.starts_with('"') {
            string(rest)
        } else if let Some(end) = character(rest) {
            end
        } else {
            let next = rest.chars().next().unwrap();
            out.push(next);
            at += next.len_utf8();
            continue;
        };
        out.extend(rest[..end].chars().filter(|c| *c == '\n'));
        out.push(' ');
        at += end;
    }
    out
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of `r"…"`, `r#"…"#` and so on, if one begins here.
fn raw_string(text: &str, at: usize) -> Option<usize> {
    let rest = text[at..].strip_prefix('r')?;
    if text[..at].chars().next_back().is_some_and(|c| is_name(c) && c != 'b') {
        return None;
    }
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let body = rest[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(1 + hashes + 1 + body.find(&close)? + close.len())
}

/// The length of a character literal, if one begins here; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    if let Some(escape) = inner.strip_prefix('\\') {
        return Some(2 + escape.char_indices().skip(1).find(|(_, c)| *c == '\'')?.0 + 1);
    }
    let first = inner.chars().next()?;
    inner[first.len_utf8()..].starts_with('\'').then_some(first.len_utf8() + 2)
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// All paths that begin with `root::`, each as its parts after the root; groups are taken apart.
fn paths(code: &str, root: &str) -> Vec<Vec<String>> {
    let start = format!("{root}::");
    let mut found = Vec::new();
    for (at, _) in code.match_indices(&start) {
        if !code[..at].chars().next_back().is_some_and(|c| is_name(c) || c == ':') {
            expand(&code[at + start.len()..], &[], &mut found);
        }
    }
    found
}

/// Reads one path, or a group of them; returns the length.
fn expand(text: &str, before: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut parts = before.to_vec();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        if text[at..].starts_with('{') {
            at += 1;
            loop {
                at += expand(&text[at..], &parts, found);
                at += text[at..].find([',', '}', ';']).map_or(text[at..].len(), |to| to);
                if !text[at..].starts_with(',') {
                    return at + 1;
                }
                at += 1;
                if text[at..].trim_start().starts_with('}') {
                    return at + text[at..].find('}').unwrap() + 1;
                }
            }
        }
        let len = text[at..].find(|c| !is_name(c)).unwrap_or(text[at..].len());
        if len == 0 {
            break;
        }
        parts.push(text[at..at + len].to_owned());
        at += len;
        if !text[at..].starts_with("::") {
            break;
        }
        at += 2;
    }
    if parts.len() > before.len() {
        found.push(parts);
    }
    at
}

/// `word` as a whole name, not part of a longer one.
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        !code[..at].chars().next_back().is_some_and(is_name)
            && !code[at + word.len()..].chars().next().is_some_and(is_name)
    })
}

fn rank(unit: &str) -> Option<(u8, usize)> {
    UNITS.iter().position(|(name, _)| *name == unit).map(|at| (UNITS[at].1, at))
}

/// From names that `lib.rs` exports at the root to the units they come from.
fn exports(sources: &[Source]) -> HashMap<String, String> {
    let lib = sources.iter().find(|source| source.path == "lib.rs").unwrap();
    let mut exports = HashMap::new();
    for (unit, _) in UNITS {
        for path in paths(&lib.code, unit) {
            exports.insert(path.last().unwrap().clone(), unit.to_owned());
        }
    }
    assert_eq!(exports.get("Limits").map(String::as_str), Some("limits"), "lib.rs was not understood");
    exports
}

fn fail_if_any(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn layers_point_down() {
    let sources = sources();
    let exports = exports(&sources);
    let mut problems = Vec::new();
    for Source { path, unit, code, .. } in &sources {
        if unit == "lib" {
            continue;
        }
        let Some((layer, place)) = rank(unit) else {
            problems.push(format!(
                "src/{path} has no layer: add `{unit}` to UNITS in tests/layers.rs, above what will use it"
            ));
            continue;
        };
        let mut used = paths(code, "crate");
        if !path.contains('/') {
            // In a file of the root `super` is the root, except in its inline modules, which use names of their file.
            used.extend(paths(code, "super").into_iter().filter(|path| rank(&path[0]).is_some()));
        }
        for used in used {
            let target = match rank(&used[0]) {
                Some(_) => used[0].clone(),
                None => match exports.get(&used[0]) {
                    Some(unit) => unit.clone(),
                    None => {
                        problems
                            .push(format!("src/{path}: `crate::{}` is of no known unit", used.join("::")));
                        continue;
                    }
                },
            };
            let (target_layer, target_place) = rank(&target).unwrap();
            if target_place > place {
                problems.push(format!(
                    "src/{path} (layer {layer}) uses `crate::{}` of `{target}` (layer {target_layer}): move what both \
                     need down, or pass it in as an argument",
                    used.join("::")
                ));
            }
        }
        if names(code, "super::super") {
            problems.push(format!("src/{path}: write `crate::…` instead of `super::super`"));
        }
    }
    fail_if_any(problems);
}

#[test]
fn only_net_names_mio() {
    let sources = sources();
    let mut naming = sources.iter().filter(|source| names(&source.code, "mio")).peekable();
    assert!(naming.peek().is_some(), "src/net.rs was not understood");
    let problems = naming.filter(|source| source.unit != "net").map(|source| {
        format!(
            "src/{} names mio: put what needs it behind a function in src/net.rs or src/net/",
            source.path
        )
    });
    fail_if_any(problems.collect());
}

#[test]
fn clocks_randomness_and_the_system_stay_in_the_drivers() {
    let mut problems = Vec::new();
    for Source { path, unit, code, .. } in &sources() {
        if DRIVERS.contains(&unit.as_str()) {
            continue;
        }
        for word in ["Instant", "SystemTime", "new_v4", "new_v7", "now_v7", "getrandom", "RandomState"] {
            if names(code, word) {
                problems.push(format!(
                    "src/{path} names `{word}`: take the time as a `Now` argument, and random bits from the injected source"
                ));
            }
        }
        for used in paths(code, "std") {
            let used: Vec<&str> = used.iter().map(String::as_str).collect();
            let refused = match used[..] {
                ["net", name, ..] => !["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr"].contains(&name),
                ["net" | "thread" | "fs" | "process" | "env" | "os", ..] => true,
                _ => false,
            };
            if refused {
                problems.push(format!("src/{path} uses `std::{}`: only drivers may", used.join("::")));
            }
        }
    }
    fail_if_any(problems);
}

#[test]
fn unsafe_code_is_forbidden() {
    for Source { path, text, .. } in &sources() {
        if ["lib.rs", "main.rs"].contains(&path.as_str()) {
            assert!(text.contains("\n#![forbid(unsafe_code)]\n"), "src/{path} must forbid unsafe code");
        }
    }
}

/// The attributes of `code` that switch a lint off, each with the line it stands in and its text in `text`, which has
/// the same lines.
fn exceptions<'a>(text: &'a str, code: &str) -> Vec<(usize, &'a str)> {
    let begins = ["#[allow(", "#![allow(", "#[expect(", "#![expect(", "#[cfg_attr(", "#![cfg_attr("];
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in code.lines().enumerate() {
        if let Some(column) = begins.iter().filter_map(|begin| line.find(begin)).min() {
            let begin = lines[at].find(line[column..].split('(').next().unwrap()).unwrap();
            let start = lines[..at].iter().map(|line| line.len() + 1).sum::<usize>() + begin;
            let attribute = &text[start..start + text[start..].find(")]").unwrap()];
            found.extend(
                (attribute.contains("allow(") || attribute.contains("expect("))
                    .then_some((at + 1, attribute)),
            );
        }
    }
    found
}

/// What a lint says is an error in CI, so whoever switches one off says why: for those that keep panics out, why it
/// cannot happen. Tests, at the end of a file, may panic.
#[test]
fn exceptions_from_lints_have_a_reason() {
    let mut problems = Vec::new();
    for Source { path, text, code, .. } in &sources() {
        let end = text.find("\nmod tests {").and_then(|tests| text[..tests].rfind("#[cfg(test)]"));
        let lines = text[..end.unwrap_or(text.len())].lines().count();
        for (line, attribute) in exceptions(text, code).into_iter().filter(|(line, _)| *line <= lines) {
            let reason = attribute.split_once("reason = \"").and_then(|(_, reason)| reason.split('"').next());
            if reason.is_none_or(|reason| reason.len() < 10) {
                problems.push(format!("src/{path}:{line}: `{attribute}` has no `reason = \"…\"`"));
            }
        }
    }
    fail_if_any(problems);
}

/// SECURITY.md is about limits and tests that exist, and leaves out no limit.
#[test]
fn the_threat_model_names_what_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let mut code: String = sources().iter().map(|source| source.code.as_str()).collect();
    let mut folders = vec![root.join("tests")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.extension() {
                None if path.is_dir() && !path.ends_with("interop") => folders.push(path),
                Some(extension) if extension == "rs" => code += &fs::read_to_string(&path).unwrap(),
                _ => {}
            }
        }
    }
    let quoted: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    let mut problems: Vec<String> = mcp_rill::Limits::NAMES
        .iter()
        .filter(|name| !quoted.contains(*name))
        .map(|name| format!("SECURITY.md says nothing about the limit `{name}`"))
        .collect();
    for name in quoted.iter().filter(|text| text.contains('_') && text.chars().all(is_name)) {
        let file = root.join("tests/wire").join(name).exists();
        if !file && !mcp_rill::Limits::NAMES.contains(name) && !names(&code, &format!("fn {name}")) {
            problems.push(format!("SECURITY.md names `{name}`, which is neither a limit nor a test"));
        }
    }
    fail_if_any(problems);
}

#[test]
fn files_stay_short() {
    let mut problems = Vec::new();
    for Source { path, text, .. } in &sources() {
        let lines =
            text.find("\n#[cfg(test)]\nmod tests {").map_or(&**text, |end| &text[..end]).lines().count();
        let max = LONG.iter().find(|(long, _)| long == path).map(|(_, max)| *max);
        if lines > max.unwrap_or(LINES_MAX) {
            problems
                .push(format!("src/{path} has {lines} lines: find the second concept in it, and its name"));
        }
        if max.is_some() && lines <= LINES_MAX {
            problems.push(format!("src/{path} is short now: take it out of LONG in tests/layers.rs"));
        }
    }
    fail_if_any(problems);
}

/// The reader of paths is code too: what it must find, and what it must not take for a use.
#[test]
fn the_reader_of_sources_is_right() {
    let code = without_comments_and_strings(
        "use crate::{a::{B, c::D}, E};\n// crate::no\nlet s = \"crate::no\"; let r = r#\"crate::no\"#;\n\
         fn f<'a>(x: &'a crate::g::H, q: char) { q == '\"'; $crate::i!(); my_crate::no(); crate::j::k() }",
    );
    let found: Vec<String> = paths(&code, "crate").iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["a::B", "a::c::D", "E", "g::H", "i", "j::k"]);
    assert!(names("use mio::Poll;", "mio") && !names("use mio_like::Poll; let amio = 1;", "mio"));
    let found: Vec<String> = paths("use std::{net::{TcpStream, IpAddr,}, io,};", "std")
        .iter()
        .map(|path| path.join("::"))
        .collect();
    assert_eq!(found, ["net::TcpStream", "net::IpAddr", "io"]);
    let text = "/* x */ #[allow(a)] #[cfg_attr(x, y)]\n// #[allow(b)]\n#![expect(\n    c,\n    reason = \"d\"\n)]\nlet e = \"#[allow(f)]\";";
    let found = exceptions(text, &without_comments_and_strings(text));
    assert_eq!(found, [(1, "#[allow(a"), (3, "#![expect(\n    c,\n    reason = \"d\"\n")]);
}

/// Who writes a driver reads the contract and nothing else.
#[test]
fn the_driving_contract_names_every_duty_of_a_driver() {
    let sources = sources();
    let text = |path: &str| &sources.iter().find(|source| source.path == path).unwrap().text;
    let contract = text("engine/mod.rs").split("//! # Driving contract").nth(1).unwrap();
    let contract = contract.split("//! ```").next().unwrap();
    let mut duties = vec!["Engine::jobs".to_owned(), "Engine::outgoing".into(), "Engine::is_finished".into()];
    for source in sources.iter().filter(|source| source.unit == "engine") {
        for line in source.text.lines().filter(|line| line.starts_with("    pub fn ")) {
            let (name, arguments) = line["    pub fn ".len()..].split_once('(').unwrap();
            if arguments.starts_with("&mut self") {
                duties.push(format!("Engine::{name}"));
            }
        }
    }
    for line in text("mcp/jobs.rs").lines().filter(|line| line.starts_with("    pub fn ")) {
        duties.push(format!("Jobs::{}", line["    pub fn ".len()..].split_once('(').unwrap().0));
    }
    let actions =
        text("engine/mod.rs").split("pub enum Action {").nth(1).unwrap().split("\n}").next().unwrap();
    let variants = actions.lines().map(str::trim).filter(|line| line.starts_with(char::is_uppercase));
    duties.extend(variants.map(|line| format!("Action::{}", line.split(['(', ',']).next().unwrap())));
    assert!(duties.len() > 18, "{duties:?}");
    let missing = duties.iter().filter(|duty| {
        !contract.contains(&format!("]({duty})")) && !contract.contains(&format!("[`{duty}`]"))
    });
    fail_if_any(
        missing
            .map(|duty| format!("`# Driving contract` in src/engine/mod.rs does not name {duty}"))
            .collect(),
    );
}
