//! The binary without descriptors: streams live on, nothing spins, and who waited is served as soon as there is one.

use std::io::Read;
use std::time::{Duration, Instant};

use crate::host::{Binary, cpu};
use crate::parts::Scale;
use crate::wire::{self, Wire};

const LIMIT: usize = 64;

pub(crate) fn serve(scale: Scale) {
    let mut binary = Binary::start(&format!("ulimit -n {LIMIT};"), &["--limit", "keep_alive=500ms"]);
    let mut streams = Vec::new();
    let mut waiting = loop {
        assert!(streams.len() < LIMIT, "the limit on descriptors has no effect");
        let mut wire = Wire::connect(binary.address);
        wire.socket.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
        wire.send(wire::get("/sse"));
        match wire.try_through("event: endpoint\ndata: ") {
            Some(_) => streams.push(wire),
            None => break wire,
        }
    };
    // A crowd in the backlog besides.
    let crowd: Vec<Wire> = (0..100).map(|_| Wire::connect(binary.address)).collect();

    let (time, before) = (Duration::from_secs(scale.of(2, 10) as u64), cpu(binary.pid()));
    std::thread::sleep(time);
    let used = cpu(binary.pid()) - before;
    let comments: Vec<usize> = streams.iter_mut().map(count_comments).collect();
    let (least, share) = (comments.iter().min().unwrap(), 100.0 * used.as_secs_f64() / time.as_secs_f64());
    println!(
        "{LIMIT} descriptors: {} streams, {} connections waiting; processor time: {share:.1} % of {time:?}; each stream got {least} comments or more",
        streams.len(),
        crowd.len() + 1
    );
    assert!(share < 5.0, "{share} %");
    assert!(*least >= 2, "a stream was neglected");

    let start = Instant::now();
    drop((streams.drain(..3), crowd));
    waiting.socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    waiting.through("event: endpoint\ndata: ");
    let endpoint = waiting.through("\n\n").trim_end().to_owned();
    let recovered = start.elapsed();
    assert_eq!(
        Wire::connect(binary.address).send(wire::post(&endpoint, &wire::ping(7))).response().status,
        202
    );
    assert!(waiting.through("\n\n").contains(r#""id":7"#));
    println!("three streams went: the one that waited was served within {recovered:.1?}");
    assert!(recovered < Duration::from_secs(1), "{recovered:?}");
    assert!(streams.iter_mut().all(|stream| count_comments(stream) < 100), "all others are open");
    drop((streams, waiting));
    binary.terminate();
    assert_eq!(binary.exit_code(), Some(0));
}

/// How many comments wait in the stream, which must carry nothing else and be open.
fn count_comments(wire: &mut Wire) -> usize {
    wire.socket.set_nonblocking(true).unwrap();
    let (mut bytes, mut text) = ([0; 4096], std::mem::take(&mut wire.got));
    loop {
        match wire.socket.read(&mut bytes) {
            Ok(0) => panic!("the server closed a stream"),
            Ok(count) => text.extend_from_slice(&bytes[..count]),
            Err(_) => break,
        }
    }
    wire.socket.set_nonblocking(false).unwrap();
    String::from_utf8(text).unwrap().matches(": ping\n\n").count()
}
