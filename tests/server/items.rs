//! What the server describes and hands out is what clients take: URIs and times in results, arguments of prompts.

use crate::common::World;
use crate::common::http::{call, request};
use crate::common::questions::{ALL, Client, error_text};
use mcp_rill::{Annotations, Content, PromptMessage, Resource, ResourceContents, Sample, Server, schema};
use serde_json::{Value, json};

/// The message of an internal error.
fn problem(reply: &Value) -> &str {
    assert_eq!(reply["error"]["code"], -32603, "{reply}");
    reply["error"]["message"].as_str().unwrap().strip_prefix("Internal error: ").unwrap()
}

const SPACE: &str = "` ` cannot stand in a URI; write %20";

#[test]
fn a_uri_in_a_result_is_one_or_an_error_of_its_handler() {
    let link = || Content::link(Resource::new("memo://x y", "x"));
    let server = Server::new("s", "1")
        .tool("link", "", move |(), _| vec![Content::text("see"), link()])
        .tool("embedded", "", |(), _| Content::resource(ResourceContents::text("x").uri("memo:///100%")))
        .tool("nameless", "", |(), _| Content::resource(ResourceContents::text("x")))
        .tool("old", "", |(), _| {
            Content::text("x").annotate(Annotations::default().last_modified("yesterday"))
        })
        .tool("fine", "", |(), _| Content::link(Resource::new("memo:///x%20y", "x")))
        .resource("memo:///1", "one", |_| ResourceContents::text("x").uri("memo"))
        .resource("memo:///2", "two", |_| "x")
        .prompt("link", "", move |(), _| PromptMessage::user(link()));
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", "{}");
    let refused = "returned something that clients refuse";
    for (tool, expected) in [
        ("link", format!("resource `memo://x y`: {SPACE}")),
        ("embedded", "contents of `memo:///100%`: `%` is not followed by two hexadecimal digits".to_owned()),
        ("nameless", "an embedded resource without a URI: say whose contents they are with `uri`".to_owned()),
        ("old", "`lastModified` \"yesterday\" is not a time such as 2026-01-31T09:00:00Z".to_owned()),
    ] {
        let reply = client.ask(&mut world, &call(1, tool, "{}"));
        assert_eq!(problem(&reply), format!("the tool `{tool}` {refused}: {expected}"));
    }
    assert_eq!(
        client.ask(&mut world, &call(1, "fine", "{}"))["result"]["content"][0]["uri"],
        "memo:///x%20y"
    );
    let reply = client.ask(&mut world, &request(1, "resources/read", r#"{"uri":"memo:///1"}"#));
    let scheme = "a URI begins with a scheme, such as `file:`";
    assert_eq!(problem(&reply), format!("the resource `memo:///1` {refused}: contents of `memo`: {scheme}"));
    let reply = client.ask(&mut world, &request(1, "resources/read", r#"{"uri":"memo:///2"}"#));
    assert_eq!(reply["result"]["contents"][0]["uri"], "memo:///2");
    let reply = client.ask(&mut world, &request(1, "prompts/get", r#"{"name":"link"}"#));
    assert_eq!(problem(&reply), format!("the prompt `link` {refused}: resource `memo://x y`: {SPACE}"));
}

#[test]
fn a_question_with_what_clients_refuse_is_an_error_that_names_it() {
    let page = || Content::resource(ResourceContents::text("x").uri("memo:///1"));
    let server = Server::new("s", "1")
        .tool("url", "", |(), call| -> mcp_rill::Result<_> {
            call.elicit_url("login", "Log in", "bank.example/login")?;
            Ok("never")
        })
        .tool("resource", "", move |(), call| -> mcp_rill::Result<_> {
            Ok(call.sample("read", page())?.required()?.text())
        })
        .tool("link", "", |(), call| -> mcp_rill::Result<_> {
            let link = Content::link(Resource::new("memo:///1", "x"));
            Ok(call.sample("read", Sample::new(9).user("Read").assistant(link))?.required()?.text())
        })
        .tool("sound", "", |(), call| -> mcp_rill::Result<_> {
            Ok(call.sample("hear", Content::audio([1, 2, 3], "audio/wav"))?.required()?.text())
        });
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let fit = "only text, pictures and sounds";
    for (tool, expected) in [
        (
            "url",
            "the URL `bank.example/login` of `login`: a URI begins with a scheme, such as `file:`".to_owned(),
        ),
        ("resource", format!("the question `read`: a message to the model cannot be a resource, {fit}")),
        (
            "link",
            format!("the question `read`: a message to the model cannot be a link to a resource, {fit}"),
        ),
    ] {
        assert_eq!(problem(&client.ask(&mut world, &call(1, tool, "{}"))), expected);
    }
    let question = client.ask(&mut world, &call(1, "sound", "{}"));
    assert_eq!(question["params"]["messages"][0]["content"]["type"], "audio");
    let old = Client::new(&mut world, "2024-11-05", ALL);
    let reply = old.ask(&mut world, &call(1, "sound", "{}"));
    assert!(error_text(&reply).contains("let its model hear sounds (since 2025-03-26)"), "{reply}");
}

schema! { enum Tone { Formal = "formal", Friendly = "friendly" } }
schema! { enum Side { Left, None = "" } }
schema! { struct Letter {
    to: String,
    tone: Option<Tone>,
    style: Tone = Tone::Formal,
    side: Option<Side>,
    greeting: Option<String> { length 2..=20 },
    note: Option<String>,
} }

fn letter(given: Letter) -> String {
    let Letter { to, tone, style, side, greeting, note } = given;
    let style = matches!(style, Tone::Formal);
    let none = matches!(side, Some(Side::None));
    format!("{to:?} {:?} {style} {none} {greeting:?} {note:?}", tone.map(|tone| matches!(tone, Tone::Formal)))
}

#[test]
fn what_a_user_leaves_empty_in_the_dialogue_of_a_prompt_is_left_out() {
    let server = Server::new("s", "1").prompt("letter", "", |given: Letter, _| letter(given)).tool(
        "letter",
        "",
        |given: Letter, _| letter(given),
    );
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", "{}");
    let mut get = |arguments: &str| {
        let params = format!(r#"{{"name":"letter","arguments":{arguments}}}"#);
        client.ask(&mut world, &request(1, "prompts/get", &params))
    };
    let text_of = |reply: &Value| reply["result"]["messages"][0]["content"]["text"].clone();
    let reply = get(r#"{"to":"","tone":"","style":"","side":"","greeting":"","note":""}"#);
    assert_eq!(text_of(&reply), json!(r#""" None true true None Some("")"#), "{reply}");
    let reply = get(r#"{"to":"Ada","tone":"friendly","style":"friendly","side":"Left","greeting":"Hi"}"#);
    assert_eq!(text_of(&reply), json!(r#""Ada" Some(false) false false Some("Hi") None"#), "{reply}");
    for (arguments, expected) in [
        ("{}", "missing argument `to` (a string)"),
        (
            r#"{"to":"Ada","tone":"rude"}"#,
            r#"argument `tone`: expected "formal" or "friendly", got the string "rude""#,
        ),
        (
            r#"{"to":"Ada","form":"x"}"#,
            "unknown argument `form`; this prompt takes `to`, `tone`, `style`, `side`, `greeting` and `note`",
        ),
    ] {
        let error = &get(arguments)["error"];
        assert_eq!(
            (&error["code"], &error["message"]),
            (&json!(-32602), &json!(format!("Invalid params: {expected}")))
        );
    }
    // The arguments of a tool are a model's, and that can leave them out.
    let reply = client.ask(&mut world, &call(1, "letter", r#"{"to":"Ada","tone":""}"#));
    assert_eq!(reply["result"]["isError"], true);
}

#[test]
fn a_prompt_that_asks_too_often_is_called_a_prompt() {
    let server = Server::new("s", "1").prompt("nag", "", |(), call| -> mcp_rill::Result<String> {
        for nth in 0.. {
            call.roots(&nth.to_string())?;
        }
        Ok(String::new())
    });
    let limits = mcp_rill::Limits { rounds_max: 1, ..Default::default() };
    let mut world = World::new(server.limits(limits));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let question = client.ask(&mut world, &request(1, "prompts/get", r#"{"name":"nag"}"#));
    let replies = client.answer(&mut world, &question, r#"{"roots":[]}"#);
    let expected = "the prompt asked the client in more than 1 rounds (limit rounds_max)";
    assert_eq!(problem(&replies[0]), expected);
}
