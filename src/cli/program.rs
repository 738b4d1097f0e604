//! The command line for a server of an author's own.
//!
//! *Scope:* [`Program`] and [`run`]: the program's name, its help, the author's options, reading again on SIGHUP. *Not in
//! scope:* the options that all programs have (`args`, `help`), and serving (`serve`).

use std::ffi::OsString;
use std::process::ExitCode;

use super::args::{self, OwnOption, Serve, Syntax, Task};
use super::serve::{self, Served};
use super::signals::{Hangups, Reload};
use super::{Failure, finish, help, print};
use crate::protocol::result::Result;
use crate::server::builder::Server;
use crate::server::handle::Handle;

/// Serves with the command line that `mcp-rill` has: `--listen`, `--stdio`, tokens, limits, log and signals; `--help` lists
/// them. The program has the server's name and version. Returns the exit code: 0 after a shutdown, 2 for a mistake on the
/// command line, 1 for any other failure, which is written to standard error.
///
/// The settings and limits that the server was built with are the defaults of the options. The server may have a
/// [state](Server::with_state).
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     mcp_rill::cli::run(mcp_rill::Server::new("hello", "1.0.0").tool("hello", "Say hello", |(), _| "hello"))
/// }
/// ```
pub fn run<X: 'static>(server: Server<X>) -> ExitCode {
    let (name, version) = (server.info.name.clone(), server.info.version.clone());
    Program::new(name, version, |_| Ok(server)).run()
}

/// A program with the command line that `mcp-rill` has, and options of its own.
///
/// ```no_run
/// use mcp_rill::{Server, cli::Program};
///
/// fn main() -> std::process::ExitCode {
///     Program::new("notes", "1.0.0", |options| {
///         let text = std::fs::read_to_string(options.value("file").unwrap_or("notes.txt"))?;
///         Ok(Server::new("notes", "1.0.0").resource("note:///all", "all", move |_| text.clone()))
///     })
///     .about("Serves a file of notes.")
///     .option("file", "FILE", "The file of notes [notes.txt]")
///     .run()
/// }
/// ```
pub struct Program<'a> {
    name: String,
    version: String,
    about: String,
    own: Vec<OwnOption>,
    server: Build<'a>,
    pub(super) what: String,
    reload: Option<Reload>,
    /// A mistake of the author.
    problem: Option<String>,
}

type Build<'a> = Box<dyn FnOnce(&OwnOptions) -> Result<Server> + 'a>;

/// The author's own options, as they stand on the command line.
#[derive(Debug)]
pub struct OwnOptions(Vec<(String, String)>);

impl OwnOptions {
    /// The value of an option; `None` if it was not given.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// True if the option was given, with or without a value.
    pub fn is_given(&self, name: &str) -> bool {
        self.value(name).is_some()
    }
}

impl<'a> Program<'a> {
    /// A program of this name and version. `server` makes the server when the options are known. Its error ends the program
    /// with exit code 1, and is written to standard error.
    pub fn new<X>(
        name: impl Into<String>,
        version: impl Into<String>,
        server: impl FnOnce(&OwnOptions) -> Result<Server<X>> + 'a,
    ) -> Program<'a> {
        Program {
            name: name.into(),
            version: version.into(),
            about: String::new(),
            own: Vec::new(),
            server: Box::new(|options| Ok(server(options)?.retyped())),
            what: String::new(),
            reload: None,
            problem: None,
        }
    }

    /// Sets the text with which the help begins: one or a few sentences.
    pub fn about(mut self, text: impl Into<String>) -> Program<'a> {
        self.about = text.into();
        self
    }

    /// Adds an option `--name VALUE`. It may be given once. The help calls its value `value` and describes it by `about`.
    /// The program does not start if it has an option of this name already.
    pub fn option(self, name: &str, value: &str, about: &str) -> Program<'a> {
        self.with(name, Some(value), about)
    }

    /// Adds an option `--name` without a value. [`OwnOptions::is_given`] says whether it was given. The program does not start
    /// if it has an option of this name already.
    pub fn flag(self, name: &str, about: &str) -> Program<'a> {
        self.with(name, None, about)
    }

    fn with(mut self, name: &str, value: Option<&str>, about: &str) -> Program<'a> {
        if args::names().any(|known| known == name) || self.own.iter().any(|own| own.name == name) {
            self.problem = Some(format!("the option --{name} exists already; give the new one another name"));
        }
        self.own.push(OwnOption {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            about: about.to_owned(),
        });
        self
    }

    /// Sets what SIGHUP does besides reading the files of tokens and keys again: `reload` changes the running server by its
    /// handle. What it returns, text or error, is written to standard error. It runs on a thread of its own.
    ///
    /// ```
    /// # fn read_config() -> std::io::Result<usize> { Ok(0) }
    /// # let program = mcp_rill::cli::Program::new("notes", "1.0.0", |_| Ok(mcp_rill::Server::new("notes", "1.0.0")));
    /// program.on_reload(|handle| {
    ///     let count = read_config()?;
    ///     handle.resources_changed();
    ///     Ok(format!("{count} notes"))
    /// });
    /// ```
    pub fn on_reload(
        mut self,
        mut reload: impl FnMut(&Handle) -> Result<String> + Send + 'static,
    ) -> Program<'a> {
        self.reload =
            Some(Box::new(move |handle| reload(handle).map_err(|error| Failure::system(error.to_string()))));
        self
    }

    /// Reads the arguments of this process and does what they ask for. Returns the exit code, as [`run`].
    pub fn run(self) -> ExitCode {
        self.run_with(std::env::args_os().skip(1))
    }

    /// As [`run`](Program::run), with other arguments: those behind the program's name.
    pub fn run_with(self, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
        let name = self.name.clone();
        finish(&name, self.try_run(arguments).map(|()| ExitCode::SUCCESS))
    }

    pub(super) fn try_run(
        self,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> std::result::Result<(), Failure> {
        if let Some(problem) = self.problem {
            return Err(Failure::system(problem));
        }
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let syntax = Syntax { program: &self.name, takes_manifest: false, own: &self.own };
        let options = match args::parse(&syntax, arguments.clone(), Serve::default())? {
            Task::Help => return print(&self.help()),
            Task::HelpLimits => return print(&help::limits(&self.name)),
            Task::Version => return print(&format!("{} {}\n", self.name, self.version)),
            Task::Serve(options) => options,
        };
        let hangups = Hangups::listen()?;
        let server =
            (self.server)(&OwnOptions(options.own)).map_err(|error| Failure::system(error.to_string()))?;
        // Once more, on top of what the server was built with.
        let defaults =
            Serve { settings: server.settings.clone(), limits: server.limits.clone(), ..Serve::default() };
        let Task::Serve(options) = args::parse(&syntax, arguments, defaults)? else { return Ok(()) };
        let served = Served {
            hangups,
            program: self.name,
            content: Box::new(|setup| setup.server(server)),
            what: self.what,
            reload: self.reload,
            begin: None,
            stopping: None,
            end: None,
        };
        serve::serve(*options, served)
    }

    fn help(&self) -> String {
        let mut text = String::new();
        if !self.about.is_empty() {
            text.push_str(&format!("{}\n\n", self.about));
        }
        text.push_str(&format!("Usage: {} [OPTIONS]\n\n", self.name));
        for OwnOption { name, value, about } in &self.own {
            let form =
                value.as_ref().map_or_else(|| format!("--{name}"), |value| format!("--{name} {value}"));
            text.push_str(&format!("  {form:<22} {about}\n"));
        }
        text + &help::options()
    }
}

impl std::fmt::Debug for Program<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("name", &self.name).field("own", &self.own).finish_non_exhaustive()
    }
}
