//! The file of `--token-file`: read at the start and on SIGHUP.
//!
//! *Scope:* opening it, its mode, holding what was read. *Not in scope:* what is in it ([`Tokens`]).

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mcp_rill::{Denied, HttpRequest, Principal, Tokens};

use super::Failure;

/// A file of tokens and what was last read from it. Clones share both.
#[derive(Clone, Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    tokens: Arc<Mutex<Tokens>>,
}

impl TokenFile {
    /// Reads the file for the first time.
    pub(super) fn open(path: PathBuf) -> Result<TokenFile, Failure> {
        let tokens = read(&path)?;
        if tokens.is_empty() {
            return Err(Failure(format!(
                "{}: there is no token in it; write one name:token a line",
                path.display()
            )));
        }
        Ok(TokenFile { path, tokens: Arc::new(Mutex::new(tokens)) })
    }

    /// Reads it again; what was read before stays in force if it cannot be read. Says what is to be told.
    pub(super) fn reload(&self) -> Result<String, String> {
        match read(&self.path) {
            Ok(tokens) => {
                let count = tokens.len();
                *self.tokens.lock().unwrap_or_else(PoisonError::into_inner) = tokens;
                Ok(format!("{}: read again, tokens: {count}", self.path.display()))
            }
            Err(Failure(problem)) => Err(format!("{problem}; the tokens read before stay in force")),
        }
    }

    /// The answer of an `authorize` hook.
    pub(super) fn authorize(&self, request: &HttpRequest<'_>) -> Result<Principal, Denied> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).authorize(request)
    }
}

fn read(path: &Path) -> Result<Tokens, Failure> {
    let named = |problem: &dyn std::fmt::Display| Failure(format!("{}: {problem}", path.display()));
    let mut file = File::open(path).map_err(|error| named(&error))?;
    check_mode(path, &file)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|error| named(&error))?;
    Tokens::read(&text).map_err(|problem| named(&problem))
}

/// Whoever can read the tokens can use them, and whoever can write can let himself in.
fn check_mode(path: &Path, file: &File) -> Result<(), Failure> {
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(Failure(format!("{path}: others can get at the tokens (mode {mode:04o}); run: chmod 600 {path}")))
}
