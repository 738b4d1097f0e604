//! The binary as people and service managers meet it: its words, exit codes and signals.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Real sockets go with real time.
#![allow(clippy::disallowed_methods)]

mod check;
#[cfg(feature = "operations")]
mod deploy;
mod ending;
mod examples;
mod health;
mod identity;
mod in_process;
#[cfg(not(any(feature = "bridge", feature = "operations")))]
mod left_out;
mod log;
#[cfg(feature = "operations")]
mod manager;
mod manifest;
#[cfg(feature = "operations")]
mod metrics;
mod program;
mod provide;
mod schema;
mod shell;
mod stdio;
mod stopped;
mod stuck;

use std::fs::Permissions;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use mcp_rill::Limits;

/// How long a test waits for what must happen; nothing is decided by it except failure.
const PATIENCE: Duration = Duration::from_secs(20);
const ANY: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// Runs the program to its end, which must come by itself.
fn output(arguments: &[&str]) -> Output {
    let child = Command::new(env!("CARGO_BIN_EXE_mcp-rill"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    collect(Guard(child))
}

/// What a program has written, once it has ended.
fn collect(mut guard: Guard) -> Output {
    guard.exit_code();
    let mut output = Output { status: guard.0.wait().unwrap(), stdout: Vec::new(), stderr: Vec::new() };
    guard.0.stdout.take().unwrap().read_to_end(&mut output.stdout).unwrap();
    guard.0.stderr.take().unwrap().read_to_end(&mut output.stderr).unwrap();
    output
}

/// A child that does not outlive its test.
struct Guard(Child);

impl Guard {
    fn exit_code(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "the program did not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, name: &str) {
        let sent =
            Command::new("sh").args(["-c", &format!("kill -{name} {}", self.0.id())]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A serving program, and what it said about itself.
struct Running {
    guard: Guard,
    /// `http://HOST:PORT/PATH` as announced.
    urls: Vec<String>,
    said: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
        command.args(arguments);
        Running::of(command)
    }

    fn of(command: Command) -> Running {
        Running::with_stderr(command, Stdio::inherit())
    }

    fn with_stderr(mut command: Command, stderr: Stdio) -> Running {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut guard = Guard(child);
        let mut said = String::new();
        let mut lines = BufReader::new(guard.0.stdout.take().unwrap());
        while !said.contains("Ctrl-C") {
            assert_ne!(lines.read_line(&mut said).unwrap(), 0, "it ended after saying {said:?}");
        }
        // The announced addresses come first, then an example that repeats one of them.
        let listed = said.split("Older clients").next().unwrap();
        let urls =
            listed.split_whitespace().filter(|word| word.starts_with("http://127.")).map(str::to_owned);
        Running { urls: urls.collect(), said, guard }
    }

    fn addr(&self) -> SocketAddr {
        let rest = self.urls[0].strip_prefix("http://").unwrap();
        rest.split('/').next().unwrap().parse().unwrap()
    }

    /// The status of one request on a connection of its own.
    fn status(&self, request: &str) -> String {
        let mut socket = connect(self.addr());
        socket.write_all(request.as_bytes()).unwrap();
        read_through(&mut socket, "\r\n").split(' ').nth(1).unwrap().to_owned()
    }

    fn open(&self) -> Stream {
        Stream::open(self.addr(), "/sse")
    }

    fn post(&self, endpoint: &str, body: &str) -> String {
        self.status(&post(endpoint, body))
    }
}

/// A session.
struct Stream {
    socket: TcpStream,
    endpoint: String,
}

impl Stream {
    fn open(addr: SocketAddr, path: &str) -> Stream {
        let mut socket = connect(addr);
        write!(socket, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
        read_through(&mut socket, "event: endpoint\ndata: ");
        let endpoint = read_through(&mut socket, "\n\n").trim_end().to_owned();
        Stream { socket, endpoint }
    }

    fn next(&mut self) -> String {
        read_through(&mut self.socket, "\n\n")
    }

    fn until_the_end(&mut self) {
        self.socket.read_to_end(&mut Vec::new()).unwrap();
    }
}

fn connect(addr: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// One byte at a time, so that nothing behind the end is taken.
fn read_through(socket: &mut TcpStream, end: &str) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(end.as_bytes()) {
        if let Err(error) = socket.read_exact(&mut byte) {
            panic!("{error} before {end:?}, after {:?}", String::from_utf8_lossy(&text));
        }
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

fn post(endpoint: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {endpoint} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
const PONG: &str = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";

#[test]
fn help_and_version() {
    let version = output(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        format!("mcp-rill {}\n", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(output(&["-V"]).status.code(), Some(0));
    for flag in ["--help", "-h"] {
        let help = output(&[flag]);
        assert_eq!((help.status.code(), &*help.stderr), (Some(0), &b""[..]));
        let text = String::from_utf8(help.stdout).unwrap();
        for words in
            ["Usage: mcp-rill [VERB] [OPTIONS]", "a demo on\nhttp://127.0.0.1:3001/mcp", "\n  serve "]
        {
            assert!(text.contains(words), "no {words}:\n{text}");
        }
        assert_fits_a_screen(&text);
    }
}

/// A terminal of 80 columns and 24 lines shows the whole text.
fn assert_fits_a_screen(text: &str) {
    assert!(text.lines().count() <= 24, "{} lines:\n{text}", text.lines().count());
    let wide = text.lines().find(|line| line.chars().count() > 80);
    assert_eq!(wide, None, "too wide:\n{text}");
}

#[test]
fn the_help_on_serving_names_options_that_exist() {
    let text = |arguments: &[&str]| String::from_utf8(output(arguments).stdout).unwrap();
    let (all, main) = (text(&["serve", "--help", "options"]), text(&["serve", "--help"]));
    assert!(all.starts_with("Usage: mcp-rill serve [FILE|DIR] [OPTIONS]\n\n  --listen ADDR"), "{all}");
    let options = |text: &str| -> Vec<String> {
        let starts = text.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
        starts.map(|option| option.split_whitespace().next().unwrap().to_owned()).collect()
    };
    let known = options(&all);
    assert!(known.len() > 20 && options(&main).len() > 8);
    assert!(options(&main).iter().all(|option| known.contains(option)), "{main}");
}

#[test]
fn the_help_on_each_verb_fits_a_screen_and_has_two_examples() {
    let overview = String::from_utf8(output(&["--help"]).stdout).unwrap();
    let verbs = overview.split("Verbs:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let verbs: Vec<&str> = verbs.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert!(verbs.contains(&"serve"), "{overview}");
    for verb in verbs {
        for arguments in [&[verb, "--help"][..], &[verb, "-h"], &[verb, "x", "--help"]] {
            let help = output(arguments);
            assert_eq!((help.status.code(), &*help.stderr), (Some(0), &b""[..]), "{arguments:?}");
            let text = String::from_utf8(help.stdout).unwrap();
            assert_fits_a_screen(&text);
            assert!(text.contains(&format!("\nUsage: mcp-rill {verb}")), "{text}");
            let examples = text.split("\nExamples:\n").nth(1).unwrap();
            assert_eq!(examples.matches("  # ").count(), 2, "{text}");
            assert!(examples.matches(&format!("  mcp-rill {verb} ")).count() >= 2, "{text}");
        }
    }
}

#[test]
fn help_on_limits_says_what_each_means() {
    for arguments in
        [&["--help", "limits"][..], &["-h", "limits"], &["--help=limits"], &["serve", "--help", "limits"]]
    {
        let help = output(arguments);
        assert_eq!((help.status.code(), &*help.stderr), (Some(0), &b""[..]), "{arguments:?}");
        let text = String::from_utf8(help.stdout).unwrap();
        for name in Limits::NAMES {
            let value = Limits::DEFAULT.get(name).unwrap();
            let (_, about) = text.split_once(&format!("\n{name} [{value}]\n")).expect(name);
            assert!(about.lines().next().unwrap().trim().len() > 20, "{name}: {about}");
        }
        assert!(text.contains("gets 503 with Retry-After"), "{text}");
        assert!(text.contains("Server::on_subscribe."), "{text}");
        for markup in ["](", "crate::", "[`", "`"] {
            assert!(!text.contains(markup), "{markup}: {text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 110), "too wide:\n{text}");
    }
}

#[test]
fn it_says_where_it_listens_and_what_to_type() {
    for arguments in [&["--listen", "127.0.0.1:0"][..], &["serve", "--listen", "127.0.0.1:0"]] {
        let running = Running::start(arguments);
        assert_ne!(running.addr().port(), 0, "{}", running.said);
        let base = running.urls[0].strip_suffix("/mcp").unwrap();
        assert!(running.said.contains(&format!("curl -N {base}/sse\n")), "{}", running.said);
        let mut stream = running.open();
        assert_eq!(running.post(&stream.endpoint, PING), "202");
        assert_eq!(stream.next(), PONG);
    }
}

#[test]
fn it_listens_on_several_addresses() {
    let running = Running::start(&["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    assert_eq!(running.urls.len(), 2, "{}", running.said);
    for url in &running.urls {
        Stream::open(url.trim_start_matches("http://").split('/').next().unwrap().parse().unwrap(), "/sse");
    }
}

#[test]
fn it_says_where_to_connect_if_it_listens_everywhere() {
    let running = Running::start(&["--insecure-public", "--listen", "0.0.0.0:0"]);
    let port = running.addr().port();
    assert_eq!(running.urls, [format!("http://127.0.0.1:{port}/mcp")]);
    assert!(running.said.contains(&format!("It listens on 0.0.0.0:{port}: ")), "{}", running.said);
    Stream::open(running.addr(), "/sse");
}

#[test]
fn a_signal_ends_it_in_good_order() {
    for signal in ["TERM", "INT"] {
        let mut idle = Running::start(&ANY);
        idle.guard.signal(signal);
        assert_eq!(idle.guard.exit_code(), Some(0), "SIG{signal}");

        let mut busy = Running::start(&ANY);
        let mut stream = busy.open();
        assert_eq!(busy.post(&stream.endpoint, PING), "202");
        busy.guard.signal(signal);
        assert_eq!(stream.next(), PONG);
        stream.until_the_end();
        drop(stream);
        assert_eq!(busy.guard.exit_code(), Some(0), "SIG{signal} with a stream open");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut running = Running::start(
        &[&ANY[..], &["--limit", "linger_timeout=1h", "--limit", "shutdown_grace=1h"]].concat(),
    );
    let mut stream = running.open();
    running.guard.signal("TERM");
    // The stream has ended, but the client keeps its half open, so the server would wait for it.
    stream.until_the_end();
    running.guard.signal("TERM");
    assert_eq!(running.guard.exit_code(), Some(143));
}

#[test]
fn a_shutdown_says_what_it_waits_for() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
    command.args(ANY);
    let mut running = Running::with_stderr(command, Stdio::piped());
    let stream = running.open();
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"countdown","arguments":{"seconds":60}}}"#;
    assert_eq!(running.post(&stream.endpoint, call), "202");
    running.guard.signal("TERM");
    let said = first_error(&mut running);
    assert!(said.contains("shutting down; waiting for 1 open call, at most"), "{said}");
    let mut stream = stream;
    let answer = stream.next();
    assert!(answer.contains("stopped early") && answer.contains(r#""isError":true"#), "{answer}");
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let cases: [(&[&str], &[&str]); 59] = [
        (&["--listen", &taken], &[&taken, "in use", "choose another port"]),
        (&["--listen", "127.0.0.1"], &["127.0.0.1", "HOST:PORT"]),
        (&["--listen", "localhost:http"], &["localhost:http", "HOST:PORT"]),
        (&["--listen", "http://127.0.0.1:3001"], &["http://127.0.0.1:3001", "without scheme and path"]),
        (&["--listen", "127.0.0.1:3001/mcp"], &["127.0.0.1:3001/mcp", "without scheme and path"]),
        (&["--listen", "/run/mcp/s"], &["/run/mcp/s", "unix:PATH"]),
        (&["--listen", "unix:/"], &["unix:/", "a directory", "another path"]),
        (&["--listen", "0.0.0.0:0"], &["0.0.0.0:0", "--insecure-public"]),
        (&["--listen", "::1:0"], &["::1:0", "[::1]:3001"]),
        (&["--insecure-public", "--listen", "192.0.2.1:0"], &["192.0.2.1:0", "network interface"]),
        (&["--listen", "unix:/missing/s"], &["unix:/missing/s", "/missing", "create it"]),
        (&["--listen", concat!("unix:", env!("CARGO_MANIFEST_DIR"))], &["not a socket", "another path"]),
        (&["--listen", "unix:/missing/s", "--socket-mode", "0888"], &["--socket-mode", "0888", "0660"]),
        (&["--listen", "unix:/missing/s", "--socket-mode", "1777"], &["--socket-mode", "1777", "0777"]),
        (&["--socket-mode", "0660"], &["--socket-mode", "--listen unix:PATH"]),
        (&["--allow-uid", "1000"], &["--allow-uid", "--listen unix:PATH"]),
        (&["serve", "--stdio", "--listen", "127.0.0.1:0"], &["--stdio and --listen contradict each other"]),
        (&["--token-file", "t", "--log", "--stdio"], &["--stdio and --token-file contradict each other"]),
        (&["--stdio", "--stdio"], &["--stdio is given twice"]),
        (&["--listen", "unix:/missing/s", "--allow-uid", "me"], &["--allow-uid", "me", "1000"]),
        (&["--listen"], &["--listen"]),
        (&["--listen", "unix:"], &["the path is missing; write unix:PATH, such as unix:/run/mcp/s"]),
        (&["serv"], &["there is no verb `serv`; did you mean `serve`?"]),
        (&["--limit", "frobs=1"], &["unknown limit `frobs`; see --help limits"]),
        (
            &["--limit", "connections_max=99999999"],
            &["connections_max is 99999999, but must be from 1 to 1048576"],
        ),
        (&["--frobnicate"], &["there is no option `--frobnicate`; see `mcp-rill --help`"]),
        (&["-x"], &["there is no option `-x`; see `mcp-rill --help`"]),
        (&["frobnicate"], &["there is no verb `frobnicate`; see `mcp-rill --help`"]),
        (&["--lisen", "127.0.0.1:0"], &["there is no option `--lisen`; did you mean `--listen`?"]),
        (&["serve", "nowhere.json"], &["nowhere.json", "No such file", "name a file"]),
        (&["serve", "a.json", "b.json"], &["unexpected argument `b.json`; see `mcp-rill --help`"]),
        (&["--limit", "body_bytes_max"], &["body_bytes_max", "NAME=VALUE"]),
        (&["--limit", "body_bytes_max=1KB"], &["body_bytes_max", "1KB", "64KiB"]),
        (&["--limit", "body_byte_max=1"], &["body_byte_max", "did you mean `body_bytes_max`"]),
        (&["--limit", "sessions_max=4KiB"], &["sessions_max", "4KiB", "whole number without a unit"]),
        (&["--limit", "workers=0"], &["workers is 0", "from 1 to 1024"]),
        (&["--limit", "calls_max=0"], &["calls_max is 0", "from 1 to 1048576"]),
        (&["--limit", "workers=1", "--limit", "workers=2"], &["--limit workers is given twice"]),
        (&["--node-id", "a", "--node-id", "b"], &["--node-id is given twice"]),
        (&["--log", "--cors", "--log"], &["--log is given twice"]),
        (&["--token-file", "/nowhere/a", "--token-file", "/nowhere/b"], &["--token-file is given twice"]),
        (&["--help", "me"], &["no help on `me`", "--help limits"]),
        (&["--log=yes"], &["--log", "--help"]),
        (&["--sse-path"], &["--sse-path", "--help"]),
        (&["--listen", "127.0.0.1:0", "--limit", "connections_max=1"], &["connections_max", "sessions_max"]),
        (&["--listen", "localhost:0", "--limit", "connections_max=1"], &["connections_max", "sessions_max"]),
        (&["--listen", "127.0.0.1:0", "--sse-path", "sse"], &["SSE path", "`sse`"]),
        (&["--listen", "127.0.0.1:0", "--sse-path", "/messages"], &["/messages"]),
        (&["--listen", "127.0.0.1:0", "--node-id", "a.b"], &["`a.b`"]),
        (&["--listen", "127.0.0.1:0", "--node-id", "--"], &["`--`", "not `-` alone"]),
        (&["--node-id", ""], &["--node-id is empty", "leave the option out"]),
        (
            &["--token-file", "/nowhere/tokens"],
            &["--token-file /nowhere/tokens", "No such file", "name a file"],
        ),
        (
            &["--state-key-file", "/nowhere/k"],
            &["--state-key-file /nowhere/k", "No such file", "name a file"],
        ),
        (&["--token-file", "/dev/null"], &["--token-file /dev/null", "not a regular file"]),
        (&["--state-key-file", "/dev/null"], &["--state-key-file /dev/null", "not a regular file"]),
        (&["--token-file", env!("CARGO_MANIFEST_DIR")], &["it is a directory; name a file or a pipe"]),
        (&["--scope", "notes:read"], &["--resource"]),
        (&["--listen", "127.0.0.1:0", "--resource", "https://a.example"], &["--authorization-server"]),
        (
            &["--listen", "127.0.0.1:0", "--resource", "a", "--authorization-server", "b"],
            &["`a`", "https://"],
        ),
    ];
    for (arguments, words) in cases {
        let output = output(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!text.contains("a directory") || !text.contains("remove"), "{arguments:?}: {text}");
        assert!(!text.contains("regular file") || !text.contains("chmod"), "{arguments:?}: {text}");
        // What the system has against it may be another thing tomorrow; a mistake in the arguments stays one.
        let system = [
            "in use",
            "interface",
            "create it",
            "not a socket",
            "a directory",
            "regular file",
            "No such file",
        ];
        let code = if system.iter().any(|word| text.contains(word)) { 1 } else { 2 };
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.starts_with("mcp-rill: ") && text.ends_with('\n'), "{arguments:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
        assert!(output.stdout.is_empty(), "{arguments:?}: nothing is served, so nothing is announced");
        for word in words {
            assert!(text.contains(word), "{arguments:?}: no {word:?} in {text}");
        }
        let hint = text.contains("HOST:PORT, such as");
        assert_eq!(hint, words.contains(&"HOST:PORT"), "{arguments:?}: {text}");
        assert!(!text.contains("IPv6") || words.contains(&"[::1]:3001"), "{arguments:?}: {text}");
    }
}

/// Where a test's Unix socket is, with a short path. Nothing else is in the directory.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("rill-cli{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Place(path)
    }

    fn socket(&self) -> String {
        self.0.join("s").to_str().unwrap().to_owned()
    }

    fn listen(&self) -> String {
        format!("unix:{}", self.socket())
    }

    /// The first line of the answer to a request; nothing if the connection is closed without one.
    fn ask(&self) -> String {
        let mut socket = UnixStream::connect(self.socket()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // It may be closed already.
        let _ = socket.write_all(b"HEAD /sse HTTP/1.0\r\nHost: any\r\n\r\n");
        let mut text = Vec::new();
        match socket.read_to_end(&mut text) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
            _ => String::from_utf8(text).unwrap().lines().next().unwrap_or_default().to_owned(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const OK: &str = "HTTP/1.1 200 OK";

#[test]
fn it_listens_on_a_unix_socket_and_removes_it() {
    let place = Place::new("listens");
    let arguments = ["--listen", &place.listen(), "--socket-mode", "0660"];
    let mut running = Running::start(&arguments);
    let at = format!("  {} at http://localhost/mcp\n", place.listen());
    assert!(running.said.contains(&at), "{}", running.said);
    let example = format!("curl -N --unix-socket '{}' http://localhost/sse\n", place.socket());
    assert!(running.said.contains(&example), "{}", running.said);
    let mode = std::fs::symlink_metadata(place.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o660);
    assert_eq!(place.ask(), OK);

    // Another one does not take it away.
    let second = output(&arguments);
    assert_eq!(second.status.code(), Some(1));
    let text = String::from_utf8(second.stderr).unwrap();
    assert!(text.contains(&place.socket()) && text.contains("another server listens"), "{text}");
    assert_eq!(place.ask(), OK);

    // One that is killed leaves its file, and the next one replaces it.
    running.guard.signal("KILL");
    running.guard.exit_code();
    assert!(std::fs::symlink_metadata(place.socket()).is_ok());
    let mut running = Running::start(&arguments);
    assert_eq!(place.ask(), OK);
    running.guard.signal("TERM");
    assert_eq!(running.guard.exit_code(), Some(0));
    assert_eq!(std::fs::read_dir(&place.0).unwrap().count(), 0);
}

#[test]
fn it_listens_on_unix_sockets_and_ports_at_once() {
    let place = Place::new("both");
    let running = Running::start(&[&ANY[..], &["--listen", &place.listen()]].concat());
    assert_eq!(running.urls.len(), 1, "{}", running.said);
    assert!(running.said.contains(&place.listen()), "{}", running.said);
    assert_eq!(place.ask(), OK);
    running.open();
}

#[cfg(target_os = "linux")]
#[test]
fn users_are_known_and_refused_by_their_uid() {
    use std::os::unix::fs::MetadataExt;
    let own = std::fs::metadata("/proc/self").unwrap().uid();
    let other = (own + 1).to_string();
    for (arguments, answer) in [
        (&["--peer-uid"][..], OK),
        (&["--allow-uid", &other, "--allow-uid", &own.to_string()], OK),
        (&["--allow-uid", &other], ""),
    ] {
        let place = Place::new(&format!("uid{}{}", arguments.len(), answer.len()));
        let listen = place.listen();
        let running = Running::start(&[&ANY[..], &["--listen", &listen], arguments].concat());
        assert_eq!(place.ask(), answer, "{arguments:?}");
        // It is said of Unix sockets only; and whoever is known opens sessions for himself.
        let stream = running.open();
        assert_eq!(running.post(&stream.endpoint, PING), "202");
        if answer == OK {
            let mut socket = UnixStream::connect(place.socket()).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.write_all(post(&stream.endpoint, PING).as_bytes()).unwrap();
            let mut status = [0; 12];
            socket.read_exact(&mut status).unwrap();
            assert_eq!(&status, b"HTTP/1.1 400", "a session of nobody is not a session of that user");
        }
    }
}

#[test]
fn limits_are_applied() {
    let running = Running::start(&[&ANY[..], &["--limit", "body_bytes_max=256"]].concat());
    let mut stream = running.open();
    let long =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"_":"{}"}}}}"#, "x".repeat(256));
    assert_eq!(running.post(&stream.endpoint, &long), "413");
    assert_eq!(running.post(&stream.endpoint, PING), "202");
    assert_eq!(stream.next(), PONG, "the session lives on");
}

#[test]
fn paths_and_hosts_are_applied() {
    let paths = ["--sse-path", "/events", "--message-path", "/in/box", "--base-path", "/tools"];
    let hosts = ["--allow-host", "mcp.example", "--allow-origin", "https://app.example"];
    let running = Running::start(&[&ANY[..], &paths, &hosts].concat());
    assert!(running.urls[0].ends_with("/tools/mcp"), "{}", running.said);
    assert!(running.said.contains("connect to /tools/events there"), "{}", running.said);
    // With and without what a proxy may have stripped.
    for path in ["/tools/events", "/events"] {
        let mut stream = Stream::open(running.addr(), path);
        assert!(stream.endpoint.starts_with("/tools/in/box?sessionId="), "{}", stream.endpoint);
        assert_eq!(running.post(&stream.endpoint, PING), "202");
        assert_eq!(stream.next(), PONG);
    }
    let mut socket = connect(running.addr());
    socket.write_all(b"GET /else HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    read_through(&mut socket, "connect to `/tools/mcp` or, for HTTP+SSE, to `/tools/events`");
    let get = |path: &str, field: &str| running.status(&format!("GET {path} HTTP/1.1\r\n{field}\r\n\r\n"));
    assert_eq!(get("/sse", "Host: 127.0.0.1"), "404");
    assert_eq!(get("/events", "Host: mcp.example"), "200");
    assert_eq!(get("/events", "Host: other.example"), "403");
    assert_eq!(get("/events", "Host: 127.0.0.1\r\nOrigin: https://app.example"), "200");
    assert_eq!(get("/events", "Host: 127.0.0.1\r\nOrigin: https://other.example"), "403");
}

/// A file of tokens that is gone after the test.
struct TokenFile(PathBuf);

impl TokenFile {
    fn new(name: &str, text: &str) -> TokenFile {
        let file = TokenFile(std::env::temp_dir().join(format!("mcp-rill-{}-{name}", std::process::id())));
        file.write(text, 0o600);
        file
    }

    fn write(&self, text: &str, mode: u32) {
        std::fs::write(&self.0, text).unwrap();
        std::fs::set_permissions(&self.0, Permissions::from_mode(mode)).unwrap();
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const ADA: &str = "2a0f0b5e3c6d4a798f1e1d5c7b9a3e60";
const BOB: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0";

#[test]
fn a_token_file_has_to_be_right_and_private() {
    let tokens = format!("ada:{ADA}\n");
    let file = TokenFile::new("bad", &tokens);
    for (text, mode, words) in [
        (&*tokens, 0o644, &["mode 0644", "chmod 600"][..]),
        (&tokens, 0o640, &["mode 0640", "chmod 600"]),
        (&tokens, 0o622, &["mode 0622", "chmod 600"]),
        ("", 0o600, &["no token", "name:token"]),
        (&format!("# x\n\nada:{ADA} x"), 0o600, &["line 3"]),
        (&format!("ada:{ADA}\nbob:{ADA}"), 0o600, &["line 2", "line 1"]),
        ("ada:secret", 0o600, &["line 1", "22"]),
    ] {
        file.write(text, mode);
        let output = output(&["--listen", "127.0.0.1:0", "--token-file", file.path()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(said.contains(file.path()) && words.iter().all(|word| said.contains(word)), "{said}");
        assert!(!said.contains("secret") && !said.contains(ADA), "{said}");
    }
}

#[test]
fn a_token_file_that_is_not_text_is_told_how_to_write_one() {
    let file = TokenFile::new("binary", "");
    std::fs::write(file.path(), b"ada:\xff").unwrap();
    for (option, form) in [
        ("--token-file", "it is not text (UTF-8); write one name:token a line"),
        ("--state-key-file", "it is not text (UTF-8); write 32 hexadecimal digits a line"),
    ] {
        let output = output(&["--listen", "127.0.0.1:0", option, file.path()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(form) && output.status.code() == Some(1), "{said}");
    }
}

/// Whoever owns a file can read and write it, whatever its mode is.
#[cfg(target_os = "linux")]
#[test]
fn a_token_file_has_to_be_ones_own_or_roots() {
    use std::os::unix::fs::MetadataExt;
    let file = TokenFile::new("owner", &format!("ada:{ADA}\n"));
    let own = std::fs::metadata(file.path()).unwrap().uid();
    if std::os::unix::fs::chown(file.path(), Some(own + 1), None).is_err() {
        // Only root can give files away. This one is root's, and of a mode that is refused next.
        let output = output(&["--listen", "127.0.0.1:0", "--token-file", "/etc/passwd"]);
        assert!(String::from_utf8(output.stderr).unwrap().contains("mode 0644"));
        return;
    }
    for option in ["--token-file", "--state-key-file"] {
        let output = output(&["--listen", "127.0.0.1:0", option, file.path()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("another user (uid {})", own + 1)), "{said}");
        assert!(said.contains(option) && said.contains(file.path()) && !said.contains("chmod"), "{said}");
    }
}

/// The first line that the program writes to standard error. On a thread of its own: if nothing is said, the test fails and
/// does not wait for ever.
fn first_error(running: &mut Running) -> String {
    let errors = running.guard.0.stderr.take().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(BufReader::new(errors).lines().next().unwrap().unwrap()));
    told.recv_timeout(PATIENCE).unwrap()
}

fn make_pipe(path: &str, mode: &str) {
    assert!(Command::new("mkfifo").args(["-m", mode, path]).status().unwrap().success());
}

/// Regression: a pipe that had taken the place of the file was opened on SIGHUP, which waits for somebody at its other end,
/// on the only thread that hears signals.
#[test]
fn a_pipe_in_the_place_of_a_token_file_holds_nothing_up() {
    let file = TokenFile::new("fifo", &format!("ada:{ADA}\n"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
    command.args([&ANY[..], &["--token-file", file.path()]].concat());
    let mut running = Running::with_stderr(command, Stdio::piped());
    std::fs::remove_file(file.path()).unwrap();
    make_pipe(file.path(), "600");
    running.guard.signal("HUP");
    let told = first_error(&mut running);
    assert!(told.contains("not a regular file") && told.contains("stays in force"), "{told}");
    running.guard.signal("TERM");
    assert_eq!(running.guard.exit_code(), Some(0));
}

/// `--token-file <(…)`: a pipe is read once, at the start, with a bound.
#[test]
fn tokens_may_come_through_a_pipe() {
    let file = TokenFile::new("pipe", "");
    std::fs::remove_file(file.path()).unwrap();
    make_pipe(file.path(), "600");
    let write = |text: String| {
        let path = file.path().to_owned();
        // The reader stops at its bound and closes the pipe.
        std::thread::spawn(move || std::fs::write(path, text).is_ok())
    };
    let writer = write(format!("ada:{ADA}\n"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
    command.args([&ANY[..], &["--token-file", file.path()]].concat());
    let mut running = Running::with_stderr(command, Stdio::piped());
    assert!(writer.join().unwrap());
    let sse = |token: &str| {
        format!("GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n")
    };
    assert_eq!([ADA, BOB].map(|token| running.status(&sse(token))), ["200", "401"]);
    running.guard.signal("HUP");
    let told = first_error(&mut running);
    assert!(told.contains("is a pipe") && told.contains("stay in force"), "{told}");
    assert_eq!([ADA, BOB].map(|token| running.status(&sse(token))), ["200", "401"]);
    running.guard.signal("TERM");
    assert_eq!(running.guard.exit_code(), Some(0));

    // One byte past the bound.
    for (bytes, words) in [(1 << 20, "no token"), ((1 << 20) + 1, "longer than 1048576 bytes")] {
        let writer = write("#".repeat(bytes));
        let output = output(&[&ANY[..], &["--token-file", file.path()]].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(words) && output.status.code() == Some(1), "{said}");
        writer.join().unwrap();
    }
}

/// systemd's `LoadCredential=`: mode 0440 in the folder that `$CREDENTIALS_DIRECTORY` names, and only there.
#[test]
fn credentials_of_a_service_may_be_readable_by_its_group() {
    let place = Place::new("credentials");
    let write = |name: &str, mode| {
        let path = place.0.join(name);
        std::fs::write(&path, format!("ada:{ADA}\n")).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let outside = TokenFile::new("no-credential", &format!("ada:{ADA}\n"));
    outside.write(&format!("ada:{ADA}\n"), 0o440);
    let start = |path: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
        command.args([&ANY[..], &["--token-file", path]].concat()).env("CREDENTIALS_DIRECTORY", &place.0);
        command
    };
    drop(Running::of(start(&write("tokens", 0o440))));
    for path in [write("writable", 0o460), write("world", 0o444), outside.path().to_owned()] {
        let mut child = Guard(start(&path).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
        assert_eq!(child.exit_code(), Some(1), "{path}");
        let mut said = String::new();
        child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains("readable by others") && said.contains("chmod 600"), "{said}");
    }
}

#[test]
fn a_state_key_file_has_to_be_right_and_private() {
    let key = "000102030405060708090a0b0c0d0e0f";
    let file = TokenFile::new("key", key);
    for (text, mode, words) in [
        (key, 0o640, &["mode 0640", "chmod 600", "keys"][..]),
        ("", 0o600, &["there are 0 keys"]),
        (&format!("{key}\n{key}\n{key}"), 0o600, &["there are 3 keys"]),
        (&format!("{key}\nsecret"), 0o600, &["line 2", "32 hexadecimal digits"]),
    ] {
        file.write(text, mode);
        let output = output(&["--listen", "127.0.0.1:0", "--state-key-file", file.path()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(said.contains(file.path()) && words.iter().all(|word| said.contains(word)), "{said}");
        assert!(!said.contains("secret") && !said.contains(key), "{said}");
    }
}

/// Posts to `/mcp` with these fields, and gives all that comes back.
fn mcp_post(node: &Running, fields: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(node.addr()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head =
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n";
    write!(stream, "{head}{fields}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Calls the tool `ask` without a session; `more` are further members of `params`.
fn ask(node: &Running, more: &str) -> String {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}"#;
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"ask",{more}{meta}}}}}"#);
    mcp_post(node, "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: ask\r\n", &body)
}

/// The state that the server gives its client to keep while it asks for a name.
fn sealed(node: &Running) -> String {
    let asked = ask(node, "");
    let (_, state) = asked.split_once(r#""requestState":""#).unwrap_or_else(|| panic!("{asked}"));
    state.split_once('"').unwrap().0.to_owned()
}

/// What the server says to the name and that state.
fn unsealed(node: &Running, state: &str) -> String {
    let name = r#"{"action":"accept","content":{"name":"Ada"}}"#;
    ask(node, &format!(r#""requestState":"{state}","inputResponses":{{"name":{name}}},"#))
}

/// Two processes with one key: what the one asks, the other takes the answer to. A third with another key does not.
#[test]
fn questions_are_answered_to_any_node_with_the_key() {
    let (keys, other) = (TokenFile::new("node", ""), TokenFile::new("other", ""));
    keys.write("000102030405060708090a0b0c0d0e0f\n", 0o600);
    other.write("0f0e0d0c0b0a09080706050403020100\n000102030405060708090a0b0c0d0e0f", 0o600);
    let node = |path: Option<&str>| {
        let mut arguments = vec!["--listen", "127.0.0.1:0"];
        arguments.extend(path.into_iter().flat_map(|path| ["--state-key-file", path]));
        Running::start(&arguments)
    };
    let (one, two, newer, stranger) =
        (node(Some(keys.path())), node(Some(keys.path())), node(Some(other.path())), node(None));
    let state = sealed(&one);
    for node in [&two, &newer] {
        assert!(unsealed(node, &state).contains("Hello, Ada!"));
    }
    assert!(unsealed(&stranger, &state).contains("-32602"));
}

/// Peers are authenticated, so others may reach it: what is in the way is only that this machine has no such address.
#[test]
fn with_tokens_it_may_listen_where_others_can_connect() {
    let file = TokenFile::new("public", &format!("ada:{ADA}\n"));
    let public = ["--listen", "192.0.2.1:3001"];
    let refused = String::from_utf8(output(&public).stderr).unwrap();
    assert!(refused.contains("--insecure-public") && refused.contains("--token-file"), "{refused}");
    let tried = output(&[&public[..], &["--token-file", file.path()]].concat());
    let said = String::from_utf8(tried.stderr).unwrap();
    assert!(said.contains("cannot listen on 192.0.2.1:3001") && !said.contains("insecure"), "{said}");
}

#[test]
fn tokens_let_in_and_are_read_again() {
    let file = TokenFile::new("reload", &format!("ada:{ADA}\n"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
    command.args([&ANY[..], &["--token-file", file.path()]].concat());
    let mut running = Running::with_stderr(command, Stdio::piped());
    assert!(running.said.contains("Authorization: Bearer TOKEN"), "{}", running.said);
    let mut errors = BufReader::new(running.guard.0.stderr.take().unwrap());
    let mut reload = |running: &Running, text: &str, mode: u32| {
        file.write(text, mode);
        running.guard.signal("HUP");
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        line
    };
    let sse = |token: &str| {
        format!("GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n")
    };
    assert_eq!(running.status("GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"), "401");
    assert_eq!([ADA, BOB].map(|token| running.status(&sse(token))), ["200", "401"]);
    let mut stream = connect(running.addr());
    stream.write_all(sse(ADA).as_bytes()).unwrap();
    read_through(&mut stream, "sessionId=");

    // What cannot be read changes nothing.
    for (text, mode, why) in [
        ("bob", 0o600, "line 1"),
        (&*format!("bob:{BOB}"), 0o644, "chmod 600"),
        ("", 0o600, "no token in it"),
    ] {
        let told = reload(&running, text, mode);
        assert!(told.contains(why) && told.contains("stays in force"), "{told}");
        assert_eq!([ADA, BOB].map(|token| running.status(&sse(token))), ["200", "401"]);
    }
    let told = reload(&running, &format!("ada:{ADA}\nbob:{BOB}\n"), 0o600);
    assert!(told.contains("read again, tokens: 2"), "{told}");
    assert_eq!([ADA, BOB].map(|token| running.status(&sse(token))), ["200", "200"]);
    // The stream of a token that is gone ends; that of one that stays has lived through it all.
    reload(&running, &format!("bob:{BOB}\n"), 0o600);
    stream.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!([ADA, BOB].map(|token| running.status(&sse(token))), ["401", "200"]);
    running.guard.signal("TERM");
    assert_eq!(running.guard.exit_code(), Some(0));
}

#[test]
fn a_hangup_never_ends_it() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
    command.args(ANY);
    let mut running = Running::with_stderr(command, Stdio::piped());
    assert!(!running.said.contains("token"), "{}", running.said);
    running.guard.signal("HUP");
    let told = first_error(&mut running);
    assert!(told.contains("SIGHUP") && told.contains("--token-file"), "{told}");
    running.open();
    running.guard.signal("TERM");
    assert_eq!(running.guard.exit_code(), Some(0));
}

#[test]
fn state_keys_are_read_again() {
    let (old, new) = ("000102030405060708090a0b0c0d0e0f", "0f0e0d0c0b0a09080706050403020100");
    let file = TokenFile::new("rotate", old);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
    command.args([&ANY[..], &["--state-key-file", file.path()]].concat());
    let mut running = Running::with_stderr(command, Stdio::piped());
    let mut errors = BufReader::new(running.guard.0.stderr.take().unwrap());
    let mut reload = |text: &str| {
        file.write(text, 0o600);
        running.guard.signal("HUP");
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        line
    };
    let first = sealed(&running);
    assert!(reload("xyz").contains("stays in force"));
    assert!(unsealed(&running, &first).contains("Hello, Ada!"));
    let told = reload(&format!("{new}\n{old}\n"));
    assert!(told.contains("read again, keys: 2"), "{told}");
    assert!(unsealed(&running, &first).contains("Hello, Ada!"));
    let second = sealed(&running);
    let told = reload(new);
    assert!(told.contains("read again, keys: 1"), "{told}");
    assert!(
        unsealed(&running, &first).contains("-32602") && unsealed(&running, &second).contains("Hello, Ada!")
    );
}

#[test]
fn resource_cors_and_node_are_applied() {
    let resource =
        ["--resource", "https://mcp.example/mcp", "--authorization-server", "https://login.example"];
    let more =
        ["--scope", "notes:read", "--cors", "--allow-origin", "https://app.example", "--node-id", "n1"];
    let running = Running::start(&[&ANY[..], &resource, &more].concat());
    assert!(running.open().endpoint.starts_with("/messages?sessionId=n1-"));
    let request = "OPTIONS /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: https://app.example\r\n";
    assert_eq!(running.status(&format!("{request}Access-Control-Request-Method: POST\r\n\r\n")), "204");
    let mut socket = connect(running.addr());
    let document = "GET /.well-known/oauth-protected-resource HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    socket.write_all(document.as_bytes()).unwrap();
    let text = read_through(&mut socket, "}");
    assert!(text.contains(r#""scopes_supported":["notes:read"]"#), "{text}");
}

#[test]
fn without_sessions_there_is_no_stream_to_get() {
    let get = "GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n";
    let delete = get.replace("GET", "DELETE");
    for (arguments, statuses) in [(&[][..], ["405", "400"]), (&["--sessionless"], ["405", "405"])] {
        let running = Running::start(&[&ANY[..], arguments].concat());
        assert_eq!([running.status(get), running.status(&delete)], statuses, "{arguments:?}");
    }
}

#[test]
fn what_happens_is_logged_where_that_is_wanted() {
    let log = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
        command.args([&ANY, arguments].concat());
        let mut running = Running::with_stderr(command, Stdio::piped());
        let request = "GET /sse HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer abc\r\n\r\n";
        assert_eq!(running.status(request), "403");
        let stream = running.open();
        running.guard.signal("TERM");
        assert_eq!(running.guard.exit_code(), Some(0));
        let mut text = String::new();
        running.guard.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        let id = stream.endpoint.split('=').nth(1).unwrap();
        assert!(!text.contains(id) && !text.contains("abc"), "{text}");
        text
    };
    assert_eq!(log(&[]), "");
    let text = log(&["--log"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("mcp-rill: 127.0.0.1:"), "{text}");
    assert!(lines[0].contains(" was refused with 403: Host `evil.example` is not allowed"), "{text}");
    assert!(lines[1].ends_with(" opened a session"), "{text}");
    assert!(lines[2].starts_with("mcp-rill: the session of 127.0.0.1:"), "{text}");
    assert_eq!(lines.len(), 3, "{text}");
}

#[test]
fn a_closed_standard_output_is_no_failure() {
    let run = |arguments: &str| {
        let program = env!("CARGO_BIN_EXE_mcp-rill");
        Command::new("sh").args(["-c", &format!("exec '{program}' {arguments}")]).status().unwrap().code()
    };
    assert_eq!(run("--help >&-"), Some(0));
    assert_eq!(run("--frobnicate 2>&- >&-"), Some(2));
    // What is lost and not unwanted is one.
    #[cfg(target_os = "linux")]
    assert_eq!(["--help", "--version"].map(|flag| run(&format!("{flag} >/dev/full 2>&-"))), [Some(1); 2]);
    // A reader that goes away while the server runs.
    // It cannot tell its port then; those from here on are not given out by the system.
    let first = 20_000 + std::process::id() as u16 % 10_000;
    let (mut guard, address) = (first..first + 50).find_map(serve_unheard).unwrap();
    Stream::open(address, "/sse");
    guard.signal("TERM");
    assert_eq!(guard.exit_code(), Some(0));
}

/// Serves on that port with nobody reading what it says; `None` if the port is taken.
fn serve_unheard(port: u16) -> Option<(Guard, SocketAddr)> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
    command.args(["--listen", &address.to_string()]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut guard = Guard(command.stderr(Stdio::null()).spawn().unwrap());
    drop(guard.0.stdout.take());
    let start = Instant::now();
    loop {
        if guard.0.try_wait().unwrap().is_some() {
            return None;
        }
        match TcpStream::connect(address) {
            Ok(_) => return Some((guard, address)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
        }
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Seconds of processor time that a process has used.
#[cfg(target_os = "linux")]
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // The 14th and 15th field of the whole line, in hundredths.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

#[cfg(target_os = "linux")]
#[test]
fn out_of_descriptors_streams_live_on() {
    let mut command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_mcp-rill");
    command.args(["-c", &format!("ulimit -n 32; exec '{program}' --log --listen 127.0.0.1:0")]);
    let mut running = Running::with_stderr(command, Stdio::piped());
    let mut streams: Vec<Stream> = (0..10).map(|_| running.open()).collect();

    // More than there are descriptors for, and they stay: those that are idle make room for those that come.
    let idle: Vec<TcpStream> = (0..40).map(|_| connect(running.addr())).collect();
    for stream in &mut streams {
        assert_eq!(running.post(&stream.endpoint, PING), "202");
        assert_eq!(stream.next(), PONG);
    }
    drop(idle);

    // Now nothing but streams, as many as there is room for; the last one asks in vain.
    let mut waiting = loop {
        assert!(streams.len() < 32, "the limit on descriptors has no effect");
        let mut socket = connect(running.addr());
        socket.write_all(b"GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
        let mut byte = [0];
        match socket.read(&mut byte) {
            Ok(count) => {
                assert_eq!(count, 1, "a stream was refused");
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                read_through(&mut socket, "event: endpoint\ndata: ");
                let endpoint = read_through(&mut socket, "\n\n").trim_end().to_owned();
                streams.push(Stream { socket, endpoint });
            }
            Err(_) => break socket,
        }
    };
    assert!(streams.len() >= 18, "only {} streams with 32 descriptors", streams.len());
    let (pid, before) = (running.guard.0.id(), cpu_seconds(running.guard.0.id()));
    std::thread::sleep(Duration::from_secs(1));
    let used = cpu_seconds(pid) - before;
    assert!(used < 0.5, "{used} s of processor time in one second of waiting for descriptors");

    // It is said at the start that this may happen, and once when it happens.
    let mut said = BufReader::new(running.guard.0.stderr.take().unwrap());
    let mut until = |words: &str| {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "nothing said of {words:?}");
        }
        line
    };
    let warning = until("connections_max");
    assert!(warning.contains("is 2048, but the system allows only 32 open files"), "{warning}");
    until("no descriptor is left");
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));

    // Room again: first for the one that waited, then for requests.
    drop(streams.drain(..3));
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    read_through(&mut waiting, "event: endpoint\ndata: ");
    for stream in &mut streams {
        assert_eq!(running.post(&stream.endpoint, PING), "202");
        assert_eq!(stream.next(), PONG);
    }
}
