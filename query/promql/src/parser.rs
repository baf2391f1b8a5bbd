//! From words to the syntax tree, by precedence climbing.
//!
//! The first error wins, as in Prometheus, where only the first one is shown. A word that does not fit is described by the
//! innermost construct that knows what it expected; other constructs let [`Failure::Unexpected`] pass through. Words are
//! read one ahead and only when they are needed, because a word may be an error itself.
//!
//! Types are checked in a second pass ([`crate::check`]): errors of syntax come before errors of type, wherever they stand.

mod duration;
mod grouping;
mod modifier;
mod primary;
mod selector;
#[cfg(test)]
mod tests;

use crate::ast::{
    Binary, Cardinality, Expr, FillValues, NumberLiteral, Unary, UnaryOp, VectorMatching,
};
use crate::check::check;
use crate::error::{ParseError, ParseErrorKind};
use crate::lexer::Lexer;
use crate::matcher::Matcher;
use crate::operator::BinaryOp;
use crate::options::ParseOptions;
use crate::span::Span;
use crate::token::{Keyword, Token, TokenKind, describe};

/// Reads a query, without experimental parts of the language.
///
/// ```
/// let expr = varve_promql::parse("sum by (job) (rate(http_requests_total[5m]))")?;
/// assert_eq!(expr.value_type(), varve_promql::ValueType::Vector);
///
/// let error = varve_promql::parse("rate(up)").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector"
/// );
/// # Ok::<(), varve_promql::ParseError>(())
/// ```
pub fn parse(query: &str) -> Result<Expr, ParseError> {
    parse_with(query, &ParseOptions::default())
}

/// Reads a query.
pub fn parse_with(query: &str, options: &ParseOptions) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(query, options);
    let mut expr = match parser.query() {
        Ok(node) => *node.expr,
        Err(failure) => return Err(parser.report(failure)),
    };
    check(query, &mut expr)?;
    Ok(expr)
}

/// Reads a selector of series without modifiers, as in the parameter `match[]`, and gives its matchers; a metric name
/// becomes the last one. Unlike in a query, all of them may match the empty string: see [`Matcher::matches_empty`].
pub fn parse_matchers(selector: &str) -> Result<Vec<Matcher>, ParseError> {
    let options = ParseOptions::default();
    let mut parser = Parser::new(selector, &options);
    parser
        .only_selector()
        .map_err(|failure| parser.report(failure))
}

/// Why parsing stopped.
enum Failure {
    /// The word that was read last does not fit; nobody has said yet what was expected.
    Unexpected,
    Reported(Box<ParseError>),
}

type Parsed<T> = Result<T, Failure>;

/// An expression with the number of nodes on its longest path to a leaf.
struct Node {
    /// Boxed, to keep the frames of the recursion small.
    expr: Box<Expr>,
    depth: usize,
}

struct Parser<'q> {
    query: &'q str,
    options: &'q ParseOptions,
    lexer: Lexer<'q>,
    /// The word that was read ahead. Words are only consumed when they fit, so that this is also the unexpected one.
    ahead: Option<Token>,
    /// How many expressions are being read, one inside the other.
    nesting: usize,
    nodes: usize,
}

impl<'q> Parser<'q> {
    fn new(query: &'q str, options: &'q ParseOptions) -> Parser<'q> {
        Parser {
            query,
            options,
            lexer: Lexer::new(query),
            ahead: None,
            nesting: 0,
            nodes: 0,
        }
    }

    fn query(&mut self) -> Parsed<Node> {
        if self.peek()?.kind == TokenKind::Eof {
            return Err(self.syntax(Span::default(), "no expression found in input"));
        }
        let node = self.expr(0)?;
        self.expect(TokenKind::Eof)?;
        Ok(node)
    }

    fn only_selector(&mut self) -> Parsed<Vec<Matcher>> {
        let selector = self.vector_selector()?;
        self.expect(TokenKind::Eof)?;
        Ok(selector.matchers)
    }

    /// An expression whose binary operators bind at least as tightly as `precedence_min`.
    fn expr(&mut self, precedence_min: u8) -> Parsed<Node> {
        self.enter()?;
        let mut lhs = self.operand()?;
        while let TokenKind::Operator(op) = self.peek()?.kind {
            if op.precedence() < precedence_min {
                break;
            }
            self.advance();
            let (return_bool, matching) = self.binary_modifiers()?;
            let rhs = self.expr(op.precedence() + u8::from(op != BinaryOp::Pow))?;
            let span = lhs.expr.span().to(rhs.expr.span());
            if !self.options.fill_modifiers && matching.fill != FillValues::default() {
                let message = "binop fill modifiers are experimental and not enabled";
                return Err(self.disabled(span, message));
            }
            let depth = lhs.depth.max(rhs.depth);
            let binary = Binary {
                op,
                lhs: lhs.expr,
                rhs: rhs.expr,
                return_bool,
                matching: Some(matching),
                span,
            };
            lhs = self.node(Expr::Binary(binary), depth)?;
        }
        self.leave();
        Ok(lhs)
    }

    /// What stands between binary operators: a sign with its operand, or an expression with its modifiers.
    fn operand(&mut self) -> Parsed<Node> {
        let token = self.peek()?;
        let op = match token.kind {
            TokenKind::Operator(BinaryOp::Add) => UnaryOp::Plus,
            TokenKind::Operator(BinaryOp::Sub) => UnaryOp::Minus,
            _ => {
                let primary = self.primary()?;
                return self.modifiers(primary);
            }
        };
        self.advance();
        // A sign binds like a multiplication, so only a power goes first.
        let operand = self.expr(BinaryOp::Pow.precedence())?;
        let span = token.span.to(operand.expr.span());
        match *operand.expr {
            Expr::NumberLiteral(number) => Ok(Node {
                expr: Box::new(Expr::NumberLiteral(NumberLiteral {
                    value: signed(op, number.value),
                    span,
                    ..number
                })),
                depth: operand.depth,
            }),
            expr => {
                let unary = Unary {
                    op,
                    expr: Box::new(expr),
                    span,
                };
                self.node(Expr::Unary(unary), operand.depth)
            }
        }
    }

    /// Everything between a binary operator and its right operand.
    fn binary_modifiers(&mut self) -> Parsed<(bool, VectorMatching)> {
        let mut matching = VectorMatching {
            cardinality: Cardinality::OneToOne,
            labels: Vec::new(),
            on: false,
            include: Vec::new(),
            fill: FillValues::default(),
        };
        let return_bool = self.accept(TokenKind::Keyword(Keyword::Bool))?;
        let matched = match self.peek()?.kind {
            TokenKind::Keyword(keyword @ (Keyword::On | Keyword::Ignoring)) => {
                self.advance();
                matching.on = keyword == Keyword::On;
                matching.labels = self.grouping_labels()?;
                true
            }
            _ => false,
        };
        if matched
            && let TokenKind::Keyword(keyword @ (Keyword::GroupLeft | Keyword::GroupRight)) =
                self.peek()?.kind
        {
            self.advance();
            matching.cardinality = match keyword {
                Keyword::GroupLeft => Cardinality::ManyToOne,
                _ => Cardinality::OneToMany,
            };
            // A parenthesis belongs to the modifier, not to the right operand.
            if self.peek()?.kind == TokenKind::LeftParen {
                matching.include = self.grouping_labels()?;
            }
        }
        match self.peek()?.kind {
            TokenKind::Keyword(Keyword::Fill) => {
                let value = self.fill_value()?;
                matching.fill = FillValues {
                    lhs: Some(value),
                    rhs: Some(value),
                };
            }
            TokenKind::Keyword(Keyword::FillLeft) => {
                matching.fill.lhs = Some(self.fill_value()?);
                if self.peek()?.kind == TokenKind::Keyword(Keyword::FillRight) {
                    matching.fill.rhs = Some(self.fill_value()?);
                }
            }
            TokenKind::Keyword(Keyword::FillRight) => {
                matching.fill.rhs = Some(self.fill_value()?);
                if self.peek()?.kind == TokenKind::Keyword(Keyword::FillLeft) {
                    matching.fill.lhs = Some(self.fill_value()?);
                }
            }
            _ => {}
        }
        Ok((return_bool, matching))
    }

    /// `fill (5)`: the keyword is ahead.
    fn fill_value(&mut self) -> Parsed<f64> {
        self.advance();
        self.expect(TokenKind::LeftParen)?;
        let (value, _) = self.signed_number()?;
        self.expect(TokenKind::RightParen)?;
        Ok(value)
    }

    /// A number or duration with at most one sign in front of it.
    fn signed_number(&mut self) -> Parsed<(f64, Span)> {
        let token = self.peek()?;
        let op = match token.kind {
            TokenKind::Operator(BinaryOp::Add) => UnaryOp::Plus,
            TokenKind::Operator(BinaryOp::Sub) => UnaryOp::Minus,
            _ => {
                let number = self.number_literal()?;
                return Ok((number.value, number.span));
            }
        };
        self.advance();
        let number = self.number_literal()?;
        Ok((signed(op, number.value), token.span.to(number.span)))
    }

    // Words.

    fn peek(&mut self) -> Parsed<Token> {
        if let Some(token) = self.ahead {
            return Ok(token);
        }
        let token = match self.lexer.token() {
            Ok(token) => token,
            Err(error) => return Err(self.syntax(error.span, error.message)),
        };
        self.ahead = Some(token);
        Ok(token)
    }

    /// Consumes the word that was peeked at.
    fn advance(&mut self) {
        self.ahead = None;
    }

    fn accept(&mut self, kind: TokenKind) -> Parsed<bool> {
        let fits = self.peek()?.kind == kind;
        if fits {
            self.advance();
        }
        Ok(fits)
    }

    fn expect(&mut self, kind: TokenKind) -> Parsed<Token> {
        let token = self.peek()?;
        if token.kind != kind {
            return Err(Failure::Unexpected);
        }
        self.advance();
        Ok(token)
    }

    fn text(&self, token: Token) -> &'q str {
        self.query
            .get(token.span.start..token.span.end)
            .unwrap_or_default()
    }

    // Size.

    /// Guards the recursion of the parser itself.
    fn enter(&mut self) -> Parsed<()> {
        self.nesting += 1;
        if self.nesting > self.options.depth_max {
            let span = self.ahead.map_or_else(Span::default, |token| token.span);
            return Err(self.too_deep(span));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.nesting -= 1;
    }

    /// A node above others, of which the deepest has `depth`.
    fn node(&mut self, expr: Expr, depth: usize) -> Parsed<Node> {
        let depth = self.count(depth, expr.span())?;
        Ok(Node {
            expr: Box::new(expr),
            depth,
        })
    }

    /// Counts a node above others and gives its depth.
    fn count(&mut self, depth: usize, span: Span) -> Parsed<usize> {
        self.nodes += 1;
        if self.nodes > self.options.nodes_max {
            let message = format!(
                "query is too large: it has more than {} parts",
                self.options.nodes_max
            );
            return Err(self.failure(ParseErrorKind::Limit, span, message));
        }
        if depth >= self.options.depth_max {
            return Err(self.too_deep(span));
        }
        Ok(depth + 1)
    }

    fn too_deep(&self, span: Span) -> Failure {
        let message = format!(
            "query is nested too deeply: more than {} operators, calls or parentheses are chained or inside each other",
            self.options.depth_max
        );
        self.failure(ParseErrorKind::Limit, span, message)
    }

    // Errors.

    fn failure(&self, kind: ParseErrorKind, span: Span, message: impl Into<String>) -> Failure {
        Failure::Reported(Box::new(ParseError::new(kind, self.query, span, message)))
    }

    fn syntax(&self, span: Span, message: impl Into<String>) -> Failure {
        self.failure(ParseErrorKind::Syntax, span, message)
    }

    fn semantic(&self, span: Span, message: impl Into<String>) -> Failure {
        self.failure(ParseErrorKind::Semantic, span, message)
    }

    fn disabled(&self, span: Span, message: impl Into<String>) -> Failure {
        self.failure(ParseErrorKind::Disabled, span, message)
    }

    /// Says where an unexpected word was met and what was expected, unless that has been said.
    fn in_context<T>(&self, parsed: Parsed<T>, context: &str, expected: &str) -> Parsed<T> {
        parsed.map_err(|failure| match failure {
            Failure::Unexpected => Failure::Reported(Box::new(self.unexpected(context, expected))),
            reported => reported,
        })
    }

    fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        let end = self.query.len();
        let token = self.ahead.unwrap_or(Token {
            kind: TokenKind::Eof,
            span: Span::new(end, end),
        });
        let mut message = format!("unexpected {}", describe(token.kind, self.text(token)));
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        ParseError::new(ParseErrorKind::Syntax, self.query, token.span, message)
    }

    fn report(&self, failure: Failure) -> ParseError {
        match failure {
            Failure::Reported(error) => *error,
            Failure::Unexpected => self.unexpected("", ""),
        }
    }
}

fn signed(op: UnaryOp, value: f64) -> f64 {
    match op {
        UnaryOp::Plus => value,
        UnaryOp::Minus => -value,
    }
}
