//! What handlers keep for a session.
//!
//! *Scope:* [`SessionData`]. *Not in scope:* the methods that reach it (`call`), and the table of it, which the service drops with the
//! session (`handler_service`).

use std::any::Any;
use std::fmt;

/// The values that are kept for a session, one of each type.
#[derive(Default)]
pub(crate) struct SessionData(Vec<Box<dyn Any + Send>>);

impl SessionData {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get<T: 'static>(&mut self) -> Option<&mut T> {
        self.0.iter_mut().find_map(|value| value.downcast_mut())
    }

    pub(crate) fn get_or_insert_with<T: Send + 'static>(
        &mut self,
        value: impl FnOnce() -> T,
    ) -> Option<&mut T> {
        if self.get::<T>().is_none() {
            self.0.push(Box::new(value()));
        }
        self.get()
    }
}

impl fmt::Debug for SessionData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionData({})", self.0.len())
    }
}
