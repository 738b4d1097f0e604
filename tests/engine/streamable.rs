//! Streamable HTTP in memory: what transcripts do not show, because it takes many clients, much time, or much data.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::http::{self, INITIALIZED, call, mcp_post, ping, request};
use crate::common::{Cut, Seen, Sock, World, demo, principal};
use mcp_rill::{Limits, Server};
use serde_json::Value;

const S: Duration = Duration::from_secs(1);

fn server() -> Server {
    demo::streaming(demo::server())
}

fn world(change: impl FnOnce(&mut Limits)) -> World {
    let mut limits = Limits::DEFAULT;
    change(&mut limits);
    World::new(server().limits(limits))
}

/// A client with a session and a connection.
struct Client {
    sock: Sock,
    id: String,
}

fn initialize(revision: &str) -> String {
    let info = r#"{"name":"tester","version":"9"}"#;
    let params = format!(
        r#"{{"protocolVersion":"{revision}","capabilities":{{"elicitation":{{}}}},"clientInfo":{info}}}"#
    );
    request(0, "initialize", &params)
}

impl Client {
    fn new(world: &mut World, revision: &str) -> Client {
        let client = Client::silent(world, revision);
        assert_eq!(client.post(world, INITIALIZED).status, 202);
        client
    }

    /// One that goes on with nothing after `initialize`.
    fn silent(world: &mut World, revision: &str) -> Client {
        let sock = world.connect();
        world.send(sock, mcp_post(None, &initialize(revision)));
        let response = world.response(sock);
        assert_eq!(response.messages()[0]["result"]["protocolVersion"], revision);
        Client { sock, id: response.header("Mcp-Session-Id").unwrap().to_owned() }
    }

    fn send(&self, world: &mut World, sock: Sock, body: &str) {
        world.send(sock, mcp_post(Some(&self.id), body));
    }

    fn post(&self, world: &mut World, body: &str) -> http::Response {
        self.send(world, self.sock, body);
        world.response(self.sock)
    }

    /// On a connection of its own, since the first one may have been closed meanwhile.
    fn status(&self, world: &mut World) -> u16 {
        let sock = world.connect();
        self.send(world, sock, &ping(77));
        let status = world.response(sock).status;
        world.reset(sock);
        status
    }

    fn get(&self, world: &mut World) -> Sock {
        let sock = world.connect();
        let id = &self.id;
        world.send(sock, format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\n\r\n"));
        assert!(world.take_text(sock).starts_with("HTTP/1.1 200 OK\r\n"));
        sock
    }
}

/// The messages in a part of a stream, chunked or not.
fn data(text: &str) -> Vec<Value> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.filter(|data| !data.is_empty()).map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn answer(question: &Value, name: &str) -> String {
    let content = format!(r#"{{"action":"accept","content":{{"name":"{name}"}}}}"#);
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{content}}}"#, question["id"])
}

fn cancel(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#)
}

/// 64 clients of both transports at once, each asked by name while all the others are: whoever gets another one's message
/// has another one's answer in his result.
#[test]
fn sessions_of_both_transports_never_cross() {
    for seed in 1..=3 {
        let mut world = World::cut(server(), Cut::Torn(seed), Cut::Torn(seed));
        let capabilities = r#"{"elicitation":{}}"#;
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for _ in 0..32 {
            old.push(crate::common::questions::Client::new(&mut world, "2025-11-25", capabilities));
            let client = Client::new(&mut world, "2025-11-25");
            let answers = world.connect();
            new.push((client, answers));
        }
        // The same id for everyone; all at once.
        let ask = call(1, "ask", "{}");
        let mut posts = Vec::new();
        for client in &old {
            let sock = world.connect();
            world.queue(sock, http::post(&client.stream.endpoint, &ask));
            posts.push(sock);
        }
        for (client, _) in &new {
            world.queue(client.sock, mcp_post(Some(&client.id), &ask));
        }
        world.run();
        let mut streams = vec![String::new(); new.len()];
        for (at, (client, answers)) in new.iter().enumerate() {
            streams[at].push_str(&world.take_text(client.sock));
            let [question] = &data(&streams[at])[..] else { panic!("{}", streams[at]) };
            world.queue(*answers, mcp_post(Some(&client.id), &answer(question, &format!("new {at}"))));
        }
        for (at, client) in old.iter().enumerate() {
            let heard = client.hear(&mut world);
            world.queue(
                posts[at],
                http::post(&client.stream.endpoint, &answer(&heard[0], &format!("old {at}"))),
            );
        }
        world.run();
        for (at, (client, answers)) in new.iter().enumerate() {
            streams[at].push_str(&world.take_text(client.sock));
            let response = http::responses(streams[at].as_bytes()).remove(0).messages();
            assert_eq!(response[1]["result"]["content"][0]["text"], format!("new {at}"), "{response:?}");
            assert_eq!(response.len(), 2);
            assert_eq!(world.response(*answers).status, 202);
        }
        for (at, client) in old.iter().enumerate() {
            let heard = client.hear(&mut world);
            assert_eq!(heard[0]["result"]["content"][0]["text"], format!("old {at}"), "{heard:?}");
        }
        assert_eq!(world.stats().sessions, 64);
        world.quiesce();
    }
}

#[test]
fn what_is_pipelined_behind_a_waiting_post_is_answered_after_it() {
    for cut in Cut::kinds() {
        let mut world = World::cut(server(), cut, cut);
        let client = Client::new(&mut world, "2025-11-25");
        let mut all = mcp_post(Some(&client.id), &call(1, "later", "{}"));
        (2..200).for_each(|id| all.push_str(&mcp_post(Some(&client.id), &ping(id))));
        world.send(client.sock, all);
        // The peer may be done with sending, and is answered all the same.
        world.half_close(client.sock);
        assert_eq!(world.take(client.sock), b"");
        let other = world.connect();
        client.send(&mut world, other, &cancel(1));
        assert_eq!(world.response(other).status, 202);
        let responses = world.responses(client.sock);
        assert_eq!(responses.len(), 199);
        assert_eq!(responses[0].messages(), [Value::Null; 0]);
        for (id, response) in (2..200).zip(&responses[1..]) {
            assert_eq!(response.messages()[0]["id"], id);
        }
        assert!(world.closed(client.sock));
        world.quiesce();
    }
}

#[test]
fn more_than_a_turn_behind_a_waiting_post_stays_in_the_kernel() {
    let mut world = world(|limits| limits.turn_bytes_max = 4 << 10);
    let client = Client::new(&mut world, "2025-11-25");
    client.send(&mut world, client.sock, &call(1, "later", "{}"));
    let mut all = String::new();
    (2..200).for_each(|id| all.push_str(&mcp_post(Some(&client.id), &ping(id))));
    world.send(client.sock, &all);
    assert!(world.unread(client.sock) > all.len() / 2, "{}", world.unread(client.sock));
    let other = world.connect();
    client.send(&mut world, other, &cancel(1));
    assert_eq!(world.responses(client.sock).len(), 199);
    assert_eq!(world.unread(client.sock), 0);
    world.quiesce();
}

#[test]
fn a_connection_lost_before_its_answer_loses_that_and_nothing_else() {
    let mut world = world(|limits| limits.tool_timeout = 5 * S);
    let client = Client::new(&mut world, "2025-11-25");
    for id in [1, 2] {
        let sock = world.connect();
        client.send(&mut world, sock, &call(id, "later", "{}"));
        world.reset(sock);
    }
    assert_eq!((world.stats().calls, world.stats().late), (2, 0));
    world.advance(5 * S);
    assert_eq!((world.stats().calls, world.stats().late), (0, 2));
    assert_eq!(client.status(&mut world), 200);
    world.quiesce();
}

#[test]
fn a_session_of_a_stranger_is_unknown() {
    let mut world = World::new(server());
    let (mine, theirs) = (world.connect_as(principal("me")), world.connect_as(principal("them")));
    world.send(mine, mcp_post(None, &initialize("2025-11-25")));
    let id = world.response(mine).header("Mcp-Session-Id").unwrap().to_owned();
    world.send(mine, mcp_post(Some(&id), &ping(1)));
    assert_eq!(world.response(mine).status, 200);
    for request in [
        mcp_post(Some(&id), &ping(1)),
        mcp_post(Some(&id), &initialize("2025-11-25")),
        format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\n\r\n"),
        format!("DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\n\r\n"),
    ] {
        world.send(theirs, request);
        let response = world.response(theirs);
        assert_eq!((response.status, &response.messages()[0]["error"]["code"]), (404, &(-32001).into()));
    }
    world.send(mine, mcp_post(Some(&id), &ping(2)));
    assert_eq!(world.response(mine).status, 200);
    world.quiesce();
}

/// `initialize_timeout` at the limit and one past it.
#[test]
fn a_session_whose_client_never_goes_on_ends_soon() {
    let mut world = world(|limits| limits.initialize_timeout = 20 * S);
    let (silent, busy) = (Client::silent(&mut world, "2025-11-25"), Client::silent(&mut world, "2025-11-25"));
    busy.post(&mut world, &request(1, "tools/list", "{}"));
    world.advance(19 * S);
    assert_eq!(world.stats().sessions, 2);
    world.advance(S + S / 50);
    assert_eq!(world.stats().sessions, 1);
    assert_eq!((silent.status(&mut world), busy.status(&mut world)), (404, 200));
    world.quiesce();
}

/// `session_idle_timeout` at the limit and one past it.
#[test]
fn an_unused_session_ends() {
    let mut world = world(|limits| {
        limits.session_idle_timeout = 300 * S;
        limits.tool_timeout = 500 * S;
    });
    let client = Client::new(&mut world, "2025-11-25");
    world.advance(299 * S);
    assert_eq!(client.status(&mut world), 200, "this is use");
    world.advance(299 * S);
    assert_eq!(world.stats().sessions, 1);
    // An open call is use, also of a client that is not there.
    let sock = world.connect();
    client.send(&mut world, sock, &call(1, "later", "{}"));
    world.reset(sock);
    world.advance(499 * S);
    assert_eq!((world.stats().sessions, world.stats().calls), (1, 1));
    world.advance(2 * S);
    assert_eq!(world.stats().calls, 0);
    // So is an open stream.
    let stream = client.get(&mut world);
    world.advance(1000 * S);
    assert_eq!(world.stats().sessions, 1);
    world.reset(stream);
    world.advance(299 * S);
    assert_eq!(world.stats().sessions, 1);
    world.events();
    world.advance(S + S / 50);
    assert_eq!(world.stats().sessions, 0);
    assert_eq!(world.events(), [Seen::Closed]);
    assert_eq!(client.status(&mut world), 404);
    world.quiesce();
}

/// `batch_max` at the limit and one past it.
#[test]
fn one_message_more_is_no_batch() {
    let mut world = world(|limits| limits.batch_max = 3);
    let client = Client::new(&mut world, "2025-03-26");
    let batch = |count: u32| format!("[{}]", (0..count).map(|n| ping(n + 1)).collect::<Vec<_>>().join(","));
    assert_eq!(client.post(&mut world, &batch(3)).messages().len(), 3);
    let response = client.post(&mut world, &batch(4));
    assert_eq!((response.status, &response.messages()[0]["error"]["code"]), (400, &(-32600).into()));
    assert!(response.text().contains("batch_max"));
    world.quiesce();
}

#[test]
fn a_batch_that_cancels_its_own_requests_is_answered() {
    for accept in ["application/json", "text/event-stream"] {
        let mut world = World::new(server());
        let client = Client::new(&mut world, "2025-03-26");
        let body = format!("[{},{},{}]", call(1, "later", "{}"), cancel(1), ping(2));
        let request =
            mcp_post(Some(&client.id), &body).replacen("Host:", &format!("Accept: {accept}\r\nHost:"), 1);
        world.send(client.sock, request);
        let messages = world.response(client.sock).messages();
        assert_eq!(messages.last().unwrap()["id"], 2, "{messages:?}");
        assert_eq!(world.stats().calls, 0);
        world.quiesce();
    }
}

#[test]
fn a_batch_that_cancels_the_request_of_another_post_ends_that() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2025-03-26");
    client.send(&mut world, client.sock, &call(1, "later", "{}"));
    let other = world.connect();
    client.send(&mut world, other, &format!("[{},{}]", cancel(1), ping(2)));
    assert_eq!(world.response(other).messages()[0]["id"], 2);
    assert_eq!(world.response(client.sock).messages(), [Value::Null; 0]);
    assert_eq!(world.stats().calls, 0);
    world.quiesce();
}

#[test]
fn notices_go_to_the_open_stream_or_nowhere() {
    let mut world = World::new(server());
    let (with, without) = (Client::new(&mut world, "2025-11-25"), Client::new(&mut world, "2025-11-25"));
    let stream = with.get(&mut world);
    world.engine.handle().tools_changed();
    world.jump(world.now.mono + S);
    world.run();
    let heard = data(&world.take_text(stream));
    assert_eq!(heard[0]["method"], "notifications/tools/list_changed", "{heard:?}");
    assert_eq!(world.take(without.sock), b"");
    assert_eq!(without.post(&mut world, &ping(1)).messages().len(), 1);
    world.quiesce();
}

/// Asks a client whose answer has to be JSON; gives the connection.
fn ask_for_json(world: &mut World, client: &Client, tool: &str) -> Sock {
    let sock = world.connect();
    let post = mcp_post(Some(&client.id), &call(1, tool, "{}"));
    world.send(sock, post.replacen("Host:", "Accept: application/json\r\nHost:", 1));
    sock
}

/// A question that nobody can get must not hold its call until `question_timeout`.
#[cfg(feature = "stateless")]
#[test]
fn a_call_whose_client_cannot_be_asked_ends_at_once() {
    let mut world = world(|limits| limits.calls_max = 1);
    let client = Client::new(&mut world, "2025-11-25");
    let unable = |world: &mut World| {
        let sock = ask_for_json(world, &client, "ask");
        let result = world.response(sock).messages()[0]["result"].clone();
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.contains("no stream to be asked on") && result["isError"] == true, "{text}");
        assert_eq!(world.stats().calls, 0);
    };
    (0..3).for_each(|_| unable(&mut world));
    // Nor on a stream that was lost, and that nobody came back for in time.
    let stream = client.get(&mut world);
    world.reset(stream);
    world.advance(Limits::DEFAULT.replay_timeout + S);
    unable(&mut world);
    // On an open one, and on one that may be taken up again.
    let other = world.connect();
    let stream = client.get(&mut world);
    let sock = ask_for_json(&mut world, &client, "ask");
    let question = data(&world.take_text(stream)).remove(0);
    client.send(&mut world, other, &answer(&question, "Ada"));
    assert_eq!(world.response(sock).messages()[0]["result"]["content"][0]["text"], "Ada");
    world.reset(stream);
    let sock = ask_for_json(&mut world, &client, "ask");
    assert_eq!((world.stats().calls, world.unread(sock)), (1, 0));
    let (again, id) = (world.connect(), &client.id);
    world.send(
        again,
        format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\nLast-Event-ID: 2-1\r\n\r\n"),
    );
    let question = data(&world.take_text(again)).remove(0);
    client.send(&mut world, other, &answer(&question, "Bob"));
    assert_eq!(world.response(sock).messages()[0]["result"]["content"][0]["text"], "Bob");
    world.quiesce();
}

/// A handler that makes nothing of it and asks something else comes to its end, too.
#[test]
fn a_client_that_cannot_be_asked_is_not_asked_without_end() {
    const FORM: &str = r#"{"type":"object","properties":{}}"#;
    let server = server().tool("nag", "Ask and ask", |(), call| -> mcp_rill::Result<()> {
        for nth in 0.. {
            let answer = call.elicit_raw(&nth.to_string(), "Well?", FORM)?;
            assert!(answer.required().unwrap_err().to_string().contains("no stream"));
        }
        Ok(())
    });
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-06-18");
    let sock = ask_for_json(&mut world, &client, "nag");
    assert!(world.response(sock).text().contains("rounds_max"));
    assert_eq!(world.stats().calls, 0);
    world.quiesce();
}

#[test]
fn a_client_that_does_not_read_its_answer_is_closed() {
    let mut world = world(|limits| {
        limits.output_bytes_max = 200_000;
        limits.message_bytes_max = 100_000;
        limits.page_bytes_max = 50_000;
    });
    let client = Client::new(&mut world, "2025-11-25");
    let stream = client.get(&mut world);
    world.reads_only(stream, 0);
    let big = format!(r#"{{"text":"{}"}}"#, "x".repeat(90_000));
    // What is asked behind the POST's back comes on the stream: here nothing, so it stays.
    assert_eq!(client.post(&mut world, &call(1, "echo", &big)).status, 200);
    let slow = world.connect();
    world.reads_only(slow, 0);
    let mut all = String::new();
    (0..8).for_each(|id| all.push_str(&mcp_post(Some(&client.id), &call(id + 2, "echo", &big))));
    world.send(slow, all);
    // Its requests wait in the kernel, and nothing piles up.
    assert!(world.stats().buffered_bytes < 400_000, "{}", world.stats().buffered_bytes);
    world.advance(Limits::DEFAULT.write_timeout + S);
    assert!(world.closed(slow));
    assert_eq!(client.status(&mut world), 200);
    world.quiesce();
}

#[test]
fn replies_of_a_batch_count_and_are_bounded() {
    let mut world = world(|limits| {
        limits.message_bytes_max = 100_000;
        limits.page_bytes_max = 50_000;
        limits.output_bytes_max = 300_000;
    });
    let client = Client::new(&mut world, "2025-03-26");
    let batch = |count: u32| {
        let calls: Vec<String> = (1..=count).map(|id| call(id, "big", r#"{"bytes":90000}"#)).collect();
        format!("[{}]", calls.join(","))
    };
    let response = client.post(&mut world, &batch(3));
    assert_eq!(response.header("Content-Type"), Some("text/event-stream"), "it is sent piece by piece");
    assert_eq!(response.messages().len(), 3);
    for accept in ["application/json", "text/event-stream"] {
        let request = mcp_post(Some(&client.id), &batch(4));
        let sock = world.connect();
        world.send(sock, request.replacen("Host:", &format!("Accept: {accept}\r\nHost:"), 1));
        let response = world.response(sock);
        assert_eq!((response.status, world.stats().calls), (200, 0));
        let (refused, answered) = (response.messages().pop().unwrap(), response.messages().len() - 1);
        assert_eq!((answered, &refused["error"]["code"]), (3, &Value::from(-32000)), "{refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains("output_bytes_max"), "{refused}");
    }
    assert_eq!((world.stats().slow_readers, world.stats().busy), (0, 2));
    world.quiesce();
}

/// A request of a batch is run as long as the longest response would have room beside those before it.
#[test]
fn a_batch_is_run_for_as_long_as_its_answer_has_room() {
    for (extra, runs) in [(0, 4), (1, 3)] {
        let ran = Arc::new(AtomicUsize::new(0));
        let count = ran.clone();
        let server = server().tool("count", "Count", move |(), _| {
            count.fetch_add(1, Ordering::Relaxed);
            "x".repeat(30_000)
        });
        let limits = Limits {
            message_bytes_max: 100_000,
            page_bytes_max: 50_000,
            output_bytes_max: 250_000,
            ..Limits::DEFAULT
        };
        let mut world = World::new(server.limits(limits));
        let client = Client::new(&mut world, "2025-03-26");
        // All that a response has besides its text.
        let around = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":""}]}}"#.len();
        let fill = 150_000 - 2 * (30_000 + around) - around + extra;
        let count = |id| call(id, "count", "{}");
        let fill = call(3, "big", &format!(r#"{{"bytes":{fill}}}"#));
        let body = format!("[{},{},{fill},{},{}]", count(1), count(2), count(4), count(5));
        let request = mcp_post(Some(&client.id), &body);
        world.send(client.sock, request.replacen("Host:", "Accept: application/json\r\nHost:", 1));
        let messages = world.response(client.sock).messages();
        let refused = messages.iter().filter(|message| message["error"]["code"] == -32000).count();
        assert_eq!((messages.len(), 5 - refused, ran.load(Ordering::Relaxed)), (5, runs, runs - 1));
        world.quiesce();
    }
}

#[test]
fn a_shutdown_answers_what_waits_and_ends_the_rest() {
    for streams in [false, true] {
        let mut world = world(|limits| limits.tool_timeout = 20 * S);
        let client = Client::new(&mut world, "2025-11-25");
        let (post, stream) = (world.connect(), client.get(&mut world));
        client.send(&mut world, post, &call(1, "later", "{}"));
        if streams {
            world.advance(16 * S);
        }
        world.shutdown(10 * S);
        assert!(world.ended(client.sock) && world.ended(stream) && !world.ended(post));
        world.advance(if streams { 4 * S } else { 9 * S });
        if streams {
            assert_eq!(world.response(post).messages()[0]["id"], 1);
        } else {
            assert_eq!(world.take(post), b"");
            world.advance(S);
        }
        assert!(world.ended(post));
        world.advance(10 * S);
        assert!(world.engine.is_finished());
        world.assert_empty();
    }
}

#[test]
fn everything_at_once_leaves_nothing_behind() {
    for seed in 1..=20 {
        let mut world = World::cut(server(), Cut::Torn(seed), Cut::Torn(seed * 7));
        let clients: Vec<Client> = (0..6).map(|_| Client::new(&mut world, "2025-03-26")).collect();
        let mut socks = Vec::new();
        for step in 0..60_u64 {
            let dice = (seed * 31 + step * 17) % 11;
            let client = &clients[(step as usize * 5 + seed as usize) % clients.len()];
            let sock = world.connect();
            socks.push(sock);
            let body = match dice {
                0 | 1 => call(step, "later", "{}"),
                2 | 3 => call(step, "ask", "{}"),
                4 => cancel(step.saturating_sub(6) as u32),
                5 => format!("[{},{}]", call(step, "steps", "{}"), call(step + 1000, "later", "{}")),
                6 => call(step, "steps", "{}"),
                7 => "nonsense".to_owned(),
                _ => ping(step),
            };
            world.queue(sock, mcp_post(Some(&client.id), &body));
            if dice == 8 {
                let id = &client.id;
                world.queue(
                    sock,
                    format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\n\r\n"),
                );
            }
            if dice == 9 && step % 3 == 0 {
                let id = &client.id;
                world.queue(
                    sock,
                    format!("DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\n\r\n"),
                );
            }
            if dice % 2 == 0 {
                world.run();
            }
            if dice == 10 {
                let old = socks[step as usize / 2];
                if !world.closed(old) {
                    world.reset(old);
                }
                world.advance(S);
            }
        }
        world.run();
        if seed % 2 == 0 {
            world.shutdown(S);
            world.advance(3 * S);
            world.assert_empty();
        } else {
            world.quiesce();
        }
    }
}
