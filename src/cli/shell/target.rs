//! Which server: a URL, a manifest, an entry of a file of servers, or a command.
//!
//! *Scope:* reading a target, with `${VAR}` in the entries of a file, as manifests have it. *Not in scope:* connecting to it (`session`), manifests themselves.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::Failure;
use crate::cli::bounds::SERVERS_BYTES_MAX;
use crate::cli::manifest::variables::replace;
use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::text::{nearest, printable};

/// A server to speak with.
#[derive(Debug)]
pub(in crate::cli) enum Target {
    /// A URL, and header fields that go with it.
    Url(String, Vec<(String, String)>),
    /// A manifest, or a folder of them.
    Manifest(PathBuf),
    Command(Command),
}

impl Default for Target {
    fn default() -> Target {
        Target::Url(String::new(), Vec::new())
    }
}

impl Target {
    pub(in crate::cli) fn read(text: &str) -> Result<Target, Failure> {
        let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        if text.contains("://") || scheme.as_deref() == Some("unix") {
            return Ok(Target::Url(text.to_owned(), Vec::new()));
        }
        if Path::new(text).exists() {
            return Ok(Target::Manifest(text.into()));
        }
        if let Some((file, name)) = text.rsplit_once(".json:") {
            return entry(&format!("{file}.json"), name);
        }
        Err(Failure::usage(match text {
            _ if text.ends_with(".json") => {
                format!("the file `{text}` does not exist; name that of a manifest")
            }
            _ if is_authority(text) => {
                format!("`{text}` is no TARGET; write http://{text}, with the path of the endpoint")
            }
            _ => format!(
                "`{text}` is no TARGET; write http://HOST:PORT/PATH, unix:///SOCKET#/PATH, the FILE.json of a manifest, \
                 FILE.json:NAME, or -- COMMAND at the end"
            ),
        }))
    }

    /// The server in an error.
    pub(in crate::cli) fn shown(&self) -> String {
        match self {
            Target::Url(url, _) => printable(url),
            Target::Manifest(path) => path.display().to_string(),
            Target::Command(command) => command.get_program().to_string_lossy().into_owned(),
        }
    }
}

/// True for `localhost:3001/mcp`, with or without a path.
fn is_authority(text: &str) -> bool {
    let authority = text.split('/').next().unwrap_or_default();
    authority.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// An entry of `mcpServers`, as most clients keep them, or of `servers`.
fn entry(file: &str, name: &str) -> Result<Target, Failure> {
    let bad = |why: String| Failure::usage(format!("{file}: {why}"));
    let mut bytes = Vec::new();
    let opened = fs::File::open(file).map_err(|error| bad(error.to_string()))?;
    // It may be a pipe, of which nobody knows the length.
    opened
        .take(SERVERS_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| bad(error.to_string()))?;
    // Before it is read as text, which may be cut within a character.
    if bytes.len() > SERVERS_BYTES_MAX {
        return Err(bad(format!("it is longer than {SERVERS_BYTES_MAX} bytes (servers_bytes_max)")));
    }
    let text = String::from_utf8(bytes).map_err(|_| bad("it is not text (UTF-8)".to_owned()))?;
    let mut tape = Tape::new();
    let whole = tape.read(&text).map_err(|error| bad(format!("it is not JSON: {error}")))?;
    let servers = whole.get("mcpServers").or_else(|| whole.get("servers"));
    let servers = servers.filter(|servers| servers.is_object());
    let servers = servers.ok_or_else(|| bad("it has no object `mcpServers` or `servers`".to_owned()))?;
    let Some(server) = servers.get(name) else {
        let names: Vec<String> =
            servers.pairs().filter_map(|pair| pair.name()).map(|name| printable(&name)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        return Err(bad(match nearest(name, &names) {
            Some(meant) => format!("there is no server `{name}`; did you mean `{meant}`?"),
            None => format!("there is no server `{name}`; it has {}", names.join(", ")),
        }));
    };
    target_of(server, Path::new(file)).map_err(|why| bad(format!("the server `{name}` {why}")))
}

fn target_of(server: JsonRef<'_>, file: &Path) -> Result<Target, String> {
    let text = |value: JsonRef<'_>, what: &str| match value.as_str() {
        Some(text) => {
            replace(&text, &|name| std::env::var(name).ok()).map_err(|why| format!("`{what}`: {why}"))
        }
        None => Err(format!("has a value in `{what}` that is not a string")),
    };
    let pairs = |name: &'static str| -> Result<Vec<(String, String)>, String> {
        let Some(object) = server.get(name) else { return Ok(Vec::new()) };
        if !object.is_object() {
            return Err(format!("has a `{name}` that is not an object"));
        }
        let pairs = object.pairs().filter_map(|pair| pair.name().map(|key| (key, pair.value)));
        pairs.map(|(key, value)| Ok((key.into_owned(), text(value, name)?))).collect()
    };
    if let Some(url) = server.get("url") {
        return Ok(Target::Url(text(url, "url")?, pairs("headers")?));
    }
    let Some(program) = server.get("command") else {
        return Err("has neither `command` nor `url`".to_owned());
    };
    let mut command = Command::new(text(program, "command")?);
    if let Some(arguments) = server.get("args") {
        let arguments = arguments.items().ok_or("has `args` that are not an array")?;
        for argument in arguments {
            command.arg(text(argument, "args")?);
        }
    }
    command.envs(pairs("env")?);
    if let Some(folder) = server.get("cwd") {
        let folder = text(folder, "cwd")?;
        command.current_dir(file.parent().unwrap_or(Path::new("")).join(folder));
    }
    Ok(Target::Command(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_no_target_say_what_to_write() {
        for (text, why) in [
            ("localhost:3001/mcp", "write http://localhost:3001/mcp"),
            ("127.0.0.1:80", "write http://127.0.0.1:80"),
            ("nothing.json", "does not exist"),
            ("nowhere", "write http://HOST:PORT/PATH"),
            ("nothing.json:git", "nothing.json: No such file"),
        ] {
            let failure = Target::read(text).unwrap_err();
            assert!(failure.text.contains(why) && failure.code == 2, "{text}: {}", failure.text);
        }
    }

    #[test]
    fn a_file_of_servers_has_a_most_of_bytes() {
        let file = std::env::temp_dir().join(format!("rill-servers-{}.json", std::process::id()));
        let read = |bytes: usize| {
            let servers = r#"{"mcpServers":{"git":{"command":"a"}}}"#;
            fs::write(&file, format!("{servers}{}", " ".repeat(bytes - servers.len()))).unwrap();
            Target::read(&format!("{}:git", file.display()))
        };
        assert!(matches!(read(SERVERS_BYTES_MAX), Ok(Target::Command(_))));
        let why = "longer than 4194304 bytes (servers_bytes_max)";
        assert!(read(SERVERS_BYTES_MAX + 1).unwrap_err().text.contains(why));
        fs::write(&file, "é".repeat(SERVERS_BYTES_MAX)).unwrap();
        assert!(Target::read(&format!("{}:git", file.display())).unwrap_err().text.contains(why));
        fs::write(&file, b"{\"\xff\"}").unwrap();
        let why_not = Target::read(&format!("{}:git", file.display())).unwrap_err().text;
        assert!(why_not.ends_with("it is not text (UTF-8)"), "{why_not}");
        fs::remove_file(&file).unwrap();
        // One that has no end.
        std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        assert!(Target::read(&format!("{}:git", file.display())).unwrap_err().text.contains(why));
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn entries_of_other_clients_are_read() {
        let folder = std::env::temp_dir().join(format!("rill-target-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("mcp.json");
        let read = |json: &str, name: &str| {
            fs::write(&file, json).unwrap();
            Target::read(&format!("{}:{name}", file.display()))
        };
        let servers = r#"{"mcpServers":{"git":{"command":"mcp-server-git","args":["--repository","${NO_SUCH_RILL:-.}"],"env":{"A":"b"},"cwd":"sub"},
            "far":{"type":"http","url":"http://h/mcp","headers":{"Authorization":"Bearer x"}}}}"#;
        match read(servers, "git").unwrap() {
            Target::Command(command) => {
                assert_eq!(command.get_program(), "mcp-server-git");
                assert_eq!(command.get_args().collect::<Vec<_>>(), ["--repository", "."]);
                assert_eq!(command.get_envs().count(), 1);
                assert_eq!(command.get_current_dir(), Some(&*folder.join("sub")));
            }
            other => panic!("{other:?}"),
        }
        match read(servers, "far").unwrap() {
            Target::Url(url, headers) => {
                assert_eq!(
                    (url.as_str(), headers.len(), headers[0].1.as_str()),
                    ("http://h/mcp", 1, "Bearer x")
                );
            }
            other => panic!("{other:?}"),
        }
        for (json, name, why) in [
            (servers, "got", "did you mean `git`?"),
            (servers, "elsewhere", "it has git, far"),
            ("{", "x", "not JSON"),
            ("{}", "x", "no object `mcpServers` or `servers`"),
            (r#"{"servers":{"x":{}}}"#, "x", "neither `command` nor `url`"),
            (r#"{"servers":{"x":{"command":1}}}"#, "x", "in `command` that is not a string"),
            (r#"{"servers":{"x":{"command":"a","args":"b"}}}"#, "x", "`args` that are not an array"),
            (r#"{"servers":{"x":{"command":"a","args":[1]}}}"#, "x", "in `args` that is not a string"),
            (r#"{"servers":{"x":{"command":"a","env":[]}}}"#, "x", "`env` that is not an object"),
            (
                r#"{"servers":{"x":{"url":"http://${NO_SUCH_RILL}/"}}}"#,
                "x",
                "`url`: the environment has no variable `NO_SUCH_RILL`",
            ),
        ] {
            let failure = read(json, name).unwrap_err();
            assert!(failure.text.contains(why), "{json} {name}: {}", failure.text);
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
