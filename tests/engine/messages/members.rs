//! Null for what is absent, and errors that name the member that is wrong.

use mcp_rill::{Server, schema};
use serde_json::{Value, json};

use super::{Client, post_with};
use crate::common::http::{call, mcp_post, post, request};
use crate::common::questions::{self, ALL, one, text};
use crate::common::{World, demo};

const SESSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

schema! { struct Maybe { text: Option<String>, times: u32 = 2 } }
schema! { struct Name { name: Option<String> } }

fn server() -> Server {
    demo::streaming(demo::server())
        .tool("can", "Say what the client can do", |(), call| format!("{:?}", call.capabilities()))
        .tool("maybe", "Repeat a text, or none", |Maybe { text, times }, _| {
            text.unwrap_or("none ".to_owned()).repeat(times as usize)
        })
        .tool("form", "Ask for a name, or none", |(), call| -> mcp_rill::Result<String> {
            let name = call.elicit::<Name>("name", "Who?")?.accepted();
            Ok(name.map_or("declined".to_owned(), |name| name.name.unwrap_or("none".to_owned())))
        })
        .tool("model", "Ask the model", |(), call| -> mcp_rill::Result<String> {
            let said = call.sample("said", "Say something")?.required()?;
            Ok(format!("{} {:?}", said.text(), said.stop_reason))
        })
        .tool("places", "Ask for the roots", |(), call| -> mcp_rill::Result<String> {
            Ok(format!("{:?}", call.roots("places")?.required()?))
        })
        .complete_template("demo:///note/{number}", "number", ["1", "2"])
}

/// Every request that clients of sessions send, with null wherever something may be left out.
const REQUESTS: [(&str, &str); 19] = [
    ("ping", "null"),
    ("ping", r#"{"_meta":null}"#),
    ("tools/list", "null"),
    ("tools/list", r#"{"cursor":null,"_meta":null}"#),
    ("resources/list", "null"),
    ("resources/list", r#"{"cursor":null,"_meta":null}"#),
    ("resources/templates/list", r#"{"cursor":null}"#),
    ("prompts/list", r#"{"cursor":null}"#),
    ("tools/call", r#"{"name":"nothing","arguments":null,"_meta":null}"#),
    ("tools/call", r#"{"name":"steps","arguments":null,"_meta":{"progressToken":null}}"#),
    ("tools/call", r#"{"name":"maybe","arguments":null}"#),
    ("tools/call", r#"{"name":"maybe","arguments":{"text":null,"times":null}}"#),
    ("tools/call", r#"{"name":"greet","arguments":{"name":"Ada","title":null,"times":null}}"#),
    ("resources/read", r#"{"uri":"demo:///about","_meta":null}"#),
    ("prompts/get", r#"{"name":"chat","arguments":null,"_meta":null}"#),
    ("resources/subscribe", r#"{"uri":"demo:///about","_meta":null}"#),
    ("resources/unsubscribe", r#"{"uri":"demo:///about","_meta":null}"#),
    ("logging/setLevel", r#"{"level":"error","_meta":null}"#),
    (
        "completion/complete",
        r#"{"ref":{"type":"ref/resource","uri":"demo:///note/{number}"},"argument":{"name":"number","value":""},"context":null,"_meta":null}"#,
    ),
];

const INITIALIZE: &str = r#"{"protocolVersion":"REVISION","capabilities":{"roots":null,"sampling":null,"elicitation":null,"experimental":null},"clientInfo":{"name":"n","version":"1","title":null},"_meta":null}"#;

#[test]
fn null_is_absent_over_sse() {
    for revision in SESSIONS {
        let mut world = World::new(server());
        let client = questions::Client::silent(&mut world);
        let params = INITIALIZE.replace("REVISION", revision);
        let reply = client.ask(&mut world, &request(0, "initialize", &params));
        assert_eq!(reply["result"]["protocolVersion"], revision, "{reply}");
        client.tell(
            &mut world,
            r#"{"jsonrpc":"2.0","id":null,"method":"notifications/initialized","params":null}"#,
        );
        client.tell(&mut world, r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":null}"#);
        client.tell(
            &mut world,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":null}}"#,
        );
        let can = client.ask(&mut world, &call(1, "can", "null"));
        assert!(!text(&can).contains("true"), "null declares nothing: {can}");
        for (method, params) in REQUESTS {
            let heard = client.say(&mut world, &request(2, method, params));
            let reply = heard.last().unwrap_or_else(|| panic!("{method} {params}"));
            assert!(
                reply["result"].is_object() && reply["result"].get("isError").is_none(),
                "{params}: {reply}"
            );
            // Nobody asked for progress.
            assert!(heard.iter().all(|heard| heard["method"] != "notifications/progress"), "{heard:?}");
        }
    }
}

#[test]
fn null_is_absent_over_streamable_http() {
    for revision in &SESSIONS[1..] {
        let mut world = World::new(server());
        let sock = world.connect();
        world
            .send(sock, mcp_post(None, &request(0, "initialize", &INITIALIZE.replace("REVISION", revision))));
        let id = world.response(sock).header("Mcp-Session-Id").unwrap().to_owned();
        let client = Client { id };
        let told = r#"{"jsonrpc":"2.0","id":null,"method":"notifications/initialized","params":null}"#;
        assert_eq!(client.post(&mut world, told).status, 202);
        for (method, params) in REQUESTS {
            // As a program that writes every member of a structure for all messages.
            let body = request(2, method, params);
            let body = format!(r#"{},"result":null,"error":null}}"#, body.strip_suffix('}').unwrap());
            let response = client.post(&mut world, &body);
            let messages = response.messages();
            assert!(messages.last().unwrap()["result"].is_object(), "{method} {params}: {messages:?}");
        }
    }
}

#[test]
fn null_is_absent_without_sessions() {
    let mut world = World::new(server());
    let capabilities =
        r#"{"roots":null,"sampling":null,"elicitation":{"form":{},"url":null},"extensions":null}"#;
    let meta = format!(
        r#""_meta":{{"{VERSION}":"2026-07-28","{CAPABILITIES}":{capabilities},"io.modelcontextprotocol/clientInfo":null,"io.modelcontextprotocol/logLevel":null,"progressToken":null}}"#
    );
    let mut send = |method: &str, params: &str, name: &str| {
        let name = if name.is_empty() { String::new() } else { format!("Mcp-Name: {name}\r\n") };
        let fields = format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n{name}");
        let sock = world.connect();
        let body = request(1, method, &format!("{{{params},{meta}}}"));
        world.send(sock, post_with(&fields, &body));
        world.response(sock).messages()
    };
    let rounds = r#""inputResponses":null,"requestState":null"#;
    for (method, params, name) in [
        ("server/discover", r#""cursor":null"#.to_owned(), ""),
        ("tools/list", r#""cursor":null"#.to_owned(), ""),
        ("tools/call", format!(r#""name":"maybe","arguments":null,{rounds}"#), "maybe"),
        ("tools/call", r#""name":"maybe","arguments":{"text":null,"times":null}"#.to_owned(), "maybe"),
        ("prompts/get", r#""name":"chat","arguments":null"#.to_owned(), "chat"),
    ] {
        let reply = one(send(method, &params, name));
        assert_eq!(reply["result"]["resultType"], "complete", "{params}: {reply}");
    }
    // It acknowledges that there is nothing to tell, and ends.
    let nothing = r#""notifications":{"toolsListChanged":null,"promptsListChanged":null,"resourcesListChanged":null,"resourceSubscriptions":null}"#;
    let messages = send("subscriptions/listen", nothing, "");
    assert_eq!((messages.len(), &messages[0]["params"]["notifications"]), (2, &json!({})), "{messages:?}");
    let can = one(send("tools/call", r#""name":"can""#, "can"));
    let said = text(&can);
    assert!(said.contains("elicitation_form: true") && said.matches("true").count() == 1, "{said}");
}

#[test]
fn null_is_absent_in_answers() {
    let mut world = World::new(server());
    let client = questions::Client::new(&mut world, "2025-11-25", ALL);
    for (tool, result, expected) in [
        ("form", r#"{"action":"accept","content":null,"_meta":null}"#, "none"),
        ("form", r#"{"action":"accept","content":{"name":null}}"#, "none"),
        ("form", r#"{"action":"decline","content":null}"#, "declined"),
        (
            "model",
            r#"{"role":"assistant","model":"m","content":{"type":"text","text":"hi","annotations":null},"stopReason":null,"_meta":null}"#,
            "hi None",
        ),
        (
            "places",
            r#"{"roots":[{"uri":"file:///a","name":null,"_meta":null}],"_meta":null}"#,
            r#"[Root { uri: "file:///a", name: None }]"#,
        ),
    ] {
        let question = client.ask(&mut world, &call(1, tool, "{}"));
        assert_eq!(text(&one(client.answer(&mut world, &question, result))), expected, "{result}");
    }
    let question = client.ask(&mut world, &call(1, "form", "{}"));
    let refused = format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":null,"error":{{"code":-1,"message":"no","data":null}}}}"#,
        question["id"]
    );
    let reply = one(client.say(&mut world, &refused));
    assert_eq!(reply["result"]["isError"], true, "{reply}");
}

/// What must be there is missed by its name, and what has the wrong type is named.
#[test]
fn errors_name_the_member() {
    let mut world = World::new(server());
    let client = questions::Client::new(&mut world, "2025-11-25", ALL);
    let template = r#"{"type":"ref/resource","uri":"demo:///note/{number}"}"#;
    let complete = |rest: &str| format!(r#"{{"ref":{template},{rest}}}"#);
    let argument = r#""argument":{"name":"number","value":""}"#;
    let initialize = |rest: &str| {
        format!(r#"{{"protocolVersion":"2025-11-25","clientInfo":{{"name":"n","version":"1"}},{rest}}}"#)
    };
    let cases = [
        ("initialize", "null".to_owned(), "`params` is missing"),
        ("initialize", r#"{"protocolVersion":null}"#.to_owned(), "`protocolVersion` is missing"),
        ("initialize", r#"{"protocolVersion":7}"#.to_owned(), "`protocolVersion` must be a string"),
        ("initialize", initialize(r#""capabilities":null"#), "`capabilities` is missing"),
        ("initialize", initialize(r#""capabilities":[]"#), "`capabilities` must be an object"),
        (
            "initialize",
            initialize(r#""capabilities":{"roots":true}"#),
            "`capabilities.roots` must be an object",
        ),
        (
            "initialize",
            initialize(r#""capabilities":{"experimental":1}"#),
            "`capabilities.experimental` must be an object",
        ),
        (
            "initialize",
            initialize(r#""capabilities":{"extensions":[]}"#),
            "`capabilities.extensions` must be an object",
        ),
        (
            "initialize",
            initialize(r#""capabilities":{"tomorrow":7}"#),
            "`capabilities.tomorrow` must be an object",
        ),
        (
            "initialize",
            initialize(r#""capabilities":{"sampling":7}"#),
            "`capabilities.sampling` must be an object",
        ),
        (
            "initialize",
            initialize(r#""capabilities":{"sampling":{"tools":true}}"#),
            "`capabilities.sampling.tools` must be an object",
        ),
        (
            "initialize",
            initialize(r#""capabilities":{"elicitation":"form"}"#),
            "`capabilities.elicitation` must be an object",
        ),
        (
            "initialize",
            initialize(r#""capabilities":{"elicitation":{"form":true}}"#),
            "`capabilities.elicitation.form` must be an object",
        ),
        (
            "initialize",
            initialize(r#""capabilities":{"elicitation":{"url":[]}}"#),
            "`capabilities.elicitation.url` must be an object",
        ),
        (
            "initialize",
            initialize(r#""capabilities":{"sampling":{"a":1,"a":2}}"#),
            "`capabilities.sampling`: member `a` occurs twice",
        ),
        (
            "initialize",
            initialize(r#""capabilities":{"\ud800":1}"#),
            "`capabilities`: the name of a member has half of a surrogate pair",
        ),
        (
            "initialize",
            r#"{"protocolVersion":"1","capabilities":{},"clientInfo":7}"#.to_owned(),
            "`clientInfo` must be an object",
        ),
        (
            "initialize",
            r#"{"protocolVersion":"1","capabilities":{},"clientInfo":{"name":null,"version":"1"}}"#
                .to_owned(),
            "`clientInfo.name` is missing",
        ),
        (
            "initialize",
            r#"{"protocolVersion":"1","capabilities":{},"clientInfo":{"name":"n","version":1}}"#.to_owned(),
            "`clientInfo.version` must be a string",
        ),
        ("tools/list", r#"{"cursor":7}"#.to_owned(), "`cursor`"),
        ("tools/list", r#"{"cursor":"a","cursor":"b"}"#.to_owned(), "member `cursor` occurs twice"),
        ("tools/call", "null".to_owned(), "`name` is missing"),
        ("tools/call", r#"{"name":null}"#.to_owned(), "`name` is missing"),
        ("resources/read", r#"{"uri":null}"#.to_owned(), "`uri` is missing"),
        ("resources/subscribe", r#"{"uri":7}"#.to_owned(), "`uri` is missing or not a string"),
        ("logging/setLevel", r#"{"level":null}"#.to_owned(), "the log level must be"),
        ("completion/complete", "null".to_owned(), "`ref` is missing"),
        ("completion/complete", r#"{"ref":7}"#.to_owned(), "`ref` must be an object"),
        ("completion/complete", complete(r#""argument":null"#), "`argument` is missing"),
        ("completion/complete", complete(r#""argument":"number""#), "`argument` must be an object"),
        (
            "completion/complete",
            complete(r#""argument":{"name":null,"value":""}"#),
            "`argument.name` is missing",
        ),
        (
            "completion/complete",
            complete(&format!(r#"{argument},"context":7"#)),
            "`context` must be an object",
        ),
        (
            "completion/complete",
            complete(&format!(r#"{argument},"context":{{"arguments":[]}}"#)),
            "`context.arguments` must be an object",
        ),
    ];
    for (method, params, says) in cases {
        let reply = client.ask(&mut world, &request(1, method, &params));
        let message =
            reply["error"]["message"].as_str().unwrap_or_else(|| panic!("{method} {params}: {reply}"));
        assert_eq!(reply["error"]["code"], -32602, "{reply}");
        assert!(message.contains(says) && !message.contains("line 1"), "{params}: {message}");
    }
    // What is unknown here may be any object, and null is as good as nothing.
    let unknown =
        initialize(r#""capabilities":{"experimental":null,"tomorrow":{"a":7},"roots":{"listChanged":null}}"#);
    assert!(client.ask(&mut world, &request(1, "initialize", &unknown))["result"].is_object());
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let mut world = World::new(server());
    let (sse, client) =
        (questions::Client::new(&mut world, "2025-11-25", ALL), Client::new(&mut world, "2025-03-26"));
    let pong = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    let ping = "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}";
    assert_eq!(sse.ask(&mut world, ping), pong);
    assert_eq!(one(client.post(&mut world, ping).messages()), pong);
    let batch = client.post(&mut world, "\u{feff} [{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]");
    assert_eq!((batch.messages(), batch.text().starts_with('[')), (vec![pong], true));
    // Once, and at the start.
    for body in ["\u{feff}\u{feff}{}", " \u{feff}{}", "{\u{feff}}"] {
        let sock = world.connect();
        world.send(sock, post(&sse.stream.endpoint, body));
        let response = world.response(sock);
        let error: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!((response.status, &error["error"]["code"]), (400, &json!(-32700)), "{body:?}");
    }
}
