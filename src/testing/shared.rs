//! What all clients of one harness share: the server, its time, its threads, and the faults.
//!
//! *Scope:* turns of the engine, and waiting for other threads. *Not in scope:* what clients say.
#![allow(
    clippy::disallowed_methods,
    reason = "handlers on other threads are waited for, which needs a clock"
)]

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::access::peer::Peer;
use crate::engine::Engine;
use crate::engine::observe::Event;
use crate::testing::faults::{Faults, FaultsSeen};
use crate::testing::random::Random;
use crate::testing::sockets::{Cut, Sock, Sockets};

/// How long nothing may come from other threads.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Shared {
    pub(super) sockets: Sockets,
    /// Gets something when another thread has left something for the engine.
    woken: Receiver<()>,
    pub(super) patience: Duration,
    pub(super) faults: Faults,
    pub(super) random: Random,
    seen: FaultsSeen,
    /// Sockets whose client reads slowly.
    slow: Vec<Sock>,
    /// Mistakes of handlers that the server has reported.
    reports: Arc<Mutex<Vec<String>>>,
}

impl Shared {
    pub(super) fn new(mut engine: Engine) -> Shared {
        let (wake, woken) = channel();
        engine.set_waker(move || {
            let _ = wake.send(());
        });
        let reports = Arc::new(Mutex::new(Vec::new()));
        let reported = reports.clone();
        let observer = move |event: &Event<'_>| {
            if let Event::HandlerFault { problem } = event {
                let mut reports = reported.lock().unwrap_or_else(PoisonError::into_inner);
                reports.push((*problem).to_owned());
            }
        };
        let mut sockets = Sockets::new(engine, Cut::Whole, Cut::Whole, observer);
        let clock = sockets.clock();
        sockets.engine.set_clock(clock);
        let none = Faults::seed(0).torn(false).lost_streams(false).slow_readers(false);
        Shared {
            sockets,
            woken,
            patience: PATIENCE,
            faults: none,
            random: Random::new(0),
            seen: FaultsSeen::default(),
            slow: Vec::new(),
            reports,
        }
    }

    pub(super) fn set_faults(&mut self, faults: Faults) {
        let cut = if faults.torn { Cut::Torn(faults.seed) } else { Cut::Whole };
        self.sockets.cut(cut, cut);
        (self.faults, self.random) = (faults, Random::new(!faults.seed));
    }

    pub(super) fn faults_seen(&self) -> FaultsSeen {
        FaultsSeen { cut_writes: self.sockets.cuts(), ..self.seen }
    }

    /// Takes the mistakes that were reported since the last call.
    pub(super) fn take_reports(&self) -> Vec<String> {
        std::mem::take(&mut *self.reports.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn connect(&mut self, peer: Peer, lines: bool) -> Sock {
        let sock = match lines {
            true => self.sockets.connect_lines_as(peer),
            false => self.sockets.connect_as(peer),
        };
        if self.faults.slow_readers {
            self.slow.push(sock);
            let window = self.random.below(256);
            self.sockets.reads_only(sock, window);
        }
        sock
    }

    /// Lets the server do what there is to do at this time, and starts the threads that it wants.
    pub(super) fn turn(&mut self) {
        self.sockets.tick();
        self.sockets.start_threads();
    }

    /// True if the connection is to break now.
    pub(super) fn breaks(&mut self) -> bool {
        self.faults.lost_streams && self.random.below(4) == 0
    }

    pub(super) fn note_lost_stream(&mut self) {
        self.seen.lost_streams += 1;
    }

    /// Slow clients read a little. Returns true if any of them held the server up.
    pub(super) fn read_slowly(&mut self) -> bool {
        let slow = self.slow.iter().copied();
        let stuck: Vec<Sock> =
            slow.filter(|sock| self.sockets.blocked(*sock) && !self.sockets.closed(*sock)).collect();
        for sock in &stuck {
            let window = 1 + self.random.below(512);
            self.sockets.reads_only(*sock, window);
            self.seen.stalls += 1;
        }
        !stuck.is_empty()
    }

    /// True if the server has left something for another turn at this time.
    pub(super) fn is_due(&mut self) -> bool {
        let now = self.sockets.now.mono;
        self.sockets.deadline().is_some_and(|due| due <= now)
    }

    /// Lets time pass. Slow clients read everything before it does: that they are slow is not what is tested with time.
    pub(super) fn advance(&mut self, time: Duration) {
        for sock in self.slow.clone() {
            if !self.sockets.closed(sock) {
                self.sockets.reads_all(sock);
            }
        }
        self.sockets.advance(time);
        self.sockets.start_threads();
    }

    /// Lets time pass up to the next deadline of the server. Returns how long that was; `None` if there is no deadline.
    pub(super) fn advance_to_deadline(&mut self) -> Option<Duration> {
        let time = self.sockets.deadline()?.saturating_sub(self.sockets.now.mono);
        self.advance(time);
        Some(time)
    }

    /// When waiting for other threads has been in vain.
    pub(super) fn give_up_at(&self) -> Instant {
        Instant::now() + self.patience
    }

    /// Waits until another thread has left something. Returns false if none has in time.
    pub(super) fn wait_for_threads(&self, until: Instant) -> bool {
        self.woken.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok()
    }
}
