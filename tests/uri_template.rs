//! The promise of URI templates: level 1 and nothing else, one reading of every URI, and expansion leads back.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use mcp_rill::mcp::uri::UriTemplate;

#[track_caller]
fn values(template: &str, uri: &str) -> Option<Vec<String>> {
    let vars = UriTemplate::new(template).unwrap().matches(uri)?;
    Some(vars.iter().map(|(name, value)| format!("{name}={value}")).collect())
}

#[test]
fn uris_match_in_one_way() {
    for (template, uri, expected) in [
        ("test://static", "test://static", Some(vec![])),
        ("test://static", "test://static/", None),
        ("test://static", "test://stati", None),
        ("", "", Some(vec![])),
        ("", "x", None),
        ("test://template/{id}/data", "test://template/123/data", Some(vec!["id=123"])),
        ("test://template/{id}/data", "test://template//data", None),
        ("test://template/{id}/data", "test://template/1/2/data", None),
        ("test://template/{id}/data", "test://template/1/data?x", None),
        ("test://template/{id}/data", "test://template/1/dat", None),
        ("test://template/{id}/data", "TEST://template/1/data", None),
        ("{x}", "a", Some(vec!["x=a"])),
        ("{x}", "", None),
        ("{x}", "a%2Fb%2fc", Some(vec!["x=a/b/c"])),
        ("{x}", "a%20b%C3%A9", Some(vec!["x=a bé"])),
        ("{x}", "a%2520b", Some(vec!["x=a%20b"])),
        ("{x}", "é!'()*:@+&=,;$[]", Some(vec!["x=é!'()*:@+&=,;$[]"])),
        ("{x}", "%00..", Some(vec!["x=\0.."])),
        ("{x}", "a b", None),
        ("{x}", "a\u{7f}", None),
        ("{x}", "a\n", None),
        ("{x}", "a/b", None),
        ("{x}", "a?b", None),
        ("{x}", "a#b", None),
        ("{x}", "a%", None),
        ("{x}", "a%4", None),
        ("{x}", "a%4g", None),
        ("{x}", "a%+1", None),
        ("{x}", "%C3", None),
        ("{x}", "%C3%28", None),
        ("{x}", "%ED%A0%80", None),
        ("{a}-{b}", "x-y", Some(vec!["a=x", "b=y"])),
        ("{a}-{b}", "x-y-z", Some(vec!["a=x", "b=y-z"])),
        ("{a}-{b}", "--y", Some(vec!["a=-", "b=y"])),
        ("{a}-{b}", "---", Some(vec!["a=-", "b=-"])),
        ("{a}-{b}", "-y", None),
        ("{a}-{b}", "x-", None),
        ("{a}-{b}", "é-ö", Some(vec!["a=é", "b=ö"])),
        ("{a}.tar.{b}.gz", "x.tar.y.gz.gz", Some(vec!["a=x", "b=y.gz"])),
        ("{a}.gz", ".gz.gz", Some(vec!["a=.gz"])),
        ("{a}.gz", ".gz", None),
        ("{a}aa{b}aa", "xaaaaa", Some(vec!["a=x", "b=a"])),
        ("{a}aa{b}aa", "xaaaa", None),
        ("{a}/x/{b}", "1/x/2", Some(vec!["a=1", "b=2"])),
        ("{a}/x/{b}", "1/y/x/2", None),
        ("a{b}a", "aa", None),
        ("a{b}a", "aaa", Some(vec!["b=a"])),
        ("x%2F{b}", "x%2F1", Some(vec!["b=1"])),
        ("x%2F{b}", "x%2f1", None),
        ("q?id={id}&n={n}", "q?id=1&n=2", Some(vec!["id=1", "n=2"])),
    ] {
        let expected = expected.map(|values| values.into_iter().map(String::from).collect::<Vec<_>>());
        assert_eq!(values(template, uri), expected, "{template} against {uri:?}");
    }
}

#[test]
fn values_are_encoded() {
    for (value, uri) in [
        ("", "x:"),
        ("azAZ09-._~", "x:azAZ09-._~"),
        ("a/b?c#d%", "x:a%2Fb%3Fc%23d%25"),
        ("é\n\0!", "x:%C3%A9%0A%00%21"),
    ] {
        assert_eq!(UriTemplate::new("x:{v}").unwrap().expand(|_| Some(value)), uri);
    }
    let template = UriTemplate::new("x:{a}/{b}/c").unwrap();
    assert_eq!(template.expand(|name| (name == "b").then(|| String::from("1"))), "x:/1/c");
}

#[test]
fn templates_tell_of_themselves() {
    let template: UriTemplate = "x://{a}/{b.c}-{d_1%20}".parse().unwrap();
    assert_eq!(template.variables().collect::<Vec<_>>(), ["a", "b.c", "d_1%20"]);
    assert_eq!(template.variables().len(), 3);
    assert_eq!(template.to_string(), "x://{a}/{b.c}-{d_1%20}");
    assert_eq!(template.as_str(), template.to_string());
    let vars = template.matches("x://1/2-3").unwrap();
    assert_eq!(
        (vars.get("a"), vars.get("b.c"), vars.get("d_1%20"), vars.get("e")),
        (Some("1"), Some("2"), Some("3"), None)
    );
}

#[test]
fn other_templates_are_refused() {
    let name = "a variable's name is letters, digits and `_`, with single dots between";
    for (template, error) in [
        ("x{+a}", "`{+a}` at byte 1: the operator `+` is not supported, only `{name}`".to_owned()),
        ("{#a}", "`{#a}` at byte 0: the operator `#` is not supported, only `{name}`".into()),
        ("{.a}", "`{.a}` at byte 0: the operator `.` is not supported, only `{name}`".into()),
        ("{/a}", "`{/a}` at byte 0: the operator `/` is not supported, only `{name}`".into()),
        ("{;a}", "`{;a}` at byte 0: the operator `;` is not supported, only `{name}`".into()),
        ("{?a,b}", "`{?a,b}` at byte 0: the operator `?` is not supported, only `{name}`".into()),
        ("{&a}", "`{&a}` at byte 0: the operator `&` is not supported, only `{name}`".into()),
        ("{|a}", "`{|a}` at byte 0: the operator `|` is not supported, only `{name}`".into()),
        ("{a*}", "`{a*}` at byte 0: the modifier `*` is not supported, only `{name}`".into()),
        ("{a:3}", "`{a:3}` at byte 0: the modifier `:` is not supported, only `{name}`".into()),
        ("{a,b}", "`{a,b}` at byte 0: a list of variables is not supported, only `{name}`".into()),
        ("é{a}", "`é` at byte 0: cannot stand in a URI; write it percent-encoded".into()),
        ("{}", format!("`{{}}` at byte 0: {name}")),
        ("{a b}", format!("`{{a b}}` at byte 0: {name}")),
        ("{a-b}", format!("`{{a-b}}` at byte 0: {name}")),
        ("{a..b}", format!("`{{a..b}}` at byte 0: {name}")),
        ("{a.}", format!("`{{a.}}` at byte 0: {name}")),
        ("{a%2}", format!("`{{a%2}}` at byte 0: {name}")),
        ("{é}", format!("`{{é}}` at byte 0: {name}")),
        ("{a}/{a}", "`{a}` at byte 4: the variable is used twice".into()),
        ("{a}{b}", "`{b}` at byte 3: follows a variable with nothing between them".into()),
        ("x{a", "`{` at byte 1: has no closing `}`".into()),
        ("{{a}}", "`{` at byte 0: has no closing `}`".into()),
        ("x}", "`}` at byte 1: has no opening `{`".into()),
        ("{a}}", "`}` at byte 3: has no opening `{`".into()),
        ("a b", "` ` at byte 1: cannot stand in a URI; write it percent-encoded".into()),
        ("a%2", "`%` at byte 1: is not followed by two hexadecimal digits".into()),
        ("{a}\\", "`\\` at byte 3: cannot stand in a URI; write it percent-encoded".into()),
    ] {
        assert_eq!(UriTemplate::new(template).unwrap_err().to_string(), error, "{template}");
    }
    for byte in 0..128u8 {
        let text = char::from(byte).to_string();
        let allowed = byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(&byte);
        assert_eq!(UriTemplate::new(&text).is_ok(), allowed, "{text:?}");
    }
}

#[test]
fn a_hostile_uri_takes_one_pass() {
    let long = "a".repeat(1 << 20);
    let near = format!("{}b", "a".repeat(500));
    let template = UriTemplate::new(&format!("{{x}}{near}{{y}}{near}{{z}}")).unwrap();
    assert_eq!(template.matches(&long), None);
    let many: String = (0..2000).map(|index| format!("{{v{index}}}-")).collect();
    let template = UriTemplate::new(&many).unwrap();
    assert_eq!(template.matches(&long), None);
    assert_eq!(template.matches(&"-".repeat(1 << 20)).unwrap().iter().len(), 2000);
    assert_eq!(template.matches(&"%".repeat(1 << 20)), None);
}

/// A small generator with a fixed seed: the same values in every run.
struct Seed(u64);

impl Seed {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }
}

#[test]
fn expansion_leads_back() {
    let mut seed = Seed(3);
    for _ in 0..5000 {
        // No literal is made of what a value can expand to, so that there is only one reading.
        let mut template = String::from("x:");
        let count = 1 + seed.below(5);
        for index in 0..count {
            template.push_str(&format!("{{v{index}}}"));
            if index + 1 < count || seed.below(2) == 0 {
                template.push_str(seed.pick(&["/", "!", "/:/", "?", "$$", "#", "@a/"]));
            }
        }
        let template = UriTemplate::new(&template).unwrap();
        let wanted: Vec<String> = (0..count)
            .map(|_| {
                let pieces =
                    ["a", "/", "%", "é", "🦀", "?", "#", " ", "\0", ".", "..", "!", "%2F", "~", "{", "$$"];
                (0..=seed.below(6)).map(|_| seed.pick(&pieces)).collect()
            })
            .collect();
        let mut next = wanted.iter();
        let uri = template.expand(|_| next.next());
        let vars = template.matches(&uri).unwrap_or_else(|| panic!("{template} against {uri}"));
        assert!(vars.iter().map(|(_, value)| value).eq(wanted.iter()), "{template} against {uri}: {vars:?}");
    }
}
