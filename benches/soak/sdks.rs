//! The server for the SDK clients of `tests/interop/run soak`: tools whose replies tell which call they belong to, and the
//! server's own counters on request.
//!
//! ```text
//! soak --sdks ADDRESS --tokens FILE [LIMIT=VALUE…]    listens, and writes a line with the address
//! soak --sdks stdio                                   serves standard input and output
//! ```
//!
//! Each line `stats` on standard input is answered with a line of JSON. Any other line, or the end of the input, ends the
//! server.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use mcp_rill::engine::{Engine, Event, Stats};
use mcp_rill::http::conn::CloseReason;
use mcp_rill::net::{Handle, Listening, random_id};
use mcp_rill::{Call, Limits, Peer, Reply, Result, Sample, Server, Tokens, schema};

schema! { struct Text { text: String } }
schema! { struct Big { text: String, bytes: usize { max 3_000_000 } } }
schema! { struct Wait { text: String, seconds: f64 { min 0.0, max 60.0 } = 30.0 } }
schema! { struct Name { name: String } }

/// Between two steps of a slow tool.
const STEP: Duration = Duration::from_millis(20);
/// After how long a client that was sent away comes back.
const RETRY: Duration = Duration::from_millis(200);

pub(crate) fn serve(address: &str, rest: &[String]) {
    let server = server();
    if address == "stdio" {
        let mut listening = Listening::new(Engine::new(server, random_id).unwrap()).unwrap();
        listening.serve_stdio().unwrap();
        return listening.run().unwrap();
    }
    let [option, file, rest @ ..] = rest else { panic!("--tokens FILE is missing") };
    assert_eq!(option, "--tokens");
    let tokens = Tokens::read(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut limits = Limits::DEFAULT;
    for limit in rest {
        let (name, value) = limit.split_once('=').expect("NAME=VALUE");
        limits.set(name, value).unwrap();
    }
    let server = server.limits(limits).authorize(move |request| tokens.authorize(request));
    let mut listening = server.listen(address).unwrap();
    listening.listeners().for_each(|socket| rustix::net::listen(socket, 1024).unwrap());
    println!("listening on {}", listening.local_addrs().next().unwrap());

    let wanted = Arc::new(AtomicUsize::new(0));
    let (asks, handle) = (wanted.clone(), listening.handle());
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(std::result::Result::ok) {
            if line != "stats" {
                break;
            }
            asks.fetch_add(1, Ordering::Relaxed);
            handle.wake();
        }
        handle.shutdown(Duration::ZERO);
    });
    // Why connections and sessions ended that the server took from somebody, by who had them.
    let gave_way: Arc<Mutex<BTreeMap<String, u64>>> = Arc::default();
    let counted = gave_way.clone();
    listening.on_event(move |event| {
        if let Some((peer, why)) = taken(event) {
            let who = peer.principal.as_ref().map_or("nobody", |principal| principal.name());
            *counted.lock().unwrap().entry(format!("{who}: {why}")).or_default() += 1;
        }
    });
    let mut stats_max = Stats::default();
    while !listening.is_finished() {
        listening.poll(None).unwrap();
        let stats = listening.stats();
        stats_max.buffered_bytes = stats_max.buffered_bytes.max(stats.buffered_bytes);
        stats_max.connections = stats_max.connections.max(stats.connections);
        stats_max.sessions = stats_max.sessions.max(stats.sessions);
        stats_max.calls = stats_max.calls.max(stats.calls);
        for _ in 0..wanted.swap(0, Ordering::Relaxed) {
            println!("{}", json(&stats, &stats_max, &gave_way.lock().unwrap()));
        }
    }
}

/// What the server took from a peer for its own reasons.
fn taken<'a>(event: &'a Event<'_>) -> Option<(&'a Peer, String)> {
    match event {
        Event::ConnectionClosed {
            peer,
            reason:
                reason @ (CloseReason::Evicted
                | CloseReason::Budget
                | CloseReason::SlowReader
                | CloseReason::WriteTimeout),
            ..
        } => Some((peer, format!("{reason:?}"))),
        Event::SessionEvicted { peer, .. } => Some((peer, "SessionEvicted".to_owned())),
        Event::Refused { peer, status: status @ 503, reason } => Some((peer, format!("{status} {reason}"))),
        _ => None,
    }
}

/// All counters by name, the most that some of them were at the end of a turn, and who gave way.
fn json(stats: &Stats, most: &Stats, gave_way: &BTreeMap<String, u64>) -> String {
    let members = |stats: &Stats| {
        let debug = format!("{stats:?}");
        let fields = debug.trim_start_matches("Stats { ").trim_end_matches(" }").split(", ");
        let members = fields.map(|field| field.split_once(": ").unwrap());
        members.map(|(name, value)| format!("\"{name}\":{value}")).collect::<Vec<_>>().join(",")
    };
    let gave_way = serde_json::to_string(gave_way).unwrap();
    format!("{{{},\"max\":{{{}}},\"gave_way\":{gave_way}}}", members(stats), members(most))
}

fn server() -> Server {
    let cancelled = Arc::new(AtomicU64::new(0));
    let seen = cancelled.clone();
    let replies = start_replier();
    Server::new("soak", "1")
        .tool("echo", "Send a text back", |Text { text }: Text, _| text)
        .tool("big", "Send a text back, and so many bytes behind it", |Big { text, bytes }: Big, _| {
            format!("{text}{}", "x".repeat(bytes))
        })
        .blocking_tool("slow", "Report progress, then send a text back", |Text { text }: Text, call| {
            for step in 1..=3 {
                call.progress(f64::from(step), Some(3.0), Some(&text));
                thread::sleep(STEP);
            }
            text
        })
        .blocking_tool("wait", "Wait, and stop as soon as the call is cancelled", {
            move |Wait { text, seconds }: Wait, call| {
                wait(Duration::from_secs_f64(seconds), call, &cancelled);
                text
            }
        })
        .tool("cancelled", "Tell how many calls of wait were cancelled", move |(), _| {
            seen.load(Ordering::Relaxed)
        })
        .tool("ask", "Ask the user", |Text { text }: Text, call| -> Result<_> {
            let answer = call.elicit::<Name>("name", &text)?.required()?.accepted().ok_or("no answer")?;
            Ok(format!("{text} {}", answer.name))
        })
        .tool("sample", "Ask the client's model", |Text { text }: Text, call| -> Result<_> {
            let answer = call.sample("answer", Sample::new(100).user(text.clone()))?.required()?;
            Ok(format!("{text} {}", answer.text()))
        })
        .tool("away", "Send the client away, and finish from another thread", {
            move |Text { text }: Text, call| {
                call.disconnect(RETRY);
                call.defer(|reply| replies.send((text, reply)))
            }
        })
        .tool("touch", "Tell that soak:///NAME has changed", |Text { text }: Text, call| {
            let handle: Handle = call.handle().clone();
            handle.resource_updated(&format!("soak:///{text}"));
            text
        })
        .template("soak:///{name}", "any", |vars, _| vars.get("name").unwrap_or_default().to_owned())
        .prompt("repeat", "Repeat a text", |Text { text }: Text, _| text)
}

fn wait(time: Duration, call: &mut Call, cancelled: &AtomicU64) {
    for _ in 0..time.as_millis() / STEP.as_millis() {
        if call.is_cancelled() {
            cancelled.fetch_add(1, Ordering::Relaxed);
            return;
        }
        thread::sleep(STEP);
    }
}

/// A thread that finishes calls a moment after it got them.
fn start_replier() -> mpsc::Sender<(String, Reply)> {
    let (sender, replies) = mpsc::channel::<(String, Reply)>();
    thread::spawn(move || {
        for (text, reply) in replies {
            thread::sleep(STEP);
            reply.finish(text);
        }
    });
    sender
}
