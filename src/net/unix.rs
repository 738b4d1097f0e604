//! The file of a Unix socket.
//!
//! *Scope:* binding so that no client connects before the mode is set, replacing the file of a server that has ended,
//! removing the file at the end; connecting. *Not in scope:* checks beyond the file's mode; `on_accept` sees the socket.
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
//! The folder is one in which no other user can replace what this one makes, and it is used by its path without links.
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

/// Checks that the system can bind a path of this length.
pub(super) fn check_length(path: &Path) -> Result<(), String> {
    match path.as_os_str().len() {
        0..=PATH_BYTES_MAX => Ok(()),
        bytes => {
            Err(format!("the path has {bytes} bytes; that of a Unix socket has at most {PATH_BYTES_MAX}"))
        }
    }
}

/// Listens on `path`, with `mode` from the first moment at which it is there.
pub(super) fn bind(path: &Path, mode: u32) -> io::Result<(SocketFile, UnixListener)> {
    check_length(path).map_err(|problem| io::Error::new(ErrorKind::InvalidInput, problem))?;
    let absolute = place_of(path)?;
    let stale = find_stale(path)?;
    let nursery = Nursery::beside(&absolute)?;
    nursery.check_folders()?;
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

/// Returns the path with a folder that has no links in it: what is checked is then what is used.
fn place_of(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else { return Ok(absolute) };
    match folder.canonicalize() {
        Ok(folder) => Ok(folder.join(name)),
        // There is an error for it when something is to be created in it.
        Err(_) => Ok(absolute),
    }
}

/// Connects to the socket at `path` without waiting.
///
/// # Errors
/// `WouldBlock` if as many clients wait there already as the server lets.
#[cfg(feature = "client")]
pub(crate) fn connect(path: &Path) -> io::Result<std::os::unix::net::UnixStream> {
    let socket = std::os::unix::net::UnixStream::from(UnixStream::connect(path)?);
    socket.set_nonblocking(false)?;
    Ok(socket)
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
            let text = format!(
                "it could not be checked whether a server listens there ({error}); choose another path"
            );
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

    /// Checks that no other user can replace this directory, or the socket later: in a folder that others may write they could put a
    /// link in its place, and the mode would be set on what that leads to. A sticky folder, such as `/tmp`, leaves each user's files
    /// alone (inode(7)), if it belongs to this user or to root. The folders above are checked too, for who could move this one away.
    fn check_folders(&self) -> io::Result<()> {
        // Where there is no `/proc`: a directory belongs to the user who creates it.
        let own = fs::metadata("/proc/self").or_else(|_| fs::symlink_metadata(&self.0))?.uid();
        for (depth, folder) in self.0.ancestors().skip(1).enumerate() {
            let found = fs::symlink_metadata(folder)?;
            let (mode, owner) = (found.mode(), found.uid());
            let is_others = mode & 0o022 != 0 && mode & 0o1000 == 0;
            // Above, who else owns a folder is a matter of how the system is set up.
            let is_strange = depth == 0 && owner != own && owner != 0;
            if is_others || is_strange {
                let (shown, mode) = (folder.display(), mode & 0o7777);
                let what = match is_strange {
                    true => format!("it belongs to another user (uid {owner})"),
                    false => format!("other users may write in it (mode {mode:04o})"),
                };
                return Err(io::Error::new(
                    ErrorKind::PermissionDenied,
                    format!(
                        "{shown}: {what}, so they could put another file in the place of the socket; choose a folder of your own, or \
                         run: chmod go-w {shown}"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn bind(&self) -> io::Result<UnixListener> {
        let path = self.socket();
        if path.as_os_str().as_bytes().len() <= PATH_BYTES_MAX {
            return UnixListener::bind(path);
        }
        // The path of this directory is longer than that of the socket, which is short enough. Linux has a shorter one.
        let directory = File::open(&self.0)?;
        UnixListener::bind(format!("/proc/self/fd/{}/s", directory.as_raw_fd())).map_err(|error| {
            let text = format!(
                "a path of this length can only be bound through /proc ({error}); choose a shorter one"
            );
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
