//! Who sees which item.
//!
//! *Scope:* the closures that decide it, what they get, and which clients several of them include. *Not in scope:* the setters of
//! descriptions (`visible`), and the lookups and lists that leave out what a client does not see (`items`).

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::access::peer::Principal;
use crate::protocol::panics::guarded;

/// A client, as the closure of [`Tool::visible`](crate::Tool::visible) sees it.
///
/// The connection is not part of it: what a client sees is decided for its announcements too, also while it has none. A
/// listener that knows more of a peer, such as its user id, can say so in [`Peer::principal`](crate::Peer::principal).
///
/// ```
/// use mcp_rill::Viewer;
/// fn is_admin(viewer: &Viewer<'_>) -> bool {
///     viewer.principal().is_some_and(|principal| principal.name() == "admin")
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Viewer<'a> {
    pub(crate) principal: Option<&'a Principal>,
    pub(crate) session_id: Option<Uuid>,
}

impl Viewer<'_> {
    /// Who it is, where peers are authenticated.
    pub fn principal(&self) -> Option<&Principal> {
        self.principal
    }

    /// Its session's id, as [`Call::session_id`](crate::Call::session_id): for items that appear during a session.
    ///
    /// ```
    /// use std::collections::BTreeSet;
    /// use std::sync::{Arc, Mutex};
    /// use mcp_rill::{Server, Tool};
    /// let unlocked = Arc::new(Mutex::new(BTreeSet::new()));
    /// let sessions = unlocked.clone();
    /// let erase = Tool::new("erase", "Erase everything")
    ///     .visible(move |viewer| viewer.session_id().is_some_and(|id| sessions.lock().unwrap().contains(&id)));
    /// let server = Server::new("disk", "1.0.0")
    ///     .offer(erase.handler(|(), _| "erased"))
    ///     .tool("unlock", "Allow dangerous tools", move |(), call| {
    ///         unlocked.lock().unwrap().extend(call.session_id());
    ///         call.handle().tools_changed();
    ///     });
    /// ```
    pub fn session_id(&self) -> Option<String> {
        self.session_id.map(|id| id.to_string())
    }
}

/// Without the session's id: with it anybody can post into the session.
impl fmt::Debug for Viewer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Viewer").field("principal", &self.principal).finish_non_exhaustive()
    }
}

/// The closure that decides who sees an item.
#[derive(Clone)]
pub(crate) struct Visible(Arc<dyn Fn(&Viewer<'_>) -> bool + Send + Sync>);

impl Visible {
    pub(crate) fn new(visible: impl Fn(&Viewer<'_>) -> bool + Send + Sync + 'static) -> Visible {
        Visible(Arc::new(visible))
    }

    /// Asks the closure. A panic counts as a no.
    pub(crate) fn to(&self, viewer: &Viewer<'_>) -> bool {
        guarded("visible", "", || Ok((self.0)(viewer))).unwrap_or(false)
    }
}

impl fmt::Debug for Visible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Visible")
    }
}

impl PartialEq for Visible {
    fn eq(&self, other: &Visible) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The clients that see at least one of some items, or for which one of them has appeared or disappeared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Viewers {
    all: bool,
    some: Vec<Seen>,
}

#[derive(Clone, Debug)]
enum Seen {
    /// By those who see the item.
    Item(Visible),
    /// By this principal.
    Principal(Principal),
    /// By those who see one of the two and not the other: the same item before and after.
    Turn(Option<Visible>, Option<Visible>),
}

impl Viewers {
    pub(crate) const ALL: Viewers = Viewers { all: true, some: Vec::new() };

    /// Adds the clients that see an item: all of them if nothing restricts it.
    pub(crate) fn add(&mut self, visible: Option<&Visible>) {
        self.all |= visible.is_none();
        self.some.extend(visible.cloned().map(Seen::Item));
    }

    /// Adds the clients for which an item is another than before; `is_same` if its description is the same.
    pub(crate) fn add_replaced(&mut self, before: Option<&Visible>, after: Option<&Visible>, is_same: bool) {
        if !is_same {
            self.add(before);
            self.add(after);
        } else if before != after {
            self.some.push(Seen::Turn(before.cloned(), after.cloned()));
        }
    }

    /// Adds the clients of a principal.
    pub(crate) fn add_principal(&mut self, principal: Principal) {
        self.some.push(Seen::Principal(principal));
    }

    pub(crate) fn extend(&mut self, others: Viewers) {
        self.all |= others.all;
        self.some.extend(others.some);
    }

    /// True if no item was added.
    pub(crate) fn is_empty(&self) -> bool {
        !self.all && self.some.is_empty()
    }

    pub(crate) fn are_all(&self) -> bool {
        self.all
    }

    pub(crate) fn include(&self, viewer: &Viewer<'_>) -> bool {
        let sees = |visible: &Option<Visible>| visible.as_ref().is_none_or(|visible| visible.to(viewer));
        let concerns = |seen: &Seen| match seen {
            Seen::Item(visible) => visible.to(viewer),
            Seen::Principal(principal) => viewer.principal == Some(principal),
            Seen::Turn(before, after) => sees(before) != sees(after),
        };
        self.all || self.some.iter().any(concerns)
    }
}
