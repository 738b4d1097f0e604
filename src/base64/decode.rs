//! Reading base64.
//!
//! *Scope:* texts as [`encode`](crate::base64::encode) writes them, and no others.

/// Returns the bytes of a text; `None` unless it is exactly what [`encode`](crate::base64::encode) writes for them, so that no
/// two texts mean the same.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut groups = text.chunks_exact(4).peekable();
    while let Some(group) = groups.next() {
        let padding = group.iter().rev().take_while(|byte| **byte == b'=').count();
        if padding > 2 || (padding > 0 && groups.peek().is_some()) {
            return None;
        }
        let mut bits = 0;
        for byte in group.iter().take(4 - padding) {
            bits = bits << 6 | sextet(*byte)?;
        }
        bits <<= 6 * padding;
        let kept = 3 - padding;
        let group = bits.to_be_bytes();
        bytes.extend(group.iter().skip(1).take(kept));
        // Bits beyond the last byte must be zero.
        if group.iter().skip(1 + kept).any(|byte| *byte != 0) {
            return None;
        }
    }
    text.len().is_multiple_of(4).then_some(bytes)
}

fn sextet(byte: u8) -> Option<u32> {
    let (first, offset) = match byte {
        b'A'..=b'Z' => (b'A', 0),
        b'a'..=b'z' => (b'a', 26),
        b'0'..=b'9' => (b'0', 52),
        b'+' => return Some(62),
        b'/' => return Some(63),
        _ => return None,
    };
    Some(u32::from(byte - first) + offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base64::encode;

    #[test]
    fn every_byte_there_and_back() {
        let all: Vec<u8> = (0..=255).collect();
        for end in 250..=256 {
            let mut out = Vec::new();
            encode(&mut out, &all[..end]);
            assert_eq!(decode(&out).unwrap(), &all[..end]);
        }
    }

    #[test]
    fn what_is_no_base64() {
        for text in
            ["Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm9v\n", "Zm-_", "=Zm9"]
        {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }
}
