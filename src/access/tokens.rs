//! Bearer tokens that are known beforehand, from a list that a person keeps.
//!
//! *Scope:* [`Tokens`]: reading the list, finding a token in it. *Not in scope:* files and signals; the binary has those.
//!
//! ```text
//! # one `name:token` a line; a name may have several, so that a new one can be handed out before the old one goes
//! ada:2a0f0b5e3c6d4a798f1e1d5c7b9a3e60
//! build-server:Zm9yIGV4YW1wbGUgb25seS4uLi4=
//! ```

use std::fmt;
use std::hint::black_box;

use crate::access::hook::{Denied, HttpRequest, is_token68};
use crate::access::peer::Principal;

/// The fewest characters that can carry 128 random bits, which nobody guesses: in base64 they take 22. Nothing here slows
/// down guessing, so a shorter token would have to be refused by its randomness, which cannot be seen.
const TOKEN_CHARS_MIN: usize = 22;

/// Tokens and whose they are.
///
/// The tokens are compared without an early exit, and with every one in the list: how long that takes tells neither how
/// much of a guess is right nor which name it is near to. It does tell how many tokens there are, and nothing protects them
/// from whoever can read the file or the process's memory: they are kept as they are. There is no limit on guesses;
/// what makes guessing hopeless is that tokens are long and random, such as `openssl rand -hex 16` makes them.
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
    /// Reads a list: one `name:token` a line, with comments after `#` at the start of a line, and blank lines. A name may
    /// come several times. A byte order mark in front is passed over. A list may be empty: then nobody is let in.
    ///
    /// # Errors
    /// The number of the first line that is wrong, and why; never the token itself.
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

    /// Whether nobody can be let in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose the token is.
    pub fn find(&self, token: &str) -> Option<&Principal> {
        let mut found = None;
        for (principal, known) in &self.0 {
            if same(token.as_bytes(), known) {
                found = Some(principal);
            }
        }
        found
    }

    /// The answer of a [`Server::authorize`](crate::Server::authorize) hook that goes by this list.
    ///
    /// # Errors
    /// What [`HttpRequest::bearer`] says; [`Denied::invalid_token`] if the token is not in the list.
    pub fn authorize(&self, request: &HttpRequest<'_>) -> Result<Principal, Denied> {
        let token = request.bearer()?;
        self.find(token).cloned().ok_or_else(|| Denied::invalid_token("the token is not known here"))
    }
}

/// Without the tokens.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(principal, _)| principal.name())).finish()
    }
}

fn read_line(line: &str) -> Result<(&str, &str), String> {
    let (name, token) = line.split_once(':').ok_or("write it as name:token")?;
    let (name, token) = (name.trim(), token.trim());
    if name.is_empty() || name.chars().any(char::is_control) {
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

/// Takes as long for every `known`: as many steps as the guess is long. `black_box` keeps the compiler from leaving the
/// loop early; that is as much as a language without a notion of time can promise.
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
