//! The head that a connection remembers: clients send the same one again and again.
//!
//! *Scope:* [`RememberedHead`]: a head that was parsed and accepted, and reading the next one by it. *Not in scope:* which
//! heads a connection remembers, and for how long (`conn`).
//!
//! Only a head that is the same in every byte, the empty line at its end included, is read by the remembered one, so nothing
//! that was found out about one head is ever taken for another. The one exception is the number of `Content-Length`, which
//! differs from body to body: it may have other digits, though as many, and is read anew. What depends on more than the head
//! (the session, the principal, limits that others use up) is not remembered.

use std::cell::Cell;

use crate::http::fields::{Derived, FieldList, FieldPlace, Span};
use crate::http::head::{Framing, Head, Host, Version, content_length};
use crate::memory::{Account, BLOCK_OVERHEAD_BYTES, Charge};

/// The most other heads that may come before a head gives way. To remember one costs as much as some repetitions save, and
/// there are clients that send another head each time.
const PATIENCE_MAX: u8 = 63;
/// The same for a head that has repeated, and for the one after it.
const PATIENCE_USUAL: u8 = 3;

/// A head, and what it says by places in its bytes.
#[derive(Debug)]
pub(crate) struct RememberedHead {
    text: Box<str>,
    target: Span,
    path: Span,
    query: Option<Span>,
    version: Version,
    length: u64,
    /// The place of the number of `Content-Length`.
    length_place: Span,
    host: Option<(Span, Span, Option<u16>)>,
    fields: Box<[FieldPlace]>,
    marks: u64,
    derived: Derived,
    has_repeated: Cell<bool>,
    /// How many other heads have come since it came last, and how many may before it gives way.
    misses: Cell<u8>,
    patience: u8,
    /// Counts towards the memory budget of all connections.
    _charge: Charge,
}

impl RememberedHead {
    /// Remembers `head`, which was parsed from `bytes`. `None` for any that is not a POST with a length on a connection that
    /// stays open, since others do not repeat, and for one that is not UTF-8.
    pub(crate) fn of(
        head: &Head<'_>,
        bytes: &[u8],
        patience: u8,
        account: &Account,
    ) -> Option<RememberedHead> {
        let Framing::Length(length) = head.framing else { return None };
        if head.method != "POST" || !head.keep_alive || head.expect_continue {
            return None;
        }
        let text = std::str::from_utf8(bytes).ok()?;
        let length_text = head.fields.next_named("content-length", &mut 0)?;
        let place = |part: &[u8]| Span::of(part, bytes);
        let host = match head.host {
            Some(host) => Some((place(host.text.as_bytes())?, place(host.name.as_bytes())?, host.port)),
            None => None,
        };
        let query = match head.query {
            Some(query) => Some(place(query.as_bytes())?),
            None => None,
        };
        let fields = head.fields.iter().map(|(name, value)| Some((place(name.as_bytes())?, place(value)?)));
        let fields: Box<[FieldPlace]> = fields.collect::<Option<_>>()?;
        let held = size_of::<RememberedHead>() + bytes.len() + size_of_val(&*fields);
        Some(RememberedHead {
            target: place(head.target.as_bytes())?,
            path: place(head.path.as_bytes())?,
            query,
            version: head.version,
            length,
            length_place: place(length_text)?,
            host,
            fields,
            marks: head.marks,
            derived: Derived::default(),
            has_repeated: Cell::new(false),
            misses: Cell::new(0),
            patience,
            text: text.into(),
            _charge: account.charge(held + 3 * BLOCK_OVERHEAD_BYTES),
        })
    }

    /// Another head has come. Returns the patience of that one if this one gives way to it.
    pub(crate) fn give_way(&self) -> Option<u8> {
        let misses = self.misses.get();
        let patience =
            if self.has_repeated.get() { self.patience.max(PATIENCE_USUAL) } else { self.patience };
        if misses < patience {
            self.misses.set(misses + 1);
            return None;
        }
        Some(if self.has_repeated.get() { PATIENCE_USUAL } else { (2 * self.patience + 1).min(PATIENCE_MAX) })
    }

    /// Reads the head at the beginning of `input` if it is the remembered one, and returns it with its bytes.
    #[inline]
    pub(crate) fn read<'a>(&'a self, input: &'a [u8]) -> Option<(Head<'a>, &'a [u8])> {
        let bytes = input.get(..self.text.len())?;
        if bytes != self.text.as_bytes() {
            return self.read_with_other_length(bytes);
        }
        self.misses.set(0);
        self.has_repeated.set(true);
        Some((self.head(&self.text, self.length)?, bytes))
    }

    /// Reads a head that differs from this one only in the digits of `Content-Length`. To read one that is the same in every
    /// byte costs less, so this one gives way if that never comes.
    #[inline(never)]
    fn read_with_other_length<'a>(&'a self, bytes: &'a [u8]) -> Option<(Head<'a>, &'a [u8])> {
        let [before, _, after] = self.length_place.cut(self.text.as_bytes())?;
        let [begun, digits, ended] = self.length_place.cut(bytes)?;
        if begun != before || ended != after {
            return None;
        }
        let length = content_length(digits).ok()?;
        if self.give_way().is_some() {
            return None;
        }
        Some((self.head(std::str::from_utf8(bytes).ok()?, length)?, bytes))
    }

    #[inline(always)]
    fn head<'a>(&'a self, text: &'a str, length: u64) -> Option<Head<'a>> {
        let host = match self.host {
            Some((host, name, port)) => Some(Host { text: host.get(text)?, name: name.get(text)?, port }),
            None => None,
        };
        Some(Head {
            method: "POST",
            target: self.target.get(text)?,
            path: self.path.get(text)?,
            query: self.query.and_then(|query| query.get(text)),
            version: self.version,
            framing: Framing::Length(length),
            keep_alive: true,
            expect_continue: false,
            host,
            fields: FieldList::Placed(text, &self.fields),
            marks: self.marks,
            derived: Some(&self.derived),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{Fields, parse};
    use crate::limits::Limits;

    fn head_with_length(length: &str) -> String {
        format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nX-Length: 100\r\n\r\n")
    }

    #[test]
    fn the_number_of_content_length_is_read_anew() {
        let (limits, mut fields, account) = (Limits::DEFAULT, Fields::new(), Account::default());
        let text = head_with_length("100");
        let head = parse(text.as_bytes(), &mut fields, &limits).unwrap();
        let remembered = RememberedHead::of(&head, text.as_bytes(), PATIENCE_MAX, &account).unwrap();
        for (number, length) in [("100", 100), ("257", 257), ("007", 7), ("000", 0), ("999", 999)] {
            let input = head_with_length(number) + "{}";
            let (head, bytes) = remembered.read(input.as_bytes()).unwrap();
            assert_eq!(bytes, &input.as_bytes()[..text.len()]);
            assert!(matches!(head.framing, Framing::Length(read) if read == length), "{number}");
            assert_eq!(head.fields.next_named("Content-Length", &mut 0), Some(number.as_bytes()));
            assert_eq!(head.fields.next_named("X-Length", &mut 0), Some(&b"100"[..]));
        }
        // Anything but as many digits is for the parser to judge.
        for number in ["99", "1000", "+10", "-10", "1 0", " 10", "0x1", "1,1", "10\r", "1\u{e9}", "\u{661}0"]
        {
            assert!(remembered.read(head_with_length(number).as_bytes()).is_none(), "{number:?}");
        }
        let elsewhere = text.replace("X-Length: 100", "X-Length: 101");
        assert!(remembered.read(elsewhere.as_bytes()).is_none());
    }
}
