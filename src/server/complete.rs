//! Completion of arguments while the user types (MCP completion).
//!
//! *Scope:* [`Completer`], and what it gets. *Not in scope:* the request on the wire and its result (`completion`).

use crate::access::peer::Principal;
use crate::server::state::Own;

/// The schema allows no more values in one result.
pub(crate) const VALUES_MAX: usize = 100;

/// The item whose argument is completed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Completed {
    Prompt(String),
    /// In normal form.
    Template(String),
}

/// What the user has typed so far, for a [`Completer`].
///
/// ```
/// let by_country = |partial: &mcp_rill::CompletionRequest| match partial.other("country") {
///     Some("de") => vec![format!("{}burg", partial.value())],
///     _ => vec![],
/// };
/// let server = mcp_rill::Server::new("maps", "1.0.0")
///     .template("map:///{country}/{town}", "map", |_, _| "a map")
///     .complete_template("map:///{country}/{town}", "town", by_country);
/// ```
#[derive(Debug)]
pub struct CompletionRequest<'a> {
    pub(crate) value: &'a str,
    pub(crate) others: &'a [(String, String)],
    pub(crate) principal: Option<&'a Principal>,
}

impl CompletionRequest<'_> {
    /// The beginning of the argument's value.
    pub fn value(&self) -> &str {
        self.value
    }

    /// The value of another argument, if it is known already (since 2025-06-18).
    pub fn other(&self, name: &str) -> Option<&str> {
        self.others.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Who is asking, where peers are authenticated. Completions can reveal things that not everybody may read.
    ///
    /// ```
    /// # use mcp_rill::{CompletionRequest, Server};
    /// let server = Server::new("notes", "1.0.0")
    ///     .template("note:///{owner}/{id}", "note", |_, _| "a note")
    ///     .complete_template("note:///{owner}/{id}", "owner", |partial: &CompletionRequest| {
    ///         partial.principal().map(|principal| principal.name().to_owned()).into_iter().collect()
    ///     });
    /// ```
    pub fn principal(&self) -> Option<&Principal> {
        self.principal
    }
}

/// Completes an argument: from a list, of which those values are offered that begin with what was typed (ASCII letters match
/// in any case), or by a closure, whose values are offered as they are.
///
/// ```
/// use mcp_rill::{Completer, CompletionRequest, Server};
/// struct Words(Vec<String>);
/// impl Completer for Words {
///     fn complete(&mut self, partial: &CompletionRequest<'_>) -> Vec<String> {
///         self.0.iter().filter(|word| word.contains(partial.value())).cloned().collect()
///     }
/// }
/// let server = Server::new("dictionary", "1.0.0")
///     .template("word:///{word}", "word", |_, _| "its meaning")
///     .complete_template("word:///{word}", "word", Words(vec!["brook".into(), "rill".into()]));
/// ```
pub trait Completer: Send {
    /// Returns all values that fit. The client gets the first 100, and how many there are.
    fn complete(&mut self, partial: &CompletionRequest<'_>) -> Vec<String>;
}

/// A completer as the registry keeps it: it gets the server's state.
pub(crate) type Completing = dyn FnMut(&mut Own, &CompletionRequest<'_>) -> Vec<String> + Send;

/// Makes one of a completer that takes no state.
pub(crate) fn completing(mut completer: impl Completer + 'static) -> Box<Completing> {
    Box::new(move |_, partial| completer.complete(partial))
}

impl<F: FnMut(&CompletionRequest<'_>) -> Vec<String> + Send> Completer for F {
    fn complete(&mut self, partial: &CompletionRequest<'_>) -> Vec<String> {
        self(partial)
    }
}

impl<const N: usize> Completer for [&'static str; N] {
    fn complete(&mut self, partial: &CompletionRequest<'_>) -> Vec<String> {
        beginning_with(self.iter().copied(), partial)
    }
}

impl Completer for Vec<String> {
    fn complete(&mut self, partial: &CompletionRequest<'_>) -> Vec<String> {
        beginning_with(self.iter().map(String::as_str), partial)
    }
}

fn beginning_with<'a>(values: impl Iterator<Item = &'a str>, partial: &CompletionRequest<'_>) -> Vec<String> {
    let typed = partial.value;
    let begins =
        |value: &&str| value.get(..typed.len()).is_some_and(|start| start.eq_ignore_ascii_case(typed));
    values.filter(begins).map(str::to_owned).collect()
}
