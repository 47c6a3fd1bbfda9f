//! Whether a text is a PromQL expression, in time that is bounded by its length.
//!
//! The parser compiles every regular expression, of which a few bytes can take a second, and needs time that grows with
//! the square of a chain of operators. So a scan comes first: it bounds the number of tokens and the nesting, and hides
//! from the parser what could be costly. The syntax of what was hidden is checked here.

use promql_parser::parser::value::ValueType;
use regex_syntax::ast::{ErrorKind, parse::Parser};

use super::tree::quoted;

/// Longest expression in bytes.
const MAX_EXPRESSION: usize = 4096;
/// Most names, numbers, texts and signs of an expression.
const MAX_TOKENS: usize = 1000;
/// Deepest nesting of brackets in an expression.
const MAX_NESTING: usize = 64;
/// The parser panics on a longer duration: `u64::MAX` seconds.
const MAX_SECONDS: f64 = 1.8e19;

/// What an expression that can be used gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Vector,
    Scalar,
}

/// Whether this PromQL expression has samples as its result, as alert rules and request rates need.
///
/// # Errors
/// It does not parse, its result is neither an instant vector nor a scalar, or it is longer than 4096 bytes or 1000
/// tokens, or nested deeper than 64 brackets.
pub fn check_expression(expression: &str) -> Result<(), String> {
    kind_of(expression).map(drop)
}

/// The same, and what kind of samples these are.
pub(super) fn kind_of(expression: &str) -> Result<Kind, String> {
    let scan = Scan::new(expression);
    check_size(expression, &scan)?;
    parse(expression, &scan)
}

/// Whether an expression is small enough to be parsed.
pub(super) fn check_size(expression: &str, scan: &Scan) -> Result<(), String> {
    if expression.trim().is_empty() {
        return Err("PromQL expression must not be empty".to_owned());
    }
    if expression.len() > MAX_EXPRESSION {
        return Err(format!(
            "PromQL expression has {} bytes; at most {MAX_EXPRESSION} are allowed",
            expression.len()
        ));
    }
    if scan.tokens > MAX_TOKENS {
        return Err(format!(
            "PromQL expression has {} names, numbers, texts and signs; at most {MAX_TOKENS} are allowed",
            scan.tokens
        ));
    }
    if scan.deepest > MAX_NESTING {
        return Err(format!("PromQL expression is nested deeper than {MAX_NESTING} brackets"));
    }
    Ok(())
}

/// Parses an expression that is small enough.
pub(super) fn parse(expression: &str, scan: &Scan) -> Result<Kind, String> {
    let wrong = |problem: &str| format!("{} is not a PromQL expression: {problem}", quoted(expression));
    if let Some(regex) = scan.costly.iter().find(|regex| !is_regex(regex)) {
        return Err(wrong(&format!("illegal regex for {}", quoted(regex))));
    }
    if scan.out_of_range {
        return Err(wrong(OUT_OF_RANGE));
    }
    // The parser could panic on numbers that the scan does not know; the panic is an answer like any other.
    let parsed = std::panic::catch_unwind(|| promql_parser::parser::parse(&scan.cheap))
        .unwrap_or_else(|_| Err(OUT_OF_RANGE.to_owned()))
        .map_err(|error| wrong(&error))?;
    match parsed.value_type() {
        ValueType::Vector => Ok(Kind::Vector),
        ValueType::Scalar => Ok(Kind::Scalar),
        ValueType::Matrix => Err(wrong_result(expression, "a range vector")),
        ValueType::String => Err(wrong_result(expression, "a string")),
    }
}

const OUT_OF_RANGE: &str = "a number in it is out of range";

fn wrong_result(expression: &str, kind: &str) -> String {
    format!("{} gives {kind}; an instant vector is needed", quoted(expression))
}

/// Whether Prometheus could take this for a regular expression: a brace that begins no repetition is one like any other
/// character there, which this parser does not know.
fn is_regex(text: &str) -> bool {
    match Parser::new().parse(text) {
        Ok(_) => true,
        Err(error) => matches!(
            error.kind(),
            ErrorKind::RepetitionCountInvalid
                | ErrorKind::RepetitionCountDecimalEmpty
                | ErrorKind::RepetitionCountUnclosed
        ),
    }
}

/// What can be said of an expression without parsing it.
#[derive(Default)]
pub(super) struct Scan {
    /// Names, numbers, texts and signs.
    pub(super) tokens: usize,
    deepest: usize,
    /// The expression with equality in place of costly matches.
    cheap: String,
    /// The regular expressions of these.
    costly: Vec<String>,
    /// Whether it has a duration that no clock can count.
    out_of_range: bool,
}

/// Where the scan stands.
#[derive(Default)]
struct Position<'a> {
    depth: usize,
    /// In square brackets, or behind `offset`.
    in_range: bool,
    after_offset: bool,
    /// The match whose pattern comes next.
    matcher: Option<&'a str>,
}

impl Scan {
    /// Scans a text, which may be anything.
    pub(super) fn new(expression: &str) -> Self {
        let (mut scan, mut at) = (Self::default(), Position::default());
        let mut rest = expression;
        while !rest.is_empty() {
            let (token, tail) = rest.split_at(token_length(rest));
            if !(token.starts_with('#') || token.starts_with(char::is_whitespace)) {
                scan.tokens += 1;
                scan.look_at(token, &mut at);
            } else if at.matcher.is_none() {
                scan.cheap += token;
            }
            rest = tail;
        }
        scan.cheap += at.matcher.unwrap_or_default();
        scan
    }

    fn look_at<'a>(&mut self, token: &'a str, at: &mut Position<'a>) {
        if let Some(matcher) = at.matcher.take() {
            let replacement = self.replacement(matcher, token);
            self.cheap += replacement;
        }
        match token {
            "(" | "[" | "{" => at.depth += 1,
            ")" | "]" | "}" => at.depth = at.depth.saturating_sub(1),
            "=~" | "!~" => {
                at.matcher = Some(token);
                return;
            }
            _ => {}
        }
        self.deepest = self.deepest.max(at.depth);
        self.out_of_range |= (at.in_range || at.after_offset) && is_endless(token);
        at.in_range = token == "[" || at.in_range && token != "]";
        at.after_offset =
            token.eq_ignore_ascii_case("offset") || at.after_offset && matches!(token, "-" | "+");
        self.cheap += token;
    }

    /// What the parser sees in place of a match. A costly pattern is never empty, so that equality with it selects
    /// something, as the parser wants it.
    fn replacement<'a>(&mut self, matcher: &'a str, pattern: &str) -> &'a str {
        let regex = unquoted(pattern);
        if !regex.contains(['[', '{', '\\']) && !regex.contains("(?") {
            return matcher;
        }
        self.costly.push(regex);
        "="
    }
}

/// Whether a token in the place of a duration is a number that is none.
fn is_endless(token: &str) -> bool {
    let too_long = |seconds: f64| seconds.is_nan() || seconds >= MAX_SECONDS;
    token.split(':').any(|part| part.parse().is_ok_and(too_long))
}

/// What a text in quotes says.
fn unquoted(text: &str) -> String {
    let Some(quote) = text.chars().next() else { return String::new() };
    let inner = text[quote.len_utf8()..].strip_suffix(quote).unwrap_or_default();
    if quote == '`' {
        return inner.to_owned();
    }
    let (mut plain, mut escaped) = (String::with_capacity(inner.len()), false);
    for c in inner.chars() {
        escaped = c == '\\' && !escaped;
        if !escaped {
            plain.push(c);
        }
    }
    plain
}

/// Bytes of the first token, or of the blanks or the comment before it.
fn token_length(text: &str) -> usize {
    let until = |end: fn(char) -> bool| text.find(end).unwrap_or(text.len());
    let Some(first) = text.chars().next() else { return 0 };
    match first {
        '#' => until(|c| c == '\n'),
        '"' | '\'' | '`' => text_length(text, first),
        '=' | '!' if text[1..].starts_with('~') => 2,
        _ if is_word(first) => word_length(text),
        _ if first.is_whitespace() => until(|c| !c.is_whitespace()),
        _ => first.len_utf8(),
    }
}

/// Bytes of a name, a number or a duration; the exponent of a number can have a sign.
fn word_length(text: &str) -> usize {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || c == '.') && !text.starts_with("0x");
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        let is_sign = is_number && matches!(before, 'e' | 'E') && matches!(c, '+' | '-');
        if !(is_word(c) || is_sign) {
            return at;
        }
        before = c;
    }
    text.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | ':')
}

/// Bytes of a text with its quotes; to the end when it is not closed.
fn text_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped && quote != '`';
    }
    text.len()
}
