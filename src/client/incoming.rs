//! Messages from the server, and what the client does about them by itself.
//!
//! *Scope:* which answer belongs to which request, answering the server's requests, and the questions that come as results.
//! *Not in scope:* how messages travel.

use std::time::Instant;

use crate::client::error::{Error, may_be_another_transport};
use crate::client::options::OnRequest;
use crate::client::stateless::Questions;
use crate::client::transport::Arrival;
use crate::client::{Client, Direction, Outcome, Pending, Received, shown_id};
use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::json::write_raw;
use crate::jsonrpc::id::{Id, IdRef};
use crate::jsonrpc::{self, Message, Response};
use crate::limits::Limits;
use crate::protocol::revision::Revision;
use crate::text::shown;

impl Client {
    /// Waits for a message that the caller gets, and handles every message until then.
    pub(super) fn receive(&mut self, deadline: Instant, awaited: Option<&Id>) -> Result<Received, Error> {
        loop {
            let awaited = awaited.and_then(|id| self.open.get(id)).map(|pending| pending.sent_as.clone());
            let arrival = self.carrier.receive(deadline, awaited.as_ref())?;
            self.refusal_status = None;
            if let Arrival::Message(text, _) = &arrival {
                self.show(Direction::Received, text.as_bytes());
            }
            let received = match arrival {
                Arrival::Message(text, None) => self.message(&text)?,
                Arrival::Message(text, Some(id)) => {
                    let outcome = sole_answer(&text, &id, &self.limits);
                    self.take_response(id, outcome)
                }
                Arrival::Failed(id, error) => {
                    let error = self.refusal(&id, error);
                    self.take_response(id, Err(error))
                }
            };
            if let Some(received) = received {
                return Ok(received);
            }
        }
    }

    fn message(&mut self, text: &str) -> Result<Option<Received>, Error> {
        let mut tape = Tape::new();
        match parsed(text, &self.limits, &mut tape)? {
            Message::Response(response) => match (outcome(&response), response.id) {
                (Err(error @ Error::Protocol(_)), _) => Err(error),
                (outcome, Some(id)) => Ok(self.take_response(own_id(id), outcome)),
                (Err(Error::Rpc(error)), None) => Err(Error::Protocol(format!(
                    "the server reports an error that belongs to no request: {error}"
                ))),
                (_, None) => Ok(None),
            },
            // There is no way to answer it (MCP 2026-07-28, basic, "Messages").
            Message::Request(request) if self.stateless.is_some() => Err(Error::Protocol(format!(
                "the server sent the request `{}`, which {} does not allow",
                shown(request.method.as_bytes()),
                Revision::V2026_07_28
            ))),
            Message::Request(request) => {
                let mut reply = Vec::new();
                match answer(&mut self.options.on_request, &request.method, request.params) {
                    Ok(result) => {
                        jsonrpc::write_result(&mut reply, &request.id, |out| write_raw(out, &result));
                    }
                    Err(error) => jsonrpc::write_error(&mut reply, Some((&request.id).into()), &error),
                }
                self.post(&reply, self.options.request_timeout)?;
                Ok(Some(Received::Request { method: request.method.into_owned() }))
            }
            Message::Notification(notification) => {
                if let Some(handler) = &mut self.options.on_notification {
                    handler(&notification.method, notification.params);
                }
                let params = notification.params.map(JsonRef::to_raw);
                Ok(Some(Received::Notification { method: notification.method.into_owned(), params }))
            }
        }
    }

    /// The response to a request has come. Returns `None` if it is not for the caller.
    fn take_response(&mut self, sent_as: Id, outcome: Outcome) -> Option<Received> {
        self.carrier.forget(&sent_as);
        // If there is none, it was given up, and this comes late.
        let mut pending = self.open.iter().filter(|(_, pending)| pending.sent_as == sent_as);
        let id = pending.next().map(|(id, _)| id.clone())?;
        let mut tape = Tape::new();
        let asked = match &outcome {
            Ok(result) if self.stateless.is_some() => {
                Questions::of(tape.read(result.get()).unwrap_or(JsonRef::NULL)).and_then(|questions| {
                    questions.map(|questions| self.ask_back(&id, questions)).transpose()
                })
            }
            _ => Ok(None),
        };
        let outcome = match asked {
            Ok(Some(event)) => return event,
            Ok(None) => outcome,
            Err(error) => Err(error),
        };
        self.open.remove(&id);
        if self.subscription.take_if(|subscription| *subscription == id).is_some() {
            return Some(Received::Unsubscribed);
        }
        Some(Received::Answer { id, outcome })
    }

    /// Returns the error of a refused request: in terms of JSON-RPC, if the body says what is wrong with this request.
    fn refusal(&mut self, id: &Id, error: Error) -> Error {
        let Error::Http { status, body } = &error else { return error };
        let refused = match parsed(body, &self.limits, &mut Tape::new()) {
            // Statuses that a person must act on, that ask to wait, or that report a failure are errors for the caller, with
            // any body.
            _ if !may_be_another_transport(*status) => None,
            Ok(Message::Response(response)) if response.id.clone().map(own_id).as_ref() == Some(id) => {
                outcome(&response).err()
            }
            _ => None,
        };
        self.refusal_status = Some(*status);
        refused.unwrap_or(error)
    }

    /// Answers the questions of a result by sending the call again with the answers. Returns the first question.
    fn ask_back(&mut self, id: &Id, questions: Questions<'_>) -> Result<Option<Received>, Error> {
        let pending = self.open.get_mut(id).map(|pending| &mut **pending);
        let (Some(stateless), Some(Pending { method, params: Some(params), rounds, sent_as })) =
            (&self.stateless, pending)
        else {
            return Err(Error::protocol(
                "the server asks for input in a result of a method other than tools/call, prompts/get and resources/read",
            ));
        };
        *rounds += 1;
        if *rounds > self.options.rounds_max {
            return Err(Error::Protocol(format!(
                "the server asked for input more than {} times in one call; raise rounds_max to allow more",
                self.options.rounds_max
            )));
        }
        let mut answers = Vec::new();
        for (key, method, params) in &questions.list {
            let result = answer(&mut self.options.on_request, method, *params).map_err(|error| {
                let method = shown(method.as_bytes());
                Error::Invalid(format!(
                    "the server asks for `{method}`, which on_request did not answer: {error}"
                ))
            })?;
            answers.push((key.clone(), result));
        }
        let (params, fields) = stateless.retry(method, params, &questions, &answers)?;
        self.last_id += 1;
        *sent_as = Id::Int(self.last_id);
        let (retry, method) = (sent_as.clone(), method.clone());
        self.post_request(&retry, &method, &params, &fields)?;
        let mut asked = questions.list.into_iter().map(|(_, method, _)| Received::Request { method });
        let first = asked.next();
        self.events.extend(asked);
        Ok(first)
    }
}

/// Returns the id of a request of this client, also from a server that keeps ids as text.
pub(super) fn own_id(id: IdRef<'_>) -> Id {
    id.as_int().map_or_else(|| id.into_owned(), Id::Int)
}

fn parsed<'t>(text: &'t str, limits: &Limits, tape: &'t mut Tape) -> Result<Message<'t>, Error> {
    jsonrpc::parse(text.as_bytes(), limits, tape)
        .map_err(|rejected| Error::Protocol(format!("the server sent an invalid message: {rejected}")))
}

/// Returns the outcome in a text that can be nothing but the answer to this request.
fn sole_answer(text: &str, id: &Id, limits: &Limits) -> Outcome {
    match parsed(text, limits, &mut Tape::new())? {
        Message::Response(response @ Response { id: None, outcome: Err(_) }) => outcome(&response),
        Message::Response(response) if response.id.clone().map(own_id).as_ref() == Some(id) => {
            outcome(&response)
        }
        _ => Err(Error::Protocol(format!(
            "the server answered the request with the id {} with a message that is not its response",
            shown_id(id)
        ))),
    }
}

fn outcome(response: &Response<'_>) -> Outcome {
    response.outcome.map(JsonRef::to_raw).map_err(|error| match jsonrpc::Error::read(error) {
        Ok(error) => Error::Rpc(error),
        Err(error) => Error::Protocol(format!("the server sent an invalid error object: {error}")),
    })
}

/// Returns the result for a request of the server.
fn answer(
    handler: &mut Option<OnRequest>,
    method: &str,
    params: Option<JsonRef<'_>>,
) -> Result<String, jsonrpc::Error> {
    let result = match handler {
        _ if method == "ping" => return Ok("{}".to_owned()),
        Some(handler) => handler(method, params)?,
        None => return Err(jsonrpc::Error::method_not_found(method)),
    };
    match Tape::new().read(&result) {
        Ok(_) => Ok(result),
        Err(error) => Err(jsonrpc::Error::internal(format_args!("the client's result is not JSON: {error}"))),
    }
}
