//! The file of a Unix socket.
//!
//! *Scope:* binding so that no client connects before the mode is set, replacing the file of a server that has ended,
//! removing the file at the end. *Not in scope:* checks beyond the file's mode; `on_accept` sees the socket.
//!
//! ```text
//!  the path has ───┬─ nothing ─────────────────────────┐
//!                  ├─ a socket that refuses ── stale ──┤
//!                  │                                   ▼
//!                  │      bind in a directory of its own, mode 0700, beside it ─▶ set the mode ─▶ (take the stale one
//!                  │      away) ─▶ link into place ─▶ remove the directory
//!                  └─ a server, or no socket ──▶ an error
//! ```
//!
//! The umask would do the same, but for the whole process and so for other threads' files. A link, unlike a rename, fails
//! if another server has bound the path in the meantime.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mio::net::{UnixListener, UnixStream};

/// The bytes of a path that the system binds (unix(7), `sun_path`, less its final zero).
const PATH_BYTES_MAX: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

/// Device and inode of a file.
type Identity = (u64, u64);

/// The file of a socket that listens. It is removed when this value is dropped.
pub(super) struct SocketFile {
    /// The path as it was given.
    path: PathBuf,
    /// The same path if the program changes its directory.
    absolute: PathBuf,
    identity: Identity,
}

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.absolute).is_ok_and(|now| now == self.identity) {
            // What is left over is replaced at the next start.
            let _ = fs::remove_file(&self.absolute);
        }
    }
}

/// Listens on `path`, with `mode` from the first moment at which it is there.
pub(super) fn bind(path: &Path, mode: u32) -> io::Result<(SocketFile, UnixListener)> {
    let (bytes, absolute) = (path.as_os_str().len(), std::path::absolute(path)?);
    if bytes > PATH_BYTES_MAX {
        let text = format!("the path has {bytes} bytes; that of a Unix socket has at most {PATH_BYTES_MAX}");
        return Err(io::Error::new(ErrorKind::InvalidInput, text));
    }
    let stale = find_stale(path)?;
    let nursery = Nursery::beside(&absolute)?;
    let socket = nursery.bind()?;
    fs::set_permissions(nursery.socket(), Permissions::from_mode(mode & 0o777))?;
    if let Some(stale) = stale {
        nursery.take_away(&absolute, stale)?;
    }
    let identity = identity(&nursery.socket())?;
    fs::hard_link(nursery.socket(), &absolute).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => in_use(),
        _ => error,
    })?;
    Ok((SocketFile { path: path.to_owned(), absolute, identity }, socket))
}

fn in_use() -> io::Error {
    io::Error::new(ErrorKind::AddrInUse, "another server listens there; end that one, or choose another path")
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// The socket at `path` if no server listens on it.
fn find_stale(path: &Path) -> io::Result<Option<Identity>> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    if found.is_dir() {
        let text = "this is a directory and not a socket; choose another path, such as that of a file in it";
        return Err(io::Error::new(ErrorKind::AlreadyExists, text));
    }
    if !found.file_type().is_socket() {
        let text = "what is there is not a socket, and is left alone; remove it, or choose another path";
        return Err(io::Error::new(ErrorKind::AlreadyExists, text));
    }
    let error = match UnixStream::connect(path) {
        Ok(_) => return Err(in_use()),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::ConnectionRefused => Ok(Some((found.dev(), found.ino()))),
        ErrorKind::NotFound => Ok(None),
        // Its backlog is full.
        ErrorKind::WouldBlock => Err(in_use()),
        kind => {
            let text =
                format!("whether a server listens there cannot be told ({error}); choose another path");
            Err(io::Error::new(kind, text))
        }
    }
}

/// A directory that no other user can enter, in which a socket is bound and gets its mode.
struct Nursery(PathBuf);

impl Nursery {
    /// On the same file system as `place`, so that a link can lead there.
    fn beside(place: &Path) -> io::Result<Nursery> {
        let Some(parent) = place.parent().filter(|_| place.file_name().is_some()) else {
            return Err(io::Error::new(ErrorKind::InvalidInput, "the path names no file"));
        };
        let path = parent.join(format!(".rill-{:08x}", uuid::Uuid::new_v4().as_fields().0));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| {
            let text = match error.kind() {
                ErrorKind::NotFound => {
                    "there is no such directory; create it, or choose another path".to_owned()
                }
                _ => format!("nothing can be created there ({error}); choose another path"),
            };
            io::Error::new(error.kind(), format!("{}: {text}", parent.display()))
        })?;
        Ok(Nursery(path))
    }

    fn socket(&self) -> PathBuf {
        self.0.join("s")
    }

    fn bind(&self) -> io::Result<UnixListener> {
        let path = self.socket();
        if path.as_os_str().as_bytes().len() <= PATH_BYTES_MAX {
            return UnixListener::bind(path);
        }
        // The path of this directory is longer than that of the socket, which is short enough. Linux has a shorter one.
        let directory = File::open(&self.0)?;
        UnixListener::bind(format!("/proc/self/fd/{}/s", directory.as_raw_fd())).map_err(|error| {
            let text =
                format!("so long a path can only be bound by way of /proc ({error}); choose a shorter one");
            io::Error::new(ErrorKind::InvalidInput, text)
        })
    }

    /// Removes the stale socket and no other file: one that has taken its place is put back.
    fn take_away(&self, place: &Path, stale: Identity) -> io::Result<()> {
        let taken = self.0.join("stale");
        match fs::rename(place, &taken) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            moved => moved?,
        }
        if identity(&taken)? == stale {
            return fs::remove_file(&taken);
        }
        fs::hard_link(&taken, place)?;
        fs::remove_file(&taken)?;
        Err(in_use())
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.socket());
        // Fails if there is something in it that is not ours, which is right.
        let _ = fs::remove_dir(&self.0);
    }
}
