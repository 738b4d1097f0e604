//! The servers that a manifest names, each below its name.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mcp_rill::client::{Client, Transport};
use serde_json::{Value, json};

use super::{Bridge, PATIENCE, call, refused, started};

const ALL: [Transport; 3] = [Transport::Sse, Transport::Streamable, Transport::Stateless];

/// A folder that is removed with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("rill-bridge-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An entry for the child of these tests with these keys besides.
fn entry_with(keys: Value) -> Value {
    let mut entry = entry(json!({}));
    for (key, value) in keys.as_object().unwrap() {
        entry[key] = value.clone();
    }
    entry
}

/// An entry for the child of these tests.
fn entry(tools: Value) -> Value {
    let own = std::env::current_exe().unwrap();
    let script = "exec 3>&1 >/dev/null; exec \"$0\" --exact child::child";
    json!({"command": "/bin/sh", "args": ["-c", script, own], "env": {"RILL_CHILD": "serve"}, "tools": tools})
}

fn serve(folder: &Folder, manifest: &Value) -> Bridge {
    let file = folder.0.join("servers.json");
    std::fs::write(&file, manifest.to_string()).unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
    process.arg("serve").arg(&file).args(["--listen", "127.0.0.1:0"]).env("SECRET_OF_OURS", "x");
    started(process)
}

fn disk() -> Value {
    json!({"name": "own", "description": "Say hello", "argv": ["/bin/echo", "hello"]})
}

#[test]
fn each_server_is_below_its_name_and_the_manifest_at_the_root() {
    let folder = Folder::new("each");
    let servers = json!({"one": entry(json!({})), "two": entry(json!({}))});
    let bridge = serve(&folder, &json!({"manifest": 1, "tools": [disk()], "mcpServers": servers}));
    for transport in ALL {
        let mut own = bridge.connect(transport);
        assert_eq!(call(&mut own, "own", "{}").trim(), "hello");
        let mut pids = vec![];
        for name in ["one", "two"] {
            let mut client = bridge.client_of(name, transport).unwrap();
            pids.push(call(&mut client, "pid", "{}"));
            assert!(call(&mut client, "own", "{}").contains("there is no tool own"));
        }
        assert_ne!(pids[0], pids[1]);
    }
}

#[test]
fn a_session_is_known_below_its_name_alone() {
    let folder = Folder::new("alone");
    let servers = json!({"one": entry(json!({})), "two": entry(json!({}))});
    let bridge = serve(&folder, &json!({"manifest": 1, "tools": [disk()], "mcpServers": servers}));
    let client = bridge.client_of("one", Transport::Streamable).unwrap();
    let id = client.session_id().unwrap().to_owned();
    let status = |path: &str| {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let fields = format!(
            "Host: localhost\r\nContent-Type: application/json\r\nMcp-Session-Id: {id}\r\nConnection: close"
        );
        let mut socket = TcpStream::connect(&bridge.address).unwrap();
        write!(socket, "POST {path} HTTP/1.1\r\n{fields}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(["/one/mcp", "/two/mcp", "/mcp", "/three/mcp"].map(status), ["200", "404", "404", "404"]);
}

#[test]
fn a_single_server_is_at_the_root_too() {
    let folder = Folder::new("single");
    let bridge = serve(&folder, &json!({"manifest": 1, "mcpServers": {"only": entry(json!({}))}}));
    for transport in ALL {
        call(&mut bridge.connect(transport), "pid", "{}");
        call(&mut bridge.client_of("only", transport).unwrap(), "pid", "{}");
    }
}

#[test]
fn without_a_server_of_its_own_the_root_names_the_others() {
    let folder = Folder::new("none");
    let servers = json!({"one": entry(json!({})), "two": entry(json!({}))});
    let bridge = serve(&folder, &json!({"manifest": 1, "mcpServers": servers}));
    let error =
        bridge.builder(Transport::Streamable).connect(&bridge.url(Transport::Streamable)).unwrap_err();
    assert!(error.to_string().contains("such as `/one/m"), "{error}");
}

#[test]
fn tools_that_are_not_allowed_do_not_exist() {
    let folder = Folder::new("tools");
    let servers = json!({"some": entry(json!({"allow": ["e*", "drop_all"], "deny": ["*_all"]}))});
    let bridge = serve(&folder, &json!({"manifest": 1, "mcpServers": servers}));
    for transport in ALL {
        let mut client = bridge.connect(transport);
        let list = client.request("tools/list", None).unwrap().get().to_owned();
        assert!(list.contains(r#""name":"echo""#) && !list.contains("drop_all"), "{list}");
        assert!(refused(&mut client, "drop_all", "{}").contains("unknown tool `drop_all`"));
        client.call_tool("echo", "{}").unwrap();
    }
}

/// Each entry has its own number of processes, and its own time for each.
#[test]
fn each_server_has_its_own_processes() {
    let folder = Folder::new("processes");
    let servers = json!({
        "eager": entry_with(json!({"isolate": "shared", "eager": true})),
        "two": entry_with(json!({"childrenMax": 2, "restart": "never"})),
        "idle": entry_with(json!({"childIdleSeconds": 1})),
    });
    let bridge = serve(&folder, &json!({"manifest": 1, "mcpServers": servers}));
    // The only one that runs before anybody asks for it.
    let eager = super::eager::next(&bridge, "");
    let mut clients = [(); 2].map(|()| bridge.client_of("eager", Transport::Streamable).unwrap());
    clients.iter_mut().for_each(|client| assert_eq!(call(client, "pid", "{}"), eager));

    let mut clients = [(); 2].map(|()| bridge.client_of("two", Transport::Streamable).unwrap());
    let error = bridge.client_of("two", Transport::Streamable).unwrap_err().to_string();
    assert!(
        error.contains("the server `two` has as many processes as it may have: 2 (childrenMax)"),
        "{error}"
    );
    let pid = call(&mut clients[0], "pid", "{}");
    super::signal("KILL", pid.parse().unwrap());
    bridge.says("two: it was ended by signal 9");
    let error = refused(&mut clients[0], "pid", "{}");
    assert!(error.contains(r#"and is not started again ("restart": "never")"#), "{error}");
    assert_ne!(call(&mut clients[1], "pid", "{}"), pid);

    let mut client = bridge.client_of("idle", Transport::Streamable).unwrap();
    let pid = call(&mut client, "pid", "{}");
    super::wait_until("it ends", || !super::is_alive(&pid));
    assert_ne!(call(&mut client, "pid", "{}"), pid);
}

#[test]
fn on_standard_input_and_output_there_is_one_server() {
    let folder = Folder::new("stdio");
    let command = |servers: Value| {
        let file = folder.0.join("servers.json");
        std::fs::write(&file, json!({"manifest": 1, "mcpServers": servers}).to_string()).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
        process.arg("serve").arg(&file).arg("--stdio");
        process
    };
    let mut client =
        Client::builder().request_timeout(PATIENCE).spawn(command(json!({"one": entry(json!({}))}))).unwrap();
    assert_eq!(call(&mut client, "keep", r#"{"text":"x"}"#), "kept");
    client.close();
    let two = json!({"one": entry(json!({})), "two": entry(json!({}))});
    let refused = command(two).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(2) && said.contains("the manifest names 2: use --listen, or name one"),
        "{said}"
    );
}

#[test]
fn a_broken_server_says_why_and_others_serve() {
    let folder = Folder::new("broken");
    let broken = json!({"command": "/bin/sh", "args": ["-c", "echo no license >&2; exit 9"]});
    let bridge =
        serve(&folder, &json!({"manifest": 1, "mcpServers": {"bad": broken, "good": entry(json!({}))}}));
    let error = bridge.client_of("bad", Transport::Streamable).unwrap_err().to_string();
    assert!(error.contains("the server `bad` ended with exit code 9; its last words: no license"), "{error}");
    bridge.says("bad: no license");
    call(&mut bridge.client_of("good", Transport::Streamable).unwrap(), "pid", "{}");
}

#[test]
fn a_server_gets_its_environment_and_few_variables_of_ours() {
    let folder = Folder::new("environment");
    let script = r#"read line; echo '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"'$OWN-$SECRET_OF_OURS-$PATH'","version":"1"}}}'; read line"#;
    let server = json!({"command": "sh", "args": ["-c", script], "env": {"OWN": "own"}});
    let bridge = serve(&folder, &json!({"manifest": 1, "mcpServers": {"env": server}}));
    let info = bridge.client().server_info().unwrap().text().to_owned();
    assert!(info.contains(r#""name":"own--/"#), "{info}");
}
