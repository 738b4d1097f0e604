//! Files that hold secrets: tokens, and the keys that seal what clients keep for the server.
//!
//! *Scope:* opening one, its kind, owner and mode, reading it again, the keys. *Not in scope:* tokens
//! ([`tokens`](super::tokens)).

use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Failure;
use super::bounds::SECRET_BYTES_MAX;
use super::open::open_at_once;
use crate::protocol::state_key::StateKey;
use crate::server::builder::Server;
use crate::server::handle::Handle;

/// A file that an option names.
#[derive(Clone, Debug)]
pub(super) struct SecretFile {
    path: PathBuf,
    option: &'static str,
    /// What is in it, for messages.
    what: &'static str,
    /// How it is written, for messages.
    form: &'static str,
    /// True for a pipe, which was read when the program started and cannot be read again.
    is_pipe: bool,
}

impl SecretFile {
    /// Opens and reads the file for the first time. It may be a pipe, such as the shell's `<(…)` makes.
    pub(super) fn open(
        path: PathBuf,
        option: &'static str,
        what: &'static str,
        form: &'static str,
    ) -> Result<(SecretFile, String), Failure> {
        let mut file = SecretFile { path, option, what, form, is_pipe: false };
        let found = fs::metadata(&file.path).map_err(|error| file.unreadable(&error))?;
        file.is_pipe = found.file_type().is_fifo();
        let text = file.read_text()?;
        Ok((file, text))
    }

    /// Reads the file once more. `apply` puts what it reads into force, and returns how many secrets there are. Returns what
    /// to tell the operator.
    pub(super) fn reload(
        &self,
        apply: impl FnOnce(&str) -> Result<usize, Failure>,
    ) -> Result<String, Failure> {
        let (shown, what) = (self.path.display(), self.what);
        if self.is_pipe {
            return Ok(format!("{shown} is a pipe and was read at the start; the {what} stay in force"));
        }
        let count = apply(&self.read_text()?)?;
        Ok(format!("{shown}: read again, {what}: {count}"))
    }

    /// A failure about the file, which is named.
    pub(super) fn failure(&self, problem: impl std::fmt::Display) -> Failure {
        Failure::system(format!("{} {}: {problem}", self.option, self.path.display()))
    }

    fn unreadable(&self, error: &std::io::Error) -> Failure {
        self.failure(format!("{error}; name a file that can be read"))
    }

    fn read_text(&self) -> Result<String, Failure> {
        // Before it is opened as well, which may have an effect on a device.
        self.check(&fs::metadata(&self.path).map_err(|error| self.unreadable(&error))?)?;
        // The other end of a pipe is waited for at the start only, and not if one has taken the place of the file just now.
        let file = if self.is_pipe { File::open(&self.path) } else { open_at_once(&self.path) };
        let file = file.map_err(|error| self.unreadable(&error))?;
        self.check(&file.metadata().map_err(|error| self.unreadable(&error))?)?;
        let mut text = String::new();
        file.take(SECRET_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(|error| {
            match error.kind() {
                ErrorKind::InvalidData => {
                    self.failure(format!("it is not text (UTF-8); write {}", self.form))
                }
                _ => self.unreadable(&error),
            }
        })?;
        match text.len() as u64 > SECRET_BYTES_MAX as u64 {
            true => {
                Err(self.failure(format!("it is longer than {SECRET_BYTES_MAX} bytes (secret_bytes_max)")))
            }
            false => Ok(text),
        }
    }

    /// A user who can read the file can use the secrets, and a user who can write it can add others.
    fn check(&self, found: &Metadata) -> Result<(), Failure> {
        let mode = found.permissions().mode() & 0o777;
        // systemd hands over credentials with mode 0440, in a folder that only the service can enter.
        let group = if is_credential(&self.path) { 0o040 } else { 0 };
        let kind = found.file_type();
        if kind.is_dir() {
            Err(self.failure("it is a directory; name a file or a pipe"))
        } else if !(kind.is_file() || kind.is_fifo() && self.is_pipe) {
            Err(self.failure("it is not a regular file; name one"))
        } else if !is_trusted(found.uid()) {
            Err(self.failure(format!(
                "it belongs to another user (uid {}); it has to be yours or root's",
                found.uid()
            )))
        } else if mode & 0o077 & !group != 0 {
            let (what, shown) = (self.what, self.path.display());
            Err(self.failure(format!(
                "the {what} are readable by others, or others can change them (mode {mode:04o}); run: chmod 600 {shown}"
            )))
        } else {
            Ok(())
        }
    }
}

/// True if the file lies in the folder of the service's credentials (systemd, `LoadCredential=`).
fn is_credential(path: &Path) -> bool {
    let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty()) else {
        return false;
    };
    match (fs::canonicalize(folder), fs::canonicalize(path)) {
        (Ok(folder), Ok(path)) => path.parent() == Some(&folder),
        _ => false,
    }
}

/// True if the file's owner may know the secrets.
#[cfg(target_os = "linux")]
pub(super) fn is_trusted(owner: u32) -> bool {
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}

/// The standard library does not have the id of the user who runs the program.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_trusted(_: u32) -> bool {
    true
}

/// The file of `--state-key-file`.
#[derive(Clone, Debug)]
pub(super) struct StateKeyFile {
    file: SecretFile,
    current: StateKey,
    previous: Option<StateKey>,
}

impl StateKeyFile {
    pub(super) fn open(path: PathBuf) -> Result<StateKeyFile, Failure> {
        let (file, text) =
            SecretFile::open(path, "--state-key-file", "keys", "32 hexadecimal digits a line")?;
        let (current, previous) = read_keys(&file, &text)?;
        Ok(StateKeyFile { file, current, previous })
    }

    /// Sets the keys of the server.
    pub(super) fn apply(&self, server: Server) -> Server {
        let server = server.state_key(self.current);
        match self.previous {
            Some(previous) => server.previous_state_key(previous),
            None => server,
        }
    }

    /// Reads the file again and hands the keys to the running server. Returns what to tell the operator.
    pub(super) fn reload(&self, handle: &Handle) -> Result<String, Failure> {
        self.file.reload(|text| {
            let (current, previous) = read_keys(&self.file, text)?;
            handle.set_state_keys(current, previous);
            Ok(1 + usize::from(previous.is_some()))
        })
    }
}

/// The key on the first line, and the one before it on the second, if there is one.
fn read_keys(file: &SecretFile, text: &str) -> Result<(StateKey, Option<StateKey>), Failure> {
    let keys = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
    let keys: Result<Vec<StateKey>, String> = keys
        .map(|(at, line)| StateKey::read(line).map_err(|problem| format!("line {}: {problem}", at + 1)))
        .collect();
    match keys.map_err(|problem| file.failure(problem))?.as_slice() {
        [current] => Ok((*current, None)),
        [current, previous] => Ok((*current, Some(*previous))),
        keys => Err(file.failure(format!(
            "there are {} keys; write the current one on the first line and the previous one on the second",
            keys.len()
        ))),
    }
}
