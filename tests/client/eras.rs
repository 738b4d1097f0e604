//! One client, one server, every transport: what callers see is the same.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mcp_rill::Revision;
use mcp_rill::client::{Builder, Client, Error, Received, Transport};
use mcp_rill::net::Handle;
use mcp_rill::{Elicited, Level, Server, schema};

use crate::{LONG, Running, gateway, rpc_code, text_of};

schema! { struct Person { name: String } }
schema! { struct Query { /// Where.
region: String { header "Region" }, text: String } }

pub const TRANSPORTS: [Transport; 3] = [Transport::Sse, Transport::Streamable, Transport::Stateless];

fn server() -> Server {
    let (mut replies, mut keep) = (Vec::new(), Vec::new());
    crate::server()
        .complete_prompt("ask", "name", ["Ada", "Bob"])
        .tool("steps", "Report progress and log", |(), call| {
            call.progress(1.0, Some(2.0), Some("half"));
            call.log(Level::Info, "working");
            "done"
        })
        .tool("ask", "Ask the user", |(), call| -> mcp_rill::Result<String> {
            let name = call.elicit::<Person>("name", "Who are you?")?;
            let roots = call.roots("roots")?.required()?;
            match name {
                Elicited::Accepted(Person { name }) => Ok(format!("{name}, {}", roots.len())),
                _ => Ok("nobody".to_owned()),
            }
        })
        .tool("never", "Never come back", move |(), call| call.defer(|reply| replies.push(reply)))
        .tool("ends", "Say that it was cancelled", move |(), call| call.defer(|reply| keep.push(reply)))
        .tool("query", "Say what stands in the header", |Query { region, text }: Query, call| {
            format!("{region} {text} {}", call.header("mcp-param-region").unwrap_or("none"))
        })
}

fn url(running: &Running, transport: Transport) -> String {
    match transport {
        Transport::Sse => running.url.clone(),
        _ => running.url.replace("/sse", "/mcp"),
    }
}

pub fn client(running: &Running, transport: Transport) -> Client {
    connect(Client::builder(), running, transport)
}

pub fn connect(builder: Builder, running: &Running, transport: Transport) -> Client {
    let client = builder.transport(transport).connect(&url(running, transport)).unwrap();
    assert_eq!(client.transport(), transport);
    client
}

#[test]
fn the_transport_is_found() {
    let running = Running::start(server());
    let mcp = url(&running, Transport::Streamable);
    let newest = Client::connect(&mcp).unwrap();
    assert_eq!((newest.transport(), newest.revision()), (Transport::Stateless, Some(Revision::V2026_07_28)));
    assert_eq!((newest.session_id(), newest.endpoint()), (None, "/mcp"));
    let old = Client::connect(&running.url).unwrap();
    assert_eq!((old.transport(), old.revision()), (Transport::Sse, Some(Revision::V2025_11_25)));
    for &revision in Revision::ALL {
        let client = Client::builder().revision(revision.name()).connect(&mcp).unwrap();
        let transport = if revision.has_sessions() { Transport::Streamable } else { Transport::Stateless };
        assert_eq!((client.transport(), client.revision()), (transport, Some(revision)));
        assert_eq!(client.session_id().is_some(), revision.has_sessions());
    }
    let unknown = Client::builder().revision("2031-01-01").connect(&mcp).unwrap();
    assert_eq!(unknown.revision(), Some(Revision::NEWEST_WITH_SESSIONS));

    let nothing = running.url.replace("/sse", "/nothing");
    let error = Client::connect(&nothing).unwrap_err().to_string();
    let says =
        format!("the server at {nothing} answered 404 to POST and 404 to GET: this is not an MCP endpoint");
    assert!(error.contains(&says), "{error}");
    // A transport that was named is not looked for.
    let streamable = Client::builder().transport(Transport::Streamable).connect(&running.url);
    assert!(matches!(streamable, Err(Error::Http { status: 405, .. })), "{streamable:?}");
    let sse = Client::builder().transport(Transport::Sse).connect(&mcp);
    assert!(matches!(sse, Err(Error::Http { status: 405, .. })), "{sse:?}");
}

/// Asks a server, and the same one behind the example `gateway`.
fn everywhere(ask: fn(&Running, &Handle)) {
    let direct = Running::start(server());
    ask(&direct, &direct.handle);
    let upstream = gateway::Upstream::start(server());
    ask(&gateway::before(&upstream), &upstream.handle);
}

#[test]
fn fields_of_the_caller_are_sent() {
    let running = Running::start(server());
    for transport in TRANSPORTS {
        let mut client = connect(Client::builder().header("X-Test", "yes"), &running, transport);
        assert_eq!(text_of(&client.call_tool("header", r#"{"name":"x-test"}"#).unwrap()), "yes");
    }
}

#[test]
fn requests_and_answers() {
    everywhere(requests_and_answers_on);
}

fn requests_and_answers_on(running: &Running, _: &Handle) {
    for transport in TRANSPORTS {
        let mut client = client(running, transport);
        assert_eq!(client.server_info().unwrap().text(), r#"{"name":"test","version":"1.2.3"}"#);
        assert!(client.initialize_result().unwrap().text().contains(r#""capabilities":{"#));
        client.ping().unwrap();
        assert!(client.list("tools/list").unwrap().len() > 5);
        assert_eq!(text_of(&client.call_tool("echo", r#"{"text":"caf\u00e9\n"}"#).unwrap()), "café\n");
        assert_eq!(text_of(&client.call_tool("client", "{}").unwrap())[..8], *"mcp-rill");
        assert!(client.call_tool("fail", "{}").unwrap().get().contains(r#""isError":true"#));
        assert!(client.read_resource("test:///item/7").unwrap().get().contains("seven"));
        assert!(client.get_prompt("ask", r#"{"name":"Ada"}"#).unwrap().get().contains("Ask Ada."));
        let reference = r#"{"type":"ref/prompt","name":"ask"}"#;
        assert!(client.complete(reference, "name", "A").unwrap().get().contains(r#""values":["Ada"]"#));
        let missing = if transport == Transport::Stateless { -32602 } else { -32002 };
        assert_eq!(rpc_code(client.read_resource("test:///item/8")), missing);
        assert_eq!(rpc_code(client.call_tool("nothing", "{}")), -32602);
        assert_eq!(rpc_code(client.request("no/such/method", None)), -32601);

        let ids: Vec<_> = (0..5)
            .map(|n| {
                let params = format!(r#"{{"name":"echo","arguments":{{"text":"{n}"}}}}"#);
                client.send("tools/call", Some(&params)).unwrap()
            })
            .collect();
        for (n, id) in ids.iter().enumerate().rev() {
            assert_eq!(text_of(&client.wait(id).unwrap()), n.to_string(), "{transport:?}");
        }
        client.close();
        assert!(matches!(client.ping(), Err(Error::Closed)));
    }
}

#[test]
fn a_call_that_reports_and_asks() {
    everywhere(a_call_that_reports_and_asks_on);
}

fn a_call_that_reports_and_asks_on(running: &Running, _: &Handle) {
    for transport in TRANSPORTS {
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = told.clone();
        let builder = Client::builder()
            .capabilities(r#"{"elicitation":{},"roots":{}}"#)
            .on_notification(move |method, _| telling.lock().unwrap().push(method.to_owned()))
            .on_request(|method, _| match method {
                "elicitation/create" => Ok(r#"{"action":"accept","content":{"name":"Ada"}}"#.to_owned()),
                _ => Ok(r#"{"roots":[{"uri":"file:///x"}]}"#.to_owned()),
            });
        let mut client = connect(builder, running, transport);
        client.set_level(Level::Debug).unwrap();
        let params = r#"{"name":"steps","_meta":{"progressToken":7}}"#;
        assert_eq!(text_of(&client.request("tools/call", Some(params)).unwrap()), "done");
        let expected = ["notifications/progress", "notifications/message"];
        assert_eq!(*told.lock().unwrap(), expected, "{transport:?}");

        assert_eq!(text_of(&client.call_tool("ask", "{}").unwrap()), "Ada, 1", "{transport:?}");
        // The same, seen from outside.
        let id = client.send("tools/call", Some(r#"{"name":"ask"}"#)).unwrap();
        let mut asked = Vec::new();
        loop {
            match client.next_message(LONG).unwrap().unwrap() {
                Received::Request { method } => asked.push(method),
                Received::Answer { id: found, outcome } => {
                    assert_eq!((found, text_of(&outcome.unwrap())), (id, "Ada, 1".to_owned()));
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(asked, ["elicitation/create", "roots/list"], "{transport:?}");
    }
}

#[test]
fn changes_are_told() {
    everywhere(changes_are_told_on);
}

fn changes_are_told_on(running: &Running, server: &Handle) {
    for transport in TRANSPORTS {
        let mut client = client(running, transport);
        client.subscribe(&["test:///text"]).unwrap();
        server.resource_updated("test:///text");
        server.tools_changed();
        let mut methods = Vec::new();
        while methods.len() < 2 {
            match client.next_message(LONG).unwrap() {
                Some(Received::Notification { method, params }) => {
                    assert!(!method.ends_with("updated") || params.unwrap().get().contains("test:///text"));
                    methods.push(method);
                }
                other => panic!("{transport:?}: {other:?}"),
            }
        }
        methods.sort();
        assert_eq!(methods, ["notifications/resources/updated", "notifications/tools/list_changed"]);
        // Again, which replaces the first on a server without sessions.
        client.subscribe(&["test:///bytes"]).unwrap();
        client.ping().unwrap();
    }
}

#[test]
fn a_stream_that_the_server_ends() {
    let running = Running::start(server());
    let mut client = client(&running, Transport::Stateless);
    client.subscribe(&[]).unwrap();
    drop(running);
    assert!(matches!(client.next_message(LONG), Ok(Some(Received::Unsubscribed))));
    assert!(client.ping().is_err());
}

#[test]
fn a_silent_tool_is_given_up() {
    everywhere(a_silent_tool_is_given_up_on);
}

fn a_silent_tool_is_given_up_on(running: &Running, _: &Handle) {
    for transport in TRANSPORTS {
        let builder = Client::builder().request_timeout(Duration::from_millis(300));
        let mut client = connect(builder, running, transport);
        let started = Instant::now();
        assert!(matches!(client.call_tool("never", "{}"), Err(Error::Timeout)), "{transport:?}");
        assert!(started.elapsed() < LONG);
        let id = client.send("tools/call", Some(r#"{"name":"never"}"#)).unwrap();
        client.cancel(&id, "no").unwrap();
        assert!(matches!(client.wait(&id), Err(Error::Invalid(_))));
        client.ping().unwrap();
    }
}

#[test]
fn arguments_that_are_routed_by() {
    let running = Running::start(server());
    let mut client = client(&running, Transport::Stateless);
    let arguments = r#"{"region":"Malm\u00f6","text":"x"}"#;
    // Without the list nobody knows that there is a field to send.
    assert_eq!(rpc_code(client.call_tool("query", arguments)), -32020);
    client.list("tools/list").unwrap();
    let said = text_of(&client.call_tool("query", arguments).unwrap());
    assert_eq!(said, "Malmö x =?base64?TWFsbcO2?=");
    assert_eq!(rpc_code(client.read_resource("test:///caf\u{e9} \u{2603}")), -32602);
}

#[test]
fn answers_of_many_clients_never_cross() {
    everywhere(answers_of_many_clients_never_cross_on);
}

fn answers_of_many_clients_never_cross_on(running: &Running, _: &Handle) {
    let threads: Vec<_> = (0..12)
        .map(|number| {
            let transport = TRANSPORTS[number % 3];
            let url = url(running, transport);
            std::thread::spawn(move || {
                let mut client = Client::builder().transport(transport).connect(&url).unwrap();
                for round in 0..4 {
                    let open: Vec<_> = (0..8)
                        .map(|call| {
                            let text = format!("client {number} round {round} call {call}");
                            let params = format!(r#"{{"name":"echo","arguments":{{"text":"{text}"}}}}"#);
                            (client.send("tools/call", Some(&params)).unwrap(), text)
                        })
                        .collect();
                    for (id, text) in open {
                        assert_eq!(text_of(&client.wait(&id).unwrap()), text);
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn connections_are_used_again() {
    let running = Running::start(server());
    for transport in [Transport::Streamable, Transport::Stateless] {
        let mut client = client(&running, transport);
        for _ in 0..20 {
            client.ping().unwrap();
            client.call_tool("steps", r"{}").unwrap();
        }
    }
}

#[test]
fn a_timeout_of_zero_returns_what_is_here() {
    everywhere(a_timeout_of_zero_returns_what_is_here_on);
}

fn a_timeout_of_zero_returns_what_is_here_on(running: &Running, _: &Handle) {
    for transport in TRANSPORTS {
        let mut client = client(running, transport);
        let sent = client.send("tools/list", None).unwrap();
        let end = Instant::now() + LONG;
        loop {
            match client.next_message(Duration::ZERO).unwrap() {
                Some(Received::Answer { id, outcome: Ok(_) }) if id == sent => break,
                None if Instant::now() < end => {}
                other => panic!("{transport:?}: {other:?}"),
            }
        }
        assert!(matches!(client.next_message(Duration::ZERO), Ok(None)));
        let unknown = client.wait(&sent).unwrap_err();
        assert!(unknown.to_string().starts_with("no request with the id "), "{unknown}");
        assert!(!unknown.to_string().contains("Int"), "{unknown}");
    }
}
