//! What is open between the two ends: requests of the local client, and questions of the remote server.
//!
//! *Scope:* which answer belongs to which request, and which question to which session. *Not in scope:* waiting.
//!
//! ```text
//!   waiting ──▶ sending ──▶ sent ──▶ over: answered, or cancelled by the client ──▶ closed by its thread
//!      └───────────┴───────────────────▲
//! ```

use super::message::IdText;
use crate::cli::bounds::{CONNECT_QUESTIONS_MAX, CONNECT_REQUESTS_MAX};

/// Names a request, whose id may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Sending,
    Sent,
}

#[derive(Debug)]
struct Open {
    ticket: Ticket,
    id: IdText,
    phase: Phase,
    /// Answered, or cancelled: nothing more is written for it.
    over: bool,
    /// Without a session: the end of its connection cancels it.
    lone: bool,
    /// It stays open until the client ends it.
    lasting: bool,
}

#[derive(Debug)]
struct Question {
    id: IdText,
    generation: u64,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    open: Vec<Open>,
    /// Cancelled requests of which the server is not told yet.
    cancelling: Vec<(Ticket, IdText)>,
    questions: Vec<Question>,
    last: u64,
}

/// What a cancellation leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// The request is not open here; the remote server may know of it.
    Unknown,
    /// The request has not been sent, or its connection will be closed. The server need not be told.
    Here,
    /// The server is to be told once this request was sent.
    Sent(Ticket),
}

/// The request that an answer is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answered {
    /// Its id as the client wrote it.
    pub(super) id: IdText,
    /// True if the answer has the same.
    pub(super) is_exact: bool,
}

impl Table {
    /// Returns `None` if there are too many.
    pub(super) fn open(&mut self, id: IdText, lone: bool, lasting: bool) -> Option<Ticket> {
        if self.open.len() >= CONNECT_REQUESTS_MAX {
            return None;
        }
        self.last += 1;
        let ticket = Ticket(self.last);
        self.open.push(Open { ticket, id, phase: Phase::Waiting, over: false, lone, lasting });
        Some(ticket)
    }

    /// The thread of a request has ended.
    pub(super) fn close(&mut self, ticket: Ticket) {
        self.open.retain(|open| open.ticket != ticket);
    }

    fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| open.ticket == ticket)
    }

    /// True if nothing more is to be written for a request.
    pub(super) fn is_over(&self, ticket: Ticket) -> bool {
        self.open.iter().find(|open| open.ticket == ticket).is_none_or(|open| open.over)
    }

    /// A request is about to be sent. Returns false if it must not be any more.
    pub(super) fn begin_sending(&mut self, ticket: Ticket) -> bool {
        match self.get_mut(ticket).filter(|open| !open.over) {
            Some(open) => {
                open.phase = Phase::Sending;
                true
            }
            None => false,
        }
    }

    pub(super) fn sent(&mut self, ticket: Ticket) {
        if let Some(open) = self.get_mut(ticket) {
            open.phase = Phase::Sent;
        }
    }

    /// True if a request is being sent.
    pub(super) fn is_sending(&self, ticket: Ticket) -> bool {
        self.open.iter().any(|open| open.ticket == ticket && open.phase == Phase::Sending)
    }

    /// The client gives up a request: the first that is open under this id.
    pub(super) fn cancel(&mut self, id: &IdText) -> Cancelled {
        let Some(open) = self.open.iter_mut().find(|open| !open.over && open.id.is(id)) else {
            return Cancelled::Unknown;
        };
        open.over = true;
        match open.phase {
            _ if open.lone => Cancelled::Here,
            Phase::Waiting => Cancelled::Here,
            Phase::Sending | Phase::Sent => {
                self.cancelling.push((open.ticket, open.id.clone()));
                Cancelled::Sent(open.ticket)
            }
        }
    }

    /// The server has been told that a request is cancelled, or cannot be told.
    pub(super) fn told(&mut self, ticket: Ticket) {
        self.cancelling.retain(|(cancelling, _)| *cancelling != ticket);
    }

    /// True if the server may take a request with this id for one that is cancelled.
    pub(super) fn is_cancelling(&self, id: &IdText) -> bool {
        self.cancelling.iter().any(|(_, cancelling)| cancelling.is(id))
    }

    /// An answer has come, in answer to the POST of the requests `own`, if they are known. Returns `None` if no request waits
    /// for it.
    pub(super) fn answer(&mut self, id: Option<&IdText>, is_error: bool, own: &[Ticket]) -> Option<Answered> {
        let is_own = |open: &&mut Open| own.contains(&open.ticket);
        let named = |open: &&mut Open| !open.over && id.is_some_and(|id| open.id.is(id));
        let exact = match self.open.iter_mut().filter(is_own).find(named) {
            Some(open) => Some(open),
            None => self.open.iter_mut().find(named),
        };
        if let Some(open) = exact {
            open.over = true;
            return Some(Answered { id: open.id.clone(), is_exact: id == Some(&open.id) });
        }
        let is_nameless = is_error && id.is_none_or(|id| id.text() == "null");
        let resembles = |open: &&mut Open| is_nameless || id.is_some_and(|id| open.id.resembles(id));
        let mut own = self.open.iter_mut().filter(is_own).filter(|open| !open.over);
        match (own.next().filter(resembles), own.next()) {
            (Some(open), None) => {
                open.over = true;
                Some(Answered { id: open.id.clone(), is_exact: false })
            }
            _ => None,
        }
    }

    /// The request is to be answered here. Returns its id, or `None` if it is over.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<IdText> {
        let open = self.get_mut(ticket).filter(|open| !open.over)?;
        open.over = true;
        Some(open.id.clone())
    }

    /// All requests that are not over.
    pub(super) fn take_all(&mut self) -> Vec<IdText> {
        let open = self.open.iter_mut().filter(|open| !open.over);
        open.map(|open| {
            open.over = true;
            open.id.clone()
        })
        .collect()
    }

    /// True if nothing is open that the end of the input has to wait for.
    pub(super) fn is_idle(&self) -> bool {
        self.open.iter().all(|open| open.over || open.lasting)
    }

    /// The server asks something in the session of this generation. Returns false if too many questions are open.
    pub(super) fn ask(&mut self, id: IdText, generation: u64) -> bool {
        let has_room = self.questions.len() < CONNECT_QUESTIONS_MAX;
        if has_room {
            self.questions.push(Question { id, generation });
        }
        has_room
    }

    /// The client answers a question, or the server withdraws it. Returns the generation of its session.
    pub(super) fn take_question(&mut self, id: &IdText) -> Option<u64> {
        let at = self.questions.iter().position(|question| question.id.is(id))?;
        Some(self.questions.remove(at).generation)
    }

    /// A session has ended. Returns its questions, which nobody can answer any more.
    pub(super) fn take_questions(&mut self, generation: u64) -> Vec<IdText> {
        let (lost, rest) = std::mem::take(&mut self.questions)
            .into_iter()
            .partition::<Vec<_>, _>(|question| question.generation == generation);
        self.questions = rest;
        lost.into_iter().map(|question| question.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::connect::message::{Local, read_local};
    use crate::json::tape::Tape;

    fn id(text: &str) -> IdText {
        match read_local(&format!(r#"{{"id":{text},"method":"m"}}"#), &mut Tape::new()).unwrap() {
            Local::Request { id, .. } => id,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn answers_find_their_requests() {
        let mut table = Table::default();
        let [one, text, late] = ["1", "\"1\"", "1"].map(|text| table.open(id(text), false, false).unwrap());
        // Of two with one id the one that was posted there, or else the older one.
        assert!(table.answer(Some(&id("1")), false, &[late]).unwrap().is_exact);
        assert!(table.is_over(late) && !table.is_over(one) && !table.is_over(text));
        assert_eq!(table.answer(Some(&id("2")), false, &[]), None);
        assert_eq!(table.answer(Some(&id("1")), false, &[]).unwrap().id, id("1"));
        assert_eq!(table.answer(Some(&id("1")), false, &[]), None, "twice");
        assert!(table.is_over(one) && !table.is_over(text));
        // A server that keeps ids as numbers, in the answer to the request itself and nowhere else.
        assert_eq!(table.answer(Some(&id("1")), false, &[]), None);
        let answered = table.answer(Some(&id("1")), false, &[text]).unwrap();
        assert_eq!(answered, Answered { id: id("\"1\""), is_exact: false });
        // An error without an id can be about nothing else.
        let bare = table.open(id("5"), false, false).unwrap();
        assert_eq!(table.answer(None, false, &[bare]), None);
        assert_eq!(table.answer(Some(&id("6")), true, &[bare]), None);
        assert_eq!(table.answer(Some(&id("null")), true, &[bare]).unwrap().id, id("5"));
        assert!(table.is_idle());
    }

    #[test]
    fn cancelled_requests_are_not_answered() {
        let mut table = Table::default();
        let [unsent, sending, lone] = [("1", false), ("2", false), ("3", true)]
            .map(|(text, lone)| table.open(id(text), lone, false).unwrap());
        assert_eq!(table.cancel(&id("1")), Cancelled::Here);
        assert!(!table.begin_sending(unsent));
        assert!(table.begin_sending(sending) && table.is_sending(sending));
        assert_eq!(table.cancel(&id("2")), Cancelled::Sent(sending));
        table.sent(sending);
        assert!(
            !table.is_sending(sending) && table.is_cancelling(&id("2")) && !table.is_cancelling(&id("1"))
        );
        table.told(sending);
        assert!(!table.is_cancelling(&id("2")));
        assert!(table.begin_sending(lone));
        assert_eq!(table.cancel(&id("3")), Cancelled::Here);
        assert_eq!(table.cancel(&id("3")), Cancelled::Unknown);
        assert_eq!(table.answer(Some(&id("2")), false, &[sending]), None);
        assert_eq!(table.take(sending), None);
        assert!(table.take_all().is_empty());
    }

    #[test]
    fn both_tables_are_bounded() {
        let mut table = Table::default();
        for _ in 0..CONNECT_REQUESTS_MAX {
            assert!(table.open(id("1"), false, true).is_some());
        }
        assert_eq!(table.open(id("1"), false, true), None);
        assert!(table.is_idle(), "what lasts does not hold up the end");
        table.close(Ticket(1));
        assert!(table.open(id("1"), false, true).is_some());

        for number in 0..CONNECT_QUESTIONS_MAX {
            assert!(table.ask(id(&number.to_string()), (number % 2) as u64));
        }
        assert!(!table.ask(id("1"), 1));
        assert_eq!(table.take_question(&id("3")), Some(1));
        assert_eq!(table.take_question(&id("3")), None);
        assert!(table.ask(id("3"), 1));
        assert_eq!(table.take_questions(1).len(), CONNECT_QUESTIONS_MAX / 2);
        assert_eq!(table.take_question(&id("2")), Some(0));
    }
}
