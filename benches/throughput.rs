//! What a message costs the server, next to a floor that does the same system calls and nothing else.
//!
//! ```text
//! cargo bench --bench throughput                    all cases, a few seconds each
//! cargo bench --bench throughput -- 64x8 echo       cases whose names contain all these words
//! cargo bench --bench throughput -- --seconds 10    longer
//! cargo bench --bench throughput -- --only rill     one side alone, for perf and strace
//! ```
//!
//! Client and server take turns on one thread, and only the server's turns are timed: everything that is in flight has
//! arrived when a turn begins, as under full load, and what else the machine does moves the medians little. Server and
//! floor alternate within a run, so compare their ratio, not times of two runs.
//!
//! The floor is mio, one `read` for each request, and one `write` for each 202 and for each frame, or over Streamable HTTP
//! for each answer. It parses nothing: it knows how long a request is and where the session's number stands.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a program for people at a terminal"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mcp_rill::net::Listening;
use mcp_rill::{Limits, Server, schema};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

schema! { struct Echo { text: String } }

const SESSIONS: usize = 64;
const ID_LEN: usize = 36;
const TARGET: &str = "POST /messages?sessionId=";

/// How messages travel.
#[derive(Clone, Copy, PartialEq)]
enum Transport {
    /// HTTP+SSE: a 202, and a frame on the session's stream.
    Sse,
    /// Streamable HTTP of 2025-11-25: the answer comes with the response.
    Session,
    /// The same of 2026-07-28: the request says everything itself.
    Alone,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut bench, mut seconds, mut only, mut words) = (false, 1.5, None, Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => bench = true,
            "--seconds" => seconds = arguments.next().unwrap().parse().unwrap(),
            "--only" => only = Some(arguments.next().unwrap()),
            _ => words.push(argument),
        }
    }
    if !bench {
        return println!("run by `cargo bench`");
    }
    println!("server time per message, medians; floor: the same system calls without any parsing");
    println!("{:<28} {:>9} {:>9} {:>7}   rounds", "sessions × in flight", "floor", "rill", "ratio");
    for load in [Load::Posts(1), Load::Posts(8), Load::Pipelined(8), Load::Churn] {
        for (method, body) in BODIES {
            let name = format!("{} {method}", load.name());
            if words.iter().all(|word| name.contains(word.as_str())) {
                measure(
                    &name,
                    (Transport::Sse, load),
                    body,
                    Duration::from_secs_f64(seconds),
                    only.as_deref(),
                );
            }
        }
    }
    for (transport, name) in [(Transport::Session, "2025-11-25"), (Transport::Alone, "2026-07-28")] {
        let name = format!("64x1 /mcp {name}");
        if words.iter().all(|word| name.contains(word.as_str())) {
            let (_, body) = BODIES[1];
            let case = (transport, Load::Posts(1));
            measure(&name, case, body, Duration::from_secs_f64(seconds), only.as_deref());
        }
    }
}

/// `ID` stands for seven digits, so that all requests of a case have one length.
const BODIES: [(&str, &str); 2] = [
    ("ping", r#"{"jsonrpc":"2.0","id":ID,"method":"ping"}"#),
    (
        "echo",
        r#"{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello, world"}}}"#,
    ),
];

#[derive(Clone, Copy, PartialEq)]
enum Load {
    /// Each session has this many connections with one request each.
    Posts(usize),
    /// Each session has one connection with this many requests at once.
    Pipelined(usize),
    /// Each request comes on a connection of its own.
    Churn,
}

impl Load {
    fn name(self) -> String {
        match self {
            Load::Posts(count) => format!("{SESSIONS}x{count}"),
            Load::Pipelined(count) => format!("{SESSIONS}x{count} pipelined"),
            Load::Churn => format!("{SESSIONS}x1 churn"),
        }
    }

    fn per_session(self) -> usize {
        match self {
            Load::Posts(count) | Load::Pipelined(count) => count,
            Load::Churn => 1,
        }
    }
}

fn measure(name: &str, (transport, load): (Transport, Load), body: &str, time: Duration, only: Option<&str>) {
    let mut floor = Client::new(Box::new(Floor::new(body, load)), transport, load, body);
    let mut rill = Client::new(Box::new(Rill::new()), transport, load, body);
    let (mut floors, mut rills, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let end = Instant::now() + time;
    // Each connection of a churn leaves its port unusable for a minute.
    let rounds_max = if load == Load::Churn { 80 } else { usize::MAX };
    for round in 0..rounds_max {
        if Instant::now() > end {
            break;
        }
        let one = |client: &mut Client, side: &str, times: &mut Vec<f64>| {
            if only.is_none_or(|only| only == side) {
                times.push(client.round().as_secs_f64() * 1e6 / (SESSIONS * load.per_session()) as f64);
            }
        };
        if round % 2 == 0 {
            one(&mut floor, "floor", &mut floors);
            one(&mut rill, "rill", &mut rills);
        } else {
            one(&mut rill, "rill", &mut rills);
            one(&mut floor, "floor", &mut floors);
        }
        if only.is_none() {
            ratios.push(rills.last().unwrap() / floors.last().unwrap());
        }
    }
    let rounds = floors.len().max(rills.len());
    let (floor, rill, ratio) = (median(floors), median(rills), median(ratios));
    println!("{name:<28} {floor:>6.2} µs {rill:>6.2} µs {ratio:>7.2}   {rounds}");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What is measured.
trait Target {
    fn address(&self) -> SocketAddr;
    /// Does what there is to do now.
    fn turn(&mut self);
    /// Frames written so far.
    fn frames(&self) -> u64;
    fn connections(&self) -> usize;
}

/// The sessions and their connections.
struct Client {
    target: Box<dyn Target>,
    transport: Transport,
    load: Load,
    streams: Vec<std::net::TcpStream>,
    /// What one connection sends in a round, and the connection.
    posts: Vec<(Vec<u8>, Option<std::net::TcpStream>)>,
    accepted_len: usize,
    frame_len: usize,
    buffer: Vec<u8>,
}

impl Client {
    fn new(target: Box<dyn Target>, transport: Transport, load: Load, body: &str) -> Client {
        let mut client = Client {
            target,
            transport,
            load,
            streams: Vec::new(),
            posts: Vec::new(),
            accepted_len: 0,
            frame_len: 0,
            buffer: vec![0; 64 << 10],
        };
        for _ in 0..SESSIONS {
            let session = client.open();
            let requests: Vec<Vec<u8>> =
                (0..load.per_session()).map(|n| request(transport, &session, 1_000_000 + n, body)).collect();
            let requests = match load {
                Load::Pipelined(_) => vec![requests.concat()],
                Load::Posts(_) | Load::Churn => requests,
            };
            for bytes in requests {
                let connection = (load != Load::Churn).then(|| client.connect());
                client.posts.push((bytes, connection));
            }
        }
        client.learn_lengths(body);
        for _ in 0..3 {
            client.round();
        }
        client
    }

    /// Opens a session, where there is one; gives its id.
    fn open(&mut self) -> String {
        let (opening, mark) = match self.transport {
            Transport::Sse => ("GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned(), "sessionId="),
            Transport::Session => (mcp("", INITIALIZE), "Mcp-Session-Id: "),
            Transport::Alone => return String::new(),
        };
        let mut stream = self.connect();
        stream.write_all(opening.as_bytes()).unwrap();
        let head = self.read_some(&mut stream);
        let at = head.find(mark).unwrap() + mark.len();
        if self.transport == Transport::Sse {
            self.streams.push(stream);
        }
        head[at..at + ID_LEN].to_owned()
    }

    fn connect(&self) -> std::net::TcpStream {
        let stream = std::net::TcpStream::connect(self.target.address()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    fn read_some(&mut self, stream: &mut std::net::TcpStream) -> String {
        stream.set_nonblocking(true).unwrap();
        let count = loop {
            self.target.turn();
            match stream.read(&mut self.buffer) {
                Ok(count) => break count,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        };
        stream.set_nonblocking(false).unwrap();
        // What fails should fail rather than hang.
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        String::from_utf8(self.buffer[..count].to_vec()).unwrap()
    }

    fn learn_lengths(&mut self, body: &str) {
        let request_len = request(self.transport, &"0".repeat(ID_LEN), 1_000_000, body).len();
        let one = self.posts[0].0[..request_len].to_vec();
        let mut post = self.connect();
        post.write_all(&one).unwrap();
        self.accepted_len = self.read_some(&mut post).len();
        if let Some(stream) = self.streams.first() {
            let mut stream = stream.try_clone().unwrap();
            self.frame_len = self.read_some(&mut stream).len();
        }
        drop(post);
        self.settle();
    }

    /// Lets the server see what the client closed.
    fn settle(&mut self) {
        let open = self.streams.len() + self.posts.iter().filter(|(_, stream)| stream.is_some()).count();
        while self.target.connections() != open {
            self.target.turn();
        }
    }

    /// Every session's requests once. Returns the time that the server took.
    fn round(&mut self) -> Duration {
        for at in 0..self.posts.len() {
            if self.posts[at].1.is_none() {
                self.posts[at].1 = Some(self.connect());
            }
            let (bytes, stream) = &mut self.posts[at];
            stream.as_mut().unwrap().write_all(bytes).unwrap();
        }
        let wanted = self.target.frames() + (SESSIONS * self.load.per_session()) as u64;
        let start = Instant::now();
        while self.target.frames() < wanted {
            self.target.turn();
        }
        let mut time = start.elapsed();
        let per_post = SESSIONS * self.load.per_session() / self.posts.len();
        let accepted = per_post * self.accepted_len;
        for (_, stream) in &mut self.posts {
            stream.as_mut().unwrap().read_exact(&mut self.buffer[..accepted]).unwrap();
            let status = if self.transport == Transport::Sse { "202" } else { "200" };
            assert!(self.buffer[..accepted].starts_with(format!("HTTP/1.1 {status} ").as_bytes()));
        }
        let frames = self.load.per_session() * self.frame_len;
        for stream in &mut self.streams {
            stream.read_exact(&mut self.buffer[..frames]).unwrap();
            assert!(self.buffer[..frames].ends_with(b"}\n\n"));
        }
        if self.load == Load::Churn {
            self.posts.iter_mut().for_each(|(_, stream)| *stream = None);
            let start = Instant::now();
            self.settle();
            time += start.elapsed();
        }
        time
    }
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
const META: &str = r#","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}"#;

/// A POST of Streamable HTTP, as Node writes it.
fn mcp(fields: &str, body: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:3001\r\nConnection: keep-alive\r\n{fields}\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         Accept-Language: *\r\nUser-Agent: node\r\nAccept-Encoding: gzip, deflate\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn request(transport: Transport, session: &str, id: usize, body: &str) -> Vec<u8> {
    let body = body.replace("ID", &id.to_string());
    match transport {
        Transport::Sse => {}
        Transport::Session => {
            let fields = format!("Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: 2025-11-25\r\n");
            return mcp(&fields, &body).into_bytes();
        }
        Transport::Alone => {
            let fields = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n";
            return mcp(fields, &(body.strip_suffix("}}").unwrap().to_owned() + META)).into_bytes();
        }
    }
    format!(
        "{TARGET}{session} HTTP/1.1\r\nHost: 127.0.0.1:3001\r\nConnection: keep-alive\r\n\
         Content-Type: application/json\r\nAccept: */*\r\nAccept-Language: *\r\nUser-Agent: node\r\n\
         Accept-Encoding: gzip, deflate\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The real thing.
struct Rill(Listening);

impl Rill {
    fn new() -> Rill {
        let limits = Limits { connections_max: 8192, ..Limits::DEFAULT };
        let server = Server::new("bench", "1.0.0").limits(limits);
        Rill(
            server
                .tool("echo", "Send a text back", |Echo { text }: Echo, _| text)
                .listen("127.0.0.1:0")
                .unwrap(),
        )
    }
}

impl Target for Rill {
    fn address(&self) -> SocketAddr {
        self.0.local_addrs().next().unwrap()
    }

    fn turn(&mut self) {
        self.0.poll(Some(Duration::ZERO)).unwrap();
    }

    fn frames(&self) -> u64 {
        self.0.stats().messages_queued
    }

    fn connections(&self) -> usize {
        self.0.stats().connections
    }
}

/// The least that a server on mio can do.
struct Floor {
    poll: Poll,
    events: Events,
    listener: TcpListener,
    connections: Vec<Option<TcpStream>>,
    open: usize,
    /// Which connection carries the session's stream.
    sessions: Vec<usize>,
    buffer: Vec<u8>,
    request_len: usize,
    accepted: Vec<u8>,
    /// Instead of both, over Streamable HTTP.
    answer: Vec<u8>,
    frame: Vec<u8>,
    frames: u64,
}

const LISTENER: Token = Token(usize::MAX);

impl Floor {
    fn new(body: &str, load: Load) -> Floor {
        let poll = Poll::new().unwrap();
        let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).unwrap();
        let result = match body.contains("tools/call") {
            true => r#"{"content":[{"type":"text","text":"hello, world"}]}"#,
            false => "{}",
        };
        let pipelined = matches!(load, Load::Pipelined(_));
        Floor {
            poll,
            events: Events::with_capacity(1024),
            listener,
            connections: Vec::new(),
            open: 0,
            sessions: Vec::new(),
            buffer: vec![0; 64 << 10],
            request_len: if pipelined {
                request(Transport::Sse, &"0".repeat(ID_LEN), 1_000_000, body).len()
            } else {
                usize::MAX
            },
            accepted: b"HTTP/1.1 202 Accepted\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                Content-Type: text/plain; charset=utf-8\r\nContent-Length: 8\r\nConnection: keep-alive\r\n\
                Keep-Alive: timeout=54\r\n\r\nAccepted"
                .to_vec(),
            answer: format!(
                "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/json\r\n\
                 Content-Length: 180\r\nMcp-Session-Id: {}\r\nConnection: keep-alive\r\nKeep-Alive: timeout=54\r\n\r\n{}",
                "0".repeat(ID_LEN),
                "x".repeat(180)
            )
            .into_bytes(),
            frame: format!(
                "event: message\ndata: {{\"jsonrpc\":\"2.0\",\"id\":1000000,\"result\":{result}}}\n\n"
            )
            .into_bytes(),
            frames: 0,
        }
    }

    fn accept(&mut self) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            stream.set_nodelay(true).unwrap();
            let at = self.connections.iter().position(Option::is_none).unwrap_or(self.connections.len());
            self.poll.registry().register(&mut stream, Token(at), Interest::READABLE).unwrap();
            if at == self.connections.len() {
                self.connections.push(None);
            }
            self.connections[at] = Some(stream);
            self.open += 1;
        }
    }

    fn serve(&mut self, at: usize) {
        let Some(stream) = &mut self.connections[at] else { return };
        let count = match stream.read(&mut self.buffer) {
            Ok(0) => {
                self.connections[at] = None;
                self.open -= 1;
                return;
            }
            Ok(count) => count,
            Err(_) => return,
        };
        if self.buffer.starts_with(b"GET") {
            let number = self.sessions.len();
            self.sessions.push(at);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n\
                 event: endpoint\ndata: /messages?sessionId={number:036}\n\n"
            );
            return stream.write_all(head.as_bytes()).unwrap();
        }
        if self.buffer.starts_with(b"POST /mcp") {
            assert_eq!(stream.write(&self.answer).unwrap(), self.answer.len());
            self.frames += 1;
            return;
        }
        for request in self.buffer[..count].chunks(self.request_len) {
            let number = &request[TARGET.len() + ID_LEN - 3..][..3];
            let number = number.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
            let post = self.connections[at].as_mut().unwrap();
            assert_eq!(post.write(&self.accepted).unwrap(), self.accepted.len());
            let stream = self.connections[self.sessions[number]].as_mut().unwrap();
            assert_eq!(stream.write(&self.frame).unwrap(), self.frame.len());
            self.frames += 1;
        }
    }
}

impl Target for Floor {
    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    fn turn(&mut self) {
        self.poll.poll(&mut self.events, Some(Duration::ZERO)).unwrap();
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            match event.token() {
                LISTENER => self.accept(),
                Token(at) => self.serve(at),
            }
        }
        self.events = events;
    }

    fn frames(&self) -> u64 {
        self.frames
    }

    fn connections(&self) -> usize {
        self.open
    }
}
