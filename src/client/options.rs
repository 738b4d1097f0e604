//! What a client is told before it connects.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::client::carrier::{RequestDefaults, Transport};
use crate::client::connection::after;
use crate::client::error::Error;
use crate::client::sse::Sse;
use crate::client::streamable::Streamable;
use crate::client::url::Url;
use crate::client::{Client, Handlers, json_object};
use crate::jsonrpc;
use crate::jsonrpc::json::Object;
use crate::limits::Limits;
use crate::text::{is_token_byte, is_value_byte, shown};

/// Field names that are this client's to write: sent twice they would be ambiguous.
const RESERVED: [&str; 12] = [
    "host",
    "accept",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "transfer-encoding",
];

/// Who a client says it is.
#[derive(Debug)]
pub(super) struct Identity {
    /// An object with `name` and `version`.
    pub(super) info: String,
    pub(super) capabilities: String,
    /// The revision to ask for.
    pub(super) revision: Option<String>,
}

/// How a [`Client`] connects, and who it says it is.
///
/// ```no_run
/// use mcp_rill::client::Client;
/// use std::time::Duration;
/// # fn main() -> Result<(), mcp_rill::client::Error> {
/// let client = Client::builder()
///     .client_info("probe", "1.0.0")
///     .revision("2025-06-18")
///     .header("Authorization", "Bearer 5f4dcc3b")
///     .request_timeout(Duration::from_secs(5))
///     .on_notification(|method, _| eprintln!("{method}"))
///     .connect("http://127.0.0.1:3001/sse")?;
/// # Ok(())
/// # }
/// ```
pub struct Builder {
    name: String,
    version: String,
    transport: Transport,
    revision: Option<String>,
    capabilities: String,
    headers: Vec<(String, String)>,
    connect_timeout: Duration,
    request_timeout: Duration,
    event_bytes_max: usize,
    reconnects_max: u32,
    rounds_max: u32,
    handlers: Handlers,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            transport: Transport::Auto,
            revision: None,
            capabilities: "{}".to_owned(),
            headers: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            event_bytes_max: 8 << 20,
            reconnects_max: 3,
            rounds_max: 8,
            handlers: Handlers::default(),
        }
    }
}

impl Builder {
    /// The name and version that the server gets as `clientInfo`; this crate's if not said.
    pub fn client_info(mut self, name: impl Into<String>, version: impl Into<String>) -> Builder {
        (self.name, self.version) = (name.into(), version.into());
        self
    }

    /// How messages travel; found out if not said.
    pub fn transport(mut self, transport: Transport) -> Builder {
        self.transport = transport;
        self
    }

    /// The revision to ask for, such as `2024-11-05`; the newest if not said. The server may answer with another one
    /// that this crate knows (MCP lifecycle, version negotiation). With [`Transport::Auto`] any revision other than
    /// 2026-07-28 means that the server is not asked for that one first.
    pub fn revision(mut self, name: impl Into<String>) -> Builder {
        self.revision = Some(name.into());
        self
    }

    /// What the client can do, as the text of a JSON object such as `{"roots":{}}` (MCP lifecycle, capability
    /// negotiation); `{}` if not said. What it declares here it must answer in [`on_request`](Builder::on_request).
    pub fn capabilities(mut self, json: impl Into<String>) -> Builder {
        self.capabilities = json.into();
        self
    }

    /// Adds a header field to every request, such as `Authorization`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Builder {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// How long it may take to connect over HTTP+SSE and to get the address for messages; 10 s if not said. Looking up a
    /// name is up to the system and not counted.
    pub fn connect_timeout(mut self, timeout: Duration) -> Builder {
        self.connect_timeout = timeout;
        self
    }

    /// How long a message may take to be sent, and then its answer to come; 60 s if not said.
    pub fn request_timeout(mut self, timeout: Duration) -> Builder {
        self.request_timeout = timeout;
        self
    }

    /// The longest event or answer that is read, in bytes; 8 MiB if not said. A longer one ends its stream with an
    /// error. About six times as much is held at most for each open request, besides answers that nobody has waited for.
    pub fn event_bytes_max(mut self, bytes: usize) -> Builder {
        self.event_bytes_max = bytes;
        self
    }

    /// How often in a row a stream of a Streamable HTTP session that broke off is taken up again for nothing; 3 if not
    /// said. The server says how long to wait before, between 10 ms and 30 s; 1 s if it does not.
    pub fn reconnects_max(mut self, attempts: u32) -> Builder {
        self.reconnects_max = attempts;
        self
    }

    /// How often a stateless server may ask back in one call; 8 if not said. A call with more rounds is an
    /// [`Error::Protocol`].
    pub fn rounds_max(mut self, rounds: u32) -> Builder {
        self.rounds_max = rounds;
        self
    }

    /// Answers the server's requests: called with method and params, returns the result as JSON text.
    ///
    /// It is called while the client waits for something, on every transport in the same way: what a stateless server
    /// asks in a result comes here too. `ping` is answered without it; without a handler every other request is answered
    /// with −32601, and a call whose result asks fails.
    ///
    /// ```
    /// use mcp_rill::{client::Client, jsonrpc::Error};
    /// let builder = Client::builder().capabilities(r#"{"roots":{}}"#).on_request(|method, _| match method {
    ///     "roots/list" => Ok(r#"{"roots":[{"uri":"file:///home/me/project"}]}"#.to_owned()),
    ///     other => Err(Error::method_not_found(other)),
    /// });
    /// ```
    pub fn on_request(
        mut self,
        handler: impl FnMut(&str, Option<&RawValue>) -> Result<String, jsonrpc::Error> + Send + 'static,
    ) -> Builder {
        self.handlers.request = Some(Box::new(handler));
        self
    }

    /// Hears of the server's notifications, by method and params, while the client waits for something.
    pub fn on_notification(
        mut self,
        handler: impl FnMut(&str, Option<&RawValue>) + Send + 'static,
    ) -> Builder {
        self.handlers.notification = Some(Box::new(handler));
        self
    }

    /// Finds out what the server speaks, unless a [`transport`](Builder::transport) was named, and initializes.
    ///
    /// # Errors
    /// As [`open`](Builder::open) and [`Client::initialize`]. With [`Transport::Auto`] also [`Error::Protocol`] if
    /// nobody there speaks MCP; 401, 403, 407, 408, 429, 5xx and a timeout are errors at any step, since they say
    /// nothing about what the server speaks.
    pub fn connect(self, url: &str) -> Result<Client, Error> {
        if self.transport != Transport::Auto {
            let mut client = self.open(url)?;
            client.initialize()?;
            return Ok(client);
        }
        let mut client = self.start(url)?;
        client.discover()?;
        Ok(client)
    }

    /// Opens a session without initializing it; [`Client::initialize`] does that later, if at all. [`Transport::Auto`]
    /// is HTTP+SSE here, the only transport that has something to open before a word is said.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a URL that is not `http://`, header fields that cannot be sent and capabilities that are
    /// not an object; and over HTTP+SSE [`Error::Http`] if the server refuses; [`Error::Protocol`] if it answers with
    /// something other than a stream, or names an address for messages elsewhere; [`Error::Timeout`], [`Error::Io`] and
    /// [`Error::Closed`].
    pub fn open(self, url: &str) -> Result<Client, Error> {
        let transport = self.transport;
        let mut client = self.start(url)?;
        match transport {
            Transport::Auto | Transport::Sse => {
                let deadline = after(client.connect_timeout);
                client.carrier = Box::new(Sse::open(&client.url, &client.defaults, deadline)?);
            }
            Transport::Streamable => {}
            Transport::Stateless => client.become_stateless(),
        }
        Ok(client)
    }

    /// A client that has not said a word.
    fn start(self, url: &str) -> Result<Client, Error> {
        let url = Url::read(url)?;
        json_object("the capabilities", &self.capabilities)?;
        let mut fields = format!("User-Agent: {}/{}\r\n", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        for (name, value) in &self.headers {
            check_field(name, value)?;
            // Writing to a string cannot fail.
            let _ = write!(fields, "{name}: {value}\r\n");
        }
        // What bounds a message here is `event_bytes_max`, and what is kept of a body, whoever reads it.
        let limits = Limits {
            body_bytes_max: usize::MAX,
            json_depth_max: 128,
            json_values_max: usize::MAX,
            ..Limits::DEFAULT
        };
        let (event_bytes_max, reconnects_max) = (self.event_bytes_max, self.reconnects_max);
        let defaults = Arc::new(RequestDefaults { fields, event_bytes_max, reconnects_max, limits });
        let mut info = Vec::new();
        Object::new(&mut info).str("name", &self.name).str("version", &self.version);
        let info = String::from_utf8_lossy(&info).into_owned();
        Ok(Client {
            carrier: Box::new(Streamable::new(&url, &defaults, Transport::Streamable)),
            url,
            defaults,
            identity: Identity { info, capabilities: self.capabilities, revision: self.revision },
            stateless: None,
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
            rounds_max: self.rounds_max,
            handlers: self.handlers,
            last_id: 0,
            handshake: None,
            open: BTreeMap::new(),
            events: VecDeque::new(),
            subscription: None,
            welcome: None,
            revision: None,
        })
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Header fields may be secrets.
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("revision", &self.revision)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

fn check_field(name: &str, value: &str) -> Result<(), Error> {
    let shown = shown(name.as_bytes());
    if name.is_empty() || !name.bytes().all(is_token_byte) {
        return Err(Error::Invalid(format!("`{shown}` is not the name of a header field")));
    }
    if !value.bytes().all(is_value_byte) {
        return Err(Error::Invalid(format!(
            "the header field `{shown}` has a control character in its value"
        )));
    }
    if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
        return Err(Error::Invalid(format!("the header field `{shown}` is set by the client itself")));
    }
    Ok(())
}
