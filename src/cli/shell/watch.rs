//! `watch`: every message as it comes.
//!
//! *Scope:* a line for each message of either direction, with time and direction, and the same in a file. *Not in scope:* what
//! messages mean.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::cli::shell::options::Options;
use crate::cli::shell::output::{Output, one_line};
use crate::cli::shell::session::Session;
use crate::cli::{Failure, NAME, say};
use crate::client::error::Error;
use crate::client::{Direction, Received};
use crate::http::date::civil;
use crate::json::write::Object;
use crate::protocol::level::Level;
use crate::text::keep_on_one_line;
use crate::text::lines_without_hidden;

/// How long one look at the connections takes, at the end of which a reader that has gone is noticed.
const LOOK: Duration = Duration::from_secs(1);

pub(super) fn run(options: &mut Options, output: &mut Output) -> Result<(), Failure> {
    let uris = std::mem::take(&mut options.words);
    let record = match &options.record {
        Some(path) => Some(File::create(path).map_err(|error| {
            Failure::usage(format!("--record {}: {error}; name a file that can be written", path.display()))
        })?),
        None => None,
    };
    let gone = Arc::new(AtomicBool::new(false));
    let trouble = Arc::new(Mutex::new(None));
    let mut writer = Writer {
        json: options.json,
        terminal: io::stdout().is_terminal(),
        color: output.color,
        record,
        gone: gone.clone(),
        trouble: trouble.clone(),
    };
    let mut session = Session::open_with(options, |builder| {
        builder.on_message(move |direction, text| writer.message(direction, text))
    })?;
    if session.can("logging") {
        session.client.set_level(Level::Debug).map_err(|error| session.failure(&error))?;
    }
    let uris: Vec<&str> = uris.iter().map(String::as_str).collect();
    session.client.subscribe(&uris).map_err(|error| session.failure(&error))?;
    loop {
        if let Some(failure) = trouble.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(failure);
        }
        if gone.load(Ordering::Relaxed) {
            return Ok(());
        }
        let begun = Instant::now();
        match session.client.next_message(LOOK) {
            Ok(Some(Received::Unsubscribed)) => {
                return Err(Failure::system(
                    "the server has ended the subscription; run this again for later changes",
                ));
            }
            Ok(Some(_)) => {}
            // No connection is open that could bring anything.
            Ok(None) if begun.elapsed() < LOOK / 2 => {
                return Err(Failure::system(
                    "the server has no stream for messages that belong to no request",
                ));
            }
            Ok(None) => {}
            // The next message may be in order.
            Err(Error::Protocol(text)) => say(NAME, &one_line(&text)),
            Err(error) => return Err(session.failure(&error)),
        }
    }
}

struct Writer {
    json: bool,
    terminal: bool,
    color: bool,
    record: Option<File>,
    /// True once the reader of standard output has gone.
    gone: Arc<AtomicBool>,
    trouble: Arc<Mutex<Option<Failure>>>,
}

impl Writer {
    fn message(&mut self, direction: Direction, text: &str) {
        let time = time_of_day(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let mut message = text.as_bytes().to_vec();
        keep_on_one_line(&mut message);
        let message = String::from_utf8_lossy(&message);
        let recorded = record(&time, direction, &message);
        if let Some(file) = &mut self.record
            && let Err(error) = file.write_all(&recorded)
        {
            self.leave(Failure::system(format!("--record: {error}")));
        }
        let line = if self.json { recorded } else { self.line(&time, direction, &message).into_bytes() };
        let mut to = io::stdout();
        match to.write_all(&line).and_then(|()| to.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.gone.store(true, Ordering::Relaxed),
            Err(error) => self.leave(Failure::system(format!("standard output: {error}"))),
            Ok(()) => {}
        }
    }

    fn line(&self, time: &str, direction: Direction, message: &str) -> String {
        let message =
            if self.terminal { lines_without_hidden(message).into_owned() } else { message.to_owned() };
        let arrow = match (direction, self.color) {
            (Direction::Sent, true) => "\u{1b}[36m>\u{1b}[0m",
            (Direction::Received, true) => "\u{1b}[32m<\u{1b}[0m",
            (Direction::Sent, false) => ">",
            (Direction::Received, false) => "<",
        };
        format!("{time} {arrow} {message}\n")
    }

    fn leave(&self, failure: Failure) {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
    }
}

/// A line of NDJSON.
fn record(time: &str, direction: Direction, message: &str) -> Vec<u8> {
    let direction = match direction {
        Direction::Sent => "sent",
        Direction::Received => "received",
    };
    let mut line = Vec::new();
    // What a server sends need not be JSON.
    let is_json = crate::json::tape::Tape::new().read(message).is_ok();
    let mut object = Object::new(&mut line);
    object.str("time", time).str("direction", direction);
    match is_json {
        true => object.raw("message", message),
        false => object.str("text", message),
    };
    object.end();
    line.push(b'\n');
    line
}

/// A time since 1970 in UTC (RFC 3339), with milliseconds.
fn time_of_day(unix: Duration) -> String {
    let (seconds, ms) = (unix.as_secs(), unix.subsec_millis());
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z", month + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_recorded_with_time_and_direction() {
        let time = time_of_day(Duration::from_millis(784_111_777_042));
        assert_eq!(time, "1994-11-06T08:49:37.042Z");
        let recorded = |message| String::from_utf8(record(&time, Direction::Sent, message)).unwrap();
        assert_eq!(
            recorded("{\"a\":1}"),
            "{\"time\":\"1994-11-06T08:49:37.042Z\",\"direction\":\"sent\",\"message\":{\"a\":1}}\n"
        );
        assert!(recorded("no JSON").ends_with("\"text\":\"no JSON\"}\n"));
    }
}
