//! Which of many descriptors have become ready, for a service that has its own beside the engine's.
//!
//! *Scope:* waiting for pipes and sockets that are no connections. *Not in scope:* reading and writing them, which their owner
//! does.
//!
//! Its own descriptor goes to [`Listening::wake_on`](super::Listening::wake_on): the loop then calls the service's
//! [`tick`](crate::service::Service::tick) when one of them is ready, and that calls [`take`](Readiness::take).
//!
//! Events are edge-triggered: what was left to read or to write is not announced again.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

/// Events that are taken at once.
const EVENTS_MAX: usize = 256;

/// A set of descriptors.
pub(crate) struct Readiness {
    poll: Poll,
    events: Events,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    Reading,
    Writing,
    Both,
}

impl Readiness {
    pub(crate) fn new() -> io::Result<Readiness> {
        Ok(Readiness { poll: Poll::new()?, events: Events::with_capacity(EVENTS_MAX) })
    }

    /// Waits for a descriptor from now on. It must be removed before it is closed.
    pub(crate) fn add(&self, descriptor: BorrowedFd<'_>, token: usize, wanted: For) -> io::Result<()> {
        let interest = match wanted {
            For::Reading => Interest::READABLE,
            For::Writing => Interest::WRITABLE,
            For::Both => Interest::READABLE | Interest::WRITABLE,
        };
        self.poll.registry().register(&mut SourceFd(&descriptor.as_raw_fd()), Token(token), interest)
    }

    /// Forgets a descriptor.
    pub(crate) fn remove(&self, descriptor: BorrowedFd<'_>) {
        // One that was never added is forgotten too.
        let _ = self.poll.registry().deregister(&mut SourceFd(&descriptor.as_raw_fd()));
    }

    /// Appends the tokens of all descriptors to which something has happened since they were taken before, each with true if
    /// nothing more will come: that is not announced again. Does not wait.
    pub(crate) fn take(&mut self, tokens: &mut Vec<(usize, bool)>) -> io::Result<()> {
        loop {
            match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            let before = tokens.len();
            let read_closed = |event: &Event| event.is_read_closed() || event.is_error();
            tokens.extend(self.events.iter().map(|event| (event.token().0, read_closed(event))));
            if tokens.len() - before < EVENTS_MAX {
                return Ok(());
            }
        }
    }
}

impl AsRawFd for Readiness {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    #[test]
    fn what_is_ready_is_told_once() {
        let mut readiness = Readiness::new().unwrap();
        let (mut reader, mut writer) = io::pipe().unwrap();
        readiness.add(reader.as_fd(), 7, For::Reading).unwrap();
        let ready = |readiness: &mut Readiness| {
            let mut tokens = Vec::new();
            readiness.take(&mut tokens).unwrap();
            tokens
        };
        assert_eq!(ready(&mut readiness), []);
        writer.write_all(b"a").unwrap();
        assert_eq!(ready(&mut readiness), [(7, false)]);
        assert_eq!(ready(&mut readiness), []);
        reader.read_exact(&mut [0]).unwrap();
        readiness.add(writer.as_fd(), 8, For::Writing).unwrap();
        assert_eq!(ready(&mut readiness), [(8, false)]);
        readiness.remove(writer.as_fd());
        drop(writer);
        assert_eq!(ready(&mut readiness), [(7, true)], "its end is an event");
    }
}
