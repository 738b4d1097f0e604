//! What the binary tells a service manager, what it takes from one, and how it ends: no manager is needed, only its sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::metrics::{get, operators};
use super::shell::{Folder, done, run};
use super::{ANY, Guard, PATIENCE, Running, connect, read_through};

/// The manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    folder: Folder,
}

impl Manager {
    fn new() -> Manager {
        let folder = Folder::new();
        let socket = UnixDatagram::bind(folder.0.join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager { socket, folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
        command.args(arguments).env("NOTIFY_SOCKET", self.folder.0.join("notify"));
        command
    }

    /// The next message.
    fn next(&self) -> String {
        let mut bytes = [0; 512];
        let count = self.socket.recv(&mut bytes).expect("the manager is told nothing");
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }
}

#[test]
fn the_manager_is_told_when_it_serves_reads_again_and_ends() {
    let manager = Manager::new();
    let tokens = manager.folder.write("tokens", &format!("ada:{}\n", "a".repeat(32)));
    std::fs::set_permissions(&tokens, PermissionsExt::from_mode(0o600)).unwrap();
    let mut running = Running::of(manager.command(&[&ANY[..], &["--token-file", &tokens]].concat()));
    assert_eq!(manager.next(), "READY=1");
    running.guard.signal("HUP");
    let reloading = manager.next();
    let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&reloading);
    assert!(micros.parse::<u64>().unwrap() > 0);
    assert_eq!(manager.next(), "READY=1");
    running.guard.signal("TERM");
    assert_eq!(manager.next(), "STOPPING=1");
    assert_eq!(running.guard.exit_code(), Some(0));
}

#[test]
fn a_reload_of_nothing_ends_too() {
    let manager = Manager::new();
    let running = Running::of(manager.command(&ANY));
    assert_eq!(manager.next(), "READY=1");
    running.guard.signal("HUP");
    assert!(manager.next().starts_with("RELOADING=1\n"));
    assert_eq!(manager.next(), "READY=1");
}

#[cfg(target_os = "linux")]
#[test]
fn a_manager_may_listen_at_an_abstract_address() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("mcp-rill-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-rill"));
    command.args(ANY).env("NOTIFY_SOCKET", format!("@{name}"));
    let _running = Running::of(command);
    let mut bytes = [0; 64];
    let count = socket.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..count], b"READY=1");
}

#[test]
fn the_watchdog_is_told_of_an_idle_loop_too() {
    let manager = Manager::new();
    let mut command = manager.command(&ANY);
    command.env("WATCHDOG_USEC", "100000");
    let running = Running::of(command);
    let mut seen = 0;
    while seen < 3 {
        seen += usize::from(manager.next() == "WATCHDOG=1");
    }
    // Nobody is told that a stopped process lives.
    running.guard.signal("STOP");
    manager.socket.set_nonblocking(true).unwrap();
    let start = Instant::now();
    let mut bytes = [0; 64];
    let mut quiet = Instant::now();
    while quiet.elapsed() < Duration::from_millis(500) {
        assert!(start.elapsed() < PATIENCE, "it goes on");
        match manager.socket.recv(&mut bytes) {
            Ok(_) => quiet = Instant::now(),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    running.guard.signal("CONT");
}

#[test]
fn the_watchdog_of_another_process_is_not_answered() {
    let manager = Manager::new();
    let mut command = manager.command(&ANY);
    command.env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
    let running = Running::of(command);
    assert_eq!(manager.next(), "READY=1");
    running.guard.signal("TERM");
    assert_eq!(manager.next(), "STOPPING=1", "no WATCHDOG=1 before");
}

/// The binary, once a shell has moved its standard error to descriptor 3 and become it, so that the process id is the one it names.
fn activated(pid: &str, arguments: &[&str]) -> Command {
    let script = format!("exec 3<&2 2>/dev/null; export LISTEN_PID={pid} LISTEN_FDS=1; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_mcp-rill")]).args(arguments);
    command
}

/// A socket for standard error.
fn handed_over(socket: impl Into<OwnedFd>) -> Stdio {
    Stdio::from(socket.into())
}

#[test]
fn a_socket_that_is_handed_over_is_served_instead_of_the_default_address() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    // A client may be there before the server.
    let mut early = connect(address);
    early.write_all(b"GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    let running = Running::with_stderr(activated("$$", &[]), handed_over(socket.try_clone().unwrap()));
    assert_eq!(running.urls, [format!("http://{address}/mcp")], "{}", running.said);
    read_through(&mut early, "event: endpoint\ndata: ");
    assert!(done(&["list", &running.urls[0]]).contains("echo("));
}

#[test]
fn a_unix_socket_is_handed_over_with_options_about_its_users() {
    let folder = Folder::new();
    let path = folder.0.join("s");
    let socket = UnixListener::bind(&path).unwrap();
    let command = activated("$$", &["--peer-uid"]);
    let running = Running::with_stderr(command, handed_over(socket.try_clone().unwrap()));
    assert!(
        done(&["list", &format!("unix://{}#/mcp", path.display())]).contains("echo("),
        "{}",
        running.said
    );
    drop(running);
    assert!(path.exists(), "the file belongs to the manager");
}

#[test]
fn other_addresses_may_be_added_and_sockets_of_others_are_left_alone() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let command = activated("$$", &ANY);
    let both = Running::with_stderr(command, handed_over(socket.try_clone().unwrap()));
    assert_eq!(both.urls.len(), 2, "{}", both.said);
    let other = Running::with_stderr(activated("1", &ANY), handed_over(socket.try_clone().unwrap()));
    assert_eq!(other.urls.len(), 1, "{}", other.said);
}

#[test]
fn what_is_no_listening_socket_is_named() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let script = "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_mcp-rill")]);
    command.stdin(Stdio::from(OwnedFd::from(socket))).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut guard = Guard(command.spawn().unwrap());
    assert_eq!(guard.exit_code(), Some(1));
    let mut said = String::new();
    guard.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("descriptor 3 (LISTEN_FDS) cannot be served"), "{said}");
}

#[test]
fn a_server_that_nobody_uses_ends() {
    let mut unused = Running::start(&[&ANY[..], &["--idle-exit", "50ms"]].concat());
    assert_eq!(unused.guard.exit_code(), Some(0));
    // A session keeps it.
    let mut used = Running::start(&[&ANY[..], &["--idle-exit", "1500ms"]].concat());
    let stream = used.open();
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(used.guard.0.try_wait().unwrap(), None);
    drop(stream);
    assert_eq!(used.guard.exit_code(), Some(0));
}

#[test]
fn a_server_that_drains_says_so_and_serves_on() {
    let options = ["--health-listen", "127.0.0.1:0", "--drain-delay", "1h"];
    let mut running = Running::start(&[&ANY[..], &options].concat());
    let checks = operators(&running);
    assert!(get(checks, "/readyz", "x").starts_with("HTTP/1.1 200"));
    running.guard.signal("TERM");
    let start = Instant::now();
    while !get(checks, "/readyz", "x").contains("the server is draining") {
        assert!(start.elapsed() < PATIENCE, "it is ready for ever");
    }
    assert!(get(checks, "/livez", "x").starts_with("HTTP/1.1 200"));
    assert!(done(&["list", &running.urls[0]]).contains("echo("), "clients are served");
    running.guard.signal("TERM");
    assert_eq!(running.guard.exit_code(), Some(143), "a second signal ends it at once");

    let mut short = Running::start(&[&ANY[..], &["--drain-delay", "10ms"]].concat());
    let mut stream = short.open();
    short.guard.signal("TERM");
    stream.until_the_end();
    assert_eq!(short.guard.exit_code(), Some(0));
    assert!(TcpStream::connect(short.addr()).is_err());
}

#[test]
fn times_of_options_are_read_as_those_of_limits() {
    for option in ["--drain-delay", "--idle-exit"] {
        let (code, _, err) = run(&[&ANY[..], &[option, "soon"]].concat());
        assert!(code == 2 && err.contains(&format!("{option} soon: write a time such as 500ms")), "{err}");
    }
}
