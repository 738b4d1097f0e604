//! The gateway's side of its upstream: Streamable HTTP and 2026-07-28 as a client speaks them, on blocking sockets.
//!
//! *Scope:* posting in order, reading answers as JSON or as events, coming back for more, the stream for what belongs to no request. HTTP/1.0 does
//! for that: a connection carries one request, and the end of the answer is its end. *Not in scope:* what the messages mean.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use mcp_rill::Limits;
use mcp_rill::http::head::Head;
use mcp_rill::json::Tape;
use mcp_rill::jsonrpc::{Message, parse};
use mcp_rill::service::CallKey;
use mcp_rill::sse::{Decoder, MEDIA_TYPE};

const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// A message for upstream.
#[derive(Default)]
pub struct Post {
    pub method: String,
    /// Of a request: what its answer is for.
    pub call: Option<CallKey>,
    /// Header fields that go with it.
    pub fields: String,
    pub body: Vec<u8>,
}

/// What upstream said in the answer to a call, or on the stream of the session: a message, or why there are no more.
pub struct Heard {
    pub call: Option<CallKey>,
    pub said: Result<String, String>,
}

/// Begins a session with upstream, or one request of 2026-07-28. It ends when what is returned is dropped.
pub fn open(upstream: String, is_kept: bool, heard: impl Fn(Heard) + Clone + Send + 'static) -> Sender<Post> {
    let (posts, queue) = channel();
    // Without a thread the queue is dropped here, and what is posted comes back as an error.
    let _ = thread::Builder::new().spawn(move || Line { upstream, is_kept, heard }.run(queue));
    posts
}

/// The header fields of a client's request that upstream needs as well.
pub fn fields(head: &Head<'_>) -> String {
    let mut fields = String::new();
    for (name, value) in head.headers().map(|(name, value)| (name.to_ascii_lowercase(), value)) {
        if name.starts_with("mcp-") && name != "mcp-session-id" {
            fields += &format!("{name}: {}\r\n", String::from_utf8_lossy(value));
        }
    }
    fields
}

#[derive(Clone)]
struct Line<H> {
    upstream: String,
    is_kept: bool,
    heard: H,
}

impl<H: Fn(Heard) + Clone + Send + 'static> Line<H> {
    fn run(self, queue: Receiver<Post>) {
        let (mut session, mut open) = (String::new(), Vec::new());
        for Post { method, call, fields, body } in queue {
            if call.is_none() && !self.is_kept {
                continue; // 2026-07-28 has nothing but requests
            }
            // The next message waits until upstream has taken this one, but not for the answer to a call.
            match self.send("POST", &format!("{session}{fields}"), &body) {
                Ok(stream) if method == "initialize" => session = self.read(stream, call, session),
                Ok(stream) if call.is_none() => drop(self.read(stream, call, session.clone())),
                Ok(stream) => {
                    open.extend(stream.try_clone().ok().filter(|_| !self.is_kept));
                    self.follow(stream, call, &session);
                }
                Err(error) => (self.heard)(Heard { call, said: Err(error.to_string()) }),
            }
            if method == "notifications/initialized"
                && let Ok(stream) = self.send("GET", &session, b"")
            {
                open.extend(stream.try_clone());
                self.follow(stream, None, &session);
            }
        }
        // The client is gone. This is how a request of 2026-07-28 is cancelled.
        open.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        if !session.is_empty() {
            let _ = self.send("DELETE", &session, b"").map(|stream| self.read(stream, None, String::new()));
        }
    }

    fn send(&self, method: &str, fields: &str, body: &[u8]) -> io::Result<TcpStream> {
        let (host, length) = (&self.upstream, body.len());
        let mut request = format!(
            "{method} /mcp HTTP/1.0\r\nHost: {host}\r\nAccept: application/json, {MEDIA_TYPE}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n{fields}\r\n"
        )
        .into_bytes();
        request.extend(body);
        let mut stream = TcpStream::connect(host)?;
        stream.write_all(&request)?;
        Ok(stream)
    }

    /// Reads an answer on a thread of its own.
    fn follow(&self, stream: TcpStream, call: Option<CallKey>, session: &str) {
        let (line, session) = (self.clone(), session.to_owned());
        if let Err(error) = thread::Builder::new().spawn(move || line.read(stream, call, session)) {
            (self.heard)(Heard { call, said: Err(error.to_string()) });
        }
    }

    /// Reads an answer, if need be in several parts: upstream may end a stream early, for its client to come back (MCP
    /// 2025-11-25, transports). Returns the header field that names the session.
    fn read(&self, mut stream: TcpStream, call: Option<CallKey>, session: String) -> String {
        let mut answer = Answer { session, ..Answer::default() };
        let end = loop {
            match answer.read(stream, |message| (self.heard)(Heard { call, said: Ok(message) })) {
                Ok(()) if call.is_none() || answer.is_whole || answer.last_id.is_empty() => {
                    break "upstream ended its answer".to_owned();
                }
                Err(error) => break error.to_string(),
                Ok(()) => thread::sleep(answer.retry),
            }
            let fields = format!("{}Last-Event-ID: {}\r\n", answer.session, answer.last_id);
            stream = match self.send("GET", &fields, b"") {
                Ok(stream) => stream,
                Err(error) => break error.to_string(),
            };
        };
        (self.heard)(Heard { call, said: Err(end) });
        answer.session
    }
}

/// What is known of an answer so far.
#[derive(Default)]
struct Answer {
    session: String,
    last_id: String,
    retry: Duration,
    is_whole: bool,
}

impl Answer {
    fn read(&mut self, stream: TcpStream, mut each: impl FnMut(String)) -> io::Result<()> {
        let (mut input, mut head) = (BufReader::new(stream), String::new());
        while input.read_line(&mut head)? > 2 {} // an empty line ends it
        let field = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
        };
        if !field("mcp-session-id").is_empty() {
            self.session = format!("Mcp-Session-Id: {}\r\n", field("mcp-session-id"));
        }
        if !field("content-type").starts_with(MEDIA_TYPE) {
            self.is_whole = true;
            let mut body = String::new();
            input.take(MESSAGE_BYTES_MAX as u64).read_to_string(&mut body)?;
            if body.starts_with('{') {
                each(body);
            } else if !head.contains(" 20") {
                return Err(io::Error::other(format!(
                    "{} {body}",
                    head.lines().next().unwrap_or("no answer")
                )));
            }
            return Ok(());
        }
        let (mut decoder, mut tape) = (Decoder::new(MESSAGE_BYTES_MAX), Tape::new());
        loop {
            let mut bytes = input.fill_buf()?;
            let count = bytes.len();
            while let Some(event) = decoder.next(&mut bytes).map_err(io::Error::other)? {
                let message = parse(event.data.as_bytes(), &Limits::DEFAULT, &mut tape);
                self.is_whole |= matches!(message, Ok(Message::Response(_)));
                Some(event.data).filter(|data| !data.is_empty()).into_iter().for_each(&mut each);
            }
            if count == 0 {
                if !decoder.last_id().is_empty() {
                    self.last_id = decoder.last_id().to_owned();
                }
                self.retry = Duration::from_millis(decoder.retry_ms().unwrap_or(500));
                return Ok(());
            }
            input.consume(count);
        }
    }
}
