//! What lies between a socket and HTTP: transports that keep bytes, that begin with a handshake, and that fail.

use super::*;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use mcp_rill::Peer;
use mcp_rill::net::{ConnectedSocket, TcpSocket, Transport};

const MASK: u8 = 0x55;
/// What a client says first, and what it is told when the handshake is complete, and in the end. All of it is plain.
const HELLO: &[u8] = b"HELLO ";
const WELCOME: &[u8] = b"OK";
const BYE: &[u8] = b"BYE";

/// A transport that hides the bytes a little, with a handshake and an end of its own.
struct Masked {
    socket: TcpSocket,
    /// What the client has said in the handshake: the greeting, and a name of four letters.
    heard: Vec<u8>,
    is_handshaking: bool,
    /// What was read and not returned yet.
    incoming: Vec<u8>,
    /// What was taken and not written yet.
    kept: Vec<u8>,
    way: Way,
}

/// How it behaves.
#[derive(Clone)]
struct Way {
    /// It takes this many bytes at once, however many the socket would take.
    takes_max: usize,
    /// It returns this many bytes at once.
    returns_max: usize,
    /// The most that it was offered, and that it has kept.
    offered: Arc<AtomicUsize>,
    kept: Arc<AtomicUsize>,
}

impl Default for Way {
    fn default() -> Way {
        Way { takes_max: usize::MAX, returns_max: usize::MAX, offered: Arc::default(), kept: Arc::default() }
    }
}

impl Masked {
    fn shake(&mut self) -> io::Result<()> {
        while self.heard.len() < HELLO.len() + 4 {
            let mut byte = [0];
            match self.socket.read(&mut byte)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                _ => self.heard.push(byte[0]),
            }
            if !HELLO.starts_with(&self.heard) && !self.heard.starts_with(HELLO) {
                return Err(io::Error::new(ErrorKind::InvalidData, "this is no greeting"));
            }
        }
        if self.heard.ends_with(b"boom") {
            panic!("as it was told");
        }
        self.is_handshaking = false;
        self.kept.extend_from_slice(WELCOME);
        self.flush()
    }
}

impl Read for Masked {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.is_handshaking {
            self.shake()?;
        }
        // As a library of TLS does: what is kept has to leave first.
        self.flush()?;
        if self.incoming.is_empty() {
            let mut bytes = [0; 32 << 10];
            let count = self.socket.read(&mut bytes)?;
            self.incoming.extend(bytes[..count].iter().map(|byte| byte ^ MASK));
        }
        let count = self.incoming.len().min(room.len()).min(self.way.returns_max);
        room[..count].copy_from_slice(&self.incoming[..count]);
        self.incoming.drain(..count);
        Ok(count)
    }
}

impl Write for Masked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.is_handshaking && self.kept.is_empty(), "it is not called then");
        let count = bytes.len().min(self.way.takes_max);
        self.way.offered.fetch_max(bytes.len(), Ordering::Relaxed);
        self.kept.extend(bytes[..count].iter().map(|byte| byte ^ MASK));
        self.way.kept.fetch_max(self.kept.len(), Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.kept.is_empty() {
            let count = self.socket.write(&self.kept)?;
            self.kept.drain(..count);
        }
        Ok(())
    }
}

impl Transport for Masked {
    fn socket(&mut self) -> &mut TcpSocket {
        &mut self.socket
    }

    fn is_handshaking(&self) -> bool {
        self.is_handshaking
    }

    fn has_unsent(&self) -> bool {
        !self.kept.is_empty()
    }

    fn end_output(&mut self) -> io::Result<()> {
        self.kept.extend_from_slice(BYE);
        Ok(())
    }

    fn principal(&self) -> Option<Principal> {
        let name = str::from_utf8(&self.heard[HELLO.len()..]).unwrap();
        (name != "anon").then(|| Principal::new(name))
    }
}

fn masked(way: &Way) -> impl FnMut(TcpSocket, &Peer) -> io::Result<Box<dyn Transport>> + Send + 'static {
    let way = way.clone();
    move |socket, _| {
        let way = way.clone();
        let (heard, incoming, kept) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Box::new(Masked { socket, heard, is_handshaking: true, incoming, kept, way }))
    }
}

/// What the observer is told of connections, of sessions with their principals, and of hooks.
type Told = mpsc::Receiver<String>;

fn start(limits: Limits, way: &Way) -> (Running, Told) {
    start_server(server().limits(limits), way)
}

fn start_server(server: Server, way: &Way) -> (Running, Told) {
    let mut listening = server.listen(ANY).unwrap();
    listening.on_stream(masked(way));
    let told = observe(&mut listening);
    (Running::start(listening), told)
}

fn observe(listening: &mut Listening) -> Told {
    let (tell, told) = mpsc::channel();
    listening.on_event(move |event| {
        let line = match event {
            Event::SessionOpened { peer, .. } => {
                format!("session of {}", peer.principal.as_ref().map_or("nobody", Principal::name))
            }
            Event::ConnectionClosed { reason, unsent_bytes: 0, .. } => format!("{reason:?}"),
            Event::ConnectionClosed { reason, .. } => format!("{reason:?}, output is lost"),
            Event::HandshakeFailed { peer, error } => {
                assert!(peer.address.is_some());
                format!("failed: {error}")
            }
            Event::HookPanicked { hook } => format!("{hook} panicked"),
            _ => return,
        };
        let _ = tell.send(line);
    });
    told
}

fn next(told: &Told) -> String {
    told.recv_timeout(PATIENCE).unwrap()
}

/// A client that has said its name.
fn greeted(addr: SocketAddr, name: &str) -> Client {
    let mut client = Client::connect(addr);
    client.socket.write_all(HELLO).unwrap();
    client.socket.write_all(name.as_bytes()).unwrap();
    client
}

/// A client whose handshake is complete.
fn connect(addr: SocketAddr) -> Client {
    welcomed(greeted(addr, "anon"))
}

fn welcomed(mut client: Client) -> Client {
    let mut welcome = [0; WELCOME.len()];
    client.socket.read_exact(&mut welcome).unwrap();
    assert_eq!(welcome, WELCOME);
    client.mask = MASK;
    client
}

/// The marks of the end, as a client sees them that takes them for more of the same.
fn bye() -> Vec<u8> {
    BYE.iter().map(|byte| byte ^ MASK).collect()
}

#[test]
fn requests_and_streams_pass_through_a_transport() {
    let (running, _told) = start(Limits::DEFAULT, &Way::default());
    let (mut stream, mut other) = (connect(running.addr), connect(running.addr));
    let endpoint = stream.open_stream();
    for id in 0..10 {
        assert_eq!(other.post(&endpoint, &ping(id)), "202");
        assert_eq!(stream.through("\n\n"), pong(id));
    }
    drop((stream, other));
    running.until_empty();
}

#[test]
fn a_transport_may_pass_all_on_as_it_is() {
    let mut listening = server().listen(ANY).unwrap();
    listening.on_stream(|socket, peer| {
        assert!(peer.loopback && socket.peer_addr()? == peer.address.unwrap());
        assert_ne!(socket.local_addr()?.port(), 0);
        Ok(Box::new(socket))
    });
    let running = Running::start(listening);
    let (mut stream, mut other) = (Client::connect(running.addr), Client::connect(running.addr));
    let endpoint = stream.open_stream();
    assert_eq!(other.post(&endpoint, &fill(1, 100_000)), "202");
    assert!(stream.through("\n\n").contains(&"x".repeat(100_000)));
}

/// No event of the socket follows such a write, and the rest has to be written all the same.
#[test]
fn a_transport_may_take_less_than_the_socket_would() {
    let way = Way { takes_max: 7, ..Way::default() };
    let (running, _told) = start(Limits::DEFAULT, &way);
    let (mut stream, mut other) = (connect(running.addr), connect(running.addr));
    let endpoint = stream.open_stream();
    assert_eq!(other.post(&endpoint, &fill(1, 20_000)), "202");
    assert!(stream.through("\n\n").contains(&"x".repeat(20_000)));
}

/// What was read from the socket and not returned yet is announced by nothing.
#[test]
fn a_transport_may_return_less_than_it_has() {
    let way = Way { returns_max: 10, ..Way::default() };
    let (running, _told) = start(Limits::DEFAULT, &way);
    let (mut stream, mut other) = (connect(running.addr), connect(running.addr));
    let endpoint = stream.open_stream();
    let many: String = (0..50).map(|id| request(&endpoint, &ping(id))).collect();
    other.send(&many);
    for id in 0..50 {
        assert_eq!(stream.through("\n\n"), pong(id));
        other.through("Accepted");
    }
}

/// Fills the sockets of a stream whose client does not read yet, and half of its output; returns it with the number of answers.
fn fill_up(addr: SocketAddr) -> (Client, u32) {
    let (mut stream, mut other) = (connect(addr), connect(addr));
    let endpoint = stream.open_stream();
    let count = (0..).find(|id| other.post(&endpoint, &fill(*id, 100_000)) != "202").unwrap();
    (stream, count)
}

/// Reads the answers that filled the sockets.
fn drain(stream: &mut Client, count: u32) {
    for id in 0..count {
        let frame = stream.through("\n\n");
        let result = format!("event: message\ndata: {{\"jsonrpc\":\"2.0\",\"id\":{id},");
        assert!(frame.starts_with(&result) && frame.contains(&"x".repeat(100_000)));
    }
}

#[test]
fn what_a_transport_keeps_leaves_when_the_socket_takes_bytes_again() {
    let way = Way::default();
    let (running, _told) = start(Limits { transport_bytes_max: 1000, ..Limits::DEFAULT }, &way);
    let (mut stream, count) = fill_up(running.addr);
    drain(&mut stream, count);
    drop(stream);
    running.until_empty();
    // The limit, and nothing past it.
    assert_eq!(way.offered.load(Ordering::Relaxed), 1000);
    assert_eq!(way.kept.load(Ordering::Relaxed), 1000);
}

#[test]
fn a_connection_is_not_closed_before_all_of_it_has_left() {
    let (running, told) = start(Limits::DEFAULT, &Way::default());
    let (mut stream, count) = fill_up(running.addr);
    // However slowly this end reads.
    running.handle.shutdown(100 * PATIENCE);
    drain(&mut stream, count);
    // The call that did not fit has an error there, and then the peer is told of the end.
    assert!(stream.until_the_end().ends_with(&[b"again\"}}\n\n", &bye()[..]].concat()));
    running.until("the end", is_empty);
    let reasons: BTreeSet<String> = told.try_iter().filter(|line| !line.starts_with("session")).collect();
    assert!(reasons.iter().all(|reason| !reason.contains("lost")), "{reasons:?}");
}

/// A peer must not take what it got for all that there was.
#[test]
fn a_connection_that_loses_output_ends_without_a_word() {
    let limits = Limits { write_timeout: Duration::from_millis(300), ..Limits::DEFAULT };
    let (running, told) = start(limits, &Way::default());
    let (mut stream, _) = fill_up(running.addr);
    while next(&told) != "WriteTimeout, output is lost" {}
    let got = stream.until_the_end();
    assert!(!got.ends_with(&bye()) && got.len() > 100_000);
}

#[test]
fn a_handshake_that_takes_too_long_is_closed_and_the_next_is_served() {
    let limits = Limits { handshake_timeout: Duration::from_millis(100), ..Limits::DEFAULT };
    let (running, told) = start(limits, &Way::default());
    let mut slow = Client::connect(running.addr);
    slow.socket.write_all(b"HEL").unwrap();
    assert!(slow.until_the_end().is_empty());
    assert_eq!(next(&told), "HandshakeTimeout");
    connect(running.addr).open_stream();
}

#[test]
fn a_handshake_waits_for_a_place_of_another() {
    let hour = Duration::from_secs(3600);
    let limits =
        Limits { handshakes_max: 2, handshake_timeout: hour, new_connection_grace: hour, ..Limits::DEFAULT };
    let (running, told) = start(limits, &Way::default());
    let (slow, mut also_slow) = (Client::connect(running.addr), Client::connect(running.addr));
    running.until("both", |stats| stats.connections == 2);
    let waiting = greeted(running.addr, "anon");
    also_slow.socket.write_all(HELLO).unwrap();
    also_slow.socket.write_all(b"anon").unwrap();
    let mut also_slow = welcomed(also_slow);
    welcomed(waiting).open_stream();
    also_slow.open_stream();
    drop(slow);
    assert_eq!(running.until("one to go", |stats| stats.connections < 3).connections_opened, 3);
    assert_eq!(next(&told), "session of nobody");
}

#[test]
fn one_handshake_more_closes_the_oldest() {
    let limits = Limits { handshakes_max: 2, new_connection_grace: Duration::ZERO, ..Limits::DEFAULT };
    let (running, told) = start(limits, &Way::default());
    let mut oldest = Client::connect(running.addr);
    running.until("the first", |stats| stats.connections == 1);
    let _slow = Client::connect(running.addr);
    running.until("the second", |stats| stats.connections == 2);
    connect(running.addr).open_stream();
    assert!(oldest.until_the_end().is_empty());
    assert_eq!(next(&told), "Evicted");
}

#[test]
fn the_handshake_may_tell_who_the_peer_is() {
    let (running, told) = start(Limits::DEFAULT, &Way::default());
    let mut ann = welcomed(greeted(running.addr, "anna"));
    let endpoint = ann.open_stream();
    assert_eq!(next(&told), "session of anna");
    assert_eq!(connect(running.addr).post(&endpoint, &ping(1)), "400", "a stranger");
    assert_eq!(welcomed(greeted(running.addr, "anna")).post(&endpoint, &ping(2)), "202");
    assert_eq!(ann.through("\n\n"), pong(2));
}

#[test]
fn a_handshake_that_fails_is_told_and_costs_no_other_client_anything() {
    let (running, told) = start(Limits::DEFAULT, &Way::default());
    let mut stream = connect(running.addr);
    let endpoint = stream.open_stream();
    assert_eq!(next(&told), "session of nobody");
    let mut plain = Client::connect(running.addr);
    plain.send("GET /sse HTTP/1.1\r\n\r\n");
    assert!(plain.until_the_end().is_empty());
    assert_eq!([next(&told), next(&told)], ["failed: this is no greeting", "Broken"]);
    let mut panics = greeted(running.addr, "boom");
    assert!(panics.until_the_end().is_empty());
    assert_eq!([next(&told), next(&told)], ["on_stream panicked", "Broken"]);
    assert_eq!(connect(running.addr).post(&endpoint, &ping(1)), "202");
    assert_eq!(stream.through("\n\n"), pong(1));
}

#[test]
fn a_hook_that_fails_or_panics_closes_the_connection() {
    let mut listening = server().listen(ANY).unwrap();
    let told = observe(&mut listening);
    let mut count = 0;
    listening.on_stream(move |socket, _| {
        count += 1;
        match count {
            1 => Err(ErrorKind::PermissionDenied.into()),
            2 => panic!("as it was told"),
            _ => Ok(Box::new(socket)),
        }
    });
    let running = Running::start(listening);
    for _ in 0..2 {
        assert!(Client::connect(running.addr).until_the_end().is_empty());
    }
    assert_eq!(next(&told), "on_stream panicked");
    Client::connect(running.addr).open_stream();
}

#[test]
fn a_connection_that_is_refused_learns_it_after_the_handshake() {
    let (running, _told) = start(Limits { connections_per_peer_max: 1, ..Limits::DEFAULT }, &Way::default());
    let mut stream = connect(running.addr);
    stream.open_stream();
    let mut refused = connect(running.addr);
    refused.through("HTTP/1.1 503 ");
    assert!(refused.until_the_end().ends_with(&bye()));
}

#[test]
fn a_connection_that_was_adopted_has_a_transport_too() {
    let own = TcpListener::bind(ANY).unwrap();
    let mut listening = server().listen(ANY).unwrap();
    listening.on_stream(masked(&Way::default()));
    let client = greeted(own.local_addr().unwrap(), "anon");
    let socket = ConnectedSocket::from(own.accept().unwrap().0);
    let peer = socket.peer().unwrap();
    listening.adopt_stream(socket, peer).unwrap();
    let _running = Running::start(listening);
    welcomed(client).open_stream();
}

/// What a client has sent before it ended its side is answered, and it is told of the end.
#[test]
fn the_end_of_a_clients_side_is_answered() {
    let (running, _told) = start(Limits::DEFAULT, &Way::default());
    let mut client = connect(running.addr);
    client.send("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.socket.shutdown(Shutdown::Write).unwrap();
    let got = client.until_the_end();
    assert!(got.starts_with(b"HTTP/1.1 404 ") && got.ends_with(&bye()));
}
