//! Many idle sessions, and stalled readers while broadcasts go out: the stalled ones are cut and counted, the healthy ones
//! lose nothing.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use mcp_rill::{Level, Limits, Server};

use crate::host::{self, Clients, Host, assert_resident, fitting, so_far, stated_kib, status_kib};
use crate::parts::Scale;
use crate::wire::{self, Wire};

const HEALTHY: usize = 10;
const WARM: usize = 8;
/// Logs between two looks at the healthy ones: so few that all streams together have room for them.
const BATCH: usize = 16;
const LOG_BYTES: usize = 1024;
const URI: &str = "soak:///news";

fn idle(scale: Scale) -> usize {
    scale.of(1500, 9000)
}

fn stalled(scale: Scale) -> usize {
    scale.of(200, 1000)
}

pub(crate) fn serve(scale: Scale) {
    let (stalled, others) = (stalled(scale), stalled(scale) + HEALTHY + WARM);
    let idle = fitting(idle(scale) + others, "connections") - others;
    let sessions = idle + others;
    let limits = Limits {
        sessions_max: sessions,
        connections_max: 2 * sessions,
        write_timeout: Duration::from_secs(2),
        ..Limits::DEFAULT
    };
    let server = Server::new("soak", "1").limits(limits.clone()).resource(URI, "news", |_| "news");
    let mut listening = server.listen("127.0.0.1:0").unwrap();
    listening.on_accept(|socket, _| {
        // The kernel is to take little, so that it is the server that has to hold what is not read.
        rustix::net::sockopt::set_socket_send_buffer_size(socket, 16 << 10)?;
        Ok(None)
    });
    let host = Host::of(listening);
    let mut clients = Clients::start("crowd", host.address, scale);
    clients.said("warm");
    let before = status_kib("VmRSS");
    clients.go();

    clients.said("idle");
    let after = status_kib("VmRSS");
    let peers = Limits { buffered_bytes_max: 0, ..limits.clone() };
    let (grown, most) = (after - before, stated_kib(&peers, idle, idle));
    println!(
        "{idle} idle sessions, initialized: {before} KiB resident before, {after} after: {:.2} KiB each, {most} KiB stated",
        grown as f64 / idle as f64
    );
    assert_resident("idle sessions", grown, most);
    clients.go();

    clients.said("stalled");
    let start = Instant::now();
    let mut batches = 0;
    clients.go();
    // At least so many that every stalled one has more than its kernel takes, and then until all are cut.
    loop {
        for number in 0..BATCH {
            let text = format!("{:08} {}", batches * BATCH + number, "x".repeat(LOG_BYTES));
            host.handle.log(Level::Notice, text);
        }
        host.handle.tools_changed();
        host.handle.resource_updated(URI);
        clients.said("got");
        batches += 1;
        let stats = host.seen().stats;
        if batches >= 4 && stats.slow_readers >= stalled as u64 {
            break;
        }
        assert!(start.elapsed() < host::PATIENCE, "{stats:?}");
        clients.go();
    }
    println!(
        "{stalled} stalled readers: all cut and counted after {batches} batches of {BATCH} logs of 1 KiB and 2 other broadcasts, in {:.1?}",
        start.elapsed()
    );
    let seen = host.until("the healthy ones to be left", |seen| seen.stats.sessions == sessions - stalled);
    let stated = stated_kib(&limits, sessions, sessions);
    let most = status_kib("VmHWM");
    println!(
        "{HEALTHY} healthy ones got all {} of each, in order; {idle} idle ones are still there; slow readers: {}",
        batches * (BATCH + 2),
        seen.stats.slow_readers
    );
    println!(
        "held by peers: at most {} KiB; resident: at most {} KiB, {before} KiB at the start and {stated} stated; {} KiB now",
        seen.buffered_max >> 10,
        most,
        status_kib("VmRSS")
    );
    assert_eq!(seen.stats.slow_readers, stalled as u64);
    assert!(seen.buffered_max <= limits.buffered_bytes_max, "{}", seen.buffered_max);
    assert_resident("stalled readers", most, before + stated);
    // The word that there will be no more batches.
    host.handle.log(Level::Notice, "end");
    clients.go();
    clients.end();
    host.until_empty();
    println!("resident when all have gone: {} KiB", status_kib("VmRSS"));
    host.stop();
}

/// Opens a session and initializes it.
fn open(wire: &mut Wire, post: &mut Wire) -> String {
    let endpoint = wire.open_sse();
    for body in [&wire::initialize(), wire::INITIALIZED] {
        assert_eq!(post.send(wire::post(&endpoint, body)).response().status, 202);
    }
    wire.through("\n\n");
    endpoint
}

pub(crate) fn clients(address: SocketAddr, scale: Scale) {
    let mut post = Wire::connect(address);
    let others = stalled(scale) + HEALTHY + WARM;
    let idle = fitting(idle(scale) + others, "connections") - others;
    let quiet = r#"{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"emergency"}}"#;
    let mut open_quiet = || {
        let mut wire = Wire::connect(address);
        let endpoint = open(&mut wire, &mut post);
        assert_eq!(post.send(wire::post(&endpoint, quiet)).response().status, 202);
        wire.through("\n\n");
        wire.got = Vec::new();
        wire
    };
    let _warm: Vec<Wire> = (0..WARM).map(|_| open_quiet()).collect();
    so_far("warm");
    let idle: Vec<Wire> = (0..idle).map(|_| open_quiet()).collect();
    so_far("idle");

    let mut open_of = |narrow: bool| {
        let mut wire = if narrow { Wire::narrow(address) } else { Wire::connect(address) };
        let endpoint = open(&mut wire, &mut post);
        (wire, endpoint)
    };
    let _stalled: Vec<_> = (0..stalled(scale)).map(|_| open_of(true)).collect();
    let healthy: Vec<_> = (0..HEALTHY).map(|_| open_of(false)).collect();
    let subscribe =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{{"uri":"{URI}"}}}}"#);
    let mut readers = Vec::new();
    for (mut wire, endpoint) in healthy {
        assert_eq!(post.send(wire::post(&endpoint, &subscribe)).response().status, 202);
        wire.through("\n\n");
        let (tell, told) = std::sync::mpsc::channel();
        readers.push((thread::spawn(move || read_in_order(&mut wire, &tell)), told));
    }
    so_far("stalled");
    // One round more than the server sends batches: the last one ends with "end".
    loop {
        let ended: Vec<bool> =
            readers.iter().map(|(_, told)| told.recv().expect("a healthy reader failed")).collect();
        if ended.iter().all(|ended| *ended) {
            break;
        }
        so_far("got");
    }
    readers.into_iter().for_each(|(reader, _)| reader.join().unwrap());
    drop(idle);
}

/// Reads batch after batch, each whole and in order; tells after each whether it was the end instead.
fn read_in_order(wire: &mut Wire, tell: &std::sync::mpsc::Sender<bool>) {
    let mut next = 0;
    let mut event = || loop {
        let event = wire.through("\n\n");
        if event != ": ping\n\n" {
            return event;
        }
    };
    loop {
        for _ in 0..BATCH {
            let log = event();
            if log.contains(r#""data":"end""#) {
                return tell.send(true).unwrap();
            }
            assert!(
                log.contains(&format!(r#""data":"{next:08} "#)),
                "{next}: {}",
                &log[..log.len().min(200)]
            );
            next += 1;
        }
        assert!(event().contains("notifications/tools/list_changed"));
        assert!(event().contains(URI));
        tell.send(false).unwrap();
    }
}
