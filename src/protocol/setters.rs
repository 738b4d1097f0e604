//! The methods by which an author fills in what a server sends.
//!
//! *Scope:* the macro `setters!`, which states them one a line. *Not in scope:* methods that do more than to put a value
//! into its place.

/// A place that a setter puts a value into.
pub(crate) trait Slot {
    type Value;

    fn put(&mut self, value: Self::Value);
}

/// The value replaces the one before.
impl<T> Slot for Option<T> {
    type Value = T;

    fn put(&mut self, value: T) {
        *self = Some(value);
    }
}

/// The value is added.
impl<T> Slot for Vec<T> {
    type Value = T;

    fn put(&mut self, value: T) {
        self.push(value);
    }
}

/// Adds setters to a type: each takes an argument of this type, puts it into this place of the type, and returns the rest
/// as it was.
macro_rules! setters {
    ($type:ident { $( $(#[$doc:meta])* $name:ident($argument:ty) => $($place:ident).+; )+ }) => {
        impl $type { $(
            $(#[$doc])*
            pub fn $name(mut self, $name: $argument) -> $type {
                $crate::protocol::setters::Slot::put(&mut self.$($place).+, $name.into());
                self
            }
        )+ }
    };
}

pub(crate) use setters;
