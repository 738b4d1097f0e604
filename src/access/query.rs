//! The parameters of a query as they stand in it (RFC 3986 §3.4).
//!
//! *Scope:* taking a query apart. *Not in scope:* percent-decoding: names and values are compared as they were sent.

/// Each parameter as it stands in the query.
pub(crate) fn parameters(query: &str) -> impl Iterator<Item = &str> {
    let ends = memchr::memchr_iter(b'&', query.as_bytes()).chain([query.len()]);
    let mut start = 0;
    ends.filter_map(move |end| query.get(std::mem::replace(&mut start, end + 1)..end))
        .filter(|parameter| !parameter.is_empty())
}

/// The value of a parameter, if that is its name; names are compared as they stand, not decoded.
pub(crate) fn value_of<'a>(parameter: &'a str, name: &str) -> Option<&'a str> {
    match parameter.strip_prefix(name)? {
        "" => Some(""),
        rest => rest.strip_prefix('='),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_a_query() {
        let all = |query| parameters(query).collect::<Vec<_>>();
        assert_eq!(all("a=1&b&=c&&d=x=y"), ["a=1", "b", "=c", "d=x=y"]);
        assert_eq!(all(""), [""; 0]);
        let values = ["a=1", "a", "a=", "b=1", "aa=1", "a=x=y"].map(|parameter| value_of(parameter, "a"));
        assert_eq!(values, [Some("1"), Some(""), Some(""), None, None, Some("x=y")]);
    }
}
