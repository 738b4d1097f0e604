//! The files under `examples/deploy` and the unit of the package: their command lines start a server, and name options that exist.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::shell::{Folder, done};
use super::{Running, output};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

const UNIT: &str = "packages/mcp-rill.service";
const DROP_IN: &str = "examples/deploy/systemd/mcp-rill.service.d/socket.conf";
const SOCKET: &str = "examples/deploy/systemd/mcp-rill.socket";
const INIT: &str = "examples/deploy/openwrt/mcp-rill.init";
const CONTAINER: &str = "examples/deploy/Containerfile";

/// The values of a key of a unit.
fn values(text: &str, key: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.map(str::to_owned).filter(|value| !value.is_empty()).collect()
}

/// The arguments of the last `ExecStart`.
fn exec_start(path: &str) -> Vec<String> {
    let line = values(&read(path), "ExecStart").pop().unwrap();
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    assert_eq!(words[0], "/usr/bin/mcp-rill");
    words[1..].to_vec()
}

/// What `start_service` passes to procd: its parameters, a line each.
fn procd() -> Vec<Vec<String>> {
    let stubs =
        "procd_open_instance() { :; }; procd_close_instance() { :; }; procd_set_param() { echo \"$@\"; }";
    let script = format!("{stubs}; . '{}'; start_service", root().join(INIT).display());
    let told = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(told.status.success() && told.stderr.is_empty(), "{told:?}");
    let told = String::from_utf8(told.stdout).unwrap();
    told.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

/// The words of an instruction of the container file that has a list.
fn container(instruction: &str) -> Vec<String> {
    let text = read(CONTAINER);
    let line = text.lines().find(|line| line.starts_with(instruction)).unwrap();
    serde_json::from_str(&line[line.find('[').unwrap()..]).unwrap()
}

/// The command lines, without the program.
fn commands() -> Vec<(&'static str, Vec<String>)> {
    let procd = procd().into_iter().find(|words| words[0] == "command").unwrap();
    assert_eq!(procd[1], "/usr/bin/mcp-rill");
    vec![
        (UNIT, exec_start(UNIT)),
        (DROP_IN, exec_start(DROP_IN)),
        (INIT, procd[2..].to_vec()),
        (CONTAINER, container("CMD")),
        (CONTAINER, container("HEALTHCHECK")[1..].to_vec()),
    ]
}

#[test]
fn their_options_exist() {
    let help = |verb: &str| String::from_utf8(output(&[verb, "--help"]).stdout).unwrap();
    let all = String::from_utf8(output(&["serve", "--help", "options"]).stdout).unwrap() + &help("ping");
    let known: Vec<&str> = all.split_whitespace().filter(|word| word.starts_with("--")).collect();
    for (file, words) in commands() {
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(known.contains(&option.as_str()), "{file}: there is no {option}");
        }
    }
}

#[test]
fn their_command_lines_start_a_server() {
    for (file, words) in commands().into_iter().filter(|(_, words)| words[0] == "serve") {
        let folder = Folder::new();
        let manifests = folder.0.join("manifests");
        std::fs::create_dir(&manifests).unwrap();
        std::fs::write(manifests.join("m.json"), r#"{"manifest": 1}"#).unwrap();
        let tokens = folder.write("tokens", &format!("ada:{}\n", "a".repeat(32)));
        std::fs::set_permissions(&tokens, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let place = |word: &String| match word.as_str() {
            "/etc/mcp-rill" => manifests.display().to_string(),
            "/run/secrets/tokens" => tokens.clone(),
            socket if socket.starts_with("unix:") => format!("unix:{}", folder.0.join("s").display()),
            address if address.ends_with(":3001") || address.ends_with(":9000") => "127.0.0.1:0".to_owned(),
            word => word.to_owned(),
        };
        let mut words: Vec<String> = words.iter().map(place).collect();
        if file == DROP_IN {
            // In the place of the socket that is handed over.
            words.extend(["--listen".to_owned(), "127.0.0.1:0".to_owned()]);
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
        command.args(&words);
        let running = Running::with_stderr(command, Stdio::null());
        if let Some(line) = running.said.lines().find_map(|line| line.strip_prefix("Health checks: ")) {
            let [verb, _, rest @ ..] = &container("HEALTHCHECK")[1..] else { panic!("{file}") };
            let mut asked = vec![verb.as_str(), line.strip_suffix("/readyz").unwrap()];
            asked.extend(rest.iter().map(String::as_str));
            assert_eq!(done(&asked), "ready\n", "{file}");
        }
        assert!(running.said.contains(" serves "), "{file}: {}", running.said);
    }
}

#[test]
fn the_unit_and_the_server_agree() {
    let unit = read(UNIT);
    assert_eq!(values(&unit, "Type"), ["notify"]);
    assert_eq!(values(&unit, "ExecReload"), ["/bin/kill -HUP $MAINPID"]);
    let grace = mcp_rill::Limits::DEFAULT.shutdown_grace.as_secs();
    let stop: u64 = values(&unit, "TimeoutStopSec")[0].trim_end_matches('s').parse().unwrap();
    assert!(stop > grace, "systemd kills it before its grace is over");
    let of_procd = procd().into_iter().find(|words| words[0] == "term_timeout").unwrap();
    assert!(of_procd[1].parse::<u64>().unwrap() > grace);
    // The socket is not in a folder that goes with the service.
    let runtime = format!("/run/{}/", values(&unit, "RuntimeDirectory")[0]);
    let listened = values(&read(SOCKET), "ListenStream");
    assert!(listened.len() == 1 && !listened[0].starts_with(&runtime), "{listened:?}");
}

/// Where systemd is installed, it checks the units itself.
#[test]
fn systemd_accepts_the_units() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return;
    }
    let folder = Folder::new();
    let program = env!("CARGO_BIN_EXE_mcp-rill");
    let unit =
        read(UNIT).replace("/usr/bin/mcp-rill", program).replace("Documentation=man:mcp-rill(1)\n", "");
    folder.write("mcp-rill.service", &unit);
    folder.write("mcp-rill.socket", &read(SOCKET).replace("Documentation=man:mcp-rill(1)\n", ""));
    let paths = ["mcp-rill.service", "mcp-rill.socket"].map(|name| folder.0.join(name));
    let found = Command::new("systemd-analyze").arg("verify").args(&paths).output().unwrap();
    let said = String::from_utf8_lossy(&found.stderr).into_owned();
    let ours = |line: &&str| Path::new(line.split(':').next().unwrap_or_default()).starts_with(&folder.0);
    assert_eq!(said.lines().filter(ours).collect::<Vec<_>>(), [""; 0], "{said}");
}
