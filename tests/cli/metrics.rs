//! `/metrics` of the binary: where it is answered, and what is counted of clients, handlers and bridged servers.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use super::shell::{Folder, done};
use super::{ANY, Running, connect, post};

/// Where operators ask, as announced.
pub(super) fn operators(running: &Running) -> SocketAddr {
    let line = running.said.lines().find_map(|line| line.strip_prefix("Health checks: http://")).unwrap();
    line.strip_suffix("/readyz").unwrap().parse().unwrap()
}

/// The response to a GET, head and body.
pub(super) fn get(address: SocketAddr, path: &str, host: &str) -> String {
    let mut socket = connect(address);
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    text
}

/// The samples that begin with this.
fn samples(page: &str, start: &str) -> Vec<String> {
    page.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
}

const COUNT: &str = "mcp_server_operation_duration_seconds_count{mcp_method_name=\"tools/call\"";

#[test]
fn they_are_answered_beside_the_endpoint() {
    let running = Running::start(&[&ANY[..], &["--metrics"]].concat());
    assert_eq!(done(&["call", &running.urls[0], "echo", "text=hello"]), "hello\n");
    let page = get(running.addr(), "/metrics", "127.0.0.1");
    for line in [
        "HTTP/1.1 200 OK",
        "Content-Type: text/plain; version=0.0.4; charset=utf-8",
        "Cache-Control: no-store",
    ] {
        assert!(page.lines().any(|other| other == line), "no {line} in {page}");
    }
    let call = format!(
        "{COUNT},gen_ai_tool_name=\"echo\",error_type=\"\",network_transport=\"tcp\",mcp_protocol_version=\"2026-07-28\"}} 1"
    );
    assert_eq!(samples(&page, COUNT), [call]);
    assert_eq!(samples(&page, "mcp_rill_connections_opened_total").len(), 1);
    let turns = samples(&page, "mcp_rill_loop_turn_seconds_count").concat();
    assert!(turns.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap() > 0, "{turns}");
    // It is a request like any other.
    assert!(get(running.addr(), "/metrics", "evil.example").starts_with("HTTP/1.1 403"));
    let again = get(running.addr(), "/metrics", "127.0.0.1");
    assert_eq!(
        samples(&again, "mcp_rill_refusals_total"),
        ["mcp_rill_refusals_total{reason=\"forbidden\",status=\"403\"} 1"]
    );

    let without = Running::start(&ANY);
    assert!(get(without.addr(), "/metrics", "127.0.0.1").starts_with("HTTP/1.1 404"));
}

#[test]
fn an_address_for_operators_has_them_alone() {
    let folder = Folder::new();
    let tokens = folder.write("tokens", &format!("ada:{}\n", "a".repeat(32)));
    std::fs::set_permissions(&tokens, PermissionsExt::from_mode(0o600)).unwrap();
    let options = ["--token-file", &tokens, "--metrics", "--health-listen", "127.0.0.1:0"];
    let running = Running::start(&[&ANY[..], &options].concat());
    let address = operators(&running);
    assert!(running.said.contains(&format!("Metrics: http://{address}/metrics\n")), "{}", running.said);
    let page = get(address, "/metrics", "anything");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("\nprocess_start_time_seconds "), "{page}");
    assert!(get(running.addr(), "/metrics", "127.0.0.1").starts_with("HTTP/1.1 401"));
    // Without tokens there is none for clients either.
    let open = Running::start(&[&ANY[..], &options[2..]].concat());
    assert!(get(open.addr(), "/metrics", "127.0.0.1").starts_with("HTTP/1.1 404"));
    assert!(get(operators(&open), "/metrics", "anything").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_manifest_asks_for_them() {
    let folder = Folder::new();
    let manifest = r#"{"manifest": 1, "server": {"metrics": true, "health": "127.0.0.1:0"},
        "resources": [{"uri": "x:///a", "name": "a", "file": "m.json"}]}"#;
    let running = Running::start(&[&["serve", &*folder.write("m.json", manifest)], &ANY[..]].concat());
    done(&["read", &running.urls[0], "x:///a"]);
    let page = get(operators(&running), "/metrics", "anything");
    let count = "mcp_server_operation_duration_seconds_count{mcp_method_name=\"resources/read\",gen_ai_tool_name=\"\"";
    assert_eq!(samples(&page, count).len(), 1, "{page}");
}

#[test]
fn initialize_and_lists_are_timed_of_our_own_server_and_of_a_bridged_one() {
    let bridged = ["--metrics", "--", env!("CARGO_BIN_EXE_mcp-rill"), "serve", "--stdio"];
    let servers = [(&[][..], &["--metrics"][..]), (&["bridge"], &bridged)];
    for (verb, options) in servers.into_iter().filter(|(verb, _)| verb.is_empty() || cfg!(feature = "bridge"))
    {
        let running = Running::start(&[verb, &ANY, options].concat());
        for era in ["2026", "2025"] {
            done(&["list", &running.urls[0], "--era", era]);
        }
        let page = get(running.addr(), "/metrics", "127.0.0.1");
        for (method, version) in [
            ("initialize", "2025-11-25"),
            ("server/discover", "2026-07-28"),
            ("tools/list", "2025-11-25"),
            ("tools/list", "2026-07-28"),
            ("resources/list", "2026-07-28"),
            ("resources/templates/list", "2026-07-28"),
            ("prompts/list", "2025-11-25"),
        ] {
            let start = format!(
                "mcp_server_operation_duration_seconds_count{{mcp_method_name=\"{method}\",gen_ai_tool_name=\"\",error_type=\"\","
            );
            let end = format!("mcp_protocol_version=\"{version}\"}} 1");
            let counted = samples(&page, &start);
            assert!(
                counted.iter().any(|line| line.ends_with(&end)),
                "{verb:?} {method} {version}: {counted:?}"
            );
        }
    }
}

#[test]
fn names_that_a_client_makes_up_make_one_series() {
    let running = Running::start(&[&ANY[..], &["--metrics"]].concat());
    let mut socket = connect(running.addr());
    let meta = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    for number in 0..200 {
        let name = format!("made-up-{number}");
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{{"name":"{name}","_meta":{meta}}}}}"#
        );
        let fields =
            format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {name}\r\n");
        let request = post("/mcp", &body).replacen("\r\n", &format!("\r\n{fields}"), 1);
        socket.write_all(request.as_bytes()).unwrap();
        super::read_through(&mut socket, "\"error\":");
        super::read_through(&mut socket, "}}");
    }
    let page = get(running.addr(), "/metrics", "127.0.0.1");
    let counted = samples(&page, COUNT);
    assert!(
        counted.len() == 1 && counted[0].contains("\"_other\"") && counted[0].ends_with("} 200"),
        "{counted:?}"
    );
    assert!(!page.contains("made-up"), "{page}");
}

#[cfg(feature = "bridge")]
#[test]
fn calls_of_bridged_servers_are_counted() {
    let options = ["--metrics", "--", env!("CARGO_BIN_EXE_mcp-rill"), "serve", "--stdio"];
    let running = Running::start(&[&["bridge"], &ANY[..], &options].concat());
    let url = &running.urls[0];
    for era in ["2026", "2025"] {
        assert_eq!(done(&["call", url, "echo", "text=hello", "--era", era]), "hello\n");
    }
    let page = get(running.addr(), "/metrics", "127.0.0.1");
    let counted = samples(&page, COUNT);
    let of = |version: &str| {
        let end = format!(
            "gen_ai_tool_name=\"echo\",error_type=\"\",network_transport=\"tcp\",mcp_protocol_version=\"{version}\"}} 1"
        );
        counted.iter().any(|line| line.ends_with(&end))
    };
    assert!(of("2026-07-28") && of("2025-11-25"), "{counted:?}");
}
