//! Questions to a client without a session: they travel in the result of a request, and their answers in the next one
//! (MCP 2026-07-28, multi round-trip requests).
//!
//! *Scope:* the `input_required` result, `inputResponses`, and what `requestState` contains. *Not in scope:* asking (`ask`),
//! and the seal on the state (`seal`).
//!
//! The server keeps nothing between two rounds: answers, values of [`Call::once`](crate::Call::once), their fingerprints, and the
//! count of rounds go out with the questions and come back. So another node with the same key can go on, and the same state
//! sent again is answered again: `once` is once for each chain of states.
//!
//! ```text
//!  request ──▶ handler ──▶ questions ──▶ input_required { inputRequests, requestState }
//!     ▲                                          │
//!     └── the same request with inputResponses and requestState ◀── answers ◀──┘
//! ```

use std::time::Duration;

use crate::json::tape::Tape;
use crate::json::value::{JsonBuf, JsonRef, Members};
use crate::json::write::{Array, Object};
use crate::jsonrpc::Error;
use crate::protocol::state_key::Seal;
use crate::runtime::stateless::seal::SealedRequest;
use crate::server::questions::{Known, Label, Question, QuestionOutcome, Questions};
use crate::text::printable;

/// Reads what is known from earlier rounds: nothing without a state.
///
/// # Errors
/// −32602 for a state that was changed, has expired, or belongs to another request or principal, and for responses that
/// are no objects.
pub(crate) fn read(
    seal: &Seal,
    subject: &SealedRequest<'_>,
    params: &Members<'_>,
    unix: Duration,
) -> Result<Questions, Error> {
    let [responses, sealed] = params.pick(["inputResponses", "requestState"]);
    let responses = responses.map(read_responses).transpose()?.unwrap_or_default();
    let Some(sealed) = sealed else { return Ok(Questions::default()) };
    let sealed = sealed.as_str().ok_or_else(|| Error::invalid_params("`requestState` must be a string"))?;
    let not_ours = || {
        Error::invalid_params(
            "`requestState` is not what this server sent for this request; send it unchanged, with the same parameters, or call again \
                 without it if the server was started again",
        )
    };
    let state = seal.open(subject, &sealed).ok_or_else(not_ours)?;
    let mut tape = Tape::new();
    let state = str::from_utf8(&state).ok().and_then(|text| Members::of(tape.read(text).ok()?).ok());
    let state = state.ok_or_else(not_ours)?;
    Times::read(&state).ok_or_else(not_ours)?.check(unix)?;
    read_state(&state, &responses).ok_or_else(not_ours)
}

/// How far the clocks of two servers may be apart, and how far one may be set back.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(60);

/// When a state was made, and until when it is taken: times of day, in whole seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) from: Duration,
    pub(crate) until: Duration,
}

impl Times {
    fn read(state: &Members<'_>) -> Option<Times> {
        let time = |name| Some(Duration::from_secs(state.get(name)?.text().parse().ok()?));
        Some(Times { from: time("from")?, until: time("until")? })
    }

    /// A state from the future is refused too: it would outlive its time where the clock was set back.
    fn check(&self, unix: Duration) -> Result<(), Error> {
        if self.from > unix.saturating_add(CLOCKS_APART_MAX) {
            return Err(Error::invalid_params(
                "`requestState` was made at a time that is yet to come: the server's clock was set back, or the clocks of two servers \
                 differ; call again without it",
            ));
        }
        match unix.as_secs() <= self.until.as_secs() {
            true => Ok(()),
            false => Err(Error::invalid_params(
                "`requestState` has expired (limit request_state_ttl); call again without it",
            )),
        }
    }
}

fn read_responses(raw: JsonRef<'_>) -> Result<Members<'_>, Error> {
    let members = Members::of(raw)
        .map_err(|_| Error::invalid_params("`inputResponses` must be an object without a name twice"))?;
    // null means that it was not given.
    let wrong = members.iter().find(|(_, response)| !response.is_object() && !response.is_null());
    if let Some((key, _)) = wrong {
        return Err(Error::invalid_params(format_args!(
            "`inputResponses.{}` must be an object",
            printable(&key)
        )));
    }
    Ok(members)
}

/// `None` if it cannot be read: then it was never sealed by this server.
fn read_state(state: &Members<'_>, responses: &Members<'_>) -> Option<Questions> {
    let number = |name| state.get(name)?.text().parse::<u64>().ok();
    let mut questions = Questions {
        rounds: number("rounds")?.try_into().ok()?,
        logs_sent: number("logs")?.try_into().ok()?,
        ..Questions::default()
    };
    for (key, known) in Members::of(state.get("answers")?).ok()?.iter() {
        let (label, answer) = read_known(&key, known)?;
        questions.answer(label, QuestionOutcome::Result(answer));
    }
    for (key, known) in Members::of(state.get("once")?).ok()?.iter() {
        let (label, value) = read_known(&key, known)?;
        questions.once.push(Known::new(label, value));
    }
    // Other responses were not asked for, and are ignored.
    for (key, fingerprint) in Members::of(state.get("asked")?).ok()?.iter() {
        if let Some(response) = responses.get(&key) {
            questions.answer(read_label(&key, fingerprint)?, QuestionOutcome::Result(response.into()));
        }
    }
    Some(questions)
}

/// `[fingerprint, value]`
fn read_known(key: &str, known: JsonRef<'_>) -> Option<(Label, JsonBuf)> {
    let mut pair = known.items()?;
    let (fingerprint, value) = (pair.next()?, pair.next()?);
    Some((read_label(key, fingerprint)?, value.into()))
}

fn read_label(key: &str, fingerprint: JsonRef<'_>) -> Option<Label> {
    let fingerprint = u128::from_str_radix(&fingerprint.as_str()?, 16).ok()?;
    Some(Label { key: key.into(), fingerprint })
}

/// Appends the members of a result that asks: `resultType`, `inputRequests`, `requestState`.
pub(crate) fn write(
    result: &mut Object<'_>,
    seal: &Seal,
    digest: &[u8; 16],
    questions: &Questions,
    times: Times,
) {
    result.str("resultType", "input_required");
    result.field("inputRequests", |out| {
        let mut requests = Object::new(out);
        for Question { label, method, params } in &questions.pending {
            requests.field(&label.key, |out| {
                let params = std::str::from_utf8(params).unwrap_or_default();
                let params = if params.is_empty() { "{}" } else { params };
                Object::new(out).str("method", method).raw("params", params);
            });
        }
    });
    let mut state = Vec::new();
    write_state(&mut state, questions, times);
    result.str("requestState", &seal.seal(digest, &state));
}

fn write_state(out: &mut Vec<u8>, questions: &Questions, times: Times) {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let mut state = Object::new(out);
    state.int("from", seconds(times.from)).int("until", seconds(times.until));
    state.int("rounds", count(questions.rounds)).int("logs", count(questions.logs_sent.max(questions.logs)));
    state.field("asked", |out| {
        let mut keys = Object::new(out);
        questions.pending.iter().for_each(|question| {
            keys.str(&question.label.key, &hex(&question.label));
        });
    });
    state.field("answers", |out| {
        let mut answers = Object::new(out);
        for (label, outcome) in questions.answers.iter().map(Known::parts) {
            if let QuestionOutcome::Result(value) = outcome {
                write_known(&mut answers, label, value.as_ref());
            }
        }
    });
    state.field("once", |out| {
        let mut once = Object::new(out);
        questions
            .once
            .iter()
            .map(Known::parts)
            .for_each(|(label, value)| write_known(&mut once, label, value.as_ref()));
    });
}

fn write_known(known: &mut Object<'_>, label: &Label, value: JsonRef<'_>) {
    known.field(&label.key, |out| {
        let mut pair = Array::new(out);
        pair.str(&hex(label)).raw(value.text());
    });
}

fn hex(label: &Label) -> String {
    format!("{:x}", label.fingerprint)
}
