//! Servers on Unix sockets.

use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mcp_rill::client::{Client, Error, Transport};
use mcp_rill::engine::Engine;
use mcp_rill::net::{Address, Listening, random_id};

use crate::{LONG, Running, server, text_of};

/// A socket's path, in a folder of a test's own.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("rillc{}-{count}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Place(folder.join("s"))
    }

    fn url(&self, path: &str) -> String {
        format!("unix://{}#{path}", self.0.display())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().unwrap());
    }
}

#[test]
fn every_transport_goes_over_a_socket() {
    let place = Place::new();
    let listening = server().listen(Address::from(format!("unix:{}", place.0.display()))).unwrap();
    let running = Running {
        url: place.url("/mcp"),
        handle: listening.handle(),
        thread: Some(thread::spawn(|| listening.run())),
    };
    for (path, transport, expected) in [
        ("/mcp", Transport::Auto, Transport::Stateless),
        ("/mcp", Transport::Streamable, Transport::Streamable),
        ("/sse", Transport::Auto, Transport::Sse),
        ("/sse", Transport::Sse, Transport::Sse),
    ] {
        let mut client = Client::builder().transport(transport).connect(&place.url(path)).unwrap();
        assert_eq!(client.transport(), expected);
        assert_eq!(text_of(&client.call_tool("echo", r#"{"text":"hi"}"#).unwrap()), "hi");
        assert_eq!(text_of(&client.call_tool("header", r#"{"name":"host"}"#).unwrap()), "localhost");
    }
    let wrong = Client::connect(&place.url("/other")).unwrap_err().to_string();
    let url = format!("unix:{}#/other", place.0.display());
    assert!(wrong.contains(&url) && wrong.contains("not an MCP endpoint"), "{wrong}");
    drop(running);
}

#[test]
fn a_socket_that_nobody_listens_on_is_named() {
    let place = Place::new();
    let refused = |what: &str| match Client::connect(&place.url("/mcp")) {
        Err(Error::Io(error)) => {
            let text = error.to_string();
            assert!(text.starts_with(&format!("cannot connect to unix:{}: ", place.0.display())), "{text}");
            assert!(text.contains(what), "{text}");
        }
        other => panic!("{other:?}"),
    };
    refused("No such file");
    fs::write(&place.0, "").unwrap();
    refused("Connection refused");
    fs::remove_file(&place.0).unwrap();
    drop(UnixListener::bind(&place.0).unwrap());
    refused("Connection refused");
}

#[test]
fn a_socket_that_nobody_accepts_on_times_out() {
    let place = Place::new();
    let _listener = UnixListener::bind(&place.0).unwrap();
    let started = Instant::now();
    let builder = Client::builder().request_timeout(Duration::from_millis(200));
    assert!(matches!(builder.connect(&place.url("/mcp")), Err(Error::Timeout)));
    assert!(started.elapsed() < LONG);
}

#[test]
fn clients_in_the_same_process_need_no_address() {
    let mut listening = Listening::new(Engine::new(server(), random_id).unwrap()).unwrap();
    let sockets: Vec<UnixStream> = (0..3)
        .map(|_| {
            let (ours, theirs) = UnixStream::pair().unwrap();
            listening.serve_socket(theirs).unwrap();
            ours
        })
        .collect();
    let handle = listening.handle();
    let running = thread::spawn(move || listening.run());
    let mut sockets = sockets.into_iter();

    let http = Client::builder().transport(Transport::Sse).connect_socket(UnixStream::pair().unwrap().0);
    assert!(matches!(http, Err(Error::Invalid(text)) if text.contains("lines are not HTTP")));
    let mut first = Client::builder().connect_socket(sockets.next().unwrap()).unwrap();
    let with_session = Client::builder().revision("2025-06-18");
    let mut second = with_session.connect_socket(sockets.next().unwrap()).unwrap();
    for client in [&mut first, &mut second] {
        assert_eq!(client.transport(), Transport::Stdio);
        // More than the sockets hold.
        let long = "x".repeat(500_000);
        let answer = client.call_tool("echo", &format!(r#"{{"text":"{long}"}}"#)).unwrap();
        assert_eq!(text_of(&answer), long);
    }
    // One that leaves ends nothing but its own session.
    drop(first);
    assert_eq!(text_of(&second.call_tool("echo", r#"{"text":"hi"}"#).unwrap()), "hi");
    let mut stateless =
        Client::builder().transport(Transport::Stateless).connect_socket(sockets.next().unwrap()).unwrap();
    stateless.call_tool("echo", r#"{"text":"hi"}"#).unwrap();
    handle.shutdown(Duration::ZERO);
    running.join().unwrap().unwrap();
    for client in [&mut second, &mut stateless] {
        let gone = client.call_tool("echo", r#"{"text":"hi"}"#).unwrap_err().to_string();
        assert_eq!(gone, "the server ended the connection");
    }
    second.close();
    assert!(matches!(second.ping(), Err(Error::Closed)));
}
