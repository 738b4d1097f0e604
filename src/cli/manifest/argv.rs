//! From arguments to the elements of a command line. No shell ever sees them.
//!
//! *Scope:* expanding a template that was read. *Not in scope:* reading one ([`command`](crate::cli::manifest::command)),
//! checking arguments against a schema, running the command.
//!
//! What an element of the template becomes depends on the arguments, but never on spaces, quotes or other characters in them:
//! an element stays one element. The one exception is an element that is exactly `{x}` of an array: it becomes one element for
//! each item.

use std::borrow::Cow;

use crate::cli::bounds::ELEMENT_BYTES_MAX;
use crate::cli::manifest::template::{ArgumentRefusal, Piece, TextTemplate, json_of, text_of};
use crate::json::value::JsonRef;
use crate::text::printable;

/// A command line with places for arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ArgvTemplate {
    /// The first element: an absolute path.
    pub(super) program: String,
    pub(super) parts: Vec<ArgvPart>,
    /// Arguments whose text may begin an element with `-` everywhere.
    pub(super) dash: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ArgvPart {
    Element(TextTemplate),
    /// Left out if an argument is absent that one of its own elements names.
    Group(Vec<ArgvPart>),
    /// Left out if the argument `when` is absent or false.
    When {
        when: String,
        parts: Vec<ArgvPart>,
    },
}

impl ArgvTemplate {
    /// The elements of the command line for these arguments, the program first. `arguments` is an object that the tool's
    /// schema allows, with its defaults filled in.
    ///
    /// # Errors
    /// A string with a NUL, or one that would begin an element with `-` where the program could take it for an option; an
    /// argument that is missing, too long, or of a type that has no place here.
    pub(crate) fn expand(&self, arguments: JsonRef<'_>) -> Result<Vec<String>, ArgumentRefusal> {
        let argv = vec![self.program.clone()];
        let mut expansion = Expansion { arguments, dash: &self.dash, options_ended: false, argv };
        expansion.parts(&self.parts)?;
        Ok(expansion.argv)
    }
}

/// The names of the arguments in a group's own elements, on which it depends.
pub(super) fn names_of_group(parts: &[ArgvPart]) -> impl Iterator<Item = &str> {
    let own = parts.iter().filter_map(|part| match part {
        ArgvPart::Element(template) => Some(template),
        ArgvPart::Group(_) | ArgvPart::When { .. } => None,
    });
    own.flat_map(|template| template.pieces.iter().filter_map(Piece::name))
}

/// A command line that is being made.
struct Expansion<'a> {
    arguments: JsonRef<'a>,
    dash: &'a [String],
    /// True after an element `--` of the template: programs take nothing after it for an option.
    options_ended: bool,
    argv: Vec<String>,
}

impl<'a> Expansion<'a> {
    fn parts(&mut self, parts: &[ArgvPart]) -> Result<(), ArgumentRefusal> {
        for part in parts {
            match part {
                ArgvPart::Element(template) => self.element(template)?,
                ArgvPart::Group(parts) => {
                    if names_of_group(parts).all(|name| self.arguments.get(name).is_some()) {
                        self.parts(parts)?;
                    }
                }
                ArgvPart::When { when, parts } => {
                    if self.arguments.get(when).is_some_and(|value| value.text() != "false") {
                        self.parts(parts)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn element(&mut self, template: &TextTemplate) -> Result<(), ArgumentRefusal> {
        if let Some(text) = template.literal() {
            self.argv.push(text.to_owned());
            self.options_ended |= text == "--";
            return Ok(());
        }
        if let [Piece::Argument(name)] = &*template.pieces {
            let value = self.argument(name)?;
            if let Some(items) = value.items() {
                for item in items {
                    let text = text_of(name, item)?;
                    self.check_text(name, item, &text, true)?;
                    self.argv.push(text.into_owned());
                }
                return Ok(());
            }
        }
        let (mut element, mut last) = (String::new(), "*");
        for piece in &template.pieces {
            let (name, value, text) = match piece {
                Piece::Literal(text) => {
                    element.push_str(text);
                    continue;
                }
                Piece::AllJson => ("*", self.arguments, Cow::Owned(json_of(self.arguments))),
                Piece::Json(name) => {
                    let value = self.argument(name)?;
                    (&**name, value, Cow::Owned(json_of(value)))
                }
                Piece::Argument(name) => {
                    let value = self.argument(name)?;
                    (&**name, value, text_of(name, value)?)
                }
            };
            self.check_text(name, value, &text, element.is_empty())?;
            element.push_str(&text);
            last = name;
        }
        check_length(last, &element)?;
        self.argv.push(element);
        Ok(())
    }

    fn argument(&self, name: &str) -> Result<JsonRef<'a>, ArgumentRefusal> {
        self.arguments.get(name).ok_or_else(|| ArgumentRefusal(format!("`{}` is missing", printable(name))))
    }

    /// Checks the text that an argument has in an element. `begins` is true if no text is before it.
    fn check_text(
        &self,
        name: &str,
        value: JsonRef<'_>,
        text: &str,
        begins: bool,
    ) -> Result<(), ArgumentRefusal> {
        if text.contains('\0') {
            return Err(ArgumentRefusal(format!(
                "`{}` has a NUL character, which ends a text on a command line; leave it out",
                printable(name)
            )));
        }
        let may_begin = self.options_ended || self.dash.iter().any(|listed| listed == name);
        if begins && !may_begin && value.is_str() && text.starts_with('-') {
            return Err(ArgumentRefusal(format!(
                "`{}` begins with `-`, and the command would take it for an option: \"{}\"; begin it with another character",
                printable(name),
                printable(text)
            )));
        }
        check_length(name, text)
    }
}

fn check_length(name: &str, text: &str) -> Result<(), ArgumentRefusal> {
    match text.len() {
        bytes if bytes > ELEMENT_BYTES_MAX => Err(ArgumentRefusal(format!(
            "`{}` makes an element of the command line of {bytes} bytes; at most {ELEMENT_BYTES_MAX} are possible (element_bytes_max)",
            printable(name)
        ))),
        _ => Ok(()),
    }
}
