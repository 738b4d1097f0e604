//! Reads the response to a POST until its request is answered or cancelled, or the server takes too long.

use std::time::{Duration, Instant};

use super::remote::{Remote, within};
use crate::cli::bounds::CONNECT_HELD_BYTES_MAX;
use crate::client::error::Error;
use crate::client::exchange::{Exchange, Step};
use crate::client::target::Target;
use crate::memory::Charge;

/// How long a thread reads before it looks whether its request is over.
const LOOK: Duration = Duration::from_millis(100);
/// The same for a request that may stay open for days.
const LONG_LOOK: Duration = Duration::from_secs(1);

/// How it ended.
pub(super) enum Ended {
    /// What it was for is over.
    Done,
    /// The server refused it, with this status and text.
    Refused(u16, String),
    /// There is no answer.
    Failed(Error),
}

/// Reads the response. `patience` is how long the server may send no message; without it, for ever. `take` gets each message,
/// and `is_over` tells when nothing more is wanted.
pub(super) fn drive(
    remote: &Remote,
    exchange: &mut Exchange,
    target: &Target,
    patience: Option<Duration>,
    mut is_over: impl FnMut() -> bool,
    mut take: impl FnMut(String),
) -> Ended {
    let look = if patience.is_some() { LOOK } else { LONG_LOOK };
    let mut deadline = patience.map(within);
    let mut charge = remote.held.charge(0);
    loop {
        let before = now();
        remote.output.wait_until_read();
        // The time of a reader that stalls is not the server's.
        deadline = deadline.map(|deadline| deadline + before.elapsed());
        if is_over() {
            remote.wire.keep(exchange.finish(&target.defaults.limits));
            return Ended::Done;
        }
        let left = deadline.map_or(look, |deadline| deadline.saturating_duration_since(now()).min(look));
        if left.is_zero() {
            return Ended::Failed(Error::Timeout);
        }
        match exchange.step(left, target, within(left)) {
            Ok(Step::Partial(_)) => {}
            Ok(Step::Event(event)) => {
                // Events without data keep a stream alive, or give it an id to be resumed by.
                if event.name == "message" && !event.data.is_empty() {
                    take(event.data);
                    deadline = patience.map(within);
                }
            }
            Ok(Step::Whole(200, text, kept)) => {
                remote.wire.keep(kept);
                take(text);
                return match is_over() {
                    true => Ended::Done,
                    false => Ended::Failed(Error::Protocol(
                        "the server answered the request with something other than its response".to_owned(),
                    )),
                };
            }
            Ok(Step::Whole(status, text, kept)) => {
                remote.wire.keep(kept);
                return Ended::Refused(status, text);
            }
            Err(error) => return Ended::Failed(error),
        }
        if let Err(error) = count(remote, &mut charge, exchange.unused_bytes()) {
            return Ended::Failed(error);
        }
    }
}

/// Counts what is held of an answer that is not whole.
pub(super) fn count(remote: &Remote, charge: &mut Charge, bytes: usize) -> Result<(), Error> {
    charge.set(bytes);
    match bytes > 0 && remote.held.bytes() > CONNECT_HELD_BYTES_MAX {
        true => Err(Error::Protocol(format!(
            "the answers that are not whole have more than {CONNECT_HELD_BYTES_MAX} bytes together (connect_held_bytes_max)"
        ))),
        false => Ok(()),
    }
}

fn now() -> Instant {
    Instant::now()
}
