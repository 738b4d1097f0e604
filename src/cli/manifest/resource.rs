//! Reading resources.

use std::path::PathBuf;

use crate::cli::manifest::argv_reader::Templates;
use crate::cli::manifest::command::{COMMAND_KEYS, Defaults, bytes, command};
use crate::cli::manifest::definitions::{Definitions, at};
use crate::cli::manifest::entries::{ResourceContent, ResourceEntry, ResourceUri};
use crate::cli::manifest::known::KnownArguments;
use crate::cli::manifest::reader::{Reader, Section, Value};
use crate::cli::manifest::tool::mime_type;
use crate::protocol::annotations::{Annotations, Role};
use crate::protocol::description::{About, Common};
use crate::protocol::uri::UriTemplate;
use crate::protocol::uri::normal::normalize;
use crate::protocol::uri_syntax;

const RESOURCE_KEYS: [&str; 11] = [
    "uri",
    "uriTemplate",
    "name",
    "title",
    "description",
    "mimeType",
    "annotations",
    "file",
    "directory",
    "bytesMax",
    "principals",
];

/// Where the content comes from, one of these.
const CONTENT_KEYS: [&str; 3] = ["file", "directory", "argv"];

/// Reads one resource.
pub(super) fn resource<'a>(
    reader: &mut Reader<'a>,
    value: &Value<'a>,
    definitions: &mut Definitions,
    defaults: &Defaults,
) -> Option<ResourceEntry> {
    let entry = reader.section(value, &[&RESOURCE_KEYS[..], &COMMAND_KEYS].concat())?;
    let uri = uri(reader, &entry, definitions);
    let bytes_max = entry.read(reader, "bytesMax", bytes).unwrap_or(defaults.bytes_max);
    let content = content(reader, &entry, uri.as_ref(), defaults, bytes_max);
    let name = entry.require(reader, "name", "write a short name for lists", Reader::name);
    let common = Common {
        title: entry.read(reader, "title", Reader::name),
        description: entry.read(reader, "description", Reader::name),
        ..Common::default()
    };
    let about = About {
        mime_type: entry.read(reader, "mimeType", mime_type),
        annotations: entry.read(reader, "annotations", annotations),
        ..About::default()
    };
    let visible = entry.read(reader, "principals", |reader, value| definitions.viewers(reader, value));
    Some(ResourceEntry {
        position: reader.source.position(value.json.start(), &value.pointer),
        uri: uri?,
        name: name?,
        common,
        about,
        visible,
        content: content?,
        bytes_max,
    })
}

fn uri<'a>(
    reader: &mut Reader<'a>,
    entry: &Section<'a>,
    definitions: &mut Definitions,
) -> Option<ResourceUri> {
    let (key, uri) = match (entry.get("uri"), entry.get("uriTemplate")) {
        (Some(value), None) => ("uri", fixed_uri(reader, &value)?),
        (None, Some(value)) => ("uriTemplate", template_uri(reader, &value)?),
        (Some(_), Some(_)) => {
            reader.problem(
                &at(entry, "uriTemplate"),
                "a resource has `uri` or `uriTemplate`, not both; remove one",
            );
            return None;
        }
        (None, None) => {
            reader.problem(&entry.value, "`uri` is missing; write a URI such as net:///config");
            return None;
        }
    };
    match &uri {
        ResourceUri::Fixed(text) => definitions.define(reader, "resource", &normalize(text), &at(entry, key)),
        ResourceUri::Template(template) => {
            definitions.define(reader, "resource template", template.normal(), &at(entry, key));
        }
    }
    Some(uri)
}

fn fixed_uri<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<ResourceUri> {
    let text = reader.text(value)?;
    if let Err(problem) = uri_syntax::check(&text) {
        reader.problem(value, format_args!("`uri`: {problem}"));
        return None;
    }
    Some(ResourceUri::Fixed(text))
}

fn template_uri<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<ResourceUri> {
    let template = match UriTemplate::new(&reader.text(value)?) {
        Ok(template) => template,
        Err(problem) => {
            reader.problem(value, format_args!("`uriTemplate`: {problem}"));
            return None;
        }
    };
    if template.variables().len() == 0 {
        reader.problem(
            value,
            "`uriTemplate` has no variable; write `uri` instead, or a variable such as net:///link/{name}",
        );
        return None;
    }
    Some(ResourceUri::Template(template))
}

fn content<'a>(
    reader: &mut Reader<'a>,
    entry: &Section<'a>,
    uri: Option<&ResourceUri>,
    defaults: &Defaults,
    bytes_max: usize,
) -> Option<ResourceContent> {
    let given: Vec<&str> = CONTENT_KEYS.into_iter().filter(|key| entry.has(key)).collect();
    let [key] = given[..] else {
        let (value, message) = match given.get(1) {
            Some(second) => {
                (at(entry, second), format!("a resource has one of {}; remove all but one", given.join(", ")))
            }
            None => {
                let message = "the content is missing; write `file`, `directory` or `argv`".to_owned();
                (entry.value.clone(), message)
            }
        };
        reader.problem(&value, message);
        return None;
    };
    if key != "argv" {
        for key in COMMAND_KEYS.into_iter().filter(|key| entry.has(key)) {
            reader.problem(
                &at(entry, key),
                format_args!("`{key}` is about a command, and this resource has none; remove it"),
            );
        }
        if matches!(uri, Some(ResourceUri::Template(_))) {
            reader.problem(
                &at(entry, "uriTemplate"),
                "`uriTemplate` goes with `argv`; for many files write `uri` and `directory`",
            );
        }
    }
    match key {
        "file" => {
            let file = entry.read(reader, "file", |reader, value| place(reader, value, false));
            file.map(ResourceContent::File)
        }
        "directory" => {
            let directory = entry.read(reader, "directory", |reader, value| place(reader, value, true));
            if let Some(ResourceUri::Fixed(uri)) = uri
                && !uri.ends_with('/')
            {
                reader.problem(
                    &at(entry, "uri"),
                    "the `uri` of a directory must end with `/`; its files are below it",
                );
            }
            directory.map(ResourceContent::Directory)
        }
        _ => {
            let known = match uri {
                Some(ResourceUri::Template(template)) => {
                    KnownArguments::OfTemplate(template.variables().map(str::to_owned).collect())
                }
                Some(ResourceUri::Fixed(_)) => KnownArguments::OfTemplate(Vec::new()),
                None => KnownArguments::Unknown,
            };
            let mut templates = Templates::new(&known);
            let command = command(reader, entry, &mut templates, defaults, bytes_max);
            Some(ResourceContent::Command(Box::new(command)))
        }
    }
}

/// A path, of a folder if that is what the key is for.
fn place<'a>(reader: &mut Reader<'a>, value: &Value<'a>, of_folder: bool) -> Option<PathBuf> {
    let path = reader.path(value)?;
    match path.metadata() {
        Ok(found) if found.is_dir() != of_folder => {
            let (what, key, other) =
                if of_folder { ("file", "file", "directory") } else { ("folder", "directory", "file") };
            let message =
                format_args!("{} is a {what}; write `{key}` in the place of `{other}`", path.display());
            reader.problem(value, message);
            return None;
        }
        Ok(_) => {}
        Err(error) => reader.warning(value, format_args!("{} cannot be read now: {error}", path.display())),
    }
    Some(path)
}

fn annotations<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Annotations> {
    let section = reader.section(value, &["audience", "priority", "lastModified"])?;
    let audience = section.read(reader, "audience", |reader, value| reader.list(value, role));
    let priority = section.read(reader, "priority", priority);
    let mut annotations = Annotations::default();
    for role in audience.unwrap_or_default() {
        annotations = annotations.audience(role);
    }
    if let Some(priority) = priority {
        annotations = annotations.priority(priority);
    }
    if let Some(time) = section.read(reader, "lastModified", Reader::text) {
        annotations = annotations.last_modified(time);
        if let Err(problem) = annotations.check() {
            reader.problem(&at(&section, "lastModified"), problem);
        }
    }
    Some(annotations)
}

/// A role of the protocol.
pub(super) fn role<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Role> {
    match reader.word(value, &["user", "assistant"])? {
        "user" => Some(Role::User),
        _ => Some(Role::Assistant),
    }
}

fn priority<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<f64> {
    let number = value.json.is_number().then(|| value.json.text().parse::<f64>().ok()).flatten();
    let number = number.filter(|number| (0.0..=1.0).contains(number));
    if number.is_none() {
        reader.wrong(value, "a number from 0 to 1");
    }
    number
}
