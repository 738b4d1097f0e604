//! Message bodies: taking the content out of `Content-Length` and `chunked` framing, however the bytes are cut.
//!
//! *Scope:* [`Decoder`], an incremental reader of one body, used for requests by the server and for responses by the
//! client, with 413 as soon as chunks have more than `body_bytes_max`. *Not in scope:* choosing the framing
//! ([`head`](crate::http::head)); a `Content-Length` over the limit, which is refused before the body is read (`conn::input` finds it, the
//! engine's `receive` answers); keeping the content, which is handed out as slices of the input.
//!
//! ```text
//!  chunked:   ┌────────────────────────────────────────────────┐
//!             ▼                                                │
//!           Size ─▶ (Space ─▶) Extension ─▶ SizeLf ─▶ Data ─▶ DataCr ─▶ DataLf
//!                                             │ size 0
//!                                             ▼
//!              ┌─▶ LineStart ─▶ Name ─▶ Value ─▶ LineLf ─┐
//!              └─────│───────────────────────────────────┘
//!                    └─▶ EndLf ─▶ Done
//! ```
//!
//! ```
//! use mcp_rill::{Limits, http::body::{Decoder, Progress}};
//! let (limits, mut content) = (Limits::DEFAULT, Vec::new());
//! let mut decoder = Decoder::chunked();
//! let first = decoder.decode(b"6;note=1\r\nrivu", &limits, |data| content.extend_from_slice(data))?;
//! assert_eq!(first, Progress { used: 14, done: false });
//! let rest = decoder.decode(b"le\r\n0\r\nSum: 7\r\n\r\nGET", &limits, |data| content.extend_from_slice(data))?;
//! assert_eq!((rest, content.as_slice()), (Progress { used: 17, done: true }, &b"rivule"[..]));
//! # Ok::<(), mcp_rill::http::Refusal>(())
//! ```

use super::head::Framing;
use crate::http::refusal::Refusal;
use crate::limits::Limits;
use crate::text::{is_token_byte, is_value_byte, shown};

/// A `chunk-size` of more digits is refused, leading zeros included: 16 fill a `u64`, which then cannot overflow.
const SIZE_DIGITS_MAX: u8 = 16;

/// What one call of [`Decoder::decode`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many bytes of the input belong to this body: all of them until it is done.
    pub used: usize,
    /// True if the body has ended. What follows in the input belongs to the next message.
    pub done: bool,
}

/// Takes the content out of one message body (RFC 9112 §6).
#[derive(Clone, Debug)]
pub struct Decoder(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Length { left: u64 },
    Chunked(Chunked),
    UntilClose { total: u64 },
}

impl Decoder {
    /// A body framed as the head says.
    pub fn new(framing: Framing) -> Decoder {
        match framing {
            Framing::None => Decoder::length(0),
            Framing::Length(length) => Decoder::length(length),
            Framing::Chunked => Decoder::chunked(),
        }
    }

    /// A body of exactly `length` bytes (RFC 9112 §6.2).
    pub fn length(length: u64) -> Decoder {
        Decoder(Kind::Length { left: length })
    }

    /// A body in chunks (RFC 9112 §7.1).
    pub fn chunked() -> Decoder {
        Decoder(Kind::Chunked(Chunked::default()))
    }

    /// A response body that ends with the connection (RFC 9112 §6.3, rule 8). It is never done.
    pub fn until_close() -> Decoder {
        Decoder(Kind::UntilClose { total: 0 })
    }

    /// Reads more of the body: passes the content in `input` to `out`, in order, and returns how many bytes it took.
    ///
    /// # Errors
    /// A [`Refusal`] with 400 for broken chunks and for extensions or trailers that are too long, and with 413 as soon as the
    /// size of a chunk takes the content over `limits.body_bytes_max`, of which `usize::MAX` is none. Content that was passed on before
    /// is then useless.
    pub fn decode(
        &mut self,
        input: &[u8],
        limits: &Limits,
        mut out: impl FnMut(&[u8]),
    ) -> Result<Progress, Refusal> {
        match &mut self.0 {
            Kind::Length { left } => {
                let take = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                let data = input.get(..take).unwrap_or_default();
                if !data.is_empty() {
                    out(data);
                }
                *left -= take as u64;
                Ok(Progress { used: take, done: *left == 0 })
            }
            Kind::Chunked(chunked) => chunked.decode(input, limits, out),
            Kind::UntilClose { total } => {
                *total = within(total.saturating_add(input.len() as u64), limits)?;
                out(input);
                Ok(Progress { used: input.len(), done: false })
            }
        }
    }
}

/// The content's length, unless it is over the limit (RFC 9110 §15.5.14). The client sets `usize::MAX`, which is no limit: its streams
/// may be longer than a word of 32 bits counts.
fn within(length: u64, limits: &Limits) -> Result<u64, Refusal> {
    if limits.body_bytes_max < usize::MAX && length > limits.body_bytes_max as u64 {
        let max = limits.body_bytes_max;
        let reason = format!("the body is longer than {max} bytes; send less, or raise body_bytes_max");
        return Err(Refusal::new(413, reason));
    }
    Ok(length)
}

#[derive(Clone, Debug, Default)]
struct Chunked {
    state: State,
    digits: u8,
    /// The size being read, then what is left of the chunk's data.
    left: u64,
    total: u64,
    extension_bytes: usize,
    trailer_bytes: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    LineStart,
    Name,
    Value,
    LineLf,
    EndLf,
    Done,
}

impl Chunked {
    fn decode(
        &mut self,
        input: &[u8],
        limits: &Limits,
        mut out: impl FnMut(&[u8]),
    ) -> Result<Progress, Refusal> {
        let mut rest = input;
        while self.state != State::Done {
            if self.state == State::Data {
                let take = usize::try_from(self.left).map_or(rest.len(), |left| left.min(rest.len()));
                let (data, after) = rest.split_at_checked(take).unwrap_or((rest, &[]));
                if !data.is_empty() {
                    out(data);
                }
                self.left -= data.len() as u64;
                rest = after;
                if self.left > 0 {
                    break;
                }
                self.state = State::DataCr;
            }
            let Some((byte, after)) = rest.split_first() else { break };
            self.state = self.step(*byte, limits)?;
            rest = after;
        }
        Ok(Progress { used: input.len() - rest.len(), done: self.state == State::Done })
    }

    /// One byte of the framing around the data.
    fn step(&mut self, byte: u8, limits: &Limits) -> Result<State, Refusal> {
        match (self.state, byte) {
            (State::Size, _) => self.size(byte, limits),
            // RFC 9112 §7.1.1 allows bad whitespace before the semicolon only; at the end of the line it is refused.
            (State::Space, b' ' | b'\t') => self.extension(State::Space, limits),
            (State::Space | State::Extension, b';') => self.extension(State::Extension, limits),
            (State::Space, _) => Err(bad("a chunk size is followed by whitespace", byte)),
            (State::Extension, b'\r') => Ok(State::SizeLf),
            (State::Extension, _) if is_value_byte(byte) => self.extension(State::Extension, limits),
            (State::Extension, _) => Err(bad("a chunk extension holds a control byte", byte)),
            (State::SizeLf, b'\n') => Ok(self.sized()),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size),
            (State::DataCr | State::DataLf, _) => Err(bad("a chunk is longer than its size says", byte)),
            (State::LineStart, b'\r') => Ok(State::EndLf),
            (State::LineStart | State::Name, _) if is_token_byte(byte) => self.trailer(State::Name, limits),
            (State::Name, b':') => self.trailer(State::Value, limits),
            (State::LineStart | State::Name, _) => {
                Err(bad("a trailer field's name holds a forbidden byte", byte))
            }
            (State::Value, b'\r') => self.trailer(State::LineLf, limits),
            (State::Value, _) if is_value_byte(byte) => self.trailer(State::Value, limits),
            (State::Value, _) => Err(bad("a trailer field's value holds a control byte", byte)),
            (State::LineLf, b'\n') => self.trailer(State::LineStart, limits),
            (State::EndLf, b'\n') => Ok(State::Done),
            (State::SizeLf | State::LineLf | State::EndLf, _) => {
                Err(bad("CR is not followed by LF in the chunked framing", byte))
            }
            (State::Data | State::Done, _) => Ok(self.state),
        }
    }

    fn size(&mut self, byte: u8, limits: &Limits) -> Result<State, Refusal> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' | b';' | b' ' | b'\t' if self.digits > 0 => {
                // Known here and not yet read: the peer learns of it before it sends the chunk.
                self.total = within(self.total.saturating_add(self.left), limits)?;
                return match byte {
                    b'\r' => Ok(State::SizeLf),
                    b';' => self.extension(State::Extension, limits),
                    _ => self.extension(State::Space, limits),
                };
            }
            _ => return Err(bad("a chunk size is not a hexadecimal number", byte)),
        };
        if self.digits == SIZE_DIGITS_MAX {
            return Err(Refusal::new(400, "a chunk size has more than 16 digits; send smaller chunks"));
        }
        self.digits += 1;
        self.left = self.left << 4 | u64::from(digit);
        Ok(State::Size)
    }

    fn sized(&mut self) -> State {
        self.digits = 0;
        if self.left == 0 { State::LineStart } else { State::Data }
    }

    fn extension(&mut self, next: State, limits: &Limits) -> Result<State, Refusal> {
        self.extension_bytes += 1;
        if self.extension_bytes > limits.chunk_extension_bytes_max {
            let max = limits.chunk_extension_bytes_max;
            let reason = format!("the chunk extensions are longer than {max} bytes; leave them out");
            return Err(Refusal::new(400, reason));
        }
        Ok(next)
    }

    fn trailer(&mut self, next: State, limits: &Limits) -> Result<State, Refusal> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > limits.trailer_bytes_max {
            let max = limits.trailer_bytes_max;
            return Err(Refusal::new(
                400,
                format!("the trailers are longer than {max} bytes; leave them out"),
            ));
        }
        Ok(next)
    }
}

fn bad(what: &str, byte: u8) -> Refusal {
    let text = shown(&[byte]);
    Refusal::new(
        400,
        format!("{what} (byte 0x{byte:02x}, `{text}`); send chunks as RFC 9112 section 7.1 says"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(mut decoder: Decoder, input: &[u8]) -> (Result<Progress, u16>, Vec<u8>) {
        let mut content = Vec::new();
        let result = decoder.decode(input, &Limits::DEFAULT, |data| content.extend_from_slice(data));
        (result.map_err(|refusal| refusal.status), content)
    }

    #[test]
    fn a_length_is_exact() {
        assert_eq!(
            whole(Decoder::length(3), b"abcd"),
            (Ok(Progress { used: 3, done: true }), b"abc".to_vec())
        );
        assert_eq!(whole(Decoder::length(3), b"ab"), (Ok(Progress { used: 2, done: false }), b"ab".to_vec()));
        assert_eq!(whole(Decoder::length(0), b"ab"), (Ok(Progress { used: 0, done: true }), Vec::new()));
        assert_eq!(
            whole(Decoder::length(u64::MAX), b"ab"),
            (Ok(Progress { used: 2, done: false }), b"ab".to_vec())
        );
    }

    #[test]
    fn the_largest_size_does_not_overflow() {
        assert_eq!(whole(Decoder::chunked(), b"ffffffffffffffff\r\n").0, Err(413));
        assert_eq!(whole(Decoder::chunked(), b"1\r\na\r\nffffffffffffffff\r\n").0, Err(413));
        assert_eq!(whole(Decoder::chunked(), b"00000000000000001\r\n").0, Err(400));
    }

    #[test]
    fn without_a_limit_a_body_may_be_longer_than_32_bits_count() {
        let limits = Limits { body_bytes_max: usize::MAX, ..Limits::DEFAULT };
        let mut chunks = Decoder::chunked();
        assert_eq!(chunks.decode(b"1\r\na\r\nffffffff\r\nb", &limits, |_| {}).map(|it| it.used), Ok(17));
        let mut rest = Decoder(Kind::UntilClose { total: u32::MAX.into() });
        assert_eq!(rest.decode(b"a", &limits, |_| {}), Ok(Progress { used: 1, done: false }));
        // At the longest limit that there is with 32 bits, and one past it.
        let max = (u32::MAX - 1) as usize;
        let limits = Limits { body_bytes_max: max, ..Limits::DEFAULT };
        assert_eq!(within(max as u64, &limits), Ok(max as u64));
        assert_eq!(within(max as u64 + 1, &limits).unwrap_err().status, 413);
    }

    #[test]
    fn done_stays_done() {
        let mut decoder = Decoder::chunked();
        let limits = Limits::DEFAULT;
        assert!(decoder.decode(b"0\r\n\r\n", &limits, |_| {}).unwrap().done);
        let again = decoder.decode(b"5\r\n", &limits, |_| panic!("content after the end"));
        assert_eq!(again, Ok(Progress { used: 0, done: true }));
    }

    #[test]
    fn until_close_takes_what_comes() {
        let limits = Limits { body_bytes_max: 4, ..Limits::DEFAULT };
        let mut decoder = Decoder::until_close();
        assert_eq!(decoder.decode(b"abcd", &limits, |_| {}), Ok(Progress { used: 4, done: false }));
        assert_eq!(decoder.decode(b"e", &limits, |_| {}).unwrap_err().status, 413);
    }
}
