//! What is wrong with a manifest, and where.

use std::fmt;
use std::path::PathBuf;

use crate::text::without_hidden;

/// A place in a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The value as a JSON pointer (RFC 6901): `/tools/0/argv/2`. Empty for the whole file.
    pub pointer: String,
    /// The line, from 1; 0 for a file that cannot be read.
    pub line: usize,
    /// The column in characters, from 1; 0 for a file that cannot be read.
    pub column: usize,
}

/// Whether a manifest with a problem can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The manifest is refused.
    Error,
    /// The manifest is served, at a risk.
    Warning,
}

/// One thing that is wrong, written as `file:line:column: /pointer: message`, with `warning: ` before the pointer of a
/// warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The value that is wrong.
    pub position: Position,
    /// Whether the manifest can be served all the same.
    pub severity: Severity,
    /// What is wrong, and what to change.
    pub message: String,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match self.line {
            0 => Ok(()),
            line => write!(f, ":{line}:{}", self.column),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.position)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.position.pointer.is_empty() {
            write!(f, "{}: ", without_hidden(&self.position.pointer))?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}
