//! Many idle sessions and some busy ones, served by one thread at once: what an idle one weighs, and that nothing is lost.
//!
//! ```text
//! cargo bench --bench idle                          5,000 idle sessions, 20 busy ones
//! cargo bench --bench idle -- --idle 1000 --busy 8
//! ```
//!
//! The clients live in a child process, so that server and clients have descriptors of their own and the server's memory is
//! measured alone. Every session is initialized. While the busy ones call a tool as fast as they can, each idle stream
//! must get its keep-alive comments; at the end each idle session answers a ping.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a program for people at a terminal"
)]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mcp_rill::net::Listening;
use mcp_rill::{Limits, Server, schema};

schema! { struct Echo { text: String } }

const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Long enough for every stream to fall silent twice.
const BUSY_TIME: Duration = Duration::from_secs(5);
const COMMENT: &[u8] = b": ping\n\n";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, default: usize| {
        let at = arguments.iter().position(|argument| argument == name);
        at.map_or(default, |at| arguments[at + 1].parse().unwrap())
    };
    let (idle, busy) = (number("--idle", 5000), number("--busy", 20));
    if let Some(at) = arguments.iter().position(|argument| argument == "--child") {
        return clients(arguments[at + 1].parse().unwrap(), idle, busy);
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        return println!("run by `cargo bench`");
    }
    let Some(at_rest) = status_kib("VmRSS") else {
        return println!("this program reads /proc, which this system does not have");
    };
    let room = descriptors_max().saturating_sub(2 * busy + 64);
    if idle > room {
        println!(
            "note: the limit of open files allows {room} idle sessions, not {idle} (ulimit -n raises it)"
        );
    }
    println!("resident at the start: {at_rest} KiB");
    serve(idle.min(room), busy);
}

/// The server's side: runs it on one thread, starts the clients, and weighs.
fn serve(idle: usize, busy: usize) {
    let sessions = WARM + idle + busy;
    let limits = Limits {
        sessions_max: sessions,
        connections_max: 2 * sessions + 64,
        keep_alive: KEEP_ALIVE,
        ..Limits::DEFAULT
    };
    let server = Server::new("idle", "1.0.0").limits(limits);
    let server = server.tool("echo", "Send a text back", |Echo { text }: Echo, _| text);
    let listening = server.listen("127.0.0.1:0").unwrap();
    let (address, handle) = (listening.local_addrs().next().unwrap(), listening.handle());
    let (tell_tid, tid) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        tell_tid.send(std::fs::read_link("/proc/thread-self").unwrap()).unwrap();
        run(listening)
    });
    let schedstat = std::path::Path::new("/proc").join(tid.recv().unwrap()).join("schedstat");
    let cpu = || {
        let text = std::fs::read_to_string(&schedstat).unwrap_or_default();
        text.split(' ').next().and_then(|ns| ns.parse().ok()).map_or(Duration::ZERO, Duration::from_nanos)
    };

    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--child", &address.to_string(), "--idle", &idle.to_string(), "--busy", &busy.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut tell, mut lines) =
        (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
    let mut step = |expected: &str| -> String {
        let line = lines.next().expect("the clients ended").unwrap();
        assert!(line.starts_with(expected), "{line}");
        tell.write_all(b"go\n").unwrap();
        line
    };
    // A few sessions first: what the first ones bring about once is not what a session weighs.
    step("warm");
    let before = status_kib("VmRSS").unwrap();
    let line = step("idle");
    let after = status_kib("VmRSS").unwrap();
    let per_session = (after - before) as f64 / idle as f64;
    println!("{line}: {} KiB resident, {per_session:.2} KiB each", after - before);
    let (start, used) = (Instant::now(), cpu());
    let line = step("busy");
    let (time, used) = (start.elapsed(), cpu() - used);
    println!("{line}");
    println!(
        "the server's thread was on the CPU for {:.0} % of {time:.1?}",
        100.0 * used.as_secs_f64() / time.as_secs_f64()
    );
    println!(
        "resident with {busy} busy sessions: {} KiB, at most {} KiB",
        status_kib("VmRSS").unwrap(),
        status_kib("VmHWM").unwrap()
    );
    println!("{}", step("alive"));
    assert!(child.wait().unwrap().success());
    handle.shutdown(Duration::ZERO);
    let stats = thread.join().unwrap();
    assert_eq!(stats.messages_received - stats.messages_queued, sessions as u64, "one notification each");
    assert_eq!((stats.refused, stats.slow_readers, stats.late), (0, 0, 0));
    println!("nothing was lost: {} messages in, {} out", stats.messages_received, stats.messages_queued);
}

fn run(mut listening: Listening) -> mcp_rill::engine::Stats {
    let mut stats = listening.stats();
    while !listening.is_finished() {
        listening.poll(None).unwrap();
        stats = listening.stats();
    }
    stats
}

/// A line of /proc/self/status that is a number of KiB.
fn status_kib(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn descriptors_max() -> usize {
    let text = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    line.split_whitespace().nth(3).and_then(|max| max.parse().ok()).unwrap_or(1024)
}

const WARM: usize = 8;

/// The clients' side, in a process of its own.
fn clients(address: SocketAddr, idle: usize, busy: usize) {
    let wait = || {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
    };
    // One connection posts for all idle sessions, since an idle client's own one is soon closed by either side.
    let mut post = Post::new(address);
    let _warm: Vec<Session> = (0..WARM).map(|_| Session::new(address, &mut post)).collect();
    println!("warm");
    wait();
    let mut sessions: Vec<Session> = (0..idle).map(|_| Session::new(address, &mut post)).collect();
    drop(post);
    println!("idle: {idle} initialized sessions");
    wait();

    let workers: Vec<_> = (0..busy).map(|number| thread::spawn(move || call_away(address, number))).collect();
    let mut latencies: Vec<Duration> = Vec::new();
    workers.into_iter().for_each(|worker| latencies.extend(worker.join().unwrap()));
    latencies.sort();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize];
    println!(
        "busy: {busy} sessions made {} calls, each answered with its own text; {:.0} a second; half within {:.1?}, 99 % within {:.1?}, all within {:.1?}",
        latencies.len(),
        latencies.len() as f64 / BUSY_TIME.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(1.0),
    );
    wait();

    let mut comments = usize::MAX;
    for session in &mut sessions {
        comments = comments.min(session.comments());
    }
    assert!(comments >= 1, "an idle stream got no comment");
    let mut post = Post::new(address);
    for (number, session) in sessions.iter_mut().enumerate() {
        let id = 1_000_000 + number;
        post.send(&session.path, &format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#));
        let frame = session.frame();
        assert!(frame.contains(&format!("\"id\":{id},")), "{frame}");
    }
    println!(
        "alive: all {idle} idle sessions got {comments} comments or more, and answered a ping at the end"
    );
    wait();
}

/// A busy session: call after call, each with a text of its own.
fn call_away(address: SocketAddr, number: usize) -> Vec<Duration> {
    let mut post = Post::new(address);
    let mut session = Session::new(address, &mut post);
    let (mut latencies, start) = (Vec::new(), Instant::now());
    while start.elapsed() < BUSY_TIME {
        let text = format!("session {number} call {}", latencies.len());
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"{text}"}}}}}}"#,
            latencies.len() + 100
        );
        let sent = Instant::now();
        post.send(&session.path, &call);
        let frame = session.frame();
        assert!(
            frame.contains(&text) && frame.contains(&format!("\"id\":{},", latencies.len() + 100)),
            "{frame}"
        );
        latencies.push(sent.elapsed());
    }
    latencies
}

/// A kept-alive connection for messages.
struct Post {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Post {
    fn new(address: SocketAddr) -> Post {
        Post { stream: connect(address), buffer: vec![0; 1024] }
    }

    fn send(&mut self, path: &str, body: &str) {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).unwrap();
        let mut len = 0;
        while !self.buffer[..len].ends_with(b"\r\n\r\nAccepted") {
            let count = self.stream.read(&mut self.buffer[len..]).unwrap();
            assert!(count > 0, "the server closed a connection");
            len += count;
        }
        assert!(self.buffer.starts_with(b"HTTP/1.1 202 "));
    }
}

/// A session's stream.
struct Session {
    stream: TcpStream,
    path: String,
    /// What was read and not yet taken.
    text: Vec<u8>,
}

impl Session {
    fn new(address: SocketAddr, post: &mut Post) -> Session {
        let mut stream = connect(address);
        stream.write_all(b"GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
        let mut session = Session { stream, path: String::new(), text: Vec::new() };
        let head = session.frame_after(b"\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let endpoint = session.frame();
        session.path = endpoint.trim().strip_prefix("event: endpoint\ndata: ").unwrap().to_owned();
        post.send(
            &session.path,
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{"listChanged":true},"sampling":{}},"clientInfo":{"name":"example-client","version":"1.0.0"}}}"#,
        );
        let frame = session.frame();
        assert!(frame.contains(r#""protocolVersion":"2025-11-25""#), "{frame}");
        post.send(&session.path, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        session.text = Vec::new();
        session
    }

    /// The next event, comments left out.
    fn frame(&mut self) -> String {
        loop {
            let frame = self.frame_after(b"\n\n");
            if frame.as_bytes() != COMMENT {
                return frame;
            }
        }
    }

    fn frame_after(&mut self, end: &[u8]) -> String {
        loop {
            if let Some(at) = self.text.windows(end.len()).position(|window| window == end) {
                let rest = self.text.split_off(at + end.len());
                return String::from_utf8(std::mem::replace(&mut self.text, rest)).unwrap();
            }
            let mut buffer = [0; 1024];
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the server closed a stream");
            self.text.extend_from_slice(&buffer[..count]);
        }
    }

    /// How many comments wait in the stream, which must carry nothing else and be open.
    fn comments(&mut self) -> usize {
        self.stream.set_nonblocking(true).unwrap();
        let mut buffer = [0; 1024];
        let mut count = 0;
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => panic!("the server closed an idle stream"),
                Ok(len) => {
                    assert!(buffer[..len].chunks(COMMENT.len()).all(|comment| comment == COMMENT));
                    count += len / COMMENT.len();
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        self.stream.set_nonblocking(false).unwrap();
        count
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    // What fails should fail rather than hang.
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}
