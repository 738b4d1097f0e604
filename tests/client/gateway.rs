//! The example `gateway` between this client and a server of this crate: what `eras` does not ask of both.

#[path = "../../examples/gateway.rs"]
#[allow(dead_code)]
mod example;
#[path = "../../examples/conformance/lines.rs"]
mod lines;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mcp_rill::client::{Client, Error, Received, Transport};
use mcp_rill::engine::{Engine, Event};
use mcp_rill::net::random_id;
use mcp_rill::{Handle, Limits, Server};

use crate::eras::{TRANSPORTS, client, connect};
use crate::{Echo, LONG, Running, rpc_code};

/// A server on connections of lines in a thread, until dropped.
pub struct Upstream {
    address: SocketAddr,
    pub handle: Handle,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Upstream {
    pub fn start(server: Server) -> Upstream {
        Upstream::run(Engine::new(server, random_id).unwrap())
    }

    fn run(engine: Engine) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, handle) = (listener.local_addr().unwrap(), engine.handle());
        Upstream { address, handle, thread: Some(thread::spawn(move || lines::serve(engine, listener))) }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.handle.shutdown(Duration::ZERO);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

/// A gateway to that server.
pub fn before(upstream: &Upstream) -> Running {
    to(upstream.address)
}

fn to(address: SocketAddr) -> Running {
    Running::run(example::listen("127.0.0.1:0", address).unwrap())
}

/// A server that says on the channel what happens to it.
fn watched() -> (Upstream, Receiver<&'static str>) {
    let (events, seen) = channel();
    let called = events.clone();
    // How long it goes on after the end of its input: the gateway's shutdown waits for that.
    let limits = Limits { shutdown_grace: Duration::from_millis(100), ..Limits::DEFAULT };
    let server = Server::new("test", "1")
        .limits(limits)
        .blocking_tool("wait", "Wait until it is cancelled", move |(), call| {
            called.send("called").unwrap();
            while !call.is_cancelled() {
                thread::sleep(Duration::from_millis(1));
            }
            called.send("cancelled").unwrap();
        })
        .blocking_tool("report", "Report progress", |Echo { text }: Echo, call| {
            call.progress(1.0, None, Some(&text));
            text
        })
        .tool("ask", "Ask for roots", |(), call| -> mcp_rill::Result<usize> {
            Ok(call.roots("roots")?.required()?.len())
        });
    let mut engine = Engine::new(server, random_id).unwrap();
    engine.on_event(move |event| match event {
        Event::SessionOpened { .. } => drop(events.send("opened")),
        Event::SessionClosed { .. } => drop(events.send("closed")),
        _ => {}
    });
    (Upstream::run(engine), seen)
}

fn next(seen: &Receiver<&'static str>) -> &'static str {
    seen.recv_timeout(LONG).unwrap()
}

/// What has happened upstream so far.
struct Events {
    seen: Receiver<&'static str>,
    so_far: Vec<&'static str>,
}

impl Events {
    fn count(&self, what: &str) -> usize {
        self.so_far.iter().filter(|event| **event == what).count()
    }

    fn wait_until(&mut self, is_reached: impl Fn(&Events) -> bool) {
        while !is_reached(self) {
            self.so_far.push(next(&self.seen));
        }
    }

    /// As many sessions as these are open: a connection for each that is kept, and for each open request that has none.
    fn wait_until_open(&mut self, sessions: usize) {
        self.wait_until(|events| events.count("opened") == events.count("closed") + sessions);
    }
}

#[test]
fn cancellations_and_ends_of_sessions_reach_upstream() {
    let (upstream, seen) = watched();
    let (gateway, mut events) = (before(&upstream), Events { seen, so_far: Vec::new() });
    for (number, transport) in (1..).zip(TRANSPORTS) {
        let mut client = client(&gateway, transport);
        let id = client.send("tools/call", Some(r#"{"name":"wait"}"#)).unwrap();
        events.wait_until(|events| events.count("called") == number);
        events.wait_until_open(1);
        client.cancel(&id, "no").unwrap();
        events.wait_until(|events| events.count("cancelled") == number);
        events.wait_until_open(usize::from(transport != Transport::Stateless));
        client.close();
        events.wait_until_open(0);
    }
}

#[test]
fn a_client_that_is_gone_cancels() {
    let (upstream, seen) = watched();
    let (gateway, mut events) = (before(&upstream), Events { seen, so_far: Vec::new() });
    for (number, transport) in (1..).zip([Transport::Sse, Transport::Stateless]) {
        let mut client = client(&gateway, transport);
        client.send("tools/call", Some(r#"{"name":"wait"}"#)).unwrap();
        events.wait_until(|events| events.count("called") == number);
        drop(client);
        events.wait_until(|events| events.count("cancelled") == number);
        events.wait_until_open(0);
    }
}

#[test]
fn without_upstream_requests_end_in_errors() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = to(silent.local_addr().unwrap());
    thread::spawn(move || silent.incoming().for_each(drop));
    for transport in TRANSPORTS {
        let url = gateway.url.replace("/sse", if transport == Transport::Sse { "/sse" } else { "/mcp" });
        let refused = Client::builder().transport(transport).connect(&url).unwrap_err();
        assert!(matches!(&refused, Error::Rpc(error) if error.code == -32603), "{transport:?}: {refused:?}");
    }
}

#[test]
fn upstream_ends_before_its_clients() {
    let (upstream, seen) = watched();
    let gateway = before(&upstream);
    let mut listener = client(&gateway, Transport::Stateless);
    listener.subscribe(&[]).unwrap();
    let mut others: Vec<Client> =
        [Transport::Sse, Transport::Streamable].map(|transport| client(&gateway, transport)).into();
    let ids: Vec<_> = others
        .iter_mut()
        .map(|client| client.send("tools/call", Some(r#"{"name":"wait"}"#)).unwrap())
        .collect();
    while next(&seen) != "called" || next(&seen) != "called" {}
    drop(upstream);
    for (client, id) in others.iter_mut().zip(&ids) {
        assert_eq!(rpc_code(client.wait(id)), -32603);
    }
    assert!(matches!(listener.next_message(LONG), Ok(Some(Received::Unsubscribed))));
}

#[test]
fn a_shutdown_waits_for_no_listener_and_no_question() {
    let (upstream, _seen) = watched();
    let mut gateway = before(&upstream);
    let mut listener = client(&gateway, Transport::Stateless);
    listener.subscribe(&[]).unwrap();
    let handle = gateway.handle.clone();
    let builder = Client::builder().capabilities(r#"{"roots":{}}"#).on_request(move |_, _| {
        handle.shutdown(LONG * 100);
        thread::sleep(LONG / 50);
        Ok(r#"{"roots":[]}"#.to_owned())
    });
    let mut asked = connect(builder, &gateway, Transport::Sse);
    assert!(asked.call_tool("ask", "{}").is_err());
    gateway.thread.take().unwrap().join().unwrap().unwrap();
    assert!(matches!(listener.next_message(LONG), Ok(Some(Received::Unsubscribed))));
}

/// Sends one message to the gateway on a connection of its own. Returns the response.
fn post(gateway: &Running, session: &str, accept: &str, body: &str) -> String {
    let address = gateway.url.trim_start_matches("http://").trim_end_matches("/sse");
    let mut stream = TcpStream::connect(address).unwrap();
    let (length, session) = (
        body.len(),
        if session.is_empty() { String::new() } else { format!("Mcp-Session-Id: {session}\r\n") },
    );
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAccept: {accept}\r\n{session}\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn ids_and_tokens_that_are_used_again_do_not_cross() {
    let (upstream, _seen) = watched();
    let gateway = before(&upstream);
    let client = client(&gateway, Transport::Streamable);
    let session = client.session_id().unwrap();
    let both = "application/json, text/event-stream";
    thread::scope(|scope| {
        for number in 0..12 {
            let gateway = &gateway;
            scope.spawn(move || {
                let text = format!("call {number}");
                let params = format!(
                    r#"{{"name":"report","arguments":{{"text":"{text}"}},"_meta":{{"progressToken":"t"}}}}"#
                );
                let body = format!(r#"{{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{params}}}"#);
                let response = post(gateway, session, both, &body);
                let result =
                    format!(r#""id":"a","result":{{"content":[{{"type":"text","text":"{text}"}}]}}"#);
                let told = format!(r#""progress":1,"message":"{text}""#);
                assert!(response.contains(&result) && response.contains(&told), "{text}: {response}");
                assert!(response.contains(r#""progressToken":"t""#), "{response}");
                assert_eq!(response.matches("call ").count(), 2, "{response}");
            });
        }
    });
}

#[test]
fn a_question_that_reaches_no_client_is_answered_with_an_error() {
    let (upstream, _seen) = watched();
    let gateway = before(&upstream);
    // A client that opens no stream for what belongs to no request.
    let params = r#"{"protocolVersion":"2025-06-18","capabilities":{"roots":{}},"clientInfo":{"name":"c","version":"1"}}"#;
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{params}}}"#);
    let welcome = post(&gateway, "", "application/json", &body);
    let (_, session) = welcome.split_once("Mcp-Session-Id: ").expect(&welcome);
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ask"}}"#;
    let response = post(&gateway, session.lines().next().unwrap(), "application/json", body);
    assert!(response.contains("the client cannot be asked now"), "{response}");
}
