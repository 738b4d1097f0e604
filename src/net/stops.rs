//! Times in which the process did not run: SIGSTOP, a frozen container, a debugger.
//!
//! *Scope:* noticing one, and hearing what has arrived meanwhile before anything is found to be too late, or idle. *Not in scope:* which
//! deadlines there are, and who makes room (the engine knows).
//!
//! ```text
//!  a wait that was interrupted ──▶ one more look at what has arrived
//!
//!  a turn that begins much later than was due ──▶ deadlines are put off ──▶ turns that only accept and read
//!                                                                                      │
//!                           deadlines are looked at again ◀── nothing new, or a second ┘
//! ```

use std::io::{self, ErrorKind};
use std::time::Duration;

use super::Listening;
use crate::timers::{Now, earlier};

/// A turn takes longer only if something on this thread blocks, such as an author's handler. Then too nothing was read meanwhile.
const TURN_MAX: Duration = Duration::from_secs(1);
/// How long deadlines wait for what has arrived to be read. Peers that send without end do not hold them up for longer.
const HEARING_MAX: Duration = Duration::from_secs(1);

/// What is known about the turns before.
#[derive(Debug, Default)]
pub(super) struct Stops {
    /// When the last turn began.
    last: Duration,
    /// True if the last turn came after a stop.
    after_stop: bool,
    /// When the next turn is due without an event: not before the last one began.
    due: Option<Duration>,
    /// Until when only what has arrived is heard.
    hears_until: Option<Duration>,
}

impl Stops {
    /// True while turns only hear what has arrived.
    pub(super) fn hears(&self) -> bool {
        self.hears_until.is_some()
    }

    /// Returns the time until the next turn is due without an event.
    pub(super) fn wait(&self, elapsed: impl FnOnce() -> Duration) -> Option<Duration> {
        match self.due? {
            // It was due when the last turn began, so the clock need not be read.
            due if due <= self.last => Some(Duration::ZERO),
            due => Some(due.saturating_sub(elapsed())),
        }
    }
}

impl Listening {
    /// Waits for events, at most so long. A signal or the end of a stop of the process may interrupt the wait. Then it looks for events
    /// once more: a connection whose bytes have arrived is neither idle nor late.
    pub(super) fn wait_for_events(&mut self, wait: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, wait) {
            Ok(()) => Ok(()),
            Err(error) => self.look_again(error),
        }
    }

    #[cold]
    fn look_again(&mut self, error: io::Error) -> io::Result<()> {
        if error.kind() != ErrorKind::Interrupted {
            return Err(error);
        }
        let looked = self.poll.poll(&mut self.events, Some(Duration::ZERO));
        looked.or_else(|error| if error.kind() == ErrorKind::Interrupted { Ok(()) } else { Err(error) })
    }

    /// Reads what has arrived since this turn began, which may be as much again as the turn has read.
    pub(super) fn hear_again(&mut self, now: Now) {
        // An error is met by the next turn, too.
        if self.wait_for_events(Some(Duration::ZERO)).is_ok() {
            self.take_events(now);
            self.read(now);
        }
    }

    /// To be called when a turn begins. One that is late counts as a stop since the turn before it, because it cannot be seen when
    /// the stop began. The turn after it does not, or deadlines would never pass in a program whose own loop is always late.
    pub(super) fn notice_stop(&mut self, now: Now) {
        let late = self.stops.due.map_or(Duration::ZERO, |due| now.mono.saturating_sub(due));
        let is_stop = late > TURN_MAX && !self.stops.after_stop && !self.stops.hears();
        if is_stop {
            self.engine.put_off_deadlines(now.mono.saturating_sub(self.stops.last));
            self.stops.hears_until = Some(now.mono.saturating_add(HEARING_MAX));
        }
        self.stops.after_stop = is_stop;
        self.stops.last = now.mono;
    }

    /// To be called when what a turn found was read. `found` is true if there was something. Returns true if deadlines may be looked
    /// at.
    pub(super) fn has_heard(&mut self, now: Now, found: bool) -> bool {
        if self.stops.hears_until.is_some_and(|until| !found || until <= now.mono) {
            self.stops.hears_until = None;
        }
        !self.stops.hears()
    }

    /// To be called at the end of a turn.
    pub(super) fn expect_turn(&mut self, now: Now) {
        let is_due = self.has_work() || self.stops.hears();
        let due = earlier(self.deadline, self.accepting.again).map(|due| due.max(now.mono));
        self.stops.due = if is_due { Some(now.mono) } else { due };
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};

    use super::*;
    use crate::limits::Limits;
    use crate::server::builder::Server;

    fn listening(limits: Limits) -> (Listening, SocketAddr) {
        let server = Server::new("test", "1").limits(limits);
        let listening = server.listen("127.0.0.1:0").unwrap();
        let address = listening.local_addrs().next().unwrap();
        (listening, address)
    }

    fn connect(address: SocketAddr) -> TcpStream {
        let client = TcpStream::connect(address).unwrap();
        client.set_nonblocking(true).unwrap();
        client
    }

    /// Turns until something can be read; at most so many.
    fn read(listening: &mut Listening, mut client: &TcpStream) -> String {
        let mut buffer = [0; 4096];
        for _ in 0..1000 {
            listening.poll(Some(Duration::from_millis(1))).unwrap();
            match client.read(&mut buffer) {
                Ok(count) => return String::from_utf8_lossy(&buffer[..count]).into_owned(),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
        panic!("nothing came");
    }

    /// All that was sent so far is read.
    fn settle(listening: &mut Listening) {
        for _ in 0..20 {
            listening.poll(Some(Duration::from_millis(1))).unwrap();
        }
    }

    /// The process does not run for that long.
    fn stop(listening: &mut Listening, time: Duration) {
        listening.started = listening.started.checked_sub(time).unwrap();
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn what_comes_after_a_stop_is_not_too_late() {
        let (mut listening, address) = listening(Limits::DEFAULT);
        let clients: Vec<TcpStream> = (0..2).map(|_| connect(address)).collect();
        for mut client in &clients {
            client.write_all(b"GET /nothing HTTP/1.1\r\n").unwrap();
        }
        settle(&mut listening);
        stop(&mut listening, HOUR);
        // One has sent on meanwhile, the other one does so afterwards: its own clock may have stood still too.
        let rest = format!("Host: {address}\r\n\r\n");
        (&clients[0]).write_all(rest.as_bytes()).unwrap();
        let answer = read(&mut listening, &clients[0]);
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        settle(&mut listening);
        (&clients[1]).write_all(rest.as_bytes()).unwrap();
        let answer = read(&mut listening, &clients[1]);
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }

    #[test]
    fn the_time_without_a_stop_counts_as_before() {
        let limits = Limits { head_timeout: Duration::from_millis(1200), ..Limits::DEFAULT };
        let (mut listening, address) = listening(limits);
        let client = connect(address);
        (&client).write_all(b"GET").unwrap();
        settle(&mut listening);
        stop(&mut listening, HOUR);
        settle(&mut listening);
        // Less than what is taken for a stop, each time.
        stop(&mut listening, Duration::from_millis(900));
        settle(&mut listening);
        stop(&mut listening, Duration::from_millis(900));
        assert!(read(&mut listening, &client).starts_with("HTTP/1.1 408 "));
    }

    #[test]
    fn a_loop_that_is_always_late_sees_deadlines_pass() {
        let (mut listening, address) = listening(Limits::DEFAULT);
        let client = connect(address);
        (&client).write_all(b"GET").unwrap();
        settle(&mut listening);
        for _ in 0..10 {
            stop(&mut listening, Limits::DEFAULT.head_timeout + 2 * TURN_MAX);
            listening.poll(Some(Duration::ZERO)).unwrap();
        }
        assert!(read(&mut listening, &client).starts_with("HTTP/1.1 408 "));
    }

    #[test]
    fn output_that_could_have_been_taken_during_a_stop_is_offered_first() {
        let (mut listening, address) = listening(Limits::DEFAULT);
        let client = connect(address);
        let request = format!("GET /nothing HTTP/1.1\r\nHost: {address}\r\n\r\n");
        // The answers fill the socket.
        let many = request.repeat(1000);
        let mut sent = 0;
        while listening.stats().buffered_bytes < 100_000 {
            sent += (&client).write(&many.as_bytes()[sent % many.len()..]).unwrap_or(0);
            listening.poll(Some(Duration::ZERO)).unwrap();
        }
        settle(&mut listening);
        stop(&mut listening, HOUR);
        let (wanted, mut answers, mut buffer) = (sent / request.len(), 0, [0; 65536]);
        // One may be cut where two reads meet.
        while answers + 100 < wanted {
            match (&client).read(&mut buffer) {
                Ok(0) => panic!("it was closed after {answers} of {wanted} answers"),
                Ok(count) => {
                    answers += String::from_utf8_lossy(&buffer[..count]).matches("HTTP/1.1 404").count();
                }
                Err(_) => {
                    listening.poll(Some(Duration::from_millis(1))).unwrap();
                }
            }
        }
    }

    #[test]
    fn who_sends_without_end_does_not_hold_deadlines_up_for_long() {
        let (mut listening, address) = listening(Limits::DEFAULT);
        let busy = connect(address);
        let idle = connect(address);
        (&idle).write_all(b"GET").unwrap();
        settle(&mut listening);
        stop(&mut listening, HOUR);
        let request = format!("GET /nothing HTTP/1.1\r\nHost: {address}\r\n\r\n");
        let mut turns = 0;
        let mut buffer = [0; 65536];
        loop {
            let _ = (&busy).write(request.as_bytes());
            let _ = (&busy).read(&mut buffer);
            listening.poll(Some(Duration::ZERO)).unwrap();
            turns += 1;
            if turns > 3 && !listening.stops.hears() {
                break;
            }
            // As if each turn took this long.
            stop(&mut listening, Duration::from_millis(20));
            assert!(turns < 100, "deadlines wait for ever");
        }
    }
}
