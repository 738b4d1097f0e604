//! What a test is told that expects something else, or that uses the harness wrongly.

use mcp_rill::testing::{Answer, Harness, Response, Way};
use mcp_rill::{Call, CallError, Elicited, Revision, Server, schema};
use serde_json::json;

use crate::panic_of;

schema! { struct Name { name: String } }

fn server() -> Server {
    Server::new("fails", "1")
        .tool("text", "A text", |(), _| "plain")
        .tool("model", "An error for the model", |(), _| Err::<&str, _>("try another name"))
        .tool("code", "An error", |(), _| Err::<&str, _>(CallError::new(4000, "no such town")))
        .tool("long", "A long text", |(), _| "long".repeat(2000))
        .tool("ask", "Ask", |(), call: &mut Call| -> mcp_rill::Result<_> {
            Ok(match call.elicit::<Name>("who", "Who are you?")? {
                Elicited::Accepted(Name { name }) => name,
                _ => "nobody".to_owned(),
            })
        })
        .tool("wrong", "Goes on after a question", |(), call: &mut Call| {
            let _ = call.elicit::<Name>("who", "Who are you?");
            "went on"
        })
}

#[test]
fn a_response_of_another_kind_is_shown() {
    let way = Way::of(Revision::NEWEST_WITH_SESSIONS);
    let mut harness = Harness::new(server());
    type Expect = fn(&Response);
    let cases: [(&str, Expect, &str); 6] = [
        (
            "model",
            |response| drop(response.text()),
            r#"a text was expected of the tool `model`, called with {} (WAY), which returned an error for the model: [{"text":"try another name","type":"text"}]"#,
        ),
        (
            "code",
            |response| drop(response.text()),
            r#"a text was expected of the tool `code`, called with {} (WAY), which failed with the error 4000: no such town"#,
        ),
        (
            "text",
            |response| drop(response.json()),
            r#"JSON was expected of the tool `text`, called with {} (WAY), which returned {"content":[{"text":"plain","type":"text"}]}"#,
        ),
        (
            "text",
            |response| drop(response.error()),
            r#"a JSON-RPC error was expected of the tool `text`, called with {} (WAY), which returned {"content":[{"text":"plain","type":"text"}]}"#,
        ),
        (
            "text",
            |response| drop(response.tool_error()),
            r#"an error for the model was expected of the tool `text`, called with {} (WAY), which returned {"content":[{"text":"plain","type":"text"}]}"#,
        ),
        (
            "code",
            |response| drop(response.result()),
            r#"a result was expected of the tool `code`, called with {} (WAY), which failed with the error 4000: no such town"#,
        ),
    ];
    for (tool, expect, expected) in cases {
        let response = harness.call(tool, json!({}));
        assert_eq!(panic_of(|| expect(&response)), expected.replace("WAY", &way.to_string()));
    }
    let text = panic_of(|| harness.call("long", json!({})).error());
    assert!(text.contains("… (8") && text.len() < 2500, "{text}");
    let text = panic_of(|| harness.read("none:///").text());
    assert!(text.contains("the request") || text.contains("the resource `none:///`"), "{text}");
    assert!(
        panic_of(|| harness.list("prompts/list")).contains("a list was expected of the list `prompts/list`")
    );
}

#[test]
fn the_panic_is_at_the_line_of_the_test() {
    let (tell, told) = std::sync::mpsc::channel();
    let mut harness = Harness::new(server());
    let response = harness.call("model", json!({}));
    let before = std::panic::take_hook();
    let me = std::thread::current().id();
    let tell = std::sync::Mutex::new(tell);
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == me {
            let _ = tell.lock().unwrap().send(panic.location().unwrap().file().to_owned());
        } else {
            eprintln!("{panic}");
        }
    }));
    panic_of(|| response.text());
    std::panic::set_hook(before);
    assert!(told.recv().unwrap().ends_with("failures.rs"));
}

#[test]
fn a_question_without_an_answer_is_shown_with_its_key() {
    let forms = Way::all().into_iter().filter(|way| way.revision() >= Revision::V2025_06_18);
    for way in forms {
        let mut harness = Harness::new(server()).over(way);
        let asked = harness.call("ask", json!({}));
        let text = panic_of(|| asked.text());
        for part in [
            "the tool `ask`, called with {}",
            "asks the client, and the test has no answer under the key `who`: add `.answer(\"who\", json!({",
            "the question: elicitation/create {",
            "Who are you?",
        ] {
            assert!(text.contains(part), "{way}: {part:?} is not in {text:?}");
        }
        assert_eq!(asked.questions()[0].key.as_deref(), Some("who"));
        // The harness goes on, and the answer may be given later.
        let mut harness = harness.answer("who", json!({"name": "Ada"}));
        assert_eq!(harness.call("ask", json!({})).text(), "Ada", "{way}");
        let mut harness = harness.answer("who", Answer::Declined);
        assert_eq!(harness.call("ask", json!({})).text(), "nobody", "{way}");
    }
}

#[test]
fn a_handlers_fault_is_shown() {
    let text = panic_of(|| Harness::new(server()).call("wrong", json!({})).text());
    assert!(
        text.contains("\nthe server reports a fault of a handler: the tool `wrong` went on after"),
        "{text}"
    );
}

#[test]
fn wrong_use_is_named() {
    let twice = Server::new("twice", "1").tool("a", "One", |(), _| 1).tool("a", "Two", |(), _| 2);
    assert_eq!(panic_of(|| Harness::new(twice)), "the server is not valid: tool `a` was added twice");
    let text = panic_of(|| Harness::new(server()).over(Way::streamable(Revision::V2024_11_05)));
    assert!(text.starts_with("there is no 2024-11-05 over Streamable HTTP in this build"), "{text}");
    let mut harness = Harness::new(server());
    let _ = harness.call("text", json!({}));
    let text = panic_of(|| harness.principal("late"));
    assert!(text.contains("set this before its first request"), "{text}");
    assert_eq!(panic_of(|| Harness::new(server()).header("A", "b\r\nC: d")), "a header field is one line");
    let mut harness = Harness::new(server());
    let pending = harness.start("text", json!({}));
    assert_eq!(harness.wait(pending).text(), "plain");
    assert!(panic_of(|| harness.wait(pending)).contains("its response was taken already"));
}
