//! A notice for a chat channel: what the chat service of AWS (Amazon Q Developer in chat applications, which was AWS Chatbot) makes a
//! message of in Slack or Teams.
//!
//! It takes a schema of its own, and drops anything else without a word:
//! <https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html>. A channel has more readers than a mail, so what is for
//! its recipients alone is left out; and it gives a meaning to what in a mail is text, so each of those characters is defused: nobody
//! who can write a commit can call a whole channel or hide an address behind a word.

use serde_json::{Value, json};

use super::{BODY_BYTES_MAX, Notice};

/// The longest title, in characters: Slack's for a header.
/// See <https://docs.slack.dev/reference/block-kit/blocks/header-block>.
pub const TITLE_CHARS_MAX: usize = 150;
/// The longest description, in characters: Slack's for a section. AWS documents none, and Teams takes more.
/// See <https://docs.slack.dev/reference/block-kit/blocks/section-block>.
pub const DESCRIPTION_CHARS_MAX: usize = 3_000;
/// What stands at the end of a description that was cut.
const CUT: &str = "\n… the mail has the rest.";

/// The notice in the chat service's schema.
#[must_use]
pub fn message(notice: &Notice) -> Value {
    // A channel shows by itself who speaks.
    let subject = notice.subject();
    let title = bounded(
        &defused(subject.strip_prefix("[signalbox] ").unwrap_or(subject)),
        TITLE_CHARS_MAX,
        "…",
    );
    let body = notice.shared().lines().filter(|line| !is_signed(line));
    let body: Vec<_> = body.map(defused).collect();
    let mut description = bounded(body.join("\n").trim(), DESCRIPTION_CHARS_MAX, CUT);
    if description.is_empty() {
        // The schema wants one.
        description.clone_from(&title);
    }
    let mut message = json!({
        "version": "1.0",
        "source": "custom",
        "content": {"textType": "client-markdown", "title": title, "description": description},
    });
    if let (Some(thread), Some(members)) = (notice.thread(), message.as_object_mut()) {
        // What has one thread is shown as one.
        members.insert("metadata".to_owned(), json!({"threadId": thread, "summary": title}));
    }
    message
}

/// One message for SNS that is both: the text, which those who have subscribed by mail get, and the chat service's, which subscribes by
/// HTTPS. Together they are at most what SNS takes.
/// See <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>, `MessageStructure`.
#[must_use]
pub fn with_chat(notice: &Notice) -> String {
    let chat = message(notice).to_string();
    let mut body = notice.body();
    loop {
        let both = json!({"default": body, "email": body, "https": chat}).to_string();
        if both.len() <= BODY_BYTES_MAX || body.is_empty() {
            return both;
        }
        let half = body.floor_char_boundary(body.len() / 2);
        body = body.get(..half).unwrap_or_default();
    }
}

/// Whether a line has a link that is signed for whoever gets it, by its claims and its MAC.
fn is_signed(line: &str) -> bool {
    ["?c=", "?u=", "&m="].iter().any(|part| line.contains(part))
}

/// A line without anything that a chat gives a meaning to: mentions (`<!channel>`, `<@U1>`, `@channel`), addresses behind words
/// (`<http://…|text>`, `[text](http://…)`), emphasis, code, quotes, headings. Our own links, which stand on lines of their own, are shown
/// as they are. A `:tada:` becomes its picture, which calls nobody and hides nothing.
fn defused(line: &str) -> String {
    if is_link(line) {
        return line.to_owned();
    }
    let mut defused = String::with_capacity(line.len());
    let mut before = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        match c {
            // Within a name nothing is emphasised, and names are copied.
            '_' if inside(before) && inside(chars.peek().copied()) => defused.push('_'),
            // Slack reads an angle bracket as markup only as itself. These look like it.
            '<' => defused.push('‹'),
            '>' => defused.push('›'),
            '&' => defused.push('＆'),
            '*' => defused.push('∗'),
            '_' => defused.push('ˍ'),
            '~' => defused.push('∼'),
            '`' => defused.push('ˋ'),
            '[' => defused.push('［'),
            ']' => defused.push('］'),
            '|' => defused.push('¦'),
            '\\' => defused.push('＼'),
            '#' => defused.push('＃'),
            // A mention is an at sign before a word, and a mail address has one too.
            '@' => defused.push_str("@\u{2060}"),
            c if c.is_control() => defused.push(' '),
            c => defused.push(c),
        }
        before = Some(c);
    }
    defused
}

/// Whether a line is an address alone, which a mail of ours puts there: what is from outside has its addresses broken. Of
/// characters that a chat leaves alone, and none that it might read as the end of the address and the begin of something else.
fn is_link(line: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#=&%+,$".contains(c);
    line.strip_prefix("https://").is_some_and(|rest| rest.chars().all(fits))
}

fn bounded(text: &str, chars_max: usize, end: &str) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept = chars_max.saturating_sub(end.chars().count());
    text.chars().take(kept).chain(end.chars()).collect()
}

#[cfg(test)]
mod tests;
