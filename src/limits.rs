//! Every bound of the server in one struct.
//!
//! *Scope:* the [`Limits`] struct, its defaults, and the relations between fields. *Not in scope:* limits as text, which
//! the command line has (`text`, behind the feature `cli`); enforcing them: each field's documentation names what the peer
//! sees when that happens.

#[cfg(feature = "cli")]
mod text;

use std::time::Duration;

/// The most header fields a [`Limits::headers_max`] may allow: the parser keeps an array of this size on the stack.
pub const HEADERS_CAP: usize = 256;

/// The most connections a [`Limits::connections_max`] may allow: an event token carries 20 bits of slot number.
pub const CONNECTIONS_CAP: usize = 1 << 20;

macro_rules! limits {
    ($( $(#[doc = $doc:literal])+ $name:ident : $kind:ty = $default:expr; )+) => {
        /// What the server will hold, wait for and accept, at most.
        ///
        /// Each field says what it bounds, what the peer sees when it is hit, and what it costs. Sizes are bytes.
        ///
        /// ```
        /// use mcp_rill::Limits;
        /// let limits = Limits { sessions_max: 8, connections_max: 32, ..Limits::DEFAULT };
        /// assert!(limits.check().is_ok());
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits { $( $(#[doc = $doc])+ pub $name: $kind, )+ }

        impl Limits {
            /// The defaults, made for a small machine: at most 64 MiB of peers' data, 512 sessions.
            pub const DEFAULT: Limits = Limits { $( $name: $default, )+ };

            /// The names of all limits, in declared order.
            pub const NAMES: &'static [&'static str] = &[ $( stringify!($name), )+ ];

            /// The limit of this name, with its documentation as Markdown.
            #[cfg(feature = "cli")]
            fn named(&mut self, name: &str) -> Option<(&mut dyn text::Limit, &'static str)> {
                match name {
                    $( stringify!($name) => {
                        Some((&mut self.$name, concat!($($doc,)+).trim_ascii_start()))
                    } )+
                    _ => None,
                }
            }
        }
    };
}

limits! {
    /// Bytes of all peers together: bodies being received, output not yet taken, kept calls, where a hook authorizes the
    /// heads of what is open, and events kept for lost streams. Those are dropped first. When the rest has spent it, new
    /// bodies and sessions get 503 with `Retry-After`, unless over half of it is kept for calls and subscriptions: then the
    /// session with the most is ended instead; or unless some peer dawdles, with half a request for more than `body_timeout`
    /// or with output that it takes little by little for more than `write_timeout`: then the one that holds most loses it. If
    /// output or calls take it further, the connection that holds most is closed, or its unfinished request gets 503, or such
    /// a session is ended. This is the worst case for peers' data.
    buffered_bytes_max: usize = 64 << 20;
    /// Open connections. At the cap the connection idle longest between two requests is closed; if none is idle,
    /// new ones wait in the kernel's backlog. About 0.3 KiB each. At most 1,048,576 ([`CONNECTIONS_CAP`]).
    connections_max: usize = 2048;
    /// Open sessions, of which each connection of lines has one. One more ends the session of Streamable HTTP idle longest that has no stream and no call open: first
    /// among those whose clients did nothing but initialize and list. The client of that one gets 404 and opens another. If
    /// there is none, the new one gets 503; `Retry-After` is 1 if some session only waits for the answer to its calls, else
    /// `keep_alive`, in which a stream whose client is gone is found out, and at most a minute. About 0.4 KiB each while
    /// idle, besides its connection, and at most 0.4 KiB for what its client says of itself, which sessions that say the same
    /// share.
    sessions_max: usize = 512;
    /// Open connections of one peer address, or of one /64 network of IPv6; 0 is off, since all clients of a proxy are one
    /// peer. Unix sockets do not count. At the cap the peer's connection idle longest between two requests is closed; if
    /// none is idle, the new one gets 503 with `Retry-After` at once, and is closed. While as many are being told that,
    /// more are closed without a word. An HTTP+SSE client needs two. About 0.1 KiB for each address.
    connections_per_peer_max: usize = 0;
    /// Open sessions of one peer address, counted likewise; 0 is off. One more ends one of that peer's or gets 503, as at
    /// `sessions_max`. About 0.1 KiB for each address and each session.
    sessions_per_peer_max: usize = 0;
    /// The request target. A longer one gets 414 and the connection is closed.
    target_bytes_max: usize = 8 << 10;
    /// The request line and all header fields. A longer head gets 431 and the connection is closed.
    head_bytes_max: usize = 16 << 10;
    /// Header fields of one request; one more gets 431 and the connection is closed. At most 256 ([`HEADERS_CAP`]).
    headers_max: usize = 100;
    /// A request body, or a line. A longer body gets 413: before it is read where `Content-Length` says so. The session lives on.
    /// A longer line gets a parse error (−32700) with `"id":null`, and what follows of it is skipped.
    body_bytes_max: usize = 4 << 20;
    /// All chunk extensions of one request body together; more gets 400 and the connection is closed.
    chunk_extension_bytes_max: usize = 4 << 10;
    /// The trailer section of one request body; a longer one gets 400 and the connection is closed.
    trailer_bytes_max: usize = 4 << 10;
    /// Nested arrays and objects in a JSON text; deeper ones are a parse error (−32700).
    json_depth_max: usize = 64;
    /// Values in one JSON text, counting members and elements; more are a parse error (−32700).
    json_values_max: usize = 100_000;
    /// A request's id, which is kept while the call is open and repeated in its answer; a longer one is refused (−32600).
    id_bytes_max: usize = 1 << 10;
    /// Messages of one batch, which revision 2025-03-26 has over Streamable HTTP and in lines; more are refused with 400 (−32600).
    batch_max: usize = 100;
    /// The result or error in one outgoing message, or a whole notification. A longer result is replaced by an error
    /// (−32603) that names this limit.
    message_bytes_max: usize = 4 << 20;
    /// Output queued for one stream. Over half of it new requests get 503; over it the stream is closed. A connection of lines is
    /// not read from while over half of it waits there.
    output_bytes_max: usize = 8 << 20;
    /// Requests of one session being worked on; one more is refused as busy (−32000). Each counts towards
    /// `buffered_bytes_max` with what is kept for it, about 0.5 KiB besides its arguments. A request without a session
    /// (2026-07-28) is the only one of its kind, so that 0 alone refuses it: 503, −32603.
    calls_max: usize = 256;
    /// Rounds of questions that one call may ask its client; more are an error result.
    rounds_max: usize = 8;
    /// Resources that one session may subscribe to, and that one client without a session may listen to; one more is refused
    /// (−32602). Each is read for that once, unless there is a hook of [`Server::on_subscribe`](crate::Server::on_subscribe).
    subscriptions_max: usize = 256;
    /// Streams of `subscriptions/listen` open at once; one more gets 503 (−32603). About 0.3 KiB each besides its
    /// connection, and what its URIs take.
    listens_max: usize = 256;
    /// Threads for blocking handlers. They are made when the first such handler is called.
    workers: usize = 4;
    /// Calls that wait for a worker thread, of all sessions; one more is refused as busy (−32000). More than `calls_max`, so
    /// that one session alone does not fill it.
    worker_queue_max: usize = 1024;
    /// Worker threads that are stuck past their call's timeout and are replaced; further ones are not, and when none is
    /// left, calls of blocking handlers are refused as busy (−32000).
    workers_stuck_max: usize = 4;
    /// Logs, changes and updated URIs that other threads may leave for the loop until it looks; more logs are dropped and
    /// counted, changes are refused, and beyond that many URIs every subscription hears of an update.
    mailbox_max: usize = 1024;
    /// How long a call of a blocking handler may wait for a worker thread; then it is refused as busy (−32000), and never
    /// begun. What it waits does not count towards `tool_timeout`.
    worker_wait_timeout: Duration = Duration::from_secs(60);
    /// A handler's time on other threads, from when its thread begins and without its waits for answers, unless its tool,
    /// resource, template or prompt has a timeout of its own; then an error result of a tool, an error (−32603) of others.
    tool_timeout: Duration = Duration::from_secs(60);
    /// How long a client may take to answer the questions of one round; then its call goes on without answers.
    question_timeout: Duration = Duration::from_secs(600);
    /// How long a question to a client without a session may take to come back with its answer; then it is refused
    /// (−32602).
    request_state_ttl: Duration = Duration::from_secs(600);
    /// Items on one page of a list; the rest come with the next cursor.
    page_items_max: usize = 100;
    /// Bytes after which a page of a list ends although more items would fit by count: some clients cap one event at 1 MiB.
    page_bytes_max: usize = 512 << 10;
    /// A resource's URI in a request; a longer one is refused (−32602).
    uri_bytes_max: usize = 8 << 10;
    /// What one connection may read, and what it may leave unsent before its next request is started, in one turn of the loop. Lines
    /// may leave more, as `output_bytes_max` says.
    turn_bytes_max: usize = 64 << 10;
    /// From the first byte of a request (or the accept) to the end of its head; then 408 and close.
    head_timeout: Duration = Duration::from_secs(10);
    /// From the end of the head to the end of the body; then 408 and close. Half a line has no such time, but gives way after it as
    /// `buffered_bytes_max` says. Each byte extends the time as `body_rate_min`
    /// says, but never to more than this from now: a body that came fast at first earns no long wait.
    body_timeout: Duration = Duration::from_secs(30);
    /// Bytes per second a body must keep up once `body_timeout` has passed; slower ones get 408 and close.
    body_rate_min: usize = 1 << 10;
    /// A peer that takes none of its queued output for this long is closed.
    write_timeout: Duration = Duration::from_secs(30);
    /// How long what was sent to a TCP peer may stay unacknowledged before the connection is broken (RFC 5482, user
    /// timeout): comments alone would take a quarter of an hour to notice that a peer is gone. 0 leaves it to the
    /// system. The binary applies it on Linux; a program that embeds the library sets `TCP_USER_TIMEOUT` itself, in
    /// `Listening::on_accept`.
    tcp_user_timeout: Duration = Duration::from_secs(60);
    /// A kept-alive connection without a request for this long is closed; responses announce it in `Keep-Alive`.
    idle_timeout: Duration = Duration::from_secs(60);
    /// After a refusal: how long the peer may go on sending before the connection is closed.
    linger_timeout: Duration = Duration::from_secs(2);
    /// After a refusal: how much the peer may still send before the connection is closed. A peer that is not authorized and
    /// announces a longer body than this is refused and closed at once.
    linger_bytes_max: usize = 256 << 10;
    /// Messages that are kept for one stream of Streamable HTTP in case its client loses it and comes back. The oldest
    /// notifications give way, and a client that comes back goes on without them; then questions, and a client that has not
    /// seen those gets 400. Responses are kept besides, whatever their size; with 0 nothing else is. To keep nothing at all
    /// set `replay_timeout` to 0.
    replay_bytes_max: usize = 64 << 10;
    /// Streams of one session that are kept after their calls were answered, in case the answers were lost; beyond it the
    /// oldest is dropped, and a client that comes back for it gets 400. About 0.2 KiB each, and the messages.
    replay_streams_max: usize = 256;
    /// How long messages are kept for a client that has lost its stream: since the last one, since the end of the calls
    /// on it, or, for a session's own stream, since it was lost. Then 400, unless it is notifications of a call that goes on.
    /// With 0 streams cannot be resumed, and their events have no ids.
    replay_timeout: Duration = Duration::from_secs(60);
    /// How long a session of Streamable HTTP may be unused: without a request, an open call, an open stream. Then it ends,
    /// and its id gets 404.
    session_idle_timeout: Duration = Duration::from_secs(30 * 60);
    /// The same for one whose client has sent neither `notifications/initialized` nor a request after `initialize`.
    initialize_timeout: Duration = Duration::from_secs(60);
    /// A stream without output for this long gets a comment, so that proxies keep it open. At least 1 ms.
    keep_alive: Duration = Duration::from_secs(15);
    /// After a shutdown began: how long queued output and running calls may take before the rest is reset; likewise on a connection
    /// of lines whose client sends no more. Less than the
    /// 10 s after which container runtimes kill what has not ended. The binary applies it on a signal; a program
    /// that embeds the library gives it to `Handle::shutdown`.
    shutdown_grace: Duration = Duration::from_secs(8);
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::DEFAULT
    }
}

const _: () = {
    let limits = Limits::DEFAULT;
    assert!(
        limits.connections_max >= 2 * limits.sessions_max,
        "a client holds a stream and a connection for POST"
    );
    assert!(limits.connections_max <= CONNECTIONS_CAP && limits.headers_max <= HEADERS_CAP);
    assert!(limits.target_bytes_max < limits.head_bytes_max);
    assert!(limits.message_bytes_max < limits.output_bytes_max);
    assert!(limits.page_bytes_max + 128 <= limits.message_bytes_max);
    assert!(limits.output_bytes_max <= limits.buffered_bytes_max);
    assert!(limits.body_bytes_max + limits.head_bytes_max <= limits.buffered_bytes_max);
    assert!(limits.batch_max <= limits.calls_max, "a whole batch may be worked on at once");
    assert!(limits.calls_max < limits.worker_queue_max, "one session does not fill the queue");
};

impl Limits {
    /// Checks the relations between the fields; [`Engine::new`](crate::engine::Engine::new) refuses limits that break one.
    ///
    /// # Errors
    /// A sentence that names the limit, its value, and the other limit or the least value that it must reach, or the most
    /// that it may be.
    ///
    /// ```
    /// use mcp_rill::Limits;
    /// let error = Limits { sessions_max: 8, connections_max: 8, ..Limits::DEFAULT }.check().unwrap_err();
    /// assert_eq!(error, "limit connections_max is 8, but must be at least 16 (2 × sessions_max)");
    /// ```
    pub fn check(&self) -> Result<(), String> {
        self.check_relations()?;
        self.check_floors()?;
        for (name, value, cap) in [
            ("headers_max", self.headers_max, HEADERS_CAP),
            ("connections_max", self.connections_max, CONNECTIONS_CAP),
        ] {
            if value > cap {
                return Err(format!("limit {name} is {value}, but may be at most {cap}"));
            }
        }
        Ok(())
    }

    fn check_relations(&self) -> Result<(), String> {
        let sum = usize::saturating_add;
        // A page has a cursor besides its items.
        let page = sum(self.page_bytes_max, 128);
        let messages = sum(self.message_bytes_max, self.id_bytes_max.saturating_mul(8));
        let body = sum(self.body_bytes_max, self.head_bytes_max);
        for (name, value, floor_name, floor) in [
            (
                "connections_max",
                self.connections_max,
                "2 × sessions_max",
                self.sessions_max.saturating_mul(2),
            ),
            ("head_bytes_max", self.head_bytes_max, "target_bytes_max + 64", sum(self.target_bytes_max, 64)),
            ("output_bytes_max", self.output_bytes_max, "message_bytes_max + 8 × id_bytes_max", messages),
            ("message_bytes_max", self.message_bytes_max, "page_bytes_max + 128", page),
            ("buffered_bytes_max", self.buffered_bytes_max, "body_bytes_max + head_bytes_max", body),
            ("buffered_bytes_max", self.buffered_bytes_max, "output_bytes_max", self.output_bytes_max),
        ] {
            at_least(name, value, floor_name, floor)?;
        }
        Ok(())
    }

    /// With less of one of these no client can be served.
    fn check_floors(&self) -> Result<(), String> {
        for (name, value, floor_name, floor) in [
            ("connections_max", self.connections_max, "one connection", 1),
            ("target_bytes_max", self.target_bytes_max, "one path", 1),
            ("headers_max", self.headers_max, "one field, Host", 1),
            ("body_bytes_max", self.body_bytes_max, "one byte", 1),
            ("calls_max", self.calls_max, "one call", 1),
            ("workers", self.workers, "one thread for blocking handlers", 1),
            ("json_depth_max", self.json_depth_max, "an envelope with params and _meta", 4),
            ("json_values_max", self.json_values_max, "the least `initialize`", 10),
            ("message_bytes_max", self.message_bytes_max, "an error message", 1024),
            ("page_items_max", self.page_items_max, "one item", 1),
            ("uri_bytes_max", self.uri_bytes_max, "one byte", 1),
            ("turn_bytes_max", self.turn_bytes_max, "one packet", 1024),
        ] {
            at_least(name, value, floor_name, floor)?;
        }
        let over = "less is over at once";
        for (name, time, floor_name) in [
            ("worker_wait_timeout", self.worker_wait_timeout, over),
            ("tool_timeout", self.tool_timeout, over),
            ("question_timeout", self.question_timeout, over),
            ("request_state_ttl", self.request_state_ttl, over),
            ("head_timeout", self.head_timeout, over),
            ("body_timeout", self.body_timeout, over),
            ("write_timeout", self.write_timeout, over),
            ("idle_timeout", self.idle_timeout, over),
            ("session_idle_timeout", self.session_idle_timeout, over),
            ("initialize_timeout", self.initialize_timeout, over),
            ("keep_alive", self.keep_alive, "or comments leave no time for anything else"),
        ] {
            if time < Duration::from_millis(1) {
                return Err(format!("limit {name} is 0s, but must be at least 1ms ({floor_name})"));
            }
        }
        Ok(())
    }
}

fn at_least(name: &str, value: usize, floor_name: &str, floor: usize) -> Result<(), String> {
    match value >= floor {
        true => Ok(()),
        false => Err(format!("limit {name} is {value}, but must be at least {floor} ({floor_name})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_checked() {
        assert_eq!(Limits::DEFAULT.check(), Ok(()));
        let broken = [
            Limits { connections_max: 1023, ..Limits::DEFAULT },
            Limits { connections_max: CONNECTIONS_CAP + 1, ..Limits::DEFAULT },
            Limits { headers_max: HEADERS_CAP + 1, ..Limits::DEFAULT },
            Limits { head_bytes_max: 8 << 10, ..Limits::DEFAULT },
            Limits { body_bytes_max: 64 << 20, ..Limits::DEFAULT },
            Limits { message_bytes_max: 8 << 20, ..Limits::DEFAULT },
            Limits { page_items_max: 0, ..Limits::DEFAULT },
            Limits { page_bytes_max: 4 << 20, ..Limits::DEFAULT },
        ];
        for limits in broken {
            assert!(limits.check().is_err(), "{limits:?}");
        }
    }
}
