//! Queries: the first line is the query of `GET /sse`, the second one that of `POST /messages`, where `{}` stands for the
//! session's id.

use mcp_rill::Server;
use mcp_rill::sse::Decoder;

use super::client::{self, Response};
use super::common::{Sock, World, http};

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let (opening, posting) = (lines.next().unwrap_or_default(), lines.next().unwrap_or("sessionId={}"));
    let lawful = |query: &str| query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let mut world = World::new(Server::new("fuzz", "1").tool("hello", "Say hello", |(), _| "hello"));
    let target = |query: &str| format!("/sse?{query}");
    let (stream, opened) = open(&mut world, &target(opening));
    let Some(endpoint) = opened else {
        assert!(!lawful(opening) || opening.len() > 1024, "{opening:?} is refused");
        return;
    };
    assert!(lawful(opening) && opening.len() <= 1024, "{opening:?} is taken");
    let query = check_endpoint(&endpoint, opening);

    // The endpoint's own query is copied without the id that it holds: nothing grows from one session to the next.
    let (again, endpoint_again) = open(&mut world, &target(query));
    if query.len() <= 1024 {
        check_endpoint(&endpoint_again.expect("a second session"), opening);
    }
    world.reset(again);

    assert_eq!(post(&mut world, &endpoint).map(|response| response.status), Some(202), "at {endpoint}");
    let frames = world.take_text(stream);
    assert_eq!(frames, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n");

    let id = endpoint.rsplit_once('=').map(|(_, id)| id).unwrap_or_default();
    let posting = posting.replace("{}", id);
    let named: Vec<&str> = posting.split('&').filter_map(session).collect();
    let expected = match (&named[..], lawful(&posting)) {
        (_, false) => None,
        ([named], true) if *named == id => Some(202),
        _ => Some(400),
    };
    let answer = post(&mut world, &format!("/messages?{posting}"));
    let status = answer.as_ref().map(|answer| answer.status);
    assert!(
        expected.map_or(status.is_none_or(|status| status >= 400), |_| status == expected),
        "{posting:?}: {answer:?}"
    );
    assert_eq!(world.take(stream).is_empty(), status != Some(202), "a refused message was answered");
}

/// The value of the part, if it is a parameter of that name: escapes are not resolved, here or there.
fn session(part: &str) -> Option<&str> {
    part.strip_prefix("sessionId=").or((part == "sessionId").then_some(""))
}

/// All of the query's parts as they stand, less empty ones and ids; then the one id. Returns the endpoint's query.
fn check_endpoint<'a>(endpoint: &'a str, opening: &str) -> &'a str {
    let query = endpoint.strip_prefix("/messages?").expect("the path of messages");
    let mut parts: Vec<&str> = query.split('&').collect();
    let id = parts.pop().and_then(session).expect("an id at the end");
    assert!(id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'), "{id}");
    let kept = |part: &&str| !part.is_empty() && session(part).is_none();
    assert_eq!(parts, opening.split('&').filter(kept).collect::<Vec<_>>());
    query
}

/// A connection on which a session was asked for, and the session's endpoint if there is one.
fn open(world: &mut World, target: &str) -> (Sock, Option<String>) {
    let sock = world.connect();
    world.send(sock, http::get(target));
    // A target may hold an end of line and with it anything: then it is the first response that counts.
    let opened = client::response(&world.take(sock), "GET").filter(|(response, _)| response.is_stream);
    let endpoint = opened.and_then(|(response, _)| {
        let event = Decoder::new(1 << 16).next(&mut &response.body[..]).expect("a short event")?;
        assert_eq!(event.name, "endpoint");
        Some(event.data)
    });
    (sock, endpoint)
}

fn post(world: &mut World, target: &str) -> Option<Response> {
    let sock = world.connect();
    world.send(sock, http::post(target, &http::ping(1)));
    let output = world.take(sock);
    world.reset(sock);
    client::response(&output, "POST").map(|(response, _)| response)
}
