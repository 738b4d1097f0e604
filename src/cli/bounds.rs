//! Bounds of the command line that no option changes, in one place: `mcp-rill limits` prints them, and errors name them.
//!
//! *Scope:* what a manifest and its files may be, what waits for commands, files that are read whole, what bridged processes may
//! do, and what is between a local client and a remote server; how long each of these is waited for. *Not in scope:* the settable
//! [`Limits`](crate::Limits), and the bounds on running commands (`process::ProcessLimits`).

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// Name, value and meaning.
type Bound = (&'static str, Value, &'static str);

/// How many, how many bytes, or how long.
#[derive(Clone, Copy)]
pub(in crate::cli) enum Value {
    Count(usize),
    Time(Duration),
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::Count(count) => write!(f, "{count}"),
            Value::Time(time) => write!(f, "{time:?}"),
        }
    }
}

/// Makes a constant of each bound, and a table of them.
macro_rules! bounds {
    ($table:ident, $kind:ident($type:ty): $( $(#[doc = $doc:literal])+ $name:ident = $value:expr; )*) => {
        $( $(#[doc = $doc])+ pub(in crate::cli) const $name: $type = $value; )*

        const $table: &[Bound] = &[$( (stringify!($name), Value::$kind($name), concat!($($doc),+)) ),*];
    };
}

/// Those of this build.
pub(in crate::cli) const ALL: &[&[Bound]] = &[
    OF_ALL,
    #[cfg(feature = "operations")]
    OF_OPERATIONS,
    #[cfg(feature = "bridge")]
    OF_BRIDGE,
    #[cfg(feature = "bridge")]
    WAITS_OF_BRIDGE,
];

bounds! { OF_ALL, Count(usize):
    /// Calls that wait for a place of their command, of all items together. One more is refused as busy.
    WAITING_CALLS_MAX = 256;
    /// Bytes of arguments, environment and standard input of the calls that wait. A call with more is refused as busy.
    WAITING_BYTES_MAX = 8 << 20;
    /// Subscribed files that are looked at. Of more, those are left out whose subscribers were asked about longest ago.
    WATCHED_FILES_MAX = 1024;
    /// Segments of the path of a file below a folder. What lies deeper is neither listed nor read.
    FOLDER_DEPTH_MAX = 32;
    /// Entries of one folder that are listed. The others can be read by their URI.
    FOLDER_ENTRIES_MAX = 10_000;
    /// Bytes of one file of a manifest. A wrong path may lead to a disk image.
    MANIFEST_BYTES_MAX = 4 << 20;
    /// Files of one folder of manifests.
    MANIFEST_FILES_MAX = 1000;
    /// Errors of one file that are reported, and as many warnings.
    PROBLEMS_MAX = 1000;
    /// Characters and classes of a pattern in a schema, with counted repetitions written out.
    PATTERN_STATES_MAX = 2048;
    /// Bytes of one element of a command line: what Linux takes (MAX_ARG_STRLEN, without the NUL at the end).
    ELEMENT_BYTES_MAX = 131_071;
    /// Characters of one argument that a confirmation shows.
    CONFIRMED_CHARS_MAX = 1000;
    /// Bytes of a failed command's output that its error repeats: the last ones.
    EXCERPT_BYTES_MAX = 4 << 10;
    /// Lines of events that wait to be logged; others are counted. A peer that causes many fills neither memory nor a disk.
    LOGGED_LINES_MAX = 1000;
    /// Bytes of the lines of calls that wait to be logged; lines beyond are counted. They are written as fast as they are read.
    CALL_LINES_BYTES_MAX = 4 << 20;
    /// Lines for the operator that wait. They go before those of events, so that no peer can hold them up.
    SAID_LINES_MAX = 100;
    /// Bytes of a file of tokens or keys, 10,000 tokens for example; it may be a pipe.
    SECRET_BYTES_MAX = 1 << 20;
    /// Bytes of an argument that the client reads from a file or from standard input.
    ARGUMENT_BYTES_MAX = 64 << 20;
    /// Bytes of a file of servers that the client reads.
    SERVERS_BYTES_MAX = 4 << 20;
}

#[cfg(feature = "operations")]
bounds! { OF_OPERATIONS, Count(usize):
    /// Series of the durations of requests that `/metrics` has. Requests that would make one more are counted together, by method.
    METRIC_SERIES_MAX = 500;
}

#[cfg(feature = "bridge")]
bounds! { OF_BRIDGE, Count(usize):
    /// Lines in a row on a bridged process's standard output that are no messages: banners, and what is
    /// printed by mistake. One more ends it.
    CHILD_NOISE_LINES_MAX = 100;
    /// Bytes of a line of a bridged process's standard error that are logged.
    CHILD_LOG_LINE_BYTES_MAX = 4 << 10;
    /// Bytes of a bridged process's standard error that its errors repeat: the last ones.
    CHILD_TAIL_BYTES_MAX = 1 << 10;
    /// Questions of one bridged process that are open. One more is answered with an error.
    CHILD_QUESTIONS_MAX = 64;
    /// Bytes of a session's `initialize` that its bridged process is given, and each successor of that. With more the bridge
    /// introduces itself in place of the client.
    CHILD_INITIALIZE_BYTES_MAX = 16 << 10;
    /// States of one bridged process that clients without sessions have not brought back, and for which it is not idle. Of more the
    /// latest count.
    CHILD_STATES_MAX = 64;
    /// Bridged processes of the clients of one principal without sessions. Further calls share the first one.
    PRINCIPAL_CHILDREN_MAX = 8;
    /// Tools of one bridged server of which it is known that header fields repeat their arguments. Those of one more are not checked.
    ANNOTATED_TOOLS_MAX = 1024;
    /// Calls to bridged processes that wait for the answers of clients without sessions. A question of one more
    /// is answered with an error.
    SUSPENDED_CALLS_MAX = 256;
    /// Requests of a local client that are open at a remote server. One more is answered with an error.
    CONNECT_REQUESTS_MAX = 256;
    /// Bytes of one message between a local client and a remote server, in either direction. A longer line is
    /// skipped, a longer answer is an error.
    CONNECT_MESSAGE_BYTES_MAX = 8 << 20;
    /// Bytes of all open requests between them, and as many of answers that are not whole. A request or an
    /// answer that needs more fails.
    CONNECT_HELD_BYTES_MAX = 32 << 20;
    /// Notifications and answers of the local client that wait for the remote server. With one more, standard
    /// input is not read.
    CONNECT_WAITING_MAX = 64;
    /// Bytes of them together. A notification or an answer that needs more waits, and standard input is not read.
    CONNECT_WAITING_BYTES_MAX = 16 << 20;
    /// Questions of a remote server that the local client has not answered. One more is answered with an error.
    CONNECT_QUESTIONS_MAX = 64;
    /// Bytes of the id of a remote server's question, and of the name of a tool whose arguments are repeated in
    /// header fields. A question with a longer id is skipped.
    CONNECT_ID_BYTES_MAX = 1 << 10;
    /// Tools of a remote server whose arguments are repeated in header fields. Of more they are not.
    CONNECT_TOOLS_MAX = 1024;
    /// Pages of the list of a remote server's tools that are read, to know which arguments are repeated in header fields.
    CONNECT_TOOL_PAGES_MAX = 100;
}

#[cfg(feature = "bridge")]
bounds! { WAITS_OF_BRIDGE, Time(Duration):
    /// Time for a bridged process to answer `initialize`; then it is ended. Some are downloaded first.
    CHILD_START_TIMEOUT = Duration::from_secs(60);
    /// Time for a bridged process to answer `server/discover`; then it is sent `initialize`. Some older ones never answer what they do
    /// not know.
    CHILD_DISCOVER_TIMEOUT = Duration::from_secs(10);
    /// Time for a bridged process to read what it was sent; then it is ended.
    CHILD_READ_TIMEOUT = Duration::from_secs(30);
    /// Time for a bridged process to end once its standard input is closed; then it is sent TERM.
    CHILD_INPUT_GRACE = Duration::from_secs(2);
    /// Time for a bridged process to end after TERM; then all that is left of it is sent KILL.
    CHILD_KILL_DELAY = Duration::from_secs(2);
    /// Time for a bridged process to end after KILL; then its guard goes on alone.
    CHILD_ABANDON_DELAY = Duration::from_secs(3);
    /// Time from the end of a bridged process's output to its own end, so that errors can say how it ended.
    CHILD_LAST_WORDS_TIMEOUT = Duration::from_millis(500);
    /// Time without use after which a bridged process is ended that was started besides the first one of a principal.
    CHILD_EXTRA_IDLE = Duration::from_secs(300);
    /// Longest wait before the next start of a bridged process that ended before it served. The first is 100 ms, and each twice
    /// the one before.
    CHILD_BACK_OFF_MAX = Duration::from_secs(30);
    /// Time for a connection to a remote server to be opened, for a stream to go on, and for the answer to a ping that looks for a
    /// session.
    CONNECT_OPEN_TIMEOUT = Duration::from_secs(10);
    /// Time for a remote server of HTTP+SSE to name the address for messages.
    CONNECT_ENDPOINT_TIMEOUT = Duration::from_secs(10);
    /// Time for a remote server to take the news that its client is initialized.
    CONNECT_ANNOUNCE_TIMEOUT = Duration::from_secs(60);
    /// Time for the stream of a new session to begin before the first requests are sent, so that nothing is lost that the server tells
    /// meanwhile.
    CONNECT_STREAM_TIMEOUT = Duration::from_secs(1);
    /// Time for a remote server to take one notification or answer, while others wait.
    CONNECT_MESSAGE_TIMEOUT = Duration::from_secs(60);
    /// Time for a request to leave before its cancellation is sent.
    CONNECT_REQUEST_TIMEOUT = Duration::from_secs(10);
    /// Time for the cancellation of a request to leave before another one with its id is sent.
    CONNECT_CANCELLATION_TIMEOUT = Duration::from_secs(10);
    /// Time for the end of a session's stream to be seen after a message was refused.
    CONNECT_LAST_WORDS_TIMEOUT = Duration::from_secs(2);
    /// Longest wait before another attempt to open a lost stream. The first is 1 s, and each twice the one before.
    CONNECT_BACK_OFF_MAX = Duration::from_secs(30);
    /// Time for the answers to open requests once standard input has ended.
    CONNECT_GRACE = Duration::from_secs(30);
    /// Time for the remote server to be told of the end, and for a reader of standard output to take the last of it.
    CONNECT_END_TIMEOUT = Duration::from_secs(1);
}

/// Returns the name of a bound as errors write it.
pub(in crate::cli) fn shown(name: &str) -> String {
    name.to_ascii_lowercase()
}
