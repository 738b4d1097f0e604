//! Named things in the order they were added, and their lists page by page.
//!
//! *Scope:* [`Items`]: finding and listing those that a client sees. *Not in scope:* what the things are, and the form of cursors
//! and pages (`pages`).

use crate::json::write::ToJson;
use crate::protocol::viewers::{Viewer, Viewers, Visible};
use crate::server::pages::{Cursor, Row};

/// Things with unique names, oldest first.
#[derive(Debug)]
pub(crate) struct Items<T> {
    items: Vec<Listed<T>>,
    /// The serial number of the newest thing that nothing restricted when it was added.
    serial: u64,
    is_offered: bool,
    /// Those who saw or see what was added, replaced or removed since the last call of `take_changed`.
    changed: Viewers,
}

#[derive(Debug)]
struct Listed<T> {
    /// Things that were restricted when they were added do not count: the numbers are in cursors, and would reveal how many
    /// there are. They have the number of the thing before them.
    serial: u64,
    is_numbered: bool,
    name: String,
    /// `None` if every client sees it.
    visible: Option<Visible>,
    value: T,
}

impl<T> Listed<T> {
    fn is_visible(&self, viewer: &Viewer<'_>) -> bool {
        self.visible.as_ref().is_none_or(|visible| visible.to(viewer))
    }

    fn cursor(&self) -> Cursor<'_> {
        Cursor::After(self.serial, (!self.is_numbered).then_some(&*self.name))
    }
}

impl<T> Default for Items<T> {
    fn default() -> Items<T> {
        Items { items: Vec::new(), serial: 0, is_offered: false, changed: Viewers::default() }
    }
}

impl<T> Items<T> {
    /// Adds a thing, or with `replaces` puts it in the place of the one of the same name. Returns false, and changes nothing,
    /// if the name is taken and it may not replace.
    pub(crate) fn insert(
        &mut self,
        name: String,
        visible: Option<Visible>,
        value: T,
        replaces: bool,
    ) -> bool {
        let place = self.items.iter_mut().find(|item| item.name == name);
        if place.is_some() && !replaces {
            return false;
        }
        // Nobody has to be told of what a server begins with.
        if replaces {
            self.changed.add(visible.as_ref());
        }
        match place {
            Some(place) => {
                self.changed.add(place.visible.as_ref());
                (place.visible, place.value) = (visible, value);
            }
            None => {
                let is_numbered = visible.is_none();
                self.serial += u64::from(is_numbered);
                self.is_offered = true;
                self.items.push(Listed { serial: self.serial, is_numbered, name, visible, value });
            }
        }
        true
    }

    pub(crate) fn remove(&mut self, name: &str) {
        let changed = &mut self.changed;
        self.items.retain(|item| {
            let stays = item.name != name;
            if !stays {
                changed.add(item.visible.as_ref());
            }
            stays
        });
    }

    /// Puts other things in the place of all, in their order. `is_same` compares two of one name, as clients see them.
    pub(crate) fn replace(&mut self, others: Items<T>, is_same: impl Fn(&T, &T) -> bool) {
        let Items { mut items, is_offered, mut changed, .. } = std::mem::replace(self, others);
        for item in &self.items {
            match items.iter().position(|before| before.name == item.name) {
                Some(at) => {
                    let before = items.swap_remove(at);
                    let is_same = is_same(&before.value, &item.value);
                    changed.add_replaced(before.visible.as_ref(), item.visible.as_ref(), is_same);
                }
                None => changed.add(item.visible.as_ref()),
            }
        }
        items.iter().for_each(|gone| changed.add(gone.visible.as_ref()));
        self.is_offered |= is_offered;
        self.changed = changed;
    }

    /// Returns whom the changes since the last call concern.
    pub(crate) fn take_changed(&mut self) -> Viewers {
        std::mem::take(&mut self.changed)
    }

    /// The thing of that name, if the client sees it.
    pub(crate) fn find(&mut self, name: &str, viewer: &Viewer<'_>) -> Option<&mut T> {
        let found = self.items.iter_mut().find(|item| item.name == name);
        found.filter(|item| item.is_visible(viewer)).map(|item| &mut item.value)
    }

    /// The item of that name, whether the client may see it or not.
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.items.iter().find(|item| item.name == name).map(|item| &item.value)
    }

    /// The things that the client sees.
    pub(crate) fn iter_mut(&mut self, viewer: &Viewer<'_>) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut().filter(|item| item.is_visible(viewer)).map(|item| &mut item.value)
    }

    /// The things that the client sees, with their names.
    pub(crate) fn seen(&self, viewer: &Viewer<'_>) -> impl Iterator<Item = (&str, &T)> {
        let visible = self.items.iter().filter(|item| item.is_visible(viewer));
        visible.map(|item| (&*item.name, &item.value))
    }

    /// All things, and who sees them.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, Option<&Visible>, &T)> {
        self.items.iter().map(|item| (&*item.name, item.visible.as_ref(), &item.value))
    }

    /// True if there ever was one: clients were told then that the methods for them work, and they go on working when the last
    /// one is removed.
    pub(crate) fn is_offered(&self) -> bool {
        self.is_offered
    }

    /// The things that the client sees and that come after the cursor.
    ///
    /// A cursor names the last item of the page before by its serial number, so that a list that changes between two pages
    /// neither repeats nor skips an item that stayed. That of an item without a number has its name, too. If such an item is
    /// removed between the pages, others without a number may be repeated.
    pub(crate) fn rows<'a>(
        &'a self,
        (serial, name): (u64, Option<&str>),
        viewer: &'a Viewer<'a>,
        description: fn(&T) -> &dyn ToJson,
    ) -> Rows<'a, T> {
        let is_last = |item: &Listed<T>| {
            item.serial == serial && !item.is_numbered && name == Some(&item.name) && item.is_visible(viewer)
        };
        let last = self.items.iter().position(is_last);
        let rest = self.items.get(last.map_or(0, |last| last + 1)..).unwrap_or_default();
        Rows { rest: rest.iter(), serial, viewer, description }
    }
}

/// What [`Items::rows`] returns.
pub(crate) struct Rows<'a, T> {
    rest: std::slice::Iter<'a, Listed<T>>,
    /// Things up to this number are on earlier pages.
    serial: u64,
    viewer: &'a Viewer<'a>,
    description: fn(&T) -> &dyn ToJson,
}

impl<'a, T> Iterator for Rows<'a, T> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Row<'a>> {
        loop {
            let item = self.rest.next()?;
            let is_later = item.serial > self.serial || item.serial == self.serial && !item.is_numbered;
            if is_later && item.is_visible(self.viewer) {
                return Some(Row {
                    cursor: item.cursor(),
                    is_restricted: item.visible.is_some(),
                    description: (self.description)(&item.value),
                });
            }
        }
    }
}
