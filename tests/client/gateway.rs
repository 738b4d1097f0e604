//! The example `gateway` between this client and a server of this crate: what `eras` does not ask of both.

#[path = "../../examples/gateway/main.rs"]
#[allow(dead_code)]
mod example;

use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use mcp_rill::Server;
use mcp_rill::client::{Client, Error, Received, Transport};
use mcp_rill::engine::Event;

use crate::eras::{TRANSPORTS, client, connect};
use crate::{LONG, Running, rpc_code};

/// A gateway to that server.
pub fn before(upstream: &Running) -> Running {
    let address = upstream.url.trim_start_matches("http://").trim_end_matches("/sse");
    to(address)
}

fn to(address: &str) -> Running {
    Running::run(example::listen("127.0.0.1:0", address.to_owned()).unwrap())
}

/// A server that says on the channel what happens to it.
fn watched() -> (Running, Receiver<&'static str>) {
    let (events, seen) = channel();
    let called = events.clone();
    let server = Server::new("test", "1")
        .blocking_tool("wait", "Wait until it is cancelled", move |(), call| {
            called.send("called").unwrap();
            while !call.is_cancelled() {
                thread::sleep(Duration::from_millis(1));
            }
            called.send("cancelled").unwrap();
        })
        .tool("ask", "Ask for roots", |(), call| -> mcp_rill::Result<usize> {
            Ok(call.roots("roots")?.required()?.len())
        });
    let mut listening = server.listen("127.0.0.1:0").unwrap();
    listening.on_event(move |event| match event {
        Event::SessionOpened { .. } => drop(events.send("opened")),
        Event::SessionClosed { .. } => drop(events.send("closed")),
        _ => {}
    });
    (Running::run(listening), seen)
}

fn next(seen: &Receiver<&'static str>) -> &'static str {
    seen.recv_timeout(LONG).unwrap()
}

#[test]
fn cancellations_and_ends_of_sessions_reach_upstream() {
    let (upstream, seen) = watched();
    let gateway = before(&upstream);
    for transport in TRANSPORTS {
        let mut client = client(&gateway, transport);
        let id = client.send("tools/call", Some(r#"{"name":"wait"}"#)).unwrap();
        let kept = transport != Transport::Stateless;
        let mut expected = if kept { vec!["opened", "called"] } else { vec!["called"] };
        expected.drain(..).for_each(|event| assert_eq!(next(&seen), event, "{transport:?}"));
        client.cancel(&id, "no").unwrap();
        assert_eq!(next(&seen), "cancelled", "{transport:?}");
        client.close();
        if kept {
            assert_eq!(next(&seen), "closed", "{transport:?}");
        }
    }
}

#[test]
fn a_client_that_is_gone_cancels() {
    let (upstream, seen) = watched();
    let gateway = before(&upstream);
    for (transport, begins, ends) in [
        (Transport::Sse, &["opened", "called"][..], &["cancelled", "closed"][..]),
        (Transport::Stateless, &["called"], &["cancelled"]),
    ] {
        let mut client = client(&gateway, transport);
        client.send("tools/call", Some(r#"{"name":"wait"}"#)).unwrap();
        begins.iter().for_each(|event| assert_eq!(next(&seen), *event, "{transport:?}"));
        drop(client);
        let mut events: Vec<_> = ends.iter().map(|_| next(&seen)).collect();
        events.sort_unstable(); // the handler is on a thread of its own
        assert_eq!(events, ends, "{transport:?}");
    }
}

#[test]
fn without_upstream_requests_end_in_errors() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = to(&silent.local_addr().unwrap().to_string());
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
