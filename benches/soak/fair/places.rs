//! All connections taken, by half heads and by questions that are never answered.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mcp_rill::{Limits, Server, schema};
use serde_json::Value;

use super::{Promise, hold, host_of, judge, with_honest};
use crate::host::so_far;
use crate::parts::Scale;
use crate::wire::{self, Wire};

schema! { struct Name { name: String } }

/// A little more than there are connections.
const HALF_HEADS: usize = 2100;
const SESSIONS: usize = 64;
const QUESTIONS: usize = 32;

pub(crate) fn serve(scale: Scale) {
    let server = Server::new("soak", "1").tool("hello", "Say hello", |(), _| "hello").tool(
        "ask",
        "Ask",
        |_: Value, call| -> mcp_rill::Result<String> {
            Ok(call.elicit::<Name>("name", "Who?")?.accepted().map_or_else(String::new, |answer| answer.name))
        },
    );
    let p99 = Some(Duration::from_millis(100));
    let promises =
        ["half heads", "waiting questions"].map(|name| Promise { name, p50: None, p99, kib: None });
    judge(
        "places",
        host_of(server.limits(Limits { session_idle_timeout: Duration::from_secs(5), ..Limits::DEFAULT })),
        scale,
        &promises,
    );
}

pub(crate) fn clients(address: SocketAddr, scale: Scale) {
    let time = Duration::from_secs(scale.of(4, 30) as u64);
    let half_heads = |stop: &AtomicBool| {
        hold(address, stop, HALF_HEADS, |_, wire| {
            wire.try_send("G");
        })
    };
    let said = with_honest(address, &half_heads, time, 5);
    so_far(format!("half heads {said}"));
    so_far("gone");

    let mut opener = Wire::connect(address);
    let sessions: Vec<String> = (0..SESSIONS).map(|_| wire::open_mcp(&mut opener)).collect();
    let questions = |stop: &AtomicBool| {
        hold(address, stop, SESSIONS * QUESTIONS, |at, wire| {
            let call = wire::call(at / SESSIONS, "ask", "{}");
            wire.try_send(wire::mcp_post(&sessions[at % SESSIONS], &call));
        });
    };
    let said = with_honest(address, &questions, time, 5);
    drop(opener);
    so_far(format!("waiting questions {said}"));
    so_far("gone");
}
