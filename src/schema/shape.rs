//! What a type looks like in JSON: one tree of constants per type.
//!
//! *Scope:* the tree, what can be asked of it, and the checks that the compiler runs on it.
//! *Not in scope:* its text (`write.rs`) and values (`read.rs`).

/// Documentation in the attributes of an item: one entry per attribute, `None` for other attributes.
pub type Docs = &'static [Option<&'static str>];

/// What a type looks like in JSON.
///
/// ```
/// use mcp_rill::schema::{Kind, Schema};
/// assert!(matches!(<Vec<String>>::KIND, Kind::List(Kind::Text)));
/// assert!(matches!(u8::KIND, Kind::Integer { min: 0, max: 255 }));
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any JSON value.
    Any,
    /// `true` or `false`.
    Boolean,
    /// A number without a fraction; `3.0` is one too.
    Integer {
        /// The least value of the type.
        min: i128,
        /// The greatest value of the type.
        max: i128,
    },
    /// A number.
    Number,
    /// A string.
    Text,
    /// One of several strings.
    Choice {
        /// The documentation of the enum.
        docs: Docs,
        /// The strings, in declared order.
        choices: &'static [Choice],
    },
    /// An array of items of one kind.
    List(&'static Kind),
    /// An object with known members.
    Object {
        /// The documentation of the struct.
        docs: Docs,
        /// The members, in declared order.
        fields: &'static [Field],
    },
}

/// One string of a [`Kind::Choice`].
///
/// ```
/// use mcp_rill::schema::{Kind, Schema};
/// mcp_rill::schema! { enum Size { Small = "s" "Small", Large = "l" "Large" } }
/// let Kind::Choice { choices, .. } = Size::KIND else { unreachable!() };
/// assert_eq!((choices[1].value, choices[1].title), ("l", Some("Large")));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// The string in JSON.
    pub value: &'static str,
    /// What a person is shown for it.
    pub title: Option<&'static str>,
}

/// One member of an object.
///
/// ```
/// use mcp_rill::schema::Object;
/// mcp_rill::schema! { struct Trip { /// Where to.
///     town: String, nights: u8 { max 14 } = 1 } }
/// let [town, nights] = Trip::FIELDS else { unreachable!() };
/// assert_eq!((town.name, town.description().as_deref()), ("town", Some("Where to.")));
/// assert!(town.required() && town.is_text() && !nights.required() && !nights.is_text());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The member's name in JSON.
    pub name: &'static str,
    /// The member's documentation.
    pub docs: Docs,
    /// What its value looks like.
    pub kind: &'static Kind,
    /// True if its type is an `Option`.
    pub optional: bool,
    /// Writes the default as JSON, if there is one.
    pub default: Option<fn(&mut Vec<u8>)>,
    /// What its value has to keep.
    pub rules: Rules,
}

/// What a field asks of its value beyond the type.
///
/// ```
/// use mcp_rill::schema::Object;
/// mcp_rill::schema! { struct Tags { tags: Vec<String> { items 1..=5, length 1..=20 }, weight: f64 { min 0.5 } } }
/// let [tags, weight] = Tags::FIELDS else { unreachable!() };
/// assert_eq!(tags.rules.items.map(|span| (span.min, span.max)), Some((1, 5)));
/// assert!(tags.rules.of_items().items.is_none() && tags.rules.of_items().length.is_some());
/// assert_eq!(weight.rules.min.map(|bound| bound.real), Some(0.5));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The member's name in JSON, if it is not the field's.
    pub name: Option<&'static str>,
    /// What a person is shown as its name.
    pub title: Option<&'static str>,
    /// The least number.
    pub min: Option<Bound>,
    /// The greatest number.
    pub max: Option<Bound>,
    /// Unicode characters of a string.
    pub length: Option<Span>,
    /// Items of a list.
    pub items: Option<Span>,
    /// The format of a string, which is announced and not checked.
    pub format: Option<&'static str>,
    /// The regular expression that a string matches, which is announced and not checked.
    pub pattern: Option<&'static str>,
    /// The HTTP header that repeats the value: the `X` of `Mcp-Param-X`.
    pub header: Option<&'static str>,
}

/// A least or greatest number, as an integer and as a float: the field's kind says which one counts.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// For integers.
    pub whole: i128,
    /// For floats.
    pub real: f64,
}

/// How many characters or items there may be, both ends included.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// At least so many.
    pub min: usize,
    /// At most so many.
    pub max: usize,
}

/// The [`Schema::Bound`](crate::schema::Schema::Bound) of types that have no `min` and `max`. It has no values.
#[derive(Clone, Copy, Debug)]
pub enum NoBound {}

impl Kind {
    /// True if this is an object that a client can show as a form: its members are strings, numbers, booleans, enums
    /// and lists of enums, and nothing nested. Elicitation allows nothing else.
    ///
    /// ```
    /// use mcp_rill::schema::Schema;
    /// mcp_rill::schema! { struct Point { lat: f64, lon: f64 } }
    /// mcp_rill::schema! { struct Trip { from: Point } }
    /// const { assert!(Point::KIND.is_flat()) }
    /// assert!(!Trip::KIND.is_flat());
    /// ```
    pub const fn is_flat(&self) -> bool {
        let Kind::Object { mut fields, .. } = *self else { return false };
        while let [field, rest @ ..] = fields {
            let shown = matches!(
                field.kind,
                Kind::Boolean
                    | Kind::Integer { .. }
                    | Kind::Number
                    | Kind::Text
                    | Kind::Choice { .. }
                    | Kind::List(Kind::Choice { .. })
            );
            if !shown {
                return false;
            }
            fields = rest;
        }
        true
    }

    /// The kind of the items of a list, or of the items of its items; any other kind itself.
    const fn leaf(&self) -> &Kind {
        match self {
            Kind::List(item) => item.leaf(),
            other => other,
        }
    }
}

impl Field {
    /// True if a value has to be given.
    pub const fn required(&self) -> bool {
        !self.optional && self.default.is_none()
    }

    /// The field under the name that its rules give it.
    #[doc(hidden)]
    pub const fn named(mut self) -> Field {
        if let Some(name) = self.rules.name {
            self.name = name;
        }
        self
    }
}

impl Rules {
    /// No rules.
    pub const NONE: Rules = Rules {
        name: None,
        title: None,
        min: None,
        max: None,
        length: None,
        items: None,
        format: None,
        pattern: None,
        header: None,
    };

    /// The rules that hold for each item of a list with these rules.
    pub const fn of_items(&self) -> Rules {
        Rules { name: None, title: None, items: None, header: None, ..*self }
    }

    /// The least and greatest integer allowed, for a type with this range.
    pub(super) fn range(&self, min: i128, max: i128) -> (i128, i128) {
        (
            self.min.map_or(min, |bound| bound.whole.max(min)),
            self.max.map_or(max, |bound| bound.whole.min(max)),
        )
    }

    /// The least and the greatest number of a float.
    pub(super) fn real_range(&self) -> [Option<f64>; 2] {
        [self.min, self.max].map(|bound| bound.map(|bound| bound.real))
    }
}

/// The identifier without its `r#`.
#[doc(hidden)]
pub const fn plain_name(identifier: &'static str) -> &'static str {
    match identifier.as_bytes() {
        [b'r', b'#', ..] => identifier.split_at(2).1,
        _ => identifier,
    }
}

/// Fails to compile if the members of an object contradict themselves or each other.
#[doc(hidden)]
pub const fn check(fields: &[Field]) {
    let mut rest = fields;
    while let [field, later @ ..] = rest {
        check_rules(field);
        let mut others = later;
        while let [other, tail @ ..] = others {
            assert!(!same(field.name, other.name), "schema!: two members have the same name");
            others = tail;
        }
        rest = later;
    }
}

/// Fails to compile if two variants are the same string.
#[doc(hidden)]
pub const fn check_choices(kind: &Kind) {
    let Kind::Choice { mut choices, .. } = *kind else { return };
    while let [choice, later @ ..] = choices {
        let mut others = later;
        while let [other, tail @ ..] = others {
            assert!(!same(choice.value, other.value), "schema!: two variants have the same value");
            others = tail;
        }
        choices = later;
    }
}

const fn check_rules(field: &Field) {
    let rules = &field.rules;
    let leaf = field.kind.leaf();
    if let Some(span) = rules.length {
        assert!(matches!(leaf, Kind::Text), "schema!: `length` is for strings; for lists there is `items`");
        assert!(span.min <= span.max, "schema!: `length` allows no string at all");
    }
    if let Some(span) = rules.items {
        assert!(
            matches!(field.kind, Kind::List(_)),
            "schema!: `items` is for lists; for strings there is `length`"
        );
        assert!(span.min <= span.max, "schema!: `items` allows no list at all");
    }
    if let Some(format) = rules.format {
        assert!(matches!(leaf, Kind::Text), "schema!: `format` is for strings");
        let known = matches!(format.as_bytes(), b"email" | b"uri" | b"date" | b"date-time");
        assert!(known, "schema!: `format` is one of email, uri, date and date-time");
    }
    assert!(
        rules.pattern.is_none() || matches!(leaf, Kind::Text),
        "schema!: `pattern` is for strings; an enum has its values"
    );
    if let (Some(min), Some(max)) = (rules.min, rules.max) {
        let ordered = match leaf {
            Kind::Integer { .. } => min.whole <= max.whole,
            _ => min.real <= max.real,
        };
        assert!(ordered, "schema!: `min` is more than `max`");
    }
    if matches!(leaf, Kind::Number) {
        if let Some(bound) = rules.min {
            assert!(bound.real.is_finite(), "schema!: `min` is not a finite number");
        }
        if let Some(bound) = rules.max {
            assert!(bound.real.is_finite(), "schema!: `max` is not a finite number");
        }
    }
}

const fn same(left: &str, right: &str) -> bool {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    while let ([a, left_rest @ ..], [b, right_rest @ ..]) = (left, right) {
        if *a != *b {
            return false;
        }
        (left, right) = (left_rest, right_rest);
    }
    left.is_empty() && right.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Field =
        Field { name: "x", docs: &[], kind: &Kind::Text, optional: false, default: None, rules: Rules::NONE };
    const WHOLE: &Kind = &Kind::Integer { min: 0, max: 9 };

    const fn of(kind: &'static Kind, rules: Rules) -> Field {
        Field { kind, rules, ..PLAIN }
    }

    const fn real(real: f64) -> Option<Bound> {
        Some(Bound { whole: real as i128, real })
    }

    /// What the compiler would say; the checks run at run time as well.
    fn complaint(fields: &[Field]) -> String {
        let caught = std::panic::catch_unwind(|| check(fields));
        caught
            .err()
            .and_then(|payload| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default()
    }

    #[test]
    fn sound_fields_pass() {
        const ITEMS: Rules = Rules {
            items: Some(Span { min: 2, max: 2 }),
            length: Some(Span { min: 0, max: 0 }),
            ..Rules::NONE
        };
        const RANGE: Rules = Rules { min: real(1.0), max: real(1.0), ..Rules::NONE };
        assert_eq!(complaint(&[of(&Kind::List(&Kind::Text), ITEMS)]), "");
        assert_eq!(complaint(&[of(&Kind::List(WHOLE), RANGE)]), "");
        assert_eq!(complaint(&[of(&Kind::Number, RANGE)]), "");
        assert_eq!(complaint(&[PLAIN, Field { name: "xy", ..PLAIN }]), "");
    }

    #[test]
    fn contradictions_do_not_compile() {
        const NONE: Rules = Rules::NONE;
        const BACKWARDS: Option<Span> = Some(Span { min: 2, max: 1 });
        const ONE: Option<Span> = Some(Span { min: 1, max: 1 });
        let cases: [(&[Field], &str); 12] = [
            (&[PLAIN, PLAIN], "two members have the same name"),
            (
                &[of(WHOLE, Rules { length: ONE, ..NONE })],
                "`length` is for strings; for lists there is `items`",
            ),
            (&[of(&Kind::Text, Rules { length: BACKWARDS, ..NONE })], "`length` allows no string at all"),
            (
                &[of(&Kind::Text, Rules { items: ONE, ..NONE })],
                "`items` is for lists; for strings there is `length`",
            ),
            (&[of(&Kind::List(WHOLE), Rules { items: BACKWARDS, ..NONE })], "`items` allows no list at all"),
            (&[of(WHOLE, Rules { format: Some("uri"), ..NONE })], "`format` is for strings"),
            (
                &[of(&Kind::Text, Rules { format: Some("url"), ..NONE })],
                "`format` is one of email, uri, date and date-time",
            ),
            (
                &[of(WHOLE, Rules { pattern: Some("^a"), ..NONE })],
                "`pattern` is for strings; an enum has its values",
            ),
            (&[of(WHOLE, Rules { min: real(2.0), max: real(1.0), ..NONE })], "`min` is more than `max`"),
            (
                &[of(&Kind::Number, Rules { min: real(0.2), max: real(0.1), ..NONE })],
                "`min` is more than `max`",
            ),
            (&[of(&Kind::Number, Rules { min: real(f64::NAN), ..NONE })], "`min` is not a finite number"),
            (
                &[of(&Kind::Number, Rules { max: real(f64::INFINITY), ..NONE })],
                "`max` is not a finite number",
            ),
        ];
        for (fields, text) in cases {
            assert_eq!(complaint(fields), format!("schema!: {text}"));
        }
        let twice = &Kind::Choice {
            docs: &[],
            choices: &[
                Choice { value: "a", title: None },
                Choice { value: "b", title: None },
                Choice { value: "a", title: None },
            ],
        };
        assert!(std::panic::catch_unwind(|| check_choices(twice)).is_err());
    }
}
