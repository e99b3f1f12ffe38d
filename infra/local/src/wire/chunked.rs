//! `aws-chunked`: how the SDKs send a body whose checksum or signatures follow it.

/// A body with what came after it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// The content.
    pub(crate) content: Vec<u8>,
    /// The trailing headers, with small names.
    pub(crate) trailers: Vec<(String, String)>,
}

/// Reads `SIZE[;extensions]\r\nDATA\r\n … 0\r\n[trailers]\r\n`. An error says what is malformed.
pub(crate) fn decode(mut rest: &[u8]) -> Result<Decoded, String> {
    let mut content = Vec::with_capacity(rest.len());
    loop {
        let line = take_line(&mut rest).ok_or("a chunk's head is missing")?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| format!("{size:?} is not a chunk's size"))?;
        if size == 0 {
            break;
        }
        let (data, after) = rest.split_at_checked(size).ok_or("a chunk ends early")?;
        content.extend_from_slice(data);
        rest = after.strip_prefix(b"\r\n").ok_or("a chunk is longer than its size")?;
    }
    let mut trailers = Vec::new();
    // The last line may lack its end, and the empty line after the trailers may be missing.
    while !rest.is_empty() {
        let line =
            take_line(&mut rest).unwrap_or_else(|| String::from_utf8_lossy(std::mem::take(&mut rest)).into_owned());
        if line.is_empty() {
            break;
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("{line:?} is not a trailing header"))?;
        trailers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Decoded { content, trailers })
}

fn take_line(rest: &mut &[u8]) -> Option<String> {
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, after) = rest.split_at_checked(end)?;
    *rest = after.get(2..)?;
    Some(String::from_utf8_lossy(line).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_put_together() {
        for (body, content, trailers) in [
            ("5\r\nhello\r\n0\r\n\r\n", "hello", vec![]),
            (
                "5;chunk-signature=ab\r\nhello\r\nA;chunk-signature=cd\r\n, \r\nworld!\r\n0;chunk-signature=ef\r\n\r\n",
                "hello, \r\nworld!",
                vec![],
            ),
            (
                "b\r\nHello world\r\n0\r\nx-amz-checksum-crc32:i9aeUg==\r\n\r\n",
                "Hello world",
                vec![("x-amz-checksum-crc32".to_owned(), "i9aeUg==".to_owned())],
            ),
            (
                "0\r\nX-Amz-Checksum-Crc32: AAAAAA==",
                "",
                vec![("x-amz-checksum-crc32".to_owned(), "AAAAAA==".to_owned())],
            ),
        ] {
            let content = content.as_bytes().to_vec();
            assert_eq!(decode(body.as_bytes()), Ok(Decoded { content, trailers }), "{body:?}");
        }
    }

    #[test]
    fn malformed_bodies_are_errors() {
        for body in [
            "",
            "5",
            "5\r\nhell",
            "5\r\nhello",
            "5\r\nhello!\r\n0\r\n\r\n",
            "x\r\n\r\n",
            "ffffffffffffffff\r\n",
            "-1\r\n\r\n",
            "0\r\nnothing\r\n",
        ] {
            assert!(decode(body.as_bytes()).is_err(), "{body:?}");
        }
    }
}
