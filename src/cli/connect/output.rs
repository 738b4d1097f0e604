//! Standard output: messages, one a line, and nothing else.
//!
//! While its reader does not read, one thread waits in a write with one message, and every other thread waits for that before it
//! reads more from the remote server: what is held stays as it is.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Another program that shares the descriptor may have made it non-blocking. Nothing says when it is ready again.
const NOT_READY_WAIT: Duration = Duration::from_millis(5);

pub(super) struct Output {
    file: Mutex<File>,
    /// The same, to look at while a thread is stuck in a write.
    watched: File,
}

impl Output {
    pub(super) fn open() -> io::Result<Output> {
        let open = || io::stdout().as_fd().try_clone_to_owned().map(File::from);
        Ok(Output { file: Mutex::new(open()?), watched: open()? })
    }

    /// Writes one message.
    ///
    /// # Errors
    /// If nobody reads it any more.
    pub(super) fn write(&self, message: &[u8]) -> io::Result<()> {
        let line = [message, b"\n"].concat();
        let mut rest = line.as_slice();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(NOT_READY_WAIT),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until no message waits for its reader.
    pub(super) fn wait_until_read(&self) {
        drop(self.file.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// True if nobody will read it any more.
    pub(super) fn is_gone(&self) -> bool {
        let mut watched = [PollFd::new(&self.watched, PollFlags::empty())];
        // What cannot be looked at fails when it is written to.
        let found = poll(&mut watched, Some(&Timespec::default())).unwrap_or(0);
        let ended = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        found > 0 && watched.iter().any(|watched| watched.revents().intersects(ended))
    }
}
