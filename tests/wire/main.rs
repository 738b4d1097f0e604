//! What is on the wire, byte for byte: runs every transcript in this folder.
//!
//! Each file documents one decision. It runs in memory with whole reads and writes, in memory byte by byte, and over a
//! socket (except where it lets time pass, or has no HTTP).
//!
//! ```text
//! # Why it is so.
//! set page_items_max=2 base_path=/mcp      limits, paths, allow_host=…, allow_origin=…, tools=streaming, node_id=…, cors=on, sessionless=on,
//!                                          resource=URL,SERVER, token=NAME:TOKEN (a `guest` may not POST)
//! lines 1                                  connection 1 has no HTTP: each line is a message (not over a socket)
//! session 1                                connection 1 opens a stream (in full: sse.txt)
//! 2> GET /x HTTP/1.1                       connection 2 sends: a head's lines and chunks end in CR LF, other bodies have
//!                                          LF between lines
//! 2> Content-Length: {length}              the length of the body that follows
//! 2< HTTP/1.1 404 Not Found                and gets exactly this: a body ends where its length says,
//! 2< Date: {date}                          every line of a stream in LF
//! 1< data: … {id}                          the id of the first session; {id2} of the second
//! 1< 00000027                              the size of a chunk, whose lines end in LF again; the empty line after it is its
//!                                          end
//! post 2: {"jsonrpc":…}                    connection 2 posts this into the first session and gets 202 (in full: sse_post.txt)
//! 2> (half-close)   2> (reset)             the client's side ends
//! 2< (end)                                 the server's side ends
//! wait 15s   shutdown                      time passes; the server is shut down
//! ```
//!
//! After a change that is meant, `UPDATE_WIRE=1 cargo test --test wire` writes what is sent now; review the difference.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../common/world.rs"]
mod common;

use std::collections::{BTreeSet, HashMap};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Cut, DATE, Sock, World, demo};
use mcp_rill::net::Handle;
use mcp_rill::{Limits, Server, Settings};

/// One step of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Comment(String),
    Set(String),
    Lines(u8),
    Session(u8),
    Post(u8, String),
    /// Lines that one connection sends.
    Send(u8, Vec<String>),
    HalfClose(u8),
    Reset(u8),
    /// Lines that one connection gets.
    Get(u8, Vec<String>),
    End(u8),
    Wait(Duration),
    Shutdown,
}

fn parse(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines() {
        let step = match line.split_once(' ').unwrap_or((line, "")) {
            ("", _) | ("#", _) => Step::Comment(line.to_owned()),
            ("set", rest) => Step::Set(rest.to_owned()),
            ("lines", conn) => Step::Lines(conn.parse().unwrap()),
            ("session", conn) => Step::Session(conn.parse().unwrap()),
            ("post", rest) => {
                let (conn, body) = rest.split_once(": ").unwrap();
                Step::Post(conn.parse().unwrap(), body.to_owned())
            }
            ("wait", time) => {
                Step::Wait(Duration::from_secs(time.strip_suffix('s').unwrap().parse().unwrap()))
            }
            ("shutdown", _) => Step::Shutdown,
            (mark, rest) => {
                let (conn, mark) = mark.split_at(mark.len() - 1);
                let conn = conn.parse().unwrap_or_else(|_| panic!("not a step: {line}"));
                match (mark, rest) {
                    (">", "(half-close)") => Step::HalfClose(conn),
                    (">", "(reset)") => Step::Reset(conn),
                    (">", _) => Step::Send(conn, vec![rest.to_owned()]),
                    ("<", "(end)") => Step::End(conn),
                    ("<", _) => Step::Get(conn, vec![rest.to_owned()]),
                    _ => panic!("not a step: {line}"),
                }
            }
        };
        match (steps.last_mut(), step) {
            (Some(Step::Send(last, lines)), Step::Send(conn, new)) if *last == conn => lines.extend(new),
            (Some(Step::Get(last, lines)), Step::Get(conn, new)) if *last == conn => lines.extend(new),
            (_, step) => steps.push(step),
        }
    }
    steps
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap())
}

fn server(steps: &[Step]) -> Server {
    let (mut limits, mut settings) = (Limits::DEFAULT, Settings::default());
    let mut streams = false;
    #[cfg(feature = "auth")]
    let mut tokens = Vec::new();
    let sets = steps.iter().filter_map(|step| match step {
        Step::Set(text) => Some(text),
        _ => None,
    });
    for (name, value) in sets.flat_map(|text| text.split(' ')).map(|pair| pair.split_once('=').unwrap()) {
        let value = value.to_owned();
        match name {
            "base_path" => settings.base_path = value,
            "sse_path" => settings.sse_path = value,
            "message_path" => settings.message_path = value,
            "mcp_path" => settings.mcp_path = value,
            "tools" => streams = value == "streaming",
            "allow_host" => settings.hosts.push(value),
            "allow_origin" => settings.origins.push(value),
            #[cfg(feature = "browser")]
            "cors" => settings.cors = value == "on",
            "node_id" => settings.node_id = value,
            "sessionless" => settings.sessionless = value == "on",
            #[cfg(feature = "auth")]
            "resource" => {
                let (resource, server) = value.split_once(',').unwrap();
                settings.resource =
                    Some(mcp_rill::ProtectedResource::new(resource, server).scope("notes:read"));
            }
            #[cfg(feature = "auth")]
            "token" => tokens.push(value),
            "tool_timeout" => limits.tool_timeout = seconds(&value),
            "session_idle_timeout" => limits.session_idle_timeout = seconds(&value),
            "replay_timeout" => limits.replay_timeout = seconds(&value),
            "sessions_max" => limits.sessions_max = value.parse().unwrap(),
            "calls_max" => limits.calls_max = value.parse().unwrap(),
            "body_bytes_max" => limits.body_bytes_max = value.parse().unwrap(),
            "page_items_max" => limits.page_items_max = value.parse().unwrap(),
            "batch_max" => limits.batch_max = value.parse().unwrap(),
            other => panic!("`{other}` is no setting of transcripts"),
        }
    }
    let server = if streams { demo::streaming(demo::server()) } else { demo::server() };
    let server = server.limits(limits).settings(settings);
    #[cfg(feature = "auth")]
    if !tokens.is_empty() {
        return guarded(server, &tokens);
    }
    server
}

#[cfg(feature = "auth")]
fn guarded(server: Server, tokens: &[String]) -> Server {
    let tokens = mcp_rill::Tokens::read(&tokens.join("\n")).unwrap();
    server.authorize(move |request| match tokens.authorize(request)? {
        guest if guest.name() == "guest" && request.method() == "POST" => {
            Err(mcp_rill::Denied::insufficient_scope("notes:write", "guests may only read"))
        }
        principal => Ok(principal),
    })
}

/// Lines of requests as bytes.
fn request_bytes(lines: &[String], ids: &[String]) -> Vec<u8> {
    let (mut bytes, mut at) = (Vec::new(), 0);
    while at < lines.len() {
        // A body lasts until a line that begins the next request.
        let is_start = |line: &String| line.contains(" HTTP/1.");
        let head = lines[at..].iter().position(String::is_empty).map_or(lines.len(), |end| at + end + 1);
        // The rest of a request whose head was sent before is a body only.
        let body_start = if is_start(&lines[at]) { head } else { at };
        let end = lines[body_start..].iter().position(is_start).map_or(lines.len(), |end| body_start + end);
        let chunked = lines[at..body_start].iter().any(|line| line == "Transfer-Encoding: chunked");
        let body = match chunked {
            true => lines[body_start..end].iter().map(|line| format!("{line}\r\n")).collect(),
            false => lines[body_start..end].join("\n"),
        };
        for line in &lines[at..body_start] {
            bytes.extend_from_slice(line.replace("{length}", &body.len().to_string()).as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(body.as_bytes());
        at = end;
    }
    let mut text = String::from_utf8(bytes).unwrap();
    for (name, id) in id_names().zip(ids) {
        text = text.replace(&name, id);
    }
    text.into_bytes()
}

fn id_names() -> impl Iterator<Item = String> {
    (1..).map(|n| if n == 1 { "{id}".to_owned() } else { format!("{{id{n}}}") })
}

/// Where a connection stands in what the server sends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Head,
    Length(usize),
    Stream,
    /// The size of a chunk, its bytes, the line end after it, and the one after the last.
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
    LastChunk,
}

impl Part {
    /// What ends a line here.
    fn line_end(self) -> &'static [u8] {
        match self {
            Part::Length(_) | Part::Stream | Part::Chunk(_) => b"\n",
            Part::Head | Part::ChunkSize | Part::ChunkEnd | Part::LastChunk => b"\r\n",
        }
    }
}

/// Cuts what the server sends into lines as transcripts have them, and puts them together again.
#[derive(Default)]
struct Format {
    part: Part,
    length: Option<usize>,
    chunked: bool,
}

impl Format {
    /// A line of a head was passed.
    fn head_line(&mut self, line: &str) {
        if let Some(length) = line.strip_prefix("Content-Length: ") {
            self.length = Some(length.parse().unwrap());
        }
        // These have neither a body nor a length.
        if line == "HTTP/1.1 100 Continue" || line == "HTTP/1.1 204 No Content" {
            self.length = Some(0);
        }
        self.chunked |= line == "Transfer-Encoding: chunked";
        if line.is_empty() {
            self.part = match self.length.take() {
                _ if std::mem::take(&mut self.chunked) => Part::ChunkSize,
                Some(0) => Part::Head,
                Some(length) => Part::Length(length),
                None => Part::Stream,
            };
        }
    }

    /// A line was passed that took this many bytes, its end included.
    fn pass(&mut self, line: &str, bytes: usize) {
        match self.part {
            Part::Head => self.head_line(line),
            Part::Length(left) => {
                self.part = if left <= bytes { Part::Head } else { Part::Length(left - bytes) };
            }
            Part::Stream => {}
            Part::ChunkSize => {
                self.part = match usize::from_str_radix(line, 16).unwrap() {
                    0 => Part::LastChunk,
                    size => Part::Chunk(size),
                }
            }
            Part::Chunk(left) => {
                self.part = if left <= bytes { Part::ChunkEnd } else { Part::Chunk(left - bytes) };
            }
            Part::ChunkEnd => self.part = Part::ChunkSize,
            Part::LastChunk => self.part = Part::Head,
        }
    }

    fn bytes_of(&mut self, lines: &[String]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in lines {
            bytes.extend_from_slice(line.as_bytes());
            // A body ends where its length says, without a line end.
            let size = line.len() + placeholder_growth(line);
            let ends = matches!(self.part, Part::Length(left) if left <= size);
            let end = if ends { b"" } else { self.part.line_end() };
            bytes.extend_from_slice(end);
            self.pass(line, size + end.len());
        }
        bytes
    }

    fn lines_of(&mut self, mut bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        while !bytes.is_empty() {
            let end = self.part.line_end();
            let most = match self.part {
                Part::Length(left) => left.min(bytes.len()),
                _ => bytes.len(),
            };
            let found = bytes[..most].windows(end.len()).position(|window| window == end);
            let line = String::from_utf8(bytes[..found.unwrap_or(most)].to_vec()).unwrap();
            let used = found.map_or(most, |at| at + end.len());
            bytes = &bytes[used..];
            self.pass(&line, used);
            lines.push(line);
        }
        lines
    }
}

/// What carries the bytes.
trait Wire {
    /// The connection is one of lines.
    fn lines(&mut self, conn: u8);
    fn send(&mut self, conn: u8, bytes: &[u8]);
    fn half_close(&mut self, conn: u8);
    fn reset(&mut self, conn: u8);
    /// What came; at least `length` bytes if they come at all.
    fn get(&mut self, conn: u8, length: usize) -> Vec<u8>;
    fn ended(&mut self, conn: u8) -> bool;
    fn wait(&mut self, time: Duration);
    fn shutdown(&mut self);
    /// Everything is over; nothing that was not expected may have come.
    fn finish(self: Box<Self>);
}

struct Memory {
    world: World,
    socks: HashMap<u8, Sock>,
}

impl Memory {
    fn sock(&mut self, conn: u8) -> Sock {
        *self.socks.entry(conn).or_insert_with(|| self.world.connect())
    }
}

impl Wire for Memory {
    fn lines(&mut self, conn: u8) {
        self.socks.insert(conn, self.world.connect_lines());
    }

    fn send(&mut self, conn: u8, bytes: &[u8]) {
        let sock = self.sock(conn);
        self.world.send(sock, bytes);
    }

    fn half_close(&mut self, conn: u8) {
        let sock = self.sock(conn);
        self.world.half_close(sock);
    }

    fn reset(&mut self, conn: u8) {
        let sock = self.sock(conn);
        self.world.reset(sock);
    }

    fn get(&mut self, conn: u8, _: usize) -> Vec<u8> {
        let sock = self.sock(conn);
        self.world.take(sock)
    }

    fn ended(&mut self, conn: u8) -> bool {
        let sock = self.sock(conn);
        self.world.ended(sock)
    }

    fn wait(&mut self, time: Duration) {
        self.world.advance(time);
    }

    fn shutdown(&mut self) {
        self.world.shutdown(Duration::from_secs(10));
    }

    fn finish(mut self: Box<Self>) {
        for (conn, sock) in &self.socks {
            assert_eq!(self.world.take_text(*sock), "", "more than expected on connection {conn}");
        }
        self.world.quiesce();
    }
}

struct Sockets {
    address: SocketAddr,
    handle: Handle,
    thread: std::thread::JoinHandle<std::io::Result<()>>,
    streams: HashMap<u8, TcpStream>,
}

impl Sockets {
    fn new(server: Server) -> Sockets {
        let listening = server.listen("127.0.0.1:0").unwrap();
        let (address, handle) = (listening.local_addrs().next().unwrap(), listening.handle());
        let thread = std::thread::spawn(move || listening.run());
        Sockets { address, handle, thread, streams: HashMap::new() }
    }

    fn stream(&mut self, conn: u8) -> &mut TcpStream {
        let address = self.address;
        self.streams.entry(conn).or_insert_with(|| {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream
        })
    }
}

impl Wire for Sockets {
    fn lines(&mut self, _: u8) {
        unreachable!("transcripts without HTTP are not run over sockets");
    }

    fn send(&mut self, conn: u8, bytes: &[u8]) {
        self.stream(conn).write_all(bytes).unwrap();
    }

    fn half_close(&mut self, conn: u8) {
        self.stream(conn).shutdown(Shutdown::Write).unwrap();
    }

    fn reset(&mut self, conn: u8) {
        self.streams.remove(&conn);
    }

    fn get(&mut self, conn: u8, length: usize) -> Vec<u8> {
        let (mut bytes, mut filled) = (vec![0; length], 0);
        while filled < length {
            match self.stream(conn).read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) => panic!("got {:?}, then {error}", String::from_utf8_lossy(&bytes[..filled])),
            }
        }
        bytes.truncate(filled);
        bytes
    }

    fn ended(&mut self, conn: u8) -> bool {
        match self.stream(conn).read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    fn wait(&mut self, _: Duration) {
        unreachable!("transcripts that wait are not run over sockets");
    }

    fn shutdown(&mut self) {
        self.handle.shutdown(Duration::from_secs(10));
    }

    fn finish(self: Box<Self>) {
        drop(self.streams);
        self.handle.shutdown(Duration::ZERO);
        self.thread.join().unwrap().unwrap();
    }
}

/// Runs a transcript; gives the steps with what really came in the place of what was expected.
fn run(steps: &[Step], mut wire: Box<dyn Wire>, update: bool) -> Vec<Step> {
    let mut ids: Vec<String> = Vec::new();
    let mut formats: HashMap<u8, Format> = HashMap::new();
    let mut real = Vec::new();
    for step in steps {
        let mut came = step.clone();
        match step {
            Step::Comment(_) | Step::Set(_) => {}
            Step::Lines(conn) => {
                wire.lines(*conn);
                formats.insert(*conn, Format { part: Part::Stream, ..Format::default() });
            }
            Step::Session(conn) => {
                let request = ["GET /sse HTTP/1.1", "Host: localhost", ""].map(str::to_owned);
                wire.send(*conn, &request_bytes(&request, &ids));
                let expected = SESSION.lines().map(str::to_owned).collect::<Vec<_>>();
                get(&mut *wire, *conn, &expected, formats.entry(*conn).or_default(), &mut ids);
            }
            Step::Post(conn, body) => {
                wire.send(
                    *conn,
                    common::http::post(&format!("/messages?sessionId={}", ids[0]), body).as_bytes(),
                );
                let expected: Vec<String> = ACCEPTED.lines().map(str::to_owned).collect();
                get(&mut *wire, *conn, &expected, formats.entry(*conn).or_default(), &mut ids);
            }
            Step::Send(conn, lines)
                if formats.get(conn).is_some_and(|format| format.part == Part::Stream) =>
            {
                wire.send(*conn, (lines.join("\n") + "\n").as_bytes());
            }
            Step::Send(conn, lines) => wire.send(*conn, &request_bytes(lines, &ids)),
            Step::HalfClose(conn) => wire.half_close(*conn),
            Step::Reset(conn) => wire.reset(*conn),
            Step::Get(conn, lines) if update => {
                let format = formats.entry(*conn).or_default();
                let lines = format.lines_of(&wire.get(*conn, lines.len()));
                came = Step::Get(*conn, lines.iter().map(|line| to_placeholders(line, &mut ids)).collect());
            }
            Step::Get(conn, lines) => {
                get(&mut *wire, *conn, lines, formats.entry(*conn).or_default(), &mut ids);
            }
            Step::End(conn) => assert!(wire.ended(*conn), "connection {conn} is still open"),
            Step::Wait(time) => wire.wait(*time),
            Step::Shutdown => wire.shutdown(),
        }
        real.push(came);
    }
    wire.finish();
    real
}

/// Gets what these lines stand for, and nothing else.
fn get(wire: &mut dyn Wire, conn: u8, lines: &[String], format: &mut Format, ids: &mut Vec<String>) {
    let expected = String::from_utf8(format.bytes_of(lines)).unwrap();
    let growth: usize = lines.iter().map(|line| placeholder_growth(line)).sum();
    let got = String::from_utf8(wire.get(conn, expected.len() + growth)).unwrap();
    learn_ids(&expected, &got, ids);
    assert_eq!(got, fill(&expected, &got, ids), "on connection {conn}");
}

/// How a stream begins; `sse.txt` shows it.
const SESSION: &str = "HTTP/1.1 200 OK
Date: {date}
Content-Type: text/event-stream
Cache-Control: no-cache, no-transform
X-Accel-Buffering: no
Mcp-Session-Id: {id}
Connection: close

event: endpoint
data: /messages?sessionId={id}

";

/// How a message that is taken is answered; `sse_post.txt` shows it.
const ACCEPTED: &str = "HTTP/1.1 202 Accepted
Date: {date}
Content-Type: text/plain; charset=utf-8
Content-Length: 8
Connection: keep-alive
Keep-Alive: timeout=54

Accepted";

/// What the placeholders of a line grow by when they are filled.
fn placeholder_growth(line: &str) -> usize {
    let ids: usize = id_names().take(9).map(|name| line.matches(&name).count() * (36 - name.len())).sum();
    ids + line.matches("{date}").count() * (DATE.len() - "{date}".len())
}

/// Takes the ids of new sessions from where a transcript has their placeholders for the first time.
fn learn_ids(expected: &str, got: &str, ids: &mut Vec<String>) {
    let next = id_names().nth(ids.len()).unwrap();
    // A head names the id once more, before the endpoint does.
    if let Some(at) = expected.contains(&next).then(|| got.find("Mcp-Session-Id: ")).flatten() {
        let line = got[at + "Mcp-Session-Id: ".len()..].lines().next().unwrap();
        let id = uuid_of(line);
        assert!(uuid::Uuid::try_parse(id).is_ok_and(|id| id.get_version_num() == 4), "`{id}` is no v4 UUID");
        ids.push(id.to_owned());
    }
}

/// A session's id without the name of its node.
fn uuid_of(id: &str) -> &str {
    id.get(id.len().saturating_sub(36)..).unwrap_or_default()
}

/// The expected text with the placeholders filled from what is known and, for the date, from what came.
fn fill(expected: &str, got: &str, ids: &[String]) -> String {
    let mut text = expected.to_owned();
    for (name, id) in id_names().zip(ids) {
        text = text.replace(&name, id);
    }
    while let Some(at) = text.find("{date}") {
        let date = got.get(at..at + DATE.len()).filter(|date| date.ends_with(" GMT")).unwrap_or("no date");
        text.replace_range(at..at + "{date}".len(), date);
    }
    text
}

fn to_placeholders(line: &str, ids: &mut Vec<String>) -> String {
    if let Some(id) = line.strip_prefix("Mcp-Session-Id: ").map(uuid_of)
        && !ids.iter().any(|known| known == id)
    {
        ids.push(id.to_owned());
    }
    let mut line = match line.strip_prefix("Date: ") {
        Some(_) => "Date: {date}".to_owned(),
        None => line.to_owned(),
    };
    for (name, id) in id_names().zip(ids) {
        line = line.replace(id.as_str(), &name);
    }
    line
}

fn show(steps: &[Step]) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(line.trim_end());
        text.push('\n');
    };
    for step in steps {
        match step {
            Step::Comment(comment) => line(comment.clone()),
            Step::Set(set) => line(format!("set {set}")),
            Step::Lines(conn) => line(format!("lines {conn}")),
            Step::Session(conn) => line(format!("session {conn}")),
            Step::Post(conn, body) => line(format!("post {conn}: {body}")),
            Step::Send(conn, lines) => lines.iter().for_each(|l| line(format!("{conn}> {l}"))),
            Step::HalfClose(conn) => line(format!("{conn}> (half-close)")),
            Step::Reset(conn) => line(format!("{conn}> (reset)")),
            Step::Get(conn, lines) => lines.iter().for_each(|l| line(format!("{conn}< {l}"))),
            Step::End(conn) => line(format!("{conn}< (end)")),
            Step::Wait(time) => line(format!("wait {}s", time.as_secs())),
            Step::Shutdown => line("shutdown".to_owned()),
        }
    }
    text
}

/// Every transcript with its path.
fn transcripts() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    assert!(paths.len() > 30, "transcripts are missing");
    paths.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// What a transcript may need, each with whether this build has it: one that needs more is not run.
const FEATURES: [(&str, bool); 6] = [
    ("lines", true),
    ("streamable", cfg!(feature = "streamable")),
    ("resume", cfg!(feature = "resume")),
    ("stateless", cfg!(feature = "stateless")),
    ("auth", cfg!(feature = "auth")),
    ("browser", cfg!(feature = "browser")),
];

/// What of [`FEATURES`] a transcript needs, by what is sent and set in it.
fn needs(steps: &[Step]) -> BTreeSet<&'static str> {
    let (mut needs, mut mcp_path) = (BTreeSet::new(), "/mcp");
    let is_lines = steps.iter().any(|step| matches!(step, Step::Lines(_)));
    let mut add = |needed: bool, feature: &'static str| needed.then(|| needs.insert(feature));
    for step in steps {
        match step {
            Step::Set(text) => {
                add(text.contains("token=") || text.contains("resource="), "auth");
                add(text.contains("cors="), "browser");
                let path = text.split(' ').find_map(|setting| setting.strip_prefix("mcp_path="));
                mcp_path = path.unwrap_or(mcp_path);
            }
            Step::Send(_, lines) => {
                let (mut to_mcp, mut modern) = (false, false);
                for line in lines {
                    if line.contains(" HTTP/1.") {
                        (to_mcp, modern) = (line.contains(mcp_path), false);
                    }
                    modern |= line == "MCP-Protocol-Version: 2026-07-28";
                    if line.is_empty() && to_mcp {
                        add(true, if modern { "stateless" } else { "streamable" });
                    }
                    add(line.contains("io.modelcontextprotocol/"), "stateless");
                    add(line.starts_with("DELETE "), "streamable");
                    add(line.starts_with("Last-Event-ID:"), "resume");
                    add(line.starts_with("Sec-Fetch-Site:"), "browser");
                    // A batch on a connection of lines.
                    add(is_lines && line.starts_with('['), "streamable");
                }
            }
            Step::Lines(_) => drop(add(true, "lines")),
            Step::Get(_, lines) => {
                add(lines.iter().any(|line| line.starts_with("id: ")), "resume");
                // What names all paths or methods.
                let names_all = |line: &String| line.contains("nothing is served") || line.contains("DELETE");
                add(lines.iter().any(names_all), "streamable");
                add(lines.iter().any(|line| line.contains("supported are 2026-07-28")), "stateless");
            }
            _ => {}
        }
    }
    needs
}

fn is_built(feature: &str) -> bool {
    FEATURES.iter().any(|(name, built)| *name == feature && *built)
}

/// Runs all transcripts of what is built and says which ones failed, after all have run.
fn run_all(wire: impl Fn(&[Step]) -> Option<Box<dyn Wire>>) {
    let mut failed = Vec::new();
    for (path, text) in transcripts() {
        let steps = parse(&text);
        if !needs(&steps).into_iter().all(is_built) {
            continue;
        }
        let Some(wire) = wire(&steps) else { continue };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run(&steps, wire, false);
        }));
        if outcome.is_err() {
            failed.push(path.file_name().unwrap().to_owned());
        }
    }
    assert!(failed.is_empty(), "these transcripts failed: {failed:?}");
}

fn memory(steps: &[Step], reads: Cut, writes: Cut) -> Box<dyn Wire> {
    Box::new(Memory { world: World::cut(server(steps), reads, writes), socks: HashMap::new() })
}

/// A file that is no transcript, or one in which nothing happens, would never be run and never be missed. Its name begins
/// with what it shows, so that who builds less knows what is left out.
#[test]
fn every_file_is_a_transcript_that_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire");
    let transcripts = transcripts();
    assert_eq!(
        std::fs::read_dir(folder).unwrap().count(),
        transcripts.len() + 1,
        "all but this one end in .txt"
    );
    for (path, text) in transcripts {
        let (name, steps) = (path.file_stem().unwrap().to_str().unwrap(), parse(&text));
        let gets = |step: &Step| matches!(step, Step::Get(..) | Step::End(_) | Step::Post(..));
        assert!(steps.iter().any(gets), "nothing is expected in {name}");
        let needs = needs(&steps);
        let fits = match name.split('_').next().unwrap() {
            "streamable" => needs.contains("streamable"),
            "stateless" => needs.contains("stateless"),
            "lines" => needs.contains("lines"),
            "sse" | "http" => true,
            _ => false,
        };
        assert!(fits, "{name} is named for another transport: it needs {needs:?}");
        println!("{name}: {needs:?}");
    }
}

#[test]
fn transcripts_in_memory() {
    if std::env::var_os("UPDATE_WIRE").is_some() {
        for (path, text) in transcripts() {
            println!("{}", path.display());
            let steps = parse(&text);
            let real = show(&run(&steps, memory(&steps, Cut::Whole, Cut::Whole), true));
            if real != text {
                std::fs::write(path, real).unwrap();
            }
        }
    }
    run_all(|steps| Some(memory(steps, Cut::Whole, Cut::Whole)));
}

#[test]
fn transcripts_in_memory_byte_by_byte() {
    run_all(|steps| Some(memory(steps, Cut::Bytes, Cut::Bytes)));
}

#[test]
fn transcripts_in_memory_torn() {
    for seed in 1..=3 {
        run_all(|steps| Some(memory(steps, Cut::Torn(seed), Cut::Torn(seed))));
    }
}

#[test]
fn transcripts_over_sockets() {
    run_all(|steps| {
        let in_time = !steps.iter().any(|step| matches!(step, Step::Wait(_) | Step::Lines(_)));
        in_time.then(|| Box::new(Sockets::new(server(steps))) as Box<dyn Wire>)
    });
}
