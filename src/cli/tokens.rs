//! The file of `--token-file`: read at the start and on SIGHUP.
//!
//! *Scope:* holding what was read. *Not in scope:* who else can read it (`secrets`), what is in it ([`Tokens`]).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::Failure;
use super::secrets::SecretFile;
use crate::access::auth::hook::{Denied, HttpRequest};
use crate::access::auth::tokens::Tokens;
use crate::access::peer::Principal;
use crate::server::handle::Handle;

/// A file of tokens and what was last read from it. Clones share both.
#[derive(Clone, Debug)]
pub(super) struct TokenFile {
    file: SecretFile,
    tokens: Arc<Mutex<Tokens>>,
}

impl TokenFile {
    /// Reads the file for the first time.
    pub(super) fn open(path: PathBuf) -> Result<TokenFile, Failure> {
        let (file, text) = SecretFile::open(path, "--token-file", "tokens", "one name:token a line")?;
        let tokens = read(&file, &text)?;
        Ok(TokenFile { file, tokens: Arc::new(Mutex::new(tokens)) })
    }

    /// Reads it again and has open streams authorized anew. Returns what to tell the operator.
    pub(super) fn reload(&self, handle: &Handle) -> Result<String, Failure> {
        self.file.reload(|text| {
            let tokens = read(&self.file, text)?;
            let count = tokens.len();
            *self.tokens.lock().unwrap_or_else(PoisonError::into_inner) = tokens;
            handle.reauthorize();
            Ok(count)
        })
    }

    /// The answer of an `authorize` hook.
    pub(super) fn authorize(&self, request: &HttpRequest<'_>) -> Result<Principal, Denied> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).authorize(request)
    }
}

fn read(file: &SecretFile, text: &str) -> Result<Tokens, Failure> {
    let tokens = Tokens::read(text).map_err(|problem| file.failure(problem))?;
    match tokens.is_empty() {
        // Also what a file is like for a moment while it is written anew.
        true => Err(file.failure("there is no token in it; write one name:token a line")),
        false => Ok(tokens),
    }
}
