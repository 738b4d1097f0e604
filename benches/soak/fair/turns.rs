//! Many connections that always have more requests to serve.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mcp_rill::{Limits, Server};

use super::{Promise, host_of, hostile, judge, with_honest};
use crate::host::so_far;
use crate::parts::Scale;
use crate::wire::{self, Wire};

const PIPELINES: usize = 500;
/// Requests that one of them sends at once.
const REQUESTS: usize = 100;

pub(crate) fn serve(scale: Scale) {
    let server = Server::new("soak", "1")
        .tool("hello", "Say hello", |(), _| "hello")
        .limits(Limits { session_idle_timeout: Duration::from_secs(5), ..Limits::DEFAULT });
    let promise = Promise {
        name: "pipelines",
        p50: Some(Duration::from_millis(25)),
        p99: Some(Duration::from_millis(100)),
        kib: None,
    };
    judge("turns", host_of(server), scale, &[promise]);
}

/// Sends as much as is taken on each of them, and reads what comes.
fn pipeline(address: SocketAddr, stop: &AtomicBool) {
    let requests = wire::alone_call(1, "hello", "{}").repeat(REQUESTS).into_bytes();
    let mut bytes = vec![0; 64 << 10];
    let mut all: Vec<(Wire, usize)> = (0..PIPELINES).filter_map(|_| Some((hostile(address)?, 0))).collect();
    while !stop.load(Ordering::Relaxed) {
        for (wire, sent) in &mut all {
            while let Ok(1..) = wire.socket.read(&mut bytes) {}
            match wire.socket.write(&requests[*sent..]) {
                Ok(count) => *sent = (*sent + count) % requests.len(),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    }
}

pub(crate) fn clients(address: SocketAddr, scale: Scale) {
    let time = Duration::from_secs(scale.of(4, 20) as u64);
    let said = with_honest(address, &|stop| pipeline(address, stop), time, usize::MAX);
    so_far(format!("pipelines {said}"));
    so_far("gone");
}
