//! `mcp-rill limits`: the most that a configuration can take.
//!
//! *Scope:* memory, processes, descriptors and threads, by what bounds them. *Not in scope:* what the commands of a manifest
//! take themselves, beyond their number.

use std::fmt::Write;
use std::process::ExitCode;

use super::args::{self, Serve, Syntax, Task};
use super::bounds::{self, Value, WAITING_BYTES_MAX, WAITING_CALLS_MAX};
use super::manifest::Manifest;
use super::manifest::entries::{CommandEntry, ResourceContent};
use super::process::ProcessLimits;
use super::verb::Verb;
use super::{Failure, NAME, descriptors, mcp_servers, print, serve_manifest};
use crate::limits::Limits;

pub(super) const LIMITS: Verb = Verb {
    name: "limits",
    about: "Show the most memory and processes that serving can take",
    usage: "limits [FILE|DIR] [OPTIONS]",
    options: "  FILE|DIR            The manifest, or a folder of them; without it, the demo
  --limit NAME=VALUE  As for `serve`, like all of its options
Each line has an amount, what takes it, and in parentheses the limit or key that
bounds it. Nothing is served or run. `mcp-rill --help limits` explains limits.",
    examples: [
        ("limits router.json", "Of a manifest."),
        ("limits --limit buffered_bytes_max=16MiB --limit sessions_max=64", "On a small machine."),
    ],
    run: |mut parser| {
        let arguments: Vec<_> = parser.raw_args()?.collect();
        let syntax = Syntax { program: NAME, takes_manifest: true, own: &[] };
        let (mut manifest, mut defaults) = (Manifest::default(), Serve::default());
        if let Task::Serve(options) = args::parse(&syntax, arguments.clone(), Serve::default())?
            && let Some(path) = options.manifest
        {
            manifest = serve_manifest::load(&path)?;
            defaults = serve_manifest::settings(&manifest.server);
        }
        if let Task::Serve(options) = args::parse(&syntax, arguments, defaults)? {
            options.limits.check().map_err(Failure::usage)?;
            print(&table(&options.limits, &manifest))?;
        }
        Ok(ExitCode::SUCCESS)
    },
};

/// Bytes that a connection and a session take, and what a client says of itself; `cargo bench --bench idle` measures them.
const CONNECTION_BYTES: usize = 300;
const SESSION_BYTES: usize = 400;
const CLIENT_BYTES: usize = 400;
/// What a command takes of the system: itself and its guard.
const PROCESSES_OF_COMMAND: usize = 2;
/// Bytes of a bridged process, besides what waits for it, which is data of peers.
const BRIDGED_BYTES: usize = 4 << 10;
/// Buffers that are kept for the next message.
const REUSED_BYTES: u64 = 1 << 20;

fn table(limits: &Limits, manifest: &Manifest) -> String {
    let processes = ProcessLimits::default();
    let running = processes.running_max.min(concurrency(manifest));
    let mut out = String::new();
    let workers = limits.workers.saturating_add(limits.workers_stuck_max);

    let mut memory = vec![
        (product(limits.buffered_bytes_max, 1), "data of peers (buffered_bytes_max)".to_owned()),
        (
            product(limits.connections_max, CONNECTION_BYTES),
            format!("{} connections (connections_max)", limits.connections_max),
        ),
        (
            product(limits.sessions_max, SESSION_BYTES + CLIENT_BYTES),
            format!(
                "{} sessions and what their clients say of themselves (sessions_max)",
                limits.sessions_max
            ),
        ),
        (
            product(limits.turn_bytes_max, 1).saturating_add(REUSED_BYTES),
            "buffers that are used again (turn_bytes_max)".to_owned(),
        ),
    ];
    if running > 0 {
        let each = commands(manifest).map(output_bytes).max().unwrap_or(0);
        memory.push((
            product(each, running).min(product(processes.captured_bytes_max, 1)),
            format!("output of {running} commands that run (outputBytesMax, bytesMax, concurrency)"),
        ));
        memory.push((
            product(WAITING_BYTES_MAX, 1),
            format!("arguments of {WAITING_CALLS_MAX} calls that wait for a command"),
        ));
    }
    let bridged = mcp_servers::processes_max(&manifest.mcp_servers);
    if bridged > 0 {
        memory.push((
            product(bridged, BRIDGED_BYTES),
            format!("{bridged} bridged processes (childrenMax of mcpServers)"),
        ));
        memory.push((
            product(2 * manifest.mcp_servers.len(), limits.turn_bytes_max),
            "two buffers for the messages of each of mcpServers (turn_bytes_max)".to_owned(),
        ));
    }
    let file = manifest.resources.iter().filter(|resource| is_file(&resource.content));
    if let Some(bytes_max) = file.map(|resource| resource.bytes_max).max() {
        memory.push((
            product(bytes_max, workers),
            format!("{workers} files that are read (bytesMax, workers)"),
        ));
    }
    memory.push((
        sum(&memory) / 2,
        "half of that: pages, holes that growing buffers leave, and what the allocator keeps".to_owned(),
    ));
    memory.push((
        product(limits.buffered_bytes_max / 4, 1).max(product(limits.message_bytes_max, 2)),
        "results that another thread handed over, in its heap (buffered_bytes_max, message_bytes_max)"
            .to_owned(),
    ));
    section(&mut out, "memory");
    for (bytes, what) in &memory {
        row(&mut out, &mib(*bytes), what);
    }
    row(&mut out, &mib(sum(&memory)), "together; besides, each message in work, as its handler takes it");

    section(&mut out, "processes");
    row(&mut out, "1", "the server");
    if running > 0 {
        row(
            &mut out,
            &(running * PROCESSES_OF_COMMAND).to_string(),
            &format!(
                "of {running} commands, each with a guard; a command may start more (rlimits.processes)"
            ),
        );
    }

    if bridged > 0 {
        row(
            &mut out,
            &(bridged * PROCESSES_OF_COMMAND).to_string(),
            &format!("of {bridged} bridged processes, each with a guard; a process may start more"),
        );
    }

    section(&mut out, "threads");
    let mut threads = vec![(2, "the loop, and signals")];
    if running > 0 || !manifest.resources.is_empty() {
        threads.push((2, "what watches commands and files"));
    }
    if bridged > 0 {
        threads.push((1, "what starts bridged processes"));
    }
    for (count, what) in threads {
        row(&mut out, &count.to_string(), what);
    }
    row(&mut out, &workers.to_string(), "for handlers that block (workers, workers_stuck_max)");

    section(&mut out, "descriptors");
    row(&mut out, &limits.connections_max.to_string(), "connections (connections_max)");
    row(
        &mut out,
        &limits.health_connections_max.to_string(),
        "connections for health checks (health_connections_max)",
    );
    row(&mut out, &descriptors::OTHERS.to_string(), "standard streams, listeners, and a few to spare");
    if running > 0 {
        row(&mut out, &(running * descriptors::OF_COMMAND).to_string(), &format!("of {running} commands"));
    }
    if bridged > 0 {
        row(
            &mut out,
            &(bridged * descriptors::OF_BRIDGED).to_string(),
            &format!("of {bridged} bridged processes"),
        );
    }

    section(&mut out, "bounds that are fixed");
    for (name, value, meaning) in [
        (
            "commands_running_max",
            Value::Count(processes.running_max),
            "Commands that run at a time. One more is refused as busy.",
        ),
        (
            "captured_bytes_max",
            Value::Count(processes.captured_bytes_max),
            "Bytes of output and input of all commands that run. A command that could have more is refused as busy.",
        ),
        (
            "line_bytes_max",
            Value::Count(processes.line_bytes_max),
            "Bytes of a line that is progress; the rest of it is dropped.",
        ),
        (
            "stderr_bytes_max",
            Value::Count(processes.stderr_bytes_max),
            "Bytes of a command's standard error that are kept: the last ones.",
        ),
        (
            "kill_delay",
            Value::Time(processes.kill_delay),
            "Time for a command to end after TERM; then all that is left of it is sent KILL.",
        ),
        (
            "abandon_delay",
            Value::Time(processes.abandon_delay),
            "Time for a command to end after KILL; then its call is answered, and its guard goes on alone.",
        ),
    ] {
        row(&mut out, &value.to_string(), &format!("{name}: {meaning}"));
    }
    for (name, value, meaning) in bounds::ALL.iter().copied().flatten() {
        row(&mut out, &value.to_string(), &format!("{}: {}", bounds::shown(name), meaning.trim_start()));
    }
    out
}

fn section(out: &mut String, name: &str) {
    let break_ = if out.is_empty() { "" } else { "\n" };
    let _ = writeln!(out, "{break_}{name}");
}

fn row(out: &mut String, amount: &str, what: &str) {
    let _ = writeln!(out, "{amount:>12}  {what}");
}

/// Returns the bytes of that many things, which a word of 32 bits might not hold.
fn product(count: usize, each: usize) -> u64 {
    (count as u64).saturating_mul(each as u64)
}

fn sum(memory: &[(u64, String)]) -> u64 {
    memory.iter().fold(0, |sum, (bytes, _)| sum.saturating_add(*bytes))
}

/// With one digit behind the point.
fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / (1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

fn is_file(content: &ResourceContent) -> bool {
    !matches!(content, ResourceContent::Command(_))
}

fn commands(manifest: &Manifest) -> impl Iterator<Item = &CommandEntry> {
    let of_resources = manifest.resources.iter().filter_map(|resource| match &resource.content {
        ResourceContent::Command(command) => Some(&**command),
        ResourceContent::File(_) | ResourceContent::Directory(_) => None,
    });
    manifest.tools.iter().map(|tool| &tool.command).chain(of_resources)
}

fn output_bytes(command: &CommandEntry) -> usize {
    command.output_bytes_max
}

/// How many commands may run at once by the manifest alone.
fn concurrency(manifest: &Manifest) -> usize {
    commands(manifest).fold(0, |sum, command| sum.saturating_add(command.concurrency))
}
