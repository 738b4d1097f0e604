//! `cli::Program`: the command line for a server of an author's own. This test binary is the program, as a child of itself.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, ExitCode, Output, Stdio};

use mcp_rill::cli::Program;
use mcp_rill::{Limits, Resource, Server};

use super::Guard;

/// Where the child finds its arguments, one a line.
const ARGUMENTS: &str = "RILL_TEST_PROGRAM";

/// What the child runs, and nothing in the test run itself.
#[test]
fn the_program() {
    let Some(arguments) = std::env::var_os(ARGUMENTS) else { return };
    let arguments = arguments.into_string().unwrap();
    let code = program().run_with(arguments.lines().map(OsString::from));
    let number = (0..=9).find(|number| ExitCode::from(*number) == code).unwrap();
    std::process::exit(number.into());
}

fn program() -> Program<'static> {
    let program = Program::new("notes", "7.8.9", |options| {
        let file = options.value("file").unwrap_or("built in").to_owned();
        if file == "missing" {
            return Err("the file of notes is missing".into());
        }
        let title = if options.is_given("loud") { "NOTES" } else { "notes" };
        // A server with a state is one like any other.
        Ok(Server::with_state("notes", "7.8.9", file)
            .title(title)
            .limits(Limits { sessions_max: 7, body_bytes_max: 256, ..Limits::default() })
            .resource("note:///1", "one", |file, _| file.clone()))
    });
    let program = program
        .about("Serves a file of notes.")
        .option("file", "FILE", "The file of notes [built in]")
        .flag("loud", "Shout");
    let program = match std::env::var_os("RILL_TEST_TAKEN") {
        Some(_) => program.option("listen", "ADDR", "Taken"),
        None => program,
    };
    let mut panics = std::env::var_os("RILL_TEST_PANIC").is_some();
    program.on_reload(move |handle| {
        assert!(!std::mem::take(&mut panics), "this closure fails once");
        handle.offer(Resource::new("note:///2", "two").handler(|_| "new"))?;
        Ok("read the notes again".to_owned())
    })
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "program::the_program", "--nocapture", "--test-threads=1"])
        .env(ARGUMENTS, arguments.join("\n"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn output(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn its_help_and_version_are_those_of_the_author() {
    let (code, help, said) = output(&["--help"]);
    assert_eq!((code, &*said), (Some(0), ""));
    let words = [
        "Serves a file of notes.\n\nUsage: notes [OPTIONS]\n",
        "\n  --file FILE            The file of notes [built in]\n  --loud                 Shout\n  --listen ADDR ",
        "--limit NAME=VALUE",
    ];
    for words in words {
        assert!(help.contains(words), "no {words:?} in {help}");
    }
    assert!(!help.contains("mcp-rill"), "{help}");
    let (code, limits, _) = output(&["--help", "limits"]);
    assert!(code == Some(0) && limits.contains("Limits of notes, set with --limit"), "{limits}");
    let (code, version, _) = output(&["--version"]);
    assert!(code == Some(0) && version.contains("notes 7.8.9\n"), "{version}");
}

#[test]
fn its_mistakes_are_told_under_its_name() {
    for (arguments, code, words) in [
        (&["--fil", "x"][..], 2, "notes: there is no option `--fil`; did you mean `--file`?\n"),
        (&["--frobnicate"], 2, "notes: there is no option `--frobnicate`; see `notes --help`\n"),
        (&["--file"], 2, "notes: missing argument for option '--file'; see --help\n"),
        (&["--file", "a", "--file", "b"], 2, "notes: --file is given twice; give it once\n"),
        (&["--loud=yes"], 2, "notes: unexpected argument for option '--loud': \"yes\"; see `notes --help`\n"),
        (&["serve"], 2, "notes: unexpected argument `serve`; see `notes --help`\n"),
        (&["--file", "missing"], 1, "notes: the file of notes is missing\n"),
    ] {
        let (found, _, said) = output(arguments);
        assert_eq!((found, &*said), (Some(code), words), "{arguments:?}");
    }
    let Output { status, stderr, .. } = command(&["--stdio"]).env("RILL_TEST_TAKEN", "1").output().unwrap();
    assert_eq!(status.code(), Some(1));
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(said, "notes: the option --listen exists already; give the new one another name\n");
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
const READ: &str = r#"{"jsonrpc":"2.0","id":2,"method":"resources/read","params":{"uri":"note:///1"}}"#;

#[test]
fn its_options_reach_the_author() {
    let mut child =
        command(&["--stdio", "--file", "milk", "--loud", "--limit", "body_bytes_max=1KiB"]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{INITIALIZE}\n{READ}").unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(r#""title":"NOTES""#) && text.contains(r#""text":"milk""#), "{text}");
    assert_eq!(output.status.code(), Some(0));
}

/// A program that serves on a port, up to the line that says so.
fn serving(arguments: &[&str]) -> (Guard, String) {
    serving_with(arguments, "RILL_TEST_NOTHING")
}

/// As `serving`, with a variable in its environment.
fn serving_with(arguments: &[&str], variable: &str) -> (Guard, String) {
    let mut guard = Guard(command(arguments).env(variable, "1").spawn().unwrap());
    let (mut said, mut lines) = (String::new(), BufReader::new(guard.0.stdout.take().unwrap()));
    while !said.contains("Ctrl-C") {
        assert_ne!(lines.read_line(&mut said).unwrap(), 0, "it ended after saying {said:?}");
    }
    (guard, said)
}

#[test]
fn what_the_server_was_built_with_is_the_default_of_the_options() {
    let long = super::post("/mcp", &"x".repeat(257));
    for (more, status) in [(&[][..], "413"), (&["--limit", "body_bytes_max=1KiB"], "400")] {
        let (_guard, said) = serving(&[&super::ANY[..], more].concat());
        let base = said.split("notes serves on\n  http://").nth(1).expect(&said).split('/').next().unwrap();
        let mut socket = super::connect(base.parse().unwrap());
        socket.write_all(long.as_bytes()).unwrap();
        assert_eq!(super::read_through(&mut socket, "\r\n").split(' ').nth(1), Some(status), "{more:?}");
    }
}

#[test]
fn a_panic_in_the_authors_closure_is_told_and_signals_are_heard_as_before() {
    let (mut guard, _) = serving_with(&super::ANY, "RILL_TEST_PANIC");
    let mut stderr = BufReader::new(guard.0.stderr.take().unwrap()).lines();
    for wanted in [
        "notes: reading again on SIGHUP panicked; what was read before stays in force",
        "notes: read the notes again",
    ] {
        guard.signal("HUP");
        // The panic's own words come first.
        assert!(stderr.any(|line| line.unwrap() == wanted), "{wanted}");
    }
    guard.signal("TERM");
    assert_eq!(guard.exit_code(), Some(0));
}

#[test]
fn a_hangup_reads_again_what_the_author_wants() {
    let (mut guard, _) = serving(&super::ANY);
    guard.signal("HUP");
    let mut stderr = BufReader::new(guard.0.stderr.take().unwrap());
    let mut said = String::new();
    stderr.read_line(&mut said).unwrap();
    assert_eq!(said, "notes: read the notes again\n");
    guard.signal("TERM");
    assert_eq!(guard.exit_code(), Some(0));
    stderr.read_to_string(&mut said).unwrap();
}
