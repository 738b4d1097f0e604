//! Requests that stand alone (MCP 2026-07-28), against servers made of a script.

use std::net::TcpListener;
use std::time::Duration;

use mcp_rill::Level;
use mcp_rill::client::{Builder, Client, Error, Received, Transport};
use serde_json::{Value, json};

use crate::mock::{
    DISCOVERED, END, STREAM, answer, error, event, field, method, parse, response, result, status, with,
};
use crate::{LONG, Peer, assert_protocol, rpc_code};

fn builder() -> Builder {
    Client::builder().transport(Transport::Stateless).capabilities(r#"{"elicitation":{}}"#)
}

fn discovered(listener: &TcpListener) {
    let (_, body) = answer(listener, |_, body| result(body, DISCOVERED));
    assert_eq!(method(&body), "server/discover");
}

/// Runs a script behind `server/discover`.
fn after_discover(
    builder: Builder,
    script: impl FnOnce(TcpListener) + Send + 'static,
    usage: impl FnOnce(Client),
) {
    let script = |listener: TcpListener| {
        discovered(&listener);
        script(listener);
    };
    with(builder, script, usage);
}

#[test]
fn what_every_request_says() {
    let script = |listener: TcpListener| {
        let address = listener.local_addr().unwrap();
        let (head, body) = answer(&listener, |_, body| result(body, r#"{"resultType":"complete"}"#));
        assert_eq!(
            head,
            format!(
                "POST /mcp HTTP/1.1\r\nHost: {address}\r\nAccept: application/json, text/event-stream\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\nUser-Agent: mcp-rill/{}\r\n\
                 MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n\r\n",
                body.len(),
                env!("CARGO_PKG_VERSION")
            )
        );
        let meta = json!({
            "progressToken": 7,
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "n", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
        });
        assert_eq!(parse(&body)["params"], json!({"name": "echo", "_meta": meta}));
        let named = [
            ("resources/read", Some("=?base64?bm90ZTovLy/DqQ==?=")),
            ("prompts/get", Some("two words")),
            ("completion/complete", None),
            ("server/discover", None),
        ];
        for (method, name) in named {
            let (head, body) = answer(&listener, |_, body| result(body, "{}"));
            assert_eq!((field(&head, "mcp-method"), field(&head, "mcp-name")), (Some(method), name));
            assert_eq!(parse(&body)["params"]["_meta"]["io.modelcontextprotocol/logLevel"], "warning");
        }
        // Neither a DELETE nor anything else follows.
        listener.set_nonblocking(true).unwrap();
    };
    after_discover(builder().client_info("n", "1"), script, |mut client| {
        let params =
            r#"{"name":"echo","_meta":{"progressToken":7,"io.modelcontextprotocol/protocolVersion":"x"}}"#;
        client.request("tools/call", Some(params)).unwrap();
        client.set_level(Level::Warning).unwrap();
        client.read_resource("note:///é").unwrap();
        client.get_prompt("two words", "{}").unwrap();
        client.complete(r#"{"type":"ref/prompt","name":"p"}"#, "a", "").unwrap();
        client.ping().unwrap();
    });
}

#[test]
fn refusals_say_why() {
    let script = |listener: TcpListener| {
        for (status, code) in [(400, -32020), (404, -32601), (400, -32021), (503, -32603)] {
            answer(&listener, |_, body| error(status, body, &format!(r#"{{"code":{code},"message":"no"}}"#)));
        }
        // Somebody else's error.
        answer(&listener, |_, _| error(400, r#"{"id":99}"#, r#"{"code":-32020,"message":"no"}"#));
        // Without sessions a 404 says nothing about one.
        answer(&listener, |_, _| status(404));
    };
    after_discover(builder(), script, |mut client| {
        for code in [-32020, -32601, -32021] {
            assert_eq!(rpc_code(client.ping()), code);
        }
        assert!(matches!(client.ping(), Err(Error::Http { status: 503, body }) if body.contains("-32603")));
        assert!(matches!(client.ping(), Err(Error::Http { status: 400, .. })));
        assert!(matches!(client.ping(), Err(Error::Http { status: 404, .. })));
    });
}

const QUESTION: &str = r#"{"resultType":"input_required","requestState":"a\u00e9 \"b","inputRequests":{
    "name":{"method":"elicitation/create","params":{"mode":"form"}},"where":{"method":"roots/list"}}}"#;

fn answering() -> Builder {
    builder().on_request(|method, params| match method {
        "elicitation/create" => {
            assert_eq!(params.unwrap().text(), r#"{"mode":"form"}"#);
            Ok(r#"{"action":"accept"}"#.to_owned())
        }
        "roots/list" => Ok(r#"{"roots":[]}"#.to_owned()),
        other => Err(mcp_rill::jsonrpc::Error::method_not_found(other)),
    })
}

#[test]
fn questions_are_answered_in_the_next_request() {
    let script = |listener: TcpListener| {
        let question = QUESTION.replace('\n', " ");
        let (_, first) = answer(&listener, |_, body| result(body, &question));
        let mut second = Peer::accept(&listener);
        let (head, body) = second.request();
        assert_eq!(field(&head, "mcp-name"), Some("ask"));
        let (first, again) = (parse(&first), parse(&body));
        assert_ne!(first["id"], again["id"]);
        assert_eq!(again["params"]["arguments"], first["params"]["arguments"]);
        assert_eq!(again["params"]["_meta"], first["params"]["_meta"]);
        assert_eq!(again["params"]["requestState"], "aé \"b");
        assert!(body.contains(r#""requestState":"a\u00e9 \"b""#), "{body}");
        let answers = json!({"name": {"action": "accept"}, "where": {"roots": []}});
        assert_eq!(again["params"]["inputResponses"], answers);
        // The last round may come on a stream, with news of its own, and ask for nothing but a repetition.
        let state = r#"{"resultType":"input_required","requestState":"s2"}"#;
        let news = event("", r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#);
        second.send([STREAM, &news, &event("", &response(&body, state)), END].concat());
        let (_, body) = second.request();
        let third = parse(&body);
        assert_eq!(third["params"]["requestState"], "s2");
        assert_eq!(third["params"].get("inputResponses"), None);
        second.send(result(&body, r#"{"resultType":"complete","content":[]}"#));
    };
    after_discover(answering(), script, |mut client| {
        let done = client.call_tool("ask", r#"{"x":[1]}"#).unwrap();
        assert_eq!(done.get(), r#"{"resultType":"complete","content":[]}"#);
    });
}

#[test]
fn null_is_absent() {
    let script = |listener: TcpListener| {
        let question = r#"{"resultType":"input_required","requestState":null,"inputRequests":{"gone":null,"where":{"method":"roots/list","params":null}},"_meta":null}"#;
        let mut calls = Peer::accept(&listener);
        let (_, body) = calls.request();
        calls.send(result(&body, question));
        let (_, body) = calls.request();
        let again = parse(&body);
        assert_eq!(again["params"]["inputResponses"], json!({"where": {"roots": []}}));
        assert_eq!(again["params"].get("requestState"), None);
        calls.send(result(&body, r#"{"resultType":null,"content":[]}"#));
        let (_, body) = calls.request();
        calls.send(result(
            &body,
            r#"{"resultType":"complete","tools":[{"name":"a","inputSchema":null}],"nextCursor":null}"#,
        ));
    };
    let roots = builder().on_request(|method, params| {
        assert_eq!((method, params.map(|params| params.text())), ("roots/list", None));
        Ok(r#"{"roots":[]}"#.to_owned())
    });
    after_discover(roots, script, |mut client| {
        assert!(client.call_tool("ask", "{}").unwrap().get().contains("content"));
        assert_eq!(client.list("tools/list").unwrap().len(), 1);
    });
}

#[test]
fn what_is_wrong_in_a_question_is_named() {
    const WRONG: [(&str, &str); 5] = [
        (r#""inputRequests":7"#, "`inputRequests` must be an object"),
        (r#""inputRequests":{"a":7}"#, "`inputRequests.a` must be an object"),
        (r#""inputRequests":{"a":{"method":null}}"#, "without a `method`"),
        (r#""inputRequests":{"a":{},"a":{}}"#, "`inputRequests`: member `a` occurs twice"),
        (r#""requestState":7"#, "`requestState` that is not a string"),
    ];
    let script = |listener: TcpListener| {
        for (members, _) in WRONG {
            let text = format!(r#"{{"resultType":"input_required",{members}}}"#);
            answer(&listener, |_, body| result(body, &text));
        }
    };
    after_discover(answering(), script, |mut client| {
        for (members, says) in WRONG {
            let error = client.call_tool("x", "{}").unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("input_required"), "{members}: {error}");
        }
    });
}

#[test]
fn questions_come_to_an_end() {
    let script = |listener: TcpListener| {
        let ask = |body: &str| result(body, r#"{"resultType":"input_required","requestState":"again"}"#);
        for _ in 0..3 {
            answer(&listener, |_, body| ask(body));
        }
        answer(&listener, |_, body| ask(body));
        answer(&listener, |_, body| {
            result(
                body,
                r#"{"resultType":"input_required","inputRequests":{"k":{"method":"sampling/createMessage"}}}"#,
            )
        });
        answer(&listener, |_, body| result(body, r#"{"resultType":"input_required","inputRequests":7}"#));
        answer(&listener, |_, body| result(body, "{}"));
    };
    after_discover(answering().rounds_max(2), script, |mut client| {
        assert_protocol(client.call_tool("x", "{}"), &["more than 2 times", "raise rounds_max"]);
        assert_protocol(client.request("tools/list", None), &["other than tools/call"]);
        let unanswered = client.call_tool("x", "{}").unwrap_err().to_string();
        assert!(unanswered.contains("`sampling/createMessage`") && unanswered.contains("on_request"));
        assert_protocol(client.call_tool("x", "{}"), &["input_required"]);
        client.ping().unwrap();
    });
}

#[test]
fn a_call_that_is_given_up_closes_its_connection() {
    let script = |listener: TcpListener| {
        // Closing the connection is all that there is to say: with and without a stream.
        let mut call = Peer::accept(&listener);
        call.request();
        assert_eq!(call.request_or_end(), None);
        let mut call = Peer::accept(&listener);
        call.request();
        call.send([STREAM, &event("", r#"{"jsonrpc":"2.0","method":"n"}"#)].concat());
        assert_eq!(call.request_or_end(), None);
        // In the second round, too.
        answer(&listener, |_, body| result(body, r#"{"resultType":"input_required","requestState":"s"}"#));
        let mut call = Peer::accept(&listener);
        assert!(call.request().1.contains("requestState"));
        assert_eq!(call.request_or_end(), None);
    };
    after_discover(builder().request_timeout(Duration::from_millis(300)), script, |mut client| {
        assert!(matches!(client.call_tool("slow", "{}"), Err(Error::Timeout)));
        let id = client.send("tools/call", Some(r#"{"name":"slow"}"#)).unwrap();
        assert!(matches!(client.next_message(LONG), Ok(Some(Received::Notification { .. }))));
        client.cancel(&id, "enough").unwrap();
        assert!(matches!(client.call_tool("slow", "{}"), Err(Error::Timeout)));
    });
}

#[test]
fn a_stream_of_changes() {
    let note = |id: &Value, method: &str| {
        let meta = json!({"io.modelcontextprotocol/subscriptionId": id});
        event("", &json!({"jsonrpc": "2.0", "method": method, "params": {"_meta": meta}}).to_string())
    };
    let script = move |listener: TcpListener| {
        let mut stream = Peer::accept(&listener);
        let (head, body) = stream.request();
        assert_eq!(field(&head, "mcp-method"), Some("subscriptions/listen"));
        let asked = parse(&body);
        assert_eq!(
            asked["params"]["notifications"],
            json!({
                "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true,
                "resourceSubscriptions": ["a:///1"],
            })
        );
        let acknowledged = "notifications/subscriptions/acknowledged";
        stream.send([STREAM, &note(&asked["id"], acknowledged)].concat());
        stream.send(note(&asked["id"], "notifications/tools/list_changed"));
        // The next one replaces it, as soon as it works.
        let mut second = Peer::accept(&listener);
        let asked = parse(&second.request().1);
        second.send([STREAM, &note(&asked["id"], acknowledged)].concat());
        assert_eq!(stream.request_or_end(), None);
        let end = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"resultType": "complete"}});
        second.send([&event("", &end.to_string()), END].concat());
        drop(second);
        // Nothing to tell, and no such thing.
        answer(&listener, |_, body| result(body, "{}"));
        answer(&listener, |_, body| error(404, body, r#"{"code":-32601,"message":"no"}"#));
        // Lost in the middle.
        let mut third = Peer::accept(&listener);
        let asked = parse(&third.request().1);
        third.send([STREAM, &note(&asked["id"], acknowledged)].concat());
    };
    after_discover(builder(), script, |mut client| {
        client.subscribe(&["a:///1"]).unwrap();
        let told = client.next_message(LONG);
        assert!(
            matches!(&told, Ok(Some(Received::Notification { method, .. })) if method.contains("tools")),
            "{told:?}"
        );
        client.subscribe(&[]).unwrap();
        assert!(matches!(client.next_message(LONG), Ok(Some(Received::Unsubscribed))));
        client.subscribe(&[]).unwrap();
        assert!(matches!(client.next_message(LONG), Ok(None)));
        assert_eq!(rpc_code(client.subscribe(&[])), -32601);
        client.subscribe(&[]).unwrap();
        assert!(matches!(client.next_message(LONG), Ok(Some(Received::Unsubscribed))));
    });
}

#[test]
fn a_lost_answer_is_not_fetched_again() {
    let script = |listener: TcpListener| {
        answer(&listener, |_, _| {
            [STREAM, &event("id: 1\n", r#"{"jsonrpc":"2.0","method":"n"}"#), END].concat()
        });
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err());
    };
    after_discover(builder(), script, |mut client| {
        assert!(matches!(client.call_tool("x", "{}"), Err(Error::Closed)));
    });
}
