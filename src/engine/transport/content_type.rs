//! What the body of a POST may be.
//!
//! *Scope:* `Content-Type` and `Content-Encoding`. *Not in scope:* the body itself.

use crate::http::fields::Derivation;
use crate::http::head::Head;
use crate::http::response::OwnedResponse;
use crate::text::printable;

/// `status` is what a wrong Content-Type gets.
pub(crate) fn check_json(head: &Head<'_>, status: u16) -> Result<(), OwnedResponse> {
    match head.derive(Derivation::ContentType, || check(head, status).is_ok().into()) {
        0 => check(head, status),
        _ => Ok(()),
    }
}

fn check(head: &Head<'_>, status: u16) -> Result<(), OwnedResponse> {
    let mut fields = head.headers_named("content-type");
    let (first, second) = (fields.next(), fields.next());
    let value = first.unwrap_or_default();
    let is_json = |value: &[u8]| {
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        essence.eq_ignore_ascii_case(b"application/json")
    };
    // Almost all clients send this: it needs no parsing.
    if second.is_some() || !(value == b"application/json" || is_json(value)) {
        let found = match (first, second) {
            (None, _) => "there is none".to_owned(),
            (_, Some(_)) => "there are several".to_owned(),
            _ => format!("it is `{}`", printable(&String::from_utf8_lossy(value))),
        };
        return Err(OwnedResponse::text(
            status,
            format!("Content-Type must be application/json, but {found}"),
        ));
    }
    // A list, which may be spread over several fields (RFC 9110 §8.4); empty members of a list say nothing.
    let codings = head.headers_named("content-encoding").flat_map(|value| value.split(|byte| *byte == b','));
    let mut codings = codings.map(<[u8]>::trim_ascii).filter(|coding| !coding.is_empty());
    match codings.find(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        None => Ok(()),
        Some(coding) => {
            let coding = printable(&String::from_utf8_lossy(coding));
            let text = format!("Content-Encoding `{coding}` is not supported; send the JSON as it is");
            // RFC 9110 §15.5.16.
            Err(OwnedResponse::text(415, text).header("Accept-Encoding", "identity"))
        }
    }
}
