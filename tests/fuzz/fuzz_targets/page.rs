//! The pages, with an enemy's words wherever anything comes from outside.

#![no_main]

use fuzz::{Hostile, Numbers, Shown, Vote, is_unseen, metrics, model};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use signalbox_model::decision::Decision;
use signalbox_model::page::{self, Page, take_back};

/// The elements that a page is made of.
const ELEMENTS: [&str; 38] = [
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "main",
    "p",
    "h1",
    "h2",
    "section",
    "strong",
    "span",
    "blockquote",
    "ul",
    "li",
    "time",
    "div",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "dl",
    "dt",
    "dd",
    "code",
    "form",
    "label",
    "textarea",
    "button",
    "figure",
    "figcaption",
    "svg",
    "polyline",
    "circle",
    "text",
];
/// Their attributes: none runs a script, loads anything or leads anywhere.
const ATTRIBUTES: [&str; 25] = [
    "lang",
    "charset",
    "name",
    "content",
    "class",
    "datetime",
    "role",
    "aria-labelledby",
    "tabindex",
    "scope",
    "method",
    "for",
    "id",
    "rows",
    "maxlength",
    "type",
    "value",
    "viewBox",
    "x",
    "y",
    "text-anchor",
    "points",
    "cx",
    "cy",
    "r",
];
/// Those whose values are numbers.
const COORDINATES: [&str; 6] = ["points", "cx", "cy", "x", "y", "r"];

#[derive(Debug, Arbitrary)]
struct Input {
    shown: Shown,
    approver: Hostile,
    history: Vec<(u32, Numbers)>,
    votes: Vec<Vote>,
    words: Hostile,
    needed: u32,
}

fuzz_target!(|input: Input| {
    let (Some(model), Some(evidence)) = (model(), input.shown.evidence()) else {
        return;
    };
    let history: Vec<_> = input
        .history
        .iter()
        .map(|(version, numbers)| (*version, metrics(numbers)))
        .collect();
    let votes: Vec<_> = input.votes.iter().map(Vote::decided).collect();
    let words = input.words.as_str();
    is_sound(
        &page::review(&evidence, input.approver.as_str(), &history, &votes),
        1,
        2,
    );
    is_sound(&page::voted(&model, 7, &votes, input.needed), 0, 0);
    is_sound(&page::trouble(words), 0, 0);
    is_sound(&take_back::started(&model, 7, words), 0, 0);
    for vote in &votes {
        is_sound(&page::decided(&model, 7, vote, Some(Decision::Reject)), 0, 0);
    }
});

/// The page is made of the page's own elements, which are closed in their order; it has that many forms and buttons, and no character
/// that hides others.
fn is_sound(page: &Page, forms: usize, buttons: usize) {
    let html = page.html.as_str();
    assert!(!html.chars().any(|c| is_unseen(c) && c != '\n'), "{html:?}");
    // The style is the page's own, and named by its hash.
    let (before, rest) = html.split_once("<style>").unwrap_or_default();
    let (style, after) = rest.split_once("</style>").unwrap_or_default();
    assert!(!style.is_empty() && !style.contains('<'));
    let Some(before) = before.strip_prefix("<!DOCTYPE html>") else {
        panic!("no document: {html}")
    };
    let mut open: Vec<&str> = Vec::new();
    let mut count = [0, 0];
    for part in [before, after] {
        let mut pieces = part.split('<');
        plain(pieces.next().unwrap_or_default());
        for piece in pieces {
            let Some((tag, text)) = piece.split_once('>') else {
                panic!("a bracket that opens no tag: {piece}")
            };
            plain(text);
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "{html}");
                continue;
            }
            let name = tag.split(' ').next().unwrap_or_default();
            assert!(ELEMENTS.contains(&name), "<{tag}>");
            attributes(tag.get(name.len()..).unwrap_or_default());
            if name != "meta" {
                open.push(name);
            }
            count[0] += usize::from(name == "form");
            count[1] += usize::from(name == "button");
        }
    }
    assert!(open.is_empty(), "not closed: {open:?}");
    assert_eq!(count, [forms, buttons]);
}

/// Text and values have no ampersand but an escape's, and no bracket.
fn plain(text: &str) {
    assert!(!text.contains('>'), "{text}");
    for escaped in text.split('&').skip(1) {
        assert!(
            ["amp;", "lt;", "gt;", "quot;"]
                .iter()
                .any(|escape| escaped.starts_with(escape)),
            "&{escaped}"
        );
    }
}

/// ` name="value"`, or a name alone, again and again.
fn attributes(mut rest: &str) {
    while let Some(next) = rest.strip_prefix(' ') {
        let end = next.find(['=', ' ']).unwrap_or(next.len());
        let (name, after) = next.split_at(end);
        assert!(ATTRIBUTES.contains(&name), "the attribute {name}");
        let Some(value) = after.strip_prefix("=\"") else {
            rest = after;
            continue;
        };
        let Some((value, after)) = value.split_once('"') else {
            panic!("a value without an end: {next}")
        };
        plain(value);
        if COORDINATES.contains(&name) {
            let numbers = value.split([',', ' ']).filter(|number| !number.is_empty());
            assert!(numbers.clone().count() > 0);
            for number in numbers {
                assert!(number.parse::<f64>().is_ok_and(f64::is_finite), "{name}={value}");
            }
        }
        rest = after;
    }
    assert_eq!(rest, "", "what follows an attribute");
}
