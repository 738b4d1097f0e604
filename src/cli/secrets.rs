//! Files that hold secrets: tokens, and the keys that seal what clients keep for the server.
//!
//! *Scope:* opening one, its kind, owner and mode, the keys. *Not in scope:* tokens ([`tokens`](super::tokens)).

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use mcp_rill::{Server, StateKey};

use super::Failure;

/// The text of the file that `option` names and that nobody else can get at.
pub(super) fn read(path: &Path, option: &str, what: &str) -> Result<String, Failure> {
    let shown = path.display();
    let named =
        |error: std::io::Error| Failure(format!("{option} {shown}: {error}; name a file that can be read"));
    // Before it is opened as well: to open a FIFO is to wait for somebody at its other end.
    check(path, &fs::metadata(path).map_err(named)?, option, what)?;
    let mut file = File::open(path).map_err(named)?;
    check(path, &file.metadata().map_err(named)?, option, what)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(named)?;
    Ok(text)
}

/// Whoever can read the secrets can use them, and whoever can write can let himself in.
fn check(path: &Path, found: &Metadata, option: &str, what: &str) -> Result<(), Failure> {
    let (path, mode) = (path.display(), found.permissions().mode() & 0o777);
    let problem = if !found.is_file() {
        "it is not a regular file; name one".to_owned()
    } else if !is_trusted(found.uid()) {
        format!("it belongs to another user (uid {}); it has to be yours or root's", found.uid())
    } else if mode & 0o077 != 0 {
        format!("others can get at the {what} (mode {mode:04o}); run: chmod 600 {path}")
    } else {
        return Ok(());
    };
    Err(Failure(format!("{option} {path}: {problem}")))
}

/// Whether the file's owner may know the secrets.
#[cfg(target_os = "linux")]
fn is_trusted(owner: u32) -> bool {
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}

/// The standard library does not tell who runs the program.
#[cfg(not(target_os = "linux"))]
fn is_trusted(_: u32) -> bool {
    true
}

/// Gives the server the key on the first line of the file, and the one before it on the second, if there is one.
pub(super) fn with_state_keys(server: Server, path: &Path) -> Result<Server, Failure> {
    const OPTION: &str = "--state-key-file";
    let text = read(path, OPTION, "keys")?;
    let named = |problem: String| Failure(format!("{OPTION} {}: {problem}", path.display()));
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
