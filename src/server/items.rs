//! Named things in the order they were added, and their lists page by page.
//!
//! *Scope:* [`Items`], and cursors. *Not in scope:* what the things are.
//!
//! A cursor names the last item of the page before by its serial number, so that a list that changes between two pages
//! neither repeats nor skips an item that stayed.

use crate::json::value::JsonRef;
use crate::json::write::Object;
use crate::jsonrpc;
use crate::limits::Limits;
use crate::text::shorten;

/// Things with unique names, oldest first.
#[derive(Debug)]
pub(crate) struct Items<T> {
    items: Vec<Listed<T>>,
    serial: u64,
}

#[derive(Debug)]
struct Listed<T> {
    serial: u64,
    name: String,
    value: T,
}

impl<T> Default for Items<T> {
    fn default() -> Items<T> {
        Items { items: Vec::new(), serial: 0 }
    }
}

impl<T> Items<T> {
    /// Adds a thing, or with `replaces` puts it in the place of the one of the same name. Returns false, and changes nothing,
    /// if the name is taken and it may not replace.
    pub(crate) fn insert(&mut self, name: String, value: T, replaces: bool) -> bool {
        match self.find(&name) {
            Some(_) if !replaces => return false,
            Some(place) => *place = value,
            None => {
                self.serial += 1;
                self.items.push(Listed { serial: self.serial, name, value });
            }
        }
        true
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.items.retain(|item| item.name != name);
    }

    pub(crate) fn find(&mut self, name: &str) -> Option<&mut T> {
        self.items.iter_mut().find(|item| item.name == name).map(|item| &mut item.value)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut().map(|item| &mut item.value)
    }

    /// True if there ever was one: clients were told then that the methods for them work, and they go on working when the last
    /// one is removed.
    pub(crate) fn is_offered(&self) -> bool {
        self.serial > 0
    }

    /// Writes one page as the result of a list method: `{"<member>":[…],"nextCursor":"…"}` (MCP pagination).
    ///
    /// # Errors
    /// −32602 names a cursor that is not one of ours.
    pub(crate) fn write_page(
        &self,
        out: &mut Vec<u8>,
        member: &str,
        params: Option<JsonRef<'_>>,
        limits: &Limits,
        write: impl Fn(&T, &mut Vec<u8>),
    ) -> Result<(), jsonrpc::Error> {
        let after = read_cursor(params)?;
        let rest = self.items.iter().filter(|item| item.serial > after);
        let mut last = after;
        let mut result = Object::new(out);
        result.field(member, |out| {
            let start = out.len();
            out.push(b'[');
            for item in rest.take(limits.page_items_max) {
                let before = out.len();
                if last != after {
                    out.push(b',');
                }
                write(&item.value, out);
                if out.len() - start > limits.page_bytes_max && last != after {
                    out.truncate(before);
                    break;
                }
                last = item.serial;
            }
            out.push(b']');
        });
        if self.items.last().is_some_and(|item| item.serial > last) {
            result.str("nextCursor", &format!("after-{last}"));
        }
        result.end();
        Ok(())
    }
}

/// The serial number after which to go on; 0 without a cursor.
fn read_cursor(params: Option<JsonRef<'_>>) -> Result<u64, jsonrpc::Error> {
    let Some(raw) = params.map(|params| params.member("cursor")).transpose()?.flatten() else {
        return Ok(0);
    };
    let cursor = raw.as_str();
    let serial =
        cursor.as_deref().and_then(|cursor| cursor.strip_prefix("after-")).and_then(|n| n.parse().ok());
    serial.ok_or_else(|| {
        let cursor = shorten(raw.text());
        jsonrpc::Error::invalid_params(format_args!("`cursor` {cursor} is not one that this list gave"))
    })
}
