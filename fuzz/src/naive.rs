//! Readers written from RFC 9112 alone: whole texts in, and no thought of speed.

/// A request head, as the grammar of RFC 9112 §3 and §5 divides it.
#[derive(Debug, PartialEq, Eq)]
pub struct NaiveHead<'a> {
    pub method: &'a [u8],
    pub target: &'a [u8],
    pub minor: u8,
    pub fields: Vec<(&'a [u8], &'a [u8])>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NaiveFraming {
    None,
    Length(u64),
    Chunked,
}

/// `None`: not what the grammar allows. `head` ends with the empty line and begins with the method.
pub fn head(head: &[u8]) -> Option<NaiveHead<'_>> {
    let mut lines = lines(head.strip_suffix(b"\r\n\r\n")?)?.into_iter();
    let parts: Vec<&[u8]> = lines.next()?.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts[..] else { return None };
    let minor = match version {
        b"HTTP/1.0" => 0,
        b"HTTP/1.1" => 1,
        _ => return None,
    };
    if !token(method) || target.is_empty() || target.iter().any(|byte| *byte <= b' ' || *byte >= 0x7f) {
        return None;
    }
    let field = |line: &'_ [u8]| -> Option<(usize, usize, usize)> {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
        let value = &line[colon + 1..];
        let from = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
        let to = value.iter().rposition(|byte| !blank(byte)).map_or(from, |last| last + 1);
        let lawful = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        (token(&line[..colon]) && value.iter().all(lawful)).then_some((
            colon,
            colon + 1 + from,
            colon + 1 + to,
        ))
    };
    let fields = lines.map(|line| field(line).map(|(name, from, to)| (&line[..name], &line[from..to])));
    Some(NaiveHead { method, target, minor, fields: fields.collect::<Option<_>>()? })
}

impl<'a> NaiveHead<'a> {
    pub fn values(&self, name: &str) -> Vec<&'a [u8]> {
        let named = |field: &&(&[u8], &[u8])| field.0.eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(named).map(|field| field.1).collect()
    }

    /// RFC 9112 §6.3 without its repairs; `None`: ambiguous.
    pub fn framing(&self) -> Option<NaiveFraming> {
        match (&self.values("transfer-encoding")[..], &self.values("content-length")[..]) {
            ([], []) => Some(NaiveFraming::None),
            ([], [length]) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
                std::str::from_utf8(length).ok()?.parse().ok().map(NaiveFraming::Length)
            }
            ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") && self.minor == 1 => {
                Some(NaiveFraming::Chunked)
            }
            _ => None,
        }
    }

    /// RFC 9112 §9.3.
    pub fn keep_alive(&self) -> bool {
        let values = self.values("connection");
        let options: Vec<Vec<u8>> = values
            .iter()
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(|option| option.trim_ascii().to_ascii_lowercase())
            .collect();
        let has = |name: &[u8]| options.iter().any(|option| option == name);
        !has(b"close") && (self.minor == 1 || has(b"keep-alive"))
    }
}

/// The lines of a text whose lines end in CR LF, where neither may stand alone.
fn lines(text: &[u8]) -> Option<Vec<&[u8]>> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    lines.iter().all(|line| !line.contains(&b'\r') && !line.contains(&b'\n')).then_some(lines)
}

fn token(bytes: &[u8]) -> bool {
    let is = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is)
}

/// A body in chunks (RFC 9112 §7.1).
#[derive(Debug, PartialEq, Eq)]
pub struct NaiveBody<'a> {
    pub content: Vec<u8>,
    /// How many bytes of the input belong to it.
    pub used: usize,
    /// The lines that announce chunks, with their line ends.
    pub size_lines: Vec<&'a [u8]>,
    /// What stands between the sizes and the line ends, all together.
    pub extension_bytes: usize,
    /// The trailer section without the empty line at its end.
    pub trailer_bytes: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub enum NaiveChunked<'a> {
    Whole(NaiveBody<'a>),
    /// More bytes might make it whole.
    Cut,
    Broken,
}

pub fn chunked(input: &[u8]) -> NaiveChunked<'_> {
    let mut body =
        NaiveBody { content: vec![], used: 0, size_lines: vec![], extension_bytes: 0, trailer_bytes: 0 };
    let line = |from: usize| {
        let end = input[from..].windows(2).position(|pair| pair == b"\r\n");
        end.map(|end| (&input[from..from + end], from + end + 2))
    };
    loop {
        let Some((text, after)) = line(body.used) else { return NaiveChunked::Cut };
        let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let extension = &text[digits..];
        let begins = extension.trim_ascii_start().starts_with(b";");
        let value = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        if digits == 0 || digits > 16 || !(extension.is_empty() || begins) || !extension.iter().all(value) {
            return NaiveChunked::Broken;
        }
        body.extension_bytes += extension.len();
        body.size_lines.push(&input[body.used..after]);
        let size = text[..digits].iter().fold(0_u64, |size, digit| {
            size * 16 + u64::from(char::from(*digit).to_digit(16).unwrap_or_default())
        });
        body.used = after;
        if size == 0 {
            break;
        }
        let Some(data) =
            usize::try_from(size).ok().and_then(|size| input.get(after..after.checked_add(size)?))
        else {
            return NaiveChunked::Cut;
        };
        body.content.extend_from_slice(data);
        body.used += data.len();
        match &input[body.used..] {
            [b'\r', b'\n', ..] => body.used += 2,
            [] | [b'\r'] => return NaiveChunked::Cut,
            _ => return NaiveChunked::Broken,
        }
    }
    let trailers = body.used;
    loop {
        let Some((text, after)) = line(body.used) else { return NaiveChunked::Cut };
        body.used = after;
        if text.is_empty() {
            body.trailer_bytes = after - 2 - trailers;
            return NaiveChunked::Whole(body);
        }
        let name = text.iter().position(|byte| *byte == b':').map(|colon| &text[..colon]);
        let value = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        if !name.is_some_and(token) || !text.iter().all(value) {
            return NaiveChunked::Broken;
        }
    }
}
