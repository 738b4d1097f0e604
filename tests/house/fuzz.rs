//! The oracles of the fuzzers on a stable compiler: over the committed corpus, and over inputs that are made from it with
//! a seed and the fuzzers' dictionary. `fuzz/README.md` says what each of them defends.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

#[path = "../../fuzz/src/lib.rs"]
mod oracles;

use oracles::cut::Dice;

/// As the fuzzers do by default, so that no oracle sees inputs here that it cannot see there.
const INPUT_BYTES_MAX: usize = 4096;

macro_rules! targets {
    ($($name:ident: $count:literal,)+) => {
        $(#[test]
        fn $name() {
            run(stringify!($name), $count, oracles::$name::check);
        })+

        #[test]
        fn every_target_is_here() {
            let mut files: Vec<_> = names(&folder("fuzz_targets"));
            files.sort();
            let mut targets = vec![$(concat!(stringify!($name), ".rs")),+];
            targets.sort();
            assert_eq!(files, targets);
        }
    };
}

// How many inputs are made: what each can do in about half a second without optimization. `FUZZ_TIMES` multiplies them.
targets! {
    head: 4000,
    chunked: 8000,
    sse: 8000,
    jsonrpc: 20000,
    lines: 600,
    long: 12,
    uri_template: 40000,
    query: 4000,
    connection: 2000,
    engine: 1800,
    manifest: 3000,
    argv: 8000,
}

fn run(target: &str, count: u64, check: fn(&[u8])) {
    let checked = |what: &str, input: &[u8]| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(input))) {
            eprintln!("target {target}, {what}: b\"{}\"", input.escape_ascii());
            resume_unwind(panic);
        }
    };
    let folder = folder("corpus").join(target);
    let mut names = names(&folder);
    names.sort();
    let corpus: Vec<Vec<u8>> = names.iter().map(|name| fs::read(folder.join(name)).unwrap()).collect();
    assert!(
        (10..=100).contains(&corpus.len()),
        "fuzz/corpus/{target} has {} files, but 10 to 100 are kept. If a fuzzer wrote into it, `git clean -n fuzz/corpus` lists \
         its files and `git clean -f fuzz/corpus` removes them; fuzz/README.md says how to keep new inputs elsewhere.",
        corpus.len()
    );
    for (name, input) in names.iter().zip(&corpus) {
        checked(name, input);
    }
    let words = words();
    let times: u64 = std::env::var("FUZZ_TIMES").map_or(1, |times| times.parse().unwrap());
    for seed in 0..count * times {
        checked(&format!("seed {seed}"), &made(&mut Dice::new(seed), &corpus, &words));
    }
}

/// One of the corpus, changed at a few places.
fn made(dice: &mut Dice, corpus: &[Vec<u8>], words: &[Vec<u8>]) -> Vec<u8> {
    let mut input = corpus[dice.roll(corpus.len())].clone();
    for _ in 0..=dice.roll(4) {
        let from = dice.roll(input.len() + 1);
        let to = (from + dice.roll(9)).min(input.len());
        match dice.roll(6) {
            0 => drop(input.splice(from..from, words[dice.roll(words.len())].iter().copied())),
            1 => drop(input.splice(from..to, words[dice.roll(words.len())].iter().copied())),
            2 => drop(input.splice(from..to, [dice.roll(256) as u8])),
            3 => drop(input.drain(from..to)),
            4 => input.extend_from_within(from..),
            _ => {
                let other = &corpus[dice.roll(corpus.len())];
                input.splice(from.., other[dice.roll(other.len() + 1)..].iter().copied());
            }
        }
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

/// The fuzzers' dictionary: one quoted word a line, with `\xNN`, `\\` and `\"` in it.
fn words() -> Vec<Vec<u8>> {
    let text = fs::read_to_string(folder("words.dict")).unwrap();
    let quoted = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted.map(|word| unescaped(word).unwrap_or_else(|| panic!("the word {word}"))).collect()
}

fn unescaped(word: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), word);
    while let Some(first) = rest.bytes().next() {
        let (byte, length) = match (first, rest.get(1..2)) {
            (b'\\', Some("x")) => (u8::from_str_radix(rest.get(2..4)?, 16).ok()?, 4),
            (b'\\', Some(escaped)) => (escaped.as_bytes()[0], 2),
            _ => (first, 1),
        };
        bytes.push(byte);
        rest = rest.get(length..)?;
    }
    Some(bytes)
}

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// For `fuzz/pack`: what is expected of each input for the parsers that others have, too.
#[test]
fn verdicts_of_the_corpus() {
    let Some(out) = std::env::var_os("CORPUS").map(std::path::PathBuf::from) else { return };
    type Verdict = fn(&[u8]) -> serde_json::Value;
    let verdicts: [(&str, Verdict); 2] = [("jsonrpc", of_message), ("sse", of_stream)];
    for (target, verdict) in verdicts {
        for name in names(&folder("corpus").join(target)) {
            let input = fs::read(folder("corpus").join(target).join(&name)).unwrap();
            let verdict = format!("{}\n", verdict(&input));
            fs::write(out.join(target).join(format!("{name}.input")), input).unwrap();
            fs::write(out.join(target).join(format!("{name}.json")), verdict).unwrap();
        }
    }
}

fn of_message(input: &[u8]) -> serde_json::Value {
    use mcp_rill::jsonrpc::{self, Message};
    match jsonrpc::parse(input, &mcp_rill::Limits::DEFAULT, &mut mcp_rill::json::Tape::new()) {
        Ok(Message::Request(_)) => serde_json::json!({"accepted": "request"}),
        Ok(Message::Notification(_)) => serde_json::json!({"accepted": "notification"}),
        Ok(_) => serde_json::json!({"accepted": "response"}),
        Err(rejected) => serde_json::json!({"code": rejected.error.code, "message": rejected.error.message}),
    }
}

fn of_stream(mut input: &[u8]) -> serde_json::Value {
    let (mut decoder, mut events) = (mcp_rill::sse::Decoder::new(1 << 20), Vec::new());
    while let Ok(Some(event)) = decoder.next(&mut input) {
        events.push(serde_json::json!({"event": event.name, "data": event.data, "id": decoder.last_id()}));
    }
    serde_json::json!({"events": events})
}
