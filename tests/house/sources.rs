//! Reads the sources as text: enough of Rust to see which names a file uses, and what is a comment or a literal.

use std::fs;
use std::path::Path;

pub struct Source {
    /// Below `src/`, with `/`.
    pub path: String,
    /// The first part of the path.
    pub unit: String,
    pub text: String,
    /// The text without comments and string literals, line by line as in the file.
    pub code: String,
}

pub fn sources() -> Vec<Source> {
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
pub fn without_comments_and_strings(text: &str) -> String {
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

pub fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// All paths that begin with `root::`, each as its parts after the root; groups are taken apart.
pub fn paths(code: &str, root: &str) -> Vec<Vec<String>> {
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
pub fn expand(text: &str, before: &[String], found: &mut Vec<Vec<String>>) -> usize {
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
pub fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        !code[..at].chars().next_back().is_some_and(is_name)
            && !code[at + word.len()..].chars().next().is_some_and(is_name)
    })
}

pub fn without_tests(code: &str) -> &str {
    let end = code.find("\nmod tests {").and_then(|tests| code[..tests].rfind("\n#[cfg("));
    &code[..end.unwrap_or(code.len())]
}

pub fn fail_if_any(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
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
}
