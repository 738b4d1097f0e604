//! What the entries of a manifest say of a resource or a template besides its handler.

/// Sets what resources and templates have in common.
macro_rules! described {
    ($item:expr, $entry:expr) => {{
        let mut item = $item;
        item.common.clone_from(&$entry.common);
        item.about.clone_from(&$entry.about);
        item.visible.clone_from(&$entry.visible);
        item
    }};
}

pub(super) use described;
