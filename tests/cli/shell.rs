//! The verbs of the client, as a shell meets them: what they write where, and their exit codes.

use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::{ANY, Guard, PATIENCE, Running};

/// Runs the program with this on its standard input.
fn run_with(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mcp-rill"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    super::collect(Guard(child))
}

/// Runs the program: its exit code, standard output and standard error.
pub(super) fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = run_with(arguments, "");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// What it writes when all goes well.
pub(super) fn done(arguments: &[&str]) -> String {
    let (code, out, err) = run(arguments);
    assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}: {out}");
    out
}

/// The one line of an error; nothing is on standard output.
pub(super) fn error(code: i32, arguments: &[&str]) -> String {
    let (found, out, err) = run(arguments);
    assert_eq!((found, out.as_str()), (code, ""), "{arguments:?}: {err}");
    assert!(err.starts_with("mcp-rill: ") && err.ends_with('\n') && err.lines().count() == 1, "{err:?}");
    err
}

fn parse(line: &str) -> Value {
    assert!(line.ends_with('\n') && line.lines().count() == 1, "not one line: {line:?}");
    serde_json::from_str(line).unwrap()
}

/// A folder of a test's own.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rills{}-{count}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The demo by each way to it: the words in place of a target, and those at the end of the line.
struct Ways {
    _running: Running,
    folder: Folder,
    url: String,
}

impl Ways {
    fn new() -> Ways {
        let folder = Folder::new();
        let socket = format!("unix:{}", folder.0.join("s").display());
        let running = Running::start(&[&ANY[..], &["--listen", &socket]].concat());
        let url = running.urls[0].clone();
        folder.write(
            "mcp.json",
            &json!({"mcpServers": {
                "demo": {"command": env!("CARGO_BIN_EXE_mcp-rill"), "args": ["serve", "--stdio"]},
                "far": {"url": url},
            }})
            .to_string(),
        );
        Ways { _running: running, folder, url }
    }

    fn each(&self) -> Vec<(Vec<String>, Vec<String>)> {
        let file = self.folder.0.join("mcp.json").display().to_string();
        let socket = format!("unix://{}#/mcp", self.folder.0.join("s").display());
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        vec![
            (words(&[&self.url]), vec![]),
            (words(&[&self.url, "--era", "2025"]), vec![]),
            (words(&[&self.url.replace("/mcp", "/sse"), "--era", "sse"]), vec![]),
            (words(&[&socket]), vec![]),
            (words(&[&format!("{file}:demo")]), vec![]),
            (words(&[&format!("{file}:far")]), vec![]),
            (vec![], words(&["--", env!("CARGO_BIN_EXE_mcp-rill"), "serve", "--stdio"])),
            (words(&["--era", "2025"]), words(&["--", env!("CARGO_BIN_EXE_mcp-rill"), "serve", "--stdio"])),
        ]
    }

    /// What a verb writes, which has to be the same by each way.
    fn same(&self, verb: &str, words: &[&str]) -> String {
        let mut all: Vec<String> = self
            .each()
            .iter()
            .map(|(before, after)| {
                let before = before.iter().map(String::as_str);
                let after = after.iter().map(String::as_str);
                let line: Vec<&str> =
                    [verb].into_iter().chain(before).chain(words.iter().copied()).chain(after).collect();
                done(&line)
            })
            .collect();
        all.dedup();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }
}

#[test]
fn a_list_has_a_line_for_each_item() {
    let ways = Ways::new();
    let list = ways.same("list", &[]);
    for line in [
        "add(a: number, b: number)  Add two numbers",
        "countdown(seconds?: integer = 5)  Count down, one step a second",
        "demo:///about  about  What the demo offers",
        "demo:///hello/{name}  hello  A greeting",
        "summarize(text, style?)  Ask for a summary of a text",
    ] {
        assert!(list.lines().any(|found| found == line), "no {line} in\n{list}");
    }
    assert!(ways.same("list", &["tools"]).lines().all(|line| line.contains('(')));
    assert_eq!(ways.same("list", &["prompts"]).lines().count(), 1);
    assert_eq!(ways.same("list", &["resources"]).lines().count(), 2);
    let json = parse(&done(&["list", &ways.url, "--json"]));
    assert_eq!(json["prompts"][0]["name"], "summarize");
    assert_eq!(json["resourceTemplates"][0]["uriTemplate"], "demo:///hello/{name}");
    assert!(json["tools"].as_array().unwrap().len() > 5 && json["resources"].is_array());
    let bold = done(&["list", &ways.url, "prompts", "--color", "always"]);
    assert!(bold.starts_with("\u{1b}[1msummarize\u{1b}[0m(text"), "{bold:?}");
    assert!(error(2, &["list", &ways.url, "tool"]).contains("did you mean tools?"));
    assert!(error(2, &["list", &ways.url, "tools", "more"]).contains("unexpected argument `more`"));
}

#[test]
fn a_call_writes_the_result_and_nothing_else() {
    let ways = Ways::new();
    assert_eq!(ways.same("call", &["add", "a=1", "b=2.5"]), "3.5\n");
    assert_eq!(ways.same("call", &["echo", "text=007"]), "007\n");
    let url = ways.url.as_str();
    assert_eq!(done(&["call", url, "echo", "text:=\"a\\nb\""]), "a\nb\n");
    assert_eq!(done(&["call", url, "echo", "--json-args", r#"{"text":"x"}"#]), "x\n");
    let file = ways.folder.write("text", "from a file\n");
    assert_eq!(done(&["call", url, "echo", &format!("text=@{file}")]), "from a file\n");
    let piped = run_with(&["call", url, "echo", "-"], r#"{"text":"piped"}"#);
    assert_eq!(piped.stdout, b"piped\n");
    let result = parse(&done(&["call", url, "count", "text=a b", "--json"]));
    assert_eq!(result["structuredContent"], json!({"lines": 1, "words": 2, "characters": 3}));

    // A word that begins with dashes is a value, if it stands behind a name.
    assert_eq!(done(&["call", url, "echo", "text=--json"]), "--json\n");
    let out = ways.folder.0.join("out").display().to_string();
    assert_eq!(done(&["call", url, "echo", "text=x", "-o", &out]), "");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "x\n");
}

#[test]
fn contents_of_every_type_go_into_a_pipe_and_a_file() {
    let ways = Ways::new();
    let out = ways.folder.0.join("out").display().to_string();
    let piped = run_with(&["call", &ways.url, "samples"], "");
    assert_eq!(done(&["call", &ways.url, "samples", "--output", &out]), "");
    assert_eq!(std::fs::read(&out).unwrap(), piped.stdout);
    let contains = |part: &[u8]| piped.stdout.windows(part.len()).any(|window| window == part);
    assert!(piped.stdout.starts_with(b"A text.\n\x89PNG\r\n\x1a\n"));
    assert!(contains(b"RIFF") && contains(b"An embedded text.") && contains(b"demo:///about  about\n"));
    let json = parse(&done(&["call", &ways.url, "samples", "--json"]));
    let kinds: Vec<&str> =
        json["content"].as_array().unwrap().iter().map(|content| content["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["text", "image", "audio", "resource", "resource_link"]);
}

/// Runs the program at a terminal of its own (`script` makes one), where this is typed. Returns exit code and screen.
#[cfg(target_os = "linux")]
pub(super) fn at_terminal(arguments: &[&str], typed: &str) -> (i32, String) {
    let words: Vec<String> = arguments.iter().map(|word| format!("'{word}'")).collect();
    let line = format!("'{}' {}", env!("CARGO_BIN_EXE_mcp-rill"), words.join(" "));
    let mut child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = super::collect(Guard(child));
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap().replace('\r', ""))
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_is_told_what_bytes_are() {
    let ways = Ways::new();
    let (code, screen) = at_terminal(&["call", &ways.url, "samples"], "");
    assert_eq!(code, 0);
    assert!(screen.contains("[image image/png, 69 bytes; -o FILE writes it to a file]"), "{screen}");
    assert!(screen.contains("[audio audio/wav, 52 bytes"), "{screen}");
    // Names stand out there.
    assert!(at_terminal(&["list", &ways.url, "prompts"], "").1.contains("\u{1b}[1msummarize\u{1b}[0m"));
    let (_, screen) = at_terminal(&["call", &ways.url, "echo", "text:=\"a\\u001b[2Jb\""], "");
    assert!(screen.contains("a\\u{1b}[2Jb"), "{screen:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn questions_are_asked_at_a_terminal() {
    let ways = Ways::new();
    let ask = ["call", &ways.url, "ask"];
    let (code, screen) = at_terminal(&ask, "Ada\ny\n");
    assert!(
        code == 0 && screen.contains("What is your name?\nname, What people call you. (string): "),
        "{screen}"
    );
    assert!(screen.ends_with("Hello, Ada!\n"), "{screen}");
    assert!(at_terminal(&ask, "Ada\nn\n").1.ends_with("Hello, whoever you are!\n"));
    // The end of the input, instead of an answer.
    let (code, screen) = at_terminal(&ask, "");
    assert!(
        code == 1 && screen.contains("the question `What is your name?` was not answered"),
        "{code} {screen}"
    );
    // An answer that is given is not asked for.
    let (code, screen) = at_terminal(&[&ask[..], &["--answer", "name=Ada"]].concat(), "");
    assert_eq!((code, screen.as_str()), (0, "Hello, Ada!\n"));
}

#[cfg(target_os = "linux")]
#[test]
fn progress_is_a_bar_at_a_terminal() {
    let ways = Ways::new();
    let (code, screen) = at_terminal(&["call", &ways.url, "countdown", "seconds=1"], "");
    let bar = format!("\u{1b}[K[{}] 0/1", " ".repeat(30));
    assert!(code == 0 && screen.ends_with(&format!("{bar}\u{1b}[KLift-off\n")), "{screen:?}");
}

#[test]
fn wrong_arguments_are_mistakes_of_usage() {
    let ways = Ways::new();
    let url = ways.url.as_str();
    for (words, why) in [
        (&["ad", "a=1"][..], "the server has no tool `ad`; did you mean `add`?"),
        (&["nothing-like-it"], "no tool `nothing-like-it`; `list` shows what it has"),
        (&["add", "a=one", "b=2"], "the argument a: `one` is not a number"),
        (&["add", "a=1"], "the tool `add` needs b=… (number)"),
        (&["add", "a=1", "b=2", "c=3"], "no argument `c`; it has a, b"),
        (&["add", "a"], "`a` has no value; write K=V"),
        (&["echo", "--json-args", "["], "--json-args: it is not JSON"),
        (&["echo", "--jsn"], "no option --jsn; did you mean --json?"),
        (&["echo", "--count", "2"], "this verb has no option --count"),
        (&["echo", "-x"], "no option -x"),
        (&["echo", "--era", "2024"], "--era 2024: write 2026, 2025, sse or auto"),
        (&["echo", "--timeout", "soon"], "--timeout soon: write a time"),
        (&["echo", "--timeout", "0"], "--timeout 0: write a time"),
        (&["echo", "--timeout", "1s", "--timeout", "2s"], "--timeout is given twice"),
        (&["echo", "--answer", "x"], "--answer x: write K=V"),
        (&["echo", "--answer", "x=y", "--decline"], "contradict each other"),
        (&["echo", "--header", "Secret"], "--header: a header field is written `Name: value`"),
        (&["echo", "--header", "Host: x", "text=a"], "`Host` is set by the client itself"),
        (&["echo", "--header-file", "/no/such/file", "text=a"], "--header-file /no/such/file: No such file"),
        (&["echo", "text=a", "-o", "/no/such/folder/file"], "--output /no/such/folder/file: No such file"),
        (&[], "TOOL is missing"),
    ] {
        let said = error(2, &[&["call", url], words].concat());
        assert!(said.contains(why), "{words:?}: {said}");
    }
    assert!(error(2, &["call"]).contains("TARGET is missing"));
    assert!(error(2, &["call", "echo", "--"]).contains("no command after --"));
    assert!(error(2, &["call", "localhost:3001/mcp", "echo"]).contains("write http://localhost:3001/mcp"));
    assert!(error(2, &["call", "https://localhost/mcp", "echo"]).contains("https is not supported"));
    assert!(error(2, &["call", "--era", "sse", "echo", "--", "true"]).contains("write --era 2025"));
    assert!(error(2, &["call", "--header", "A: b", "echo", "--", "true"]).contains("leave them out"));
    let file = ways.folder.0.join("mcp.json").display().to_string();
    assert!(error(2, &["call", &format!("{file}:dmo"), "echo"]).contains("did you mean `demo`?"));
}

#[test]
fn a_tool_that_fails_has_an_exit_code_of_its_own() {
    let ways = Ways::new();
    let url = ways.url.as_str();
    let said = error(5, &["call", url, "countdown", "seconds=99"]);
    assert!(said.contains("the tool `countdown` failed: ") && said.contains("seconds"), "{said}");
    let (code, out, err) = run(&["call", url, "countdown", "seconds=99", "--json"]);
    assert_eq!(code, 5);
    assert_eq!(parse(&out)["isError"], true);
    assert_eq!(parse(&err)["error"]["exitCode"], 5);
    let said = error(1, &["read", url, "demo:///nothing"]);
    assert!(said.contains("the server answered with an error"), "{said}");
}

#[test]
fn resources_and_prompts_are_written_as_they_are() {
    let ways = Ways::new();
    assert_eq!(ways.same("read", &["demo:///hello/Ada"]), "Hello, Ada!");
    assert!(ways.same("read", &["demo:///about"]).starts_with("# mcp-rill demo\n"));
    let url = ways.url.as_str();
    let json = parse(&done(&["read", url, "demo:///hello/Ada", "--json"]));
    assert_eq!(json["contents"][0]["text"], "Hello, Ada!");
    assert!(error(2, &["read", url]).contains("URI is missing"));

    let prompt = ways.same("prompt", &["summarize", "text=007", "style=points"]);
    assert_eq!(prompt, "user: Summarize the following text in bullet points:\n\n007\n");
    assert_eq!(
        parse(&done(&["prompt", url, "summarize", "text=x", "--json"]))["messages"][0]["role"],
        "user"
    );
    for (words, why) in [
        (&["sumarize"][..], "did you mean `summarize`?"),
        (&["summarize"], "the prompt needs text=…"),
        (&["summarize", "text=x", "stile=y"], "no argument `stile`; did you mean `style`?"),
    ] {
        let said = error(2, &[&["prompt", url], words].concat());
        assert!(said.contains(why), "{words:?}: {said}");
    }
}

#[test]
fn completions_are_a_line_each() {
    let ways = Ways::new();
    assert_eq!(ways.same("complete", &["summarize", "style=p"]), "points\n");
    assert_eq!(ways.same("complete", &["summarize", "style="]), "short\npoints\n");
    assert_eq!(done(&["complete", &ways.url, "demo:///hello/{name}", "name=A"]), "");
    let json = parse(&done(&["complete", &ways.url, "summarize", "style=", "--json"]));
    assert_eq!(json["completion"]["values"], json!(["short", "points"]));
    assert!(error(2, &["complete", &ways.url, "summarize", "style"]).contains("write ARGUMENT=PREFIX"));
}

#[test]
fn a_ping_says_how_long_it_took() {
    let ways = Ways::new();
    for (before, after) in ways.each() {
        let line: Vec<&str> = ["ping", "--count", "2"]
            .into_iter()
            .chain(before.iter().chain(&after).map(String::as_str))
            .collect();
        let said = done(&line);
        assert!(
            said.starts_with("answer 1: ") && said.contains("\nanswer 2: ") && said.contains("\nleast "),
            "{said}"
        );
    }
    let json = parse(&done(&["ping", &ways.url, "--json", "--count", "3"]));
    assert_eq!(json["answersMs"].as_array().unwrap().len(), 3);
    assert!(error(2, &["ping", &ways.url, "--count", "0"]).contains("write a whole number"));
}

#[test]
fn questions_are_answered_by_options() {
    let ways = Ways::new();
    assert_eq!(ways.same("call", &["ask", "--answer", "name=Ada"]), "Hello, Ada!\n");
    assert_eq!(ways.same("call", &["ask", "--decline"]), "Hello, whoever you are!\n");
    for (before, after) in ways.each() {
        let line: Vec<&str> = ["call"]
            .into_iter()
            .chain(before.iter().map(String::as_str))
            .chain(["ask"])
            .chain(after.iter().map(String::as_str))
            .collect();
        let said = error(1, &line);
        assert!(said.contains("the server asks: `What is your name?` (name: string)"), "{said}");
        assert!(said.contains("answer with --answer name=…, or with --decline"), "{said}");
    }
    let (code, out, err) = run(&["call", &ways.url, "ask", "--json"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(parse(&err)["error"]["message"].as_str().unwrap().contains("What is your name?"));
    // An answer to something else is none.
    assert!(error(1, &["call", &ways.url, "ask", "--answer", "nam=Ada"]).contains("--answer name=…"));
}

#[test]
fn progress_goes_to_standard_error() {
    let ways = Ways::new();
    let (code, out, err) = run(&["call", &ways.url, "countdown", "seconds=1"]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "Lift-off\n", "0/1\n"));
    let (code, out, err) = run(&["call", &ways.url, "countdown", "seconds=1", "--json"]);
    assert_eq!((code, err.as_str()), (0, ""));
    parse(&out);
}

#[test]
fn a_token_comes_from_a_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let secret = |name: &str, text: &str, mode: u32| {
        let path = folder.write(name, text);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let tokens = secret("tokens", "ada:0123456789abcdef0123456789abcdef\n", 0o600);
    let running = Running::start(&[&ANY[..], &["--token-file", &tokens]].concat());
    let url = running.urls[0].as_str();
    let said = error(3, &["list", url]);
    assert!(said.contains("401 Unauthorized") && said.contains("give a token with --token-file"), "{said}");
    let right = secret("right", "0123456789abcdef0123456789abcdef\n", 0o600);
    assert!(done(&["list", url, "--token-file", &right]).contains("echo(text: string)"));
    let header = secret("header", "\nAuthorization: Bearer 0123456789abcdef0123456789abcdef\n", 0o600);
    done(&["list", url, "--header-file", &header]);
    let wrong = secret("wrong", "other\n", 0o600);
    error(3, &["list", url, "--token-file", &wrong]);
    for (text, mode, why) in [
        ("a b\n", 0o600, "one token and nothing else"),
        ("", 0o600, "one token"),
        ("ada:x\n", 0o600, "write the token alone"),
        ("x", 0o644, "chmod 600"),
    ] {
        let path = secret("bad", text, mode);
        let (code, _, said) = run(&["list", url, "--token-file", &path]);
        assert!(code == 1 && said.contains(why), "{code} {said}");
    }
}

/// A server that sends these bytes to each client and closes, or that waits for ever after them.
fn server(answer: &'static [u8], stalls: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut head = Vec::new();
            let mut piece = [0; 4096];
            while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                match std::io::Read::read(&mut socket, &mut piece) {
                    Ok(count) if count > 0 => head.extend_from_slice(&piece[..count]),
                    _ => break,
                }
            }
            let _ = socket.write_all(answer);
            if stalls {
                kept.push(socket);
            }
        }
    });
    url
}

#[test]
fn bad_targets_are_one_clear_line() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cases: Vec<(i32, String, &str)> = vec![
        (4, format!("http://{nobody}/mcp"), "cannot connect to http://127.0.0.1"),
        (4, "http://no-such-host.invalid/mcp".to_owned(), "cannot connect to http://no-such-host.invalid: "),
        (4, "unix:///no/such/socket#/mcp".to_owned(), "cannot connect to unix:/no/such/socket: No such file"),
        (4, server(b"", false), "closed the connection without answering"),
        (4, server(b"\x15\x03\x01\x00\x02\x02\x46", false), "the server speaks TLS; https is not supported"),
        (
            4,
            server(b"SSH-2.0-OpenSSH_9.2\r\n", false),
            "does not speak HTTP; its answer begins with `SSH-2.0-OpenSSH_9.2",
        ),
        (
            4,
            server(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>", false),
            "`text/html` instead of",
        ),
        (
            4,
            server(
                b"HTTP/1.1 301 Moved\r\nLocation: http://elsewhere/mcp\r\nContent-Length: 0\r\n\r\n",
                false,
            ),
            "moved to http://elsewhere/mcp; redirects are not followed",
        ),
        (
            3,
            server(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", false),
            "give a token with --token-file",
        ),
        (
            4,
            server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", false),
            "404 to GET: this is not an MCP endpoint; check the path",
        ),
        (
            4,
            server(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", false),
            "503 Service Unavailable: busy",
        ),
        (4, server(b"", true), "did not answer in time (0.3 s; see --timeout)"),
        (4, server(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n", true), "did not answer in time"),
        (
            4,
            server(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
                true,
            ),
            "did not answer in time",
        ),
        (
            4,
            server(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {", true),
            "did not answer in time",
        ),
        (
            4,
            server(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {", false),
            "the stream ended before the answer came",
        ),
        (
            4,
            server(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
                false,
            ),
            "invalid message",
        ),
    ];
    for (code, target, why) in cases {
        let started = std::time::Instant::now();
        let said = error(code, &["list", &target, "--timeout", "300ms"]);
        assert!(said.contains(why), "{target}: {said}");
        assert!(started.elapsed() < PATIENCE);
        let (found, out, err) = run(&["list", &target, "--timeout", "300ms", "--json"]);
        assert_eq!(
            (found, out.as_str(), parse(&err)["error"]["exitCode"].as_i64()),
            (code, "", Some(code.into()))
        );
    }
    for (command, why) in [
        (&["/no/such/program"][..], "cannot start `/no/such/program`: No such file"),
        (&["sh", "-c", "exit 7"], "sh: the server ended with exit code 7"),
        (&["sh", "-c", "exec sleep 60"], "did not answer in time"),
    ] {
        let said = error(4, &[&["list", "--timeout", "300ms", "--"], command].concat());
        assert!(said.contains(why), "{command:?}: {said}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let ways = Ways::new();
    let file = ways.folder.write("long", &"x".repeat(500_000));
    let line = format!(
        "{{ '{}' call '{}' echo text=@{file}; echo \"code $?\" >&2; }} | head -c 1",
        env!("CARGO_BIN_EXE_mcp-rill"),
        ways.url
    );
    let output = Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).output().unwrap();
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"x"[..], &b"code 0\n"[..]));
}

#[test]
fn what_a_server_sends_does_not_steer_a_terminal() {
    let url = server(b"HTTP/1.1 500 X\r\nContent-Length: 11\r\n\r\na\x1b[2J\nb\r\nc\n", false);
    let said = error(4, &["list", &url]);
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

/// A server that is initialized, says something by itself, and ends when its input does.
const TALKER: &str = r#"read -r discover; echo '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}'
    read -r initialize; echo '{"jsonrpc":"2.0","id":2,"result":{"protocolVersion":"2025-11-25","capabilities":{}}}'
    read -r initialized; echo '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'; exit 0"#;

#[test]
fn what_is_watched_has_a_line_for_each_message() {
    let folder = Folder::new();
    let file = folder.0.join("log").display().to_string();
    let (code, out, err) = run(&["watch", "--record", &file, "--", "sh", "-c", TALKER]);
    assert_eq!((code, err.as_str()), (1, "mcp-rill: sh: the server ended with exit code 0\n"));
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.splitn(3, ' ').collect()).collect();
    let arrows: Vec<&str> = lines.iter().map(|line| line[1]).collect();
    assert_eq!(arrows, [">", "<", ">", "<", ">", "<"]);
    assert!(lines.iter().all(|line| line[0].len() == 24 && line[0].ends_with('Z')), "{out}");
    assert_eq!(lines[5][2], r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
    let recorded: Vec<Value> = std::fs::read_to_string(&file)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(recorded.len(), 6);
    assert_eq!((&recorded[0]["direction"], &recorded[5]["direction"]), (&json!("sent"), &json!("received")));
    assert_eq!(recorded[5]["message"]["method"], "notifications/tools/list_changed");

    let (code, out, err) = run(&["watch", "--json", "--", "sh", "-c", TALKER]);
    assert_eq!((code, out.lines().count()), (1, 6));
    assert!(out.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["message"].is_object()));
    assert_eq!(parse(&err)["error"]["exitCode"], 1);
    assert!(
        error(2, &["watch", "--record", "/no/such/folder/file", "--", "true"])
            .contains("--record /no/such/folder/file")
    );
}

#[test]
fn a_watch_ends_with_its_server_or_its_reader() {
    for (path, era, last) in
        [("/mcp", "2026", "the server has ended the subscription"), ("/sse", "sse", "the stream ended")]
    {
        let running = Running::start(&ANY);
        let url = running.urls[0].replace("/mcp", path);
        let mut watch = Command::new(env!("CARGO_BIN_EXE_mcp-rill"))
            .args(["watch", &url, "--era", era])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(watch.stdout.take().unwrap());
        let mut line = String::new();
        // The answer to the last request of the beginning: the subscription, or the level of log messages.
        while !(line.contains(" < ")
            && (line.contains("acknowledged") || line.contains(r#""id":2,"result""#)))
        {
            line.clear();
            assert_ne!(std::io::BufRead::read_line(&mut lines, &mut line).unwrap(), 0);
        }
        running.guard.signal("TERM");
        let mut guard = Guard(watch);
        assert_eq!(guard.exit_code(), Some(1));
        let mut said = String::new();
        std::io::Read::read_to_string(&mut guard.0.stderr.take().unwrap(), &mut said).unwrap();
        assert!(said.contains(last), "{era}: {said}");
    }
    // A server that goes on talking, so that there is something to write after the reader has gone.
    let talker =
        TALKER.replace("exit 0", "while echo '{\"jsonrpc\":\"2.0\",\"method\":\"x\"}'; do sleep 0.01; done");
    let folder = Folder::new();
    let script = folder.write("talker", &talker);
    let line = format!("'{}' watch -- sh '{script}' | head -n 1", env!("CARGO_BIN_EXE_mcp-rill"));
    let output = Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).output().unwrap();
    assert!(output.stdout.ends_with(b"\n") && output.stderr.is_empty(), "{output:?}");
}

/// A server that answers each request, on a connection of its own, with what this makes of head and body; with nothing, and it
/// keeps the client waiting.
fn scripted(answer: impl Fn(&str, &str) -> Option<String> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
            let (head, body) = loop {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length =
                        head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
                    if body.len() >= length.unwrap_or(0) {
                        break (head.to_owned(), body.to_owned());
                    }
                }
                match std::io::Read::read(&mut socket, &mut piece) {
                    Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
                    _ => break (String::new(), String::new()),
                }
            };
            match answer(&head, &body) {
                Some(text) => drop(socket.write_all(text.as_bytes())),
                None => kept.push(socket),
            }
        }
    });
    url
}

fn status(status: u16) -> Option<String> {
    Some(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
}

/// A server of 2026-07-28 that trusts every host, and whose streams a proxy holds back.
fn careless(_: &str, body: &str) -> Option<String> {
    let Ok(request) = serde_json::from_str::<Value>(body) else { return status(405) };
    let result = match request["method"].as_str() {
        Some("server/discover") => {
            json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})
        }
        Some("tools/list") => json!({"tools": []}),
        Some("subscriptions/listen") => return None,
        _ => json!({}),
    };
    Some(json_response(&request, &result))
}

fn json_response(request: &Value, result: &Value) -> String {
    let body = json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_call_does_not_need_the_stream_of_its_session() {
    for stream in [
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\nConnection: close\r\n\r\n<>",
        "HTTP/1.1 500 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: at once\n\n",
    ] {
        let url = scripted(move |_, body| {
            let Ok(request) = serde_json::from_str::<Value>(body) else { return Some(stream.to_owned()) };
            let result = match request["method"].as_str() {
                Some("initialize") => json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}}),
                Some("tools/list") => json!({"tools": [{"name": "t", "inputSchema": {"type": "object"}}]}),
                Some("tools/call") => json!({"content": [{"type": "text", "text": "done"}]}),
                _ => return status(202),
            };
            // The stream ends while the call is open.
            std::thread::sleep(std::time::Duration::from_millis(20));
            Some(json_response(&request, &result))
        });
        assert_eq!(done(&["call", &url, "t", "--era", "2025"]), "done\n");
    }
}

#[test]
fn a_call_that_stalls_or_breaks_is_one_clear_line() {
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: ";
    let json =
        |body: &str| Some(format!("{head}application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    let events = |text: &str| Some(format!("{head}text/event-stream\r\n\r\n{text}"));
    // The socket is closed behind an answer: what is cut off is broken. `None` keeps the client waiting.
    let cases: Vec<(i32, Option<String>, &str)> = vec![
        (1, None, "did not answer in time (0.5 s; see --timeout)"),
        (1, Some(String::new()), "closed the connection without answering"),
        (1, Some("HTTP/1.1 200".to_owned()), "closed the connection in the middle of its answer"),
        (
            1,
            Some(format!("{head}application/json\r\nContent-Length: 9\r\n\r\n{{")),
            "the server's answer ends in the middle",
        ),
        (1, Some("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n".to_owned()), "malformed"),
        (1, json("{"), "invalid message"),
        (1, json("[]"), "invalid message"),
        (1, json(r#"{"jsonrpc":"2.0","id":99,"result":{}}"#), "id"),
        (
            1,
            json(r#"{"jsonrpc":"2.0","id":ID,"result":7}"#),
            "answer to tools/call has no `content` or `structuredContent`",
        ),
        (1, json(r#"{"jsonrpc":"2.0","id":ID,"result":{}}"#), "answer to tools/call has no `content`"),
        (1, json(r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32603,"message":"broken\ntwice"}}"#), "broken"),
        (
            1,
            Some("HTTP/1.1 500 X\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy".to_owned()),
            "500 Internal Server Error: busy",
        ),
        (1, Some(format!("{head}text/html\r\nContent-Length: 6\r\n\r\n<html>")), "`text/html` instead of"),
        (3, status(401), "give a token with --token-file"),
        (1, status(404), "404"),
        (1, events("data: {\"jsonrpc\":"), "the stream ended before the answer came"),
        (1, events(": nothing\n\n"), "the stream ended before the answer came"),
        (1, events("data: no message\n\n"), "the stream ended before the answer came"),
        (
            5,
            json(
                r#"{"jsonrpc":"2.0","id":ID,"result":{"content":[{"type":"text","text":"out of paper"}],"isError":true}}"#,
            ),
            "the tool `t` failed: out of paper",
        ),
    ];
    let mut others = Vec::new();
    for (code, answer, why) in cases {
        let shown = answer.clone();
        let url = scripted(move |_, body| {
            let Ok(request) = serde_json::from_str::<Value>(body) else { return status(405) };
            let result = match request["method"].as_str() {
                Some("initialize") => json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}}),
                Some("tools/list") => json!({"tools": [{"name": "t", "inputSchema": {"type": "object"}}]}),
                Some("tools/call") => {
                    return answer
                        .clone()
                        .map(|text| text.replace("ID", &format!("{:>2}", request["id"].to_string())));
                }
                _ => return status(202),
            };
            Some(json_response(&request, &result))
        });
        let call = ["call", &url, "t", "--era", "2025", "--timeout", "500ms"];
        let (found, _, said) = run(&call);
        if found != code || !said.contains(why) || said.lines().count() != 1 {
            others.push((shown.clone(), found, said));
        }
        let (found, out, said) = run(&[&call[..], &["--json"]].concat());
        let error = serde_json::from_str::<Value>(&said).unwrap_or_default();
        if found != code || error["error"]["exitCode"] != code || out.is_empty() == (code == 5) {
            others.push((shown, found, said));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
}

#[test]
fn a_doctor_finds_nothing_wrong_with_the_demo() {
    let ways = Ways::new();
    for (before, after) in ways.each() {
        let line: Vec<&str> =
            ["doctor"].into_iter().chain(before.iter().chain(&after).map(String::as_str)).collect();
        let said = done(&line);
        assert!(
            said.contains("ok       revision: 202") && said.contains("ok       list: 7 tools in "),
            "{said}"
        );
        assert!(!said.contains("warning") && !said.contains("failed"), "{said}");
    }
    let said = done(&["doctor", &ways.url]);
    let names: Vec<&str> = said.lines().map(|line| line[9..].split(':').next().unwrap()).collect();
    let all =
        ["address", "connect", "HTTP", "authentication", "Host", "Origin", "revision", "list", "first event"];
    assert_eq!(names, all);
    let checks = parse(&done(&["doctor", &ways.url, "--json"]));
    assert_eq!(checks["checks"].as_array().unwrap().len(), all.len());
    assert_eq!(
        checks["checks"][4],
        json!({"name": "Host", "outcome": "ok", "detail": "the one of a stranger is refused with 403"})
    );
}

#[test]
fn a_doctor_has_a_remedy_for_what_fails() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = Folder::new();
    let file = folder.write("file", "");
    for (target, code, name, why) in [
        (format!("http://{nobody}/mcp"), 4, "connect", "is the server running, is that its port"),
        ("http://no-such-host.invalid/mcp".to_owned(), 4, "address", "check the name"),
        (
            format!("unix:{file}#/mcp"),
            4,
            "address",
            "is not a socket; name the path that the server listens on",
        ),
        ("unix:/no/such/socket#/mcp".to_owned(), 4, "address", "is that its path?"),
        (server(b"SSH-2.0-x\r\n", true), 4, "HTTP", "is that the port of a server of HTTP?"),
        (server(b"", true), 4, "HTTP", "is it overloaded, or no server of HTTP?"),
        (
            scripted(|_, _| status(401)),
            3,
            "authentication",
            "the server wants to know who asks; give a token with --token-file",
        ),
        (scripted(|_, _| status(403)), 1, "Host", "allow this name at the server"),
        (scripted(|_, _| status(404)), 4, "revision", "most endpoints have the path /mcp"),
        (scripted(careless), 1, "first event", "a proxy may hold it back: turn its buffering off"),
    ] {
        let (found, out, err) = run(&["doctor", &target, "--timeout", "300ms"]);
        assert_eq!(found, code, "{target}: {out}{err}");
        let failed: Vec<&str> = out.lines().filter(|line| line.starts_with("failed")).collect();
        assert!(
            failed.len() == 1
                && failed[0].starts_with(&format!("failed   {name}: "))
                && failed[0].contains(why),
            "{out}"
        );
        assert!(err.starts_with(&format!("mcp-rill: {name}: ")) && err.lines().count() == 1, "{err}");
        let (found, out, err) = run(&["doctor", &target, "--timeout", "300ms", "--json"]);
        assert_eq!((found, parse(&err)["error"]["exitCode"].as_i64()), (code, Some(code.into())));
        let checks = parse(&out)["checks"].as_array().unwrap().clone();
        assert_eq!(checks.iter().filter(|check| check["outcome"] == "failed").count(), 1);
    }
    let (_, out, _) = run(&["doctor", &scripted(careless), "--timeout", "300ms"]);
    for name in ["Host", "Origin"] {
        assert!(
            out.contains(&format!("warning  {name}: the one of a stranger is accepted; a web page could")),
            "{out}"
        );
    }
    let (_, out, _) = run(&["doctor", &scripted(|_, _| status(401)), "--header", "Authorization: Bearer x"]);
    assert!(out.contains("the server does not accept what was sent; check the token"), "{out}");
    assert!(error(2, &["doctor", "https://localhost/mcp"]).contains("https is not supported"));
}

#[test]
fn a_manifest_is_a_target() {
    let folder = Folder::new();
    folder.write("note", "from a file\n");
    let manifest = folder.write(
        "manifest.json",
        &json!({
            "manifest": 1,
            "server": {"name": "small", "version": "1"},
            "tools": [
                {"name": "say", "description": "Say it", "argv": ["/bin/echo", "--", "{text}"], "inputSchema": {
                    "type": "object", "required": ["text"], "properties": {"text": {"type": "string", "maxLength": 9}}}},
                {"name": "sure", "description": "Ask first", "argv": ["/bin/echo", "done"], "confirm": "Really?"},
                {"name": "fail", "description": "Fail", "argv": ["/bin/ls", "/no/such/file"]},
            ],
            "resources": [{"uri": "x:///note", "name": "note", "file": "note"}],
            "prompts": [{"name": "ask", "description": "Ask", "arguments": [{"name": "what", "completions": ["one", "two"]}], "text": "Ask {what}."}],
        })
        .to_string(),
    );
    let manifest = manifest.as_str();
    let list = done(&["list", manifest]);
    assert!(list.contains("say(text: string)  Say it\n") && list.contains("x:///note  note\n"), "{list}");
    assert_eq!(done(&["call", manifest, "say", "text=007"]), "-- 007\n");
    assert!(error(5, &["call", manifest, "say", "text=0123456789"]).contains("text"));
    let failed = error(5, &["call", manifest, "fail"]);
    assert!(failed.contains("the tool `fail` failed: ") && failed.contains("/no/such/file"), "{failed}");
    let asked = error(1, &["call", manifest, "sure"]);
    assert!(asked.contains("Really?"), "{asked}");
    let answer = asked.split("answer with ").nth(1).unwrap().split('=').next().unwrap();
    let [option, name] = answer.split(' ').collect::<Vec<_>>()[..] else { panic!("{asked}") };
    assert_eq!(done(&["call", manifest, "sure", option, &format!("{name}=true")]), "done\n");
    assert!(error(5, &["call", manifest, "sure", "--decline"]).contains("the tool `sure` failed"));
    assert_eq!(done(&["read", manifest, "x:///note"]), "from a file\n");
    assert_eq!(done(&["prompt", manifest, "ask", "what=this"]), "user: Ask this.\n");
    assert_eq!(done(&["complete", manifest, "ask", "what=t"]), "two\n");
    done(&["ping", manifest]);
    done(&["doctor", manifest]);
}
