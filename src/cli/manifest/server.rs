//! Reading the `server` section.

use crate::access::settings::Settings;
use crate::cli::log::options::Format;
use crate::cli::manifest::definitions::at;
use crate::cli::manifest::entries::ServerSection;
use crate::cli::manifest::number::number_text;
use crate::cli::manifest::reader::{Reader, Value, shown};
use crate::cli::manifest::risks;
use crate::cli::messages::left_out;
use crate::limits::Limits;
use crate::net::listen::Address;

const SERVER_KEYS: [&str; 17] = [
    "name",
    "title",
    "version",
    "instructions",
    "listen",
    "basePath",
    "allowHosts",
    "allowOrigins",
    "cors",
    "tokenFile",
    "insecurePublic",
    "nodeId",
    "stateKeyFile",
    "limits",
    "log",
    "health",
    "metrics",
];

pub(super) fn server<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<ServerSection> {
    let section = reader.section(value, &SERVER_KEYS)?;
    let listen = section.read(reader, "listen", listen).unwrap_or_default();
    let (health, health_listen) = section.read(reader, "health", health).unwrap_or_default();
    let settings = Settings {
        base_path: section
            .read(reader, "basePath", |reader, value| {
                checked(reader, value, |base_path| Settings { base_path, ..Settings::default() })
            })
            .unwrap_or_default(),
        hosts: section.read(reader, "allowHosts", hosts).unwrap_or_default(),
        origins: section.read(reader, "allowOrigins", origins).unwrap_or_default(),
        cors: section.read(reader, "cors", Reader::bool).unwrap_or_default(),
        insecure_public: section.read(reader, "insecurePublic", Reader::bool).unwrap_or_default(),
        node_id: section
            .read(reader, "nodeId", |reader, value| {
                reader.name(value)?;
                checked(reader, value, |node_id| Settings { node_id, ..Settings::default() })
            })
            .unwrap_or_default(),
        health,
        ..Settings::default()
    };
    let server = ServerSection {
        name: section.read(reader, "name", Reader::name),
        version: section.read(reader, "version", Reader::name),
        title: section.read(reader, "title", Reader::name),
        instructions: section.read(reader, "instructions", Reader::name),
        listen: listen.iter().map(|(address, _)| address.clone()).collect(),
        health_listen,
        token_file: section.read(reader, "tokenFile", Reader::path),
        state_key_file: section.read(reader, "stateKeyFile", Reader::path),
        log: section.read(reader, "log", log).flatten(),
        metrics: section.read(reader, "metrics", metrics).unwrap_or_default(),
        settings,
        limits: section.read(reader, "limits", limits).unwrap_or_default(),
    };
    for (key, file) in [("tokenFile", &server.token_file), ("stateKeyFile", &server.state_key_file)] {
        if let Some(file) = file
            && let Err(error) = file.metadata()
        {
            let message = format!("{} cannot be read now: {error}", file.display());
            reader.warning(&at(&section, key), message);
        }
    }
    for (address, item) in listen.iter().filter(|_| server.token_file.is_none()) {
        risks::warn_of_address(reader, item, address, server.settings.insecure_public);
    }
    Some(server)
}

fn metrics<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<bool> {
    let answered = reader.bool(value)?;
    if answered && !cfg!(feature = "operations") {
        reader.problem(value, left_out("operations", "answers no `/metrics`"));
    }
    Some(answered)
}

/// A string that makes settings which the server takes.
fn checked<'a>(
    reader: &mut Reader<'a>,
    value: &Value<'a>,
    settings: impl FnOnce(String) -> Settings,
) -> Option<String> {
    let text = reader.text(value)?;
    match settings(text.clone()).checked() {
        Ok(_) => Some(text),
        Err(problem) => {
            reader.problem(value, problem);
            None
        }
    }
}

fn hosts<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Vec<String>> {
    reader.list(value, |reader, item| {
        checked(reader, item, |host| Settings { hosts: vec![host], ..Settings::default() })
    })
}

fn origins<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Vec<String>> {
    reader.list(value, |reader, item| {
        checked(reader, item, |origin| Settings { origins: vec![origin], ..Settings::default() })
    })
}

/// The addresses, each with the value that it was read from.
fn listen<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Vec<(Address, Value<'a>)>> {
    let mut addresses: Vec<(Address, Value<'a>)> = Vec::new();
    let items = reader.items(value)?;
    for item in &items {
        let Some(address) = address(reader, item) else { continue };
        if addresses.iter().any(|(other, _)| *other == address) {
            reader.problem(item, format_args!("the address {address} stands here twice; remove one"));
        }
        addresses.push((address, item.clone()));
    }
    if items.is_empty() {
        let message =
            "`listen` is empty; write an address such as \"127.0.0.1:3001\", or leave it out for that";
        reader.problem(value, message);
    }
    Some(addresses)
}

fn address<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Address> {
    let address = match Address::from(reader.system_text(value)?) {
        Address::Unix { path, .. } if path.as_os_str().is_empty() => {
            reader.problem(value, "`unix:` has no path after it; write unix:PATH, such as unix:/run/mcp/s");
            return None;
        }
        Address::Unix { path, mode } => Address::Unix { path: reader.absolute(&path), mode },
        tcp => tcp,
    };
    if let Err(problem) = address.check() {
        reader.problem(value, format_args!("the address {}: {problem}", shown(value.json)));
        return None;
    }
    Some(address)
}

fn log<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Option<Format>> {
    if value.json.is_bool() {
        return reader.bool(value).map(|logs| logs.then_some(Format::Text));
    }
    let known = value.json.as_str().and_then(|name| Format::named(&name));
    if known.is_none() {
        reader.wrong(value, "true, false, \"text\", \"json\" or \"off\"");
    }
    known
}

/// Whether health checks are answered on the addresses for clients, and the address for them alone.
fn health<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<(bool, Option<Address>)> {
    match value.json.is_str() {
        true => Some((false, Some(address(reader, value)?))),
        false if value.json.is_bool() => Some((reader.bool(value)?, None)),
        false => {
            reader.wrong(
                value,
                "true or false, or the address for health checks alone, such as \"127.0.0.1:9000\"",
            );
            None
        }
    }
}

fn limits<'a>(reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Limits> {
    let mut limits = Limits::DEFAULT;
    for (name, member, _) in reader.members(value)? {
        let text = match member.json.is_number() {
            true => number_text(member.json.text()).into_owned(),
            false if member.json.is_str() => member.json.as_str().unwrap_or_default().into_owned(),
            false => {
                reader.wrong(&member, "a number, or a text such as \"64KiB\" or \"10s\"");
                continue;
            }
        };
        if let Err(problem) = limits.set(&name, &text) {
            reader.problem(&member, problem);
        }
    }
    if let Err(problem) = limits.check() {
        reader.problem(value, problem);
    }
    Some(limits)
}
