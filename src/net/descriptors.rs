//! Descriptors between loops: that of the server in a loop around it, and those of a service in the server's.
//!
//! *Scope:* [`Listening`] as a descriptor, and [`Listening::wake_on`]. *Not in scope:* the turns, and the many descriptors of services of
//! this crate (`readiness`).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use mio::Interest;
use mio::unix::SourceFd;

use super::{Listening, SERVICE};

/// The descriptor of all of its sockets together, for a loop of your own: see [`Listening::poll`].
impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.registry().as_fd()
    }
}

/// As [`AsFd`].
impl AsRawFd for Listening {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

impl Listening {
    /// Calls [`Service::tick`](crate::service::Service::tick) in the next turn whenever the descriptor becomes readable: for a
    /// service that has descriptors of its own, such as the pipes of children. With more than one of them the service gathers them
    /// in a poll of its own, whose descriptor is this one. It is edge-triggered: what the service leaves unread is not announced
    /// again, and is what its [`due`](crate::service::Service::due) is for. The descriptor is forgotten when it is closed. Only on
    /// Unix.
    ///
    /// ```
    /// use mcp_rill::engine::{Engine, EngineConfig};
    /// use mcp_rill::net::{Listening, random_id};
    /// use mcp_rill::service::{Outbox, Service, ServiceRequest, Session};
    /// use mcp_rill::{Limits, Now, Settings};
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    ///
    /// struct Ear(UnixStream);
    ///
    /// impl Service for Ear {
    ///     fn request(&mut self, request: &ServiceRequest<'_>, _: &mut Session, out: &mut Outbox) {
    ///         out.empty_result(request.call);
    ///     }
    ///
    ///     fn tick(&mut self, _: Now, _: &mut Outbox) {
    ///         let mut heard = [0; 16];
    ///         while let Ok(1..) = self.0.read(&mut heard) {
    ///             println!("heard something");
    ///         }
    ///     }
    /// }
    ///
    /// let (mut mouth, ear) = UnixStream::pair()?;
    /// ear.set_nonblocking(true)?;
    /// let descriptor = ear.try_clone()?;
    /// let config = EngineConfig::new(Settings::default(), Limits::default()).map_err(std::io::Error::other)?;
    /// let mut listening = Listening::new(Engine::with_service(Box::new(Ear(ear)), config, random_id))?;
    /// listening.wake_on(&descriptor)?;
    /// mouth.write_all(b"hello")?;
    /// listening.poll(None)?; // calls `tick`
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the system cannot wait for the descriptor, for instance because it is a regular file.
    pub fn wake_on(&mut self, descriptor: &impl AsRawFd) -> io::Result<()> {
        let descriptor = descriptor.as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&descriptor), SERVICE, Interest::READABLE)
    }
}
