//! Commands that run when a manifest's server is shut down.

use std::fs;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use serde_json::json;

use super::PATIENCE;
use super::provide::{Folder, Served};

fn script(text: &str) -> serde_json::Value {
    json!({"tools": [{"name": "work", "description": "Work", "cwd": ".", "argv": ["/bin/sh", "-c", text]}]})
}

fn until_exists(path: &std::path::Path) {
    let end = Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(Instant::now() < end, "there is no {}", path.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Starts the tool, ends the server while it runs, and returns the server and the id of the call.
fn ended_while_it_runs(folder: &Folder, text: &str, grace: &str) -> (Served, u32) {
    let path = folder.manifest(script(text));
    let limit = format!("shutdown_grace={grace}");
    let mut served = Served::with(&path, "2025-11-25", json!({}), |command| {
        command.args(["--limit", &limit]);
    });
    let id = served.send("tools/call", json!({"name": "work", "arguments": {}}));
    until_exists(&folder.0.join("runs"));
    served.guard.signal("TERM");
    let mut said = BufReader::new(served.guard.0.stderr.as_mut().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.contains("shutting down; waiting for 1 open call")));
    (served, id)
}

#[test]
fn a_command_that_runs_may_finish_within_the_grace() {
    let folder = Folder::new("finishes");
    let text = ">runs; while [ ! -e told ]; do sleep 0.01; done; echo finished";
    let (mut served, id) = ended_while_it_runs(&folder, text, "1h");
    // Only now, when the server ends.
    fs::write(folder.0.join("told"), "").unwrap();
    let answer = served.answer(id);
    assert_eq!(
        (&answer["result"]["isError"], answer["result"]["content"][0]["text"].as_str()),
        (&json!(null), Some("finished\n")),
        "{answer}"
    );
    assert_eq!(served.guard.exit_code(), Some(0));
}

#[test]
fn a_command_that_does_not_finish_is_ended_before_the_grace_is_over() {
    let folder = Folder::new("is-ended");
    let (mut served, id) = ended_while_it_runs(
        &folder,
        "trap 'echo ended; exit' TERM; >runs; while :; do sleep 0.01; done",
        "4s",
    );
    let answer = served.answer(id);
    let said = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert!(answer["result"]["isError"] == true && said.contains("was cancelled"), "{answer}");
    assert_eq!(served.guard.exit_code(), Some(0));
}
