//! What the entries of a manifest say of an item besides its handler.
//!
//! *Scope:* who sees it: the names in its `principals`, and everybody where it has none; titles and the like of resources.

use crate::protocol::viewers::Viewer;

/// True for those whom a list of principals names. On standard input and output, and without authentication, a client has no
/// name.
pub(super) fn named(principals: &[String]) -> impl Fn(&Viewer<'_>) -> bool + Send + Sync + 'static {
    let principals = principals.to_vec();
    move |viewer| {
        viewer.principal().is_some_and(|principal| principals.iter().any(|name| name == principal.name()))
    }
}

/// Restricts a tool, resource, template or prompt to its principals.
macro_rules! restricted {
    ($item:expr, $principals:expr) => {
        match $principals {
            Some(principals) => $item.visible(crate::cli::provide::describe::named(principals)),
            None => $item,
        }
    };
}

/// Sets what resources and templates have in common.
macro_rules! described {
    ($item:expr, $entry:expr) => {{
        let mut item = $item;
        if let Some(title) = &$entry.title {
            item = item.title(title);
        }
        if let Some(description) = &$entry.description {
            item = item.description(description);
        }
        if let Some(mime_type) = &$entry.mime_type {
            item = item.mime_type(mime_type);
        }
        if let Some(annotations) = &$entry.annotations {
            item = item.annotations(annotations.clone());
        }
        crate::cli::provide::describe::restricted!(item, &$entry.principals)
    }};
}

pub(super) use {described, restricted};
