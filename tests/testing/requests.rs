//! Requests of every kind, and what clients hear.

use mcp_rill::engine::Transport;
use mcp_rill::testing::{Harness, Notification, Way};
use mcp_rill::{
    Call, CallError, Content, Json, Level, Prompt, PromptMessage, Resource, ResourceContents,
    ResourceTemplate, Revision, Server, Tool, schema,
};
use serde_json::{Value, json};

schema! { struct Add { a: f64, b: f64 } }
schema! { struct Sum { sum: f64 } }
schema! { struct Routed { region: String { header "Region" } } }
schema! { struct Topic { topic: String } }

fn server() -> Server {
    let note = ResourceTemplate::new("note:///{id}", "note").handler(|vars, _| match vars.get("id") {
        Some("1") => Ok("milk".to_owned()),
        _ => Err(CallError::not_found()),
    });
    Server::new("all", "1")
        .instructions("Add numbers.")
        .tool("add", "Add", |Add { a, b }: Add, _| a + b)
        .tool("sum", "Add, as JSON", |Add { a, b }: Add, _| Json(Sum { sum: a + b }))
        .tool("route", "Where to", |Routed { region }: Routed, _| region)
        .tool("who", "Who asks", |(), call: &mut Call| {
            format!(
                "{:?} {:?}",
                call.principal().map(|who| who.name().to_owned()),
                call.header("X-Team").map(str::to_owned)
            )
        })
        .tool("fail", "Fail", |(), _| Err::<&str, _>(CallError::new(4000, "no")))
        .tool("work", "Work", |(), call: &mut Call| {
            call.progress(1.0, Some(2.0), Some("half"));
            call.log(Level::Debug, "working");
            call.log_as(Level::Error, "disk", json!({"free": 0}));
            vec![Content::text("one"), Content::text("two")]
        })
        .tool("change", "Change the lists", |(), call: &mut Call| {
            let handle = call.handle();
            handle.tools_changed();
            handle.resources_changed();
            handle.prompts_changed();
            handle.resource_updated("motd:///");
        })
        .offer(
            Tool::new("secret", "For admins").visible(|who| who.principal().is_some()).handler(|(), _| "s"),
        )
        .offer(Resource::new("motd:///", "motd").handler(|_| "hello"))
        .resource("json:///", "json", |_| r#"{"a":[1]}"#)
        .resource("bytes:///", "bytes", |_| ResourceContents::blob(*b"\0\x01"))
        .offer(note)
        .complete_template("note:///{id}", "id", ["1", "2", "30"])
        .offer(Prompt::new("about", "Write").handler(|Topic { topic }: Topic, _| {
            vec![PromptMessage::user(format!("Write about {topic}.")), PromptMessage::assistant("Well,")]
        }))
        .complete_prompt("about", "topic", ["rust", "rill"])
}

fn everywhere(test: impl Fn(Harness, Way)) {
    let ways = Way::all();
    assert!(ways.len() >= 8, "{ways:?}");
    ways.into_iter().for_each(|way| test(Harness::new(server()).over(way), way));
}

#[test]
fn tools_are_called() {
    everywhere(|mut harness, way| {
        assert_eq!(harness.call("add", json!({"a": 1, "b": 2})).text(), "3", "{way}");
        assert_eq!(harness.call("sum", json!({"a": 1, "b": 2})).json(), json!({"sum": 3}), "{way}");
        assert_eq!(harness.call("work", json!({})).text(), "one\ntwo");
        assert_eq!(harness.call("work", json!({})).content()[1]["text"], "two");
        // An argument that travels in a header field, too.
        assert_eq!(harness.call("route", json!({"region": "ümlaut\n"})).text(), "ümlaut\n", "{way}");
        let error = harness.call("fail", json!({})).error();
        assert_eq!((error.code, &*error.message), (4000, "no"), "{way}");
        let wrong = harness.call("add", json!({"a": "one"}));
        assert!(!wrong.is_ok());
        assert!(wrong.tool_error().contains("argument `a`"), "{wrong}");
        assert_eq!(wrong.result()["isError"], true);
        assert_eq!(harness.call("none", json!({})).error().code, -32602, "{way}");
    });
}

#[test]
fn resources_prompts_and_completions() {
    everywhere(|mut harness, way| {
        assert_eq!(harness.read("motd:///").text(), "hello", "{way}");
        assert_eq!(harness.read("json:///").json(), json!({"a": [1]}), "{way}");
        assert_eq!(harness.read("bytes:///").content()[0]["blob"], "AAE=");
        assert_eq!(harness.read("note:///1").text(), "milk");
        assert!(harness.read("note:///9").error().message.contains("not found"));
        assert_eq!(
            harness.prompt("about", json!({"topic": "rill"})).text(),
            "Write about rill.\nWell,",
            "{way}"
        );
        assert_eq!(harness.prompt("about", json!({})).error().code, -32602);
        assert_eq!(harness.complete_template("note:///{id}", "id", "3").completions(), ["30"], "{way}");
        assert_eq!(harness.complete_prompt("about", "topic", "r").completions(), ["rust", "rill"]);
        assert!(harness.request("ping", json!({})).is_ok() || !way_has_ping(&mut harness));
        assert_eq!(harness.request("none/such", json!({})).error().code, -32601, "{way}");
    });
}

/// 2026-07-28 has no `ping`.
fn way_has_ping(harness: &mut Harness) -> bool {
    !harness.initialize_result().is_null()
}

#[test]
fn lists_have_what_this_client_sees() {
    everywhere(|mut harness, way| {
        let tools = ["add", "sum", "route", "who", "fail", "work", "change"];
        assert_eq!(harness.tools(), tools, "{way}");
        let mut admin = harness.another().over(way).principal("admin");
        assert_eq!(admin.tools().last().map(String::as_str), Some("secret"), "{way}");
        assert_eq!(harness.resources(), ["motd:///", "json:///", "bytes:///"]);
        assert_eq!(
            (harness.templates(), harness.prompts()),
            (vec!["note:///{id}".into()], vec!["about".into()])
        );
        assert_eq!(harness.list("tools/list")[0]["description"], "Add");
    });
}

#[test]
fn lists_of_several_pages_are_read_to_the_end() {
    let limits = mcp_rill::Limits { page_items_max: 10, ..mcp_rill::Limits::default() };
    let server = (0..95).fold(Server::new("many", "1").limits(limits), |server, number| {
        server.tool(&format!("tool-{number}"), "One of many", move |(), _| number)
    });
    assert_eq!(Harness::new(server).tools().len(), 95);
}

#[test]
fn who_the_client_is() {
    everywhere(|harness, way| {
        let mut harness = harness.principal("ada").header("X-Team", "red");
        let text = harness.call("who", json!({})).text();
        assert!(text.starts_with(r#"Some("ada")"#), "{way}: {text}");
        let has_fields = way.transport() != Transport::Lines;
        assert_eq!(text.ends_with(r#"Some("red")"#), has_fields, "{way}: {text}");
        assert!(harness.another().call("who", json!({})).text().starts_with("None"));
    });
    let mut old = Harness::new(server()).revision(Revision::V2024_11_05);
    assert_eq!(old.initialize_result()["instructions"], "Add numbers.");
}

#[cfg(feature = "auth")]
#[test]
fn tokens_reach_the_hook_and_refusals_are_values() {
    let secret = "2a0f0b5e3c6d4a798f1e1d5c7b9a3e60";
    let ways = Way::all();
    for way in ways.into_iter().filter(|way| way.transport() != Transport::Lines) {
        let tokens = mcp_rill::Tokens::read(&format!("ada:{secret}")).unwrap();
        let server = server().authorize(move |request| tokens.authorize(request));
        let mut ada = Harness::new(server).over(way).token(secret);
        assert!(ada.call("who", json!({})).text().contains("ada"), "{way}");
        let refused = ada.another().over(way).call("who", json!({}));
        assert_eq!(refused.refusal().0, 401, "{way}");
        assert!(refused.to_string().contains("add `.token(…)`"), "{refused}");
        // The next request finds it out again.
        let mut wrong = ada.another().over(way).token("wrong");
        for _ in 0..2 {
            assert_eq!(wrong.read("motd:///").refusal().0, 401, "{way}");
        }
    }
}

#[test]
fn progress_and_logs_belong_to_their_call() {
    everywhere(|mut harness, way| {
        let response = harness.call("work", json!({}));
        let progress = |notification: &Notification| matches!(notification, Notification::Progress { .. });
        let of_call = response.notifications();
        let text = Some("half".to_owned()).filter(|_| {
            // The text came with 2025-03-26.
            way.revision() >= Revision::V2025_03_26
        });
        let expected = Notification::Progress { done: 1.0, total: Some(2.0), message: text };
        assert_eq!(of_call.iter().find(|one| progress(one)), Some(&expected), "{way}");
        let logs: Vec<&Notification> = of_call.iter().filter(|one| !progress(one)).collect();
        let disk =
            Notification::Log { level: Level::Error, logger: Some("disk".into()), data: json!({"free": 0}) };
        let debug = Notification::Log { level: Level::Debug, logger: None, data: json!("working") };
        assert_eq!(logs, [&debug, &disk], "{way}");
        assert_eq!(harness.notifications(), of_call, "{way}");
        assert!(harness.notifications().is_empty());
    });
}

#[test]
fn another_client_hears_of_changes() {
    everywhere(|mut harness, way| {
        let mut other = harness.another().over(way);
        assert!(other.subscribe("motd:///") && other.subscribe("note:///1"), "{way}");
        assert!(!other.subscribe("note:///9"), "{way}: it cannot be read");
        assert!(harness.call("change", json!({})).is_ok());
        let heard = other.notifications();
        for notification in [
            Notification::ToolsChanged,
            Notification::ResourcesChanged,
            Notification::PromptsChanged,
            Notification::ResourceUpdated("motd:///".into()),
        ] {
            let count = heard.iter().filter(|heard| **heard == notification).count();
            assert_eq!(count, 1, "{way}: {notification:?} in {heard:?}");
        }
        assert_eq!(heard.len(), 4, "{way}: {heard:?}");
        // What changes without a call is heard, too.
        other.unsubscribe("motd:///");
        harness.handle().resource_updated("motd:///");
        harness.handle().resource_updated("note:///1");
        assert_eq!(other.notifications(), [Notification::ResourceUpdated("note:///1".into())], "{way}");
    });
}

#[test]
fn a_client_that_has_disconnected_begins_anew() {
    everywhere(|harness, way| {
        #[derive(Default)]
        struct Count(u32);
        let server = Server::new("counts", "1").tool("count", "Count", |(), call: &mut Call| {
            call.session_data::<Count>().map_or(0, |count| {
                count.0 += 1;
                count.0
            })
        });
        drop(harness);
        let mut harness = Harness::new(server).over(way);
        let mut count = || harness.call("count", json!({})).json();
        let first = [count(), count()];
        harness.disconnect();
        let stats = harness.stats();
        assert_eq!((stats.sessions, stats.connections), (0, 0), "{way}");
        let again = harness.call("count", json!({})).json();
        match first {
            [Value::Number(one), _] if one.as_u64() == Some(0) => {
                assert_eq!(again, 0, "{way} has no sessions")
            }
            first => assert_eq!((first, again), ([json!(1), json!(2)], json!(1)), "{way}"),
        }
    });
}
