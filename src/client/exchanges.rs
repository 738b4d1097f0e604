//! All requests in progress with one server over HTTP, and the connections between them.
//!
//! *Scope:* which connection is read when, what has arrived, kept connections, lost streams.
//! *Not in scope:* what differs between the transports, and what messages say.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::connection::Connection;
use crate::client::deadline::left;
use crate::client::error::Error;
use crate::client::exchange::{Exchange, Purpose, Step};
use crate::client::kept::Kept;
use crate::client::socket::SLICE;
use crate::client::target::Target;
use crate::client::transport::{Arrival, RequestDefaults, Transport};
use crate::jsonrpc::id::Id;

/// How long one connection is read alone while others are open too.
const TURN: Duration = Duration::from_millis(10);

/// A server, and everything in progress with it.
#[derive(Debug)]
pub(super) struct Exchanges {
    pub(super) target: Target,
    /// The data of the last `endpoint` event.
    pub(super) endpoint: Option<String>,
    /// Why the stream of the session has ended.
    pub(super) trouble: Option<Error>,
    pub(super) open: Vec<Exchange>,
    /// Which exchange is waited for next.
    turn: usize,
    kept: Kept,
    inbox: VecDeque<Arrival>,
    inbox_bytes: usize,
}

impl Exchanges {
    pub(super) fn new(defaults: &Arc<RequestDefaults>, transport: Transport) -> Exchanges {
        let (defaults, version) = (defaults.clone(), String::new());
        Exchanges {
            target: Target { defaults, transport, session_id: None, version },
            endpoint: None,
            trouble: None,
            open: Vec::new(),
            turn: 0,
            kept: Kept::default(),
            inbox: VecDeque::new(),
            inbox_bytes: 0,
        }
    }

    /// Sends a request for the stream of the session itself.
    pub(super) fn open_stream(&mut self, deadline: Instant) -> Result<(), Error> {
        let request = self.target.get("");
        self.start(Purpose::Stream, request, deadline)
    }

    pub(super) fn stream(&self) -> Option<&Exchange> {
        self.open.iter().find(|exchange| exchange.purpose == Purpose::Stream && !exchange.is_done())
    }

    /// Sends a request whose response is read later.
    pub(super) fn start(
        &mut self,
        purpose: Purpose,
        request: Vec<u8>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let exchange = self.send(purpose, request, deadline)?;
        self.open.push(exchange);
        Ok(())
    }

    /// Sends a request and waits for its response, of which only the status counts. Returns that, and what the body says.
    pub(super) fn deliver(&mut self, request: Vec<u8>, deadline: Instant) -> Result<(u16, String), Error> {
        let mut exchange = self.send(Purpose::Delivery, request, deadline)?;
        loop {
            let left = match left(deadline) {
                Ok(left) => left,
                Err(timeout) => return exchange.cut_short().ok_or(timeout),
            };
            match exchange.step(left.min(SLICE), &self.target, deadline)? {
                Step::Partial(false) => self.drain(deadline)?,
                Step::Whole(status, text, kept) => {
                    self.kept.put(kept);
                    return Ok((status, text));
                }
                _ => {}
            }
        }
    }

    /// Returns what has arrived first.
    pub(super) fn pop(&mut self) -> Option<Arrival> {
        let arrival = self.inbox.pop_front()?;
        self.inbox_bytes -= bytes(&arrival);
        Some(arrival)
    }

    /// True if as much has arrived as is kept before someone asks for it.
    pub(super) fn is_full(&self) -> bool {
        self.inbox_bytes >= self.target.defaults.event_bytes_max
    }

    /// Reads each connection once. The one of `awaited` is waited for, or each in turn; the others get short looks.
    pub(super) fn read(&mut self, deadline: Instant, awaited: Option<&Id>) -> Result<(), Error> {
        self.check_stream()?;
        let left = left(deadline)?;
        if self.open.is_empty() {
            // Nothing is open that could bring anything.
            return Err(if awaited.is_none() { Error::Timeout } else { Error::Closed });
        }
        self.turn = (self.turn + 1) % self.open.len();
        let chosen = awaited.and_then(|id| self.position(id)).unwrap_or(self.turn);
        let mut came = false;
        for at in (0..self.open.len()).filter(|at| *at != chosen) {
            came |= self.step(at, Duration::ZERO, deadline);
        }
        let wait = match self.open.len() {
            _ if came => Duration::ZERO,
            1 => SLICE,
            _ => TURN,
        };
        self.step(chosen, wait.min(left), deadline);
        self.open.retain(|exchange| !exchange.is_done());
        Ok(())
    }

    /// Ends the exchange for this request.
    pub(super) fn forget(&mut self, id: &Id) {
        if let Some(at) = self.position(id) {
            let kept = self.open.swap_remove(at).finish(&self.target.defaults.limits);
            self.kept.put(kept);
        }
    }

    /// Closes all connections.
    pub(super) fn close(&mut self) {
        self.open.clear();
        self.kept.clear();
        (self.inbox, self.inbox_bytes, self.trouble) = (VecDeque::new(), 0, None);
    }

    fn position(&self, id: &Id) -> Option<usize> {
        self.open
            .iter()
            .position(|exchange| matches!(&exchange.purpose, Purpose::Answer(found) if found == id))
    }

    /// A session over HTTP+SSE has ended with its stream.
    pub(super) fn check_stream(&mut self) -> Result<(), Error> {
        if self.target.transport != Transport::Sse || self.stream().is_some() {
            return Ok(());
        }
        Err(self.trouble.take().unwrap_or(Error::Closed))
    }

    /// Sends a request on a connection that was kept, or a new one, and reads the other connections meanwhile.
    fn send(&mut self, purpose: Purpose, request: Vec<u8>, deadline: Instant) -> Result<Exchange, Error> {
        let mut connection = match self.kept.take() {
            Some(kept) => kept,
            None => Connection::open(&self.target.defaults.url, deadline)?,
        };
        connection.send(&request, deadline, || self.drain(deadline))?;
        Ok(Exchange::new(purpose, connection, request))
    }

    /// Takes what has come without waiting, so that a server can go on that is stuck until its streams are read.
    ///
    /// The end of a stream that the session needs is an error one turn later only: the server may have answered a message
    /// before it.
    fn drain(&mut self, deadline: Instant) -> Result<(), Error> {
        // While the stream is being requested nothing is open.
        if !self.open.is_empty() {
            self.check_stream()?;
        }
        for at in 0..self.open.len() {
            while !self.is_full() && Instant::now() < deadline && self.step(at, Duration::ZERO, deadline) {}
        }
        Ok(())
    }

    /// Reads one exchange once. Returns true if there may be more at once.
    fn step(&mut self, at: usize, wait: Duration, deadline: Instant) -> bool {
        let Some(exchange) = self.open.get_mut(at) else { return false };
        let step = exchange.step(wait, &self.target, deadline);
        if self.target.transport == Transport::Streamable && self.target.session_id.is_none() {
            self.target.session_id = exchange.session_id.clone();
        }
        let id = match &exchange.purpose {
            Purpose::Answer(id) => Some(id.clone()),
            _ => None,
        };
        let outcome = match step {
            Ok(Step::Partial(came)) => return came,
            Ok(Step::Event(event)) => {
                match &*event.name {
                    // Some events have no data: they keep a stream alive, or give it an id to be resumed by.
                    "message" if !event.data.is_empty() => self.keep(Arrival::Message(event.data, None)),
                    "endpoint" if self.target.transport == Transport::Sse => {
                        self.endpoint = Some(event.data);
                    }
                    _ => {}
                }
                return true;
            }
            Ok(Step::Whole(status, text, kept)) => {
                self.kept.put(kept);
                if status == 200 { Ok(text) } else { Err(Error::Http { status, body: text }) }
            }
            Err(error) => Err(error),
        };
        match (id, outcome) {
            (Some(id), Ok(text)) => self.keep(Arrival::Message(text, Some(id))),
            (Some(id), Err(error)) => self.keep(Arrival::Failed(id, error)),
            (None, outcome) => self.trouble = outcome.err(),
        }
        true
    }

    fn keep(&mut self, arrival: Arrival) {
        self.inbox_bytes += bytes(&arrival);
        self.inbox.push_back(arrival);
    }
}

fn bytes(arrival: &Arrival) -> usize {
    match arrival {
        Arrival::Message(text, _) => text.len(),
        Arrival::Failed(..) => 0,
    }
}
