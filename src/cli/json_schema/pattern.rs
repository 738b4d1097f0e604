//! The keyword `pattern`: regular expressions of ECMA-262 with the flag `u`, matched in linear time.
//!
//! *Scope:* what a pattern of JSON Schema means, in the words of `regex-lite`, whose syntax is close but not the same: it takes
//! `.` and `\s` for fewer characters, begins a class with a literal `]`, and has flags and anchors of its own.
//! *Not in scope:* look-around and back references, which need time that grows faster than the text; properties of Unicode
//! (`\p`). A pattern that other readers of the schema could not compile is refused, too.

use std::fmt::Write as _;
use std::str::Chars;

use regex_lite::Regex;

use crate::cli::bounds::PATTERN_STATES_MAX;
use crate::sort::sort_by;

/// As numbers are counted here.
const STATES_MAX: u64 = PATTERN_STATES_MAX as u64;

/// How many states times characters may be matched. At worst a matcher tries all states for each character while all clients
/// wait, and this many steps are a part of a second. The longest pattern still takes texts of as many characters as it has.
const STEPS_MAX: u64 = STATES_MAX * STATES_MAX;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// As it is written in the schema.
    pub(crate) text: String,
    /// Longer texts are not matched.
    pub(crate) characters_max: u64,
    regex: Regex,
}

impl Pattern {
    /// # Errors
    /// What is wrong with the pattern, and what to write instead.
    pub(crate) fn compile(text: &str) -> Result<Pattern, String> {
        let (translated, states) = Translation::of(text)?;
        if states > STATES_MAX {
            return Err(format!(
                "with its repetitions written out it has {states} characters or classes; at most {STATES_MAX} are allowed (pattern_states_max)"
            ));
        }
        let regex = Regex::new(&translated).map_err(|error| error.to_string())?;
        Ok(Pattern { text: text.to_owned(), characters_max: STEPS_MAX / states.max(1), regex })
    }

    /// True if the pattern matches anywhere in the text.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// The characters from one to another, both included.
type Range = (char, char);

const DIGITS: &[Range] = &[('0', '9')];
const WORD: &[Range] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
const LINE_ENDS: &[Range] = &[('\n', '\n'), ('\r', '\r'), ('\u{2028}', '\u{2029}')];
/// ECMA-262, WhiteSpace and LineTerminator.
const BLANKS: &[Range] = &[
    ('\t', '\r'),
    (' ', ' '),
    ('\u{a0}', '\u{a0}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{2000}', '\u{200a}'),
    ('\u{2028}', '\u{2029}'),
    ('\u{202f}', '\u{202f}'),
    ('\u{205f}', '\u{205f}'),
    ('\u{3000}', '\u{3000}'),
    ('\u{feff}', '\u{feff}'),
];

/// What a backslash and the next character stand for.
enum Escape {
    One(char),
    Set(Vec<Range>),
}

/// A pattern on its way from one syntax to the other.
struct Translation<'p> {
    rest: Chars<'p>,
    out: String,
    /// The states of the whole, and of each group that is open.
    states: Vec<u64>,
    /// The states of what was last, if that may be repeated.
    last: Option<u64>,
}

impl Translation<'_> {
    /// The translated pattern, and how many states it has.
    fn of(pattern: &str) -> Result<(String, u64), String> {
        let mut translation =
            Translation { rest: pattern.chars(), out: String::new(), states: vec![0], last: None };
        while let Some(first) = translation.rest.next() {
            translation.term(first)?;
        }
        match translation.states[..] {
            [states] => Ok((translation.out, states)),
            _ => Err("`(` has no `)`".to_owned()),
        }
    }

    fn term(&mut self, first: char) -> Result<(), String> {
        match first {
            '^' | '$' | '|' => {
                self.add(u64::from(first == '|'));
                self.out.push(first);
                self.last = None;
            }
            '(' => self.open_group()?,
            ')' => {
                let group = self.states.pop().filter(|_| !self.states.is_empty());
                let group = group.ok_or("`)` has no `(`; a literal one is `\\)`")?;
                self.out.push(')');
                self.add(group);
            }
            '*' | '+' | '?' => self.repeat(&first.to_string(), 1)?,
            '{' => {
                let (counts, times) = self.counts()?;
                self.repeat(&counts, times)?;
            }
            '.' => self.set(&complement(LINE_ENDS)),
            '[' => self.class()?,
            ']' | '}' => return Err(format!("a literal `{first}` is `\\{first}`")),
            '\\' => match self.rest.clone().next() {
                Some(edge @ ('b' | 'B')) => {
                    self.rest.next();
                    let _ = write!(self.out, "\\{edge}");
                    self.last = None;
                }
                _ => match self.escape(false)? {
                    Escape::One(one) => self.set(&[(one, one)]),
                    Escape::Set(ranges) => self.set(&ranges),
                },
            },
            literal => self.set(&[(literal, literal)]),
        }
        Ok(())
    }

    /// Counts what stands there and may be repeated.
    fn add(&mut self, states: u64) {
        if let Some(around) = self.states.last_mut() {
            *around = around.saturating_add(states);
        }
        self.last = Some(states);
    }

    /// Takes what comes next, if it is this.
    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.as_str().strip_prefix(text);
        self.rest = rest.map_or(self.rest.clone(), str::chars);
        rest.is_some()
    }

    /// Takes digits, as many as there are.
    fn digits(&mut self) -> String {
        let rest = self.rest.as_str();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, rest) = rest.split_at(end);
        self.rest = rest.chars();
        digits.to_owned()
    }

    /// A group captures nothing here: only whether there is a match counts.
    fn open_group(&mut self) -> Result<(), String> {
        for look in ["?=", "?!", "?<=", "?<!"] {
            if self.take(look) {
                return Err(format!("`({look}` looks around, which cannot be matched in linear time"));
            }
        }
        if self.take("?<") {
            let name = self.rest.as_str().split('>').next().unwrap_or_default();
            let lawful =
                !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$');
            let closed = format!("{name}>");
            if !lawful || !self.take(&closed) {
                return Err(
                    "the name of a group is not letters, digits and `_`, with `>` at its end".to_owned()
                );
            }
        } else if !self.take("?:") && self.take("?") {
            return Err("`(?` is followed by neither `:` nor `<name>`; patterns have no flags".to_owned());
        }
        self.states.push(0);
        self.out.push_str("(?:");
        self.last = None;
        Ok(())
    }

    /// Repeats what was last; written out, it stands there so many times.
    fn repeat(&mut self, how: &str, times: u64) -> Result<(), String> {
        let Some(states) = self.last else {
            return Err(format!("`{how}` has nothing to repeat; a literal one is `\\{how}`"));
        };
        self.add(states.saturating_mul(times.saturating_sub(1)));
        self.out.push_str(how);
        if self.take("?") {
            self.out.push('?');
        }
        self.last = None;
        Ok(())
    }

    /// The counts of a repetition, with their braces, and the greatest of them.
    fn counts(&mut self) -> Result<(String, u64), String> {
        let least = self.digits();
        let comma = !least.is_empty() && self.take(",");
        let most = if comma { self.digits() } else { String::new() };
        if least.is_empty() || !self.take("}") {
            return Err(
                "`{` begins no count such as `{2}`, `{2,}` or `{2,5}`; a literal one is `\\{`".to_owned()
            );
        }
        let number = |digits: &str| digits.parse().unwrap_or(if digits.is_empty() { 0 } else { u64::MAX });
        let times = number(&least).saturating_add(u64::from(comma && most.is_empty())).max(number(&most));
        Ok((format!("{{{least}{}{most}}}", if comma { "," } else { "" }), times))
    }

    fn set(&mut self, ranges: &[Range]) {
        match ranges {
            [(one, other)] if one == other => self.literal(*one),
            _ => {
                self.out.push('[');
                for (first, last) in ranges {
                    self.literal(*first);
                    self.out.push('-');
                    self.literal(*last);
                }
                self.out.push(']');
            }
        }
        self.add(1);
    }

    fn literal(&mut self, one: char) {
        match one.is_ascii_alphanumeric() {
            true => self.out.push(one),
            false => {
                let _ = write!(self.out, "\\x{{{:x}}}", u32::from(one));
            }
        }
    }

    fn class(&mut self) -> Result<(), String> {
        let negated = self.take("^");
        let mut ranges: Vec<Range> = Vec::new();
        while !self.take("]") {
            let first = self.class_atom()?;
            let is_range = self.rest.as_str().starts_with('-') && !self.rest.as_str().starts_with("-]");
            if !is_range {
                match first {
                    Escape::One(one) => ranges.push((one, one)),
                    Escape::Set(set) => ranges.extend(set),
                }
                continue;
            }
            self.take("-");
            match (first, self.class_atom()?) {
                (Escape::One(first), Escape::One(last)) if first <= last => ranges.push((first, last)),
                (Escape::One(first), Escape::One(last)) => {
                    return Err(format!("the range `{first}-{last}` ends before it begins"));
                }
                _ => {
                    return Err(
                        "a range has a set of characters at one end; a literal `-` is `\\-`".to_owned()
                    );
                }
            }
        }
        let ranges = if negated { complement(&ranges) } else { ranges };
        match ranges.is_empty() {
            true => Err("a class of characters holds none, so nothing matches it".to_owned()),
            false => {
                self.set(&ranges);
                Ok(())
            }
        }
    }

    fn class_atom(&mut self) -> Result<Escape, String> {
        match self.rest.next() {
            Some('\\') => self.escape(true),
            Some(one) => Ok(Escape::One(one)),
            None => Err("`[` has no `]`; a literal one is `\\[`".to_owned()),
        }
    }

    /// What follows a backslash (ECMA-262, AtomEscape and ClassEscape).
    fn escape(&mut self, in_class: bool) -> Result<Escape, String> {
        let Some(first) = self.rest.next() else {
            return Err("a backslash is last; a literal one is `\\\\`".to_owned());
        };
        Ok(match first {
            'd' => Escape::Set(DIGITS.to_vec()),
            'D' => Escape::Set(complement(DIGITS)),
            'w' => Escape::Set(WORD.to_vec()),
            'W' => Escape::Set(complement(WORD)),
            's' => Escape::Set(BLANKS.to_vec()),
            'S' => Escape::Set(complement(BLANKS)),
            'b' if in_class => Escape::One('\u{8}'),
            '-' if in_class => Escape::One('-'),
            't' => Escape::One('\t'),
            'n' => Escape::One('\n'),
            'v' => Escape::One('\u{b}'),
            'f' => Escape::One('\u{c}'),
            'r' => Escape::One('\r'),
            'c' => match self.rest.next() {
                Some(letter) if letter.is_ascii_alphabetic() => Escape::One(char::from(letter as u8 % 32)),
                _ => return Err("`\\c` is not followed by a letter".to_owned()),
            },
            '0' if !self.rest.as_str().starts_with(|c: char| c.is_ascii_digit()) => Escape::One('\0'),
            'x' => Escape::One(self.code(2)?),
            'u' => Escape::One(self.unicode()?),
            '1'..='9' | 'k' => {
                return Err(format!("`\\{first}` refers back, which cannot be matched in linear time"));
            }
            'p' | 'P' => {
                return Err(format!(
                    "`\\{first}` is not supported; list the characters in a class, such as `[A-Za-z]`"
                ));
            }
            '^' | '$' | '\\' | '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '/' => {
                Escape::One(first)
            }
            other if other.is_alphanumeric() => return Err(format!("`\\{other}` is no escape of ECMA-262")),
            other => return Err(format!("`\\{other}` is no escape of ECMA-262; write `{other}`")),
        })
    }

    /// The character with a code of so many hexadecimal digits.
    fn code(&mut self, digits: usize) -> Result<char, String> {
        let code = self.code_unit(digits)?;
        char::from_u32(code).ok_or_else(|| format!("no character has the code {code:x}"))
    }

    fn code_unit(&mut self, digits: usize) -> Result<u32, String> {
        let text = self.rest.as_str();
        let code = text.get(..digits).filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = code.and_then(|code| u32::from_str_radix(code, 16).ok());
        self.rest = text.get(digits..).unwrap_or_default().chars();
        code.ok_or_else(|| format!("an escape does not have {digits} hexadecimal digits"))
    }

    /// `\u{1f600}`, `\u00e9`, or two of them that are a pair.
    fn unicode(&mut self) -> Result<char, String> {
        if self.take("{") {
            let digits = self.rest.as_str().find('}').filter(|digits| (1..=8).contains(digits));
            let digits = digits.ok_or("`\\u{` is not followed by hexadecimal digits and `}`")?;
            let one = self.code(digits)?;
            self.take("}");
            return Ok(one);
        }
        let first = self.code_unit(4)?;
        let pair = (0xD800..0xDC00).contains(&first) && self.take("\\u");
        let units = if pair { vec![first, self.code_unit(4)?] } else { vec![first] };
        let mut decoded = char::decode_utf16(units.iter().filter_map(|unit| u16::try_from(*unit).ok()));
        match (decoded.next(), decoded.next()) {
            (Some(Ok(one)), None) => Ok(one),
            _ => Err(format!("`\\u{first:04x}` is half of a surrogate pair")),
        }
    }
}

/// All other characters.
fn complement(ranges: &[Range]) -> Vec<Range> {
    let mut sorted = ranges.to_vec();
    sort_by(&mut sorted, Ord::cmp);
    let mut others = Vec::new();
    // The first character that is in no range so far; none after the last one.
    let mut next = Some('\0');
    for (first, last) in sorted {
        let Some(start) = next else { break };
        if start < first {
            others.extend(before(first).map(|end| (start, end)));
        }
        if last >= start {
            next = after(last);
        }
    }
    others.extend(next.map(|start| (start, char::MAX)));
    others
}

/// The character before one, of which there is none for the first. The ranges of characters step over the surrogates.
fn before(one: char) -> Option<char> {
    ('\0'..one).next_back()
}

fn after(one: char) -> Option<char> {
    (one..=char::MAX).nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_ecma_262_says() {
        for (pattern, matching, others) in [
            (r"^.$", &["a", "é", "😀", "\u{85}"][..], &["\n", "\r", "\u{2028}", "\u{2029}", ""][..]),
            (
                r"^\s$",
                &[" ", "\t", "\u{b}", "\u{a0}", "\u{2003}", "\u{3000}", "\u{feff}", "\u{2028}"],
                &["a", "\u{85}", "\u{200b}"],
            ),
            (r"^\S$", &["a", "\u{85}", "\u{200b}", "😀"], &[" ", "\u{a0}", "\u{feff}"]),
            (r"^\d\D$", &["1a", "1٣"], &["٣a", "11"]),
            (r"^\w\W$", &["_-", "aé"], &["é-", "ab"]),
            (r"^[\s\d]$", &["1", "\u{a0}"], &["a", "٣"]),
            (r"^[^\s\d]$", &["a", "٣", "\u{85}"], &["1", "\u{a0}"]),
            (r"^[\S]$", &["a"], &["\u{a0}"]),
            (r"^[^]$", &["a", "\n", "\u{2028}"], &["", "ab"]),
            (r"^[[]$", &["["], &["]"]),
            (r"^[a&&b]$", &["a", "&", "b"], &["c"]),
            (r"^[a-c~~+--]$", &["b", "~", "+", ",", "-"], &["d"]),
            (r"^[\b]$", &["\u{8}"], &["b"]),
            (r"^[\]\\^-]$", &["]", "\\", "^", "-"], &["a"]),
            (r"^\/\.\*\$\{\}$", &["/.*${}"], &["a"]),
            (r"^\x41\u0042\u{43}\u{1f600}\ud83d\ude00$", &["ABC😀😀"], &["ABC"]),
            (r"^\t\n\v\f\r\0\cJ$", &["\t\n\u{b}\u{c}\r\0\n"], &["t"]),
            (r"^[\u0000-\u{10FFFF}]$", &["\0", "\u{10ffff}", "\u{d7ff}", "\u{e000}"], &[""]),
            (r"^[^a]$", &["b", "\u{d7ff}", "\u{e000}", "\n"], &["a"]),
            (r"^(?<year>\d{4})(?:-(\d{2})){1,2}?$", &["2026-01", "2026-01-02"], &["2026", "2026-1"]),
            (r"^a{0}b{2,}$", &["bb", "bbbb"], &["b", "abb"]),
            (r"a||b", &["", "x"], &[]),
            (r"^(|a)$", &["", "a"], &["b"]),
            (r"\bcat\B", &["a cats"], &["cat", "concats"]),
            (r"^#  x$", &["#  x"], &["#x"]),
            (r"^a$", &["a"], &["a\n", "\na"]),
            (r"é", &["café"], &["cafe"]),
        ] {
            let compiled = Pattern::compile(pattern).unwrap_or_else(|problem| panic!("{pattern}: {problem}"));
            for (text, expected) in
                matching.iter().map(|text| (text, true)).chain(others.iter().map(|text| (text, false)))
            {
                assert_eq!(compiled.is_match(text), expected, "{pattern} and {text:?}");
            }
        }
    }

    #[test]
    fn what_does_not_compile_is_named_with_a_remedy() {
        for (pattern, problem) in [
            ("(", "`(` has no `)`"),
            (")", r"`)` has no `(`; a literal one is `\)`"),
            ("[a", r"`[` has no `]`; a literal one is `\[`"),
            ("]", r"a literal `]` is `\]`"),
            ("}", r"a literal `}` is `\}`"),
            ("a{", r"`{` begins no count such as `{2}`, `{2,}` or `{2,5}`; a literal one is `\{`"),
            ("a{,2}", r"`{` begins no count such as `{2}`, `{2,}` or `{2,5}`; a literal one is `\{`"),
            ("a{x}", r"`{` begins no count such as `{2}`, `{2,}` or `{2,5}`; a literal one is `\{`"),
            ("*a", r"`*` has nothing to repeat; a literal one is `\*`"),
            ("a**", r"`*` has nothing to repeat; a literal one is `\*`"),
            ("^+", r"`+` has nothing to repeat; a literal one is `\+`"),
            ("a|?", r"`?` has nothing to repeat; a literal one is `\?`"),
            ("(?:)(*)", r"`*` has nothing to repeat; a literal one is `\*`"),
            (r"\b{2}", r"`{2}` has nothing to repeat; a literal one is `\{2}`"),
            ("a(?=b)", "`(?=` looks around, which cannot be matched in linear time"),
            ("(?<!b)a", "`(?<!` looks around, which cannot be matched in linear time"),
            (r"(a)\1", r"`\1` refers back, which cannot be matched in linear time"),
            (r"\k<a>", r"`\k` refers back, which cannot be matched in linear time"),
            ("(?i)a", "`(?` is followed by neither `:` nor `<name>`; patterns have no flags"),
            ("(?P<a>a)", "`(?` is followed by neither `:` nor `<name>`; patterns have no flags"),
            ("(?<a b>a)", "the name of a group is not letters, digits and `_`, with `>` at its end"),
            ("(?<a", "the name of a group is not letters, digits and `_`, with `>` at its end"),
            ("[]", "a class of characters holds none, so nothing matches it"),
            (r"[^\s\S]", "a class of characters holds none, so nothing matches it"),
            ("[b-a]", "the range `b-a` ends before it begins"),
            (r"[\w-.]", r"a range has a set of characters at one end; a literal `-` is `\-`"),
            (r"\p{L}", r"`\p` is not supported; list the characters in a class, such as `[A-Za-z]`"),
            (r"\A", r"`\A` is no escape of ECMA-262"),
            (r"\-", r"`\-` is no escape of ECMA-262; write `-`"),
            (r"\@", r"`\@` is no escape of ECMA-262; write `@`"),
            (r"\c1", r"`\c` is not followed by a letter"),
            (r"\x4", "an escape does not have 2 hexadecimal digits"),
            (r"\u00é0", "an escape does not have 4 hexadecimal digits"),
            (r"\u{}", r"`\u{` is not followed by hexadecimal digits and `}`"),
            (r"\u{110000}", "no character has the code 110000"),
            (r"\ud83d", r"`\ud83d` is half of a surrogate pair"),
            (r"\ud83dx", r"`\ud83d` is half of a surrogate pair"),
            (r"\ud83d\u0041", r"`\ud83d` is half of a surrogate pair"),
            (r"\01", r"`\0` is no escape of ECMA-262"),
            ("\\", r"a backslash is last; a literal one is `\\`"),
        ] {
            assert_eq!(Pattern::compile(pattern).err().as_deref(), Some(problem), "{pattern}");
        }
        let long = "with its repetitions written out it has 2049 characters or classes; at most 2048 are allowed (pattern_states_max)";
        assert_eq!(Pattern::compile("a{2049}").unwrap_err(), long);
        assert_eq!(Pattern::compile("(?:[ab]{0,31}x){64}b").unwrap_err(), long);
        assert!(Pattern::compile("a{2048}").is_ok() && Pattern::compile("(?:[ab]{0,31}x){64}").is_ok());
        // What would be as long, and what the matcher itself refuses.
        for pattern in [
            r"a{3,2}".to_owned(),
            "a{1000}{1000}".to_owned(),
            "(a{900}){900}".to_owned(),
            "(".repeat(1000) + &")".repeat(1000),
        ] {
            assert!(Pattern::compile(&pattern).is_err(), "{pattern:.20}");
        }
    }

    #[test]
    fn hostile_patterns_and_texts_take_linear_time() {
        let text = "a".repeat(20_000);
        for pattern in ["^(a+)+$", "^(a|a)*b$", "(a*)*c", "^(([a-z])+.)+[A-Z]([a-z])+$"] {
            let found = Pattern::compile(pattern).unwrap().is_match(&text);
            assert_eq!(found, pattern == "^(a+)+$", "{pattern}");
        }
    }

    #[test]
    fn the_other_characters_of_all() {
        assert_eq!(complement(&[]), [('\0', char::MAX)]);
        assert_eq!(complement(&[('\0', char::MAX)]), []);
        assert_eq!(complement(&[('b', 'd'), ('c', 'f'), ('a', 'a')]), [('\0', '`'), ('g', char::MAX)]);
        assert_eq!(complement(&[('\u{e000}', '\u{e000}')]), [('\0', '\u{d7ff}'), ('\u{e001}', char::MAX)]);
        assert_eq!(complement(&[('\0', 'a'), ('\u{e000}', char::MAX)]), [('b', '\u{d7ff}')]);
    }
}
