//! What is known of one client.
//!
//! *Scope:* the state that `initialize` and later messages leave in a session, and who the peer is.
//! *Not in scope:* where the session's messages go: the engine keeps that beside this.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::jsonrpc::{Error, Members, Object, string};
use crate::mcp::{Level, Revision};

/// Who an authenticated peer is. Sessions belong to the principal that opened them.
///
/// One word, because every connection and every session has room for one.
///
/// ```
/// let ada = mcp_rill::Principal::new("ada");
/// assert_eq!(ada.name(), "ada");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal(Arc<Box<str>>);

impl Principal {
    /// A principal of that name.
    pub fn new(name: impl Into<Box<str>>) -> Principal {
        Principal(Arc::new(name.into()))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// The other end of a connection, as the transport knows it. Handlers see it in [`Call::peer`](crate::mcp::Call::peer); a
/// driver of your own says it when it opens a connection.
///
/// ```
/// use mcp_rill::{Peer, Principal};
/// let over_tls = Peer { principal: Some(Principal::new("CN=ada")), ..Peer::default() };
/// assert_eq!((over_tls.address, over_tls.loopback), (None, false));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its address; `None` on a transport that has none.
    pub address: Option<SocketAddr>,
    /// Whether the listener is bound to a loopback address, so that `localhost` is a name for it.
    pub loopback: bool,
    /// Whether it came over a Unix socket, which no web page can reach, so that requests may name any host.
    pub unix: bool,
    /// Who it is, if the transport knows that already; behind a hook of [`Server::authorize`](crate::Server::authorize),
    /// who that says the request at hand is from.
    pub principal: Option<Principal>,
}

/// What a client said it can do (MCP lifecycle, capability negotiation).
///
/// ```
/// use mcp_rill::Capabilities;
/// let client = Capabilities { elicitation_form: true, ..Capabilities::default() };
/// let can_ask_its_user = client.elicitation_form || client.elicitation_url;
/// assert!(can_ask_its_user && !client.sampling);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// It can list its roots.
    pub roots: bool,
    /// It can ask its model (`sampling/createMessage`).
    pub sampling: bool,
    /// It can let its model use tools meanwhile.
    pub sampling_tools: bool,
    /// It can show its user a form.
    pub elicitation_form: bool,
    /// It can show its user a URL.
    pub elicitation_url: bool,
}

impl Capabilities {
    /// Reads them from the member `name` of a message. Those that are unknown here may be anything.
    ///
    /// # Errors
    /// −32602 names what is not an object.
    pub(crate) fn read(raw: &RawValue, name: &str) -> Result<Capabilities, Error> {
        let all = Members::of_member(raw, name)?;
        let one = |member: &str| declared(&all, member, format_args!("{name}"));
        let (elicitation, sampling) = (one("elicitation")?, one("sampling")?);
        let mode = |of: &str, modes: &Option<Members<'_>>, mode: &str| match modes {
            Some(modes) => Ok(declared(modes, mode, format_args!("{name}.{of}"))?.is_some()),
            None => Ok::<_, Error>(false),
        };
        let elicitation_url = mode("elicitation", &elicitation, "url")?;
        let form = mode("elicitation", &elicitation, "form")?;
        Ok(Capabilities {
            roots: one("roots")?.is_some(),
            sampling: sampling.is_some(),
            sampling_tools: mode("sampling", &sampling, "tools")?,
            elicitation_url,
            // An empty object means forms: it is all that 2025-06-18 knew.
            elicitation_form: form || (elicitation.is_some() && !elicitation_url),
        })
    }

    /// Those of these that are not among `others`.
    pub(crate) fn without(self, others: Capabilities) -> Capabilities {
        Capabilities {
            roots: self.roots && !others.roots,
            sampling: self.sampling && !others.sampling,
            sampling_tools: self.sampling_tools && !others.sampling_tools,
            elicitation_form: self.elicitation_form && !others.elicitation_form,
            elicitation_url: self.elicitation_url && !others.elicitation_url,
        }
    }

    /// As the object that a client declares them by.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let modes = |modes: &[(&str, bool)], out: &mut Vec<u8>| {
            let mut object = Object::new(out);
            modes.iter().filter(|(_, is)| *is).for_each(|(name, _)| {
                object.raw(name, "{}");
            });
        };
        let mut object = Object::new(out);
        if self.elicitation_form || self.elicitation_url {
            let kinds = [("form", self.elicitation_form), ("url", self.elicitation_url)];
            object.field("elicitation", |out| modes(&kinds, out));
        }
        if self.roots {
            object.raw("roots", "{}");
        }
        if self.sampling || self.sampling_tools {
            object.field("sampling", |out| modes(&[("tools", self.sampling_tools)], out));
        }
    }

    /// What a person would say that a client must be able to do.
    pub(crate) fn in_words(self) -> String {
        let words = [
            (self.elicitation_form, "show forms (elicitation)"),
            (self.elicitation_url, "open URLs (elicitation.url)"),
            (self.roots, "list its roots (roots)"),
            (self.sampling, "ask its model (sampling)"),
            (self.sampling_tools, "let its model use tools (sampling.tools)"),
        ];
        let words: Vec<&str> = words.into_iter().filter(|(is, _)| *is).map(|(_, words)| words).collect();
        words.join(" and ")
    }
}

/// A capability, which is declared by an object that may be empty.
fn declared<'a>(
    parent: &Members<'a>,
    member: &str,
    path: fmt::Arguments<'_>,
) -> Result<Option<Members<'a>>, Error> {
    let found = parent.get(member);
    found.map(|raw| Members::of_member(raw, format_args!("{path}.{member}"))).transpose()
}

/// Who a client said it is: the `clientInfo` and `capabilities` of its `initialize` request (MCP lifecycle), or since
/// 2026-07-28 of the request itself, where the name and version may be missing and then are empty.
///
/// ```
/// let server = mcp_rill::Server::new("news", "1.0.0").tool("news", "What is new", |(), call| match call.client() {
///     Some(client) if client.capabilities.sampling => format!("{} {} can sum it up", client.name, client.version),
///     _ => "all of it, unabridged".to_owned(),
/// });
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// Its name: at most its first 128 bytes, whole characters.
    pub name: Box<str>,
    /// Its version: likewise.
    pub version: Box<str>,
    /// What it can do.
    pub capabilities: Capabilities,
}

fn read_text<'a>(raw: &'a RawValue, name: &str) -> Result<Cow<'a, str>, Error> {
    string(raw).ok_or_else(|| Error::invalid_params(format_args!("`{name}` must be a string")))
}

/// A client's name is kept as long as its session, and only shown: of a long one the start will do.
pub(crate) fn cut(text: &str) -> &str {
    const BYTES_MAX: usize = 128;
    let end = text.len().min(BYTES_MAX);
    (0..=end).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

/// What clients said of themselves lately.
#[derive(Debug, Default)]
pub(crate) struct Clients(VecDeque<Arc<ClientInfo>>);

impl Clients {
    /// How many are remembered: a few kinds of client is what a server has.
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

/// The state of one client, as a [`Service`](crate::mcp::Service) sees it.
///
/// ```
/// use mcp_rill::mcp::Session;
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
    /// `None`: it gets no logs.
    pub(crate) log_level: Option<Level>,
}

/// Without the whole id, which lets a client post into the session.
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

/// As much of a session's id as tells it from others in a log: 8 characters.
pub(crate) fn short_id(id: Uuid) -> String {
    format!("{:08x}...", id.as_fields().0)
}

impl Session {
    pub(crate) fn new(id: Uuid, principal: Option<Principal>) -> Session {
        let log_level = Some(Level::Info);
        Session { id, principal, client: None, revision: None, operating: false, log_level }
    }

    /// What stands in for a session where there is none: it lasts as long as one request, which says everything itself.
    pub(crate) fn of_request(
        principal: Option<Principal>,
        revision: Revision,
        client: ClientInfo,
        log_level: Option<Level>,
    ) -> Session {
        let (client, revision) = (Some(Arc::new(client)), Some(revision));
        Session { id: Uuid::nil(), principal, client, revision, operating: false, log_level }
    }

    /// The same for a request of a revision with sessions, where the server keeps none.
    pub(crate) fn of_post(principal: Option<Principal>, revision: Revision) -> Session {
        let (id, revision) = (Uuid::nil(), Some(revision));
        Session { id, principal, client: None, revision, operating: false, log_level: None }
    }

    /// Whether it outlives the request at hand. If not, its client can be asked nothing in the middle of a request, and hears
    /// of nothing after the answer: it is of 2026-07-28, or the server keeps no sessions
    /// ([`Settings::sessionless`](crate::Settings::sessionless)).
    ///
    /// ```
    /// use mcp_rill::mcp::Session;
    /// fn can_be_asked(session: &Session) -> bool {
    ///     session.is_kept() && session.client().is_some_and(|client| client.capabilities.sampling)
    /// }
    /// ```
    pub fn is_kept(&self) -> bool {
        !self.id.is_nil()
    }

    /// The negotiated revision, or the one that a request without a session names, or what stands in for it while the client has not initialized.
    pub fn revision(&self) -> Revision {
        self.revision.unwrap_or(Revision::NEWEST_WITH_SESSIONS)
    }

    /// Who the client is; `None` if it has not initialized this session.
    pub fn client(&self) -> Option<&ClientInfo> {
        self.client.as_deref()
    }

    pub(crate) fn client_arc(&self) -> Option<Arc<ClientInfo>> {
        self.client.clone()
    }

    /// Who opened the session, where peers are authenticated.
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    /// Whether the client takes part in operation: it sent `notifications/initialized`, or any request but `initialize`
    /// and `ping`.
    pub fn is_operating(&self) -> bool {
        self.operating
    }

    /// Says the same of this client as of others that said the same: most sessions are of a few programs, so what they
    /// say is kept once.
    pub(crate) fn share_client(&mut self, known: &mut Clients) {
        if let Some(client) = &mut self.client {
            *client = known.share(client);
        }
    }

    /// Takes in the parameters of an `initialize` request and returns the revision agreed on. A client may initialize
    /// again; the newer word holds.
    ///
    /// # Errors
    /// −32602 names the member that is missing or of the wrong type.
    pub(crate) fn initialize(&mut self, params: Option<&RawValue>) -> Result<Revision, Error> {
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
        self.client = Some(Arc::new(ClientInfo { name, version: version_text, capabilities }));
        let revision = Revision::negotiate(&version);
        self.revision = Some(revision);
        Ok(revision)
    }

    /// The client goes on with work, with or without having initialized. `version` is the request's
    /// `MCP-Protocol-Version`, which stands in for a negotiation that this session did not see.
    pub(crate) fn operate(&mut self, version: Option<&str>) {
        self.operating = true;
        if self.revision.is_none() {
            self.revision = version.and_then(Revision::named).filter(|revision| revision.has_sessions());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_by_bytes_between_characters() {
        let lengths =
            |character: &str| [0, 1, 42, 128, 129, 1000].map(|count| cut(&character.repeat(count)).len());
        assert_eq!(lengths("a"), [0, 1, 42, 128, 128, 128]);
        assert_eq!(lengths("€"), [0, 3, 126, 126, 126, 126]);
        assert_eq!(lengths("🦀"), [0, 4, 128, 128, 128, 128]);
        assert_eq!(cut(&format!("{}€x", "a".repeat(126))), "a".repeat(126));
    }

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
            session.initialize(Some(serde_json::from_str(&params).unwrap())).unwrap();
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
