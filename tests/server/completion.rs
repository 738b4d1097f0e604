//! Completion of arguments: what is offered, and what is refused.

use crate::common::World;
use crate::common::http::request;
use crate::common::questions::{Client, Pool};
use mcp_rill::{CompletionRequest, ItemKind, Prompt, ResourceTemplate, Server, schema};
use serde_json::{Value, json};

schema! { enum Tone { Formal = "formal" "Very formal", Friendly = "friendly", Funny = "funny" } }
schema! { struct Review { language: String, file: String, tone: Tone = Tone::Formal, other: Option<String> } }

fn server() -> Server {
    Server::new("complete", "1")
        .prompt("review", "Review", |Review { language, file, tone: _, other: _ }: Review, _| {
            format!("{language} {file}")
        })
        .complete_prompt("review", "language", ["Rust", "ruby", "Python", "ärger"])
        .complete_prompt("review", "file", |partial: &CompletionRequest| match partial.other("language") {
            Some("Rust") => vec![format!("{}.rs", partial.value())],
            Some(_) => vec![],
            None => vec!["unknown".to_owned()],
        })
        .template("num:///{n}", "n", |vars, _| vars.get("n").unwrap_or_default().to_owned())
        .complete_template("num:///{n}", "n", (0..250).map(|n| n.to_string()).collect::<Vec<_>>())
        .template("bad:///{n}", "bad", |_, _| "")
        .complete_template("bad:///{n}", "n", |partial: &CompletionRequest| -> Vec<String> {
            assert!(partial.value().is_empty(), "a bug in a completer");
            vec!["fine".to_owned()]
        })
        .resource("fixed:///one", "one", |_| "1")
}

fn params(reference: &Value, argument: &str, value: &str) -> Value {
    json!({ "ref": reference, "argument": { "name": argument, "value": value } })
}

fn prompt() -> Value {
    json!({ "type": "ref/prompt", "name": "review" })
}

fn template(uri: &str) -> Value {
    json!({ "type": "ref/resource", "uri": uri })
}

fn ask(world: &mut World, client: &Client, params: &Value) -> Value {
    client.ask(world, &request(1, "completion/complete", &params.to_string()))
}

/// What is offered: a short list that is all there is.
fn values(world: &mut World, client: &Client, params: &Value) -> Vec<String> {
    let reply = ask(world, client, params);
    let completion = &reply["result"]["completion"];
    let values: Vec<String> = serde_json::from_value(completion["values"].clone()).unwrap();
    assert_eq!(*completion, json!({ "values": values, "total": values.len(), "hasMore": false }), "{reply}");
    assert_eq!(reply["result"].as_object().unwrap().len(), 1);
    values
}

fn code(reply: &Value) -> i64 {
    reply["error"]["code"].as_i64().unwrap_or_else(|| panic!("{reply}"))
}

#[test]
fn a_list_offers_what_begins_as_typed_in_any_case() {
    for revision in ["2024-11-05", "2025-11-25"] {
        let mut world = World::new(server());
        let client = Client::new(&mut world, revision, "{}");
        for (typed, offered) in [
            ("", &["Rust", "ruby", "Python", "ärger"][..]),
            ("r", &["Rust", "ruby"]),
            ("RU", &["Rust", "ruby"]),
            ("rust", &["Rust"]),
            ("rusty", &[]),
            ("ä", &["ärger"]),
            ("aaaaaaaaaaa", &[]),
        ] {
            assert_eq!(
                values(&mut world, &client, &params(&prompt(), "language", typed)),
                offered,
                "{typed}"
            );
        }
    }
}

#[test]
fn a_closure_sees_the_other_arguments() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2025-06-18", "{}");
    let mut file = params(&prompt(), "file", "main");
    assert_eq!(values(&mut world, &client, &file), ["unknown"]);
    for (context, offered) in [
        (json!({ "arguments": { "language": "Rust" } }), &["main.rs"][..]),
        (json!({ "arguments": { "language": "C", "tone": "funny" } }), &[]),
        (json!({ "arguments": { "language": 7 } }), &["unknown"]),
        (json!({ "arguments": {} }), &["unknown"]),
        (json!({}), &["unknown"]),
    ] {
        file["context"] = context.clone();
        assert_eq!(values(&mut world, &client, &file), offered, "{context}");
    }
    file["context"] = json!([]);
    assert_eq!(code(&ask(&mut world, &client, &file)), -32602);
    file["context"] = json!({ "arguments": "x" });
    assert_eq!(code(&ask(&mut world, &client, &file)), -32602);
}

#[test]
fn enums_are_completed_without_being_told_to() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2025-11-25", "{}");
    assert_eq!(values(&mut world, &client, &params(&prompt(), "tone", "f")), ["formal", "friendly", "funny"]);
    assert_eq!(values(&mut world, &client, &params(&prompt(), "tone", "fu")), ["funny"]);
}

#[test]
fn enums_of_prompts_that_are_added_later_are_completed_too() {
    let mut world = World::new(server());
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", "{}");
    schema! { struct Late { tone: Tone } }
    let handle = world.engine.handle();
    handle.offer(Prompt::new("late", "Late").handler(|Late { tone: _ }: Late, _| "late")).unwrap();
    pool.turn(&mut world);
    client.hear(&mut world);
    let late = json!({ "type": "ref/prompt", "name": "late" });
    assert_eq!(values(&mut world, &client, &params(&late, "tone", "fr")), ["friendly"]);
    handle.withdraw(ItemKind::Prompt, "late").unwrap();
    pool.turn(&mut world);
    client.hear(&mut world);
    assert_eq!(code(&ask(&mut world, &client, &params(&late, "tone", "fr"))), -32602);
}

#[test]
fn completions_change_and_go_with_their_prompt() {
    schema! { enum Size { Small = "small", Large = "large" } }
    schema! { struct Sized { tone: Size, language: Tone } }
    schema! { struct Plain { tone: String } }
    let mut world = World::new(server());
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", "{}");
    let handle = world.engine.handle();
    let mut offered = |argument: &str| {
        pool.turn(&mut world);
        client.hear(&mut world);
        values(&mut world, &client, &params(&prompt(), argument, ""))
    };
    assert_eq!(offered("tone"), ["formal", "friendly", "funny"]);
    // Another prompt of that name: other choices, or none. What was told stays.
    handle.offer(Prompt::new("review", "Size").handler(|_: Sized, _| "x")).unwrap();
    assert_eq!(offered("tone"), ["small", "large"]);
    assert_eq!(offered("language"), ["Rust", "ruby", "Python", "ärger"]);
    handle.offer(Prompt::new("review", "Plain").handler(|_: Plain, _| "x")).unwrap();
    assert!(offered("tone").is_empty());
    // Removed, it takes everything with it.
    handle.withdraw(ItemKind::Prompt, "review").unwrap();
    handle.offer(Prompt::new("review", "Size").handler(|_: Sized, _| "x")).unwrap();
    assert_eq!(offered("language"), ["formal", "friendly", "funny"]);
    assert_eq!(offered("tone"), ["small", "large"]);
}

#[test]
fn completions_go_with_their_template_and_the_method_stays() {
    let server = Server::new("complete", "1").template("num:///{n}", "n", |_, _| "").complete_template(
        "num:///{n}",
        "n",
        ["1", "2"],
    );
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", "{}");
    let number = params(&template("num:///{n}"), "n", "");
    let handle = world.engine.handle();
    for (gone, offered) in [(false, &["1", "2"][..]), (true, &[])] {
        if gone {
            handle.withdraw(ItemKind::Template, "num:///{n}").unwrap();
        }
        handle.offer(ResourceTemplate::new("num:///{n}", "n").handler(|_, _| "")).unwrap();
        pool.turn(&mut world);
        client.hear(&mut world);
        assert_eq!(values(&mut world, &client, &number), offered);
    }
    handle.withdraw(ItemKind::Template, "num:///{n}").unwrap();
    pool.turn(&mut world);
    client.hear(&mut world);
    assert_eq!(code(&ask(&mut world, &client, &number)), -32602);
}

#[test]
fn of_many_values_the_first_hundred_are_given_and_all_are_counted() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2025-11-25", "{}");
    let number = template("num:///{n}");
    let completion = ask(&mut world, &client, &params(&number, "n", ""))["result"]["completion"].take();
    assert_eq!((&completion["total"], &completion["hasMore"]), (&json!(250), &json!(true)));
    let all = completion["values"].as_array().unwrap();
    assert_eq!((all.len(), &all[99]), (100, &json!("99")));
    // 1, 10 to 19, 100 to 199: 111.
    let completion = ask(&mut world, &client, &params(&number, "n", "1"))["result"]["completion"].take();
    assert_eq!((&completion["total"], &completion["hasMore"]), (&json!(111), &json!(true)));
    assert_eq!(values(&mut world, &client, &params(&number, "n", "24")).len(), 11);
}

#[test]
fn an_argument_that_nothing_completes_has_no_values() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2025-11-25", "{}");
    for (reference, argument) in [
        (prompt(), "other"),
        (prompt(), "no such"),
        (template("num:///{n}"), "m"),
        (template("fixed:///one"), "n"),
    ] {
        let offered = values(&mut world, &client, &params(&reference, argument, "x"));
        assert_eq!(offered, [] as [&str; 0], "{reference} {argument}");
    }
}

#[test]
fn what_is_not_there_or_malformed_is_refused() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2025-11-25", "{}");
    for wrong in [
        params(&json!({ "type": "ref/prompt", "name": "no such" }), "language", ""),
        params(&template("num:///7"), "n", ""),
        params(&json!({ "type": "ref/tool", "name": "review" }), "language", ""),
        params(&json!({ "name": "review" }), "language", ""),
        params(&json!("review"), "language", ""),
        json!({ "ref": prompt() }),
        json!({ "argument": { "name": "language", "value": "" } }),
        json!({ "ref": prompt(), "argument": { "name": "language" } }),
        json!({ "ref": prompt(), "argument": { "value": "" } }),
        json!({ "ref": prompt(), "argument": { "name": "language", "value": 7 } }),
        json!({ "ref": prompt(), "argument": [] }),
        json!({}),
    ] {
        assert_eq!(code(&ask(&mut world, &client, &wrong)), -32602, "{wrong}");
    }
    let reply = client.ask(&mut world, r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete"}"#);
    assert_eq!(code(&reply), -32602);
}

#[test]
fn a_completer_that_panics_is_an_error_and_the_server_goes_on() {
    let mut world = World::new(server());
    let client = Client::new(&mut world, "2025-11-25", "{}");
    let reply = ask(&mut world, &client, &params(&template("bad:///{n}"), "n", "x"));
    assert_eq!(code(&reply), -32603);
    assert!(reply["error"]["message"].as_str().unwrap().contains("panicked"), "{reply}");
    assert_eq!(values(&mut world, &client, &params(&template("bad:///{n}"), "n", "")), ["fine"]);
    assert_eq!(world.stats().calls, 0);
}

#[test]
fn a_server_that_completes_nothing_does_not_know_the_method() {
    let mut world = World::new(Server::new("none", "1").prompt("p", "P", |(), _| "p"));
    let client = Client::new(&mut world, "2025-11-25", "{}");
    assert_eq!(code(&ask(&mut world, &client, &params(&prompt(), "language", ""))), -32601);
}
