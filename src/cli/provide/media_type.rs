//! The media type of a file, by the end of its name or by its content.

/// Endings of names, each with the type of such files (IANA).
const TYPES: [(&str, &str); 40] = [
    ("aac", "audio/aac"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("c", "text/x-c"),
    ("conf", "text/plain"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("flac", "audio/flac"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("h", "text/x-c"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ico", "image/vnd.microsoft.icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("log", "text/plain"),
    ("md", "text/markdown"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("ogg", "audio/ogg"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("py", "text/x-python"),
    ("rs", "text/rust"),
    ("rst", "text/x-rst"),
    ("sh", "application/x-sh"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("toml", "application/toml"),
    ("txt", "text/plain"),
    ("wav", "audio/wav"),
    ("webp", "image/webp"),
    ("xml", "application/xml"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
];

/// The type that the name of a file promises, if it does.
pub(super) fn of_name(name: &str) -> Option<&'static str> {
    let (stem, ending) = name.rsplit_once('.')?;
    let known = TYPES.iter().find(|(known, _)| ending.eq_ignore_ascii_case(known) && !stem.is_empty());
    known.map(|(_, media_type)| *media_type)
}

/// The type of bytes of which nothing else is known.
pub(super) fn of_content(bytes: &[u8]) -> &'static str {
    if is_text(bytes) { "text/plain" } else { "application/octet-stream" }
}

/// True for UTF-8 without NUL.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_name_says_what_is_in_it() {
        for (name, expected) in [
            ("a.md", Some("text/markdown")),
            ("a/b.tar.GZ", Some("application/gzip")),
            ("README", None),
            (".md", None),
            ("a.b.unknown", None),
        ] {
            assert_eq!(of_name(name), expected, "{name}");
        }
        assert!(TYPES.is_sorted(), "the table is in order");
    }

    #[test]
    fn text_has_no_nul() {
        assert_eq!(
            ["aé", "a\0", ""].map(|text| of_content(text.as_bytes())),
            ["text/plain", "application/octet-stream", "text/plain"]
        );
        assert_eq!(of_content(b"\xff"), "application/octet-stream");
    }
}
