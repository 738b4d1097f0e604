//! The last stage before a command: this program takes on everything that the command is to have, and becomes the command.
//!
//! *Scope:* the request, the parent-death signal, privileges, limits, folder, environment; and a text for what the kernel refuses.
//! The guard has provided the session, the process group, and standard output and error.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, getppid, getrlimit, getuid, setrlimit};

use super::wire::{self, Report, Request};
use super::{Rlimits, system};

/// The exit code of a command that could not be started, as in shells. The report says why.
const NOT_STARTED: u8 = 127;
/// What a command may open unless it raises its soft limit itself: `select` cannot cope with more. The server has raised its
/// own limit for its connections.
const FILES_UNSET: u64 = 1024;

/// Receives the request on standard input and becomes the command. Returns if that is impossible.
pub(super) fn launch(guard: Pid) -> io::Result<ExitCode> {
    let socket = wire::socket_on_stdin()?;
    let (request, stdin) = wire::receive(&socket)?;
    let Err(text) = become_command(&request, stdin, guard);
    // The socket closes by itself when the command starts, and the server has no report of a failure.
    wire::report(&socket, &Report::Failed(text));
    Ok(ExitCode::from(NOT_STARTED))
}

fn become_command(request: &Request, stdin: Option<OwnedFd>, guard: Pid) -> Result<Infallible, String> {
    let refused = |what: &str, error: io::Error| format!("the system refuses {what}: {error}");
    system::end_with_parent().map_err(|error| refused("the parent-death signal", error))?;
    // It may have ended before that was in force.
    if getppid() != Some(guard) {
        return Err("its guard has been killed".to_owned());
    }
    system::forbid_privileges().map_err(|error| refused("no_new_privs", error))?;
    std::env::set_current_dir(&request.cwd)
        .map_err(|error| format!("its folder, cwd {}, cannot be entered: {error}", request.cwd.display()))?;
    let (program, arguments) =
        request.argv.split_first().ok_or("argv is empty: it begins with the program")?;
    system::check_format(Path::new(program)).map_err(|problem| format!("{} {problem}", program.display()))?;
    let stdin = stdin.map_or_else(Stdio::null, Stdio::from);
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(request.env.iter().map(|(name, value)| (name, value)))
        .stdin(stdin);
    limit(&request.rlimits)?;
    let error = command.exec();
    Err(explain(program, arguments, &request.env, &error))
}

fn limit(rlimits: &Rlimits) -> Result<(), String> {
    if rlimits.files.is_none() {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let current = Some(current.map_or(FILES_UNSET, |current| current.min(FILES_UNSET)));
        // To lower a soft limit is always allowed.
        let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
    }
    for (name, resource, value) in rlimits.all() {
        let Some(value) = value else { continue };
        let hard = match resource {
            // One second more, so that the signal says what happened: XCPU at the soft limit, but KILL at the hard one.
            Resource::Cpu => getrlimit(resource).maximum.unwrap_or(u64::MAX).min(value.saturating_add(1)),
            _ => value,
        };
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(hard) })
            .map_err(|error| format!("the system refuses the limit {name}: {error}"))?;
    }
    Ok(())
}

/// Says why a program cannot be executed, and what to do about it.
fn explain(
    program: &OsStr,
    arguments: &[OsString],
    env: &[(OsString, OsString)],
    error: &io::Error,
) -> String {
    let path = Path::new(program);
    let name = path.display();
    let errno = Errno::from_io_error(error);
    match errno {
        Some(Errno::NOENT) if fs::symlink_metadata(path).is_err() => {
            format!("{name} does not exist: install it, or correct its path")
        }
        Some(Errno::NOENT) => match interpreter(path) {
            Some(interpreter) => format!(
                "{name} is a script for {interpreter}, which does not exist: install that, or correct its first line"
            ),
            None => format!(
                "{name} needs a file that does not exist: the target of a link, or its dynamic loader"
            ),
        },
        Some(Errno::NOTDIR) => {
            format!("{name} does not exist, because a part of its path is no folder: correct it")
        }
        Some(Errno::ACCESS) if path.is_dir() => format!("{name} is a folder: name a program in it"),
        Some(Errno::ACCESS) => format!(
            "{name} may not be executed by the user with uid {}: see its mode (chmod +x), the modes of the folders above it, and \
             whether its file system is mounted noexec",
            getuid().as_raw()
        ),
        Some(Errno::PERM) => format!("{name} may not be executed: {error}"),
        Some(Errno::NOEXEC) => format!("{name} {}", system::NO_PROGRAM),
        Some(Errno::TXTBSY) => format!("{name} is being written: try again when it is complete"),
        Some(Errno::TOOBIG) => {
            let variables = env.iter().map(|(name, value)| name.len() + value.len() + 2);
            let bytes = arguments.iter().map(|argument| argument.len() + 1).chain(variables).sum::<usize>();
            format!(
                "{name} was given {bytes} bytes of arguments and environment, more than the system passes on (128 KiB in one of \
                 them): pass long values by its standard input"
            )
        }
        Some(Errno::NOMEM | Errno::AGAIN) => {
            format!(
                "{name} cannot be started: {error}: check memoryBytes and processes of its limits, and the machine"
            )
        }
        // A zero byte cannot be passed on.
        None if error.kind() == ErrorKind::InvalidInput => {
            format!("{name} cannot be given an argument or a variable that contains a zero byte: remove it")
        }
        _ => format!("{name} cannot be executed: {error}"),
    }
}

/// The program that a script names in its first line.
fn interpreter(script: &Path) -> Option<String> {
    // Linux looks at so many bytes.
    let mut line = [0; 256];
    let read = File::open(script).and_then(|mut file| file.read(&mut line)).ok()?;
    let line = line.get(..read)?.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    Some(String::from_utf8_lossy(line).split_whitespace().next()?.to_owned())
}
