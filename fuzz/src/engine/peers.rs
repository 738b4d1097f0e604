//! The peers of the script, and what must be true between two operations.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_rill::engine::{Action, Stats};
use mcp_rill::json::Tape;
use mcp_rill::jsonrpc::{self, Id, IdRef, Message};
use mcp_rill::sse::Decoder;
use mcp_rill::{Elicited, Handle, ItemKind, Level, Limits, Reply, ResourceTemplate, Server, schema};

use super::super::client;
use super::super::common::{Sock, World};
use super::lines::Lines;
use super::messages::{ANSWERS, MESSAGES};
use super::streamable::{McpSession, Parcel};

/// Bounds that a short script reaches.
pub const LIMITS: Limits = Limits {
    buffered_bytes_max: 12 << 10,
    connections_max: 8,
    sessions_max: 3,
    target_bytes_max: 256,
    head_bytes_max: 1 << 10,
    headers_max: 16,
    body_bytes_max: 2 << 10,
    message_bytes_max: 2 << 10,
    page_bytes_max: 1 << 10,
    output_bytes_max: 4 << 10,
    calls_max: 3,
    rounds_max: 2,
    subscriptions_max: 1,
    mailbox_max: 4,
    listens_max: 1,
    replay_bytes_max: 1 << 10,
    id_bytes_max: 100,
    turn_bytes_max: 1 << 10,
    ..Limits::DEFAULT
};

schema! { struct Text { text: String } }
schema! { struct Size { bytes: usize } }
schema! { struct Again { again: Option<bool> } }
schema! { #[derive(Debug, PartialEq)] struct Sure { sure: bool } }

type Replies = Arc<Mutex<Vec<Reply>>>;

fn server(replies: &Replies) -> Server {
    let (replies, left) = (replies.clone(), replies.clone());
    Server::new("fuzz", "1")
        .limits(LIMITS)
        .tool("echo", "", |Text { text }: Text, _| text)
        .tool("big", "", |Size { bytes }: Size, call| {
            call.progress(1.0, None, Some("half"));
            call.log(Level::Info, "big");
            "x".repeat(bytes.min(4000))
        })
        .tool("later", "", move |(), call| call.defer(|reply| replies.lock().expect("a lock").push(reply)))
        .tool("leave", "", move |(), call| {
            call.disconnect(Duration::from_secs(1));
            call.defer(|reply| left.lock().expect("a lock").push(reply))
        })
        .tool("ask", "", |Again { again }: Again, call| -> mcp_rill::Result<_> {
            let mut round = 0;
            loop {
                let sure = call.elicit::<Sure>(&format!("sure{round}"), "Really?")?;
                if again != Some(true) || matches!(sure, Elicited::Declined | Elicited::Unavailable(_)) {
                    return Ok(format!("{sure:?}"));
                }
                round += 1;
            }
        })
        .tool("both", "", |(), call| -> mcp_rill::Result<_> {
            let (sure, roots) = (call.elicit::<Sure>("sure", "Really?"), call.roots("roots"));
            Ok(format!("{:?} {:?}", sure?, roots?.given().map(|roots| roots.len())))
        })
        .resource("fuzz:///a", "a", |_| "a")
        .offer(
            ResourceTemplate::new("fuzz:///t/{x}", "t")
                .handler(|vars, _| vars.get("x").map(str::to_owned).unwrap_or_default()),
        )
        .prompt("say", "", |Text { text }: Text, _| text)
}

/// One connection as its peer sees it.
pub struct Conn {
    pub sock: Sock,
    pub open: bool,
    pub half_closed: bool,
    /// The server half-closed: it says no more.
    over: bool,
    /// Bytes of the script were sent here: what the requests on it are is not known.
    raw: bool,
    /// The methods and messages of requests without a response yet, oldest first.
    pub waiting: Vec<Asked>,
    pub input: Vec<u8>,
    stream: Option<Stream>,
    /// Its messages are lines.
    pub lines: Option<Lines>,
}

pub enum Asked {
    Stream,
    /// Into this session, under this id if it is a request.
    Post(usize, Option<i64>),
    McpPost(Parcel),
    /// The stream of this session, and whether from some event on.
    McpStream(usize, bool),
    McpEnd(usize),
}

impl Conn {
    pub fn is_stream(&self) -> bool {
        self.stream.is_some()
    }
}

/// A stream that lasts as long as its connection.
struct Stream {
    decoder: Decoder,
    of: Of,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Of {
    /// Of HTTP+SSE; its endpoint is still to come.
    Nobody,
    Session(usize),
    /// Of Streamable HTTP, and whether it may repeat what was said before.
    Mcp(usize, bool),
}

#[derive(Default)]
struct Session {
    endpoint: String,
    conn: usize,
    questions: Vec<String>,
    counts: BTreeMap<i64, Counts>,
    /// The last reply was a result.
    last_is_result: bool,
}

/// A session of HTTP+SSE hears a message.
fn heard(session: &mut Session, text: &str, any_raw: bool) {
    match jsonrpc::parse(text.as_bytes(), &Limits::DEFAULT, &mut Tape::new()).expect("a message") {
        Message::Request(question) => {
            let mut id = Vec::new();
            question.id.write(&mut id);
            session.questions.push(String::from_utf8(id).expect("an id"));
        }
        Message::Notification(_) => {}
        Message::Response(reply) => match reply.id.map(IdRef::into_owned) {
            Some(Id::Int(id)) => {
                session.last_is_result = reply.outcome.is_ok();
                let counts = session.counts.entry(id).or_default();
                counts.replies += 1;
                let asked = counts.accepted + counts.unknown;
                assert!(any_raw || counts.replies <= asked, "{id}: {counts:?}");
            }
            other => assert!(any_raw, "a reply to {other:?}"),
        },
    }
}

/// What happened under one id.
#[derive(Debug, Default)]
struct Counts {
    /// Requests that may get a reply or not: it is not known whether they were taken, or they were refused as busy.
    unknown: usize,
    accepted: usize,
    replies: usize,
    cancels: usize,
}

pub struct Peers {
    pub world: World,
    handle: Handle,
    replies: Replies,
    pub conns: Vec<Conn>,
    sessions: Vec<Session>,
    pub mcp: Vec<McpSession>,
    /// The id of the last event that any client saw.
    pub last_event: String,
    /// The last `requestState`.
    pub state: String,
    /// Messages that were posted, and of these: known to be taken, known to be refused.
    pub posts: u64,
    pub accepted: u64,
    pub refused: u64,
    pub any_raw: bool,
    pub stopping: bool,
}

impl Peers {
    pub fn new() -> Peers {
        let replies = Replies::default();
        let world = World::new(server(&replies));
        Peers {
            handle: world.engine.handle(),
            world,
            replies,
            conns: Vec::new(),
            sessions: Vec::new(),
            mcp: Vec::new(),
            last_event: String::new(),
            state: String::new(),
            posts: 0,
            accepted: 0,
            refused: 0,
            any_raw: false,
            stopping: false,
        }
    }

    pub fn connect(&mut self) {
        if self.world.engine.has_room() {
            let sock = self.world.connect();
            self.connected(sock, None);
        }
    }

    pub fn connected(&mut self, sock: Sock, lines: Option<Lines>) {
        self.conns.push(Conn {
            sock,
            open: true,
            half_closed: false,
            over: false,
            raw: false,
            waiting: Vec::new(),
            input: Vec::new(),
            stream: None,
            lines,
        });
    }

    /// Picks among the connections of HTTP that are open.
    pub fn pick(&self, n: usize) -> Option<usize> {
        let open = |at: &usize| self.conns[*at].open && self.conns[*at].lines.is_none();
        let all: Vec<usize> = (0..self.conns.len()).filter(open).collect();
        all.get(n % all.len().max(1)).copied()
    }

    /// What [`pick`](Peers::pick) takes for the connection that came last.
    pub fn newest(&self) -> usize {
        self.conns.iter().filter(|conn| conn.open && conn.lines.is_none()).count() - 1
    }

    /// Picks among all connections that are open.
    fn pick_any(&self, n: usize) -> Option<usize> {
        let all: Vec<usize> = (0..self.conns.len()).filter(|at| self.conns[*at].open).collect();
        all.get(n % all.len().max(1)).copied()
    }

    /// True if the server reads what is sent, and may answer it.
    pub fn send(&mut self, at: usize, bytes: &[u8]) -> bool {
        let conn = &self.conns[at];
        let takes = !conn.half_closed && self.world.wants_read(conn.sock);
        if takes {
            self.world.queue(conn.sock, bytes);
        }
        takes && !conn.over
    }

    pub fn ask_for_stream(&mut self, n: usize) {
        let Some(at) = self.pick(n) else { return };
        if self.send(at, b"GET /sse?a=1 HTTP/1.1\r\nHost: localhost\r\n\r\n") {
            self.conns[at].waiting.push(Asked::Stream);
        }
    }

    pub fn post(&mut self, n: usize, session: usize, message: usize, id: usize) {
        let text = MESSAGES[message % MESSAGES.len()];
        let body = text.replace('@', &id.to_string());
        let is_request = text.contains(r#""id":@,"method""#) && text.ends_with('}');
        let Some((at, session)) = self.post_text(n, session, &body) else { return };
        let id = is_request.then_some(id as i64);
        if is_request {
            self.sessions[session].counts.entry(id.unwrap_or_default()).or_default().unknown += 1;
        } else if text.contains("cancelled") {
            let id = body.rsplit_once("requestId\":").and_then(|(_, id)| id.trim_matches('}').parse().ok());
            self.sessions[session].counts.entry(id.expect("an id")).or_default().cancels += 1;
        }
        self.conns[at].waiting.push(Asked::Post(session, id));
    }

    fn post_text(&mut self, n: usize, session: usize, body: &str) -> Option<(usize, usize)> {
        let (at, session) = (self.pick(n)?, session % self.sessions.len().max(1));
        let endpoint = &self.sessions.get(session)?.endpoint;
        let request = format!(
            "POST {endpoint} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let sent = self.send(at, request.as_bytes());
        self.posts += u64::from(sent);
        sent.then_some((at, session))
    }

    pub fn raw(&mut self, n: usize, bytes: &[u8]) {
        let Some(at) = self.pick_any(n).filter(|_| !bytes.is_empty()) else { return };
        if self.send(at, bytes) {
            self.conns[at].raw = true;
            self.any_raw = true;
        }
    }

    pub fn window(&mut self, n: usize, size: usize) {
        let Some(at) = self.pick_any(n) else { return };
        match size {
            9 => self.world.reads_all(self.conns[at].sock),
            _ => self.world.reads_only(self.conns[at].sock, 64 * size),
        }
    }

    pub fn pass(&mut self, n: usize) {
        const STEPS_MS: [u64; 10] = [1, 100, 1000, 2000, 10_000, 15_000, 30_000, 60_000, 600_000, 900_000];
        self.advance(Duration::from_millis(STEPS_MS[n % STEPS_MS.len()]));
    }

    pub fn advance(&mut self, time: Duration) {
        self.world.jump(self.world.now.mono + time);
    }

    pub fn work(&mut self, n: usize, what: usize) {
        let mut replies = self.replies.lock().expect("a lock");
        if replies.is_empty() {
            return;
        }
        let at = n % replies.len();
        match what % 4 {
            0 => replies.swap_remove(at).finish("done"),
            1 => replies[at].progress(what as f64, Some(300.0), Some("on it")),
            2 => replies[at].log(Level::Warning, "hm"),
            _ => drop(replies.swap_remove(at)),
        }
        drop(replies);
        self.world.jump(self.world.now.mono);
    }

    pub fn answer(&mut self, n: usize, session: usize, what: usize) {
        let count = self.sessions.len().max(1);
        let Some(question) =
            self.sessions.get_mut(session % count).and_then(|session| session.questions.pop())
        else {
            return;
        };
        let body = format!(r#"{{"jsonrpc":"2.0","id":{question},{}}}"#, ANSWERS[what % ANSWERS.len()]);
        if let Some((at, session)) = self.post_text(n, session, &body) {
            self.conns[at].waiting.push(Asked::Post(session, None));
        }
    }

    pub fn announce(&mut self, n: usize) {
        match n % 5 {
            0 => self.handle.resource_updated("fuzz:///a"),
            1 => self.handle.tools_changed(),
            2 => self.handle.log(Level::Error, "y".repeat(300)),
            3 => self.handle.resource_updated("fuzz:///t/1"),
            _ => drop(self.handle.withdraw(ItemKind::Tool, "none")),
        }
        self.world.jump(self.world.now.mono);
    }

    pub fn half_close(&mut self, n: usize) {
        let Some(at) = self.pick_any(n) else { return };
        self.conns[at].half_closed = true;
        self.world.half_close(self.conns[at].sock);
    }

    pub fn hang_up(&mut self, n: usize) {
        let Some(at) = self.pick_any(n) else { return };
        self.world.reset(self.conns[at].sock);
    }

    pub fn shut_down(&mut self, n: usize) {
        self.stopping = true;
        self.world.shutdown(Duration::from_secs(n as u64 % 20));
    }

    /// A turn of the loop: does what the engine says until it waits, and looks at everything.
    pub fn settle(&mut self) {
        self.turn();
        self.world.jump(self.world.now.mono);
        self.turn();
        let (deadline, now) = (self.world.deadline(), self.world.now.mono);
        assert!(deadline.is_none_or(|deadline| deadline > now), "{deadline:?} at {now:?}: it spins");
    }

    fn turn(&mut self) {
        self.world.run();
        for at in (0..self.conns.len()).filter(|at| self.conns[*at].open).collect::<Vec<_>>() {
            let sock = self.conns[at].sock;
            let bytes = self.world.take(sock);
            self.conns[at].input.extend_from_slice(&bytes);
            match self.conns[at].lines {
                Some(_) => self.read_lines(at),
                None => self.read(at),
            }
            let conn = &mut self.conns[at];
            conn.open = !self.world.closed(sock);
            if self.world.ended(sock) && !std::mem::replace(&mut conn.over, true) {
                conn.waiting.clear();
            }
        }
        self.check();
    }

    /// The peer looks at what it was sent.
    fn read(&mut self, at: usize) {
        while self.conns[at].stream.is_none() && !self.conns[at].input.is_empty() {
            let conn = &mut self.conns[at];
            if conn.raw {
                return;
            }
            let method = match conn.waiting.first() {
                Some(Asked::Stream | Asked::McpStream(..)) => "GET",
                Some(Asked::McpEnd(_)) => "DELETE",
                _ => "POST",
            };
            let Some((response, used)) = client::begun(&conn.input, method) else { return };
            // Nothing was asked: only a connection that is given up is told so.
            assert!(!conn.waiting.is_empty() || response.status == 408, "a response to no request");
            if !response.is_whole {
                return self.read_part(at, &response);
            }
            conn.input.drain(..used);
            if conn.waiting.is_empty() {
                continue;
            }
            let asked = conn.waiting.remove(0);
            if !response.keeps_alive() {
                // What was sent behind it is not looked at.
                conn.waiting.clear();
            }
            if response.is_stream {
                let of = match asked {
                    Asked::Stream => Of::Nobody,
                    Asked::McpStream(session, resumes) => Of::Mcp(session, resumes),
                    _ => panic!("a stream that was not asked for"),
                };
                conn.stream = Some(Stream { decoder: Decoder::new(1 << 16), of });
                conn.input = response.body;
                break;
            }
            self.responded(at, asked, &response);
        }
        self.read_events(at);
    }

    fn responded(&mut self, at: usize, asked: Asked, response: &client::Response) {
        match asked {
            Asked::Post(session, id) => {
                let accepted = response.status == 202;
                self.accepted += u64::from(accepted);
                self.refused += u64::from(!accepted);
                if let Some(id) = id {
                    let counts = self.sessions[session].counts.entry(id).or_default();
                    // One that is refused as busy may be told so on the stream as well.
                    counts.unknown -= usize::from(response.status != 503);
                    counts.accepted += usize::from(accepted);
                }
            }
            Asked::McpPost(parcel) => self.parcel_answered(at, parcel, response),
            Asked::McpEnd(session) => self.mcp[session].ended |= response.status == 200,
            Asked::McpStream(session, true) if response.status == 200 => self.heard_again(session, response),
            Asked::Stream | Asked::McpStream(..) => assert!(response.status >= 400, "{response:?}"),
        }
    }

    fn read_events(&mut self, at: usize) {
        let conn = &mut self.conns[at];
        let Some(stream) = &mut conn.stream else { return };
        let bytes = std::mem::take(&mut conn.input);
        let mut rest = &bytes[..];
        while let Some(event) = stream.decoder.next(&mut rest).expect("a short event") {
            if event.name == "endpoint" {
                assert_eq!(stream.of, Of::Nobody, "a second endpoint");
                stream.of = Of::Session(self.sessions.len());
                self.sessions.push(Session { endpoint: event.data, conn: at, ..Session::default() });
                continue;
            }
            assert_eq!(event.name, "message");
            if event.data.is_empty() {
                // It only tells its id.
                continue;
            }
            match stream.of {
                Of::Nobody => panic!("a message before the endpoint"),
                Of::Session(session) => heard(&mut self.sessions[session], &event.data, self.any_raw),
                Of::Mcp(session, resumes) => {
                    let reply = self.mcp[session].heard(&event.data);
                    assert!(reply.is_none() || resumes || self.any_raw, "a reply on no request's stream");
                }
            }
        }
        if !stream.decoder.last_id().is_empty() {
            self.last_event = stream.decoder.last_id().to_owned();
        }
    }

    fn check(&self) {
        let Stats { connections, sessions, calls, buffered_bytes, messages_received, .. } =
            self.world.engine.stats();
        assert_eq!(connections, self.conns.iter().filter(|conn| conn.open).count());
        assert!(connections <= LIMITS.connections_max && sessions <= LIMITS.sessions_max);
        // A request that stands alone is its connection's only one.
        let max = sessions * LIMITS.calls_max + connections;
        assert!(calls <= max, "{calls} calls in {sessions} sessions and {connections} connections");
        let max = LIMITS.buffered_bytes_max;
        assert!(buffered_bytes <= max, "{buffered_bytes} bytes are held, {max} may be");
        let taken = self.accepted..=self.posts - self.refused;
        assert!(self.any_raw || taken.contains(&messages_received), "{messages_received} taken of {taken:?}");
        for conn in self.conns.iter().filter(|conn| conn.open) {
            let left = self.world.engine.outgoing(self.world.key(conn.sock)).len();
            assert!(
                left == 0 || self.world.blocked(conn.sock),
                "{left} bytes are left although the peer takes them"
            );
            // What one answer may hold, its head, and what may be left of those before it.
            let max = LIMITS.output_bytes_max + LIMITS.turn_bytes_max + 512;
            assert!(left <= max, "{left} bytes wait for one peer");
        }
    }

    /// Everybody reads, workers sleep, all timeouts pass: every request has its reply. Then everything ends, and
    /// nothing is left.
    pub fn end(mut self) {
        for at in 0..self.conns.len() {
            self.world.reads_all(self.conns[at].sock);
        }
        self.settle();
        self.stop_listening();
        self.check_waiting();
        self.check_doubtful();
        // POSTs on one connection wait for each other.
        let behind = self.conns.iter().map(|conn| conn.waiting.len()).max().unwrap_or_default();
        for _ in 0..(LIMITS.rounds_max + 1) * (behind + 1) {
            self.advance(LIMITS.question_timeout);
            self.settle();
        }
        self.check_replies();
        self.check_lines();
        self.check_waiting();
        assert_eq!(
            self.world.engine.stats().calls,
            0,
            "a call is open although all its timeouts have passed"
        );
        self.check_service();
        self.check_service_of_lines();
        if self.stopping {
            assert!(self.world.engine.is_finished(), "the grace is over");
        }
        for conn in self.conns.iter().filter(|conn| conn.open) {
            self.world.reset(conn.sock);
        }
        self.settle();
        self.check_newcomer();
        // Timers are a little late, never early.
        self.advance(LIMITS.session_idle_timeout + Duration::from_secs(1));
        self.settle();
        let Stats { connections, sessions, calls, buffered_bytes, workers_stuck, .. } =
            self.world.engine.stats();
        assert_eq!((connections, sessions, calls, buffered_bytes, workers_stuck), (0, 0, 0, 0, 0));
        if !self.stopping {
            assert_eq!(self.world.engine.poll(), Action::Wait(None), "something is still to come");
        }
        for reply in self.replies.lock().expect("a lock").drain(..) {
            assert!(reply.is_cancelled(), "work goes on for nobody");
        }
    }

    /// After all that, every client that is still there is served: no slot, count or byte was lost.
    fn check_service(&mut self) {
        let open = |session: &Session| self.conns[session.conn].open && !self.stopping;
        let left: Vec<usize> = (0..self.sessions.len()).filter(|at| open(&self.sessions[*at])).collect();
        for session in left {
            let before = self.conns.len();
            self.connect();
            assert!(self.conns.len() > before, "no room although all are idle");
            let newest = self.newest();
            self.post(newest, session, 3, 9999);
            self.settle();
            let session = &self.sessions[session];
            let counts = &session.counts[&9999];
            assert!(counts.replies == 1 && session.last_is_result, "no service: {counts:?}");
        }
    }

    fn check_replies(&self) {
        for session in self.sessions.iter().filter(|session| self.conns[session.conn].open && !self.any_raw) {
            for (id, counts) in &session.counts {
                let Counts { unknown, accepted, replies, cancels } = counts;
                let answered = replies + cancels >= *accepted && *replies <= accepted + unknown;
                assert!(answered, "{id}: {counts:?}");
            }
        }
    }
}
