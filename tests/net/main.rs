//! The event loop on real sockets: what only a kernel can show. Everything else is tested in memory.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Real sockets go with real time.
#![allow(clippy::disallowed_methods)]

mod adopted;
#[cfg(unix)]
mod outer;
mod tls;
mod transports;
mod unix;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mcp_rill::Principal;
use mcp_rill::engine::{Event, Stats};
use mcp_rill::http::conn::CloseReason;
use mcp_rill::net::{Handle, Listening};
use mcp_rill::{Limits, Server, schema};

/// How long a test waits for what must happen; nothing is decided by it except failure.
const PATIENCE: Duration = Duration::from_secs(20);
const ANY: &str = "127.0.0.1:0";

schema! { struct Fill {
    /// How many bytes to answer.
    bytes: usize,
} }

fn server() -> Server {
    Server::new("test", "1")
        .tool("fill", "Answer that many bytes", |Fill { bytes }: Fill, _| "x".repeat(bytes))
}

/// A server on a thread of its own, with its latest figures.
struct Running {
    addr: SocketAddr,
    handle: Handle,
    seen: Arc<(Mutex<Stats>, Condvar)>,
    thread: Option<JoinHandle<Stats>>,
}

impl Running {
    fn start(mut listening: Listening) -> Running {
        let addr = listening.local_addrs().next().unwrap();
        let handle = listening.handle();
        let seen = Arc::new((Mutex::new(Stats::default()), Condvar::new()));
        let publish = seen.clone();
        let thread = std::thread::spawn(move || {
            while !listening.is_finished() {
                listening.poll(None).unwrap();
                *publish.0.lock().unwrap() = listening.stats();
                publish.1.notify_all();
            }
            listening.stats()
        });
        Running { addr, handle, seen, thread: Some(thread) }
    }

    /// Waits until the figures are so.
    fn until(&self, what: &str, is_so: impl Fn(&Stats) -> bool) -> Stats {
        let (stats, changed) = (self.seen.0.lock().unwrap(), &self.seen.1);
        let (stats, waited) = changed.wait_timeout_while(stats, PATIENCE, |stats| !is_so(stats)).unwrap();
        assert!(!waited.timed_out(), "waited for {what}: {stats:?}");
        *stats
    }

    fn until_empty(&self) {
        self.until("all gauges to be zero", is_empty);
    }

    /// Ends the server and gives its last figures.
    fn stop(mut self) -> Stats {
        self.handle.shutdown(Duration::ZERO);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown(Duration::ZERO);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn is_empty(stats: &Stats) -> bool {
    (stats.connections, stats.sessions, stats.calls, stats.buffered_bytes) == (0, 0, 0, 0)
}

/// One connection of a client.
struct Client<S = TcpStream> {
    socket: S,
    got: Vec<u8>,
    /// Every byte is combined with it on its way, in both directions: 0 changes nothing.
    mask: u8,
}

impl Client {
    fn connect(addr: SocketAddr) -> Client {
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { socket, got: Vec::new(), mask: 0 }
    }

    /// True if that has come. It is taken, with what came before.
    #[cfg(feature = "stateless")]
    fn has(&mut self, text: &str) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        loop {
            match self.read() {
                Ok(0) => panic!("ended before {text:?}, after {:?}", String::from_utf8_lossy(&self.got)),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error} before {text:?}"),
            }
        }
        self.socket.set_nonblocking(false).unwrap();
        let at = find(&self.got, text.as_bytes());
        at.is_some_and(|at| self.got.drain(..at + text.len()).len() > 0)
    }
}

impl<S: Read + Write> Client<S> {
    fn send(&mut self, text: &str) -> &mut Client<S> {
        let bytes: Vec<u8> = text.bytes().map(|byte| byte ^ self.mask).collect();
        self.socket.write_all(&bytes).unwrap();
        self
    }

    /// Keeps what the socket has; returns how much that was.
    fn read(&mut self) -> std::io::Result<usize> {
        let mut bytes = [0; 16384];
        let count = self.socket.read(&mut bytes)?;
        self.got.extend(bytes[..count].iter().map(|byte| byte ^ self.mask));
        Ok(count)
    }

    /// Everything up to and with `end`; panics if the connection ends before.
    fn through(&mut self, end: &str) -> String {
        let mut searched = 0;
        loop {
            if let Some(at) = find(&self.got[searched..], end.as_bytes()) {
                let rest = self.got.split_off(searched + at + end.len());
                return String::from_utf8(std::mem::replace(&mut self.got, rest)).unwrap();
            }
            searched = self.got.len().saturating_sub(end.len() - 1);
            match self.read() {
                Ok(0) => panic!("ended before {end:?}, after {:?}", String::from_utf8_lossy(&self.got)),
                Ok(_) => {}
                Err(error) => {
                    panic!("{error} before {end:?}, after {:?}", String::from_utf8_lossy(&self.got))
                }
            }
        }
    }

    /// Reads until the server ends the connection, in order or by a reset; gives what came before.
    fn until_the_end(&mut self) -> Vec<u8> {
        loop {
            match self.read() {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("the server did not end the connection: {error}"),
            }
        }
        std::mem::take(&mut self.got)
    }

    /// Opens a session on this connection; gives its endpoint.
    fn open_stream(&mut self) -> String {
        self.send("GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        self.through("event: endpoint\ndata: ");
        self.through("\n\n").trim_end().to_owned()
    }

    /// Posts a message; gives the status.
    fn post(&mut self, endpoint: &str, body: &str) -> String {
        self.send(&request(endpoint, body));
        let head = self.through("\r\n\r\n");
        let length = head.split_once("Content-Length: ").unwrap().1;
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        while self.got.len() < length {
            assert_ne!(self.read().unwrap(), 0, "the response was cut short");
        }
        self.got.drain(..length);
        head.split(' ').nth(1).unwrap().to_owned()
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn request(endpoint: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {endpoint} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn ping(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)
}

fn pong(id: u32) -> String {
    format!("event: message\ndata: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n\n")
}

fn fill(id: u32, bytes: usize) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"fill","arguments":{{"bytes":{bytes}}}}}}}"#
    )
}

#[test]
fn a_reply_comes_on_the_stream_to_what_another_connection_posted() {
    let running = Running::start(server().listen(ANY).unwrap());
    let (mut stream, mut other) = (Client::connect(running.addr), Client::connect(running.addr));
    let endpoint = stream.open_stream();
    for id in 0..3 {
        assert_eq!(other.post(&endpoint, &ping(id)), "202");
        assert_eq!(stream.through("\n\n"), pong(id));
    }
    assert_eq!(other.post(&endpoint, &fill(9, 200_000)), "202");
    assert!(stream.through("\n\n").contains(&"x".repeat(200_000)));
    drop(stream);
    running.until("the session to end", |stats| stats.sessions == 0);
    assert_eq!(other.post(&endpoint, &ping(4)), "400");
    drop(other);
    running.until_empty();
    let stats = running.stop();
    assert_eq!((stats.connections_opened, stats.sessions_opened, stats.messages_received), (2, 1, 4));
}

#[test]
fn several_listeners_serve_one_set_of_sessions() {
    let mut listening = server().listen(ANY).unwrap();
    listening.also_listen(ANY).unwrap();
    let addrs: Vec<SocketAddr> = listening.local_addrs().collect();
    assert_eq!(addrs.len(), 2);
    assert_ne!(addrs[0], addrs[1]);
    let _running = Running::start(listening);
    let (mut stream, mut other) = (Client::connect(addrs[0]), Client::connect(addrs[1]));
    let endpoint = stream.open_stream();
    assert_eq!(other.post(&endpoint, &ping(1)), "202");
    assert_eq!(stream.through("\n\n"), pong(1));
}

/// Turns the loop by hand until `done`; there must be no turn with nothing to do in between (that would be spinning).
fn turn_until(listening: &mut Listening, mut done: impl FnMut(&mut Listening) -> bool) {
    let start = Instant::now();
    while !done(listening) {
        assert!(start.elapsed() < PATIENCE, "{listening:?}");
        listening.poll(Some(Duration::from_millis(50))).unwrap();
    }
}

#[test]
fn a_turn_by_hand_says_when_the_next_one_is_due() {
    let limits = Limits {
        keep_alive: Duration::from_secs(15),
        idle_timeout: Duration::from_secs(60),
        head_timeout: Duration::from_secs(10),
        ..Limits::DEFAULT
    };
    let mut listening = server().limits(limits).listen(ANY).unwrap();
    let addr = listening.local_addrs().next().unwrap();
    let brief = Some(Duration::from_millis(1));
    listening.poll(brief).unwrap();
    assert_eq!(listening.poll(brief).unwrap(), None, "only events can bring work to an empty server");

    let mut stream = Client::connect(addr);
    stream.send("GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n");
    turn_until(&mut listening, |listening| listening.stats().sessions == 1);
    // The wheel of timers may wake early, but never by so much that an idle server would be busy.
    let mut turns = 0;
    let wait = loop {
        turns += 1;
        match listening.poll(brief).unwrap() {
            Some(wait) if wait > Duration::from_millis(100) => break wait,
            Some(wait) => assert!(turns < 20, "turn {turns} wants the next one in {wait:?}"),
            None => panic!("a stream has a comment due"),
        }
    };
    assert!(wait <= Duration::from_secs(15), "{wait:?}");

    let start = Instant::now();
    listening.poll(Some(Duration::from_millis(20))).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(19), "it returned before its time with nothing to do");
    assert!(start.elapsed() < Duration::from_secs(10), "it waited for more than it was told");

    listening.handle().shutdown(Duration::ZERO);
    turn_until(&mut listening, |listening| listening.is_finished());
    assert!(is_empty(&listening.stats()));
}

#[test]
fn an_idle_server_sleeps() {
    let limits = Limits { keep_alive: Duration::from_secs(15), ..Limits::DEFAULT };
    let mut listening = server().limits(limits).listen(ANY).unwrap();
    let addr = listening.local_addrs().next().unwrap();
    let clients: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = Client::connect(addr);
            client.send("GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client
        })
        .collect();
    turn_until(&mut listening, |listening| listening.stats().sessions == 20);
    let (start, mut turns) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_millis(600) {
        listening.poll(Some(Duration::from_millis(200))).unwrap();
        turns += 1;
    }
    assert!(turns <= 20, "{turns} turns in 600 ms without anything to do");
    drop(clients);
    turn_until(&mut listening, |listening| is_empty(&listening.stats()));
}

/// What was sent and the end of input may come with one event, so that no second one tells of the end.
#[test]
fn the_end_of_input_is_seen_together_with_the_input() {
    let mut listening = server().listen(ANY).unwrap();
    let addr = listening.local_addrs().next().unwrap();
    for text in [
        "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET",
    ] {
        let mut client = Client::connect(addr);
        turn_until(&mut listening, |listening| listening.stats().connections == 1);
        client.send(text);
        client.socket.shutdown(Shutdown::Write).unwrap();
        let start = Instant::now();
        while listening.stats().connections > 0 {
            listening.poll(Some(Duration::from_millis(50))).unwrap();
            assert!(start.elapsed() < Duration::from_secs(8), "{text:?}: the end was not seen");
            client.socket.set_nonblocking(true).unwrap();
            // The client has read the end, and closes as clients do.
            if client.socket.read(&mut [0; 4096]).is_ok_and(|count| count == 0) {
                let _ = client.socket.shutdown(Shutdown::Both);
            }
        }
    }
    assert!(is_empty(&listening.stats()), "{listening:?}");
}

#[test]
fn shutdown_ends_run_with_streams_open() {
    let listening = server().listen(ANY).unwrap();
    let addr = listening.local_addrs().next().unwrap();
    let handle = listening.handle();
    let thread = std::thread::spawn(move || listening.run());
    let mut stream = Client::connect(addr);
    let endpoint = stream.open_stream();
    let mut other = Client::connect(addr);
    assert_eq!(other.post(&endpoint, &ping(1)), "202");
    let start = Instant::now();
    handle.shutdown(Duration::from_secs(3600));
    assert_eq!(stream.until_the_end(), pong(1).as_bytes(), "what is queued is still sent");
    assert!(other.until_the_end().is_empty());
    drop((stream, other));
    thread.join().unwrap().unwrap();
    assert!(start.elapsed() < PATIENCE);
    assert!(TcpStream::connect(addr).is_err(), "nobody listens any more");
    // The handle outlives the server, and does nothing then.
    handle.shutdown(Duration::ZERO);
}

#[test]
fn a_shutdown_before_the_first_turn_counts() {
    let listening = server().listen(ANY).unwrap();
    listening.handle().shutdown(Duration::ZERO);
    listening.run().unwrap();
}

#[test]
fn a_second_shutdown_shortens_the_grace() {
    let limits = Limits {
        linger_timeout: Duration::from_secs(3600),
        write_timeout: Duration::from_secs(3600),
        ..Limits::DEFAULT
    };
    let running = Running::start(server().limits(limits).listen(ANY).unwrap());
    let mut stream = Client::connect(running.addr);
    stream.open_stream();
    running.handle.shutdown(Duration::from_secs(3600));
    assert!(stream.until_the_end().is_empty(), "the stream ends in order");
    // The client keeps its half open, so the server waits for it, until it is told not to.
    assert_eq!(running.until("the stream to linger", |stats| stats.connections == 1).connections, 1);
    running.handle.shutdown(Duration::from_millis(1));
    running.until_empty();
    let stats = running.stop();
    assert!(is_empty(&stats), "{stats:?}");
}

#[test]
fn an_address_that_others_can_reach_needs_a_word() {
    let error = server().listen("0.0.0.0:0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let text = error.to_string();
    assert!(text.contains("0.0.0.0:0") && text.contains("insecure_public"), "{text}");
    let mut listening = server().listen(ANY).unwrap();
    assert_eq!(listening.also_listen("[::]:0").unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(listening.local_addrs().count(), 1);

    let running = Running::start(server().insecure_public().listen("0.0.0.0:0").unwrap());
    let mut client = Client::connect(SocketAddr::from(([127, 0, 0, 1], running.addr.port())));
    client.open_stream();
}

#[test]
fn what_cannot_be_listened_on_is_named() {
    let taken = TcpListener::bind(ANY).unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let cases: [(&str, ErrorKind, &str); 9] = [
        (&taken, ErrorKind::AddrInUse, "another port"),
        // A network that is for documentation (RFC 5737).
        ("192.0.2.1:0", ErrorKind::AddrNotAvailable, "no network interface"),
        ("no address", ErrorKind::InvalidInput, "HOST:PORT"),
        ("127.0.0.1", ErrorKind::InvalidInput, "HOST:PORT"),
        ("127.0.0.1:65536", ErrorKind::InvalidInput, "HOST:PORT"),
        (":3001", ErrorKind::InvalidInput, "HOST:PORT"),
        ("::1", ErrorKind::InvalidInput, "in brackets"),
        ("::1:0", ErrorKind::InvalidInput, "in brackets"),
        ("[::1]", ErrorKind::InvalidInput, "HOST:PORT"),
    ];
    for (address, kind, advice) in cases {
        let error = server().insecure_public().listen(address).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{text}");
        assert!(text.starts_with(&format!("{address}: ")) && text.contains(advice), "{text}");
    }
    let error = server().listen("host.invalid:0").unwrap_err().to_string();
    assert!(error.starts_with("host.invalid:0: the host name is not known"), "{error}");
    let error = server().limits(Limits { connections_max: 1, ..Limits::DEFAULT }).listen(ANY).unwrap_err();
    assert!(error.to_string().contains("connections_max"), "{error}");
}

#[test]
fn an_address_can_be_said_in_many_ways() {
    let ip = IpAddr::from([127, 0, 0, 1]);
    let mut listening = server().listen(("localhost", 0)).unwrap();
    listening.also_listen((ip, 0)).unwrap();
    listening.also_listen(SocketAddr::new(ip, 0)).unwrap();
    listening.also_listen(String::from("localhost:0")).unwrap();
    let ports: Vec<u16> = listening.local_addrs().map(|address| address.port()).collect();
    assert!(ports.len() == 4 && ports.iter().all(|port| *port != 0), "{ports:?}");
}

/// Where there is no IPv6 there is nothing to see.
#[test]
fn all_addresses_are_those_of_both_kinds() {
    let Ok(mut listening) = server().insecure_public().listen("[::]:0") else { return };
    let (tell, told) = mpsc::channel();
    #[cfg(unix)]
    listening.on_accept(move |_, peer| {
        tell.send(peer.address.unwrap().ip()).unwrap();
        Ok(None)
    });
    let running = Running::start(listening);
    let four = IpAddr::from([127, 0, 0, 1]);
    for ip in [four, IpAddr::from(Ipv6Addr::LOCALHOST)] {
        let Ok(_) = TcpStream::connect((ip, running.addr.port())) else { continue };
        // Not as ::ffff:127.0.0.1: an address has one name.
        #[cfg(unix)]
        assert_eq!(told.recv().unwrap(), ip);
    }
}

#[cfg(unix)]
#[test]
fn the_accept_hook_sees_the_socket_and_decides() {
    let mut listening = server().listen(ANY).unwrap();
    let (tell, told) = mpsc::channel();
    let mut count = 0;
    listening.on_accept(move |fd, peer| {
        count += 1;
        let socket = TcpStream::from(fd.try_clone_to_owned()?);
        tell.send((socket.nodelay()?, socket.peer_addr()? == peer.address.unwrap(), peer.loopback)).unwrap();
        match count {
            1 => Ok(Some(Principal::new("ann"))),
            2 => Ok(Some(Principal::new("bob"))),
            3 => Ok(Some(Principal::new("ann"))),
            4 => Ok(None),
            _ => Err(ErrorKind::PermissionDenied.into()),
        }
    });
    let running = Running::start(listening);
    let mut ann = Client::connect(running.addr);
    let endpoint = ann.open_stream();
    let mut bob = Client::connect(running.addr);
    assert_eq!(bob.post(&endpoint, &ping(1)), "400", "a stranger's session looks like an unknown one");
    let mut ann_again = Client::connect(running.addr);
    assert_eq!(ann_again.post(&endpoint, &ping(2)), "202");
    assert_eq!(ann.through("\n\n"), pong(2));
    let mut nobody = Client::connect(running.addr);
    assert_eq!(nobody.post(&endpoint, &ping(3)), "400");
    let mut refused = Client::connect(running.addr);
    assert!(refused.until_the_end().is_empty());
    for _ in 0..5 {
        assert_eq!(
            told.recv().unwrap(),
            (true, true, true),
            "no delay, its own address, a loopback listener"
        );
    }
    assert_eq!(running.until("four to be there", |stats| stats.connections == 4).connections_opened, 4);
}

#[test]
fn events_report_sessions_and_refusals() {
    let mut listening = server().listen(ANY).unwrap();
    let (tell, told) = mpsc::channel();
    listening.on_event(move |event| {
        let line = match event {
            Event::SessionOpened { peer, .. } => format!("opened {}", peer.address.unwrap()),
            Event::SessionClosed { peer, .. } => format!("closed {}", peer.address.unwrap()),
            Event::Refused { peer, status, .. } => format!("refused {status} {}", peer.address.unwrap()),
            Event::ConnectionClosed { peer, reason, .. } => format!("{reason:?} {}", peer.address.unwrap()),
            other => format!("{other:?}"),
        };
        tell.send(line).unwrap();
    });
    let running = Running::start(listening);
    let mut stream = Client::connect(running.addr);
    stream.open_stream();
    let address = stream.socket.local_addr().unwrap();
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), format!("opened {address}"));
    let mut stranger = Client::connect(running.addr);
    stranger.send("GET /sse HTTP/1.1\r\nHost: evil.example\r\n\r\n").through("403");
    let theirs = stranger.socket.local_addr().unwrap();
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), format!("refused 403 {theirs}"));
    drop(stream);
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), format!("EndOfInput {address}"));
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), format!("closed {address}"));
}

#[test]
fn a_client_that_does_not_read_is_cut_and_others_lose_nothing() {
    let limits = Limits {
        output_bytes_max: 260 << 10,
        message_bytes_max: 250 << 10,
        page_bytes_max: 64 << 10,
        write_timeout: Duration::from_secs(3600),
        ..Limits::DEFAULT
    };
    let mut listening = server().limits(limits).listen(ANY).unwrap();
    let (tell, told) = mpsc::channel();
    listening.on_event(move |event| {
        if let Event::ConnectionClosed { peer, reason: CloseReason::SlowReader, unsent_bytes } = event {
            tell.send((peer.address.unwrap(), *unsent_bytes)).unwrap();
        }
    });
    let running = Running::start(listening);
    let (mut slow, mut good) = (Client::connect(running.addr), Client::connect(running.addr));
    let (slow_endpoint, good_endpoint) = (slow.open_stream(), good.open_stream());
    let mut poster = Client::connect(running.addr);
    // The kernel's buffers take some MiB first. Then the backlog grows here: past a quarter of the limit, one more large
    // answer is more than is allowed, while a request is still admitted below half of it.
    let (mut id, mut queued) = (0, 0);
    while running.until("the frame", |stats| stats.messages_queued == queued).buffered_bytes < 64 << 10 {
        id += 1;
        queued += 2;
        assert_eq!(poster.post(&slow_endpoint, &fill(id, 40 << 10)), "202");
        assert_eq!(poster.post(&good_endpoint, &ping(id)), "202");
        assert_eq!(good.through("\n\n"), pong(id), "a slow neighbour delays nobody");
        assert!(id < 4000, "160 MiB and the kernel takes more");
    }
    assert_eq!(poster.post(&slow_endpoint, &fill(id + 1, 240 << 10)), "202");
    let stats = running.until("the slow reader to be counted", |stats| stats.slow_readers == 1);
    assert_eq!(stats.busy, 0);
    let (who, backlog) = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(who, slow.socket.local_addr().unwrap());
    assert!(backlog > 256 << 10, "{backlog}");
    running.until("its session to end", |stats| stats.sessions == 1 && stats.buffered_bytes == 0);
    // What the kernel had is still there to read, then the end: the client can see that it lost something.
    let got = slow.until_the_end();
    assert!(got.len() < (id as usize + 2) * (41 << 10), "{}", got.len());
    assert_eq!(poster.post(&slow_endpoint, &ping(1)), "400");
    assert_eq!(poster.post(&good_endpoint, &ping(0)), "202");
    assert_eq!(good.through("\n\n"), pong(0));
    drop((slow, good, poster));
    running.until_empty();
}

#[test]
fn at_connections_max_the_longest_idle_goes_and_streams_stay() {
    let limits = Limits { connections_max: 4, sessions_max: 2, ..Limits::DEFAULT };
    let running = Running::start(server().limits(limits).listen(ANY).unwrap());
    let (mut one, mut two) = (Client::connect(running.addr), Client::connect(running.addr));
    let (first, _) = (one.open_stream(), two.open_stream());
    let (mut older, mut newer) = (Client::connect(running.addr), Client::connect(running.addr));
    assert_eq!(older.post(&first, &ping(1)), "202");
    assert_eq!(newer.post(&first, &ping(2)), "202");
    // Exactly full, and nobody waits: nobody has to go.
    assert_eq!(older.post(&first, &ping(3)), "202");
    assert_eq!(newer.post(&first, &ping(4)), "202");
    let mut next = Client::connect(running.addr);
    assert_eq!(next.post(&first, &ping(5)), "202");
    assert!(older.until_the_end().is_empty(), "the one that was idle longest made room");
    assert_eq!(newer.post(&first, &ping(6)), "202");
    for id in 1..=6 {
        assert_eq!(one.through("\n\n"), pong(id));
    }
    drop((one, two, newer, next));
    running.until_empty();
    assert_eq!(running.stop().sessions_opened, 2);
}

/// What comes while a turn is at work is read before an idle connection is chosen.
#[cfg(feature = "stateless")]
#[test]
fn a_client_that_asks_during_a_turn_is_not_idle() {
    let limits = Limits { connections_max: 2, sessions_max: 1, ..Limits::DEFAULT };
    let slot: Arc<Mutex<Option<TcpStream>>> = Arc::default();
    let asks = slot.clone();
    let nothing = "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let server = server().limits(limits).tool("meanwhile", "Another client asks", move |(), _| {
        asks.lock().unwrap().as_mut().unwrap().write_all(nothing.as_bytes()).unwrap();
        "asked"
    });
    let mut listening = server.listen(ANY).unwrap();
    let addr = listening.local_addrs().next().unwrap();
    let (mut idle, mut busy) = (Client::connect(addr), Client::connect(addr));
    idle.send(nothing);
    turn_until(&mut listening, |listening| listening.stats().connections == 2);
    turn_until(&mut listening, |_| idle.has("HTTP/1.1 404 "));
    *slot.lock().unwrap() = Some(idle.socket.try_clone().unwrap());
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"meanwhile",{meta}}}}}"#);
    busy.send(&format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nMCP-Protocol-Version: 2026-07-28\r\n\
         Mcp-Method: tools/call\r\nMcp-Name: meanwhile\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let mut third = Client::connect(addr);
    third.send(nothing);
    // The call and the new connection are met in one turn.
    listening.poll(Some(PATIENCE)).unwrap();
    turn_until(&mut listening, |_| idle.has("HTTP/1.1 404 "));
    turn_until(&mut listening, |_| busy.has("asked"));
    turn_until(&mut listening, |_| third.has("HTTP/1.1 404 "));
}

#[test]
fn a_stream_and_a_request_fit_where_two_connections_are_allowed() {
    let limits = Limits { connections_max: 2, sessions_max: 1, ..Limits::DEFAULT };
    let running = Running::start(server().limits(limits).listen(ANY).unwrap());
    let mut stream = Client::connect(running.addr);
    let endpoint = stream.open_stream();
    for id in 0..20 {
        let mut client = Client::connect(running.addr);
        assert_eq!(client.post(&endpoint, &ping(id)), "202");
        assert_eq!(stream.through("\n\n"), pong(id));
    }
}

#[test]
fn a_peer_that_comes_when_none_is_idle_is_served_when_there_is_room() {
    let limits = Limits { connections_max: 2, sessions_max: 1, ..Limits::DEFAULT };
    let running = Running::start(server().limits(limits).listen(ANY).unwrap());
    let mut stream = Client::connect(running.addr);
    let endpoint = stream.open_stream();
    let mut half = Client::connect(running.addr);
    half.send("POST ");
    running.until("both", |stats| stats.connections == 2);
    let waiting: Vec<Client> = (0..5)
        .map(|id| {
            let mut client = Client::connect(running.addr);
            client.send(&request(&endpoint, &ping(id)));
            client
        })
        .collect();
    drop(half);
    for mut client in waiting {
        client.through("Accepted");
    }
    let mut got: Vec<String> = (0..5).map(|_| stream.through("\n\n")).collect();
    got.sort();
    assert_eq!(got, (0..5).map(pong).collect::<Vec<_>>());
}

#[test]
fn a_burst_past_connections_max_is_served_to_the_last() {
    let limits = Limits { connections_max: 16, sessions_max: 1, ..Limits::DEFAULT };
    let mut listening = server().limits(limits).listen(ANY).unwrap();
    let addr = listening.local_addrs().next().unwrap();
    // All of them are connected, and have sent, before the first turn.
    let clients: Vec<Client> = (0..100)
        .map(|_| {
            let mut client = Client::connect(addr);
            client.send("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client
        })
        .collect();
    turn_until(&mut listening, |listening| listening.stats().connections_opened == 100);
    let _running = Running::start(listening);
    for mut client in clients {
        client.through("HTTP/1.1 404 ");
    }
}

#[test]
fn two_hundred_clients_at_once() {
    let running = Running::start(server().listen(ANY).unwrap());
    let mut clients: Vec<(Client, String)> = (0..200)
        .map(|_| {
            let mut client = Client::connect(running.addr);
            let endpoint = client.open_stream();
            (client, endpoint)
        })
        .collect();
    let mut posters: Vec<Client> = (0..8).map(|_| Client::connect(running.addr)).collect();
    for (at, (_, endpoint)) in clients.iter().enumerate() {
        posters[at % 8].send(&request(endpoint, &ping(at as u32)));
    }
    for (at, (client, _)) in clients.iter_mut().enumerate() {
        assert_eq!(client.through("\n\n"), pong(at as u32));
    }
    for poster in &mut posters {
        (0..25).for_each(|_| drop(poster.through("Accepted")));
    }
    assert_eq!(running.until("all", |stats| stats.messages_queued == 200).sessions, 200);
    drop((clients, posters));
    running.until_empty();
}

/// Slots are used again at once by the next peer, while events of the last one may still be under way.
#[test]
fn storms_of_connections_leave_nothing_behind() {
    let running = Running::start(server().listen(ANY).unwrap());
    let mut stream = Client::connect(running.addr);
    let endpoint = stream.open_stream();
    let addr = running.addr;
    let threads: Vec<JoinHandle<()>> = (0..2)
        .map(|half: usize| {
            std::thread::spawn(move || {
                for count in 0..1000 {
                    let mut socket = TcpStream::connect(addr).unwrap();
                    // Some say nothing, some half a request, some are gone with the answer unread, which is a reset.
                    let text = match (count + half) % 4 {
                        0 => "",
                        1 => "POST /mess",
                        2 => "GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n",
                        _ => "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\nGET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n",
                    };
                    let _ = socket.write_all(text.as_bytes());
                    if count % 8 > 3 && text.ends_with("\r\n\r\n") {
                        let _ = socket.read(&mut [0; 8]);
                    }
                }
            })
        })
        .collect();
    let mut poster = Client::connect(addr);
    for id in 0..100 {
        assert_eq!(poster.post(&endpoint, &ping(id)), "202");
        assert_eq!(stream.through("\n\n"), pong(id), "nobody else's trouble reaches a stream");
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    drop((stream, poster));
    running.until("all to have come and gone", |stats| stats.connections_opened == 2002 && is_empty(stats));
}

/// A plain close looks like the end of what the client sends, until something is written to it.
#[cfg(feature = "streamable")]
#[test]
fn calls_of_clients_that_are_gone_end_where_no_sessions_are_kept() {
    let limits = Limits { keep_alive: Duration::from_secs(3600), ..Limits::DEFAULT };
    let (send, replies) = mpsc::channel();
    let server = server().sessionless().limits(limits);
    let server = server.tool("work", "Work", move |(), call| call.defer(|reply| send.send(reply)));
    let running = Running::start(server.listen(ANY).unwrap());
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"work","arguments":{}}}"#;
    let mut patient = Client::connect(running.addr);
    patient.send(&request("/mcp", call)).socket.shutdown(Shutdown::Write).unwrap();
    let first = replies.recv_timeout(PATIENCE).unwrap();
    for _ in 0..20 {
        Client::connect(running.addr).send(&request("/mcp", call));
    }
    let gone: Vec<_> = (0..20).map(|_| replies.recv_timeout(PATIENCE).unwrap()).collect();
    running.until("the calls of those that are gone to end", |stats| {
        (stats.connections_opened, stats.connections, stats.calls) == (21, 1, 1)
    });
    assert!(gone.iter().all(mcp_rill::Reply::is_cancelled) && !first.is_cancelled());
    first.finish("done");
    assert!(patient.through("0\r\n\r\n").contains("done"));
    running.until_empty();
    running.stop();
}

#[test]
fn a_thread_that_hangs_is_replaced_at_once_when_its_client_goes() {
    let limits = Limits { workers: 1, workers_stuck_max: 1, ..Limits::DEFAULT };
    let (leave, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let server = server()
        .limits(limits)
        .blocking_tool("hang", "Hang", move |(), _| gate.lock().unwrap().recv().is_err())
        .blocking_tool("quick", "Be quick", |(), _| "quick");
    let mut listening = server.listen(ANY).unwrap();
    let addr = listening.local_addrs().next().unwrap();
    let call = |tool| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{}}}}}}"#
        )
    };
    let mut clients = Vec::new();
    for (tool, calls) in [("hang", 1), ("quick", 2)] {
        let (mut stream, mut other) = (Client::connect(addr), Client::connect(addr));
        stream.send("GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        turn_until(&mut listening, |listening| listening.stats().sessions == calls);
        stream.through("event: endpoint\ndata: ");
        let endpoint = stream.through("\n\n").trim_end().to_owned();
        other.send(&request(&endpoint, &call(tool)));
        turn_until(&mut listening, |listening| listening.stats().calls == calls);
        clients.push((stream, other));
    }
    let running = Running::start(listening);
    drop(clients.remove(0));
    // Nothing else happens for 10 seconds: the turn that ended the session has to make the thread.
    clients[0].0.socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert!(clients[0].0.through("\n\n").contains("quick"));
    drop(leave);
    running.stop();
}

#[test]
fn run_returns_after_its_workers_or_counts_those_that_are_left() {
    for (grace, left) in [(Duration::from_secs(3600), 0), (Duration::from_millis(50), 1)] {
        let (told, is_told) = mpsc::channel();
        let (leave, gate) = mpsc::channel::<()>();
        let (gate, done) = (Mutex::new(gate), Arc::new(Mutex::new(false)));
        let ended = done.clone();
        let server = server().blocking_tool("work", "Work until told to stop", move |(), call| {
            while !call.is_cancelled() {
                std::thread::yield_now();
            }
            told.send(()).unwrap();
            let _ = gate.lock().unwrap().recv();
            *ended.lock().unwrap() = true;
        });
        let mut listening = server.listen(ANY).unwrap();
        let (report, reported) = mpsc::channel();
        listening.on_event(move |event| {
            if let Event::WorkersLeft { count } = event {
                report.send(*count).unwrap();
            }
        });
        let (addr, handle) = (listening.local_addrs().next().unwrap(), listening.handle());
        let thread = std::thread::spawn(move || {
            listening.run().unwrap();
            *done.lock().unwrap()
        });
        let (mut stream, mut other) = (Client::connect(addr), Client::connect(addr));
        let endpoint = stream.open_stream();
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"work"}}"#;
        assert_eq!(other.post(&endpoint, call), "202");
        handle.shutdown(grace);
        is_told.recv_timeout(PATIENCE).unwrap();
        drop((stream, other));
        if left == 0 {
            // Time in which a loop that does not wait for its workers would return.
            std::thread::sleep(Duration::from_millis(50));
            leave.send(()).unwrap();
        }
        assert_eq!(thread.join().unwrap(), left == 0, "the handler has returned before the loop");
        assert_eq!(reported.try_iter().sum::<usize>(), left);
        drop(leave);
    }
}

/// Status and text of a health check on a connection of its own.
fn health(addr: SocketAddr, path: &str) -> (String, String) {
    let mut client = Client::connect(addr);
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n"));
    let text = String::from_utf8(client.until_the_end()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head[9..12].to_owned(), body.to_owned())
}

#[test]
fn health_checks_are_answered_while_all_tools_are_busy_and_until_the_end() {
    let (begun, has_begun) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let (begun, may_go) = (Mutex::new(begun), Mutex::new(may_go));
    let wait = move |(), _: &mut mcp_rill::Call| {
        begun.lock().unwrap().send(()).unwrap();
        let _ = may_go.lock().unwrap().recv();
        "done"
    };
    let limits = Limits { workers: 1, ..Limits::DEFAULT };
    let mut listening = server().blocking_tool("wait", "Wait", wait).limits(limits).listen(ANY).unwrap();
    listening.also_listen_health(ANY).unwrap();
    let address = listening.health_addrs().next().unwrap();
    assert_eq!(listening.local_addrs().count(), 1);
    let running = Running::start(listening);
    let mut client = Client::connect(running.addr);
    let endpoint = client.open_stream();
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"wait","arguments":{}}}"#;
    Client::connect(running.addr).post(&endpoint, call);
    has_begun.recv_timeout(PATIENCE).unwrap();
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(health(address, path), ("200".to_owned(), "ok".to_owned()));
    }
    // The handler's call is waited for. Meanwhile no client may come, and a check is told why.
    running.handle.shutdown(PATIENCE);
    let start = Instant::now();
    while health(address, "/readyz").0 != "503" {
        assert!(start.elapsed() < PATIENCE);
    }
    assert_eq!(health(address, "/livez").0, "200");
    assert!(TcpStream::connect(running.addr).is_err());
    go.send(()).unwrap();
    running.stop();
    assert!(TcpStream::connect(address).is_err());
}
