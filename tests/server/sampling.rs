//! Asking the client's model, and letting it use tools meanwhile.

use mcp_rill::ToolChoice;
use mcp_rill::{Content, Sample, Sampled, Server, Tool};
use serde_json::json;

use crate::common::World;
use crate::common::http::call;
use crate::common::questions::{ALL, Client, error_text, one, text};

fn server() -> Server {
    Server::new("sampler", "1")
        .tool("plain", "Ask", |(), call| -> mcp_rill::Result<_> {
            Ok(call.sample("s", "Hi")?.required()?.text())
        })
        .tool("full", "Ask", |(), call| -> mcp_rill::Result<_> {
            let sample = Sample::new(500)
                .system("Be terse.")
                .user("One?")
                .assistant("1")
                .user(Content::image([1, 2, 3], "image/png"))
                .temperature(0.25)
                .stop("\n\n")
                .stop("END")
                .model_hint("small")
                .model_hint("s")
                .priorities(2.0, f64::NAN, 0.5);
            let Sampled { model, stop_reason, content, .. } = call.sample("s", sample)?.required()?;
            Ok(format!("{model} {stop_reason:?} {content}"))
        })
        .tool("choice", "Ask", |(), call| -> mcp_rill::Result<_> {
            let sample = Sample::new(9).user("Hi").tool_choice(ToolChoice::None);
            Ok(call.sample("choice", sample)?.required()?.text())
        })
        .tool("tools", "Ask", |(), call| -> mcp_rill::Result<_> {
            let clock = Tool::new("clock", "The time").input_schema("{\n\"type\":\"object\"}");
            let ask = Sample::new(9).user("Time?").tool(clock).tool_choice(ToolChoice::Required);
            let wish = call.sample("first", ask.clone())?.required()?;
            let uses = wish.tool_uses();
            let mut ask = ask.answered(&wish).tool_choice(ToolChoice::None);
            for tool in &uses {
                ask = ask.tool_result(&tool.id, format!("{} of {}", tool.input, tool.name));
            }
            Ok(call.sample("second", ask)?.required()?.text())
        })
}

#[test]
fn a_text_is_a_prompt_of_the_user() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2024-11-05", r#"{"sampling":{}}"#);
    let question = client.ask(&mut world, &call(1, "plain", "{}"));
    let messages = json!([{ "role": "user", "content": { "type": "text", "text": "Hi" } }]);
    let params = json!({ "messages": messages, "maxTokens": 1000 });
    let expected = json!({ "jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": params });
    assert_eq!(question, expected);
    let answer = r#"{"role":"assistant","content":{"type":"text","text":"Ho"},"model":"m"}"#;
    assert_eq!(text(&one(client.answer(&mut world, &question, answer))), "Ho");
}

#[test]
fn everything_that_a_sample_can_say_is_sent() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2025-06-18", r#"{"sampling":{}}"#);
    let question = client.ask(&mut world, &call(1, "full", "{}"));
    let params = json!({
        "messages": [
            { "role": "user", "content": { "type": "text", "text": "One?" } },
            { "role": "assistant", "content": { "type": "text", "text": "1" } },
            { "role": "user", "content": { "type": "image", "data": "AQID", "mimeType": "image/png" } },
        ],
        "modelPreferences": {
            "hints": [{ "name": "small" }, { "name": "s" }],
            "costPriority": 1, "speedPriority": 0, "intelligencePriority": 0.5,
        },
        "systemPrompt": "Be terse.",
        "temperature": 0.25,
        "maxTokens": 500,
        "stopSequences": ["\n\n", "END"],
    });
    assert_eq!(question["params"], params);
    let answer =
        r#"{"role":"assistant","content":{"type":"text","text":"2"},"model":"m-1","stopReason":"endTurn"}"#;
    let reply = one(client.answer(&mut world, &question, answer));
    assert_eq!(text(&reply), r#"m-1 Some("endTurn") {"type":"text","text":"2"}"#);
}

#[test]
fn the_model_may_use_tools_and_gets_their_results() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let question = client.ask(&mut world, &call(1, "tools", "{}"));
    let tool = json!({ "name": "clock", "description": "The time", "inputSchema": { "type": "object" } });
    assert_eq!(question["params"]["tools"], json!([tool]));
    assert_eq!(question["params"]["toolChoice"], json!({ "mode": "required" }));
    let content = json!([
        { "type": "text", "text": "let me see" },
        { "type": "tool_use", "id": "a", "name": "clock", "input": { "zone": "UTC" } },
        { "type": "tool_use", "id": "b", "name": "clock", "input": {} },
    ]);
    let answer = json!({ "role": "assistant", "content": content, "model": "m", "stopReason": "toolUse" });
    let question = one(client.answer(&mut world, &question, &answer.to_string()));
    let result = |id: &str, text: &str| json!({ "type": "tool_result", "toolUseId": id, "content": [{ "type": "text", "text": text }] });
    let results = json!([result("a", r#"{"zone":"UTC"} of clock"#), result("b", "{} of clock")]);
    let messages = json!([
        { "role": "user", "content": { "type": "text", "text": "Time?" } },
        { "role": "assistant", "content": content },
        { "role": "user", "content": results },
    ]);
    assert_eq!(question["params"]["messages"], messages);
    assert_eq!(question["params"]["toolChoice"], json!({ "mode": "none" }));
    let content = r#"[{"type":"text","text":"It is "},{"type":"text","text":"noon"}]"#;
    let answer = format!(r#"{{"role":"assistant","content":{content},"model":"m"}}"#);
    assert_eq!(text(&one(client.answer(&mut world, &question, &answer))), "It is noon");
}

#[test]
fn tools_need_a_client_that_lets_its_model_use_them() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2025-11-25", r#"{"sampling":{}}"#);
    for tool in ["tools", "choice"] {
        let reply = client.ask(&mut world, &call(1, tool, "{}"));
        assert!(error_text(&reply).contains("sampling.tools"), "{reply}");
    }
}

#[test]
fn a_tool_that_clients_would_refuse_is_an_error_that_names_it() {
    let server = Server::new("s", "1").tool("ask", "Ask", |(), call| -> mcp_rill::Result<_> {
        let list = Tool::new("list", "List").input_schema(r#"{"type":"array"}"#);
        Ok(call.sample("why", Sample::new(9).user("Why?").tool(list))?.required()?.text())
    });
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let error = &client.ask(&mut world, &call(1, "ask", "{}"))["error"];
    assert_eq!(error["code"], -32603);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("the question `why`: tool `list`: its input schema"), "{message}");
}

#[test]
fn an_answer_of_the_wrong_shape_names_the_field() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2025-11-25", ALL);
    for (answer, named) in [
        (r#"{"model":"m"}"#, "`content`"),
        (r#"{"model":"m","content":[]}"#, "`content`"),
        (r#"{"model":"m","content":["x"]}"#, "`content`"),
        (r#"{"model":"m","content":"x"}"#, "`content`"),
        (r#"{"content":{"type":"text","text":"x"}}"#, "`model`"),
        (r#"{"model":7,"content":{"type":"text","text":"x"}}"#, "`model`"),
        ("7", "expected an object"),
    ] {
        let question = client.ask(&mut world, &call(1, "plain", "{}"));
        let reply = one(client.answer(&mut world, &question, answer));
        assert!(error_text(&reply).contains(named), "{answer}: {reply}");
    }
    let question = client.ask(&mut world, &call(1, "plain", "{}"));
    let refused = r#"{"code":-1,"message":"User rejected sampling request"}"#;
    let reply = one(client.refuse(&mut world, &question, refused));
    assert!(error_text(&reply).contains("User rejected"), "{reply}");
}
