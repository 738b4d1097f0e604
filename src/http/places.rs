//! Remembers where the fields that every message needs stand in a head that repeats.
//!
//! *Scope:* [`Places`], which a head that repeats keeps. *Not in scope:* looking the fields up (`usual`).

use std::sync::OnceLock;

/// Where the field with a name is among the others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Nowhere,
    At(usize),
    /// There is more than one.
    Several,
}

/// How many fields are looked up for each message, in the transport that looks up most.
const PLACES_MAX: usize = 4;

/// The places of fields that were looked up by literal names, which are told apart by their addresses.
#[derive(Debug, Default)]
pub(crate) struct Places([OnceLock<(&'static str, Place)>; PLACES_MAX]);

impl Places {
    /// The place of a field, which `find` returns where it is not known yet.
    pub(crate) fn of(&self, name: &'static str, find: impl Fn() -> Place) -> Place {
        let mut cells = self.0.iter().map(|cell| cell.get_or_init(|| (name, find())));
        cells.find(|(known, _)| std::ptr::eq(*known, name)).map_or_else(&find, |(_, place)| *place)
    }
}
