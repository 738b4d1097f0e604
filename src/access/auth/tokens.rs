//! A fixed list of bearer tokens.
//!
//! *Scope:* [`Tokens`]: reading the list, and checking a request against it. *Not in scope:* files and signals, which the binary handles.
//!
//! ```text
//! # one `name:token` a line; a name may have several, so that a new one can be handed out before the old one goes
//! ada:2a0f0b5e3c6d4a798f1e1d5c7b9a3e60
//! build-server:Zm9yIGV4YW1wbGUgb25seS4uLi4=
//! ```

use std::fmt;
use std::hint::black_box;

use crate::access::auth::hook::{Denied, HttpRequest, is_token68};
use crate::access::peer::Principal;
use crate::text::is_hidden;

/// The fewest characters that hold 128 random bits, which cannot be guessed: 22 in base64. Nothing here slows guessing down,
/// and whether a shorter token is random enough cannot be seen.
const TOKEN_CHARS_MIN: usize = 22;

/// Bearer tokens and their owners.
///
/// A token is compared with every one in the list, without an early exit: the time that it takes shows neither how much of a
/// guess is right nor which name it is near to. It does show how many tokens there are. Tokens are kept as they are, so
/// nothing protects them from a reader of the file or of the process's memory. There is no limit on guesses: tokens have to be
/// long and random, such as those of `openssl rand -hex 16`.
///
/// ```
/// use mcp_rill::{Server, Tokens};
/// let tokens = Tokens::read("# who may\nada: 2a0f0b5e3c6d4a798f1e1d5c7b9a3e60\n")?;
/// let server = Server::new("notes", "1.0.0").authorize(move |request| tokens.authorize(request));
/// assert_eq!(Tokens::read("ada:secret").unwrap_err(), "line 1: the token has 6 characters; it needs at least 22 random ones");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Default)]
pub struct Tokens(Vec<(Principal, Box<[u8]>)>);

impl Tokens {
    /// Reads a list: one `name:token` a line. Blank lines, lines that start with `#`, and a byte order mark at the start are
    /// skipped. A name may have several tokens. If the list is empty, every request is denied.
    ///
    /// # Errors
    /// The number of the first line with a fault, and the fault; never the token itself.
    pub fn read(text: &str) -> Result<Tokens, String> {
        let (mut tokens, mut lines) = (Vec::<(Principal, Box<[u8]>)>::new(), Vec::new());
        for (at, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, token) = read_line(line).map_err(|why| format!("line {}: {why}", at + 1))?;
            let twice = tokens.iter().zip(&lines).find(|((_, known), _)| **known == *token.as_bytes());
            match twice {
                // By their lines: where names and tokens have changed places, the names are the tokens.
                Some(((owner, _), line)) if owner.name() != name => {
                    return Err(format!(
                        "line {}: the token is that of line {line}, with another name",
                        at + 1
                    ));
                }
                Some(_) => {}
                None => {
                    tokens.push((Principal::new(name), token.as_bytes().into()));
                    lines.push(at + 1);
                }
            }
        }
        Ok(Tokens(tokens))
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are no tokens, so that every request is denied.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The owner of the token.
    pub fn find(&self, token: &str) -> Option<&Principal> {
        let mut found = None;
        for (principal, known) in &self.0 {
            if same(token.as_bytes(), known) {
                found = Some(principal);
            }
        }
        found
    }

    /// The result of a [`Server::authorize`](crate::Server::authorize) hook that admits the owners of this list's tokens.
    ///
    /// # Errors
    /// As [`HttpRequest::bearer`], and [`Denied::invalid_token`] if the token is not in the list.
    pub fn authorize(&self, request: &HttpRequest<'_>) -> Result<Principal, Denied> {
        let token = request.bearer()?;
        self.find(token).cloned().ok_or_else(|| Denied::invalid_token("the token is not known here"))
    }
}

/// Shows the names only.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(principal, _)| principal.name())).finish()
    }
}

fn read_line(line: &str) -> Result<(&str, &str), String> {
    let (name, token) = line.split_once(':').ok_or("write it as name:token")?;
    let (name, token) = (name.trim(), token.trim());
    if name.is_empty() || name.chars().any(is_hidden) {
        return Err("the name is empty or has control characters".to_owned());
    }
    if !is_token68(token) {
        return Err("the token may have letters, digits and -._~+/ only, and = at its end".to_owned());
    }
    match token.len() {
        TOKEN_CHARS_MIN.. => Ok((name, token)),
        count => {
            Err(format!("the token has {count} characters; it needs at least {TOKEN_CHARS_MIN} random ones"))
        }
    }
}

/// Takes as many steps as the guess is long, whatever `known` is. `black_box` keeps the compiler from leaving the loop early;
/// the language promises no more than that.
fn same(guess: &[u8], known: &[u8]) -> bool {
    let mut difference = guess.len() ^ known.len();
    for (at, byte) in guess.iter().enumerate() {
        // Tokens are not empty, and a wrap-around is a different length, which counts already.
        let other = known.get(at % known.len().max(1)).copied().unwrap_or_default();
        difference |= black_box(usize::from(byte ^ other));
    }
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: &str = "2a0f0b5e3c6d4a798f1e1d5c7b9a3e60";

    const BOB: &str = "Zm9yIGV4YW1wbGUgb25seS4uLi4=";

    fn name<'t>(tokens: &'t Tokens, token: &str) -> Option<&'t str> {
        tokens.find(token).map(Principal::name)
    }

    #[test]
    fn a_list_is_read() {
        let text = format!("# who may\r\n\r\n  ada:{ADA}  \r\nbob smith : {BOB}\nada:{ADA}\nada:{ADA}2\n");
        let tokens = Tokens::read(&text).unwrap();
        assert_eq!(tokens.len(), 3);
        assert_eq!(name(&tokens, ADA), Some("ada"));
        assert_eq!(name(&tokens, &format!("{ADA}2")), Some("ada"));
        assert_eq!(name(&tokens, BOB), Some("bob smith"));
        assert_eq!(format!("{tokens:?}"), r#"["ada", "bob smith", "ada"]"#);
        assert!(Tokens::read("").unwrap().is_empty());
        // As editors on Windows write it.
        let marked = Tokens::read(&format!("\u{feff}ada:{ADA}\r\n")).unwrap();
        assert_eq!(name(&marked, ADA), Some("ada"));
    }

    #[test]
    fn bad_lines_are_named_and_tokens_are_not() {
        for (text, line, why) in [
            (format!("ada{ADA}"), 1, "name:token"),
            (format!("\n:{ADA}"), 2, "name is empty"),
            (format!("a\u{7}a:{ADA}"), 1, "control"),
            (format!("ada:{ADA} x"), 1, "letters"),
            (format!("ada:{ADA}:x"), 1, "letters"),
            (format!("ada:{ADA}=x"), 1, "letters"),
            ("ada:".to_owned(), 1, "letters"),
            (format!("ada:{}", &ADA[..21]), 1, "21 characters"),
            (format!("# x\nada:{ADA}\n# x\nbob:{ADA}"), 4, "the token is that of line 2"),
            (format!("{ADA}:a-name-as-long-as-a-token\n{BOB}:a-name-as-long-as-a-token"), 2, "line 1"),
        ] {
            let error = Tokens::read(&text).unwrap_err();
            assert!(error.starts_with(&format!("line {line}: ")) && error.contains(why), "{text:?}: {error}");
            assert!(!error.contains(&ADA[..21]) && !error.contains(&BOB[..21]), "{error}");
        }
        assert!(Tokens::read(&format!("ada:{}", &ADA[..22])).is_ok());
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        let tokens = Tokens::read(&format!("ada:{ADA}")).unwrap();
        let wrong = [
            String::new(),
            ADA[..31].to_owned(),
            format!("{ADA}{ADA}"),
            format!("{ADA}0"),
            ADA.to_uppercase(),
        ];
        for guess in wrong {
            assert_eq!(name(&tokens, &guess), None, "{guess}");
        }
    }
}
