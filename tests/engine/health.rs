//! Health checks: when the server is ready, who may ask, and connections that carry nothing else.

use std::time::Duration;

use crate::common::http::get;
use crate::common::{Sock, World};
use mcp_rill::engine::StatusPage;
use mcp_rill::{Limits, RouteResponse, Server, Settings};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

fn server() -> Server {
    Server::new("test", "1").health()
}

/// Status and text of a check.
fn check(world: &mut World, sock: Sock, path: &str) -> (u16, String) {
    world.send(sock, get(path));
    let response = world.response(sock);
    (response.status, response.text().to_owned())
}

fn ready(world: &mut World, sock: Sock) -> String {
    let (status, text) = check(world, sock, "/readyz");
    let ready = text == "ok";
    assert_eq!(status, if ready { 200 } else { 503 }, "{text}");
    text
}

#[test]
fn checks_are_requests_like_any_other() {
    let mut world = World::new(server().settings(Settings {
        health: true,
        base_path: "/tools".to_owned(),
        ..Settings::default()
    }));
    let sock = world.connect();
    for path in ["/healthz", "/livez", "/readyz", "/tools/readyz", "/readyz/", "/readyz?verbose"] {
        assert_eq!(check(&mut world, sock, path), (200, "ok".to_owned()), "{path}");
    }
    world.send(sock, "HEAD /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = world.take_text(sock);
    assert!(
        head.starts_with("HTTP/1.1 200")
            && head.contains("Content-Length: 2\r\n")
            && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    assert!(head.contains("Cache-Control: no-store\r\n"), "{head}");
    world.send(sock, "POST /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}");
    let refused = world.response(sock);
    assert_eq!((refused.status, refused.header("Allow")), (405, Some("GET, HEAD")));
    world.send(sock, "GET /readyz HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(world.response(sock).status, 403);
    world.quiesce();
}

/// It is not full: it serves clients without sessions.
#[test]
fn a_server_that_keeps_no_sessions_is_ready() {
    let mut world = World::new(server().limits(Limits { sessions_max: 0, ..Limits::DEFAULT }));
    let sock = world.connect();
    assert_eq!(ready(&mut world, sock), "ok");
    world.quiesce();
}

#[test]
fn there_are_none_unless_they_are_wanted() {
    let mut world = World::new(Server::new("test", "1"));
    let sock = world.connect();
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(check(&mut world, sock, path).0, 404, "{path}");
    }
    let taken = Settings { health: true, mcp_path: "/livez".to_owned(), ..Settings::default() };
    let error = mcp_rill::engine::Engine::new(Server::new("test", "1").settings(taken), || 1).unwrap_err();
    assert!(error.contains("`/livez` is that of a health check"), "{error}");
}

#[cfg(feature = "auth")]
#[test]
fn they_want_a_token_where_one_is_wanted() {
    let mut world = World::new(server().authorize(|_| Err(mcp_rill::Denied::missing())));
    let (sock, own) = (world.connect(), world.connect_health());
    assert_eq!(check(&mut world, sock, "/livez").0, 401);
    assert_eq!(check(&mut world, own, "/livez").0, 200);
    world.quiesce();
}

#[test]
fn a_server_says_itself_when_it_is_ready() {
    let mut world = World::new(server());
    let (sock, handle) = (world.connect(), world.engine.handle());
    handle.set_ready(false);
    assert_eq!(ready(&mut world, sock), "not ready: the server is starting");
    assert_eq!(check(&mut world, sock, "/livez").0, 200, "it lives");
    // Those that come all the same are served.
    world.open_sse();
    handle.set_ready(true);
    assert_eq!(ready(&mut world, sock), "ok");
    world.quiesce();
}

#[test]
fn a_server_is_full_when_one_more_would_be_refused() {
    let limits =
        Limits { sessions_max: 2, connections_max: 4, connections_reserve_percent: 0, ..Limits::DEFAULT };
    let mut world = World::new(server().limits(limits));
    let own = world.connect_health();
    let streams = [world.open_sse(), world.open_sse()];
    assert_eq!(ready(&mut world, own), "not ready: full: all 2 sessions are in use (limit sessions_max)");
    let shared = world.connect();
    assert!(ready(&mut world, shared).contains("sessions_max"));
    world.reset(streams[0].sock);
    assert_eq!(ready(&mut world, own), "ok");
    world.quiesce();

    // What waits for an answer is closed for no other.
    let mut world = World::new(server().limits(Limits {
        sessions_max: 1,
        connections_max: 2,
        connections_reserve_percent: 0,
        ..Limits::DEFAULT
    }));
    let own = world.connect_health();
    let idle = world.connect();
    let _stream = world.open_sse();
    assert!(ready(&mut world, own).contains("sessions_max"));
    assert!(!world.closed(idle), "a check takes no place");
    world.quiesce();
}

#[cfg(feature = "streamable")]
#[test]
fn sessions_that_make_room_leave_the_server_ready() {
    use crate::common::http::{INITIALIZE, mcp_post, request};
    let mut world = World::new(server().limits(Limits { sessions_max: 2, ..Limits::DEFAULT }));
    let sock = world.connect();
    for _ in 0..3 {
        world.send(sock, mcp_post(None, &request(0, "initialize", INITIALIZE)));
        assert_eq!(world.response(sock).status, 200);
        assert_eq!(ready(&mut world, sock), "ok");
    }
    world.quiesce();
}

#[test]
fn a_shutdown_is_seen_and_waits_for_no_check() {
    let mut world = World::new(server());
    let stream = world.open_sse();
    world.reads_only(stream.sock, 1);
    let early = world.connect_health();
    world.shutdown(HOUR);
    // The server goes on until its clients are served, and says so to those who have connected before, and to those that come now.
    assert_eq!(ready(&mut world, early), "not ready: the server is shutting down");
    assert!(!world.engine.has_room());
    let sock = world.connect_health();
    assert_eq!(ready(&mut world, sock), "not ready: the server is shutting down");
    assert_eq!(check(&mut world, sock, "/healthz").0, 200);
    let half = world.connect_health();
    world.send(half, "GET /readyz HTTP/1.1\r\n");
    assert!(!world.closed(stream.sock) && !world.engine.is_finished());
    world.reset(stream.sock);
    assert!(world.engine.is_finished(), "neither check is waited for");
    [early, sock, half].into_iter().for_each(|sock| world.reset(sock));
    world.assert_empty();
}

#[test]
fn a_connection_for_health_checks_carries_nothing_else() {
    // Whatever the settings say, whatever the host.
    let mut world = World::new(Server::new("test", "1"));
    let sock = world.connect_health();
    world.send(sock, "GET /readyz HTTP/1.1\r\nHost: any.example\r\nOrigin: null\r\n\r\n");
    assert_eq!(world.response(sock).status, 200);
    for path in ["/sse", "/mcp", "/", "/messages?sessionId=1"] {
        let (status, text) = check(&mut world, sock, path);
        assert_eq!(
            (status, text.as_str()),
            (404, "only /healthz, /livez, /readyz are served here"),
            "{path}"
        );
    }
    assert_eq!(world.stats().sessions, 0);
    world.quiesce();
}

#[test]
fn they_are_answered_when_all_connections_are_in_use() {
    let limits =
        Limits { sessions_max: 1, connections_max: 2, connections_reserve_percent: 0, ..Limits::DEFAULT };
    let mut world = World::new(server().limits(limits));
    let stream = world.open_sse();
    // Connections that have begun a request and were not long ago are closed for a new one later, for a check never.
    let begun = world.connect();
    world.send(begun, "GET /x HTTP/1.1\r\n");
    let own = world.connect_health();
    assert_eq!(check(&mut world, own, "/livez").0, 200);
    assert!(!world.closed(begun) && !world.ended(stream.sock));
    world.quiesce();
}

#[test]
pub fn one_connection_for_health_checks_more_closes_the_oldest() {
    let mut world = World::new(server().limits(Limits { health_connections_max: 3, ..Limits::DEFAULT }));
    let mut open = || {
        world.advance(MS);
        let sock = world.connect_health();
        world.send(sock, "GET /livez HTTP/1.1\r\n");
        sock
    };
    let [first, second, third] = [open(), open(), open()];
    assert!(!world.closed(first));
    world.advance(MS);
    let fourth = world.connect_health();
    assert!(world.closed(first), "the one that has waited longest");
    assert!([second, third, fourth].iter().all(|sock| !world.closed(*sock)));
    assert_eq!(check(&mut world, fourth, "/livez").0, 200);
    world.send(second, "Host: x\r\n\r\n");
    assert_eq!(world.response(second).status, 200);
    world.quiesce();
}

fn page(path: &str, for_clients: bool) -> StatusPage {
    StatusPage::new(path, "text/x-facts", |stats| format!("connections {}", stats.connections).into_bytes())
        .for_clients(for_clients)
}

#[test]
fn pages_of_the_operator_are_answered_beside_the_checks() {
    let mut world = World::new(Server::new("test", "1"));
    world.engine.add_page(page("/facts", false)).unwrap();
    world.engine.add_page(page("/open", true)).unwrap();
    let (client, operator) = (world.connect(), world.connect_health());
    assert_eq!(check(&mut world, client, "/facts").0, 404);
    assert_eq!(check(&mut world, client, "/open"), (200, "connections 2".to_owned()));
    world.send(client, "GET /open HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(world.response(client).status, 403);
    let operators = world.connect_health();
    for path in ["/facts", "/open", "/facts/", "/facts?format=prometheus"] {
        assert_eq!(check(&mut world, operator, path).0, 200, "{path}");
    }
    world.send(operators, "HEAD /facts HTTP/1.1\r\nHost: anything\r\n\r\n");
    let head = world.take_text(operators);
    for line in ["HTTP/1.1 200", "Content-Type: text/x-facts\r\n", "Cache-Control: no-store\r\n"] {
        assert!(head.contains(line), "{head}");
    }
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    world.send(operator, "POST /facts HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(world.response(operator).status, 405);
    let (status, text) = check(&mut world, operators, "/none");
    assert_eq!(status, 404);
    assert!(text.contains("/readyz, /facts, /open are served here"), "{text}");
    world.quiesce();
}

#[test]
fn a_page_that_panics_is_answered_with_an_error() {
    let mut world = World::new(Server::new("test", "1"));
    let broken = StatusPage::new("/broken", "text/plain", |_| panic!("of the page"));
    world.engine.add_page(broken).unwrap();
    let operator = world.connect_health();
    let (status, text) = check(&mut world, operator, "/broken");
    assert!(status == 500 && text.contains("/broken could not be made"), "{status} {text}");
    assert_eq!(check(&mut world, operator, "/livez").0, 200);
    world.quiesce();
}

#[test]
fn a_page_has_a_path_of_its_own() {
    let server = Server::new("test", "1").route("GET", "/version", |_| RouteResponse::text(200, "1"));
    let mut world = World::new(server);
    for path in
        ["/mcp", "/sse", "/messages", "/livez", "/version", "facts", "//facts", "/", "/facts/", "/all facts"]
    {
        assert!(world.engine.add_page(page(path, true)).is_err(), "{path}");
    }
    world.engine.add_page(page("/facts", true)).unwrap();
    assert!(world.engine.add_page(page("/facts", true)).is_err());
}
