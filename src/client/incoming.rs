//! What comes from the server, and what a client does about it by itself.
//!
//! *Scope:* which answer is whose, answering the server's requests, and the questions that come as results.
//! *Not in scope:* how messages travel.

use std::time::Instant;

use serde_json::value::RawValue;

use crate::client::carrier::{Arrival, RequestDefaults};
use crate::client::connection::after;
use crate::client::error::Error;
use crate::client::stateless::{Call, Questions};
use crate::client::streamable::own_id;
use crate::client::{Client, Handlers, Outcome, Received};
use crate::jsonrpc::id::Id;
use crate::jsonrpc::json::write_raw;
use crate::jsonrpc::{self, Message, Response};
use crate::protocol::revision::Revision;
use crate::text::shown;

impl Client {
    /// Takes one message that concerns somebody, and does what it asks for.
    pub(super) fn receive(&mut self, deadline: Instant, awaited: Option<&Id>) -> Result<Received, Error> {
        loop {
            let awaited = awaited.map(|id| self.on_its_way(id).clone());
            let received = match self.carrier.receive(deadline, awaited.as_ref())? {
                Arrival::Message(text, None) => self.message(&text)?,
                Arrival::Message(text, Some(id)) => {
                    let outcome = sole_answer(&text, &id, &self.defaults);
                    self.answered(id, outcome)
                }
                Arrival::Failed(id, error) => self.answered(id, Err(error)),
            };
            if let Some(received) = received {
                return Ok(received);
            }
        }
    }

    fn message(&mut self, text: &str) -> Result<Option<Received>, Error> {
        match parsed(text, &self.defaults)? {
            Message::Response(response) => {
                let outcome = outcome(&response)?;
                match (response.id.map(own_id), outcome) {
                    (Some(id), outcome) => Ok(self.answered(id, outcome)),
                    (None, Err(error)) => {
                        Err(Error::Protocol(format!("the server reports an error: {error}")))
                    }
                    (None, Ok(_)) => Ok(None),
                }
            }
            // There is no way to answer it (MCP 2026-07-28, basic, "Messages").
            Message::Request(request) if self.stateless.is_some() => Err(Error::Protocol(format!(
                "the server sent the request `{}`, which {} has no room for",
                shown(request.method.as_bytes()),
                Revision::NEWEST
            ))),
            Message::Request(request) => {
                let mut reply = Vec::new();
                match answer(&mut self.handlers, &request.method, request.params) {
                    Ok(result) => {
                        jsonrpc::write_result(&mut reply, &request.id, |out| {
                            write_raw(out, &result);
                        });
                    }
                    Err(error) => jsonrpc::write_error(&mut reply, Some((&request.id).into()), &error),
                }
                self.post(&reply, after(self.request_timeout))?;
                Ok(Some(Received::Request { method: request.method.into_owned() }))
            }
            Message::Notification(notification) => {
                if let Some(handler) = &mut self.handlers.notification {
                    handler(&notification.method, notification.params);
                }
                let params = notification.params.map(ToOwned::to_owned);
                Ok(Some(Received::Notification { method: notification.method.into_owned(), params }))
            }
        }
    }

    /// The answer to a request on its way; `None` if nobody has to hear of it.
    fn answered(&mut self, id: Id, outcome: Outcome) -> Option<Received> {
        self.carrier.forget(&id);
        let call = self.stateless.as_mut().and_then(|stateless| stateless.take(&id));
        let caller = call.as_ref().map_or(id, |call| call.caller.clone());
        // Else it was given up, and this comes late.
        if !matches!(self.open.get(&caller), Some(None)) {
            return None;
        }
        let outcome = match outcome {
            Ok(result) if self.stateless.is_some() => match self.ask_back(call, &result) {
                Ok(true) => return self.events.pop_front(),
                Ok(false) => Ok(result),
                Err(error) => Err(error),
            },
            outcome => outcome,
        };
        if self.subscription.as_ref() == Some(&caller) {
            (self.subscription, _) = (None, self.open.remove(&caller));
            return Some(Received::Unsubscribed);
        }
        Some(Received::Answer { id: caller, outcome })
    }

    /// Answers the questions of a result, if it has any, by sending the call again with them.
    fn ask_back(&mut self, call: Option<Call>, result: &RawValue) -> Result<bool, Error> {
        let Some(questions) = Questions::of(result)? else { return Ok(false) };
        let Some(call) = call else {
            let text =
                "the server wants input for a request other than tools/call, prompts/get and resources/read";
            return Err(Error::Protocol(text.to_owned()));
        };
        if call.rounds >= self.rounds_max {
            return Err(Error::Protocol(format!(
                "the server asked more than {} times in one call; raise rounds_max to go on",
                self.rounds_max
            )));
        }
        let mut answers = Vec::new();
        for (key, method, params) in &questions.list {
            let result = answer(&mut self.handlers, method, *params).map_err(|error| {
                let method = shown(method.as_bytes());
                Error::Invalid(format!(
                    "the server asks for `{method}`, and on_request does not answer: {error}"
                ))
            })?;
            answers.push((key.clone(), result));
        }
        let (id, method) = (self.next_id(), call.method.clone());
        let Some(stateless) = &mut self.stateless else { return Ok(false) };
        let (params, fields) = stateless.retry(call, &id, &questions, &answers)?;
        self.post_request(&id, &method, Some(&params), &fields)?;
        let told = questions.list.into_iter().map(|(_, method, _)| Received::Request { method });
        self.events.extend(told);
        Ok(true)
    }
}

fn parsed<'t>(text: &'t str, defaults: &RequestDefaults) -> Result<Message<'t>, Error> {
    jsonrpc::parse(text.as_bytes(), &defaults.limits)
        .map_err(|rejected| Error::Protocol(format!("the server sent no message of MCP: {rejected}")))
}

/// The outcome in a text that can be nothing but the answer to this request.
fn sole_answer(text: &str, id: &Id, defaults: &RequestDefaults) -> Outcome {
    match parsed(text, defaults)? {
        Message::Response(response) if response.id.clone().map(own_id).as_ref() == Some(id) => {
            outcome(&response)?
        }
        Message::Response(Response { id: None, outcome: Err(error) }) => {
            Err(Error::Rpc(jsonrpc::Error::read(error).unwrap_or_else(|error| error)))
        }
        _ => Err(Error::Protocol(format!(
            "the server answered the request with the id {id:?} with a message that is not its response"
        ))),
    }
}

fn outcome(response: &Response<'_>) -> Result<Outcome, Error> {
    match response.outcome {
        Ok(result) => Ok(Ok(result.to_owned())),
        Err(error) => match jsonrpc::Error::read(error) {
            Ok(error) => Ok(Err(Error::Rpc(error))),
            Err(error) => Err(Error::Protocol(format!("the server sent an error that is none: {error}"))),
        },
    }
}

/// The answer to a request of the server's.
fn answer(
    handlers: &mut Handlers,
    method: &str,
    params: Option<&RawValue>,
) -> Result<String, jsonrpc::Error> {
    let result = match &mut handlers.request {
        _ if method == "ping" => return Ok("{}".to_owned()),
        Some(handler) => handler(method, params)?,
        None => return Err(jsonrpc::Error::method_not_found(method)),
    };
    match serde_json::from_str::<&RawValue>(&result) {
        Ok(_) => Ok(result),
        Err(error) => Err(jsonrpc::Error::internal(format_args!("the client's result is not JSON: {error}"))),
    }
}
