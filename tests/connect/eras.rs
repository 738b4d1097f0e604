//! Local clients of every revision, servers of every era: each sees what it sees over standard input and output.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use mcp_rill::engine::Engine;
use mcp_rill::net::{Handle, Listening, random_id};
use mcp_rill::{Elicited, Level, Server, schema};
use serde_json::{Value, json};

use crate::{Connect, Running, call, error, hello, initialized, lone, request, text};

schema! { struct Echo { text: String } }
schema! { struct Person { name: String } }
schema! { struct Query { /// Where.
region: String { header "Region" }, text: String } }

const STATELESS: &str = "2026-07-28";
const REVISIONS: [&str; 5] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", STATELESS];

pub fn server() -> Server {
    let mut kept = Vec::new();
    Server::new("test", "1.2.3")
        .tool("echo", "Echo", |Echo { text }: Echo, _| text)
        .tool("steps", "Report progress and log", |(), call| {
            call.progress(1.0, Some(2.0), Some("half"));
            call.log(Level::Warning, "working");
            "done"
        })
        .tool("ask", "Ask the user", |(), call| -> mcp_rill::Result<String> {
            match call.elicit::<Person>("name", "Who are you?")? {
                Elicited::Accepted(Person { name }) => Ok(format!("Hello, {name}")),
                Elicited::Unavailable(why) => Ok(format!("Nobody to ask: {why}")),
                Elicited::Declined | Elicited::Cancelled => Ok("Nobody".to_owned()),
            }
        })
        .tool("roots", "Ask for the roots", |(), call| -> mcp_rill::Result<String> {
            Ok(call.roots("roots")?.required()?.len().to_string())
        })
        .tool("never", "Never come back", move |(), call| call.defer(|reply| kept.push(reply)))
        .tool("query", "Say what stands in the header", |Query { region, text }: Query, call| {
            format!("{region} {text} {}", call.header("mcp-param-region").is_some())
        })
        .resource("test:///text", "text", |_| "some text")
        .template("test:///item/{id}", "item", |vars, _| match vars.get("id") {
            Some("7") => Ok("seven"),
            _ => Err(mcp_rill::CallError::not_found()),
        })
        .prompt("greet", "Greet", |Person { name }: Person, _| format!("Greet {name}."))
}

/// What a local client speaks with, one message a line.
trait Lines {
    fn say(&mut self, message: &Value);
    fn hear(&mut self) -> Value;
}

impl Lines for Connect {
    fn say(&mut self, message: &Value) {
        self.tell(message);
    }

    fn hear(&mut self) -> Value {
        self.next()
    }
}

/// The server itself, over lines.
struct Direct {
    to: UnixStream,
    from: BufReader<UnixStream>,
}

impl Direct {
    fn start() -> (Direct, Handle) {
        let mut listening = Listening::new(Engine::new(server(), random_id).unwrap()).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        listening.serve_socket(theirs).unwrap();
        let handle = listening.handle();
        thread::spawn(move || listening.run());
        ours.set_read_timeout(Some(crate::PATIENCE)).unwrap();
        (Direct { from: BufReader::new(ours.try_clone().unwrap()), to: ours }, handle)
    }
}

impl Lines for Direct {
    fn say(&mut self, message: &Value) {
        writeln!(self.to, "{message}").unwrap();
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

/// A tour of all that passes, as a client of this revision takes it. Returns everything that it hears, in order.
fn tour(lines: &mut dyn Lines, handle: &Handle, revision: &str) -> Vec<Value> {
    let is_lone = revision == STATELESS;
    let meta = |params: Value| if is_lone { lone(params) } else { params };
    let mut heard = Vec::new();
    let mut ask = |lines: &mut dyn Lines, id: Value, method: &str, params: Value, messages: usize| {
        lines.say(&request(id, method, meta(params)));
        (0..messages).for_each(|_| heard.push(lines.hear()));
    };
    match is_lone {
        true => ask(lines, json!("d"), "server/discover", json!({}), 1),
        false => {
            ask(lines, json!(0), "initialize", hello(revision), 1);
            lines.say(&initialized());
            ask(lines, json!("p"), "ping", json!({}), 1);
            ask(lines, json!("l"), "logging/setLevel", json!({"level": "info"}), 1);
        }
    }
    ask(lines, json!(1), "tools/list", json!({}), 1);
    ask(lines, json!("é"), "tools/call", call("echo", json!({"text": "caf\u{e9}\n\u{2028}"})), 1);
    ask(lines, json!(2), "tools/call", call("nothing", json!({})), 1);
    ask(lines, json!(3), "resources/read", json!({"uri": "test:///item/7"}), 1);
    ask(lines, json!(4), "resources/read", json!({"uri": "test:///item/8"}), 1);
    ask(lines, json!(5), "prompts/get", json!({"name": "greet", "arguments": {"name": "Ada"}}), 1);
    ask(lines, json!(6), "no/such", json!({}), 1);
    let mut steps = call("steps", json!({}));
    steps["_meta"] = json!({"progressToken": "t", "io.modelcontextprotocol/logLevel": "info"});
    ask(lines, json!(7), "tools/call", steps, 3);
    question(lines, &mut heard, &meta, is_lone);
    // An id that is used again, a request that is cancelled.
    lines.say(&request(7, "tools/call", meta(call("never", json!({})))));
    lines.say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}));
    lines.say(&request(7, "tools/list", meta(json!({}))));
    heard.push(lines.hear());
    changes(lines, &mut heard, handle, is_lone);
    heard
}

fn question(lines: &mut dyn Lines, heard: &mut Vec<Value>, meta: &dyn Fn(Value) -> Value, is_lone: bool) {
    let answer = json!({"action": "accept", "content": {"name": "Ada"}});
    lines.say(&request(8, "tools/call", meta(call("ask", json!({})))));
    let asked = lines.hear();
    if is_lone {
        let asked = &asked["result"];
        let key = asked["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
        let mut again = call("ask", json!({}));
        again["inputResponses"] = json!({ key: answer });
        again["requestState"] = asked["requestState"].clone();
        lines.say(&request(9, "tools/call", lone(again)));
        heard.push(asked["inputRequests"].clone());
    } else if asked.get("method").is_some() {
        lines.say(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": answer}));
        heard.push(json!([asked["method"], asked["params"]]));
    } else {
        // A revision without such questions.
        heard.push(asked);
        return;
    }
    heard.push(lines.hear());
}

fn changes(lines: &mut dyn Lines, heard: &mut Vec<Value>, handle: &Handle, is_lone: bool) {
    if is_lone {
        let filter = json!({"toolsListChanged": true, "resourceSubscriptions": ["test:///text"]});
        lines.say(&request("listen", "subscriptions/listen", lone(json!({"notifications": filter}))));
    } else {
        lines.say(&request(10, "resources/subscribe", json!({"uri": "test:///text"})));
    }
    heard.push(lines.hear());
    handle.resource_updated("test:///text");
    heard.push(lines.hear());
    handle.tools_changed();
    heard.push(lines.hear());
    if is_lone {
        lines.say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "listen"}}));
    }
    // Nothing is left over.
    let params = if is_lone { lone(json!({"uri": "test:///text"})) } else { json!({"uri": "test:///text"}) };
    lines.say(&request(11, "resources/read", params));
    heard.push(lines.hear());
}

fn over(arguments: &[&str], running: &Running, revision: &str) -> Vec<Value> {
    let mut connect = Connect::to(arguments);
    let heard = tour(&mut connect, &running.handle, revision);
    assert_eq!(connect.end(), Vec::<Value>::new());
    heard
}

#[test]
fn every_revision_hears_over_every_transport_what_it_hears_directly() {
    for revision in REVISIONS {
        let (mut direct, handle) = Direct::start();
        let expected = tour(&mut direct, &handle, revision);
        assert!(expected.len() > 12, "{expected:?}");
        handle.shutdown(std::time::Duration::ZERO);
        let era = if revision == STATELESS { "2026" } else { "2025" };
        for (path, options) in
            [("/mcp", &[][..]), ("/mcp", &["--era", era]), ("/sse", &[]), ("/sse", &["--era", "sse"])]
        {
            if path == "/sse" && revision == STATELESS {
                continue;
            }
            let running = Running::start(server());
            let url = running.url(path);
            let heard = over(&[&[url.as_str()], options].concat(), &running, revision);
            for (heard, expected) in heard.iter().zip(&expected) {
                assert_eq!(heard, expected, "{revision} {path} {options:?}");
            }
            assert_eq!(heard.len(), expected.len());
            super::wait_until("the session has ended", || running.sessions() == 0);
        }
    }
}

/// What a server of another era says is passed on, and clients that know both go on with it.
#[test]
fn an_era_that_the_server_does_not_speak_is_an_error_that_says_so() {
    let running = Running::start(server());
    let (mcp, sse) = (running.url("/mcp"), running.url("/sse"));
    // A client of both eras begins like this.
    for (arguments, code, why) in [
        (&[sse.as_str()][..], -32601, "405"),
        (&[&sse, "--era", "sse"], -32601, "Method not found: server/discover"),
        (&[&mcp, "--era", "2025"], -32601, "Method not found: server/discover"),
    ] {
        let mut connect = Connect::to(arguments);
        let answer = connect.ask("d", "server/discover", lone(json!({})));
        assert_eq!(answer["error"]["code"], code, "{answer}");
        assert!(error(&answer).contains(why), "{answer}");
        connect.initialize("2025-06-18");
        assert_eq!(text(&connect.ask(1, "tools/call", call("echo", json!({"text": "x"})))), "x");
        connect.end();
    }
    for revision in &REVISIONS[..4] {
        let mut connect = Connect::to(&[&mcp, "--era", "2026"]);
        let answer = connect.ask(0, "initialize", hello(revision));
        assert_eq!(answer["error"]["code"], -32022, "{answer}");
        assert_eq!(answer["error"]["data"], json!({"supported": ["2026-07-28"]}));
        assert!(connect.ask(1, "tools/list", lone(json!({})))["result"]["tools"].is_array());
    }
}

#[test]
fn a_question_of_the_session_itself_and_its_answer() {
    let running = Running::start(server());
    for path in ["/mcp", "/sse"] {
        let mut connect = Connect::to(&[&running.url(path)]);
        connect.initialize("2025-11-25");
        connect.tell(&request("r", "tools/call", call("roots", json!({}))));
        let asked = connect.next();
        assert_eq!(asked["method"], "roots/list", "{asked}");
        let roots = json!({"roots": [{"uri": "file:///a"}, {"uri": "file:///b"}]});
        connect.tell(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": roots}));
        assert_eq!(text(&connect.next()), "2");
        // An answer to nothing is not sent on.
        connect.tell(&json!({"jsonrpc": "2.0", "id": "what", "result": {}}));
        connect.says("an answer of the client is dropped: no question waits for it (id \"what\")");
        connect.end();
    }
}

/// A client may know a tool from before: then its arguments are looked up.
#[test]
fn arguments_that_are_repeated_in_header_fields() {
    let running = Running::start(server());
    let params = lone(call("query", json!({"region": "Malm\u{f6}", "text": "x"})));
    for lists_first in [true, false] {
        let mut connect = Connect::to(&[&running.url("/mcp")]);
        if lists_first {
            connect.ask(1, "tools/list", lone(json!({})));
        }
        for id in 2..4 {
            assert_eq!(text(&connect.ask(id, "tools/call", params.clone())), "Malmö x true");
        }
        assert_eq!(connect.end(), Vec::<Value>::new());
    }
}

#[test]
fn a_batch_is_of_one_revision_alone() {
    let running = Running::start(server());
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/x"},{"jsonrpc":"2.0","id":"b","method":"no/such"}]"#;
    for path in ["/mcp", "/sse"] {
        let mut connect = Connect::to(&[&running.url(path)]);
        connect.initialize("2025-03-26");
        connect.line(batch);
        let mut answers = [connect.next(), connect.next()];
        answers.sort_by_key(|answer| answer["id"].is_string());
        assert_eq!((&answers[0]["id"], &answers[1]["id"]), (&json!(1), &json!("b")), "{answers:?}");
        // Over HTTP+SSE servers take no batches: both requests get that for an answer.
        assert_eq!(answers[0].get("result").is_some(), path == "/mcp", "{answers:?}");
        assert!(answers[1].get("error").is_some());
        connect.end();

        let mut connect = Connect::to(&[&running.url(path)]);
        connect.initialize("2025-06-18");
        connect.line(batch);
        let answer = connect.next();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&Value::Null, &json!(-32600)), "{answer}");
        assert!(error(&answer).contains("batches are of revision 2025-03-26, not of 2025-06-18"));
        connect.end();
    }
}
