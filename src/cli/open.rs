//! Opening files without waiting for anything.
//!
//! *Scope:* opening a path that may turn out to be a pipe or a device, without blocking. *Not in scope:* what kind of file is wanted.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

/// To read a file: a pipe is not waited for, and a terminal does not become the process's own.
pub(super) const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens a file to read it. Symbolic links are followed: the operator has named the path. The caller checks what kind of file it
/// is; reading from one that is not regular may end with `WouldBlock`.
///
/// # Errors
/// From the system.
pub(super) fn open_at_once(path: &Path) -> io::Result<File> {
    Ok(open(path, READ, Mode::empty())?.into())
}
