//! Completion of arguments while the user types (MCP completion).
//!
//! *Scope:* what completes an argument, and the result. *Not in scope:* which arguments there are.

use serde_json::value::RawValue;

use crate::jsonrpc::{Array, Error, Members, Object, string};
use crate::mcp::handlers::guarded;
use crate::mcp::server::Registry;
use crate::mcp::uri::{normalize, normalize_template};
use crate::mcp::{Principal, Revision};

/// A client shows no more, and the schema allows no more.
const VALUES_MAX: usize = 100;

/// What an argument belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Completed {
    Prompt(String),
    /// In normal form.
    Template(String),
}

/// What the user has typed so far: what a [`Completer`] works from.
///
/// ```
/// let by_country = |partial: &mcp_rill::Partial| match partial.other("country") {
///     Some("de") => vec![format!("{}burg", partial.value())],
///     _ => vec![],
/// };
/// let server = mcp_rill::Server::new("maps", "1.0.0")
///     .template("map:///{country}/{town}", "map", |_, _| "a map")
///     .complete_template("map:///{country}/{town}", "town", by_country);
/// ```
#[derive(Debug)]
pub struct Partial<'a> {
    value: &'a str,
    others: &'a [(String, String)],
    principal: Option<&'a Principal>,
}

impl Partial<'_> {
    /// The beginning of the argument's value.
    pub fn value(&self) -> &str {
        self.value
    }

    /// The value of another argument, if it is known already (since 2025-06-18).
    pub fn other(&self, name: &str) -> Option<&str> {
        self.others.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Who is asking, where peers are authenticated: of what somebody may not read the completions tell, too.
    ///
    /// ```
    /// # use mcp_rill::{Partial, Server};
    /// let server = Server::new("notes", "1.0.0")
    ///     .template("note:///{owner}/{id}", "note", |_, _| "a note")
    ///     .complete_template("note:///{owner}/{id}", "owner", |partial: &Partial| {
    ///         partial.principal().map(|principal| principal.name().to_owned()).into_iter().collect()
    ///     });
    /// ```
    pub fn principal(&self) -> Option<&Principal> {
        self.principal
    }
}

/// What completes an argument: a list of values, of which those are offered that begin with what was typed, in any
/// case of ASCII letters; or a closure, whose values are offered as they are.
///
/// ```
/// use mcp_rill::{Completer, Partial, Server};
/// struct Words(Vec<String>);
/// impl Completer for Words {
///     fn complete(&mut self, partial: &Partial<'_>) -> Vec<String> {
///         self.0.iter().filter(|word| word.contains(partial.value())).cloned().collect()
///     }
/// }
/// let server = Server::new("dictionary", "1.0.0")
///     .template("word:///{word}", "word", |_, _| "its meaning")
///     .complete_template("word:///{word}", "word", Words(vec!["brook".into(), "rill".into()]));
/// ```
pub trait Completer: Send {
    /// All values that fit; the client gets the first 100 and their number.
    fn complete(&mut self, partial: &Partial<'_>) -> Vec<String>;
}

impl<F: FnMut(&Partial<'_>) -> Vec<String> + Send> Completer for F {
    fn complete(&mut self, partial: &Partial<'_>) -> Vec<String> {
        self(partial)
    }
}

impl<const N: usize> Completer for [&'static str; N] {
    fn complete(&mut self, partial: &Partial<'_>) -> Vec<String> {
        beginning_with(self.iter().copied(), partial)
    }
}

impl Completer for Vec<String> {
    fn complete(&mut self, partial: &Partial<'_>) -> Vec<String> {
        beginning_with(self.iter().map(String::as_str), partial)
    }
}

fn beginning_with<'a>(values: impl Iterator<Item = &'a str>, partial: &Partial<'_>) -> Vec<String> {
    let typed = partial.value;
    let begins =
        |value: &&str| value.get(..typed.len()).is_some_and(|start| start.eq_ignore_ascii_case(typed));
    values.filter(begins).map(str::to_owned).collect()
}

/// Answers `completion/complete`.
///
/// # Errors
/// −32602 for parameters that are not right, and for a prompt, resource or template that does not exist; −32603 if the
/// completer panics. An argument that nothing completes has no values.
pub(crate) fn complete<'p>(
    registry: &mut Registry,
    params: Option<&'p RawValue>,
    principal: Option<&Principal>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let missing = |name: &str| Error::invalid_params(format_args!("`{name}` is missing or not a string"));
    let needed = |name: &str| Error::invalid_params(format_args!("`{name}` is missing"));
    let params = Members::of(params.ok_or_else(|| needed("ref"))?)?;
    let completed = read_reference(registry, params.get("ref").ok_or_else(|| needed("ref"))?)?;
    let argument = Members::of_member(params.get("argument").ok_or_else(|| needed("argument"))?, "argument")?;
    let name = argument.get("name").and_then(string).ok_or_else(|| missing("argument.name"))?;
    let value = argument.get("value").and_then(string).ok_or_else(|| missing("argument.value"))?;
    let mut others = Vec::new();
    let member =
        |raw: Option<&'p RawValue>, name: &str| raw.map(|raw| Members::of_member(raw, name)).transpose();
    if let Some(context) = member(params.get("context"), "context")?
        && let Some(known) = member(context.get("arguments"), "context.arguments")?
    {
        others.extend(
            known.iter().filter_map(|(name, value)| Some((name.to_owned(), string(value)?.into_owned()))),
        );
    }
    let (partial, argument) =
        (Partial { value: &value, others: &others, principal }, (completed, name.into_owned()));
    let values = match registry.completions.get_mut(&argument) {
        Some(completer) => guarded("completion of", &argument.1, || Ok(completer.complete(&partial)))
            .map_err(|error| error.into_error(None, Revision::NEWEST))?,
        None => registry.choices(&argument.0, &argument.1).complete(&partial),
    };
    write(out, &values);
    Ok(())
}

fn read_reference(registry: &mut Registry, reference: &RawValue) -> Result<Completed, Error> {
    let members = Members::of_member(reference, "ref")?;
    let text =
        |name: &str| members.get(name).and_then(string).map(|text| text.into_owned()).unwrap_or_default();
    let (completed, exists) = match text("type").as_str() {
        "ref/prompt" => (Completed::Prompt(text("name")), registry.prompts.find(&text("name")).is_some()),
        // A resource has nothing to complete, but it is no mistake to ask.
        "ref/resource" => {
            let (uri, template) = (text("uri"), normalize_template(&text("uri")));
            let exists = registry.templates.find(&template).is_some()
                || registry.resources.find(&normalize(&uri)).is_some();
            (Completed::Template(template), exists)
        }
        _ => return Err(Error::invalid_params("`ref.type` must be ref/prompt or ref/resource")),
    };
    exists.then_some(completed).ok_or_else(|| {
        Error::invalid_params("`ref` names no prompt, resource or resource template of this server")
    })
}

fn write(out: &mut Vec<u8>, values: &[String]) {
    let mut result = Object::new(out);
    result.field("completion", |out| {
        let mut completion = Object::new(out);
        completion.field("values", |out| {
            let mut list = Array::new(out);
            values.iter().take(VALUES_MAX).for_each(|value| {
                list.str(value);
            });
        });
        completion.int("total", i64::try_from(values.len()).unwrap_or(i64::MAX));
        completion.bool("hasMore", values.len() > VALUES_MAX);
    });
}
