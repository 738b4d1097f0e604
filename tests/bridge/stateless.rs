//! Clients of 2026-07-28 in front of a process that begins with `initialize`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use mcp_rill::Level;
use mcp_rill::client::{Client, Received, Transport};
use mcp_rill::json::JsonRef;
use serde_json::{Value, json};

use super::{Bridge, bridge, call, refused, wait_until};

const ELICITS: &str = r#"{"elicitation":{}}"#;

fn connect(bridge: &Bridge) -> Client {
    bridge.connect(Transport::Stateless)
}

/// A client that answers every question with its name.
fn answering(bridge: &Bridge, name: &'static str) -> Client {
    let builder = bridge.builder(Transport::Stateless).capabilities(ELICITS);
    let builder = builder.on_request(move |_, _| Ok(format!(r#"{{"action":"{name}"}}"#)));
    builder.connect(&bridge.url(Transport::Stateless)).unwrap()
}

#[test]
fn results_have_what_the_revision_needs() {
    let bridge = bridge(&[], "serve");
    let mut client = connect(&bridge);
    let info = json!({"io.modelcontextprotocol/serverInfo": {"name": "child", "version": "serve"}});
    let discovered: Value =
        serde_json::from_str(client.request("server/discover", None).unwrap().get()).unwrap();
    assert_eq!(
        discovered,
        json!({"supportedVersions": ["2026-07-28"], "resultType": "complete", "ttlMs": 0, "cacheScope": "private",
            "capabilities": {"tools": {"listChanged": true}, "resources": {"subscribe": true}, "logging": {}, "x-own": {"a": 1.50}},
            "instructions": "hi", "_meta": info})
    );
    let listed: Value = serde_json::from_str(client.request("tools/list", None).unwrap().get()).unwrap();
    assert_eq!(
        (&listed["ttlMs"], &listed["cacheScope"], &listed["_meta"]),
        (&json!(0), &json!("private"), &info)
    );
    // Nothing of the client's description reaches the process, and all else does.
    let params = r#"{"name":"echo","n":1.50,"_meta":{"own":[1e400]}}"#;
    let result = client.request("tools/call", Some(params)).unwrap();
    assert!(
        result.get().contains(r#""structuredContent":{"name":"echo","n":1.50,"_meta":{"own":[1e400]}}"#),
        "{}",
        result.get()
    );
    assert!(result.get().contains(r#""resultType":"complete""#) && !result.get().contains("ttlMs"));
    let result = client.request("own/method", Some(r#"{"a":1}"#)).unwrap();
    assert!(
        result
            .get()
            .starts_with(r#"{"method":"own/method","params":{"a":1,"_meta":{}},"resultType":"complete""#),
        "{}",
        result.get()
    );
    for removed in ["ping", "logging/setLevel", "resources/subscribe"] {
        let error = client.request(removed, Some(r#"{"uri":"a:b","level":"info"}"#)).unwrap_err().to_string();
        assert!(error.contains("-32601"), "{removed}: {error}");
    }
}

/// `principal_children_max`
#[test]
fn clients_of_one_principal_have_a_most_of_processes() {
    let bridge = bridge(&[], "lanes");
    let children = || -> Vec<String> {
        let all = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        all.filter(|pid| {
            let has = |file: &str, text: &str| {
                let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                String::from_utf8_lossy(&bytes).contains(text)
            };
            has("environ", "RILL_CHILD=lanes") && has("cmdline", "--exact\0child::child")
        })
        .collect()
    };
    let mut clients: Vec<Client> = (0..8).map(|_| answering(&bridge, "accept")).collect();
    for client in &mut clients {
        client.send("tools/call", Some(r#"{"name":"silent"}"#)).unwrap();
    }
    wait_until("each has a process", || children().len() == 8);
    // One more shares the first.
    let pid = call(&mut answering(&bridge, "accept"), "pid", "{}");
    let children = children();
    assert!(children.len() == 8 && children.contains(&pid), "{pid} {children:?}");
}

/// A proxy may have gone by the field.
#[test]
fn arguments_that_header_fields_repeat_have_to_say_the_same() {
    for mode in ["serve", "stateless", "many"] {
        let bridge = bridge(&[], mode);
        let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
        let of_tool = |name: &str, field: &str| {
            let params = format!(r#"{{"name":"{name}","arguments":{{"region":"eu"}},{meta}}}"#);
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
            let mut socket = TcpStream::connect(&bridge.address).unwrap();
            let length = body.len();
            write!(
                socket,
                "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n\
                 MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {name}\r\n{field}\
                 Content-Length: {length}\r\n\r\n{body}"
            )
            .unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).unwrap();
            answer
        };
        let with = |field: &str| of_tool("headed", field);
        let mut client = connect(&bridge);
        for _ in 0..2 {
            client.request("tools/list", None).unwrap();
        }
        let right = with("Mcp-Param-Region: eu\r\n");
        assert!(right.starts_with("HTTP/1.1 200") && right.contains(r#""text":"headed""#), "{mode}: {right}");
        for field in ["", "Mcp-Param-Region: us\r\n"] {
            let wrong = with(field);
            assert!(wrong.starts_with("HTTP/1.1 400") && wrong.contains("-32020"), "{mode}: {wrong}");
        }
        if mode == "many" {
            // annotated_tools_max
            assert!(of_tool("headed-1022", "").starts_with("HTTP/1.1 400"));
            assert!(of_tool("headed-1023", "").starts_with("HTTP/1.1 200"));
        }
    }
}

#[test]
fn progress_and_logs_come_with_their_call() {
    let bridge = bridge(&[], "serve");
    let told = Arc::new(Mutex::new(Vec::new()));
    let tells = told.clone();
    let on_notification = move |method: &str, params: Option<JsonRef<'_>>| {
        tells.lock().unwrap().push(format!("{method} {}", params.unwrap().text()));
    };
    let builder = bridge.builder(Transport::Stateless).on_notification(on_notification);
    let mut client = builder.connect(&bridge.url(Transport::Stateless)).unwrap();
    client.request("tools/call", Some(r#"{"name":"progress","_meta":{"progressToken":1.50}}"#)).unwrap();
    assert!(
        told.lock().unwrap().last().unwrap().starts_with(r#"notifications/progress {"progressToken":1.50,"#)
    );
    told.lock().unwrap().clear();
    call(&mut client, "log", "{}");
    assert_eq!(*told.lock().unwrap(), [""; 0], "it asked for none");
    client.set_level(Level::Info).unwrap();
    call(&mut client, "log", "{}");
    assert_eq!(told.lock().unwrap().len(), 2);
}

#[test]
fn a_question_is_asked_in_the_result_and_the_call_goes_on() {
    let bridge = bridge(&[], "serve");
    let mut client = answering(&bridge, "one");
    for at in 1..=3 {
        assert_eq!(call(&mut client, "ask", "{}"), format!(r#""q-{at}" {{"action":"one"}}"#));
    }
}

/// Nothing but the process tells whose question it is, so each such call has one for itself.
#[test]
fn questions_of_many_clients_at_once_do_not_cross() {
    let bridge = bridge(&[], "serve");
    let names = ["a", "b", "c", "d", "e", "f"];
    let clients = names.map(|name| {
        let mut client = answering(&bridge, name);
        thread::spawn(move || {
            for _ in 0..20 {
                let answer = call(&mut client, "ask", "{}");
                assert!(answer.ends_with(&format!(r#"{{"action":"{name}"}}"#)), "{name}: {answer}");
                call(&mut client, "pid", "{}");
            }
        })
    });
    clients.into_iter().for_each(|client| client.join().unwrap());
}

/// `suspended_calls_max`
#[test]
fn so_many_calls_wait_for_the_answers_of_their_clients() {
    const MAX: usize = 256;
    // A process that asks has one call of a client that can be asked, and a principal has eight processes.
    let tokens: String =
        (0..=MAX / 8).map(|who| format!("client-{who}:token-of-client-{who}-0123456789\n")).collect();
    let file = std::env::temp_dir().join(format!("rill-bridge-tokens-{}", std::process::id()));
    std::fs::write(&file, tokens).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let bridge = bridge(&["--token-file", file.to_str().unwrap(), "--children-max", "300"], "serve");
    std::fs::remove_file(&file).unwrap();
    let asked = |number: usize| {
        let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}"#;
        let params = format!(r#"{{"name":"ask","arguments":{{}},{meta}}}"#);
        let body = format!(r#"{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{params}}}"#);
        let mut socket = TcpStream::connect(&bridge.address).unwrap();
        let (length, who) = (body.len(), number / 8);
        write!(
            socket,
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Authorization: Bearer token-of-client-{who}-0123456789\r\n\
             MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: ask\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    for number in 0..MAX {
        let answer = asked(number);
        assert!(answer.contains(r#""resultType":"input_required""#), "{number}: {answer}");
    }
    let refused = asked(MAX);
    let text = "too many calls wait for the answers of their clients (suspended_calls_max)";
    assert!(refused.contains(text), "{refused}");
}

#[test]
fn a_client_that_cannot_be_asked_is_not_asked() {
    let bridge = bridge(&[], "serve");
    let answer = call(&mut connect(&bridge), "ask", "{}");
    assert!(answer.contains("its client cannot answer that: it has not declared the capability"), "{answer}");
}

/// Sends a call and returns its first result, whatever that asks for.
fn first_round(client: &mut Client) -> Value {
    let id = client.send("tools/call", Some(r#"{"name":"ask"}"#)).unwrap();
    match client.wait(&id) {
        Ok(result) => serde_json::from_str(result.get()).unwrap(),
        Err(error) => json!(error.to_string()),
    }
}

#[test]
fn a_client_that_answers_too_late_calls_again() {
    let bridge = bridge(&["--limit", "request_state_ttl=1s"], "serve");
    let builder = bridge.builder(Transport::Stateless).capabilities(ELICITS).on_request(|_, _| {
        thread::sleep(Duration::from_millis(2500));
        Ok("{}".to_owned())
    });
    let mut client = builder.connect(&bridge.url(Transport::Stateless)).unwrap();
    let error = first_round(&mut client);
    assert!(error.to_string().contains("has expired (limit request_state_ttl)"), "{error}");
    // The process was told.
    wait_until("it is cancelled", || call(&mut client, "cancelled", "{}").contains("requestId"));
}

#[test]
fn a_state_belongs_to_its_request_and_is_used_once() {
    let bridge = bridge(&[], "serve");
    let seen = Arc::new(Mutex::new(String::new()));
    let sees = seen.clone();
    let builder = bridge.builder(Transport::Stateless).capabilities(ELICITS).on_message(move |_, text| {
        if text.contains("input_required") {
            *sees.lock().unwrap() = text.to_owned();
        }
    });
    let builder = builder.on_request(|_, _| Ok(r#"{"action":"accept"}"#.to_owned()));
    let mut client = builder.connect(&bridge.url(Transport::Stateless)).unwrap();
    assert_eq!(call(&mut client, "ask", "{}"), r#""q-1" {"action":"accept"}"#);
    let result: Value = serde_json::from_str(&seen.lock().unwrap()).unwrap();
    let state = result["result"]["requestState"].as_str().unwrap().to_owned();
    assert_eq!(result["result"]["inputRequests"]["question-q-1"]["method"], "elicitation/create");
    let mut again = |params: String| match client.request("tools/call", Some(&params)) {
        Ok(result) => result.get().to_owned(),
        Err(error) => error.to_string(),
    };
    let used = again(format!(r#"{{"name":"ask","arguments":{{}},"requestState":"{state}"}}"#));
    assert!(used.contains("or is used already"), "{used}");
    for other in [
        format!(r#"{{"name":"keep","requestState":"{state}"}}"#),
        r#"{"name":"ask","requestState":"AAAA"}"#.into(),
    ] {
        assert!(again(other.clone()).contains("is not what this server sent"), "{other}");
    }
    assert!(again(r#"{"name":"ask","requestState":7}"#.into()).contains("must be a string"));
}

#[test]
fn what_a_client_listens_to_is_subscribed_to() {
    let bridge = bridge(&[], "serve");
    let told = Arc::new(Mutex::new(Vec::new()));
    let tells = told.clone();
    let on_notification = move |method: &str, params: Option<JsonRef<'_>>| {
        tells.lock().unwrap().push((method.to_owned(), params.unwrap().text().to_owned()));
    };
    let builder = bridge.builder(Transport::Stateless).on_notification(on_notification);
    let mut listener = builder.connect(&bridge.url(Transport::Stateless)).unwrap();
    listener.subscribe(&["a:one"]).unwrap();
    let mut other = connect(&bridge);
    let asked = call(&mut other, "kept", r#"{"of":"asked"}"#);
    assert_eq!(asked, r#"resources/subscribe{"uri":"a:one"} "#);
    call(&mut other, "update", r#"{"uri":"a:one/part"}"#);
    call(&mut other, "update", r#"{"uri":"a:other"}"#);
    call(&mut other, "announce", "{}");
    wait_until("it is told", || {
        let next = listener.next_message(Duration::from_millis(50)).unwrap();
        assert!(!matches!(next, Some(Received::Unsubscribed)));
        told.lock().unwrap().iter().any(|(method, _)| method == "notifications/tools/list_changed")
    });
    let told = std::mem::take(&mut *told.lock().unwrap());
    let updated: Vec<_> =
        told.iter().filter(|(method, _)| method == "notifications/resources/updated").collect();
    assert_eq!(updated.len(), 1, "{told:?}");
    assert!(
        updated[0].1.starts_with(r#"{"uri":"a:one/part","_meta":{"io.modelcontextprotocol/subscriptionId":"#),
        "{told:?}"
    );
    listener.close();
    wait_until("it is given up", || {
        call(&mut other, "kept", r#"{"of":"asked"}"#).contains(r#"resources/unsubscribe{"uri":"a:one"}"#)
    });
}

#[test]
fn a_process_that_dies_while_its_client_is_asked_is_told_of() {
    let bridge = bridge(&[], "serve");
    let pid = Arc::new(Mutex::new(String::new()));
    let killed = pid.clone();
    let builder = bridge.builder(Transport::Stateless).capabilities(ELICITS).on_request(move |_, _| {
        super::signal("KILL", killed.lock().unwrap().parse().unwrap());
        Ok("{}".to_owned())
    });
    let mut client = builder.connect(&bridge.url(Transport::Stateless)).unwrap();
    *pid.lock().unwrap() = call(&mut client, "pid", "{}");
    let error = refused(&mut client, "ask", "{}");
    assert!(error.contains("was ended by signal 9"), "{error}");
    call(&mut client, "pid", "{}");
}

#[test]
fn with_one_process_for_all_there_is_one_for_these_too() {
    let bridge = bridge(&["--isolate", "shared"], "serve");
    let pid = call(&mut connect(&bridge), "pid", "{}");
    assert_eq!(call(&mut bridge.connect(Transport::Sse), "pid", "{}"), pid);
    assert_eq!(call(&mut answering(&bridge, "one"), "ask", "{}"), r#""q-1" {"action":"one"}"#);
    assert_eq!(call(&mut answering(&bridge, "two"), "pid", "{}"), pid);
}
