//! References to variables in an action's configuration: `#{NAMESPACE.NAME}`.

/// What the namespace `codepipeline` has.
pub(super) const EXECUTION: &[&str] = &["PipelineExecutionId", "ExecutionMode"];

/// The references in a text, without `#{` and `}`.
pub(super) fn references(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).filter_map(|piece| match piece {
        Piece::Reference(name) => Some(name),
        Piece::Text(_) => None,
    })
}

/// The text with every reference replaced by its value.
///
/// # Errors
/// The first reference that has no value.
pub(super) fn resolve(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut resolved = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => resolved.push_str(text),
            Piece::Reference(name) => resolved.push_str(&value(name).ok_or_else(|| name.to_owned())?),
        }
    }
    Ok(resolved)
}

enum Piece<'a> {
    Text(&'a str),
    Reference(&'a str),
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    let mut pending = None;
    std::iter::from_fn(move || {
        if let Some(reference) = pending.take() {
            return Some(Piece::Reference(reference));
        }
        if rest.is_empty() {
            return None;
        }
        let found = rest
            .split_once("#{")
            .and_then(|(before, after)| Some((before, after.split_once('}')?)));
        let Some((before, (name, after))) = found else {
            return Some(Piece::Text(std::mem::take(&mut rest)));
        };
        rest = after;
        pending = Some(name);
        Some(Piece::Text(before))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced() {
        let value = |name: &str| match name {
            "Source.CommitId" => Some("abc".to_owned()),
            "variables.Braces" => Some("#{Source.CommitId}".to_owned()),
            _ => None,
        };
        for (text, expected) in [
            ("", Ok("")),
            ("plain {} # text", Ok("plain {} # text")),
            ("#{Source.CommitId}", Ok("abc")),
            (
                r##"{"a": "#{Source.CommitId}", "b": "#{Source.CommitId}"}"##,
                Ok(r#"{"a": "abc", "b": "abc"}"#),
            ),
            // What a variable holds is not looked at again.
            ("<#{variables.Braces}>", Ok("<#{Source.CommitId}>")),
            ("never closed #{Source.CommitId", Ok("never closed #{Source.CommitId")),
            ("#{Source.CommitId} #{Source.None}", Err("Source.None")),
            ("#{}", Err("")),
        ] {
            assert_eq!(
                resolve(text, value),
                expected.map(str::to_owned).map_err(str::to_owned),
                "{text}"
            );
        }
        assert_eq!(references("a #{b.c} d #{e} f").collect::<Vec<_>>(), ["b.c", "e"]);
    }
}
