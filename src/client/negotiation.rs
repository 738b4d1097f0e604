//! How a client finds out what a server speaks, and how both agree on a revision.
//!
//! *Scope:* the steps of MCP 2026-07-28, basic, "Versioning", and of MCP 2025-11-25, transports, "Backwards
//! Compatibility". *Not in scope:* how messages travel.
//!
//! ```text
//!   POST server/discover ──2026-07-28──▶ stateless
//!     │ any other revisions, an error of JSON-RPC, 4xx
//!     ▼
//!   POST initialize ──────result───────▶ Streamable HTTP
//!     │ 4xx, whatever its body says
//!     ▼
//!   GET ───────────`endpoint` event────▶ HTTP+SSE ──▶ initialize
//! ```
//!
//! 401, 403, 407, 408, 429, 5xx and a timeout end it at any step: they say nothing about what the server speaks. A child is
//! sent `initialize` next if it answers `server/discover` with an error, does not answer, or ends, which some servers do at
//! anything but `initialize`; it is started again then.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::client::Client;
use crate::client::deadline::after;
use crate::client::error::{Error, may_be_another_transport};
use crate::client::object;
use crate::client::stateless::Stateless;
use crate::client::transport::Transport;
use crate::json::tape::Tape;
use crate::json::value::{JsonBuf, JsonRef};
use crate::jsonrpc;
use crate::protocol::revision::Revision;
use crate::text::shown;

/// The revision of this name that the client speaks.
fn revision_named(name: &str) -> Option<Revision> {
    Revision::KNOWN.iter().copied().find(|revision| revision.name() == name)
}

/// UnsupportedProtocolVersionError (MCP 2026-07-28, schema).
const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;

impl Client {
    /// Agrees with the server on a revision: by `initialize` (MCP 2025-11-25, lifecycle), or by `server/discover` on a
    /// stateless client. [`connect`](Client::connect) has done so.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), mcp_rill::client::Error> {
    /// let mut client = mcp_rill::client::Client::builder().open("http://127.0.0.1:3001/sse")?;
    /// client.ping()?; // servers answer it before `initialize`, too
    /// client.initialize()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`request`](Client::request), and [`Error::Protocol`] if the server wants a revision that this crate does not
    /// know.
    pub fn initialize(&mut self) -> Result<(), Error> {
        if self.stateless.is_none() {
            return self.handshake(None);
        }
        let welcome = self.ask_for_revisions()?;
        let served = revisions(&welcome, "supportedVersions");
        let Probed::Stateless(revision) = Probed::of(&served) else { return Err(strange(&served)) };
        self.welcomed(revision, &welcome);
        Ok(())
    }

    /// Finds the transport, and initializes.
    pub(super) fn discover(&mut self) -> Result<(), Error> {
        let asked = self.options.revision.as_deref();
        // A caller who asks for an older revision does not want the newest.
        if asked.is_some_and(|name| revision_named(name).is_none_or(Revision::has_sessions)) {
            return self.open_session(None);
        }
        self.become_stateless();
        match self.probe()? {
            Probed::Stateless(_) => Ok(()),
            Probed::Sessions(revision) => self.open_session(revision),
            // Servers of both eras name only their revisions without sessions.
            Probed::Strange(strange) => self.open_session(None).map_err(|error| match error {
                Error::Rpc(_) | Error::Protocol(_) => strange,
                error => error,
            }),
        }
    }

    /// The steps for servers with sessions.
    fn open_session(&mut self, legacy: Option<Revision>) -> Result<(), Error> {
        self.stateless = None;
        self.carrier.change_transport(Transport::Streamable);
        let Err(refused) = self.handshake(legacy) else { return Ok(()) };
        // The status counts, also if the body says in terms of JSON-RPC what is wrong.
        let status = match &refused {
            Error::Http { status, .. } => Some(*status),
            Error::Rpc(_) => self.refusal_status,
            _ => None,
        };
        let Some(post) = status.filter(|status| may_be_another_transport(*status)) else {
            return Err(refused);
        };
        if let Err(error) = self.carrier.open_sse(after(self.options.connect_timeout)) {
            return Err(self.no_endpoint(post, refused, error));
        }
        self.handshake(legacy)
    }

    /// Returns the error for a server that refused `initialize` with the status `post`, and then GET in this way.
    fn no_endpoint(&self, post: u16, refused: Error, get: Error) -> Error {
        let status = match get {
            Error::Http { status, .. } if may_be_another_transport(status) => Some(status),
            _ => None,
        };
        match (refused, get) {
            // A server that refuses in terms of MCP has an endpoint, but none for HTTP+SSE.
            (Error::Rpc(error), Error::Timeout | Error::Closed) => Error::Rpc(error),
            (Error::Rpc(error), _) if status.is_some() => Error::Rpc(error),
            (_, get) => status.map_or(get, |status| {
                let place = self.carrier.place();
                Error::Protocol(format!(
                    "the server at {place} answered {post} to POST and {status} to GET: this is not an MCP endpoint; check \
                     the path"
                ))
            }),
        }
    }

    pub(super) fn become_stateless(&mut self) {
        self.carrier.change_transport(Transport::Stateless);
        self.stateless = Some(Stateless::new(&self.options.client_info, &self.options.capabilities));
    }

    fn probe(&mut self) -> Result<Probed, Error> {
        match self.ask_for_revisions() {
            Ok(welcome) => {
                let probed = Probed::of(&revisions(&welcome, "supportedVersions"));
                if let Probed::Stateless(revision) = probed {
                    self.welcomed(revision, &welcome);
                }
                Ok(probed)
            }
            Err(Error::Rpc(error)) if error.code == UNSUPPORTED_PROTOCOL_VERSION => {
                let served = served_by(&error);
                match Probed::of(&served) {
                    // It refuses again what it says it serves.
                    Probed::Stateless(_) => Err(Error::Rpc(error)),
                    Probed::Strange(_) if served.is_empty() => Ok(Probed::Sessions(None)),
                    probed => Ok(probed),
                }
            }
            Err(Error::Rpc(_)) => Ok(Probed::Sessions(None)),
            Err(Error::Http { status, .. }) if may_be_another_transport(status) => Ok(Probed::Sessions(None)),
            Err(error) => self.carrier.recover(error).map(|()| Probed::Sessions(None)),
        }
    }

    /// Sends `server/discover`, and sends it once more if the server refuses the revision and names the same one (MCP
    /// 2026-07-28, basic, "Versioning": a client retries with a revision of the list).
    fn ask_for_revisions(&mut self) -> Result<Box<RawValue>, Error> {
        match self.send_discover() {
            Err(Error::Rpc(error))
                if error.code == UNSUPPORTED_PROTOCOL_VERSION
                    && matches!(Probed::of(&served_by(&error)), Probed::Stateless(_)) =>
            {
                self.send_discover()
            }
            outcome => outcome,
        }
    }

    fn send_discover(&mut self) -> Result<Box<RawValue>, Error> {
        let id = self.send("server/discover", None)?;
        // A child with sessions may never answer it, and would be waited for in vain.
        let timeout = match self.carrier.transport() {
            Transport::Stdio => self.options.connect_timeout.min(self.options.request_timeout),
            _ => self.options.request_timeout,
        };
        let outcome = self.wait_until(&id, after(timeout));
        self.forget(&id);
        outcome
    }

    /// Sends `initialize` and what follows it; `instead` is a revision that the server is known to serve.
    fn handshake(&mut self, instead: Option<Revision>) -> Result<(), Error> {
        let known = instead.map(Revision::name).or(self.options.revision.as_deref());
        let name = known.unwrap_or(Revision::NEWEST_WITH_SESSIONS.name());
        let params = object(|object| {
            object.str("protocolVersion", name).raw("capabilities", &self.options.capabilities);
            object.raw("clientInfo", &self.options.client_info)
        });
        let welcome = self.request("initialize", Some(&params))?;
        let mut tape = Tape::new();
        let version =
            tape.read(welcome.get()).ok().and_then(|result| result.member("protocolVersion").ok()?);
        let version = version.and_then(JsonRef::as_str);
        let version =
            version.ok_or_else(|| Error::protocol("the result of `initialize` has no `protocolVersion`"))?;
        let revision = revision_named(&version).filter(|revision| revision.has_sessions());
        let revision = revision.ok_or_else(|| {
            let version = shown(version.as_bytes());
            Error::Protocol(format!("the server wants the unknown revision `{version}`"))
        })?;
        self.welcomed(revision, &welcome);
        self.notify("notifications/initialized", None)?;
        self.carrier.initialized(self.version_field(), after(self.options.request_timeout))
    }

    fn welcomed(&mut self, revision: Revision, welcome: &RawValue) {
        self.revision = Some(revision);
        self.welcome = Tape::new().read(welcome.get()).ok().map(JsonBuf::from);
    }
}

/// What `server/discover` found out.
enum Probed {
    Stateless(Revision),
    /// A server with sessions, and the newest revision that it named.
    Sessions(Option<Revision>),
    /// A server that named no revision known here, and the error if it has no sessions either.
    Strange(Error),
}

impl Probed {
    fn of(served: &[String]) -> Probed {
        match served.iter().filter_map(|name| revision_named(name)).max() {
            Some(revision) if revision.has_sessions() => Probed::Sessions(Some(revision)),
            Some(revision) => Probed::Stateless(revision),
            None => Probed::Strange(strange(served)),
        }
    }
}

/// The revisions that an UnsupportedProtocolVersionError names.
fn served_by(error: &jsonrpc::Error) -> Vec<String> {
    error.data.as_deref().map_or_else(Vec::new, |data| revisions(data, "supported"))
}

fn revisions(object: &RawValue, name: &str) -> Vec<String> {
    let mut tape = Tape::new();
    let list = tape.read(object.get()).ok().and_then(|object| object.member(name).ok()?);
    let names = list.and_then(JsonRef::items).unwrap_or_default().filter_map(JsonRef::as_str);
    names.map(Cow::into_owned).collect()
}

fn strange(served: &[String]) -> Error {
    let known = Revision::KNOWN.iter().map(|revision| revision.name()).collect::<Vec<_>>().join(", ");
    let served = shown(served.join(", ").as_bytes());
    Error::Protocol(format!("the server serves the revisions `{served}`; this client knows {known}"))
}
