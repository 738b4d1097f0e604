//! Every bound of the server in one struct.
//!
//! *Scope:* the [`Limits`] struct, its defaults, and the relations between fields. *Not in scope:* limits as text, which
//! the command line has (`text`, behind the feature `cli`); enforcing them: each field's documentation names what the peer
//! sees when that happens.

#[cfg(feature = "cli")]
mod text;

use std::fmt;
use std::time::Duration;

/// The most header fields a [`Limits::headers_max`] may allow: the parser keeps an array of this size on the stack.
pub const HEADERS_CAP: usize = 256;

/// The most connections a [`Limits::connections_max`] may allow: an event token carries 20 bits of slot number.
pub const CONNECTIONS_CAP: usize = 1 << 20;

/// The most bytes that a limit on all peers together may be.
const BYTES_CAP: usize = if usize::BITS > 32 { 1 << 40 } else { 1 << 30 };
/// The most that a limit on a number of things may be.
const COUNT_CAP: usize = 1 << 20;
/// The most threads that a limit may allow.
const THREADS_CAP: usize = 1 << 10;
/// The least time that is not over at once.
const TIME_MIN: Duration = Duration::from_millis(1);
/// The longest time that may be waited for: 100 days.
const TIME_CAP: Duration = Duration::from_secs(100 * 24 * 60 * 60);

macro_rules! limits {
    ($( $(#[doc = $doc:literal])+ $name:ident : $kind:ty = $default:expr, from $least:expr, to $most:expr; )+) => {
        /// What the server will hold, wait for and accept, at most.
        ///
        /// Each field says what it bounds, what the peer sees when it is hit, what it costs, and from where to where it may be set:
        /// with less a client could not be served, or would wait for nothing; more is a mistake. Sizes are bytes. `TIME_MIN` is 1 ms, `TIME_CAP`
        /// 100 days, `COUNT_CAP` 1,048,576, `THREADS_CAP` 1,024, and `BYTES_CAP` 1 TiB (1 GiB where a word has 32 bits).
        ///
        /// ```
        /// use mcp_rill::Limits;
        /// let limits = Limits { sessions_max: 8, connections_max: 32, ..Limits::DEFAULT };
        /// assert!(limits.check().is_ok());
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits { $(
            $(#[doc = $doc])+
            #[doc = ""]
            #[doc = concat!("From `", stringify!($least), "` to `", stringify!($most), "`.")]
            pub $name: $kind,
        )+ }

        impl Limits {
            /// The defaults, made for a small machine: at most 64 MiB of peers' data, 512 sessions.
            pub const DEFAULT: Limits = Limits { $( $name: $default, )+ };

            /// The names of all limits, in declared order.
            pub const NAMES: &'static [&'static str] = &[ $( stringify!($name), )+ ];

            /// Each limit, with the least and the most that it may be.
            fn ranges(&self) -> [Range; Limits::NAMES.len()] {
                [ $( Range::new(stringify!($name), self.$name, $least, $most), )+ ]
            }

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
    /// Bytes of all peers together: bodies being received, output not yet taken, kept calls, results of other threads that the loop
    /// has not taken yet, where a hook authorizes the heads of what is open, events kept for lost streams, and remembered heads. The
    /// heads are dropped first. When the rest has spent it, those give way who hold most, as SECURITY.md says: events kept for lost
    /// streams are dropped, half a request and one that waits for its answer get 503 with `Retry-After`, a connection whose output is
    /// not taken is closed, a session for whose calls and subscriptions most is kept is ended. Of one holder's, the events go first,
    /// then what is overdue: half a request for more than `body_timeout`, or output that is taken little by little for more than
    /// `write_timeout`. A new body, session or reply gets 503 only if it is the one that takes most. Long results of other threads
    /// wait for the loop up to a quarter of this, or to twice `message_bytes_max`: worker threads wait with more, and what a
    /// [`Reply`](crate::Reply) brings is refused as busy (−32000). This is the worst case for peers' data, besides twice
    /// `message_bytes_max`.
    buffered_bytes_max: usize = 64 << 20, from 8 << 10, to BYTES_CAP;
    /// Open connections. At the cap, connections make room in this order: those that have not finished a request, oldest
    /// first, once they had `new_connection_grace`; then those between two requests, idle longest first; then later requests that
    /// come slowly. Each time it is the holder with most connections that gives way, as SECURITY.md says. One that waits for an answer
    /// or carries a stream gives way only if its holder has no others, and more than another holder: it gets 503, or is closed if its
    /// answer has begun. If none gives way, the new one gets 503 with `Retry-After`. About 0.3 KiB each.
    /// Together with `refused_connections_max` and `health_connections_max` at most 1,048,576 ([`CONNECTIONS_CAP`]).
    connections_max: usize = 2048, from 1, to CONNECTIONS_CAP;
    /// The share of `connections_max`, in percent, that connections cannot take which wait for an answer or carry a stream, so
    /// that there is always room for those that come with a short request. One more takes the place of the oldest one of the
    /// session and holder with most of them, which gets 503 with `Retry-After`, or is closed if its answer has begun.
    connections_reserve_percent: usize = 10, from 0, to 90;
    /// How long a new connection has for its first request before it is closed to make room for others. It is not waited for if
    /// more than the reserve of `connections_reserve_percent` are that new.
    new_connection_grace: Duration = Duration::from_secs(1), from Duration::ZERO, to TIME_CAP;
    /// Connections that are open besides `connections_max` until their clients have read the 503 that refuses them. Further ones
    /// wait in the kernel's backlog. About 0.3 KiB each.
    refused_connections_max: usize = 64, from 0, to CONNECTIONS_CAP;
    /// Connections that the program has accepted itself and passed to `Listening::adopt_stream`, and that are not served yet: until
    /// the next turn, or until there is a place of `connections_max`. One more is an error there, and closed. One descriptor and 0.1 KiB
    /// each.
    adopted_waiting_max: usize = 128, from 1, to CONNECTIONS_CAP;
    /// Connections whose transport has not finished its handshake (`Listening::on_stream`), besides those that are being refused.
    /// One more waits in the kernel's backlog, and the one that gives way first is closed for it once it had `new_connection_grace`:
    /// of the holder with most of them the oldest, as SECURITY.md says. What a handshake keeps in memory depends on the transport: some
    /// 20 KiB with TLS.
    handshakes_max: usize = 256, from 1, to CONNECTIONS_CAP;
    /// What one transport of `Listening::on_stream` is given to write before all that it made of it has left. It keeps about as much
    /// in memory until its socket takes it, besides `buffered_bytes_max`.
    transport_bytes_max: usize = 16 << 10, from 256, to 1 << 20;
    /// Open connections for health checks alone ([`Engine::open_health`](crate::engine::Engine::open_health)), besides
    /// `connections_max`. One more closes the one that has waited longest. About 0.3 KiB each.
    health_connections_max: usize = 16, from 1, to CONNECTIONS_CAP;
    /// Open sessions, of which each connection of lines has one. One more ends a session of the holder with most, as SECURITY.md says:
    /// first one of Streamable HTTP that has no stream and no call open, the one idle longest of those whose clients were served
    /// nothing but `initialize` and lists, then of others; then any, but for another holder only. Its client gets 404 and opens
    /// another. If there is none, the new one gets 503; `Retry-After` is 1 if some session only waits for the answer to its calls, else
    /// `keep_alive`, after which a stream whose client is gone is noticed, but at most a minute. About 0.4 KiB each while idle, besides
    /// its connection, and at most 0.4 KiB for what its client says of itself, which sessions that say the same share.
    sessions_max: usize = 512, from 0, to CONNECTIONS_CAP / 2;
    /// Open connections of one peer address, or of one /64 network of IPv6; 0 is off, since all clients of a proxy are one
    /// peer. Unix sockets do not count. At the cap another connection of the peer is closed, as at `connections_max`; if none
    /// may be, the new one gets 503 with `Retry-After` at once, and is closed. While that many are being refused, more are
    /// closed without an answer. An HTTP+SSE client needs two. About 0.1 KiB for each address.
    connections_per_peer_max: usize = 0, from 0, to CONNECTIONS_CAP;
    /// Open sessions of one peer address, counted likewise; 0 is off. One more ends one of that peer's or gets 503, as at
    /// `sessions_max`. About 0.1 KiB for each address and each session.
    sessions_per_peer_max: usize = 0, from 0, to CONNECTIONS_CAP;
    /// The request target. A longer one gets 414 and the connection is closed.
    target_bytes_max: usize = 8 << 10, from 64, to 1 << 20;
    /// The request line and all header fields. A longer head gets 431 and the connection is closed.
    head_bytes_max: usize = 16 << 10, from 256, to 2 << 20;
    /// Header fields of one request; one more gets 431 and the connection is closed.
    headers_max: usize = 100, from 8, to HEADERS_CAP;
    /// A request body, or a line. A longer body gets 413, before it is read if `Content-Length` announces it. The session
    /// continues. A longer line gets a parse error (−32700) with `"id":null`, and what follows of it is skipped.
    body_bytes_max: usize = 4 << 20, from 256, to 1 << 30;
    /// All chunk extensions of one request body together; more gets 400 and the connection is closed.
    chunk_extension_bytes_max: usize = 4 << 10, from 0, to 1 << 20;
    /// The trailer section of one request body; a longer one gets 400 and the connection is closed.
    trailer_bytes_max: usize = 4 << 10, from 0, to 1 << 20;
    /// Nested arrays and objects in a JSON text; deeper ones are a parse error (−32700).
    json_depth_max: usize = 64, from 4, to 128;
    /// Values in one JSON text, counting members and elements; more are a parse error (−32700).
    json_values_max: usize = 100_000, from 10, to 10_000_000;
    /// A request's id, which is kept while the call is open and repeated in its answer; a longer one is refused (−32600).
    id_bytes_max: usize = 1 << 10, from 16, to 1 << 20;
    /// Messages of one batch, which revision 2025-03-26 has over Streamable HTTP and in lines; more are refused with 400 (−32600).
    batch_max: usize = 100, from 1, to COUNT_CAP;
    /// The result or error in one outgoing message, or a whole notification. A longer result is replaced by an error
    /// (−32603) that names this limit.
    message_bytes_max: usize = 4 << 20, from 1 << 10, to 1 << 30;
    /// Output queued for one stream. Over half of it new requests get 503; over it the stream is closed. A connection of lines is
    /// not read from while over half of it waits there. A request of a batch is refused as busy (−32000) if the longest response
    /// might not fit beside those before it; if responses that come late do not fit, a client that takes no stream gets 503.
    output_bytes_max: usize = 8 << 20, from 2 << 10, to BYTES_CAP;
    /// Requests of one session being worked on; one more is refused as busy (−32000). Each counts towards
    /// `buffered_bytes_max` with what is kept for it, about 0.5 KiB besides its arguments. A request without a session
    /// (2026-07-28) is the only one of its kind.
    calls_max: usize = 256, from 1, to COUNT_CAP;
    /// Rounds of questions that one call may ask its client; more are an error result.
    rounds_max: usize = 8, from 0, to COUNT_CAP;
    /// Resources that one session may subscribe to, and that one client without a session may listen to; one more is refused
    /// (−32602). Each is read for that once, unless there is a hook of [`Server::on_subscribe`](crate::Server::on_subscribe).
    subscriptions_max: usize = 256, from 0, to COUNT_CAP;
    /// Requests that wait at once for a hook of [`Server::authorize_later`](crate::Server::authorize_later); of one more, the
    /// newest one of the holder with most gets 503 with `Retry-After`, as SECURITY.md says. Each keeps its head and what follows it on its connection, which count towards `buffered_bytes_max`, and less
    /// than 0.2 KiB besides.
    authorizing_max: usize = 256, from 0, to COUNT_CAP;
    /// How long a request waits for such a hook before it gets 503 with `Retry-After`, and an open stream that is authorized again
    /// before it is closed.
    authorize_timeout: Duration = Duration::from_secs(10), from TIME_MIN, to TIME_CAP;
    /// Streams of `subscriptions/listen` open at once. One more ends the newest one of the holder with most, with −32603 on its stream;
    /// if it would be that one, it gets 503 (−32603). About 0.3 KiB each besides its connection, and what its URIs take. A mounted
    /// server, or one that a manifest bridges, has as many of its own; `connections_max` bounds all of them together.
    listens_max: usize = 256, from 0, to COUNT_CAP;
    /// Threads for blocking handlers. They are made when the first such handler is called.
    workers: usize = 4, from 1, to THREADS_CAP;
    /// Calls that wait for a worker thread, of all sessions. Holders take turns, and the sessions of each. Of one more than this, the
    /// newest one of the session and holder with most is refused as busy (−32000). More than `calls_max`, so that one session alone
    /// does not fill it.
    worker_queue_max: usize = 1024, from 0, to COUNT_CAP;
    /// Worker threads that are stuck past their call's timeout and are replaced; further ones are not, and when none is
    /// left, calls of blocking handlers are refused as busy (−32000).
    workers_stuck_max: usize = 4, from 0, to THREADS_CAP;
    /// Logs, changes and updated URIs that other threads may leave for the loop until its next turn; more logs are dropped and
    /// counted, changes are refused, and beyond that many URIs every subscriber is notified of an update. A mounted server has as many of
    /// its own.
    mailbox_max: usize = 1024, from 0, to COUNT_CAP;
    /// How long a call of a blocking handler may wait for a worker thread; then it is refused as busy (−32000), and never run.
    /// What it waits does not count towards `tool_timeout`.
    worker_wait_timeout: Duration = Duration::from_secs(60), from TIME_MIN, to TIME_CAP;
    /// A handler's time on other threads, from when its thread begins and without its waits for answers, unless its tool,
    /// resource, template or prompt has a timeout of its own; then an error result of a tool, an error (−32603) of others.
    tool_timeout: Duration = Duration::from_secs(60), from TIME_MIN, to TIME_CAP;
    /// How long a client may take to answer the questions of one round; then its call goes on without answers.
    question_timeout: Duration = Duration::from_secs(600), from TIME_MIN, to TIME_CAP;
    /// How long a question to a client without a session may take to come back with its answer; then it is refused
    /// (−32602).
    request_state_ttl: Duration = Duration::from_secs(600), from TIME_MIN, to TIME_CAP;
    /// Items on one page of a list; the rest come with the next cursor. What a closure that lists resources returns beyond its page
    /// is dropped.
    page_items_max: usize = 100, from 1, to COUNT_CAP;
    /// Bytes after which a page of a list ends although more items would fit by count: some clients cap one event at 1 MiB.
    page_bytes_max: usize = 512 << 10, from 1, to 1 << 29;
    /// A resource's URI in a request; a longer one is refused (−32602).
    uri_bytes_max: usize = 8 << 10, from 16, to 1 << 20;
    /// What one connection may read, and what it may leave unsent before its next request is started, in one turn of the loop. Lines
    /// may leave more, as `output_bytes_max` says. A client that resumes a stream is given what it has missed in parts of this size,
    /// or of one message.
    turn_bytes_max: usize = 64 << 10, from 1 << 10, to 64 << 20;
    /// What all connections together may read in one turn of the loop. Each that has something new reads an equal part of it, but
    /// at least 512 bytes. Those that have more then go on one after the other, with a quarter of it in each turn, so that a client
    /// with one request does not wait for many that send without end. Of requests that were kept behind others, so much is taken up in
    /// one turn. A turn that closes a connection to make room for a new one reads as much again first.
    loop_bytes_max: usize = 256 << 10, from 1 << 10, to 1 << 30;
    /// From the accept to the end of the handshake of a transport (`Listening::on_stream`); then close. The time for the first head
    /// begins after it.
    handshake_timeout: Duration = Duration::from_secs(10), from TIME_MIN, to TIME_CAP;
    /// From the first byte of a request (or the accept) to the end of its head; then 408 and close.
    head_timeout: Duration = Duration::from_secs(10), from TIME_MIN, to TIME_CAP;
    /// From the end of the head to the end of the body; then 408 and close. Half a line has no such time, but is dropped after
    /// it if memory is needed, as `buffered_bytes_max` says. Each byte extends the time as `body_rate_min` says, but never to
    /// more than this from now: a body that came fast at first is not waited for any longer.
    body_timeout: Duration = Duration::from_secs(30), from TIME_MIN, to TIME_CAP;
    /// Bytes per second a body must keep up once `body_timeout` has passed; slower ones get 408 and close.
    body_rate_min: usize = 1 << 10, from 1, to 1 << 30;
    /// A peer that takes none of its queued output for this long is closed.
    write_timeout: Duration = Duration::from_secs(30), from TIME_MIN, to TIME_CAP;
    /// How long what was sent to a TCP peer may stay unacknowledged before the connection is broken (RFC 5482, user
    /// timeout): comments alone would take a quarter of an hour to notice that a peer is gone. 0 leaves it to the
    /// system. The binary applies it on Linux; a program that embeds the library sets `TCP_USER_TIMEOUT` itself, in
    /// `Listening::on_accept`.
    tcp_user_timeout: Duration = Duration::from_secs(60), from Duration::ZERO, to TIME_CAP;
    /// A kept-alive connection without a request for this long is closed; responses announce it in `Keep-Alive`.
    idle_timeout: Duration = Duration::from_secs(60), from TIME_MIN, to TIME_CAP;
    /// After a refusal: how long the peer may go on sending before the connection is closed.
    linger_timeout: Duration = Duration::from_secs(2), from Duration::ZERO, to TIME_CAP;
    /// After a refusal: how much the peer may still send before the connection is closed. A peer that is not authorized and
    /// announces a longer body than this is refused and closed at once.
    linger_bytes_max: usize = 256 << 10, from 0, to 1 << 30;
    /// Messages that are kept for one stream of Streamable HTTP in case its client loses it and comes back. The oldest
    /// notifications give way, and a client that comes back goes on without them; then questions, and a client that has not
    /// seen those gets 400. Responses are kept besides, whatever their size; with 0 nothing else is. To keep nothing at all
    /// set `replay_timeout` to 0.
    replay_bytes_max: usize = 64 << 10, from 0, to BYTES_CAP;
    /// Streams of one session that are kept after their calls were answered, in case the answers were lost; beyond it the
    /// oldest is dropped, and a client that comes back for it gets 400. About 0.2 KiB each, and the messages.
    replay_streams_max: usize = 256, from 0, to COUNT_CAP;
    /// How long messages are kept for a client that has lost its stream: since the last one, since the end of the calls
    /// on it, or, for a session's own stream, since it was lost. Then 400, unless it is notifications of a call that goes on.
    /// With 0 streams cannot be resumed, and their events have no ids.
    replay_timeout: Duration = Duration::from_secs(60), from Duration::ZERO, to TIME_CAP;
    /// How long a session of Streamable HTTP may be unused: without a request, an open call, an open stream. Then it ends,
    /// and its id gets 404.
    session_idle_timeout: Duration = Duration::from_secs(30 * 60), from TIME_MIN, to TIME_CAP;
    /// The same for one whose client has sent neither `notifications/initialized` nor a request after `initialize`.
    initialize_timeout: Duration = Duration::from_secs(60), from TIME_MIN, to TIME_CAP;
    /// A stream without output for this long gets a comment, so that proxies keep it open.
    keep_alive: Duration = Duration::from_secs(15), from TIME_MIN, to TIME_CAP;
    /// After a shutdown began: how long queued output and running calls may take before the rest is reset; likewise on a
    /// connection of lines whose client sends no more. Less than the 10 s after which container runtimes kill what has not
    /// ended. The binary applies it on a signal; a program that embeds the library passes it to `Handle::shutdown`.
    shutdown_grace: Duration = Duration::from_secs(8), from Duration::ZERO, to TIME_CAP;
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
    let besides = limits.refused_connections_max + limits.health_connections_max;
    assert!(limits.connections_max + besides <= CONNECTIONS_CAP);
    assert!(limits.headers_max <= HEADERS_CAP);
    assert!(limits.target_bytes_max < limits.head_bytes_max);
    assert!(limits.message_bytes_max < limits.output_bytes_max);
    assert!(limits.page_bytes_max + 128 <= limits.message_bytes_max);
    assert!(limits.output_bytes_max <= limits.buffered_bytes_max);
    assert!(limits.body_bytes_max + limits.head_bytes_max <= limits.buffered_bytes_max);
    assert!(limits.batch_max <= limits.calls_max, "a whole batch may be worked on at once");
    assert!(limits.calls_max < limits.worker_queue_max, "one session does not fill the queue");
};

impl Limits {
    /// Checks the range of each field, and the relations between them; [`Engine::new`](crate::engine::Engine::new) refuses limits
    /// that break one.
    ///
    /// # Errors
    /// A sentence that names the limit, its value, and the range that it must be in, or the other limit that it must reach.
    ///
    /// ```
    /// use mcp_rill::Limits;
    /// let error = Limits { headers_max: 1, ..Limits::DEFAULT }.check().unwrap_err();
    /// assert_eq!(error, "limit headers_max is 1, but must be from 8 to 256");
    /// let error = Limits { sessions_max: 8, connections_max: 8, ..Limits::DEFAULT }.check().unwrap_err();
    /// assert_eq!(error, "limit connections_max is 8, but must be at least 16 (2 × sessions_max)");
    /// ```
    pub fn check(&self) -> Result<(), String> {
        self.ranges().iter().try_for_each(Range::check)?;
        self.check_relations()
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
        let besides = self.refused_connections_max.saturating_add(self.health_connections_max);
        let (connections, cap) = (self.connections_max, CONNECTIONS_CAP.saturating_sub(besides));
        match connections > cap {
            true => Err(format!(
                "limit connections_max is {connections}, but may be at most {cap} (with refused_connections_max and health_connections_max)"
            )),
            false => Ok(()),
        }
    }
}

/// A limit, and the least and the most that it may be.
struct Range {
    name: &'static str,
    value: Value,
    least: Value,
    most: Value,
}

/// What a limit is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Count(usize),
    Time(Duration),
}

impl From<usize> for Value {
    fn from(count: usize) -> Value {
        Value::Count(count)
    }
}

impl From<Duration> for Value {
    fn from(time: Duration) -> Value {
        Value::Time(time)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Count(count) => count.fmt(f),
            Value::Time(Duration::ZERO) => f.write_str("0s"),
            Value::Time(time) => write!(f, "{time:?}"),
        }
    }
}

impl Range {
    fn new<T: Into<Value>>(name: &'static str, value: T, least: T, most: T) -> Range {
        Range { name, value: value.into(), least: least.into(), most: most.into() }
    }

    fn check(&self) -> Result<(), String> {
        let Range { name, value, least, most } = self;
        match (least..=most).contains(&value) {
            true => Ok(()),
            false => Err(format!("limit {name} is {value}, but must be from {least} to {most}")),
        }
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
            Limits { connections_max: CONNECTIONS_CAP, refused_connections_max: 1, ..Limits::DEFAULT },
            Limits { head_bytes_max: 8 << 10, ..Limits::DEFAULT },
            Limits { body_bytes_max: 64 << 20, ..Limits::DEFAULT },
            Limits { message_bytes_max: 8 << 20, ..Limits::DEFAULT },
            Limits { page_bytes_max: 4 << 20, ..Limits::DEFAULT },
        ];
        for limits in broken {
            let error = limits.check().unwrap_err();
            assert!(error.contains("must be at least") || error.contains("may be at most"), "{error}");
        }
    }

    #[test]
    fn the_defaults_and_both_ends_of_each_range_are_in_it() {
        for Range { name, value, least, most } in Limits::DEFAULT.ranges() {
            assert!(least < most && least <= value && value <= most, "{name}");
            for value in [value, least, most] {
                assert_eq!(Range { name, value, least, most }.check(), Ok(()));
            }
        }
    }
}
