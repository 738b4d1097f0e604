//! Requests made up from a seed: lawful ones are read as they were written, and mutilated ones come to the same end
//! however they are cut.

use crate::harness::{SMALL, Seen, responses, run};

/// xorshift64*: the same sequence on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.roll(from.len())]
    }

    fn word(&mut self, letters: &[u8], len: usize) -> String {
        (0..len).map(|_| char::from(letters[self.roll(letters.len())])).collect()
    }

    fn pieces<'a>(&mut self, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let most = [1, 3, 20, 200][self.roll(4)];
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at((1 + self.roll(most)).min(bytes.len()));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }
}

const TOKEN: &[u8] = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const PATH: &[u8] = b"/%25-._~!$&'()*+,;=:@abcxyz0129";

/// A lawful request and what it should be read as.
fn request(dice: &mut Dice) -> (Vec<u8>, Seen) {
    let method = dice.pick(&["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]);
    let length = dice.roll(30);
    let target = format!("/{}{}", dice.word(PATH, length), dice.pick(&["", "?", "?a=b", "?/?"]));
    let mut headers: Vec<(String, Vec<u8>)> =
        vec![("hOsT".into(), dice.pick(&["a", "b:1", "[::1]:2"]).into())];
    for _ in 0..dice.roll(5) {
        let length = 1 + dice.roll(8);
        // The prefix keeps it from naming a field that means something.
        let name = format!("x{}", dice.word(TOKEN, length));
        let length = dice.roll(10);
        let value = (0..length).map(|_| 0x80 | dice.roll(0x80) as u8).collect();
        headers.insert(dice.roll(headers.len() + 1), (name, value));
    }
    let body: Vec<u8> = (0..dice.roll(65)).map(|_| dice.roll(256) as u8).collect();
    let body = if method == "GET" || method == "HEAD" { Vec::new() } else { body };
    let mut framed = Vec::new();
    if method == "GET" || method == "HEAD" {
    } else if dice.roll(2) == 0 {
        headers.push(("Content-length".into(), body.len().to_string().into()));
        framed.extend_from_slice(&body);
    } else {
        headers.push(("TRANSFER-ENCODING".into(), "chunked".into()));
        framed = chunks(dice, &body);
    }
    let mut bytes = format!("{}{method} {target} HTTP/1.1\r\n", dice.pick(&["", "\r\n"])).into_bytes();
    for (name, value) in &headers {
        let (before, after) = (dice.pick(&["", " ", "\t "]), dice.pick(&["", " ", " \t"]));
        bytes.extend_from_slice(format!("{name}:{before}").as_bytes());
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(format!("{after}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&framed);
    (bytes, Seen { method: method.into(), target, headers, body })
}

fn chunks(dice: &mut Dice, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in dice.pieces(body) {
        let size = match dice.roll(3) {
            0 => format!("{:x}", chunk.len()),
            1 => format!("{:X}", chunk.len()),
            _ => format!("{:04x}", chunk.len()),
        };
        bytes.extend_from_slice(format!("{size}\r\n").as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    let end = dice.pick(&["0", "000", "0;a", "0 ; a=\"b\""]);
    let trailers = dice.pick(&["", "A: b\r\n", "A:\r\nB: c d\r\n"]);
    bytes.extend_from_slice(format!("{end}\r\n{trailers}\r\n").as_bytes());
    bytes
}

#[test]
fn lawful_requests_are_read_as_written() {
    for seed in 1..=1500 {
        let mut dice = Dice(seed);
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..=dice.roll(4) {
            let (request, seen) = request(&mut dice);
            bytes.extend_from_slice(&request);
            expected.push(seen);
        }
        let outcome = run(&SMALL, dice.pieces(&bytes), false);
        assert_eq!(outcome.seen, expected, "seed {seed}: {}", String::from_utf8_lossy(&bytes));
        assert!(!outcome.ended, "seed {seed}");
    }
}

#[test]
fn mutilated_requests_end_the_same_however_they_are_cut() {
    const RUBBISH: &[&[u8]] = &[
        b"\r",
        b"\n",
        b"\r\n",
        b"\0",
        b" ",
        b"\t",
        b":",
        b",",
        b"\x7f",
        b"\xff",
        b"0",
        b"ffffffffffffffff",
        b"HTTP/1.0",
        b"\r\n ",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Host: a\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"/stream",
        b"/refuse",
        b"GET ",
        b"0\r\n\r\n",
    ];
    let (mut refused, mut accepted) = (0, 0);
    for seed in 1..=4000 {
        let mut dice = Dice(seed);
        let mut bytes = request(&mut dice).0;
        bytes.extend_from_slice(&request(&mut dice).0);
        for _ in 0..dice.roll(3) {
            let at = dice.roll(bytes.len());
            let until = (at + dice.roll(4)).min(bytes.len());
            bytes.splice(at..until, dice.pick(RUBBISH).iter().copied());
        }
        let eof = dice.roll(2) == 0;
        let whole = run(&SMALL, [&bytes[..]], eof);
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(run(&SMALL, bytes.chunks(1), eof), whole, "seed {seed}: {shown}");
        assert_eq!(run(&SMALL, dice.pieces(&bytes), eof), whole, "seed {seed}: {shown}");
        match whole.seen.len() {
            0 | 1 => refused += 1,
            _ => accepted += 1,
        }
        if shown.contains("HEAD") || shown.contains("/stream") {
            continue;
        }
        if let Some(last) = responses(&whole.output, "GET").last().filter(|last| last.status >= 400) {
            assert!(last.text().is_ascii() && last.text().len() < 400, "seed {seed}: {}", last.text());
        }
    }
    assert!(
        refused > 500 && accepted > 500,
        "the rubbish is well measured: {refused} refused, {accepted} not"
    );
}
