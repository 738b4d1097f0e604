//! The parts of an index of a JSON text.
//!
//! *Scope:* what is noted of one value. *Not in scope:* how it is made (`tape`) and used (`value`).

/// One value, or the name of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Where its text begins.
    pub(crate) start: u32,
    /// Where its text ends.
    pub(crate) end: u32,
    /// How many nodes it has: itself, and what is inside.
    pub(crate) size: u32,
    pub(crate) kind: Kind,
}

impl Node {
    /// How long its text is.
    pub(crate) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }
}

/// What a value is, told by its first byte, and of strings whether they have escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    Str,
    Escaped,
    Array,
    Object,
}
