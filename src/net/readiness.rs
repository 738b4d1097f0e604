//! Which descriptors of services have become ready, for services that have their own beside the engine's.
//!
//! *Scope:* waiting for pipes and sockets that are no connections, in the poll of the loop itself: a poll of its own would cost a
//! service one more system call for each wake-up. *Not in scope:* reading and writing them, which their owner does.
//!
//! ```text
//!   LoopPoll ──▶ Readiness of each service ── add, remove ──▶ the loop's poll
//!      │                  ▲                                        │
//!      ▼                  └── take ◀── ReadyDescriptors ◀── note ──┘ and the service's tick is called
//!   Listening
//! ```
//!
//! A service outside of this crate has [`Listening::wake_on`]. Events are edge-triggered: what was left to read or to write is not
//! announced again.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Poll, Registry, Token};

use super::Listening;
use crate::engine::Engine;

/// Tokens of services' descriptors have the highest bit, which those of connections have not. Those of the loop itself are above.
const SERVICES: usize = 1 << (usize::BITS - 1);
/// How many bits of such a token say which descriptor of the service it is.
const TOKEN_BITS: u32 = 18;
/// As many services as a word of 32 bits has room for.
const SERVICES_MAX: usize = 1 << (31 - TOKEN_BITS - 1);

/// The poll of a loop that does not run yet, for services with descriptors of their own.
pub(crate) struct LoopPoll {
    poll: Poll,
    ready: ReadyDescriptors,
}

impl LoopPoll {
    pub(crate) fn new() -> io::Result<LoopPoll> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let ready = ReadyDescriptors(Arc::new((registry, Mutex::default())));
        Ok(LoopPoll { poll, ready })
    }

    /// For the services that are made before the loop.
    pub(crate) fn ready(&self) -> ReadyDescriptors {
        self.ready.clone()
    }
}

impl Listening {
    /// As [`Listening::new`], with a poll in which the engine's service has descriptors.
    pub(crate) fn on(engine: Engine, LoopPoll { poll, ready }: LoopPoll) -> io::Result<Listening> {
        let mut listening = Listening::with_poll(engine, poll)?;
        listening.ready = Some(ready);
        Ok(listening)
    }
}

/// What the loop has heard of the descriptors of all services, until they take it.
#[derive(Clone)]
pub(crate) struct ReadyDescriptors(Arc<(Registry, Mutex<Vec<Ready>>)>);

impl ReadyDescriptors {
    /// The descriptors of one more service.
    ///
    /// # Errors
    /// If there are as many services as tokens can tell apart.
    pub(crate) fn of_service(&self) -> io::Result<Readiness> {
        let mut services = self.services();
        let service = services.len();
        if service >= SERVICES_MAX {
            return Err(too_many(format!("at most {SERVICES_MAX} services can have descriptors")));
        }
        services.push(Ready::default());
        Ok(Readiness { all: self.clone(), service })
    }

    /// Keeps an event for its service. Returns false if it is no service's.
    pub(super) fn note(&self, event: &Event) -> bool {
        let Some(token) = event.token().0.checked_sub(SERVICES) else { return false };
        let mut services = self.services();
        let Some(ready) = services.get_mut(token >> TOKEN_BITS) else { return false };
        ready.note(token & ((1 << TOKEN_BITS) - 1), event.is_read_closed() || event.is_error());
        true
    }

    fn registry(&self) -> &Registry {
        &self.0.0
    }

    fn services(&self) -> MutexGuard<'_, Vec<Ready>> {
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those of one service that are ready.
#[derive(Default)]
struct Ready {
    /// Each once, however often it was announced.
    tokens: Vec<usize>,
    /// By token.
    heard: Vec<Heard>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Heard {
    #[default]
    Nothing,
    Ready,
    /// Nothing more will come.
    End,
}

impl Ready {
    fn note(&mut self, token: usize, is_end: bool) {
        if self.heard.len() <= token {
            self.heard.resize(token + 1, Heard::Nothing);
        }
        let Some(heard) = self.heard.get_mut(token) else { return };
        if *heard == Heard::Nothing {
            self.tokens.push(token);
        }
        if *heard != Heard::End {
            *heard = if is_end { Heard::End } else { Heard::Ready };
        }
    }
}

/// The descriptors of one service.
pub(crate) struct Readiness {
    all: ReadyDescriptors,
    service: usize,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    Reading,
    Writing,
    Both,
}

impl Readiness {
    /// Tokens are below this.
    pub(crate) const TOKENS: usize = 1 << TOKEN_BITS;

    /// Waits for a descriptor from now on. It must be removed before it is closed.
    pub(crate) fn add(&self, descriptor: BorrowedFd<'_>, token: usize, wanted: For) -> io::Result<()> {
        let interest = match wanted {
            For::Reading => Interest::READABLE,
            For::Writing => Interest::WRITABLE,
            For::Both => Interest::READABLE | Interest::WRITABLE,
        };
        if token >= Readiness::TOKENS {
            return Err(too_many(format!("a service can have at most {} descriptors", Readiness::TOKENS)));
        }
        let token = Token(SERVICES + (self.service << TOKEN_BITS) + token);
        self.all.registry().register(&mut SourceFd(&descriptor.as_raw_fd()), token, interest)
    }

    /// Forgets a descriptor.
    pub(crate) fn remove(&self, descriptor: BorrowedFd<'_>) {
        // One that was never added is forgotten too.
        let _ = self.all.registry().deregister(&mut SourceFd(&descriptor.as_raw_fd()));
    }

    /// Appends the tokens of all descriptors to which something has happened since they were taken before, each with true if
    /// nothing more will come: that is not announced again.
    pub(crate) fn take(&self, tokens: &mut VecDeque<(usize, bool)>) {
        let mut services = self.all.services();
        let Some(Ready { tokens: ready, heard }) = services.get_mut(self.service) else { return };
        tokens.extend(ready.drain(..).map(|token| {
            let heard = heard.get_mut(token).map(std::mem::take);
            (token, heard == Some(Heard::End))
        }));
    }
}

fn too_many(text: String) -> io::Error {
    io::Error::new(ErrorKind::QuotaExceeded, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::random_id;
    use crate::server::builder::Server;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::time::Duration;

    #[test]
    fn what_is_ready_is_told_once_and_to_its_service() {
        let poll = LoopPoll::new().unwrap();
        let [other, readiness] = [(); 2].map(|()| poll.ready().of_service().unwrap());
        let engine = Engine::new(Server::new("test", "1"), random_id).unwrap();
        let mut listening = Listening::on(engine, poll).unwrap();
        let (mut reader, mut writer) = io::pipe().unwrap();
        readiness.add(reader.as_fd(), 7, For::Reading).unwrap();
        let mut ready = |readiness: &Readiness| {
            let mut tokens = VecDeque::new();
            listening.poll(Some(Duration::ZERO)).unwrap();
            readiness.take(&mut tokens);
            Vec::from(tokens)
        };
        assert_eq!(ready(&readiness), []);
        writer.write_all(b"a").unwrap();
        assert_eq!(ready(&other), []);
        // Heard in two turns, and told once.
        writer.write_all(b"b").unwrap();
        assert_eq!(ready(&readiness), [(7, false)]);
        assert_eq!(ready(&readiness), []);
        reader.read_exact(&mut [0; 2]).unwrap();
        readiness.add(writer.as_fd(), Readiness::TOKENS - 1, For::Writing).unwrap();
        assert_eq!(ready(&readiness), [(Readiness::TOKENS - 1, false)]);
        assert!(other.add(writer.as_fd(), Readiness::TOKENS, For::Writing).is_err());
        readiness.remove(writer.as_fd());
        drop(writer);
        assert_eq!(ready(&readiness), [(7, true)], "its end is an event");
    }

    #[test]
    fn as_many_services_have_descriptors_as_tokens_tell_apart() {
        let poll = LoopPoll::new().unwrap();
        let ready = poll.ready();
        let services: Vec<Readiness> = (0..SERVICES_MAX).map(|_| ready.of_service().unwrap()).collect();
        assert!(ready.of_service().is_err());
        // The last token of the last one is below those of the loop, also where a word has 32 bits.
        let last = services.last().unwrap();
        assert!((last.service << TOKEN_BITS) + Readiness::TOKENS - 1 < (1 << 31) - 2048);
    }
}
