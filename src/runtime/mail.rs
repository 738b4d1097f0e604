//! Acting on the mail that handlers and other threads have left for the loop.
//!
//! *Scope:* in which order. *Not in scope:* the mailbox itself (`mailbox`), and finishing a call (`run`).
//!
//! ```text
//!  from another thread, in the next turn:  progress, logs ─▶ what has changed ─▶ results
//!  from a handler on the loop's thread:                      what has changed ─▶ its result, in the same turn
//! ```

use crate::protocol::kinds::ListKind;
use crate::protocol::viewers::Viewers;
use crate::runtime::announcing::Place;
use crate::runtime::handler_service::HandlerService;
use crate::runtime::updates::write_log;
use crate::server::mailbox::{Inbox, Update};
use crate::service::outbox::{Outbox, Outgoing, Slot};
use crate::timers::Now;

impl HandlerService {
    /// Of a burst of logs for all clients, one turn takes only as many as all streams have room for, so that clients that read
    /// can catch up before the next turn. Mail that was left after those logs waits with the rest of them, and while there is more to
    /// tell than one turn may, new mail waits.
    pub(crate) fn take_mail(&mut self, now: Now, out: &mut Outbox) {
        self.go_on_announcing(now, out);
        // The loop was woken for mail that is left, and is not woken for it again.
        self.announcing.has_mail = out.is_full();
        if !out.is_full() {
            self.take_new_mail(now, out);
            self.go_on_announcing(now, out);
        }
    }

    fn take_new_mail(&mut self, now: Now, out: &mut Outbox) {
        let mut mail = self.mailbox.take();
        self.take_seal(&mut mail);
        for begun in std::mem::take(&mut mail.begun) {
            self.take_begun(begun, now);
        }
        for gave_way in std::mem::take(&mut mail.gave_way) {
            self.refuse_queued(gave_way, out);
        }
        for (call, progress) in std::mem::take(&mut mail.progress).into_entries() {
            self.take_update(call, Update::Progress(progress), out);
        }
        let bytes_max = self.server.limits.buffered_bytes_max / 4 / self.sessions.max(1);
        let mut said = 0;
        let mut logs = std::mem::take(&mut mail.logs).into_iter();
        while said < bytes_max
            && !out.is_full()
            && let Some((call, log)) = logs.next()
        {
            let before = out.bytes();
            match call {
                Some(call) => self.take_update(call, log, out),
                None => {
                    write_log(self.mailbox.everyone(), &log, out);
                    said += out.bytes() - before;
                }
            }
        }
        mail.logs = logs.collect();
        if !mail.logs.is_empty() {
            return self.mailbox.put_back(mail);
        }
        let finished = std::mem::take(&mut mail.finished);
        self.announce(mail, out);
        self.announcing.add_finished(finished);
    }

    /// Announces what a handler has changed, before its result. Updates that very many clients hear of may come after it.
    pub(crate) fn announce_changes(&mut self, out: &mut Outbox) {
        if self.mailbox.has_mail() {
            let changes = self.mailbox.take_changes();
            self.announce(changes, out);
            self.tell_updates(out);
        }
    }

    /// Makes the changes, and notifies clients of those to lists. Updates of resources are left to be told.
    fn announce(&mut self, mail: Inbox, out: &mut Outbox) {
        mail.changes.into_iter().for_each(|change| change(&mut self.server.registry));
        for list in ListKind::ALL {
            let mut viewers = self.server.registry.take_changed(list);
            let of_list = mail.changed.iter().filter(|(changed, _)| *changed == list);
            of_list.filter_map(|(_, only)| only.clone()).for_each(|only| viewers.add_principal(only));
            if mail.changed.contains(&(list, None)) {
                viewers = Viewers::ALL;
            }
            if viewers.is_empty() {
                continue;
            }
            let kind = Outgoing::Latest(self.mailbox.everyone(), Slot::Changed(list));
            out.notify_viewers(&viewers, kind, list.changed(), |_| {});
            self.tell_of_change(list, &viewers, out);
        }
        let of_all = mail.updated.into_iter().map(|uri| (uri, None));
        let of_one = mail.updated_for.into_iter().map(|(uri, principal)| (uri, Some(principal)));
        self.announcing.add(of_all.chain(of_one), mail.all_updated, self.server.limits.mailbox_max);
    }
}

/// Telling, a part in each turn.
impl HandlerService {
    /// Goes on until the outbox is full or nothing is left.
    pub(crate) fn go_on_announcing(&mut self, now: Now, out: &mut Outbox) {
        loop {
            self.tell_updates(out);
            if out.is_full() {
                return;
            }
            match self.announcing.pop_finished() {
                Some(ended) => {
                    self.take_finished(ended, now, out);
                    self.mailbox.note_room();
                }
                None if self.announcing.is_empty() => return,
                None => {}
            }
        }
    }

    /// Tells those who hear of them of updates, until the outbox is full.
    pub(crate) fn tell_updates(&mut self, out: &mut Outbox) {
        while !out.is_full()
            && let Some((uri, only)) = self.announcing.first()
        {
            let (uri, only) = (uri.as_deref(), only.as_ref());
            if let Place::Subscriptions(place) = &mut self.announcing.place {
                let place = place.take();
                let stopped = self.subscriptions.updated(uri, only, place, &mut self.server, out);
                self.announcing.place = match stopped {
                    Some(place) => Place::Subscriptions(Some(place)),
                    None => Place::Listens(None),
                };
            } else if let Place::Listens(place) = &mut self.announcing.place {
                let place = place.take();
                match self.tell_of_update(uri, only, place, out) {
                    Some(place) => self.announcing.place = Place::Listens(Some(place)),
                    None => self.announcing.told(),
                }
            }
        }
    }
}
