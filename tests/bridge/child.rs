//! The server that tests put behind a bridge. It does what real ones do, and what they should not.
//!
//! It is this test program again: started with a mode in `RILL_CHILD` and its own standard output as descriptor 3, so that
//! nothing of the test harness stands between the messages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, Write};
use std::process::{Command, Stdio, exit};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

#[path = "child_stateless.rs"]
mod stateless;

/// Becomes a child if this process was started as one.
#[test]
fn child() {
    let Ok(mode) = std::env::var("RILL_CHILD") else { return };
    let out = File::options().write(true).open("/proc/self/fd/3").unwrap();
    let mut child = Child {
        out,
        asked: 0,
        cancelled: Vec::new(),
        kept: BTreeMap::new(),
        waiting: None,
        stateless: BTreeSet::new(),
        listens: BTreeMap::new(),
    };
    match mode.as_str() {
        "die" => {
            shout("no such folder\nlast words");
            exit(7)
        }
        "banner" => write!(child.out, "Welcome\n\n *** server 1.0 ***\nlistening on stdio\n").unwrap(),
        _ => {}
    }
    child.serve(&mode);
    if mode == "farewell" {
        shout("its input has ended");
    }
    exit(0)
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<String>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Params<'a> {
    name: Option<String>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(rename = "_meta", borrow)]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(rename = "progressToken", borrow)]
    token: Option<&'a RawValue>,
}

/// Writes to standard error, which the test harness would keep from a macro.
fn shout(text: &str) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

struct Child {
    out: File,
    asked: u32,
    cancelled: Vec<String>,
    kept: BTreeMap<String, String>,
    /// The id of the call that waits for the answer to a question.
    waiting: Option<String>,
    /// The ids of requests of 2026-07-28.
    stateless: BTreeSet<String>,
    /// What its streams of notifications are for, by the ids of their requests.
    listens: BTreeMap<String, Value>,
}

impl Child {
    fn say(&mut self, line: &str) {
        writeln!(self.out, "{line}").unwrap();
    }

    fn answer(&mut self, id: &str, result: &str) {
        let kind = if self.stateless.contains(id) { r#""resultType":"complete","# } else { "" };
        let result = match result {
            "{}" => format!("{{{}}}", kind.trim_end_matches(',')),
            result => result.replacen('{', &format!("{{{kind}"), 1),
        };
        self.say(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#));
    }

    fn text(&mut self, id: &str, text: &str) {
        let text = serde_json::to_string(text).unwrap();
        self.answer(id, &format!(r#"{{"content":[{{"type":"text","text":{text}}}]}}"#));
    }

    fn tell(&mut self, method: &str, params: &str) {
        self.say(&format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#));
    }

    fn serve(&mut self, mode: &str) {
        for line in std::io::stdin().lock().lines() {
            let line = line.unwrap();
            let message: Message = serde_json::from_str(&line).unwrap();
            let id = message.id.map(|id| id.get().to_owned());
            if self.take_stateless(mode, &message) {
                continue;
            }
            match (message.method.as_deref(), id) {
                (Some("initialize"), _) if mode == "mute" => {}
                (Some("initialize"), Some(id)) if mode == "pings" => {
                    self.waiting = Some(id);
                    self.say(r#"{"jsonrpc":"2.0","id":"early","method":"ping"}"#);
                }
                (Some("initialize"), Some(id)) if mode == "brief" => {
                    self.initialize(&id, mode);
                    exit(5)
                }
                (Some("initialize"), Some(id)) => {
                    self.kept.insert("initialize".into(), message.params.unwrap().get().to_owned());
                    self.initialize(&id, mode);
                }
                (Some("ping"), Some(id)) => self.answer(&id, "{}"),
                (Some("tools/list"), Some(id)) => {
                    let tool =
                        |name: &str| format!(r#"{{"name":"{name}","inputSchema":{{"type":"object"}}}}"#);
                    // Its argument is repeated in a header field.
                    let region = r#"{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}"#;
                    let headed = format!(r#"{{"name":"headed","inputSchema":{region}}}"#);
                    // One more than the bridge keeps the fields of; the first one is met first in a second list.
                    let more = if mode == "many" { 1024 } else { 0 };
                    let more = (0..more).map(|at| headed.replace("headed", &format!("headed-{at}")));
                    let more: Vec<String> = more.collect();
                    let tools = [vec![headed, tool("echo"), tool("hush"), tool("drop_all")], more].concat();
                    let tools = tools.join(",");
                    self.answer(&id, &format!(r#"{{"tools":[{tools}]}}"#));
                }
                (Some("tools/call"), Some(id)) => {
                    let params: Params = serde_json::from_str(message.params.unwrap().get()).unwrap();
                    self.call(&id, &params, message.params.unwrap().get());
                }
                (Some("notifications/cancelled"), _) => {
                    self.cancelled.push(message.params.unwrap().get().to_owned());
                }
                (Some(method), None) => {
                    let params = message.params.map_or("", RawValue::get);
                    self.kept.insert(method.to_owned(), params.to_owned());
                }
                (Some("resources/subscribe" | "resources/unsubscribe" | "logging/setLevel"), Some(id)) => {
                    let kept = self.kept.entry("asked".into()).or_default();
                    kept.push_str(&format!("{}{} ", message.method.unwrap(), message.params.unwrap().get()));
                    self.answer(&id, "{}");
                }
                (Some(method), Some(id)) => {
                    let params = message.params.map_or("null", RawValue::get);
                    self.answer(&id, &format!(r#"{{"method":"{method}","params":{params}}}"#));
                }
                (None, Some(id)) => self.answered(&id, message.result, message.error),
                (None, None) => shout(&format!("what is {line}")),
            }
        }
    }

    fn initialize(&mut self, id: &str, mode: &str) {
        let capabilities = r#"{"tools":{"listChanged":true},"resources":{"subscribe":true},"logging":{},"x-own":{"a":1.50}}"#;
        let info = format!(r#"{{"name":"child","version":"{mode}"}}"#);
        self.answer(
            id,
            &format!(
                r#"{{"protocolVersion":"2025-06-18","capabilities":{capabilities},"serverInfo":{info},"instructions":"hi"}}"#
            ),
        );
    }

    fn questions(&mut self, count: usize) {
        for at in 0..count {
            let question = r#""method":"elicitation/create","params":{"message":"?","requestedSchema":{"type":"object","properties":{}}}"#;
            self.say(&format!(r#"{{"jsonrpc":"2.0","id":{at},{question}}}"#));
        }
    }

    fn answered(&mut self, id: &str, result: Option<&RawValue>, error: Option<&RawValue>) {
        let Some(call) = self.waiting.take() else {
            // What becomes of the questions of `hoard`.
            let fate = format!("{id}: {}; ", result.or(error).unwrap().get());
            return self.kept.entry("fates".into()).or_default().push_str(&fate);
        };
        if id == "\"early\"" {
            return self.initialize(&call, "pings");
        }
        let outcome = result.or(error).unwrap().get();
        self.text(&call, &format!("{id} {outcome}"));
    }

    fn call(&mut self, id: &str, params: &Params, raw: &str) {
        let argument = |name: &str| {
            let all: BTreeMap<String, serde_json::Value> =
                params.arguments.map(|all| serde_json::from_str(all.get()).unwrap()).unwrap_or_default();
            all.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        if self.stateless.contains(id) && self.call_stateless(id, raw) {
            return;
        }
        match params.name.as_deref().unwrap() {
            // It reads nothing until there is a file of this name.
            "pause" => {
                while !std::path::Path::new(&argument("until").unwrap()).exists() {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                self.text(id, "went on");
            }
            "echo" => self.answer(id, &format!(r#"{{"content":[],"structuredContent":{raw}}}"#)),
            "keep" => {
                self.kept.insert("kept".into(), argument("text").unwrap());
                self.text(id, "kept");
            }
            "kept" => {
                let kept = self.kept.get(&argument("of").unwrap_or("kept".into())).cloned();
                self.text(id, &kept.unwrap_or("nothing".into()));
            }
            "headed" => self.text(id, "headed"),
            "pid" => self.text(id, &std::process::id().to_string()),
            "progress" => {
                let token = params.meta.as_ref().and_then(|meta| meta.token).unwrap().get();
                for at in 1..=3 {
                    let params = format!(r#"{{"progressToken":{token},"progress":{at},"own":0.10}}"#);
                    self.tell("notifications/progress", &params);
                }
                self.text(id, "done");
            }
            "stray" => {
                // Of no request, and of one that it was never sent.
                self.tell("notifications/progress", r#"{"progressToken":"nobody's","progress":1}"#);
                self.answer("999999", "{}");
                self.answer("\"a\"", "{}");
                self.answer("1.5", "{}");
                self.say(&format!(r#"{{"jsonrpc":"2.0","id":"0{id}","result":{{"wrong":"id"}}}}"#));
                self.text(id, "first");
                self.text(id, "second");
            }
            // Some keep all ids as text.
            "as text" => self.text(&format!("\"{id}\""), "done"),
            "ask" => {
                self.asked += 1;
                let params = argument("params")
                    .unwrap_or(r#"{"message":"who?","_meta":{"progressToken":"t"}}"#.into());
                let (question, method) =
                    (self.asked, argument("method").unwrap_or("elicitation/create".into()));
                self.waiting = Some(id.to_owned());
                let line = r#"{"jsonrpc":"2.0","id":"q-ID","method":"METHOD","params":PARAMS}"#;
                let line = line.replace("ID", &question.to_string()).replace("METHOD", &method);
                self.say(&line.replace("PARAMS", &params));
            }
            "withdraw" => {
                self.say(r#"{"jsonrpc":"2.0","id":77,"method":"roots/list"}"#);
                self.tell("notifications/cancelled", r#"{"requestId":77,"reason":"never mind"}"#);
                self.text(id, "done");
            }
            "announce" => {
                self.tell("notifications/tools/list_changed", r#"{"_meta":{"a":1}}"#);
                self.tell("notifications/resources/updated", r#"{"uri":"a:b"}"#);
                self.tell("notifications/message", r#"{"level":"debug","data":[1.0]}"#);
                self.tell("notifications/of/our/own", r#"{"x":12345678901234567890}"#);
                self.text(id, "done");
            }
            "update" => {
                let uri = argument("uri").unwrap();
                self.tell("notifications/resources/updated", &format!(r#"{{"uri":"{uri}"}}"#));
                self.text(id, "done");
            }
            "log" => {
                for level in ["debug", "info", "error"] {
                    let params = format!(r#"{{"level":"{level}","data":"{level}"}}"#);
                    self.tell("notifications/message", &params);
                }
                self.text(id, "done");
            }
            // The same, for those who cannot ask.
            "hush" => shout("is silent"),
            "silent" => drop(self.kept.insert("silent".into(), "yes".into())),
            "cancelled" => {
                let all = self.cancelled.join(" ");
                self.text(id, &all);
            }
            "exit" => {
                shout("something broke\n  at line 1");
                exit(argument("code").unwrap_or("3".into()).parse().unwrap())
            }
            "half" => {
                write!(self.out, r#"{{"jsonrpc":"2.0","id":{id},"resu"#).unwrap();
                exit(0)
            }
            // Half an answer, and nothing more.
            "stutter" => {
                write!(self.out, r#"{{"jsonrpc":"2.0","id":{id},"resu"#).unwrap();
                loop {
                    std::thread::sleep(Duration::from_secs(1000));
                }
            }
            // As long as a line can be that no bound expects.
            "100 MB" => {
                let piece = vec![b'x'; 1 << 20];
                self.out.write_all(b"{").unwrap();
                for _ in 0..100 {
                    if self.out.write_all(&piece).is_err() {
                        exit(1);
                    }
                }
                self.text(id, "after 100 MB");
            }
            "noise" => {
                let count = argument("lines").unwrap().parse().unwrap();
                (0..count).for_each(|at| self.say(&format!("debug: {at}")));
                self.text(id, "after noise");
            }
            "garbage" => {
                self.out
                    .write_all(b"{\xff\xfe}\n{not json\n[]\n[1]\n{\"jsonrpc\":\"1.0\"}\n\x00\x01\n")
                    .unwrap();
                self.text(id, "after garbage");
            }
            "huge" => {
                let bytes: usize = argument("bytes").unwrap().parse().unwrap();
                let text = "x".repeat(bytes);
                self.text(id, &text);
            }
            "line" => {
                let bytes: usize = argument("bytes").unwrap().parse().unwrap();
                shout(&format!("{}Z", "Q".repeat(bytes - 1)));
                self.text(id, "said");
            }
            "values" => {
                let count: usize = argument("count").unwrap().parse().unwrap();
                self.answer(
                    id,
                    &format!(r#"{{"content":[],"_meta":{{"x":[{}]}}}}"#, vec!["1"; count].join(",")),
                );
            }
            "endless" => {
                let piece = vec![b'x'; 1 << 16];
                self.out.write_all(b"{").unwrap();
                while self.out.write_all(&piece).is_ok() {}
                exit(1)
            }
            "flood" => {
                let token =
                    params.meta.as_ref().and_then(|meta| meta.token).map_or("1", RawValue::get).to_owned();
                loop {
                    let params = format!(r#"{{"progressToken":{token},"progress":1}}"#);
                    let line =
                        format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{params}}}"#);
                    if writeln!(self.out, "{line}").is_err() {
                        exit(1);
                    }
                }
            }
            // More questions than may be open, and no answer.
            "hoard" => {
                self.questions(65);
                shout("has asked");
            }
            // Questions whose answers it never reads.
            "asks" => {
                self.questions(64);
                std::thread::sleep(Duration::from_secs(1000));
            }
            // Requests whose answers it never reads.
            "pings" => {
                let line = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"ping"}}"#, "i".repeat(900));
                while writeln!(self.out, "{line}").is_ok() {}
                exit(1)
            }
            "stderr" => {
                let line = "y".repeat(1000);
                (0..2000).for_each(|_| shout(&line));
                self.text(id, "said");
            }
            "stop" => loop {
                std::thread::sleep(Duration::from_secs(1000));
            },
            "leave" => {
                // In a session of its own, and with the pipes.
                let mut shell = Command::new("sh");
                shell.args(["-c", "setsid sleep 1000 >&2 & echo $!"]).stderr(Stdio::inherit());
                let left = shell.output().unwrap();
                self.text(id, String::from_utf8(left.stdout).unwrap().trim());
            }
            other => self.text(id, &format!("there is no tool {other}")),
        }
    }
}
