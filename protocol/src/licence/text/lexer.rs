//! Text to tokens, each with its place.

use super::{Place, TextError};

/// A piece of a licence file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind<'t>,
    pub(super) place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind<'t> {
    /// Characters up to the next space or sign.
    Word(&'t str),
    /// A quoted text, its escapes undone and its spaces made single.
    Text(String),
    Equals,
    Comma,
    Open,
    Close,
    /// A quoted text that is none.
    Bad(TextError),
}

#[derive(Clone, Debug)]
pub(super) struct Lexer<'t> {
    text: &'t str,
    offset: usize,
    line: u32,
    column: u32,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let mut lexer = Self { text, offset: 0, line: 1, column: 1 };
        if text.starts_with('\u{feff}') {
            lexer.offset = '\u{feff}'.len_utf8();
        }
        lexer.skip_quote_marks();
        lexer
    }

    /// The same text, to be read from `place` on.
    pub(super) fn at(&self, place: Place) -> Self {
        Self { text: self.text, offset: place.offset, line: place.line, column: place.column }
    }

    /// The next token of prose: a quote opens nothing there.
    pub(super) fn next_outside(&mut self) -> Option<Token<'t>> {
        self.next(false)
    }

    /// The next token of a certificate.
    pub(super) fn next_inside(&mut self) -> Option<Token<'t>> {
        self.next(true)
    }

    fn next(&mut self, inside: bool) -> Option<Token<'t>> {
        self.skip_space_and_comments();
        let start = self.clone();
        let kind = match self.bump()? {
            '=' => Kind::Equals,
            ',' => Kind::Comma,
            '{' => Kind::Open,
            '}' => Kind::Close,
            '"' if inside => self.quoted(),
            _ => {
                self.bump_while(|c| !(c.is_whitespace() || is_sign(c)));
                Kind::Word(&self.text[start.offset..self.offset])
            }
        };
        let place =
            Place { line: start.line, column: start.column, offset: start.offset, len: self.offset - start.offset };
        Some(Token { kind, place })
    }

    fn skip_space_and_comments(&mut self) {
        loop {
            self.bump_while(char::is_whitespace);
            if self.peek() != Some('#') {
                return;
            }
            self.bump_while(|c| !ends_line(c));
        }
    }

    /// A text from behind its opening quote. It ends before a brace if it has not ended by itself, so that a lost quote
    /// costs one certificate.
    fn quoted(&mut self) -> Kind<'t> {
        let (mut out, mut space, mut wrong) = (String::new(), false, None);
        loop {
            match self.peek() {
                None | Some('{' | '}') => return Kind::Bad(TextError::TextNotClosed),
                Some(c) if c.is_whitespace() => {
                    self.bump();
                    space = !out.is_empty();
                    continue;
                }
                _ => {}
            }
            let c = self.bump();
            if c == Some('"') {
                return wrong.map_or(Kind::Text(out), Kind::Bad);
            }
            if std::mem::take(&mut space) {
                out.push(' ');
            }
            match if c == Some('\\') { self.escape() } else { Ok(c.unwrap_or_default()) } {
                Ok(c) => out.push(c),
                Err(e) => wrong = wrong.or(Some(e)),
            }
        }
    }

    fn escape(&mut self) -> Result<char, TextError> {
        let start = self.offset;
        let unknown = |lexer: &Self| TextError::Escape(format!("\\{}", &lexer.text[start..lexer.offset]));
        match self.peek().filter(|c| !matches!(c, '{' | '}')) {
            Some(c @ ('\\' | '"')) => self.bump().map_or(Ok(c), Ok),
            Some('n') => self.bump().map_or(Ok('\n'), |_| Ok('\n')),
            Some('u') => {
                self.bump();
                let digits = self.offset;
                self.bump_while(|c| c.is_ascii_hexdigit());
                let value = u32::from_str_radix(&self.text[digits..self.offset], 16).ok().and_then(char::from_u32);
                match (value, self.peek()) {
                    (Some(c), Some(';')) => self.bump().map_or(Ok(c), |_| Ok(c)),
                    _ => Err(unknown(self)),
                }
            }
            _ => Err(unknown(self)),
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.offset..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.offset += c.len_utf8();
        self.column += 1;
        if ends_line(c) && !(c == '\r' && self.peek() == Some('\n')) {
            self.line += 1;
            self.column = 1;
            self.skip_quote_marks();
        }
        Some(c)
    }

    fn bump_while(&mut self, keep: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&keep) {
            self.bump();
        }
    }

    /// What mail puts before the lines it quotes.
    fn skip_quote_marks(&mut self) {
        let rest = &self.text[self.offset..];
        let marks = rest.len() - rest.trim_start_matches(['>', ' ', '\t']).len();
        self.offset += marks;
        self.column += u32::try_from(marks).unwrap_or(u32::MAX);
    }
}

fn ends_line(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

fn is_sign(c: char) -> bool {
    matches!(c, '=' | ',' | '{' | '}' | '"')
}
