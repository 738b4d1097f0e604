//! How many files the system lets this process have open: each connection is one.
//!
//! *Scope:* the soft limit is raised as far as it may be, and what is still missing is said. *Not in scope:* what happens when
//! descriptors run out; the loop copes with that.

use mcp_rill::Limits;

/// Descriptors besides those of connections: standard streams, the event queue, listeners, and a few to spare.
#[cfg(target_os = "linux")]
const OTHERS: u64 = 32;

/// Raises the soft limit on open files to what `connections_max` needs. Returns a warning if the hard limit forbids it.
#[cfg(target_os = "linux")]
pub(super) fn raise(limits: &Limits) -> Option<String> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let needed = u64::try_from(limits.connections_max).unwrap_or(u64::MAX).saturating_add(OTHERS);
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
            "the limit connections_max is {}, but the system allows only {now} open files (ulimit -n), {OTHERS} of them for \
             other things; further clients will wait. Raise one or lower the other",
            limits.connections_max
        )
    })
}

/// The standard library cannot ask.
#[cfg(not(target_os = "linux"))]
pub(super) fn raise(_: &Limits) -> Option<String> {
    None
}
