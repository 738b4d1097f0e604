//! Everything that a peer can make the server hold, by every door at once and for as long as it lasts: it holds no more
//! than it says, in its own count and in resident memory.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use mcp_rill::{Level, Limits, Reply, Server, schema};
use serde_json::Value;

use crate::host::{Clients, Host, REST_KIB, assert_resident, so_far, stated_kib, status_kib};
use crate::parts::Scale;
use crate::wire::{self, Wire};

schema! { struct Fill { bytes: usize } }
schema! { struct Name { name: String } }

/// Messages that are worked on at the same time: one on the loop, and those of threads, stuck ones included.
const AT_WORK: usize = 1 + Limits::DEFAULT.workers + Limits::DEFAULT.workers_stuck_max;

/// What a message takes while it is worked on: its arguments as text and as the handler takes them, or its result and
/// the text of that. Objects of one small value are the dearest: the same text takes a dozen times as much as a `Value`.
const AT_WORK_KIB: u64 = (2 * AT_WORK * (Limits::DEFAULT.body_bytes_max >> 10)) as u64 + DENSE_KIB;
const DENSE_KIB: u64 = 48 << 10;

/// The defaults, apart from times: what was kept for clients that are gone goes while somebody looks.
const LIMITS: Limits = Limits {
    question_timeout: Duration::from_secs(4),
    tool_timeout: Duration::from_secs(4),
    session_idle_timeout: Duration::from_secs(4),
    initialize_timeout: Duration::from_secs(4),
    ..Limits::DEFAULT
};

fn server(leave: Arc<Mutex<mpsc::Receiver<()>>>) -> Server {
    let kept: Arc<Mutex<Vec<Reply>>> = Arc::default();
    Server::new("soak", "1")
        .limits(LIMITS)
        .tool("fill", "Give many bytes", |Fill { bytes }: Fill, _| "x".repeat(bytes))
        .tool("say", "Say much, then give many bytes", |Fill { bytes }: Fill, call| {
            (0..16).for_each(|_| call.log(Level::Error, "s".repeat(4000)));
            "x".repeat(bytes)
        })
        .tool("any", "Take anything", |value: Value, _| value.to_string().len().to_string())
        .tool("ask", "Ask, and keep what came", |_: Value, call| -> mcp_rill::Result<String> {
            Ok(call.elicit::<Name>("name", "Who?")?.accepted().map_or_else(String::new, |answer| answer.name))
        })
        .tool("later", "Answer never", move |_: Value, call| {
            call.defer(|reply| {
                let mut kept = kept.lock().unwrap();
                kept.retain(|reply| !reply.is_cancelled());
                kept.push(reply);
            })
        })
        .blocking_tool("hang", "Hang", move |value: Value, _| {
            let _ = leave.lock().unwrap().recv();
            value.to_string().len().to_string()
        })
        .template("soak:///{name}", "any", |_, _| "text")
}

/// How often: the second time begins with what the first one has left of the allocator's memory.
const ROUNDS: usize = 2;

pub(crate) fn serve(scale: Scale) {
    let (leave, gate) = mpsc::channel::<()>();
    let host = Host::start(server(Arc::new(Mutex::new(gate))));
    let mut after = Vec::new();
    for _ in 0..ROUNDS {
        attack(&host, scale);
        // Those that hang, and no others: the next ones come in the next round.
        while host.seen().stats.workers_stuck > 0 && leave.send(()).is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
        // Sessions of Streamable HTTP, and their calls, last longer than their connections.
        host.until_empty();
        after.push(status_kib("VmRSS"));
    }
    println!("nothing is left when all have gone; KiB resident after each of {ROUNDS} rounds: {after:?}");
    drop(leave);
    host.stop();
}

fn attack(host: &Host, scale: Scale) {
    let mut clients = Clients::start("doors", host.address, scale);
    clients.said("warm");
    let before = status_kib("VmRSS");
    clients.go();
    let said = thread::scope(|scope| {
        let said = scope.spawn(|| clients.said("done"));
        // So many updates that every subscription hears of them, at the worst of times.
        while !said.is_finished() {
            (0..=LIMITS.mailbox_max).for_each(|number| host.handle.resource_updated(&number.to_string()));
            thread::sleep(Duration::from_millis(200));
        }
        said.join().unwrap()
    });
    println!("{said}");
    let (seen, most) = (host.seen(), status_kib("VmHWM"));
    let stated = stated_kib(&LIMITS, LIMITS.connections_max, LIMITS.sessions_max);
    println!(
        "held by peers: at most {} KiB of {}; resident: {before} KiB before, at most {most} KiB; stated: {REST_KIB} + {stated} KiB, and {AT_WORK_KIB} KiB for the {AT_WORK} messages that are worked on",
        seen.buffered_max >> 10,
        LIMITS.buffered_bytes_max >> 10
    );
    println!(
        "of {} messages {} were refused as busy; cut: {} slow readers, {} sessions; {} requests refused",
        seen.stats.messages_received,
        seen.stats.busy,
        seen.stats.slow_readers,
        seen.stats.sessions_shed,
        seen.stats.refused
    );
    assert!(seen.buffered_max <= LIMITS.buffered_bytes_max, "{}", seen.buffered_max);
    // Which of them gives way first is a matter of who comes when.
    let gave_way = seen.stats.sessions_shed + seen.stats.slow_readers + seen.stats.busy;
    assert!(gave_way > 0, "the attack was too weak to show anything");
    assert!(seen.buffered_max > LIMITS.buffered_bytes_max / 10 * 9, "{}", seen.buffered_max);
    assert_resident("all doors", most, REST_KIB + stated + AT_WORK_KIB);
    clients.go();
    clients.end();
}

/// One door: tries once more, for as long as it is let.
type Door = fn(SocketAddr, &AtomicBool);

pub(crate) fn clients(address: SocketAddr, scale: Scale) {
    let mut wire = Wire::connect(address);
    assert_eq!(wire.send(wire::alone_call(1, "fill", r#"{"bytes":10}"#)).response().status, 200);
    drop(wire);
    so_far("warm");
    let doors: [(&str, Door); 13] = [
        ("half bodies", bodies),
        ("value-dense JSON", dense),
        ("half heads", heads),
        ("unread streams", unread_streams),
        ("unread answers", unread_answers),
        ("kept questions", questions),
        ("kept calls", calls),
        ("calls on threads", threads),
        ("subscriptions", subscriptions),
        ("listens", listens),
        ("long names", names),
        ("pipelined requests", pipelined),
        ("lost streams", lost),
    ];
    let time = Duration::from_secs(scale.of(3, 20) as u64);
    let (stop, start) = (&AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        for (_, door) in doors {
            scope.spawn(move || door(address, stop));
        }
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    });
    let names: Vec<&str> = doors.iter().map(|(name, _)| *name).collect();
    so_far(format!("done: {} for {:.1?}", names.join(", "), start.elapsed()));
}

/// Connections that are kept, up to a number; the oldest is given up for the next one.
fn keep(stop: &AtomicBool, count: usize, mut open: impl FnMut() -> Option<Wire>) {
    let mut kept = std::collections::VecDeque::new();
    while !stop.load(Ordering::Relaxed) {
        match open() {
            Some(wire) => kept.push_back(wire),
            None => thread::sleep(Duration::from_millis(5)),
        }
        if kept.len() > count {
            kept.pop_front();
        }
    }
}

const MIB: usize = 1 << 20;

/// One that waits for nothing for long: there is more to attack.
fn hasty(wire: Wire) -> Wire {
    wire.socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    wire.socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    wire
}

fn bodies(address: SocketAddr, stop: &AtomicBool) {
    let half = vec![b' '; 4 * MIB - 1];
    keep(stop, 40, || {
        let mut wire = hasty(Wire::connect(address));
        wire.try_send(wire::post_head("/mcp", 4 * MIB));
        wire.try_send(&half).then_some(wire)
    });
}

fn dense(address: SocketAddr, stop: &AtomicBool) {
    // Close to `json_values_max`, and as large as a body may be.
    let values = vec![r#"{"a":{"b":[0]}}"#; 24_000].join(",");
    let arguments = format!(r#"{{"values":[{values}],"rest":"{}"}}"#, "y".repeat(3 * MIB));
    keep(stop, 1, || {
        let mut wire = hasty(Wire::connect(address));
        wire.try_send(wire::alone_call(1, "any", &arguments));
        wire.try_response().map(|_| wire)
    });
}

fn heads(address: SocketAddr, stop: &AtomicBool) {
    let head = format!("GET /sse HTTP/1.1\r\nX: {}", "h".repeat(15 << 10));
    keep(stop, 400, || {
        let mut wire = hasty(Wire::connect(address));
        wire.try_send(&head).then_some(wire)
    });
}

fn unread_streams(address: SocketAddr, stop: &AtomicBool) {
    keep(stop, 30, || {
        let (mut wire, mut post) = (hasty(Wire::narrow(address)), hasty(Wire::connect(address)));
        wire.try_send(wire::get("/sse"));
        wire.try_through("event: endpoint\ndata: ")?;
        let endpoint = wire.try_through("\n\n")?.trim_end().to_owned();
        for id in 0..8 {
            post.try_send(wire::post(&endpoint, &wire::call(id, "fill", r#"{"bytes":1000000}"#)));
            post.try_response()?;
        }
        Some(wire)
    });
}

fn unread_answers(address: SocketAddr, stop: &AtomicBool) {
    let request = wire::alone_call(1, "fill", r#"{"bytes":3900000}"#);
    keep(stop, 30, || {
        let mut wire = hasty(Wire::narrow(address));
        wire.try_send(&request).then_some(wire)
    });
}

/// Calls of one session.
const CALLS: usize = 32;

/// Calls a tool with large arguments, from one session after the other.
fn call_often(address: SocketAddr, stop: &AtomicBool, tool: &str, bytes: usize, sessions: usize) {
    let arguments = format!(r#"{{"text":"{}"}}"#, "z".repeat(bytes));
    let mut wires = std::collections::VecDeque::new();
    keep(stop, sessions, || {
        let mut post = hasty(Wire::connect(address));
        let session = wire::try_open_mcp(&mut post, tool)?;
        for id in 0..CALLS {
            let mut wire = hasty(Wire::connect(address));
            wire.try_send(wire::mcp_post(&session, &wire::call(id, tool, &arguments)));
            wires.push_back(wire);
        }
        while wires.len() > 4 * CALLS {
            wires.pop_front();
        }
        Some(post)
    });
}

fn questions(address: SocketAddr, stop: &AtomicBool) {
    call_often(address, stop, "ask", 300_000, 20);
}

fn calls(address: SocketAddr, stop: &AtomicBool) {
    call_often(address, stop, "later", 700_000, 20);
}

fn threads(address: SocketAddr, stop: &AtomicBool) {
    let request = wire::alone_call(1, "hang", &format!(r#"{{"text":"{}"}}"#, "w".repeat(3 * MIB)));
    // Who goes leaves a thread stuck with what it was given.
    keep(stop, 12, || {
        let mut wire = hasty(Wire::connect(address));
        wire.try_send(&request).then_some(wire)
    });
}

fn subscriptions(address: SocketAddr, stop: &AtomicBool) {
    let mut last = 0;
    keep(stop, 40, || {
        let mut wire = hasty(Wire::connect(address));
        let session = wire::try_open_mcp(&mut wire, "subscriber")?;
        for _ in 0..Limits::DEFAULT.subscriptions_max {
            last += 1;
            let uri = format!("soak:///{last}{}", "u".repeat(8000));
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{{"uri":"{uri}"}}}}"#
            );
            wire.try_send(wire::mcp_post(&session, &body));
            wire.try_response()?;
        }
        Some(wire)
    });
}

fn listens(address: SocketAddr, stop: &AtomicBool) {
    let uris: Vec<String> = (0..250).map(|at| format!("\"soak:///{at}{}\"", "v".repeat(8000))).collect();
    let filter = format!(r#""notifications":{{"resourceSubscriptions":[{}]}}"#, uris.join(","));
    let request = wire::alone(1, "subscriptions/listen", "", &filter);
    keep(stop, 60, || {
        let mut wire = hasty(Wire::narrow(address));
        wire.try_send(&request).then_some(wire)
    });
}

fn names(address: SocketAddr, stop: &AtomicBool) {
    // Longer than what is kept of it.
    let name = "\u{1f600}".repeat(100_000);
    let mut wire = hasty(Wire::connect(address));
    keep(stop, 1, || {
        if wire::try_open_mcp(&mut wire, &name).is_none() {
            wire = hasty(Wire::connect(address));
            return None;
        }
        thread::sleep(Duration::from_millis(5));
        Some(hasty(Wire::connect(address)))
    });
}

fn pipelined(address: SocketAddr, stop: &AtomicBool) {
    let first = wire::alone_call(1, "later", "{}");
    let flood: String = (2..4000).map(|id| wire::alone_call(id, "fill", r#"{"bytes":100}"#)).collect();
    keep(stop, 60, || {
        let mut wire = hasty(Wire::narrow(address));
        wire.try_send(&first);
        wire.send_until_full(flood.as_bytes(), Duration::from_millis(5));
        Some(wire)
    });
}

/// Calls of sessions that say much before their results, to clients that are gone: kept for them to come back.
fn lost(address: SocketAddr, stop: &AtomicBool) {
    keep(stop, 40, || {
        let mut post = hasty(Wire::connect(address));
        let session = wire::try_open_mcp(&mut post, "lost")?;
        for id in 0..16 {
            let mut wire = hasty(Wire::narrow(address));
            wire.try_send(wire::mcp_post(&session, &wire::call(id, "say", r#"{"bytes":500000}"#)));
            wire.try_through("data:")?;
        }
        Some(post)
    });
}
