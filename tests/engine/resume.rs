//! Streams that are lost and come back, in memory: whatever is cut, wherever it is cut, nothing is lost and nothing comes
//! twice; and what is kept for that is bounded and given back.

use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use crate::common::http::{self, INITIALIZED, call, mcp_post, ping, request};
use crate::common::{Sock, World, demo, principal};
use mcp_rill::sse::Decoder;
use mcp_rill::{Level, Limits, Reply, Server, Tool, schema};
use serde_json::{Value, json};

const S: Duration = Duration::from_secs(1);

schema! { struct Chat { logs: usize } }

/// A world whose tool `work` is done by the test, through the replies that come out of the receiver.
struct Bench {
    world: World,
    replies: Receiver<Reply>,
}

impl Bench {
    fn new(change: impl FnOnce(&mut Limits)) -> Bench {
        let mut limits = Limits::DEFAULT;
        change(&mut limits);
        let (send, replies) = mpsc::channel();
        let server: Server = demo::streaming(demo::server())
            .limits(limits)
            .tool("work", "Work for a while", move |(), call| call.defer(|reply| send.send(reply)))
            .offer(Tool::new("poll", "Send the client away, then ask").handler(
                |(), call| -> mcp_rill::Result<_> {
                    call.disconnect(Duration::from_millis(250));
                    Ok(format!("{} roots", call.roots("roots")?.required()?.len()))
                },
            ))
            .tool("chatter", "Log a lot", |(), call| {
                call.log(Level::Error, "x".repeat(3 << 20));
                "done"
            })
            .tool("chat", "Ask, then log", |Chat { logs }, call| -> mcp_rill::Result<_> {
                let roots = call.roots("roots")?.required()?;
                (0..logs).for_each(|_| call.log(Level::Error, "x".repeat(100)));
                Ok(format!("{} roots", roots.len()))
            });
        Bench { world: World::new(server), replies }
    }

    /// Lets the loop take what other threads have left.
    fn turn(&mut self) {
        self.world.tick();
    }

    /// What finishes the oldest call of `work` that nobody has taken in hand.
    fn reply(&mut self) -> Reply {
        self.replies.try_recv().expect("a call of `work` is open")
    }

    fn client(&mut self, revision: &str) -> Client {
        let sock = self.world.connect();
        self.client_on(sock, revision)
    }

    fn client_on(&mut self, sock: Sock, revision: &str) -> Client {
        let params = json!({
            "protocolVersion": revision,
            "capabilities": { "roots": {}, "elicitation": {} },
            "clientInfo": { "name": "tester", "version": "9" },
        });
        self.world.send(sock, mcp_post(None, &request(0, "initialize", &params.to_string())));
        let id = self.world.response(sock).header("Mcp-Session-Id").unwrap().to_owned();
        let client = Client { sock, id };
        client.post(self, INITIALIZED);
        client
    }

    fn buffered(&self) -> usize {
        self.world.stats().buffered_bytes
    }

    fn status(&mut self, sock: Sock) -> u16 {
        self.world.response(sock).status
    }
}

/// A session, and a connection for what is asked by the way.
struct Client {
    sock: Sock,
    id: String,
}

impl Client {
    fn post(&self, bench: &mut Bench, body: &str) -> http::Response {
        bench.world.send(self.sock, mcp_post(Some(&self.id), body));
        bench.world.response(self.sock)
    }

    /// Posts on a connection of its own, which may be cut.
    fn ask(&self, bench: &mut Bench, body: &str) -> Sock {
        let sock = bench.world.connect();
        bench.world.send(sock, mcp_post(Some(&self.id), body));
        sock
    }

    fn get(&self, bench: &mut Bench, last: Option<&str>) -> Sock {
        let sock = bench.world.connect();
        self.get_on(bench, sock, last);
        sock
    }

    fn get_on(&self, bench: &mut Bench, sock: Sock, last: Option<&str>) {
        let last = last.map_or(String::new(), |last| format!("Last-Event-ID: {last}\r\n"));
        let id = &self.id;
        bench.world.send(
            sock,
            format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\n{last}\r\n"),
        );
    }

    /// Ends the session, and with it everything.
    fn delete(&self, bench: &mut Bench) {
        let id = &self.id;
        let delete = format!("DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\n\r\n");
        let sock = bench.world.connect();
        bench.world.send(sock, delete);
        assert_eq!(bench.status(sock), 200);
    }

    /// The status of an attempt to resume that is refused.
    fn refused(&self, bench: &mut Bench, last: &str) -> u16 {
        let sock = self.get(bench, Some(last));
        let response = bench.world.response(sock);
        let error = &response.messages()[0]["error"];
        assert_eq!(error["code"], if response.status == 404 { -32001 } else { -32000 }, "{error}");
        response.status
    }
}

fn work(id: u32) -> String {
    let params = format!(r#"{{"name":"work","arguments":{{}},"_meta":{{"progressToken":{id}}}}}"#);
    request(id, "tools/call", &params)
}

/// What a client has of one stream: the id it could come back with, and the messages.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    last: Option<String>,
    messages: Vec<Value>,
    /// The response is over.
    ended: bool,
}

impl Seen {
    fn join(mut self, more: Seen) -> Seen {
        self.messages.extend(more.messages);
        Seen { last: more.last.or(self.last), messages: self.messages, ended: more.ended }
    }
}

/// Reads as much as there is of a response with events, however it ends.
fn see(bytes: &[u8]) -> Seen {
    // It may end within a character.
    let text = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap()
        }
        whole => whole.unwrap(),
    };
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Seen::default() };
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("text/event-stream"), "{text}");
    let mut seen = Seen::default();
    let content = match (head.contains("chunked"), head.split_once("Content-Length: ")) {
        (true, _) => {
            let (mut rest, mut content) = (body, String::new());
            while let Some((size, more)) = rest.split_once("\r\n") {
                let size = usize::from_str_radix(size, 16).unwrap();
                seen.ended |= size == 0;
                content.push_str(&more[..size.min(more.len())]);
                rest = more.get(size + 2..).unwrap_or_default();
            }
            content
        }
        (false, Some((_, length))) => {
            seen.ended = body.len() == length.split_once("\r\n").unwrap().0.parse::<usize>().unwrap();
            body.to_owned()
        }
        (false, None) => body.to_owned(),
    };
    let (mut decoder, mut rest) = (Decoder::new(64 << 20), content.as_bytes());
    while let Some(event) = decoder.next(&mut rest).unwrap() {
        let id = decoder.last_id().to_owned();
        assert!(
            !id.is_empty() && seen.last.as_ref() != Some(&id),
            "every event has an id of its own: {content}"
        );
        seen.last = Some(id);
        if !event.data.is_empty() {
            seen.messages.push(serde_json::from_str(&event.data).unwrap());
        }
    }
    seen
}

/// The stages of a call: what is said in each.
const STAGES: usize = 5;

fn stage(bench: &mut Bench, reply: &mut Option<Reply>, stage: usize) {
    let at_hand = reply.as_ref().unwrap();
    match stage {
        0 => at_hand.progress(1.0, Some(2.0), Some("half")),
        1 => at_hand.log(Level::Info, "wörking"),
        2 => at_hand.progress(2.0, Some(2.0), None),
        3 => at_hand.log(Level::Error, "nearly"),
        _ => reply.take().unwrap().finish("done"),
    }
    bench.turn();
}

/// A call whose client takes only `window` bytes and loses the connection before the stage `lost_at`; gives what it then
/// has in all, and what it had before. It comes back at once, or at the end.
fn cut_call(revision: &str, window: Option<usize>, lost_at: usize, late: bool) -> (Seen, Seen, Vec<u8>) {
    let mut bench = Bench::new(|_| {});
    let client = bench.client(revision);
    let before = bench.buffered();
    let sock = bench.world.connect();
    if let Some(window) = window {
        bench.world.reads_only(sock, window);
    }
    bench.world.send(sock, mcp_post(Some(&client.id), &work(1)));
    let mut reply = Some(bench.reply());
    let (mut first, mut second, mut bytes) = (None, None, Vec::new());
    for at in 0..=STAGES {
        if at == lost_at {
            bytes = bench.world.take(sock);
            if window.is_some() && !bench.world.closed(sock) {
                bench.world.reset(sock);
            }
            first = Some(see(&bytes));
        }
        if let Some(last) = first.as_ref().and_then(|seen| seen.last.as_ref())
            && (at == STAGES || !late)
            && window.is_some()
            && second.is_none()
        {
            second = Some(client.get(&mut bench, Some(last)));
        }
        if at < STAGES {
            stage(&mut bench, &mut reply, at);
        }
    }
    let first = first.unwrap();
    let seen = match second {
        Some(sock) => {
            let more = see(&bench.world.take(sock));
            let ended = bench.world.ended(sock) || more.ended;
            first.clone().join(Seen { ended, ..more })
        }
        None => first.clone(),
    };
    bench.world.advance(61 * S);
    assert_eq!(bench.buffered(), before, "nothing is kept for ever");
    client.delete(&mut bench);
    bench.world.quiesce();
    (seen, first, bytes)
}

#[test]
fn an_answer_cut_anywhere_is_whole_in_the_end() {
    for revision in ["2025-03-26", "2025-11-25"] {
        let (whole, _, bytes) = cut_call(revision, None, STAGES, false);
        assert_eq!((whole.messages.len(), whole.ended), (STAGES, true), "{whole:?}");
        let mut resumed = 0;
        for window in windows(&bytes) {
            for lost_at in 1..=STAGES {
                for late in [false, true] {
                    let (seen, first, _) = cut_call(revision, Some(window), lost_at, late);
                    if first.last.is_none() {
                        continue;
                    }
                    resumed += 1;
                    assert_eq!(seen.messages, whole.messages, "{window} bytes, lost at {lost_at}");
                    assert_eq!(
                        (&seen.last, seen.ended),
                        (&whole.last, true),
                        "{window} bytes, lost at {lost_at}"
                    );
                }
            }
        }
        assert!(resumed > 500, "{resumed}");
    }
}

/// Where to cut what a client gets: after every event, and at every byte of one.
fn windows(bytes: &[u8]) -> Vec<usize> {
    let events: Vec<usize> = (0..=bytes.len()).filter(|at| bytes[..*at].ends_with(b"\n\n")).collect();
    (events[1]..=events[2]).chain(events).collect()
}

/// The same for the session's own stream: six logs, one on which it breaks.
#[test]
fn a_sessions_stream_cut_anywhere_is_whole_in_the_end() {
    let run = |window: Option<usize>, lost_at: usize| {
        let mut bench = Bench::new(|_| {});
        let client = bench.client("2025-11-25");
        let before = bench.buffered();
        let sock = bench.world.connect();
        if let Some(window) = window {
            bench.world.reads_only(sock, window);
        }
        client.get_on(&mut bench, sock, None);
        let mut first = Seen::default();
        let mut second = None;
        for at in 0..6 {
            if at == lost_at && window.is_some() {
                first = see(&bench.world.take(sock));
                bench.world.reset(sock);
            }
            // It comes back two messages later.
            if at == lost_at + 2
                && let Some(last) = first.last.as_deref()
            {
                second = Some(client.get(&mut bench, Some(last)));
            }
            bench.world.engine.handle().log(Level::Error, format!("message {at}"));
            bench.turn();
        }
        let rest = second.unwrap_or(sock);
        let bytes = bench.world.take(rest);
        let more = window.is_none() || second.is_some();
        let seen = if more { see(&bytes) } else { Seen::default() };
        let seen = first.clone().join(seen);
        bench.world.advance(61 * S);
        assert_eq!(bench.buffered(), before);
        client.delete(&mut bench);
        bench.world.quiesce();
        (seen, first.last.is_some(), bytes)
    };
    let (whole, _, bytes) = run(None, 0);
    assert_eq!(whole.messages.len(), 6);
    let mut resumed = 0;
    for window in windows(&bytes) {
        for lost_at in 0..4 {
            let (seen, came_back, _) = run(Some(window), lost_at);
            if came_back {
                resumed += 1;
                assert_eq!(
                    (seen.messages, seen.last),
                    (whole.messages.clone(), whole.last.clone()),
                    "{window} {lost_at}"
                );
            }
        }
    }
    assert!(resumed > 300, "{resumed}");
}

#[test]
fn a_client_may_lose_it_again_and_again() {
    let mut bench = Bench::new(|_| {});
    let client = bench.client("2025-11-25");
    let mut sock = client.ask(&mut bench, &work(1));
    let mut reply = Some(bench.reply());
    let mut seen = Seen::default();
    for at in 0..STAGES {
        stage(&mut bench, &mut reply, at);
        // An event is read, the rest is lost; twice, without reading anything the second time.
        seen = seen.join(see(&bench.world.take(sock)));
        for _ in 0..2 {
            bench.world.reset(sock);
            sock = client.get(&mut bench, seen.last.as_deref());
        }
    }
    assert_eq!(seen.messages.len(), STAGES);
    assert_eq!(bench.status(sock), 400, "it had everything, and came back for it once already");
    bench.world.quiesce();
}

#[test]
fn the_old_connection_is_taken_over_from() {
    let mut bench = Bench::new(|_| {});
    let client = bench.client("2025-11-25");
    let (post, get) = (client.ask(&mut bench, &work(1)), client.get(&mut bench, None));
    let mut reply = Some(bench.reply());
    stage(&mut bench, &mut reply, 0);
    bench.world.engine.handle().log(Level::Error, "to all");
    bench.turn();
    let (on_post, on_get) = (see(&bench.world.take(post)), see(&bench.world.take(get)));
    assert_eq!((on_post.messages.len(), on_get.messages.len()), (1, 1));
    // Nobody has noticed that both are dead.
    let get2 = client.get(&mut bench, on_get.last.as_deref());
    assert!(bench.world.closed(get) && !bench.world.closed(post));
    let post2 = client.get(&mut bench, on_post.last.as_deref());
    assert!(bench.world.closed(post));
    for at in 1..STAGES {
        stage(&mut bench, &mut reply, at);
    }
    bench.world.engine.handle().log(Level::Error, "again");
    bench.turn();
    assert_eq!(see(&bench.world.take(post2)).messages.len(), STAGES - 1);
    assert!(bench.world.ended(post2) && !bench.world.ended(get2));
    assert_eq!(see(&bench.world.take(get2)).messages.len(), 1);
    bench.world.quiesce();
}

#[test]
fn the_newest_get_is_the_sessions_stream() {
    let mut bench = Bench::new(|_| {});
    let client = bench.client("2025-11-25");
    let first = client.get(&mut bench, None);
    let (post, reply) = (client.ask(&mut bench, &work(1)), bench.reply());
    // A proxy has lost the first one, which still looks alive here.
    let second = client.get(&mut bench, None);
    assert!(bench.world.closed(first) && !bench.world.ended(second) && !bench.world.ended(post));
    bench.world.engine.handle().log(Level::Error, "one");
    bench.turn();
    let seen = see(&bench.world.take(second));
    assert_eq!((seen.messages.len(), seen.last.as_deref()), (1, Some("2-1")));
    // What was said on the second is still to be had while no third one came without an id.
    let third = client.get(&mut bench, Some("2-0"));
    assert!(bench.world.closed(second));
    assert_eq!(see(&bench.world.take(third)).messages.len(), 1);
    let fourth = client.get(&mut bench, None);
    assert!(bench.world.closed(third) && !bench.world.ended(fourth));
    assert_eq!(client.refused(&mut bench, "2-1"), 400);
    reply.finish("done");
    bench.turn();
    assert!(bench.world.take_text(post).contains("done"));
    bench.world.quiesce();
}

#[test]
fn a_get_that_is_refused_takes_nothing_over() {
    let mut bench = Bench::new(|_| {});
    let sock = bench.world.connect_as(principal("me"));
    let client = bench.client_on(sock, "2025-11-25");
    let stream = bench.world.connect_as(principal("me"));
    client.get_on(&mut bench, stream, None);
    let get = |bench: &mut Bench, peer: &str, fields: &str| {
        let (sock, id) = (bench.world.connect_as(principal(peer)), &client.id);
        let head = format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\n{fields}\r\n");
        bench.world.send(sock, head);
        bench.status(sock)
    };
    assert_eq!(get(&mut bench, "you", ""), 404);
    assert_eq!(get(&mut bench, "me", "Accept: application/json\r\n"), 406);
    assert_eq!(get(&mut bench, "me", "Last-Event-ID: 9-9\r\n"), 400);
    assert_eq!(get(&mut bench, "me", "MCP-Protocol-Version: 1999-01-01\r\n"), 400);
    assert!(!bench.world.ended(stream));
    bench.world.quiesce();
}

#[test]
fn what_a_slow_stream_was_spared_is_said_on_the_next_one() {
    let mut bench = Bench::new(|_| {});
    let client = bench.client("2025-11-25");
    let before = bench.buffered();
    let slow = client.get(&mut bench, None);
    bench.world.reads_only(slow, 1000);
    for _ in 0..2 {
        // The client takes JSON alone, so that its logs go to the session's stream.
        let (sock, id) = (bench.world.connect(), &client.id);
        let body = call(1, "chatter", "{}");
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nMcp-Session-Id: {id}\r\n"
        );
        let fields = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        bench.world.send(sock, head + &fields + &body);
    }
    let _ = bench.world.engine.handle().offer(Tool::new("late", "Late").handler(|(), _| "late"));
    bench.turn();
    let next = client.get(&mut bench, None);
    assert!(bench.world.closed(slow));
    let seen = see(&bench.world.take(next));
    assert_eq!(seen.messages[0]["method"], "notifications/tools/list_changed", "{:?}", seen.messages);
    bench.world.reset(next);
    bench.world.advance(61 * S);
    assert_eq!(bench.buffered(), before);
    bench.world.quiesce();
}

#[test]
fn ids_that_are_none_of_this_sessions() {
    let mut bench = Bench::new(|_| {});
    let sock = bench.world.connect_as(principal("me"));
    let mine = bench.client_on(sock, "2025-11-25");
    let other = bench.world.connect_as(principal("me"));
    bench.world.send(other, mcp_post(Some(&mine.id), &work(2)));
    let reply = bench.reply();
    reply.log(Level::Error, "one");
    bench.turn();
    let last = see(&bench.world.take(other)).last.unwrap();
    assert_eq!(last, "1-1");
    let mut ask = |peer, fields: &str| {
        let sock = bench.world.connect_as(principal(peer));
        let id = &mine.id;
        bench.world.send(
            sock,
            format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\n{fields}\r\n"),
        );
        bench.status(sock)
    };
    for id in [
        "",
        "1",
        "1-",
        "-1",
        "1-2",
        "2-0",
        "0-0",
        "01-0",
        "+1-0",
        "1-0x",
        "1-99999999999999999999",
        "a-b",
        "1-1, 1-1",
    ] {
        assert_eq!(ask("me", &format!("Last-Event-ID: {id}\r\n")), 400, "{id}");
    }
    assert_eq!(ask("me", "Last-Event-ID: 1-1\r\nLast-Event-ID: 1-1\r\n"), 400);
    assert_eq!(ask("you", "Last-Event-ID: 1-1\r\n"), 404, "a stranger's session is unknown");
    assert!(!bench.world.closed(other), "nobody has taken anything over");
    reply.finish("done");
    bench.turn();
    assert!(bench.world.take_text(other).contains("done"));
    // Another session of the same principal has its own ids.
    let sock = bench.world.connect_as(principal("me"));
    let second = bench.client_on(sock, "2025-11-25");
    let sock = bench.world.connect_as(principal("me"));
    second.get_on(&mut bench, sock, Some("1-1"));
    assert_eq!(bench.status(sock), 400);
    bench.world.quiesce();
}

/// How many messages a client gets that has lost its stream after each of its events, if so much is kept.
fn found_with(replay_bytes_max: usize) -> Vec<usize> {
    let from = |seq: usize| {
        let mut bench = Bench::new(|limits| limits.replay_bytes_max = replay_bytes_max);
        let client = bench.client("2025-11-25");
        let post = client.ask(&mut bench, &work(1));
        let mut reply = Some(bench.reply());
        stage(&mut bench, &mut reply, 0);
        bench.world.reset(post);
        (1..STAGES).for_each(|at| stage(&mut bench, &mut reply, at));
        let sock = client.get(&mut bench, Some(&format!("1-{seq}")));
        let seen = see(&bench.world.take(sock));
        assert!(seen.ended && seen.messages.last().is_none_or(|message| message["result"].is_object()));
        client.delete(&mut bench);
        bench.world.quiesce();
        seen.messages.len()
    };
    (0..=STAGES).map(from).collect()
}

/// `replay_bytes_max` at the limit and one past it, and 0.
#[test]
fn the_oldest_notifications_of_a_stream_give_way() {
    assert_eq!(found_with(64 << 10), [5, 4, 3, 2, 1, 0]);
    // All that gives way, in its own measure: the largest limit that still drops one, and one more.
    let (mut limit, mut enough) = (0, 4096);
    while enough - limit > 1 {
        let middle = (limit + enough) / 2;
        *(if found_with(middle)[0] == STAGES { &mut enough } else { &mut limit }) = middle;
    }
    assert_eq!(found_with(limit + 1), [5, 4, 3, 2, 1, 0]);
    assert_eq!(found_with(limit), [4, 4, 3, 2, 1, 0]);
    // With 0 the response is still there.
    assert_eq!(found_with(0), [1, 1, 1, 1, 1, 0]);
}

/// Also those that were kept until they were too old, while the call went on and its client was there.
#[test]
fn a_client_that_misses_old_notifications_still_gets_the_response() {
    let mut bench = Bench::new(|limits| limits.tool_timeout = 500 * S);
    let client = bench.client("2025-11-25");
    let post = client.ask(&mut bench, &work(1));
    let mut reply = Some(bench.reply());
    (0..3).for_each(|at| stage(&mut bench, &mut reply, at));
    bench.world.advance(61 * S);
    bench.world.reset(post);
    (3..STAGES).for_each(|at| stage(&mut bench, &mut reply, at));
    let sock = client.get(&mut bench, Some("1-1"));
    assert_eq!(see(&bench.world.take(sock)).messages.len(), 2);
    bench.world.quiesce();
}

/// A client that has seen nothing but the priming event of a call that asks, and then logs so often. Gives the status that
/// it gets when it comes back, and the messages.
fn question_with(replay_bytes_max: usize, logs: usize) -> (u16, Vec<Value>) {
    let mut bench = Bench::new(|limits| limits.replay_bytes_max = replay_bytes_max);
    let client = bench.client("2025-11-25");
    let post = client.ask(&mut bench, &call(1, "chat", &format!(r#"{{"logs":{logs}}}"#)));
    let asked = see(&bench.world.take(post)).messages;
    bench.world.reset(post);
    let answer = json!({ "jsonrpc": "2.0", "id": asked[0]["id"], "result": { "roots": [] } });
    assert_eq!(client.post(&mut bench, &answer.to_string()).status, 202);
    let sock = client.get(&mut bench, Some("1-0"));
    let bytes = bench.world.take(sock);
    let (status, mut messages) = (http::responses(&bytes)[0].status, Vec::new());
    if status == 200 {
        messages = see(&bytes).messages;
    }
    bench.world.quiesce();
    (status, messages)
}

#[test]
fn questions_give_way_after_notifications_and_not_unnoticed() {
    let (status, messages) = question_with(8 << 10, 100);
    assert_eq!((status, &messages[0]["method"]), (200, &json!("roots/list")));
    assert!((3..100).contains(&messages.len()) && messages.last().unwrap()["result"].is_object());
    assert_eq!(question_with(8 << 10, 1).1.len(), 3);
    assert_eq!(question_with(0, 1).0, 400);
}

/// What is kept of a stream gives way while that stream is written to, whose call is over by then.
#[test]
fn a_response_that_does_not_fit_beside_its_copy_is_sent_and_not_kept() {
    let mut bench = Bench::new(|limits| {
        limits.body_bytes_max = 64 << 10;
        (limits.output_bytes_max, limits.message_bytes_max) = (1 << 20, 800_000);
        limits.buffered_bytes_max = 1 << 20;
    });
    let client = bench.client("2025-11-25");
    let post = client.ask(&mut bench, &work(1));
    let reply = bench.reply();
    reply.log(Level::Error, "one");
    bench.turn();
    let mut bytes = bench.world.take(post);
    reply.finish("x".repeat(540_000));
    bench.turn();
    assert!(bench.world.stats().replays_shed > 0);
    for _ in 0..20 {
        bytes.extend(bench.world.take(post));
        bench.turn();
    }
    let seen = see(&bytes);
    let text = seen.messages[1]["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(seen.ended && text.len() == 540_000);
    assert_eq!(bench.world.stats().slow_readers, 0);
    assert!(bench.buffered() < 100_000, "{}", bench.buffered());
    bench.world.quiesce();
}

#[test]
fn a_response_is_kept_whatever_its_size() {
    let mut bench = Bench::new(|limits| limits.replay_bytes_max = 1000);
    let client = bench.client("2025-06-18");
    let post = client.ask(&mut bench, &work(1));
    let reply = bench.reply();
    reply.log(Level::Error, "one");
    bench.turn();
    let last = see(&bench.world.take(post)).last.unwrap();
    bench.world.reset(post);
    reply.finish("x".repeat(1_000_000));
    bench.turn();
    assert!(bench.buffered() > 1_000_000);
    let sock = client.get(&mut bench, Some(&last));
    let seen = see(&bench.world.take(sock));
    assert!(
        seen.ended && seen.messages[0]["result"]["content"][0]["text"].as_str().unwrap().len() == 1_000_000
    );
    bench.world.quiesce();
}

/// Pings until so many answers are streams that are over, in a session that keeps at most `replay_streams_max` of them.
/// Gives how many of the first ones, up to which from the beginning, are gone, and the bytes that are counted.
fn ping_streams(replay_streams_max: usize, count: usize) -> (usize, usize) {
    let mut bench = Bench::new(|limits| limits.replay_streams_max = replay_streams_max);
    let client = bench.client("2025-11-25");
    let before = bench.buffered();
    for id in 0..count {
        let post =
            mcp_post(Some(&client.id), &ping(id)).replacen("Host:", "Accept: text/event-stream\r\nHost:", 1);
        bench.world.send(client.sock, post);
        assert!(see(&bench.world.take(client.sock)).ended);
    }
    let kept = bench.buffered() - before;
    let gone = (1..=count).filter(|stream| {
        let sock = client.get(&mut bench, Some(&format!("{stream}-0")));
        let bytes = bench.world.take(sock);
        let is_whole = bytes.starts_with(b"HTTP/1.1 200");
        assert!(!is_whole || see(&bytes).messages[0]["id"].as_u64() == Some(*stream as u64 - 1));
        !is_whole
    });
    let gone: Vec<usize> = gone.collect();
    assert!(gone.iter().copied().eq(1..=gone.len()), "the oldest go first: {gone:?}");
    bench.world.advance(61 * S);
    assert_eq!(bench.buffered(), before);
    bench.world.quiesce();
    (gone.len(), kept)
}

/// `replay_streams_max` at the limit and one past it, and 0.
#[test]
fn the_oldest_streams_that_are_over_give_way() {
    assert_eq!(ping_streams(3, 3).0, 0);
    assert_eq!(ping_streams(3, 4).0, 1);
    assert_eq!(ping_streams(3, 9).0, 6);
    assert_eq!(ping_streams(0, 2), (2, 0));
}

/// A short answer takes 200 bytes and more on a 64-bit machine, and its text is the least of it.
#[test]
fn what_is_kept_of_short_answers_is_counted_with_all_around_it() {
    let (gone, kept) = ping_streams(64, 64);
    assert!(
        gone == 0 && (64 * 24 * size_of::<usize>()..64 * 64 * size_of::<usize>()).contains(&kept),
        "{kept}"
    );
}

/// `replay_timeout` at the limit and one past it.
#[test]
fn a_lost_stream_is_kept_for_a_time() {
    let limits = |limits: &mut Limits| {
        limits.replay_timeout = 20 * S;
        limits.tool_timeout = 500 * S;
    };
    for (wait, found) in [(19 * S, true), (20 * S + S / 50, false)] {
        // Since the response, however long the call took.
        let mut bench = Bench::new(limits);
        let client = bench.client("2025-11-25");
        let before = bench.buffered();
        let post = client.ask(&mut bench, &work(1));
        let mut reply = Some(bench.reply());
        stage(&mut bench, &mut reply, 0);
        bench.world.reset(post);
        bench.world.advance(300 * S);
        (1..STAGES).for_each(|at| stage(&mut bench, &mut reply, at));
        bench.world.advance(wait);
        assert_eq!(bench.buffered() > before, found);
        if found {
            let sock = client.get(&mut bench, Some("1-0"));
            assert_eq!(see(&bench.world.take(sock)).messages.len(), STAGES);
        } else {
            assert_eq!(client.refused(&mut bench, "1-0"), 400);
        }
        bench.world.quiesce();

        // Of the session's stream: since it was lost. After that only a client that has missed nothing can go on.
        let mut bench = Bench::new(limits);
        let client = bench.client("2025-11-25");
        let before = bench.buffered();
        let get = client.get(&mut bench, None);
        bench.world.reset(get);
        bench.world.advance(wait);
        bench.world.engine.handle().log(Level::Error, "are you there?");
        bench.turn();
        assert_eq!(bench.buffered() > before, found);
        if found {
            let get = client.get(&mut bench, Some("1-0"));
            assert_eq!(see(&bench.world.take(get)).messages.len(), 1);
        } else {
            assert_eq!(client.refused(&mut bench, "1-0"), 400);
        }
        bench.world.quiesce();
    }
}

#[test]
fn a_client_that_has_missed_nothing_can_resume_at_any_time() {
    let mut bench = Bench::new(|_| {});
    let client = bench.client("2025-11-25");
    let get = client.get(&mut bench, None);
    bench.world.engine.handle().log(Level::Error, "one");
    bench.turn();
    let last = see(&bench.world.take(get)).last.unwrap();
    bench.world.reset(get);
    bench.world.advance(600 * S);
    let get = client.get(&mut bench, Some(&last));
    bench.world.engine.handle().log(Level::Error, "two");
    bench.turn();
    let seen = see(&bench.world.take(get));
    assert_eq!((seen.messages.len(), seen.last.as_deref()), (1, Some("1-2")));
    // A new stream is not a continuation: what was kept for the old one is dropped.
    bench.world.reset(get);
    let fresh = client.get(&mut bench, None);
    assert_eq!(see(&bench.world.take(fresh)).last.as_deref(), Some("2-0"));
    assert_eq!(client.refused(&mut bench, "1-2"), 400);
    bench.world.quiesce();
}

#[test]
fn with_no_time_to_come_back_there_are_no_ids() {
    let mut bench = Bench::new(|limits| limits.replay_timeout = Duration::ZERO);
    let client = bench.client("2025-11-25");
    let (post, get) = (client.ask(&mut bench, &work(1)), client.get(&mut bench, None));
    let mut reply = Some(bench.reply());
    reply.as_ref().unwrap().disconnect(S);
    (0..STAGES).for_each(|at| stage(&mut bench, &mut reply, at));
    let text = bench.world.take_text(post);
    assert!(!text.contains("id: ") && !text.contains("retry") && text.contains("done"), "{text}");
    assert!(!bench.world.take_text(get).contains("id: "));
    assert_eq!(client.refused(&mut bench, "1-0"), 400);
    bench.world.quiesce();
}

#[test]
fn what_is_kept_is_dropped_before_a_client_loses_its_stream() {
    let mut bench = Bench::new(|limits| {
        limits.buffered_bytes_max = 400_000;
        limits.body_bytes_max = 100_000;
        limits.message_bytes_max = 60_000;
        limits.page_bytes_max = 50_000;
        limits.output_bytes_max = 200_000;
    });
    let (heavy, light) = (bench.client("2025-11-25"), bench.client("2025-11-25"));
    let open = light.ask(&mut bench, &work(1));
    let mut reply = Some(bench.reply());
    stage(&mut bench, &mut reply, 0);
    let finish_large = |bench: &mut Bench, id| {
        let sock = heavy.ask(bench, &work(id));
        let reply = bench.reply();
        reply.log(Level::Error, "so it is a stream");
        bench.turn();
        reply.finish("x".repeat(40_000));
        bench.turn();
        assert!(see(&bench.world.take(sock)).ended);
        sock
    };
    (1..=7).for_each(|id| {
        finish_large(&mut bench, id);
    });
    assert_eq!(bench.world.stats().replays_shed, 0);
    assert!(bench.buffered() > 250_000);
    // Bodies find room although the budget is nearly spent.
    let body = mcp_post(Some(&light.id), &format!("{}{}", ping(9), " ".repeat(90_000)));
    let (head, last) = body.split_at(body.len() - 1);
    let bodies = [bench.world.connect(), bench.world.connect()];
    bodies.iter().for_each(|sock| bench.world.send(*sock, head));
    for sock in bodies {
        bench.world.send(sock, last);
        assert_eq!(bench.status(sock), 200);
    }
    assert_eq!(bench.world.stats().replays_shed, 1);
    assert!(bench.buffered() < 10_000, "{}", bench.buffered());
    assert_eq!((heavy.refused(&mut bench, "1-0"), bench.world.stats().sessions), (400, 2));
    assert_eq!((bench.world.stats().slow_readers, bench.world.stats().busy), (0, 0));
    // The one that had little has lost nothing.
    let last = see(&bench.world.take(open)).last.unwrap();
    bench.world.reset(open);
    (1..STAGES).for_each(|at| stage(&mut bench, &mut reply, at));
    let sock = light.get(&mut bench, Some(&last));
    assert_eq!(see(&bench.world.take(sock)).messages.len(), STAGES - 1);
    bench.world.quiesce();
}

/// The same for other holders: one who has little loses nothing for one who has much.
#[test]
fn what_is_kept_for_a_lost_stream_outlasts_another_holder_who_has_more() {
    let mut bench = Bench::new(|limits| {
        limits.buffered_bytes_max = 400_000;
        limits.body_bytes_max = 100_000;
        limits.message_bytes_max = 60_000;
        limits.page_bytes_max = 50_000;
        limits.output_bytes_max = 200_000;
    });
    let sock = bench.world.connect_as(principal("ada"));
    let ada = bench.client_on(sock, "2025-11-25");
    let post = bench.world.connect_as(principal("ada"));
    bench.world.send(post, mcp_post(Some(&ada.id), &work(1)));
    let reply = bench.reply();
    reply.log(Level::Error, "so it is a stream");
    bench.turn();
    let last = see(&bench.world.take(post)).last.unwrap();
    bench.world.reset(post);
    // The answer comes while its client is away.
    reply.finish("x".repeat(40_000));
    bench.turn();
    assert!(bench.buffered() > 40_000);
    // Another one sends half bodies until the budget is spent, and one that is too much for it.
    let half = mcp_post(None, &format!("{}{}", ping(9), " ".repeat(90_000)));
    let half = &half[..half.len() - 1];
    let greedy: Vec<Sock> = (0..5).map(|_| bench.world.connect_as(principal("mallory"))).collect();
    greedy.iter().for_each(|sock| bench.world.send(*sock, half));
    let refused = greedy.iter().filter(|sock| !bench.world.responses(**sock).is_empty()).count();
    assert!(refused > 0 && refused < 3, "{refused}");
    assert_eq!(bench.world.stats().replays_shed, 0);
    bench.world.send(
        sock,
        format!(
            "GET /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {}\r\nLast-Event-ID: {last}\r\n\r\n",
            ada.id
        ),
    );
    let seen = see(&bench.world.take(sock));
    assert_eq!(seen.messages.len(), 1);
    assert_eq!(seen.messages[0]["result"]["content"][0]["text"].as_str().unwrap().len(), 40_000);
    bench.world.quiesce();
}

#[test]
fn a_slow_reader_can_come_back_for_what_it_was_spared() {
    let mut bench = Bench::new(|limits| {
        limits.message_bytes_max = 30_000;
        limits.page_bytes_max = 10_000;
        limits.output_bytes_max = 60_000;
    });
    let client = bench.client("2025-11-25");
    let post = bench.world.connect();
    bench.world.reads_only(post, 600);
    bench.world.send(post, mcp_post(Some(&client.id), &work(1)));
    let reply = bench.reply();
    for _ in 0..2 {
        reply.log(Level::Error, "x".repeat(20_000));
        bench.turn();
    }
    // The stream is slow now: of progress it would get the latest, once it reads.
    for done in 1..5 {
        reply.progress(f64::from(done), None, None);
        bench.turn();
    }
    let last = see(&bench.world.take(post)).last.unwrap();
    bench.world.reset(post);
    reply.finish("done");
    bench.turn();
    let sock = client.get(&mut bench, Some(&last));
    let seen = see(&bench.world.take(sock)).messages;
    assert_eq!((seen.len(), &seen[2]["params"]["progress"]), (4, &json!(4)), "{:?}", &seen[2..]);
    bench.world.quiesce();
}

#[test]
fn the_end_of_a_session_frees_what_it_kept() {
    for end in ["DELETE", "idle"] {
        let mut bench = Bench::new(|limits| limits.session_idle_timeout = 30 * S);
        let client = bench.client("2025-11-25");
        let (post, get) = (client.ask(&mut bench, &work(1)), client.get(&mut bench, None));
        let mut reply = Some(bench.reply());
        (0..STAGES - 1).for_each(|at| stage(&mut bench, &mut reply, at));
        bench.world.engine.handle().log(Level::Error, "to all");
        bench.turn();
        bench.world.reset(post);
        bench.world.reset(get);
        assert!(bench.buffered() > 0);
        if end == "DELETE" {
            client.delete(&mut bench);
        } else {
            // The response is kept no longer than the session lives.
            stage(&mut bench, &mut reply, STAGES - 1);
            bench.world.advance(31 * S);
        }
        let stats = bench.world.stats();
        assert_eq!((stats.sessions, stats.calls, stats.buffered_bytes), (0, 0, 0), "{end}");
        assert_eq!(client.refused(&mut bench, "1-0"), 404);
        bench.world.quiesce();
    }
}

#[test]
fn a_call_can_send_its_client_away_and_still_ask_it() {
    let mut bench = Bench::new(|_| {});
    let client = bench.client("2025-11-25");
    let post = client.ask(&mut bench, &call(1, "poll", "{}"));
    let bytes = bench.world.take(post);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(text.contains("id: 1-0\nretry: 250\ndata:\n\n"), "{text}");
    assert_eq!((see(&bytes).messages, see(&bytes).ended), (vec![], true));
    // The connection is good for something else, and is not taken for the call's any more.
    bench.world.send(post, mcp_post(Some(&client.id), &ping(2)));
    assert_eq!(bench.world.response(post).messages()[0]["id"], 2);
    let get = client.get(&mut bench, Some("1-0"));
    let asked = see(&bench.world.take(get)).messages;
    assert_eq!(asked[0]["method"], "roots/list");
    let answer = json!({ "jsonrpc": "2.0", "id": asked[0]["id"], "result": { "roots": [] } });
    assert_eq!(client.post(&mut bench, &answer.to_string()).status, 202);
    let rest = bench.world.take_text(get);
    assert!(rest.contains("0 roots") && !rest.contains("retry"), "it is not sent away again: {rest}");
    assert!(bench.world.ended(get));
    bench.world.quiesce();
}

#[test]
fn a_stream_can_be_sent_away_from_more_than_once() {
    let mut bench = Bench::new(|_| {});
    let client = bench.client("2025-11-25");
    let post = client.ask(&mut bench, &work(1));
    let reply = bench.reply();
    reply.log(Level::Error, "one");
    bench.turn();
    reply.disconnect(7 * S);
    bench.turn();
    let text = bench.world.take_text(post);
    assert!(text.contains("id: 1-2\nretry: 7000\ndata:\n\n") && text.ends_with("0\r\n\r\n"), "{text}");
    let get = client.get(&mut bench, Some("1-2"));
    reply.disconnect(8 * S);
    bench.turn();
    let text = bench.world.take_text(get);
    assert!(text.ends_with("id: 1-3\nretry: 8000\ndata:\n\n") && bench.world.ended(get), "{text}");
    // Sent away while it is away.
    reply.disconnect(9 * S);
    reply.finish("done");
    bench.turn();
    let get = client.get(&mut bench, Some("1-3"));
    assert_eq!(see(&bench.world.take(get)).messages.len(), 1);
    bench.world.quiesce();
}

#[test]
#[cfg(feature = "stateless")]
fn a_client_that_cannot_resume_is_not_disconnected() {
    let mut bench = Bench::new(|_| {});
    for (revision, accept) in
        [("2025-06-18", "*/*"), ("2025-03-26", "*/*"), ("2025-11-25", "application/json")]
    {
        let client = bench.client(revision);
        let post =
            mcp_post(Some(&client.id), &work(1)).replacen("Host:", &format!("Accept: {accept}\r\nHost:"), 1);
        bench.world.send(client.sock, post);
        let reply = bench.reply();
        reply.disconnect(S);
        bench.turn();
        assert_eq!(bench.world.take_text(client.sock), "", "{revision} {accept}");
        reply.finish("done");
        bench.turn();
        assert_eq!(bench.world.response(client.sock).header("Content-Type"), Some("application/json"));
    }
    // Over HTTP+SSE the session ends with the stream; a request without a session has no one to come back.
    let stream = bench.world.open_sse();
    let sock = bench.world.connect();
    assert_eq!(bench.world.post(sock, &stream.endpoint, &work(1)).status, 202);
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"progressToken":"#;
    let post = mcp_post(None, &work(2).replace(r#""_meta":{"progressToken":"#, meta));
    let fields = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: work\r\nHost:";
    bench.world.send(sock, post.replacen("Host:", fields, 1));
    let replies = [bench.reply(), bench.reply()];
    replies.iter().for_each(|reply| reply.disconnect(S));
    bench.turn();
    replies.into_iter().for_each(|reply| reply.finish("done"));
    bench.turn();
    assert_eq!(bench.world.frames(&stream).len(), 1);
    assert_eq!(bench.world.response(sock).header("Content-Type"), Some("application/json"));
    bench.world.quiesce();
}

#[test]
fn a_batch_goes_on_until_its_last_response() {
    let mut bench = Bench::new(|_| {});
    let client = bench.client("2025-03-26");
    let post = client.ask(&mut bench, &format!("[{},{},{}]", work(1), work(2), ping(3)));
    let [first, second] = [bench.reply(), bench.reply()];
    first.log(Level::Error, "working");
    bench.turn();
    let seen = see(&bench.world.take(post));
    assert_eq!(seen.messages.len(), 2, "the ping's response, and the log");
    bench.world.reset(post);
    second.finish("second");
    bench.turn();
    let get = client.get(&mut bench, seen.last.as_deref());
    assert!(!bench.world.ended(get));
    first.finish("first");
    bench.turn();
    let rest = see(&bench.world.take(get)).messages;
    assert_eq!(rest.iter().map(|message| message["id"].as_i64().unwrap()).collect::<Vec<_>>(), [2, 1]);
    assert!(bench.world.ended(get));
    bench.world.quiesce();
}

/// A client whose stream has a response to each of so many calls, of that many bytes each with all around it; it is lost after a
/// log. The last call is answered when the test wants, if at all.
fn lost_with(bench: &mut Bench, bytes: &[usize]) -> (Client, String, Reply) {
    let client = bench.client("2025-03-26");
    let calls: Vec<String> = (0..=bytes.len()).map(|at| work(at as u32)).collect();
    let post = client.ask(bench, &format!("[{}]", calls.join(",")));
    let mut replies: Vec<Reply> = (0..=bytes.len()).map(|_| bench.reply()).collect();
    replies[0].log(Level::Error, "one");
    bench.turn();
    let last = see(&bench.world.take(post)).last.unwrap();
    bench.world.reset(post);
    let empty = "id: 1-1\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"\"}]}}\n\n";
    let open = replies.pop().unwrap();
    for (reply, bytes) in replies.into_iter().zip(bytes) {
        reply.finish("x".repeat(bytes - empty.len()));
        bench.turn();
    }
    (client, last, open)
}

/// The ids of the calls that were answered, in order.
fn answered(seen: &Seen) -> Vec<i64> {
    seen.messages.iter().map(|message| message["id"].as_i64().unwrap()).collect()
}

/// How many bytes wait in the server for that client.
fn outgoing(bench: &Bench, sock: Sock) -> usize {
    bench.world.engine.outgoing(bench.world.key(sock)).len()
}

#[test]
fn a_resumed_stream_is_handed_over_in_parts() {
    const PART: usize = 4096;
    for ends in ["before", "meanwhile", "after"] {
        let mut bench = Bench::new(|limits| limits.turn_bytes_max = PART);
        let (client, last, open) = lost_with(&mut bench, &[3000; 20]);
        let mut open = Some(open);
        let mut finish = |bench: &mut Bench| {
            open.take().unwrap().finish("the last");
            bench.turn();
        };
        if ends == "before" {
            finish(&mut bench);
        }
        let sock = bench.world.connect();
        bench.world.reads_only(sock, 0);
        client.get_on(&mut bench, sock, Some(&last));
        assert!((PART..PART + 3500).contains(&outgoing(&bench, sock)), "{}", outgoing(&bench, sock));
        if ends == "meanwhile" {
            finish(&mut bench);
        }
        let mut bytes = Vec::new();
        while bench.world.unread(sock) > 0 || outgoing(&bench, sock) > 0 {
            bench.world.reads_only(sock, 1000);
            bench.world.run();
            assert!(outgoing(&bench, sock) < PART + 3500);
            bytes.extend(bench.world.take(sock));
        }
        if ends == "after" {
            assert!(!bench.world.ended(sock));
            bench.world.reads_all(sock);
            finish(&mut bench);
            bytes.extend(bench.world.take(sock));
        }
        let seen = see(&bytes);
        assert_eq!(answered(&seen), (0..=20).collect::<Vec<_>>(), "{ends}");
        // A stream that was resumed before its last call was answered ends with its connection.
        let ended = if ends == "before" { seen.ended } else { bench.world.ended(sock) };
        assert_eq!((ended, seen.last.as_deref()), (true, Some("1-21")), "{ends}");
        // It is kept for a client that did not get all of it.
        let again = client.get(&mut bench, Some("1-19"));
        assert_eq!(answered(&see(&bench.world.take(again))), [19, 20]);
        bench.world.quiesce();
    }
}

/// One part is the whole response, whose length is known then.
#[test]
fn what_is_one_part_is_sent_at_once() {
    const PART: usize = 4096;
    for (first, is_whole) in [(PART - 1, true), (PART, false)] {
        let mut bench = Bench::new(|limits| limits.turn_bytes_max = PART);
        let (client, last, open) = lost_with(&mut bench, &[first]);
        open.finish("the last");
        bench.turn();
        let sock = client.get(&mut bench, Some(&last));
        let bytes = bench.world.take(sock);
        let head = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(head.contains("Content-Length: "), is_whole);
        assert_eq!(head.contains("Transfer-Encoding: chunked"), !is_whole);
        assert_eq!(answered(&see(&bytes)), [0, 1]);
        bench.world.quiesce();
    }
}

/// What a client is still to be given can give way: it learns that when it comes again.
#[test]
fn a_client_that_cannot_be_given_the_rest_is_closed() {
    for (room, stays) in [(true, true), (false, false)] {
        let mut bench = Bench::new(|limits| {
            (limits.turn_bytes_max, limits.body_bytes_max) = (4096, 200_000);
            (limits.message_bytes_max, limits.page_bytes_max) = (100_000, 50_000);
            (limits.output_bytes_max, limits.buffered_bytes_max) = (110_000, 300_000);
        });
        let (client, last, open) = lost_with(&mut bench, &[10_000; 10]);
        open.finish("the last");
        bench.turn();
        let sock = bench.world.connect();
        bench.world.reads_only(sock, 0);
        client.get_on(&mut bench, sock, Some(&last));
        // Half a body of the same holder, for which the rest is needed.
        let spent = bench.buffered();
        let length = if room { 300_000 - spent - 20_000 } else { 300_000 - spent };
        bench.world.send(client.sock, http::post_head("/mcp", length) + &" ".repeat(length - 1));
        assert_eq!((bench.world.ended(sock), bench.world.stats().replays_shed), (!stays, u64::from(!stays)));
        bench.world.reset(client.sock);
        if stays {
            bench.world.reads_all(sock);
            assert_eq!(see(&bench.world.take(sock)).messages.len(), 11);
        } else {
            assert_eq!(client.refused(&mut bench, &last), 400);
        }
        bench.world.quiesce();
    }
}

/// The stream itself stays while its client is given the rest, so dropping its log again frees nothing.
#[test]
fn a_stream_that_is_over_and_carried_does_not_hold_up_the_search_for_memory() {
    let mut bench = Bench::new(|limits| {
        (limits.turn_bytes_max, limits.body_bytes_max) = (4096, 200_000);
        (limits.message_bytes_max, limits.page_bytes_max) = (100_000, 50_000);
        (limits.output_bytes_max, limits.buffered_bytes_max) = (110_000, 300_000);
    });
    let (client, last, open) = lost_with(&mut bench, &[3000; 3]);
    open.finish("the last");
    bench.turn();
    let other = bench.client("2025-11-25");
    let post = other.ask(&mut bench, &work(1));
    let reply = bench.reply();
    reply.log(Level::Error, "so it is a stream");
    bench.turn();
    bench.world.reads_only(post, 0);
    let sock = bench.world.connect();
    bench.world.reads_only(sock, 0);
    client.get_on(&mut bench, sock, Some(&last));
    // Of the same holder: they have finished a request.
    let halves = [bench.world.connect(), bench.world.connect()];
    for half in halves {
        bench.world.send(half, http::get("/nowhere"));
        assert_eq!(bench.status(half), 404);
    }
    let length = (290_000 - bench.buffered()) / 2;
    halves.iter().for_each(|half| {
        bench.world.send(*half, http::post_head("/mcp", length) + &" ".repeat(length - 1));
    });
    assert_eq!(bench.world.stats().replays_shed, 0);
    // More than what all logs hold.
    reply.finish("x".repeat(60_000));
    bench.turn();
    assert_eq!(bench.world.stats().replays_shed, 2);
    let refused = halves.iter().filter(|half| !bench.world.responses(**half).is_empty()).count();
    assert_eq!((refused, bench.world.ended(sock)), (1, true));
    assert!(bench.buffered() < 300_000);
    halves.iter().for_each(|half| bench.world.reset(*half));
    bench.world.reads_all(post);
    bench.world.quiesce();
}

#[test]
fn a_client_that_catches_up_can_come_again_and_its_session_can_end() {
    let mut bench = Bench::new(|limits| limits.turn_bytes_max = 4096);
    let (client, last, open) = lost_with(&mut bench, &[3000; 20]);
    open.finish("the last");
    bench.turn();
    let [first, second] = [(); 2].map(|()| {
        let sock = bench.world.connect();
        bench.world.reads_only(sock, 0);
        client.get_on(&mut bench, sock, Some(&last));
        sock
    });
    assert!(bench.world.ended(first) && !bench.world.ended(second));
    bench.world.shutdown(Duration::from_secs(5));
    assert!(!bench.world.ended(second), "what it has missed is still sent");
    bench.world.reads_all(second);
    assert_eq!(see(&bench.world.take(second)).messages.len(), 21);

    let mut bench = Bench::new(|limits| (limits.turn_bytes_max, limits.replay_streams_max) = (4096, 1));
    for ends in ["by DELETE", "for another stream"] {
        let (client, last, open) = lost_with(&mut bench, &[3000; 20]);
        open.finish("the last");
        bench.turn();
        let sock = bench.world.connect();
        bench.world.reads_only(sock, 0);
        client.get_on(&mut bench, sock, Some(&last));
        match ends {
            "by DELETE" => client.delete(&mut bench),
            _ => {
                let post = mcp_post(Some(&client.id), &ping(7));
                bench
                    .world
                    .send(client.sock, post.replacen("Host:", "Accept: text/event-stream\r\nHost:", 1));
            }
        }
        assert!(bench.world.ended(sock), "{ends}");
    }
    bench.world.quiesce();
}

/// Responses that come late are not known to be long before they come.
#[test]
fn an_answer_to_a_batch_that_outgrows_its_limit_is_refused() {
    for (extra, status) in [(0, 200), (1, 503)] {
        let mut bench = Bench::new(|limits| {
            (limits.message_bytes_max, limits.page_bytes_max) = (100_000, 50_000);
            limits.output_bytes_max = 250_000;
        });
        let client = bench.client("2025-03-26");
        let sock = bench.world.connect();
        let request = mcp_post(Some(&client.id), &format!("[{},{},{}]", work(1), work(2), work(3)));
        bench.world.send(sock, request.replacen("Host:", "Accept: application/json\r\nHost:", 1));
        let around = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":""}]}}"#.len();
        for bytes in [90_000, 90_000, 70_000 + extra] {
            bench.reply().finish("x".repeat(bytes - around));
            bench.turn();
        }
        let response = bench.world.response(sock);
        assert_eq!(response.status, status);
        assert_eq!(response.text().contains("limit output_bytes_max"), status == 503);
        bench.world.quiesce();
    }
}

#[test]
fn a_cancelled_call_ends_its_stream_wherever_that_is() {
    for comes_back in [false, true] {
        let mut bench = Bench::new(|_| {});
        let client = bench.client("2025-11-25");
        let post = client.ask(&mut bench, &call(1, "ask", "{}"));
        let seen = see(&bench.world.take(post));
        bench.world.reset(post);
        let mut get = comes_back.then(|| client.get(&mut bench, seen.last.as_deref()));
        let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
        client.post(&mut bench, cancel);
        let get = *get.get_or_insert_with(|| client.get(&mut bench, seen.last.as_deref()));
        let seen = see(&bench.world.take(get));
        assert_eq!(seen.messages[0]["method"], "notifications/cancelled", "of the question");
        assert!(seen.messages.len() == 1 && (seen.ended || bench.world.ended(get)));
        bench.world.quiesce();
    }
}

#[test]
fn http_1_0_can_come_back_too() {
    let mut bench = Bench::new(|_| {});
    let client = bench.client("2025-11-25");
    let post = bench.world.connect();
    bench.world.send(post, mcp_post(Some(&client.id), &work(1)).replacen("HTTP/1.1", "HTTP/1.0", 1));
    let mut reply = Some(bench.reply());
    stage(&mut bench, &mut reply, 0);
    let seen = see(&bench.world.take(post));
    bench.world.half_close(post);
    assert!(bench.world.closed(post));
    let get = client.get(&mut bench, seen.last.as_deref());
    (1..STAGES).for_each(|at| stage(&mut bench, &mut reply, at));
    assert_eq!(see(&bench.world.take(get)).messages.len(), STAGES - 1);
    bench.world.quiesce();
}

#[test]
fn a_shutdown_does_not_wait_for_clients_that_may_resume() {
    let mut bench = Bench::new(|_| {});
    let client = bench.client("2025-11-25");
    let post = client.ask(&mut bench, &work(1));
    let mut reply = Some(bench.reply());
    stage(&mut bench, &mut reply, 0);
    let last = see(&bench.world.take(post)).last.unwrap();
    bench.world.reset(post);
    let get = client.get(&mut bench, Some(&last));
    bench.world.shutdown(10 * S);
    assert!(!bench.world.ended(get), "it is answered first");
    (1..STAGES).for_each(|at| stage(&mut bench, &mut reply, at));
    assert_eq!(see(&bench.world.take(get)).messages.len(), STAGES - 1);
    bench.world.advance(3 * S);
    assert!(bench.world.engine.is_finished());
    bench.world.assert_empty();
}

#[test]
fn a_request_that_its_batch_cancels_first_is_not_run() {
    let mut bench = Bench::new(|_| ());
    let client = bench.client("2025-03-26");
    let cancelled = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let response = client.post(&mut bench, &format!("[{cancelled},{}]", work(1)));
    assert!(response.is_event_stream() && response.messages().is_empty());
    assert!(bench.replies.try_recv().is_err() && bench.world.stats().calls == 0);
    bench.world.quiesce();
}
