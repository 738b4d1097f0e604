//! A manifest as a server: `mcp-rill serve FILE`, as its clients meet it.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Guard, PATIENCE, output};

/// A folder that ends with its test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("rill-provide{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A manifest of these members.
    pub fn manifest(&self, mut members: Value) -> String {
        members["manifest"] = json!(1);
        self.write("m.json", members.to_string())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The lines of a stream, as they come. A test that waits for one does not wait for ever.
fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            if line.is_err() || sender.send(line.unwrap()).is_err() {
                break;
            }
        }
    });
    lines
}

/// A manifest's server on standard input and output.
pub struct Served {
    pub guard: Guard,
    input: Option<ChildStdin>,
    output: Receiver<String>,
    /// Messages that came while another one was waited for.
    pub others: VecDeque<Value>,
    next_id: u32,
}

impl Served {
    pub fn start(path: &str) -> Served {
        Served::with(path, "2025-11-25", json!({"elicitation": {}}), |_| {})
    }

    pub fn with(
        path: &str,
        revision: &str,
        capabilities: Value,
        change: impl FnOnce(&mut Command),
    ) -> Served {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
        command.args(["serve", path, "--stdio"]).stderr(Stdio::piped());
        change(&mut command);
        let mut guard = Guard(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        let output = lines_of(guard.0.stdout.take().unwrap());
        let input = guard.0.stdin.take();
        let mut served = Served { guard, input, output, others: VecDeque::new(), next_id: 0 };
        let client = json!({"name": "tester", "version": "1"});
        let params = json!({"protocolVersion": revision, "capabilities": capabilities, "clientInfo": client});
        let answer = served.ask("initialize", params);
        assert_eq!(answer["result"]["protocolVersion"], revision, "{answer}");
        served.tell(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        served
    }

    pub fn tell(&mut self, message: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    pub fn send(&mut self, method: &str, params: Value) -> u32 {
        self.next_id += 1;
        let id = self.next_id;
        self.tell(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    fn read(&mut self) -> Value {
        let line = self.output.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let _ = self.guard.0.kill();
            let mut said = String::new();
            if let Some(mut stderr) = self.guard.0.stderr.take() {
                stderr.read_to_string(&mut said).unwrap();
            }
            panic!("no message any more, after {:?}: {said}", self.others)
        });
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a message: {line:?}"))
    }

    /// The first message that is wanted, also of those that came before.
    pub fn wait(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.others.iter().position(&wanted) {
            return self.others.remove(at).unwrap();
        }
        loop {
            match self.read() {
                message if wanted(&message) => return message,
                other => self.others.push_back(other),
            }
        }
    }

    pub fn answer(&mut self, id: u32) -> Value {
        self.wait(|message| message["id"] == id && message["method"].is_null())
    }

    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        self.answer(id)
    }

    /// The result of a tool.
    pub fn call(&mut self, name: &str, arguments: Value) -> Value {
        let answer = self.ask("tools/call", json!({"name": name, "arguments": arguments}));
        match answer.get("result") {
            Some(result) => result.clone(),
            None => panic!("{answer}"),
        }
    }

    /// The text of a tool that succeeds.
    pub fn text(&mut self, name: &str, arguments: Value) -> String {
        let result = self.call(name, arguments);
        assert_ne!(result["isError"], true, "{result}");
        result["content"][0]["text"].as_str().unwrap().to_owned()
    }

    /// The text of a tool that fails.
    pub fn failure(&mut self, name: &str, arguments: Value) -> String {
        let result = self.call(name, arguments);
        assert_eq!(result["isError"], true, "{result}");
        result["content"][0]["text"].as_str().unwrap().to_owned()
    }

    pub fn read_resource(&mut self, uri: &str) -> Value {
        let answer = self.ask("resources/read", json!({"uri": uri}));
        match answer.get("result") {
            Some(result) => result["contents"][0].clone(),
            None => answer["error"].clone(),
        }
    }

    /// Ends the input and waits for the end; returns what was said to people.
    pub fn end(mut self) -> String {
        drop(self.input.take());
        assert_eq!(self.guard.exit_code(), Some(0));
        let mut said = String::new();
        self.guard.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }
}

/// A tool that runs a script of the shell, with the arguments as `$0`, `$1` ….
fn script(name: &str, script: &str, more: Value) -> Value {
    let mut tool = json!({"name": name, "description": "A test", "argv": ["/bin/sh", "-c", script]});
    tool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    tool
}

fn schema(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_tool_runs_its_command_with_the_arguments() {
    let folder = Folder::new("arguments");
    let properties = json!({
        "host": {"type": "string", "pattern": "^[a-z.]+$"}, "count": {"type": "integer", "default": 3},
        "iface": {"type": "string", "enum": ["wan", "lan"]}, "quiet": {"type": "boolean"},
        "names": {"type": "array", "items": {"type": "string"}}
    });
    let path = folder.manifest(json!({
        "server": {"name": "router", "version": "7", "title": "Router", "instructions": "Use it."},
        "tools": [
            {"name": "ping", "title": "Ping", "description": "Ping a host", "annotations": {"readOnlyHint": true, "openWorldHint": false},
             "inputSchema": schema(properties, &["host"]),
             "argv": ["/usr/bin/printf", "[%s]", "-c", "{count}", ["-I", "{iface}"], {"when": "quiet", "argv": ["-q"]}, "--", "{host}", ["{names}"]]},
            {"name": "env", "description": "Its environment", "argv": ["/usr/bin/env"], "env": {"A": "1", "B": "two words"}},
            {"name": "place", "description": "Its folder", "argv": ["/bin/pwd"], "cwd": "."},
            {"name": "stdin", "description": "Its input", "argv": ["/bin/cat"], "stdin": "{*:json}",
             "inputSchema": schema(json!({"a": {"type": "number"}, "b": {"type": "string", "default": "x"}}), &["a"])}
        ]
    }));
    let mut served = Served::start(&path);
    let tools = served.ask("tools/list", json!({}))["result"]["tools"].clone();
    assert_eq!(tools[0]["name"], "ping");
    assert_eq!(tools[0]["title"], "Ping");
    assert_eq!(tools[0]["annotations"], json!({"readOnlyHint": true, "openWorldHint": false}));
    assert_eq!(tools[0]["inputSchema"]["properties"]["count"]["default"], 3);
    assert_eq!(served.text("ping", json!({"host": "a.b"})), "[-c][3][--][a.b]");
    let all = json!({"host": "a", "count": 1, "iface": "lan", "quiet": true, "names": ["x y", "$(z)", ""]});
    assert_eq!(served.text("ping", all), "[-c][1][-I][lan][-q][--][a][x y][$(z)][]");
    assert_eq!(served.text("ping", json!({"host": "a", "quiet": false})), "[-c][3][--][a]");
    let failure = served.failure("ping", json!({"host": "A b"}));
    assert!(failure.contains("argument `host`") && failure.contains("^[a-z.]+$"), "{failure}");
    let failure = served.failure("ping", json!({"host": "a", "iface": "dmz"}));
    assert!(failure.contains("argument `iface`") && failure.contains("wan"), "{failure}");
    let failure = served.failure("ping", json!({"host": "a", "hots": "b"}));
    assert!(failure.contains("`hots`"), "{failure}");
    assert!(served.failure("ping", json!({})).contains("`host`"));
    let mut environment: Vec<String> = served.text("env", json!({})).lines().map(str::to_owned).collect();
    environment.sort();
    assert_eq!(environment, ["A=1", "B=two words"], "the whole environment is the manifest's");
    let place = fs::canonicalize(&folder.0).unwrap();
    assert_eq!(served.text("place", json!({})), format!("{}\n", place.display()));
    assert_eq!(served.text("stdin", json!({"a": 1.50})), r#"{"a":1.5,"b":"x"}"#);
    let said = served.end();
    assert!(said.contains("check"), "the shell's warnings are counted: {said}");
}

#[test]
fn the_output_has_the_form_that_the_manifest_says() {
    let folder = Folder::new("output");
    let number = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let path = folder.manifest(json!({
        "tools": [
            script("json", "echo '{{\"n\": 1.0, \"z\": [1, 2]}}'", json!({"output": "json"})),
            script("checked", "echo \"$0\"", json!({
                "argv": ["/bin/sh", "-c", "echo \"$0\"", "{json}"], "output": "json", "outputSchema": number,
                "inputSchema": schema(json!({"json": {"type": "string", "maxLength": 100}}), &["json"])})),
            script("image", "printf '\\211PNG'", json!({"output": {"mimeType": "image/png"}})),
            script("sound", "printf RIFF", json!({"output": {"mimeType": "audio/wav"}})),
            script("pdf", "printf %%PDF", json!({"output": {"mimeType": "application/pdf"}})),
            script("lines", "echo one; echo two; echo three", json!({"output": "lines"})),
            script("much", "printf '%0100d' 7", json!({"outputBytesMax": 10})),
            script("much_json", "printf '[%0100d]' 7", json!({"output": "json", "outputBytesMax": 10})),
            script("last", "for i in 1 2 3 4 5 6 7 8 9; do echo line $i; done", json!({"output": "lines", "outputBytesMax": 16})),
            script("bytes", "printf 'a\\377b'", json!({}))
        ]
    }));
    let mut served = Served::start(&path);
    let result = served.call("json", json!({}));
    assert_eq!(result["structuredContent"], json!({"n": 1.0, "z": [1, 2]}));
    assert_eq!(result["content"][0]["text"], "{\"n\": 1.0, \"z\": [1, 2]}");
    assert_eq!(served.call("checked", json!({"json": "{\"n\": 4}"}))["structuredContent"], json!({"n": 4}));
    let failure = served.failure("checked", json!({"json": "{\"n\": 4.5}"}));
    assert!(failure.contains("outputSchema") && failure.contains("`n`"), "{failure}");
    let failure = served.failure("checked", json!({"json": "no"}));
    assert!(failure.contains("not JSON") && failure.contains("It begins with: no"), "{failure}");
    let image = &served.call("image", json!({}))["content"][0];
    assert_eq!(*image, json!({"type": "image", "data": "iVBORw==", "mimeType": "image/png"}));
    assert_eq!(served.call("sound", json!({}))["content"][0]["type"], "audio");
    let pdf = &served.call("pdf", json!({}))["content"][0]["resource"];
    assert_eq!(*pdf, json!({"uri": "output:///pdf", "mimeType": "application/pdf", "blob": "JVBERg=="}));
    assert_eq!(served.text("bytes", json!({})), "a\u{fffd}b");
    let much = served.text("much", json!({}));
    assert_eq!(much, "0000000000\n[cut: only the first 10 bytes are shown, outputBytesMax]");
    assert!(served.failure("much_json", json!({})).contains("more than 10 bytes (outputBytesMax)"));
    let last = served.text("last", json!({}));
    assert!(last.starts_with("[cut: only the last 16 bytes") && last.ends_with("line 8\nline 9\n"), "{last}");

    let params = json!({"name": "lines", "_meta": {"progressToken": "p"}});
    let id = served.send("tools/call", params);
    let answer = served.answer(id);
    assert_eq!(answer["result"]["content"][0]["text"], "one\ntwo\nthree\n");
    let messages: Vec<&Value> = served
        .others
        .iter()
        .filter(|message| message["method"] == "notifications/progress")
        .map(|message| &message["params"]["message"])
        .collect();
    // A client that reads slowly gets the latest ones alone.
    assert_eq!(messages.last(), Some(&&json!("three")), "{messages:?}");
    served.end();
}

#[test]
fn a_failure_says_what_happened() {
    let folder = Folder::new("failure");
    let not_executable = folder.write("plain", "text");
    let path = folder.manifest(json!({
        "tools": [
            script("fails", "echo no route >&2; exit 3", json!({})),
            script("grep", "exit 1", json!({"exitCodes": [0, 1]})),
            script("signal", "kill -9 $$", json!({})),
            script("slow", "sleep 100", json!({"timeoutMs": 100})),
            {"name": "missing", "description": "Not there", "argv": ["/nowhere/program"]},
            {"name": "plain", "description": "No program", "argv": [not_executable]}
        ]
    }));
    let mut served = Served::start(&path);
    assert_eq!(served.failure("fails", json!({})), "`fails` failed with exit code 3:\nno route");
    assert_eq!(served.text("grep", json!({})), "");
    assert!(served.failure("signal", json!({})).starts_with("`signal` was ended by signal 9 after "));
    assert_eq!(served.failure("slow", json!({})), "`slow` took longer than 0.1 s (timeoutMs) and was ended");
    let missing = served.failure("missing", json!({}));
    assert!(
        missing.starts_with("`missing` did not run: ") && missing.contains("/nowhere/program"),
        "{missing}"
    );
    let plain = served.failure("plain", json!({}));
    assert!(plain.starts_with("`plain` did not run: ") && plain.contains("plain"), "{plain}");
    let answer = served.ask("tools/call", json!({"name": "nope"}));
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    served.end();
}

#[test]
fn the_user_is_asked_before_a_tool_that_wants_it() {
    let folder = Folder::new("confirm");
    let ran = folder.0.join("ran");
    let wipe = |name: &str, confirm: Value| {
        json!({"name": name, "description": "Wipe", "confirm": confirm, "argv": ["/usr/bin/touch", ran, "{disk}"],
            "cwd": folder.0, "inputSchema": schema(json!({"disk": {"type": "string", "pattern": "^[a-z]+$"}}), &["disk"])})
    };
    let path = folder.manifest(json!({
        "tools": [wipe("wipe", json!("Wipe it?")), wipe("careless", json!({"message": "Wipe it?", "otherwise": "run"}))]
    }));
    let mut served = Served::start(&path);
    for (action, outcome) in [("decline", "does not want"), ("cancel", "did not answer"), ("accept", "")] {
        let id = served.send("tools/call", json!({"name": "wipe", "arguments": {"disk": "sda"}}));
        let question = served.wait(|message| message["method"] == "elicitation/create");
        assert_eq!(question["params"]["message"], "Wipe it?\n\ndisk: \"sda\"");
        assert!(!ran.exists(), "{action}");
        let result = if action == "accept" {
            json!({"action": action, "content": {}})
        } else {
            json!({"action": action})
        };
        served.tell(&json!({"jsonrpc": "2.0", "id": question["id"], "result": result}));
        let result = served.answer(id)["result"].clone();
        assert_eq!(result["isError"] == true, action != "accept", "{result}");
        assert!(result["content"][0]["text"].as_str().unwrap().contains(outcome), "{result}");
        assert_eq!(ran.exists(), action == "accept");
    }
    // Arguments that do not fit are no question.
    assert!(served.failure("wipe", json!({"disk": "S"})).contains("argument `disk`"));
    served.end();

    fs::remove_file(&ran).unwrap();
    let mut served = Served::with(&path, "2025-11-25", json!({}), |_| {});
    assert!(served.failure("wipe", json!({"disk": "sda"})).contains("elicitation"));
    assert!(!ran.exists());
    served.text("careless", json!({"disk": "sda"}));
    assert!(ran.exists());
    served.end();

    // 2026-07-28 asks in the result.
    fs::remove_file(&ran).unwrap();
    let mut served = Served::with(&path, "2025-11-25", json!({}), |_| {});
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}});
    let call = json!({"name": "wipe", "arguments": {"disk": "sda"}, "_meta": meta});
    let asked = served.ask("tools/call", call.clone())["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    assert!(!ran.exists());
    let mut again = call;
    let key = asked["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    again["inputResponses"] = json!({key: {"action": "accept", "content": {}}});
    again["requestState"] = asked["requestState"].clone();
    let done = served.ask("tools/call", again)["result"].clone();
    assert!(done["isError"] != true && ran.exists(), "{done}");
    served.end();
}

#[test]
fn files_and_commands_are_resources() {
    let folder = Folder::new("resources");
    folder.write("motd", "hello");
    folder.write("logo.png", b"\x89PNG\0");
    folder.write("big", "x".repeat(101));
    let path = folder.manifest(json!({
        "resources": [
            {"uri": "net:///motd", "name": "motd", "title": "Message", "description": "Of the day", "file": "motd", "mimeType": "text/plain"},
            {"uri": "net:///logo", "name": "logo", "file": "logo.png"},
            {"uri": "net:///big", "name": "big", "file": "big", "bytesMax": 100},
            {"uri": "net:///gone", "name": "gone", "file": "gone"},
            {"uri": "net:///null", "name": "null", "file": "/dev/null"},
            {"uri": "net:///up", "name": "up", "argv": ["/bin/echo", "up"]},
            {"uri": "net:///much", "name": "much", "argv": ["/bin/echo", "0123456789"], "bytesMax": 5},
            {"uri": "net:///fails", "name": "fails", "argv": ["/bin/false"]},
            {"uriTemplate": "net:///of/{name}", "name": "of", "argv": ["/bin/echo", "--", "{name}"]}
        ]
    }));
    let mut served = Served::start(&path);
    let listed = served.ask("resources/list", json!({}))["result"]["resources"].clone();
    assert_eq!(
        listed[0],
        json!({"uri": "net:///motd", "name": "motd", "title": "Message", "description": "Of the day", "mimeType": "text/plain"})
    );
    assert_eq!(served.read_resource("net:///motd")["text"], "hello");
    assert_eq!(served.read_resource("net:///logo"), json!({"uri": "net:///logo", "blob": "iVBORwA="}));
    assert_eq!(served.read_resource("net:///up")["text"], "up\n");
    assert_eq!(served.read_resource("net:///of/a%20b")["text"], "-- a b\n");
    for (uri, words) in [
        ("net:///big", "more than 100 bytes; `bytesMax`"),
        ("net:///null", "not a regular file"),
        ("net:///much", "more than 5 bytes (bytesMax)"),
        ("net:///fails", "`fails` failed with exit code 1"),
    ] {
        let error = served.read_resource(uri);
        assert!(error["message"].as_str().unwrap().contains(words), "{uri}: {error}");
    }
    assert_eq!(served.read_resource("net:///gone")["code"], served.read_resource("net:///never")["code"]);
    served.end();
}

#[test]
fn a_folder_serves_its_files_and_nothing_else() {
    let folder = Folder::new("folder");
    for (name, text) in [
        ("docs/a.md", "# A"),
        ("docs/sub/deep/b c.txt", "deep"),
        ("docs/100%25.txt", "percent"),
        ("docs/é.txt", "é"),
        ("docs/.hidden", "hidden"),
        ("docs/.git/config", "hidden"),
        ("docs/-rf", "dash"),
        ("secret", "secret"),
        ("other/x", "secret"),
    ] {
        folder.write(name, text);
    }
    let docs = folder.0.join("docs");
    symlink("../secret", docs.join("link")).unwrap();
    symlink("../other", docs.join("linked")).unwrap();
    // Links that stay in the folder are left out, too: one could lead to a dot file, or around in a circle.
    symlink("a.md", docs.join("inside")).unwrap();
    symlink("sub", docs.join("insides")).unwrap();
    symlink(".", docs.join("sub/around")).unwrap();
    assert!(Command::new("mkfifo").arg(docs.join("fifo")).status().unwrap().success());
    let path = folder.manifest(json!({
        "resources": [{"uri": "docs:///d/", "name": "docs", "directory": "docs", "bytesMax": 100}]
    }));
    let mut served = Served::start(&path);
    for (uri, text, media_type) in [
        ("docs:///d/a.md", "# A", "text/markdown"),
        ("docs:///d/sub/deep/b%20c.txt", "deep", "text/plain"),
        ("docs:///d/100%2525.txt", "percent", "text/plain"),
        ("docs:///d/%C3%A9.txt", "é", "text/plain"),
        ("docs:///d/-rf", "dash", "text/plain"),
        ("docs:///d/sub/../a.md", "# A", "text/markdown"),
    ] {
        let contents = served.read_resource(uri);
        assert_eq!((&contents["text"], &contents["mimeType"]), (&json!(text), &json!(media_type)), "{uri}");
    }
    let listed = served.ask("resources/list", json!({}))["result"]["resources"].clone();
    let uris: Vec<&Value> = listed.as_array().unwrap().iter().map(|resource| &resource["uri"]).collect();
    let all = ["%C3%A9.txt", "-rf", "100%2525.txt", "a.md", "sub/deep/b%20c.txt"]
        .map(|path| format!("docs:///d/{path}"));
    assert_eq!(uris, all.iter().collect::<Vec<_>>());
    assert_eq!(listed[0]["name"], "é.txt");
    assert_eq!(listed[3]["mimeType"], "text/markdown");
    let unknown = served.read_resource("docs:///d/none");
    for uri in [
        "docs:///d/",
        "docs:///d",
        "docs:///d/sub",
        "docs:///d/sub/",
        "docs:///d/.hidden",
        "docs:///d/%2Ehidden",
        "docs:///d/.git/config",
        "docs:///d/../secret",
        "docs:///d/%2e%2e/secret",
        "docs:///d/..%2fsecret",
        "docs:///d/..%5csecret",
        "docs:///d/sub/%2e%2e/%2e%2e/secret",
        "docs:///d/link",
        "docs:///d/linked/x",
        "docs:///d/inside",
        "docs:///d/insides/deep/b%20c.txt",
        "docs:///d/sub/around/deep/b%20c.txt",
        "docs:///d/fifo",
        "docs:///d//a.md",
        "docs:///d/%2Fetc/passwd",
        "docs:///d/a.md%00",
        "docs:///d/a.md/",
        "docs:///d/A.MD",
        "docs:///d/a.md%2F..%2Fa.md",
        "docs:///d/sub%2Fdeep",
        "docs:///d/%ff",
        "docs:///d/a.md/x",
    ] {
        let error = served.read_resource(uri);
        assert_eq!(error["code"], unknown["code"], "{uri}: {error}");
        assert!(error.get("text").is_none(), "{uri}: {error}");
    }
    // What takes the place of a folder, while it is served, leads nowhere either.
    fs::rename(docs.join("sub"), folder.0.join("moved")).unwrap();
    symlink("../other", docs.join("sub")).unwrap();
    assert_eq!(served.read_resource("docs:///d/sub/x")["code"], unknown["code"]);
    fs::rename(&docs, folder.0.join("old")).unwrap();
    symlink("other", &docs).unwrap();
    assert_ne!(served.read_resource("docs:///d/x")["text"], "secret");
    served.end();
}

#[test]
fn prompts_are_texts_with_arguments() {
    let folder = Folder::new("prompts");
    let path = folder.manifest(json!({
        "prompts": [
            {"name": "slow", "title": "Slow", "description": "Why is it slow?", "text": "Why is {host} slow? {{x}} {note}",
             "arguments": [{"name": "host", "title": "Host", "description": "Which", "required": true, "completions": ["alpha", "Beta", "alps"]}, {"name": "note"}]},
            {"name": "both", "description": "A dialogue", "messages": [{"role": "user", "text": "Hi"}, {"role": "assistant", "text": "Hello"}]}
        ]
    }));
    let mut served = Served::start(&path);
    let listed = served.ask("prompts/list", json!({}))["result"]["prompts"].clone();
    assert_eq!(
        listed[0]["arguments"][0],
        json!({"name": "host", "title": "Host", "description": "Which", "required": true})
    );
    let get = |served: &mut Served, name: &str, arguments: Value| {
        served.ask("prompts/get", json!({"name": name, "arguments": arguments}))
    };
    let answer = get(&mut served, "slow", json!({"host": "a{b}"}));
    assert_eq!(answer["result"]["messages"][0]["content"]["text"], "Why is a{b} slow? {x} ");
    let answer = get(&mut served, "both", json!({}));
    let roles: Vec<&Value> =
        answer["result"]["messages"].as_array().unwrap().iter().map(|message| &message["role"]).collect();
    assert_eq!(roles, ["user", "assistant"]);
    for (arguments, words) in [
        (json!({}), "argument `host` is missing"),
        (json!({"host": 1}), "argument `host` must be text"),
        (json!({"host": "a", "hots": "b"}), "unknown argument `hots`; it has host, note"),
    ] {
        let answer = get(&mut served, "slow", arguments);
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(words), "{answer}");
    }
    let answer = served.ask(
        "completion/complete",
        json!({"ref": {"type": "ref/prompt", "name": "slow"}, "argument": {"name": "host", "value": "al"}}),
    );
    assert_eq!(answer["result"]["completion"]["values"], json!(["alpha", "alps"]));
    served.end();
}

/// How many processes have this text in their command line.
fn running(mark: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        path.file_name()?.to_str()?.parse::<u32>().ok()?;
        fs::read(path.join("cmdline")).ok()
    });
    processes.filter(|command| String::from_utf8_lossy(command).contains(mark)).count()
}

#[test]
fn a_cancelled_command_is_ended_and_so_are_those_of_a_server_that_ends() {
    let mark = format!("987{}.5", std::process::id());
    let folder = Folder::new("cancel");
    let path = folder.manifest(json!({
        "tools": [{"name": "sleep", "description": "Sleep", "argv": ["/bin/sleep", mark], "timeoutMs": 100_000}]
    }));
    let mut served = Served::start(&path);
    let id = served.send("tools/call", json!({"name": "sleep"}));
    wait_until("it runs", || running(&mark) > 0);
    served.tell(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}}));
    wait_until("it is ended", || running(&mark) == 0);

    for signal in ["TERM", "KILL"] {
        served.send("tools/call", json!({"name": "sleep"}));
        wait_until("it runs again", || running(&mark) > 0);
        served.guard.signal(signal);
        wait_until("it ends with its server", || running(&mark) == 0);
        served = Served::start(&path);
    }
    served.end();
}

#[test]
fn so_many_commands_of_a_tool_run_at_once_and_the_others_wait() {
    let folder = Folder::new("places");
    let gate = |number: usize| folder.0.join(format!("gate{number}"));
    for number in 0..5 {
        assert!(Command::new("mkfifo").arg(gate(number)).status().unwrap().success());
    }
    let wait = json!({
        "name": "wait", "description": "Wait", "concurrency": 2, "cwd": ".",
        "argv": ["/bin/sh", "-c", "echo x >> log; read line < gate$0; echo $line", "{number}"],
        "inputSchema": schema(json!({"number": {"type": "integer", "minimum": 0, "maximum": 4}}), &["number"])
    });
    let path = folder.manifest(json!({"tools": [wait]}));
    let mut served = Served::start(&path);
    let call = |number: u32| json!({"name": "wait", "arguments": {"number": number}});
    let ids: Vec<u32> = (0..5).map(|number| served.send("tools/call", call(number))).collect();
    let log = folder.0.join("log");
    let begun = || fs::read_to_string(&log).map_or(0, |text| text.lines().count());
    wait_until("two begin", || begun() == 2);
    // One that waits is cancelled: it never begins.
    served.tell(
        &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": ids[3]}}),
    );
    served.ask("ping", json!({}));
    assert_eq!(begun(), 2);
    for (number, more) in [(0, 3), (1, 4), (2, 4), (4, 4)] {
        fs::write(gate(number), format!("{number}\n")).unwrap();
        assert_eq!(served.answer(ids[number])["result"]["content"][0]["text"], format!("{number}\n"));
        wait_until("the next begins", || begun() == more);
    }
    served.end();
}

/// A SIGHUP that comes before the server runs ends nothing.
#[test]
fn a_hangup_while_the_manifest_is_read_is_kept() {
    let folder = Folder::new("early");
    let path = folder.0.join("m.json");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
    command.arg("serve").arg(&path).arg("--stdio").stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut guard = Guard(command.spawn().unwrap());
    // Opened once the program opens it.
    let mut manifest = std::fs::File::options().write(true).open(&path).unwrap();
    guard.signal("HUP");
    manifest
        .write_all(br#"{"manifest": 1, "prompts": [{"name": "p", "description": "P", "text": "t"}]}"#)
        .unwrap();
    drop(manifest);
    let said = lines_of(guard.0.stderr.take().unwrap());
    while !said.recv_timeout(PATIENCE).expect("the hangup").contains("is not read again") {}
    drop(guard.0.stdin.take());
    assert_eq!(guard.exit_code(), Some(0));
}

#[test]
fn a_manifest_is_read_again() {
    let folder = Folder::new("reload");
    let gate = folder.0.join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let old = script("wait", "read line < gate; echo old", json!({"cwd": "."}));
    let hello = |name: &str| json!({"name": name, "description": "Hello", "argv": ["/bin/echo", "hello"]});
    let path = folder.manifest(json!({"tools": [old, hello("one")]}));
    let mut served = Served::start(&path);
    let said = lines_of(served.guard.0.stderr.take().unwrap());
    let next_line = |words: &str| while !said.recv_timeout(PATIENCE).expect(words).contains(words) {};
    let id = served.send("tools/call", json!({"name": "wait"}));
    served.ask("ping", json!({}));
    // A broken one keeps the old one running.
    folder.manifest(json!({"tools": [{"name": "two"}]}));
    served.guard.signal("HUP");
    next_line("what was read before stays in force");
    assert_eq!(served.text("one", json!({})), "hello\n");
    // A pipe in its place is not waited for: the thread that would wait is the one that handles signals.
    fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    served.guard.signal("HUP");
    next_line("is not a regular file or a folder");
    fs::remove_file(&path).unwrap();

    let new = script("wait", "echo new", json!({}));
    folder.manifest(
        json!({"tools": [new, hello("two")], "prompts": [{"name": "p", "description": "P", "text": "p"}]}),
    );
    served.guard.signal("HUP");
    next_line("was read again");
    served.wait(|message| message["method"] == "notifications/tools/list_changed");
    served.wait(|message| message["method"] == "notifications/prompts/list_changed");
    let tools = served.ask("tools/list", json!({}))["result"]["tools"].clone();
    let names: Vec<&Value> = tools.as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["wait", "two"]);
    assert_eq!(served.text("wait", json!({})), "new\n");
    assert_eq!(served.ask("tools/call", json!({"name": "one"}))["error"]["code"], -32602);
    // The call from before ends as it began.
    fs::write(&gate, "go\n").unwrap();
    assert_eq!(served.answer(id)["result"]["content"][0]["text"], "old\n");
    drop(served.input.take());
    assert_eq!(served.guard.exit_code(), Some(0));
}

#[test]
fn a_file_that_is_subscribed_to_is_watched() {
    let folder = Folder::new("watch");
    folder.write("motd", "one");
    folder.write("docs/a.txt", "one");
    let path = folder.manifest(json!({
        "resources": [{"uri": "net:///motd", "name": "motd", "file": "motd"}, {"uri": "docs:///", "name": "docs", "directory": "docs"}]
    }));
    let mut served = Served::start(&path);
    for uri in ["net:///motd", "docs:///a.txt"] {
        assert!(served.ask("resources/subscribe", json!({"uri": uri}))["result"].is_object());
    }
    for round in ["two", "threefold"] {
        for (name, uri) in [("motd", "net:///motd"), ("docs/a.txt", "docs:///a.txt")] {
            folder.write(name, round);
            served.wait(|message| {
                message["method"] == "notifications/resources/updated" && message["params"]["uri"] == uri
            });
            assert_eq!(served.read_resource(uri)["text"], round);
        }
    }
    fs::remove_file(folder.0.join("motd")).unwrap();
    served.wait(|message| message["method"] == "notifications/resources/updated");
    served.end();
}

#[test]
fn only_its_principals_see_an_item() {
    let folder = Folder::new("principals");
    let (ada, bob) = ("a".repeat(32), "b".repeat(32));
    let tokens = folder.write("tokens", format!("ada:{ada}\nbob:{bob}\n"));
    fs::set_permissions(&tokens, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let path = folder.manifest(json!({
        "server": {"tokenFile": "tokens", "listen": ["127.0.0.1:0"], "limits": {"body_bytes_max": "4KiB"}},
        "groups": {"admins": ["ada"]},
        "tools": [
            {"name": "all", "description": "All", "argv": ["/bin/echo", "all"]},
            {"name": "reboot", "description": "Reboot", "argv": ["/bin/echo", "reboot"], "principals": ["admins"]}
        ],
        "resources": [{"uri": "net:///keys", "name": "keys", "file": "tokens", "principals": ["admins"]}],
        "prompts": [{"name": "audit", "description": "Audit", "text": "Audit.", "principals": ["ada"]}]
    }));
    let running = super::Running::start(&["serve", &path]);
    assert!(
        running.said.contains("mcp-rill serves a manifest (2 tools, 1 resource, 1 prompt) on"),
        "{}",
        running.said
    );
    let ask = |token: &str, method: &str, name: &str, mut params: Value| {
        params["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {}});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let name = if name.is_empty() { String::new() } else { format!("Mcp-Name: {name}\r\n") };
        let head = format!(
            "Authorization: Bearer {token}\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n{name}Connection: close\r\nHost:"
        );
        let request = super::post("/mcp", &body).replacen("Host:", &head, 1);
        let mut socket = super::connect(running.addr());
        socket.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        text.split("\r\n\r\n").nth(1).unwrap().to_owned()
    };
    let listed = |token: &str, method: &str| ask(token, method, "", json!({}));
    assert!(listed(&ada, "tools/list").contains("reboot") && !listed(&bob, "tools/list").contains("reboot"));
    assert!(
        listed(&ada, "resources/list").contains("keys") && !listed(&bob, "resources/list").contains("keys")
    );
    assert!(
        listed(&ada, "prompts/list").contains("audit") && !listed(&bob, "prompts/list").contains("audit")
    );
    let call = |token: &str, name: &str| ask(token, "tools/call", name, json!({"name": name}));
    assert!(call(&ada, "reboot").contains("reboot\\n") && call(&bob, "all").contains("all\\n"));
    assert_eq!(call(&bob, "reboot"), call(&bob, "rebool").replace("rebool", "reboot"));
    let read = |token: &str, uri: &str| ask(token, "resources/read", uri, json!({"uri": uri}));
    assert!(read(&ada, "net:///keys").contains("ada:"));
    assert_eq!(read(&bob, "net:///keys"), read(&bob, "net:///kezs").replace("kezs", "keys"));
}

#[test]
fn options_win_over_the_manifest_and_folders_are_read_as_one() {
    let folder = Folder::new("flags");
    let tool = |name: &str| json!({"name": name, "description": "T", "argv": ["/bin/echo", name]});
    let server = json!({"name": "two", "listen": ["192.0.2.1:1"], "limits": {"body_bytes_max": 256}});
    folder.write("d/10.json", json!({"manifest": 1, "tools": [tool("first")]}).to_string());
    folder
        .write("d/20.json", json!({"manifest": 1, "server": server, "tools": [tool("second")]}).to_string());
    folder.write("d/README", "no manifest");
    let path = folder.0.join("d");
    let path = path.to_str().unwrap();
    let running =
        super::Running::start(&["serve", path, "--listen", "127.0.0.1:0", "--limit", "body_bytes_max=1KiB"]);
    assert!(running.said.contains("mcp-rill serves two (2 tools) on"), "{}", running.said);
    let long = super::post("/mcp", &"x".repeat(257));
    assert_eq!(running.status(&long), "400", "the limit is not the manifest's");
    let mut served = Served::with(path, "2025-11-25", json!({}), |command| {
        command.args(["--limit", "body_bytes_max=1KiB"]);
    });
    assert_eq!(served.text("first", json!({})) + &served.text("second", json!({})), "first\nsecond\n");
    served.end();

    folder.write("d/30.json", json!({"manifest": 1, "tools": [tool("first")]}).to_string());
    let output = output(&["serve", path, "--stdio"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("10.json") && said.contains("30.json") && said.contains("/tools/0"), "{said}");
}

#[test]
fn standard_input_and_output_need_no_tokens() {
    let folder = Folder::new("tokens");
    let path = folder.manifest(json!({
        "server": {"tokenFile": "nowhere", "listen": ["127.0.0.1:0"]},
        "tools": [{"name": "echo", "description": "Echo", "argv": ["/bin/echo", "hello"]}]
    }));
    let mut served = Served::start(&path);
    assert_eq!(served.text("echo", json!({})), "hello\n");
    served.end();
    let refused = output(&["serve", &path]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("nowhere") && said.contains("No such file"), "{said}");
}

#[cfg(feature = "bridge")]
#[test]
fn servers_beside_items_are_left_out_on_standard_input_and_output() {
    let folder = Folder::new("beside");
    let path = folder.manifest(json!({
        "tools": [{"name": "echo", "description": "Echo", "argv": ["/bin/echo", "hello"]}],
        "mcpServers": {"git": {"command": "/bin/true"}}
    }));
    let mut served = Served::start(&path);
    assert_eq!(served.text("echo", json!({})), "hello\n");
    let said = served.end();
    assert!(
        said.contains("m.json:1:") && said.contains("its mcpServers are left out, `git` among them"),
        "{said}"
    );
}

#[test]
fn the_worst_case_of_a_manifest_is_shown() {
    let folder = Folder::new("limits");
    let path = folder.manifest(json!({
        "server": {"limits": {"buffered_bytes_max": "8MiB", "connections_max": 128, "sessions_max": 64}},
        "tools": [
            {"name": "a", "description": "A", "argv": ["/bin/true"], "concurrency": 3, "outputBytesMax": 1_048_576},
            {"name": "b", "description": "B", "argv": ["/bin/true"], "concurrency": 2}
        ],
        "resources": [{"uri": "net:///m", "name": "m", "file": "m.json", "bytesMax": 1_048_576}]
    }));
    let shown = |arguments: &[&str]| {
        let output = output(&[&["limits"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let has = |text: &str, amount: &str, what: &str| {
        let row =
            text.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what}: {text}"));
        assert!(row.trim_start().starts_with(&format!("{amount} ")), "{row}");
    };
    let text = shown(&[&path]);
    has(&text, "8.0 MiB", "(buffered_bytes_max)");
    has(&text, "5.0 MiB", "output of 5 commands");
    has(&text, "8.0 MiB", "256 calls that wait");
    has(&text, "8.0 MiB", "8 files that are read");
    has(&text, "53.2 MiB", "together");
    has(&text, "10", "of 5 commands, each with a guard");
    has(&text, "16", "(health_connections_max)");
    assert!(text.contains("  32  standard streams, listeners, and a few to spare\n          20  of 5 commands\n\nbounds that are fixed\n"), "{text}");
    // The documentation has each of them.
    let bounds: Vec<&str> = text.split("bounds that are fixed\n").nth(1).unwrap().lines().collect();
    assert!(bounds.len() > 15 && bounds[0].trim_start().starts_with("64  commands_running_max: "), "{text}");
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/manifest.md")).unwrap();
    for bound in bounds {
        let (value, rest) = bound.trim_start().split_once("  ").unwrap();
        let row = format!("| `{}` | {value} |", rest.split(':').next().unwrap());
        assert!(page.contains(&row), "docs/manifest.md has no row {row}");
    }
    if cfg!(feature = "bridge") {
        let bridged = folder.write(
            "bridged.json",
            json!({"manifest": 1, "mcpServers": {
                "a": {"command": "/bin/a"}, "b": {"command": "/bin/b"}, "c": {"command": "/bin/c", "childrenMax": 1000}}})
            .to_string(),
        );
        let text = shown(&[&bridged]);
        has(&text, "4.4 MiB", "1128 bridged processes (childrenMax of mcpServers)");
        has(&text, "0.3 MiB", "two buffers for the messages of each of mcpServers (turn_bytes_max)");
        has(&text, "1", "what starts bridged processes");
        has(&text, "2256", "of 1128 bridged processes, each with a guard");
        assert!(text.contains("\n        7896  of 1128 bridged processes\n"), "{text}");
    }
    let text = shown(&[&path, "--limit", "buffered_bytes_max=16MiB"]);
    has(&text, "16.0 MiB", "(buffered_bytes_max)");
    // More than a word of 32 bits can count.
    let large = folder.write(
        "large.json",
        json!({"manifest": 1, "resources": [{"uri": "net:///l", "name": "l", "file": "l.json", "bytesMax": 1 << 30}]})
            .to_string(),
    );
    let text = shown(&[&large, "--limit", "buffered_bytes_max=1GiB"]);
    has(&text, "1024.0 MiB", "(buffered_bytes_max)");
    has(&text, "8192.0 MiB", "8 files that are read");
    has(&text, "14083.0 MiB", "together");
    let text = shown(&[]);
    has(&text, "115.0 MiB", "together");
    assert!(!text.contains("with a guard"), "the demo runs no commands: {text}");
}

#[test]
fn a_dry_run_shows_what_would_run() {
    let folder = Folder::new("dry");
    let ran = folder.0.join("ran");
    let path = folder.manifest(json!({
        "defaults": {"env": {"A": "1"}},
        "tools": [{
            "name": "touch", "description": "Touch", "argv": ["/usr/bin/touch", "--", "{file}", ["-d", "{when}"]],
            "stdin": "{*:json}", "cwd": ".", "confirm": "Really?", "exitCodes": [0, 2], "timeoutMs": 1500, "concurrency": 1,
            "outputBytesMax": 100, "output": {"mimeType": "image/png"}, "rlimits": {"cpuSeconds": 3},
            "inputSchema": schema(json!({"file": {"type": "string", "maxLength": 200}, "count": {"type": "integer", "default": 7},
                "when": {"type": "string", "enum": ["now"]}}), &["file"])
        }]
    }));
    let dry = |arguments: &[&str]| {
        let output = output(&[&["call", &path], arguments, &["--dry-run"]].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let file = ran.to_str().unwrap();
    let (code, line, _) = dry(&["touch", &format!("file={file}")]);
    assert_eq!((code, line.lines().count()), (Some(0), 1), "{line}");
    let shown: Value = serde_json::from_str(&line).unwrap();
    let input = format!("{{\"file\":\"{file}\",\"count\":7}}");
    assert_eq!(
        shown,
        json!({
            "argv": ["/usr/bin/touch", "--", file], "env": {"A": "1"}, "cwd": folder.0, "stdin": input, "confirm": "Really?",
            "output": {"mimeType": "image/png"}, "timeoutMs": 1500, "outputBytesMax": 100, "concurrency": 1, "exitCodes": [0, 2],
            "rlimits": {"cpuSeconds": 3}
        })
    );
    assert!(!ran.exists(), "nothing is run");
    let (code, line, said) = dry(&["touch", &format!("file={}", "x".repeat(201))]);
    assert!(code == Some(5) && line.is_empty() && said.contains("argument `file`"), "{said}");
    let (code, _, said) = dry(&["tuch", "file=x"]);
    assert!(code == Some(2) && said.contains("did you mean `touch`?"), "{said}");
    let elsewhere = output(&["call", "http://127.0.0.1:1/mcp", "touch", "--dry-run"]);
    assert_eq!(elsewhere.status.code(), Some(2));
    assert!(
        String::from_utf8(elsewhere.stderr).unwrap().contains("--dry-run is about the tools of a manifest")
    );
}

#[test]
fn the_client_in_the_shell_uses_a_manifest_as_its_server() {
    let folder = Folder::new("shell");
    let path = folder.manifest(json!({
        "tools": [{"name": "echo", "description": "Echo", "argv": ["/bin/echo", "{text}"],
            "inputSchema": schema(json!({"text": {"type": "string", "pattern": "^[a-z ]+$"}}), &["text"])}],
        "resources": [{"uri": "net:///up", "name": "up", "argv": ["/bin/echo", "up"]}]
    }));
    let done = |arguments: &[&str]| {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(done(&["call", &path, "echo", "text=hello there"]), "hello there\n");
    assert_eq!(done(&["read", &path, "net:///up"]), "up\n");
    assert!(done(&["list", &path, "tools"]).starts_with("echo(text: string)"));
    let failed = output(&["call", &path, "echo", "text=NO"]);
    assert_eq!(failed.status.code(), Some(5));
}

/// A server whose one tool runs once at a time, for as long as the test wants, and is running.
fn occupied(folder: &Folder, stdin: bool) -> Served {
    let mut tool = json!({"name": "sleep", "description": "Sleep", "argv": ["/bin/sleep", "600"], "concurrency": 1,
        "timeoutMs": 600_000, "inputSchema": schema(json!({"text": {"type": "string", "default": ""}}), &[])});
    if stdin {
        tool["stdin"] = json!("{text}");
    }
    let path = folder.manifest(json!({"tools": [tool], "resources": []}));
    let mut served = Served::with(&path, "2025-11-25", json!({}), |command| {
        command.args(["--limit", "calls_max=500", "--limit", "buffered_bytes_max=256MiB"]);
    });
    served.send("tools/call", json!({"name": "sleep"}));
    served
}

#[test]
fn so_many_calls_wait_for_a_command() {
    let folder = Folder::new("waiting");
    let mut served = occupied(&folder, false);
    for _ in 0..256 {
        served.send("tools/call", json!({"name": "sleep"}));
    }
    let busy = served.failure("sleep", json!({}));
    assert_eq!(
        busy,
        "`sleep` did not run: busy: only 1 of it may run at once (concurrency), and 256 calls wait already (waiting_calls_max); call again later"
    );
    assert!(served.others.is_empty(), "all others wait: {:?}", served.others);
    // The place of one that is cancelled is free again.
    served.tell(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 10}}));
    served.send("tools/call", json!({"name": "sleep"}));
    assert!(served.failure("sleep", json!({})).contains("busy"));
    assert!(served.others.is_empty(), "{:?}", served.others);
}

#[test]
fn so_many_bytes_of_calls_wait_for_a_command() {
    let folder = Folder::new("waiting-bytes");
    let mut served = occupied(&folder, true);
    // Of each call 13 bytes are the command line.
    let text = "x".repeat((1 << 20) - 13);
    for _ in 0..8 {
        served.send("tools/call", json!({"name": "sleep", "arguments": {"text": text}}));
    }
    assert!(
        served.failure("sleep", json!({"text": ""})).contains("more than 8388608 bytes (waiting_bytes_max)")
    );
    assert!(served.others.is_empty(), "all others wait: {:?}", served.others);
}
