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

/// Stands in for OpenWrt's `/etc/rc.common` and functions of procd, which it calls with the path of the script and an action: each call
/// of procd is a line, whose words are separated by a control character.
const RC_COMMON: &str = r#"
set -eu
initscript=$1 action=$2
tell() { printf '%s\037' "$@"; echo; }
for name in open_instance set_param close_instance kill send_signal; do
    eval "procd_$name() { tell $name \"\$@\"; }"
done
. "$initscript"
[ "$USE_PROCD" = 1 ] && [ "$START" -gt 0 ] && [ "$STOP" -gt 0 ]
start() { start_service; }
stop() { procd_kill "${initscript##*/}"; }
reload() { if type reload_service >/dev/null; then reload_service; else start; fi; }
"$action"
"#;

/// The parameters that procd knows; it ignores any other.
const PARAMETERS: [&str; 21] = [
    "env",
    "data",
    "limits",
    "command",
    "netdev",
    "file",
    "respawn",
    "watch",
    "watchdog",
    "error",
    "nice",
    "term_timeout",
    "reload_signal",
    "pidfile",
    "user",
    "group",
    "seccomp",
    "capabilities",
    "stdout",
    "stderr",
    "no_new_privs",
];

/// What the script tells procd for an action, as each shell runs it that is here: `sh`, and the one of OpenWrt.
fn procd(action: &str) -> Vec<Vec<String>> {
    let script = root().join(INIT);
    let shells = [&["sh"][..], &["busybox", "ash"], &["bash", "--posix"]].into_iter().filter_map(|shell| {
        let (program, options) = shell.split_first().unwrap();
        let mut command = Command::new(program);
        command.args(options).args(["-c", RC_COMMON, "rc.common"]).arg(&script).arg(action);
        let told = match command.output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && *program != "sh" => return None,
            told => told.unwrap(),
        };
        assert!(told.status.success() && told.stderr.is_empty(), "{shell:?} {action}: {told:?}");
        Some(String::from_utf8(told.stdout).unwrap())
    });
    let mut told: Vec<String> = shells.collect();
    told.dedup();
    assert_eq!(told.len(), 1, "the shells differ: {told:#?}");
    let words = |line: &str| line.split_terminator('\u{1f}').map(str::to_owned).collect();
    told[0].lines().map(words).collect()
}

/// The value of a parameter of the only instance.
fn parameter(name: &str) -> Vec<String> {
    let told = procd("start");
    let of_name = |words: &&Vec<String>| words[0] == "set_param" && words[1] == name;
    told.iter().find(of_name).unwrap_or_else(|| panic!("{told:?}"))[2..].to_vec()
}

/// The words of an instruction of the container file that has a list.
fn container(instruction: &str) -> Vec<String> {
    let text = read(CONTAINER);
    let line = text.lines().find(|line| line.starts_with(instruction)).unwrap();
    serde_json::from_str(&line[line.find('[').unwrap()..]).unwrap()
}

/// The command lines, without the program.
fn commands() -> Vec<(&'static str, Vec<String>)> {
    let procd = parameter("command");
    assert_eq!(procd[0], "/usr/bin/mcp-rill");
    vec![
        (UNIT, exec_start(UNIT)),
        (DROP_IN, exec_start(DROP_IN)),
        (INIT, procd[1..].to_vec()),
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
fn the_script_of_procd_starts_serves_reloads_and_stops() {
    assert!(read(INIT).starts_with("#!/bin/sh /etc/rc.common\n"));
    let told = procd("start");
    let calls: Vec<&str> = told.iter().map(|words| &*words[0]).collect();
    assert!(
        matches!(&calls[..], ["open_instance", rest @ .., "close_instance"] if rest.iter().all(|call| *call == "set_param"))
    );
    for words in &told[1..told.len() - 1] {
        assert!(PARAMETERS.contains(&&*words[1]), "procd does not know {}", words[1]);
    }

    let folder = Folder::new();
    let socket = folder.0.join("s").display().to_string();
    std::fs::create_dir(folder.0.join("manifests")).unwrap();
    let manifest = |name: &str| {
        let tool = format!(
            r#"{{"name": "{name}", "description": "d", "argv": ["/bin/echo", "ready"], "inputSchema": {{"type": "object"}}}}"#
        );
        folder.write("manifests/m.json", &format!(r#"{{"manifest": 1, "tools": [{tool}]}}"#));
    };
    manifest("before");
    let command = parameter("command");
    let place = |word: &String| match word.as_str() {
        "/etc/mcp-rill" => folder.0.join("manifests").display().to_string(),
        word => word.replace("/var/run/mcp-rill.socket", &socket),
    };
    let mut started = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
    started.args(command[1..].iter().map(place));
    let mut running = Running::with_stderr(started, Stdio::null());
    let target = format!("unix://{socket}#/mcp");
    assert_eq!(done(&["call", &target, "before"]), "ready\n");

    manifest("after");
    let [call] = &procd("reload")[..] else { panic!("{:?}", procd("reload")) };
    let [_, service, instance, signal] = &call[..] else { panic!("{call:?}") };
    assert_eq!((&*call[0], &**service, &**instance), ("send_signal", "mcp-rill", "*"));
    running.guard.signal(signal);
    let begun = std::time::Instant::now();
    while !done(&["list", &target, "tools"]).starts_with("after") {
        assert!(begun.elapsed() < super::PATIENCE, "the manifest was not read again");
    }
    assert_eq!(done(&["call", &target, "after"]), "ready\n");

    assert_eq!(procd("stop"), [["kill", "mcp-rill.init"]]);
    running.guard.signal("TERM");
    assert_eq!(running.guard.exit_code(), Some(0));
}

#[test]
fn the_unit_and_the_server_agree() {
    let unit = read(UNIT);
    assert_eq!(values(&unit, "Type"), ["notify"]);
    assert_eq!(values(&unit, "ExecReload"), ["/bin/kill -HUP $MAINPID"]);
    let grace = mcp_rill::Limits::DEFAULT.shutdown_grace.as_secs();
    let stop: u64 = values(&unit, "TimeoutStopSec")[0].trim_end_matches('s').parse().unwrap();
    assert!(stop > grace, "systemd kills it before its grace is over");
    assert!(parameter("term_timeout")[0].parse::<u64>().unwrap() > grace);
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
