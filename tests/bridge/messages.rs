//! What passes through a bridge, and what is changed on the way.

use std::sync::{Arc, Mutex};

use mcp_rill::client::Transport;
use serde_json::{Value, json};

use super::{Bridge, bridge, call, refused};

const BOTH: [Transport; 2] = [Transport::Sse, Transport::Streamable];

/// What a client was told, method and parameters.
type Told = Arc<Mutex<Vec<(String, String)>>>;

fn told() -> (Told, impl FnMut(&str, Option<mcp_rill::json::JsonRef<'_>>) + Send + 'static) {
    let told = Told::default();
    let tells = told.clone();
    (told, move |method: &str, params: Option<mcp_rill::json::JsonRef<'_>>| {
        let params = params.map_or(String::new(), |params| params.text().to_owned());
        tells.lock().unwrap().push((method.to_owned(), params));
    })
}

#[test]
fn a_session_begins_as_its_server_says() {
    let bridge = bridge(&[], "serve");
    for transport in BOTH {
        let client = bridge.connect(transport);
        let result = client.initialize_result().unwrap().text().to_owned();
        assert!(result.contains(r#""x-own":{"a":1.50}"#), "{result}");
        assert!(
            result.contains(r#""protocolVersion":"2025-06-18""#) && result.contains(r#""instructions":"hi""#)
        );
    }
}

#[test]
fn what_is_not_known_here_passes_through_as_it_was_written() {
    let bridge = bridge(&[], "serve");
    for transport in BOTH {
        let mut client = bridge.connect(transport);
        let params = r#"{"deep":[{"n":123456789012345678901234567890.10,"e":1E+5}],"_meta":{"x":[]},"t":"\u00e9\ud83d\ude00"}"#;
        let result = client.request("own/method", Some(params)).unwrap();
        assert_eq!(result.get(), format!(r#"{{"method":"own/method","params":{params}}}"#));
        client.notify("notifications/own", Some(r#"{"n":0.10}"#)).unwrap();
        assert_eq!(call(&mut client, "kept", r#"{"of":"notifications/own"}"#), r#"{"n":0.10}"#);
        assert_eq!(call(&mut client, "kept", r#"{"of":"notifications/initialized"}"#), "");
    }
}

#[test]
fn each_session_has_a_process_of_its_own() {
    let bridge = bridge(&[], "serve");
    let mut clients: Vec<_> = BOTH.iter().chain(&BOTH).map(|transport| bridge.connect(*transport)).collect();
    let mut pids = Vec::new();
    for (at, client) in clients.iter_mut().enumerate() {
        call(client, "keep", &format!(r#"{{"text":"secret {at}"}}"#));
        pids.push(call(client, "pid", "{}"));
    }
    for (at, client) in clients.iter_mut().enumerate() {
        assert_eq!(call(client, "kept", "{}"), format!("secret {at}"));
    }
    pids.sort();
    pids.dedup();
    assert_eq!(pids.len(), 4);
}

/// The token comes back as it was written, whatever its type.
#[test]
fn progress_comes_under_the_token_of_its_client() {
    let bridge = bridge(&[], "serve");
    for transport in BOTH {
        for token in [r#""a \"b\"""#, "7", "0.5", "18446744073709551617", "-0"] {
            let (told, handler) = told();
            let mut client =
                bridge.builder(transport).on_notification(handler).connect(&bridge.url(transport)).unwrap();
            let params = format!(r#"{{"name":"progress","_meta":{{"progressToken":{token},"own":1}}}}"#);
            client.request("tools/call", Some(&params)).unwrap();
            let told = told.lock().unwrap();
            let progress: Vec<_> =
                told.iter().filter(|(method, _)| method == "notifications/progress").collect();
            assert!(!progress.is_empty(), "{token}");
            for (_, params) in progress {
                assert!(params.starts_with(&format!(r#"{{"progressToken":{token},"#)), "{params}");
                assert!(params.ends_with(r#","own":0.10}"#), "{params}");
            }
        }
    }
}

#[test]
fn a_call_is_answered_once_and_by_its_own_answer() {
    let bridge = bridge(&[], "serve");
    for transport in BOTH {
        let mut client = bridge.connect(transport);
        assert_eq!(call(&mut client, "stray", "{}"), "first");
        assert_eq!(call(&mut client, "as text", "{}"), "done");
    }
    bridge.says("it answered a request that it was not sent (id 999999)");
    bridge.says(r#"it answered a request that it was not sent (id "a")"#);
}

#[test]
fn notifications_of_a_process_reach_its_session_alone() {
    let bridge = bridge(&[], "serve");
    for transport in BOTH {
        let (told_one, one) = told();
        let (told_other, other) = told();
        let connect =
            |handler| bridge.builder(transport).on_notification(handler).connect(&bridge.url(transport));
        let (mut one, mut other) = (
            connect(Box::new(one) as Box<dyn FnMut(&str, Option<mcp_rill::json::JsonRef<'_>>) + Send>)
                .unwrap(),
            connect(Box::new(other)).unwrap(),
        );
        call(&mut one, "announce", "{}");
        call(&mut other, "pid", "{}");
        let told_one = told_one.lock().unwrap().clone();
        let expected = [
            ("notifications/tools/list_changed", r#"{"_meta":{"a":1}}"#),
            ("notifications/resources/updated", r#"{"uri":"a:b"}"#),
            ("notifications/message", r#"{"level":"debug","data":[1.0]}"#),
            ("notifications/of/our/own", r#"{"x":12345678901234567890}"#),
        ];
        for (method, params) in expected {
            // Over Streamable HTTP, what belongs to no call needs the stream of the session.
            if transport == Transport::Sse || !method.ends_with("own") {
                assert!(told_one.contains(&(method.to_owned(), params.to_owned())), "{method}: {told_one:?}");
            }
        }
        assert_eq!(*told_other.lock().unwrap(), [], "{transport:?}");
    }
}

#[test]
fn questions_reach_their_client_and_answers_their_process() {
    let bridge = bridge(&[], "serve");
    for transport in BOTH {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        let on_request = move |method: &str, params: Option<mcp_rill::json::JsonRef<'_>>| {
            heard.lock().unwrap().push((method.to_owned(), params.unwrap().text().to_owned()));
            match method {
                "elicitation/create" => Ok(r#"{"action":"accept","content":{"n":1.0}}"#.to_owned()),
                _ => Err(mcp_rill::jsonrpc::Error::new(-32042, "not for me")),
            }
        };
        let mut client = bridge
            .builder(transport)
            .capabilities(r#"{"elicitation":{}}"#)
            .on_request(on_request)
            .connect(&bridge.url(transport))
            .unwrap();
        assert_eq!(call(&mut client, "ask", "{}"), r#""q-1" {"action":"accept","content":{"n":1.0}}"#);
        let refused = call(&mut client, "ask", r#"{"method":"sampling/createMessage"}"#);
        assert_eq!(refused, r#""q-2" {"code":-32042,"message":"not for me"}"#);
        let asked = asked.lock().unwrap();
        assert_eq!(asked[0].0, "elicitation/create");
        // The token has to be the bridge's own: those of several processes may be equal.
        let params: Value = serde_json::from_str(&asked[0].1).unwrap();
        assert_eq!(params["message"], json!("who?"));
        assert!(params["_meta"]["progressToken"].is_i64());
        assert_eq!(asked[1].0, "sampling/createMessage");
    }
}

#[test]
fn a_process_may_ping_and_may_withdraw_a_question() {
    let bridge = bridge(&[], "serve");
    let mut client = bridge.client();
    assert_eq!(call(&mut client, "ask", r#"{"method":"ping","params":"{}"}"#), r#""q-1" {}"#);
    assert_eq!(call(&mut client, "withdraw", "{}"), "done");
    client.ping().unwrap();
}

/// A ping is allowed before the answer to `initialize` (MCP 2025-11-25, lifecycle), and some wait for its answer.
#[test]
fn a_process_may_ping_before_it_serves() {
    for options in [&[][..], &["--isolate", "shared"]] {
        let bridge = bridge(options, "pings");
        assert_eq!(call(&mut bridge.client(), "keep", r#"{"text":"x"}"#), "kept");
    }
}

#[test]
fn a_call_that_is_cancelled_is_cancelled_at_its_process() {
    let bridge = bridge(&[], "serve");
    for transport in BOTH {
        let mut client = bridge.connect(transport);
        let id = client.send("tools/call", Some(r#"{"name":"silent"}"#)).unwrap();
        client.cancel(&id, "enough").unwrap();
        let mut cancelled = String::new();
        super::wait_until("the cancellation", || {
            cancelled = call(&mut client, "cancelled", "{}");
            !cancelled.is_empty()
        });
        assert!(cancelled.starts_with(r#"{"requestId":"#) && !cancelled.contains("} {"), "{cancelled}");
    }
}

#[test]
fn parameters_with_a_member_twice_are_refused_here() {
    let bridge: Bridge = bridge(&[], "serve");
    let mut client = bridge.client();
    let twice = r#"{"name":"echo","_meta":{"progressToken":1,"progressToken":2}}"#;
    let error = client.request("tools/call", Some(twice)).unwrap_err().to_string();
    assert!(error.contains("twice"), "{error}");
    assert!(refused(&mut client, "exit", "{}").contains("exit code 3"));
}
