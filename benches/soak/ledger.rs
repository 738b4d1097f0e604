//! Many small things of one kind after another: what they take of the system is what is counted for them, so that the
//! budget bounds memory and not just a number.

use std::net::SocketAddr;

use mcp_rill::{Limits, Reply, Server};
use serde_json::Value;

use crate::host::{Clients, Host, so_far, stated_kib, status_kib};
use crate::parts::Scale;
use crate::wire::{self, Wire};

/// What is not worth a count of its own: tables that double, and pages of which a part is used.
const SLACK_KIB: u64 = 1 << 10;

pub(crate) fn serve(scale: Scale) {
    let kept: std::sync::Mutex<Vec<Reply>> = Default::default();
    let server = Server::new("soak", "1")
        .tool("later", "Answer never", move |_: Value, call| {
            call.defer(|reply| kept.lock().unwrap().push(reply))
        })
        .tool("ask", "Ask", |_: Value, call| -> mcp_rill::Result<String> {
            Ok(call.roots("roots")?.required()?.len().to_string())
        })
        .template("soak:///{name}", "any", |_, _| "text")
        .limits(Limits { sessions_max: 1000, ..Limits::DEFAULT });
    let host = Host::start(server);
    let mut clients = Clients::start("ledger", host.address, scale);
    clients.said("warm");
    let none = Limits { buffered_bytes_max: 0, ..Limits::DEFAULT };
    let mut wrong = Vec::new();
    loop {
        let (before, counted) = (status_kib("VmRSS"), host.seen().stats);
        clients.go();
        let kind = clients.said("");
        if kind == "all" {
            break;
        }
        let (after, seen) = (status_kib("VmRSS"), host.seen().stats);
        let count = (seen.buffered_bytes - counted.buffered_bytes) as u64 >> 10;
        let entries = stated_kib(
            &none,
            seen.connections.saturating_sub(counted.connections),
            seen.sessions.saturating_sub(counted.sessions),
        ) - stated_kib(&none, 0, 0);
        let (took, stated) = (after - before, count * 9 / 8 + entries + SLACK_KIB);
        println!(
            "{kind}: {took} KiB resident, {count} KiB counted, with entries and slack {stated} KiB stated"
        );
        if took > stated {
            wrong.push(kind);
        }
    }
    clients.go();
    clients.end();
    host.stop();
    assert!(wrong.is_empty(), "more than is stated: {wrong:?}");
}

/// One kind: gives what has to stay open, and how many there are.
type Kind = fn(SocketAddr, usize) -> (Vec<Wire>, usize);

pub(crate) fn clients(address: SocketAddr, scale: Scale) {
    let kinds: [(&str, Kind); 6] = [
        ("subscriptions", subscriptions),
        ("kept calls", calls),
        ("questions", questions),
        ("answered streams", answered),
        ("listens", listens),
        ("refused bodies", refused),
    ];
    // What is done once, such as tables and the pool, is done before it is looked at.
    drop(kinds.map(|(_, open)| open(address, 2)));
    so_far("warm");
    let mut open = Vec::new();
    for (name, kind) in kinds {
        let (wires, count) = kind(address, scale.of(128, 240));
        open.push(wires);
        so_far(format!("{count} {name}"));
    }
    so_far("all");
}

fn subscriptions(address: SocketAddr, sessions: usize) -> (Vec<Wire>, usize) {
    let mut wire = Wire::connect(address);
    for number in 0..sessions {
        let session = wire::open_mcp(&mut wire);
        for at in 0..Limits::DEFAULT.subscriptions_max {
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{{"uri":"soak:///{number}.{at}"}}}}"#
            );
            assert_eq!(wire.send(wire::mcp_post(&session, &body)).response().status, 200);
        }
    }
    (vec![wire], sessions * Limits::DEFAULT.subscriptions_max)
}

/// Calls of one session: enough that they and not the session are weighed.
const CALLS: usize = 32;

/// Calls of HTTP+SSE sessions, which need no connection each.
fn many_calls(address: SocketAddr, sessions: usize, tool: &str, question: bool) -> (Vec<Wire>, usize) {
    let mut post = Wire::connect(address);
    let mut wires = Vec::new();
    for _ in 0..sessions {
        let mut wire = Wire::connect(address);
        let endpoint = wire.open_sse();
        let name = wire::initialize().replace(r#""elicitation":{}"#, r#""roots":{}"#);
        assert_eq!(post.send(wire::post(&endpoint, &name)).response().status, 202);
        wire.through("\n\n");
        for id in 1..=CALLS {
            assert_eq!(post.send(wire::post(&endpoint, &wire::call(id, tool, "{}"))).response().status, 202);
            if question {
                wire.through("\n\n");
            }
        }
        wires.push(wire);
    }
    wires.push(post);
    (wires, sessions * CALLS)
}

fn calls(address: SocketAddr, sessions: usize) -> (Vec<Wire>, usize) {
    many_calls(address, sessions, "later", false)
}

fn questions(address: SocketAddr, sessions: usize) -> (Vec<Wire>, usize) {
    many_calls(address, sessions, "ask", true)
}

/// Answers that are streams of one event each, all of them read: kept for clients that did not hear them.
fn answered(address: SocketAddr, sessions: usize) -> (Vec<Wire>, usize) {
    const EACH: usize = 256;
    let mut wire = Wire::connect(address);
    for _ in 0..sessions {
        let session = wire::open_mcp(&mut wire);
        let ping = wire::mcp_post(&session, &wire::ping(1));
        let ping = ping.replace("application/json, text/event-stream", "text/event-stream");
        for _ in 0..EACH {
            wire.send(&ping).through("\r\n0\r\n\r\n");
        }
    }
    (vec![wire], sessions * EACH)
}

fn listens(address: SocketAddr, sessions: usize) -> (Vec<Wire>, usize) {
    const EACH: usize = 50;
    let wires = (0..sessions).map(|number| {
        let uris: Vec<String> = (0..EACH).map(|at| format!("\"soak:///{number}.{at}\"")).collect();
        let filter = format!(r#""notifications":{{"resourceSubscriptions":[{}]}}"#, uris.join(","));
        let mut wire = Wire::connect(address);
        wire.send(wire::alone(1, "subscriptions/listen", "", &filter)).through("acknowledged");
        wire
    });
    (wires.collect(), sessions * EACH)
}

/// Bodies that are not kept, but whose answers wait for their end.
fn refused(address: SocketAddr, sessions: usize) -> (Vec<Wire>, usize) {
    let count = 4 * sessions;
    let path = format!("/{}", "x".repeat(8000));
    let wires: Vec<Wire> = (0..count)
        .map(|_| {
            let mut wire = Wire::connect(address);
            wire.send(wire::post_head(&path, 100_000) + "{");
            wire
        })
        .collect();
    // Whoever comes after them is served after them.
    let mut last = Wire::connect(address);
    assert_eq!(last.send(wire::get("/")).response().status, 404);
    (wires, count)
}
