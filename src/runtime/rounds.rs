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
use crate::runtime::seal::SealedRequest;
use crate::server::questions::{Known, Label, Question, QuestionOutcome, Questions};
use crate::text::shorten;

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
    let responses = params.get("inputResponses").map(read_responses).transpose()?.unwrap_or_default();
    let Some(sealed) = params.get("requestState") else { return Ok(Questions::default()) };
    let sealed = sealed.as_str().ok_or_else(|| Error::invalid_params("`requestState` is no string"))?;
    let state = seal.open(subject, &sealed).ok_or_else(|| {
        Error::invalid_params(
            "`requestState` is not what this server gave for this request; send it unchanged, with the same parameters",
        )
    })?;
    read_state(&state, &responses, unix).ok_or_else(|| {
        Error::invalid_params("`requestState` has expired (limit request_state_ttl); call again without it")
    })
}

fn read_responses(raw: JsonRef<'_>) -> Result<Members<'_>, Error> {
    let members = Members::of(raw)
        .map_err(|_| Error::invalid_params("`inputResponses` is no object with each name once"))?;
    // null means that it was not given.
    let wrong = members.iter().find(|(_, response)| !response.is_object() && !response.is_null());
    if let Some((key, _)) = wrong {
        return Err(Error::invalid_params(format_args!("`inputResponses.{}` is no object", shorten(&key))));
    }
    Ok(members)
}

/// `None` if the state has expired. A state that cannot be read was never sealed by this server.
fn read_state(state: &[u8], responses: &Members<'_>, unix: Duration) -> Option<Questions> {
    let mut tape = Tape::new();
    let state = Members::of(tape.read(str::from_utf8(state).ok()?).ok()?).ok()?;
    let number = |name| state.get(name)?.text().parse::<u64>().ok();
    (unix.as_secs() <= number("until")?).then_some(())?;
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
    until: Duration,
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
    write_state(&mut state, questions, until);
    result.str("requestState", &seal.seal(digest, &state));
}

fn write_state(out: &mut Vec<u8>, questions: &Questions, until: Duration) {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let mut state = Object::new(out);
    state.int("until", i64::try_from(until.as_secs()).unwrap_or(i64::MAX));
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
