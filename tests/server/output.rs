//! What is sent, whatever handlers give: lines that stay whole, numbers that JSON has, structured content that is what it
//! claims to be.

use mcp_rill::{
    Annotations, CallError, Content, Json, Level, Prompt, PromptArgument, PromptMessage, PromptResult,
    Resource, ResourceContents, ResourceTemplate, Sample, Server, Tool, ToolResult, schema,
};
use serde_json::{Value, json};

use crate::common::World;
use crate::common::http::{call, request};
use crate::common::questions::{ALL, Client, text};

const ENDS: &str = "a\u{85}b\u{2028}c\u{2029}d";

schema! { struct Named {
    /// Its name.
    name: String { title "a\u{2028}" } = "b\u{2029}",
} }

schema! { struct Day { celsius: f64 } }
schema! { struct Week { days: Vec<Day>, sum: Option<f32>, note: Option<String> } }

/// A server that says [`ENDS`] wherever it can.
fn everywhere() -> Server {
    let raw = format!(r#"{{"type":"object","properties":{{"{ENDS}":{{"type":"string"}}}}}}"#);
    let tool = Tool::new("all", ENDS).title(ENDS).input_schema(&*raw).output_schema(raw);
    Server::new(ENDS, ENDS)
        .instructions(ENDS)
        .offer(tool.handler(|_: Value, call| -> mcp_rill::Result<ToolResult> {
            call.log_as(Level::Info, ENDS, json!({ ENDS: [ENDS] }));
            call.once(ENDS, || ENDS.to_owned())?;
            let form = format!(r#"{{"type":"object","properties":{{"{ENDS}":{{"type":"string"}}}}}}"#);
            call.elicit_raw(ENDS, ENDS, &form)?;
            call.sample("sample", Sample::new(1).system(ENDS).stop(ENDS).user(ENDS))?;
            let page = ResourceContents::text(ENDS).uri("x:y").mime_type(ENDS);
            Ok(ToolResult::blocks(vec![Content::text(ENDS), Content::resource(page)])
                .structured(format!(r#"{{"{ENDS}":"{ENDS}"}}"#)))
        }))
        .tool("fails", "Fail", |(), _| -> mcp_rill::Result<&str> { Err(ENDS.into()) })
        .tool("refuses", "Refuse", |(), _| -> Result<&str, CallError> { Err(CallError::new(7, ENDS)) })
        .tool("typed", "Typed", |Named { name }: Named, _| Json(Named { name }))
        .offer(Resource::new("x:1", ENDS).description(ENDS).mime_type(ENDS).handler(|_| ENDS))
        .offer(ResourceTemplate::new("x:{n}", ENDS).handler(|_, _| ENDS))
        .offer(Prompt::new("p", ENDS).argument(PromptArgument::new(ENDS)).handler(|_: Value, _| ENDS))
}

#[test]
fn no_message_has_a_line_end_of_unicode_in_it() {
    let mut world = World::new(everywhere());
    let sock = world.connect();
    let stream = world.open_sse_on(sock, "/sse");
    let post = world.connect();
    let answers = [
        request(0, "initialize", r#"{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{"form":{}},"sampling":{}},"clientInfo":{"name":"t","version":"0"}}"#),
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned(),
        request(format!("\"{ENDS}\""), "tools/list", "{}"),
        request(1, "prompts/list", "{}"),
        request(2, "resources/list", "{}"),
        request(3, "resources/templates/list", "{}"),
        request(4, "prompts/get", r#"{"name":"p"}"#),
        request(5, "resources/read", r#"{"uri":"x:1"}"#),
        request(6, "resources/read", &format!(r#"{{"uri":"y:{ENDS}"}}"#)),
        call(7, "all", "{}"),
        r#"{"jsonrpc":"2.0","id":1,"result":{"action":"decline"}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":2,"result":{"role":"assistant","model":"m","content":{"type":"text","text":"x"}}}"#.to_owned(),
        call(8, "fails", "{}"),
        call(9, "refuses", "{}"),
        call(10, "typed", &format!(r#"{{"name":"{ENDS}"}}"#)),
        call(11, "typed", &format!(r#"{{"{ENDS}":1}}"#)),
    ];
    let mut heard = 0;
    for body in answers {
        assert_eq!(world.post(post, &stream.endpoint, &body).status, 202);
        let all = world.take_text(sock);
        assert!(!all.contains(['\u{85}', '\u{2028}', '\u{2029}']), "{all}");
        heard += all.matches("\\u2028").count();
    }
    assert!(heard >= 39, "{heard}");
}

#[test]
fn a_float_that_is_not_finite_is_an_error_that_names_it() {
    let week =
        |celsius| Week { days: vec![Day { celsius: 1.0 }, Day { celsius }], sum: Some(2.0), note: None };
    let server = Server::new("numbers", "1")
        .tool("good", "Good", move |(), _| Json(Week { note: Some("null".into()), ..week(-0.0) }))
        .tool("deep", "Deep", move |(), _| Json(week(f64::NAN)))
        .tool("optional", "Optional", move |(), _| Json(Week { sum: Some(f32::INFINITY), ..week(1.0) }))
        .tool("any", "Any", |(), _| ToolResult::json(&[("a", [0.5, f64::NEG_INFINITY])]))
        .tool("once", "Once", |(), call| call.once("rate", || f64::NAN).map(|rate| rate.to_string()))
        .tool("kept", "Kept", |(), call| call.once("rate", || 2.0).map(|rate| rate.to_string()))
        .tool("sample", "Sample", |(), call| -> mcp_rill::Result<String> {
            let sample = Sample::new(9).user("x").temperature(f64::INFINITY).priorities(0.0, 1.0, f64::NAN);
            Ok(call.sample("s", sample)?.required()?.text())
        });
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let reply = client.ask(&mut world, &call(1, "good", "{}"));
    let expected = r#"{"days":[{"celsius":1},{"celsius":0}],"sum":2,"note":"null"}"#;
    assert_eq!(
        (text(&reply), reply["result"]["structuredContent"].to_string()),
        (expected, {
            let value: Value = serde_json::from_str(expected).unwrap();
            value.to_string()
        })
    );
    for (tool, named) in [
        ("deep", "the result cannot be sent: the number `days[1].celsius` is infinite or NaN"),
        ("optional", "the result cannot be sent: the number `sum` is infinite or NaN"),
        ("any", "the result cannot be sent: the number `[0][1][1]` is -inf"),
        ("once", "the value of `rate` cannot be kept: the number is infinite or NaN"),
    ] {
        let reply = client.ask(&mut world, &call(2, tool, "{}"));
        assert_eq!(
            reply["error"],
            json!({ "code": -32603, "message": format!("Internal error: {named}; JSON holds only finite numbers") })
        );
    }
    assert_eq!(text(&client.ask(&mut world, &call(3, "kept", "{}"))), "2");
    let question = client.ask(&mut world, &call(4, "sample", "{}"));
    let preferences = json!({ "costPriority": 0, "speedPriority": 1, "intelligencePriority": 0 });
    assert_eq!(question["params"]["modelPreferences"], preferences);
    assert!(question["params"].get("temperature").is_none(), "{question}");
}

#[test]
fn a_total_that_is_not_finite_is_none() {
    let server = Server::new("numbers", "1").tool("steps", "Show", |(), call| {
        call.progress(f64::NAN, Some(1.0), None);
        call.progress(0.0, Some(f64::INFINITY), None);
        call.progress(0.5, Some(f64::NAN), None);
        call.progress(f64::INFINITY, Some(3.0), None);
        call.progress(2.0, Some(3.0), None);
        "done"
    });
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let body = request(1, "tools/call", r#"{"name":"steps","_meta":{"progressToken":7}}"#);
    let heard = client.say(&mut world, &body);
    let params: Vec<&Value> = heard.iter().map(|message| &message["params"]).take(3).collect();
    assert_eq!(
        params,
        [
            &json!({ "progressToken": 7, "progress": 0 }),
            &json!({ "progressToken": 7, "progress": 0.5 }),
            &json!({ "progressToken": 7, "progress": 2, "total": 3 }),
        ]
    );
}

/// One tool for each text that it says is JSON, with an output schema or without.
fn promising(promises: &[(&'static str, &'static str)]) -> Server {
    const SCHEMA: &str = r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#;
    promises.iter().fold(Server::new("promises", "1"), |server, &(name, structured)| {
        let plain = Tool::new(name, "Plain");
        let typed = Tool::new(format!("typed-{name}"), "Typed").output_schema(SCHEMA);
        let failing = Tool::new(format!("failing-{name}"), "Failing").output_schema(SCHEMA);
        server
            .offer(plain.handler(move |(), _| ToolResult::text("x").structured(structured)))
            .offer(typed.handler(move |(), _| ToolResult::text("x").structured(structured)))
            .offer(failing.handler(move |(), _| ToolResult::error("no").structured(structured)))
    })
}

#[test]
fn structured_content_is_what_it_promises() {
    let promises = [
        ("good", "{ \"n\": 1,\n \"m\": \"\u{2028}\" }"),
        ("text", "not json"),
        ("members", r#"{"n":1},"isError":true"#),
        ("array", "[1,2]"),
        ("null", " null"),
        ("half", r#"{"n":1"#),
        ("empty", ""),
        ("wrong", r#"{"n":"1"}"#),
    ];
    let no_object = "returned structured content that is not an object, ";
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut world = World::new(promising(&promises));
        let client = Client::new(&mut world, revision, "{}");
        let is_sent = revision >= "2025-06-18";
        let plain = |name: &str| match name {
            "good" | "wrong" => None,
            "array" | "null" => is_sent.then_some(no_object),
            _ => Some("returned structured content that is not JSON: "),
        };
        for (name, text) in promises {
            let reply = client.ask(&mut world, &call(1, name, "{}"));
            match plain(name) {
                Some(problem) => {
                    let expected = format!("Internal error: the tool `{name}` {problem}");
                    let message = reply["error"]["message"].as_str().unwrap();
                    assert!(message.starts_with(&expected), "{revision}: {message}");
                    assert_eq!(reply["error"]["code"], -32603);
                }
                None => {
                    let expected = is_sent.then(|| serde_json::from_str::<Value>(text).unwrap());
                    assert_eq!(
                        reply["result"].get("structuredContent"),
                        expected.as_ref(),
                        "{revision} {name}"
                    );
                }
            }
            let typed = client.ask(&mut world, &call(2, &format!("typed-{name}"), "{}"));
            assert_eq!(typed.get("error").is_none(), name == "good", "{revision}: {typed}");
            let failing = client.ask(&mut world, &call(3, &format!("failing-{name}"), "{}"));
            assert_eq!(failing["result"]["isError"], true, "{revision}: {failing}");
            let has_structure = failing["result"].get("structuredContent").is_some();
            assert_eq!(has_structure, is_sent && name == "good", "{revision}: {failing}");
        }
    }
}

/// A server with a `_meta` wherever there can be one.
fn with_meta() -> Server {
    const KEY: &str = "com.example/k";
    let page = || ResourceContents::text("x").meta(KEY, "contents");
    Server::new("meta", "1")
        .extension("com.example/e", json!({ "on": true }))
        .extension("com.example/none", json!({}))
        .offer(Tool::new("t", "T").meta(KEY, "old").meta(KEY, json!({ "tool": [1.0, null] })).handler(
            move |(), _| {
                let linked = Resource::new("x:2", "two")
                    .meta(KEY, "resource")
                    .annotations(Annotations::default().priority(1.0));
                let blocks = vec![
                    Content::text("x").meta(KEY, "text"),
                    Content::image([1], "image/png").meta(KEY, "image"),
                    Content::audio([1], "audio/wav").meta(KEY, "audio"),
                    Content::resource(page().uri("x:1")).meta(KEY, "embedded"),
                    Content::link(linked).meta(KEY, "link").annotate(Annotations::default().priority(0.5)),
                ];
                ToolResult::blocks(blocks).structured("{}").meta(KEY, "result")
            },
        ))
        .offer(Resource::new("x:1", "one").meta(KEY, "resource").handler(move |_| page()))
        .offer(ResourceTemplate::new("x:{n}", "many").meta(KEY, "template").handler(|_, _| "x"))
        .offer(Prompt::new("p", "P").meta(KEY, "prompt").handler(|(), _| {
            PromptResult::new(vec![PromptMessage::user(Content::text("x").meta(KEY, "text"))])
                .meta(KEY, "result")
        }))
}

#[test]
fn meta_goes_out_as_it_is_in_every_revision() {
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut world = World::new(with_meta());
        let client = Client::silent(&mut world);
        let hello = format!(
            r#"{{"protocolVersion":"{revision}","capabilities":{{}},"clientInfo":{{"name":"t","version":"0"}}}}"#
        );
        let welcome = client.ask(&mut world, &request(0, "initialize", &hello));
        client.tell(&mut world, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        let extensions = json!({ "com.example/e": { "on": true }, "com.example/none": {} });
        assert_eq!(welcome["result"]["capabilities"]["extensions"], extensions);
        assert!(welcome["result"].get("_meta").is_none(), "{welcome}");
        let mut result = |method: &str, params: &str| {
            let mut reply = client.ask(&mut world, &request(1, method, params));
            reply["result"].take()
        };
        let meta = |value: &Value| value["_meta"]["com.example/k"].clone();
        assert_eq!(meta(&result("tools/list", "{}")["tools"][0]), json!({ "tool": [1, null] }));
        assert_eq!(meta(&result("resources/list", "{}")["resources"][0]), "resource");
        assert_eq!(meta(&result("resources/templates/list", "{}")["resourceTemplates"][0]), "template");
        assert_eq!(meta(&result("prompts/list", "{}")["prompts"][0]), "prompt");
        assert_eq!(meta(&result("resources/read", r#"{"uri":"x:1"}"#)["contents"][0]), "contents");
        let prompt = result("prompts/get", r#"{"name":"p"}"#);
        assert_eq!(
            (meta(&prompt), meta(&prompt["messages"][0]["content"])),
            (json!("result"), json!("text"))
        );
        let called = result("tools/call", r#"{"name":"t"}"#);
        let blocks: Vec<Value> = called["content"].as_array().unwrap().iter().map(meta).collect();
        assert_eq!(
            (meta(&called), blocks),
            (json!("result"), ["text", "image", "audio", "embedded", "link"].map(Value::from).to_vec())
        );
        assert_eq!(meta(&called["content"][3]["resource"]), "contents");
        let link = &called["content"][4];
        assert_eq!(link["type"], if revision < "2025-06-18" { "text" } else { "resource_link" });
        assert_eq!(link["annotations"], json!({ "priority": 0.5 }), "{revision}");
    }
}

#[test]
fn no_member_is_there_twice() {
    let mut world = World::new(with_meta());
    let sock = world.connect();
    let stream = world.open_sse_on(sock, "/sse");
    let post = world.connect();
    let hello =
        r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"0"}}"#;
    for body in [
        request(0, "initialize", hello),
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned(),
    ] {
        world.post(post, &stream.endpoint, &body);
        world.forget(sock);
    }
    world.post(post, &stream.endpoint, &call(1, "t", "{}"));
    let text = world.take_text(sock);
    let link = &text[text.find(r#"{"type":"resource_link""#).unwrap()..];
    let link = &link[..link.find("}],").unwrap()];
    assert_eq!(
        link,
        concat!(
            r#"{"type":"resource_link","uri":"x:2","name":"two","_meta":{"com.example/k":"link"},"#,
            r#""annotations":{"priority":0.5}"#
        )
    );
}

#[test]
fn extensions_have_a_prefix_and_an_object() {
    let problem = |name: &str, settings: Value| {
        mcp_rill::engine::Engine::new(Server::new("x", "1").extension(name, settings), || 1)
            .err()
            .map(|problem| problem.to_string())
            .unwrap_or_default()
    };
    assert_eq!(problem("a.b/c", json!({})), "");
    assert_eq!(problem("ui", json!({})), "extension `ui`: a name has a prefix, such as `com.example/ui`");
    assert_eq!(
        problem("a.b/c", json!([1])),
        "extension `a.b/c`: its settings are a JSON object, such as {}, and not [1]"
    );
}
