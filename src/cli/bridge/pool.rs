//! All children with their descriptors and deadlines.
//!
//! *Scope:* which descriptor belongs to which child, which children have output left to read, which deadlines have passed. *Not in
//! scope:* what is done then (`life`, `downward`).

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::child::{Child, State};
use crate::cli::bounds::{CHILD_ABANDON_DELAY, CHILD_INPUT_GRACE, CHILD_KILL_DELAY};
use crate::cli::process::piped::Piped;
use crate::net::readiness::{For, Readiness};
use crate::slab::{Key, Slab};

/// A descriptor of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Control,
    Stdin,
    Stdout,
    Stderr,
}

/// In the order of [`Piped::descriptors`].
const PARTS: [Part; 4] = [Part::Control, Part::Stdin, Part::Stdout, Part::Stderr];

pub(super) struct Pool {
    children: Slab<Child>,
    readiness: Readiness,
    deadlines: BTreeSet<(Duration, Key)>,
    /// Children whose output was not read to its end: no event announces the rest.
    unread: VecDeque<Key>,
    ready: VecDeque<(usize, bool)>,
}

impl Pool {
    pub(super) fn new(readiness: Readiness) -> Pool {
        Pool {
            children: Slab::default(),
            readiness,
            deadlines: BTreeSet::new(),
            unread: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.children.len()
    }

    pub(super) fn get(&self, key: Key) -> Option<&Child> {
        self.children.get(key)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Child> {
        self.children.get_mut(key)
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        self.children.iter().map(|(key, _)| key).collect()
    }

    /// Takes a child in, and waits for its descriptors from now on.
    pub(super) fn insert(&mut self, child: Child) -> io::Result<Key> {
        let key = self.children.insert(child);
        let Some(child) = self.children.get(key) else { return Ok(key) };
        let watched = PARTS.iter().zip(child.piped.descriptors()).try_for_each(|(part, descriptor)| {
            let wanted = match part {
                Part::Control => For::Both,
                Part::Stdin => For::Writing,
                Part::Stdout | Part::Stderr => For::Reading,
            };
            descriptor.map_or(Ok(()), |descriptor| self.readiness.add(descriptor, token(key, *part), wanted))
        });
        if let Err(error) = watched {
            self.remove(key);
            return Err(error);
        }
        Ok(key)
    }

    /// Takes a child out.
    pub(super) fn remove(&mut self, key: Key) -> Option<Child> {
        self.set_deadline(key, None);
        self.unread.retain(|unread| *unread != key);
        let child = self.children.remove(key)?;
        forget(&self.readiness, &child.piped);
        Some(child)
    }

    /// Does something with a child that may close some of its descriptors.
    pub(super) fn closing<T>(&mut self, key: Key, act: impl FnOnce(&mut Child) -> T) -> Option<T> {
        let Pool { children, readiness, .. } = self;
        let child = children.get_mut(key)?;
        let [_, stdin, ..] = child.piped.descriptors();
        stdin.into_iter().for_each(|stdin| readiness.remove(stdin));
        Some(act(child))
    }

    pub(super) fn set_deadline(&mut self, key: Key, deadline: Option<Duration>) {
        let Some(child) = self.children.get_mut(key) else { return };
        if let Some(before) = std::mem::replace(&mut child.deadline, deadline) {
            self.deadlines.remove(&(before, key));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, key));
        }
    }

    /// Takes out a child whose deadline has passed.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<Key> {
        let (_, key) = self.deadlines.first().filter(|(deadline, _)| *deadline <= now).copied()?;
        self.set_deadline(key, None);
        Some(key)
    }

    /// When something is due without an event.
    pub(super) fn due(&self) -> Option<Duration> {
        match self.unread.is_empty() {
            true => self.deadlines.first().map(|(deadline, _)| *deadline),
            false => Some(Duration::ZERO),
        }
    }

    /// Takes in what has happened to the children since the last call, for [`next_event`](Pool::next_event).
    pub(super) fn take_events(&mut self) {
        self.readiness.take(&mut self.ready);
    }

    /// The next thing that has happened to a child; true if that is the end of what can be read.
    pub(super) fn next_event(&mut self) -> Option<(Key, Part, bool)> {
        while let Some((token, is_end)) = self.ready.pop_front() {
            let child =
                u32::try_from(token / PARTS.len()).ok().and_then(|index| self.children.entry_at(index));
            if let (Some((key, _)), Some(part)) = (child, PARTS.get(token % PARTS.len())) {
                return Some((key, *part, is_end));
            }
        }
        None
    }

    /// Notes that a child's output was not read to its end.
    pub(super) fn read_later(&mut self, key: Key) {
        if !self.unread.contains(&key) {
            self.unread.push_back(key);
        }
    }

    /// The children whose output was not read to its end.
    pub(super) fn take_unread(&mut self) -> VecDeque<Key> {
        std::mem::take(&mut self.unread)
    }
}

/// All children are ended with the bridge, each as usual, and together.
impl Drop for Pool {
    fn drop(&mut self) {
        self.children.values_mut().for_each(|child| child.piped.close_stdin());
        if self.wait(CHILD_INPUT_GRACE) {
            return;
        }
        for child in self.children.values_mut().filter(|child| child.state != State::Ending) {
            child.piped.terminate();
        }
        // Guards go on after that.
        self.wait(CHILD_KILL_DELAY + CHILD_ABANDON_DELAY);
    }
}

impl Pool {
    /// Waits until all children have ended, at most for so long. Returns true if they have.
    fn wait(&mut self, patience: Duration) -> bool {
        let until = now() + patience;
        loop {
            for key in self.keys() {
                if self.get_mut(key).is_some_and(|child| child.piped.has_ended()) {
                    self.remove(key);
                }
            }
            let left = until.saturating_duration_since(now());
            if self.children.len() == 0 || left.is_zero() {
                return self.children.len() == 0;
            }
            let controls = self.children.iter().map(|(_, child)| child.piped.control());
            let mut controls: Vec<_> =
                controls.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
            // An interrupted wait is as good as one that ended.
            let _ = poll(&mut controls, Timespec::try_from(left).ok().as_ref());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "processes go with real time")]
fn now() -> Instant {
    Instant::now()
}

/// The number of a child that has ended may be that of a new one, which is then looked at once too often.
fn token(key: Key, part: Part) -> usize {
    let part = PARTS.iter().position(|one| *one == part).unwrap_or(0);
    key.index() as usize * PARTS.len() + part
}

fn forget(readiness: &Readiness, piped: &Piped) {
    piped.descriptors().into_iter().flatten().for_each(|descriptor| readiness.remove(descriptor));
}
