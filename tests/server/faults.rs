//! Handlers that hide the error of a question, keys that stand for two things, and errors inside errors.

use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::{fmt, io};

use mcp_rill::{Call, CallError, Elicited, Reply, Server, ToolResult, schema};
use serde_json::{Value, json};

use crate::common::http::{call, request};
use crate::common::questions::{ALL, Client, Pool, error_text, one, text};
use crate::common::{Seen, World};

schema! { #[derive(Debug)] struct Name { name: String } }
schema! { #[derive(Debug)] struct Sure { sure: bool } }

const ACCEPT: &str = r#"{"action":"accept","content":{"name":"Ada"}}"#;

/// The observer's last words.
fn faults(world: &mut World) -> Vec<String> {
    let faults = world.events().into_iter().filter_map(|event| match event {
        Seen::HandlerFault(problem) => Some(problem),
        _ => None,
    });
    faults.collect()
}

fn client(world: &mut World) -> Client {
    Client::new(world, "2025-11-25", ALL)
}

fn internal(message: &str) -> Value {
    json!({ "code": -32603, "message": format!("Internal error: {message}") })
}

#[test]
fn a_question_that_was_swallowed_is_not_asked_and_the_call_ends_in_an_error() {
    let deleted = Arc::new(AtomicU32::new(0));
    let [inline, blocking] = std::array::from_fn(|_| {
        let deleted = deleted.clone();
        move |call: &mut Call| match call.elicit::<Sure>("sure", "Delete it?") {
            Ok(Elicited::Accepted(Sure { sure: true })) => "deleted",
            Ok(_) => "kept",
            Err(error) => {
                assert!(error.is_pending());
                deleted.fetch_add(1, Ordering::Relaxed);
                "deleted anyway"
            }
        }
    });
    let server = Server::new("lossy", "1")
        .tool("delete", "Delete", move |(), call| inline(call))
        .blocking_tool("slow", "Delete", move |(), call| blocking(call))
        .tool("two", "Ask twice", |(), call| {
            let _ = (call.elicit::<Sure>("sure", "Sure?"), call.roots("roots"));
        })
        .prompt("prompt", "Ask", |(), call| call.roots("roots").map_or("none", |_| "some"))
        .resource("lossy:///one", "one", |call| call.roots("roots").map_or("none", |_| "some"));
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = client(&mut world);
    for (body, handler, key) in [
        (call(1, "delete", "{}"), "tool `delete`", "sure"),
        (call(1, "slow", "{}"), "tool `slow`", "sure"),
        (call(1, "two", "{}"), "tool `two`", "sure"),
        (request(1, "prompts/get", r#"{"name":"prompt"}"#), "prompt `prompt`", "roots"),
        (request(1, "resources/read", r#"{"uri":"lossy:///one"}"#), "resource `lossy:///one`", "roots"),
    ] {
        let early = client.say(&mut world, &body);
        let reply = if early.is_empty() { one(pool.heard(&mut world, &client, 1)) } else { one(early) };
        let says = format!(
            "the {handler} went on after its question `{key}`, which was not asked: pass the error that a question comes \
             back with on with `?`"
        );
        assert_eq!((&reply["error"], faults(&mut world)), (&internal(&says), vec![says]));
    }
    assert_eq!(world.stats().calls, 0);
    world.quiesce();
}

#[test]
fn a_reply_that_was_deferred_with_a_question_open_is_of_no_use() {
    let (jobs, queue) = mpsc::channel::<Reply>();
    let server = Server::new("confused", "1").tool("ask", "Ask, then defer", move |(), call| {
        let _ = call.elicit::<Name>("name", "Who?");
        call.defer(|reply| jobs.send(reply))
    });
    let mut world = World::new(server);
    let client = client(&mut world);
    let reply = client.ask(&mut world, &call(1, "ask", "{}"));
    assert_eq!((&reply["error"]["code"], faults(&mut world).len()), (&json!(-32603), 1));
    let deferred = queue.recv().unwrap();
    assert!(deferred.is_cancelled());
    deferred.finish("unheard");
    world.jump(world.now.mono);
    world.quiesce();
}

#[test]
fn another_error_with_a_question_open_is_a_fault_and_nothing_is_asked() {
    let server = Server::new("failing", "1")
        .tool("load", "Load", |(), call| -> mcp_rill::Result<_> {
            let name = call.elicit::<Name>("name", "Who?");
            Err::<(), _>("there is no order 7")?;
            Ok(name?.accepted().map_or(String::new(), |Name { name }| name))
        })
        .tool("result", "Fail by hand", |(), call| match call.elicit::<Name>("name", "Who?") {
            Ok(_) => ToolResult::text("asked"),
            Err(_) => ToolResult::error("there is no order 7"),
        })
        .tool("quotes", "Have the text in another", |(), call| {
            call.elicit::<Name>("name", "Who?")
                .map(|_| "asked")
                .map_err(|error| format!("no {error}: I deleted"))
        })
        .tool("code", "Fail as a protocol does", |(), call| -> mcp_rill::Result<()> {
            let _name = call.elicit::<Name>("name", "Who?");
            Err(CallError::new(4001, "there is no order 7").into())
        })
        .tool("unwrap", "Panic", |(), call| {
            call.elicit::<Name>("name", "Who?").unwrap();
        });
    let mut world = World::new(server);
    let client = client(&mut world);
    for (tool, text) in [
        ("load", "there is no order 7"),
        ("result", "there is no order 7"),
        ("quotes", "no waiting for the client's answer: I deleted"),
        ("code", "there is no order 7 (4001)"),
        ("unwrap", "Internal error: the handler of tool `unwrap` panicked (-32603)"),
    ] {
        let says = format!(
            "the tool `{tool}` failed while its question `name` was open, so it was not asked: {text}"
        );
        let reply = client.ask(&mut world, &call(1, tool, "{}"));
        assert_eq!((&reply["error"], faults(&mut world)), (&internal(&says), vec![says]));
    }
    assert_eq!(world.stats().calls, 0);
}

#[test]
fn an_answer_that_is_none_ends_the_call_whatever_the_handler_makes_of_it() {
    let server = Server::new("lossy", "1")
        .tool("swallow", "Ask", |(), call| match call.elicit::<Name>("name", "Who?") {
            Err(error) if !error.is_pending() => Ok("went on".to_owned()),
            other => other.map(|answer| format!("{answer:?}")),
        })
        .tool("reword", "Ask", |(), call| -> Result<String, String> {
            let answer = call.elicit::<Name>("name", "Who?").map_err(|error| format!("sorry, {error}"))?;
            Ok(format!("{answer:?}"))
        });
    let mut world = World::new(server);
    let client = client(&mut world);
    let wrong = "the client's answer to `name` is not valid: `action` must be accept, decline or cancel";
    for (tool, says, reported) in [("swallow", wrong.to_owned(), 1), ("reword", format!("sorry, {wrong}"), 0)]
    {
        let question = client.ask(&mut world, &call(1, tool, "{}"));
        let reply = one(client.answer(&mut world, &question, r#"{"action":"perhaps"}"#));
        assert_eq!((error_text(&reply), faults(&mut world).len()), (&*says, reported));
    }
}

/// As a library for errors derives one: a variant with its own text, one that is as if it were what it wraps, and one that
/// shows its cause in its text only.
#[derive(Debug)]
enum Failure {
    Asking(CallError),
    Transparent(Box<dyn Error + Send + Sync>),
    Quoted(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Asking(_) => f.write_str("while asking"),
            Failure::Transparent(error) => error.fmt(f),
            Failure::Quoted(text) => write!(f, "it said: {text}"),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Failure::Asking(error) => Some(error),
            Failure::Transparent(error) => error.source(),
            Failure::Quoted(_) => None,
        }
    }
}

/// An error that names itself as its cause.
#[derive(Debug)]
struct Circle;

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("round and round")
    }
}

impl Error for Circle {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self)
    }
}

type Wrap = fn(CallError) -> Box<dyn Error + Send + Sync>;

/// The ways in which errors wrap others.
const WRAPS: [(&str, Wrap); 6] = [
    ("bare", |error| error.into()),
    ("enum", |error| Failure::Asking(error).into()),
    ("transparent", |error| Failure::Transparent(error.into()).into()),
    ("io", |error| io::Error::other(error).into()),
    ("chain", |error| Failure::Transparent(io::Error::other(Failure::Asking(error)).into()).into()),
    ("boxed", |error| Box::new(io::Error::other(Box::<dyn Error + Send + Sync>::from(error)))),
];

#[test]
fn an_error_inside_another_keeps_its_code() {
    let mut server = Server::new("wrapping", "1");
    for (name, wrap) in WRAPS {
        server = server
            .tool(name, "Fail", move |(), _| -> mcp_rill::Result<()> {
                Err(wrap(CallError::invalid_params("no")))
            })
            .prompt(name, "Fail", move |(), _| -> mcp_rill::Result<&str> {
                Err(wrap(CallError::new(7, "no")))
            })
            .resource(&format!("wrap:///{name}"), name, move |_| -> mcp_rill::Result<&str> {
                Err(wrap(CallError::not_found()))
            });
    }
    let server = server.tool("circle", "Fail", |(), _| -> mcp_rill::Result<()> { Err(Circle.into()) });
    let mut world = World::new(server);
    let client = client(&mut world);
    for (name, _) in WRAPS {
        let tool = client.ask(&mut world, &call(1, name, "{}"));
        assert_eq!(tool["error"], json!({ "code": -32602, "message": "Invalid params: no" }), "{name}");
        let prompt = client.ask(&mut world, &request(1, "prompts/get", &format!(r#"{{"name":"{name}"}}"#)));
        assert_eq!(prompt["error"], json!({ "code": 7, "message": "no" }), "{name}");
        let uri = format!("wrap:///{name}");
        let read = client.ask(&mut world, &request(1, "resources/read", &format!(r#"{{"uri":"{uri}"}}"#)));
        assert_eq!(
            (&read["error"]["code"], &read["error"]["data"]["uri"]),
            (&json!(-32002), &json!(uri)),
            "{name}"
        );
    }
    assert_eq!(error_text(&client.ask(&mut world, &call(1, "circle", "{}"))), "round and round");
}

#[test]
fn a_question_is_asked_through_errors_that_wrap_its_own() {
    let mut server = Server::new("wrapping", "1");
    let quote: Wrap = |error| Failure::Quoted(error.to_string()).into();
    let text_only: Wrap = |error| error.to_string().into();
    let wraps = || WRAPS.into_iter().chain([("quoted", quote), ("text", text_only)]);
    for (name, wrap) in wraps() {
        let ask = move |call: &mut Call| -> mcp_rill::Result<String> {
            let name = call.elicit::<Name>("name", "Who?").map_err(wrap)?;
            Ok(format!("hello {}", name.required()?.accepted().ok_or("no")?.name))
        };
        server = server
            .tool(name, "Ask", move |(), call| ask(call))
            .prompt(name, "Ask", move |(), call| ask(call));
    }
    let mut world = World::new(server);
    let client = client(&mut world);
    for (name, _) in wraps() {
        let question = client.ask(&mut world, &call(1, name, "{}"));
        assert_eq!(question["method"], "elicitation/create", "{name}: {question}");
        assert_eq!(text(&one(client.answer(&mut world, &question, ACCEPT))), "hello Ada", "{name}");
        let question = client.ask(&mut world, &request(1, "prompts/get", &format!(r#"{{"name":"{name}"}}"#)));
        assert_eq!(question["method"], "elicitation/create", "{name}: {question}");
        client.answer(&mut world, &question, ACCEPT);
    }
    assert_eq!(faults(&mut world), [""; 0]);
    // What the errors say around it is told, once.
    let refuse = r#"{"code":-1,"message":"no user"}"#;
    let refused = "the client refused `name` (elicitation/create): no user (-1)";
    for (name, says) in [("enum", format!("while asking: {refused}")), ("transparent", refused.to_owned())] {
        let question = client.ask(&mut world, &call(1, name, "{}"));
        assert_eq!(error_text(&one(client.refuse(&mut world, &question, refuse))), says);
    }
}

/// Asks `Delete a?`, then `Delete b?`, each as the text of a form with this key.
fn keyed(server: Server, tool: &'static str, keys: [&'static str; 2]) -> Server {
    server.tool(tool, "Delete two files", move |(), call| -> mcp_rill::Result<_> {
        let mut said = Vec::new();
        for (key, file) in keys.into_iter().zip(["a", "b"]) {
            let answer = call.elicit::<Sure>(key, &format!("Delete {file}?"))?;
            said.push(answer.accepted().is_some_and(|Sure { sure }| sure));
        }
        Ok(format!("{said:?}"))
    })
}

const TWICE: &str = "the key `sure` was used twice in one run of this handler; give every question and every value of \
                     `once` a key of its own, and keep an answer that is needed again in a variable";
const OTHER: &str = "the key `sure` stood for something else in an earlier run of this handler; give every question and \
                     every value of `once` a key of its own, and let a question say the same in every run (`once` keeps \
                     what varies)";

#[test]
fn one_answer_never_serves_two_questions() {
    const YES: &str = r#"{"action":"accept","content":{"sure":true}}"#;
    let mut n = 0;
    let server =
        keyed(keyed(Server::new("files", "1"), "right", ["sure-a", "sure-b"]), "wrong", ["sure", "sure"])
            .tool("round", "Ask both in one round", |(), call| -> mcp_rill::Result<_> {
                let (sure, roots) = (call.elicit::<Sure>("sure", "Sure?"), call.roots("sure"));
                Ok(format!("{:?} {:?}", sure?, roots?))
            })
            .tool("same", "The same again", |(), call| -> mcp_rill::Result<_> {
                for _file in ["a", "b"] {
                    call.elicit::<Sure>("sure", "Delete?")?;
                }
                Ok("deleted")
            })
            .tool("varies", "Ask something else in each run", move |(), call| -> mcp_rill::Result<_> {
                n += 1;
                Ok(format!("{:?}", call.elicit::<Sure>("sure", &format!("Delete {n}?"))?))
            })
            .tool("method", "Ask for something else in each run", {
                let mut n = 0;
                move |(), call| -> mcp_rill::Result<_> {
                    n += 1;
                    match n {
                        1 => call.roots("sure").map(|_| ())?,
                        _ => call.elicit::<Sure>("sure", "Sure?").map(|_| ())?,
                    }
                    Ok("done")
                }
            });
    let mut world = World::new(server);
    let client = client(&mut world);
    let question = client.ask(&mut world, &call(1, "right", "{}"));
    let question = one(client.answer(&mut world, &question, YES));
    assert_eq!(question["params"]["message"], "Delete b?");
    let reply = one(client.answer(&mut world, &question, r#"{"action":"decline"}"#));
    assert_eq!((text(&reply), faults(&mut world).len()), ("[true, false]", 0));
    for (tool, says) in [("wrong", TWICE), ("same", TWICE), ("varies", OTHER)] {
        let question = client.ask(&mut world, &call(1, tool, "{}"));
        let reply = one(client.answer(&mut world, &question, YES));
        assert_eq!(reply["error"], internal(says), "{tool}");
        assert_eq!(faults(&mut world), [format!("the tool `{tool}`: Internal error: {says} (-32603)")]);
    }
    let question = client.ask(&mut world, &call(1, "method", "{}"));
    let reply = one(client.answer(&mut world, &question, r#"{"roots":[]}"#));
    assert_eq!(reply["error"], internal(OTHER));
    // Nothing is sent of a round that is wrong.
    assert_eq!(client.ask(&mut world, &call(1, "round", "{}"))["error"], internal(TWICE));
    assert_eq!(world.stats().calls, 0);
    world.quiesce();
}

#[test]
fn a_value_of_once_serves_one_key_of_one_type() {
    let mut n = 0;
    let server = Server::new("once", "1")
        .tool("twice", "Two under one key", |(), call| -> mcp_rill::Result<_> {
            let (one, two) = (call.once("sure", || 1u8)?, call.once("sure", || 2u8)?);
            Ok(format!("{one} {two}"))
        })
        .tool("swallow", "Two under one key, and no word of it", |(), call| {
            let (one, two) = (call.once("sure", || 1u8), call.once("sure", || 2u8));
            format!("{one:?} {two:?}")
        })
        .tool("type", "Another type in the next run", move |(), call| -> mcp_rill::Result<_> {
            n += 1;
            match n {
                1 => call.once("sure", || 1u8).map(|_| ())?,
                _ => call.once("sure", || "one".to_owned()).map(|_| ())?,
            }
            Ok(call.roots("roots")?.required()?.len())
        })
        .tool("apart", "The same key for a value and a question", |(), call| -> mcp_rill::Result<_> {
            let value = call.once("sure", || 7u8)?;
            Ok(format!("{value} {}", call.roots("sure")?.required()?.len()))
        });
    let mut world = World::new(server);
    let client = client(&mut world);
    assert_eq!(client.ask(&mut world, &call(1, "twice", "{}"))["error"], internal(TWICE));
    assert_eq!(client.ask(&mut world, &call(1, "swallow", "{}"))["error"], internal(TWICE));
    assert_eq!(faults(&mut world).len(), 2);
    for (tool, error, says) in [("type", Some(OTHER), ""), ("apart", None, "7 0")] {
        let question = client.ask(&mut world, &call(1, tool, "{}"));
        let reply = one(client.answer(&mut world, &question, r#"{"roots":[]}"#));
        match error {
            Some(error) => assert_eq!(reply["error"], internal(error)),
            None => assert_eq!(text(&reply), says),
        }
    }
}
