//! The file of `--token-file`: read at the start and on SIGHUP.
//!
//! *Scope:* holding what was read. *Not in scope:* who else can get at it (`secrets`), what is in it ([`Tokens`]).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mcp_rill::{Denied, HttpRequest, Principal, Tokens};

use super::{Failure, secrets};

const OPTION: &str = "--token-file";

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
    let text = secrets::read(path, OPTION, "tokens")?;
    let tokens = Tokens::read(&text).and_then(|tokens| match tokens.is_empty() {
        // Also what a file is like for a moment while it is written anew.
        true => Err("there is no token in it; write one name:token a line".to_owned()),
        false => Ok(tokens),
    });
    tokens.map_err(|problem| Failure(format!("{OPTION} {}: {problem}", path.display())))
}
