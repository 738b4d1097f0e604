//! The state of one client's session.
//!
//! *Scope:* the state that `initialize` and later messages leave in a session.
//! *Not in scope:* its streams, which are the engine's.
//!
//! ```text
//!            initialize                 notifications/initialized or any request
//!   Fresh ───────────────▶ Initializing ──────────────────────────▶ Operating
//!     └─────────────────────────────────────────────────────────────────▲
//!        any other request: a client that lost its stream goes on without initializing again
//! ```

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::access::peer::Principal;
use crate::json::value::{JsonRef, Members};
use crate::jsonrpc::Error;
use crate::protocol::client_info::{Capabilities, ClientInfo};
use crate::protocol::level::Level;
use crate::protocol::revision::Revision;
use crate::protocol::viewers::Viewer;
use crate::service::ServiceRequest;
use crate::text::cut;

fn read_text<'a>(raw: JsonRef<'a>, name: &str) -> Result<Cow<'a, str>, Error> {
    raw.as_str().ok_or_else(|| Error::invalid_params(format_args!("`{name}` must be a string")))
}

/// How clients have described themselves lately.
#[derive(Debug, Default)]
pub(crate) struct Clients(VecDeque<Arc<ClientInfo>>);

impl Clients {
    /// How many are remembered: most servers have a few kinds of clients.
    const MAX: usize = 16;

    fn share(&mut self, client: &Arc<ClientInfo>) -> Arc<ClientInfo> {
        if let Some(known) = self.0.iter().find(|known| *known == client) {
            return known.clone();
        }
        self.0.truncate(Clients::MAX - 1);
        self.0.push_front(client.clone());
        client.clone()
    }
}

/// The state of one client's session, as a [`Service`](crate::service::Service) sees it.
///
/// ```
/// use mcp_rill::service::Session;
/// fn label(session: &Session) -> String {
///     let client = session.client().map_or("unknown", |client| &client.name);
///     let principal = session.principal().map_or("anyone", |principal| principal.name());
///     let state = if session.is_operating() { "at work" } else { "not ready" };
///     format!("{client} for {principal}, {}, {state}", session.revision())
/// }
/// ```
pub struct Session {
    pub(crate) id: Uuid,
    pub(crate) principal: Option<Principal>,
    client: Option<Arc<ClientInfo>>,
    revision: Option<Revision>,
    operating: bool,
    /// `None` if it gets no logs.
    pub(crate) log_level: Option<Level>,
    /// One more than the number of its mount; 0 at the root.
    pub(crate) mount: u8,
}

/// Without the whole id: with it anybody can post into the session.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &short_id(self.id))
            .field("principal", &self.principal)
            .field("client", &self.client)
            .field("revision", &self.revision)
            .field("operating", &self.operating)
            .field("log_level", &self.log_level)
            .finish()
    }
}

/// The part of a session's id that tells it apart in a log: 8 characters.
pub(crate) fn short_id(id: Uuid) -> String {
    format!("{:08x}...", id.as_fields().0)
}

/// The id of a session, for an observer. It is printed cut, since any peer that knows the whole id could post into the session.
///
/// ```
/// use mcp_rill::engine::Event;
/// fn line(event: &Event<'_>) -> Option<String> {
///     match event {
///         Event::SessionClosed { peer, id, .. } => Some(format!("the session {id} of {peer:?} ended")), // such as `70228fad...`
///         _ => None,
///     }
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub(crate) Uuid);

impl SessionId {
    /// The whole id, as [`Call::session_id`](crate::Call::session_id) returns it. Keep it out of logs.
    pub fn whole(&self) -> String {
        self.0.to_string()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&short_id(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl Session {
    /// A session for tests of a service without an engine. Its client has sent nothing yet. Its id is made from the number.
    pub fn for_tests(number: u32, principal: Option<Principal>) -> Session {
        Session::new(Uuid::from_u128(1 << 64 | u128::from(number)), principal)
    }

    pub(crate) fn new(id: Uuid, principal: Option<Principal>) -> Session {
        let log_level = Some(Level::Info);
        Session { id, principal, client: None, revision: None, operating: false, log_level, mount: 0 }
    }

    /// The same below a mount.
    pub(crate) fn under(self, mount: u8) -> Session {
        Session { mount, ..self }
    }

    /// The session of a request that has none, and describes its client itself (MCP 2026-07-28). Without a log level the client
    /// gets no logs.
    pub fn of_request(
        principal: Option<Principal>,
        revision: Revision,
        client: ClientInfo,
        log_level: Option<Level>,
    ) -> Session {
        let (client, revision) = (Some(Arc::new(client)), Some(revision));
        Session { id: Uuid::nil(), principal, client, revision, operating: false, log_level, mount: 0 }
    }

    /// The session of one request of a revision with sessions, where the server keeps none.
    #[cfg(feature = "streamable")]
    pub(crate) fn of_post(principal: Option<Principal>, revision: Revision) -> Session {
        let (id, revision) = (Uuid::nil(), Some(revision));
        Session { id, principal, client: None, revision, operating: false, log_level: None, mount: 0 }
    }

    /// True if the session outlives the request at hand. If not, its client cannot be asked anything during a request, and gets
    /// nothing after the answer: it speaks 2026-07-28, or the server keeps no sessions
    /// ([`Settings::sessionless`](crate::Settings::sessionless)).
    ///
    /// ```
    /// use mcp_rill::service::Session;
    /// fn can_be_asked(session: &Session) -> bool {
    ///     session.is_kept() && session.client().is_some_and(|client| client.capabilities.sampling)
    /// }
    /// ```
    pub fn is_kept(&self) -> bool {
        !self.id.is_nil()
    }

    /// The number of the name in [`Settings::mounts`](crate::Settings::mounts) under which the client came; `None` if it came by
    /// the paths without one.
    ///
    /// ```
    /// use mcp_rill::{Settings, service::Session};
    /// fn name<'a>(session: &Session, settings: &'a Settings) -> Option<&'a str> {
    ///     settings.mounts.get(session.mount()?).map(String::as_str)
    /// }
    /// ```
    pub fn mount(&self) -> Option<usize> {
        usize::from(self.mount).checked_sub(1)
    }

    /// The negotiated revision, or the one that a request without a session names. Before the client has initialized it is the
    /// newest with sessions.
    pub fn revision(&self) -> Revision {
        self.revision.unwrap_or(Revision::NEWEST_WITH_SESSIONS)
    }

    /// The client's name, version and capabilities; `None` if it has not initialized this session.
    pub fn client(&self) -> Option<&ClientInfo> {
        self.client.as_deref()
    }

    pub(crate) fn client_arc(&self) -> Option<Arc<ClientInfo>> {
        self.client.clone()
    }

    /// The principal that opened the session, where peers are authenticated.
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    pub(crate) fn viewer(&self) -> Viewer<'_> {
        Viewer { principal: self.principal.as_ref(), session_id: self.is_kept().then_some(self.id) }
    }

    /// True if the client takes part in operation: it sent `notifications/initialized`, or any request but `initialize`
    /// and `ping`.
    pub fn is_operating(&self) -> bool {
        self.operating
    }

    /// The lowest level of logs that the client wants; `None` if it gets no logs.
    pub fn log_level(&self) -> Option<Level> {
        self.log_level
    }

    /// Sets the level that [`log_level`](Session::log_level) returns: what a service does for `logging/setLevel`.
    pub fn set_log_level(&mut self, level: Option<Level>) {
        self.log_level = level;
    }

    /// Shares the description of this client with equal ones: most sessions are of a few programs, so one copy is enough.
    pub(crate) fn share_client(&mut self, known: &mut Clients) {
        if let Some(client) = &mut self.client {
            *client = known.share(client);
        }
    }

    /// Reads the parameters of an `initialize` request, and returns the revision agreed on. The engine has done so when a service
    /// gets the request; a test without an engine does it itself. A client may initialize again: the newer parameters count.
    ///
    /// ```
    /// use mcp_rill::{Level, Revision, json::Tape, service::Session};
    /// let mut session = Session::for_tests(1, None);
    /// let params = r#"{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}"#;
    /// let revision = session.initialize(Some(Tape::new().read(params).unwrap())).unwrap();
    /// assert_eq!((revision, session.is_operating()), (Revision::V2025_06_18, false));
    /// session.operate(None); // `notifications/initialized` has come
    /// session.set_log_level(Some(Level::Error)); // and `logging/setLevel`
    /// assert!(session.is_operating() && session.log_level() == Some(Level::Error));
    /// ```
    ///
    /// # Errors
    /// −32602 names the member that is missing or of the wrong type.
    pub fn initialize(&mut self, params: Option<JsonRef<'_>>) -> Result<Revision, Error> {
        let (client, revision) = read_initialize(params)?;
        self.client = Some(Arc::new(client));
        self.revision = Some(revision);
        Ok(revision)
    }

    /// What the engine does with each request of a session before its service gets it: it reads the parameters of `initialize`, and
    /// any other request but `ping` shows that the client takes part in operation.
    #[inline]
    pub(crate) fn take_request(
        &mut self,
        request: &ServiceRequest<'_>,
        known: &mut Clients,
    ) -> Result<(), Error> {
        match request.method {
            _ if !self.revision().has_sessions() => {}
            "initialize" => {
                self.initialize(request.params)?;
                self.share_client(known);
            }
            "ping" => {}
            _ if self.revision.is_some() => self.operating = true,
            _ => self.operate(request.head.header_str("mcp-protocol-version")),
        }
        Ok(())
    }

    /// Notes that the client takes part in operation, with or without having initialized: from then on it gets what is sent to
    /// all. The engine calls this for `notifications/initialized`, and for every request but `initialize` and `ping`. `version`
    /// is the request's `MCP-Protocol-Version`, which stands in for a negotiation that this session did not see.
    pub fn operate(&mut self, version: Option<&str>) {
        self.operating = true;
        if self.revision.is_none() {
            self.revision = version.and_then(Revision::named).filter(|revision| revision.has_sessions());
        }
    }
}

/// Reads the client from the parameters of an `initialize` request, and the revision to speak with it.
///
/// # Errors
/// −32602 names the member that is missing or of the wrong type.
pub(crate) fn read_initialize(params: Option<JsonRef<'_>>) -> Result<(ClientInfo, Revision), Error> {
    let missing = |name: &str| Error::invalid_params(format_args!("`{name}` is missing"));
    let params = Members::of(params.ok_or_else(|| missing("params"))?)?;
    let needed = |name: &str| params.get(name).ok_or_else(|| missing(name));
    let version = read_text(needed("protocolVersion")?, "protocolVersion")?;
    let capabilities = Capabilities::read(needed("capabilities")?, "capabilities")?;
    let info = Members::of_member(needed("clientInfo")?, "clientInfo")?;
    let text = |member: &str, path: &str| {
        let text = read_text(info.get(member).ok_or_else(|| missing(path))?, path)?;
        Ok::<Box<str>, Error>(cut(&text).into())
    };
    let (name, version_text) = (text("name", "clientInfo.name")?, text("version", "clientInfo.version")?);
    Ok((ClientInfo { name, version: version_text, capabilities }, Revision::negotiate(&version)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::tape::Tape;

    #[test]
    fn a_session_is_printed_without_its_id() {
        let id = Uuid::from_u128(0x0012_3456_789a_4bcd_8ef0_1234_5678_9abc);
        let text = format!("{:?}", Session::new(id, Some(Principal::new("ada"))));
        assert!(text.contains("\"00123456...\"") && text.contains("ada") && !text.contains("789a"), "{text}");
    }

    #[test]
    fn what_clients_say_of_themselves_is_kept_once() {
        let mut known = Clients::default();
        let mut session = |name: &str| {
            let mut session = Session::new(Uuid::nil(), None);
            let info = format!(r#"{{"name":"{name}","version":"1"}}"#);
            let params =
                format!(r#"{{"protocolVersion":"2025-11-25","capabilities":{{}},"clientInfo":{info}}}"#);
            session.initialize(Some(Tape::new().read(&params).unwrap())).unwrap();
            session.share_client(&mut known);
            session.client_arc().unwrap()
        };
        let (one, two, other) = (session("a"), session("a"), session("b"));
        assert!(Arc::ptr_eq(&one, &two) && !Arc::ptr_eq(&one, &other));
        let many: Vec<_> = (0..100).map(|at| session(&at.to_string())).collect();
        assert_eq!(Arc::strong_count(&one), 2, "whoever is long gone is forgotten");
        assert!(Arc::ptr_eq(&many[99], &session("99")));
        assert_eq!(known.0.len(), Clients::MAX);
    }
}
