//! What a client is told before it connects.

use std::fmt::Write;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::transport::{Fixed, Transport};
use super::url::Url;
use super::{Client, Error, Handlers, json_object};
use crate::http::{is_token_byte, is_value_byte, shown};
use crate::mcp::Revision;
use crate::{Limits, jsonrpc};

/// Field names that are this client's to write: sent twice they would be ambiguous.
const RESERVED: [&str; 8] = [
    "host",
    "accept",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "mcp-protocol-version",
    "transfer-encoding",
];

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
    revision: String,
    capabilities: String,
    headers: Vec<(String, String)>,
    connect_timeout: Duration,
    request_timeout: Duration,
    event_bytes_max: usize,
    handlers: Handlers,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: Revision::NEWEST_WITH_SESSIONS.name().to_owned(),
            capabilities: "{}".to_owned(),
            headers: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            event_bytes_max: 8 << 20,
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

    /// The revision to ask for, such as `2024-11-05`; [`Revision::NEWEST_WITH_SESSIONS`] if not said. The server may answer with
    /// another one that this crate knows (MCP lifecycle, version negotiation).
    pub fn revision(mut self, name: impl Into<String>) -> Builder {
        self.revision = name.into();
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

    /// How long it may take to connect and to get the address for messages; 10 s if not said. Looking up a name is up
    /// to the system and not counted.
    pub fn connect_timeout(mut self, timeout: Duration) -> Builder {
        self.connect_timeout = timeout;
        self
    }

    /// How long a message may take to be sent, and then its answer to come; 60 s if not said.
    pub fn request_timeout(mut self, timeout: Duration) -> Builder {
        self.request_timeout = timeout;
        self
    }

    /// The longest event that is read, in bytes; 8 MiB if not said. A longer one ends the session with an error.
    /// About six times as much is held at most, besides answers that nobody has waited for.
    pub fn event_bytes_max(mut self, bytes: usize) -> Builder {
        self.event_bytes_max = bytes;
        self
    }

    /// Answers the server's requests: called with method and params, returns the result as JSON text.
    ///
    /// It is called while the client waits for something. `ping` is answered without it; without a handler every
    /// other request is answered with −32601.
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

    /// Opens a session and initializes it.
    ///
    /// # Errors
    /// As [`open`](Builder::open) and [`Client::initialize`].
    pub fn connect(self, url: &str) -> Result<Client, Error> {
        let mut client = self.open(url)?;
        client.initialize()?;
        Ok(client)
    }

    /// Opens a session without initializing it; [`Client::initialize`] does that later, if at all.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a URL that is not `http://`, header fields that cannot be sent and capabilities that are
    /// not an object; [`Error::Http`] if the server refuses; [`Error::Protocol`] if it answers with something other
    /// than a stream, or names an address for messages elsewhere; [`Error::Timeout`], [`Error::Io`] and
    /// [`Error::Closed`].
    pub fn open(self, url: &str) -> Result<Client, Error> {
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
        let fixed = Fixed { fields, event_bytes_max: self.event_bytes_max, limits: limits.clone() };
        let transport = Transport::open(&url, fixed, after(self.connect_timeout))?;
        let mut greeting = Vec::new();
        let mut params = jsonrpc::Object::new(&mut greeting);
        params.str("protocolVersion", &self.revision).raw("capabilities", &self.capabilities);
        params.field("clientInfo", |out| {
            jsonrpc::Object::new(out).str("name", &self.name).str("version", &self.version);
        });
        params.end();
        Ok(Client::new(transport, limits, greeting, self.request_timeout, self.handlers))
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

/// A moment from now; a time beyond what the clock can say is a century.
pub(super) fn after(time: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    let now = Instant::now();
    now.checked_add(time.min(CENTURY)).unwrap_or(now)
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
