//! The data of one connection.
//!
//! *Scope:* [`Connection`] and who was admitted on it. *Not in scope:* what is done with it (`core`).

use crate::access::peer::{Peer, Principal};
use crate::engine::state::peers::Share;
use crate::engine::state::streams::{Held, Post};
use crate::http::conn::Conn;
use crate::memory::Charge;
use crate::slab::Key;
use crate::timers::{Linked, Nanos, Now, TimerLink};

/// What a request is for, once it is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A new session of HTTP+SSE.
    Stream,
    /// The head that a session of HTTP+SSE would get.
    StreamHead,
    /// A message into this session of HTTP+SSE.
    Message(Key),
    /// Messages of Streamable HTTP.
    McpPost,
    /// The stream of a session of Streamable HTTP.
    McpGet,
    /// The end of a session of Streamable HTTP.
    McpDelete,
}

/// One connection.
pub(crate) struct Connection {
    pub(crate) http: Conn,
    /// Who is at the other end; the principal is that of the present request.
    pub(crate) peer: Peer,
    /// As what it is counted.
    pub(crate) share: Share,
    /// Only where a hook says who that is.
    pub(crate) admitted: Option<Box<Admitted>>,
    /// What the request is for whose body is on its way.
    pub(crate) awaited: Option<Box<Target>>,
    /// The session whose stream this is.
    pub(crate) session: Option<Key>,
    /// The requests of which the answer is awaited on this connection.
    pub(crate) post: Option<Box<Post>>,
    /// What a slow stream has not been told.
    pub(crate) held: Option<Box<Held>>,
    timer: TimerLink,
    /// When the stream last got output, for keep-alive comments.
    pub(crate) last_output: Nanos,
    pub(crate) queued: bool,
    /// The last write was short, and no writable event has come since.
    pub(crate) blocked: bool,
    /// The driver was told to stop reading.
    pub(crate) paused: bool,
    pub(crate) closing: bool,
}

impl Connection {
    pub(crate) fn new(now: Now, peer: Peer, share: Share) -> Connection {
        Connection {
            http: Conn::new(now),
            peer,
            share,
            admitted: None,
            awaited: None,
            session: None,
            post: None,
            held: None,
            timer: TimerLink::default(),
            last_output: Nanos::of(now),
            queued: false,
            blocked: false,
            paused: false,
            closing: false,
        }
    }

    /// Whether it carries a stream, or an answer that may become one.
    pub(crate) fn is_streaming(&self) -> bool {
        self.session.is_some() || self.post.as_ref().is_some_and(|post| post.sse)
    }
}

impl Linked for Connection {
    fn link(&mut self) -> &mut TimerLink {
        &mut self.timer
    }
}

/// What a connection is known by where a hook decides.
pub(crate) struct Admitted {
    /// Who the transport says it is.
    pub(crate) transport: Option<Principal>,
    /// The head of the request that has a stream or an answer open, to ask about it again; else empty.
    request: Box<[u8]>,
    /// The engine's count of reauthorizations when the hook was last asked about the present request.
    pub(crate) asked_at: u64,
    charge: Charge,
}

impl Admitted {
    pub(crate) fn new(transport: Option<Principal>, charge: Charge) -> Admitted {
        Admitted { transport, request: Box::default(), asked_at: 0, charge }
    }

    pub(crate) fn request(&self) -> &[u8] {
        &self.request
    }

    pub(crate) fn keep(&mut self, request: Box<[u8]>) {
        self.charge.set(request.len());
        self.request = request;
    }
}
