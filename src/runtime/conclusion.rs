//! How the run of a handler ends after it has asked the client, or has failed to.
//!
//! *Scope:* whether a handler has passed on the error of its question, and how its call ends if not.
//! *Not in scope:* asking (that is `ask`), sending and answering (that is `run`).
//!
//! ```text
//!  the run             | returned the error of the question | another error      | a value, or a deferred reply
//!  --------------------+------------------------------------+--------------------+------------------------------
//!  has open questions  | they are sent                      | −32603, reported   | −32603, reported
//!  failed at asking    | answered                           | answered           | the failure, reported
//!  misused a key, form | −32603, reported                   | −32603, reported   | −32603, reported
//! ```

use std::borrow::Cow;

use crate::protocol::error::{CallError, Failure, WAITING};
use crate::runtime::handlers::{Produced, Target};
use crate::server::questions::Questions;
use crate::text::printable;

/// How a run ends.
pub(crate) enum Conclusion {
    /// Its questions are sent.
    Ask,
    /// The call is answered. The text reports a fault of the handler, if there is one.
    Answer(Result<Produced, CallError>, Option<String>),
}

/// Decides by what the handler has returned. A remembered failure is cleared.
pub(crate) fn conclusion_of(
    questions: &mut Questions,
    target: Target,
    item: &str,
    produced: Result<Produced, CallError>,
) -> Conclusion {
    let handler = || format!("the {} `{}`", target.name(), printable(item));
    if let Some(failure) = questions.failed.take() {
        return after_failure(failure, &handler(), produced);
    }
    let Some(question) = questions.pending.first() else { return Conclusion::Answer(produced, None) };
    let key = &question.label.key;
    match error_text(&produced) {
        Some(_) if passes_on(&produced) => Conclusion::Ask,
        // Another of its questions could not be asked at all, and the handler cannot do without it.
        Some(_) if matches!(produced, Err(CallError(Failure::MissingCapability(_)))) => {
            Conclusion::Answer(produced, None)
        }
        Some(text) => {
            let fault = format!(
                "{} failed while its question `{key}` was open, so it was not asked: {text}",
                handler()
            );
            Conclusion::Answer(Err(CallError::internal(fault.as_str())), Some(fault))
        }
        None => {
            let fault = format!(
                "{} went on after its question `{key}`, which was not asked: pass the error that a question comes back \
                 with on with `?`",
                handler()
            );
            Conclusion::Answer(Err(CallError::internal(fault.as_str())), Some(fault))
        }
    }
}

fn after_failure(failure: CallError, handler: &str, produced: Result<Produced, CallError>) -> Conclusion {
    let is_fault = matches!(failure.0, Failure::Protocol(_));
    match error_text(&produced) {
        // The handler may have put it in words of its own.
        Some(_) if !is_fault => Conclusion::Answer(produced, None),
        Some(_) => Conclusion::Answer(Err(failure.clone()), Some(format!("{handler}: {failure}"))),
        None => {
            let fault = format!("{handler} continued after a question had failed: {failure}");
            Conclusion::Answer(Err(failure), Some(fault))
        }
    }
}

/// True if the handler ends in the error of its question: that itself, or a text that ends with its text, as the text of
/// another error around it does.
fn passes_on(produced: &Result<Produced, CallError>) -> bool {
    match produced {
        Ok(Produced::Tool(result)) => result.error_text().is_some_and(|text| text.ends_with(WAITING)),
        Err(CallError(Failure::Pending)) => true,
        Err(CallError(Failure::Protocol(error))) => error.message.ends_with(WAITING),
        Err(CallError(Failure::ForModel(text) | Failure::Io(text))) => text.ends_with(WAITING),
        _ => false,
    }
}

/// The text of the error that a handler returned; `None` if it returned a value or a deferred reply.
fn error_text(produced: &Result<Produced, CallError>) -> Option<Cow<'_, str>> {
    match produced {
        Ok(Produced::Tool(result)) => result.error_text().map(Cow::Borrowed),
        Ok(_) | Err(CallError(Failure::Deferred)) => None,
        Err(error) => Some(Cow::Owned(error.to_string())),
    }
}
