//! Long messages: of half a body, and of output that is not read, each byte comes once and in its place.
//!
//! Other targets have limits that a short script reaches, and these are below the size of the blocks in which a server keeps what is
//! long. Here a few bytes stand for many.
//!
//! | byte | |
//! |---|---|
//! | 1 | the form: a body with a length, a body in chunks, or a line |
//! | 2, 3 | how long the text of the request is: one of [`LENGTHS`], and up to 255 bytes more |
//! | 4, 5 | how long the text of its answer is |
//! | each further one | which of two peers; whether it sends on or reads on; how many bytes, one of [`PIECES`] |
//!
//! At last each peer sends the rest of its request, and reads the rest of its answer.

use std::sync::LazyLock;

use mcp_rill::{Limits, Server, schema};
use serde_json::Value;

use super::common::{Cut, Sock, World};

/// Around the bounds of one block of 64 KiB, of two, and of more.
const LENGTHS: [usize; 8] = [0, 4_000, 65_300, 65_536, 131_000, 131_072, 262_144, 400_000];
const PIECES: [usize; 12] =
    [1, 2, 100, 4_096, 16_384, 65_535, 65_536, 65_537, 131_072, 131_073, 200_000, 1 << 20];

schema! { struct Long { text: String, bytes: usize } }

/// Numbered, so that no part of it is like another one.
static TEXT: LazyLock<String> =
    LazyLock::new(|| (0..60_000).map(|number| format!("{number:07}\n")).collect());

/// So many bytes of it.
fn text(bytes: usize) -> &'static str {
    &TEXT[..bytes]
}

fn world() -> World {
    let server = Server::new("fuzz", "1").tool("long", "", |Long { text: given, bytes }: Long, _| {
        if given == text(given.len()) { text(bytes) } else { "the text is another one" }
    });
    World::cut(server.limits(Limits::DEFAULT), Cut::Whole, Cut::Whole)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Length,
    Chunks,
    Line,
}

struct Peer {
    sock: Sock,
    request: Vec<u8>,
    sent: usize,
}

pub fn check(data: &[u8]) {
    let (head, script) = data.split_at(data.len().min(5));
    let byte = |at: usize| usize::from(head.get(at).copied().unwrap_or_default());
    let length = |at: usize| LENGTHS[byte(at) % LENGTHS.len()] + byte(at + 1);
    let form = [Form::Length, Form::Chunks, Form::Line][byte(0) % 3];
    let (asked, answered) = (length(1), length(3));
    let mut world = world();
    let mut peers = [(); 2].map(|()| Peer::new(&mut world, form, asked, answered));
    for operation in script {
        let peer = &mut peers[usize::from(operation % 2)];
        let count = PIECES[usize::from(operation / 4) % PIECES.len()];
        match operation / 2 % 2 {
            0 => peer.send(&mut world, count),
            _ => world.reads_only(peer.sock, count),
        }
        let held = world.stats().buffered_bytes;
        assert!(held <= Limits::DEFAULT.buffered_bytes_max, "{held} bytes are held");
    }
    for peer in &mut peers {
        peer.send(&mut world, usize::MAX);
        world.reads_all(peer.sock);
        let answer = answer(&mut world, peer.sock, form);
        assert_eq!(answer["id"], 7, "{answer}");
        let given = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
        assert!(given == text(answered), "of {answered} bytes came {}: {given:.40}", given.len());
    }
    world.quiesce();
    world.assert_empty();
}

fn answer(world: &mut World, sock: Sock, form: Form) -> Value {
    if form == Form::Line {
        let mut lines = world.lines(sock);
        assert_eq!(lines.len(), 1, "{lines:?}");
        return lines.remove(0);
    }
    let response = world.response(sock);
    assert_eq!(response.status, 200);
    serde_json::from_slice(&response.body).expect("the body is JSON")
}

impl Peer {
    fn new(world: &mut World, form: Form, asked: usize, answered: usize) -> Peer {
        let sock = if form == Form::Line { world.connect_lines() } else { world.connect() };
        world.reads_only(sock, 0);
        Peer { sock, request: request(form, asked, answered), sent: 0 }
    }

    fn send(&mut self, world: &mut World, count: usize) {
        let rest = &self.request[self.sent..];
        let piece = &rest[..count.min(rest.len())];
        self.sent += piece.len();
        if !piece.is_empty() {
            world.send(self.sock, piece);
        }
    }
}

fn request(form: Form, asked: usize, answered: usize) -> Vec<u8> {
    let meta = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let arguments = serde_json::json!({"text": text(asked), "bytes": answered});
    let params = format!(r#"{{"name":"long","arguments":{arguments},"_meta":{meta}}}"#);
    let body = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{params}}}"#);
    let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: */*\r\n\
                MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: long\r\n";
    match form {
        Form::Length => format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()),
        Form::Chunks => {
            let chunks = body.as_bytes().chunks(50_000);
            let chunks =
                chunks.map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk)));
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunks.collect::<String>())
        }
        Form::Line => format!("{body}\n"),
    }
    .into_bytes()
}
