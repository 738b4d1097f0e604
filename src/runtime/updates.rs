//! Progress and logs of a call, as notifications.
//!
//! *Scope:* writing them to the outbox. *Not in scope:* the way to the loop (`mailbox`), and to the client (the engine).

use crate::json;
use crate::protocol::revision::Revision;
use crate::runtime::calls::{Purpose, Run};
use crate::server::mailbox::{Progress, Update};
use crate::service::outbox::{Audience, Outbox, Outgoing, Slot};

/// Sends an update. Progress that does not grow is left out.
pub(crate) fn emit(run: &mut Run<'_>, update: Update, out: &mut Outbox) {
    match update {
        // Its stream is for notifications of changes, and has not begun (MCP 2026-07-28, subscriptions).
        _ if run.purpose == Purpose::Listen => {}
        Update::Progress(Progress { done, total, message }) => {
            let grows = done.is_finite() && run.progress.is_none_or(|before| done > before);
            let Some(token) = run.call.context.progress_token().filter(|_| grows) else { return };
            let kind = Outgoing::Latest(run.audience(), Slot::Progress(run.key));
            let revision = run.call.context.revision;
            out.notify(kind, "notifications/progress", |params| {
                params.raw("progressToken", token).f64("progress", done);
                if let Some(total) = total {
                    params.f64("total", total);
                }
                params.opt_str("message", message.as_deref().filter(|_| revision >= Revision::V2025_03_26));
            });
            run.progress = Some(done);
        }
        Update::Disconnect(retry) => out.disconnect(run.key, retry),
        log => write_log(run.audience(), &log, out),
    }
}

pub(crate) fn write_log(audience: Audience, log: &Update, out: &mut Outbox) {
    let Update::Log { level, logger, data } = log else { return };
    out.notify(Outgoing::Log(audience, *level), "notifications/message", |params| {
        params.str("level", level.name()).opt_str("logger", logger.as_deref());
        params.field("data", |out| json::put(out, data));
    });
}
