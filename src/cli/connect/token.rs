//! The token of `--token-file`, which is read again when the server refuses it.
//!
//! *Scope:* which token requests have. *Not in scope:* sending a refused request again, which its sender does, once.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::cli::log::Lines;
use crate::cli::shell::session::token_file;
use crate::client::transport::RequestDefaults;

/// How often another token was read before a request was made.
pub(super) type Version = u64;

pub(super) struct Token {
    /// `None` if the token, if there is one, is not of a file.
    path: Option<PathBuf>,
    lines: Lines,
    version: Mutex<Version>,
}

impl Token {
    pub(super) fn new(path: Option<PathBuf>, lines: Lines) -> Token {
        Token { path, lines, version: Mutex::default() }
    }

    pub(super) fn version(&self) -> Version {
        *self.version.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server has refused a request that was made with this version. Returns true if there is another token by now, for
    /// which the file is read.
    pub(super) fn renew(&self, refused: Version, defaults: &RequestDefaults) -> bool {
        let Some(path) = &self.path else { return false };
        let mut version = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        if *version != refused {
            return true;
        }
        // A pipe would keep all requests waiting.
        if !path.is_file() {
            return false;
        }
        match token_file(path) {
            Ok(token) if defaults.set_authorization(&token) => {
                *version += 1;
                let text = "the server has refused the token; the one that --token-file has now is used";
                self.lines.pass_on(text);
                true
            }
            Ok(_) => false,
            Err(failure) => {
                let why = &failure.text;
                self.lines
                    .pass_on(&format!("the server has refused the token, and there is no other one: {why}"));
                false
            }
        }
    }
}
