//! Unix sockets: who can connect when, what is replaced and what is left alone.
#![cfg(all(unix, feature = "net"))]
// Real sockets go with real time.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Duration;

use mcp_rill::net::{Address, Handle, Listening};
use mcp_rill::{Peer, Principal, Server};

/// How long a test waits for what must happen; nothing is decided by it except failure.
const PATIENCE: Duration = Duration::from_secs(20);

fn server() -> Server {
    Server::new("test", "1")
}

/// A directory of a test's own, with a short name: the path of a socket is short.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rill{}-{count}", std::process::id()));
        fs::create_dir(&path).unwrap();
        let folder = Folder(path);
        folder.set_mode(0o755);
        folder
    }

    fn set_mode(&self, mode: u32) {
        fs::set_permissions(&self.0, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.0.join("s")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn address(path: &Path) -> Address {
    format!("unix:{}", path.display()).into()
}

fn listen(path: &Path) -> std::io::Result<Listening> {
    server().listen(address(path))
}

/// A server on a thread of its own until the end of the test.
struct Running(Handle, Option<thread::JoinHandle<()>>);

impl Running {
    fn start(listening: Listening) -> Running {
        Running(listening.handle(), Some(thread::spawn(|| listening.run().unwrap())))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.shutdown(Duration::ZERO);
        self.1.take().unwrap().join().unwrap();
    }
}

fn connect(path: &Path) -> UnixStream {
    let socket = UnixStream::connect(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn through(socket: &mut impl Read, end: &str) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(end.as_bytes()) {
        socket.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

/// The status of a `HEAD /sse` with these fields.
fn status(path: &Path, fields: &str) -> String {
    let mut socket = connect(path);
    write!(socket, "HEAD /sse HTTP/1.1\r\n{fields}\r\n").unwrap();
    through(&mut socket, "\r\n").split(' ').nth(1).unwrap().to_owned()
}

fn post(path: &Path, endpoint: &str) -> String {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let length = body.len();
    let mut socket = connect(path);
    write!(
        socket,
        "POST {endpoint} HTTP/1.1\r\nHost: any\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    through(&mut socket, "\r\n").split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn a_folder_that_others_may_write_is_refused_unless_it_is_sticky() {
    let folder = Folder::new();
    let inner = folder.0.join("inner");
    fs::create_dir(&inner).unwrap();
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o700)).unwrap();
    for (mode, shown) in [(0o777, "0777"), (0o775, "0775"), (0o757, "0757"), (0o2775, "2775")] {
        folder.set_mode(mode);
        // Who may write in the folder above may move this one away.
        for path in [folder.path(), inner.join("s")] {
            let error = listen(&path).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            let text = error.to_string();
            let place = folder.0.display();
            assert!(text.contains(&format!("{place}: other users may write in it (mode {shown})")), "{text}");
            assert!(text.contains(&format!("chmod go-w {place}")), "{text}");
        }
        assert_eq!((folder.names(), fs::read_dir(&inner).unwrap().count()), (vec!["inner".to_owned()], 0));
    }
    for mode in [0o1777, 0o755, 0o700] {
        folder.set_mode(mode);
        drop(listen(&folder.path()).unwrap());
        drop(listen(&inner.join("s")).unwrap());
    }
}

#[test]
fn a_link_to_a_folder_is_followed_once() {
    let (real, links) = (Folder::new(), Folder::new());
    let link = links.0.join("run");
    std::os::unix::fs::symlink(&real.0, &link).unwrap();
    let listening = listen(&link.join("s")).unwrap();
    assert_eq!(real.names(), ["s"]);
    // It leads elsewhere by now, and another file of that name stays.
    let other = Folder::new();
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&other.0, &link).unwrap();
    fs::write(other.path(), "").unwrap();
    drop(listening);
    assert_eq!((real.names().len(), other.names().len()), (0, 1));
    // The folder behind a link is the one that counts.
    other.set_mode(0o777);
    assert_eq!(listen(&link.join("t")).err().unwrap().kind(), ErrorKind::PermissionDenied);
}

#[test]
fn a_hook_that_panics_closes_that_connection_and_no_other() {
    let folder = Folder::new();
    let mut listening = listen(&folder.path()).unwrap();
    let mut calls = 0;
    listening.on_accept(move |_, _| {
        calls += 1;
        assert!(calls != 1, "a hook that fails the first time");
        Ok(None)
    });
    let (tell, told) = mpsc::channel();
    listening.on_event(move |event| {
        let _ = tell.send(format!("{event:?}"));
    });
    let _running = Running::start(listening);
    let mut refused = connect(&folder.path());
    let _ = refused.write_all(b"HEAD /sse HTTP/1.0\r\nHost: any\r\n\r\n");
    let mut text = Vec::new();
    // It may be reset, with what was not read.
    let _ = refused.read_to_end(&mut text);
    assert!(text.is_empty(), "it is closed without an answer");
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), r#"HookPanicked { hook: "on_accept" }"#);
    let mut served = connect(&folder.path());
    served.write_all(b"HEAD /sse HTTP/1.0\r\nHost: any\r\n\r\n").unwrap();
    served.read_to_end(&mut text).unwrap();
    assert!(text.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&text));
}

#[test]
fn requests_are_served_beside_those_over_tcp() {
    let folder = Folder::new();
    let path = folder.path();
    let mut listening = server().listen("127.0.0.1:0").unwrap();
    listening.also_listen(address(&path)).unwrap();
    let addr = listening.local_addrs().next().unwrap();
    assert_eq!(listening.local_addrs().count(), 1);
    assert_eq!(listening.local_paths().collect::<Vec<_>>(), [&path]);
    let _running = Running::start(listening);
    let mut stream = std::net::TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    through(&mut stream, "event: endpoint\ndata: ");
    let endpoint = through(&mut stream, "\n\n");
    assert_eq!(post(&path, endpoint.trim_end()), "202");
    assert!(through(&mut stream, "\n\n").contains(r#""id":1,"result":{}"#));

    let mut stream = connect(&path);
    stream.write_all(b"GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    through(&mut stream, "event: endpoint\ndata: ");
    let endpoint = through(&mut stream, "\n\n");
    assert_eq!(post(&path, endpoint.trim_end()), "202");
    assert!(through(&mut stream, "\n\n").contains(r#""id":1,"result":{}"#));
}

#[test]
fn any_host_may_be_named_and_no_origin() {
    let folder = Folder::new();
    let _running = Running::start(listen(&folder.path()).unwrap());
    for host in ["localhost", "any", "mcp.example:80", "127.0.0.1"] {
        assert_eq!(status(&folder.path(), &format!("Host: {host}\r\n")), "200", "{host}");
    }
    for origin in ["null", "http://localhost", "https://app.example"] {
        let fields = format!("Host: localhost\r\nOrigin: {origin}\r\n");
        assert_eq!(status(&folder.path(), &fields), "403", "{origin}");
    }
    assert_eq!(status(&folder.path(), ""), "400", "HTTP/1.1 has a host");
}

#[test]
fn the_accept_hook_sees_a_peer_without_an_address() {
    let folder = Folder::new();
    let mut listening = listen(&folder.path()).unwrap();
    let (tell, told) = mpsc::channel();
    let mut names = ["ann", "bob", "ann"].into_iter();
    listening.on_accept(move |socket, peer| {
        let socket = UnixStream::from(socket.try_clone_to_owned()?);
        tell.send((peer.clone(), socket.peer_addr()?.is_unnamed())).unwrap();
        names.next().map(|name| Some(Principal::new(name))).ok_or_else(|| ErrorKind::PermissionDenied.into())
    });
    let _running = Running::start(listening);
    let mut stream = connect(&folder.path());
    stream.write_all(b"GET /sse HTTP/1.1\r\nHost: any\r\n\r\n").unwrap();
    through(&mut stream, "event: endpoint\ndata: ");
    let endpoint = through(&mut stream, "\n\n");
    assert_eq!(post(&folder.path(), endpoint.trim_end()), "400", "a stranger's session");
    assert_eq!(post(&folder.path(), endpoint.trim_end()), "202");
    assert_eq!(connect(&folder.path()).read(&mut [0]).unwrap(), 0, "refused without a word");
    assert_eq!(told.recv().unwrap(), (Peer { unix: true, ..Peer::default() }, true));
}

#[test]
fn the_file_has_its_mode_and_nothing_else_is_left() {
    for mode in [0o600, 0o660, 0o666, 0o622] {
        let folder = Folder::new();
        let path = folder.path();
        let listening = server().listen(Address::Unix { path: path.clone(), mode }).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o7777, mode);
        assert_eq!(folder.names(), ["s"]);
        drop(listening);
        assert!(folder.names().is_empty());
    }
    let folder = Folder::new();
    let _listening = listen(&folder.path()).unwrap();
    assert_eq!(
        fs::symlink_metadata(folder.path()).unwrap().mode() & 0o7777,
        0o600,
        "for its owner, if not told"
    );
}

#[test]
fn it_is_never_there_with_another_mode() {
    let folder = Folder::new();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut seen = 0;
            while !over.load(Ordering::Relaxed) {
                for entry in fs::read_dir(&folder.0).unwrap().flatten() {
                    let Ok(found) = entry.metadata() else { continue };
                    let expected = if found.is_dir() { 0o700 } else { 0o600 };
                    assert_eq!(found.permissions().mode() & 0o7777, expected, "{:?}", entry.file_name());
                    assert!(found.is_dir() || found.file_type().is_socket());
                }
                // Who gets through has reached a server that listens.
                seen += u32::from(UnixStream::connect(folder.path()).is_ok());
            }
            seen
        });
        for _ in 0..300 {
            drop(listen(&folder.path()).unwrap());
        }
        over.store(true, Ordering::Relaxed);
        watch.join().unwrap();
    });
    assert!(folder.names().is_empty());
}

#[test]
fn what_a_dead_server_left_is_replaced() {
    let folder = Folder::new();
    drop(UnixListener::bind(folder.path()).unwrap());
    let stale = fs::symlink_metadata(folder.path()).unwrap();
    assert!(stale.file_type().is_socket());
    let _running = Running::start(listen(&folder.path()).unwrap());
    assert_eq!(status(&folder.path(), "Host: any\r\n"), "200");
    assert_eq!(folder.names(), ["s"]);
}

/// Fails, and leaves what is there alone; gives the message.
fn assert_left_alone(folder: &Folder, kind: ErrorKind) -> String {
    let names = folder.names();
    let file = fs::symlink_metadata(folder.path()).unwrap();
    let error = listen(&folder.path()).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    assert!(text.starts_with(&format!("unix:{}: ", folder.path().display())), "{text}");
    let now = fs::symlink_metadata(folder.path()).unwrap();
    assert_eq!((now.dev(), now.ino(), now.mode()), (file.dev(), file.ino(), file.mode()));
    assert_eq!(folder.names(), names);
    text
}

#[test]
fn a_server_that_listens_is_left_alone() {
    let folder = Folder::new();
    let _running = Running::start(listen(&folder.path()).unwrap());
    let text = assert_left_alone(&folder, ErrorKind::AddrInUse);
    assert!(text.contains("another server listens"), "{text}");
    assert_eq!(status(&folder.path(), "Host: any\r\n"), "200");
}

#[test]
fn what_is_no_socket_of_a_server_is_left_alone() {
    let folder = Folder::new();
    fs::write(folder.path(), "precious").unwrap();
    let text = assert_left_alone(&folder, ErrorKind::AlreadyExists);
    assert!(text.contains("not a socket"), "{text}");
    assert_eq!(fs::read_to_string(folder.path()).unwrap(), "precious");

    let folder = Folder::new();
    fs::create_dir(folder.path()).unwrap();
    assert_left_alone(&folder, ErrorKind::AlreadyExists);

    // A link to a stale socket is a link.
    let folder = Folder::new();
    let stale = folder.0.join("stale");
    drop(UnixListener::bind(&stale).unwrap());
    std::os::unix::fs::symlink(&stale, folder.path()).unwrap();
    assert_left_alone(&folder, ErrorKind::AlreadyExists);

    // A socket of another type refuses in another way.
    let folder = Folder::new();
    let _socket = UnixDatagram::bind(folder.path()).unwrap();
    let error = listen(&folder.path()).unwrap_err();
    assert!(error.to_string().contains("could not be checked"), "{error}");
    assert_eq!(folder.names(), ["s"]);
}

#[test]
fn of_two_that_start_at_once_one_listens() {
    for round in 0..200 {
        let folder = Folder::new();
        if round % 2 == 0 {
            drop(UnixListener::bind(folder.path()).unwrap());
        }
        let start = Barrier::new(2);
        let try_it = || {
            start.wait();
            listen(&folder.path())
        };
        let (one, two) = thread::scope(|scope| {
            let (one, two) = (scope.spawn(try_it), scope.spawn(try_it));
            (one.join().unwrap(), two.join().unwrap())
        });
        let (won, lost) = match (one, two) {
            (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
            both => panic!("{both:?}"),
        };
        assert_eq!(lost.kind(), ErrorKind::AddrInUse, "{lost}");
        drop(UnixStream::connect(folder.path()).unwrap());
        drop(won);
        assert!(folder.names().is_empty());
    }
}

#[test]
fn the_file_goes_with_the_server_if_it_is_still_the_same() {
    let folder = Folder::new();
    let running = Running::start(listen(&folder.path()).unwrap());
    let mut stream = connect(&folder.path());
    stream.write_all(b"GET /sse HTTP/1.1\r\nHost: any\r\n\r\n").unwrap();
    through(&mut stream, "event: endpoint");
    drop(running);
    assert!(folder.names().is_empty());

    let old = listen(&folder.path()).unwrap();
    fs::remove_file(folder.path()).unwrap();
    let new = listen(&folder.path()).unwrap();
    drop(old);
    drop(UnixStream::connect(folder.path()).unwrap());
    drop(new);
    assert!(folder.names().is_empty());

    let old = listen(&folder.path()).unwrap();
    fs::remove_file(folder.path()).unwrap();
    fs::write(folder.path(), "precious").unwrap();
    drop(old);
    assert_eq!(fs::read_to_string(folder.path()).unwrap(), "precious");
}

#[test]
fn a_path_can_be_as_long_as_the_system_allows() {
    let max = if cfg!(target_os = "linux") { 107 } else { 103 };
    let folder = Folder::new();
    let deep = folder.0.join("d".repeat(max - 3 - folder.0.as_os_str().len()));
    fs::create_dir(&deep).unwrap();
    let longest = deep.join("s");
    assert_eq!(longest.as_os_str().len(), max);
    #[cfg(target_os = "linux")]
    {
        // The directory that it is bound in has a longer path.
        let _running = Running::start(listen(&longest).unwrap());
        assert_eq!(status(&longest, "Host: any\r\n"), "200");
        assert_eq!(fs::symlink_metadata(&longest).unwrap().mode() & 0o7777, 0o600);
    }
    let error = listen(&deep.join("ss")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let text = error.to_string();
    assert!(text.contains(&format!("{} bytes", max + 1)) && text.contains(&max.to_string()), "{text}");
    assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
}

#[test]
fn a_place_that_cannot_be_is_named() {
    let folder = Folder::new();
    let missing = folder.0.join("missing");
    let error = listen(&missing.join("s")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("no such directory"), "{error}");
    assert!(error.to_string().contains(&missing.display().to_string()), "{error}");
    fs::write(&missing, "").unwrap();
    let error = listen(&missing.join("s")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADirectory, "{error}");
    assert!(server().listen("unix:").is_err());
    assert!(server().listen("unix:/").is_err());
}
