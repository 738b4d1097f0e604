//! What a client is told before it connects.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::client::carrier::{RequestDefaults, Transport};
use crate::client::connection::after;
use crate::client::error::Error;
use crate::client::sse::Sse;
use crate::client::streamable::Streamable;
use crate::client::url::Url;
use crate::client::{Client, check_object, object};
use crate::json::value::JsonRef;
use crate::jsonrpc;
use crate::limits::Limits;
use crate::text::{is_token_byte, is_value_byte, shown};

/// Names of fields that the client writes itself: sent twice they would be ambiguous.
const RESERVED: &str = "host accept cache-control connection content-length content-type last-event-id mcp-method mcp-name \
                        mcp-protocol-version mcp-session-id transfer-encoding";

pub(super) type OnRequest =
    Box<dyn FnMut(&str, Option<JsonRef<'_>>) -> Result<String, jsonrpc::Error> + Send>;
type OnNotification = Box<dyn FnMut(&str, Option<JsonRef<'_>>) + Send>;

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
    /// An object with `name` and `version`.
    pub(super) client_info: String,
    pub(super) capabilities: String,
    pub(super) revision: Option<String>,
    transport: Transport,
    headers: Vec<(String, String)>,
    pub(super) connect_timeout: Duration,
    pub(super) request_timeout: Duration,
    event_bytes_max: usize,
    reconnects_max: u32,
    pub(super) rounds_max: u32,
    pub(super) on_request: Option<OnRequest>,
    pub(super) on_notification: Option<OnNotification>,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            client_info: client_info(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
            capabilities: "{}".to_owned(),
            revision: None,
            transport: Transport::Auto,
            headers: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            event_bytes_max: 8 << 20,
            reconnects_max: 3,
            rounds_max: 8,
            on_request: None,
            on_notification: None,
        }
    }
}

/// Setters that store their argument.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        $($(#[$doc])*
        pub fn $name(self, $name: $type) -> Builder {
            Builder { $name, ..self }
        })*
    };
}

impl Builder {
    setters! {
        /// Sets how messages travel. The default is [`Transport::Auto`].
        transport: Transport,
        /// Sets how long it may take to connect over HTTP+SSE and to get the address for messages. The default is 10 s.
        /// Looking up a name is up to the system and not counted.
        connect_timeout: Duration,
        /// Sets how long a message may take to be sent, and then its answer to come. The default is 60 s.
        request_timeout: Duration,
        /// Sets the longest event or answer that is read, in bytes. The default is 8 MiB. A longer one ends its stream with
        /// an error. At most about six times as much is held for each open request, besides answers that
        /// [`Client::wait`] was not called for.
        event_bytes_max: usize,
        /// Sets how many attempts in a row to resume a lost stream of a Streamable HTTP session may bring nothing. The
        /// default is 3. The server says how long to wait before each, between 10 ms and 30 s; 1 s if it does not.
        reconnects_max: u32,
        /// Sets how often a stateless server may ask for input in one call. The default is 8. A call with more rounds is an
        /// [`Error::Protocol`].
        rounds_max: u32,
    }

    /// Sets the name and version that the server gets as `clientInfo`. The default is this crate's.
    pub fn client_info(self, name: impl Into<String>, version: impl Into<String>) -> Builder {
        Builder { client_info: client_info(&name.into(), &version.into()), ..self }
    }

    /// Sets the revision to ask for, such as `2024-11-05`. The default is the newest. The server may answer with another
    /// one that this crate knows (MCP lifecycle, version negotiation). With [`Transport::Auto`] and any revision other than
    /// 2026-07-28 the server is not asked for 2026-07-28 first.
    pub fn revision(self, name: impl Into<String>) -> Builder {
        Builder { revision: Some(name.into()), ..self }
    }

    /// Sets what the client can do, as the text of a JSON object such as `{"roots":{}}` (MCP lifecycle, capability
    /// negotiation). The default is `{}`. Answer what it declares in [`on_request`](Builder::on_request).
    pub fn capabilities(self, json: impl Into<String>) -> Builder {
        Builder { capabilities: json.into(), ..self }
    }

    /// Adds a header field to every request, such as `Authorization`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Builder {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets what answers the server's requests: it gets method and params, and returns the result as JSON text.
    ///
    /// It is called while the client waits for something, on every transport in the same way: also for what a stateless
    /// server asks in a result. `ping` is answered without it. Without a handler every other request is answered with
    /// −32601, and a call whose result asks for input fails.
    ///
    /// ```
    /// use mcp_rill::{client::Client, jsonrpc::Error};
    /// let builder = Client::builder().capabilities(r#"{"roots":{}}"#).on_request(|method, _| match method {
    ///     "roots/list" => Ok(r#"{"roots":[{"uri":"file:///home/me/project"}]}"#.to_owned()),
    ///     other => Err(Error::method_not_found(other)),
    /// });
    /// ```
    pub fn on_request(
        self,
        handler: impl FnMut(&str, Option<JsonRef<'_>>) -> Result<String, jsonrpc::Error> + Send + 'static,
    ) -> Builder {
        Builder { on_request: Some(Box::new(handler)), ..self }
    }

    /// Sets what is called with method and params of each notification from the server, while the client waits for
    /// something.
    pub fn on_notification(self, handler: impl FnMut(&str, Option<JsonRef<'_>>) + Send + 'static) -> Builder {
        Builder { on_notification: Some(Box::new(handler)), ..self }
    }

    /// Finds out what the server speaks, unless a [`transport`](Builder::transport) was set, and initializes.
    ///
    /// # Errors
    /// As [`open`](Builder::open) and [`Client::initialize`]. With [`Transport::Auto`] also [`Error::Protocol`] if there is
    /// no MCP server at the URL. 401, 403, 407, 408, 429, 5xx and a timeout are errors at any step, since they say nothing
    /// about what the server speaks.
    pub fn connect(self, url: &str) -> Result<Client, Error> {
        if self.transport == Transport::Auto {
            let mut client = self.start(url)?;
            client.discover()?;
            return Ok(client);
        }
        let mut client = self.open(url)?;
        client.initialize()?;
        Ok(client)
    }

    /// Opens a session without initializing it; [`Client::initialize`] does that later, if at all. [`Transport::Auto`]
    /// is HTTP+SSE here, the only transport with something to open before the first message.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a URL that is not `http://`, header fields that cannot be sent and capabilities that are
    /// not an object; and over HTTP+SSE [`Error::Http`] if the server refuses; [`Error::Protocol`] if it answers with
    /// something other than a stream, or names an address for messages elsewhere; [`Error::Timeout`], [`Error::Io`] and
    /// [`Error::Closed`].
    pub fn open(self, url: &str) -> Result<Client, Error> {
        let mut client = self.start(url)?;
        match client.options.transport {
            Transport::Auto | Transport::Sse => {
                let deadline = after(client.options.connect_timeout);
                client.carrier = Box::new(Sse::open(&client.defaults, deadline)?);
            }
            Transport::Streamable => {}
            Transport::Stateless => client.become_stateless(),
        }
        Ok(client)
    }

    /// Returns a client that has not sent anything.
    fn start(self, url: &str) -> Result<Client, Error> {
        let url = Url::read(url)?;
        check_object("the capabilities", &self.capabilities)?;
        let mut fields = format!("User-Agent: {}/{}\r\n", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        for (name, value) in &self.headers {
            check_field(name, value)?;
            // Writing to a string cannot fail.
            let _ = write!(fields, "{name}: {value}\r\n");
        }
        // What bounds a message here is `event_bytes_max`.
        let max = usize::MAX;
        let limits =
            Limits { body_bytes_max: max, json_depth_max: 128, json_values_max: max, ..Limits::DEFAULT };
        let (event_bytes_max, reconnects_max) = (self.event_bytes_max, self.reconnects_max);
        let defaults = Arc::new(RequestDefaults { url, fields, event_bytes_max, reconnects_max, limits });
        Ok(Client {
            carrier: Box::new(Streamable::new(&defaults, Transport::Streamable)),
            defaults,
            options: self,
            stateless: None,
            last_id: 0,
            open: BTreeMap::new(),
            events: VecDeque::new(),
            subscription: None,
            refusal_status: None,
            welcome: None,
            revision: None,
        })
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Header fields may be secrets.
        f.debug_struct("Builder")
            .field("client_info", &self.client_info)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

fn client_info(name: &str, version: &str) -> String {
    object(|object| object.str("name", name).str("version", version))
}

fn check_field(name: &str, value: &str) -> Result<(), Error> {
    let shown = shown(name.as_bytes());
    let wrong = if name.is_empty() || !name.bytes().all(is_token_byte) {
        format!("`{shown}` is not the name of a header field")
    } else if !value.bytes().all(is_value_byte) {
        format!("the header field `{shown}` has a control character in its value")
    } else if RESERVED.split(' ').any(|reserved| name.eq_ignore_ascii_case(reserved)) {
        format!("the header field `{shown}` is set by the client itself")
    } else {
        return Ok(());
    };
    Err(Error::Invalid(wrong))
}
