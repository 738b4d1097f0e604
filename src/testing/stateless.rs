//! A client of 2026-07-28.
//!
//! *Scope:* what each request says, questions in results, and `subscriptions/listen`. *Not in scope:* how messages travel.

use serde_json::{Value, json};

use crate::json::tape::Tape;
use crate::json::value::Members;
use crate::jsonrpc::Error;
use crate::protocol::meta_names::{CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL, PROTOCOL_VERSION};
use crate::protocol::routing::{Params, fields};
use crate::testing::answers::{Question, result_of};
use crate::testing::client::Client;
use crate::testing::response::Failure;
use crate::testing::shared::Shared;

impl Client {
    /// Adds what every request says, and returns the header fields that repeat some of it.
    pub(super) fn complete_request(&mut self, method: &str, params: &mut Value) -> String {
        let meta = &mut params["_meta"];
        meta[PROTOCOL_VERSION] = json!(self.way.revision.name());
        meta[CLIENT_INFO] = json!({"name": "harness", "version": "1"});
        meta[CLIENT_CAPABILITIES] = self.capabilities.clone();
        meta[LOG_LEVEL] = json!("debug");
        let (text, mut tape) = (params.to_string(), Tape::new());
        let members = tape.read(&text).ok().and_then(|params| Members::of(params).ok()).unwrap_or_default();
        let none = Params::default();
        fields(self.way.revision.name(), method, &members, self.annotated.as_ref().unwrap_or(&none))
    }

    /// Notes which arguments of these tools travel in header fields.
    pub(super) fn learn_annotations(&mut self, tools: &[Value]) {
        let raw = |tool| serde_json::value::to_raw_value(tool).ok();
        let mut known = Params::default();
        known.learn(&mut tools.iter().filter_map(raw).collect());
        self.annotated = Some(known);
    }

    /// The result asks something: the client calls again with the answers.
    pub(super) fn answer_in_request(&mut self, shared: &mut Shared, id: i64, result: &Value) {
        let mut answers = json!({});
        let asked = result["inputRequests"].as_object().into_iter().flatten();
        for (key, request) in asked {
            let method = request["method"].as_str().unwrap_or_default();
            let question = Question::new(Some(key), method, request.get("params"));
            let answer = self.answer_to(&question);
            if let Some(open) = self.open.get_mut(&id) {
                open.questions.push(question.clone());
            }
            let Some(answer) = answer else {
                // What still comes on the connection of this round is no answer any more.
                let next = self.next_id();
                if let Some(open) = self.open.get_mut(&id) {
                    open.sent_as = next;
                }
                return self.note_unanswered(id, question);
            };
            match result_of(&question, &answer) {
                Some(Ok(answer)) => answers[key] = answer,
                Some(Err(Error { code, message, .. })) => {
                    let why = format!(
                        "asked for {question}; the client failed ({code}: {message}) and did not call again"
                    );
                    return self.finish(shared, id, Err(Failure::Unanswered(why)));
                }
                None => {
                    let why =
                        format!("asked for {question}; the client did not answer, so it did not call again");
                    return self.finish(shared, id, Err(Failure::Unanswered(why)));
                }
            }
        }
        let next = self.next_id();
        if let Some(open) = self.open.get_mut(&id) {
            open.sent_as = next;
        }
        let mut more = vec![("inputResponses", answers)];
        if let Some(state) = result.get("requestState") {
            more.push(("requestState", state.clone()));
        }
        self.send_request(shared, id, &more);
    }

    /// Asks for notifications, in the place of what was asked for before. Returns the number of the request.
    pub(super) fn listen(&mut self, shared: &mut Shared) -> i64 {
        if let Some(before) = self.listening.id.take() {
            self.cancel(shared, before);
        }
        self.listening.promised = None;
        // The number is known before the answer comes.
        self.listening.id = Some(self.last_id() + 1);
        let filter = json!({
            "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true,
            "resourceSubscriptions": self.listening.uris,
        });
        let what = "the request for notifications".to_owned();
        self.request(shared, what, "subscriptions/listen", json!({"notifications": filter}))
    }
}
