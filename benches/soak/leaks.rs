//! The same over and over, on the engine alone: resident memory after a million times is what it was after a few.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use mcp_rill::engine::ConnKey;
use mcp_rill::{Level, Limits, Reply, Server};

use crate::common::{Sock, Sockets, World};
use crate::host::status_kib;
use crate::parts::Scale;
use crate::wire;

/// What may be more after than before: the allocator's own doing.
const SLACK_KIB: u64 = 256;

struct Bench {
    world: World,
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
        Bench { world: World::new(server), replies, dead: Vec::new() }
    }

    /// Sends a request and gives all output on that connection.
    fn send(&mut self, sock: Sock, request: &str) -> String {
        self.world.send(sock, request);
        self.world.take_text(sock)
    }

    fn close(&mut self, sock: Sock) {
        self.world.reset(sock);
        self.world.release(sock);
        self.world.events();
    }

    fn pass(&mut self, time: Duration) {
        self.world.jump(self.world.now.mono + time);
        self.world.run();
    }

    fn panics(&mut self) {
        let sock = self.world.connect();
        let text = self.send(sock, &wire::alone_call(1, "panic", "{}"));
        assert!(text.contains("-32603"), "{text}");
        self.close(sock);
    }

    /// A session that goes while its call is elsewhere; then the reply comes, or is dropped.
    fn late_replies(&mut self) {
        let (stream, post) = (self.world.open_sse(), self.world.connect());
        self.send(post, &wire::post(&stream.endpoint, &wire::call(1, "later", "{}")));
        self.send(post, &wire::post(&stream.endpoint, &wire::call(2, "later", "{}")));
        self.close(stream.sock);
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
        let sock = self.world.connect();
        let key = self.world.key(sock);
        self.world.send(sock, "GET /s");
        self.close(sock);
        self.dead.push(key);
        if self.dead.len() > 1000 {
            self.dead.clear();
        }
        let stale = self.dead.first().copied().unwrap_or(key);
        let Sockets { engine, now, .. } = &mut *self.world;
        engine.receive(*now, stale, b"GET /sse HTTP/1.1\r\n\r\n");
        engine.writable(*now, stale);
        engine.sent(*now, stale, 10);
        engine.hang_up(*now, stale);
        assert!(!engine.wants_read(stale) && engine.find(stale.token()).is_none());
        self.pass(Duration::from_micros(100));
    }

    fn mail(&mut self) {
        let handle = self.world.engine.handle();
        for number in 0..20 {
            handle.resource_updated(&format!("soak:///{number}"));
            handle.log(Level::Error, "x");
        }
        handle.tools_changed();
        self.pass(Duration::from_micros(100));
    }

    /// No thread can be made, so the call waits in the queue until its time is over.
    fn no_threads(&mut self) {
        let sock = self.world.connect();
        self.send(sock, &wire::alone_call(1, "block", "{}"));
        let jobs = self.world.engine.jobs();
        assert!(jobs.wants_thread());
        jobs.thread_failed();
        self.pass(Duration::from_secs(6));
        assert!(self.world.take_text(sock).contains("no worker thread was free"));
        assert!(!jobs.wants_thread(), "the job is gone with its call");
        self.close(sock);
    }

    /// Sessions of Streamable HTTP that nobody uses or ends.
    fn idle_sessions(&mut self) {
        let sock = self.world.connect();
        assert!(self.send(sock, &wire::mcp_post("", &wire::initialize())).contains("Mcp-Session-Id"));
        self.close(sock);
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
        // The events of the rounds are kept by the bench until they are looked at.
        let round = |bench: &mut Bench| {
            round(bench);
            drop((bench.world.calls_ended(), bench.world.requests_ended()));
        };
        // What the first ones bring about once is not a leak.
        (0..count / 10).for_each(|_| round(&mut bench));
        let (before, start) = (status_kib("VmRSS"), Instant::now());
        (0..count).for_each(|_| round(&mut bench));
        bench.pass(Duration::from_secs(3600));
        let (after, stats) = (status_kib("VmRSS"), bench.world.stats());
        let counts = (stats.connections, stats.sessions, stats.calls, stats.buffered_bytes);
        println!(
            "{count} {name}: {before} KiB resident before, {after} after, in {:.1?}; left: {counts:?}",
            start.elapsed()
        );
        assert_eq!(counts, (0, 0, 0, 0));
        assert!(after <= before + SLACK_KIB, "{after} KiB");
        assert_eq!(bench.world.deadline(), None, "a timer is left");
    }
    assert!(bench.replies.try_recv().is_err());
}
