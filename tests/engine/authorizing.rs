//! A hook that authorizes requests later: what waits for it, for how long, and what becomes of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_rill::{Admission, Denied, Limits, Principal, Server};

use crate::common::http::{Response, ping};
use crate::common::{Cut, Sock, World, demo};

/// What the hook has kept, in the order in which it was asked: the token of each request.
type Asked = Arc<Mutex<Vec<(String, Admission)>>>;

/// A server that knows Ada's token, and keeps the others.
fn server(asked: &Asked) -> Server {
    let asked = asked.clone();
    demo::streaming(demo::server())
        .tool("principal", "Say who is asking", |(), call| call.principal().unwrap().name().to_owned())
        .authorize_later(move |request, admission| match request.bearer() {
            Err(denied) => admission.deny(denied),
            Ok("known") => admission.admit(Principal::new("ada")),
            Ok("panic") => panic!("a bug in a hook"),
            Ok(token) => asked.lock().unwrap().push((token.to_owned(), admission)),
        })
}

fn take(asked: &Asked) -> Admission {
    asked.lock().unwrap().remove(0).1
}

fn waiting(asked: &Asked) -> usize {
    asked.lock().unwrap().len()
}

fn request(line: &str, token: &str, body: &str) -> String {
    let fields = format!("Host: localhost\r\nAuthorization: Bearer {token}\r\n");
    match body {
        "" => format!("{line} HTTP/1.1\r\n{fields}\r\n"),
        body => format!(
            "{line} HTTP/1.1\r\n{fields}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    }
}

/// A turn of the loop, for what other threads have left.
fn turn(world: &mut World) {
    world.advance(Duration::from_millis(1));
}

fn open(world: &mut World, token: &str) -> Sock {
    let sock = world.connect();
    world.send(sock, request("GET /sse", token, ""));
    sock
}

/// The path of messages of a session, whose stream is open.
fn endpoint(world: &mut World, stream: Sock) -> String {
    let text = world.take_text(stream);
    text.split("data: ").nth(1).unwrap_or_else(|| panic!("{text}")).trim_end().to_owned()
}

fn statuses(responses: &[Response]) -> Vec<u16> {
    responses.iter().map(|response| response.status).collect()
}

#[test]
fn a_request_waits_until_it_is_admitted_and_others_go_on() {
    let asked = Asked::default();
    let mut world = World::new(server(&asked));
    let slow = open(&mut world, "slow");
    assert_eq!((world.take_text(slow).as_str(), waiting(&asked)), ("", 1));
    // Of others, at once.
    let quick = open(&mut world, "known");
    assert!(world.take_text(quick).starts_with("HTTP/1.1 200 "));
    let wrong = world.connect();
    world.send(wrong, "GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(world.response(wrong).status, 401);
    let admission = take(&asked);
    std::thread::spawn(move || admission.admit(Principal::new("bob"))).join().unwrap();
    turn(&mut world);
    let post = endpoint(&mut world, slow);
    // A session is that of its principal.
    let sock = world.connect();
    world.send(sock, request(&format!("POST {post}"), "known", &ping(1)));
    assert_eq!(world.response(sock).status, 400);
    world.send(
        sock,
        request(&format!("POST {post}"), "again", &crate::common::http::call(2, "principal", "{}")),
    );
    take(&asked).admit(Principal::new("bob"));
    turn(&mut world);
    assert_eq!(world.response(sock).status, 202);
    assert!(world.take_text(slow).contains(r#""text":"bob""#));
    world.quiesce();
}

#[test]
fn a_request_that_is_denied_or_forgotten_is_refused() {
    let asked = Asked::default();
    let mut world = World::new(server(&asked));
    let sock = world.connect();
    let answered = |world: &mut World, answer: fn(Admission)| {
        world.send(sock, request("POST /messages?sessionId=x", "slow", &ping(1)));
        answer(take(&asked));
        turn(world);
        world.response(sock)
    };
    let denied = answered(&mut world, |admission| admission.deny(Denied::invalid_token("not active")));
    assert_eq!(denied.status, 401);
    assert!(denied.header("WWW-Authenticate").unwrap().contains("not active"));
    assert_eq!(answered(&mut world, drop).status, 500);
    let scope = answered(&mut world, |admission| admission.deny(Denied::insufficient_scope("all", "more")));
    assert_eq!(scope.status, 403);
    // The connection serves what comes next; a hook that panics refuses its request alone.
    for (token, status) in [("panic", 500), ("known", 400)] {
        world.send(sock, request("POST /messages?sessionId=x", token, &ping(1)));
        assert_eq!(world.response(sock).status, status);
    }
    world.quiesce();
}

/// However the bytes come, and with requests behind the one that waits.
#[test]
fn what_follows_waits_behind_it() {
    for cut in Cut::kinds() {
        let asked = Asked::default();
        let mut world = World::cut(server(&asked), cut, Cut::Whole);
        let sock = world.connect();
        let unknown = |token: &str| request("POST /messages?sessionId=x", token, &ping(1));
        let nowhere = request("GET /nowhere", "known", "");
        world.send(sock, [unknown("one"), nowhere.clone(), unknown("two"), nowhere].concat());
        assert_eq!((world.take_text(sock).as_str(), waiting(&asked)), ("", 1), "{cut:?}");
        take(&asked).admit(Principal::new("ada"));
        turn(&mut world);
        let responses = crate::common::http::responses(&world.take(sock));
        assert_eq!((statuses(&responses), waiting(&asked)), (vec![400, 404], 1), "{cut:?}");
        take(&asked).deny(Denied::invalid_token("no"));
        turn(&mut world);
        let responses = crate::common::http::responses(&world.take(sock));
        assert_eq!(statuses(&responses), [401, 404], "{cut:?}");
        world.quiesce();
    }
}

#[test]
fn requests_wait_for_their_authorization_up_to_a_limit() {
    let asked = Asked::default();
    let limits = Limits { authorizing_max: 2, ..Limits::DEFAULT };
    let mut world = World::new(server(&asked).limits(limits));
    let socks: Vec<Sock> = (0..3).map(|_| open(&mut world, "slow")).collect();
    assert_eq!(waiting(&asked), 3);
    let refused = world.response(socks[2]);
    let wanted: Vec<bool> =
        asked.lock().unwrap().iter().map(|(_, admission)| admission.is_wanted()).collect();
    assert_eq!(wanted, [true, true, false]);
    assert_eq!((refused.status, refused.header("Retry-After")), (503, Some("1")));
    assert!(refused.text().contains("limit authorizing_max"), "{}", refused.text());
    // Requests that need not wait are served, and there is room again when one is answered.
    let quick = open(&mut world, "known");
    assert!(world.take_text(quick).starts_with("HTTP/1.1 200 "));
    take(&asked).admit(Principal::new("bob"));
    turn(&mut world);
    open(&mut world, "slow");
    let wanted: Vec<bool> =
        asked.lock().unwrap().iter().map(|(_, admission)| admission.is_wanted()).collect();
    assert_eq!(wanted, [true, false, true]);
}

#[test]
fn of_requests_that_wait_the_newest_of_the_holder_with_most_gives_way() {
    let asked = Asked::default();
    let limits = Limits { authorizing_max: 2, ..Limits::DEFAULT };
    let mut world = World::new(server(&asked).limits(limits));
    let greedy: Vec<Sock> = (0..2).map(|_| open(&mut world, "slow")).collect();
    // One that has finished a request.
    let honest = world.connect();
    world.send(honest, request("GET /nowhere", "known", ""));
    assert_eq!(world.response(honest).status, 404);
    world.send(honest, request("GET /nowhere", "slow", ""));
    turn(&mut world);
    let refused = world.response(greedy[1]);
    assert_eq!((refused.status, refused.header("Retry-After")), (503, Some("1")));
    assert!(refused.text().contains("limit authorizing_max"), "{}", refused.text());
    let wanted: Vec<bool> =
        asked.lock().unwrap().iter().map(|(_, admission)| admission.is_wanted()).collect();
    assert_eq!((wanted, world.stats().busy), (vec![true, false, true], 1));
    // An answer to the one that gave way admits nothing, and no later request of its connection.
    asked.lock().unwrap().remove(1).1.admit(Principal::new("mallory"));
    turn(&mut world);
    world.send(greedy[1], request("GET /nowhere", "slow", ""));
    assert_eq!(world.response(greedy[1]).status, 503);
    let (first, last) = (take(&asked), take(&asked));
    last.admit(Principal::new("bob"));
    first.admit(Principal::new("bob"));
    turn(&mut world);
    assert_eq!(world.response(honest).status, 404);
    assert!(world.take_text(greedy[0]).starts_with("HTTP/1.1 200 "));
    world.quiesce();
}

#[test]
fn requests_whose_peers_are_gone_take_no_places() {
    let asked = Asked::default();
    let limits = Limits { authorizing_max: 2, ..Limits::DEFAULT };
    let mut world = World::new(server(&asked).limits(limits));
    for _ in 0..2 {
        let gone = open(&mut world, "slow");
        world.reset(gone);
    }
    let socks: Vec<Sock> = (0..2).map(|_| open(&mut world, "slow")).collect();
    assert!(socks.iter().all(|sock| world.take_text(*sock).is_empty()));
    let wanted: Vec<bool> =
        asked.lock().unwrap().iter().map(|(_, admission)| admission.is_wanted()).collect();
    assert_eq!(wanted, [false, false, true, true]);
}

#[test]
fn an_authorization_has_its_time() {
    let asked = Asked::default();
    let time = Limits::DEFAULT.authorize_timeout;
    let mut world = World::new(server(&asked));
    let sock = open(&mut world, "slow");
    world.advance(time - Duration::from_millis(1));
    assert_eq!(world.take_text(sock), "");
    world.advance(Duration::from_millis(1));
    let refused = world.response(sock);
    assert_eq!((refused.status, refused.header("Retry-After")), (503, Some("1")));
    assert!(refused.text().contains("limit authorize_timeout"), "{}", refused.text());
    // An answer that comes now finds nothing.
    assert!(!asked.lock().unwrap()[0].1.is_wanted());
    take(&asked).admit(Principal::new("bob"));
    turn(&mut world);
    assert_eq!(world.take_text(sock), "");
    world.send(sock, request("GET /nowhere", "known", ""));
    assert_eq!(world.response(sock).status, 404);
}

#[test]
fn an_answer_for_a_peer_that_is_gone_changes_nothing() {
    let asked = Asked::default();
    let mut world = World::new(server(&asked));
    let gone = open(&mut world, "slow");
    world.reset(gone);
    let other = open(&mut world, "known");
    take(&asked).admit(Principal::new("bob"));
    turn(&mut world);
    assert!(world.take_text(other).starts_with("HTTP/1.1 200 "));
    // One that has sent its last is still answered.
    let half = open(&mut world, "slow");
    world.half_close(half);
    take(&asked).deny(Denied::invalid_token("no"));
    turn(&mut world);
    assert!(world.take_text(half).starts_with("HTTP/1.1 401 "));
    world.quiesce();
}

#[test]
fn open_streams_are_authorized_again() {
    let asked = Asked::default();
    let mut world = World::new(server(&asked));
    let streams: Vec<Sock> = (0..4)
        .map(|_| {
            let stream = open(&mut world, "slow");
            take(&asked).admit(Principal::new("bob"));
            turn(&mut world);
            endpoint(&mut world, stream);
            stream
        })
        .collect();
    let known = open(&mut world, "known");
    world.engine.handle().reauthorize();
    turn(&mut world);
    assert_eq!(waiting(&asked), 4);
    take(&asked).admit(Principal::new("bob"));
    take(&asked).admit(Principal::new("mallory"));
    take(&asked).deny(Denied::invalid_token("withdrawn"));
    turn(&mut world);
    let closed = |world: &World| streams.iter().map(|stream| world.closed(*stream)).collect::<Vec<_>>();
    assert_eq!(closed(&world), [false, true, true, false]);
    // No answer in time is none.
    world.advance(Limits::DEFAULT.authorize_timeout);
    assert_eq!(closed(&world), [false, true, true, true]);
    assert!(!world.closed(known));
}

/// The answer to a question from before `reauthorize` may be that of a list that has changed since.
#[test]
fn an_answer_from_before_a_change_does_not_count() {
    let asked = Asked::default();
    let mut world = World::new(server(&asked));
    let sock = open(&mut world, "slow");
    world.engine.handle().reauthorize();
    turn(&mut world);
    take(&asked).admit(Principal::new("bob"));
    turn(&mut world);
    assert_eq!((world.take_text(sock).as_str(), waiting(&asked)), ("", 1));
    take(&asked).deny(Denied::invalid_token("withdrawn"));
    turn(&mut world);
    assert_eq!(world.response(sock).status, 401);
    // A body that was being received then is sent again.
    let stream = open(&mut world, "known");
    let post = request(&format!("POST {}", endpoint(&mut world, stream)), "known", &ping(1));
    let (first, rest) = post.split_at(post.len() - 3);
    world.send(sock, first);
    world.engine.handle().reauthorize();
    turn(&mut world);
    world.send(sock, rest);
    assert_eq!(world.response(sock).status, 503);
}
