//! When processes begin and end, and that nothing of them is left.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use mcp_rill::client::Transport;

use super::{bridge, bridge_of, call, is_alive, signal, wait_until};

#[test]
fn a_process_ends_with_its_session() {
    let bridge = bridge(&[], "serve");
    for transport in [Transport::Sse, Transport::Streamable] {
        let mut client = bridge.connect(transport);
        let pid = call(&mut client, "pid", "{}");
        let left = call(&mut client, "leave", "{}");
        assert!(is_alive(&pid) && is_alive(&left));
        client.close();
        wait_until("the process is gone", || !is_alive(&pid));
        wait_until("what it has started is gone", || !is_alive(&left));
    }
}

#[test]
fn all_processes_end_with_the_bridge() {
    let mut bridge = bridge(&["--limit", "linger_timeout=10ms"], "farewell");
    let mut clients = [bridge.client(), bridge.connect(Transport::Sse)];
    let mut pids: Vec<String> = clients.iter_mut().map(|client| call(client, "pid", "{}")).collect();
    pids.extend(clients.iter_mut().map(|client| call(client, "leave", "{}")));
    bridge.end();
    assert!(pids.iter().all(|pid| !is_alive(pid)));
    // A signal would have ended them without a word.
    wait_until("both have ended with their input", || {
        bridge.said.lock().unwrap().matches("kid: its input has ended\n").count() == 2
    });
}

#[test]
fn all_processes_end_with_a_bridge_that_is_killed() {
    let bridge = bridge(&[], "serve");
    let mut clients = [bridge.client(), bridge.connect(Transport::Sse)];
    let mut pids: Vec<String> = clients.iter_mut().map(|client| call(client, "pid", "{}")).collect();
    pids.extend(clients.iter_mut().map(|client| call(client, "leave", "{}")));
    bridge.signal("KILL");
    for pid in pids {
        wait_until("it is gone", || !is_alive(&pid));
    }
}

/// A process that heeds neither the end of its input nor TERM.
#[test]
fn a_process_that_does_not_want_to_end_is_killed() {
    let script = r#"trap '' TERM; read line; echo '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"'$$'","version":"1"}}}'; while :; do sleep 1000; done"#;
    let mut bridge = bridge_of(&[], "", &["sh", "-c", script]);
    let client = bridge.client();
    let info = client.server_info().unwrap().member("name").unwrap().unwrap().as_str().unwrap().into_owned();
    assert!(is_alive(&info));
    let took = bridge.end();
    assert!(!is_alive(&info));
    assert!(took.as_secs() >= 4, "2 s after its input, 2 s after TERM: {took:?}");
}

/// What it has written last is passed on, also if nothing but that announces the end of its output.
#[test]
fn a_process_that_closes_its_output_is_ended() {
    let folder = std::env::temp_dir().join(format!("rill-closes-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let answer = r#"{"jsonrpc":"2.0","id":N,"result":{RESULT}}"#;
    let welcome =
        r#""protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"'$$'","version":"1"}"#;
    let [first, second] = [("1", welcome), ("2", r#""content":[{"type":"text","text":"last"}]"#)]
        .map(|(id, result)| answer.replace('N', id).replace("RESULT", result));
    let script = format!(
        "cd {}; read a; echo '{first}'; read b; read c; : >read; until [ -e go ]; do sleep 0.01; done; echo '{second}'; exec >&-; \
         : >closed; exec sleep 1000",
        folder.display()
    );
    let bridge = bridge_of(&[], "", &["sh", "-c", &script]);
    let mut client = bridge.client();
    let pid = client.server_info().unwrap().member("name").unwrap().unwrap().as_str().unwrap().into_owned();
    let id = client.send("tools/call", Some(r#"{"name":"x"}"#)).unwrap();
    wait_until("it has read the call", || folder.join("read").exists());
    // Its last line and the end of its output are seen at once.
    bridge.signal("STOP");
    std::fs::write(folder.join("go"), "").unwrap();
    wait_until("it has closed its output", || folder.join("closed").exists());
    bridge.signal("CONT");
    assert_eq!(super::text(&client.wait(&id).unwrap()), "last");
    wait_until("it is ended", || !is_alive(&pid));
    std::fs::remove_dir_all(folder).unwrap();
}

/// `child_initialize_bytes_max`
#[test]
fn a_process_meets_the_client_up_to_a_most_of_bytes() {
    let bridge = bridge(&[], "serve");
    let post = |session: &str, message: String| {
        let mut socket = TcpStream::connect(&bridge.address).unwrap();
        let length = message.len();
        write!(
            socket,
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Accept: application/json\r\n{session}Content-Length: {length}\r\n\r\n{message}"
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    for (bytes, name) in [(16 << 10, "c"), ((16 << 10) + 1, "mcp-rill")] {
        let begin =
            r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":""#;
        let end = r#""}}"#;
        let params = format!("{begin}{}{end}", "1".repeat(bytes - begin.len() - end.len()));
        let answer =
            post("", format!(r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{params}}}"#));
        let session = answer.lines().find(|line| line.starts_with("Mcp-Session-Id: ")).unwrap();
        let call = |tool: &str| {
            let params = format!(r#"{{"name":"{tool}","arguments":{{"code":"1","of":"initialize"}}}}"#);
            let message = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
            post(&format!("{session}\r\n"), message)
        };
        let met = || {
            let answer = call("kept");
            assert!(answer.contains(&format!(r#"\"name\":\"{name}\""#)), "{answer}");
        };
        met();
        assert!(call("exit").contains("ended with exit code 1"));
        met();
    }
}

#[test]
fn a_process_that_is_killed_has_a_successor() {
    let bridge = bridge(&[], "serve");
    let mut client = bridge.client();
    let pid = call(&mut client, "pid", "{}");
    signal("KILL", pid.parse().unwrap());
    bridge.says("kid: it was ended by signal 9");
    let next = call(&mut client, "pid", "{}");
    assert_ne!(pid, next);
}

/// Clients that end in every way, and processes that are killed: after each of so many of them nothing is left.
fn nothing_is_left(cycles: usize) {
    let bridge = bridge(&["--children-max", "200"], "serve");
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", bridge.process.id())).unwrap().count();
    // What a first client makes it open stays open.
    drop(bridge.client());
    wait_until("the first process is gone", || descendants(bridge.process.id()).is_empty());
    let before = descriptors();
    let cycle = |at: usize| {
        let mut client =
            bridge.connect(if at.is_multiple_of(2) { Transport::Streamable } else { Transport::Sse });
        let pid = call(&mut client, "pid", "{}");
        let open = client.send("tools/call", Some(r#"{"name":"silent"}"#)).unwrap();
        // One that comes after the end of the process would be its successor's.
        wait_until("it is open", || call(&mut client, "kept", r#"{"of":"silent"}"#) == "yes");
        match at % 4 {
            0 => client.close(),
            // The socket is closed, and over Streamable HTTP the session is left to a later DELETE.
            1 => client.cancel(&open, "enough").unwrap(),
            _ => {
                signal("KILL", pid.parse().unwrap());
                let error = client.wait(&open).unwrap_err().to_string();
                assert!(error.contains("was ended by signal 9"), "{error}");
            }
        }
        client.close();
        pid
    };
    let pids: Vec<String> = std::thread::scope(|scope| {
        let cycle = &cycle;
        let workers: Vec<_> = (0..8)
            .map(|first| scope.spawn(move || (first..cycles).step_by(8).map(cycle).collect::<Vec<_>>()))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(pids.len(), cycles);
    wait_until("no process is left", || descendants(bridge.process.id()).is_empty());
    assert!(pids.iter().all(|pid| !is_alive(pid)));
    wait_until("no descriptor is left", || descriptors() <= before);
}

/// The processes that each thread of a process has started, those included that have ended and were not reaped.
pub fn children(of: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{of}/task")).into_iter().flatten().flatten();
    let lists = tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// All processes below one, by their numbers.
pub fn descendants(of: u32) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut parents = vec![of.to_string()];
    while let Some(parent) = parents.pop() {
        let children = children(parent.parse().unwrap());
        parents.extend(children.iter().cloned());
        found.extend(children);
    }
    found
}

#[test]
fn nothing_is_left_of_clients_and_processes_that_come_and_go() {
    nothing_is_left(80);
}

/// `cargo test --release --test bridge -- --ignored left_of_very_many`.
#[test]
#[ignore = "it takes a minute or more"]
fn nothing_is_left_of_very_many() {
    nothing_is_left(2000);
}

#[test]
fn no_more_processes_run_than_are_allowed() {
    let bridge = bridge(&["--children-max", "2"], "serve");
    let mut clients = [bridge.client(), bridge.client()];
    let url = bridge.url(Transport::Streamable);
    let error = bridge.builder(Transport::Streamable).connect(&url).unwrap_err().to_string();
    assert!(
        error.contains("the server `kid` has as many processes as it may have: 2 (--children-max)"),
        "{error}"
    );
    let pid = call(&mut clients[0], "pid", "{}");
    clients[0].close();
    wait_until("the process is gone", || !is_alive(&pid));
    wait_until("there is room", || bridge.builder(Transport::Streamable).connect(&url).is_ok());
}

#[test]
fn a_process_that_is_not_needed_ends_and_comes_back() {
    let bridge = bridge(&["--child-idle", "1"], "serve");
    let mut client = bridge.client();
    let pid = call(&mut client, "pid", "{}");
    wait_until("it ends", || !is_alive(&pid));
    // A ping needs none.
    client.ping().unwrap();
    assert_ne!(call(&mut client, "pid", "{}"), pid);
}

/// What a client sends back with its answer is of use to that process alone.
#[test]
fn a_process_that_has_asked_is_kept_for_the_answer() {
    let bridge = bridge(&["--child-idle", "2"], "stateless");
    for transport in [Transport::Stateless, Transport::Streamable] {
        let builder = bridge.builder(transport).capabilities(r#"{"elicitation":{}}"#).on_request(|_, _| {
            thread::sleep(Duration::from_millis(4500));
            Ok(r#"{"action":"accept"}"#.to_owned())
        });
        let mut client = builder.connect(&bridge.url(transport)).unwrap();
        let pid = call(&mut client, "pid", "{}");
        assert_eq!(call(&mut client, "ask", r#"{"rounds":"1"}"#), r#""s-1" {"action":"accept"}"#);
        assert_eq!(call(&mut client, "pid", "{}"), pid, "{transport:?}");
        // The answer has come, so it need not be kept until its time is over.
        wait_until("it ends", || !is_alive(&pid));
    }
}

/// The time to be idle is none to be slow in: that is `child_read_timeout`.
#[test]
fn a_process_that_reads_late_is_not_idle() {
    let bridge = bridge(&["--child-idle", "1"], "serve");
    let mut client = bridge.client();
    let file = std::env::temp_dir().join(format!("rill-bridge-late-{}", std::process::id()));
    let pause = serde_json::json!({"name": "pause", "arguments": {"until": file}}).to_string();
    let paused = client.send("tools/call", Some(&pause)).unwrap();
    // More than a pipe takes.
    let long = format!(r#"{{"name":"keep","arguments":{{"text":"{}"}}}}"#, "x".repeat(300_000));
    let kept = client.send("tools/call", Some(&long)).unwrap();
    thread::sleep(Duration::from_millis(2500));
    std::fs::write(&file, "").unwrap();
    client.wait(&paused).unwrap();
    client.wait(&kept).unwrap();
    std::fs::remove_file(file).unwrap();
}

#[test]
fn without_restart_the_end_is_the_end() {
    let bridge = bridge(&["--restart", "never"], "serve");
    let mut client = bridge.client();
    let pid = call(&mut client, "pid", "{}");
    signal("KILL", pid.parse().unwrap());
    bridge.says("kid: it was ended by signal 9");
    let error = super::refused(&mut client, "pid", "{}");
    assert!(error.contains("was ended by signal 9, and is not started again (--restart never)"), "{error}");
    call(&mut bridge.client(), "pid", "{}");
}
