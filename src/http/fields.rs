//! The fields of a request's head: as the parser left them, or as places in bytes that were parsed before.
//!
//! *Scope:* [`FieldList`], [`Span`], and what is derived from a head that repeats ([`Derived`]). *Not in scope:* looking fields
//! up by name (`head`), when a head repeats (`remembered`), what the derived numbers mean.

use std::num::TryFromIntError;
use std::sync::OnceLock;

#[cfg(any(feature = "streamable", feature = "stateless"))]
use crate::http::places::Places;

/// A part of a head by its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The place of `part`, which lies in `whole`; `None` if it does not.
    pub(crate) fn of(part: &[u8], whole: &[u8]) -> Option<Span> {
        let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
        let end = start.checked_add(part.len())?;
        whole.get(start..end)?;
        Some(Span { start: start.try_into().ok()?, end: end.try_into().ok()? })
    }

    #[inline]
    pub(crate) fn get(self, whole: &str) -> Option<&str> {
        whole.get(self.start as usize..self.end as usize)
    }

    /// Returns the bytes before this place, those at it, and those after it.
    pub(crate) fn cut(self, whole: &[u8]) -> Option<[&[u8]; 3]> {
        let (before, rest) = whole.split_at_checked(self.start as usize)?;
        let (part, after) = rest.split_at_checked(self.len())?;
        Some([before, part, after])
    }

    #[inline]
    fn len(self) -> usize {
        (self.end - self.start) as usize
    }
}

/// Both ends in one number.
impl From<Span> for u128 {
    fn from(Span { start, end }: Span) -> u128 {
        u128::from(start) << 32 | u128::from(end)
    }
}

impl TryFrom<u128> for Span {
    type Error = TryFromIntError;

    fn try_from(number: u128) -> Result<Span, TryFromIntError> {
        let number = u64::try_from(number)?;
        Ok(Span { start: u32::try_from(number >> 32)?, end: number as u32 })
    }
}

/// The name and the value of a field.
pub(crate) type FieldPlace = (Span, Span);

/// The fields of a head in order.
#[derive(Clone, Copy)]
pub(crate) enum FieldList<'a> {
    Parsed(&'a [httparse::Header<'a>]),
    /// The text of the head, and the places in it.
    Placed(&'a str, &'a [FieldPlace]),
}

impl<'a> FieldList<'a> {
    pub(crate) const EMPTY: FieldList<'static> = FieldList::Parsed(&[]);

    /// The name and the value of each field.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        (0..).map_while(move |at: usize| match self {
            FieldList::Parsed(fields) => fields.get(at).map(|field| (field.name, field.value)),
            FieldList::Placed(text, places) => {
                let (name, value) = places.get(at)?;
                Some((name.get(text)?, value.get(text)?.as_bytes()))
            }
        })
    }

    /// The value of the next field with this name, in any case of letters, from the field `at` on, which becomes the one behind it.
    pub(crate) fn next_named(self, name: &str, at: &mut usize) -> Option<&'a [u8]> {
        match self {
            FieldList::Parsed(fields) => {
                let mut rest = fields.get(*at..)?.iter();
                let found = rest.find(|field| field.name.eq_ignore_ascii_case(name));
                *at = fields.len() - rest.len();
                found.map(|field| field.value)
            }
            FieldList::Placed(text, places) => {
                let mut rest = places.get(*at..)?.iter();
                // Most names differ in their length already.
                let found = rest.find(|(found, _)| {
                    found.len() == name.len()
                        && found.get(text).is_some_and(|found| found.eq_ignore_ascii_case(name))
                });
                *at = places.len() - rest.len();
                found.and_then(|(_, value)| value.get(text)).map(str::as_bytes)
            }
        }
    }
}

/// What is derived from a head, by those who read it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Derivation {
    /// Host and Origin are allowed.
    Site,
    /// The body is JSON.
    ContentType,
    /// The forms of an answer that are accepted.
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    Accept,
    /// The revision that the client speaks.
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    Version,
    /// What serves the request, and which part of the query it needs.
    Target,
    /// The id of the session.
    Session,
    /// The place of that session among the open ones, when it was first looked for.
    SessionPlace,
}

/// The numbers that follow from the bytes of a head and from what stays the same as long as its connection. Each is computed
/// when it is first asked for, once for all requests with that head.
#[derive(Debug, Default)]
pub(crate) struct Derived {
    numbers: [OnceLock<u128>; Derivation::SessionPlace as usize + 1],
    #[cfg(any(feature = "streamable", feature = "stateless"))]
    pub(crate) places: Places,
}

impl Derived {
    pub(crate) fn get(&self, what: Derivation, derive: impl FnOnce() -> u128) -> u128 {
        match self.numbers.get(what as usize) {
            Some(cell) => *cell.get_or_init(derive),
            None => derive(),
        }
    }
}
