//! How long files are, and how much code each layer and each Cargo feature has.
//!
//! ```text
//! cargo test --test house lines -- --nocapture     prints the tables
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use crate::layers::{UNITS, module_of, parent_of, rank};
use crate::sources::{Source, fail_if_any, sources};

/// The most lines of code in one file.
const LINES_MAX: usize = 450;

/// Lines that are neither blank, nor a comment, nor part of the unit tests at the end of a file.
fn code_lines(source: &Source) -> usize {
    let text = source.text.find("\n#[cfg(test)]\nmod tests {").map_or(&*source.text, |at| &source.text[..at]);
    text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

#[test]
fn files_stay_short() {
    let sources = sources();
    let long =
        sources.iter().map(|source| (code_lines(source), source)).filter(|(lines, _)| *lines > LINES_MAX);
    fail_if_any(
        long.map(|(lines, Source { path, .. })| {
            format!("src/{path} has {lines} lines of code: find the second concept in it, and its name")
        })
        .collect(),
    );
}

#[test]
fn lines_of_code_by_layer() {
    let (mut units, mut total) = (BTreeMap::new(), 0);
    for source in &sources() {
        let (layer, place) = rank(&source.unit).unwrap_or((u8::MAX, UNITS.len()));
        // Units in the order of their layers; below each, its folders.
        let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let folder = folder.strip_prefix(&source.unit).unwrap_or_default();
        let row = (layer, place, format!("{}{folder}", source.unit));
        let (files, lines) = units.entry(row).or_insert((0, 0));
        *files += 1;
        *lines += code_lines(source);
        total += code_lines(source);
    }
    println!("layer  files  lines of code");
    for ((layer, _, name), (files, lines)) in &units {
        println!("{layer:>5}  {files:>5}  {lines:>5}  {name}");
    }
    println!("              {total:>5}  in all");
    let gone =
        UNITS.iter().filter(|(unit, _)| !units.keys().any(|(.., name)| name.split('/').next() == Some(unit)));
    fail_if_any(gone.map(|(unit, _)| format!("UNITS names `{unit}`, which is not in src/")).collect());
}

/// The features that `mod` lines name in the condition before them, by the module that follows.
fn conditions(sources: &[Source]) -> HashMap<String, BTreeSet<String>> {
    let mut found = HashMap::new();
    for source in sources {
        let mut features = BTreeSet::new();
        for line in source.text.lines() {
            // What stands in where a feature is left out belongs to the smallest build.
            if line.starts_with("#[cfg(") && !line.starts_with("#[cfg(not(") {
                let named = line.split("feature = \"").skip(1).filter_map(|rest| rest.split('"').next());
                features = named.map(str::to_owned).collect();
            } else if let Some((_, module)) = line.strip_suffix(';').and_then(|line| line.split_once("mod "))
            {
                let parent = module_of(&source.path);
                let module =
                    if parent.is_empty() { module.to_owned() } else { format!("{parent}::{module}") };
                found.insert(module, std::mem::take(&mut features));
            } else {
                features.clear();
            }
        }
    }
    found
}

/// What has to be built for a file: its own condition, or else that of the innermost module around it. The smallest build is `net`
/// alone; `main.rs` is built with `cli`.
fn needed_for(source: &Source, conditions: &HashMap<String, BTreeSet<String>>) -> String {
    if source.unit == "main" {
        return "`cli`".to_owned();
    }
    let mut modules = vec![module_of(&source.path)];
    while let Some(parent) =
        modules.last().map(|module| parent_of(module).to_owned()).filter(|name| !name.is_empty())
    {
        modules.push(parent);
    }
    let mut gated = modules.iter().filter_map(|module| conditions.get(module));
    let named = gated.find(|features| !features.is_empty() && !features.contains("net"));
    named.map_or_else(
        || "the smallest build".to_owned(),
        |features| features.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or "),
    )
}

/// `docs/embedding.md` says how many lines a feature adds, to within a tenth, or fifty lines.
#[test]
fn lines_of_code_by_feature() {
    let sources = sources();
    let conditions = conditions(&sources);
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for source in &sources {
        *lines.entry(needed_for(source, &conditions)).or_default() += code_lines(source);
    }
    println!("lines of code  needed for");
    lines.iter().for_each(|(needed_for, lines)| println!("{lines:>13}  {needed_for}"));
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/embedding.md")).unwrap();
    let stated: HashMap<&str, usize> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.rsplit_once(" | "))
        .filter_map(|(row, lines)| Some((row.split(" | ").next()?, lines.parse().ok()?)))
        .collect();
    let wrong = lines.iter().filter(|(row, lines)| {
        let stated = stated.get(row.as_str()).copied().unwrap_or(0);
        stated.abs_diff(**lines) > 50.max(*lines / 10)
    });
    fail_if_any(
        wrong
            .map(|(row, lines)| {
                format!("docs/embedding.md: the table of features says nothing true of {row}: {lines} lines")
            })
            .collect(),
    );
}
