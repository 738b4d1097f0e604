//! Tools that run commands.
//!
//! *Scope:* from a call to a command that runs, its progress, and its end when nobody waits for the result (`Ticket`).
//! *Not in scope:* what its output becomes (`output`).
//!
//! ```text
//!   arguments ─▶ schema ─▶ defaults ─▶ confirm ─▶ argv, stdin ─▶ a place ─▶ the command ─▶ result
//!                   └ an error for the model   └ again from the start, with the answer
//! ```

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;

use super::commands::{Commands, Places};
use super::{confirm, output};
use crate::cli::manifest::call::PreparedCall;
use crate::cli::manifest::entries::{CommandEntry, Output, ToolEntry};
use crate::cli::process::{CommandSpec, OnLine};
use crate::json::tape::Tape;
use crate::protocol::content::ToolResult;
use crate::protocol::result::Result;
use crate::server::call::Call;
use crate::server::item::Item;
use crate::server::reply::{Deferred, Reply};

/// How much longer than its command a call may take: until the command is killed and its result is there. The wait for a
/// place is not counted separately.
const END_MAX: Duration = Duration::from_secs(6);

/// The variables in which programs expect the trace that they are part of.
const TRACEPARENT: &str = "TRACEPARENT";
const TRACESTATE: &str = "TRACESTATE";

/// The tool of a manifest's entry.
pub(super) fn tool(entry: &ToolEntry, commands: &Commands, wait_max: Duration) -> Item {
    let tool = entry.tool.clone().timeout(call_timeout(&entry.command, wait_max));
    let places = commands.places(entry.command.concurrency);
    let shared = Arc::new(entry.clone());
    let handler = move |arguments: Box<RawValue>, call: &mut Call| start(&shared, &places, &arguments, call);
    tool.handler(handler)
}

/// How long a call may take, the wait for a place included.
pub(super) fn call_timeout(command: &CommandEntry, wait_max: Duration) -> Duration {
    command.timeout.saturating_add(wait_max).saturating_add(END_MAX)
}

/// Checks a call and hands its command over.
fn start(entry: &Arc<ToolEntry>, places: &Places, arguments: &RawValue, call: &mut Call) -> Result<Deferred> {
    let mut tape = Tape::new();
    let prepared = entry.prepare(tape.read(arguments.get())?)?;
    if let Some(confirm) = &entry.confirm {
        confirm::ask(call, &entry.tool.name, confirm, &entry.schema, tape.read(&prepared.arguments)?)?;
    }
    let spec = spec(&entry.command, prepared, entry.output == Output::Lines, call);
    let (entry, places) = (entry.clone(), places.clone());
    Ok(call.defer(move |reply: Reply| run(entry, &places, spec, reply)))
}

fn run(entry: Arc<ToolEntry>, places: &Places, spec: CommandSpec, reply: Reply) {
    let ticket = places.ticket();
    let cancelled = ticket.clone();
    reply.on_abandon(move || cancelled.cancel());
    let reply = Arc::new(Mutex::new(Some(reply)));
    let on_line = (entry.output == Output::Lines).then(|| progress(reply.clone()));
    let done = Box::new(move |finished| {
        let result: ToolResult = output::tool_result(
            &entry.tool.name,
            &entry.command,
            &entry.output,
            entry.output_schema.as_ref(),
            finished,
        );
        if let Some(reply) = reply.lock().unwrap_or_else(PoisonError::into_inner).take() {
            reply.finish(result);
        }
    });
    places.run(&ticket, spec, on_line, done);
}

/// Sends each line as progress.
fn progress(reply: Arc<Mutex<Option<Reply>>>) -> OnLine {
    let mut count = 0.0;
    Box::new(move |line| {
        count += 1.0;
        if let Some(reply) = &*reply.lock().unwrap_or_else(PoisonError::into_inner) {
            reply.progress(count, None, Some(line));
        }
    })
}

/// The command of a call. If the call is traced, the command can go on with the trace.
pub(super) fn spec(
    command: &CommandEntry,
    prepared: PreparedCall,
    lines: bool,
    call: &Call<'_>,
) -> CommandSpec {
    let trace = call.trace_context().filter(|_| !command.env.iter().any(|(name, _)| name == TRACEPARENT));
    let traced = trace
        .iter()
        .flat_map(|trace| [(TRACEPARENT, Some(trace.traceparent())), (TRACESTATE, trace.tracestate())]);
    let traced = traced.filter_map(|(name, value)| Some((name.into(), value?.into())));
    CommandSpec {
        argv: prepared.argv.into_iter().map(Into::into).collect(),
        env: command.env.iter().map(|(name, value)| (name.into(), value.into())).chain(traced).collect(),
        cwd: command.cwd.clone(),
        stdin: prepared.stdin.map(String::into_bytes),
        rlimits: command.rlimits,
        timeout: command.timeout,
        output_bytes_max: command.output_bytes_max,
        lines,
    }
}
