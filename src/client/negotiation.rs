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
//! 401, 403, 407, 408, 429, 5xx and silence end it at any step: they say nothing about what the server speaks.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::client::Client;
use crate::client::carrier::Transport;
use crate::client::connection::after;
use crate::client::error::{Error, may_be_another_transport};
use crate::client::sse::Sse;
use crate::client::stateless::Stateless;
use crate::client::streamable::Streamable;
use crate::jsonrpc::json::{Object, member, string};
use crate::protocol::revision::Revision;
use crate::text::shown;

/// UnsupportedProtocolVersionError (MCP 2026-07-28, schema).
const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;

impl Client {
    /// Agrees with the server on a revision: `initialize` (MCP 2025-11-25, lifecycle), or `server/discover` on a
    /// stateless client. [`connect`](Client::connect) has done it.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), mcp_rill::client::Error> {
    /// let mut client = mcp_rill::client::Client::builder().open("http://127.0.0.1:3001/sse")?;
    /// client.ping()?; // servers answer this much to anybody
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
        let welcome = self.request("server/discover", None)?;
        let served = revisions(&welcome, "supportedVersions");
        match newest(&served) {
            Some(revision) if !revision.has_sessions() => {
                self.welcomed(revision, welcome);
                Ok(())
            }
            _ => Err(strange(&served)),
        }
    }

    /// Finds the transport, and initializes.
    pub(super) fn discover(&mut self) -> Result<(), Error> {
        let asked = self.identity.revision.as_deref();
        // Whoever asks for an older revision does not want to hear of the newest.
        if asked.is_some_and(|name| Revision::named(name).is_none_or(Revision::has_sessions)) {
            return self.open_session(None);
        }
        self.become_stateless();
        match self.probe()? {
            Probed::Stateless => Ok(()),
            Probed::Sessions(revision) => self.open_session(revision),
            // Servers of both eras name only the revisions without sessions.
            Probed::Strange(strange) => self.open_session(None).map_err(|error| match error {
                Error::Rpc(_) | Error::Protocol(_) => strange,
                error => error,
            }),
        }
    }

    /// The steps for servers with sessions.
    fn open_session(&mut self, legacy: Option<Revision>) -> Result<(), Error> {
        self.stateless = None;
        self.carrier = Box::new(Streamable::new(&self.url, &self.defaults, Transport::Streamable));
        let Err(refused) = self.handshake(legacy) else { return Ok(()) };
        let post = match self.status_of(&refused) {
            Some(status) if may_be_another_transport(status) => status,
            _ => return Err(refused),
        };
        self.carrier = match Sse::open(&self.url, &self.defaults, after(self.connect_timeout)) {
            Ok(sse) => Box::new(sse),
            Err(error) => return Err(self.no_endpoint(post, refused, error)),
        };
        self.handshake(legacy)
    }

    /// The status that a refusal came with, also if its body says what is wrong in terms of JSON-RPC.
    fn status_of(&self, error: &Error) -> Option<u16> {
        match error {
            Error::Http { status, .. } => Some(*status),
            Error::Rpc(_) => self.carrier.refusal_status(),
            _ => None,
        }
    }

    /// What to say when `initialize` was refused with the status `post`, and no stream came from GET either.
    fn no_endpoint(&self, post: u16, refused: Error, get: Error) -> Error {
        match (refused, get) {
            // Whoever refuses in terms of MCP has an endpoint; it is no address for HTTP+SSE that is missing.
            (Error::Rpc(error), Error::Timeout | Error::Closed) => Error::Rpc(error),
            (Error::Rpc(error), Error::Http { status, .. }) if may_be_another_transport(status) => {
                Error::Rpc(error)
            }
            (_, Error::Http { status, .. }) if may_be_another_transport(status) => Error::Protocol(format!(
                "the server at http://{}{} answered {post} to POST and {status} to GET: this is no MCP endpoint; \
                 check the path",
                self.url.authority(),
                self.url.target
            )),
            (_, get) => get,
        }
    }

    pub(super) fn become_stateless(&mut self) {
        self.carrier = Box::new(Streamable::new(&self.url, &self.defaults, Transport::Stateless));
        self.stateless = Some(Stateless::new(&self.identity.info, &self.identity.capabilities));
    }

    fn probe(&mut self) -> Result<Probed, Error> {
        match self.request("server/discover", None) {
            Ok(welcome) => {
                let served = revisions(&welcome, "supportedVersions");
                match newest(&served) {
                    None => Ok(Probed::Strange(strange(&served))),
                    Some(revision) if revision.has_sessions() => Ok(Probed::Sessions(Some(revision))),
                    Some(revision) => {
                        self.welcomed(revision, welcome);
                        Ok(Probed::Stateless)
                    }
                }
            }
            Err(Error::Rpc(error)) if error.code == UNSUPPORTED_PROTOCOL_VERSION => {
                let served = error.data.as_deref().map(|data| revisions(data, "supported"));
                match served.as_deref().map(|served| (newest(served), served)) {
                    // It refuses what it says it serves.
                    Some((Some(revision), _)) if !revision.has_sessions() => Err(Error::Rpc(error)),
                    Some((None, served)) if !served.is_empty() => Ok(Probed::Strange(strange(served))),
                    Some((revision, _)) => Ok(Probed::Sessions(revision)),
                    None => Ok(Probed::Sessions(None)),
                }
            }
            Err(Error::Rpc(_)) => Ok(Probed::Sessions(None)),
            Err(Error::Http { status, .. }) if may_be_another_transport(status) => Ok(Probed::Sessions(None)),
            Err(error) => Err(error),
        }
    }

    /// `initialize` and what follows it; `instead` is a revision that the server is known to serve.
    fn handshake(&mut self, instead: Option<Revision>) -> Result<(), Error> {
        let known = instead.map(Revision::name).or(self.identity.revision.as_deref());
        let name = known.unwrap_or(Revision::NEWEST_WITH_SESSIONS.name());
        let mut params = Vec::new();
        let mut object = Object::new(&mut params);
        object.str("protocolVersion", name).raw("capabilities", &self.identity.capabilities);
        object.raw("clientInfo", &self.identity.info);
        object.end();
        let welcome = self.request("initialize", Some(&String::from_utf8_lossy(&params)))?;
        let version = member(&welcome, "protocolVersion").ok().flatten().and_then(string);
        let Some(version) = version else {
            return Err(Error::Protocol("the result of `initialize` has no `protocolVersion`".to_owned()));
        };
        let revision = Revision::named(&version).filter(|revision| revision.has_sessions());
        let Some(revision) = revision else {
            let version = shown(version.as_bytes());
            return Err(Error::Protocol(format!("the server wants the unknown revision `{version}`")));
        };
        self.welcomed(revision, welcome);
        self.notify("notifications/initialized", None)?;
        self.carrier.initialized(self.version_field(), after(self.request_timeout))
    }

    fn welcomed(&mut self, revision: Revision, welcome: Box<RawValue>) {
        (self.revision, self.welcome) = (Some(revision), Some(welcome));
    }
}

/// What `server/discover` found out.
enum Probed {
    Stateless,
    /// A server with sessions, and the newest revision that it told of.
    Sessions(Option<Revision>),
    /// A server that told of no revision known here, and what to say if it has no sessions either.
    Strange(Error),
}

fn revisions(object: &RawValue, name: &str) -> Vec<String> {
    let list = member(object, name).ok().flatten();
    let list = list.and_then(|list| serde_json::from_str::<Vec<&RawValue>>(list.get()).ok());
    let names = list.unwrap_or_default().into_iter().filter_map(string);
    names.map(Cow::into_owned).collect()
}

fn newest(served: &[String]) -> Option<Revision> {
    served.iter().filter_map(|name| Revision::named(name)).max()
}

fn strange(served: &[String]) -> Error {
    let known = Revision::ALL.map(Revision::name).join(", ");
    let served = shown(served.join(", ").as_bytes());
    Error::Protocol(format!("the server serves the revisions `{served}`, this client knows {known}"))
}
