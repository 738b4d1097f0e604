//! A driver of one's own: connections over TCP whose messages are lines (MCP transports, "stdio"), on threads without a poller.
//!
//! *Scope:* one engine for all connections, a thread for each that reads. *Not in scope:* peers that are slow or not trusted: a
//! write blocks all of them.
//!
//! ```text
//!  listener ──▶ thread ─ Opened ─┐
//!  socket ──▶ thread ─ Read ─────┼─▶ serve: engine ─ Write, HalfClose, Close ──▶ sockets
//!  handlers, handles ─ Woken ────┘
//! ```
#![allow(clippy::disallowed_methods)] // The clock is the driver's.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use mcp_rill::engine::{Action, ConnKey, Engine};
use mcp_rill::{Now, Peer};

enum Input {
    Opened(TcpStream),
    /// Without bytes the input has ended.
    Read(ConnKey, Vec<u8>),
    Woken,
}

/// Serves until the engine is finished.
pub fn serve(mut engine: Engine, listener: TcpListener) -> io::Result<()> {
    let (sender, inputs) = sync_channel(64);
    let (opened, woken, address) = (sender.clone(), sender.clone(), listener.local_addr()?);
    // If the queue is full, the loop is awake.
    engine.set_waker(move || drop(woken.try_send(Input::Woken)));
    let accepting = thread::spawn(move || {
        let mut opened_all = listener.incoming().flatten().map(|stream| opened.send(Input::Opened(stream)));
        opened_all.all(|sent| sent.is_ok())
    });
    Driver { engine, began: Instant::now(), sockets: BTreeMap::new(), sender }.run(&inputs);
    drop(inputs);
    let _ = TcpStream::connect(address); // the last that it accepts
    let _ = accepting.join();
    Ok(())
}

struct Driver {
    engine: Engine,
    began: Instant,
    sockets: BTreeMap<ConnKey, TcpStream>,
    sender: SyncSender<Input>,
}

impl Driver {
    fn run(&mut self, inputs: &Receiver<Input>) {
        while !(self.engine.is_stopping() && self.engine.is_finished()) {
            let wait = self.act().map_or(Duration::MAX, |due| due.saturating_sub(self.now().mono));
            let input = match inputs.recv_timeout(wait) {
                Ok(input) => input,
                Err(RecvTimeoutError::Timeout) => Input::Woken,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let now = self.now();
            match input {
                Input::Opened(stream) => self.open(stream),
                Input::Read(conn, bytes) if bytes.is_empty() => self.engine.end_of_input(now, conn),
                Input::Read(conn, bytes) => self.engine.receive(now, conn, &bytes),
                Input::Woken => {}
            }
            self.engine.tick(now);
        }
        self.act();
    }

    fn now(&self) -> Now {
        Now { mono: self.began.elapsed(), ..Now::default() }
    }

    fn open(&mut self, stream: TcpStream) {
        let conn = self.engine.open_lines(self.now(), Peer { loopback: true, ..Peer::default() });
        let Ok(mut input) = stream.try_clone() else { return self.engine.hang_up(self.now(), conn) };
        self.sockets.insert(conn, stream);
        let sender = self.sender.clone();
        thread::spawn(move || {
            let mut piece = vec![0; 16 << 10];
            loop {
                let count = input.read(&mut piece).unwrap_or(0);
                let bytes = piece.get(..count).unwrap_or_default().to_vec();
                if sender.send(Input::Read(conn, bytes)).is_err() || count == 0 {
                    return;
                }
            }
        });
    }

    /// Does what the engine asks for, and returns when it wants to be called next.
    fn act(&mut self) -> Option<Duration> {
        loop {
            let now = self.now();
            match self.engine.poll() {
                Action::Write(conn) => {
                    let written = match self.sockets.get_mut(&conn) {
                        Some(socket) => socket.write(self.engine.outgoing(conn)),
                        None => Err(io::ErrorKind::NotConnected.into()),
                    };
                    match written {
                        Ok(count) => {
                            self.engine.sent(now, conn, count);
                            self.engine.writable(now, conn);
                        }
                        Err(_) => self.engine.hang_up(now, conn),
                    }
                }
                Action::HalfClose(conn) => {
                    self.sockets.get(&conn).map(|socket| socket.shutdown(Shutdown::Write));
                }
                Action::Close(conn) => {
                    self.sockets.remove(&conn).map(|socket| socket.shutdown(Shutdown::Both));
                }
                Action::Read(_) => {} // it reads always
                Action::Wait(due) => {
                    while self.engine.jobs().wants_thread() {
                        let jobs = self.engine.jobs();
                        thread::spawn(move || jobs.work());
                    }
                    return due;
                }
            }
        }
    }
}
