//! Layers point down, names are imported from the file that defines them, and no file depends on itself through others.

use std::collections::{HashMap, HashSet};

use crate::sources::{Source, expand, fail_if_any, is_name, names, paths, sources, without_tests};

/// Every file `src/NAME.rs` and folder `src/NAME/`, with its layer. A unit may use units of lower layers, and those of
/// its own layer that stand before it.
pub const UNITS: [(&str, u8); 29] = [
    ("text", 0),
    ("sort", 0),
    ("limits", 0),
    ("memory", 0),
    ("slab", 0),
    ("key_map", 0),
    ("timers", 0),
    ("json", 0),
    ("base64", 0),
    ("lines", 0),
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
    ("threads", 7),
    ("net", 7),
    ("client", 7),
    ("testing", 7),
    ("cli", 8),
    ("main", 8),
    // Faces: they hand out names of all layers, and no file here imports from them.
    ("guide", 9),
    ("prelude", 9),
    ("lib", 9),
];

pub fn rank(unit: &str) -> Option<(u8, usize)> {
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
pub fn module_of(path: &str) -> String {
    let module = path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
    if module == "lib" { String::new() } else { module }
}

/// The module around one, and nothing for those at the root: `lib.rs` is no parent to name.
pub fn parent_of(module: &str) -> &str {
    module.rsplit_once("::").map_or("", |(parent, _)| parent)
}

fn child(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
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
