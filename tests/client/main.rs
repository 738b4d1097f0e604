//! The client against the server of this crate, and against servers that behave in other ways, over real sockets.
#![cfg(feature = "client")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // The test's own clock shows that nothing hangs.

#[cfg(unix)]
mod child;
mod conformance;
mod eras;
mod gateway;
mod hostile;
mod mock;
mod negotiation;
mod stateless;
mod streamable;
#[cfg(unix)]
mod unix;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mcp_rill::Revision;
use mcp_rill::client::{Builder, Client, Error, Received};
use mcp_rill::engine::Event;
use mcp_rill::jsonrpc::{self, Id};
use mcp_rill::net::{Handle, Listening};
use mcp_rill::{CallError, Limits, PromptMessage, Server, Tool, schema};
use serde_json::value::RawValue;

schema! { struct Echo { text: String } }
schema! { struct Named { name: String } }

/// Long enough for any machine, short enough to see a hang.
const LONG: Duration = Duration::from_secs(5);

/// The server of this crate in a thread, until dropped.
struct Running {
    url: String,
    handle: Handle,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Running {
    fn start(server: Server) -> Running {
        Running::run(server.listen("127.0.0.1:0").unwrap())
    }

    fn run(listening: Listening) -> Running {
        let url = format!("http://{}/sse", listening.local_addrs().next().unwrap());
        let handle = listening.handle();
        Running { url, handle, thread: Some(thread::spawn(move || listening.run())) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown(Duration::ZERO);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

fn server() -> Server {
    Server::new("test", "1.2.3")
        .tool("echo", "Echo", |Echo { text }: Echo, _| text)
        .tool("fail", "Fail", |(), _| Err::<(), _>("out of paper"))
        .tool("header", "Header", |Named { name }: Named, call| {
            call.header(&name).unwrap_or("none").to_owned()
        })
        .tool("client", "Client", |(), call| {
            call.client().map_or("unknown".to_owned(), |client| format!("{} {}", client.name, client.version))
        })
        .resource("test:///text", "text", |_| "some text")
        .resource("test:///bytes", "bytes", |_| vec![1_u8, 2, 3])
        .template("test:///item/{id}", "item", |vars, _| match vars.get("id") {
            Some("7") => Ok("seven"),
            _ => Err(CallError::not_found()),
        })
        .prompt("ask", "Ask", |Named { name }: Named, _| vec![PromptMessage::user(format!("Ask {name}."))])
}

fn text_of(result: &RawValue) -> String {
    let value: serde_json::Value = serde_json::from_str(result.get()).unwrap();
    value["content"][0]["text"].as_str().unwrap().to_owned()
}

fn rpc_code<T: std::fmt::Debug>(result: Result<T, Error>) -> i64 {
    match result {
        Err(Error::Rpc(error)) => error.code,
        other => panic!("an error answer was expected, got {other:?}"),
    }
}

/// Fails unless the error is of the protocol and names all of this.
fn assert_protocol<T: std::fmt::Debug>(result: Result<T, Error>, parts: &[&str]) {
    match result {
        Err(Error::Protocol(text)) if parts.iter().all(|part| text.contains(part)) => {}
        other => panic!("a protocol error with {parts:?} was expected, got {other:?}"),
    }
}

// ---- Our own server ----

#[test]
fn a_whole_session() {
    let running = Running::start(server());
    let mut client = Client::builder()
        .client_info("tester", "0.9")
        .revision("2025-06-18")
        .header("X-Test", "yes")
        .connect(&running.url)
        .unwrap();
    assert_eq!(client.revision(), Some(Revision::V2025_06_18));
    assert_eq!(client.server_info().unwrap().text(), r#"{"name":"test","version":"1.2.3"}"#);
    assert!(client.initialize_result().unwrap().text().contains(r#""capabilities":{"#));
    assert_eq!(client.endpoint(), format!("/messages?sessionId={}", client.session_id().unwrap()));
    assert!(!format!("{client:?}").contains(client.session_id().unwrap()));

    client.ping().unwrap();
    assert_eq!(text_of(&client.call_tool("echo", r#"{"text":"caf\u00e9\n"}"#).unwrap()), "café\n");
    assert_eq!(text_of(&client.call_tool("client", "{}").unwrap()), "tester 0.9");
    for (name, value) in [("x-test", "yes"), ("mcp-protocol-version", "2025-06-18"), ("x-none", "none")] {
        let arguments = format!(r#"{{"name":"{name}"}}"#);
        assert_eq!(text_of(&client.call_tool("header", &arguments).unwrap()), value, "{name}");
    }
    let failed = client.call_tool("fail", "{}").unwrap();
    assert!(failed.get().contains(r#""isError":true"#) && text_of(&failed) == "out of paper");
    assert!(client.call_tool("echo", r#"{"txt":"x"}"#).unwrap().get().contains(r#""isError":true"#));

    assert!(client.read_resource("test:///text").unwrap().get().contains(r#""text":"some text""#));
    assert!(client.read_resource("test:///bytes").unwrap().get().contains(r#""blob":"AQID""#));
    assert!(client.read_resource("test:///item/7").unwrap().get().contains(r#""text":"seven""#));
    assert!(client.get_prompt("ask", r#"{"name":"Ada"}"#).unwrap().get().contains("Ask Ada."));

    assert_eq!(rpc_code(client.read_resource("test:///item/8")), -32002);
    assert_eq!(rpc_code(client.call_tool("nothing", "{}")), -32602);
    assert_eq!(rpc_code(client.get_prompt("ask", "{}")), -32602);
    assert_eq!(rpc_code(client.request("no/such/method", None)), -32601);
}

#[test]
fn lists_are_paged_to_their_end() {
    let mut server = Server::new("pages", "1").limits(Limits { page_items_max: 3, ..Limits::DEFAULT });
    for number in 0..10 {
        server = server.offer(Tool::new(format!("tool-{number}"), "A tool").handler(|(), _| "done"));
    }
    let running = Running::start(server.template("t:///{x}", "t", |_, _| "x"));
    let mut client = Client::connect(&running.url).unwrap();
    let tools = client.list("tools/list").unwrap();
    let names: Vec<String> = tools
        .iter()
        .map(|tool| serde_json::from_str::<serde_json::Value>(tool.get()).unwrap()["name"].to_string())
        .collect();
    assert_eq!(names, (0..10).map(|number| format!("\"tool-{number}\"")).collect::<Vec<_>>());
    assert_eq!(client.list("resources/templates/list").unwrap().len(), 1);
    assert_eq!(client.list("resources/list").unwrap().len(), 0);
    assert_eq!(rpc_code(client.list("prompts/list")), -32601);
    assert_protocol(client.list("ping"), &["`ping`", "no member `ping`"]);
}

#[test]
fn a_session_can_go_without_initialize() {
    let running = Running::start(server());
    let mut client = Client::builder().open(&running.url).unwrap();
    assert_eq!((client.revision(), client.server_info().is_none()), (None, true));
    assert_eq!(text_of(&client.call_tool("client", "{}").unwrap()), "unknown");
    client.initialize().unwrap();
    assert_eq!(client.revision(), Some(Revision::NEWEST_WITH_SESSIONS));
    assert_eq!(
        text_of(&client.call_tool("client", "{}").unwrap()),
        concat!("mcp-rill ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn an_unknown_revision_is_negotiated_and_every_known_one_served() {
    let running = Running::start(server());
    for revision in Revision::ALL.iter().copied().filter(|revision| revision.has_sessions()) {
        let client = Client::builder().revision(revision.name()).connect(&running.url).unwrap();
        assert_eq!(client.revision(), Some(revision));
    }
    let client = Client::builder().revision("2031-01-01").connect(&running.url).unwrap();
    assert_eq!(client.revision(), Some(Revision::NEWEST_WITH_SESSIONS));
}

#[test]
fn a_closed_session_is_unknown_to_the_server() {
    let (closed, wait_closed) = mpsc::channel();
    let mut listening = server().listen("127.0.0.1:0").unwrap();
    listening.on_event(move |event| {
        if matches!(event, Event::SessionClosed { .. }) {
            let _ = closed.send(());
        }
    });
    let running = Running::run(listening);
    let mut client = Client::connect(&running.url).unwrap();
    let endpoint = client.endpoint().to_owned();
    client.close();
    assert!(matches!(client.ping(), Err(Error::Closed)));
    wait_closed.recv_timeout(LONG).unwrap();

    let address = running.url.trim_start_matches("http://").trim_end_matches("/sse");
    let mut socket = TcpStream::connect(address).unwrap();
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    write!(
        socket,
        "POST {endpoint} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 400 ") && response.ends_with("No transport found for sessionId"));

    let another = Client::connect(&running.url).unwrap();
    drop(another);
    wait_closed.recv_timeout(LONG).unwrap();
}

#[test]
fn answers_of_many_clients_never_cross() {
    let running = Running::start(server());
    let clients: Vec<_> = (0..20)
        .map(|number| {
            let url = running.url.clone();
            thread::spawn(move || {
                let mut client = Client::connect(&url).unwrap();
                for round in 0..4 {
                    let mut open: Vec<(Id, String)> = (0..16)
                        .map(|call| {
                            let text = format!("client {number} round {round} call {call}");
                            let params = format!(r#"{{"name":"echo","arguments":{{"text":"{text}"}}}}"#);
                            (client.send("tools/call", Some(&params)).unwrap(), text)
                        })
                        .collect();
                    if round % 2 == 0 {
                        open.reverse();
                    }
                    for (id, text) in open {
                        assert_eq!(text_of(&client.wait(&id).unwrap()), text);
                    }
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn every_answer_is_a_message_once() {
    let running = Running::start(server());
    let mut client = Client::connect(&running.url).unwrap();
    let ids: Vec<Id> = (0..3).map(|_| client.send("ping", None).unwrap()).collect();
    client.wait(&ids[2]).unwrap();
    let mut seen = Vec::new();
    while let Some(received) = client.next_message(Duration::from_millis(100)).unwrap() {
        match received {
            Received::Answer { id, outcome } => seen.push((id, outcome.unwrap().get().to_owned())),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, [(ids[0].clone(), "{}".to_owned()), (ids[1].clone(), "{}".to_owned())]);
    for id in &ids {
        assert!(matches!(client.wait(id), Err(Error::Invalid(_))));
    }
}

#[test]
fn what_the_server_refuses_is_told() {
    let running = Running::start(server().limits(Limits { body_bytes_max: 2048, ..Limits::DEFAULT }));
    let mut client = Client::connect(&running.url).unwrap();
    // The longer one does not fit the sockets' buffers: the server closes while it is being sent.
    for length in [4 << 10, 4 << 10, 32 << 20] {
        let arguments = format!(r#"{{"text":"{}"}}"#, "x".repeat(length));
        match client.call_tool("echo", &arguments) {
            Err(Error::Http { status: 413, body }) => assert!(body.contains("2048"), "{body}"),
            other => panic!("{other:?}"),
        }
        client.ping().unwrap();
    }
}

#[test]
fn a_stopped_server_ends_the_session() {
    let running = Running::start(server());
    let mut client = Client::connect(&running.url).unwrap();
    drop(running);
    assert!(matches!(client.next_message(LONG), Err(Error::Closed)));
    assert!(matches!(client.ping(), Err(Error::Closed)));
}

#[test]
fn what_cannot_be_sent_is_refused_here() {
    let refused = |builder: Builder, url: &str| match builder.open(url) {
        Err(Error::Invalid(text)) => text,
        other => panic!("{url}: {other:?}"),
    };
    let url = "http://127.0.0.1:9/sse";
    assert!(refused(Client::builder(), "https://localhost/sse").contains("https is not supported"));
    assert!(refused(Client::builder(), "localhost:3001").contains("http://"));
    assert!(refused(Client::builder().header("X:", "y"), url).contains("`X:`"));
    assert!(refused(Client::builder().header("X", "a\r\nHost: b"), url).contains("control character"));
    assert!(refused(Client::builder().header("content-LENGTH", "1"), url).contains("by the client itself"));
    assert!(refused(Client::builder().capabilities("[]"), url).contains("must be a JSON object"));

    let running = Running::start(server());
    let mut client = Client::connect(&running.url).unwrap();
    for bad in ["", "[]", "1", r#"{"a":1}{"#, r#"{"a":1},"x":{}"#] {
        assert!(matches!(client.request("ping", Some(bad)), Err(Error::Invalid(_))), "{bad}");
        assert!(matches!(client.notify("x", Some(bad)), Err(Error::Invalid(_))), "{bad}");
        assert!(matches!(client.call_tool("echo", bad), Err(Error::Invalid(_))), "{bad}");
    }
    assert_eq!(text_of(&client.call_tool("echo", "{\r\n  \"text\": \"x\"\n}").unwrap()), "x");
}

// ---- Servers made of a script ----

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
const ENDPOINT: &str = "event: endpoint\ndata: /m?sessionId=s1\n\n";
const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 8\r\n\r\nAccepted";

/// A connection as a script sees it.
struct Peer(TcpStream);

impl Peer {
    fn accept(listener: &TcpListener) -> Peer {
        // A client that does not come must not keep the test waiting for ever.
        let end = Instant::now() + LONG;
        listener.set_nonblocking(true).unwrap();
        let socket = loop {
            match listener.accept() {
                Ok((socket, _)) => break socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("nobody came: {error}"),
            }
        };
        listener.set_nonblocking(false).unwrap();
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket.set_write_timeout(Some(LONG)).unwrap();
        socket.set_nodelay(true).unwrap();
        Peer(socket)
    }

    /// A whole request: head and body.
    fn request(&mut self) -> (String, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// The first byte of something more, or `None` if the client hangs up.
    fn request_or_end(&mut self) -> Option<u8> {
        let mut byte = [0];
        match self.0.read(&mut byte) {
            Ok(1) => Some(byte[0]),
            Ok(_) => None,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("the client does not hang up: {error}"),
        }
    }

    fn send(&mut self, text: impl AsRef<[u8]>) {
        // A client that refuses what it reads hangs up in the middle of it.
        let _ = self.0.write_all(text.as_ref());
    }

    /// Takes a message and gives its body.
    fn message(&mut self) -> String {
        let (_, body) = self.request();
        self.send(ACCEPTED);
        body
    }

    fn event(&mut self, json: &str) {
        self.send(format!("event: message\ndata: {json}\n\n"));
    }
}

/// A script in a thread; its panics are the test's.
struct Scripted {
    url: String,
    thread: JoinHandle<()>,
}

fn scripted(script: impl FnOnce(TcpListener) + Send + 'static) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/sse", listener.local_addr().unwrap());
    Scripted { url, thread: thread::spawn(move || script(listener)) }
}

/// A script that has sent what opens a session.
fn with_stream(script: impl FnOnce(TcpListener, Peer) + Send + 'static) -> Scripted {
    scripted(move |listener| {
        let mut stream = Peer::accept(&listener);
        stream.request();
        stream.send([STREAM, ENDPOINT].concat());
        script(listener, stream);
    })
}

/// What `open` says to a server that answers the GET with these bytes and then stays.
fn open_against(response: impl Into<Vec<u8>>) -> Result<Client, Error> {
    let (response, (done, wait)) = (response.into(), mpsc::channel::<()>());
    let server = scripted(move |listener| {
        let mut stream = Peer::accept(&listener);
        stream.request();
        stream.send(response);
        let _ = wait.recv();
    });
    let builder = Client::builder().event_bytes_max(64 << 10).connect_timeout(Duration::from_secs(2));
    let result = builder.open(&server.url);
    drop(done);
    server.thread.join().unwrap();
    result
}

#[test]
fn the_request_for_a_stream() {
    let server = scripted(|listener| {
        let mut stream = Peer::accept(&listener);
        let (head, _) = stream.request();
        let address = listener.local_addr().unwrap();
        assert_eq!(
            head,
            format!(
                "GET /sse?a=b HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\nCache-Control: no-store\r\n\
                 User-Agent: mcp-rill/{}\r\nAuthorization: Bearer x\r\n\r\n",
                env!("CARGO_PKG_VERSION")
            )
        );
        stream.send([STREAM, ENDPOINT].concat());
        let mut posts = Peer::accept(&listener);
        let (head, body) = posts.request();
        assert_eq!(
            head,
            format!(
                "POST /m?sessionId=s1 HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\nContent-Type: application/json\r\n\
                 Content-Length: 44\r\nUser-Agent: mcp-rill/{}\r\nAuthorization: Bearer x\r\n\r\n",
                env!("CARGO_PKG_VERSION")
            )
        );
        assert_eq!(body, r#"{"jsonrpc":"2.0","method":"notifications/x"}"#);
        posts.send(ACCEPTED);
    });
    let url = format!("{}?a=b", server.url);
    let mut client = Client::builder().header("Authorization", "Bearer x").open(&url).unwrap();
    assert_eq!((client.endpoint(), client.session_id()), ("/m?sessionId=s1", Some("s1")));
    client.notify("notifications/x", None).unwrap();
    server.thread.join().unwrap();
}

#[test]
fn streams_are_read_in_every_framing_and_however_they_are_cut() {
    let lf = ": hello\n\nevent: other\ndata: x\n\nevent: endpoint\ndata: /m\n\ndata:\n\nretry: 5\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"method\":\"n\"}\n\n";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let (first, second) = lf.split_at(60);
    let streams = [
        format!("HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\r\n{lf}"),
        format!("HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{}", lf.replace('\n', "\r\n")),
        format!("{}{}", STREAM, lf.replace('\n', "\r")),
        format!(
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
             Transfer-Encoding: chunked\r\n\r\n{}{}",
            chunk(&first.replace('\n', "\r\n")),
            chunk(&second.replace('\n', "\r\n"))
        ),
    ];
    let cuts: usize = streams.iter().map(|stream| stream.len() + 1).sum();
    let whole = streams.clone();
    let server = scripted(move |listener| {
        for stream in whole {
            for at in 0..=stream.len() {
                let mut peer = Peer::accept(&listener);
                peer.request();
                peer.send(&stream[..at]);
                peer.send(&stream[at..]);
                // Until the client hangs up, so that nothing of this is lost.
                assert!(matches!(peer.0.read(&mut [0]), Ok(0) | Err(_)));
            }
        }
    });
    for cut in 0..cuts {
        let mut client =
            Client::builder().open(&server.url).unwrap_or_else(|error| panic!("cut {cut}: {error}"));
        match client.next_message(LONG).unwrap() {
            Some(Received::Notification { method, params: None }) if method == "n" => {}
            other => panic!("cut {cut}: {other:?}"),
        }
    }
    server.thread.join().unwrap();
}

#[test]
fn hostile_answers_to_the_request_for_a_stream() {
    let status = |result: Result<Client, Error>| match result {
        Err(Error::Http { status, body }) => (status, body),
        other => panic!("{other:?}"),
    };
    let response = "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nwhere";
    assert_eq!(status(open_against(response)), (404, "where".to_owned()));
    let response = "HTTP/1.1 405 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nGET\r\n0\r\n\r\n";
    assert_eq!(status(open_against(response)), (405, "GET".to_owned()));
    let response = "HTTP/1.1 307 Go\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(status(open_against(response)).1, "moved to http://evil.example/");
    let response = ["HTTP/1.1 500 No\r\nContent-Length: 999999999\r\n\r\n", &"x".repeat(300 << 10)].concat();
    assert_eq!(status(open_against(response)), (500, "x".repeat(64 << 10)));

    assert_protocol(
        open_against("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n<>"),
        &["`text/html`", "text/event-stream"],
    );
    assert_protocol(open_against("HTTP/1.1 204 No Content\r\n\r\n").map_err(as_protocol), &["204"]);
    assert_protocol(
        open_against(["HTTP/1.1 200 ", &"x".repeat(100 << 10)].concat().into_bytes()),
        &["head is longer than"],
    );
    let endless = ["HTTP/1.1 200 OK\r\n", &"X: y\r\n".repeat(20_000)].concat();
    assert_protocol(open_against(endless), &["malformed"]);
    assert_protocol(open_against("HTTP/1.1 100 Continue\r\n\r\n".repeat(1000)), &["interim"]);
    assert_protocol(open_against("SSH-2.0-OpenSSH\r\n\r\n"), &["does not speak HTTP", "SSH-2.0"]);
    assert_protocol(
        open_against(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        ),
        &["malformed", "twice"],
    );
    let chunked = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_protocol(open_against([chunked, "zz\r\n"].concat()), &["malformed"]);
}

/// Shows an HTTP error where a test expects one of several kinds.
fn as_protocol(error: Error) -> Error {
    Error::Protocol(error.to_string())
}

#[test]
fn hostile_streams() {
    for endpoint in
        ["http://evil.example/m", "//evil.example/m", "https://127.0.0.1/m", "m", "/m\ndata: X: y"]
    {
        let shown = endpoint.split('\n').next().unwrap();
        assert_protocol(
            open_against(format!("{STREAM}event: endpoint\ndata: {endpoint}\n\n")),
            &[&format!("`{shown}"), "`http://127.0.0.1:"],
        );
    }
    let giant = "x".repeat(100 << 10);
    assert_protocol(open_against([STREAM, "data: ", &giant].concat()), &["longer than 65536 bytes"]);
    let many = "data: {\"jsonrpc\":\"2.0\",\"method\":\"n\"}\n\n".repeat(3000);
    assert_protocol(open_against([STREAM, &many].concat()), &["no endpoint event"]);
    let started = Instant::now();
    let silent = Client::builder().connect_timeout(Duration::from_millis(100));
    let server = scripted(|listener| {
        let mut stream = Peer::accept(&listener);
        stream.request();
        stream.send([STREAM, ": no endpoint\n\n"].concat());
        assert!(matches!(stream.0.read(&mut [0]), Ok(0) | Err(_)));
    });
    assert!(matches!(silent.open(&server.url), Err(Error::Timeout)));
    assert!(started.elapsed() < LONG);
    server.thread.join().unwrap();

    let chunked =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert!(matches!(open_against(chunked), Err(Error::Closed)));
    let empty = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 0\r\n\r\n";
    assert!(matches!(open_against(empty), Err(Error::Closed)));
}

#[test]
fn hostile_messages() {
    let server = with_stream(|listener, mut stream| {
        let mut posts = Peer::accept(&listener);
        posts.message();
        stream.event(r#"{"jsonrpc":"2.0","id":99,"result":{}}"#);
        stream.event(r#"{"jsonrpc":"2.0","id":"01","result":{}}"#);
        stream.event("{broken");
        stream.event(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}"#);
        stream.event(r#"{"jsonrpc":"2.0","id":1,"error":"no"}"#);
        stream.event(&"[".repeat(200));
        stream.event(r#"{"jsonrpc":"2.0","id":1,"result":{"right":true}}"#);
        stream.event(r#"{"jsonrpc":"2.0","id":1,"result":{"again":true}}"#);
        posts.message();
        stream.event("\u{feff}{\"jsonrpc\":\"2.0\",\"id\":\"2\",\"result\":{}}");
    });
    let mut client = Client::builder().open(&server.url).unwrap();
    let id = client.send("ping", None).unwrap();
    assert_protocol(client.wait(&id), &["an invalid message"]);
    assert_protocol(client.wait(&id), &["what?"]);
    assert_protocol(client.wait(&id), &["an invalid error object"]);
    assert_protocol(client.wait(&id), &["nested deeper"]);
    assert_eq!(client.wait(&id).unwrap().get(), r#"{"right":true}"#);
    client.ping().unwrap();
    server.thread.join().unwrap();
}

#[test]
fn a_server_that_dies_in_the_middle() {
    // After it took the request; before it took it; in the middle of its answer's event.
    let after = with_stream(|listener, stream| {
        Peer::accept(&listener).message();
        drop(stream);
    });
    let mut client = Client::builder().open(&after.url).unwrap();
    assert!(matches!(client.ping(), Err(Error::Closed)));
    assert!(matches!(client.ping(), Err(Error::Closed)));
    after.thread.join().unwrap();

    let before = with_stream(|listener, stream| {
        let mut posts = Peer::accept(&listener);
        posts.request();
        drop((stream, posts));
    });
    let mut client = Client::builder().open(&before.url).unwrap();
    assert!(matches!(client.ping(), Err(Error::Closed | Error::Io(_))));
    before.thread.join().unwrap();

    let middle = with_stream(|listener, mut stream| {
        Peer::accept(&listener).message();
        stream.send("event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n");
    });
    let mut client = Client::builder().open(&middle.url).unwrap();
    assert!(matches!(client.ping(), Err(Error::Closed)));
    middle.thread.join().unwrap();

    // The stream is gone, and the post hangs: its timeout is not waited for.
    let hanging = with_stream(|listener, stream| {
        let mut posts = Peer::accept(&listener);
        posts.request();
        drop(stream);
        assert!(matches!(posts.0.read(&mut [0]), Ok(0) | Err(_)));
    });
    let started = Instant::now();
    let mut client = Client::builder().open(&hanging.url).unwrap();
    assert!(matches!(client.ping(), Err(Error::Closed)));
    assert!(started.elapsed() < LONG);
    hanging.thread.join().unwrap();
}

#[test]
fn a_silent_server_gets_a_cancellation() {
    let server = with_stream(|listener, mut stream| {
        let mut posts = Peer::accept(&listener);
        assert!(posts.message().contains(r#""method":"tools/call""#));
        assert_eq!(
            posts.message(),
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"timed out"}}"#
        );
        stream.event(r#"{"jsonrpc":"2.0","id":1,"result":{"late":true}}"#);
        assert!(posts.message().contains(r#""method":"initialize""#));
        // `initialize` must not be cancelled: the next thing is the end.
        assert!(matches!(posts.0.read(&mut [0]), Ok(0)));
    });
    let mut client = Client::builder().request_timeout(Duration::from_millis(500)).open(&server.url).unwrap();
    assert!(matches!(client.call_tool("slow", "{}"), Err(Error::Timeout)));
    assert!(matches!(client.initialize(), Err(Error::Timeout)));
    drop(client);
    server.thread.join().unwrap();
}

/// Only what follows a timeout is sent in less time than a request has.
#[test]
fn a_cancellation_may_take_as_long_as_a_request() {
    let server = with_stream(|listener, _stream| {
        let mut posts = Peer::accept(&listener);
        assert!(posts.message().contains(r#""method":"tools/call""#));
        assert!(posts.request().1.contains("notifications/cancelled"));
        std::thread::sleep(Duration::from_millis(1100));
        posts.send("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
        assert!(matches!(posts.0.read(&mut [0]), Ok(0)));
    });
    let mut client = Client::builder().open(&server.url).unwrap();
    let id = client.send("tools/call", Some(r#"{"name":"slow"}"#)).unwrap();
    client.cancel(&id, "enough").unwrap();
    drop(client);
    server.thread.join().unwrap();
}

#[test]
fn the_server_can_ask_and_tell() {
    let server = with_stream(|listener, mut stream| {
        let mut posts = Peer::accept(&listener);
        posts.message();
        stream.event(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":1}}"#);
        let asked = [
            (r#""id":"p","method":"ping""#, r#""id":"p","result":{}"#),
            (r#""id":7,"method":"roots/list","params":{"x":1}"#, r#""id":7,"result":{"roots": []}"#),
            (r#""id":8,"method":"bad/json""#, r#""id":8,"error":{"code":-32603"#),
            (r#""id":9,"method":"sampling""#, r#""id":9,"error":{"code":-1,"message":"no"}"#),
        ];
        for (question, answer) in asked {
            stream.event(&format!(r#"{{"jsonrpc":"2.0",{question}}}"#));
            let body = posts.message();
            assert!(body.contains(answer) && !body.contains('\n'), "{body}");
        }
        stream.event(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        posts.message();
        stream.event(r#"{"jsonrpc":"2.0","id":0,"method":"roots/list"}"#);
        assert!(posts.message().contains(r#""result":{"roots": []}"#));
        stream.event(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
    });
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = told.clone();
    let mut client = Client::builder()
        .on_request(|method, params| match method {
            "roots/list" => {
                assert!(params.is_none_or(|params| params.text() == r#"{"x":1}"#));
                Ok("{\"roots\":\n[]}".to_owned())
            }
            "bad/json" => Ok("{".to_owned()),
            _ => Err(jsonrpc::Error::new(-1, "no")),
        })
        .on_notification(move |method, params| {
            telling.lock().unwrap().push(format!("{method} {}", params.map_or("", |params| params.text())));
        })
        .open(&server.url)
        .unwrap();
    client.ping().unwrap();
    assert_eq!(*told.lock().unwrap(), [r#"notifications/message {"data":1}"#]);
    client.notify("notifications/roots/list_changed", None).unwrap();
    assert!(
        matches!(client.next_message(LONG), Ok(Some(Received::Request { method })) if method == "roots/list")
    );
    assert!(matches!(
        client.next_message(LONG),
        Ok(Some(Received::Notification { method, params: None })) if method == "notifications/tools/list_changed"
    ));
    server.thread.join().unwrap();
}

#[test]
fn without_a_handler_only_ping_is_answered() {
    let server = with_stream(|listener, mut stream| {
        stream.event(r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#);
        stream.event(r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#);
        let mut posts = Peer::accept(&listener);
        let expected =
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found: roots/list"}}"#;
        assert_eq!(posts.message(), expected);
        assert_eq!(posts.message(), r#"{"jsonrpc":"2.0","id":2,"result":{}}"#);
    });
    let mut client = Client::builder().open(&server.url).unwrap();
    for _ in 0..2 {
        assert!(matches!(client.next_message(LONG), Ok(Some(Received::Request { .. }))));
    }
    server.thread.join().unwrap();
}

#[test]
fn posts_survive_servers_that_close_idle_connections() {
    let server = with_stream(|listener, mut stream| {
        let answer = |stream: &mut Peer, body: &str| {
            let id = body.split(r#""id":"#).nth(1).unwrap().split(',').next().unwrap();
            stream.event(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
        };
        // Kept, as far as its head says, but closed: before the next request, and then at its first byte.
        let mut posts = Peer::accept(&listener);
        let body = posts.message();
        drop(posts);
        answer(&mut stream, &body);

        let mut posts = Peer::accept(&listener);
        let body = posts.message();
        answer(&mut stream, &body);
        let (_, lost) = posts.request();
        drop(posts);
        let mut posts = Peer::accept(&listener);
        let body = posts.message();
        assert_eq!(body, lost);
        answer(&mut stream, &body);

        // Announced: by a field, and by a time that is over.
        let (_, body) = posts.request();
        posts.send(
            "HTTP/1.1 202 Accepted\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        );
        answer(&mut stream, &body);
        let mut posts = Peer::accept(&listener);
        let (_, body) = posts.request();
        posts.send("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\nContent-Length: 0\r\n\r\n");
        answer(&mut stream, &body);

        // And one that speaks without being asked.
        let mut posts = Peer::accept(&listener);
        let (_, body) = posts.request();
        posts.send("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n");
        answer(&mut stream, &body);
        let body = Peer::accept(&listener).message();
        answer(&mut stream, &body);
    });
    let mut client = Client::builder().open(&server.url).unwrap();
    for _ in 0..7 {
        client.ping().unwrap();
    }
    server.thread.join().unwrap();
}

#[test]
fn a_fresh_connection_is_not_tried_twice() {
    let server = with_stream(|listener, _stream| {
        drop(Peer::accept(&listener));
        listener.set_nonblocking(true).unwrap();
        let mut stream = _stream;
        // The client's end is the proof that no second attempt is on its way.
        assert!(matches!(stream.0.read(&mut [0]), Ok(0) | Err(_)));
        assert!(matches!(listener.accept(), Err(error) if error.kind() == ErrorKind::WouldBlock));
    });
    let mut client = Client::builder().open(&server.url).unwrap();
    assert!(matches!(client.ping(), Err(Error::Io(_))));
    drop(client);
    server.thread.join().unwrap();
}

#[test]
fn a_server_that_blocks_until_its_stream_is_read() {
    const EVENTS: usize = 64;
    let server = with_stream(|listener, mut stream| {
        let mut posts = Peer::accept(&listener);
        posts.request();
        let padding = "x".repeat(256 << 10);
        for _ in 0..EVENTS {
            let event = format!(r#"{{"jsonrpc":"2.0","method":"n","params":{{"x":"{padding}"}}}}"#);
            stream.0.write_all(format!("data: {event}\n\n").as_bytes()).unwrap();
        }
        posts.send(ACCEPTED);
        stream.event(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    });
    let mut client = Client::builder().event_bytes_max(32 << 20).open(&server.url).unwrap();
    let id = client.send("ping", None).unwrap();
    for _ in 0..EVENTS {
        assert!(matches!(client.next_message(LONG), Ok(Some(Received::Notification { .. }))));
    }
    client.wait(&id).unwrap();
    server.thread.join().unwrap();
}

#[test]
fn null_is_absent() {
    let server = with_stream(|listener, mut stream| {
        let mut posts = Peer::accept(&listener);
        posts.message();
        stream.event(
            r#"{"jsonrpc":"2.0","id":1,"method":null,"params":null,"result":{"tools":[],"nextCursor":null,"_meta":null},"error":null}"#,
        );
        posts.message();
        stream.event(r#"{"jsonrpc":"2.0","id":null,"method":"notifications/x","params":null,"result":null}"#);
        stream.event(r#"{"jsonrpc":"2.0","id":5,"method":"roots/list","params":null,"error":null}"#);
        assert!(posts.message().contains(r#""id":5,"result":{"roots":[]}"#));
        stream.event(
            r#"{"jsonrpc":"2.0","id":2,"result":null,"error":{"code":-32000,"message":"busy","data":null}}"#,
        );
    });
    let builder = Client::builder().on_request(|_, params| {
        assert!(params.is_none());
        Ok(r#"{"roots":[]}"#.to_owned())
    });
    let mut client =
        builder.on_notification(|_, params| assert!(params.is_none())).open(&server.url).unwrap();
    assert!(client.list("tools/list").unwrap().is_empty());
    match client.ping() {
        Err(Error::Rpc(error)) => assert!(error.data.is_none() && error.message == "busy", "{error:?}"),
        other => panic!("{other:?}"),
    }
    server.thread.join().unwrap();
}

#[test]
fn a_list_without_an_end_is_cut_off() {
    let server = with_stream(|listener, mut stream| {
        let mut posts = Peer::accept(&listener);
        for id in 1..=2 {
            posts.message();
            stream.event(&format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"tools":[{{}}],"nextCursor":"same"}}}}"#
            ));
        }
        posts.message();
        stream.event(r#"{"jsonrpc":"2.0","id":3,"result":{"tools":{}}}"#);
        assert!(posts.message().contains(r#""method":"initialize""#));
        stream.event(r#"{"jsonrpc":"2.0","id":4,"result":{"protocolVersion":"1999-01-01"}}"#);
        posts.message();
        stream.event(r#"{"jsonrpc":"2.0","id":5,"result":{}}"#);
    });
    let mut client = Client::builder().open(&server.url).unwrap();
    assert_protocol(client.list("tools/list"), &["leads to the same page"]);
    assert_protocol(client.list("tools/list"), &["`tools` must be an array"]);
    assert_protocol(client.initialize(), &["`1999-01-01`"]);
    assert_protocol(client.initialize(), &["protocolVersion"]);
    server.thread.join().unwrap();
}

#[test]
fn an_endpoint_can_move_on_its_own_server_only() {
    let server = with_stream(|listener, mut stream| {
        stream.send("event: endpoint\ndata: /n?session_id=s2\n\n");
        stream.event(r#"{"jsonrpc":"2.0","method":"n"}"#);
        let mut posts = Peer::accept(&listener);
        let (head, _) = posts.request();
        assert!(head.starts_with("POST /n?session_id=s2 HTTP/1.1\r\n"), "{head}");
        posts.send(ACCEPTED);
        stream.send("event: endpoint\ndata: http://evil.example/\n\n");
    });
    let mut client = Client::builder().open(&server.url).unwrap();
    assert!(matches!(client.next_message(LONG), Ok(Some(Received::Notification { .. }))));
    assert_eq!((client.endpoint(), client.session_id()), ("/n?session_id=s2", Some("s2")));
    assert_protocol(client.ping(), &["evil.example"]);
    server.thread.join().unwrap();
}

#[test]
fn no_server_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Client::connect(&format!("http://{address}/sse")).unwrap_err();
    assert!(error.to_string().contains(&format!("cannot connect to http://{address}: ")), "{error}");
}

#[test]
fn errors_are_sentences() {
    fn assert_send<T: Send>() {}
    assert_send::<Client>();
    let rpc = Error::Rpc(jsonrpc::Error::method_not_found("x"));
    for (error, text) in [
        (Error::Timeout, "the server did not answer in time"),
        (Error::Closed, "the session is closed, or the stream ended before the answer came"),
        (Error::Http { status: 404, body: " no\n".to_owned() }, "the server refused with 404 Not Found: no"),
        (Error::Http { status: 503, body: String::new() }, "the server refused with 503 Service Unavailable"),
        (
            Error::Http { status: 307, body: "moved to http://a.example/mcp".to_owned() },
            "the server refused with 307 Temporary Redirect: moved to http://a.example/mcp; redirects are not followed",
        ),
        // Of a refusal in terms of JSON-RPC what it says.
        (
            Error::Http {
                status: 503,
                body: r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"busy"}}"#.to_owned(),
            },
            "the server refused with 503 Service Unavailable: busy",
        ),
        (
            Error::Http { status: 308, body: String::new() },
            "the server refused with 308 Permanent Redirect; redirects are not followed",
        ),
        (
            Error::Http { status: 407, body: String::new() },
            "the server refused with 407 Proxy Authentication Required",
        ),
        (rpc, "the server answered with an error: Method not found: x (-32601)"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}
