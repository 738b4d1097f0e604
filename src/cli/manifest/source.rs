//! The files of a manifest: which ones, their text, and where in it a byte stands.
//!
//! *Scope:* reading files and folders, lines and columns. *Not in scope:* what is in them.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::cli::bounds::{MANIFEST_BYTES_MAX, MANIFEST_FILES_MAX};
use crate::cli::manifest::problem::{Position, Problem, Severity};
use crate::cli::open::open_at_once;
use crate::sort::sort_by;

/// A file and its text.
#[derive(Clone, Debug)]
pub(super) struct ManifestText {
    pub(super) file: PathBuf,
    pub(super) text: String,
    /// Line and column of every [`STRIDE`]th byte: a file may be one long line.
    marks: Vec<(usize, usize)>,
}

/// How many bytes are counted at most to find a column.
const STRIDE: usize = 4096;

impl ManifestText {
    pub(super) fn new(file: PathBuf, text: String) -> ManifestText {
        let mut marks = vec![(1, 1)];
        for bytes in text.as_bytes().chunks(STRIDE) {
            marks.extend(marks.last().map(|mark| after(*mark, bytes)));
        }
        ManifestText { file, text, marks }
    }

    /// Where the byte at this offset stands. `pointer` leads to the value that begins there.
    pub(super) fn position(&self, offset: usize, pointer: &str) -> Position {
        let mark = self.marks.get(offset / STRIDE).copied().unwrap_or((1, 1));
        let since = self.text.as_bytes().get(offset / STRIDE * STRIDE..offset).unwrap_or_default();
        let (line, column) = after(mark, since);
        Position { file: self.file.clone(), pointer: pointer.to_owned(), line, column }
    }

    fn read(file: &Path) -> Result<ManifestText, Problem> {
        let open = |error: &io::Error| unreadable(file, format!("{error}; name a file that can be read"));
        let source = open_source(file).map_err(|error| open(&error))?;
        let mut bytes = Vec::new();
        source.take(MANIFEST_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| open(&error))?;
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(unreadable(
                file,
                format!(
                    "it is longer than {MANIFEST_BYTES_MAX} bytes (manifest_bytes_max); split it into several files in a folder"
                ),
            ));
        }
        String::from_utf8(bytes).map(|text| ManifestText::new(file.to_owned(), text)).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let text =
                String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default()).into_owned();
            let position = ManifestText::new(file.to_owned(), text).position(valid, "");
            let message = "there is a byte here that is not UTF-8; save the file as UTF-8".to_owned();
            Problem { position, severity: Severity::Error, message }
        })
    }
}

/// Opens a file. A pipe is waited for if it is one by now, such as the shell's `<(…)` makes, but not one that takes the place of
/// a file in this moment.
fn open_source(file: &Path) -> io::Result<fs::File> {
    if !fs::metadata(file)?.is_file() {
        return fs::File::open(file);
    }
    let source = open_at_once(file)?;
    match source.metadata()?.is_file() {
        true => Ok(source),
        false => Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

/// Line and column after these bytes. A character is counted at its first byte.
fn after((line, column): (usize, usize), bytes: &[u8]) -> (usize, usize) {
    let count = |bytes: &[u8]| bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count();
    match bytes.iter().rposition(|byte| *byte == b'\n') {
        None => (line, column + count(bytes)),
        Some(end) => {
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
            (line + lines, 1 + count(bytes.get(end + 1..).unwrap_or_default()))
        }
    }
}

/// A problem of a whole file.
fn unreadable(file: &Path, message: String) -> Problem {
    let position = Position { file: file.to_owned(), pointer: String::new(), line: 0, column: 0 };
    Problem { position, severity: Severity::Error, message }
}

/// Reads the files, and of folders those whose names end with `.json`, in the order of their names. What cannot be read is
/// a problem, and the rest is read all the same.
pub(super) fn read_all(paths: &[PathBuf], problems: &mut Vec<Problem>) -> Vec<ManifestText> {
    let mut sources = Vec::new();
    for path in paths {
        let files = match path.is_dir() {
            true => files_of(path, problems),
            false => vec![path.clone()],
        };
        for file in files {
            match ManifestText::read(&file) {
                Ok(source) => sources.push(source),
                Err(problem) => problems.push(problem),
            }
        }
    }
    sources
}

/// The manifests of a folder. Files that begin with a dot are those of editors and package managers. A pipe in it would be
/// waited for, and a folder in it may hold anything.
fn files_of(folder: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let failed = |error: io::Error| unreadable(folder, format!("{error}; name a folder that can be read"));
    let listed = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut files: Vec<PathBuf> = match listed {
        Ok(files) => files,
        Err(error) => {
            problems.push(failed(error));
            return Vec::new();
        }
    };
    let is_hidden = |name: &OsStr| name.as_encoded_bytes().starts_with(b".");
    files.retain(|file| file.extension() == Some(OsStr::new("json")));
    files.retain(|file| !file.file_name().is_some_and(is_hidden));
    sort_by(&mut files, Ord::cmp);
    if files.is_empty() {
        problems.push(unreadable(folder, "it holds no file whose name ends with .json".to_owned()));
    } else if files.len() > MANIFEST_FILES_MAX {
        let message = format!(
            "it holds {} files; at most {MANIFEST_FILES_MAX} are read (manifest_files_max)",
            files.len()
        );
        problems.push(unreadable(folder, message));
        return Vec::new();
    }
    let is_special = |file: &PathBuf| fs::metadata(file).is_ok_and(|found| !found.is_file());
    for file in files.extract_if(.., |file| is_special(file)) {
        let message = "it is not a regular file; remove it from the folder, or name it otherwise".to_owned();
        problems.push(unreadable(&file, message));
    }
    files
}
