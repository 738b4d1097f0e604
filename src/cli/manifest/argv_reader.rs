//! Reading `argv`: elements, groups, `when`; and which arguments they name.
//!
//! *Scope:* the mistakes that show before any call: an argument that there is not, that may be absent, or that has no form as
//! text. *Not in scope:* what the elements become ([`argv`](crate::cli::manifest::argv)).

use std::collections::BTreeSet;

use crate::cli::manifest::argv::{ArgvPart, ArgvTemplate, names_of_group};
use crate::cli::manifest::known::{KnownArguments, Slot};
use crate::cli::manifest::reader::{Reader, Value};
use crate::cli::manifest::risks;
use crate::cli::manifest::template::{Piece, TextTemplate};
use crate::text::printable;

/// What templates are read with, and which arguments they named so far.
#[derive(Debug)]
pub(super) struct Templates<'k> {
    pub(super) known: &'k KnownArguments<'k>,
    /// The arguments listed in `dash`.
    pub(super) dash: Vec<String>,
    pub(super) used: BTreeSet<String>,
    /// True if a template has all arguments in it.
    pub(super) uses_all: bool,
}

/// Where an element stands.
#[derive(Clone, Debug, Default)]
struct Context {
    /// Arguments that are there whenever the element is.
    present: Vec<String>,
    /// An element `--` stands before it.
    options_ended: bool,
    /// The element before it is an option, whose value it may be.
    after_option: bool,
}

impl<'k> Templates<'k> {
    pub(super) fn new(known: &'k KnownArguments<'k>) -> Templates<'k> {
        Templates { known, dash: Vec::new(), used: BTreeSet::new(), uses_all: false }
    }

    pub(super) fn argv<'a>(&mut self, reader: &mut Reader<'a>, value: &Value<'a>) -> Option<ArgvTemplate> {
        if !value.json.is_array() {
            reader.wrong(
                value,
                "an array of the program and its arguments, such as [\"/bin/ping\", \"-c\", \"3\"]",
            );
            return None;
        }
        let items = reader.items(value)?;
        let Some((first, rest)) = items.split_first() else {
            reader.problem(
                value,
                "`argv` is empty; write the program and its arguments, such as [\"/bin/ping\", \"-c\", \"3\"]",
            );
            return None;
        };
        let program = self.program(reader, first);
        let parts = self.parts(reader, rest, &mut Context::default());
        if let Some(program) = &program {
            risks::warn_of_program(reader, first, program, &parts);
        }
        Some(ArgvTemplate { program: program?, parts, dash: self.dash.clone() })
    }

    fn program<'a>(&mut self, reader: &mut Reader<'a>, value: &Value<'a>) -> Option<String> {
        let template = self.parse(reader, value)?;
        match template.literal() {
            Some(text) => {
                let text = without_nul(reader, value, text)?;
                reader.program(value, text)
            }
            None => {
                reader.problem(
                    value,
                    "the program has an argument in it, so the caller would choose what runs; write its path",
                );
                None
            }
        }
    }

    fn parts<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        items: &[Value<'a>],
        context: &mut Context,
    ) -> Vec<ArgvPart> {
        let mut parts = Vec::new();
        for item in items {
            let part = match item.json {
                json if json.is_str() => self.element(reader, item, context),
                json if json.is_array() => self.group(reader, item, context),
                json if json.is_object() => self.when(reader, item, context),
                _ => {
                    reader.wrong(
                        item,
                        "a string, a group [\"-I\", \"{x}\"] or {\"when\": \"x\", \"argv\": [...]}",
                    );
                    None
                }
            };
            context.after_option = matches!(&part, Some(ArgvPart::Element(template)) if is_option(template));
            parts.extend(part);
        }
        parts
    }

    fn element<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        value: &Value<'a>,
        context: &mut Context,
    ) -> Option<ArgvPart> {
        let template = self.parse(reader, value)?;
        for piece in &template.pieces {
            let slot = match piece {
                Piece::Literal(text) => {
                    without_nul(reader, value, text)?;
                    continue;
                }
                Piece::Argument(_) if template.pieces.len() == 1 => Slot::WholeElement,
                Piece::Argument(_) => Slot::Text,
                Piece::Json(_) | Piece::AllJson => Slot::Json,
            };
            self.placeholder(reader, value, piece, slot, Some(&context.present));
        }
        if let (Some(Piece::Argument(name)), false) = (template.pieces.first(), context.options_ended)
            && !self.dash.contains(name)
        {
            risks::warn_of_missing_dashes(reader, value, self.known, name, context.after_option);
        }
        context.options_ended |= template.literal() == Some("--");
        Some(ArgvPart::Element(template))
    }

    fn group<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        value: &Value<'a>,
        context: &Context,
    ) -> Option<ArgvPart> {
        let items = reader.items(value)?;
        let texts = items.iter().filter_map(|item| item.json.as_str());
        let own: Result<Vec<ArgvPart>, String> =
            texts.map(|text| TextTemplate::parse(&text).map(ArgvPart::Element)).collect();
        let mut inside = context.clone();
        // An element that is no template is reported with the others.
        let is_read = own.is_ok();
        inside.present.extend(names_of_group(&own.unwrap_or_default()).map(str::to_owned));
        if is_read && inside.present.len() == context.present.len() {
            reader.problem(value, "the group names no argument, so it would never drop out; write its elements without the inner brackets");
        }
        Some(ArgvPart::Group(self.parts(reader, &items, &mut inside)))
    }

    fn when<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        value: &Value<'a>,
        context: &Context,
    ) -> Option<ArgvPart> {
        let section = reader.section(value, &["when", "argv"])?;
        let named = section.require(reader, "when", "write the name of an argument", Reader::name);
        let mut inside = context.clone();
        if let Some(name) = &named {
            self.used.insert(name.clone());
            if let (Err(problem), Some(value)) = (self.known.check_name(name), section.get("when")) {
                reader.problem(&value, problem);
            }
            inside.present.push(name.clone());
        }
        let items = section.require(reader, "argv", "write the elements to keep, [\"-q\"]", Reader::items)?;
        let parts = self.parts(reader, &items, &mut inside);
        Some(ArgvPart::When { when: named?, parts })
    }

    /// A text with arguments in it that is not on the command line.
    pub(super) fn text<'a>(&mut self, reader: &mut Reader<'a>, value: &Value<'a>) -> Option<TextTemplate> {
        let template = self.parse(reader, value)?;
        for piece in &template.pieces {
            let slot = if matches!(piece, Piece::Argument(_)) { Slot::Text } else { Slot::Json };
            self.placeholder(reader, value, piece, slot, None);
        }
        Some(template)
    }

    fn parse<'a>(&mut self, reader: &mut Reader<'a>, value: &Value<'a>) -> Option<TextTemplate> {
        let text = reader.text(value)?;
        match TextTemplate::parse(&text) {
            Ok(template) => Some(template),
            Err(problem) => {
                reader.problem(value, problem);
                None
            }
        }
    }

    fn placeholder<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        value: &Value<'a>,
        piece: &Piece,
        slot: Slot,
        // The arguments that are there for certain, in an element of a command line.
        present: Option<&[String]>,
    ) {
        let Some(name) = piece.name() else {
            self.uses_all |= *piece == Piece::AllJson;
            return;
        };
        self.used.insert(name.to_owned());
        let checked = self.known.check_name(name).map_err(|problem| match value.json.text().contains("${") {
            true => format!("{problem} (variables of the environment are replaced in `env`, not here)"),
            false => problem,
        });
        let checked = checked.and_then(|()| self.known.check_slot(name, slot)).and_then(|()| {
            let is_there = present.is_some_and(|present| present.iter().any(|there| there == name));
            match self.known.may_be_absent(name) && !is_there {
                true => Err(absent(name, present.is_some())),
                false => Ok(()),
            }
        });
        if let Err(problem) = checked {
            reader.problem(value, problem);
        }
    }
}

fn absent(name: &str, in_argv: bool) -> String {
    let name = printable(name);
    let remedy = match in_argv {
        true => format!(", or put the element into a group, [\"{{{name}}}\"], which drops out with it"),
        false => String::new(),
    };
    format!("`{name}` may be absent or null; make it required and not null, or give it a `default`{remedy}")
}

/// True for an element such as `-c` or `--count`, after which a value may stand.
fn is_option(template: &TextTemplate) -> bool {
    template.literal().is_some_and(|text| text.starts_with('-') && text != "--")
}

fn without_nul<'t>(reader: &mut Reader<'_>, value: &Value<'_>, text: &'t str) -> Option<&'t str> {
    if text.contains('\0') {
        reader.problem(
            value,
            "there is a NUL character here, at which the system would cut the text; leave it out",
        );
        return None;
    }
    Some(text)
}
