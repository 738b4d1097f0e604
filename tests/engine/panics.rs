//! A panic in a closure of the author's that is no handler is contained, and the server goes on.

use mcp_rill::engine::{Action, Engine, Event};
use mcp_rill::{Now, Server};

use crate::common::{counted, local};

const OPEN: &str = "GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// What the engine answers to a request on a new connection.
fn answer(engine: &mut Engine, request: &str) -> String {
    let conn = engine.open(Now::default(), local());
    engine.receive(Now::default(), conn, request.as_bytes());
    assert_eq!(engine.poll(), Action::Write(conn));
    let text = String::from_utf8(engine.outgoing(conn).to_vec()).unwrap();
    engine.sent(Now::default(), conn, text.len());
    text
}

#[test]
fn of_the_observer() {
    let mut engine = Engine::new(Server::new("test", "1"), counted()).unwrap();
    let mut calls = 0;
    engine.on_event(move |_| {
        calls += 1;
        assert!(calls % 2 == 0, "an observer that fails every other time");
    });
    for panics in [1, 1, 2] {
        assert!(answer(&mut engine, &OPEN.replace("localhost", "elsewhere")).starts_with("HTTP/1.1 403 "));
        assert_eq!(engine.stats().observer_panics, panics);
    }
    assert!(answer(&mut engine, OPEN).starts_with("HTTP/1.1 200 "));
    assert_eq!((engine.stats().sessions, engine.stats().refused), (1, 3));
}

#[test]
fn of_the_waker() {
    let mut engine = Engine::new(Server::new("test", "1"), counted()).unwrap();
    engine.set_waker(|| panic!("a waker that fails"));
    engine.handle().tools_changed();
    engine.tick(Now::default());
    assert!(answer(&mut engine, OPEN).starts_with("HTTP/1.1 200 "));
}

#[test]
fn of_the_clock() {
    let server = Server::new("test", "1").tool("hello", "Say hello", |(), _| "hello");
    let mut engine = Engine::new(server, counted()).unwrap();
    engine.set_clock(|| panic!("a clock that fails"));
    let (told, calls) = std::sync::mpsc::channel();
    engine.on_event(move |event| {
        if let Event::CallEnded { ran, .. } = event {
            told.send(*ran).unwrap();
        }
    });
    let conn = engine.open_lines(Now::default(), local());
    let call = concat!(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hello"}}"#, "\n");
    engine.receive(Now::default(), conn, call.as_bytes());
    assert_eq!(engine.poll(), Action::Write(conn));
    assert!(engine.outgoing(conn).ends_with(b"}\n"));
    assert_eq!(calls.try_recv(), Ok(std::time::Duration::ZERO));
}
