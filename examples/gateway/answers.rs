//! What upstream says, on its way to the gateway's client.
//!
//! *Scope:* which part of the outbox a message is for; ids of questions, which upstream numbers for each session and a service
//! for all of them. *Not in scope:* the way to upstream.

use mcp_rill::json::{JsonRef, Members, Tape};
use mcp_rill::jsonrpc::{self, Error, IdRef, Message, Notification, Request};
use mcp_rill::service::{Audience, CallKey, Outbox, Outgoing, SessionKey, Slot};
use mcp_rill::{Level, Limits};

use super::service::{Gateway, Question, text};
use super::upstream::Heard;

impl Gateway {
    /// Passes a message on to the client of a session, on the way of the call if it came with the answer to one.
    pub fn pass_on(&mut self, session: SessionKey, Heard { call, said }: Heard, out: &mut Outbox) {
        let mut tape = Tape::new();
        let message = match &said {
            Ok(text) => {
                jsonrpc::parse(text.as_bytes(), &Limits::DEFAULT, &mut tape).map_err(|refused| refused.error)
            }
            Err(reason) => Err(Error::internal(reason)),
        };
        match (message, call) {
            (Ok(Message::Request(question)), _) => self.ask(session, call, question, out),
            (Ok(Message::Notification(told)), _) => self.announce(session, call, &told, out),
            (Ok(Message::Response(answer)), Some(call)) => {
                self.conclude(
                    call,
                    answer.outcome.map_err(|error| Error::read(error).unwrap_or_else(|bad| bad)),
                    out,
                );
            }
            (Err(error), Some(call)) => self.conclude(call, Err(error), out),
            (Ok(Message::Response(_)) | Err(_), None) => {}
        }
    }

    fn ask(&mut self, session: SessionKey, call: Option<CallKey>, question: Request<'_>, out: &mut Outbox) {
        self.last_question += 1;
        let (id, params) = (self.last_question, text(question.params));
        out.request(audience(session, call), id, &question.method, params);
        self.questions.insert(id, Question { session, call, id: question.id.into_owned() });
    }

    fn announce(
        &mut self,
        session: SessionKey,
        call: Option<CallKey>,
        told: &Notification<'_>,
        out: &mut Outbox,
    ) {
        let audience = audience(session, call);
        let params = told.params.and_then(|params| Members::of(params).ok()).unwrap_or_default();
        let mut asked = None;
        let kind = match (&*told.method, call) {
            ("notifications/progress", Some(call)) => Outgoing::Latest(audience, Slot::Progress(call)),
            // Upstream knows which logs the client wants.
            ("notifications/message", _) => Outgoing::Log(audience, Level::Emergency),
            ("notifications/cancelled", _) => {
                asked = self.take_question(session, params.get("requestId"));
                Outgoing::Message(audience)
            }
            _ => Outgoing::Message(audience),
        };
        out.notify(kind, &told.method, |out| {
            for (name, value) in params.iter() {
                match asked {
                    Some(asked) if name == "requestId" => out.int(&name, asked),
                    _ => out.raw(&name, value.text()),
                };
            }
        });
    }

    /// The first outcome counts: that of a call which has its answer is that no more comes.
    fn conclude(&mut self, call: CallKey, outcome: Result<JsonRef<'_>, Error>, out: &mut Outbox) {
        if self.calls.remove(&call).is_none() {
            return;
        }
        self.questions.retain(|_, question| question.call != Some(call));
        match outcome {
            Ok(result) => out.result(call, |out| out.extend(result.text().bytes())),
            Err(error) => out.error(call, &error),
        }
    }

    /// Takes out a question by its id upstream, and returns the one that the client knows.
    fn take_question(&mut self, session: SessionKey, id: Option<JsonRef<'_>>) -> Option<i64> {
        let id = IdRef::read(id?)?.into_owned();
        let mut open = self.questions.iter();
        let (&asked, _) = open.find(|(_, question)| question.session == session && question.id == id)?;
        self.questions.remove(&asked).map(|_| asked)
    }
}

fn audience(session: SessionKey, call: Option<CallKey>) -> Audience {
    call.map_or(Audience::One(session), |call| Audience::Call(call, session))
}
