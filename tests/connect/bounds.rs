//! Each bound of `connect` at its value, and one past it.

use std::io::Write;
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fake::{Fake, Request, WELCOME};
use crate::{Connect, PATIENCE, call, error, lone, request};

const REQUESTS_MAX: usize = 256;
const MESSAGE_BYTES_MAX: usize = 8 << 20;
const HELD_BYTES_MAX: usize = 32 << 20;
const QUESTIONS_MAX: usize = 64;
const ID_BYTES_MAX: usize = 1 << 10;
const WAITING_MAX: usize = 64;
const WAITING_BYTES_MAX: usize = 16 << 20;
const TOOLS_MAX: usize = 1024;
const GRACE: Duration = Duration::from_secs(30);

/// Opens when the test says so.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let open = self.0.1.wait_while(self.0.0.lock().unwrap(), |open| !*open);
        drop(open.unwrap());
    }
}

/// The values are those that the program prints.
#[test]
fn the_bounds_are_those_that_are_printed() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mcp-rill")).arg("limits").output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    for (name, value) in [
        ("connect_requests_max", REQUESTS_MAX),
        ("connect_message_bytes_max", MESSAGE_BYTES_MAX),
        ("connect_held_bytes_max", HELD_BYTES_MAX),
        ("connect_questions_max", QUESTIONS_MAX),
        ("connect_id_bytes_max", ID_BYTES_MAX),
        ("connect_waiting_max", WAITING_MAX),
        ("connect_waiting_bytes_max", WAITING_BYTES_MAX),
        ("connect_tools_max", TOOLS_MAX),
    ] {
        assert!(table.contains(&format!("{value}  {name}: ")), "{name}: {table}");
    }
    assert!(table.contains(&format!("{GRACE:?}  connect_grace: ")), "{table}");
}

#[test]
fn requests() {
    let gate = Gate::default();
    let opens = gate.clone();
    let fake = Fake::new(move |request| {
        opens.wait();
        let answer = request.response("{}");
        request.json("", &answer);
    });
    let mut connect = Connect::to(&[&fake.url()]);
    for id in 0..REQUESTS_MAX {
        connect.tell(&request(id, "tools/call", lone(call("x", json!({})))));
    }
    let answer = connect.ask("more", "tools/call", lone(call("x", json!({}))));
    assert!(error(&answer).contains("more than 256 requests are open (connect_requests_max)"), "{answer}");
    gate.open();
    let mut ids: Vec<u64> = (0..REQUESTS_MAX).map(|_| connect.next()["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..REQUESTS_MAX as u64).collect::<Vec<_>>());
    // Its place is free shortly after the client has the answer.
    crate::wait_until("there is room again", || {
        connect.ask("again", "tools/call", lone(call("x", json!({}))))["result"].is_object()
    });
}

/// A request of this many bytes.
fn long_request(id: &str, bytes: usize) -> String {
    let head = format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"x/y","params":{{"x":""#);
    let tail = r#""}}"#;
    format!("{head}{}{tail}", "x".repeat(bytes - head.len() - tail.len()))
}

/// A response of this many bytes.
fn long_response(request: &Request, bytes: usize) -> String {
    let id = request.message()["id"].clone();
    let head = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"x":""#);
    let tail = r#""}}"#;
    format!("{head}{}{tail}", "x".repeat(bytes - head.len() - tail.len()))
}

#[test]
fn bytes_of_a_line() {
    let fake = Fake::new(|request| {
        let answer = request.response(&json!({"bytes": request.body.len()}).to_string());
        request.json("", &answer);
    });
    let mut connect = Connect::to(&[&fake.url()]);
    connect.line(&long_request("a", MESSAGE_BYTES_MAX));
    assert_eq!(connect.next()["result"]["bytes"], MESSAGE_BYTES_MAX);
    connect.line(&long_request("b", MESSAGE_BYTES_MAX + 1));
    let answer = connect.next();
    assert_eq!(answer["id"], Value::Null);
    assert!(
        error(&answer).contains("more bytes than connect_message_bytes_max (8388608); it is skipped"),
        "{answer}"
    );
    connect.line(&long_request("c", 100));
    assert_eq!(connect.next()["result"]["bytes"], 100);
}

#[test]
fn bytes_of_an_answer() {
    let fake = Fake::new(|request| {
        let method = request.rpc();
        let bytes = request.message()["params"]["bytes"].as_u64().unwrap() as usize;
        let answer = long_response(request, bytes);
        match method.as_str() {
            "an/event" => {
                request.begin_stream("");
                request.event("", &answer);
            }
            _ => request.json("", &answer),
        }
    });
    let mut connect = Connect::to(&[&fake.url()]);
    // The name of the field counts in an event.
    for (method, most) in [("a/body", MESSAGE_BYTES_MAX), ("an/event", MESSAGE_BYTES_MAX - "data: ".len())] {
        connect.tell(&request(1, method, json!({"bytes": most})));
        assert_eq!(connect.next_line().len(), most);
        let answer = connect.ask(2, method, json!({"bytes": most + 1}));
        assert!(error(&answer).contains("longer than 8388608 bytes"), "{method}: {answer}");
        connect.tell(&request(3, method, json!({"bytes": 100})));
        assert_eq!(connect.next_line().len(), 100);
    }
}

/// Answers that are not whole fill what may be held, and one more fails alone.
#[test]
fn bytes_of_all_messages() {
    let gate = Gate::default();
    let opens = gate.clone();
    let (sender, begun) = channel();
    let sender = Mutex::new(sender);
    let fake = Fake::new(move |request| {
        let bytes = request.message()["params"]["bytes"].as_u64().unwrap() as usize;
        let (sender, answer) = (sender.lock().unwrap().clone(), long_response(request, bytes));
        let (most, rest) = answer.split_at(answer.len() - 2);
        request.send(&format!(
            "HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n{most}"
        ));
        sender.send(()).unwrap();
        opens.wait();
        request.send(rest);
    });
    let mut connect = Connect::to(&[&fake.url()]);
    let bytes = MESSAGE_BYTES_MAX - (64 << 10);
    let whole = HELD_BYTES_MAX / MESSAGE_BYTES_MAX;
    for id in 0..whole {
        connect.tell(&request(id, "x/y", json!({"bytes": bytes})));
        begun.recv_timeout(PATIENCE).unwrap();
    }
    let answer = connect.ask("more", "x/y", json!({"bytes": bytes}));
    assert!(
        error(&answer).contains("more than 33554432 bytes together (connect_held_bytes_max)"),
        "{answer}"
    );
    gate.open();
    for _ in 0..whole {
        assert_eq!(connect.next_line().len(), bytes);
    }
}

/// Requests that are open count, too.
#[test]
fn bytes_of_open_requests() {
    let gate = Gate::default();
    let opens = gate.clone();
    let fake = Fake::new(move |request| {
        opens.wait();
        let answer = request.response("{}");
        request.json("", &answer);
    });
    let mut connect = Connect::to(&[&fake.url()]);
    let whole = HELD_BYTES_MAX / MESSAGE_BYTES_MAX;
    for number in 0..whole {
        connect.line(&long_request(&number.to_string(), MESSAGE_BYTES_MAX));
    }
    connect.line(&long_request("more", 100));
    let answer = connect.next();
    assert_eq!(answer["id"], "more", "{answer}");
    assert!(error(&answer).contains("the open requests have more than 33554432 bytes together"), "{answer}");
    gate.open();
    for _ in 0..whole {
        assert!(connect.next()["result"].is_object());
    }
    // Its place is free shortly after the client has the answer.
    crate::wait_until("there is room again", || {
        connect.line(&long_request("more", 100));
        connect.next()["result"].is_object()
    });
}

#[test]
fn questions() {
    let (sender, answers) = channel();
    let sender = Mutex::new(sender);
    let fake = Fake::new(move |request| {
        if request.rpc() == "x/y" {
            request.begin_stream("");
            for number in 0..=QUESTIONS_MAX {
                request.event("", &format!(r#"{{"jsonrpc":"2.0","id":"q{number}","method":"roots/list"}}"#));
            }
            request.wait_for_end();
        } else if request.method == "POST" && request.rpc().is_empty() {
            sender.lock().unwrap().send(request.message()).unwrap();
            request.answer(202, "", "");
        } else {
            request.is_served("s1");
        }
    });
    let mut connect = Connect::to(&[&fake.url()]);
    connect.initialize("2025-11-25");
    connect.tell(&request(1, "x/y", json!({})));
    let refused: Value = answers.recv_timeout(PATIENCE).unwrap();
    assert_eq!(refused["id"], format!("q{QUESTIONS_MAX}"));
    assert!(error(&refused).contains("more than 64 requests to the client are open (connect_questions_max)"));
    for number in 0..QUESTIONS_MAX {
        assert_eq!(connect.next()["id"], format!("q{number}"));
    }
    connect.tell(&json!({"jsonrpc": "2.0", "id": "q0", "result": {}}));
    assert_eq!(answers.recv_timeout(PATIENCE).unwrap()["id"], "q0");
}

#[test]
fn bytes_of_the_id_of_a_question() {
    // The quotes count.
    let ids = [ID_BYTES_MAX - 1, ID_BYTES_MAX - 2].map(|bytes| "i".repeat(bytes));
    let asked = ids.clone();
    let fake = Fake::new(move |request| {
        if request.rpc() == "x/y" {
            request.begin_stream("");
            for id in &asked {
                request.event("", &json!({"jsonrpc": "2.0", "id": id, "method": "roots/list"}).to_string());
            }
            request.wait_for_end();
        } else {
            request.is_served("s1");
        }
    });
    let mut connect = Connect::to(&[&fake.url()]);
    connect.initialize("2025-11-25");
    connect.tell(&request(1, "x/y", json!({})));
    assert_eq!(connect.next()["id"], ids[1].as_str());
    connect.says("its `id` has 1025 bytes, more than connect_id_bytes_max (1024)");
}

/// Answers in a batch are taken one by one, each for its question; cancellations in one are heeded, too.
#[test]
fn questions_that_a_batch_answers() {
    let (sender, answers) = channel();
    let (sender, answers) = (Mutex::new(sender), Mutex::new(answers));
    let fake = Fake::new(move |request| match (request.method.as_str(), request.rpc().as_str()) {
        ("POST", "initialize") => {
            let welcome = WELCOME.replace("2025-11-25", "2025-03-26");
            request.result("Mcp-Session-Id: s1\r\n", &welcome);
        }
        ("POST", "x/y") => {
            request.begin_stream("");
            for number in 0..=QUESTIONS_MAX {
                if number == QUESTIONS_MAX {
                    let answers = answers.lock().unwrap();
                    (0..number).for_each(|_| answers.recv_timeout(PATIENCE).unwrap());
                }
                request.event("", &format!(r#"{{"jsonrpc":"2.0","id":"q{number}","method":"roots/list"}}"#));
            }
            request.wait_for_end();
        }
        ("POST", "") if request.message().is_array() => {
            let id = request.message()[0]["id"].clone();
            request.json("", &json!([{"jsonrpc": "2.0", "id": id, "result": {}}]).to_string());
        }
        ("POST", "") => {
            sender.lock().unwrap().send(()).unwrap();
            request.answer(202, "", "");
        }
        _ => drop(request.is_served("s1")),
    });
    let mut connect = Connect::to(&[&fake.url()]);
    connect.initialize("2025-03-26");
    connect.tell(&request(1, "x/y", json!({})));
    let questions: Vec<Value> = (0..QUESTIONS_MAX).map(|_| connect.next()["id"].clone()).collect();
    let mut batch: Vec<Value> =
        questions.iter().map(|id| json!({"jsonrpc": "2.0", "id": id, "result": {}})).collect();
    batch.insert(7, request(2, "ping", json!({})));
    batch.push(json!([request(3, "ping", json!({}))]));
    connect.tell(&Value::from(batch));
    let mut next = [connect.next(), connect.next(), connect.next()];
    next.sort_by_key(|message| message["id"].to_string());
    assert_eq!(next[0]["id"], format!("q{QUESTIONS_MAX}"));
    assert_eq!((&next[1]["id"], &next[1]["result"]), (&json!(2), &json!({})));
    assert!(error(&next[2]).contains("a batch in a batch"), "{next:?}");
    connect.line("[]");
    assert!(error(&connect.next()).contains("the batch is empty"));
    let cancelled = json!({"method": "notifications/cancelled", "params": {"requestId": 1}});
    connect.tell(&json!([cancelled]));
    assert_eq!(connect.end(), Vec::<Value>::new());
}

/// Messages without an answer wait in a queue; beyond it standard input is not read, and nothing is lost.
#[test]
fn messages_without_an_answer() {
    let gate = Gate::default();
    let opens = gate.clone();
    let (sender, posted) = channel();
    let sender = Mutex::new(sender);
    let fake = Fake::new(move |request| {
        let sender = sender.lock().unwrap().clone();
        opens.wait();
        sender.send(request.message()["params"]["n"].as_u64().unwrap()).unwrap();
        request.answer(202, "", "");
    });
    let mut connect = Connect::to(&[&fake.url()]);
    // More than the queue, the reader and the pipe have room for.
    let mut input = connect.input.take().unwrap();
    let many = 400;
    let writing = std::thread::spawn(move || {
        for number in 0..many {
            let filler = "x".repeat(1 << 10);
            let message =
                json!({"jsonrpc": "2.0", "method": "notifications/x", "params": {"n": number, "x": filler}});
            writeln!(input, "{message}").unwrap();
        }
    });
    crate::wait_until("the first is posted", || !fake.seen().is_empty());
    gate.open();
    for number in 0..many {
        assert_eq!(posted.recv_timeout(PATIENCE).unwrap(), number, "in order");
    }
    writing.join().unwrap();
    assert_eq!(connect.code(), Some(0));
}

/// A server that takes no notification before the gate opens, and answers requests.
fn stuck_at_notifications(gate: &Gate) -> Fake {
    let gate = gate.clone();
    Fake::new(move |request| match request.rpc().as_str() {
        "notifications/x" => {
            gate.wait();
            request.answer(202, "", "");
        }
        _ => request.result("", "{}"),
    })
}

/// As many may wait as the bound says, besides the one that is being posted. With one more, what comes behind it is not read.
#[test]
fn number_of_messages_without_an_answer() {
    for more in [0, 1] {
        let gate = Gate::default();
        let fake = stuck_at_notifications(&gate);
        let mut connect = Connect::to(&[&fake.url()]);
        connect.line(&long_notification(100));
        crate::wait_until("the first is posted", || !fake.seen().is_empty());
        (0..WAITING_MAX + more).for_each(|_| connect.line(&long_notification(100)));
        connect.tell(&request(1, "x/y", lone(json!({}))));
        if more > 0 {
            // Too short a wait could only hide that it is read.
            let early = connect.lines.recv_timeout(Duration::from_secs(1));
            assert!(early.is_err(), "{early:?}");
            gate.open();
        }
        assert_eq!(connect.next()["id"], 1);
        gate.open();
        assert_eq!(connect.end(), Vec::<Value>::new());
        assert_eq!(fake.count("POST /mcp notifications/x"), 1 + WAITING_MAX + more, "nothing is lost");
    }
}

/// A notification of this many bytes.
fn long_notification(bytes: usize) -> String {
    let head = r#"{"jsonrpc":"2.0","method":"notifications/x","params":{"x":""#;
    let tail = r#""}}"#;
    format!("{head}{}{tail}", "x".repeat(bytes - head.len() - tail.len()))
}

/// As many bytes may wait as the bound says. With one more, what comes behind it is not read.
#[test]
fn bytes_of_messages_without_an_answer() {
    for more in [0, 1] {
        let gate = Gate::default();
        let fake = stuck_at_notifications(&gate);
        let mut connect = Connect::to(&[&fake.url()]);
        let mut input = connect.input.take().unwrap();
        let lengths = [MESSAGE_BYTES_MAX, WAITING_BYTES_MAX - MESSAGE_BYTES_MAX - 1000, 1000 + more];
        let writing = std::thread::spawn(move || {
            lengths.iter().for_each(|bytes| writeln!(input, "{}", long_notification(*bytes)).unwrap());
            writeln!(input, "{}", request(1, "x/y", lone(json!({})))).unwrap();
            input
        });
        if more > 0 {
            crate::wait_until("the first is posted", || !fake.seen().is_empty());
            // Too short a wait could only hide that it is read.
            let early = connect.lines.recv_timeout(Duration::from_secs(1));
            assert!(early.is_err(), "{early:?}");
            gate.open();
        }
        assert_eq!(connect.next()["id"], 1);
        gate.open();
        connect.input = Some(writing.join().unwrap());
        assert_eq!(connect.end(), Vec::<Value>::new());
        assert_eq!(fake.count("POST /mcp notifications/x"), lengths.len(), "nothing is lost");
    }
}

/// The arguments of as many tools are repeated in header fields as the bound says.
#[test]
fn tools_with_arguments_in_header_fields() {
    let fake = Fake::new(|request| {
        let field = request.field("mcp-param-region").unwrap_or("none").to_owned();
        match request.rpc().as_str() {
            "tools/list" => {
                let region = json!({"type": "string", "x-mcp-header": "Region"});
                let schema = json!({"type": "object", "properties": {"region": region}});
                let tools: Vec<Value> = (0..=TOOLS_MAX)
                    .map(|at| json!({"name": format!("tool-{at}"), "inputSchema": schema}))
                    .collect();
                request.result("", &json!({"tools": tools, "resultType": "complete"}).to_string());
            }
            _ => request.result("", &json!({"field": field}).to_string()),
        }
    });
    let mut connect = Connect::to(&[&fake.url()]);
    let listed = connect.ask(1, "tools/list", lone(json!({})));
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), TOOLS_MAX + 1);
    for (at, expected) in [(0, "here"), (TOOLS_MAX - 1, "here"), (TOOLS_MAX, "none")] {
        let params = lone(call(&format!("tool-{at}"), json!({"region": "here"})));
        let answer = connect.ask(2, "tools/call", params);
        assert_eq!(answer["result"]["field"], expected, "{at}: {answer}");
    }
}

/// An answer that comes within the time is passed on. One that does not is an error, and the program ends.
#[test]
fn seconds_after_the_end_of_the_input() {
    let begin = |delay: Option<Duration>| {
        std::thread::spawn(move || {
            let fake = Fake::new(move |request| match delay {
                Some(delay) => {
                    std::thread::sleep(delay);
                    request.result("", "{}");
                }
                None => request.wait_for_end(),
            });
            let mut connect = Connect::to(&[&fake.url()]);
            connect.tell(&request(1, "x/y", lone(json!({}))));
            crate::wait_until("it is sent", || !fake.seen().is_empty());
            let start = Instant::now();
            let mut left = connect.end();
            (left.remove(0), left, start.elapsed())
        })
    };
    // A good while before the end of the time, so that a machine with much other work does not decide.
    let [slow, silent] = [Some(GRACE - Duration::from_secs(6)), None].map(begin);
    let (answer, rest, _) = slow.join().unwrap();
    assert_eq!((&answer["result"], rest), (&json!({}), vec![]), "{answer}");
    let (answer, rest, took) = silent.join().unwrap();
    let text = "standard input has ended, and the answer has not come within 30 s (connect_grace)";
    assert!(error(&answer).contains(text) && rest.is_empty(), "{answer}");
    assert!((GRACE..GRACE + Duration::from_secs(20)).contains(&took), "{took:?}");
}
