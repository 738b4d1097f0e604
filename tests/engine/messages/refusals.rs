//! Every refusal has the id of what it refuses, where that was read (JSON-RPC 2.0, section 5).

use mcp_rill::{Limits, Server};
use serde_json::Value;

use super::{Client, post_with};
use crate::common::http::{call, mcp_post, post};
use crate::common::questions::{self, ALL};
use crate::common::{World, demo};

const LIMITS: Limits = Limits {
    json_depth_max: 6,
    json_values_max: 40,
    id_bytes_max: 16,
    batch_max: 3,
    sessions_max: 3,
    calls_max: 2,
    ..Limits::DEFAULT
};

/// Ids that are lawful, and stand for `@`.
const IDS: [&str; 5] = ["7", "-3", "0", r#""a""#, r#""sixteen bytes ok""#];

fn server() -> Server {
    demo::streaming(demo::server()).limits(LIMITS)
}

/// What has a fault whose message was read, and what has one where no id could be read.
const FAULTS: [(&str, i64); 16] = [
    (r#"{"jsonrpc":"1.0","id":@,"method":"ping"}"#, -32600),
    (r#"{"id":@,"method":"ping"}"#, -32600),
    (r#"{"jsonrpc":null,"id":@,"method":"ping"}"#, -32600),
    (r#"{"jsonrpc":"2.0","id":@}"#, -32600),
    (r#"{"jsonrpc":"2.0","id":@,"method":7}"#, -32600),
    (r#"{"jsonrpc":"2.0","id":@,"method":null}"#, -32600),
    (r#"{"jsonrpc":"2.0","id":@,"method":"ping","method":"ping"}"#, -32600),
    (r#"{"jsonrpc":"2.0","id":@,"method":"ping","params":[]}"#, -32600),
    (r#"{"jsonrpc":"2.0","id":@,"method":"ping","params":"{}"}"#, -32600),
    (r#"{"jsonrpc":"2.0","id":@,"method":"ping","params":7}"#, -32600),
    (r#"{"jsonrpc":"2.0","id":@,"method":"ping","params":{},"params":{}}"#, -32600),
    (r#"{"jsonrpc":"2.0","id":@,"method":"ping","result":{}}"#, -32600),
    (r#"{"jsonrpc":"2.0","id":@,"method":"ping","error":{}}"#, -32600),
    (r#"{"jsonrpc":"2.0","method":"\ud800","id":@}"#, -32700),
    (r#"{"jsonrpc":"2.0","method":"ping","params":{"a":[[[[[[]]]]]]},"id":@}"#, -32700),
    (
        r#"{"jsonrpc":"2.0","params":{"a":[0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7]},"id":@,"method":"ping"}"#,
        -32700,
    ),
];

const NAMELESS: [&str; 14] = [
    "",
    "{",
    "7",
    r#""ping""#,
    r#"{"jsonrpc":"2.0","id":7,"method":"ping""#,
    r#"{"jsonrpc":"2.0","id":7,"method":"ping"} x"#,
    r#"{"jsonrpc":"2.0","id":7,"id":7,"method":"ping"}"#,
    r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
    r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
    r#"{"jsonrpc":"2.0","id":7.0,"method":"ping"}"#,
    r#"{"jsonrpc":"2.0","id":[7],"method":"ping"}"#,
    r#"{"jsonrpc":"2.0","id":"17 bytes too many","method":"ping"}"#,
    // Nobody waits for an answer to these.
    r#"{"jsonrpc":"1.0","method":"ping"}"#,
    r#"{"jsonrpc":"1.0","id":7,"result":{}}"#,
];

/// Sends a whole request and checks the refusal; `id` is JSON text.
fn assert_refused(world: &mut World, request: &str, status: u16, code: i64, id: &str) {
    let sock = world.connect();
    world.send(sock, request);
    let response = world.response(sock);
    assert_eq!(
        (response.status, response.header("Content-Type")),
        (status, Some("application/json")),
        "{request}"
    );
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(
        (body["error"]["code"].as_i64(), body["id"].to_string()),
        (Some(code), id.to_owned()),
        "{request}: {body}"
    );
    assert!(body.get("id").is_some() && body["jsonrpc"] == "2.0", "{body}");
    world.reset(sock);
}

#[test]
fn what_is_no_message() {
    let mut world = World::new(server());
    let (client, sse) =
        (Client::new(&mut world, "2025-11-25"), questions::Client::new(&mut world, "2025-11-25", ALL));
    let modern = "MCP-Protocol-Version: 2026-07-28\r\n";
    for (body, code, id) in FAULTS
        .iter()
        .flat_map(|(body, code)| IDS.map(|id| (body.replace('@', id), *code, id)))
        .chain(NAMELESS.map(|body| {
            let is_json = serde_json::from_str::<Value>(body).is_ok();
            (body.to_owned(), if is_json { -32600 } else { -32700 }, "null")
        }))
    {
        assert_refused(&mut world, &mcp_post(Some(&client.id), &body), 400, code, id);
        // The message is read before it is asked whose it is, and in every era.
        assert_refused(&mut world, &mcp_post(None, &body), 400, code, id);
        assert_refused(&mut world, &post_with(modern, &body), 400, code, id);
        assert_refused(&mut world, &post(&sse.stream.endpoint, &body), 400, code, id);
    }
    assert!(sse.hear(&mut world).is_empty(), "nothing of it is said on the stream");
}

#[test]
fn whose_it_is() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2025-11-25");
    let ours = format!("Mcp-Session-Id: {}\r\n", client.id);
    let unknown = "Mcp-Session-Id: 00000000-0000-4000-8000-00000000ffff\r\n";
    let cases = [
        (String::new(), "ping", 400, -32000),
        (unknown.to_owned(), "ping", 404, -32001),
        (ours.repeat(2), "ping", 400, -32000),
        (format!("{ours}MCP-Protocol-Version: 1999-01-01\r\n"), "ping", 400, -32000),
        ("MCP-Protocol-Version: 1999-01-01\r\n".to_owned(), "ping", 400, -32000),
        (format!("{ours}{}", "MCP-Protocol-Version: 2025-11-25\r\n".repeat(2)), "ping", 400, -32000),
        // The other era.
        (format!("{ours}MCP-Protocol-Version: 2026-07-28\r\n"), "ping", 400, -32000),
        ("MCP-Protocol-Version: 2026-07-28\r\n".to_owned(), "initialize", 400, -32020),
        (ours, "initialize", 400, -32600),
        (unknown.to_owned(), "initialize", 404, -32001),
    ];
    for (fields, method, status, code) in cases {
        for id in IDS {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#);
            assert_refused(&mut world, &post_with(&fields, &body), status, code, id);
        }
    }
    // What is no request has no id to answer with.
    for body in [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":7,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":""}}"#,
    ] {
        assert_refused(&mut world, &post_with(unknown, body), 404, -32001, "null");
    }
    let body = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;
    assert_refused(&mut world, &post_with("MCP-Protocol-Version: 2026-07-28\r\n", body), 400, -32600, "null");
}

#[test]
fn requests_that_stand_alone() {
    let mut world = World::new(server());
    let meta = |version: &str, capabilities: &str| {
        format!(
            r#""_meta":{{"io.modelcontextprotocol/protocolVersion":{version},"io.modelcontextprotocol/clientCapabilities":{capabilities}}}"#
        )
    };
    let (named, good) = ("MCP-Protocol-Version: 2026-07-28\r\n", meta(r#""2026-07-28""#, "{}"));
    let routed = |method: &str| format!("{named}Mcp-Method: {method}\r\n");
    let ask = format!(r#""name":"ask","arguments":{{}},{good}"#);
    let cases = [
        (named.to_owned(), "tools/list", "{}".to_owned(), 400, -32602),
        (named.to_owned(), "tools/list", r#"{"_meta":null}"#.to_owned(), 400, -32602),
        (named.to_owned(), "tools/list", r#"{"_meta":7}"#.to_owned(), 400, -32602),
        (named.to_owned(), "tools/list", format!("{{{}}}", meta(r#""2026-07-28""#, "7")), 400, -32602),
        (String::new(), "tools/list", format!("{{{good}}}"), 400, -32020),
        (
            "MCP-Protocol-Version: 2099-01-01\r\n".to_owned(),
            "tools/list",
            format!("{{{}}}", meta(r#""2099-01-01""#, "{}")),
            400,
            -32022,
        ),
        (named.to_owned(), "tools/list", format!("{{{good}}}"), 400, -32020),
        (routed("prompts/list"), "tools/list", format!("{{{good}}}"), 400, -32020),
        (routed("tools/call"), "tools/call", format!("{{{ask}}}"), 400, -32020),
        (routed("tools/call") + "Mcp-Name: ask\r\n", "tools/call", format!("{{{good}}}"), 400, -32020),
        (routed("no/such"), "no/such", format!("{{{good}}}"), 404, -32601),
        (routed("tools/call") + "Mcp-Name: ask\r\n", "tools/call", format!("{{{ask}}}"), 400, -32021),
        (
            routed("subscriptions/listen") + "Accept: application/json\r\n",
            "subscriptions/listen",
            format!(r#"{{"notifications":{{}},{good}}}"#),
            406,
            -32600,
        ),
    ];
    for (fields, method, params, status, code) in cases {
        for id in IDS {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
            assert_refused(&mut world, &post_with(&fields, &body), status, code, id);
        }
    }
    let none = server().limits(Limits { listens_max: 1, ..LIMITS });
    let mut world = World::new(none);
    let listen = |id: &str| {
        let params = format!(r#"{{"notifications":{{"toolsListChanged":true}},{good}}}"#);
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"subscriptions/listen","params":{params}}}"#);
        post_with(
            &(routed("subscriptions/listen") + "Accept: application/json, text/event-stream\r\n"),
            &body,
        )
    };
    let first = world.connect();
    world.send(first, listen("1"));
    IDS.iter().for_each(|id| assert_refused(&mut world, &listen(id), 503, -32603, id));
}

#[test]
fn batches() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2025-03-26");
    let newer = Client::new(&mut world, "2025-11-25");
    let ping = r#"{"jsonrpc":"2.0","id":"first","method":"ping"}"#;
    for id in IDS {
        let bad = [
            format!(r#"[{ping},{{"jsonrpc":"1.0","id":{id},"method":"ping"}}]"#),
            format!(r#"[{ping},{{"jsonrpc":"2.0","id":{id},"method":"ping","params":[]}}]"#),
            format!(r#"[{ping},{{"jsonrpc":"2.0","id":{id},"method":"initialize"}}]"#),
            format!(
                r#"[{{"jsonrpc":"2.0","id":{id},"method":"ping"}},{{"jsonrpc":"2.0","id":{id},"method":"ping"}}]"#
            ),
        ];
        for body in bad {
            assert_refused(&mut world, &mcp_post(Some(&client.id), &body), 400, -32600, id);
        }
    }
    // No one of its messages is to blame.
    for body in ["[]".to_owned(), format!("[{}]", [ping; 4].join(",")), format!("[{ping},7]")] {
        assert_refused(&mut world, &mcp_post(Some(&client.id), &body), 400, -32600, "null");
    }
    let whole = format!("[{ping}]");
    assert_refused(&mut world, &mcp_post(Some(&newer.id), &whole), 400, -32600, "null");
    assert_refused(&mut world, &mcp_post(Some("nobody"), &whole), 404, -32001, "null");
    assert_refused(&mut world, &mcp_post(None, &whole), 400, -32000, "null");
    assert_refused(&mut world, &mcp_post(Some(&client.id), &format!("[{ping}")), 400, -32700, "null");
}

#[test]
fn where_there_is_no_room() {
    let mut world = World::new(server());
    let clients = [0; 3].map(|_| Client::new(&mut world, "2025-11-25"));
    let initialize =
        r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}"#;
    // A call is open in each, so that none has to give way.
    let _waiting = clients.each_ref().map(|client| client.ask(&mut world, &call(1, "later", "{}")));
    for id in IDS {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{initialize}}}"#);
        assert_refused(&mut world, &mcp_post(None, &body), 503, -32000, id);
    }
    let client = &clients[0];
    let _waiting = client.ask(&mut world, &call(2, "later", "{}"));
    for id in IDS {
        let response = client.post(&mut world, &call(id, "echo", r#"{"text":"x"}"#));
        let error = &response.messages()[0];
        assert_eq!((response.status, error["id"].to_string()), (200, id.to_owned()));
        assert_eq!(error["error"]["code"], -32000, "{error}");
    }
}

#[test]
fn where_a_stream_is_not_read() {
    let limits =
        Limits { output_bytes_max: 48 << 10, message_bytes_max: 32 << 10, page_bytes_max: 8 << 10, ..LIMITS };
    let mut world = World::new(demo::server().limits(limits));
    let client = questions::Client::new(&mut world, "2025-11-25", ALL);
    world.reads_only(client.stream.sock, 0);
    assert_eq!(client.post(&mut world, &call(1, "big", r#"{"bytes":30000}"#)).status, 202);
    for id in IDS {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        assert_refused(&mut world, &post(&client.stream.endpoint, &body), 503, -32000, id);
    }
}

/// What is refused by the head alone has no id: the body was not looked at.
#[test]
fn before_the_body_is_read() {
    let mut world = World::new(server().limits(Limits { body_bytes_max: 4000, ..LIMITS }));
    let client = Client::new(&mut world, "2025-11-25");
    let body = r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#;
    let request = mcp_post(Some(&client.id), body);
    for (change, status) in [
        (("Host: localhost", "Host: evil.example"), 403),
        (("Host: localhost", "Host: localhost\r\nOrigin: https://evil.example"), 403),
        (("application/json", "text/plain"), 415),
        (("Host: localhost", "Host: localhost\r\nAccept: text/html"), 406),
        (("Host: localhost", "Host: localhost\r\nContent-Encoding: gzip"), 415),
        (("Content-Length: 40", "Content-Length: 4001"), 413),
    ] {
        let (from, to) = change;
        assert!(request.contains(from), "{from}");
        assert_refused(&mut world, &request.replacen(from, to, 1), status, -32000, "null");
    }
}
