//! Reading files, of which none leads out of its folder.
//!
//! *Scope:* one file; one below a folder; the files of a folder in order. *Not in scope:* their URIs (`directory`).
//!
//! A folder's files are opened segment by segment from the folder itself, and no symbolic link is followed, so a link that
//! takes the place of a folder, or of a file, leads nowhere. Only regular files are read: opening a FIFO or a device does
//! not wait, and it is then refused.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, open, openat, statat};
use rustix::io::Errno;

use crate::cli::bounds::{FOLDER_DEPTH_MAX, FOLDER_ENTRIES_MAX};
use crate::cli::open::{READ, open_at_once};
use crate::protocol::uri::normal::is_unreserved;
use crate::sort::sort_by;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    changed: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Symbolic links are followed: the operator has named the path.
    Path(PathBuf),
    /// Below a folder, by a path of segments between slashes.
    Below(PathBuf, String),
}

impl Place {
    fn open(&self) -> io::Result<File> {
        let file: File = match self {
            Place::Path(path) => open_at_once(path)?,
            Place::Below(folder, path) => open_below(folder, path)?.into(),
        };
        match (file.metadata()?.is_file(), self) {
            (true, _) => Ok(file),
            (false, Place::Below(..)) => Err(ErrorKind::NotFound.into()),
            (false, Place::Path(_)) => {
                Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"))
            }
        }
    }

    /// The whole content.
    ///
    /// # Errors
    /// From the system; if it is not a regular file; if it has more than `bytes_max` bytes, also if it grows while it is read.
    pub(super) fn read(&self, bytes_max: usize) -> io::Result<Vec<u8>> {
        let file = self.open()?;
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        match bytes.len() > bytes_max {
            true => Err(io::Error::new(
                ErrorKind::FileTooLarge,
                format!("it has more than {bytes_max} bytes; `bytesMax` in the manifest allows more"),
            )),
            false => Ok(bytes),
        }
    }

    /// What changes when the file does; `None` if it cannot be read.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        use std::os::unix::fs::MetadataExt;
        let found = self.open().and_then(|file| file.metadata()).ok()?;
        Some(Stamp { changed: found.modified().ok(), bytes: found.len(), inode: found.ino() })
    }
}

/// True for a name that is served: dot files are not, and neither is what could mean another folder.
fn is_served(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && !name.contains(['/', '\\'])
        && !name.contains(char::is_control)
}

fn open_below(folder: &Path, path: &str) -> io::Result<OwnedFd> {
    let segments: Vec<&str> = path.split('/').collect();
    if !segments.iter().all(|segment| is_served(segment)) {
        return Err(ErrorKind::NotFound.into());
    }
    if segments.len() > FOLDER_DEPTH_MAX {
        let text = format!("its path has more than {FOLDER_DEPTH_MAX} segments (folder_depth_max)");
        return Err(io::Error::new(ErrorKind::InvalidInput, text));
    }
    let Some((name, folders)) = segments.split_last() else { return Err(ErrorKind::NotFound.into()) };
    let mut at = open(folder, FOLDER, Mode::empty())?;
    for folder in folders {
        at = openat(&at, *folder, FOLDER, Mode::empty()).map_err(hidden)?;
    }
    openat(&at, *name, READ.union(OFlags::NOFOLLOW), Mode::empty()).map_err(hidden)
}

/// A link, and a file in the place of a folder, are as if they were not there; so is a socket.
fn hidden(error: Errno) -> io::Error {
    match error {
        Errno::LOOP | Errno::NOTDIR | Errno::NXIO => ErrorKind::NotFound.into(),
        other => other.into(),
    }
}

/// The path with everything escaped that a URI needs no other way (RFC 3986 §2.3).
pub(super) fn escaped(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            byte if byte == b'/' || is_unreserved(byte) => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The files below a folder, as far as they are listed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Their escaped paths, in the order of their bytes.
    pub(super) paths: Vec<String>,
    /// A bound by which others were left out, and the folder in which they are.
    pub(super) cut: Option<(String, String)>,
}

/// The files below a folder whose escaped paths come after `after`, at most `max`.
///
/// # Errors
/// If the folder cannot be read. One below it that cannot be is left out.
pub(super) fn list(folder: &Path, after: &str, max: usize) -> io::Result<Listed> {
    let mut listing = Listing { found: Listed::default(), after, max };
    listing.folder(&open(folder, FOLDER, Mode::empty())?, "", 1)?;
    Ok(listing.found)
}

struct Listing<'a> {
    found: Listed,
    after: &'a str,
    max: usize,
}

impl Listing<'_> {
    fn folder(&mut self, folder: &OwnedFd, prefix: &str, depth: usize) -> io::Result<()> {
        let (entries, are_all) = entries(folder)?;
        if !are_all {
            self.cut(format!("it has more than {FOLDER_ENTRIES_MAX} entries (folder_entries_max)"), prefix);
        }
        for Entry { key, name, is_folder } in entries {
            if self.found.paths.len() >= self.max {
                break;
            }
            let path = format!("{prefix}{key}");
            match is_folder {
                false if *path > *self.after => self.found.paths.push(path),
                true if depth >= FOLDER_DEPTH_MAX => {
                    self.cut(format!("it is deeper than {FOLDER_DEPTH_MAX} (folder_depth_max)"), &path);
                }
                true if *path > *self.after || self.after.starts_with(&path) => {
                    if let Ok(inner) = openat(folder, &*name, FOLDER, Mode::empty()) {
                        // One that cannot be read is left out.
                        let _ = self.folder(&inner, &path, depth + 1);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes the first bound by which something is left out.
    fn cut(&mut self, bound: String, folder: &str) {
        self.found.cut.get_or_insert_with(|| (bound, folder.to_owned()));
    }
}

struct Entry {
    /// The escaped name, with a slash behind that of a folder: in this order are the paths of all that is below.
    key: String,
    name: String,
    is_folder: bool,
}

/// The entries of a folder that are served, in the order of their keys; and true if these are all.
fn entries(folder: &OwnedFd) -> io::Result<(Vec<Entry>, bool)> {
    let (mut entries, mut are_all) = (Vec::new(), true);
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().ok().filter(|name| is_served(name)) else { continue };
        // Not every file system says it.
        let kind = match entry.file_type() {
            FileType::Unknown => statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_or(FileType::Unknown, |found| FileType::from_raw_mode(found.st_mode)),
            kind => kind,
        };
        let is_folder = kind == FileType::Directory;
        if is_folder || kind == FileType::RegularFile {
            if entries.len() >= FOLDER_ENTRIES_MAX {
                are_all = false;
                break;
            }
            let slash = if is_folder { "/" } else { "" };
            entries.push(Entry { key: escaped(name) + slash, name: name.to_owned(), is_folder });
        }
    }
    sort_by(&mut entries, |one, other| one.key.cmp(&other.key));
    Ok((entries, are_all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_folder_is_listed_in_pages_in_the_order_of_its_uris() {
        let folder = std::env::temp_dir().join(format!("rill-files{}", std::process::id()));
        for path in
            ["a/x", "a/.hidden", "a-b", "a.txt", "a/sub/y z", "é", "b/c", "z\\", ".git/config", "100%"]
        {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink("a", folder.join("link")).unwrap();
        fs::create_dir(folder.join("empty")).unwrap();
        let all = list(&folder, "", usize::MAX).unwrap().paths;
        assert_eq!(all, ["%C3%A9", "100%25", "a-b", "a.txt", "a/sub/y%20z", "a/x", "b/c"]);
        assert!(all.is_sorted());
        for size in 1..=all.len() {
            let mut paged: Vec<String> = Vec::new();
            loop {
                let page = list(&folder, paged.last().map_or("", String::as_str), size).unwrap().paths;
                assert!(page.len() <= size);
                if page.is_empty() {
                    break;
                }
                paged.extend(page);
            }
            assert_eq!(paged, all, "pages of {size}");
        }
        // A file that has gone is a place between two others all the same.
        assert_eq!(list(&folder, "a/w", 2).unwrap().paths, ["a/x", "b/c"]);
        fs::remove_dir_all(&folder).unwrap();
        assert!(list(&folder, "", 1).is_err());
    }

    #[test]
    fn so_many_entries_of_a_folder_are_listed() {
        let folder = std::env::temp_dir().join(format!("rill-entries{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        (0..FOLDER_ENTRIES_MAX).for_each(|number| fs::write(folder.join(number.to_string()), "").unwrap());
        let all = list(&folder, "", usize::MAX).unwrap();
        assert_eq!((all.paths.len(), all.cut), (FOLDER_ENTRIES_MAX, None));
        // What is not served does not count.
        fs::write(folder.join(".hidden"), "").unwrap();
        assert_eq!(list(&folder, "", usize::MAX).unwrap().cut, None);
        fs::write(folder.join("more"), "").unwrap();
        let some = list(&folder, "", usize::MAX).unwrap();
        assert_eq!(some.paths.len(), FOLDER_ENTRIES_MAX);
        let cut = ("it has more than 10000 entries (folder_entries_max)".to_owned(), String::new());
        assert_eq!(some.cut, Some(cut));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn files_are_served_down_to_a_depth() {
        let folder = std::env::temp_dir().join(format!("rill-depth{}", std::process::id()));
        let path = |depth: usize| vec!["d"; depth - 1].join("/") + "/f";
        for depth in [FOLDER_DEPTH_MAX, FOLDER_DEPTH_MAX + 1] {
            let path = folder.join(path(depth));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "text").unwrap();
        }
        let read = |depth: usize| Place::Below(folder.clone(), path(depth)).read(4);
        assert_eq!(read(FOLDER_DEPTH_MAX).unwrap(), b"text");
        let deeper = read(FOLDER_DEPTH_MAX + 1).unwrap_err().to_string();
        assert_eq!(deeper, "its path has more than 32 segments (folder_depth_max)");
        let listed = list(&folder, "", usize::MAX).unwrap();
        assert_eq!(listed.paths, [path(FOLDER_DEPTH_MAX)]);
        let cut = ("it is deeper than 32 (folder_depth_max)".to_owned(), "d/".repeat(FOLDER_DEPTH_MAX));
        assert_eq!(listed.cut, Some(cut));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_is_read_up_to_a_size() {
        let path = std::env::temp_dir().join(format!("rill-size{}", std::process::id()));
        fs::write(&path, "12345").unwrap();
        let place = Place::Path(path.clone());
        assert_eq!(place.read(5).unwrap(), b"12345");
        let error = place.read(4).unwrap_err().to_string();
        assert_eq!(error, "it has more than 4 bytes; `bytesMax` in the manifest allows more");
        fs::remove_file(&path).unwrap();
        assert_eq!(place.read(4).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
