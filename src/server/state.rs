//! State that a server's handlers share without a lock.
//!
//! *Scope:* [`State`], the values behind it, and the check that handlers take the types that the server has. *Not in scope:* the
//! setters of servers with a state (`stateful`), and handlers (`handler`).
//!
//! The types are in [`Server<State<S, B>>`](State), where the compiler checks them, and nowhere else: the registry has values of
//! any type, so that what runs a server is compiled once. An [`Item`](crate::Item) is checked when it is offered.

use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// The type of a [`Server`](crate::Server) whose handlers share a state: `Server<State<S>>` is made by
/// [`Server::with_state`](crate::Server::with_state), and `Server<State<S, B>>` by
/// [`Server::shared_state`](crate::Server::shared_state). There are no values of this type.
///
/// A handler on the loop's thread gets `&mut S` as its first argument, and needs no lock, since handlers run one at a time there. A
/// blocking one gets `&B`, because several run at once.
///
/// ```
/// use mcp_rill::{Call, Server, State, schema};
/// schema! { struct Add { text: String } }
/// #[derive(Default)]
/// struct Notes { texts: Vec<String> }
/// impl Notes {
///     fn add(&mut self, Add { text }: Add, _: &mut Call) -> usize {
///         self.texts.push(text);
///         self.texts.len()
///     }
/// }
/// fn server(notes: Notes) -> Server<State<Notes>> {
///     Server::with_state("notes", "1.0.0", notes).tool("add", "Add a note", Notes::add)
/// }
/// ```
pub struct State<S, B = ()>(PhantomData<fn(S, B)>);

impl<S, B> fmt::Debug for State<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}

/// The state of the handlers on the loop's thread.
pub(crate) type Own = dyn Any + Send;
/// The state of blocking handlers.
pub(crate) type Shared = dyn Any + Send + Sync;

/// A server's states. `()` stands for none.
pub(crate) struct States {
    pub(crate) own: Box<Own>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) types: StateTypes,
}

impl Default for States {
    fn default() -> States {
        States { own: Box::new(()), shared: Arc::new(()), types: StateTypes::default() }
    }
}

impl States {
    pub(crate) fn set_own<S: Send + 'static>(&mut self, own: S) {
        (self.own, self.types.own) = (Box::new(own), StateType::of::<S>());
    }

    pub(crate) fn set_shared<B: Send + Sync + 'static>(&mut self, shared: Arc<B>) {
        (self.shared, self.types.shared) = (shared, StateType::of::<B>());
    }

    /// Takes the states that the others have, and keeps those that they lack.
    pub(crate) fn replace(&mut self, others: States) {
        let none = StateType::of::<()>();
        if others.types.own != none {
            (self.own, self.types.own) = (others.own, others.types.own);
        }
        if others.types.shared != none {
            (self.shared, self.types.shared) = (others.shared, others.types.shared);
        }
    }
}

/// The types of a server's states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StateTypes {
    pub(crate) own: StateType,
    pub(crate) shared: StateType,
}

impl Default for StateTypes {
    fn default() -> StateTypes {
        StateTypes { own: StateType::of::<()>(), shared: StateType::of::<()>() }
    }
}

impl StateTypes {
    /// Checks that another server's states may take the place of these.
    ///
    /// # Errors
    /// A sentence that names both types.
    pub(crate) fn check_replacement(&self, others: &StateTypes) -> Result<(), String> {
        let none = StateType::of::<()>();
        let pairs = [("state", self.own, others.own), ("shared state", self.shared, others.shared)];
        match pairs.into_iter().find(|(_, before, after)| *after != none && before != after) {
            None => Ok(()),
            Some((which, before, after)) => Err(format!(
                "its {which} is `{}`, and that of the running server {}",
                after.name,
                before.or_none()
            )),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct StateType {
    id: TypeId,
    name: &'static str,
}

impl StateType {
    pub(crate) fn of<T: 'static>() -> StateType {
        StateType { id: TypeId::of::<T>(), name: type_name::<T>() }
    }

    /// What the state of a server is, for a sentence.
    pub(crate) fn or_none(self) -> String {
        if self == StateType::of::<()>() { "is missing".to_owned() } else { format!("is `{}`", self.name) }
    }

    pub(crate) fn name(self) -> &'static str {
        self.name
    }
}

impl PartialEq for StateType {
    fn eq(&self, other: &StateType) -> bool {
        self.id == other.id
    }
}

impl Eq for StateType {}

/// What a handler takes besides its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Takes {
    Nothing,
    Own(StateType),
    Shared(StateType),
}

impl Takes {
    /// Checks that a server with these states has it.
    ///
    /// # Errors
    /// The end of a sentence about the handler.
    pub(crate) fn check(self, types: &StateTypes) -> Result<(), String> {
        let (which, wanted, there, how) = match self {
            Takes::Nothing => return Ok(()),
            Takes::Own(wanted) => ("state", wanted, types.own, "Server::with_state"),
            Takes::Shared(wanted) => ("shared state", wanted, types.shared, "Server::shared_state"),
        };
        match wanted == there {
            true => Ok(()),
            false => Err(format!(
                "takes the {which} `{}`, and that of the server {} (`{how}` sets it)",
                wanted.name,
                there.or_none()
            )),
        }
    }
}
