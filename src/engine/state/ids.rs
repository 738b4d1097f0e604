//! Session ids as they are sent out and read back.
//!
//! *Scope:* the node's name in front of the UUID, and which node an id belongs to. *Not in scope:* whether there is such a session.
//!
//! ```text
//!  node_id ""  : 1b4e28ba-2fa1-41d2-883f-0016d3cca427
//!  node_id "n1": n1-1b4e28ba-2fa1-41d2-883f-0016d3cca427   a proxy routes by what is before the UUID
//! ```

use uuid::Uuid;

use crate::access::settings::{NODE_ID_CHARS_MAX, is_node_id};

const UUID_CHARS: usize = 36;

/// Room for a session id as text.
pub(crate) type IdBuffer = [u8; NODE_ID_CHARS_MAX + 1 + UUID_CHARS];

/// An empty buffer.
pub(crate) const ID_BUFFER: IdBuffer = [0; NODE_ID_CHARS_MAX + 1 + UUID_CHARS];

/// Returns a session id as it is sent.
pub(crate) fn id_text<'r>(node: &str, id: Uuid, buffer: &'r mut IdBuffer) -> &'r str {
    if node.is_empty() {
        return id.hyphenated().encode_lower(buffer);
    }
    let mut uuid = Uuid::encode_buffer();
    let uuid = id.hyphenated().encode_lower(&mut uuid);
    let mut end = 0;
    for part in [node, "-", uuid] {
        if let Some(place) = buffer.get_mut(end..end + part.len()) {
            place.copy_from_slice(part.as_bytes());
            end += part.len();
        }
    }
    buffer.get(..end).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
}

/// The node that a session id belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdOwner<'a> {
    /// It has the form of this node's ids.
    This(Uuid),
    /// It has the form of another node's.
    Other(&'a str),
    /// It is not a session id.
    Invalid,
}

/// Reads a session id: exactly as it was sent out, in lower case.
pub(crate) fn read_id<'a>(text: &'a str, node: &str) -> IdOwner<'a> {
    let split = text.len().checked_sub(UUID_CHARS).and_then(|at| text.split_at_checked(at));
    let Some((prefix, uuid)) = split else { return IdOwner::Invalid };
    let lawful = !uuid.bytes().any(|byte| byte.is_ascii_uppercase());
    let Some(id) = lawful.then(|| Uuid::try_parse(uuid).ok()).flatten() else { return IdOwner::Invalid };
    match prefix.strip_suffix('-') {
        None if prefix.is_empty() && node.is_empty() => IdOwner::This(id),
        Some(owner) if !node.is_empty() && owner == node => IdOwner::This(id),
        Some(owner) if !node.is_empty() && is_node_id(owner) => IdOwner::Other(owner),
        _ => IdOwner::Invalid,
    }
}

/// Returns what is added to "unknown session" if the id names another node: the proxy has sent the request to the wrong one.
pub(crate) fn owner_hint(text: &str, node: &str) -> String {
    match read_id(text, node) {
        IdOwner::Other(owner) => {
            format!(
                "; it belongs to node `{owner}` and came to node `{node}`: route by what the id begins with"
            )
        }
        IdOwner::This(_) | IdOwner::Invalid => String::new(),
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
            let mut room = ID_BUFFER;
            let text = id_text(node, id, &mut room);
            assert!(text.ends_with(UUID) && text.len() <= room_len(), "{text}");
            assert_eq!(read_id(text, node), IdOwner::This(id), "{text}");
        }
    }

    fn room_len() -> usize {
        ID_BUFFER.len()
    }

    #[test]
    fn whose_an_id_is() {
        let id = Uuid::try_parse(UUID).unwrap();
        for (prefix, node, whose) in [
            ("", "n1", IdOwner::Invalid),
            ("n1-", "", IdOwner::Invalid),
            ("n1-", "n1", IdOwner::This(id)),
            ("n1-", "n", IdOwner::Other("n1")),
            ("n-", "n1", IdOwner::Other("n")),
            ("n1", "n1", IdOwner::Invalid),
            ("-", "n1", IdOwner::Invalid),
            ("a.b-", "n1", IdOwner::Invalid),
            ("é-", "n1", IdOwner::Invalid),
        ] {
            assert_eq!(read_id(&format!("{prefix}{UUID}"), node), whose, "{prefix} at {node}");
        }
        for bad in ["", "n1-", &UUID[1..], &UUID.to_uppercase(), &UUID.replace('-', "_")] {
            assert_eq!(read_id(bad, ""), IdOwner::Invalid, "{bad}");
        }
    }
}
