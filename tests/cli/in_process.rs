//! A manifest as the client's target: it is served in the client's own process, and its commands end with that.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;

use super::shell::{Folder, at_terminal, done, error, run};
use super::{Guard, PATIENCE};

/// The server: tools that show who started them, wait, and ask.
fn manifest(folder: &Folder) -> String {
    let shell = |script: &str| json!(["/bin/sh", "-c", script]);
    let pid_file = folder.0.join("pid").display().to_string();
    let waits =
        format!("echo $$ > '{pid_file}.new'; mv '{pid_file}.new' '{pid_file}'; while :; do sleep 0.05; done");
    let tool =
        |name: &str, argv: serde_json::Value| json!({"name": name, "description": "A test", "argv": argv});
    let mut sure = tool("sure", json!(["/bin/echo", "done"]));
    sure["confirm"] = json!("Really?");
    let mut lines = tool("lines", shell("echo one; echo two"));
    lines["output"] = json!("lines");
    let mut hidden = tool("hidden", json!(["/bin/echo", "hidden"]));
    hidden["principals"] = json!(["ada"]);
    let server = json!({
        "manifest": 1,
        "server": {"name": "small", "version": "1"},
        "tools": [
            // The guard of the command is its parent, and was started by what serves.
            tool("parents", shell("read -r _ _ _ server _ < /proc/$PPID/stat; tr '\\0' ' ' < /proc/$server/cmdline")),
            tool("waits", shell(&waits)),
            tool("stubborn", shell(&format!("trap '' TERM; {waits}"))),
            sure, lines, hidden,
        ],
    });
    folder.write("manifest.json", &server.to_string())
}

fn is_running(pid: &str) -> bool {
    Path::new("/proc").join(pid).join("exe").read_link().is_ok()
}

/// Waits for what has to come, and returns it.
fn eventually<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "still not: {what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn no_other_process_serves() {
    let folder = Folder::new();
    let manifest = manifest(&folder);
    let (code, out, _) = run(&["call", &manifest, "parents"]);
    assert_eq!(code, 0);
    assert_eq!(out.trim_end(), format!("{} call {manifest} parents", env!("CARGO_BIN_EXE_mcp-rill")));
    // What is restricted to somebody is not there.
    assert!(!done_quietly(&["list", &manifest]).contains("hidden"));
    assert!(run(&["call", &manifest, "hidden"]).2.contains("no tool `hidden`"));
}

/// What it writes when all goes well, with the warnings of the manifest.
fn done_quietly(arguments: &[&str]) -> String {
    let (code, out, err) = run(arguments);
    assert_eq!(code, 0, "{arguments:?}: {err}");
    out
}

#[test]
fn a_command_ends_with_the_call_that_was_given_up() {
    let folder = Folder::new();
    let manifest = manifest(&folder);
    let (code, _, err) = run(&["call", &manifest, "stubborn", "--timeout", "500ms"]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("--timeout"), "{err}");
    // It ignores TERM, and KILL has come before the client ended. A slow machine may not have started it at all.
    if let Ok(pid) = fs::read_to_string(folder.0.join("pid")) {
        assert!(!is_running(pid.trim()));
    }
}

#[test]
fn a_signal_ends_the_client_and_its_commands() {
    let folder = Folder::new();
    let manifest = manifest(&folder);
    for (signal, tool) in [("INT", "waits"), ("TERM", "waits"), ("HUP", "waits"), ("KILL", "stubborn")] {
        let pid_file = folder.0.join("pid");
        let _ = fs::remove_file(&pid_file);
        let child = Command::new(env!("CARGO_BIN_EXE_mcp-rill"))
            .args(["call", &manifest, tool])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut client = Guard(child);
        let pid = eventually("the command", || fs::read_to_string(&pid_file).ok());
        assert!(is_running(pid.trim()));
        let kill = Command::new("kill").args([&format!("-{signal}"), &client.0.id().to_string()]).status();
        assert!(kill.unwrap().success());
        assert_eq!(client.exit_code(), None, "{signal} ends it, and nothing catches it");
        eventually("the command has ended", || (!is_running(pid.trim())).then_some(()));
    }
}

#[test]
fn a_confirmation_is_asked_at_the_terminal() {
    let folder = Folder::new();
    let manifest = manifest(&folder);
    let call = ["call", &manifest, "sure"];
    let (code, screen) = at_terminal(&call, "y\n");
    assert!(code == 0 && screen.contains("Really?") && screen.ends_with("done\n"), "{code} {screen}");
    let (code, screen) = at_terminal(&call, "n\n");
    assert!(code == 5 && screen.contains("the user does not want `sure` to run"), "{code} {screen}");
    let (code, screen) = at_terminal(&call, "");
    assert!(
        code == 1 && screen.contains("the question `Really?") && !screen.contains("done\n"),
        "{code} {screen}"
    );
}

#[test]
fn errors_and_progress_are_those_of_any_server() {
    let folder = Folder::new();
    let manifest = manifest(&folder);
    let (_, out, err) = run(&["call", &manifest, "lines"]);
    assert!(out.ends_with("one\ntwo\n") && err.contains("2 two"), "{out} {err}");
    for (era, code) in [("2026", 0), ("2025", 0), ("sse", 2)] {
        let (found, _, err) = run(&["ping", &manifest, "--era", era]);
        assert_eq!(found, code, "{era}: {err}");
    }
    assert!(run(&["ping", &manifest, "--header", "A: b"]).2.contains("about HTTP"));

    // Mistakes of the manifest are those of `check`, in each form.
    let wrong = folder.write("wrong.json", r#"{"manifest": 1, "tools": [{"name": "x"}]}"#);
    let err = error(1, &["list", &wrong]);
    assert!(err.contains("wrong.json:1:") && err.contains("argv"), "{err}");
    let (code, out, err) = run(&["list", &wrong, "--json"]);
    assert_eq!((code, out.as_str(), err.lines().count()), (1, "", 1));
    let limits = folder.write("limits.json", r#"{"manifest": 1, "server": {"limits": {"calls_max": "0"}}}"#);
    assert!(error(1, &["list", &limits]).contains("calls_max"));
    // With --json its warnings are left out: standard error has errors alone.
    assert!(run(&["list", &manifest]).2.contains("warning"));
    assert_eq!(run(&["list", &manifest, "--json"]).2, "");
    let small =
        folder.write("small.json", r#"{"manifest": 1, "server": {"limits": {"page_items_max": "1"}}}"#);
    assert_eq!(done(&["list", &small]), "");
}
