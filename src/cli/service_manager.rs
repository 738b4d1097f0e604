//! What a service manager is told: systemd's protocol, which other managers and container runtimes speak too.
//!
//! *Scope:* messages to the socket that `NOTIFY_SOCKET` names, and the watchdog. *Not in
//! scope:* sockets that it hands over (`activation`).
//!
//! ```text
//!  listens ──▶ READY=1     SIGHUP ──▶ RELOADING=1 … READY=1     SIGTERM ──▶ STOPPING=1     each turn of the loop in time ──▶ WATCHDOG=1
//! ```

use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::server::handle::Handle;
use crate::threads;

/// The service manager, if there is one. Clones speak to the same one.
#[derive(Clone, Default)]
pub(super) struct Manager(Option<Arc<Told>>);

struct Told {
    socket: UnixDatagram,
    address: OsString,
    /// How many files are being read again.
    reloading: AtomicUsize,
}

impl Manager {
    /// The manager that the environment names.
    ///
    /// # Errors
    /// If the system has no socket left.
    pub(super) fn from_environment() -> io::Result<Manager> {
        let Some(address) = std::env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else {
            return Ok(Manager::default());
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not hold up the server.
        socket.set_nonblocking(true)?;
        Ok(Manager(Some(Arc::new(Told { socket, address, reloading: AtomicUsize::new(0) }))))
    }

    /// Tells it something, if it is there and reads.
    pub(super) fn tell(&self, state: &str) {
        if let Some(told) = &self.0 {
            let _ = told.send(state.as_bytes());
        }
    }

    /// So many files are about to be read again.
    pub(super) fn begin_reload(&self, count: usize) {
        if let Some(told) = &self.0 {
            told.reloading.fetch_add(count, Ordering::AcqRel);
            self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_micros()));
            if count == 0 {
                self.tell("READY=1");
            }
        }
    }

    /// One of them has been read, or could not be.
    pub(super) fn end_reload(&self) {
        if let Some(told) = &self.0
            && told.reloading.fetch_sub(1, Ordering::AcqRel) == 1
        {
            self.tell("READY=1");
        }
    }

    /// Starts the watchdog if the manager wants one: a thread that says that the server lives, as long as its loop turns. Returns what
    /// each turn has to set; `None` if there is no watchdog.
    ///
    /// # Errors
    /// If the system starts no thread.
    pub(super) fn watch(&self, handle: Handle) -> io::Result<Option<Arc<AtomicBool>>> {
        let Some(interval) = watchdog_interval().filter(|_| self.0.is_some()) else { return Ok(None) };
        let turned = Arc::new(AtomicBool::new(true));
        let (manager, seen) = (self.clone(), turned.clone());
        threads::start("watchdog", move || {
            while !handle.has_ended() {
                if seen.swap(false, Ordering::AcqRel) {
                    manager.tell("WATCHDOG=1");
                }
                // An idle loop has to turn, too.
                handle.0.wake();
                thread::sleep(interval / 2);
            }
        })?;
        Ok(Some(turned))
    }
}

impl Told {
    fn send(&self, state: &[u8]) -> io::Result<usize> {
        #[cfg(target_os = "linux")]
        {
            use std::os::linux::net::SocketAddrExt;
            use std::os::unix::ffi::OsStrExt;
            use std::os::unix::net::SocketAddr;
            if let Some(name) = self.address.as_bytes().strip_prefix(b"@") {
                return self.socket.send_to_addr(state, &SocketAddr::from_abstract_name(name)?);
            }
        }
        self.socket.send_to(state, &self.address)
    }
}

/// The time within which the manager wants to hear of this process, at least once.
fn watchdog_interval() -> Option<Duration> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|micros| *micros > 0 && is_meant).map(Duration::from_micros)
}

fn monotonic_micros() -> i128 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    i128::from(time.tv_sec) * 1_000_000 + i128::from(time.tv_nsec) / 1000
}
