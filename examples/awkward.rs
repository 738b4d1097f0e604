//! A server that does what clients stumble over, and what authors of servers get wrong.
//!
//! `cargo run --example awkward [ADDRESS]` listens on 127.0.0.1:3001, or on ADDRESS. Try a client on it: whatever it calls
//! here, it gets a lawful answer, and nothing that it gets here may stop it. `tests/interop` does that with clients that are
//! known to trip.
//!
//! | what | where |
//! |---|---|
//! | line separators of Unicode in every text | `lines`, `lines_refused`, `lines_failed`, `lines_asked`, `lines:///text`, the prompt `lines` |
//! | URIs that some clients read back in another spelling | `KBInfo://Summary`, `http://Example.com`, `touch` |
//! | whole floats, floats that are not finite | `mean`, `endless` |
//! | structured results that are wrong | `promise` |
//! | forms with more members than clients allow | `region`, `region_by_hand` |
//! | tools, resources and templates that clients refuse with their whole list | `register`, `link` |
//! | several calls that are open at once, whatever their ids | `meet` |
//! | lists that change, `_meta`, extensions, arguments of any type, choices left empty | `grow`, `labelled`, `any`, the prompt `letter` |

use std::{io, thread, time::Duration};

use mcp_rill::{
    CallError, Content, Handle, Json, Level, Prompt, PromptArgument, Resource, ResourceContents,
    ResourceTemplate, Result, Server, Tool, ToolResult, schema,
};
use serde_json::{Value, json};

/// The characters at which some programs break lines, though an event stream has no line break there.
const LINES: &str = "one\u{2028}two\u{2029}three\u{85}four";
const LINES_URI: &str = "lines:///text";

schema! { struct Lines {
    #[doc = "one\u{2028}two\u{2029}three\u{85}four"]
    text: String,
} }

schema! { struct Region {
    /// As an argument of a tool this would also be a header field; a form has no such thing.
    region: String { header "Region" },
} }

schema! { struct Numbers {
    /// Any numbers, or none.
    values: Vec<f64>,
} }

schema! { struct Statistics {
    /// Not a number if there are no values.
    mean: f64,
    /// Infinite if there are no values.
    smallest: f64,
} }

schema! { enum Break {
    Kept = "kept",
    NoJson = "no JSON",
    List = "a list",
    Members = "more members",
    Misfit = "misfit",
    FailedMisfit = "failed misfit",
} }

schema! { struct Promise {
    /// How the promise is broken, or that it is kept.
    broken: Break,
} }

schema! { struct Touch {
    /// Which resource has changed.
    uri: String,
} }

schema! { struct Meeting {
    /// Who comes.
    name: String,
    /// With how many, this one included.
    of: usize { min 1, max 32 },
} }

schema! { enum Tone { Formal = "formal", Friendly = "friendly" } }

schema! { struct Letter {
    to: String,
    /// Dialogues send this as an empty string where nothing is chosen.
    tone: Option<Tone>,
} }

fn server() -> Server {
    let server = Server::new("awkward", env!("CARGO_PKG_VERSION"))
        .title(LINES)
        .instructions(LINES)
        .extension("com.example/awkward", json!({ "text": LINES }));
    with_changes(with_mistakes(with_uris(with_lines(server))))
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3001".to_owned());
    let listening = server().listen(&address)?;
    for address in listening.local_addrs() {
        eprintln!("listening on http://{address}/sse");
    }
    listening.run()
}

/// The line separators, wherever a text can be.
fn with_lines(server: Server) -> Server {
    let resource = Resource::new(LINES_URI, LINES).title(LINES).description(LINES).mime_type("text/plain");
    let prompt = Prompt::new("lines", LINES).argument(PromptArgument::new("text").description(LINES));
    server
        .offer(Tool::new("lines", LINES).title(LINES).blocking_handler(|(), call| {
            call.progress(1.0, Some(1.0), Some(LINES));
            call.log(Level::Error, json!({ LINES: LINES }));
            pause();
            let contents = ResourceContents::text(LINES).uri(LINES_URI);
            let blocks = vec![Content::text(LINES), Content::resource(contents)];
            // JSON that the author wrote, with the characters as they are.
            ToolResult::blocks(blocks).structured(format!(r#"{{"text":"{LINES}"}}"#))
        }))
        .tool("lines_refused", LINES, |(), call| {
            call.log(Level::Error, LINES);
            ToolResult::error(LINES)
        })
        .tool("lines_failed", LINES, |(), call| -> Result<()> {
            call.log(Level::Error, LINES);
            Err(CallError::new(-32000, LINES).into())
        })
        .tool("lines_asked", LINES, |(), call| -> Result<_> {
            let answer = call.elicit::<Lines>("lines", LINES)?.accepted();
            Ok(Json(answer.unwrap_or(Lines { text: String::new() })))
        })
        .offer(resource.handler(|_| LINES))
        .offer(prompt.handler(|_: Value, _| LINES))
        .complete_prompt("lines", "text", [LINES])
}

/// URIs in spellings that clients with a URL type bring into their normal form.
fn with_uris(server: Server) -> Server {
    server
        .resource("KBInfo://Summary", "upper case", |_| "of KBInfo://Summary")
        .resource("http://Example.com", "no path", |_| "of http://Example.com")
        .resource("file:///notes/a%2d%7Eb", "escapes that need not be", |_| "of file:///notes/a%2d%7Eb")
        .template("KBInfo://Items/{name}", "upper case, too", |vars, _| {
            format!("item {}", vars.get("name").unwrap_or_default())
        })
        .template("file:///tree/{+path}", "paths", |vars, _| {
            format!("path {}", vars.get("path").unwrap_or_default())
        })
        .tool("touch", "Say that a resource has changed", |Touch { uri }: Touch, call| {
            call.handle().resource_updated(&uri);
            uri
        })
}

/// Mistakes that this server makes, and that its clients must not have to pay for.
fn with_mistakes(server: Server) -> Server {
    let promise = Tool::new("promise", "Break a promise")
        .output_schema(r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#);
    server
        .tool("mean", "The mean of some numbers", |Numbers { values }: Numbers, _| {
            let count = u32::try_from(values.len()).map_or(f64::NAN, f64::from);
            let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
            Json(Statistics { mean: values.iter().sum::<f64>() / count, smallest })
        })
        .blocking_tool("endless", "Tell progress towards no end", |(), call| {
            call.progress(1.0, Some(f64::INFINITY), None);
            pause();
            call.progress(2.0, Some(f64::NAN), None);
            pause();
            "told"
        })
        .offer(promise.handler(|Promise { broken }: Promise, _| match broken {
            Break::Kept => ToolResult::text("1").structured(r#"{"n":1}"#),
            Break::NoJson => ToolResult::text("1").structured("not json"),
            Break::List => ToolResult::text("1").structured("[1,2]"),
            Break::Members => ToolResult::text("1").structured(r#"{"n":1},"isError":true"#),
            Break::Misfit => ToolResult::text("1").structured(r#"{"n":"one"}"#),
            Break::FailedMisfit => ToolResult::error("no number").structured(r#"{"n":"none"}"#),
        }))
        .tool("region", "Ask for a region", |(), call| -> Result<_> {
            let answer = call.elicit::<Region>("region", "Which region?")?.accepted();
            Ok(answer.map_or("none".to_owned(), |Region { region }| region))
        })
        .tool("region_by_hand", "Ask for a region with a form that clients refuse", |(), call| -> Result<_> {
            let form = concat!(
                r#"{"type":"object","properties":{"region":{"type":"string"}},"#,
                r#""additionalProperties":false}"#
            );
            let answer = call.elicit_raw("region", "Which region?", form)?.accepted();
            Ok(answer.map_or("none".to_owned(), |content| content.get().to_owned()))
        })
        .tool("link", "A link to a URI that is none", |(), _| {
            Content::link(Resource::new("memo://x y", "a space"))
        })
        .tool("register", "Add tools, resources and templates that clients refuse", |(), call| {
            register(&call.handle())
        })
}

/// Adds what no client would take, and tells what was taken.
fn register(handle: &Handle) -> String {
    let tool = |name: &str, change: fn(Tool) -> Tool| {
        let tool = change(Tool::new(name.replace(' ', "_"), "A tool that clients refuse"));
        (name.to_owned(), handle.offer(tool.handler(|_: Value, _| ())))
    };
    let uri = "memo://x y";
    let tried = [
        tool("properties in a list", |tool| tool.input_schema(r#"{"type":"object","properties":[]}"#)),
        tool("required as a text", |tool| tool.input_schema(r#"{"type":"object","required":"a"}"#)),
        tool("a property that is true", |tool| {
            tool.input_schema(r#"{"type":"object","properties":{"a":true}}"#)
        }),
        tool("a type that does not exist", |tool| {
            tool.output_schema(r#"{"type":"object","properties":{"a":{"type":"text"}}}"#)
        }),
        (format!("resource {uri}"), handle.offer(Resource::new(uri, "a space").handler(|_| ""))),
        (
            format!("template {uri}/{{id}}"),
            handle.offer(ResourceTemplate::new(format!("{uri}/{{id}}"), "a space").handler(|_, _| "")),
        ),
    ];
    let taken: Vec<String> =
        tried.into_iter().filter(|(_, added)| added.is_ok()).map(|(name, _)| name).collect();
    format!("taken: {}", if taken.is_empty() { "none".to_owned() } else { taken.join(", ") })
}

/// What is right, and rare.
fn with_changes(server: Server) -> Server {
    let mut waiting = Vec::new();
    let labelled = Tool::new("labelled", "A tool and a result with labels").meta("com.example/label", LINES);
    server
        .tool("meet", "Wait until so many calls are here", move |Meeting { name, of }: Meeting, call| {
            call.defer(|reply| {
                waiting.push((name, reply));
                if waiting.len() >= of {
                    waiting.drain(..).for_each(|(name, reply)| reply.finish(format!("{name}, one of {of}")));
                }
            })
        })
        .tool("grow", "Add a tool, and speak of it", |(), call| -> Result<_> {
            call.handle().offer(Tool::new("grown", "New here").handler(|(), _| "Here I am"))?;
            Ok("call `grown`")
        })
        .offer(
            labelled
                .handler(|(), _| ToolResult::text("labelled").meta("com.example/label", json!([1, null]))),
        )
        .tool("any", "Take any arguments", |arguments: Value, _| arguments.to_string())
        .prompt("letter", "Write a letter", |Letter { to, tone }: Letter, _| {
            let tone = tone.map_or("any", |tone| match tone {
                Tone::Formal => "a formal",
                Tone::Friendly => "a friendly",
            });
            format!("Write to {to} in {tone} tone")
        })
}

/// Some clients lose progress that they read together with the result.
fn pause() {
    thread::sleep(Duration::from_millis(50));
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use mcp_rill::testing::{Harness, Notification, Way};

    use super::*;

    fn has_forms(way: Way) -> bool {
        way.revision() >= mcp_rill::Revision::V2025_06_18
    }

    fn clients() -> impl Iterator<Item = (Way, Harness)> {
        Way::all().into_iter().map(|way| (way, Harness::new(server()).over(way)))
    }

    #[test]
    fn line_separators_arrive_as_they_are() {
        for (way, mut client) in clients() {
            let response = client.call("lines", json!({}));
            assert_eq!(response.content()[0]["text"], LINES, "{way}");
            assert_eq!(response.content()[1]["resource"]["text"], LINES, "{way}");
            let told = |heard: &Notification| matches!(heard, Notification::Progress { message: Some(text), .. } if text == LINES);
            // 2024-11-05 has no message of progress.
            let has_message = way.revision() >= mcp_rill::Revision::V2025_03_26;
            assert_eq!(response.notifications().iter().any(told), has_message, "{way}");
            assert_eq!(client.call("lines_refused", json!({})).tool_error(), LINES, "{way}");
            assert_eq!(client.call("lines_failed", json!({})).error().message, LINES, "{way}");
            assert_eq!(client.read(LINES_URI).text(), LINES, "{way}");
            assert_eq!(client.complete_prompt("lines", "text", "").completions(), [LINES], "{way}");
            client = client.answer("lines", json!({"text": LINES}));
            // Clients before that cannot be asked.
            let answer = if has_forms(way) { LINES } else { "" };
            assert_eq!(client.call("lines_asked", json!({})).json(), json!({ "text": answer }), "{way}");
        }
    }

    #[test]
    fn a_resource_is_found_by_every_spelling() {
        for (way, mut client) in clients() {
            for uri in ["KBInfo://Summary", "kbinfo://summary", "kbinfo://Summary"] {
                assert_eq!(client.read(uri).text(), "of KBInfo://Summary", "{way}: {uri}");
            }
            for uri in ["http://Example.com", "http://example.com/"] {
                assert_eq!(client.read(uri).text(), "of http://Example.com", "{way}: {uri}");
            }
            assert!(client.read("file:///notes/a-b").error().message.contains("not found"), "{way}");
            assert_eq!(client.read("file:///notes/a-~b").text(), "of file:///notes/a%2d%7Eb", "{way}");
            assert_eq!(client.read("kbinfo://items/one").text(), "item one", "{way}");
            assert_eq!(client.read("file:///tree/a/b").text(), "path a/b", "{way}");
        }
    }

    #[test]
    fn mistakes_of_the_server_are_not_for_the_client_to_pay() {
        for (way, mut client) in clients() {
            let mean = client.call("mean", json!({"values": [1, 3]}));
            assert_eq!(mean.text(), r#"{"mean":2,"smallest":1}"#, "{way}");
            let none = client.call("mean", json!({"values": []})).error();
            assert!(none.code == -32603 && none.message.contains("`mean`"), "{way}: {none:?}");
            assert_eq!(client.call("promise", json!({"broken": "kept"})).text(), "1", "{way}");
            for broken in ["no JSON", "a list", "more members", "misfit"] {
                let error = client.call("promise", json!({ "broken": broken })).error();
                assert_eq!(error.code, -32603, "{way}: {broken}");
            }
            let failed = client.call("promise", json!({"broken": "failed misfit"}));
            assert_eq!(failed.tool_error(), "no number", "{way}");
            assert!(failed.result().get("structuredContent").is_none(), "{way}");
            assert_eq!(client.call("register", json!({})).text(), "taken: none", "{way}");
            assert_eq!(client.call("link", json!({})).error().code, -32603, "{way}");
            assert_eq!(client.call("region_by_hand", json!({})).error().code, -32603, "{way}");
            client = client.answer("region", json!({"region": "north"}));
            let answer = if has_forms(way) { "north" } else { "none" };
            assert_eq!(client.call("region", json!({})).text(), answer, "{way}");
        }
    }

    #[test]
    fn calls_meet_and_lists_grow() {
        for (way, mut client) in clients() {
            let calls =
                ["ada", "bob", "eve"].map(|name| client.start("meet", json!({"name": name, "of": 3})));
            let met = calls.map(|call| client.wait(call).text());
            assert_eq!(met, ["ada, one of 3", "bob, one of 3", "eve, one of 3"], "{way}");
            assert!(!client.tools().contains(&"grown".to_owned()), "{way}");
            assert_eq!(client.call("grow", json!({})).text(), "call `grown`", "{way}");
            assert!(client.tools().contains(&"grown".to_owned()), "{way}");
            assert_eq!(client.call("grown", json!({})).text(), "Here I am", "{way}");
            let labelled = client.call("labelled", json!({})).result();
            assert_eq!(labelled["_meta"]["com.example/label"], json!([1, null]), "{way}");
            assert_eq!(client.call("any", json!({"a": [1]})).text(), r#"{"a":[1]}"#, "{way}");
            let letter = client.prompt("letter", json!({"to": "Ada", "tone": ""})).text();
            assert_eq!(letter, "Write to Ada in any tone", "{way}");
        }
    }
}
