//! Who asks, by the word of a reverse proxy: `--identity-header`.
//!
//! *Scope:* which header field names the principal, and from which connections it is taken. *Not in scope:* how the proxy finds out.

use super::Failure;
use super::tokens::TokenFile;
use crate::access::auth::hook::{Denied, HttpRequest};
use crate::access::peer::Principal;
use crate::net::Listening;
use crate::text::{is_hidden, is_token_byte};

/// A longer name is a mistake of the proxy.
const NAME_BYTES_MAX: usize = 256;

/// What decides who may ask.
#[derive(Clone)]
pub(super) enum Guard {
    Tokens(TokenFile),
    Identity(IdentityHeader),
}

impl Guard {
    pub(super) fn authorize(&self, request: &HttpRequest<'_>) -> Result<Principal, Denied> {
        match self {
            Guard::Tokens(tokens) => tokens.authorize(request),
            Guard::Identity(header) => header.authorize(request),
        }
    }
}

/// The name of a field in which a proxy says who asks.
#[derive(Clone, Debug)]
pub(super) struct IdentityHeader(String);

impl IdentityHeader {
    pub(super) fn new(name: String) -> Result<IdentityHeader, Failure> {
        match !name.is_empty() && name.bytes().all(is_token_byte) {
            true => Ok(IdentityHeader(name)),
            false => Err(Failure::usage(format!(
                "--identity-header {name}: write the name of a header field, such as X-Forwarded-User"
            ))),
        }
    }

    /// Checks that only this machine can connect: anybody else could name themselves.
    pub(super) fn check(&self, listening: &Listening) -> Result<(), Failure> {
        match listening.local_addrs().find(|address| !address.ip().is_loopback()) {
            None => Ok(()),
            Some(address) => Err(Failure::usage(format!(
                "--identity-header {} is taken from Unix sockets and loopback addresses alone, and others can reach {address}: \
                 listen where only the proxy connects",
                self.0
            ))),
        }
    }

    fn authorize(&self, request: &HttpRequest<'_>) -> Result<Principal, Denied> {
        let peer = request.peer();
        let mut values = request.headers(&self.0);
        let (value, another) = (values.next().map(str::trim), values.next());
        match value {
            _ if !(peer.unix || peer.loopback) => {
                Err(Denied::invalid_token("the identity is taken from this machine's proxy alone"))
            }
            None | Some("") => Err(Denied::invalid_token(format!(
                "the proxy in front of this server has not said who asks ({})",
                self.0
            ))),
            Some(_) if another.is_some() => {
                Err(Denied::malformed(format!("the field {} is there more than once", self.0)))
            }
            Some(name) if name.len() > NAME_BYTES_MAX || name.contains(is_hidden) => Err(Denied::malformed(
                format!("the field {} has over {NAME_BYTES_MAX} bytes, or hidden characters", self.0),
            )),
            Some(name) => Ok(Principal::new(name)),
        }
    }
}
