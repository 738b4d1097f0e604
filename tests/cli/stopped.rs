//! The program after it was stopped and continued (SIGSTOP and SIGCONT; a frozen container does the same).
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{PATIENCE, Running, connect, post, read_through};

/// Longer than any of the deadlines below, and than what is taken for a late turn.
const STOP: Duration = Duration::from_secs(3);

const LIMITS: [&str; 12] = [
    "--limit",
    "head_timeout=1s",
    "--limit",
    "body_timeout=1s",
    "--limit",
    "idle_timeout=1s",
    "--limit",
    "write_timeout=1s",
    "--limit",
    "session_idle_timeout=1s",
    "--limit",
    "initialize_timeout=1s",
];

/// Sends SIGSTOP and waits until the process is stopped.
fn stop(running: &Running) {
    running.guard.signal("STOP");
    let stat = format!("/proc/{}/stat", running.guard.0.id());
    while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
        std::thread::yield_now();
    }
}

fn status(socket: &mut TcpStream) -> String {
    read_through(socket, "\r\n").split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn what_has_arrived_meanwhile_is_heard_and_nobody_is_too_late() {
    let running = Running::start(&[&["--listen", "127.0.0.1:0"][..], &LIMITS].concat());
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    let mut client = connect(running.addr());
    client.write_all(post("/mcp", initialize).as_bytes()).unwrap();
    let head = read_through(&mut client, "\r\n\r\n").to_ascii_lowercase();
    let session = head.split("mcp-session-id: ").nth(1).unwrap().split("\r\n").next().unwrap().to_owned();
    let ping = post("/mcp", super::PING).replace("Host:", &format!("Mcp-Session-Id: {session}\r\nHost:"));
    // Half a head and half a body; the rest comes while the process is stopped, or after that.
    let cut = ping.len() - 1;
    let mut halves: Vec<TcpStream> = (0..4).map(|_| connect(running.addr())).collect();
    for (at, half) in halves.iter_mut().enumerate() {
        half.write_all(&ping.as_bytes()[..if at % 2 == 0 { 10 } else { cut }]).unwrap();
    }
    // An answer on each of these shows that all of the above was read.
    assert_eq!(running.status(&ping), "200");
    stop(&running);
    std::thread::sleep(STOP);
    for (at, half) in halves.iter_mut().enumerate().take(2) {
        half.write_all(&ping.as_bytes()[if at % 2 == 0 { 10 } else { cut }..]).unwrap();
    }
    let mut late = connect(running.addr());
    late.write_all(ping.as_bytes()).unwrap();
    running.guard.signal("CONT");
    assert_eq!(status(&mut late), "200", "the session is still open");
    for (at, half) in halves.iter_mut().enumerate() {
        if at >= 2 {
            half.write_all(&ping.as_bytes()[if at % 2 == 0 { 10 } else { cut }..]).unwrap();
        }
        assert_eq!(status(half), "200", "{at}");
    }
    // Deadlines are met again.
    let mut half = connect(running.addr());
    half.write_all(b"GET").unwrap();
    half.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = String::new();
    half.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
}

/// A stop that is too short to be noticed puts no deadline off. What came meanwhile is heard first all the same.
#[test]
fn what_has_arrived_during_a_short_stop_is_heard_before_a_deadline_passes() {
    let running = Running::start(&["--listen", "127.0.0.1:0", "--limit", "head_timeout=2s"]);
    let (head, rest) = ("GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n", "\r\n");
    let mut halves: Vec<TcpStream> = (0..2).map(|_| connect(running.addr())).collect();
    for half in &mut halves {
        half.write_all(head.as_bytes()).unwrap();
    }
    // The answer shows that these were read.
    assert_eq!(running.status(&[head, rest].concat()), "404");
    stop(&running);
    std::thread::sleep(Duration::from_millis(2300));
    halves[0].write_all(rest.as_bytes()).unwrap();
    running.guard.signal("CONT");
    assert_eq!(status(&mut halves[0]), "404");
    assert_eq!(status(&mut halves[1]), "408");
}
