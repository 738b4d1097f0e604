//! Acting on the mail that handlers and other threads have left for the loop.
//!
//! *Scope:* in which order. *Not in scope:* the mailbox itself (`mailbox`), and finishing a call (`run`).
//!
//! ```text
//!  from another thread, in the next turn:  progress, logs ─▶ what has changed ─▶ results
//!  from a handler on the loop's thread:                      what has changed ─▶ its result, in the same turn
//! ```

use crate::protocol::kinds::ListKind;
use crate::runtime::handler_service::HandlerService;
use crate::runtime::updates::write_log;
use crate::server::mailbox::{Inbox, Update};
use crate::service::outbox::{Audience, Outbox, Outgoing, Slot};
use crate::timers::Now;

impl HandlerService {
    /// Of a burst of logs for everybody, one turn takes only as many as all streams have room for, so that clients that read
    /// can catch up before the next turn. Mail that was left after those logs waits with the rest of them.
    pub(crate) fn take_mail(&mut self, now: Now, out: &mut Outbox) {
        let mut mail = self.mailbox.take();
        #[cfg(feature = "stateless")]
        if let Some(seal) = mail.seal.take() {
            self.stateless.seal = seal;
        }
        for begun in std::mem::take(&mut mail.begun) {
            self.take_begun(begun, now);
        }
        for (call, progress) in std::mem::take(&mut mail.progress) {
            self.take_update(call, Update::Progress(progress), out);
        }
        let bytes_max = self.server.limits.buffered_bytes_max / 4 / self.sessions.max(1);
        let mut said = 0;
        let mut logs = std::mem::take(&mut mail.logs).into_iter();
        while said < bytes_max
            && let Some((call, log)) = logs.next()
        {
            let before = out.bytes();
            match call {
                Some(call) => self.take_update(call, log, out),
                None => {
                    write_log(Audience::All, &log, out);
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
        for ended in finished {
            self.take_finished(ended, now, out);
        }
    }

    /// Announces what a handler has changed, before its result.
    pub(crate) fn announce_changes(&mut self, out: &mut Outbox) {
        if self.mailbox.has_mail() {
            let changes = self.mailbox.take_changes();
            self.announce(changes, out);
        }
    }

    /// Makes the changes, and notifies clients.
    fn announce(&mut self, mail: Inbox, out: &mut Outbox) {
        mail.changes.into_iter().for_each(|change| change(&mut self.server.registry));
        for list in mail.changed {
            let method = match list {
                ListKind::Tools => "notifications/tools/list_changed",
                ListKind::Resources => "notifications/resources/list_changed",
                ListKind::Prompts => "notifications/prompts/list_changed",
            };
            out.notify(Outgoing::Latest(Audience::All, Slot::Changed(list)), method, |_| {});
            #[cfg(feature = "stateless")]
            self.stateless.listens.changed(list, method, out);
        }
        let some = mail.updated.iter().map(|uri| Some(&**uri)).filter(|_| !mail.all_updated);
        let updated: Vec<Option<&str>> = some.chain(mail.all_updated.then_some(None)).collect();
        for uri in updated {
            let method = "notifications/resources/updated";
            self.subscriptions.updated(uri, &mut self.server.permit, method, out);
            #[cfg(feature = "stateless")]
            self.stateless.listens.updated(uri, &mut self.server.permit, method, out);
        }
    }
}
