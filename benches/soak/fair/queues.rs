//! All worker threads and all places to listen taken by one client.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mcp_rill::{Limits, Principal, Server};

use super::{Promise, among, hold, honest, host_of, is_reply, judge};
use crate::host::so_far;
use crate::parts::Scale;
use crate::wire::{self, Wire};

const CALLS: usize = 262;
const LISTENS: usize = 300;
/// What each of the calls takes.
const NAP: Duration = Duration::from_millis(250);

pub(crate) fn serve(scale: Scale) {
    let server = Server::new("soak", "1")
        .blocking_tool("nap", "Sleep", |(), _| {
            std::thread::sleep(NAP);
            "awake"
        })
        .blocking_tool("quick", "Say hello", |(), _| "hello")
        .template("soak:///{name}", "any", |_, _| "text")
        .authorize(|request| Ok(Principal::new(request.bearer()?)))
        .limits(Limits { session_idle_timeout: Duration::from_secs(5), ..Limits::DEFAULT });
    let p99 = Some(2 * NAP);
    let promises = ["calls of one session", "calls of one principal", "listens of one principal"]
        .map(|name| Promise { name, p50: None, p99, kib: None });
    judge("queues", host_of(server), scale, &promises);
}

fn with_token(request: String, token: &str) -> String {
    request.replacen("\r\n", &format!("\r\nAuthorization: Bearer {token}\r\n"), 1)
}

/// Opens a session of that principal.
fn open_as(wire: &mut Wire, token: &str) -> String {
    let opened = wire.send(with_token(wire::mcp_post("", &wire::initialize()), token)).response();
    let id = opened.header("Mcp-Session-Id").unwrap().to_owned();
    assert_eq!(wire.send(with_token(wire::mcp_post(&id, wire::INITIALIZED), token)).response().status, 202);
    id
}

pub(crate) fn clients(address: SocketAddr, scale: Scale) {
    let time = Duration::from_secs(scale.of(4, 20) as u64);
    for (name, token) in [("calls of one session", "honest"), ("calls of one principal", "greedy")] {
        let mut opener = Wire::connect(address);
        let greedy = [open_as(&mut opener, token), open_as(&mut opener, token)];
        let calls = |stop: &AtomicBool| {
            hold(address, stop, CALLS, |at, wire| {
                let call = wire::mcp_post(&greedy[at % 2], &wire::call(at, "nap", "{}"));
                // One after the other, without end.
                wire.try_send(with_token(call, token).repeat(20));
            });
        };
        let mut wire = Wire::connect(address);
        let session = open_as(&mut wire, "honest");
        let mut kept = Some(wire);
        let said = among(&[&calls], time, |number| {
            let Some(mut wire) = kept.take().or_else(|| honest(address)) else { return false };
            let call = wire::mcp_post(&session, &wire::call(number, "quick", "{}"));
            wire.try_send(with_token(call, "honest"));
            let served = is_reply(wire.try_response().as_ref(), "hello");
            kept = served.then_some(wire);
            served
        });
        // Their calls end with them, and not one after the other.
        for session in &greedy {
            let end = format!("DELETE /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nMcp-Session-Id: {session}\r\n\r\n");
            assert_eq!(opener.send(with_token(end, token)).response().status, 200);
        }
        drop((opener, kept));
        so_far(format!("{name} {said}"));
        so_far("gone");
    }

    let filter = r#""notifications":{"resourceSubscriptions":["soak:///a"]}"#;
    let listen = |token| with_token(wire::alone(1, "subscriptions/listen", "", filter), token);
    let listens = |stop: &AtomicBool| {
        hold(address, stop, LISTENS, |_, wire| {
            wire.try_send(listen("greedy"));
        });
    };
    let said = among(&[&listens], time, |_| {
        let Some(mut wire) = honest(address) else { return false };
        wire.try_send(listen("honest"));
        wire.try_through("acknowledged").is_some()
    });
    so_far(format!("listens of one principal {said}"));
    so_far("gone");
}
