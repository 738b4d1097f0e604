//! Questions to a client without a session: they travel in the result of a request, and their answers in the next one
//! (MCP 2026-07-28, multi round-trip requests).
//!
//! *Scope:* the `input_required` result, `inputResponses`, and what `requestState` says. *Not in scope:* asking (`ask`),
//! and the seal on the state (`seal`).
//!
//! The server keeps nothing between two rounds: answers, values of [`Call::once`](crate::Call::once) and the count of
//! rounds go out with the questions and come back. So another node with the same key can go on, and the same state sent
//! again is answered again: `once` is once for each chain of states.
//!
//! ```text
//!  request ──▶ handler ──▶ questions ──▶ input_required { inputRequests, requestState }
//!     ▲                                          │
//!     └── the same request with inputResponses and requestState ◀── answers ◀──┘
//! ```

use std::time::Duration;

use serde_json::value::RawValue;

use crate::jsonrpc::{Array, Error, Members, Object, string};
use crate::mcp::ask::{Answer, Asked, Question};
use crate::mcp::dispatch::shorten;
use crate::mcp::seal::{Seal, Subject};

/// What is known from earlier rounds: nothing without a state.
///
/// # Errors
/// −32602 for a state that was changed, has expired, or belongs to another request or principal, and for responses that
/// are no objects.
pub(crate) fn read(
    seal: &Seal,
    subject: &Subject<'_>,
    params: &Members<'_>,
    unix: Duration,
) -> Result<Asked, Error> {
    let responses = params.get("inputResponses").map(read_responses).transpose()?.unwrap_or_default();
    let Some(sealed) = params.get("requestState") else { return Ok(Asked::default()) };
    let sealed = string(sealed).ok_or_else(|| Error::invalid_params("`requestState` is no string"))?;
    let state = seal.open(subject, &sealed).ok_or_else(|| {
        Error::invalid_params(
            "`requestState` is not what this server gave for this request; send it unchanged, with the same parameters",
        )
    })?;
    read_state(&state, &responses, unix).ok_or_else(|| {
        Error::invalid_params("`requestState` has expired (limit request_state_ttl); call again without it")
    })
}

fn read_responses(raw: &RawValue) -> Result<Members<'_>, Error> {
    let members = Members::of(raw)
        .map_err(|_| Error::invalid_params("`inputResponses` is no object with each name once"))?;
    // One that is null was not given.
    let wrong =
        members.iter().find(|(_, response)| !matches!(response.get().as_bytes(), [b'{', ..] | b"null"));
    if let Some((key, _)) = wrong {
        return Err(Error::invalid_params(format_args!("`inputResponses.{}` is no object", shorten(key))));
    }
    Ok(members)
}

/// `None` if its time is over. What does not read was never sealed by us.
fn read_state(state: &[u8], responses: &Members<'_>, unix: Duration) -> Option<Asked> {
    let raw: &RawValue = serde_json::from_slice(state).ok()?;
    let state = Members::of(raw).ok()?;
    let number = |name| state.get(name)?.get().parse::<u64>().ok();
    (unix.as_secs() <= number("until")?).then_some(())?;
    let mut asked = Asked {
        rounds: number("rounds")?.try_into().ok()?,
        logs_sent: number("logs")?.try_into().ok()?,
        ..Asked::default()
    };
    for (key, answer) in Members::of(state.get("answers")?).ok()?.iter() {
        asked.answer(key.into(), Answer::Result(answer.to_owned()));
    }
    for (key, value) in Members::of(state.get("once")?).ok()?.iter() {
        asked.once.push((key.into(), value.to_owned()));
    }
    let pending: Vec<&RawValue> = serde_json::from_str(state.get("asked")?.get()).ok()?;
    // Whatever else a client sends was not asked for.
    for key in pending.into_iter().filter_map(string) {
        if let Some(response) = responses.get(&key) {
            asked.answer(key.as_ref().into(), Answer::Result(response.to_owned()));
        }
    }
    Some(asked)
}

/// Appends the members of a result that asks: `resultType`, `inputRequests`, `requestState`.
pub(crate) fn write(result: &mut Object<'_>, seal: &Seal, digest: &[u8; 16], asked: &Asked, until: Duration) {
    result.str("resultType", "input_required");
    result.field("inputRequests", |out| {
        let mut requests = Object::new(out);
        for Question { key, method, params } in &asked.pending {
            requests.field(key, |out| {
                let params = std::str::from_utf8(params).unwrap_or_default();
                let params = if params.is_empty() { "{}" } else { params };
                Object::new(out).str("method", method).raw("params", params);
            });
        }
    });
    let mut state = Vec::new();
    write_state(&mut state, asked, until);
    result.str("requestState", &seal.seal(digest, &state));
}

fn write_state(out: &mut Vec<u8>, asked: &Asked, until: Duration) {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let mut state = Object::new(out);
    state.int("until", i64::try_from(until.as_secs()).unwrap_or(i64::MAX));
    state.int("rounds", count(asked.rounds)).int("logs", count(asked.logs_sent.max(asked.logs)));
    state.field("asked", |out| {
        let mut keys = Array::new(out);
        asked.pending.iter().for_each(|question| {
            keys.str(&question.key);
        });
    });
    state.field("answers", |out| {
        let mut answers = Object::new(out);
        for (key, answer) in &asked.answers {
            if let Answer::Result(raw) = answer {
                answers.raw(key, raw.get());
            }
        }
    });
    state.field("once", |out| {
        let mut once = Object::new(out);
        asked.once.iter().for_each(|(key, value)| {
            once.raw(key, value.get());
        });
    });
}
