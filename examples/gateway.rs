//! A gateway: a service that passes each message on to another MCP server, upstream, and passes on what that says.
//!
//! `cargo run --example gateway -- 127.0.0.1:3001 127.0.0.1:3002` listens on the first address, for clients of every revision.
//! On the second one upstream takes connections whose messages are lines (MCP transports, "stdio"):
//! `socat TCP-LISTEN:3002,bind=127.0.0.1,fork EXEC:SERVER` makes that of a server on standard input and output. Not here: TLS,
//! tokens, header fields, and a bound on connections but the engine's limits.
//!
//! ```text
//!  client ⇄ engine ─ request, answer, … ─▶ Gateway ──────▶ thread ──▶ upstream: a connection for each session,
//!              ▲                            │  ▲                 │    and for each request of 2026-07-28
//!              └────────── Outbox ──────────┘  └─ wake, tick ◀── thread
//! ```

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use mcp_rill::engine::{Engine, EngineConfig};
use mcp_rill::json::{JsonRef, Tape, write_raw};
use mcp_rill::jsonrpc::{self, Error, Id, IdRef, Message, Notification, Response};
use mcp_rill::net::{Listening, random_id};
use mcp_rill::service::{Audience, CallKey, Outbox, Outgoing, Service, ServiceRequest, Slot};
use mcp_rill::service::{Session, SessionKey};
use mcp_rill::{Handle, Level, Limits, Now, Settings};

/// How many lines may wait on each side of the threads. All that upstream said are taken in one turn.
const QUEUE: usize = 256;
/// How long upstream may take to accept a connection, and to read on.
const WAIT: Duration = Duration::from_secs(10);
const GONE: &str = "upstream is gone";

/// A session's connection to upstream.
struct Upstream {
    lines: SyncSender<Vec<u8>>,
    /// The open calls, each with its id there, which is its progress token there too, and with its client's token. The id is a
    /// number that no other call has, since clients use theirs again; a request of 2026-07-28, which is alone, keeps its own.
    calls: BTreeMap<CallKey, (Id, String)>,
}

/// What upstream says. An empty line ends the session's connection.
type Heard = (SessionKey, String);

struct Gateway {
    upstream: SocketAddr,
    handle: Handle,
    heard: (SyncSender<Heard>, Receiver<Heard>),
    sessions: BTreeMap<SessionKey, Upstream>,
}

impl Service for Gateway {
    fn opened(&mut self, key: SessionKey, _: &mut Session) {
        let (lines, queue) = sync_channel(QUEUE);
        let (upstream, heard, handle) = (self.upstream, self.heard.0.clone(), self.handle.clone());
        let tell = move |line| heard.send((key, line)).map_or((), |()| handle.wake());
        let carry = move || carry(upstream, &queue, &tell).unwrap_or_else(|_| tell(String::new()));
        if thread::Builder::new().spawn(carry).is_ok() {
            self.sessions.insert(key, Upstream { lines, calls: BTreeMap::new() });
        }
    }

    fn request(&mut self, request: &ServiceRequest<'_>, session: &mut Session, out: &mut Outbox) {
        let ServiceRequest { call, id, method, params, session: key, .. } = *request;
        let id = if session.is_kept() { call.number().into() } else { id.clone().into_owned() };
        let path = ["_meta", "progressToken"];
        let token = params.and_then(|params| params.at(&path)).map_or("", JsonRef::text).to_owned();
        let params = params.map(|params| params.replaced(&path, &id.to_string())).unwrap_or_default();
        let mut line = Vec::new();
        jsonrpc::write_request(&mut line, &id, method, |out| write_raw(out, &params));
        let Some(upstream) = self.sessions.get_mut(&key) else {
            return out.error(call, &Error::internal(GONE));
        };
        match upstream.lines.try_send(line) {
            Err(TrySendError::Full(_)) => out.busy(call, "upstream reads too slowly"),
            _ => drop(upstream.calls.insert(call, (id, token))), // if it is gone, its threads say so soon
        }
    }

    fn notification(&mut self, key: SessionKey, _: &mut Session, told: &Notification<'_>, _: &mut Outbox) {
        self.send(key, &Message::Notification(told.clone()).to_string());
    }

    fn answer(&mut self, key: SessionKey, answer: &Response<'_>, _: Now, _: &mut Outbox) -> bool {
        self.send(key, &Message::Response(answer.clone()).to_string())
    }

    fn cancelled(&mut self, key: SessionKey, call: CallKey, _: &mut Outbox) {
        let Some(upstream) = self.sessions.get_mut(&key) else { return };
        if let Some((id, _)) = upstream.calls.remove(&call) {
            let (method, params) = ("notifications/cancelled", format!(r#"{{"requestId":{id}}}"#));
            self.send(key, &format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#));
        }
    }

    fn closed(&mut self, key: SessionKey) {
        self.sessions.remove(&key); // ends its threads, and its connection
    }

    fn stopping(&mut self, _: Now, _: &mut Outbox) {
        // Upstream hears the end of its input: it answers what it can, and gives up the rest when its own grace is over.
        self.sessions.values().for_each(|upstream| drop(upstream.lines.try_send(Vec::new())));
    }

    fn tick(&mut self, _: Now, out: &mut Outbox) {
        for (session, line) in self.heard.1.try_iter().take(QUEUE).collect::<Vec<_>>() {
            self.pass_on(session, &line, out);
        }
    }
}

impl Gateway {
    /// Returns false if the session has no connection, or if too many lines wait for it.
    fn send(&self, session: SessionKey, line: &str) -> bool {
        self.sessions.get(&session).is_some_and(|upstream| upstream.lines.try_send(line.into()).is_ok())
    }

    fn pass_on(&mut self, session: SessionKey, line: &str, out: &mut Outbox) {
        let Some(Upstream { calls, .. }) = self.sessions.get_mut(&session) else { return };
        let of_id = |id: &IdRef<'_>| calls.iter().find(|(_, (open, _))| open == id);
        // Lines do not say which call a question or a log is for: it goes where the newest one's result will.
        let newest = calls.keys().next_back();
        let audience = newest.map_or(Audience::One(session), |call| Audience::Call(*call, session));
        let (mut tape, path) = (Tape::new(), ["params", "progressToken"]);
        let json = tape.read(line).unwrap_or(JsonRef::NULL);
        match jsonrpc::message(json, &Limits::DEFAULT) {
            Ok(Message::Response(answer)) => {
                if let Some((&call, _)) = answer.id.as_ref().and_then(of_id) {
                    out.answer(call, &answer);
                    calls.remove(&call);
                }
            }
            Ok(Message::Notification(told)) if told.method == "notifications/progress" => {
                if let Some((&call, (_, token))) =
                    json.at(&path).and_then(IdRef::read).as_ref().and_then(of_id)
                {
                    let latest = Outgoing::Latest(Audience::Call(call, session), Slot::Progress(call));
                    out.message(latest, &json.replaced(&path, token));
                }
            }
            Ok(Message::Notification(told)) if told.method == "notifications/message" => {
                out.message(Outgoing::Log(audience, Level::Emergency), line); // upstream knows the level
            }
            Ok(_) => out.message(Outgoing::Message(audience), line),
            Err(_) => {
                calls.keys().for_each(|call| out.error(*call, &Error::internal(GONE)));
                self.sessions.remove(&session);
            }
        }
    }
}

/// Carries lines both ways until either side ends. An empty one, to upstream, is the end of what it reads.
fn carry(to: SocketAddr, lines: &Receiver<Vec<u8>>, tell: &(impl Fn(String) + Sync)) -> io::Result<()> {
    let mut stream = &TcpStream::connect_timeout(&to, WAIT)?;
    stream.set_write_timeout(Some(WAIT))?;
    thread::scope(|scope| {
        thread::Builder::new().spawn_scoped(scope, move || {
            let (mut input, mut line) = (BufReader::new(stream), String::new());
            let max = Limits::DEFAULT.message_bytes_max as u64;
            while input.by_ref().take(max).read_line(&mut line).is_ok() && line.ends_with('\n') {
                tell(std::mem::take(&mut line));
            }
            tell(String::new());
        })?;
        let sent = lines.iter().try_for_each(|line| match line.is_empty() {
            true => stream.shutdown(Shutdown::Write),
            false => stream.write_all(&[&line, &b"\n"[..]].concat()),
        });
        stream.shutdown(Shutdown::Both).and(sent)
    })
}

/// A gateway to the server at that address, ready to run.
pub fn listen(address: &str, upstream: SocketAddr) -> io::Result<Listening> {
    let config = EngineConfig::new(Settings::default(), Limits::default()).map_err(io::Error::other)?;
    let (handle, heard) = (config.handle(), sync_channel(QUEUE));
    let gateway = Gateway { upstream, handle, heard, sessions: BTreeMap::new() };
    let mut listening = Listening::new(Engine::with_service(Box::new(gateway), config, random_id))?;
    listening.also_listen(address)?;
    Ok(listening)
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, upstream] = &arguments[..] else { return Err(io::Error::other("name both addresses")) };
    let listening = listen(address, upstream.parse().map_err(io::Error::other)?)?;
    eprintln!("listening on http://{address}/sse and http://{address}/mcp");
    listening.run()
}
