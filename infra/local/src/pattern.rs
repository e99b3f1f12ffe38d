//! `EventBridge` event patterns: the whole content-filtering language, parsed once and matched without allocating.
//!
//! A pattern names fields and, for each, a list of tests of which one must hold. A field that the event lacks matches
//! nothing but `{"exists": false}`. Where the event has an array, a test holds if it does for any element; where the
//! pattern goes on *through* an array of objects, all of the fields it names there must hold in the same element.

use std::net::IpAddr;

use serde_json::{Map, Number, Value};

/// An event pattern, ready to match.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    root: Fields,
}

/// What an object of the event must satisfy.
#[derive(Debug, Clone, PartialEq)]
struct Fields {
    /// The fields, by name in order, as the service sorts them.
    named: Vec<(Box<str>, Node)>,
    /// The `$or`s: of each list, one entry must hold.
    any_of: Vec<Vec<Fields>>,
    /// How many of the first fields ask for nothing but absence: these look at every element of an array, because no
    /// other field has yet settled which element it is.
    leading_absent: usize,
}

/// What a field of the event must satisfy.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Inner(Fields),
    Leaf(Vec<Test>),
}

/// One test of a value.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    Null,
    Bool(bool),
    Number(Number),
    Text(TextTest),
    /// Holds for any value for which none of these does.
    AnythingBut(Vec<Test>),
    Numeric {
        low: Option<Bound>,
        high: Option<Bound>,
    },
    Cidr {
        network: IpAddr,
        bits: u8,
    },
    Exists(bool),
}

/// One test of a string.
#[derive(Debug, Clone, PartialEq)]
enum TextTest {
    Is(Box<str>),
    IsIgnoringCase(Box<str>),
    Prefix(Box<str>),
    PrefixIgnoringCase(Box<str>),
    Suffix(Box<str>),
    SuffixIgnoringCase(Box<str>),
    /// The texts between the stars: the first is where the value starts, the last where it ends.
    Wildcard(Vec<Box<str>>),
}

/// One end of a numeric range.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bound {
    value: f64,
    inclusive: bool,
}

/// The words that make an object in a list a test, not an alternative of a `$or`.
const TESTS: [&str; 8] = [
    "anything-but",
    "cidr",
    "equals-ignore-case",
    "exists",
    "numeric",
    "prefix",
    "suffix",
    "wildcard",
];

/// The numbers that `numeric` takes: from minus to plus this.
const NUMERIC_LIMIT: f64 = 5.0e9;

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// `Event pattern is not valid. Reason: …` with the place in the pattern, as `EventBridge` refuses it.
    pub fn parse(pattern: &Value) -> Result<Pattern, String> {
        let mut place = Place(Vec::new());
        let parsed = match pattern {
            Value::Object(object) => parse_fields(object, &mut place),
            _ => place.wrong("Filter is not an object"),
        };
        match parsed {
            Ok(root) => Ok(Pattern { root }),
            Err(reason) => Err(format!("Event pattern is not valid. Reason: {reason}")),
        }
    }

    /// Whether the event matches.
    #[must_use]
    pub fn matches(&self, event: &Value) -> bool {
        self.root.hold(Some(event))
    }
}

impl Fields {
    /// Whether there is nothing here but `{"exists": false}`.
    fn ask_absence_only(&self) -> bool {
        self.leading_absent == self.named.len()
            && self
                .any_of
                .iter()
                .all(|alternatives| alternatives.iter().all(Fields::ask_absence_only))
    }

    /// Whether all hold of `value`, which may be missing.
    fn hold(&self, value: Option<&Value>) -> bool {
        match value {
            Some(Value::Object(object)) => self.hold_in(Some(object)),
            Some(Value::Array(items)) if items.iter().any(is_container) => {
                let leading = self.named.get(..self.leading_absent).unwrap_or_default();
                items
                    .iter()
                    .filter(|item| is_container(item))
                    .all(|item| leading.iter().all(|(name, node)| node.holds_through(item, name)))
                    && items.iter().any(|item| is_container(item) && self.hold(Some(item)))
            }
            // A scalar where the pattern goes deeper: nothing lies below it.
            _ => self.hold_in(None),
        }
    }

    fn hold_in(&self, object: Option<&Map<String, Value>>) -> bool {
        self.named
            .iter()
            .all(|(name, node)| node.holds(object.and_then(|object| object.get(&**name))))
            && self
                .any_of
                .iter()
                .all(|alternatives| alternatives.iter().any(|alternative| alternative.hold_in(object)))
    }
}

impl Node {
    fn holds(&self, value: Option<&Value>) -> bool {
        match self {
            Node::Inner(fields) => fields.hold(value),
            Node::Leaf(tests) => match value {
                Some(value) if has_scalar(value) => {
                    any_scalar(value, &|scalar| tests.iter().any(|test| test.holds(scalar)))
                }
                // Absent, or no leaf: an object or an empty array has no value of its own.
                _ => tests.contains(&Test::Exists(false)),
            },
        }
    }

    /// Whether the field `name` holds in `item`, an object or an array of them.
    fn holds_through(&self, item: &Value, name: &str) -> bool {
        match item {
            Value::Array(items) => items.iter().all(|item| self.holds_through(item, name)),
            item => self.holds(item.get(name)),
        }
    }

    fn asks_absence_only(&self) -> bool {
        match self {
            Node::Inner(fields) => fields.ask_absence_only(),
            Node::Leaf(tests) => tests.iter().all(|test| *test == Test::Exists(false)),
        }
    }
}

impl Test {
    /// Whether it holds for a value that is there and is neither object nor array.
    fn holds(&self, value: &Value) -> bool {
        match self {
            Test::Null => value.is_null(),
            Test::Bool(wanted) => value.as_bool() == Some(*wanted),
            Test::Number(wanted) => matches!(value, Value::Number(number) if equal(wanted, number)),
            Test::Text(test) => value.as_str().is_some_and(|text| test.holds(text)),
            Test::AnythingBut(tests) => !tests.iter().any(|test| test.holds(value)),
            Test::Numeric { low, high } => {
                matches!(value, Value::Number(number) if number.as_f64().is_some_and(|number| {
                    low.is_none_or(|low| number > low.value || (low.inclusive && number >= low.value))
                        && high.is_none_or(|high| number < high.value || (high.inclusive && number <= high.value))
                }))
            }
            Test::Cidr { network, bits } => value
                .as_str()
                .and_then(|text| text.parse::<IpAddr>().ok())
                .is_some_and(|address| same_network(*network, address, *bits)),
            Test::Exists(wanted) => *wanted,
        }
    }
}

impl TextTest {
    fn holds(&self, text: &str) -> bool {
        match self {
            TextTest::Is(wanted) => **wanted == *text,
            TextTest::Prefix(prefix) => text.starts_with(&**prefix),
            TextTest::Suffix(suffix) => text.ends_with(&**suffix),
            TextTest::IsIgnoringCase(wanted) => folded(wanted).eq(folded(text)),
            TextTest::PrefixIgnoringCase(prefix) => {
                let mut text = folded(text);
                folded(prefix).all(|wanted| text.next() == Some(wanted))
            }
            TextTest::SuffixIgnoringCase(suffix) => {
                // One character at a time from the end; what a character folds to is compared as a whole.
                let mut text = text.chars().rev();
                suffix.chars().rev().all(|wanted| {
                    text.next()
                        .is_some_and(|found| wanted.to_lowercase().eq(found.to_lowercase()))
                })
            }
            TextTest::Wildcard(parts) => wildcard_holds(parts, text),
        }
    }
}

fn wildcard_holds(parts: &[Box<str>], text: &str) -> bool {
    let (first, middle, last) = match parts {
        [] => return text.is_empty(),
        [only] => return **only == *text,
        [first, middle @ .., last] => (first, middle, last),
    };
    let Some(rest) = text.strip_prefix(&**first) else {
        return false;
    };
    let Some(mut rest) = rest.strip_suffix(&**last) else {
        return false;
    };
    // The leftmost place for each part leaves the most for those after it.
    for part in middle {
        match rest.split_once(&**part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

fn is_container(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Array(_))
}

fn has_scalar(value: &Value) -> bool {
    any_scalar(value, &|_| true)
}

/// Whether the test holds for the value or, if it is an array, for one that lies in it at any depth.
fn any_scalar(value: &Value, test: &impl Fn(&Value) -> bool) -> bool {
    match value {
        Value::Object(_) => false,
        Value::Array(items) => items.iter().any(|item| any_scalar(item, test)),
        scalar => test(scalar),
    }
}

/// Whether the two are the same number; an integer is one to its last digit, and equals a float of the same value.
fn equal(one: &Number, other: &Number) -> bool {
    one == other
        || one.as_f64().is_some_and(|one| other.as_f64() == Some(one)) && !(is_integer(one) && is_integer(other))
}

fn is_integer(number: &Number) -> bool {
    number.is_i64() || number.is_u64()
}

fn same_network(network: IpAddr, address: IpAddr, bits: u8) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

/// Where in the pattern the parser is.
struct Place(Vec<String>);

impl Place {
    /// The error, with the place.
    fn wrong<T>(&self, reason: impl std::fmt::Display) -> Result<T, String> {
        if self.0.is_empty() {
            Err(format!("{reason} at the top"))
        } else {
            Err(format!("{reason} at {}", self.0.join(".")))
        }
    }

    fn within<T>(&mut self, name: &str, read: impl FnOnce(&mut Place) -> Result<T, String>) -> Result<T, String> {
        self.0.push(name.to_owned());
        let result = read(self);
        self.0.pop();
        result
    }
}

fn parse_fields(object: &Map<String, Value>, place: &mut Place) -> Result<Fields, String> {
    if object.is_empty() {
        return place.wrong("Empty objects are not allowed");
    }
    let mut named = Vec::new();
    let mut any_of = Vec::new();
    for (name, value) in object {
        place.within(name, |place| {
            match (name.as_str(), value) {
                ("$or", Value::Array(items)) if is_or(items) => any_of.push(parse_or(items, place)?),
                (_, Value::Array(items)) => named.push((name.as_str().into(), Node::Leaf(parse_tests(items, place)?))),
                (_, Value::Object(inner)) => {
                    named.push((name.as_str().into(), Node::Inner(parse_fields(inner, place)?)))
                }
                _ => return place.wrong(format_args!("\"{name}\" must be an object or an array")),
            }
            Ok(())
        })?;
    }
    named.sort_by(|(one, _): &(Box<str>, Node), (other, _)| one.cmp(other));
    let leading_absent = named.iter().take_while(|(_, node)| node.asks_absence_only()).count();
    Ok(Fields {
        named,
        any_of,
        leading_absent,
    })
}

/// Whether a field called `$or` is the operator: a list of two or more objects that aren't tests. Else it is a field of
/// that name.
fn is_or(items: &[Value]) -> bool {
    items.len() >= 2
        && items.iter().all(|item| {
            item.as_object()
                .is_some_and(|object| !object.keys().any(|key| TESTS.contains(&key.as_str())))
        })
}

fn parse_or(items: &[Value], place: &mut Place) -> Result<Vec<Fields>, String> {
    items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| Some((index, item.as_object()?)))
        .map(|(index, object)| place.within(&index.to_string(), |place| parse_fields(object, place)))
        .collect()
}

fn parse_tests(items: &[Value], place: &mut Place) -> Result<Vec<Test>, String> {
    if items.is_empty() {
        return place.wrong("Empty arrays are not allowed");
    }
    items.iter().map(|item| parse_test(item, place)).collect()
}

fn parse_test(item: &Value, place: &mut Place) -> Result<Test, String> {
    match item {
        Value::Null => Ok(Test::Null),
        Value::Bool(value) => Ok(Test::Bool(*value)),
        Value::Number(number) => Ok(Test::Number(number.clone())),
        Value::String(text) => Ok(Test::Text(TextTest::Is(text.as_str().into()))),
        Value::Array(_) => place.wrong("Match value must be String, number, true, false, or null"),
        Value::Object(object) => {
            let (word, argument) = only_entry(object, place)?;
            place.within(word, |place| match word {
                "anything-but" => parse_anything_but(argument, place),
                "numeric" => parse_numeric(argument, place),
                "cidr" => parse_cidr(argument, place),
                "exists" => match argument {
                    Value::Bool(wanted) => Ok(Test::Exists(*wanted)),
                    _ => place.wrong("exists match pattern must be either true or false."),
                },
                "prefix" | "suffix" | "equals-ignore-case" | "wildcard" => {
                    Ok(Test::Text(parse_text_test(word, argument, true, place)?))
                }
                _ => place.wrong(format_args!("Unrecognized match type {word}")),
            })
        }
    }
}

fn only_entry<'pattern>(
    object: &'pattern Map<String, Value>,
    place: &Place,
) -> Result<(&'pattern str, &'pattern Value), String> {
    let mut entries = object.iter();
    match (entries.next(), entries.next()) {
        (Some((word, argument)), None) => Ok((word, argument)),
        (None, _) => place.wrong("Empty objects are not allowed"),
        (Some(_), Some(_)) => place.wrong("Only one key allowed in match expression"),
    }
}

/// `prefix`, `suffix`, `equals-ignore-case` and `wildcard`; the first two may have `equals-ignore-case` in them where `nested`.
fn parse_text_test(word: &str, argument: &Value, nested: bool, place: &mut Place) -> Result<TextTest, String> {
    let text = match argument {
        Value::String(text) => text.as_str(),
        Value::Object(object) if nested && matches!(word, "prefix" | "suffix") => {
            let (inner, argument) = only_entry(object, place)?;
            return match (inner, argument) {
                ("equals-ignore-case", Value::String(text)) if word == "prefix" => {
                    Ok(TextTest::PrefixIgnoringCase(text.as_str().into()))
                }
                ("equals-ignore-case", Value::String(text)) => Ok(TextTest::SuffixIgnoringCase(text.as_str().into())),
                ("equals-ignore-case", _) => place.wrong("equals-ignore-case match pattern must be a string"),
                _ => place.wrong(format_args!("Unsupported {word} match pattern: {inner}")),
            };
        }
        _ => return place.wrong(format_args!("{word} match pattern must be a string")),
    };
    Ok(match word {
        "prefix" => TextTest::Prefix(text.into()),
        "suffix" => TextTest::Suffix(text.into()),
        "equals-ignore-case" => TextTest::IsIgnoringCase(text.into()),
        _ => TextTest::Wildcard(parse_wildcard(text, place)?),
    })
}

fn parse_wildcard(text: &str, place: &Place) -> Result<Vec<Box<str>>, String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut after_star = false;
    let mut chars = text.chars().enumerate();
    while let Some((position, char)) = chars.next() {
        match char {
            '*' if after_star => {
                return place.wrong(format_args!("Consecutive wildcard characters at pos {}", position - 1));
            }
            '*' => parts.push(std::mem::take(&mut part).into_boxed_str()),
            '\\' => match chars.next() {
                Some((_, escaped @ ('*' | '\\'))) => part.push(escaped),
                _ => return place.wrong(format_args!("Invalid escape character at pos {position}")),
            },
            other => part.push(other),
        }
        after_star = char == '*';
    }
    parts.push(part.into_boxed_str());
    Ok(parts)
}

fn parse_anything_but(argument: &Value, place: &mut Place) -> Result<Test, String> {
    let tests = match argument {
        Value::String(_) | Value::Number(_) => vec![parse_test(argument, place)?],
        Value::Array(items) if items.is_empty() => return place.wrong("Empty arrays are not allowed"),
        Value::Array(items) if items.iter().all(Value::is_string) || items.iter().all(Value::is_number) => {
            parse_tests(items, place)?
        }
        Value::Array(items) if items.iter().all(|item| item.is_string() || item.is_number()) => {
            return place.wrong(
                "Inside anything but list, either all values are number or string, mixed type is not supported",
            );
        }
        Value::Array(_) => return place.wrong("Inside anything but list, start|null|boolean is not supported."),
        Value::Object(object) => {
            let (word, argument) = only_entry(object, place)?;
            if !matches!(word, "prefix" | "suffix" | "equals-ignore-case" | "wildcard") {
                return place.wrong(format_args!("Unsupported anything-but pattern: {word}"));
            }
            place.within(word, |place| match argument {
                Value::Array(items) if items.is_empty() => place.wrong("Empty arrays are not allowed"),
                Value::Array(items) => items
                    .iter()
                    .map(|item| Ok(Test::Text(parse_text_test(word, item, false, place)?)))
                    .collect(),
                one => Ok(vec![Test::Text(parse_text_test(word, one, true, place)?)]),
            })?
        }
        Value::Null | Value::Bool(_) => {
            return place.wrong("Value of anything-but must be an array or single string/number value.");
        }
    };
    Ok(Test::AnythingBut(tests))
}

fn parse_numeric(argument: &Value, place: &Place) -> Result<Test, String> {
    let Value::Array(items) = argument else {
        return place.wrong("Value of numeric must be an array.");
    };
    let (mut low, mut high) = (None, None);
    let terms = items.chunks(2);
    if items.is_empty() {
        return place.wrong("Invalid member in numeric match: an operator is missing");
    }
    for term in terms {
        let Some(Value::String(operator)) = term.first() else {
            let found = term.first().unwrap_or(&Value::Null);
            return place.wrong(format_args!("Invalid member in numeric match: {found}"));
        };
        if !matches!(operator.as_str(), "=" | ">" | ">=" | "<" | "<=") {
            return place.wrong(format_args!("Unrecognized numeric range operator: {operator}"));
        }
        let value = match term.get(1).and_then(Value::as_f64) {
            Some(value) if value.abs() <= NUMERIC_LIMIT => value,
            Some(_) => return place.wrong("Value must be between -5.0E9 and 5.0E9, inclusive"),
            None => return place.wrong(format_args!("Value of {operator} must be numeric")),
        };
        let inclusive = operator.ends_with('=');
        let bound = Some(Bound { value, inclusive });
        let free = match operator.as_bytes().first() {
            Some(b'=') => low.is_none() && high.is_none(),
            Some(b'>') => low.is_none() && high.is_none(),
            _ => high.is_none(),
        };
        if !free {
            return place.wrong("Too many terms in numeric range expression");
        }
        match operator.as_bytes().first() {
            Some(b'=') => (low, high) = (bound, bound),
            Some(b'>') => low = bound,
            _ => high = bound,
        }
    }
    if let (Some(low), Some(high)) = (low, high)
        && items.len() > 2
        && low.value >= high.value
    {
        return place.wrong("Bottom must be less than top");
    }
    Ok(Test::Numeric { low, high })
}

fn parse_cidr(argument: &Value, place: &Place) -> Result<Test, String> {
    let Value::String(text) = argument else {
        return place.wrong("cidr match pattern must be a string");
    };
    let Some((address, bits)) = text.split_once('/') else {
        return place.wrong("Malformed CIDR, one '/' required");
    };
    let Ok(network) = address.parse::<IpAddr>() else {
        return place.wrong(format_args!("Malformed CIDR, address could not be parsed: {address}"));
    };
    let most = if network.is_ipv4() { 32 } else { 128 };
    match bits.parse::<u8>() {
        Ok(bits) if bits <= most => Ok(Test::Cidr { network, bits }),
        Ok(_) => place.wrong(format_args!("Malformed CIDR, mask bits must be at most {most}")),
        Err(_) => place.wrong("Malformed CIDR, mask bits must be an integer"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Pattern;

    /// Patterns over one field, as `{"a": PATTERN}` against `{"a": EVENT}`.
    fn leaf_matches(tests: &Value, event: &Value) -> bool {
        matches(&json!({"a": tests}), &json!({"a": event}))
    }

    fn matches(pattern: &Value, event: &Value) -> bool {
        Pattern::parse(pattern).unwrap().matches(event)
    }

    #[test]
    fn a_leaf_holds_for_the_values_that_its_tests_name() {
        for (tests, yes, no) in [
            (
                json!(["x"]),
                json!(["x"]),
                json!(["X", "xx", "", 1, null, true, {"x": "x"}, []]),
            ),
            (json!(["x", 1]), json!(["x", 1, 1.0]), json!(["1", 2, null])),
            (json!([1]), json!([1, 1.0, 1e0]), json!([10, 1.01, "1", true])),
            (json!([300.0]), json!([300, 300.0, 3.0e2]), json!([300.5])),
            (
                json!([9_007_199_254_740_993_u64]),
                json!([9_007_199_254_740_993_u64]),
                json!([9_007_199_254_740_992_u64]),
            ),
            (json!([-1]), json!([-1, -1.0]), json!([1, u64::MAX])),
            (json!([true]), json!([true]), json!([false, "true", 1])),
            (json!([false]), json!([false]), json!([true, null, 0])),
            (json!([null]), json!([null]), json!(["", "null", 0, false, []])),
            (json!([""]), json!([""]), json!([null, " "])),
            // prefix, suffix
            (
                json!([{"prefix": "us-"}]),
                json!(["us-east-1", "us-"]),
                json!(["eu-us-", "US-east-1", 1]),
            ),
            (json!([{"prefix": ""}]), json!(["", "x"]), json!([1, null])),
            (
                json!([{"prefix": {"equals-ignore-case": "EventB"}}]),
                json!(["EventBridge", "EVENTB", "eventbus"]),
                json!(["Event", "xEventB"]),
            ),
            (
                json!([{"suffix": ".png"}]),
                json!(["a.png", ".png"]),
                json!(["a.PNG", "a.png ", "png"]),
            ),
            (
                json!([{"suffix": {"equals-ignore-case": ".png"}}]),
                json!(["a.png", "a.PnG"]),
                json!(["png", "a.png.gz"]),
            ),
            (
                json!([{"suffix": {"equals-ignore-case": "É"}}]),
                json!(["café", "CAFÉ"]),
                json!(["cafe"]),
            ),
            // equals-ignore-case
            (
                json!([{"equals-ignore-case": "alice"}]),
                json!(["alice", "ALICE", "aLiCe"]),
                json!(["alic", "alicee", 1]),
            ),
            (
                json!([{"equals-ignore-case": "ÄÖ"}]),
                json!(["äö", "ÄÖ"]),
                json!(["ao"]),
            ),
            // anything-but
            (
                json!([{"anything-but": "x"}]),
                json!(["y", "", 1, null, true]),
                json!(["x", []]),
            ),
            (json!([{"anything-but": 123}]), json!([124, "123"]), json!([123, 123.0])),
            (
                json!([{"anything-but": ["stopped", "overloaded"]}]),
                json!(["running", 5]),
                json!(["stopped", "overloaded"]),
            ),
            (
                json!([{"anything-but": [100, 200, 300]}]),
                json!([150, "100"]),
                json!([100, 200, 300.0]),
            ),
            (
                json!([{"anything-but": {"prefix": "init"}}]),
                json!(["run", "Init", 5]),
                json!(["init", "initial"]),
            ),
            (
                json!([{"anything-but": {"prefix": ["a", "b"]}}]),
                json!(["c", ""]),
                json!(["a1", "b1"]),
            ),
            (
                json!([{"anything-but": {"prefix": {"equals-ignore-case": "IN"}}}]),
                json!(["out"]),
                json!(["init", "In"]),
            ),
            (
                json!([{"anything-but": {"suffix": "1234"}}]),
                json!(["123"]),
                json!(["x1234"]),
            ),
            (
                json!([{"anything-but": {"suffix": [".txt", ".rtf"]}}]),
                json!(["a.png"]),
                json!(["a.txt", "b.rtf"]),
            ),
            (
                json!([{"anything-but": {"equals-ignore-case": "a"}}]),
                json!(["b"]),
                json!(["a", "A"]),
            ),
            (
                json!([{"anything-but": {"equals-ignore-case": ["a", "b"]}}]),
                json!(["c"]),
                json!(["A", "b"]),
            ),
            (
                json!([{"anything-but": {"wildcard": "*/lib/*"}}]),
                json!(["/usr/bin/x"]),
                json!(["/usr/lib/x"]),
            ),
            (
                json!([{"anything-but": {"wildcard": ["a*", "*b"]}}]),
                json!(["ba", "c"]),
                json!(["ab", "a", "b"]),
            ),
            // numeric
            (json!([{"numeric": ["=", 5]}]), json!([5, 5.0]), json!([5.1, "5", null])),
            (json!([{"numeric": [">", 0]}]), json!([0.1, 5e9]), json!([0, -1])),
            (json!([{"numeric": [">=", 0.85]}]), json!([0.85, 1]), json!([0.849_999])),
            (json!([{"numeric": ["<", 10]}]), json!([9, -5]), json!([10, 11])),
            (json!([{"numeric": ["<=", 10]}]), json!([10, 10.0]), json!([10.5])),
            (json!([{"numeric": [">", 0, "<=", 5]}]), json!([1, 5]), json!([0, 6])),
            (
                json!([{"numeric": [">=", 0, "<", 5]}]),
                json!([0, 4.9]),
                json!([5, -0.1]),
            ),
            // cidr
            (
                json!([{"cidr": "10.0.0.0/24"}]),
                json!(["10.0.0.0", "10.0.0.255"]),
                json!(["10.0.1.0", "10.0.0", "x", 10]),
            ),
            (json!([{"cidr": "0.0.0.0/0"}]), json!(["255.1.2.3"]), json!(["::1"])),
            (
                json!([{"cidr": "10.0.0.7/32"}]),
                json!(["10.0.0.7"]),
                json!(["10.0.0.6"]),
            ),
            (
                json!([{"cidr": "2001:db8::/32"}]),
                json!(["2001:db8::1", "2001:DB8:FF::"]),
                json!(["2001:db9::", "10.0.0.1"]),
            ),
            (json!([{"cidr": "::/0"}]), json!(["fe80::1"]), json!(["10.0.0.1"])),
            // exists: of a leaf only
            (
                json!([{"exists": true}]),
                json!(["", 0, null, false, [1], [[1]]]),
                json!([{"b": 1}, [], {}, [{"b": 1}]]),
            ),
            (
                json!([{"exists": false}]),
                json!([{"b": 1}, [], {}, [{"b": 1}]]),
                json!(["", 0, null, [1]]),
            ),
            (json!([{"exists": false}, "x"]), json!([{}, "x"]), json!(["y"])),
            // wildcard
            (
                json!([{"wildcard": "dir/*.png"}]),
                json!(["dir/.png", "dir/a/b.png"]),
                json!(["dir/a.png2", "xdir/a.png"]),
            ),
            (json!([{"wildcard": "*"}]), json!(["", "x"]), json!([1])),
            (
                json!([{"wildcard": "plain"}]),
                json!(["plain"]),
                json!(["plain2", "plai"]),
            ),
            (
                json!([{"wildcard": "a*b*c"}]),
                json!(["abc", "a1b2c", "abbcc", "abcbc"]),
                json!(["ac", "acb", "ab"]),
            ),
            (
                json!([{"wildcard": "ab*ba"}]),
                json!(["abba", "abxba"]),
                json!(["aba", "ab"]),
            ),
            (json!([{"wildcard": "*x*"}]), json!(["x", "axb"]), json!(["ab", ""])),
            (json!([{"wildcard": "a\\*b"}]), json!(["a*b"]), json!(["axb", "a\\*b"])),
            (
                json!([{"wildcard": "a\\\\*"}]),
                json!(["a\\", "a\\b"]),
                json!(["a*", "a"]),
            ),
            (json!([{"wildcard": "\\**"}]), json!(["*", "*x"]), json!(["x"])),
            // an array of the event: any element
            (
                json!(["x"]),
                json!([["x"], ["y", "x"], [["x"]], [{"y": 1}, "x"]]),
                json!([["y"], [], [{"x": "x"}]]),
            ),
            (json!([{"anything-but": "x"}]), json!([["x", "y"]]), json!([["x"], []])),
            (json!([{"numeric": [">", 5]}]), json!([[1, 6]]), json!([[1, 2], ["6"]])),
        ] {
            for event in yes.as_array().unwrap() {
                assert!(leaf_matches(&tests, event), "{tests} should match {event}");
            }
            for event in no.as_array().unwrap() {
                assert!(!leaf_matches(&tests, event), "{tests} should not match {event}");
            }
        }
    }

    #[test]
    fn all_the_fields_of_a_pattern_must_hold() {
        let instance = json!({
            "version": "0",
            "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
            "detail-type": "EC2 Instance State-change Notification",
            "source": "aws.ec2",
            "account": "111122223333",
            "time": "2017-12-22T18:43:48Z",
            "region": "us-west-1",
            "resources": ["arn:aws:ec2:us-west-1:123456789012:instance/i-1234567890abcdef0"],
            "detail": {
                "instance-id": "i-1234567890abcdef0",
                "state": "terminated",
                "c-count": 5,
                "x-limit": 301.8,
                "source-ip": "10.0.0.33",
                "nothing": null,
            },
        });
        for (pattern, expected) in [
            (json!({"source": ["aws.ec2"]}), true),
            (json!({"source": ["aws.ec2", "aws.fargate"]}), true),
            (
                json!({"source": ["aws.ec2"], "detail": {"state": ["terminated"]}}),
                true,
            ),
            (json!({"source": ["aws.ec2"], "detail": {"state": ["running"]}}), false),
            (
                json!({"source": ["aws.s3"], "detail": {"state": ["terminated"]}}),
                false,
            ),
            (json!({"time": [{"prefix": "2017-12-22"}]}), true),
            (json!({"resources": [{"suffix": "0"}, {"prefix": "nothing"}]}), true),
            (
                json!({"detail": {"c-count": [{"numeric": [">", 0, "<=", 5]}], "x-limit": [{"numeric": ["=", 301.8]}]}}),
                true,
            ),
            (json!({"detail": {"c-count": [{"numeric": [">", 5]}]}}), false),
            (json!({"detail": {"state": [{"anything-but": "initializing"}]}}), true),
            (json!({"detail": {"source-ip": [{"cidr": "10.0.0.0/24"}]}}), true),
            (json!({"detail": {"nothing": [null]}}), true),
            (json!({"detail": {"nothing": [{"exists": true}]}}), true),
            // what is not there
            (json!({"detail": {"missing": [null]}}), false),
            (json!({"detail": {"missing": [{"anything-but": "x"}]}}), false),
            (json!({"detail": {"missing": [{"exists": false}]}}), true),
            (json!({"missing": {"at": {"depth": [{"exists": false}]}}}), true),
            (json!({"missing": {"at": {"depth": [{"exists": true}]}}}), false),
            // deeper than the event goes
            (json!({"source": {"inner": ["aws.ec2"]}}), false),
            (json!({"source": {"inner": [{"exists": false}]}}), true),
            (json!({"resources": {"inner": [{"exists": false}]}}), true),
            // an object is no leaf
            (json!({"detail": [{"exists": true}]}), false),
            (json!({"detail": [{"anything-but": "x"}]}), false),
            // $or, at any level
            (
                json!({"$or": [{"source": ["aws.s3"]}, {"region": ["us-west-1"]}]}),
                true,
            ),
            (
                json!({"$or": [{"source": ["aws.s3"]}, {"region": ["eu-west-1"]}]}),
                false,
            ),
            (
                json!({"source": ["aws.s3"], "$or": [{"region": ["us-west-1"]}, {"account": ["111122223333"]}]}),
                false,
            ),
            (
                json!({"detail": {"$or": [
                    {"c-count": [{"numeric": [">", 10]}]},
                    {"x-limit": [{"numeric": [">", 300]}], "state": ["terminated"]},
                ]}}),
                true,
            ),
            (
                json!({"detail": {"$or": [
                    {"c-count": [1]},
                    {"$or": [{"state": ["running"]}, {"state": ["terminated"]}]},
                ]}}),
                true,
            ),
            (
                json!({"detail": {"$or": [{"missing": [{"exists": false}]}, {"c-count": [1]}]}}),
                true,
            ),
        ] {
            assert_eq!(matches(&pattern, &instance), expected, "{pattern}");
        }
    }

    #[test]
    fn fields_through_an_array_hold_in_the_same_element() {
        for (pattern, event, expected) in [
            (
                json!({"team": {"name": ["A"], "rank": [1]}}),
                json!({"team": [{"name": "A", "rank": 2}, {"name": "B", "rank": 1}]}),
                false,
            ),
            (
                json!({"team": {"name": ["B"], "rank": [1]}}),
                json!({"team": [{"name": "A", "rank": 2}, {"name": "B", "rank": 1}]}),
                true,
            ),
            // through two arrays
            (
                json!({"v": {"s": {"status": ["Baking"], "weight": [1]}, "name": ["x"]}}),
                json!({"v": [{"name": "x", "s": [{"status": "Baking", "weight": 0}]}, {"name": "y", "s": [{"status": "Baking", "weight": 1}]}]}),
                false,
            ),
            (
                json!({"v": {"s": {"status": ["Baking"], "weight": [1]}, "name": ["y"]}}),
                json!({"v": [{"name": "x", "s": []}, {"name": "y", "s": [{"status": "x"}, {"status": "Baking", "weight": 1}]}]}),
                true,
            ),
            // arrays of arrays, and with scalars between
            (json!({"a": {"b": [1]}}), json!({"a": [[{"b": 1}]]}), true),
            (
                json!({"a": {"b": [1], "c": [2]}}),
                json!({"a": [[{"b": 1}, {"c": 2}]]}),
                false,
            ),
            (json!({"a": {"b": [1]}}), json!({"a": ["x", 3, {"b": 1}]}), true),
            (json!({"a": {"b": [1]}}), json!({"a": []}), false),
            // $or within the element
            (
                json!({"a": {"$or": [{"b": [1]}, {"c": [1]}], "d": [1]}}),
                json!({"a": [{"b": 1, "d": 2}, {"c": 1, "d": 1}]}),
                true,
            ),
            (
                json!({"a": {"$or": [{"b": [1]}, {"c": [1]}], "d": [1]}}),
                json!({"a": [{"b": 1, "d": 2}, {"c": 2, "d": 1}]}),
                false,
            ),
            // absence: of every element, unless a field before it has settled which
            (
                json!({"a": {"b": [{"exists": false}]}}),
                json!({"a": [{"b": 1}, {"c": 2}]}),
                false,
            ),
            (
                json!({"a": {"b": [{"exists": false}]}}),
                json!({"a": [{"c": 1}, {"c": 2}]}),
                true,
            ),
            (json!({"a": {"b": [{"exists": false}]}}), json!({"a": []}), true),
            (
                json!({"a": {"b": [{"exists": false}], "c": [2]}}),
                json!({"a": [{"b": 1}, {"c": 2}]}),
                false,
            ),
            (
                json!({"a": {"b": [2], "c": [{"exists": false}]}}),
                json!({"a": [{"c": 1}, {"b": 2}]}),
                true,
            ),
            (
                json!({"a": {"b": [2], "c": [{"exists": false}]}}),
                json!({"a": [{"b": 2, "c": 1}]}),
                false,
            ),
        ] {
            assert_eq!(matches(&pattern, &event), expected, "{pattern} on {event}");
        }
    }

    #[test]
    fn an_or_that_is_no_list_of_alternatives_is_a_field() {
        for (pattern, event, expected) in [
            (json!({"$or": ["x", "y"]}), json!({"$or": "y"}), true),
            (json!({"$or": ["x", "y"]}), json!({"x": "y"}), false),
            (
                json!({"$or": [{"prefix": "x"}, {"suffix": "y"}]}),
                json!({"$or": "ay"}),
                true,
            ),
            (json!({"$or": {"b": [1]}}), json!({"$or": {"b": 1}}), true),
        ] {
            assert_eq!(matches(&pattern, &event), expected, "{pattern} on {event}");
        }
    }

    #[test]
    fn an_invalid_pattern_is_refused_with_the_place() {
        for (pattern, reason) in [
            (json!([]), "Filter is not an object at the top"),
            (json!("x"), "Filter is not an object at the top"),
            (json!({}), "Empty objects are not allowed at the top"),
            (json!({"a": {}}), "Empty objects are not allowed at a"),
            (json!({"a": []}), "Empty arrays are not allowed at a"),
            (
                json!({"source": "aws.ec2"}),
                "\"source\" must be an object or an array at source",
            ),
            (
                json!({"detail": {"state": null}}),
                "\"state\" must be an object or an array at detail.state",
            ),
            (
                json!({"a": [["x"]]}),
                "Match value must be String, number, true, false, or null at a",
            ),
            (json!({"a": [{}]}), "Empty objects are not allowed at a"),
            (
                json!({"a": [{"prefix": "x", "suffix": "y"}]}),
                "Only one key allowed in match expression at a",
            ),
            (json!({"a": [{"like": "x"}]}), "Unrecognized match type like at a.like"),
            (
                json!({"a": [{"prefix": 1}]}),
                "prefix match pattern must be a string at a.prefix",
            ),
            (
                json!({"a": [{"prefix": {"wildcard": "x"}}]}),
                "Unsupported prefix match pattern: wildcard at a.prefix",
            ),
            (
                json!({"a": [{"suffix": {"equals-ignore-case": 1}}]}),
                "equals-ignore-case match pattern must be a string at a.suffix",
            ),
            (
                json!({"a": [{"equals-ignore-case": ["x"]}]}),
                "equals-ignore-case match pattern must be a string at a.equals-ignore-case",
            ),
            (
                json!({"a": [{"exists": "true"}]}),
                "exists match pattern must be either true or false. at a.exists",
            ),
            (
                json!({"a": [{"wildcard": "a**b"}]}),
                "Consecutive wildcard characters at pos 1 at a.wildcard",
            ),
            (
                json!({"a": [{"wildcard": "a\\b"}]}),
                "Invalid escape character at pos 1 at a.wildcard",
            ),
            (
                json!({"a": [{"wildcard": "a\\"}]}),
                "Invalid escape character at pos 1 at a.wildcard",
            ),
            (
                json!({"a": [{"anything-but": true}]}),
                "Value of anything-but must be an array or single string/number value. at a.anything-but",
            ),
            (
                json!({"a": [{"anything-but": []}]}),
                "Empty arrays are not allowed at a.anything-but",
            ),
            (
                json!({"a": [{"anything-but": ["x", 1]}]}),
                "Inside anything but list, either all values are number or string, mixed type is not supported at a.anything-but",
            ),
            (
                json!({"a": [{"anything-but": [null]}]}),
                "Inside anything but list, start|null|boolean is not supported. at a.anything-but",
            ),
            (
                json!({"a": [{"anything-but": {"numeric": ["=", 1]}}]}),
                "Unsupported anything-but pattern: numeric at a.anything-but",
            ),
            (
                json!({"a": [{"anything-but": {"prefix": [1]}}]}),
                "prefix match pattern must be a string at a.anything-but.prefix",
            ),
            (
                json!({"a": [{"anything-but": {"suffix": []}}]}),
                "Empty arrays are not allowed at a.anything-but.suffix",
            ),
            (
                json!({"a": [{"numeric": 1}]}),
                "Value of numeric must be an array. at a.numeric",
            ),
            (
                json!({"a": [{"numeric": []}]}),
                "Invalid member in numeric match: an operator is missing at a.numeric",
            ),
            (
                json!({"a": [{"numeric": [1]}]}),
                "Invalid member in numeric match: 1 at a.numeric",
            ),
            (
                json!({"a": [{"numeric": ["=="]}]}),
                "Unrecognized numeric range operator: == at a.numeric",
            ),
            (
                json!({"a": [{"numeric": [">"]}]}),
                "Value of > must be numeric at a.numeric",
            ),
            (
                json!({"a": [{"numeric": [">", "0.85"]}]}),
                "Value of > must be numeric at a.numeric",
            ),
            (
                json!({"a": [{"numeric": [">", 5.1e9]}]}),
                "Value must be between -5.0E9 and 5.0E9, inclusive at a.numeric",
            ),
            (
                json!({"a": [{"numeric": [">", 5, "<", 5]}]}),
                "Bottom must be less than top at a.numeric",
            ),
            (
                json!({"a": [{"numeric": [">", 1, ">=", 5]}]}),
                "Too many terms in numeric range expression at a.numeric",
            ),
            (
                json!({"a": [{"numeric": ["<", 5, ">", 1]}]}),
                "Too many terms in numeric range expression at a.numeric",
            ),
            (
                json!({"a": [{"numeric": ["=", 1, "<", 5]}]}),
                "Too many terms in numeric range expression at a.numeric",
            ),
            (
                json!({"a": [{"numeric": [">", 1, "<", 5, "<", 6]}]}),
                "Too many terms in numeric range expression at a.numeric",
            ),
            (
                json!({"a": [{"cidr": 1}]}),
                "cidr match pattern must be a string at a.cidr",
            ),
            (
                json!({"a": [{"cidr": "10.0.0.0"}]}),
                "Malformed CIDR, one '/' required at a.cidr",
            ),
            (
                json!({"a": [{"cidr": "10.0.0/8"}]}),
                "Malformed CIDR, address could not be parsed: 10.0.0 at a.cidr",
            ),
            (
                json!({"a": [{"cidr": "10.0.0.0/33"}]}),
                "Malformed CIDR, mask bits must be at most 32 at a.cidr",
            ),
            (
                json!({"a": [{"cidr": "::/129"}]}),
                "Malformed CIDR, mask bits must be at most 128 at a.cidr",
            ),
            (
                json!({"a": [{"cidr": "10.0.0.0/x"}]}),
                "Malformed CIDR, mask bits must be an integer at a.cidr",
            ),
            (json!({"$or": [{"a": [1]}]}), "Unrecognized match type a at $or.a"),
            (
                json!({"$or": [{"a": [1]}, {"b": 1}]}),
                "\"b\" must be an object or an array at $or.1.b",
            ),
            (
                json!({"$or": [{"a": [1]}, {}]}),
                "Empty objects are not allowed at $or.1",
            ),
        ] {
            assert_eq!(
                Pattern::parse(&pattern).unwrap_err(),
                format!("Event pattern is not valid. Reason: {reason}"),
                "{pattern}"
            );
        }
    }
}
