//! The promise of URIs: one normal form of each; of templates: `{name}` and `{+name}` and nothing else, one reading of every
//! URI, paths that stay below a folder, and expansion leads back.

use mcp_rill::testing::Random;
use mcp_rill::uri::{UriTemplate, normalize};
use std::borrow::Cow;

#[track_caller]
fn values(template: &str, uri: &str) -> Option<Vec<String>> {
    let vars = UriTemplate::new(template).unwrap().matches(uri)?;
    Some(vars.iter().map(|(name, value)| format!("{name}={value}")).collect())
}

#[test]
fn uris_match_in_one_way() {
    for (template, uri, expected) in [
        ("test://static", "test://static", Some(vec![])),
        ("test://static", "test://static/", Some(vec![])),
        ("test://static", "test://static/x", None),
        ("test://static", "test://stati", None),
        ("", "", Some(vec![])),
        ("", "x", None),
        ("test://template/{id}/data", "test://template/123/data", Some(vec!["id=123"])),
        ("test://template/{id}/data", "test://template//data", None),
        ("test://template/{id}/data", "test://template/1/2/data", None),
        ("test://template/{id}/data", "test://template/1/data?x", None),
        ("test://template/{id}/data", "test://template/1/dat", None),
        ("test://template/{id}/data", "TEST://Template/1/data", Some(vec!["id=1"])),
        ("test://template/{id}/data", "test://template/1/Data", None),
        ("{x}", "a", Some(vec!["x=a"])),
        ("{x}", "", None),
        ("{x}", "a%2Fb%2fc", Some(vec!["x=a/b/c"])),
        ("{x}", "a%20b%C3%A9", Some(vec!["x=a bé"])),
        ("{x}", "a%2520b", Some(vec!["x=a%20b"])),
        ("{x}", "é!'()*:@+&=,;$[]", Some(vec!["x=é!'()*:@+&=,;$[]"])),
        ("{x}", "%00..", Some(vec!["x=\0.."])),
        ("{x}", "a b", Some(vec!["x=a b"])),
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
        ("x%2F{b}", "x%2f1", Some(vec!["b=1"])),
        ("q?id={id}&n={n}", "q?id=1&n=2", Some(vec!["id=1", "n=2"])),
    ] {
        let expected = expected.map(|values| values.into_iter().map(String::from).collect::<Vec<_>>());
        assert_eq!(values(template, uri), expected, "{template} against {uri:?}");
    }
}

/// RFC 3986 §6.2.2 and §6.2.3, and what clients do besides.
#[test]
fn uris_have_one_normal_form() {
    for (normal, others) in [
        // Scheme and host have no case; all else has.
        ("kbinfo://summary/", vec!["KBInfo://Summary", "kbinfo://SUMMARY/", "kbinfo://summary"]),
        ("http://example.com/", vec!["http://Example.com", "HTTP://EXAMPLE.COM:80/", "http://example.com:"]),
        ("note:///Milk", vec!["NOTE:///Milk"]),
        ("x://Ada@h/P?Q=A#F", vec!["X://Ada@H/P?Q=A#F", "x://%41da@h/P?Q=A#F"]),
        ("http://[fe80::1]/", vec!["http://[FE80::1]:80", "http://[FE80::1]"]),
        // Percent-encoding: only where it is needed, in upper case.
        ("x:///~a-1/%2F%C3%A9", vec!["x:///%7ea%2D1/%2f%c3%a9", "x:///~a-1/%2Fé"]),
        (
            "x:///%20%22%3C%3E%5C%5E%60%7B%7C%7D",
            vec!["x:/// \"<>\\^`{|}", "x:///%20%22%3c%3e%5c%5e%60%7b%7c%7d"],
        ),
        ("x:///!$&'()*+,;=:@", vec![]),
        ("x://a%C3%89b/", vec!["x://A%c3%89B", "x://aÉb"]),
        // Dot segments, also encoded ones.
        ("x:///a/c", vec!["x:///a/b/../c", "x:///./a/c", "x:///../../a/c", "x:///a/%2e/b/%2E%2e/c"]),
        ("x://h/a/", vec!["x://h/a/.", "x://h/a/b/..", "x://h/a/./"]),
        ("x://h/", vec!["x://h/..", "x://h/.", "x://h", "x://h/a/../.."]),
        ("x:/a", vec!["x:/b/../a", "x:/../a"]),
        ("x://h/.hidden/..a/...", vec![]),
        ("x://h/a//b", vec!["x://h/a//./b"]),
        // What would begin with an authority then.
        ("x:/.//a", vec!["x:/b/..//a", "x:/.//./a"]),
        // The path of a URN has no dot segments.
        ("urn:a/../b", vec!["URN:a/../b"]),
        ("x://h/?a/../b#/./c", vec!["x://h?a/../b#/./c"]),
        // Ports.
        ("https://h/a", vec!["https://h:443/a", "HTTPS://h:/a"]),
        ("ws://h/a", vec!["ws://h:80/a"]),
        ("wss://h/a", vec!["wss://h:443/a"]),
        ("ftp://h/a", vec!["ftp://h:21/a"]),
        ("http://h:443/a", vec![]),
        ("http://h:8080/a", vec!["HTTP://H:8080/a"]),
        ("x://h:80/a", vec!["x://H:80/a"]),
        ("http://h::80/", vec!["http://H::80"]),
        ("http://h:80:80/", vec![]),
        ("file:///a", vec!["FILE:///a"]),
        ("file:///", vec!["file://"]),
        // No URIs: not a byte of them is changed.
        ("", vec![]),
        ("x:///%", vec![]),
        ("X:///%4", vec![]),
        ("X:///%%34%31", vec![]),
        ("X:///%4g", vec![]),
        ("X:///a\n", vec![]),
        ("X:///\u{7f}", vec![]),
        ("a/../b", vec!["%61/../b"]),
        ("1x:/A", vec![]),
    ] {
        assert!(matches!(normalize(normal), Cow::Borrowed(_)), "{normal} takes memory");
        assert_eq!(normalize(normal), normal);
        for other in others {
            assert_eq!(normalize(other), normal, "{other}");
        }
    }
}

#[test]
fn literals_are_compared_in_normal_form_and_values_are_not() {
    for (template, uri, expected) in [
        ("KB://Wiki/%7ex/{id}", "kb://wiki/~x/A", Some(vec!["id=A"])),
        ("kb://wiki/~x/{id}", "KB://WIKI/a/../%7Ex/A%2fB", Some(vec!["id=A/B"])),
        ("kb://wiki/X/{id}", "kb://wiki/x/a", None),
        ("http://Example.com:80/{id}", "http://example.com/a", Some(vec!["id=a"])),
        ("http://example.com/{id}", "http://example.com:80/a", Some(vec!["id=a"])),
        ("http://example.com?q={q}", "http://Example.com/?q=A", Some(vec!["q=A"])),
        // A host in a variable keeps its case, for what is to tell more than hosts.
        ("user://{name}", "user://Ada", Some(vec!["name=Ada"])),
        ("user://{name}", "USER://Ada/", Some(vec!["name=Ada"])),
        ("user://{name}.Example/{x}", "user://Ada.EXAMPLE/B", Some(vec!["name=Ada", "x=B"])),
        ("user://{name}/X", "user://Ada/x", None),
        ("{scheme}://Host/{x}", "HTTP://host/A", Some(vec!["scheme=HTTP", "x=A"])),
        ("http://{host}:80/a", "http://h:80/a", Some(vec!["host=h"])),
        ("x:///{a}", "x:///..", None),
        ("x:///{a}/b", "x:///%2e%2e/b", None),
        ("x:///{a}", "x:///b/../c", Some(vec!["a=c"])),
        ("x:{a}", "x:..", Some(vec!["a=.."])),
        ("x:{a}", "x:é ", Some(vec!["a=é "])),
        ("x:{a}", "x:%\u{e9}", None),
    ] {
        let expected = expected.map(|values| values.into_iter().map(String::from).collect::<Vec<_>>());
        assert_eq!(values(template, uri), expected, "{template} against {uri:?}");
    }
}

/// What the handler of a `{+path}` gets can be joined to a folder's path.
#[test]
fn paths_stay_below_their_folder() {
    for (uri, expected) in [
        ("file:///srv/a", Some("a")),
        ("file:///srv/a/b/c.txt", Some("a/b/c.txt")),
        ("file:///srv/a%20b/%C3%A9/%25", Some("a b/é/%")),
        ("file:///srv/.hidden/..a/...", Some(".hidden/..a/...")),
        ("file:///srv/a%3Fb%23c", Some("a?b#c")),
        ("file:///srv/ab:c", Some("ab:c")),
        ("file:///srv/a/c:/d", Some("a/c:/d")),
        ("FILE:///srv/%2e/a/x/../b", Some("a/b")),
        // Normal form leads out of `/srv` before the template is looked at.
        ("file:///srv/../etc/passwd", None),
        ("file:///srv/a/../../etc/passwd", None),
        ("file:///srv/%2e%2E/etc/passwd", None),
        ("file:///srv/..%2Fetc/passwd", None),
        ("file:///srv/..%2fetc", None),
        ("file:///srv/a%2Fb", None),
        ("file:///srv/%2Fetc/passwd", None),
        ("file:///srv//etc/passwd", None),
        ("file:///srv/", None),
        ("file:///srv/a//b", None),
        ("file:///srv/a/", None),
        ("file:///srv/..%5Cetc", None),
        ("file:///srv/a\\b", None),
        ("file:///srv/%5C%5Chost/share", None),
        ("file:///srv/C:/Windows", None),
        ("file:///srv/c%3Ax", None),
        ("file:///srv/a%00.txt", None),
        ("file:///srv/a%0Ab", None),
        ("file:///srv/a%7F", None),
        ("file:///srv/a%C2%85", None),
        ("file:///srv/%FF", None),
        ("file:///srv/%C0%AE%C0%AE/a", None),
        ("file:///srv/%252e%252e/a", Some("%2e%2e/a")),
        ("file:///srv/a%", None),
        ("file:///srv/a?b", None),
        ("file:///srv/a#b", None),
    ] {
        let template = UriTemplate::new("file:///srv/{+path}").unwrap();
        assert_eq!(template.matches(uri).as_ref().and_then(|vars| vars.get("path")), expected, "{uri}");
    }
}

#[test]
fn paths_stand_anywhere() {
    for (template, uri, expected) in [
        ("docs://{+path}", "docs://guide/a.md", Some(vec!["path=guide/a.md"])),
        ("docs://{+path}", "docs://README.md", Some(vec!["path=README.md"])),
        ("docs://{+path}", "DOCS://README.md/", Some(vec!["path=README.md"])),
        ("docs://{+path}.MD", "docs://README.MD", Some(vec!["path=README"])),
        ("docs://{+path}.MD", "docs://A/README.MD", Some(vec!["path=A/README"])),
        ("docs://{+path}.MD", "docs://A/README.md", None),
        ("docs://{+path}", "docs://../x", None),
        ("docs://{+path}", "docs:///x", None),
        ("docs://{+path}", "docs://a/../../x", Some(vec!["path=a/x"])),
        ("docs://Wiki.{+path}", "docs://wiki.A/B", Some(vec!["path=A/B"])),
        ("docs:{+path}", "docs:a/b", Some(vec!["path=a/b"])),
        ("docs:{+path}", "docs:a/../b", None),
        ("docs:{+path}", "docs:/a", None),
        ("docs:{+path}", "docs://a/b", None),
        ("x:///{user}/{+path}", "x:///ada/a/b", Some(vec!["user=ada", "path=a/b"])),
        ("x:///{+path}/raw", "x:///a/b/raw/raw", Some(vec!["path=a/b/raw"])),
        ("x:///{+path}/v/{n}", "x:///a/v/b/v/1", None),
        ("x:///{+path}/v/{n}", "x:///a/b/v/1", Some(vec!["path=a/b", "n=1"])),
        ("x:///{+a}/to/{+b}", "x:///1/2/to/3/to/4", Some(vec!["a=1/2", "b=3/to/4"])),
        ("x:///{+path}?v={n}", "x:///a/b?v=1", Some(vec!["path=a/b", "n=1"])),
        ("{+path}", "a/b", Some(vec!["path=a/b"])),
        ("{+path}", "x://h/a", None),
    ] {
        let expected = expected.map(|values| values.into_iter().map(String::from).collect::<Vec<_>>());
        assert_eq!(values(template, uri), expected, "{template} against {uri:?}");
    }
}

/// RFC 6570 §3.2.3.
#[test]
fn reserved_characters_are_expanded_as_they_are() {
    for (value, uri) in [
        ("value", "value"),
        ("Hello World!", "Hello%20World!"),
        ("50%", "50%25"),
        ("http://example.com/home/", "http://example.com/home/"),
        ("/foo/bar", "/foo/bar"),
        ("a%2Fb%2", "a%2Fb%252"),
        ("é\\|", "%C3%A9%5C%7C"),
    ] {
        assert_eq!(UriTemplate::new("{+v}").unwrap().expand(|_| Some(value)), uri);
        assert_eq!(
            UriTemplate::new("KB://{+v}/%7e").unwrap().expand(|_| Some(value)),
            format!("KB://{uri}/%7e")
        );
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
        (
            "x{#a}",
            "`{#a}` at byte 1: the operator `#` is not supported, only `{name}` and `{+name}`".to_owned(),
        ),
        ("{++a}", "`{++a}` at byte 0: the operator `+` is not supported, only `{name}` and `{+name}`".into()),
        ("{+a*}", "`{+a*}` at byte 0: the modifier `*` is not supported, only `{name}` and `{+name}`".into()),
        (
            "{+a,b}",
            "`{+a,b}` at byte 0: a list of variables is not supported, only `{name}` and `{+name}`".into(),
        ),
        ("{+}", format!("`{{+}}` at byte 0: {name}")),
        ("{+a}/{a}", "`{a}` at byte 5: the variable is used twice".into()),
        ("{+a}{b}", "`{b}` at byte 4: follows a variable with nothing between them".into()),
        ("x:///a/../{b}", "`..` at byte 7: is a segment that no URI has in normal form; leave it out".into()),
        ("x:/%2E/{b}", "`%2E` at byte 3: is a segment that no URI has in normal form; leave it out".into()),
        ("x://h/{b}/.", "`.` at byte 10: is a segment that no URI has in normal form; leave it out".into()),
        ("{.a}", "`{.a}` at byte 0: the operator `.` is not supported, only `{name}` and `{+name}`".into()),
        ("{/a}", "`{/a}` at byte 0: the operator `/` is not supported, only `{name}` and `{+name}`".into()),
        ("{;a}", "`{;a}` at byte 0: the operator `;` is not supported, only `{name}` and `{+name}`".into()),
        (
            "{?a,b}",
            "`{?a,b}` at byte 0: the operator `?` is not supported, only `{name}` and `{+name}`".into(),
        ),
        ("{&a}", "`{&a}` at byte 0: the operator `&` is not supported, only `{name}` and `{+name}`".into()),
        ("{|a}", "`{|a}` at byte 0: the operator `|` is not supported, only `{name}` and `{+name}`".into()),
        ("{a*}", "`{a*}` at byte 0: the modifier `*` is not supported, only `{name}` and `{+name}`".into()),
        ("{a:3}", "`{a:3}` at byte 0: the modifier `:` is not supported, only `{name}` and `{+name}`".into()),
        (
            "{a,b}",
            "`{a,b}` at byte 0: a list of variables is not supported, only `{name}` and `{+name}`".into(),
        ),
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

#[test]
fn expansion_leads_back() {
    let mut random = Random::new(3);
    for _ in 0..5000 {
        // No literal is made of what a value can expand to, so that there is only one reading.
        let mut template = String::from("x:");
        let count = 1 + random.below(5);
        for index in 0..count {
            template.push_str(&format!("{{v{index}}}"));
            if index + 1 < count || random.below(2) == 0 {
                template.push_str(random.pick(&["/", "!", "/:/", "?", "$$", "#", "@a/"]));
            }
        }
        let template = UriTemplate::new(&template).unwrap();
        let wanted: Vec<String> = (0..count)
            .map(|_| {
                let pieces =
                    ["a", "/", "%", "é", "🦀", "?", "#", " ", "\0", ".", "..", "!", "%2F", "~", "{", "$$"];
                (0..=random.below(6)).map(|_| random.pick(&pieces)).collect()
            })
            .collect();
        let mut next = wanted.iter();
        let uri = template.expand(|_| next.next());
        let vars = template.matches(&uri).unwrap_or_else(|| panic!("{template} against {uri}"));
        assert!(vars.iter().map(|(_, value)| value).eq(wanted.iter()), "{template} against {uri}: {vars:?}");
    }
}
