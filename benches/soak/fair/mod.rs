//! Peers that take more than their share, and an honest client among them: what it gets meanwhile.
//!
//! Attackers and the honest client come from one address. Only the honest client, or its session, has proven anything.
//!
//! All of them share the processors of one machine, with whatever else runs there. How long the honest client and the server's
//! loop were ready to run and had no processor is the machine's part of a call's time, which the kernel tells. What is promised is
//! the rest; both are printed.

pub(crate) mod budget;
pub(crate) mod copies;
pub(crate) mod places;
pub(crate) mod queues;
pub(crate) mod turns;
mod waits;

use std::io::Read;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mcp_rill::net::Listening;
use mcp_rill::{Limits, Server};

use self::waits::Waits;
use crate::host::{Clients, Host, forget_peak, status_kib};
use crate::parts::Scale;
use crate::wire::{self, Response, Wire};

/// A reply that takes longer counts as lost, without waits for a processor.
const REPLY_TIME_MAX: Duration = Duration::from_secs(5);

/// So long the honest client waits for it, on a machine that has much else to do.
const REPLY_PATIENCE: Duration = Duration::from_secs(30);

/// So many calls are made however long they take.
const CALLS_MIN: usize = 10;

/// Time for an attack to take what it can, before the honest client is measured.
const WARM_UP: Duration = Duration::from_secs(2);

/// What the honest client got.
#[derive(Default)]
pub(crate) struct Served {
    times: Vec<Duration>,
    /// The same times without those in which no processor was free.
    own_times: Vec<Duration>,
    lost: usize,
}

/// Sorts the times. Returns the 50th and the 99th percentile.
fn percentiles(times: &mut [Duration]) -> [Duration; 2] {
    times.sort();
    let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
    [50, 99].map(|percent| at(percent).copied().unwrap_or_default())
}

/// Runs an attack for a time, and among it calls of one session, each `new_every`th on a new connection. Returns what [`among`] does.
/// The session was served before the attack, and is idle while that takes what it can.
fn with_honest(
    address: SocketAddr,
    attack: &(dyn Fn(&AtomicBool) + Sync),
    time: Duration,
    new_every: usize,
) -> String {
    let mut wire = Wire::connect(address);
    let session = wire::open_mcp(&mut wire);
    wire.send(wire::mcp_post(&session, &wire::call(0, "hello", "{}")));
    assert_eq!(wire.response().status, 200);
    let mut kept = Some(wire);
    among(&[attack], time, |number| {
        let kept_one = kept.take().filter(|_| number % new_every != 0);
        let Some(mut wire) = kept_one.or_else(|| honest(address)) else { return false };
        wire.try_send(wire::mcp_post(&session, &wire::call(number, "hello", "{}")));
        let served = is_reply(wire.try_response().as_ref(), "hello");
        kept = served.then_some(wire);
        served
    })
}

/// Runs attacks for a time, and an honest client among them. Returns a line for the server's side: calls, lost calls, and in
/// microseconds the 50th and 99th percentile of their times, and of these without waits for a processor.
fn among(
    attacks: &[&(dyn Fn(&AtomicBool) + Sync)],
    attack_time: Duration,
    mut call: impl FnMut(usize) -> bool,
) -> String {
    let stop = AtomicBool::new(false);
    let Served { mut times, mut own_times, lost } = thread::scope(|scope| {
        for attack in attacks {
            scope.spawn(|| attack(&stop));
        }
        thread::sleep(WARM_UP);
        let (mut served, waits) = (Served::default(), Waits::of_this_thread_and_the_loop());
        let start = Instant::now();
        while start.elapsed() < attack_time || served.times.len() + served.lost < CALLS_MIN {
            let (begun, waited) = (Instant::now(), waits.so_far());
            let sent = Instant::now();
            let replied = call(served.times.len() + served.lost);
            let time = sent.elapsed();
            let own_time = waits.so_far().left_of(begun.elapsed(), &waited).min(time);
            if replied && own_time <= REPLY_TIME_MAX {
                served.times.push(time);
                served.own_times.push(own_time);
            } else {
                eprintln!("a call is lost after {time:.1?}, without waits for a processor {own_time:.1?}");
                served.lost += 1;
            }
            thread::sleep(Duration::from_millis(2));
        }
        stop.store(true, Ordering::Relaxed);
        served
    });
    let calls = times.len() + lost;
    let figures = [percentiles(&mut times), percentiles(&mut own_times)].concat();
    let figures: Vec<String> = figures.iter().map(|time| time.as_micros().to_string()).collect();
    format!("{calls} {lost} {}", figures.join(" "))
}

/// A server with these limits whose listeners have the backlog that the binary sets.
fn host_of(server: Server) -> Host {
    let listening: Listening = server.listen("127.0.0.1:0").unwrap();
    listening.listeners().for_each(|socket| rustix::net::listen(socket, 1024).unwrap());
    Host::of(listening)
}

/// What the honest client of one attack is promised.
struct Promise {
    name: &'static str,
    /// The most that its calls take, without waits for a processor.
    p50: Option<Duration>,
    p99: Option<Duration>,
    /// The most that is resident meanwhile.
    kib: Option<u64>,
}

/// Runs the clients of a part, which say what the honest one got after each attack, and checks that.
fn judge(part: &str, host: Host, scale: Scale, promises: &[Promise]) {
    let mut clients = Clients::start(part, host.address, scale);
    let mut broken = Vec::new();
    for promise in promises {
        let said = clients.said(promise.name);
        let figures: Vec<u64> =
            said[promise.name.len()..].split_whitespace().map(|figure| figure.parse().unwrap()).collect();
        let [calls, lost, ..] = figures[..] else { panic!("{said}") };
        let [p50, p99, own_p50, own_p99] = [2, 3, 4, 5].map(|at| Duration::from_micros(figures[at]));
        let (stats, most) = (host.seen().stats, status_kib("VmHWM"));
        println!(
            "{}: an honest client made {calls} calls and lost {lost}; p50 {p50:.1?}, p99 {p99:.1?}, without waits for a processor {own_p50:.1?} and {own_p99:.1?}; at most {} KiB resident, {} KiB held; {} refused as busy, {} requests refused, {} connections opened",
            promise.name,
            most,
            host.seen().buffered_max >> 10,
            stats.busy,
            stats.refused,
            stats.connections_opened
        );
        if lost > 0 || calls < CALLS_MIN as u64 {
            broken.push(format!("{}: {lost} of {calls} calls lost", promise.name));
        }
        for (what, most, took) in [("p50", promise.p50, own_p50), ("p99", promise.p99, own_p99)] {
            if let Some(most) = most.filter(|most| took > *most) {
                broken.push(format!("{}: {what} is {:.1?} more than {most:.1?}", promise.name, took - most));
            }
        }
        if let Some(kib) = promise.kib {
            println!("{}: {most} KiB of {kib} stated were resident at most", promise.name);
            if most > kib {
                broken.push(format!("{}: {} KiB more than {kib} resident", promise.name, most - kib));
            }
        }
        clients.go();
        clients.said("gone");
        host.until("the attackers to be gone", |seen| seen.stats.connections == 0);
        assert!(host.seen().buffered_max <= Limits::DEFAULT.buffered_bytes_max);
        forget_peak();
        clients.go();
    }
    clients.end();
    host.until("nothing to be held", |seen| (seen.stats.connections, seen.stats.workers_busy) == (0, 0));
    host.stop();
    assert!(broken.is_empty(), "broken promises: {broken:?}");
}

/// True if the reply has that text. Says what came instead.
fn is_reply(reply: Option<&Response>, text: &str) -> bool {
    let served = reply.is_some_and(|reply| reply.text().contains(text));
    if !served {
        let status = reply.map_or("no reply".to_owned(), |reply| reply.status.to_string());
        eprintln!("instead of a reply with `{text}`: {status}");
    }
    served
}

/// A connection that gives up after `REPLY_PATIENCE`; `None` if none is accepted.
fn honest(address: SocketAddr) -> Option<Wire> {
    let socket = std::net::TcpStream::connect_timeout(&address, REPLY_PATIENCE).ok()?;
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(REPLY_PATIENCE)).unwrap();
    socket.set_write_timeout(Some(REPLY_PATIENCE)).unwrap();
    Some(Wire { socket, got: Vec::new() })
}

/// A connection whose calls return at once.
fn hostile(address: SocketAddr) -> Option<Wire> {
    let socket = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()?;
    socket.set_nodelay(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    Some(Wire { socket, got: Vec::new() })
}

/// True if the server has closed it. What it sent is dropped.
fn is_gone(wire: &mut Wire) -> bool {
    let mut bytes = [0; 4096];
    loop {
        match wire.socket.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

/// Keeps so many connections open: each that is closed is opened again. `begin` sends what it holds its place with.
fn hold(address: SocketAddr, stop: &AtomicBool, count: usize, begin: impl Fn(usize, &mut Wire)) {
    let mut all: Vec<Option<Wire>> = (0..count).map(|_| None).collect();
    while !stop.load(Ordering::Relaxed) {
        for (at, slot) in all.iter_mut().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            if slot.as_mut().is_none_or(is_gone) {
                *slot = hostile(address);
                slot.iter_mut().for_each(|wire| begin(at, wire));
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
}
