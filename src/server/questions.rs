//! What a call remembers between two runs of its handler.
//!
//! *Scope:* questions, their answers, values of `once`, and what each key stands for. *Not in scope:* the methods of
//! [`Call`](crate::Call) that use it (that is `ask`), and sending (that is `run` and `rounds`).
//!
//! A key names one question of its handler. Each answer is kept with a fingerprint of its question, so it never goes to
//! another question. A key is used once in each run, so one answer never serves two questions.

use crate::json::value::JsonBuf;
use crate::json::value::JsonRef;
use crate::jsonrpc;
use crate::memory::BLOCK_OVERHEAD_BYTES;
use crate::protocol::elicitation::Unavailable;
use crate::protocol::error::{CallError, Failure};
use crate::protocol::siphash::fingerprint;

/// What is remembered between the runs of one handler.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    pub(crate) answers: Vec<Known<QuestionOutcome>>,
    pub(crate) once: Vec<Known<JsonBuf>>,
    /// Questions of this run that have no answer yet.
    pub(crate) pending: Vec<Question>,
    /// The first error of this run that ends the call, whatever its handler returns.
    pub(crate) failed: Option<CallError>,
    /// How many logs earlier runs have sent, and this run so far.
    pub(crate) logs_sent: usize,
    pub(crate) logs: usize,
    /// How many rounds of questions were sent.
    pub(crate) rounds: usize,
}

/// What identifies a question or a value.
#[derive(Debug)]
pub(crate) struct Label {
    pub(crate) key: Box<str>,
    /// Of the method and parameters of a question, of the type of a value.
    pub(crate) fingerprint: u128,
}

/// Something that is known from an earlier run.
#[derive(Debug)]
pub(crate) struct Known<V> {
    label: Label,
    value: V,
    /// True if this run has used it.
    used: bool,
}

/// A request to the client.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) label: Label,
    pub(crate) method: &'static str,
    /// A JSON object, or nothing.
    pub(crate) params: Vec<u8>,
}

/// The outcome of a question.
#[derive(Debug)]
pub(crate) enum QuestionOutcome {
    Result(JsonBuf),
    Error(jsonrpc::Error),
    /// The question could not be sent to the client.
    Unreached,
    /// Nothing, within `question_timeout`.
    Late,
    /// The client cannot be asked this at all.
    Unavailable(Unavailable),
}

impl<V> Known<V> {
    pub(crate) fn new(label: Label, value: V) -> Known<V> {
        Known { label, value, used: false }
    }

    #[cfg(feature = "stateless")]
    pub(crate) fn parts(&self) -> (&Label, &V) {
        (&self.label, &self.value)
    }

    fn held_bytes(&self, value_bytes: usize) -> usize {
        self.label.key.len() + value_bytes + 2 * BLOCK_OVERHEAD_BYTES
    }
}

impl Questions {
    pub(crate) fn answer(&mut self, label: Label, outcome: QuestionOutcome) {
        self.answers.push(Known::new(label, outcome));
    }

    /// Prepares for the next run of the handler.
    pub(crate) fn rewind(&mut self) {
        self.logs_sent = self.logs_sent.max(self.logs);
        self.logs = 0;
        self.pending.clear();
        self.failed = None;
        self.answers.iter_mut().for_each(|known| known.used = false);
        self.once.iter_mut().for_each(|known| known.used = false);
    }

    /// Counts a log of this run, or another thing that is to be sent once. Returns true if no earlier run has sent it.
    pub(crate) fn logs_again(&mut self) -> bool {
        self.logs += 1;
        self.logs > self.logs_sent
    }

    /// True if this run has neither asked something new nor failed.
    pub(crate) fn is_content(&self) -> bool {
        self.pending.is_empty() && self.failed.is_none()
    }

    /// Checks that the questions can be sent.
    pub(crate) fn check_questions(&self, bytes_max: usize) -> Result<(), String> {
        for Question { label, params, .. } in &self.pending {
            let bytes = params.len();
            if bytes > bytes_max {
                let limit = format!("the limit message_bytes_max = {bytes_max}");
                return Err(format!("the question `{}` has {bytes} bytes, more than {limit}", label.key));
            }
        }
        Ok(())
    }

    /// The memory that it holds besides itself, between two runs.
    pub(crate) fn held_bytes(&self) -> usize {
        let answers = self.answers.iter().map(|known| {
            known.held_bytes(if let QuestionOutcome::Result(value) = &known.value {
                value.bytes()
            } else {
                64
            })
        });
        let once = self.once.iter().map(|known| known.held_bytes(known.value.bytes()));
        let places = self.answers.capacity() * size_of::<Known<QuestionOutcome>>()
            + self.once.capacity() * size_of::<Known<JsonBuf>>();
        answers.chain(once).sum::<usize>() + places
    }

    /// The outcome of the question `key`. The first time it is asked, there is none yet.
    pub(crate) fn outcome(
        &mut self,
        key: &str,
        method: &'static str,
        params: impl FnOnce(&mut Vec<u8>),
    ) -> Result<&QuestionOutcome, CallError> {
        let mut text = Vec::new();
        params(&mut text);
        let fingerprint = fingerprint(&[method.as_bytes(), &text]);
        if self.pending.iter().any(|question| &*question.label.key == key) {
            return Err(self.fail(used_twice(key)));
        }
        match find(&mut self.answers, key, fingerprint) {
            None => {
                let label = Label { key: key.into(), fingerprint };
                self.pending.push(Question { label, method, params: text });
                Err(CallError(Failure::Pending))
            }
            Some(Err(error)) => Err(self.fail(error)),
            Some(Ok(at)) => self.answers.get(at).map(|known| &known.value).ok_or(CallError(Failure::Pending)),
        }
    }

    /// The outcome of a question that a [`Reply`](crate::Reply) has asked; `None` if there is none yet.
    pub(crate) fn known_outcome(&mut self, key: &str) -> Result<Option<&QuestionOutcome>, CallError> {
        let Some(known) = self.answers.iter_mut().find(|known| &*known.label.key == key) else {
            return Ok(None);
        };
        if std::mem::replace(&mut known.used, true) {
            return Err(self.fail(used_twice(key)));
        }
        Ok(self.answers.iter().find(|known| &*known.label.key == key).map(|known| &known.value))
    }

    /// The value of [`Call::once`](crate::Call::once) under this key, if an earlier run has made one.
    pub(crate) fn value(&mut self, key: &str, fingerprint: u128) -> Result<Option<JsonRef<'_>>, CallError> {
        match find(&mut self.once, key, fingerprint).transpose() {
            Ok(at) => Ok(at.and_then(|at| self.once.get(at)).map(|known| known.value.as_ref())),
            Err(error) => Err(self.fail(error)),
        }
    }

    pub(crate) fn keep_value(&mut self, key: &str, fingerprint: u128, value: JsonBuf) {
        self.once.push(Known { label: Label { key: key.into(), fingerprint }, value, used: true });
    }

    /// Remembers an error that ends the call.
    pub(crate) fn fail(&mut self, error: CallError) -> CallError {
        self.failed.get_or_insert_with(|| error.clone());
        error
    }
}

/// The position of what is kept under this key. It is used once in this run, and only for what it was made for.
fn find<V>(known: &mut [Known<V>], key: &str, fingerprint: u128) -> Option<Result<usize, CallError>> {
    let at = known.iter().position(|one| &*one.label.key == key)?;
    let one = known.get_mut(at)?;
    if std::mem::replace(&mut one.used, true) {
        return Some(Err(used_twice(key)));
    }
    if one.label.fingerprint != fingerprint {
        return Some(Err(CallError::internal(format!(
            "the key `{key}` stood for something else in an earlier run of this handler; give every question and every \
             value of `once` a key of its own, and let a question say the same in every run (`once` keeps what varies)"
        ))));
    }
    Some(Ok(at))
}

fn used_twice(key: &str) -> CallError {
    CallError::internal(format!(
        "the key `{key}` was used twice in one run of this handler; give every question and every value of `once` a key of \
         its own, and keep an answer that is needed again in a variable"
    ))
}
