//! Values that may have variables: paths, and texts for processes.
//!
//! *Scope:* which folder a relative path is relative to, where a program is found. *Not in scope:* the files themselves.

use std::path::{Path, PathBuf};

use crate::cli::manifest::reader::{Reader, Value};
use crate::cli::manifest::variables::replace;
use crate::text::printable;

impl<'a> Reader<'a> {
    /// A string in which variables are replaced.
    pub(super) fn expanded(&mut self, value: &Value<'a>) -> Option<String> {
        let text = self.text(value)?;
        match replace(&text, self.environment) {
            Ok(text) => Some(text),
            Err(problem) => {
                self.problem(value, format_args!("{}: {problem}", value.subject()));
                None
            }
        }
    }

    /// The same of a text that the system takes: without NUL.
    pub(super) fn system_text(&mut self, value: &Value<'a>) -> Option<String> {
        let text = self.expanded(value)?;
        if text.contains('\0') {
            self.problem(
                value,
                format_args!("{} has a NUL character, at which the system would cut it", value.subject()),
            );
            return None;
        }
        Some(text)
    }

    /// A path, made absolute.
    pub(super) fn path(&mut self, value: &Value<'a>) -> Option<PathBuf> {
        let text = self.system_text(value)?;
        if text.is_empty() {
            self.problem(value, format_args!("{} is empty; write a path", value.subject()));
            return None;
        }
        Some(self.absolute(text))
    }

    /// The absolute form of a path. A relative one is relative to the folder of the manifest.
    pub(super) fn absolute(&self, path: impl AsRef<Path>) -> PathBuf {
        let folder = self.source.file.parent().unwrap_or(Path::new(""));
        let path = folder.join(path);
        // Without a current folder there is no better form of it.
        std::path::absolute(&path).unwrap_or(path)
    }

    /// The program of a command line: an absolute path in its first element. A name without a slash is looked for on the
    /// `PATH` only to be proposed: which program runs must not depend on who starts the server.
    pub(super) fn program(&mut self, value: &Value<'a>, text: &str) -> Option<String> {
        if text.is_empty() {
            self.problem(value, "the program is missing; write an absolute path");
            return None;
        }
        if text.contains('/') {
            return self.absolute(text).into_os_string().into_string().ok();
        }
        let remedy = match self.on_path(text) {
            Some(found) => format!("write \"{}\"", found.display()),
            None => "there is none of this name on the PATH either".to_owned(),
        };
        self.problem(
            value,
            format_args!("the program `{}` must be an absolute path; {remedy}", printable(text)),
        );
        None
    }

    /// The first program of this name on the `PATH`.
    pub(super) fn on_path(&self, name: &str) -> Option<PathBuf> {
        let path = (self.environment)("PATH")?;
        let mut candidates = path
            .split(':')
            .filter(|folder| folder.starts_with('/'))
            .map(|folder| Path::new(folder).join(name));
        candidates.find(|candidate| candidate.is_file())
    }
}
