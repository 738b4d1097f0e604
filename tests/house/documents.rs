//! The documents name limits, tests, files and folders that exist.

use std::fs;
use std::path::Path;

use crate::sources::{fail_if_any, is_name, names, sources};

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
    // The rows of the table: the limits in the first cell, the tests in the last one.
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('|').collect()).collect();
    let rows = || rows.iter().filter(|cells| cells.len() == 7);
    let has = |cell: &str, name: &str| cell.split('`').any(|quoted| quoted == name);
    let mut problems: Vec<String> = mcp_rill::Limits::NAMES
        .iter()
        .filter(|name| rows().filter(|cells| has(cells[1], name)).count() != 1)
        .map(|name| format!("SECURITY.md has no row, or several, for the limit `{name}`"))
        .collect();
    for cells in rows().filter(|cells| cells[1].contains('`')) {
        let is_test = |name: &str| name.contains('_') && names(&code, &format!("fn {name}"));
        if !cells[5].split('`').any(is_test)
            || cells.iter().skip(1).take(5).any(|cell| cell.trim().is_empty())
        {
            problems.push(format!("SECURITY.md has an empty cell, or no test, in the row of{}", cells[1]));
        }
    }
    for name in quoted.iter().filter(|text| text.contains('_') && text.chars().all(is_name)) {
        let file = root.join("tests/wire").join(name).exists();
        if !file && !mcp_rill::Limits::NAMES.contains(name) && !names(&code, &format!("fn {name}")) {
            problems.push(format!("SECURITY.md names `{name}`, which is neither a limit nor a test"));
        }
    }
    fail_if_any(problems);
}

/// The documents, and the folders from which they name paths.
fn documents() -> Vec<(String, &'static str)> {
    let mut documents: Vec<(String, &str)> = [
        ("README.md", ""),
        ("SECURITY.md", ""),
        ("CONTRIBUTING.md", ""),
        ("tests/README.md", "tests"),
        ("tests/interop/README.md", "tests/interop"),
        ("fuzz/README.md", "fuzz"),
    ]
    .map(|(document, folder)| (document.to_owned(), folder))
    .into();
    let pages = names_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs"));
    documents.extend(pages.into_iter().map(|page| (format!("docs/{page}"), "docs")));
    documents
}

/// Paths in a document: the targets of links, and words in backquotes or blocks of code that begin with a file or folder of
/// the repository's root. A `*` or `NAME` stands for any name.
fn paths_in(text: &str, roots: &[String]) -> Vec<String> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    let mut found: Vec<String> =
        links.filter(|link| !link.is_empty() && !link.contains("://")).map(str::to_owned).collect();
    for code in text.split('`').skip(1).step_by(2).chain(text.split("```").skip(1).step_by(2)) {
        let words = code.split(|c: char| c.is_whitespace() || "\"'(),;:|".contains(c));
        found.extend(
            words
                .filter(|word| {
                    let first = word.split('/').next().unwrap();
                    roots.iter().any(|root| root == first) && (word.contains('/') || word.contains('.'))
                })
                .map(str::to_owned),
        );
    }
    found
}

/// True if the path, or what its `*` stands for, exists in the folder.
fn exists(folder: &Path, path: &str) -> bool {
    let path = path.trim_end_matches(['/', '.']).replace("NAME", "*");
    match path.split_once('*') {
        Some((before, _)) => {
            let (inside, prefix) = before.rsplit_once('/').unwrap_or(("", before));
            names_in(&folder.join(inside)).iter().any(|name| name.starts_with(prefix))
        }
        None => folder.join(&path).exists(),
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn documents_name_paths_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let roots: Vec<String> = names_in(root).into_iter().filter(|name| name != "target").collect();
    let (mut problems, mut count) = (Vec::new(), 0);
    for (document, folder) in documents() {
        let text = fs::read_to_string(root.join(&document)).unwrap();
        for path in paths_in(&text, &roots) {
            count += 1;
            // A link is relative to its document, a path in code may be relative to the root too.
            if !exists(&root.join(folder), &path) && !exists(root, &path) {
                problems.push(format!("{document} names `{path}`, which does not exist"));
            }
        }
    }
    assert!(count > 40, "only {count} paths were found: the documents were not read");
    fail_if_any(problems);
}

/// The tables of faults name tests that there are.
#[test]
fn the_tables_of_faults_name_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut problems = Vec::new();
    for (page, folder) in [("docs/bridge.md", "tests/bridge"), ("docs/connect.md", "tests/connect")] {
        let files = names_in(&root.join(folder));
        let code: String =
            files.iter().map(|file| fs::read_to_string(root.join(folder).join(file)).unwrap()).collect();
        let text = fs::read_to_string(root.join(page)).unwrap();
        let rows = text.lines().skip_while(|line| !line.starts_with("| fault |")).skip(2);
        let rows: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
        assert!(rows.len() > 10, "{page}: only {} faults were found", rows.len());
        for row in rows {
            let cell = row.split('|').nth(2).unwrap_or_default();
            let tests: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
            if tests.is_empty() {
                problems.push(format!("{page} names no test in the row {row}"));
            }
            for test in tests.iter().filter(|test| !code.contains(&format!("\nfn {test}() {{"))) {
                problems.push(format!("{page} names `{test}`, which is no test in {folder}"));
            }
        }
    }
    fail_if_any(problems);
}

/// Who looks for the test of a behaviour looks into the table, so no file is left out of it.
#[test]
fn the_table_of_tests_names_every_file() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let table = fs::read_to_string(tests.join("README.md")).unwrap();
    let mut problems = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for name in names_in(&tests.join(&folder)) {
            let path = format!("{folder}{name}");
            if tests.join(&path).is_dir() && !["interop", "wire", "common"].contains(&name.as_str()) {
                folders.push(format!("{path}/"));
            } else if name.ends_with(".rs") && !table.contains(&format!("`{path}`")) {
                problems.push(format!("tests/README.md does not say what is tested in `{path}`"));
            }
        }
    }
    fail_if_any(problems);
}

/// A page that nothing links to is not found, and programs on a page that is not compiled go wrong.
#[test]
fn every_page_is_linked_and_compiled() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let library = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    let mut problems = Vec::new();
    for page in names_in(&root.join("docs")) {
        if !readme.contains(&format!("](docs/{page})")) {
            problems.push(format!("README.md has no link to docs/{page}"));
        }
        let has_programs = fs::read_to_string(root.join("docs").join(&page)).unwrap().contains("```rust");
        if has_programs && !library.contains(&format!("include_str!(\"../docs/{page}\")")) {
            problems
                .push(format!("src/lib.rs does not include docs/{page}, so its programs are not compiled"));
        }
    }
    fail_if_any(problems);
}
