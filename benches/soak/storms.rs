//! Storms of connections, half heads, resets at the worst moment: afterwards all counts are where they began.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use mcp_rill::{Limits, Server, schema};

use crate::host::{Clients, Host, PATIENCE, descriptors, fitting, so_far, status_kib};
use crate::parts::Scale;
use crate::wire::{self, Wire};

schema! { struct Fill { bytes: usize } }

const HEAD_TIME: Duration = Duration::from_secs(2);
const THREADS: usize = 4;
/// Of the first ones, so many open a stream, and so many are reset.
const WARM: usize = 4;
const RESETS: usize = 30;

fn storm(scale: Scale) -> usize {
    fitting(scale.of(1000, 5000), "connections")
}

fn slow(scale: Scale) -> usize {
    scale.of(300, 1000)
}

fn resets(scale: Scale) -> usize {
    scale.of(1500, 10_000)
}

pub(crate) fn serve(scale: Scale) {
    let limits =
        Limits { sessions_max: 6000, connections_max: 12_000, head_timeout: HEAD_TIME, ..Limits::DEFAULT };
    let server = Server::new("soak", "1").limits(limits);
    let server = server.tool("fill", "Give many bytes", |Fill { bytes }: Fill, _| "x".repeat(bytes));
    let listening = server.listen("127.0.0.1:0").unwrap();
    // As the binary does, so that a storm is one.
    listening.listeners().for_each(|socket| rustix::net::listen(socket, 1024).unwrap());
    let host = Host::of(listening);
    let mut clients = Clients::start("storms", host.address, scale);
    clients.said("warm");
    // Some may wait to be accepted yet, to be found dead then.
    host.until("the first ones to be accepted", |seen| {
        seen.stats.connections_opened == (WARM + RESETS) as u64
    });
    host.until_empty();
    let before = descriptors();
    println!("before: {before} descriptors, {} KiB resident", status_kib("VmRSS"));
    clients.go();
    for part in ["storm", "slow", "resets"] {
        let said = clients.said(part);
        let start = Instant::now();
        let mut stats = host.until_empty();
        while descriptors() != before && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
            stats = host.until_empty();
        }
        println!("{}", said.trim_start_matches(part).trim_start_matches(": "));
        println!(
            "  after: {} connections, {} sessions, {} calls, {} bytes held, no timer, {} descriptors, {} KiB resident; {} opened so far, {} refused",
            stats.connections,
            stats.sessions,
            stats.calls,
            stats.buffered_bytes,
            descriptors(),
            status_kib("VmRSS"),
            stats.connections_opened,
            stats.refused
        );
        assert_eq!(descriptors(), before);
        match part {
            "storm" => assert!(stats.sessions_opened >= storm(scale) as u64),
            "slow" => assert_eq!(stats.refused, slow(scale) as u64, "each half head got its 408"),
            _ => {}
        }
        clients.go();
    }
    clients.end();
    host.stop();
}

pub(crate) fn clients(address: SocketAddr, scale: Scale) {
    // What the first ones bring about once is not counted.
    (0..WARM).for_each(|_| drop(Wire::connect(address).open_sse()));
    reset_some(address, 0, RESETS);
    so_far("warm");

    let start = Instant::now();
    let each = storm(scale) / THREADS;
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            thread::spawn(move || {
                let mut all: Vec<Wire> = Vec::new();
                for _ in 0..each {
                    let mut wire = Wire::connect(address);
                    wire.send(wire::get("/sse"));
                    all.push(wire);
                }
                for wire in &mut all {
                    wire.through("event: endpoint\ndata: ");
                }
                all
            })
        })
        .collect();
    let all: Vec<Vec<Wire>> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let time = start.elapsed();
    drop(all);
    so_far(format!("storm: {} connections at once, each with its session after {time:.1?}", each * THREADS));

    let slow = slow(scale);
    let start = Instant::now();
    let mut halves: Vec<Wire> = Vec::new();
    for _ in 0..slow {
        let mut wire = Wire::connect(address);
        wire.send("G");
        halves.push(wire);
    }
    let mut stream = Wire::connect(address);
    let (endpoint, mut post) = (stream.open_sse(), Wire::connect(address));
    let (mut worst, mut pings) = (Duration::ZERO, 0);
    // A byte now and then is not enough: the head has to be whole in time.
    for byte in "ET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: aaaaaaaaaaaaaaaaaa".bytes() {
        for wire in &mut halves {
            wire.try_send([byte]);
        }
        let sent = Instant::now();
        assert_eq!(post.send(wire::post(&endpoint, &wire::ping(pings))).response().status, 202);
        stream.through("\n\n");
        (worst, pings) = (worst.max(sent.elapsed()), pings + 1);
    }
    for mut wire in halves {
        assert!(wire.rest().starts_with(b"HTTP/1.1 408 "));
    }
    let time = start.elapsed();
    drop((stream, post));
    so_far(format!(
        "slow: {slow} half heads, a byte at a time: each got 408, all within {time:.1?}; {pings} pings of another client meanwhile, answered within {worst:.1?}"
    ));

    let start = Instant::now();
    let each = resets(scale) / THREADS;
    let threads: Vec<_> = (0..THREADS)
        .map(|number| thread::spawn(move || reset_some(address, number * each, (number + 1) * each)))
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    so_far(format!(
        "resets: {} connections reset before, amid and after requests, in {:.1?}",
        each * THREADS,
        start.elapsed()
    ));
}

/// Breaks connections in the middle of a stream, a body, an answer, a head, and before any byte.
fn reset_some(address: SocketAddr, from: usize, to: usize) {
    for number in from..to {
        let mut wire = Wire::connect(address);
        let fill = wire::alone_call(1, "fill", r#"{"bytes":1000000}"#);
        match number % 6 {
            0 => drop(wire.open_sse()),
            1 => _ = wire.send(wire::post_head("/mcp", 100_000)).send("[".repeat(50_000)),
            2 => _ = wire.send(fill).through("\r\n\r\n"),
            3 => _ = wire.send(fill),
            4 => _ = wire.send("POST /mcp HT"),
            _ => {}
        }
        wire.reset();
    }
}
