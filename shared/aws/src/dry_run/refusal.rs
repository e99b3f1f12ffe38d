//! Whether an answer is a refusal for want of a permission.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;

/// What services call it.
const CODES: [&str; 4] = [
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "AuthorizationErrorException",
];

/// Whether the service refuses. The body of an error is read for that, and put back.
pub(super) async fn is_one(answer: &mut HttpResponse) -> Result<bool, ConnectorError> {
    let status = answer.status();
    if status.as_u16() == 403 {
        return Ok(true);
    }
    // JSON services refuse with 400 and say why in the body.
    if !status.is_client_error() {
        return Ok(false);
    }
    let body = ByteStream::new(std::mem::replace(answer.body_mut(), SdkBody::taken()));
    let body = body.collect().await;
    let body = body.map_err(|error| ConnectorError::io(error.into()))?.into_bytes();
    let refused = code(&body).is_some_and(|code| CODES.contains(&code.as_str()));
    *answer.body_mut() = SdkBody::from(body);
    Ok(refused)
}

/// The error's code: `__type` in JSON and CBOR, `Code` in XML. A shape's namespace before a `#` is no part of it.
fn code(body: &[u8]) -> Option<String> {
    let code = if let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) {
        json.get("__type")?.as_str()?.to_owned()
    } else if let Some(xml) = std::str::from_utf8(body).ok().filter(|body| body.contains("<Code>")) {
        let (_, rest) = xml.split_once("<Code>")?;
        rest.split_once("</Code>")?.0.to_owned()
    } else {
        cbor_text_after(b"__type", body)?
    };
    Some(code.rsplit_once('#').map_or(code.clone(), |(_, code)| code.to_owned()))
}

/// The text that follows a key in a map of CBOR (RFC 8949, major type 3).
fn cbor_text_after(key: &[u8], body: &[u8]) -> Option<String> {
    let start = body.windows(key.len()).position(|window| window == key)? + key.len();
    let (head, rest) = body.get(start..)?.split_first()?;
    let (bytes_of_length, short) = match head {
        0x60..=0x77 => (0, usize::from(head - 0x60)),
        0x78..=0x7b => (1 << (head - 0x78), 0),
        _ => return None,
    };
    let (length, text) = rest.split_at_checked(bytes_of_length)?;
    let length = length
        .iter()
        .fold(short, |length, byte| length << 8 | usize::from(*byte));
    Some(std::str::from_utf8(text.get(..length)?).ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::code;

    /// A text in CBOR, with its length in as many bytes.
    fn cbor(text: &str, bytes_of_length: usize) -> Vec<u8> {
        let length = (text.len() as u64).to_be_bytes();
        let head = match bytes_of_length {
            0 => vec![0x60 + length[7]],
            1 => vec![0x78],
            2 => vec![0x79],
            4 => vec![0x7a],
            _ => vec![0x7b],
        };
        [&head, &length[8 - bytes_of_length..], text.as_bytes()].concat()
    }

    proptest! {
        /// A body is the service's, and may be anything.
        #[test]
        fn any_body_is_looked_at(body in any::<Vec<u8>>(), key in "(__type|<Code>)?", rest in any::<Vec<u8>>()) {
            let body = [&body, key.as_bytes(), &rest].concat();
            prop_assert!(code(&body).is_none_or(|code| code.len() <= body.len() * 3));
        }

        #[test]
        fn a_code_is_read_in_every_protocol(name in "[A-Za-z]{1,300}", of in "([a-z.]{1,20}#)?", wide in prop::sample::select(vec![2_usize, 4, 8])) {
            let whole = format!("{of}{name}");
            let json = serde_json::json!({"__type": whole, "message": "no"}).to_string();
            let xml = format!("<Error><Code>{whole}</Code><Message>no</Message></Error>");
            let map = |bytes_of_length| [&[0xbf], cbor("__type", 0).as_slice(), &cbor(&whole, bytes_of_length), &[0xff]].concat();
            let short = if whole.len() < 24 { 0 } else { wide };
            for body in [json.into_bytes(), xml.into_bytes(), map(wide), map(short)] {
                prop_assert_eq!(code(&body), Some(name.clone()));
            }
        }
    }
}
