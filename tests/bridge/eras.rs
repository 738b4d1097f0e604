//! Clients of each era in front of processes of each era: every cell of the table.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use mcp_rill::Level;
use mcp_rill::client::{Client, Transport};
use mcp_rill::json::JsonRef;
use serde_json::json;

use super::{Bridge, bridge, bridge_of, call, refused, wait_until};

/// The transport, and the revision that an older client asks for.
const CLIENTS: [(Transport, Option<&str>); 5] = [
    (Transport::Sse, Some("2024-11-05")),
    (Transport::Streamable, Some("2025-03-26")),
    (Transport::Streamable, Some("2025-06-18")),
    (Transport::Sse, Some("2025-11-25")),
    (Transport::Stateless, None),
];
/// Modes of the process: what it speaks, and how it behaves.
const PROCESSES: [&str; 6] = ["serve", "stateless", "both", "banner", "slow", "strict"];
const ISOLATIONS: [&[&str]; 2] = [&[], &["--isolate", "shared"]];

type Told = Arc<Mutex<Vec<String>>>;

/// A client that answers questions with its name, and what it is told.
fn client(
    bridge: &Bridge,
    (transport, revision): (Transport, Option<&str>),
    name: &'static str,
) -> (Client, Told) {
    let told = Told::default();
    let tells = told.clone();
    let mut builder = bridge
        .builder(transport)
        .capabilities(r#"{"elicitation":{}}"#)
        .on_request(move |_, _| Ok(format!(r#"{{"action":"{name}"}}"#)))
        .on_notification(move |method: &str, params: Option<JsonRef<'_>>| {
            tells.lock().unwrap().push(format!("{method} {}", params.map_or("", JsonRef::text)));
        });
    if let Some(revision) = revision {
        builder = builder.revision(revision);
    }
    (builder.connect(&bridge.url(transport)).unwrap(), told)
}

/// The same work in every cell: a call with numbers that keep their digits, progress, a question, logs, a subscription, an error.
fn work(bridge: &Bridge, kind: (Transport, Option<&str>), mode: &str) {
    let what = format!("{kind:?} {mode}");
    let (mut client, told) = client(bridge, kind, "ada");
    let params = r#"{"name":"echo","n":123456789012345678901234567890.10,"_meta":{"own":[1E+40]}}"#;
    let result = client.request("tools/call", Some(params)).unwrap();
    assert!(result.get().contains(r#""n":123456789012345678901234567890.10"#), "{what}: {}", result.get());
    assert!(result.get().contains(r#""own":[1E+40]"#), "{what}: {}", result.get());
    let is_new = kind.0 == Transport::Stateless;
    assert_eq!(result.get().contains("resultType"), is_new, "{what}: {}", result.get());

    let params = r#"{"name":"progress","_meta":{"progressToken":"mine"}}"#;
    client.request("tools/call", Some(params)).unwrap();
    let progress =
        told.lock().unwrap().iter().filter(|said| said.contains(r#""progressToken":"mine""#)).count();
    assert!(progress >= 1, "{what}: {told:?}");

    let answer = call(&mut client, "ask", "{}");
    assert!(answer.ends_with(r#" {"action":"ada"}"#), "{what}: {answer}");

    client.set_level(Level::Error).unwrap();
    told.lock().unwrap().clear();
    call(&mut client, "log", "{}");
    let logs: Vec<String> =
        told.lock().unwrap().iter().filter(|said| said.contains("/message")).cloned().collect();
    // An older process with a client of its own is asked for the level, and this one does not heed it.
    assert!(logs.last().is_some_and(|log| log.contains(r#""level":"error""#)), "{what}: {logs:?}");

    client.subscribe(&["a:one"]).unwrap();
    let (mut listened, method) = (false, "notifications/resources/updated");
    wait_until("it is told of an update", || {
        call(&mut client, "update", r#"{"uri":"a:one"}"#);
        let _ = client.next_message(std::time::Duration::from_millis(50));
        listened =
            told.lock().unwrap().iter().any(|said| said.starts_with(&format!(r#"{method} {{"uri":"a:one""#)));
        listened
    });

    if mode == "stateless" {
        let error = client.request("resources/read", Some(r#"{"uri":"a:none"}"#)).unwrap_err().to_string();
        assert!(error.contains(if is_new { "-32602" } else { "-32002" }), "{what}: {error}");
    }
    client.close();
}

#[test]
fn every_client_works_with_every_process() {
    for isolation in ISOLATIONS {
        for mode in PROCESSES {
            let bridge = bridge(isolation, mode);
            for kind in CLIENTS {
                work(&bridge, kind, mode);
            }
        }
    }
}

const ELICITS: &str = r#"{"elicitation":{}}"#;

/// A client with a session, which answers `answer`, or refuses if there is none.
fn answering(bridge: &Bridge, answer: Option<&'static str>) -> Client {
    let builder =
        bridge.builder(Transport::Streamable).capabilities(ELICITS).on_request(move |_, _| match answer {
            Some(answer) => Ok(answer.to_owned()),
            None => Err(mcp_rill::jsonrpc::Error::new(-32042, "not today")),
        });
    builder.connect(&bridge.url(Transport::Streamable)).unwrap()
}

#[test]
fn a_session_begins_with_what_a_process_without_sessions_discovers() {
    let bridge = bridge(&[], "stateless");
    let mut client = answering(&bridge, Some("{}"));
    let result = client.initialize_result().unwrap().text().to_owned();
    assert!(result.starts_with(r#"{"protocolVersion":"2025-11-25","capabilities":{"#), "{result}");
    assert!(result.contains(r#""x-own":1"#) && result.ends_with(r#""instructions":"hi"}"#), "{result}");
    assert!(result.contains(r#""serverInfo":{"name":"child","version":"stateless"}"#), "{result}");
    // Its process would end if it was told of these, and knows what its client can do.
    client.notify("notifications/roots/list_changed", None).unwrap();
    client.ping().unwrap();
    call(&mut client, "ask", "{}");
    assert_eq!(call(&mut client, "kept", r#"{"of":"capabilities"}"#), ELICITS);
    let again = bridge.client();
    let discovered = bridge.connect(Transport::Stateless).request("server/discover", None).unwrap();
    let (versions, hints) = (r#""supportedVersions":["2026-07-28"]"#, r#""ttlMs":7"#);
    assert!(discovered.get().contains(versions) && discovered.get().contains(hints), "{}", discovered.get());
    drop(again);
}

#[test]
fn questions_of_a_process_without_sessions_are_asked_in_turn() {
    for isolation in ISOLATIONS {
        let bridge = bridge(&[isolation, &["--limit", "rounds_max=3"]].concat(), "stateless");
        let mut client = answering(&bridge, Some(r#"{"action":"yes"}"#));
        for rounds in 1..=3 {
            let answer = call(&mut client, "ask", &format!(r#"{{"rounds":"{rounds}"}}"#));
            assert_eq!(answer, format!(r#""s-{rounds}" {{"action":"yes"}}"#));
        }
        let error = refused(&mut client, "ask", r#"{"rounds":"4"}"#);
        assert!(error.contains("in more than 3 rounds (limit rounds_max)"), "{error}");
        let error = refused(&mut client, "ask", r#"{"method":"sampling/createMessage"}"#);
        assert!(
            error.contains("`sampling/createMessage`, for which that has not declared the capability"),
            "{error}"
        );
        let error = refused(&mut client, "ask", r#"{"params":7}"#);
        assert!(error.contains("`elicitation/create` with `params` that is no object"), "{error}");
        let error = refused(&mut answering(&bridge, None), "ask", "{}");
        assert!(error.contains("the client refused: not today"), "{error}");
        let error = refused(&mut bridge.client(), "ask", "{}");
        assert!(error.contains("which can answer nothing"), "{error}");
        assert_eq!(call(&mut client, "ask", "{}"), r#""s-1" {"action":"yes"}"#);
    }
}

#[test]
fn a_question_that_nobody_answers_ends_its_call() {
    let bridge = bridge(&["--limit", "question_timeout=1s"], "stateless");
    let builder = bridge.builder(Transport::Sse).capabilities(ELICITS);
    let mut client = builder
        .on_request(|_, _| {
            std::thread::sleep(std::time::Duration::from_millis(2500));
            Ok("{}".to_owned())
        })
        .connect(&bridge.url(Transport::Sse))
        .unwrap();
    let error = refused(&mut client, "ask", "{}");
    assert!(error.contains("has not answered in time (limit question_timeout)"), "{error}");
    call(&mut client, "pid", "{}");
}

/// By hand, since a client answers what it is asked at once.
#[test]
fn a_call_that_is_cancelled_while_its_client_is_asked_withdraws_the_question() {
    let bridge = bridge(&[], "stateless");
    let mut stream = TcpStream::connect(&bridge.address).unwrap();
    write!(stream, "GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut until = |text: &str| lines.find(|line| line.contains(text)).unwrap();
    let target = until("data: /messages").split_off("data: ".len());
    let post = |body: &str| {
        let mut socket = TcpStream::connect(&bridge.address).unwrap();
        let fields = "Host: localhost\r\nContent-Type: application/json\r\nConnection: close";
        write!(socket, "POST {target} HTTP/1.1\r\n{fields}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    };
    let client = r#""protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"c","version":"1"}"#;
    post(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{{client}}}}}"#));
    until(r#""id":1,"result""#);
    post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    post(r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"ask"}}"#);
    until(r#""id":1,"method":"elicitation/create""#);
    post(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#);
    until(r#""method":"notifications/cancelled","params":{"requestId":1,"#);
    // Its answer is too late, and there is room for the next one.
    post(r#"{"jsonrpc":"2.0","id":1,"result":{"action":"late"}}"#);
    post(r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"ask"}}"#);
    until(r#""id":2,"method":"elicitation/create""#);
    post(r#"{"jsonrpc":"2.0","id":2,"result":{"action":"yes"}}"#);
    assert!(until(r#""id":3,"result""#).contains(r#"\"s-1\" {\"action\":\"yes\"}"#));
}

/// A question in a result belongs to its call, so that all clients may be asked at once.
#[test]
fn questions_of_a_shared_process_without_sessions_do_not_cross() {
    let bridge = bridge(&["--isolate", "shared"], "both");
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    std::thread::scope(|scope| {
        for (at, name) in names.into_iter().enumerate() {
            let bridge = &bridge;
            scope.spawn(move || {
                let (mut client, _) = client(bridge, CLIENTS[at % CLIENTS.len()], name);
                for _ in 0..20 {
                    let answer = call(&mut client, "ask", r#"{"rounds":"2"}"#);
                    assert_eq!(answer, format!(r#""s-2" {{"action":"{name}"}}"#));
                }
            });
        }
    });
}

/// All clients of a process have one stream of its notifications, for what they want together.
#[test]
fn what_sessions_subscribe_to_is_listened_to() {
    let bridge = bridge(&["--isolate", "shared"], "stateless");
    let streamed = |name| client(&bridge, CLIENTS[0], name);
    let ((mut one, told_one), (mut other, told_other)) = (streamed("one"), streamed("other"));
    one.subscribe(&["a:one"]).unwrap();
    other.subscribe(&["a:two"]).unwrap();
    call(&mut one, "update", r#"{"uri":"a:one/part"}"#);
    call(&mut one, "announce", "{}");
    let heard = |client: &mut Client, told: &Told| {
        client.ping().unwrap();
        std::mem::take(&mut *told.lock().unwrap())
    };
    let changed = "notifications/tools/list_changed ";
    assert_eq!(
        heard(&mut one, &told_one),
        [r#"notifications/resources/updated {"uri":"a:one/part"}"#, changed]
    );
    assert_eq!(heard(&mut other, &told_other), [changed]);
    other.close();
    let last = r#"listen{"promptsListChanged":true,"resourceSubscriptions":["a:one"],"resourcesListChanged":true,"toolsListChanged":true} "#;
    wait_until("the other's subscription ends", || {
        call(&mut one, "kept", r#"{"of":"asked"}"#).ends_with(last)
    });
}

/// Each change of what is listened to sends all of it: many of them are one for a process that does not read.
#[test]
fn a_process_that_reads_late_is_told_once_what_to_listen_to() {
    let bridge = bridge(&["--isolate", "shared"], "stateless");
    let file = std::env::temp_dir().join(format!("rill-bridge-pause-{}", std::process::id()));
    let (mut pausing, (mut one, told)) = (bridge.client(), client(&bridge, CLIENTS[0], "one"));
    let until = json!({"name": "pause", "arguments": {"until": file}}).to_string();
    let paused = pausing.send("tools/call", Some(&until)).unwrap();
    let uris: Vec<String> = (0..100).map(|at| format!("a:{at}:{}", "x".repeat(4000))).collect();
    uris.iter().for_each(|uri| one.subscribe(&[uri]).unwrap());
    std::fs::write(&file, "").unwrap();
    pausing.wait(&paused).unwrap();
    std::fs::remove_file(file).unwrap();
    let last = json!({"uri": uris[99]}).to_string();
    wait_until("the last is listened to", || {
        call(&mut one, "update", &last);
        told.lock().unwrap().iter().any(|told| told.contains("resources/updated"))
    });
    // Those that a socket or a pipe has room for, and the last one.
    let asked = call(&mut one, "kept", r#"{"of":"asked"}"#);
    let times = asked.matches("listen{").count();
    assert!((2..40).contains(&times), "{times}");
}

/// Some older processes never answer a method that they do not know, and some of 2026-07-28 take long to begin.
#[test]
fn a_process_that_does_not_say_what_it_speaks_is_initialized() {
    let bridges = ["deaf", "late"].map(|mode| (mode, bridge(&["--isolate", "shared"], mode)));
    std::thread::scope(|scope| {
        for (mode, bridge) in &bridges {
            scope.spawn(move || {
                assert_eq!(
                    call(&mut bridge.connect(Transport::Stateless), "keep", r#"{"text":"x"}"#),
                    "kept"
                );
                let (mut client, _) = client(bridge, CLIENTS[2], "ada");
                assert_eq!(call(&mut client, "kept", "{}"), "x");
                // Whose process says nothing of 2026-07-28 is asked for one call at a time.
                let begin = if *mode == "late" { r#""s-1""# } else { r#""q-1""# };
                assert_eq!(call(&mut client, "ask", "{}"), format!(r#"{begin} {{"action":"ada"}}"#));
            });
        }
    });
}

#[test]
fn a_process_that_refuses_both_beginnings_says_why() {
    let script = r#"while read line; do n=$((n+1)); echo '{"jsonrpc":"2.0","id":'$n',"error":{"code":-32000,"message":"no license"}}'; done"#;
    for isolation in ISOLATIONS {
        let bridge = bridge_of(isolation, "", &["sh", "-c", script]);
        for transport in [Transport::Streamable, Transport::Stateless] {
            let error = bridge.builder(transport).connect(&bridge.url(transport)).unwrap_err().to_string();
            assert!(error.contains("no license") || error.contains("it is started again in"), "{error}");
        }
    }
}

/// As one that is installed while the bridge runs: that it did not start says nothing of what it speaks.
#[test]
fn a_process_that_did_not_start_is_asked_for_its_revisions_later() {
    let file = std::env::temp_dir().join(format!("rill-bridge-later-{}", std::process::id()));
    let bridge = bridge_of(&[], "both", &[file.to_str().unwrap()]);
    let url = bridge.url(Transport::Stateless);
    let error = bridge.builder(Transport::Stateless).connect(&url).unwrap_err().to_string();
    assert!(error.contains("does not exist: install it"), "{error}");
    let own = std::env::current_exe().unwrap();
    let script = format!("#!/bin/sh\nexec 3>&1 >/dev/null\nexec '{}' --exact child::child\n", own.display());
    // Renamed, so that it is never executed while it is being written.
    let new = file.with_extension("new");
    std::fs::write(&new, script).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::rename(&new, &file).unwrap();
    let mut client = None;
    wait_until("it is started again", || {
        client = bridge.builder(Transport::Stateless).connect(&url).ok();
        client.is_some()
    });
    let found = client.unwrap().request("server/discover", None).unwrap();
    // An answer of its own has this, and one that the bridge makes of `initialize` has not.
    assert!(found.get().contains(r#""ttlMs":7"#), "{}", found.get());
    std::fs::remove_file(&file).unwrap();
}
