//! Tests of this server, over every transport and revision. Those of single texts and schemas are in `tests/server/conformance.rs`.

use std::thread;
use std::time::Duration;

use mcp_rill::Revision;
use mcp_rill::testing::{Answer, Harness, Notification, Way};
use serde_json::json;

use super::changes::Changes;
use super::server;

fn clients() -> impl Iterator<Item = (Way, Harness)> {
    Way::all().into_iter().map(|way| {
        let changes = Changes::default();
        let client = Harness::new(server(&changes)).over(way);
        changes.begin(client.handle());
        (way, client)
    })
}

/// Waits for what happens on another thread.
fn until(way: &Way, problem: &str, mut is_so: impl FnMut() -> bool) {
    let mut looks = 0..2000;
    let happened = looks.any(|_| {
        let happened = is_so();
        if !happened {
            thread::sleep(Duration::from_millis(10));
        }
        happened
    });
    assert!(happened, "{way}: {problem}");
}

#[test]
fn slow_tools_report_and_make_way_when_they_are_cancelled() {
    for (way, mut client) in clients() {
        let response = client.call("test_tool_with_progress", json!({}));
        let progress = |heard: &Notification| match heard {
            Notification::Progress { done, .. } => Some(*done),
            _ => None,
        };
        let told: Vec<f64> = response.notifications().iter().filter_map(progress).collect();
        assert!(told.is_sorted() && told.last() == Some(&100.0), "{way}: {told:?}");
        assert!(response.text().starts_with("progress token: "), "{way}");
        assert_eq!(client.call("test_reconnection", json!({})).text(), "Finished after a while", "{way}");
        let waiting = client.start("test_wait", json!({"seconds": 30}));
        until(&way, "the handler has not begun", || client.stats().workers_busy == 1);
        client.cancel(waiting);
        // It would have taken 30 s: others go on meanwhile.
        assert_eq!(client.call("test_wait", json!({"seconds": 0.1})).text(), "waited", "{way}");
        let mut seen = || client.call("test_wait_cancelled", json!({})).text() == "1";
        until(&way, "the handler has not seen that it is cancelled", &mut seen);
    }
}

#[test]
fn questions_reach_the_user_and_the_model() {
    for (way, mut client) in clients() {
        let mut silent = client.another().over(way).capabilities(json!({}));
        assert!(!silent.call("test_missing_capability", json!({})).is_ok(), "{way}");
        client = client.answer("answer", "a poem");
        let sampled = client.call("test_sampling", json!({"prompt": "Write"})).text();
        assert_eq!(sampled, "LLM response: a poem", "{way}");
        // Forms came with this revision.
        if way.revision() < Revision::V2025_06_18 {
            continue;
        }
        client = client.answer("user", json!({"username": "ada", "email": "ada@example.com"}));
        let asked = client.call("test_elicitation", json!({"message": "Who are you?"}));
        assert!(asked.text().contains("ada@example.com"), "{way}: {}", asked.text());
        assert_eq!(asked.questions().len(), 1, "{way}");
        client = client.answer("user", Answer::Declined);
        assert!(!client.call("test_elicitation", json!({"message": "Who?"})).text().contains("ada"), "{way}");
    }
}

#[test]
fn lists_and_the_watched_resource_change() {
    for (way, mut client) in clients() {
        assert!(client.subscribe("test://watched-resource"), "{way}");
        assert_eq!(client.call("test_update_watched_resource", json!({})).text(), "Version 1", "{way}");
        client.advance(Duration::from_millis(1));
        let updated = Notification::ResourceUpdated("test://watched-resource".into());
        assert_eq!(client.notifications(), [updated], "{way}");
        assert_eq!(client.read("test://watched-resource").text(), "Watched resource, version 1", "{way}");
        let has = |client: &mut Harness| client.tools().contains(&"test_dynamic_tool".to_owned());
        for (before, told) in [(false, "Added a tool"), (true, "Removed a tool")] {
            assert_eq!(has(&mut client), before, "{way}");
            assert_eq!(client.call("test_trigger_tool_change", json!({})).text(), told, "{way}");
        }
        assert!(!has(&mut client), "{way}");
    }
}

#[test]
fn contents_resources_and_prompts_are_complete() {
    for (way, mut client) in clients() {
        let blocks = client.call("test_multiple_content_types", json!({})).content();
        let kinds: Vec<_> = blocks.iter().filter_map(|block| block["type"].as_str()).collect();
        assert_eq!(kinds, ["text", "image", "resource"], "{way}");
        let data = client.read("test://template/12/data").text();
        assert_eq!(data, r#"{"id":"12","templateTest":true,"data":"Data for ID: 12"}"#, "{way}");
        assert_eq!(
            client.complete_template("test://template/{id}/data", "id", "12").completions(),
            ["12", "123"]
        );
        let told = client.prompt("test_prompt_with_arguments", json!({"arg1": "a", "arg2": "b"})).text();
        assert_eq!(told, "Prompt with arguments: arg1='a', arg2='b'", "{way}");
    }
}
