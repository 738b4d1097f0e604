//! What is lawful in a manifest, and dangerous or useless all the same.
//!
//! *Scope:* warnings about programs, about files that others can change, and about arguments that may be anything. *Not in
//! scope:* what is an error; enforcing anything.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::cli::json_schema::Schema;
use crate::cli::manifest::argv::ArgvPart;
use crate::cli::manifest::known::KnownArguments;
use crate::cli::manifest::reader::{Reader, Value};
use crate::cli::manifest::template::TextTemplate;
use crate::cli::secrets::is_trusted;
use crate::json::pointer;
use crate::json::tape::Tape;
use crate::net::listen::Address;
use crate::schema::json_type::JsonType;
use crate::schema::path::Subject;
use crate::sort::sort_by;
use crate::text::printable;

/// Programs that run what their arguments say, by name, without a version at the end.
const RUNNERS: &str = "ash at awk bash batch bun busybox chroot cmake crontab csh dash deno doas docker ed emacs env ex expect \
    find fish flock gawk gdb git ionice java ksh kubectl less ltrace lua luajit make man mawk mksh more mysql nano nawk ncat nice \
    nmap node nohup nsenter nvim parallel perl php podman psql pwsh python rsync ruby runuser scp screen script sed setpriv setsid \
    sftp sh socat sqlite ssh start-stop-daemon stdbuf strace su sudo systemd-run tar tclsh tcpdump tcsh time timeout tmux unshare vi \
    view vim watch wget xargs zip zsh";

/// Warns of a program that runs others, and of one whose file is missing or can be changed by others.
pub(super) fn warn_of_program(reader: &mut Reader<'_>, value: &Value<'_>, program: &str, parts: &[ArgvPart]) {
    let path = Path::new(program);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if is_runner(name) {
        let whose = match parts.iter().any(has_arguments) {
            true => {
                "the caller's arguments reach it; bound them with `enum` or `pattern`, or call the program that you mean"
            }
            false => "call the program that you mean, if you can",
        };
        reader.warning(value, format_args!("`{}` runs what its arguments say: {whose}", printable(name)));
    }
    match path.metadata() {
        Err(error) => {
            reader.warning(value, format_args!("`{}` cannot be run now: {error}", printable(program)))
        }
        Ok(found) => {
            let mode = found.permissions().mode();
            if !found.is_file() || mode & 0o111 == 0 {
                reader.warning(
                    value,
                    format_args!("`{}` is no program: not a file that may be executed", printable(program)),
                );
            } else if mode & 0o6000 != 0 {
                let message =
                    "has the setuid or setgid bit, which has no effect here: commands get no new privileges";
                reader.warning(value, format_args!("`{}` {message}", printable(program)));
            }
            warn_of_file(reader, value, path);
        }
    }
}

/// Warns of a file that others can write, or replace because they can write a folder on the way to it: on that of its name,
/// or, where a part of it is a link, on that to the file itself.
pub(super) fn warn_of_file(reader: &mut Reader<'_>, value: &Value<'_>, path: &Path) {
    let Ok(canonical) = path.canonicalize() else { return };
    let Ok(named) = std::path::absolute(path) else { return };
    let mut parts: Vec<&Path> = canonical.ancestors().chain(named.ancestors().skip(1)).collect();
    sort_by(&mut parts, Ord::cmp);
    parts.dedup();
    for part in parts {
        let Ok(found) = part.metadata() else { continue };
        if let Some(who) = others_who_write(&found) {
            let message = format!(
                "{} can be changed by {who} (mode {:04o}), and with it what runs here; run: chmod go-w {}",
                part.display(),
                found.permissions().mode() & 0o7777,
                part.display()
            );
            reader.warning(value, message);
        }
    }
}

/// Who can write a file or folder besides root and the user who runs the server. In a folder with the sticky bit others
/// cannot replace a file that is not theirs.
fn others_who_write(found: &Metadata) -> Option<String> {
    let mode = found.permissions().mode();
    let is_sticky = found.is_dir() && mode & 0o1000 != 0;
    if !is_trusted(found.uid()) {
        Some(format!("its owner (uid {})", found.uid()))
    } else if mode & 0o002 != 0 && !is_sticky {
        Some("everybody".to_owned())
    } else if mode & 0o020 != 0 && found.gid() != 0 && !is_sticky {
        Some(format!("its group (gid {})", found.gid()))
    } else {
        None
    }
}

/// True for `python3.12` as for `python`.
fn is_runner(name: &str) -> bool {
    let plain = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    RUNNERS.split_whitespace().any(|runner| runner == plain)
}

fn has_arguments(part: &ArgvPart) -> bool {
    match part {
        ArgvPart::Element(template) => TextTemplate::literal(template).is_none(),
        ArgvPart::Group(parts) | ArgvPart::When { parts, .. } => parts.iter().any(has_arguments),
    }
}

/// Warns of an argument that begins an element where the program could take it for an option.
pub(super) fn warn_of_missing_dashes(
    reader: &mut Reader<'_>,
    value: &Value<'_>,
    known: &KnownArguments<'_>,
    name: &str,
    after_option: bool,
) {
    let Some(property) = known.of_tool(name) else { return };
    let shown = printable(name);
    let is_free = property.is_free_string() || property.items().is_some_and(Schema::is_free_string);
    if is_free && !after_option {
        reader.warning(value, format_args!(
            "no \"--\" stands before `{shown}`, so text that begins with `-` is refused; put \"--\" before it if the program knows \
             that"
        ));
    }
    if !after_option && allows_negative(property) {
        reader.warning(value, format_args!(
            "`{shown}` may be negative, and the program could take -1 for an option; set `minimum` to 0, or put \"--\" before it"
        ));
    }
}

fn allows_negative(schema: &Schema) -> bool {
    let mut tape = Tape::new();
    let is_number = schema.allows(JsonType::Integer) && !schema.allows(JsonType::String);
    is_number && tape.read("-1").is_ok_and(|number| schema.check(Subject::Argument, number).is_ok())
}

/// Warns of strings that may have any characters and any length.
pub(super) fn warn_of_arguments(reader: &mut Reader<'_>, root: &Value<'_>, schema: &Schema) {
    let mut pending = vec![(String::new(), schema)];
    while let Some((at, schema)) = pending.pop() {
        if schema.is_free_string() && !at.is_empty() {
            let value = root.descend(&at);
            let message =
                format!("{} may be any text; set `enum`, `pattern` or `maxLength`", value.subject());
            reader.warning(&value, message);
        }
        for (name, property) in schema.properties() {
            let mut at = format!("{at}/properties");
            pointer::push(&mut at, name);
            pending.push((at, property));
        }
        pending.extend(schema.items().map(|items| (format!("{at}/items"), items)));
    }
}

/// Warns of arguments that change nothing.
pub(super) fn warn_of_unused(
    reader: &mut Reader<'_>,
    root: &Value<'_>,
    schema: &Schema,
    used: &BTreeSet<String>,
) {
    for (name, _) in schema.properties().filter(|(name, _)| !used.contains(*name)) {
        let mut at = "/properties".to_owned();
        pointer::push(&mut at, name);
        let message =
            format!("`{}` stands neither in `argv` nor in `stdin`, so it changes nothing", printable(name));
        reader.warning(&root.descend(&at), message);
    }
}

/// Warns of variables of a command's environment that are meant to have arguments in them.
pub(super) fn warn_of_env(reader: &mut Reader<'_>, env: &Value<'_>, known: &KnownArguments<'_>) {
    let names = known.names();
    for pair in env.json.pairs() {
        let text = pair.value.as_str().unwrap_or_default();
        let named = names.iter().find(|name| text.contains(&format!("{{{name}}}")));
        if let (Some(name), Some(variable)) = (named, pair.name()) {
            let name = printable(name);
            reader.warning(
                &env.child(&variable, pair.value),
                format_args!(
                    "`{{{name}}}` is no argument here but text; arguments stand in `argv` and `stdin`"
                ),
            );
        }
    }
}

/// Warns of addresses that others can reach, where nothing in the manifest says who they are.
pub(super) fn warn_of_address(reader: &mut Reader<'_>, value: &Value<'_>, address: &Address, insecure: bool) {
    let Address::Tcp(text) = address else { return };
    let host = text.rsplit_once(':').map_or("", |(host, _)| host).trim_matches(['[', ']']);
    if host.parse::<IpAddr>().is_ok_and(|address| !address.to_canonical().is_loopback()) {
        let message = match insecure {
            true => "and `insecurePublic` serves everybody who does; set `tokenFile`, or listen on 127.0.0.1",
            false => {
                "and peers are not authenticated, so this is refused; set `tokenFile`, or listen on 127.0.0.1"
            }
        };
        reader.warning(value, format_args!("others can reach {text}, {message}"));
    }
}
