//! Requests that get no answer.
//!
//! *Scope:* what is known about one, in words. *Not in scope:* waiting (`harness`).

use std::time::Duration;

use crate::server::stats::Stats;
use crate::testing::answers::Question;
use crate::testing::client::Client;
use crate::testing::response::{Failure, shown};
use crate::testing::shared::Shared;

/// How much virtual time a call may take that nothing finishes.
pub(super) const HANG_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Why waiting has ended in vain.
pub(super) enum Stuck {
    /// Nothing came within the patience.
    Silent,
    /// The request waits for an answer that the test does not give.
    Asked(Question),
}

impl Stuck {
    /// Ends a request that gets no answer, with what is known about it.
    pub(super) fn explain(self, id: i64, client: &mut Client, shared: &mut Shared) {
        let why = match self {
            Stuck::Asked(question) => {
                format!(
                    "asks the client, and {}\n  the question: {}",
                    question.advice(),
                    shown(&question.to_string())
                )
            }
            Stuck::Silent => {
                let Stats { workers_busy, .. } = shared.sockets.engine.stats();
                let patience = shared.patience;
                let where_it_is = match workers_busy {
                    0 => {
                        "no handler is running, so it was deferred, and its `Reply` is still held somewhere: finish or drop it, or \
                         let virtual time pass by `start`, `advance` and `wait`"
                    }
                    _ => "its handler, or another one, is still running on a worker thread",
                };
                let gave_up = gives_up(id, client, shared);
                format!(
                    "was not answered within {patience:?} of real time (`patience`); {where_it_is}.\n  {gave_up}"
                )
            }
        };
        client.finish(shared, id, Err(Failure::Unanswered(why)));
    }
}

/// Lets virtual time pass until the server gives a call up, and says how that ends.
fn gives_up(id: i64, client: &mut Client, shared: &mut Shared) -> String {
    let mut passed = Duration::ZERO;
    while passed < HANG_MAX {
        let Some(time) = shared.advance_to_deadline() else { break };
        passed += time;
        client.settle(shared);
        if let Some(response) = client.take_response(id) {
            let what = response.to_string();
            client.reopen(id, response);
            return format!("after {passed:?} of virtual time the server gave it up: {what}");
        }
    }
    format!("the server has not given it up after {passed:?} of virtual time either")
}
