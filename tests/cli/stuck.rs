//! The program while its standard error, or standard output, is stuck: a full pipe that is not read, such as that of a log collector
//! which has stopped.

use std::io::{PipeReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::{ADA, BOB, Guard, OK, PATIENCE, Place, Running, TokenFile, make_pipe};

/// A pipe with no room for another byte. Both ends wait, as those of a service manager do.
fn full_pipe() -> (PipeReader, Stdio) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    for size in [4096, 1] {
        while writer.write(&vec![b'.'; size]).is_ok() {}
    }
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer.into())
}

fn start(arguments: &[&str]) -> (Running, PipeReader) {
    let (reader, stderr) = full_pipe();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
    command.args(["--listen", "127.0.0.1:0", "--log"]).args(arguments);
    (Running::with_stderr(command, stderr), reader)
}

fn status(running: &Running, token: &str) -> String {
    running.status(&format!("HEAD /sse HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"))
}

/// Sends SIGHUP until the token gets that status.
fn reload_until(running: &Running, token: &str, wanted: &str) {
    let start = Instant::now();
    running.guard.signal("HUP");
    while status(running, token) != wanted {
        assert!(start.elapsed() < PATIENCE, "the token still does not get {wanted}");
    }
}

#[test]
fn a_signal_ends_it() {
    let (mut running, _stderr) = start(&[]);
    // More lines than are kept.
    for _ in 0..1500 {
        assert_eq!(running.status("GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"), "404");
    }
    // Each of these has the program say something.
    let stream = running.open();
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"countdown","arguments":{"seconds":60}}}"#;
    assert_eq!(running.post(&stream.endpoint, call), "202");
    running.guard.signal("HUP");
    running.guard.signal("TERM");
    drop(stream);
    assert_eq!(running.guard.exit_code(), Some(0));
}

#[test]
fn a_shutdown_that_waits_is_ended_by_a_second_signal() {
    let limits = ["--limit", "linger_timeout=1h", "--limit", "shutdown_grace=1h"];
    let (mut running, _stderr) = start(&limits);
    let mut stream = running.open();
    running.guard.signal("TERM");
    stream.until_the_end();
    running.guard.signal("TERM");
    assert_eq!(running.guard.exit_code(), Some(143));
}

#[test]
fn a_token_that_is_withdrawn_stops_working() {
    let file = TokenFile::new("stuck", &format!("ada:{ADA}\nbob:{BOB}\n"));
    let (mut running, mut stderr) = start(&["--token-file", file.path()]);
    assert_eq!([ADA, BOB].map(|token| status(&running, token)), ["200", "200"]);
    file.write(&format!("ada:{ADA}\n"), 0o600);
    reload_until(&running, BOB, "401");
    // And given back: the thread that reads files again is not stuck after the first time.
    file.write(&format!("ada:{ADA}\nbob:{BOB}\n"), 0o600);
    reload_until(&running, BOB, "200");
    // What waited is written once there is a reader.
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = stderr.read_to_string(&mut text);
        let _ = tell.send(text);
    });
    running.guard.signal("TERM");
    assert_eq!(running.guard.exit_code(), Some(0));
    let text = told.recv_timeout(PATIENCE).unwrap();
    assert!(text.contains("read again, tokens: 1") && text.contains("read again, tokens: 2"), "{text}");
}

#[test]
fn a_pipe_in_the_place_of_one_file_does_not_keep_another_from_being_read() {
    let tokens = TokenFile::new("stuck-tokens", &format!("ada:{ADA}\n"));
    let keys = TokenFile::new("stuck-keys", "000102030405060708090a0b0c0d0e0f\n");
    let (mut running, _stderr) = start(&["--token-file", tokens.path(), "--state-key-file", keys.path()]);
    std::fs::remove_file(keys.path()).unwrap();
    make_pipe(keys.path(), "600");
    tokens.write(&format!("bob:{BOB}\n"), 0o600);
    reload_until(&running, ADA, "401");
    running.guard.signal("TERM");
    assert_eq!(running.guard.exit_code(), Some(0));
}

#[test]
fn a_standard_output_that_is_stuck_holds_nothing_up() {
    let place = Place::new("stuck");
    let ((_out, stdout), (_err, stderr)) = (full_pipe(), full_pipe());
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
    command.args(["--listen", &place.listen()]).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    let mut guard = Guard(command.spawn().unwrap());
    let start = Instant::now();
    while std::fs::symlink_metadata(place.socket()).is_err() {
        assert!(start.elapsed() < PATIENCE, "it does not listen");
        std::thread::yield_now();
    }
    assert_eq!(place.ask(), OK);
    guard.signal("TERM");
    assert_eq!(guard.exit_code(), Some(0));
}
