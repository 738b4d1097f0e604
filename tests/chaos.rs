//! Both transports on one engine under a seeded run of lawful requests at unlawful moments: nothing panics or underflows,
//! and when everybody has gone nothing is left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use mcp_rill::engine::{Action, ConnKey, Engine};
use mcp_rill::mcp::Peer;
use mcp_rill::{Limits, Now, Reply, Server, Tool};

/// One of three peers.
fn peer(number: usize) -> Peer {
    Peer { address: Some(([192, 0, 2, number as u8], 1).into()), ..Peer::default() }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % bound
    }
}

fn server(replies: std::sync::mpsc::Sender<Reply>) -> Server {
    let limits = Limits {
        buffered_bytes_max: 96 << 10,
        body_bytes_max: 8 << 10,
        message_bytes_max: 8 << 10,
        page_bytes_max: 4 << 10,
        output_bytes_max: 24 << 10,
        calls_max: 4,
        sessions_max: 12,
        sessions_per_peer_max: 5,
        connections_per_peer_max: 8,
        replay_bytes_max: 4 << 10,
        ..Limits::DEFAULT
    };
    Server::new("chaos", "1")
        .limits(limits)
        .tool("now", "Answer at once", |(), _| "now")
        .tool("large", "Answer much", |(), _| "x".repeat(7000))
        .tool("away", "Send the client away first", |(), call| -> mcp_rill::Result<_> {
            call.disconnect(Duration::from_millis(5));
            Ok(format!("{} roots", call.roots("roots")?.len()))
        })
        .tool("later", "Answer later", move |(), call| call.defer(|reply| replies.send(reply)))
        .add_tool(Tool::new("ask", "Ask first"), |(), call| -> mcp_rill::Result<_> {
            call.progress(1.0, None, None);
            call.log(mcp_rill::Level::Error, "asking");
            Ok(format!("{} roots", call.roots("roots")?.len()))
        })
        .resource("x:///1", "1", |_| "1")
}

fn body(random: &mut Random) -> String {
    let id = random.below(6);
    let call = |name: &str| {
        let params = format!(r#"{{"name":"{name}","_meta":{{"progressToken":{id}}}}}"#);
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#)
    };
    let revision = ["2025-03-26", "2025-11-25"][random.below(2)];
    match random.below(14) {
        0 | 1 => format!(
            r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{revision}","capabilities":{{"roots":{{}}}},"clientInfo":{{"name":"c","version":"1"}}}}}}"#
        ),
        2 => r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned(),
        3 => {
            format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#)
        }
        4 | 5 => format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"roots":[]}}}}"#, random.below(60)),
        6 => call("now"),
        7 => call("large"),
        8 => call("later"),
        9 => call("ask"),
        10 | 11 => call("away"),
        12 => format!("[{},{}]", call("ask"), call("later").replace("\"id\":", "\"id\":1")),
        _ => format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"resources/subscribe","params":{{"uri":"x:///1"}}}}"#
        ),
    }
}

/// What clients have seen: the sessions, and of streams the session and an event.
#[derive(Default)]
struct Seen {
    ids: Vec<String>,
    events: Vec<(String, String)>,
    resumed: usize,
}

impl Seen {
    fn look_at(&mut self, text: &str) {
        let after = |mark: &str| text.split(mark).skip(1).map(str::to_owned).collect::<Vec<_>>();
        let first_line = |text: &String| text.lines().next().unwrap_or_default().to_owned();
        let sessions = after("Mcp-Session-Id: ");
        self.ids.extend(sessions.iter().filter_map(|rest| rest.get(..36)).map(str::to_owned));
        let events: Vec<String> = after("\nid: ").iter().map(first_line).collect();
        if let (Some(session), Some(event)) = (sessions.last().map(first_line), events.first()) {
            self.events.push((session, event.clone()));
        }
        // A stream whose first event was no stream's first.
        let first = after("\r\n\r\nid: ").first().map(first_line);
        self.resumed += usize::from(first.is_some_and(|id| !id.ends_with("-0")));
    }
}

fn resume(random: &mut Random, seen: &Seen) -> String {
    let (session, event) = &seen.events[seen.events.len() - 1 - random.below(seen.events.len().min(4))];
    format!(
        "GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nMcp-Session-Id: {session}\r\nLast-Event-ID: {event}\r\n\r\n"
    )
}

fn request(random: &mut Random, session: &str) -> String {
    let body = body(random);
    let fields = "Host: 127.0.0.1\r\nContent-Type: application/json\r\n";
    let known = if random.below(6) == 0 { String::new() } else { format!("Mcp-Session-Id: {session}\r\n") };
    let accept = ["", "Accept: application/json\r\n", "Accept: text/event-stream\r\n"][random.below(3)];
    let version = ["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"][random.below(3)];
    let length = body.len();
    match random.below(10) {
        0 => format!("GET /sse {version}\r\n{fields}\r\n"),
        1 => format!("GET /mcp {version}\r\n{fields}{known}\r\n"),
        2 => format!("DELETE /mcp {version}\r\n{fields}{known}\r\n"),
        3 | 4 => format!(
            "POST /messages?sessionId={session} {version}\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        ),
        _ => format!("POST /mcp {version}\r\n{fields}{known}{accept}Content-Length: {length}\r\n\r\n{body}"),
    }
}

fn drain(engine: &mut Engine, now: Now, random: &mut Random, conns: &mut Vec<ConnKey>, seen: &mut Seen) {
    for _ in 0..10_000 {
        match engine.poll() {
            Action::Write(conn) => {
                let text = String::from_utf8_lossy(engine.outgoing(conn)).into_owned();
                seen.look_at(&text);
                let count = if random.below(3) == 0 {
                    random.below(text.len() + 1)
                } else {
                    engine.outgoing(conn).len()
                };
                engine.sent(now, conn, count);
            }
            Action::Close(conn) => conns.retain(|other| *other != conn),
            Action::Read(_) | Action::HalfClose(_) => {}
            Action::Wait(_) => return,
        }
    }
    panic!("the engine never rests");
}

#[test]
fn whatever_comes_when_nothing_is_left_at_the_end() {
    let mut resumed = 0;
    for seed in 0..60 {
        let unknown = "70228fad-ceea-4b35-8826-7a15b68f0204".to_owned();
        let (random, mut seen) = (&mut Random(seed), Seen { ids: vec![unknown], ..Seen::default() });
        let (send, replies) = std::sync::mpsc::channel();
        let mut last = 0;
        let new_id = move || {
            last += 1;
            last
        };
        let mut engine = Engine::new(server(send), new_id).unwrap();
        let (mut now, mut conns, mut kept) = (Now::default(), Vec::new(), Vec::new());
        for _ in 0..600 {
            let conn = (!conns.is_empty()).then(|| conns[random.below(conns.len())]);
            match (random.below(16), conn) {
                (0 | 1, _) | (_, None) => conns.push(engine.open(now, peer(random.below(3)))),
                (2, Some(conn)) => engine.hang_up(now, conn),
                (3, Some(conn)) => engine.end_of_input(now, conn),
                (4 | 5, Some(conn)) => engine.writable(now, conn),
                (6, _) => now.mono += Duration::from_millis([1, 900, 16_000, 61_000][random.below(4)]),
                (7, _) => kept.extend(replies.try_iter()),
                (8, _) if !kept.is_empty() => kept.swap_remove(random.below(kept.len())).finish("later"),
                (9, _) => engine.handle().resource_updated("x:///1"),
                (10, _) => engine.handle().log(mcp_rill::Level::Alert, "y".repeat(random.below(4000))),
                (_, Some(conn)) => {
                    let ids = &seen.ids;
                    let session = ids[ids.len() - 1 - random.below(ids.len().min(6))].clone();
                    let text = match random.below(4) {
                        0 if !seen.events.is_empty() => resume(random, &seen),
                        _ => request(random, &session),
                    };
                    let cut = random.below(text.len());
                    for part in [&text[..cut], &text[cut..]] {
                        if engine.wants_read(conn) && !part.is_empty() {
                            engine.receive(now, conn, part.as_bytes());
                        }
                    }
                }
            }
            engine.tick(now);
            drain(&mut engine, now, random, &mut conns, &mut seen);
            assert!(engine.stats().buffered_bytes < 1 << 20, "seed {seed}: {:?}", engine.stats());
        }
        conns.iter().for_each(|conn| engine.hang_up(now, *conn));
        for _ in 0..40 {
            now.mono += Duration::from_secs(600);
            engine.tick(now);
            drain(&mut engine, now, random, &mut conns, &mut seen);
        }
        let stats = engine.stats();
        let left = (stats.connections, stats.sessions, stats.calls, stats.buffered_bytes);
        assert_eq!(left, (0, 0, 0, 0), "seed {seed}");
        assert!(stats.sessions_opened > 0 && seen.ids.len() > 1, "seed {seed} opened nothing");
        resumed += seen.resumed;
        // Whoever has nothing may have all again.
        for number in 0..3 {
            let all: Vec<ConnKey> = (0..8).map(|_| engine.open(now, peer(number))).collect();
            for conn in &all[..5] {
                engine.receive(now, *conn, b"GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
                assert!(engine.outgoing(*conn).starts_with(b"HTTP/1.1 200 OK\r\n"), "seed {seed}");
            }
            assert!(
                all[5..].iter().all(|conn| engine.wants_read(*conn) && engine.outgoing(*conn).is_empty())
            );
            all.iter().for_each(|conn| engine.hang_up(now, *conn));
            drain(&mut engine, now, random, &mut conns, &mut seen);
        }
    }
    assert!(resumed > 10, "{resumed} streams were resumed");
}
