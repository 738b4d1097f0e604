//! The seal on the state that a client keeps for the server between two rounds of a call without a session.
//!
//! *Scope:* SipHash-2-4 with a tag of 128 bits (Aumasson and Bernstein, 2012, and its reference implementation), the keys,
//! and what a seal binds its text to. *Not in scope:* the text (`rounds`).
//!
//! The text is authenticated, not encrypted: the client can read it, and cannot change it, use it for another request or at a
//! server of another name, or hand it to another principal.
//!
//! ```text
//!  state ──▶ base64(state ‖ tag) ──▶ the client ──▶ the same request again ──▶ tag right under a key? ──▶ state
//!             tag = SipHash(key of the server, request ‖ state)
//! ```

use crate::access::peer::Principal;
use crate::base64;
use crate::base64::decode::decode;
use crate::json::value::{JsonRef, Members};
use crate::protocol::siphash::SipHash;
use crate::protocol::state_key::{Seal, StateKey};
use crate::sort::sort_by;

/// The request that a state belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SealedRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) params: Option<JsonRef<'a>>,
    pub(crate) principal: Option<&'a Principal>,
}

/// The request of a call while its bytes exist, and its digest afterwards. Most calls ask nothing, and need neither.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Binding<'a> {
    /// There is a session, so nothing is ever sealed.
    None,
    Live(Seal, SealedRequest<'a>),
    Kept([u8; 16]),
}

impl Binding<'_> {
    pub(crate) fn digest(&self) -> [u8; 16] {
        match self {
            Binding::None => [0; 16],
            Binding::Live(seal, request) => digest(seal.current, request),
            Binding::Kept(digest) => *digest,
        }
    }

    pub(crate) fn into_owned(self) -> Binding<'static> {
        match self {
            Binding::None => Binding::None,
            _ => Binding::Kept(self.digest()),
        }
    }
}

/// Members of `params` that differ between the rounds of one request.
const OF_ONE_ROUND: [&str; 3] = ["_meta", "inputResponses", "requestState"];

impl Seal {
    /// The keys of the server with this name that is mounted there: another server that was given the same ones, or the same
    /// server under another mount, does not open what they seal.
    pub(crate) fn of_server(self, name: &str, mount: Option<&str>) -> Seal {
        let own = |key: StateKey| {
            let mut hash = SipHash::new(key);
            hash.part(b"mcp-rill server");
            hash.part(name.as_bytes());
            if let Some(mount) = mount {
                hash.part(mount.as_bytes());
            }
            StateKey(hash.finish())
        };
        Seal { current: own(self.current), previous: self.previous.map(own) }
    }

    /// Seals a state for the request of this digest.
    pub(crate) fn seal(&self, request: &[u8; 16], state: &[u8]) -> String {
        let mut sealed = state.to_vec();
        sealed.extend(tag(self.current, request, state));
        let mut text = Vec::new();
        base64::encode(&mut text, &sealed);
        String::from_utf8(text).unwrap_or_default()
    }

    /// The state, if one of the keys has sealed it for this request.
    pub(crate) fn open(&self, request: &SealedRequest<'_>, text: &str) -> Option<Vec<u8>> {
        let mut state = decode(text.as_bytes())?;
        let given = state.split_off(state.len().checked_sub(16)?);
        let sealed = |key: StateKey| {
            let tag = tag(key, &digest(key, request), &state);
            // Every byte is compared, so that the time does not reveal where they differ.
            tag.iter().zip(&given).fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
        };
        let keys = [Some(self.current), self.previous];
        keys.into_iter().flatten().any(sealed).then_some(state)
    }
}

fn tag(key: StateKey, request: &[u8; 16], state: &[u8]) -> [u8; 16] {
    let mut hash = SipHash::new(key);
    hash.part(b"mcp-rill state");
    hash.part(request);
    hash.part(state);
    hash.finish()
}

fn digest(key: StateKey, request: &SealedRequest<'_>) -> [u8; 16] {
    let mut hash = SipHash::new(key);
    hash.part(b"mcp-rill request");
    hash.part(request.method.as_bytes());
    hash.part(request.principal.map_or("", Principal::name).as_bytes());
    hash.write(&[u8::from(request.principal.is_some())]);
    let members = request.params.and_then(|params| Members::of(params).ok()).unwrap_or_default();
    let mut members: Vec<_> = members.iter().filter(|(name, _)| !OF_ONE_ROUND.contains(&&**name)).collect();
    sort_by(&mut members, |(one, _), (other, _)| one.cmp(other));
    for (name, value) in members {
        hash.part(name.as_bytes());
        add(&mut hash, value.text());
    }
    hash.finish()
}

/// Adds JSON text so that neither white space nor escapes make a difference: a client may write the same value differently
/// the second time. One pass, whatever the depth; the text is known to be JSON.
fn add(hash: &mut SipHash, json: &str) {
    let mut rest = json.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let token;
        (token, rest) = match first {
            b' ' | b'\t' | b'\r' | b'\n' => (&[][..], tail),
            b'"' => rest.split_at(1 + string_end(tail)),
            b'{' | b'}' | b'[' | b']' | b',' | b':' => rest.split_at(1),
            _ => {
                rest.split_at(rest.iter().position(|byte| b" \t\r\n,]}".contains(byte)).unwrap_or(rest.len()))
            }
        };
        let escaped = *first == b'"' && memchr::memchr(b'\\', token).is_some();
        let text: Option<String> = escaped.then(|| serde_json::from_slice(token).ok()).flatten();
        match text {
            // Quoted as it would be without escapes that it does not need.
            Some(text) => hash.part(format!("\"{text}\"").as_bytes()),
            None if token.is_empty() => {}
            None => hash.part(token),
        }
    }
}

/// The length of the rest of a string, its closing quote included.
fn string_end(rest: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', rest.get(at..).unwrap_or_default()) {
        at += found + 1;
        if rest.get(at - 1) == Some(&b'"') {
            return at;
        }
        at += 1;
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: StateKey = StateKey([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);

    const OTHER: StateKey = StateKey([9; 16]);

    fn raw(text: &str) -> JsonRef<'_> {
        Box::leak(Box::new(crate::json::tape::Tape::new())).read(text).unwrap()
    }

    fn request<'a>(params: &'a str, principal: Option<&'a Principal>) -> SealedRequest<'a> {
        SealedRequest { method: "tools/call", params: Some(raw(params)), principal }
    }

    const PARAMS: &str =
        r#"{"name":"a","arguments":{"x":[1,2],"y":"caf\u00e9"},"_meta":{},"requestState":"s"}"#;

    #[test]
    fn a_state_belongs_to_its_request_and_principal() {
        let seal = Seal { current: KEY, previous: None };
        let ada = Principal::new("ada");
        let text = seal.seal(&digest(KEY, &request(PARAMS, None)), b"{}");
        let opens = |params: &str, principal: Option<&Principal>| {
            seal.open(&request(params, principal), &text).as_deref() == Some(b"{}")
        };
        assert!(opens(PARAMS, None));
        let written_otherwise = "{ \"arguments\" :{\r\n\"x\" : [ 1,\t2 ],\"y\":\"ca\\u0066é\" } , \"inputResponses\": {}, \"name\": \"a\" }";
        assert!(opens(written_otherwise, None));
        for other in [
            r#"{"name":"b","arguments":{"x":[1,2],"y":"café"}}"#,
            r#"{"name":"a","arguments":{"x":[2,1],"y":"café"}}"#,
            r#"{"name":"a","arguments":{"x":[1,2],"y":"cafe"}}"#,
            r#"{"name":"a","arguments":{"x":[1,2],"y":"café","_meta":1}}"#,
            r#"{"name":"a","arguments":{"x":[1,2]},"y":"café"}"#,
            r#"{"name":"a","arguments":{"x":[12],"y":"café"}}"#,
            r#"{"name":"a","arguments":{"x":["1",2],"y":"café"}}"#,
            r#"{"name":"a","arguments":{"x":[1,2],"y":"caf\\u00e9"}}"#,
            r#"{"name":"a","arguments":{"x":[1,2],"y":"café\""}}"#,
            r#"{"name":"a","arguments":{"x":[1,2,null],"y":"café"}}"#,
            r#"{"name":"a"}"#,
        ] {
            assert!(!opens(other, None), "{other}");
        }
        assert!(!opens(PARAMS, Some(&ada)));
        let nameless = Principal::new("");
        assert!(!opens(PARAMS, Some(&nameless)));
        let elsewhere = SealedRequest { method: "prompts/get", ..request(PARAMS, None) };
        assert_eq!(seal.open(&elsewhere, &text), None);
    }

    #[test]
    fn nothing_of_it_can_be_changed() {
        let seal = Seal { current: KEY, previous: None };
        let request = request(PARAMS, None);
        let text = seal.seal(&digest(KEY, &request), br#"{"rounds":1}"#);
        for at in 0..text.len() {
            for replacement in ["A", "b", "=", "", "é"] {
                let mut forged = text.clone();
                forged.replace_range(at..=at, replacement);
                assert!(forged == text || seal.open(&request, &forged).is_none(), "{forged}");
            }
        }
        for short in ["", "AAAA", &text[..text.len() - 4]] {
            assert_eq!(seal.open(&request, short), None);
        }
    }

    #[test]
    fn a_previous_key_opens_and_does_not_seal() {
        let (old, request) = (Seal { current: OTHER, previous: None }, request(PARAMS, None));
        let text = old.seal(&digest(OTHER, &request), b"{}");
        let new = Seal { current: KEY, previous: Some(OTHER) };
        assert_eq!(new.open(&request, &text).as_deref(), Some(&b"{}"[..]));
        let newer = new.seal(&digest(KEY, &request), b"{}");
        assert_eq!(old.open(&request, &newer), None);
        assert_eq!(Seal { current: KEY, previous: None }.open(&request, &text), None);
    }
}
