//! Schemas with values that are valid and values that are not: by hand, and made from a seed.
//!
//! With `SCHEMA_CASES` set to the path of a file the tests write each case there as a line of JSON, for
//! `tests/interop/run schema-cases`, where another implementation judges them.

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use crate::cli::json_schema::Schema;
    use crate::json::canonical::canonical;
    use crate::json::tape::Tape;
    use crate::json::value::Members;
    use crate::json::write::Object;
    use crate::schema::path::Subject;

    /// A schema, values that it allows, and values that it does not.
    type Case = (&'static str, &'static [&'static str], &'static [&'static str]);

    const TYPES: &[Case] = &[
        ("{}", &["null", "1", r#""""#, "[]", "{}", "true"], &[]),
        ("true", &["null", r#"{"a":1}"#], &[]),
        ("false", &[], &["null", "{}", "0"]),
        (r#"{"type":"null"}"#, &["null"], &["0", "false", r#""null""#, "[]", "{}"]),
        (r#"{"type":"boolean"}"#, &["true", "false"], &["0", "1", "null", r#""true""#]),
        (
            r#"{"type":"integer"}"#,
            &[
                "0",
                "-0.0",
                "1.0",
                "1e3",
                "-3",
                "1.5e1",
                "9007199254740993",
                "123456789012345678901234567890",
                "1e300",
            ],
            &["0.5", "1e-1", "1.00000000000000000001", "null", r#""1""#, "true", "[1]"],
        ),
        (
            r#"{"type":"number"}"#,
            &["0", "-1.5", "123456789012345678901234567890.5"],
            &[r#""1""#, "null", "false"],
        ),
        (r#"{"type":"string"}"#, &[r#""""#, r#""\u0000""#, r#""é""#], &["1", "null", "[]", r#"["a"]"#]),
        (r#"{"type":"array"}"#, &["[]", "[1,null]"], &["{}", r#""[]""#, "null"]),
        (r#"{"type":"object"}"#, &["{}", r#"{"a":null}"#], &["[]", "null", r#""{}""#]),
        (r#"{"type":["string","null"]}"#, &[r#""a""#, "null"], &["0", "[]", "false"]),
        (r#"{"type":["integer","string"]}"#, &["1", "2.0", r#""x""#], &["1.5", "null", "true"]),
        (r#"{"type":["number","integer"]}"#, &["1", "1.5"], &[r#""1""#]),
        (
            r#"{"title":"t","description":"d","examples":[1],"format":"email","default":3,"writeOnly":true}"#,
            &["1", r#""no mail""#],
            &[],
        ),
        (
            r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"integer"}"#,
            &["1.0"],
            &["1.5"],
        ),
        (r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"integer"}"#, &["1.0"], &["1.5"]),
    ];

    const CHOICES: &[Case] = &[
        (
            r#"{"enum":["wan","lan"]}"#,
            &[r#""wan""#, r#""l\u0061n""#],
            &[r#""WAN""#, r#""""#, "null", r#"["wan"]"#],
        ),
        (
            r#"{"enum":[1,"1",null,true]}"#,
            &["1", "1.0", "10e-1", r#""1""#, "null", "true"],
            &["2", "false", r#""true""#, "[]"],
        ),
        (
            r#"{"enum":[1.0,{"a":[2]}]}"#,
            &["1", r#"{"a":[2.0]}"#],
            &[r#"{"a":[2,2]}"#, r#"{"a":2}"#, r#"{"a":[2],"b":1}"#],
        ),
        (r#"{"enum":[0]}"#, &["0", "-0", "0.0", "0e5"], &["false", "null", r#""0""#]),
        (
            r#"{"enum":[9007199254740993]}"#,
            &["9007199254740993", "9007199254740993.0"],
            &["9007199254740992", "9007199254740994"],
        ),
        (r#"{"enum":[[]]}"#, &["[]"], &["{}", "[[]]", "null"]),
        (r#"{"enum":[{"a":1,"b":2}]}"#, &[r#"{"b":2,"a":1}"#], &[r#"{"a":1}"#, r#"{"a":2,"b":1}"#]),
        (r#"{"enum":["a",1],"type":"string"}"#, &[r#""a""#], &["1", r#""b""#]),
        (r#"{"const":null}"#, &["null"], &["0", "false", r#""""#]),
        (r#"{"const":0}"#, &["0", "-0.0"], &["false", "1e-400"]),
        (r#"{"const":[1,[2]]}"#, &["[1,[2]]", "[1.0,[2e0]]"], &["[[1],2]", "[1,2]", "[1,[2],3]"]),
        (r#"{"const":{"a":false}}"#, &[r#"{"a":false}"#], &[r#"{"a":0}"#, "{}"]),
        (r#"{"const":"a","enum":["a","b"]}"#, &[r#""a""#], &[r#""b""#, r#""c""#]),
        (r#"{"const":"a","enum":["b"]}"#, &[], &[r#""a""#, r#""b""#]),
        (
            r#"{"const":12345678901234567890123}"#,
            &["12345678901234567890123", "12345678901234567890123.0"],
            &["12345678901234567890124", "1.2345678901234567e22"],
        ),
    ];

    const NUMBERS: &[Case] = &[
        (
            r#"{"minimum":1,"maximum":10}"#,
            &["1", "10", "1.0", "5.5", r#""0""#, "null"],
            &["0", "11", "0.999", "10.0000001", "-1", "1e2"],
        ),
        (
            r#"{"exclusiveMinimum":0,"exclusiveMaximum":1}"#,
            &["0.5", "1e-9", "0.999999999999999999999"],
            &["0", "1", "-0.0", "1.0", "1.5"],
        ),
        (r#"{"minimum":0.1}"#, &["0.1", "0.10", "1e-1", "0.11"], &["0.09", "0.0999999999999999999999", "-1"]),
        (r#"{"maximum":9007199254740992}"#, &["9007199254740992"], &["9007199254740993"]),
        (r#"{"exclusiveMinimum":9007199254740992}"#, &["9007199254740993"], &["9007199254740992"]),
        (
            r#"{"minimum":-18446744073709551617}"#,
            &["-18446744073709551617", "-18446744073709551616"],
            &["-18446744073709551618", "-1e30"],
        ),
        (
            r#"{"maximum":1e20}"#,
            &["100000000000000000000", "99999999999999999999"],
            &["100000000000000000001"],
        ),
        (r#"{"minimum":5,"exclusiveMinimum":5}"#, &["6"], &["5", "4"]),
        (
            r#"{"minimum":1,"exclusiveMinimum":5,"maximum":8,"exclusiveMaximum":9}"#,
            &["8", "5.1"],
            &["5", "8.5", "9"],
        ),
        (r#"{"minimum":-0.0}"#, &["0", "-0"], &["-0.1", "-1e-300"]),
        (r#"{"multipleOf":2}"#, &["0", "4", "-6", "1e3", "2.0", r#""3""#], &["1", "3.0", "2.5", "-7"]),
        (
            r#"{"multipleOf":0.01}"#,
            &["0.01", "19.99", "1", "4.02", "-0.29", "1e2"],
            &["0.001", "19.999", "0.005"],
        ),
        (r#"{"multipleOf":2.5}"#, &["2.5", "5", "7.50", "-10", "0"], &["1", "2.4", "3.75"]),
        (r#"{"multipleOf":1}"#, &["1.0", "123456789012345678901234567890"], &["0.5"]),
        (
            r#"{"multipleOf":3}"#,
            &["9007199254740993", "999999999999999999999"],
            &["9007199254740992", "1000000000000000000000"],
        ),
        (r#"{"multipleOf":1e3}"#, &["1000", "5e3", "0"], &["100", "1500"]),
        (r#"{"multipleOf":1.5e-3}"#, &["0.0015", "3", "0.003"], &["0.001", "0.0016"]),
        (
            r#"{"type":"integer","minimum":1,"maximum":65535,"multipleOf":5}"#,
            &["5", "65535", "10.0"],
            &["0", "65540", "7", "5.5"],
        ),
    ];

    const STRINGS: &[Case] = &[
        (r#"{"minLength":1}"#, &[r#""a""#, r#""\n""#, "1"], &[r#""""#]),
        (
            r#"{"maxLength":2}"#,
            &[r#""ab""#, r#""éé""#, r#""😀😀""#, r#""\ud83d\ude00x""#, "[1,2,3]"],
            &[r#""abc""#, r#""e\u0301e""#],
        ),
        (r#"{"minLength":2,"maxLength":2.0}"#, &[r#""ab""#], &[r#""a""#, r#""abc""#, r#""😀""#]),
        (r#"{"maxLength":0}"#, &[r#""""#], &[r#"" ""#]),
        (
            r#"{"pattern":"^[a-z0-9.:-]{1,253}$"}"#,
            &[r#""a""#, r#""fe80::1""#, "3"],
            &[r#""""#, r#""A""#, r#""a b""#, r#""a\n""#, r#""-\u0000""#],
        ),
        (r#"{"pattern":"b"}"#, &[r#""abc""#, r#""b""#], &[r#""""#, r#""ac""#]),
        (r#"{"pattern":""}"#, &[r#""""#, r#""a""#], &[]),
        (r#"{"pattern":"^a|b$"}"#, &[r#""ax""#, r#""xb""#], &[r#""xax""#, r#""bx""#]),
        (r#"{"pattern":"^(?:ab)+$"}"#, &[r#""abab""#], &[r#""""#, r#""aba""#]),
        (r#"{"pattern":"^\\d{3}-\\d{4}$"}"#, &[r#""555-1234""#], &[r#""555-123""#, r#""٥٥٥-1234""#]),
        (r#"{"pattern":"^\\w+$"}"#, &[r#""a_B9""#], &[r#""é""#, r#""a-b""#]),
        (r#"{"pattern":"^\\S+$"}"#, &[r#""ab""#], &[r#""a b""#, r#""a\tb""#, r#""a\u00a0b""#]),
        (r#"{"pattern":"^[^/]+$"}"#, &[r#""a\nb""#], &[r#""a/b""#, r#""""#]),
        (r#"{"pattern":"^\\u00e9\\x41$"}"#, &[r#""éA""#], &[r#""eA""#]),
        (r#"{"pattern":"^a{2,3}?$"}"#, &[r#""aa""#, r#""aaa""#], &[r#""a""#, r#""aaaa""#]),
        (r#"{"pattern":"^a.c$"}"#, &[r#""abc""#, r#""a😀c""#], &[r#""a\nc""#, r#""ac""#]),
        (
            r#"{"pattern":"^[\\w.-]+@[\\w.-]+\\.[a-z]{2,}$"}"#,
            &[r#""a.b-c@d.example""#],
            &[r#""a@b""#, r#""a@b.c""#],
        ),
        (
            r#"{"pattern":"^(a*)*$"}"#,
            &[r#""""#, r#""aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa""#],
            &[r#""aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab""#],
        ),
        (r#"{"pattern":"\\bcat\\b"}"#, &[r#""a cat.""#], &[r#""concat""#]),
    ];

    const ARRAYS: &[Case] = &[
        (r#"{"items":{"type":"string"}}"#, &["[]", r#"["a","b"]"#, "{}", "1"], &["[1]", r#"["a",null]"#]),
        (r#"{"items":true}"#, &["[1,null]"], &[]),
        (r#"{"items":false}"#, &["[]", "null"], &["[1]"]),
        (r#"{"minItems":1,"maxItems":2}"#, &["[1]", "[1,2]", r#""""#], &["[]", "[1,2,3]"]),
        (r#"{"maxItems":0}"#, &["[]"], &["[null]"]),
        (r#"{"items":{"items":{"maximum":3}}}"#, &["[[1],[],[3]]", "[1]"], &["[[4]]", "[[1],[2,5]]"]),
        (
            r#"{"uniqueItems":true}"#,
            &["[]", "[1,2]", r#"[1,"1",true,null,[],{}]"#, "[[1],[2]]", "[0,false]", r#"[{"a":1},{"a":2}]"#],
            &[
                "[1,1]",
                "[1,1.0]",
                "[[1],[1.0]]",
                r#"[{"a":1,"b":2},{"b":2,"a":1}]"#,
                r#"["a","\u0061"]"#,
                "[null,null]",
                "[0,-0]",
            ],
        ),
        (
            r#"{"uniqueItems":true}"#,
            &["[9007199254740992,9007199254740993]", "[1e2,1e3]"],
            &["[9007199254740993,9007199254740993.0]", "[100,1e2]"],
        ),
        (r#"{"uniqueItems":false}"#, &["[1,1]"], &[]),
        (
            r#"{"type":"array","items":{"enum":["a","b"]},"uniqueItems":true,"minItems":1}"#,
            &[r#"["b","a"]"#],
            &["[]", r#"["a","a"]"#, r#"["c"]"#, r#""a""#],
        ),
    ];

    const OBJECTS: &[Case] = &[
        (
            r#"{"required":["a"]}"#,
            &[r#"{"a":null}"#, r#"{"a":1,"b":2}"#, "[]", "1"],
            &["{}", r#"{"b":1}"#, r#"{"A":1}"#],
        ),
        (r#"{"required":[]}"#, &["{}"], &[]),
        (
            r#"{"properties":{"a":{"type":"integer"}}}"#,
            &["{}", r#"{"a":1}"#, r#"{"b":"x"}"#, r#"["a"]"#],
            &[r#"{"a":"x"}"#, r#"{"a":null}"#],
        ),
        (
            r#"{"properties":{"a":true},"additionalProperties":false}"#,
            &["{}", r#"{"a":1}"#, r#"{"\u0061":1}"#],
            &[r#"{"b":1}"#, r#"{"a":1,"":1}"#],
        ),
        (r#"{"additionalProperties":false}"#, &["{}", "[1]"], &[r#"{"a":1}"#]),
        (
            r#"{"additionalProperties":true,"properties":{"a":{"type":"null"}}}"#,
            &[r#"{"b":1,"a":null}"#],
            &[r#"{"a":1}"#],
        ),
        (r#"{"properties":{"a":false}}"#, &["{}", r#"{"b":1}"#], &[r#"{"a":null}"#]),
        (
            r#"{"properties":{"":{"type":"integer"},"a/b":{"type":"integer"},"~":{"type":"integer"}}}"#,
            &[r#"{"":1,"a/b":1,"~":1}"#],
            &[r#"{"":""}"#, r#"{"a/b":""}"#, r#"{"~":""}"#],
        ),
        (
            r#"{"properties":{"type":{"type":"string"},"required":{"type":"boolean"}},"required":["type"]}"#,
            &[r#"{"type":"x","required":true}"#],
            &[r#"{"required":true}"#, r#"{"type":1}"#],
        ),
        (
            r#"{"properties":{"near":{"type":"object","properties":{"lat":{"minimum":-90,"maximum":90}},"required":["lat"],"additionalProperties":false}},"required":["near"]}"#,
            &[r#"{"near":{"lat":48.4}}"#, r#"{"near":{"lat":"x"}}"#],
            &[
                "{}",
                r#"{"near":{}}"#,
                r#"{"near":{"lat":91}}"#,
                r#"{"near":{"lat":1,"lon":2}}"#,
                r#"{"near":[]}"#,
            ],
        ),
        (
            r#"{"type":"object","required":["host"],"additionalProperties":false,"properties":{"host":{"type":"string","pattern":"^[a-z0-9.:-]{1,253}$"},"count":{"type":"integer","minimum":1,"maximum":10,"default":3},"iface":{"type":"string","enum":["wan","lan"]},"quiet":{"type":"boolean"}}}"#,
            &[
                r#"{"host":"a"}"#,
                r#"{"host":"a","count":10,"iface":"wan","quiet":false}"#,
                r#"{"host":"a","count":1.0}"#,
            ],
            &[
                "{}",
                r#"{"host":""}"#,
                r#"{"host":"a;b"}"#,
                r#"{"host":"a","count":0}"#,
                r#"{"host":"a","count":"3"}"#,
                r#"{"host":"a","count":3.5}"#,
                r#"{"host":"a","iface":"dmz"}"#,
                r#"{"host":"a","quiet":"yes"}"#,
                r#"{"host":"a","extra":1}"#,
                r#"{"host":["a"]}"#,
                "null",
                "[]",
            ],
        ),
    ];

    /// What the schema finds, which is written down for the other judge.
    fn judge(schema: &str, value: &str) -> bool {
        let (mut schema_tape, mut value_tape) = (Tape::new(), Tape::new());
        let compiled = Schema::compile(schema_tape.read(schema).unwrap());
        let compiled = compiled.unwrap_or_else(|problems| panic!("{schema}: {problems:?}"));
        let found = compiled.check(Subject::Argument, value_tape.read(value).unwrap());
        write_down(schema, value, found.is_ok());
        found.is_ok()
    }

    fn write_down(schema: &str, value: &str, valid: bool) {
        let Some(path) = std::env::var_os("SCHEMA_CASES") else { return };
        let mut line = Vec::new();
        Object::new(&mut line).raw("schema", schema).raw("value", value).bool("valid", valid);
        line.push(b'\n');
        // In one write, since tests that run at the same time append to it too.
        std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(&line).unwrap();
    }

    #[test]
    fn schemas_allow_exactly_what_they_should() {
        let mut count = 0;
        for (schema, valid, invalid) in [TYPES, CHOICES, NUMBERS, STRINGS, ARRAYS, OBJECTS].concat() {
            for (value, expected) in
                valid.iter().map(|one| (*one, true)).chain(invalid.iter().map(|one| (*one, false)))
            {
                assert_eq!(judge(schema, value), expected, "{schema} {value}");
                count += 1;
            }
        }
        assert!(count >= 200, "{count} cases");
    }

    /// Small values, so that those of a schema meet those of the value.
    const SCALARS: [&str; 24] = [
        "null",
        "true",
        "false",
        "0",
        "-0.0",
        "1",
        "1.0",
        "-1",
        "2",
        "3.5",
        "1e2",
        "100",
        "0.1",
        "0.3",
        "9007199254740992",
        "9007199254740993",
        "12345678901234567890123",
        r#""""#,
        r#""a""#,
        r#""ab""#,
        r#""a1""#,
        r#""é""#,
        r#""😀😀""#,
        r#""1""#,
    ];
    const NAMES: [&str; 3] = ["a", "b", "c"];

    /// Random choices that are the same in every run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, count: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % count
        }

        fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
            of[self.below(of.len())]
        }

        fn list(&mut self, count: usize, mut item: impl FnMut(&mut Random) -> String) -> String {
            (0..count).map(|_| item(self)).collect::<Vec<_>>().join(",")
        }

        fn number(&mut self) -> &'static str {
            self.one(&SCALARS[3..17])
        }

        fn value(&mut self, depth: usize) -> String {
            let count = self.below(4);
            match self.below(if depth == 0 { 4 } else { 7 }) {
                0..=3 => self.one(&SCALARS).to_owned(),
                4 => format!("[{}]", self.list(count, |random| random.value(depth - 1))),
                _ => {
                    let members = NAMES.map(|name| format!("\"{name}\":{}", self.value(depth - 1)));
                    let first = self.below(3);
                    format!(
                        "{{{}}}",
                        members[first..].iter().take(count).cloned().collect::<Vec<_>>().join(",")
                    )
                }
            }
        }

        fn schema(&mut self, depth: usize) -> String {
            let mut keywords = Vec::new();
            for _ in 0..1 + self.below(4) {
                let count = self.below(4);
                keywords.push(match self.below(if depth == 0 { 13 } else { 18 }) {
                    0 | 1 => format!(
                        r#""type":"{}""#,
                        self.one(&["null", "boolean", "integer", "number", "string"])
                    ),
                    2 => {
                        let types = ["integer", "string", "array", "object", "null"];
                        format!(r#""type":["{}"]"#, types[self.below(3)..][..1 + count.min(2)].join(r#"",""#))
                    }
                    3 => format!(r#""enum":[{}]"#, self.list(count + 1, |random| random.value(1))),
                    4 => format!(r#""const":{}"#, self.value(1)),
                    5 => format!(r#""minimum":{}"#, self.number()),
                    6 => format!(r#""maximum":{}"#, self.number()),
                    7 => format!(r#""exclusiveMinimum":{}"#, self.number()),
                    8 => format!(r#""exclusiveMaximum":{}"#, self.number()),
                    9 => {
                        format!(r#""multipleOf":{}"#, self.one(&["1", "0.1", "0.3", "2", "3", "2.5", "1e2"]))
                    }
                    10 => format!(r#""minLength":{count}"#),
                    11 => format!(r#""maxLength":{count}.0"#),
                    12 => format!(
                        r#""pattern":"{}""#,
                        self.one(&["^a", "b$", "^[a-z]+$", r"\\d", "^.{2}$", "^(a|é)*1?$"])
                    ),
                    13 => format!(r#""items":{}"#, self.schema(depth - 1)),
                    14 => format!(r#""minItems":{count},"uniqueItems":true"#),
                    15 => format!(r#""maxItems":{count},"type":"array""#),
                    16 => format!(r#""required":["{}"]"#, self.one(&["a", r#"a","b"#, r#"b","c"#])),
                    _ => {
                        let members = ["a", "b"].map(|name| format!("\"{name}\":{}", self.schema(depth - 1)));
                        let closed = self.one(&[
                            "",
                            r#","additionalProperties":false"#,
                            r#","additionalProperties":true"#,
                        ]);
                        format!(r#""properties":{{{}}}{closed}"#, members.join(","))
                    }
                });
            }
            // No keyword twice.
            let mut seen = std::collections::HashSet::new();
            keywords.retain(|keyword| seen.insert(keyword.split(':').next().unwrap_or_default().to_owned()));
            let text = format!("{{{}}}", keywords.join(","));
            match Tape::new().read(&text).map(|schema| Members::of(schema).is_ok()) {
                Ok(true) => text,
                _ => self.schema(depth),
            }
        }
    }

    impl Random {
        /// Without `\b`: to the other judge `é` is a part of a word, to ECMA-262 it is not.
        fn pattern(&mut self, depth: usize) -> String {
            let atoms = [
                "a", "b", "1", "é", "-", ".", r"\d", r"\D", r"\w", r"\W", "[ab]", "[^a1]", r"[\d-]",
                r"[^\w]", "[a-c1é]", r"\u00e9", r"\x61", r"[\]^]", r"\.",
            ];
            let repetitions = ["", "", "", "*", "+", "?", "{2}", "{1,}", "{0,2}", "*?", "+?", "{1,3}?"];
            let terms = (0..1 + self.below(3)).map(|_| match self.below(if depth == 0 { 10 } else { 14 }) {
                0 => self.one(&["^", "$"]).to_owned(),
                1..10 => format!("{}{}", self.one(&atoms), self.one(&repetitions)),
                _ => {
                    let (open, repetition) = (self.one(&["(", "(?:"]), self.one(&repetitions));
                    format!("{open}{}|{}){repetition}", self.pattern(depth - 1), self.pattern(depth - 1))
                }
            });
            terms.collect()
        }
    }

    #[test]
    fn a_pattern_matches_anywhere() {
        let mut random = Random(7);
        let (mut valid, mut count) = (0, 0);
        for _ in 0..500 {
            let pattern = random.pattern(2);
            let schema = |pattern: &str| {
                let mut text = Vec::new();
                Object::new(&mut text).str("type", "string").str("pattern", pattern);
                String::from_utf8(text).unwrap()
            };
            for _ in 0..8 {
                let length = random.below(6);
                let characters = ["a", "b", "1", "é", "-", "]", "c", "."];
                let text: String = (0..length).map(|_| random.one(&characters)).collect();
                let text = format!("\"{text}\"");
                let found = judge(&schema(&pattern), &text);
                assert_eq!(
                    found,
                    judge(&schema(&format!(r"^[\d\D]*(?:{pattern})[\d\D]*$")), &text),
                    "{pattern} {text}"
                );
                (valid, count) = (valid + usize::from(found), count + 1);
            }
        }
        assert!(valid * 4 > count && valid * 4 < count * 3, "{valid} of {count} values are valid");
    }

    #[test]
    fn the_spelling_of_a_value_does_not_matter() {
        let mut random = Random(12);
        let (mut valid, mut count) = (0, 0);
        for _ in 0..400 {
            let schema = random.schema(2);
            for _ in 0..10 {
                let value = random.value(2);
                let other = String::from_utf8(canonical(Tape::new().read(&value).unwrap())).unwrap();
                let found = judge(&schema, &value);
                assert_eq!(found, judge(&schema, &other), "{schema} {value}");
                (valid, count) = (valid + usize::from(found), count + 1);
            }
        }
        assert!(valid * 4 > count && valid * 4 < count * 3, "{valid} of {count} values are valid");
    }
}
