//! Splits a query into words, on demand: the parser's errors come before the lexer's errors that lie behind them.
//!
//! What a character means depends on where it stands: in braces (label matchers), in brackets (durations) or elsewhere.
//! Inside brackets there are two states: up to the first number only the characters of duration arithmetic are known;
//! behind it, words of the whole language are, so that the parser can say what it did not expect.

use crate::format::{describe_char, quote, quote_char};
use crate::operator::BinaryOp;
use crate::span::Span;
use crate::token::{Keyword, Token, TokenKind};

/// A text that is no word of the language.
#[derive(Debug)]
pub(crate) struct LexError {
    pub(crate) span: Span,
    pub(crate) message: String,
}

#[derive(Debug)]
pub(crate) struct Lexer<'q> {
    query: &'q str,
    /// Start of the current word.
    start: usize,
    /// Next character.
    pos: usize,
    paren_depth: usize,
    in_braces: bool,
    in_brackets: bool,
    /// In brackets, before the first number.
    in_duration: bool,
    colon_seen: bool,
    duration_seen: bool,
}

type Lexed<T> = Result<T, LexError>;

impl<'q> Lexer<'q> {
    pub(crate) fn new(query: &'q str) -> Lexer<'q> {
        Lexer {
            query,
            start: 0,
            pos: 0,
            paren_depth: 0,
            in_braces: false,
            in_brackets: false,
            in_duration: false,
            colon_seen: false,
            duration_seen: false,
        }
    }

    /// The next word; behind the last one, `Eof` forever.
    pub(crate) fn token(&mut self) -> Lexed<Token> {
        self.skip_spaces_and_comments();
        self.start = self.pos;
        let kind = if self.in_braces {
            self.word_in_braces()
        } else if self.in_duration {
            self.word_in_duration()
        } else {
            self.word()
        }?;
        Ok(Token {
            kind,
            span: Span::new(self.start, self.pos),
        })
    }

    fn skip_spaces_and_comments(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\n' | '\r') => self.pos += 1,
                // A comment is not known between a bracket and its first number.
                Some('#') if !self.in_duration => {
                    let rest = self.query.get(self.pos..).unwrap_or_default();
                    self.pos += rest.find(['\n', '\r']).unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    /// A word outside braces and beginnings of brackets.
    fn word(&mut self) -> Lexed<TokenKind> {
        let Some(c) = self.next() else {
            return if self.paren_depth > 0 {
                Err(self.error("unclosed left parenthesis"))
            } else if self.in_brackets {
                Err(self.error("unclosed left bracket"))
            } else {
                Ok(TokenKind::Eof)
            };
        };
        Ok(match c {
            ',' => TokenKind::Comma,
            '*' => TokenKind::Operator(BinaryOp::Mul),
            '/' => TokenKind::Operator(BinaryOp::Div),
            '%' => TokenKind::Operator(BinaryOp::Mod),
            '+' => TokenKind::Operator(BinaryOp::Add),
            '-' => TokenKind::Operator(BinaryOp::Sub),
            '^' => TokenKind::Operator(BinaryOp::Pow),
            '@' => TokenKind::At,
            '=' => match self.peek() {
                Some('=') => self.take(TokenKind::Operator(BinaryOp::Eq)),
                Some('~') => return Err(self.error("unexpected character after '=': '~'")),
                _ => TokenKind::Equal,
            },
            '!' => match self.next() {
                Some('=') => TokenKind::Operator(BinaryOp::Ne),
                other => {
                    return Err(self.error(format!(
                        "unexpected character after '!': {}",
                        quote_next(other)
                    )));
                }
            },
            '<' => match self.peek() {
                Some('=') => self.take(TokenKind::Operator(BinaryOp::Le)),
                Some('/') => self.take(TokenKind::Operator(BinaryOp::TrimUpper)),
                _ => TokenKind::Operator(BinaryOp::Lt),
            },
            '>' => match self.peek() {
                Some('=') => self.take(TokenKind::Operator(BinaryOp::Ge)),
                Some('/') => self.take(TokenKind::Operator(BinaryOp::TrimLower)),
                _ => TokenKind::Operator(BinaryOp::Gt),
            },
            '0'..='9' => return self.number_or_duration(),
            '.' if self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                return self.number_or_duration();
            }
            '"' | '\'' => return self.string(c),
            '`' => return self.raw_string(),
            '(' => self.open_paren(),
            ')' => return self.close_paren(),
            '{' => {
                self.in_braces = true;
                TokenKind::LeftBrace
            }
            '[' => {
                if self.in_brackets {
                    return Err(self.error("unexpected left bracket '['"));
                }
                self.in_brackets = true;
                self.in_duration = true;
                self.colon_seen = false;
                self.duration_seen = false;
                TokenKind::LeftBracket
            }
            ']' => {
                if !self.in_brackets {
                    return Err(self.error("unexpected right bracket ']'"));
                }
                self.in_brackets = false;
                TokenKind::RightBracket
            }
            ':' if self.in_brackets => {
                if self.colon_seen {
                    return Err(self.error("unexpected colon ':'"));
                }
                self.colon_seen = true;
                TokenKind::Colon
            }
            c if is_alpha(c) || c == ':' => {
                if self.in_brackets {
                    match self.duration_keyword() {
                        Some(keyword) => TokenKind::Keyword(keyword),
                        None => {
                            let message =
                                format!("unexpected character: {}, expected ':'", quote_char(c));
                            return Err(self.error(message));
                        }
                    }
                } else {
                    self.name()
                }
            }
            c => return Err(self.error(format!("unexpected character: {}", quote_char(c)))),
        })
    }

    /// A word between a bracket and the first number behind it.
    fn word_in_duration(&mut self) -> Lexed<TokenKind> {
        let Some(c) = self.next() else {
            return Err(self.error("unexpected end of input in duration expression"));
        };
        Ok(match c {
            ']' => {
                self.in_brackets = false;
                self.in_duration = false;
                TokenKind::RightBracket
            }
            ':' => {
                self.start = self.pos;
                if !self.duration_seen {
                    return Err(
                        self.error("unexpected colon before duration in duration expression")
                    );
                }
                if self.colon_seen {
                    return Err(self.error("unexpected repeated colon in duration expression"));
                }
                self.start -= 1;
                self.colon_seen = true;
                TokenKind::Colon
            }
            '(' => self.open_paren(),
            ')' => return self.close_paren(),
            '+' => TokenKind::Operator(BinaryOp::Add),
            '-' => TokenKind::Operator(BinaryOp::Sub),
            '*' => TokenKind::Operator(BinaryOp::Mul),
            '/' => TokenKind::Operator(BinaryOp::Div),
            '%' => TokenKind::Operator(BinaryOp::Mod),
            '^' => TokenKind::Operator(BinaryOp::Pow),
            ',' => TokenKind::Comma,
            '0'..='9' => return self.number_or_duration(),
            '.' if self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                return self.number_or_duration();
            }
            c => match is_alpha(c).then(|| self.duration_keyword()).flatten() {
                Some(keyword) => {
                    self.duration_seen = true;
                    TokenKind::Keyword(keyword)
                }
                None => {
                    let message = format!(
                        "unexpected character in duration expression: {}",
                        quote_char(c)
                    );
                    return Err(self.error(message));
                }
            },
        })
    }

    /// A word between braces, where keywords are plain names.
    fn word_in_braces(&mut self) -> Lexed<TokenKind> {
        let Some(c) = self.next() else {
            return Err(self.error("unexpected end of input inside braces"));
        };
        Ok(match c {
            ',' => TokenKind::Comma,
            '"' | '\'' => return self.string(c),
            '`' => return self.raw_string(),
            '=' => match self.peek() {
                Some('~') => self.take(TokenKind::EqualRegex),
                _ => TokenKind::Equal,
            },
            '!' => match self.next() {
                Some('~') => TokenKind::NotEqualRegex,
                Some('=') => TokenKind::Operator(BinaryOp::Ne),
                other => {
                    let message = format!(
                        "unexpected character after '!' inside braces: {}",
                        quote_next(other)
                    );
                    return Err(self.error(message));
                }
            },
            '{' => return Err(self.error("unexpected left brace '{'")),
            '}' => {
                self.in_braces = false;
                TokenKind::RightBrace
            }
            c if is_alpha(c) => {
                self.skip_while(is_alphanumeric);
                TokenKind::Identifier
            }
            c => {
                return Err(self.error(format!(
                    "unexpected character inside braces: {}",
                    quote_char(c)
                )));
            }
        })
    }

    fn open_paren(&mut self) -> TokenKind {
        self.paren_depth += 1;
        TokenKind::LeftParen
    }

    fn close_paren(&mut self) -> Lexed<TokenKind> {
        match self.paren_depth.checked_sub(1) {
            Some(depth) => {
                self.paren_depth = depth;
                Ok(TokenKind::RightParen)
            }
            None => {
                // Prometheus reports this one behind the parenthesis.
                self.start = self.pos;
                Err(self.error("unexpected right parenthesis ')'"))
            }
        }
    }

    /// A name or keyword whose first character has been read.
    fn name(&mut self) -> TokenKind {
        self.skip_while(|c| is_alphanumeric(c) || c == ':');
        let kind = TokenKind::of_word(self.text());
        let is_fill = matches!(
            kind,
            TokenKind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight)
        );
        // These came late into the language: metrics of these names must go on working.
        if is_fill && !self.parenthesis_follows() {
            return TokenKind::Identifier;
        }
        kind
    }

    fn parenthesis_follows(&self) -> bool {
        let rest = self.query.get(self.pos..).unwrap_or_default();
        rest.trim_start_matches([' ', '\t', '\n', '\r'])
            .starts_with('(')
    }

    /// A word that may stand in a duration; its first character has been read.
    fn duration_keyword(&mut self) -> Option<Keyword> {
        self.skip_while(is_alpha);
        match TokenKind::of_word(self.text()) {
            TokenKind::Keyword(
                keyword @ (Keyword::Step | Keyword::Range | Keyword::MaxOf | Keyword::MinOf),
            ) => Some(keyword),
            _ => None,
        }
    }

    /// A number or duration whose first character has been read.
    fn number_or_duration(&mut self) -> Lexed<TokenKind> {
        if self.in_duration {
            self.in_duration = false;
            self.duration_seen = true;
        }
        self.pos = self.start;
        if self.number() {
            return Ok(TokenKind::Number);
        }
        if self.duration_units() {
            return Ok(TokenKind::Duration);
        }
        let message = format!("bad number or duration syntax: {}", quote(self.text()));
        Err(self.error(message))
    }

    /// Reads something that looks like a number; what it really is, is found out when it is converted.
    fn number(&mut self) -> bool {
        let mut is_digit: fn(char) -> bool = |c| c.is_ascii_digit();
        let mut hex = false;
        if self.accept(|c| c == '0') && self.accept(|c| matches!(c, 'x' | 'X')) {
            self.accept(|c| c == '_');
            is_digit = |c| c.is_ascii_hexdigit();
            hex = true;
        }
        let (mut dot_seen, mut exponent_seen) = (false, false);
        while let Some(c) = self.peek() {
            if is_digit(c) {
                self.skip_while(is_digit);
            } else if c == '.' {
                self.pos += 1;
                if dot_seen || hex || self.accept(|c| matches!(c, '_' | '.')) {
                    return false;
                }
                dot_seen = true;
            } else if matches!(c, 'e' | 'E') {
                self.pos += 1;
                if exponent_seen {
                    return false;
                }
                exponent_seen = true;
                self.accept(|c| matches!(c, '+' | '-'));
                if self.accept(|c| matches!(c, '.' | '_' | 'e' | 'E')) || self.peek().is_none() {
                    return false;
                }
            } else if c == '_' {
                self.pos += 1;
                if self.accept(|c| matches!(c, '.' | '_' | 'e' | 'E')) || self.peek().is_none() {
                    return false;
                }
            } else {
                break;
            }
        }
        !self.peek().is_some_and(is_alphanumeric)
    }

    /// Reads the rest of a duration: a unit, then more numbers with units.
    fn duration_units(&mut self) -> bool {
        if !self.accept(|c| matches!(c, 's' | 'm' | 'h' | 'd' | 'w' | 'y')) {
            return false;
        }
        // Milliseconds; impossible units such as "hs" are found when the duration is converted.
        self.accept(|c| c == 's');
        while self.accept(|c| c.is_ascii_digit()) {
            self.skip_while(|c| c.is_ascii_digit());
            if !self.accept(|c| matches!(c, 's' | 'm' | 'h' | 'd' | 'w')) {
                return false;
            }
            self.accept(|c| c == 's');
        }
        !self.accept(is_alphanumeric)
    }

    /// A string whose opening quote has been read.
    fn string(&mut self, quote: char) -> Lexed<TokenKind> {
        loop {
            match self.next() {
                Some('\\') => self.escape(quote)?,
                Some(char::REPLACEMENT_CHARACTER) => return Err(self.error("invalid UTF-8 rune")),
                None | Some('\n') => return Err(self.error("unterminated quoted string")),
                Some(c) if c == quote => return Ok(TokenKind::String),
                Some(_) => {}
            }
        }
    }

    fn raw_string(&mut self) -> Lexed<TokenKind> {
        loop {
            match self.next() {
                Some('`') => return Ok(TokenKind::String),
                Some(char::REPLACEMENT_CHARACTER) => return Err(self.error("invalid UTF-8 rune")),
                None => return Err(self.error("unterminated raw string")),
                Some(_) => {}
            }
        }
    }

    /// Checks an escape sequence whose backslash has been read.
    fn escape(&mut self, quote: char) -> Lexed<()> {
        let (digits, radix, max) = match self.next() {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => return Ok(()),
            Some(c) if c == quote => return Ok(()),
            Some('0'..='7') => {
                self.pos -= 1;
                (3, 8, 255)
            }
            Some('x') => (2, 16, 255),
            Some('u') => (4, 16, u32::from(char::MAX)),
            Some('U') => (8, 16, u32::from(char::MAX)),
            Some(c) => {
                return Err(self.error(format!("unknown escape sequence {}", describe_char(c))));
            }
            None => return Err(self.error("escape sequence not terminated")),
        };
        let mut code: u32 = 0;
        for _ in 0..digits {
            match self.next() {
                None => return Err(self.error("escape sequence not terminated")),
                Some(c) => match c.to_digit(radix) {
                    Some(digit) => code = code.wrapping_mul(radix).wrapping_add(digit),
                    None => {
                        let message =
                            format!("illegal character {} in escape sequence", describe_char(c));
                        return Err(self.error(message));
                    }
                },
            }
        }
        if code > max || (0xD800..0xE000).contains(&code) {
            return Err(self.error("escape sequence is an invalid Unicode code point"));
        }
        Ok(())
    }

    fn text(&self) -> &'q str {
        self.query.get(self.start..self.pos).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        match self.query.as_bytes().get(self.pos)? {
            byte if byte.is_ascii() => Some(char::from(*byte)),
            _ => self.query.get(self.pos..)?.chars().next(),
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    /// Steps over an ASCII character that was peeked at.
    fn take(&mut self, kind: TokenKind) -> TokenKind {
        self.pos += 1;
        kind
    }

    fn accept(&mut self, wanted: impl Fn(char) -> bool) -> bool {
        match self.peek() {
            Some(c) if wanted(c) => {
                self.pos += c.len_utf8();
                true
            }
            _ => false,
        }
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.accept(&wanted) {}
    }

    fn error(&self, message: impl Into<String>) -> LexError {
        LexError {
            span: Span::new(self.start, self.query.len()),
            message: message.into(),
        }
    }
}

/// Only ASCII letters are letters of the language.
fn is_alpha(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_alphanumeric(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A character in quotes; the end of the input as Go prints it.
fn quote_next(c: Option<char>) -> String {
    quote_char(c.unwrap_or(char::REPLACEMENT_CHARACTER))
}
