//! Looks up the fields that every message needs.
//!
//! *Scope:* look-ups that use the places which a head that repeats keeps. *Not in scope:* all other look-ups by name (`head`).

use crate::http::fields::FieldList;
use crate::http::head::{Head, Single, mark};
use crate::http::places::Place;

impl<'a> FieldList<'a> {
    /// The place of the field with this name.
    fn place_of(self, name: &str) -> Place {
        let mut at = 0;
        if self.next_named(name, &mut at).is_none() {
            return Place::Nowhere;
        }
        let place = at - 1;
        match self.next_named(name, &mut at) {
            None => Place::At(place),
            Some(_) => Place::Several,
        }
    }

    /// The value of the field at this place.
    fn value_at(self, place: usize) -> Option<&'a [u8]> {
        match self {
            FieldList::Parsed(fields) => fields.get(place).map(|field| field.value),
            FieldList::Placed(..) => self.text_at(place).map(str::as_bytes),
        }
    }

    /// The value of the field at this place, if it is UTF-8.
    fn text_at(self, place: usize) -> Option<&'a str> {
        match self {
            FieldList::Parsed(fields) => std::str::from_utf8(fields.get(place)?.value).ok(),
            FieldList::Placed(text, places) => places.get(place)?.1.get(text),
        }
    }
}

impl<'a> Head<'a> {
    /// As [`single`](Head::single), for a field that is looked up for each message: in a head that repeats, its place is known.
    pub(crate) fn usual(&self, name: &'static str) -> Single<'a> {
        match self.place_of(name) {
            Place::At(place) => self.fields.value_at(place).map_or(Single::Absent, Single::One),
            Place::Nowhere => Single::Absent,
            Place::Several => Single::Several,
        }
    }

    /// As [`single_str`](Head::single_str), for a field that is looked up for each message.
    pub(crate) fn usual_str(&self, name: &'static str) -> Option<&'a str> {
        match self.place_of(name) {
            Place::At(place) => self.fields.text_at(place),
            Place::Nowhere | Place::Several => None,
        }
    }

    fn place_of(&self, name: &'static str) -> Place {
        if self.marks & mark(name) == 0 {
            return Place::Nowhere;
        }
        match self.derived {
            Some(derived) => derived.places.of(name, || self.fields.place_of(name)),
            None => self.fields.place_of(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::http::head::{Fields, parse};
    use crate::http::remembered::RememberedHead;
    use crate::limits::Limits;
    use crate::memory::Account;

    #[test]
    fn fields_are_found_whether_or_not_their_places_are_known() {
        let (limits, mut fields, account) = (Limits::DEFAULT, Fields::new(), Account::default());
        let more = "A: 1\r\na-b: 2\r\nC: 3\r\nB: 4\r\nc: 5\r\nD: \u{e9}\r\nLength: 6\r\n\r\n";
        let text = format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n{more}");
        let parsed = parse(text.as_bytes(), &mut fields, &limits).unwrap();
        let remembered = RememberedHead::of(&parsed, text.as_bytes(), 0, &account).unwrap();
        // More names than places are kept, and twice, so that some are known.
        for _ in 0..2 {
            let (head, _) = remembered.read(text.as_bytes()).unwrap();
            for head in [&head, &parsed] {
                for name in ["Nothing", "a", "A-B", "C", "b", "d", "Length", "host", "E"] {
                    assert_eq!(head.usual(name), head.single(name), "{name}");
                    assert_eq!(head.usual_str(name), head.single_str(name), "{name}");
                }
            }
        }
        // What is known of one head is not taken for another one with the same length.
        let other = text.replace("A: 1", "X: 1");
        assert!(remembered.read(other.as_bytes()).is_none());
    }
}
