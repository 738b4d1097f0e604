//! The key that seals what a client carries for the server between rounds (MCP 2026-07-28, multi round-trip requests).
//!
//! *Scope:* [`StateKey`]: making and reading one. *Not in scope:* sealing (`seal`).

/// A secret with which servers seal `requestState` (MCP 2026-07-28, multi round-trip requests), so that a client can answer
/// one node's question to another node of the same name. Servers of other names do not open what it sealed, though they may have
/// the same key. Without one, each process makes its own from the operating system's randomness.
///
#[cfg_attr(feature = "stateless", doc = "```")]
#[cfg_attr(not(feature = "stateless"), doc = "```ignore")]
/// use mcp_rill::{Server, StateKey};
/// let key = StateKey::read("000102030405060708090a0b0c0d0e0f")?;
/// let old = StateKey::new([7; 16]); // what it sealed is still taken, nothing new is sealed under it
/// let server = Server::new("travel", "1.0.0").state_key(key).previous_state_key(old);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StateKey(pub(crate) [u8; 16]);

impl StateKey {
    /// A key of these 16 bytes. They must be unpredictable.
    pub fn new(bytes: [u8; 16]) -> StateKey {
        StateKey(bytes)
    }

    /// A key from 32 hexadecimal digits.
    ///
    /// # Errors
    /// A sentence with the number of characters, and never with the characters.
    pub fn read(text: &str) -> Result<StateKey, String> {
        let wrong = || {
            format!("a state key is 32 hexadecimal digits; this text has {} characters", text.chars().count())
        };
        let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() == 32).ok_or_else(wrong)?;
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = pair.iter().fold(0, |sum, digit| (sum << 4) | *digit as u8);
        }
        Ok(StateKey(bytes))
    }
}

impl std::fmt::Debug for StateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StateKey(…)")
    }
}

/// The keys of one server.
#[cfg(feature = "stateless")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seal {
    pub(crate) current: StateKey,
    pub(crate) previous: Option<StateKey>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: StateKey = StateKey([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);

    #[test]
    fn keys_are_read_and_not_shown() {
        assert_eq!(StateKey::read("000102030405060708090A0b0c0d0e0f"), Ok(KEY));
        for text in ["", "00", "000102030405060708090a0b0c0d0e0f00", "000102030405060708090a0b0c0d0e0g"] {
            let error = StateKey::read(text).unwrap_err();
            assert!(
                error.contains("32 hexadecimal digits") && (text.is_empty() || !error.contains(text)),
                "{error}"
            );
        }
        assert_eq!(format!("{KEY:?}"), "StateKey(…)");
    }
}
