//! The tape reads what serde_json reads, and finds the same values in it.

use mcp_rill::json::Tape;

use crate::same;
use mcp_rill::testing::Random;

const NUMBERS: [&str; 40] = [
    "0",
    "-0",
    "1",
    "-1",
    "12",
    "0.5",
    "-0.0",
    "1e5",
    "1E5",
    "1e+5",
    "1e-5",
    "1.25e10",
    "0e0",
    "0e-0",
    "9223372036854775807",
    "-9223372036854775808",
    "123456789012345678901234567890",
    "1e400",
    "-1e-400",
    "0.00000000000000000000000000000001",
    "00",
    "01",
    "-01",
    "-",
    "+1",
    "1.",
    ".5",
    "1.e5",
    "1e",
    "1e+",
    "-a",
    "0x10",
    "1_000",
    "1e5.5",
    "Infinity",
    "NaN",
    "-Infinity",
    "1-",
    "--1",
    "0.-1",
];

const STRINGS: [&str; 44] = [
    r#""""#,
    r#""a""#,
    r#""b""#,
    r#""id""#,
    r#""1234567""#,
    r#""12345678""#,
    r#""123456789""#,
    r#""1234567890123456""#,
    r#""\u0061""#,
    r#""a\nb""#,
    r#""\"\\\/\b\f\n\r\t""#,
    r#""\u00e9\u20AC""#,
    r#""\ud83d\ude00""#,
    r#""\ud83d""#,
    r#""\ude00""#,
    r#""\ude00\ud83d""#,
    r#""\ud83dx""#,
    r#""\ud83d\n""#,
    r#""\ud83d\ud83d\ude00""#,
    r#""\uD83D\u0041""#,
    r#""\u0000""#,
    "\"é€😀\"",
    "\"seven..é\"",
    "\"\u{7f}\u{80}\u{85}\u{2028}\u{feff}\"",
    "\"tab\there\"",
    "\"line\nend\"",
    "\"nul\0\"",
    "\"1234567\u{1f}\"",
    "\"12345678\u{1f}\"",
    "\"\u{20}\u{21}#\"",
    r#""\x41""#,
    r#""\u12""#,
    r#""\u12g4""#,
    r#""\U0041""#,
    r#""\"#,
    r#""a\"#,
    r#""\u"#,
    r#""\u0041"#,
    "\"",
    "\"abcdefgh",
    r#""\\""#,
    r#""\\\""#,
    "'a'",
    "\"a\u{301}\"",
];

const WORDS: [&str; 12] =
    ["true", "false", "null", "True", "nul", "nulll", "tru", "t", "f", "n", "undefined", "nullnull"];

const BLANKS: [&str; 10] = ["", "", "", "", " ", "\n", "\r\n", "\t ", "\u{c}", "\u{a0}"];

/// A document, of which about every fourth is not JSON.
fn document(dice: &mut Random, depth: usize, out: &mut String) {
    // The first part of each list is valid.
    let valid = |dice: &mut Random, good: usize, all: usize| {
        let count = if dice.below(60) == 0 { all } else { good };
        dice.below(count)
    };
    let blank = |dice: &mut Random, out: &mut String| {
        let at = valid(dice, 8, BLANKS.len());
        out.push_str(BLANKS[at]);
    };
    blank(dice, out);
    match dice.below(if depth == 0 { 4 } else { 9 }) {
        0 => out.push_str(NUMBERS[valid(dice, 20, NUMBERS.len())]),
        1 | 2 => out.push_str(STRINGS[valid(dice, 24, STRINGS.len())]),
        3 => out.push_str(WORDS[valid(dice, 3, WORDS.len())]),
        4..=6 => {
            out.push('{');
            let count = dice.below(5);
            for at in 0..count {
                blank(dice, out);
                out.push_str(STRINGS[valid(dice, 24, STRINGS.len())]);
                blank(dice, out);
                out.push_str(if dice.below(200) == 0 { "" } else { ":" });
                document(dice, depth - 1, out);
                out.push_str(if at + 1 < count || dice.below(200) == 0 { "," } else { "" });
            }
            out.push_str(if dice.below(200) == 0 { "]" } else { "}" });
        }
        _ => {
            out.push('[');
            let count = dice.below(5);
            for at in 0..count {
                document(dice, depth - 1, out);
                out.push_str(if at + 1 < count || dice.below(200) == 0 { "," } else { "" });
            }
            out.push_str(if dice.below(200) == 0 { "}" } else { "]" });
        }
    }
    blank(dice, out);
}

#[test]
fn single_values() {
    let mut tape = Tape::new();
    for text in NUMBERS.iter().chain(&STRINGS).chain(&WORDS) {
        let around = [
            ("", ""),
            (" ", "\r\n\t "),
            ("[", "]"),
            ("[ ", " ]"),
            ("{\"a\":", "}"),
            ("[[],", ",1]"),
            ("", "x"),
        ];
        for (before, after) in around {
            same::check(&format!("{before}{text}{after}"), &mut tape);
        }
        same::check(&format!("{{{text}:1}}"), &mut tape);
        same::check(&format!("{{\"a\":1,{text} : [] , {text}:null}}"), &mut tape);
    }
}

/// Strings of every length to past two words, with every byte that means something in every place.
#[test]
fn every_byte_in_every_place_of_a_string() {
    let mut tape = Tape::new();
    for len in 0..20 {
        for at in 0..len {
            for byte in (0..=0x7F).map(char::from).chain(['\u{80}', 'é', '\u{2028}', '😀']) {
                let mut text = "\"".to_owned();
                text.extend(
                    std::iter::repeat_n('x', at).chain([byte]).chain(std::iter::repeat_n('y', len - at)),
                );
                text.push('"');
                let raw = serde_json::from_str::<String>(&text);
                assert_eq!(
                    tape.read(&text).ok().and_then(|ours| ours.as_str().map(String::from)),
                    raw.ok(),
                    "{text:?}"
                );
            }
        }
    }
}

#[test]
fn every_prefix_and_every_change_of_one_byte() {
    let mut tape = Tape::new();
    let text = r#" {"jsonrpc":"2.0","id":-1.5e+3,"params":{"a":[true,false,null,{}],"b\n":"\ud83d\ude00é"},"x":[[],[1, 2]]} "#;
    for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
        same::check(&text[..end], &mut tape);
        same::check(&text[end..], &mut tape);
        for other in ["\"", "\\", "{", "}", "[", "]", ",", ":", "0", "-", "e", "u", "\n", "\0", "é", ""] {
            let next = (end + 1..=text.len()).find(|next| text.is_char_boundary(*next)).unwrap_or(end);
            same::check(&format!("{}{other}{}", &text[..end], &text[next..]), &mut tape);
            same::check(&format!("{}{other}{}", &text[..end], &text[end..]), &mut tape);
        }
    }
}

#[test]
fn documents_made_by_chance() {
    let (mut dice, mut tape) = (Random::new(0x7A9E), Tape::new());
    let (mut valid, mut text) = (0, String::new());
    for _ in 0..6000 {
        text.clear();
        let depth = dice.below(6);
        document(&mut dice, depth, &mut text);
        same::check(&text, &mut tape);
        valid += u32::from(tape.read(&text).is_ok());
        // Two documents, and one cut off.
        let end = dice.below(text.len() + 1);
        if text.is_char_boundary(end) {
            same::check(&text[..end], &mut tape);
        }
        let next = dice.pick(&["1", "[]", "{}", ",", "\"", " "]);
        same::check(&format!("{text}{next}"), &mut tape);
    }
    assert!((2000..5800).contains(&valid), "{valid} of 6000 are JSON");
}

#[test]
fn nested_as_deep_as_one_likes() {
    let mut tape = Tape::new();
    for depth in [1, 2, 100, 127, 128, 129] {
        same::check(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)), &mut tape);
        same::check(&format!("{}0{}", r#"{"a":["#.repeat(depth), "]}".repeat(depth)), &mut tape);
        same::check(&format!("{}{}", "[".repeat(depth), "]".repeat(depth - 1)), &mut tape);
        same::check(&format!("{}{}", "[".repeat(depth), "}".repeat(depth)), &mut tape);
    }
    let depth = 1 << 20;
    assert!(tape.read(&format!("{}{}", "[".repeat(depth), "]".repeat(depth))).is_ok());
    assert!(tape.read(&"[".repeat(depth)).is_err());
}
