//! The process that all clients have, with `--eager`: it runs without a request.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::life::descendants;
use super::{Bridge, bridge, call, refused, signal, wait_until};

const EAGER: [&str; 3] = ["--isolate", "shared", "--eager"];

/// The processes of the server behind a bridge, without their guards.
fn running(bridge: &Bridge) -> Vec<String> {
    let is_child = |process: &String| {
        std::fs::read_to_string(format!("/proc/{process}/cmdline"))
            .is_ok_and(|line| line.ends_with("--exact\0child::child\0") && !line.contains("exec"))
    };
    descendants(bridge.process.id()).into_iter().filter(is_child).collect()
}

/// Waits for a process that is not `before`.
pub fn next(bridge: &Bridge, before: &str) -> String {
    let mut found = None;
    wait_until("a process runs", || {
        found = running(bridge).into_iter().find(|process| process != before);
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn it_runs_before_the_first_request_and_again_after_its_end() {
    let mut bridge = bridge(&EAGER, "serve");
    let first = next(&bridge, "");
    let mut client = bridge.client();
    assert_eq!(call(&mut client, "pid", "{}"), first);
    signal("KILL", first.parse().unwrap());
    bridge.says("kid: it was ended by signal 9");
    let second = next(&bridge, &first);
    assert_eq!(call(&mut client, "pid", "{}"), second);
    bridge.end();
    assert!(running(&bridge).is_empty());
}

#[test]
fn one_that_is_ended_has_a_successor_once_there_is_room() {
    let bridge = bridge(&[&EAGER[..], &["--children-max", "1"]].concat(), "serve");
    let first = next(&bridge, "");
    let mut client = bridge.client();
    assert!(refused(&mut client, "noise", r#"{"lines":101}"#).contains("more than 100 lines"));
    let second = next(&bridge, &first);
    assert_eq!(call(&mut client, "pid", "{}"), second);
}

/// Without a wait there would be hundreds in that time.
#[test]
fn one_that_ends_at_once_is_started_less_and_less_often() {
    for (mode, end) in [("die", "it ended with exit code 7"), ("brief", "it ended with exit code 5")] {
        let start = Instant::now();
        let mut bridge = bridge(&EAGER, mode);
        wait_until(end, || bridge.said.lock().unwrap().matches(end).count() >= 4);
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(700), "{mode}: after 100, 200 and 400 ms, not {took:?}");
        // It is waiting for its next start, and does not wait for it to end.
        bridge.end();
        assert!(descendants(bridge.process.id()).is_empty());
    }
}

#[test]
fn without_restart_it_is_started_once() {
    let bridge = bridge(&[&EAGER[..], &["--restart", "never"]].concat(), "serve");
    let first = next(&bridge, "");
    let mut client = bridge.client();
    assert_eq!(call(&mut client, "pid", "{}"), first);
    signal("KILL", first.parse().unwrap());
    bridge.says("kid: it was ended by signal 9");
    let url = bridge.url(mcp_rill::client::Transport::Streamable);
    let error =
        bridge.builder(mcp_rill::client::Transport::Streamable).connect(&url).unwrap_err().to_string();
    assert!(error.contains("is not started again (--restart never)"), "{error}");
    assert!(refused(&mut client, "pid", "{}").contains("is not started again (--restart never)"));
    assert!(running(&bridge).is_empty());
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for (options, said) in [
        (&["--eager"][..], "--eager is about the process that all clients have; add --isolate shared"),
        (&["--eager", "--isolate", "session"], "add --isolate shared, or leave it out"),
        (
            &["--eager", "--isolate", "shared", "--child-idle", "5"],
            "--eager keeps the process running, and --child-idle ends it; leave one of them out",
        ),
        (&["--eager", "--eager", "--isolate", "shared"], "--eager is given twice"),
        (&["--eager=yes", "--isolate", "shared"], "--eager"),
        (&["--eagre"], "did you mean `--eager`?"),
    ] {
        let mut process = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
        process.arg("bridge").args(options).args(["--", "/bin/true"]);
        let refused = process.stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{options:?}: {stderr}");
        assert!(stderr.contains(said), "{options:?}: {stderr}");
    }
}
