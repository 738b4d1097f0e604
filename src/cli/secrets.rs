//! Files that hold secrets: tokens, and the keys that seal what clients keep for the server.
//!
//! *Scope:* opening one, its mode, the keys. *Not in scope:* tokens ([`tokens`](super::tokens)).

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mcp_rill::{Server, StateKey};

use super::Failure;

/// The text of a file that nobody else can get at.
pub(super) fn read(path: &Path, what: &str) -> Result<String, Failure> {
    let named = |problem: &dyn std::fmt::Display| Failure(format!("{}: {problem}", path.display()));
    let mut file = File::open(path).map_err(|error| named(&error))?;
    check_mode(path, &file, what)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|error| named(&error))?;
    Ok(text)
}

/// Whoever can read the secrets can use them, and whoever can write can let himself in.
fn check_mode(path: &Path, file: &File, what: &str) -> Result<(), Failure> {
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(Failure(format!("{path}: others can get at the {what} (mode {mode:04o}); run: chmod 600 {path}")))
}

/// Gives the server the key on the first line of the file, and the one before it on the second, if there is one.
pub(super) fn with_state_keys(server: Server, path: &Path) -> Result<Server, Failure> {
    let text = read(path, "keys")?;
    let named = |problem: String| Failure(format!("{}: {problem}", path.display()));
    let keys = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
    let keys: Result<Vec<StateKey>, String> = keys
        .map(|(at, line)| StateKey::read(line).map_err(|problem| format!("line {}: {problem}", at + 1)))
        .collect();
    match keys.map_err(named)?.as_slice() {
        [current] => Ok(server.state_key(*current)),
        [current, previous] => Ok(server.state_key(*current).previous_state_key(*previous)),
        keys => Err(named(format!(
            "there are {} keys; write the present one on the first line, the one before it on the second",
            keys.len()
        ))),
    }
}
