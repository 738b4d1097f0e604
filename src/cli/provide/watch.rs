//! Files that clients have subscribed to are looked at once a second.
//!
//! *Scope:* which files, and noticing that one has changed. *Not in scope:* telling clients (`Handle::resource_updated`).
//!
//! When a change is announced, the server asks for each subscriber whether it may hear of it. A file for which nothing is asked has
//! no subscriber left, and is no longer watched.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::files::{Place, Stamp};
use super::resource::Files;
use crate::cli::bounds::WATCHED_FILES_MAX;
use crate::cli::messages::say_aside;
use crate::server::handle::Handle;
use crate::threads;

const PERIOD: Duration = Duration::from_secs(1);

/// The files that are looked at. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<Watched>>);

#[derive(Default)]
struct Watched {
    files: Files,
    /// By URI in normal form.
    seen: HashMap<String, Seen>,
    /// Counts the times that a subscriber was asked about.
    asked: u64,
    /// True once it was said that there are too many files.
    is_told: bool,
}

struct Seen {
    stamp: Option<Stamp>,
    asked: u64,
    /// True from when a change was announced until a subscriber is asked about.
    announced: bool,
}

impl Watch {
    /// Replaces the files of resources, after a reload.
    pub(super) fn set_files(&self, files: Files) {
        self.watched().files = files;
    }

    /// Begins to look at the file of this URI in normal form, if it is one.
    pub(super) fn add(&self, uri: &str) {
        let mut watched = self.watched();
        watched.asked += 1;
        let asked = watched.asked;
        if let Some(seen) = watched.seen.get_mut(uri) {
            seen.asked = asked;
            seen.announced = false;
            return;
        }
        let Some(place) = watched.files.place(uri) else { return };
        if watched.seen.len() >= WATCHED_FILES_MAX {
            let oldest = watched.seen.iter().min_by_key(|(_, seen)| seen.asked).map(|(uri, _)| uri.clone());
            oldest.and_then(|uri| watched.seen.remove(&uri));
            if !std::mem::replace(&mut watched.is_told, true) {
                say_aside(format!(
                    "changes of some subscribed files are not announced: only {WATCHED_FILES_MAX} are looked at (watched_files_max)"
                ));
            }
        }
        let seen = Seen { stamp: place.stamp(), asked, announced: false };
        watched.seen.insert(uri.to_owned(), seen);
    }

    /// Looks at all files once. Returns the URIs of those that have changed.
    fn look(&self) -> Vec<String> {
        let mut watched = self.watched();
        watched.seen.retain(|_, seen| !seen.announced);
        let places: Vec<(String, Option<Place>)> =
            watched.seen.keys().map(|uri| (uri.clone(), watched.files.place(uri))).collect();
        drop(watched);
        // A file system that does not answer holds up nothing else.
        let stamps = places.into_iter().map(|(uri, place)| (uri, place.and_then(|place| place.stamp())));
        let stamps: Vec<(String, Option<Stamp>)> = stamps.collect();
        let mut watched = self.watched();
        let mut changed = Vec::new();
        for (uri, stamp) in stamps {
            if let Some(seen) = watched.seen.get_mut(&uri).filter(|seen| seen.stamp != stamp) {
                seen.stamp = stamp;
                seen.announced = true;
                changed.push(uri);
            }
        }
        changed
    }

    /// Starts the thread that announces changes until the server has ended.
    ///
    /// # Errors
    /// If the system starts no thread.
    pub(crate) fn start(&self, handle: Handle) -> io::Result<()> {
        let watch = self.clone();
        threads::start("watch", move || {
            while !handle.has_ended() {
                thread::sleep(PERIOD);
                watch.look().iter().for_each(|uri| handle.resource_updated(uri));
            }
        })?;
        Ok(())
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn so_many_files_are_looked_at() {
        let watch = Watch::default();
        let mut files = Files::default();
        files.add_folder("docs:///", "/nowhere");
        watch.set_files(files);
        let uri = |number: usize| format!("docs:///{number}");
        (0..WATCHED_FILES_MAX).for_each(|number| watch.add(&uri(number)));
        // This one was asked about again, so the next one is the oldest.
        watch.add(&uri(0));
        assert_eq!(watch.watched().seen.len(), WATCHED_FILES_MAX);
        watch.add(&uri(WATCHED_FILES_MAX));
        let watched = watch.watched();
        assert_eq!(watched.seen.len(), WATCHED_FILES_MAX);
        assert!(watched.seen.contains_key(&uri(0)) && !watched.seen.contains_key(&uri(1)));
        assert!(watched.seen.contains_key(&uri(WATCHED_FILES_MAX)));
    }

    #[test]
    fn a_file_is_looked_at_as_long_as_it_has_subscribers() {
        let folder = std::env::temp_dir().join(format!("rill-watch{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a"), "one").unwrap();
        let watch = Watch::default();
        let mut files = Files::default();
        files.add_folder("docs:///", folder.to_str().unwrap());
        watch.set_files(files);
        ["docs:///a", "docs:///none", "other:///a"].iter().for_each(|uri| watch.add(uri));
        assert!(watch.look().is_empty());
        fs::write(folder.join("a"), "longer").unwrap();
        assert_eq!(watch.look(), ["docs:///a"]);
        watch.add("docs:///a");
        fs::remove_file(folder.join("a")).unwrap();
        assert_eq!(watch.look(), ["docs:///a"]);
        // No subscriber was asked about: it is forgotten, and the other one is not.
        fs::write(folder.join("a"), "again").unwrap();
        fs::write(folder.join("none"), "there").unwrap();
        assert_eq!(watch.look(), ["docs:///none"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
