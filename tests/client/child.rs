//! Servers as children: what they print, how they end, and how the client ends them. Each is a script of the shell.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mcp_rill::Revision;
use mcp_rill::client::{Builder, Client, Direction, Error, Received, Transport};
use serde_json::Value;

use crate::{LONG, assert_protocol, rpc_code};

/// A folder of a test's own, in which its server leaves notes.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rill-child-{}-{count}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        self.read(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Functions for scripts: `reply ID RESULT`, and servers up to the point where they are initialized.
const PRELUDE: &str = r#"
reply() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$1" "$2"; }
legacy() {
    read -r discover
    echo '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}'
    welcome 2
}
welcome() {
    read -r initialize
    reply "$1" '{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"sh","version":"1"}}'
    read -r initialized
}
stateless() {
    read -r discover
    reply 1 '{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{},"ttlMs":0,"cacheScope":"private"}'
}
"#;

fn script(text: &str) -> Command {
    script_in(Path::new("/"), text)
}

fn script_in(folder: &Path, text: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{PRELUDE}\n{text}")]).current_dir(folder);
    command
}

fn spawn(text: &str) -> Client {
    Client::spawn(script(text)).unwrap()
}

fn io_text<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Io(error)) => error.to_string(),
        other => panic!("an I/O error was expected, got {other:?}"),
    }
}

#[test]
fn a_server_with_sessions_is_initialized() {
    let folder = Folder::new();
    let mut client = Client::spawn(script_in(
        &folder.0,
        "legacy; read -r call; reply 3 '{\"pong\":1}'; cat >>rest; echo ended >end",
    ))
    .unwrap();
    assert_eq!((client.transport(), client.revision()), (Transport::Stdio, Some(Revision::V2025_06_18)));
    assert_eq!(client.server_info().unwrap().text(), r#"{"name":"sh","version":"1"}"#);
    assert_eq!((client.session_id(), client.endpoint()), (None, ""));
    assert_eq!(client.request("x", None).unwrap().get(), r#"{"pong":1}"#);
    // A line feed in JSON is white space; on the wire it would end the message.
    let id = client.send("y", Some("{\r\n\"a\": [\n1]}")).unwrap();
    client.cancel(&id, "enough").unwrap();
    client.close();
    assert_eq!(folder.read("end"), "ended\n", "it had the time to end by itself");
    let rest = folder.lines("rest");
    assert_eq!(rest[0]["params"]["a"][0], 1);
    assert_eq!(rest[1]["method"], "notifications/cancelled");
    assert_eq!(rest[1]["params"]["requestId"], rest[0]["id"]);
    assert!(matches!(client.ping(), Err(Error::Closed)));
}

#[test]
fn a_server_of_2026_gets_no_session() {
    let folder = Folder::new();
    let mut client =
        Client::spawn(script_in(&folder.0, "stateless; read -r call; reply 2 '{}'; cat >rest")).unwrap();
    assert_eq!((client.transport(), client.revision()), (Transport::Stdio, Some(Revision::V2026_07_28)));
    client.request("x", None).unwrap();
    let id = client.send("y", None).unwrap();
    client.cancel(&id, "enough").unwrap();
    client.close();
    let rest = folder.lines("rest");
    let version = &rest[0]["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
    assert_eq!(version, "2026-07-28");
    assert_eq!(
        (rest[1]["method"].as_str(), &rest[1]["params"]["requestId"]),
        (Some("notifications/cancelled"), &rest[0]["id"])
    );
}

#[test]
fn only_what_was_asked_for_is_tried() {
    let first = |builder: Builder| {
        let folder = Folder::new();
        let error =
            builder.spawn(script_in(&folder.0, "read -r line; echo \"$line\" >first; exit 0")).unwrap_err();
        assert_eq!(error.to_string(), "the server ended with exit code 0");
        folder.lines("first")[0]["method"].clone()
    };
    assert_eq!(first(Client::builder().revision("2025-03-26")), "initialize");
    assert_eq!(first(Client::builder().transport(Transport::Stateless)), "server/discover");
    for transport in [Transport::Sse, Transport::Streamable] {
        let refused = Client::builder().transport(transport).spawn(script("exit 9")).unwrap_err();
        assert!(matches!(&refused, Error::Invalid(text) if text.contains("lines are not HTTP")), "{refused}");
    }
    let refused = Client::builder().transport(Transport::Stdio).connect("http://localhost/").unwrap_err();
    assert!(refused.to_string().contains("start the server with `spawn`"), "{refused}");
}

#[test]
fn a_server_that_ends_at_the_first_request_is_started_again() {
    let folder = Folder::new();
    let text = "read -r first; echo \"$first\" >>firsts; case $first in *server/discover*) exit 1;; esac
        reply 2 '{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{}}'; read -r initialized; cat";
    let client = Client::spawn(script_in(&folder.0, text)).unwrap();
    assert_eq!(client.revision(), Some(Revision::V2025_11_25));
    assert_eq!(folder.lines("firsts").len(), 2);
}

#[test]
fn a_server_that_does_not_answer_the_first_request_gets_the_next() {
    let builder = Client::builder().connect_timeout(Duration::from_millis(50));
    let mut client = builder
        .spawn(script("read -r discover; welcome 2; read -r call; reply 1 '{}'; reply 3 '[]'; cat"))
        .unwrap();
    assert_eq!(client.revision(), Some(Revision::V2025_06_18));
    assert_eq!(client.request("x", None).unwrap().get(), "[]", "an answer that comes too late is dropped");
}

#[test]
fn lines_that_are_no_messages_are_skipped() {
    let noise = |count: u32| {
        format!(
            "legacy; read -r call; for i in $(seq {count}); do echo \"Starting $i\"; done; reply 3 '{{}}'; cat"
        )
    };
    let mut client = spawn(&noise(100));
    client.request("x", None).unwrap();
    let mut client = spawn(&noise(101));
    let id = client.send("x", None).unwrap();
    assert_protocol(client.wait(&id), &["more than 100 lines that are not messages", "Starting 101"]);
    client.wait(&id).unwrap();
    for (printed, why) in [
        (r"{\n", "invalid message"),
        (r#"{"jsonrpc":"2.0","id":3,"result":{}}{}\n"#, "invalid message"),
        (r"{\377}\n", "not UTF-8"),
    ] {
        let mut client = spawn(&format!("legacy; read -r call; printf '{printed}'; reply 3 '{{}}'; cat"));
        let id = client.send("x", None).unwrap();
        assert_protocol(client.wait(&id), &[why]);
        client.wait(&id).unwrap();
    }
}

#[test]
fn a_line_has_a_bound() {
    // The line is as long as the result, and 34 bytes more.
    let ask = |length: usize| {
        let text = format!(
            "legacy; read -r call; reply 3 \"\\\"$(head -c {} /dev/zero | tr '\\0' x)\\\"\"; cat",
            length - 36
        );
        let builder = Client::builder().event_bytes_max(64 << 10);
        let mut client = builder.spawn(script(&text)).unwrap();
        client.request("x", None).map(|result| result.get().len())
    };
    assert_eq!(ask(64 << 10).unwrap(), (64 << 10) - 34);
    assert_protocol(ask((64 << 10) + 1), &["more than 65536 bytes", "raise event_bytes_max"]);
}

#[test]
fn an_error_says_how_the_server_ended() {
    for (end, how) in [
        ("exit 3", "the server ended with exit code 3"),
        ("kill -KILL $$", "the server was ended by signal 9"),
        ("exec >&-; read -r more", "the server closed its standard output"),
    ] {
        let mut client = spawn(&format!("legacy; read -r call; {end}"));
        assert_eq!(io_text(client.request("x", None)), how);
        assert_eq!(io_text(client.ping()), how, "and later");
    }
    // It ends at once, so that it is started twice, and the second time counts.
    assert_eq!(io_text(Client::spawn(script("exit 7"))), "the server ended with exit code 7");
    let missing = io_text(Client::spawn(Command::new("/no/such/program")));
    assert!(missing.starts_with("cannot start `/no/such/program`: No such file"), "{missing}");
}

#[test]
fn a_server_that_reads_nothing_before_it_is_read_gets_its_message() {
    let notes = "legacy; yes '{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}' | head -n 100000; read -r call; reply 3 '{}'; cat";
    let mut client = spawn(notes);
    let params = format!(r#"{{"text":"{}"}}"#, "x".repeat(4 << 20));
    let id = client.send("x", Some(&params)).unwrap();
    let mut notifications = 0;
    while let Some(received) = client.next_message(LONG).unwrap() {
        match received {
            Received::Notification { .. } => notifications += 1,
            Received::Answer { id: answered, .. } if answered == id => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(notifications, 100_000);
}

#[test]
fn a_server_that_takes_nothing_times_out() {
    let builder = Client::builder().request_timeout(Duration::from_millis(200));
    let mut client = builder.spawn(script("legacy; exec sleep 60")).unwrap();
    let started = Instant::now();
    assert!(matches!(client.request("x", None), Err(Error::Timeout)));
    let params = format!(r#"{{"text":"{}"}}"#, "x".repeat(4 << 20));
    assert!(matches!(client.request("x", Some(&params)), Err(Error::Timeout)));
    // What follows would be read as the rest of that line.
    assert_eq!(io_text(client.ping()), "the server took only a part of a message");
    assert!(started.elapsed() < LONG);
}

#[test]
fn a_server_that_does_not_end_with_its_input_is_ended() {
    let folder = Folder::new();
    let waiting = "echo $$ >id; legacy; trap 'echo term >how; exit' TERM; while :; do sleep 0.05; done";
    drop(Client::spawn(script_in(&folder.0, waiting)).unwrap());
    assert_eq!(folder.read("how"), "term\n");

    let deaf = Folder::new();
    let mut client =
        Client::spawn(script_in(&deaf.0, "echo $$ >id; legacy; trap '' TERM; while :; do sleep 0.05; done"))
            .unwrap();
    client.close();
    for folder in [&folder, &deaf] {
        let id = folder.read("id").trim().to_owned();
        let alive = Command::new("sh").args(["-c", &format!("kill -0 {id} 2>/dev/null")]).status().unwrap();
        assert!(!alive.success(), "the process {id} is left");
    }
}

#[test]
fn questions_are_answered_and_messages_shown() {
    let shown = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&shown);
    let text = r#"legacy; read -r call; echo '{"jsonrpc":"2.0","id":"q","method":"roots/list"}'; read -r answer; reply 3 "$answer"; cat"#;
    let mut client = Client::builder()
        .capabilities(r#"{"roots":{}}"#)
        .on_request(|_, _| Ok(r#"{"roots":[]}"#.to_owned()))
        .on_message(move |direction, text| seen.lock().unwrap().push((direction, text.to_owned())))
        .spawn(script(text))
        .unwrap();
    let result = client.request("x", None).unwrap();
    assert_eq!(result.get(), r#"{"jsonrpc":"2.0","id":"q","result":{"roots":[]}}"#);
    let shown = shown.lock().unwrap();
    use Direction::{Received as In, Sent as Out};
    assert_eq!(
        shown.iter().map(|(direction, _)| *direction).collect::<Vec<_>>(),
        [Out, In, Out, In, Out, Out, In, Out, In]
    );
    assert_eq!(shown[6].1, r#"{"jsonrpc":"2.0","id":"q","method":"roots/list"}"#);
    assert!(shown[5].1.contains(r#""method":"x""#), "{shown:?}");
}

#[test]
fn a_server_may_refuse_everything() {
    let text = r#"while read -r line; do id=$(echo "$line" | sed 's/.*"id":\([0-9]*\).*/\1/')
        echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"error\":{\"code\":-32603,\"message\":\"no\"}}"; done"#;
    assert_eq!(rpc_code(Client::spawn(script(text))), -32603);
}
