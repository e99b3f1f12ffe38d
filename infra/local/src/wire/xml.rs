//! Writing XML.

/// An XML document in the making.
pub(crate) struct Xml(String);

impl Xml {
    /// A document with its declaration.
    pub(crate) fn new() -> Self {
        Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned())
    }

    /// Opens an element; `namespace` may be empty.
    pub(crate) fn open(&mut self, name: &str, namespace: &str) {
        self.0.push('<');
        self.0.push_str(name);
        if !namespace.is_empty() {
            self.0.push_str(" xmlns=\"");
            self.escaped(namespace);
            self.0.push('"');
        }
        self.0.push('>');
    }

    /// Closes it.
    pub(crate) fn close(&mut self, name: &str) {
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }

    /// An element with a text.
    pub(crate) fn element(&mut self, name: &str, text: &str) {
        self.open(name, "");
        self.escaped(text);
        self.close(name);
    }

    /// A text, with what XML has other uses for written as references. Control characters too: a parser would turn a bare
    /// carriage return into a line feed, and S3's keys may contain any.
    pub(crate) fn escaped(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\n' | '\t' => self.0.push(character),
                character if character.is_control() => self.0.push_str(&format!("&#x{:x};", u32::from(character))),
                character => self.0.push(character),
            }
        }
    }

    /// The document.
    pub(crate) fn finish(self) -> String {
        self.0
    }
}
