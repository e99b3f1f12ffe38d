//! CBOR (RFC 8949) as Smithy's RPC v2 protocol uses it: a timestamp is tag 1 around a number, a blob a byte string.
//!
//! In the values between, timestamps are numbers and blobs base64 strings, as in the JSON protocols; so reading needs no model, and
//! writing does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use crate::shapes::{Kind, Model, ShapeId, member};

/// How deep a value may nest.
const DEPTH: usize = 128;

/// Reads one value, to the end of the bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value, String> {
    let mut reader = Reader { rest: bytes };
    let value = reader.value(0)?;
    if reader.rest.is_empty() {
        Ok(value)
    } else {
        Err("bytes after the CBOR value".to_owned())
    }
}

/// The head of an item.
struct Head {
    major: u8,
    /// The low five bits: where they are 24 to 27, `argument` was read after the head.
    low: u8,
    /// None for an indefinite length.
    argument: Option<u64>,
}

struct Reader<'a> {
    rest: &'a [u8],
}

const BREAK: u8 = 0xff;

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], String> {
        let split = usize::try_from(count)
            .ok()
            .and_then(|count| self.rest.split_at_checked(count));
        let (taken, rest) = split.ok_or("the CBOR value ends early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn head(&mut self) -> Result<Head, String> {
        let first = self.take(1)?.first().copied().unwrap_or_default();
        let (major, low) = (first >> 5, first & 0x1f);
        let argument = match low {
            0..=23 => Some(u64::from(low)),
            24..=27 => {
                let bytes = self.take(1 << (low - 24))?;
                Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
            }
            31 => None,
            _ => return Err(format!("the CBOR head {first:#04x} is reserved")),
        };
        Ok(Head { major, low, argument })
    }

    /// Whether the break of an indefinite length comes next; if so it is taken.
    fn at_break(&mut self) -> bool {
        match self.rest.split_first() {
            Some((&BREAK, rest)) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEPTH {
            return Err(format!("the CBOR value nests deeper than {DEPTH} levels"));
        }
        let head = self.head()?;
        match (head.major, head.argument) {
            (0, Some(number)) => Ok(number.into()),
            (1, Some(number)) => {
                // -1 - number
                let value =
                    i64::try_from(number).map_or_else(|_| float(-1.0 - number as f64), |number| Value::from(!number));
                Ok(value)
            }
            (2, _) => Ok(Value::String(STANDARD.encode(self.bytes(&head)?))),
            (3, _) => self.text(&head).map(Value::String),
            (4, length) => {
                // No capacity by what the length claims: nothing says that it is true.
                let mut values = Vec::new();
                while length.map_or_else(|| !self.at_break(), |length| (values.len() as u64) < length) {
                    values.push(self.value(depth + 1)?);
                }
                Ok(Value::Array(values))
            }
            (5, length) => {
                let mut members = Map::new();
                let mut read = 0;
                while length.map_or_else(|| !self.at_break(), |length| read < length) {
                    let head = self.head()?;
                    if head.major != 3 {
                        return Err("a key of a CBOR map is not a text".to_owned());
                    }
                    let name = self.text(&head)?;
                    members.insert(name, self.value(depth + 1)?);
                    read += 1;
                }
                Ok(Value::Object(members))
            }
            (6, Some(1)) => match self.value(depth + 1)? {
                Value::Number(number) => Ok(Value::Number(number)),
                _ => Err("a CBOR timestamp is not a number".to_owned()),
            },
            (6, Some(tag)) => Err(format!("the CBOR tag {tag} has no place in a call")),
            (7, Some(argument)) => match head.low {
                20 => Ok(Value::Bool(false)),
                21 => Ok(Value::Bool(true)),
                22 | 23 => Ok(Value::Null),
                25 => Ok(float(half(argument as u16))),
                26 => Ok(float(f64::from(f32::from_bits(argument as u32)))),
                27 => Ok(float(f64::from_bits(argument))),
                _ => Err(format!("the CBOR simple value {argument} has no place in a call")),
            },
            _ => Err("an indefinite length where CBOR has none".to_owned()),
        }
    }

    /// The content of a byte or text string, put together where it comes in pieces.
    fn bytes(&mut self, head: &Head) -> Result<Vec<u8>, String> {
        if let Some(length) = head.argument {
            return Ok(self.take(length)?.to_vec());
        }
        let mut whole = Vec::new();
        while !self.at_break() {
            let piece = self.head()?;
            match piece.argument {
                Some(length) if piece.major == head.major => whole.extend_from_slice(self.take(length)?),
                _ => return Err("a piece of a CBOR string is not a string of its kind".to_owned()),
            }
        }
        Ok(whole)
    }

    fn text(&mut self, head: &Head) -> Result<String, String> {
        String::from_utf8(self.bytes(head)?).map_err(|_| "a CBOR text is not UTF-8".to_owned())
    }
}

/// A float as the JSON protocols write it, which have names for what JSON lacks.
fn float(number: f64) -> Value {
    match Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => "NaN".into(),
        None if number > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

/// A half-precision float.
fn half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    }
}

/// Writes an output of that shape.
pub(crate) fn encode(model: &Model, shape: ShapeId, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, Some((model, shape)), value);
    out
}

/// Writes a value that no shape describes: an error.
pub(crate) fn encode_plain(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, None, value);
    out
}

fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    let (low, length) = match argument {
        0..=23 => (argument as u8, 0),
        24..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    out.push(major | low);
    out.extend_from_slice(bytes.get(8 - length..).unwrap_or_default());
}

fn text(out: &mut Vec<u8>, text: &str) {
    head(out, 3, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn double(out: &mut Vec<u8>, number: f64) {
    out.push(0xfb);
    out.extend_from_slice(&number.to_bits().to_be_bytes());
}

fn write(out: &mut Vec<u8>, shape: Option<(&Model, ShapeId)>, value: &Value) {
    let kind = shape.and_then(|(model, id)| model.shape(id)).map(|shape| &shape.kind);
    let of = |id: ShapeId| shape.map(|(model, _)| (model, id));
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(false) => out.push(0xf4),
        Value::Bool(true) => out.push(0xf5),
        Value::Number(number) => {
            if matches!(kind, Some(Kind::Timestamp)) {
                out.push(0xc1);
            }
            match (kind, number.as_u64(), number.as_i64()) {
                (Some(Kind::Float), ..) | (_, None, None) => double(out, number.as_f64().unwrap_or(f64::NAN)),
                (_, Some(number), _) => head(out, 0, number),
                (_, None, Some(number)) => head(out, 1, !number as u64),
            }
        }
        Value::String(string) => match (kind, STANDARD.decode(string)) {
            (Some(Kind::Blob), Ok(bytes)) => {
                head(out, 2, bytes.len() as u64);
                out.extend_from_slice(&bytes);
            }
            (Some(Kind::Float), _) => double(out, string.parse().unwrap_or(f64::NAN)),
            _ => text(out, string),
        },
        Value::Array(values) => {
            head(out, 4, values.len() as u64);
            let part = match kind {
                Some(Kind::List(part)) => of(part.shape),
                _ => None,
            };
            for value in values {
                write(out, part, value);
            }
        }
        Value::Object(members) => {
            // A member without a value is left out, as a client that is strict about types wants it.
            let given = || members.iter().filter(|(_, value)| !value.is_null());
            head(out, 5, given().count() as u64);
            for (name, value) in given() {
                let part = match kind {
                    Some(Kind::Structure { members, .. }) => member(members, name).and_then(|part| of(part.shape)),
                    Some(Kind::Map(_, part)) => of(part.shape),
                    _ => None,
                };
                text(out, name);
                write(out, part, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cloud::Service;
    use crate::shapes::model;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn values_are_read() {
        // Most are examples of RFC 8949, appendix A.
        for (hex, expected) in [
            ("00", json!(0)),
            ("17", json!(23)),
            ("1818", json!(24)),
            ("1903e8", json!(1000)),
            ("1a000f4240", json!(1_000_000)),
            ("1bffffffffffffffff", json!(u64::MAX)),
            ("20", json!(-1)),
            ("3903e7", json!(-1000)),
            ("3b7fffffffffffffff", json!(i64::MIN)),
            ("f90000", json!(0.0)),
            ("f93c00", json!(1.0)),
            ("f97bff", json!(65504.0)),
            ("f90001", json!(5.960464477539063e-8)),
            ("f9c400", json!(-4.0)),
            ("f97c00", json!("Infinity")),
            ("f97e00", json!("NaN")),
            ("fa47c35000", json!(100_000.0)),
            ("fb3ff199999999999a", json!(1.1)),
            ("f4", json!(false)),
            ("f6", json!(null)),
            ("c11a514b67b0", json!(1_363_896_240)),
            ("c1fb41d452d9ec200000", json!(1_363_896_240.5)),
            ("4401020304", json!("AQIDBA==")),
            ("5f42010243030405ff", json!("AQIDBAU=")),
            ("62c3bc", json!("ü")),
            ("7f657374726561646d696e67ff", json!("streaming")),
            ("83010203", json!([1, 2, 3])),
            ("9f018202039f0405ffff", json!([1, [2, 3], [4, 5]])),
            ("a26161016162820203", json!({"a": 1, "b": [2, 3]})),
            ("bf6346756ef563416d7421ff", json!({"Fun": true, "Amt": -2})),
        ] {
            assert_eq!(decode(&bytes(hex)), Ok(expected), "{hex}");
        }
    }

    #[test]
    fn hostile_bytes_are_errors() {
        for hex in [
            "",
            "18",
            "1b00",
            "61",
            "62ff",
            "9f01",
            "9bffffffffffffffff00",
            "5bffffffffffffffff",
            "a10102",
            "bf61",
            "ff",
            "1c",
            "c161",
            "c000",
            "5f6161ff",
            "f8ff",
            "0000",
            "61ff",
            "1f",
            "dfff",
        ] {
            assert!(decode(&bytes(hex)).is_err(), "{hex}");
        }
        assert!(decode(&vec![0x81; 1_000_000]).is_err());
        assert!(decode(&vec![0x9f; 1_000_000]).is_err());
        assert!(decode(&vec![0xc1; 1_000_000]).is_err());
    }

    #[test]
    fn an_output_is_written_by_its_shape() {
        let kms = model(Service::Kms).unwrap();
        let mac = kms.operation("GenerateMac").unwrap().output.unwrap();
        assert_eq!(
            encode(kms, mac, &json!({"Mac": "AQI=", "KeyId": null})),
            bytes("a1 634d6163 420102")
        );
        let cloudwatch = model(Service::CloudWatch).unwrap();
        let statistics = cloudwatch.operation("GetMetricStatistics").unwrap().output.unwrap();
        let output = json!({"Datapoints": [{"Sum": 3, "Timestamp": 10}, {"Sum": "NaN", "Timestamp": 10.5}]});
        let written = encode(cloudwatch, statistics, &output);
        let point = |sum: &str, time: &str| format!("a2 6353756d {sum} 6954696d657374616d70 {time}");
        let expected = format!(
            "a1 6a44617461706f696e7473 82 {} {}",
            point("fb4008000000000000", "c10a"),
            point("fb7ff8000000000000", "c1fb4025000000000000")
        );
        assert_eq!(written, bytes(&expected));
        assert_eq!(
            decode(&written).unwrap()["Datapoints"][0],
            json!({"Sum": 3.0, "Timestamp": 10})
        );
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_again(text in ".{0,300}", number: i64, large: u64, real in -1e300..1e300f64) {
            let value = json!({"text": text, "list": [number, large, real, true, {"empty": {}}]});
            proptest::prop_assert_eq!(decode(&encode_plain(&value)), Ok(value));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
