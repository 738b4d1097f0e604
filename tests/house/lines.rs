//! How long files are, and how much code each layer has.
//!
//! ```text
//! cargo test --test house lines -- --nocapture     prints the table
//! ```

use std::collections::BTreeMap;

use crate::layers::{UNITS, rank};
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
