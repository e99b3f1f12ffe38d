//! A mail's body in the making.

use super::COLUMNS;
use crate::evidence::{Champion, Direction, Row, number, one_line, signed};
use crate::notice::Notice;

/// How many metrics a mail lists.
pub(super) const ROWS_MAX: usize = 40;
/// How many characters of a text from outside a mail shows.
const TEXT_CHARS_MAX: usize = 600;
/// How many lines of a text from outside a mail shows.
const LINES_MAX: usize = 12;
/// The widest metric name that has its numbers on the same line.
const NAME_COLUMNS: usize = 18;
/// The columns of a number.
const NUMBER_COLUMNS: usize = 9;

/// A text from outside: one line, bounded, and without an address that a mail program would make a link of.
pub(super) fn plain(text: &str) -> String {
    let text = one_line(text, TEXT_CHARS_MAX);
    // Nothing opens `s3://`, and people copy such addresses.
    let mut text = text.replace("://", "[:]//").replace("s3[:]//", "s3://");
    // In letters of any size: mail programs make links of all of them.
    for (at, _) in text.to_ascii_lowercase().rmatch_indices("www.") {
        text.insert(at + 4, ']');
        text.insert(at + 3, '[');
    }
    text
}

/// A body in the making.
#[derive(Clone)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn new() -> Self {
        Self(String::new())
    }

    pub(super) fn blank(&mut self) {
        if !self.0.is_empty() && !self.0.ends_with("\n\n") {
            self.0.push('\n');
        }
    }

    /// A line of our own words, wrapped.
    pub(super) fn line(&mut self, words: &str) {
        self.wrapped(words, "", "");
    }

    pub(super) fn paragraph(&mut self, words: &str) {
        self.line(words);
        self.blank();
    }

    pub(super) fn heading(&mut self, words: &str) {
        self.blank();
        self.line(&words.to_uppercase());
    }

    pub(super) fn bullet(&mut self, words: &str) {
        self.wrapped(words, "- ", "  ");
    }

    /// `name: value`, where the value comes from outside.
    pub(super) fn item(&mut self, name: &str, value: &str) {
        self.wrapped(&format!("{}: {}", plain(name), plain(value)), "", "  ");
    }

    pub(super) fn optional(&mut self, name: &str, value: &str) {
        if !value.trim().is_empty() {
            self.item(name, value);
        }
    }

    /// A text from outside that keeps its lines, each set in so that none passes for a heading of ours.
    pub(super) fn quote(&mut self, name: &str, text: &str) {
        let lines: Vec<_> = text
            .lines()
            .map(plain)
            .filter(|line| !line.is_empty())
            .take(LINES_MAX)
            .collect();
        match lines.as_slice() {
            [] => {}
            [line] if name.len() + 2 + line.chars().count() <= COLUMNS => self.item(name, line),
            lines => {
                self.line(&format!("{name}:"));
                for line in lines {
                    self.wrapped(line, "  ", "  ");
                }
            }
        }
    }

    /// A line that is not broken.
    pub(super) fn link(&mut self, link: &str) {
        if !self.0.ends_with(":\n") {
            self.blank();
        }
        self.0.push_str(link);
        self.0.push_str("\n\n");
    }

    pub(super) fn metrics(&mut self, version: u32, rows: &[Row], champion: Option<&Champion>) {
        self.heading("Metrics");
        match champion {
            Some(champion) => {
                self.line(&format!("v{version} against v{}, which serves now:", champion.version));
            }
            None => self.line("No version serves now, so there is nothing to compare with."),
        }
        let shown: Vec<_> = rows.iter().take(ROWS_MAX).map(|row| (plain(&row.name), row)).collect();
        let width = shown
            .iter()
            .map(|(name, _)| name.chars().count())
            .filter(|width| *width <= NAME_COLUMNS);
        let width = width.max().unwrap_or_default();
        for (name, row) in shown {
            let mut cells = row.value.map_or_else(|| "none".to_owned(), number);
            if let Some(champion) = champion {
                let theirs = row.champion.map_or_else(|| "none".to_owned(), number);
                cells = format!(
                    "{cells:>NUMBER_COLUMNS$}  v{} {theirs:>NUMBER_COLUMNS$}",
                    champion.version
                );
                if let Some(difference) = row.difference.filter(|_| row.direction != Direction::Same) {
                    cells.push_str(&format!(
                        "  {:>NUMBER_COLUMNS$} {}",
                        signed(difference),
                        row.direction.as_str()
                    ));
                } else if row.direction == Direction::Same {
                    cells.push_str(&format!("  {:>NUMBER_COLUMNS$}", "same"));
                }
            }
            if name.chars().count() <= width && width + 2 + cells.chars().count() <= COLUMNS {
                self.0.push_str(&format!("{name:width$}  {cells}\n"));
            } else {
                // A long name has a line of its own, rather than being cut to something that another may be cut to as well.
                self.wrapped(&name, "", "  ");
                self.0.push_str(&format!("  {cells}\n"));
            }
        }
        if rows.len() > ROWS_MAX {
            self.line(&format!("and {} more.", rows.len() - ROWS_MAX));
        }
    }

    /// Words in lines of at most [`COLUMNS`] characters. A word that is longer than a line is broken.
    fn wrapped(&mut self, words: &str, first: &str, rest: &str) {
        let (mut line, mut used, mut empty) = (first.to_owned(), first.chars().count(), true);
        for word in words.split_whitespace() {
            let length = word.chars().count();
            if !empty && used + 1 + length > COLUMNS {
                self.0.push_str(line.trim_end());
                self.0.push('\n');
                (line, used, empty) = (rest.to_owned(), rest.chars().count(), true);
            }
            if !empty {
                line.push(' ');
                used += 1;
            }
            for c in word.chars() {
                if used == COLUMNS {
                    self.0.push_str(&line);
                    self.0.push('\n');
                    (line, used) = (rest.to_owned(), rest.chars().count());
                }
                line.push(c);
                used += 1;
            }
            empty = false;
        }
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }

    pub(super) fn body(&self) -> String {
        format!("{}\n", self.0.trim_end())
    }

    pub(super) fn notice(self, subject: &str) -> Notice {
        Notice::new(subject, self.body())
    }
}
