//! The rules of the house that a compiler does not check: layers point down, one module names mio, clocks and randomness
//! stay in the drivers, files stay short and do not depend on each other in circles. Reads the sources as text; the failure says what to do.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

/// Every file `src/NAME.rs` and folder `src/NAME/`, with its layer. A unit may use units of lower layers, and those of
/// its own layer that stand before it.
const UNITS: [(&str, u8); 23] = [
    ("limits", 0),
    ("memory", 0),
    ("slab", 0),
    ("timers", 0),
    ("text", 0),
    ("json", 0),
    ("base64", 0),
    ("schema", 0),
    ("http", 1),
    ("sse", 1),
    ("jsonrpc", 1),
    ("access", 2),
    ("protocol", 2),
    ("service", 3),
    ("server", 4),
    ("runtime", 5),
    ("engine", 6),
    ("net", 7),
    ("client", 7),
    ("cli", 8),
    ("main", 8),
    // Faces: they hand out names of all layers, and no file here imports from them.
    ("mcp", 9),
    ("lib", 9),
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

/// What a path in a file leads to.
struct Found {
    /// The path of the file that defines the name, or that is the module.
    file: usize,
    /// The path went through a `pub use` of another file.
    through: Option<usize>,
}

/// The files of `src/` as modules, with what each defines and hands on.
struct House<'s> {
    sources: &'s [Source],
    modules: HashMap<String, usize>,
    defines: Vec<HashSet<String>>,
    /// Names that a file hands on with `pub use`, each with the path that stands there.
    hands_on: Vec<HashMap<String, Vec<String>>>,
}

impl<'s> House<'s> {
    fn new(sources: &'s [Source]) -> House<'s> {
        let modules = sources.iter().enumerate().map(|(at, source)| (module_of(&source.path), at)).collect();
        let defines = sources.iter().map(|source| definitions(&source.code)).collect();
        let hands_on = sources.iter().map(|source| {
            let paths = use_statements(&source.code, true);
            paths.into_iter().map(|path| (path.last().unwrap().clone(), path)).collect()
        });
        House { sources, modules, defines, hands_on: hands_on.collect() }
    }

    /// Follows a path that stands in the file `from`; `None` if it leads out of the crate.
    fn find(&self, from: usize, path: &[String]) -> Option<Found> {
        let here = module_of(&self.sources[from].path);
        let mut rest = path;
        let mut module = match rest.first()?.as_str() {
            "crate" => String::new(),
            "super" => parent_of(&here).to_owned(),
            "self" => here,
            first => match self.modules.contains_key(&child(&here, first)) {
                true => child(&here, first),
                false => return None,
            },
        };
        rest = &rest[1..];
        while let Some(next) =
            rest.first().map(|name| child(&module, name)).filter(|next| self.modules.contains_key(next))
        {
            module = next;
            rest = &rest[1..];
        }
        let file = *self.modules.get(&module)?;
        let Some(name) = rest.first() else { return Some(Found { file, through: None }) };
        match self.hands_on[file].get(name).filter(|_| !self.defines[file].contains(name)) {
            Some(path) => self.find(file, path).map(|found| Found { file: found.file, through: Some(file) }),
            None => Some(Found { file, through: None }),
        }
    }

    /// The files that a file imports from, each with a path that does so. Unit tests may import what they like, and a
    /// child may name its parent.
    fn imports(&self, from: usize) -> HashMap<usize, String> {
        let source = &self.sources[from];
        let mut imports = HashMap::new();
        for path in used_paths(without_tests(&source.code)) {
            if let Some(Found { file, .. }) = self.find(from, &path)
                && file != from
                && module_of(&self.sources[file].path) != parent_of(&module_of(&source.path))
            {
                imports.insert(file, path.join("::"));
            }
        }
        imports
    }
}

/// `engine/state/mod.rs` is `engine::state`; the root of the crate is empty.
fn module_of(path: &str) -> String {
    let module = path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
    if module == "lib" { String::new() } else { module }
}

/// The module around one, and nothing for those at the root: `lib.rs` is no parent to name.
fn parent_of(module: &str) -> &str {
    module.rsplit_once("::").map_or("", |(parent, _)| parent)
}

fn child(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

fn without_tests(code: &str) -> &str {
    let end = code.find("\nmod tests {").and_then(|tests| code[..tests].rfind("\n#[cfg("));
    &code[..end.unwrap_or(code.len())]
}

/// The names of a file's items.
fn definitions(code: &str) -> HashSet<String> {
    let words: Vec<&str> = code.split_whitespace().collect();
    let defining = ["struct", "enum", "trait", "type", "fn", "const", "static", "union", "macro_rules!"];
    let after = words
        .windows(2)
        .filter(|pair| defining.contains(&pair[0].trim_start_matches('(')))
        .map(|pair| pair[1]);
    after.map(|name| name.chars().take_while(|c| is_name(*c)).collect()).collect()
}

/// The paths of all `use` statements: of those with `pub`, which hand names on, or of the others.
fn use_statements(code: &str, public: bool) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let before = &code[..at];
        let begins = before.chars().next_back().is_none_or(char::is_whitespace);
        let before = before.trim_end();
        if begins && public == (before.ends_with("pub") || before.ends_with(')')) {
            expand(&code[at + "use ".len()..], &[], &mut found);
        }
    }
    found
}

/// The paths that a file imports with `use` or writes out; what it only hands on is left out.
fn used_paths(code: &str) -> Vec<Vec<String>> {
    // What a macro of the crate names in the code of others is a public path.
    let code = &code.replace("$crate", " ");
    let handed_on: HashSet<Vec<String>> = use_statements(code, true).into_iter().collect();
    let mut used = use_statements(code, false);
    for root in ["crate", "super", "self"] {
        let found = paths(code, root).into_iter().map(|path| [vec![root.to_owned()], path].concat());
        used.extend(found.filter(|path| !handed_on.contains(path)));
    }
    used
}

fn fail_if_any(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn layers_point_down() {
    let sources = sources();
    let house = House::new(&sources);
    let mut problems = Vec::new();
    for (from, Source { path, unit, code, .. }) in sources.iter().enumerate() {
        let Some((layer, place)) = rank(unit) else {
            problems.push(format!(
                "src/{path} has no layer: add `{unit}` to UNITS in tests/house/layers.rs, above what will use it"
            ));
            continue;
        };
        let own = module_of(path);
        let mut used: Vec<Vec<String>> =
            paths(code, "crate").into_iter().map(|path| [vec!["crate".to_owned()], path].concat()).collect();
        used.extend(used_paths(without_tests(code)));
        for used in used {
            let Some(Found { file, .. }) = house.find(from, &used) else { continue };
            // A file of the root may name the root's macros; `super` of an inline module is its file.
            if module_of(&sources[file].path).is_empty() {
                continue;
            }
            let target = &sources[file].unit;
            if rank(target).is_some_and(|(_, target_place)| target_place > place)
                && own != module_of(&sources[file].path)
            {
                problems.push(format!(
                    "src/{path} (layer {layer}) uses `{}` of src/{}: move what both need down, or pass it in as an argument",
                    used.join("::"),
                    sources[file].path
                ));
            }
        }
        if names(code, "super::super") {
            problems.push(format!("src/{path}: write `crate::…` instead of `super::super`"));
        }
    }
    problems.sort();
    problems.dedup();
    fail_if_any(problems);
}

/// Inside the crate a name is imported from the module that defines it: so the text shows what depends on what.
#[test]
fn names_come_from_where_they_are_defined() {
    let sources = sources();
    let house = House::new(&sources);
    let mut problems = Vec::new();
    for (from, source) in sources.iter().enumerate() {
        for used in used_paths(without_tests(&source.code)) {
            if let Some(Found { file, through: Some(through) }) = house.find(from, &used) {
                problems.push(format!(
                    "src/{} takes `{}` from src/{}: take it from src/{}, which defines it",
                    source.path,
                    used.join("::"),
                    sources[through].path,
                    sources[file].path
                ));
            }
        }
    }
    fail_if_any(problems);
}

/// No file depends on itself through others, in whatever folder they are.
#[test]
fn files_do_not_form_circles() {
    let sources = sources();
    let house = House::new(&sources);
    let imports: Vec<HashMap<usize, String>> = (0..sources.len()).map(|from| house.imports(from)).collect();
    let mut problems = Vec::new();
    for (from, targets) in imports.iter().enumerate() {
        for (file, path) in targets.iter().filter(|(file, _)| leads_to(&imports, **file, from)) {
            problems.push(format!(
                "src/{} uses `{path}` of src/{}, which depends on src/{0} itself: move what both need into a file below them",
                sources[from].path, sources[*file].path
            ));
        }
    }
    problems.sort();
    fail_if_any(problems);
}

/// Whether the file `from` depends on `to`, through others or by itself.
fn leads_to(imports: &[HashMap<usize, String>], from: usize, to: usize) -> bool {
    let (mut seen, mut next) = (HashSet::new(), vec![from]);
    while let Some(file) = next.pop() {
        if file == to {
            return true;
        }
        if seen.insert(file) {
            next.extend(imports[file].keys());
        }
    }
    false
}

/// A name is followed to the file that defines it, and what only hands it on is no link of a circle.
#[test]
fn circles_are_found_through_re_exports() {
    let source = |path: &str, code: &str| Source {
        path: path.to_owned(),
        unit: path.trim_end_matches(".rs").to_owned(),
        text: String::new(),
        code: code.to_owned(),
    };
    let sources = [
        source("lib.rs", "mod a;\nmod b;\npub mod c;\npub use c::C;"),
        source("a.rs", "use crate::C;\npub(crate) struct A;"),
        source("b.rs", "pub(crate) use crate::a::A;\nmod part;"),
        source("b/part.rs", "use super::A;\nuse crate::b;"),
        source(
            "c.rs",
            "use crate::b::{self, A};\npub struct C;\n\n#[cfg(test)]\nmod tests {\n    use crate::b::part;\n}",
        ),
    ];
    let house = House::new(&sources);
    let imports: Vec<HashMap<usize, String>> = (0..sources.len()).map(|from| house.imports(from)).collect();
    let targets = |file: usize| {
        let mut targets: Vec<&str> = imports[file].keys().map(|file| sources[*file].path.as_str()).collect();
        targets.sort_unstable();
        targets
    };
    assert_eq!([targets(1), targets(2), targets(3)], [vec!["c.rs"], vec![], vec!["a.rs"]]);
    assert_eq!(targets(4), ["a.rs", "b.rs"]);
    assert!(leads_to(&imports, 4, 1) && leads_to(&imports, 1, 4) && !leads_to(&imports, 2, 3));
    let through = house.find(1, &["crate".to_owned(), "C".to_owned()]).unwrap();
    assert_eq!((through.file, through.through), (4, Some(0)));
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
            problems.push(format!("src/{path} is short now: take it out of LONG in tests/house/layers.rs"));
        }
    }
    fail_if_any(problems);
}

/// What is kept for peers is counted by a `Charge`, which returns its bytes when it is dropped: a sum kept by hand is one
/// that some way out of the code forgets.
#[test]
fn held_bytes_are_counted_by_charges() {
    let mut problems = Vec::new();
    for Source { path, code, .. } in sources().iter().filter(|source| source.unit != "memory") {
        for (at, line) in code.lines().enumerate() {
            let sums =
                ["held_bytes +=", "held_bytes -=", "held_bytes = ", "replay_bytes +=", "replay_bytes -="];
            if sums.iter().any(|sum| line.contains(sum)) {
                problems.push(format!("src/{path}:{}: use a Charge of an Account (memory.rs)", at + 1));
            }
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
    for line in text("runtime/jobs.rs").lines().filter(|line| line.starts_with("    pub fn ")) {
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
