//! Authorization that is answered later.
//!
//! *Scope:* [`Admission`], by which the hook of [`Server::authorize_later`](crate::Server::authorize_later) answers. *Not in scope:* the
//! requests that wait for it (the engine's `auth`).
//!
//! ```text
//!  hook(request, admission) ─┬─ admit, deny before it returns ──▶ served, or refused, at once
//!                            └─ kept, or sent to a thread ──▶ the request waits ─┬─ admit, deny, drop ──▶ the same
//!                                                                                └─ authorize_timeout ──▶ 503
//! ```

use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use crate::access::auth::hook::{Authorize, Denied, HttpRequest, check_single};
use crate::access::peer::{Peer, Principal};
use crate::http::head::Head;
use crate::server::mailbox::Mailbox;

/// What a hook decides about a request.
pub(crate) type Verdict = Result<Principal, Denied>;

/// The hook that authorizes requests.
pub(crate) enum AuthorizeHook {
    Now(Authorize),
    Later(AuthorizeLater),
}

pub(crate) type AuthorizeLater = Box<dyn FnMut(&HttpRequest<'_>, Admission) + Send>;

/// Answers one request for authorization, at once or later, from any thread. Dropping it refuses the request with 500.
///
/// ```
/// use mcp_rill::{Admission, Denied, Principal};
/// fn answer(admission: Admission, introspected: Result<Option<String>, std::io::Error>) {
///     match introspected {
///         Ok(Some(user)) => admission.admit(Principal::new(user)),
///         Ok(None) => admission.deny(Denied::invalid_token("the token is not active")),
///         Err(_) => drop(admission), // the token may be valid: the client keeps it, and tries again
///     }
/// }
/// ```
#[must_use = "dropping it refuses the request with 500"]
pub struct Admission {
    number: u64,
    state: Arc<Mutex<State>>,
    mailbox: Arc<Mailbox>,
}

/// How far the answer is.
enum State {
    /// The hook has not returned.
    Asking,
    Answered(Verdict),
    /// The hook has returned without an answer: it goes to the mailbox.
    Waiting,
    /// It is known.
    Over,
}

impl Admission {
    /// Admits the request: it is this principal's.
    pub fn admit(self, principal: Principal) {
        self.answer(Ok(principal));
    }

    /// Refuses the request.
    pub fn deny(self, denied: Denied) {
        self.answer(Err(denied));
    }

    /// True while its request waits. It no longer does when its time is over, and when it was refused because too many wait: look
    /// before work that takes long.
    pub fn is_wanted(&self) -> bool {
        !matches!(*self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Over)
    }

    fn answer(&self, verdict: Verdict) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match mem::replace(&mut *state, State::Over) {
            State::Asking => *state = State::Answered(verdict),
            State::Waiting => {
                drop(state);
                self.mailbox.ask_engine(|mail| mail.admissions.push((self.number, verdict)));
            }
            known => *state = known,
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.answer(Err(Denied::failed()));
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("number", &self.number).finish_non_exhaustive()
    }
}

/// What the engine keeps of a question without an answer.
pub(crate) struct Unanswered(Arc<Mutex<State>>);

impl Unanswered {
    /// The answer is not wanted any more.
    pub(crate) fn give_up(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::Over;
    }
}

/// Calls the hook, and returns its answer if it has one already.
///
/// # Errors
/// It has none yet: that comes through the mailbox under this number. A panic of the hook is caught and denies the request, unless it
/// has passed the admission on.
pub(crate) fn ask_later(
    hook: &mut AuthorizeLater,
    head: &Head<'_>,
    peer: &Peer,
    number: u64,
    mailbox: &Arc<Mailbox>,
) -> Result<Verdict, Unanswered> {
    if let Err(denied) = check_single(head) {
        return Ok(Err(denied));
    }
    let state = Arc::new(Mutex::new(State::Asking));
    let admission = Admission { number, state: state.clone(), mailbox: mailbox.clone() };
    let _ = catch_unwind(AssertUnwindSafe(|| hook(&HttpRequest::new(head, peer), admission)));
    let before = mem::replace(&mut *state.lock().unwrap_or_else(PoisonError::into_inner), State::Waiting);
    match before {
        State::Answered(verdict) => Ok(verdict),
        _ => Err(Unanswered(state)),
    }
}
