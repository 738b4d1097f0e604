//! Session ids as they are sent out and read back.
//!
//! *Scope:* the node's name in front of the UUID, and whose id one is. *Not in scope:* whether there is such a session.
//!
//! ```text
//!  node_id ""  : 1b4e28ba-2fa1-41d2-883f-0016d3cca427
//!  node_id "n1": n1-1b4e28ba-2fa1-41d2-883f-0016d3cca427   a proxy routes by what is before the UUID
//! ```

use uuid::Uuid;

use crate::access::settings::{NODE_ID_CHARS_MAX, is_node_id};

const UUID_CHARS: usize = 36;

/// Room for an id as text.
pub(crate) type Room = [u8; NODE_ID_CHARS_MAX + 1 + UUID_CHARS];

/// An empty one.
pub(crate) const ROOM: Room = [0; NODE_ID_CHARS_MAX + 1 + UUID_CHARS];

/// A session id as it is sent out.
pub(crate) fn id_text<'r>(node: &str, id: Uuid, room: &'r mut Room) -> &'r str {
    let mut uuid = Uuid::encode_buffer();
    let uuid = id.hyphenated().encode_lower(&mut uuid);
    let dash = if node.is_empty() { "" } else { "-" };
    let mut end = 0;
    for part in [node, dash, uuid] {
        if let Some(place) = room.get_mut(end..end + part.len()) {
            place.copy_from_slice(part.as_bytes());
            end += part.len();
        }
    }
    room.get(..end).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
}

/// Whose an id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose<'a> {
    /// It has the form of this node's ids.
    Ours(Uuid),
    /// It has the form of another node's.
    Elsewhere(&'a str),
    /// It is no id.
    Nobodys,
}

/// Reads a session id: exactly as it was sent out, in lower case.
pub(crate) fn read_id<'a>(text: &'a str, node: &str) -> Whose<'a> {
    let split = text.len().checked_sub(UUID_CHARS).and_then(|at| text.split_at_checked(at));
    let Some((prefix, uuid)) = split else { return Whose::Nobodys };
    let lawful = !uuid.bytes().any(|byte| byte.is_ascii_uppercase());
    let Some(id) = lawful.then(|| Uuid::try_parse(uuid).ok()).flatten() else { return Whose::Nobodys };
    match prefix.strip_suffix('-') {
        None if prefix.is_empty() && node.is_empty() => Whose::Ours(id),
        Some(owner) if !node.is_empty() && owner == node => Whose::Ours(id),
        Some(owner) if !node.is_empty() && is_node_id(owner) => Whose::Elsewhere(owner),
        _ => Whose::Nobodys,
    }
}

/// What is added to "unknown session" where the id names another node: the proxy has sent the request to the wrong one.
pub(crate) fn owner_hint(text: &str, node: &str) -> String {
    match read_id(text, node) {
        Whose::Elsewhere(owner) => {
            format!(
                "; it belongs to node `{owner}` and came to node `{node}`: route by what the id begins with"
            )
        }
        Whose::Ours(_) | Whose::Nobodys => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "1b4e28ba-2fa1-41d2-883f-0016d3cca427";

    #[test]
    fn ids_are_read_as_they_are_written() {
        let id = Uuid::try_parse(UUID).unwrap();
        let longest = "n".repeat(NODE_ID_CHARS_MAX);
        for node in ["", "n1", "mcp-0", &longest] {
            let mut room = ROOM;
            let text = id_text(node, id, &mut room);
            assert!(text.ends_with(UUID) && text.len() <= room_len(), "{text}");
            assert_eq!(read_id(text, node), Whose::Ours(id), "{text}");
        }
    }

    fn room_len() -> usize {
        ROOM.len()
    }

    #[test]
    fn whose_an_id_is() {
        let id = Uuid::try_parse(UUID).unwrap();
        for (prefix, node, whose) in [
            ("", "n1", Whose::Nobodys),
            ("n1-", "", Whose::Nobodys),
            ("n1-", "n1", Whose::Ours(id)),
            ("n1-", "n", Whose::Elsewhere("n1")),
            ("n-", "n1", Whose::Elsewhere("n")),
            ("n1", "n1", Whose::Nobodys),
            ("-", "n1", Whose::Nobodys),
            ("a.b-", "n1", Whose::Nobodys),
            ("é-", "n1", Whose::Nobodys),
        ] {
            assert_eq!(read_id(&format!("{prefix}{UUID}"), node), whose, "{prefix} at {node}");
        }
        for bad in ["", "n1-", &UUID[1..], &UUID.to_uppercase(), &UUID.replace('-', "_")] {
            assert_eq!(read_id(bad, ""), Whose::Nobodys, "{bad}");
        }
    }
}
