//! What is copied on its way: batches of long answers, streams that are resumed, replies that wait for others, origins that
//! are repeated.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use mcp_rill::{Level, Limits, Reply, Server, schema};

use super::{Promise, hold, honest, host_of, hostile, is_gone, judge, with_honest};
use crate::host::{REST_KIB, so_far, stated_kib};
use crate::parts::Scale;
use crate::wire::{self, Wire};

schema! { struct Fill { bytes: usize } }

const LIMITS: Limits = Limits {
    session_idle_timeout: Duration::from_secs(5),
    tool_timeout: Duration::from_secs(10),
    ..Limits::DEFAULT
};

/// The program, and one message in work: its result, and the text of that.
const BESIDES_KIB: u64 = REST_KIB + 2 * (LIMITS.message_bytes_max as u64 >> 10);

/// A page of them is as long as one may be.
const TOOLS: usize = 120;

/// Answers the calls that come late, one at a time.
fn answer_late(calls: &mpsc::Receiver<(Instant, Reply, usize)>) {
    for (due, reply, bytes) in calls {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        reply.finish("x".repeat(bytes));
        thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn serve(scale: Scale) {
    let (later, late) = mpsc::channel();
    thread::spawn(move || answer_late(&late));
    let kept: Mutex<Vec<Reply>> = Mutex::default();
    let mut server = Server::new("soak", "1")
        .limits(LIMITS)
        .cors()
        .tool("hello", "Say hello", |(), _| "hello")
        .tool("say", "Say something first", |(), call| {
            call.log(Level::Error, "s");
            "said"
        })
        .tool("fill", "Give many bytes", |Fill { bytes }: Fill, _| "x".repeat(bytes))
        .tool("late", "Give many bytes, late", move |Fill { bytes }: Fill, call| {
            call.defer(|reply| {
                let due = Instant::now() + Duration::from_millis(200);
                later.send((due, reply, bytes)).unwrap();
            })
        })
        .tool("never", "Answer never", move |(), call| {
            call.defer(|reply| {
                let mut kept = kept.lock().unwrap();
                kept.retain(|reply| !reply.is_cancelled());
                kept.push(reply);
            })
        });
    for number in 0..TOOLS {
        server = server.tool(&format!("tool{number}"), &"One of many tools. ".repeat(260), |(), _| "done");
    }
    let kib = Some(stated_kib(&LIMITS, LIMITS.connections_max, LIMITS.sessions_max) + BESIDES_KIB);
    let promises = ["batches", "resumed streams", "waiting replies", "origins"].map(|name| Promise {
        name,
        p50: None,
        p99: None,
        kib,
    });
    judge("copies", host_of(server), scale, &promises);
}

/// Opens a session of the revision that has batches.
fn open_batching(address: SocketAddr) -> Option<String> {
    let mut wire = honest(address)?;
    let initialize = wire::initialize().replacen("2025-11-25", "2025-03-26", 1);
    wire.try_send(wire::mcp_post("", &initialize));
    let id = wire.try_response()?.header("Mcp-Session-Id")?.to_owned();
    wire.try_send(wire::mcp_post(&id, wire::INITIALIZED));
    (wire.try_response()?.status == 202).then_some(id)
}

fn batch(messages: impl Iterator<Item = String>) -> String {
    format!("[{}]", messages.collect::<Vec<_>>().join(","))
}

/// Reads for as long as something comes.
fn drain(wire: &mut Wire, stop: &AtomicBool) {
    for _ in 0..50 {
        if stop.load(Ordering::Relaxed) || is_gone(wire) {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// One batch after the other, each of the shortest requests for the longest lists.
fn batches(address: SocketAddr, stop: &AtomicBool) {
    let list = |id| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#);
    let body = batch((0..Limits::DEFAULT.batch_max).map(list));
    let mut session = None;
    let mut unread = std::collections::VecDeque::new();
    while !stop.load(Ordering::Relaxed) {
        let Some(id) = session.take().or_else(|| open_batching(address)) else { continue };
        let Some(mut wire) = hostile(address) else { continue };
        let sent = wire.try_send(wire::mcp_post(&id, &body));
        // Every other one is not read.
        if unread.len() % 2 == 0 {
            drain(&mut wire, stop);
        }
        unread.push_back(wire);
        if unread.len() > 8 {
            unread.pop_front();
        }
        session = sent.then_some(id);
    }
}

/// Loses a stream that has one message, has much more put on it, and comes back for that again and again.
fn resumed(address: SocketAddr, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let Some(session) = open_batching(address) else { continue };
        let Some(mut wire) = honest(address) else { continue };
        let late = |id| wire::call(id, "late", r#"{"bytes":4000000}"#);
        let body = batch((0..14).map(|id| if id == 0 { wire::call(0, "say", "{}") } else { late(id) }));
        wire.try_send(wire::mcp_post(&session, &body));
        let Some(head) = wire.try_through("\ndata:") else { continue };
        let Some(last) = head.lines().find_map(|line| line.strip_prefix("id: ")) else { continue };
        drop(wire);
        thread::sleep(Duration::from_millis(700));
        for _ in 0..10 {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let Some(mut wire) = hostile(address) else { continue };
            wire.try_send(format!(
                "GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nMcp-Session-Id: {session}\r\nLast-Event-ID: {last}\r\n\r\n"
            ));
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Batches whose last request is never answered, so that the answers to the others wait for it. Their ids are long.
fn waiting(address: SocketAddr, stop: &AtomicBool) {
    hold(address, stop, 60, |_, wire| {
        let Some(session) = open_batching(address) else { return };
        let name = "i".repeat(900);
        let fill = |id: usize| {
            let call = wire::call(id, "fill", r#"{"bytes":1100000}"#);
            call.replacen(&format!(r#""id":{id}"#), &format!(r#""id":"{name}{id}""#), 1)
        };
        let body = batch((0..4).map(|id| if id == 3 { wire::call(3, "never", "{}") } else { fill(id) }));
        wire.try_send(wire::mcp_post(&session, &body).replacen(", text/event-stream", "", 1));
    });
}

/// Requests that wait, each with the longest origin that a head has room for.
fn origins(address: SocketAddr, stop: &AtomicBool) {
    let origin = format!("http://localhost:{}80", "0".repeat(15_000));
    let sessions: Vec<Option<String>> = (0..8).map(|_| open_batching(address)).collect();
    hold(address, stop, 1500, |at, wire| {
        let Some(session) = &sessions[at % 8] else { return };
        let post = wire::mcp_post(session, &wire::call(at, "never", "{}"));
        wire.try_send(post.replacen("\r\n", &format!("\r\nOrigin: {origin}\r\n"), 1));
    });
}

pub(crate) fn clients(address: SocketAddr, scale: Scale) {
    let time = Duration::from_secs(scale.of(4, 20) as u64);
    type Attack = fn(SocketAddr, &AtomicBool);
    let attacks: [(&str, Attack); 4] = [
        ("batches", batches),
        ("resumed streams", resumed),
        ("waiting replies", waiting),
        ("origins", origins),
    ];
    for (name, attack) in attacks {
        let said = with_honest(address, &|stop| attack(address, stop), time, usize::MAX);
        so_far(format!("{name} {said}"));
        so_far("gone");
    }
}
