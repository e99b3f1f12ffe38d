//! The inbox: the mails that would have been sent, and what chat channels would have been told, as pages.

use std::fmt::Write;

use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};

use crate::cloud::ChatPost;
use crate::cloud::effect::Mail;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b;\
                     background:#fff}table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;\
                     padding:.4rem .8rem .4rem 0;border-bottom:1px solid #ddd}pre{font:15px/1.5 ui-monospace,monospace;\
                     white-space:pre-wrap;overflow-wrap:anywhere;background:#f6f6f6;padding:1rem}a{color:#0550ae}\
                     @media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#151515}pre{background:#202020}\
                     th,td{border-color:#444}a{color:#79b8ff}}";

/// The page for what comes after `/inbox`: the list, newest first, the mail of a number, or `chat`.
pub(crate) fn page(mails: &[Mail], posts: &[ChatPost], path: &str, json: bool) -> Response<Bytes> {
    let which = path.trim_matches('/');
    match which {
        "" if json => return as_json(&mails),
        "" => return html(StatusCode::OK, "Inbox", &(chat_link(posts) + &list(mails))),
        "chat" if json => return as_json(&posts),
        "chat" => return html(StatusCode::OK, "Chat", &chat(posts)),
        _ => {}
    }
    match mails.iter().find(|mail| mail.number.to_string() == which) {
        Some(mail) if json => as_json(mail),
        Some(mail) => html(StatusCode::OK, &mail.subject, &one(mail)),
        None => html(
            StatusCode::NOT_FOUND,
            "No such mail",
            "<p><a href=\"/inbox\">Inbox</a></p>",
        ),
    }
}

fn as_json(value: &impl serde::Serialize) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(serde_json::to_vec(value).unwrap_or_default()));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn html(status: StatusCode, title: &str, content: &str) -> Response<Bytes> {
    let title = escape(title);
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n\
         {content}\n</body></html>\n"
    );
    let mut response = Response::new(Bytes::from(page));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
        ),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn list(mails: &[Mail]) -> String {
    if mails.is_empty() {
        return "<p>No mail yet.</p>".to_owned();
    }
    let mut rows = String::new();
    for mail in mails.iter().rev() {
        // Writing to a String can't fail.
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td><a href=\"/inbox/{}\">{}</a></td></tr>",
            escape(&time(mail)),
            escape(&mail.to),
            mail.number,
            escape(if mail.subject.is_empty() {
                "(no subject)"
            } else {
                &mail.subject
            })
        );
    }
    format!("<table><thead><tr><th>Sent</th><th>To</th><th>Subject</th></tr></thead><tbody>\n{rows}</tbody></table>")
}

fn one(mail: &Mail) -> String {
    format!(
        "<p><a href=\"/inbox\">Inbox</a></p>\n<p>To {}, sent {} through {}</p>\n<pre>{}</pre>",
        escape(&mail.to),
        escape(&time(mail)),
        escape(&mail.topic_arn),
        linked(&mail.body)
    )
}

fn chat_link(posts: &[ChatPost]) -> String {
    match posts.len() {
        0 => String::new(),
        1 => "<p><a href=\"/inbox/chat\">1 chat post</a></p>\n".to_owned(),
        count => format!("<p><a href=\"/inbox/chat\">{count} chat posts</a></p>\n"),
    }
}

/// The posts, newest first. Their markdown is shown as it is, but for its links.
fn chat(posts: &[ChatPost]) -> String {
    let mut page = "<p><a href=\"/inbox\">Inbox</a></p>\n".to_owned();
    if posts.is_empty() {
        page.push_str("<p>Nothing was posted yet.</p>");
    }
    for post in posts.iter().rev() {
        let title = post.title.as_deref().unwrap_or("(no title)");
        // Writing to a String can't fail.
        let _ = write!(
            page,
            "<h2>{}</h2>\n<p>To {} ({}), {}</p>\n<pre>{}</pre>\n",
            linked(title),
            escape(&post.configuration),
            escape(&post.platform),
            escape(&shown(post.time)),
            linked(&post.description)
        );
        if !post.next_steps.is_empty() {
            let steps: String = post
                .next_steps
                .iter()
                .map(|step| format!("<li>{}</li>\n", linked(step)))
                .collect();
            let _ = write!(page, "<p>Next steps</p>\n<ul>\n{steps}</ul>\n");
        }
        if !post.keywords.is_empty() {
            let _ = writeln!(page, "<p>Keywords: {}</p>", escape(&post.keywords.join(", ")));
        }
    }
    page
}

fn time(mail: &Mail) -> String {
    shown(mail.time)
}

fn shown(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// The text, escaped, with its web addresses as links.
fn linked(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = [rest.find("http://"), rest.find("https://")]
        .into_iter()
        .flatten()
        .min()
    {
        let (before, from) = rest.split_at(at);
        let end = from
            .find(|c: char| c.is_whitespace() || "<>\"'`|".contains(c))
            .unwrap_or(from.len());
        let (address, _) = from.split_at(end);
        // What ends the sentence is none of the address.
        let address = address.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']']);
        result.push_str(&escape(before));
        let escaped = escape(address);
        let _ = write!(
            result,
            "<a href=\"{escaped}\" rel=\"noopener noreferrer\">{escaped}</a>"
        );
        rest = from.get(address.len()..).unwrap_or_default();
    }
    result.push_str(&escape(rest));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(number: usize, subject: &str, body: &str) -> Mail {
        Mail {
            number,
            time: "2026-01-02T03:04:05Z".parse().unwrap(),
            to: "a@example.com".to_owned(),
            subject: subject.to_owned(),
            body: body.to_owned(),
            topic_arn: "arn:aws:sns:t".to_owned(),
        }
    }

    fn text(response: &Response<Bytes>) -> String {
        String::from_utf8(response.body().to_vec()).unwrap()
    }

    #[test]
    fn addresses_become_links_and_everything_is_escaped() {
        let link = |address: &str| format!("<a href=\"{address}\" rel=\"noopener noreferrer\">{address}</a>");
        for (body, expected) in [
            ("a < b & c", "a &lt; b &amp; c".to_owned()),
            (
                "see http://x/?a=1&b=2.",
                format!("see {}.", link("http://x/?a=1&amp;b=2")),
            ),
            (
                "(https://x)\nhttp://y",
                format!("({})\n{}", link("https://x"), link("http://y")),
            ),
            (
                "http://x\"onmouseover=\"e",
                format!("{}&quot;onmouseover=&quot;e", link("http://x")),
            ),
            ("http://x<script>", format!("{}&lt;script&gt;", link("http://x"))),
            ("javascript:alert(1)", "javascript:alert(1)".to_owned()),
            ("http://", link("http://")),
            // As Slack writes one.
            (
                "<https://x|the page>",
                format!("&lt;{}|the page&gt;", link("https://x")),
            ),
        ] {
            assert_eq!(linked(body), expected, "{body}");
        }
    }

    #[test]
    fn pages() {
        let mails = [mail(1, "First", "one"), mail(2, "<b>Second</b>", "two http://x")];
        let list = text(&page(&mails, &[], "", false));
        assert!(
            list.find("Second").unwrap() < list.find("First").unwrap(),
            "newest first"
        );
        assert!(!list.contains("<b>") && list.contains("2026-01-02 03:04:05 UTC"));
        let json: serde_json::Value = serde_json::from_slice(page(&mails, &[], "/", true).body()).unwrap();
        assert_eq!(json[1]["number"], 2);
        let one = page(&mails, &[], "/2", false);
        assert!(text(&one).contains("<a href=\"http://x\""));
        assert!(
            one.headers()[CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap()
                .starts_with("default-src 'none'")
        );
        assert_eq!(page(&mails, &[], "/3", false).status(), 404);
        assert_eq!(page(&mails, &[], "/../x", false).status(), 404);
        assert!(text(&page(&[], &[], "", false)).contains("No mail yet"));
    }

    #[test]
    fn chat_posts_are_shown_in_full_and_escaped() {
        let post = |number: usize, title: Option<&str>| ChatPost {
            number,
            time: "2026-01-02T03:04:05Z".parse().unwrap(),
            configuration: "<team>".to_owned(),
            platform: "Slack".to_owned(),
            topic_arn: "arn:aws:sns:t".to_owned(),
            title: title.map(str::to_owned),
            description: "*v3* <script>alert(1)</script> <https://x/3|serves>".to_owned(),
            next_steps: vec!["Look at http://y".to_owned(), "<b>".to_owned()],
            keywords: vec!["release".to_owned(), "\"".to_owned()],
            thread_id: None,
        };
        let posts = [post(1, None), post(2, Some("Released & <i>served</i>"))];
        let page_of = |path: &str, json: bool| page(&[], &posts, path, json);
        assert!(text(&page_of("", false)).contains("<a href=\"/inbox/chat\">2 chat posts</a>"));
        let json: serde_json::Value = serde_json::from_slice(page_of("/chat", true).body()).unwrap();
        assert_eq!(json[1]["title"], "Released & <i>served</i>");
        let shown = text(&page_of("chat", false));
        let shown = shown
            .split_once("</h1>")
            .unwrap()
            .1
            .split_once("\n</body>")
            .unwrap()
            .0
            .trim();
        insta::assert_snapshot!(shown, @r#"
        <p><a href="/inbox">Inbox</a></p>
        <h2>Released &amp; &lt;i&gt;served&lt;/i&gt;</h2>
        <p>To &lt;team&gt; (Slack), 2026-01-02 03:04:05 UTC</p>
        <pre>*v3* &lt;script&gt;alert(1)&lt;/script&gt; &lt;<a href="https://x/3" rel="noopener noreferrer">https://x/3</a>|serves&gt;</pre>
        <p>Next steps</p>
        <ul>
        <li>Look at <a href="http://y" rel="noopener noreferrer">http://y</a></li>
        <li>&lt;b&gt;</li>
        </ul>
        <p>Keywords: release, &quot;</p>
        <h2>(no title)</h2>
        <p>To &lt;team&gt; (Slack), 2026-01-02 03:04:05 UTC</p>
        <pre>*v3* &lt;script&gt;alert(1)&lt;/script&gt; &lt;<a href="https://x/3" rel="noopener noreferrer">https://x/3</a>|serves&gt;</pre>
        <p>Next steps</p>
        <ul>
        <li>Look at <a href="http://y" rel="noopener noreferrer">http://y</a></li>
        <li>&lt;b&gt;</li>
        </ul>
        <p>Keywords: release, &quot;</p>
        "#);
    }
}
