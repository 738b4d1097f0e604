//! Requests without end from peers that never read: reading stops, memory stays flat, others are served.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mcp_rill::{Limits, Server};
use rustix::net::sockopt;

use crate::host::{Clients, Host, so_far, status_kib};
use crate::parts::Scale;
use crate::wire::{self, Wire};

const QUIET: Duration = Duration::from_secs(1);

/// What three peers may hold: a turn's input and output each, and one of them half a stream's output; buffers double.
fn held_max() -> usize {
    6 * Limits::DEFAULT.turn_bytes_max + 2 * Limits::DEFAULT.output_bytes_max
}

pub(crate) fn serve(scale: Scale) {
    let server = Server::new("soak", "1").tool("hello", "Say hello", |(), _| "hello");
    let mut listening = server.listen("127.0.0.1:0").unwrap();
    listening.on_accept(|socket, _| {
        // The kernel is to take little, so that it shows what the server takes.
        sockopt::set_socket_recv_buffer_size(socket, 16 << 10)?;
        sockopt::set_socket_send_buffer_size(socket, 16 << 10)?;
        Ok(None)
    });
    let host = Host::of(listening);
    let mut clients = Clients::start("pipeline", host.address, scale);
    clients.said("warm");
    let before = status_kib("VmRSS");
    clients.go();
    println!("{}", clients.said("sent"));
    let (seen, after) = (host.seen(), status_kib("VmHWM"));
    println!(
        "held: {} KiB, at most {} KiB; resident: {before} KiB before, at most {after} KiB; {} messages taken, {} refused as busy",
        seen.stats.buffered_bytes >> 10,
        seen.buffered_max >> 10,
        seen.stats.messages_received,
        seen.stats.busy
    );
    assert!(seen.buffered_max <= held_max(), "{}", seen.buffered_max);
    assert!(after - before <= (held_max() >> 9) as u64, "{after} KiB");
    clients.go();
    clients.end();
    host.until_empty();
    host.stop();
}

pub(crate) fn clients(address: SocketAddr, scale: Scale) {
    let count = scale.of(20_000, 100_000);
    let connect = || Wire::narrow(address);
    let (mut stream, mut healthy) = (connect(), Wire::connect(address));
    let endpoint = stream.open_sse();
    let session = wire::open_mcp(&mut healthy);
    so_far("warm");

    let many = |request: &dyn Fn(usize) -> String| -> Vec<u8> {
        (0..count).flat_map(|id| request(id).into_bytes()).collect()
    };
    let call = |id| wire::call(id, "hello", "{}");
    let floods = [
        ("/messages", many(&|id| wire::post(&endpoint, &call(id)))),
        ("/mcp with a session", many(&|id| wire::mcp_post(&session, &call(id)))),
        ("/mcp without", many(&|id| wire::alone_call(id, "hello", "{}"))),
    ];
    let mut told = Vec::new();
    let (mut worst, mut pings) = (Duration::ZERO, 0);
    let mut open = Vec::new();
    for (name, bytes) in &floods {
        let mut wire = connect();
        let flood = std::thread::scope(|scope| {
            let flood = scope.spawn(|| wire.send_until_full(bytes, QUIET));
            while !flood.is_finished() {
                let sent = Instant::now();
                let response = healthy.send(wire::alone_call(pings, "hello", "{}")).response();
                assert!(response.status == 200 && response.text().contains("hello"), "{response:?}");
                (worst, pings) = (worst.max(sent.elapsed()), pings + 1);
            }
            flood.join().unwrap()
        });
        assert!(flood < bytes.len(), "{name}: all {flood} bytes were taken");
        told.push(format!("{name} {} of {} KiB", flood >> 10, bytes.len() >> 10));
        open.push(wire);
    }
    so_far(format!(
        "sent {count} requests each by peers that never read, until no more was taken for {QUIET:?}: {}; {pings} calls of another client meanwhile, each answered within {worst:.1?}",
        told.join(", ")
    ));
    let end = format!("DELETE /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nMcp-Session-Id: {session}\r\n\r\n");
    assert_eq!(healthy.send(end).response().status, 200);
}
