//! `--eager`: the child that all clients have runs without a request.
//!
//! *Scope:* when it is started. *Not in scope:* how (`life`).
//!
//! ```text
//!  the bridge begins ──▶ at once
//!  the child has ended, or cannot be started ──▶ after 100 ms, 200 ms … 30 s
//!  it had run for 30 s ──▶ after 100 ms again
//! ```
//!
//! A request does not wait for that time if the child has served before: it starts the next one as it does without `--eager`.

use std::time::Duration;

use super::child::Child;
use super::life::back_off;
use super::options::Restart;
use super::service::{Bridge, Eager};
use super::tables::{Group, Owner};
use crate::cli::bounds::CHILD_BACK_OFF_MAX;

impl Bridge {
    fn is_eager(&self, owner: &Owner) -> bool {
        self.options.eager && *owner == Owner::Shared(Group::default())
    }

    /// A child was started, with or without a request.
    pub(super) fn note_start(&mut self, owner: &Owner) {
        if self.is_eager(owner) {
            (self.eager.start_at, self.eager.started_at) = (None, self.now);
        }
    }

    /// A child has ended, or could not be started: the next one has a time.
    pub(super) fn plan_start(&mut self, owner: &Owner) {
        if !self.is_eager(owner) || self.options.restart == Restart::Never {
            return;
        }
        let not_before = self.place(owner).map_or(Duration::ZERO, |place| place.not_before);
        let Eager { start_at, started_at, short_runs } = &mut self.eager;
        if self.now.saturating_sub(*started_at) >= CHILD_BACK_OFF_MAX {
            *short_runs = 0;
        }
        *start_at = Some(not_before.max(self.now + back_off(*short_runs)));
        *short_runs = short_runs.saturating_add(1);
    }

    /// Starts the child if its time has come.
    pub(super) fn start_eagerly(&mut self) {
        if self.eager_due().is_none_or(|due| due > self.now) {
            return;
        }
        self.eager.start_at = None;
        let owner = Owner::Shared(Group::default());
        let child = self.place(&owner).and_then(|place| place.child);
        if child.and_then(|key| self.pool.get(key)).is_some_and(Child::serves) {
            return;
        }
        // Why it cannot be started was logged. It was not noted as a failure if there is no room for one more child.
        if self.start(&owner).is_err() && self.eager.start_at.is_none() {
            self.plan_start(&owner);
        }
    }

    /// When the child is started without a request.
    pub(super) fn eager_due(&self) -> Option<Duration> {
        self.eager.start_at.filter(|_| !self.stopping)
    }
}
