//! The whole server: a script of what peers, workers, the clock and the network do to it.
//!
//! Each operation is a letter and its arguments, one byte each; any other byte is one of the letters too.
//!
//! | | arguments | |
//! |---|---|---|
//! | `o` | | a peer connects |
//! | `g` | connection | it asks for a stream |
//! | `p` | connection, session, message, id | it posts a message of [`messages::MESSAGES`] into a session |
//! | `b` | connection, length, bytes | it sends these bytes |
//! | `w` | connection, n | from now on it takes 64 n bytes and no more; 9: everything |
//! | `t` | n | time passes: from 1 ms to 15 min |
//! | `r` | reply, n | a worker finishes, reports, logs or gives up |
//! | `a` | connection, session, n | the client answers its latest question |
//! | `u` | n | the program around the server says that something changed, or logs |
//! | `e`, `h` | connection | the peer half-closes, or is gone |
//! | `z` | n | the server shuts down |
//! | `i` | connection, n, form | it posts `initialize` to `/mcp`, of one of three revisions |
//! | `m` | connection, session, message, id, form | it posts a message into a session of `/mcp` |
//! | `n` | connection, session, count, (message, id)…, form | it posts a batch of up to five |
//! | `v` | connection, message, id, form | it posts a message of [`messages::MODERN`], which names no session |
//! | `q` | connection, session, n | it answers the session's latest question |
//! | `l` | connection, session, n | it asks for the session's stream, from the start or from some event on |
//! | `d` | connection, session | it ends the session |
//! | `c` | | a peer connects whose messages are lines |
//! | `j` | connection of lines, n | it sends `initialize`, of one of three revisions |
//! | `s` | connection of lines, message, id | it sends a message, also one of [`messages::MODERN`] |
//! | `k` | connection of lines, count, (message, id)… | it sends a batch of up to five |
//! | `x` | connection of lines, n | it answers its latest question |
//!
//! A form is one of [`streamable::FORMS`]: other header fields, or a body in chunks.

mod lines;
mod messages;
mod peers;
mod streamable;

use peers::Peers;

pub fn check(data: &[u8]) {
    let mut peers = Peers::new();
    let mut script = Script(data);
    // The work of one operation is bounded, so that of a script is its length times that.
    while let Some(letter) = script.next() {
        operation(&mut peers, letter, &mut script);
        peers.settle();
    }
    peers.end();
}

struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A digit stands for itself.
    fn number(&mut self) -> usize {
        usize::from(self.next().unwrap_or(b'0').wrapping_sub(b'0'))
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}

fn operation(peers: &mut Peers, letter: u8, script: &mut Script<'_>) {
    const LETTERS: &[u8] = b"ogpbwtrauehzimnvqldcjskx";
    let letter =
        if LETTERS.contains(&letter) { letter } else { LETTERS[usize::from(letter) % LETTERS.len()] };
    match letter {
        b'o' => peers.connect(),
        b'g' => peers.ask_for_stream(script.number()),
        b'p' => {
            let (conn, session, message, id) =
                (script.number(), script.number(), script.number(), script.number());
            peers.post(conn, session, message, id);
        }
        b'b' => {
            let (conn, count) = (script.number(), script.number());
            peers.raw(conn, script.bytes(count));
        }
        b'w' => peers.window(script.number(), script.number()),
        b't' => peers.pass(script.number()),
        b'r' => peers.work(script.number(), script.number()),
        b'a' => peers.answer(script.number(), script.number(), script.number()),
        b'u' => peers.announce(script.number()),
        b'e' => peers.half_close(script.number()),
        b'h' => peers.hang_up(script.number()),
        b'z' => peers.shut_down(script.number()),
        b'i' => peers.initialize(script.number(), script.number(), script.number()),
        b'm' => {
            let (conn, session, message) = (script.number(), script.number(), script.number());
            let messages = [(message, script.number())];
            peers.mcp_post(conn, session, &messages, script.number());
        }
        b'n' => {
            let (conn, session, count) = (script.number(), script.number(), script.number() % 6);
            let messages: Vec<_> = (0..count).map(|_| (script.number(), script.number())).collect();
            peers.mcp_batch(conn, session, &messages, script.number());
        }
        b'v' => {
            let (conn, message, id) = (script.number(), script.number(), script.number());
            peers.mcp_modern(conn, message, id, script.number());
        }
        b'q' => peers.mcp_answer(script.number(), script.number(), script.number()),
        b'l' => peers.mcp_stream(script.number(), script.number(), script.number()),
        b'd' => peers.mcp_delete(script.number(), script.number()),
        b'c' => peers.connect_lines(),
        b'j' => peers.initialize_lines(script.number(), script.number()),
        b's' => peers.say(script.number(), script.number(), script.number()),
        b'k' => {
            let (conn, count) = (script.number(), script.number() % 6);
            let messages: Vec<_> = (0..count).map(|_| (script.number(), script.number())).collect();
            peers.say_batch(conn, &messages);
        }
        _ => peers.answer_line(script.number(), script.number()),
    }
}
