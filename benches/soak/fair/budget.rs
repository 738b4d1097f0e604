//! Memory that is nearly full with half bodies.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mcp_rill::{Limits, Server};

use super::{Promise, among, hold, honest, host_of, is_reply, judge};
use crate::host::so_far;
use crate::parts::Scale;
use crate::wire::{self, Wire};

const MIB: usize = 1 << 20;

pub(crate) fn serve(scale: Scale) {
    let mut server = Server::new("soak", "1")
        .limits(Limits { session_idle_timeout: Duration::from_secs(5), ..Limits::DEFAULT });
    for number in 0..80 {
        let name = format!("tool{number}");
        server = server.tool(&name, &"One of many tools. ".repeat(20), |(), _| "done");
    }
    let promises = ["half bodies", "half bodies of clients that have been served"].map(|name| Promise {
        name,
        p50: None,
        p99: None,
        kib: None,
    });
    judge("bodies", host_of(server), scale, &promises);
}

pub(crate) fn clients(address: SocketAddr, scale: Scale) {
    let time = Duration::from_secs(scale.of(4, 20) as u64);
    for (name, proven) in [("half bodies", false), ("half bodies of clients that have been served", true)] {
        let bodies = |stop: &AtomicBool| {
            // Fifteen of the largest, and ever smaller ones for all but 16 KiB of what is left.
            hold(address, stop, 23, |at, wire| {
                let bytes = if at < 15 { 4 * MIB } else { (4 * MIB) >> (at - 14) };
                wire.socket.set_nonblocking(false).unwrap();
                wire.socket.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
                wire.socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
                if proven {
                    wire.try_send(wire::get("/nowhere"));
                    let _ = wire.try_response();
                }
                wire.try_send(wire::post_head("/mcp", bytes));
                wire.try_send(vec![b' '; bytes - 1]);
                wire.socket.set_nonblocking(true).unwrap();
            });
        };
        let mut wire = Wire::connect(address);
        let session = wire::open_mcp(&mut wire);
        let mut kept = Some(wire);
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        let said = among(&[&bodies], time, |_| {
            let Some(mut wire) = kept.take().or_else(|| honest(address)) else { return false };
            wire.try_send(wire::mcp_post(&session, list));
            let served = is_reply(wire.try_response().as_ref(), "tool79");
            kept = served.then_some(wire);
            served
        });
        drop(kept);
        so_far(format!("{name} {said}"));
        so_far("gone");
    }
}
