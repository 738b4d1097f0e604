//! How many files the system lets this process have open: each connection is one.
//!
//! *Scope:* the soft limit is raised as far as allowed, and a warning says what is still missing. *Not in scope:* what happens
//! when descriptors run out; the loop copes with that.

use crate::limits::Limits;

/// Descriptors besides those of connections: standard streams, the event queue, listeners, and a few to spare.
pub(super) const OTHERS: u64 = 32;
/// Those of one command that runs: its pipes, and the socket of its guard.
pub(super) const OF_COMMAND: usize = 4;
/// Those of one bridged process: besides, the other ends of three of these until it has started.
pub(super) const OF_BRIDGED: usize = OF_COMMAND + 3;

/// Raises the soft limit on open files to what `connections_max`, `refused_connections_max`, `health_connections_max` and that many
/// bridged processes need. Returns a warning if the hard limit forbids it.
#[cfg(target_os = "linux")]
pub(super) fn raise(limits: &Limits, bridged: usize) -> Option<String> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let connections = limits.connections_max.saturating_add(limits.refused_connections_max);
    let connections = connections.saturating_add(limits.health_connections_max);
    let of_processes = bridged.saturating_mul(OF_BRIDGED);
    let needed =
        u64::try_from(connections.saturating_add(of_processes)).unwrap_or(u64::MAX).saturating_add(OTHERS);
    let soft = current.unwrap_or(u64::MAX);
    if soft >= needed {
        return None;
    }
    let wanted = needed.min(maximum.unwrap_or(u64::MAX));
    let now = match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => wanted,
        Err(_) => soft,
    };
    (now < needed).then(|| {
        format!(
            "the limit connections_max is {}, but the system allows only {now} open files (ulimit -n), {} of them for \
             other things; further clients will wait. Raise one or lower the other",
            limits.connections_max,
            OTHERS.saturating_add(u64::try_from(of_processes).unwrap_or(u64::MAX))
        )
    })
}

/// The standard library cannot ask.
#[cfg(not(target_os = "linux"))]
pub(super) fn raise(_: &Limits, _: usize) -> Option<String> {
    None
}
