//! The settings of a client, made before it connects.

use std::collections::{BTreeMap, VecDeque};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::client::carrier::Carrier;
use crate::client::deadline::after;
use crate::client::error::Error;
#[cfg(unix)]
use crate::client::line_server::LineServer;
use crate::client::transport::{RequestDefaults, Transport, limits};
use crate::client::url::Url;
use crate::client::{Client, Direction, check_object, object};
use crate::json::value::JsonRef;
use crate::jsonrpc;

pub(super) type OnRequest =
    Box<dyn FnMut(&str, Option<JsonRef<'_>>) -> Result<String, jsonrpc::Error> + Send>;
type OnNotification = Box<dyn FnMut(&str, Option<JsonRef<'_>>) + Send>;
type OnMessage = Box<dyn FnMut(Direction, &str) + Send>;

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
    pub(super) on_message: Option<OnMessage>,
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
            on_message: None,
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
        /// Sets how long it may take to connect over HTTP+SSE and to get the address for messages, and how long a child may
        /// take to say that it speaks 2026-07-28. The default is 10 s. Looking up a name is up to the system and not counted.
        connect_timeout: Duration,
        /// Sets how long a message may take to be sent, and then its answer to come. The default is 60 s.
        request_timeout: Duration,
        /// Sets the longest event or answer that is read, in bytes. The default is 8 MiB. A longer one ends its stream with
        /// an error. At most about six times as much is held for each open request, besides answers that
        /// [`Client::wait`] was not called for.
        event_bytes_max: usize,
        /// Sets how many attempts in a row to resume a lost stream of a Streamable HTTP session may bring nothing. The
        /// default is 3. The server says how long to wait before the first, between 10 ms and 30 s; 1 s if it does not. Each
        /// further one waits twice as long, up to 30 s.
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

    /// Sets what is called with each message as it is on the wire, without the framing, in both directions. Messages may hold
    /// secrets.
    ///
    /// ```
    /// use mcp_rill::client::{Client, Direction};
    /// let builder = Client::builder().on_message(|direction, text| match direction {
    ///     Direction::Sent => eprintln!("> {text}"),
    ///     Direction::Received => eprintln!("< {text}"),
    /// });
    /// ```
    pub fn on_message(self, handler: impl FnMut(Direction, &str) + Send + 'static) -> Builder {
        Builder { on_message: Some(Box::new(handler)), ..self }
    }

    /// Finds out what the server speaks, unless a [`transport`](Builder::transport) was set, and initializes.
    ///
    /// The URL is `http://host[:port]/path`, or `unix:///socket#/path` for a Unix socket: its absolute path, and the path of
    /// the endpoint on the server. Over a Unix socket the host of each request is `localhost`.
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
    /// [`Error::Invalid`] for a URL that this client does not read, header fields that cannot be sent and capabilities that
    /// are not an object; and over HTTP+SSE [`Error::Http`] if the server refuses; [`Error::Protocol`] if it answers with
    /// something other than a stream, or names an address for messages elsewhere; [`Error::Timeout`], [`Error::Io`] and
    /// [`Error::Closed`].
    pub fn open(self, url: &str) -> Result<Client, Error> {
        let mut client = self.start(url)?;
        match client.options.transport {
            Transport::Auto | Transport::Sse => {
                let deadline = after(client.options.connect_timeout);
                client.carrier.open_sse(deadline)?;
            }
            Transport::Streamable => {}
            Transport::Stateless => client.become_stateless(),
            Transport::Stdio => {
                return Err(Error::Invalid(
                    "Transport::Stdio has no URL; start the server with `spawn`".to_owned(),
                ));
            }
        }
        Ok(client)
    }

    /// Starts a server as a child, finds out what it speaks, and initializes. Only on Unix.
    ///
    /// The command's standard input and output are set here; its standard error goes where the command says, or to that of this
    /// process. With [`Transport::Stateless`] or [`revision`](Builder::revision) only that is tried; header fields have no
    /// effect. A server that ends at the first request, as some do that expect `initialize`, is started a second time.
    ///
    /// Closing the client ends the child: its input ends, 2 s later it gets SIGTERM by way of `sh`, and 2 s later SIGKILL.
    /// Lines on its standard output that are no JSON objects are skipped, up to 100 in a row.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), mcp_rill::client::Error> {
    /// use mcp_rill::client::Client;
    /// use std::process::Command;
    /// let mut command = Command::new("mcp-server-git");
    /// command.args(["--repository", "/srv/git"]);
    /// let mut client = Client::builder().client_info("probe", "1.0.0").spawn(command)?;
    /// println!("{}", client.list("tools/list")?.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be started, or if it ends; [`Error::Invalid`] for transports of HTTP and capabilities that
    /// are not an object; and as [`Client::initialize`].
    #[cfg(unix)]
    pub fn spawn(self, command: Command) -> Result<Client, Error> {
        self.check_lines()?;
        let server = LineServer::start(command, self.event_bytes_max)?;
        self.begin_lines(server)
    }

    /// Finds out what the server at the other end of a connected socket speaks, one message a line as over standard input and
    /// output, and initializes. [`Listening::serve_socket`](crate::net::Listening::serve_socket) is such a server, in the same
    /// process for example. Only on Unix.
    ///
    /// With [`Transport::Stateless`] or [`revision`](Builder::revision) only that is tried; header fields have no effect.
    ///
    /// ```
    /// use mcp_rill::{Server, client::Client, engine::Engine, net::{Listening, random_id}};
    /// use std::{os::unix::net::UnixStream, time::Duration};
    ///
    /// let server = Server::new("demo", "1.0.0").tool("hello", "Say hello", |(), _| "hello");
    /// let mut listening = Listening::new(Engine::new(server, random_id)?)?;
    /// let (ours, theirs) = UnixStream::pair()?;
    /// listening.serve_socket(theirs)?;
    /// let handle = listening.handle();
    /// let running = std::thread::spawn(move || listening.run());
    ///
    /// let mut client = Client::builder().connect_socket(ours)?;
    /// assert!(client.call_tool("hello", "{}")?.get().contains(r#""text":"hello""#));
    ///
    /// drop(client);
    /// handle.shutdown(Duration::from_secs(1));
    /// running.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`spawn`](Builder::spawn).
    #[cfg(unix)]
    pub fn connect_socket(self, socket: std::os::unix::net::UnixStream) -> Result<Client, Error> {
        self.check_lines()?;
        let server = LineServer::connected(socket, self.event_bytes_max)?;
        self.begin_lines(server)
    }

    #[cfg(unix)]
    fn check_lines(&self) -> Result<(), Error> {
        if matches!(self.transport, Transport::Sse | Transport::Streamable) {
            let text =
                "lines are not HTTP; leave the transport to Transport::Auto, or set Transport::Stateless";
            return Err(Error::Invalid(text.to_owned()));
        }
        check_object("the capabilities", &self.capabilities)
    }

    #[cfg(unix)]
    fn begin_lines(self, server: LineServer) -> Result<Client, Error> {
        let is_stateless = self.transport == Transport::Stateless;
        let mut client = self.with_carrier(Carrier::Lines(server));
        if is_stateless {
            client.become_stateless();
            client.initialize()?;
        } else {
            client.discover()?;
        }
        Ok(client)
    }

    /// As on Unix.
    ///
    /// # Errors
    /// [`Error::Io`] in any case.
    #[cfg(not(unix))]
    pub fn spawn(self, _: Command) -> Result<Client, Error> {
        let text = "a client of a child needs Unix sockets, which this system does not have";
        Err(std::io::Error::new(std::io::ErrorKind::Unsupported, text).into())
    }

    /// Returns a client that has not sent anything.
    fn start(self, url: &str) -> Result<Client, Error> {
        let url = Url::read(url)?;
        check_object("the capabilities", &self.capabilities)?;
        let defaults = RequestDefaults::new(url, &self.headers, self.event_bytes_max, self.reconnects_max)?;
        Ok(self.with_carrier(Carrier::new(&Arc::new(defaults))))
    }

    fn with_carrier(self, carrier: Carrier) -> Client {
        Client {
            carrier,
            limits: limits(),
            options: self,
            stateless: None,
            last_id: 0,
            open: BTreeMap::new(),
            events: VecDeque::new(),
            subscription: None,
            refusal_status: None,
            welcome: None,
            revision: None,
        }
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
