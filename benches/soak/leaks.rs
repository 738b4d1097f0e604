//! The same over and over, on the engine alone: resident memory after a million times is what it was after a few.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use mcp_rill::Peer;
use mcp_rill::engine::{Action, ConnKey, Engine};
use mcp_rill::{Level, Limits, Now, Reply, Server};

use crate::host::status_kib;
use crate::parts::Scale;
use crate::wire;

/// What may be more after than before: the allocator's own doing.
const SLACK_KIB: u64 = 256;

struct Bench {
    engine: Engine,
    now: Now,
    replies: mpsc::Receiver<Reply>,
    /// Keys that are dead.
    dead: Vec<ConnKey>,
}

impl Bench {
    fn new() -> Bench {
        let (send, replies) = mpsc::channel();
        let server = Server::new("soak", "1")
            .limits(Limits { tool_timeout: Duration::from_secs(5), ..Limits::DEFAULT })
            .tool("panic", "Panic", |(), _| -> String { panic!("a bug in a handler") })
            .tool("later", "Answer later", move |(), call| call.defer(|reply| send.send(reply)))
            .blocking_tool("block", "Block", |(), _| "done")
            .resource("soak:///1", "1", |_| "1");
        let mut last = 0;
        let ids = move || {
            last += 1;
            last
        };
        Bench { engine: Engine::new(server, ids).unwrap(), now: Now::default(), replies, dead: Vec::new() }
    }

    fn open(&mut self) -> ConnKey {
        self.engine.open(self.now, Peer { loopback: true, ..Peer::default() })
    }

    /// Sends a request and takes all output, which is given for that connection.
    fn send(&mut self, conn: ConnKey, request: &str) -> String {
        self.engine.receive(self.now, conn, request.as_bytes());
        self.drain(conn)
    }

    fn drain(&mut self, of: ConnKey) -> String {
        let mut text = String::new();
        loop {
            match self.engine.poll() {
                Action::Write(conn) => {
                    let bytes = self.engine.outgoing(conn);
                    if conn == of {
                        text.push_str(&String::from_utf8_lossy(bytes));
                    }
                    let count = bytes.len();
                    self.engine.sent(self.now, conn, count);
                }
                Action::Wait(_) => return text,
                _ => {}
            }
        }
    }

    /// Opens a session; gives its stream and its endpoint.
    fn session(&mut self) -> (ConnKey, String) {
        let stream = self.open();
        let text = self.send(stream, &wire::get("/sse"));
        let endpoint = text.split("event: endpoint\ndata: ").nth(1).unwrap().trim_end().to_owned();
        (stream, endpoint)
    }

    fn close(&mut self, conn: ConnKey) {
        self.engine.hang_up(self.now, conn);
        self.drain(conn);
    }

    fn pass(&mut self, time: Duration) {
        self.now.mono += time;
        self.engine.tick(self.now);
    }

    fn panics(&mut self) {
        let conn = self.open();
        let text = self.send(conn, &wire::alone_call(1, "panic", "{}"));
        assert!(text.contains("-32603"), "{text}");
        self.close(conn);
    }

    /// A session that goes while its call is elsewhere; then the reply comes, or is dropped.
    fn late_replies(&mut self) {
        let ((stream, endpoint), post) = (self.session(), self.open());
        self.send(post, &wire::post(&endpoint, &wire::call(1, "later", "{}")));
        self.send(post, &wire::post(&endpoint, &wire::call(2, "later", "{}")));
        self.close(stream);
        let (first, second) = (self.replies.recv().unwrap(), self.replies.recv().unwrap());
        assert!(first.is_cancelled());
        first.progress(1.0, None, None);
        first.log(Level::Error, "too late");
        first.finish("too late");
        drop(second);
        self.pass(Duration::from_millis(1));
        self.close(post);
    }

    /// Whatever a driver may still say of a connection that is gone.
    fn stale_keys(&mut self) {
        let conn = self.open();
        self.engine.receive(self.now, conn, b"GET /s");
        self.close(conn);
        self.dead.push(conn);
        if self.dead.len() > 1000 {
            self.dead.clear();
        }
        let stale = self.dead.first().copied().unwrap_or(conn);
        self.engine.receive(self.now, stale, b"GET /sse HTTP/1.1\r\n\r\n");
        self.engine.writable(self.now, stale);
        self.engine.sent(self.now, stale, 10);
        self.engine.hang_up(self.now, stale);
        assert!(!self.engine.wants_read(stale) && self.engine.find(stale.token()).is_none());
        self.pass(Duration::from_micros(100));
    }

    fn mail(&mut self) {
        let handle = self.engine.handle();
        for number in 0..20 {
            handle.resource_updated(&format!("soak:///{number}"));
            handle.log(Level::Error, "x");
        }
        handle.tools_changed();
        self.pass(Duration::from_micros(100));
    }

    /// No thread can be made, so the call waits in the queue until its time is over.
    fn no_threads(&mut self) {
        let conn = self.open();
        self.send(conn, &wire::alone_call(1, "block", "{}"));
        let jobs = self.engine.jobs();
        assert!(jobs.wants_thread());
        jobs.thread_failed();
        self.pass(Duration::from_secs(6));
        assert!(self.drain(conn).contains("no worker thread was free"));
        assert!(!jobs.wants_thread(), "the job is gone with its call");
        self.close(conn);
    }

    /// Sessions of Streamable HTTP that nobody uses or ends.
    fn idle_sessions(&mut self) {
        let conn = self.open();
        assert!(self.send(conn, &wire::mcp_post("", &wire::initialize())).contains("Mcp-Session-Id"));
        self.close(conn);
        self.pass(Duration::from_secs(1));
    }
}

pub(crate) fn serve(scale: Scale) {
    // A handler that panics is meant to here, and need not be shown so often.
    std::panic::set_hook(Box::new(|info| {
        if info.payload().downcast_ref() != Some(&"a bug in a handler") {
            eprintln!("{info}");
        }
    }));
    type Round = fn(&mut Bench);
    let rounds: [(&str, usize, Round); 6] = [
        ("handlers that panic", scale.of(20_000, 100_000), Bench::panics),
        (
            "sessions that end before their calls' replies come",
            scale.of(20_000, 100_000),
            Bench::late_replies,
        ),
        ("keys that are dead", scale.of(200_000, 1_000_000), Bench::stale_keys),
        ("lots of mail for nobody", scale.of(10_000, 50_000), Bench::mail),
        ("calls for which no thread could be made", scale.of(20_000, 100_000), Bench::no_threads),
        ("sessions that nobody ends", scale.of(20_000, 100_000), Bench::idle_sessions),
    ];
    let mut bench = Bench::new();
    for (name, count, round) in rounds {
        // What the first ones bring about once is not a leak.
        (0..count / 10).for_each(|_| round(&mut bench));
        let (before, start) = (status_kib("VmRSS"), Instant::now());
        (0..count).for_each(|_| round(&mut bench));
        bench.pass(Duration::from_secs(3600));
        let (after, stats) = (status_kib("VmRSS"), bench.engine.stats());
        let counts = (stats.connections, stats.sessions, stats.calls, stats.buffered_bytes);
        println!(
            "{count} {name}: {before} KiB resident before, {after} after, in {:.1?}; left: {counts:?}",
            start.elapsed()
        );
        assert_eq!(counts, (0, 0, 0, 0));
        assert!(after <= before + SLACK_KIB, "{after} KiB");
        assert_eq!(bench.engine.poll(), Action::Wait(None), "a timer is left");
    }
    assert!(bench.replies.try_recv().is_err());
}
