//! Two ways to run the server without giving it a thread.
//!
//! ```text
//! cargo run --example own_loop -- 127.0.0.1:3001           # inside a mio loop of this program, until killed
//! cargo run --example own_loop -- 127.0.0.1:3001 --epoll   # inside a loop of epoll alone (Linux)
//! cargo run --example own_loop -- --bare                   # without sockets: prints one exchange and exits
//! ```
//!
//! The first two are for programs that have a loop already: a GUI, a game, a daemon. The last is for carriers of your own, such as
//! a serial line or a test: bytes go in, bytes come out, and time is a value that you pass. (`tls.rs` shows TLS.)
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods)] // The loop is this program's, and so is its clock.

use std::io;
use std::time::Duration;

use mcp_rill::Peer;
use mcp_rill::engine::{Action, ConnKey, Engine};
use mcp_rill::net::Listening;
use mcp_rill::{Now, Server, schema};

schema! { struct Echo {
    /// What to send back.
    text: String,
} }

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:3001".to_owned());
    if address == "--bare" {
        return bare();
    }
    let listening = server().listen(address)?;
    for address in listening.local_addrs() {
        println!("serving on http://{address}/sse inside another loop; kill ends it");
    }
    match arguments.next().as_deref() {
        Some("--epoll") => in_epoll(listening),
        _ => in_mio(listening),
    }
}

fn server() -> Server {
    Server::new("own-loop", "1.0.0").tool("echo", "Send a text back", |Echo { text }: Echo, _| text)
}

/// All sockets of the server hide behind one descriptor, which is readable when any of them has something.
#[cfg(unix)]
fn in_mio(mut listening: Listening) -> io::Result<()> {
    use std::os::fd::{AsFd, AsRawFd};
    use std::time::Instant;

    use mio::unix::SourceFd;
    use mio::{Events, Interest, Poll, Token};

    const SERVER: Token = Token(0);
    const REPORT_EVERY: Duration = Duration::from_secs(5);

    let mut poll = Poll::new()?;
    let descriptor = listening.as_fd().as_raw_fd();
    poll.registry().register(&mut SourceFd(&descriptor), SERVER, Interest::READABLE)?;

    let mut events = Events::with_capacity(16);
    let mut report_at = Instant::now() + REPORT_EVERY;
    loop {
        // The descriptor tells of events but not of deadlines, so the server says itself when it wants to run again; zero
        // means that it left work, to give this loop a turn.
        let server_wants = listening.poll(Some(Duration::ZERO))?;
        let report_in = report_at.saturating_duration_since(Instant::now());
        let sleep = server_wants.map_or(report_in, |wanted| wanted.min(report_in));
        match poll.poll(&mut events, Some(sleep)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            // Your own tokens would be handled here. The server needs no look at its token: a turn without work is cheap.
            _ => {}
        }
        if Instant::now() >= report_at {
            report_at += REPORT_EVERY;
            let stats = listening.stats();
            println!("{} sessions, {} messages so far", stats.sessions, stats.messages_received);
        }
    }
}

/// The same with the system's calls alone, which rustix has safe functions for.
#[cfg(target_os = "linux")]
fn in_epoll(mut listening: Listening) -> io::Result<()> {
    use rustix::buffer::spare_capacity;
    use rustix::event::{Timespec, epoll};
    use rustix::io::Errno;
    use std::os::fd::AsFd;

    const SERVER: u64 = 0;

    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, listening.as_fd(), epoll::EventData::new_u64(SERVER), epoll::EventFlags::IN)?;
    let mut events = Vec::with_capacity(16);
    while !listening.is_finished() {
        let due = listening.poll(Some(Duration::ZERO))?;
        let timeout = due.and_then(|due| Timespec::try_from(due).ok());
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), timeout.as_ref()) {
            Err(error) if error != Errno::INTR => return Err(error.into()),
            // Events of your own descriptors would be handled here.
            _ => {}
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn in_mio(_: Listening) -> io::Result<()> {
    Err(io::Error::other("nesting by descriptor is for Unix; call `Listening::poll` with a timeout instead"))
}

#[cfg(not(target_os = "linux"))]
fn in_epoll(_: Listening) -> io::Result<()> {
    Err(io::Error::other("epoll is of Linux; leave `--epoll` out"))
}

/// One client in the same process: no sockets, no clock, and the same bytes in every run.
fn bare() -> io::Result<()> {
    // A real driver takes session ids from the operating system's randomness: whoever knows one can post into it.
    let mut next_id = 0_u128;
    let ids = move || {
        next_id += 1;
        next_id
    };
    let engine = Engine::new(server(), ids).map_err(io::Error::other)?;
    let mut wire = Wire { engine, now: Now::default() };
    let peer = || Peer { loopback: true, ..Peer::default() };

    let stream = wire.engine.open(wire.now, peer());
    wire.say(stream, "GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n");

    let posts = wire.engine.open(wire.now, peer());
    let initialize = concat!(
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","#,
        r#""capabilities":{},"clientInfo":{"name":"bare","version":"1.0.0"}}}"#
    );
    let call = concat!(
        r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","#,
        r#""params":{"name":"echo","arguments":{"text":"hello"}}}"#
    );
    for message in [initialize, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, call] {
        wire.say(posts, &post(message));
    }

    // Time is a value as well: 15 s of it pass in no time, and the silent stream gets a sign of life.
    wire.now.mono += Duration::from_secs(15);
    wire.engine.tick(wire.now);
    wire.listen();

    // The stream's end is the session's end.
    wire.engine.hang_up(wire.now, stream);
    wire.listen();
    println!("-- {} sessions left", wire.engine.stats().sessions);
    Ok(())
}

fn post(message: &str) -> String {
    format!(
        "POST /messages?sessionId=00000000-0000-4000-8000-000000000002 HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{message}",
        message.len()
    )
}

/// The driver: what `mcp_rill::net` does with sockets, done with standard output.
struct Wire {
    engine: Engine,
    now: Now,
}

impl Wire {
    fn say(&mut self, conn: ConnKey, text: &str) {
        print("-->", conn, text);
        self.engine.receive(self.now, conn, text.as_bytes());
        self.listen();
    }

    /// After every change: do what the engine says until it says to wait.
    fn listen(&mut self) {
        loop {
            match self.engine.poll() {
                Action::Write(conn) => {
                    let bytes = self.engine.outgoing(conn);
                    let count = bytes.len();
                    print("<--", conn, &String::from_utf8_lossy(bytes));
                    self.engine.sent(self.now, conn, count);
                }
                Action::Close(conn) => println!("-- connection {} is closed", conn.index()),
                // This driver reads whenever it has something, and has no half to close.
                Action::Read(_) | Action::HalfClose(_) => {}
                Action::Wait(_) => return,
            }
        }
    }
}

fn print(arrow: &str, conn: ConnKey, text: &str) {
    for line in text.lines() {
        println!("{arrow} {} | {line}", conn.index());
    }
    println!();
}
