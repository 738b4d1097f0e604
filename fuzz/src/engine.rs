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
//!
//! A form is one of [`streamable::FORMS`]: other header fields, or a body in chunks.

mod messages;
mod streamable;
mod world;

use world::World;

pub fn check(data: &[u8]) {
    let mut world = World::new();
    let mut script = Script(data);
    // The work of one operation is bounded, so that of a script is its length times that.
    while let Some(letter) = script.next() {
        operation(&mut world, letter, &mut script);
        world.settle();
    }
    world.end();
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

fn operation(world: &mut World, letter: u8, script: &mut Script<'_>) {
    const LETTERS: &[u8] = b"ogpbwtrauehzimnvqld";
    let letter =
        if LETTERS.contains(&letter) { letter } else { LETTERS[usize::from(letter) % LETTERS.len()] };
    match letter {
        b'o' => world.connect(),
        b'g' => world.ask_for_stream(script.number()),
        b'p' => {
            let (conn, session, message, id) =
                (script.number(), script.number(), script.number(), script.number());
            world.post(conn, session, message, id);
        }
        b'b' => {
            let (conn, count) = (script.number(), script.number());
            world.raw(conn, script.bytes(count));
        }
        b'w' => world.window(script.number(), script.number()),
        b't' => world.pass(script.number()),
        b'r' => world.work(script.number(), script.number()),
        b'a' => world.answer(script.number(), script.number(), script.number()),
        b'u' => world.announce(script.number()),
        b'e' => world.half_close(script.number()),
        b'h' => world.hang_up(script.number()),
        b'z' => world.shut_down(script.number()),
        b'i' => world.initialize(script.number(), script.number(), script.number()),
        b'm' => {
            let (conn, session, message) = (script.number(), script.number(), script.number());
            let messages = [(message, script.number())];
            world.mcp_post(conn, session, &messages, script.number());
        }
        b'n' => {
            let (conn, session, count) = (script.number(), script.number(), script.number() % 6);
            let messages: Vec<_> = (0..count).map(|_| (script.number(), script.number())).collect();
            world.mcp_batch(conn, session, &messages, script.number());
        }
        b'v' => {
            let (conn, message, id) = (script.number(), script.number(), script.number());
            world.mcp_modern(conn, message, id, script.number());
        }
        b'q' => world.mcp_answer(script.number(), script.number(), script.number()),
        b'l' => world.mcp_stream(script.number(), script.number(), script.number()),
        _ => world.mcp_delete(script.number(), script.number()),
    }
}
