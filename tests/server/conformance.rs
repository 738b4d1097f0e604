//! The example `conformance` says what the official suite's page asks for, word by word: the suite itself looks at the
//! shape of most results only.

#[path = "../../examples/conformance/changes.rs"]
mod changes;
#[path = "../../examples/conformance/content.rs"]
mod content;
#[path = "../../examples/conformance/questions.rs"]
mod questions;
#[path = "../../examples/conformance/work.rs"]
mod work;

use crate::common::World;
use crate::common::http::{call, request};
use crate::common::questions::{ALL, Client, Pool, error_text, one, text};
use mcp_rill::Server;
use serde_json::{Value, json};

/// The fixture, and a client of the newest revision that has a session.
fn fixture() -> (World, Client) {
    let changes = changes::Changes::default();
    let server = work::add(content::add(Server::new("fixture", "0")));
    let mut world = World::new(changes::add(questions::add(server), &changes));
    changes.begin(world.engine.handle());
    let client = Client::new(&mut world, "2025-11-25", ALL);
    (world, client)
}

/// A call without an `arguments` member at all.
fn bare_call(tool: &str) -> String {
    request(1, "tools/call", &format!(r#"{{"name":"{tool}"}}"#))
}

fn tools(world: &mut World, client: &Client) -> Vec<Value> {
    let reply = client.ask(world, &request(1, "tools/list", "{}"));
    reply["result"]["tools"].as_array().unwrap().clone()
}

/// Asks for what has to be one text block, and compares it.
fn says(world: &mut World, client: &Client, body: &str, wanted: &str) {
    assert_eq!(text(&client.ask(world, body)), wanted, "{body}");
}

#[test]
fn every_tool_is_described_and_named_as_the_suite_wants() {
    let (mut world, client) = fixture();
    let tools = tools(&mut world, &client);
    assert_eq!(tools.len(), 34);
    for tool in &tools {
        let name = tool["name"].as_str().unwrap();
        assert!((1..=64).contains(&name.len()), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)), "{name}");
        assert!(!tool["description"].as_str().unwrap().is_empty(), "{name}");
        assert_eq!(tool["inputSchema"]["type"], "object", "{name}");
    }
}

#[test]
fn contents() {
    let (mut world, client) = fixture();
    let png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mNgYPgPAAEDAQA2dBFAAAAAAElFTkSuQmCC";
    let resource = |uri: &str, mime_type: &str, text: &str| {
        let contents = json!({ "uri": uri, "mimeType": mime_type, "text": text });
        json!({ "type": "resource", "resource": contents })
    };
    let embedded =
        resource("test://embedded-resource", "text/plain", "This is an embedded resource content.");
    let mixed = r#"{"test":"data","value":123}"#;
    let image = json!({ "type": "image", "data": png, "mimeType": "image/png" });
    let wanted = [
        (
            "test_simple_text",
            json!([{ "type": "text", "text": "This is a simple text response for testing." }]),
        ),
        ("test_image_content", json!([image])),
        ("test_embedded_resource", json!([embedded])),
        (
            "test_multiple_content_types",
            json!([
                { "type": "text", "text": "Multiple content types test:" },
                image,
                resource("test://mixed-content-resource", "application/json", mixed)
            ]),
        ),
    ];
    for (tool, content) in wanted {
        let reply = client.ask(&mut world, &bare_call(tool));
        assert_eq!(reply["result"], json!({ "content": content }), "{tool}");
    }
    let reply = client.ask(&mut world, &bare_call("test_audio_content"));
    assert_eq!(reply["result"]["content"][0]["mimeType"], "audio/wav");
    let reply = client.ask(&mut world, &bare_call("test_error_handling"));
    assert_eq!(error_text(&reply), "This tool intentionally returns an error for testing");
    says(&mut world, &client, &call(1, "test_x_mcp_header", r#"{"region":"eu"}"#), "region: eu");
}

#[test]
fn a_schema_written_by_hand_arrives_as_it_is() {
    let (mut world, client) = fixture();
    let tools = tools(&mut world, &client);
    let tool = tools.iter().find(|tool| tool["name"] == "json_schema_2020_12_tool").unwrap();
    let strings = |names: &[&str]| -> Value {
        names.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" }))).collect()
    };
    let mut properties = strings(&["name", "phone", "email"]);
    properties["address"] = json!({ "$ref": "#/$defs/address" });
    properties["contactMethod"] = json!({ "type": "string", "enum": ["phone", "email"] });
    let address =
        json!({ "$anchor": "addressDef", "type": "object", "properties": strings(&["street", "city"]) });
    let wanted = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": { "address": address },
        "properties": properties,
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    });
    assert_eq!(tool["inputSchema"], wanted);
}

#[test]
fn resources_and_prompts() {
    let (mut world, client) = fixture();
    let read = |world: &mut World, uri: &str| {
        let reply = client.ask(world, &request(1, "resources/read", &format!(r#"{{"uri":"{uri}"}}"#)));
        reply["result"]["contents"][0].clone()
    };
    let text = "This is the content of the static text resource.";
    assert_eq!(
        read(&mut world, "test://static-text"),
        json!({ "uri": "test://static-text", "mimeType": "text/plain", "text": text })
    );
    assert_eq!(read(&mut world, "test://static-binary")["mimeType"], "image/png");
    let text = r#"{"id":"123","templateTest":true,"data":"Data for ID: 123"}"#;
    assert_eq!(
        read(&mut world, "test://template/123/data"),
        json!({ "uri": "test://template/123/data", "mimeType": "application/json", "text": text })
    );

    let get = |world: &mut World, params: Value| {
        client.ask(world, &request(1, "prompts/get", &params.to_string()))["result"]["messages"].clone()
    };
    let simple = get(&mut world, json!({ "name": "test_simple_prompt" }));
    assert_eq!(simple[0]["content"]["text"], "This is a simple prompt for testing.");
    let arguments = json!({ "arg1": "testValue1", "arg2": "testValue2" });
    let messages = get(&mut world, json!({ "name": "test_prompt_with_arguments", "arguments": arguments }));
    assert_eq!(messages[0]["content"]["text"], "Prompt with arguments: arg1='testValue1', arg2='testValue2'");
    let arguments = json!({ "resourceUri": "test://example" });
    let messages =
        get(&mut world, json!({ "name": "test_prompt_with_embedded_resource", "arguments": arguments }));
    let text = "Embedded resource content for testing.";
    assert_eq!(
        messages[0]["content"]["resource"],
        json!({ "uri": "test://example", "mimeType": "text/plain", "text": text })
    );
    assert_eq!(messages[1]["content"]["text"], "Please process the embedded resource above.");
    let messages = get(&mut world, json!({ "name": "test_prompt_with_image" }));
    assert_eq!(messages[0]["content"]["mimeType"], "image/png");
    assert_eq!(messages[1]["content"]["text"], "Please analyze the image above.");
}

#[test]
fn the_model_is_asked() {
    let (mut world, client) = fixture();
    let question = client.ask(&mut world, &call(1, "test_sampling", r#"{"prompt":"Test"}"#));
    assert_eq!(question["method"], "sampling/createMessage");
    let message = json!({ "role": "user", "content": { "type": "text", "text": "Test" } });
    assert_eq!(question["params"], json!({ "messages": [message], "maxTokens": 100 }));
    let answer = r#"{"role":"assistant","model":"m","content":{"type":"text","text":"heard"}}"#;
    let reply = one(client.answer(&mut world, &question, answer));
    assert_eq!(text(&reply), "LLM response: heard");
}

#[test]
fn the_user_is_asked() {
    let (mut world, client) = fixture();
    let question = client.ask(&mut world, &call(1, "test_elicitation", r#"{"message":"Who?"}"#));
    assert_eq!(
        (&question["method"], &question["params"]["message"]),
        (&json!("elicitation/create"), &json!("Who?"))
    );
    let form = &question["params"]["requestedSchema"];
    assert_eq!(form["required"], json!(["username", "email"]));
    assert_eq!(form["properties"]["email"]["type"], "string");
    let user = r#"{"username":"testuser","email":"test@example.com"}"#;
    let answer = format!(r#"{{"action":"accept","content":{user}}}"#);
    let reply = one(client.answer(&mut world, &question, &answer));
    assert_eq!(text(&reply), format!("User response: action=accept, content={user}"));

    let question = client.ask(&mut world, &bare_call("test_elicitation_sep1034_defaults"));
    let form = &question["params"]["requestedSchema"];
    let defaults =
        |name: &str| (form["properties"][name]["type"].clone(), form["properties"][name]["default"].clone());
    assert_eq!(defaults("name"), (json!("string"), json!("John Doe")));
    assert_eq!(defaults("age"), (json!("integer"), json!(30)));
    assert_eq!(defaults("score"), (json!("number"), json!(95.5)));
    assert_eq!(defaults("status"), (json!("string"), json!("active")));
    assert_eq!(form["properties"]["status"]["enum"], json!(["active", "inactive", "pending"]));
    assert_eq!(defaults("verified"), (json!("boolean"), json!(true)));
    let reply = one(client.answer(&mut world, &question, r#"{"action":"decline"}"#));
    assert_eq!(text(&reply), "Elicitation completed: action=decline, content={}");
}

#[test]
fn every_form_of_enum_is_shown() {
    let (mut world, client) = fixture();
    let question = client.ask(&mut world, &bare_call("test_elicitation_sep1330_enums"));
    let options = json!(["option1", "option2", "option3"]);
    let titled = |names: [&str; 3]| -> Value {
        let values = ["value1", "value2", "value3"];
        values.iter().zip(names).map(|(value, title)| json!({ "const": value, "title": title })).collect()
    };
    let wanted = json!({
        "untitledSingle": { "type": "string", "enum": options },
        "titledSingle": { "type": "string", "oneOf": titled(["First Option", "Second Option", "Third Option"]) },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {
            "type": "array", "minItems": 1, "maxItems": 3, "items": { "type": "string", "enum": options },
        },
        "titledMulti": {
            "type": "array", "minItems": 1, "maxItems": 3,
            "items": { "anyOf": titled(["First Choice", "Second Choice", "Third Choice"]) },
        },
    });
    assert_eq!(question["params"]["requestedSchema"]["properties"], wanted);

    // A client of 2025-06-18 knows no lists in forms: the model is told so.
    let old = Client::new(&mut world, "2025-06-18", r#"{"elicitation":{}}"#);
    error_text(&old.ask(&mut world, &bare_call("test_elicitation_sep1330_enums")));
}

#[test]
fn slow_tools_report_before_they_end() {
    let (mut world, client) = fixture();
    let pool = Pool::new(&mut world);
    let meta = r#"{"name":"test_tool_with_progress","_meta":{"progressToken":"progress-test-1"}}"#;
    client.tell(&mut world, &request(1, "tools/call", meta));
    let heard = pool.heard(&mut world, &client, 4);
    for (message, progress) in heard.iter().zip([0, 50, 100]) {
        assert_eq!(message["method"], "notifications/progress");
        assert_eq!(message["params"]["progressToken"], "progress-test-1");
        assert_eq!(
            (message["params"]["progress"].as_f64(), message["params"]["total"].as_f64()),
            (Some(f64::from(progress)), Some(100.0))
        );
    }
    assert_eq!(text(&heard[3]), "progress token: \"progress-test-1\"");

    client.tell(&mut world, &bare_call("test_tool_with_logging"));
    let heard = pool.heard(&mut world, &client, 4);
    let wanted = ["Tool execution started", "Tool processing data", "Tool execution completed"];
    for (message, data) in heard.iter().zip(wanted) {
        assert_eq!(message["method"], "notifications/message");
        assert_eq!(message["params"], json!({ "level": "info", "data": data }));
    }
    client.tell(&mut world, &bare_call("test_reconnection"));
    assert_eq!(text(&pool.heard(&mut world, &client, 1)[0]), "Finished after a while");
}

#[test]
fn lists_and_a_resource_change() {
    let (mut world, client) = fixture();
    let pool = Pool::new(&mut world);
    for (tool, method) in [
        ("test_trigger_tool_change", "notifications/tools/list_changed"),
        ("test_trigger_prompt_change", "notifications/prompts/list_changed"),
    ] {
        let mut heard = client.say(&mut world, &bare_call(tool));
        let missing = 2 - heard.len();
        heard.extend(if missing > 0 { pool.heard(&mut world, &client, missing) } else { Vec::new() });
        assert!(heard.iter().any(|message| message["method"] == method), "{heard:?}");
    }
    assert!(tools(&mut world, &client).iter().any(|tool| tool["name"] == "test_dynamic_tool"));

    let watched = r#"{"uri":"test://watched-resource"}"#;
    let reply = client.ask(&mut world, &request(1, "resources/subscribe", watched));
    assert_eq!(reply["result"], json!({}));
    let mut heard = client.say(&mut world, &bare_call("test_update_watched_resource"));
    let missing = 2 - heard.len();
    heard.extend(if missing > 0 { pool.heard(&mut world, &client, missing) } else { Vec::new() });
    let update = heard.iter().find(|message| message["method"] == "notifications/resources/updated").unwrap();
    assert_eq!(update["params"], json!({ "uri": "test://watched-resource" }));
}
