//! A signal to the binary with streams open and calls in flight: what is in flight is answered, streams end, and the
//! program with them; a second signal ends it at once.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::host::Binary;
use crate::parts::Scale;
use crate::wire::{self, Wire};

const STREAMS: usize = 34;

/// Everything that can be open at once.
struct Open {
    /// HTTP+SSE, a call in flight on the first ones.
    sse: Vec<Wire>,
    /// The streams of sessions of Streamable HTTP.
    streams: Vec<Wire>,
    /// Answers of `subscriptions/listen`.
    listens: Vec<Wire>,
    /// Connections that wait for the answer of a call, in a session and without.
    calls: Vec<Wire>,
}

const CALLS: usize = 4;

fn open(binary: &Binary, seconds: usize) -> Open {
    let connect = || Wire::connect(binary.address);
    let arguments = format!(r#"{{"seconds":{seconds}}}"#);
    let countdown = |id| wire::call(id, "countdown", &arguments);
    let mut post = connect();
    let mut sse = Vec::new();
    for at in 0..STREAMS {
        let mut wire = connect();
        let endpoint = wire.open_sse();
        if at == 0 {
            assert_eq!(post.send(wire::post(&endpoint, &countdown(1))).response().status, 202);
        }
        sse.push(wire);
    }
    let sessions: Vec<String> = (0..STREAMS).map(|_| wire::open_mcp(&mut post)).collect();
    let mut streams = Vec::new();
    for session in &sessions {
        let mut wire = connect();
        wire.send(format!("GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nMcp-Session-Id: {session}\r\n\r\n"));
        wire.through("\r\n\r\n");
        streams.push(wire);
    }
    let mut listens = Vec::new();
    for id in 0..STREAMS {
        let mut wire = connect();
        wire.send(wire::alone(
            id,
            "subscriptions/listen",
            "",
            r#""notifications":{"toolsListChanged":true}"#,
        ));
        wire.through("acknowledged");
        wire.through("\n\n");
        listens.push(wire);
    }
    let mut calls: Vec<Wire> = (0..CALLS - 1).map(|_| connect()).collect();
    calls[0].send(wire::mcp_post(&sessions[0], &countdown(2)));
    calls[1].send(wire::alone_call(3, "countdown", &arguments));
    // One that waits for an answer of its client, which can never come any more.
    calls[2].send(wire::mcp_post(&sessions[1], &wire::call(4, "ask", "{}")));
    calls[2].through("elicitation/create");
    Open { sse, streams, listens, calls }
}

pub(crate) fn serve(_: Scale) {
    let mut binary = Binary::start("", &["--limit", "shutdown_grace=10s"]);
    let mut all = open(&binary, 2);
    let count = all.sse.len() + all.streams.len() + all.listens.len();
    let start = Instant::now();
    binary.terminate();
    let refused = loop {
        if TcpStream::connect(binary.address).is_err() {
            break start.elapsed();
        }
        assert!(start.elapsed() < Duration::from_secs(1), "it still listens");
    };
    let texts = |wires: &mut Vec<Wire>| -> Vec<String> {
        wires.iter_mut().map(|wire| String::from_utf8(wire.rest()).unwrap()).collect()
    };
    let (listens, streams) = (texts(&mut all.listens), texts(&mut all.streams));
    for (id, text) in listens.iter().enumerate() {
        assert!(text.contains(&format!(r#""id":{id},"result""#)), "no result ended a listen: {text}");
    }
    assert!(streams.iter().all(|text| !text.contains("event: message")), "{streams:?}");
    let ended = start.elapsed();
    let (calls, sse) = (texts(&mut all.calls), texts(&mut all.sse));
    assert!(sse[0].contains("stopped early"), "{}", sse[0]);
    assert!(calls[..2].iter().all(|text| text.contains("stopped early")), "{calls:?}");
    assert!(calls[2].contains(r#""id":4,"result""#) && calls[2].contains("shut down"), "{}", calls[2]);
    let answered = start.elapsed();
    drop(all);
    assert_eq!(binary.exit_code(), Some(0));
    println!(
        "SIGTERM with {count} streams and {CALLS} calls: nobody is let in after {refused:.1?}, {} listens ended with their result and {} streams after {ended:.1?}, all calls answered after {answered:.1?}, exit 0 after {:.1?}",
        listens.len(),
        streams.len(),
        start.elapsed()
    );
    assert!(start.elapsed() < Duration::from_secs(10));

    let mut binary = Binary::start("", &["--limit", "shutdown_grace=1h"]);
    let mut all = open(&binary, 60);
    binary.terminate();
    // The streams end, so the first signal has been heeded.
    all.listens.iter_mut().for_each(|wire| drop(wire.rest()));
    let start = Instant::now();
    binary.terminate();
    let code = binary.exit_code();
    println!("a second SIGTERM with calls of a minute: exit {} after {:.1?}", code.unwrap(), start.elapsed());
    assert_eq!(code, Some(143));
    assert!(start.elapsed() < Duration::from_secs(1));
}
