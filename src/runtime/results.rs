//! Sending results.
//!
//! *Scope:* the part that all results share. *Not in scope:* the results themselves (`protocol::content` and its neighbours).

use crate::json::write::Object;
use crate::protocol::cache::CacheHint;
use crate::protocol::meta::Meta;
use crate::protocol::revision::Revision;
use crate::runtime::handler_service::HandlerService;
use crate::service::keys::CallKey;
use crate::service::outbox::Outbox;

impl HandlerService {
    /// Sends a result: the object that `write` appends, and the members that all results have since 2026-07-28.
    pub(crate) fn result(
        &self,
        call: CallKey,
        revision: Revision,
        cache: Option<CacheHint>,
        out: &mut Outbox,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        self.result_with(call, revision, cache, &Meta::EMPTY, out, write);
    }

    /// As [`result`](HandlerService::result), with a `_meta` of its own.
    pub(crate) fn result_with(
        &self,
        call: CallKey,
        revision: Revision,
        cache: Option<CacheHint>,
        meta: &Meta,
        out: &mut Outbox,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        out.written(call, |out| {
            let start = out.len();
            write(out);
            if revision.has_sessions() && meta.is_empty() {
                return;
            }
            let mut result = Object::reopened(out, start);
            if !revision.has_sessions() {
                return self.write_common(&mut result, cache, meta);
            }
            result.member("_meta", meta);
        });
    }
}
