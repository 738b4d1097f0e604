//! Health checks of the binary: where they are answered, and `ping --ready`, which asks them.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::shell::{Folder, done, error, run};
use super::{ANY, Running};

/// Where the checks are answered alone, as announced.
fn announced(running: &Running) -> String {
    let line = running.said.lines().find_map(|line| line.strip_prefix("Health checks: ")).unwrap();
    line.strip_suffix("/readyz").unwrap().to_owned()
}

#[test]
fn the_checks_are_answered_beside_the_endpoint() {
    let running = Running::start(&[&ANY[..], &["--health"]].concat());
    let url = &running.urls[0];
    assert_eq!(done(&["ping", url, "--ready"]), "ready\n");
    assert_eq!(done(&["ping", url, "--ready", "--json"]), "{\"ready\":true}\n");
    assert!(!running.said.contains("Health checks"));

    let without = Running::start(&ANY);
    let told = error(1, &["ping", &without.urls[0], "--ready"]);
    assert!(
        told.contains("/readyz gets 404") && told.contains("it wants --health or --health-listen"),
        "{told}"
    );
}

#[test]
fn an_address_for_checks_alone_wants_no_token() {
    let folder = Folder::new();
    let tokens = folder.write("tokens", &format!("ada:{}\n", "a".repeat(32)));
    std::fs::set_permissions(&tokens, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let options = ["--token-file", &tokens, "--health", "--health-listen", "127.0.0.1:0"];
    let running = Running::start(&[&ANY[..], &options].concat());
    assert_eq!(running.urls.len(), 1, "{}", running.said);
    assert_eq!(done(&["ping", &announced(&running), "--ready"]), "ready\n");
    let told = error(3, &["ping", &running.urls[0], "--ready"]);
    assert!(told.contains("401") && told.contains("--token-file"), "{told}");
    assert!(error(4, &["list", &announced(&running)]).contains("this is not an MCP endpoint"));
}

#[test]
fn a_manifest_says_where_they_are_answered() {
    let folder = Folder::new();
    let manifest = |health: &str| {
        folder.write("m.json", &format!(r#"{{"manifest": 1, "server": {{"health": {health}}}}}"#))
    };
    let on = Running::start(&[&["serve", &*manifest("true")], &ANY[..]].concat());
    assert_eq!(done(&["ping", &on.urls[0], "--ready"]), "ready\n");
    let at = Running::start(&[&["serve", &*manifest("\"127.0.0.1:0\"")], &ANY[..]].concat());
    assert_eq!(done(&["ping", &announced(&at), "--ready"]), "ready\n");
    assert!(error(1, &["ping", &at.urls[0], "--ready"]).contains("404"));
}

/// A server that answers each request with this, once.
fn answers(response: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut bytes = [0; 4096];
        let count = socket.read(&mut bytes).unwrap();
        assert!(bytes[..count].starts_with(b"GET /readyz HTTP/1.1\r\n"));
        socket.write_all(response.as_bytes()).unwrap();
    });
    url
}

#[test]
fn a_server_that_is_not_ready_says_why() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 37\r\n\r\nnot ready: the server is \u{1b}[1mstarting";
    let told = error(1, &["ping", &answers(busy), "--ready"]);
    assert!(
        told.contains("/readyz gets 503: not ready: the server is ") && !told.contains('\u{1b}'),
        "{told}"
    );
    // Without a length there is no text, and none is waited for.
    assert_eq!(done(&["ping", &answers("HTTP/1.1 200 OK\r\n\r\n"), "--ready"]), "ready\n");
}

#[test]
fn what_cannot_be_asked_is_named() {
    assert!(error(4, &["ping", "http://127.0.0.1:1/mcp", "--ready"]).contains("cannot connect"));
    assert!(error(2, &["ping", "--ready", "--", "true"]).contains("--ready is about HTTP"));
    assert!(
        error(2, &["ping", "http://127.0.0.1:1/mcp", "--ready", "--count", "2"])
            .contains("leave --count out")
    );
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", silent.local_addr().unwrap());
    assert!(error(4, &["ping", &url, "--ready", "--timeout", "100ms"]).contains("no answer in 0.1 s"));
    let (code, _, err) = run(&["serve", "--stdio", "--health"]);
    assert!(code == 2 && err.contains("--stdio and --health contradict each other"), "{err}");
    let (code, _, err) = run(&["--listen", "127.0.0.1:0", "--health-listen", "nowhere"]);
    assert!(code == 2 && err.contains("nowhere"), "{err}");
}
