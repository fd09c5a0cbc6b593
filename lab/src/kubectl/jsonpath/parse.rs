//! Paths as text.
//!
//! Quotes are not nested, and brackets end at the first `]` and filters at the first `)` that is not quoted, as with
//! kubectl: what stands in each other is a few levels deep, however long the text is.

use std::num::NonZeroUsize;

use anyhow::{Context, Result, bail};
use serde_json::{Number, Value};

use super::path::{Comparison, Path, Step};

/// A whole path. `$` and `@` are the value that it begins with, as nothing is.
///
/// # Errors
/// It is none.
pub(super) fn path(text: &str) -> Result<Path> {
    match text.trim() {
        "." => Ok(Path(Vec::new())),
        _ => steps(text).map(Path),
    }
}

fn steps(text: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        rest = match character {
            '$' | '@' | ' ' | '\t' | '\n' | '\r' => &rest[1..],
            '.' => dots(rest, &mut steps)?,
            '[' => brackets(rest, &mut steps)?,
            '"' | '\'' => quotes(rest, &mut steps)?,
            '+' | '-' | '0'..='9' => number(rest, &mut steps)?,
            _ if is_of_word(character) => boolean(rest, &mut steps)?,
            _ => bail!("{character:?} has no place in it"),
        };
    }
    Ok(steps)
}

/// `.name`, `.*`, `..name`; what follows.
fn dots<'t>(text: &'t str, steps: &mut Vec<Step>) -> Result<&'t str> {
    if let Some(rest) = text.strip_prefix("..") {
        if steps.last() == Some(&Step::Descendants) {
            bail!("there are too many dots");
        }
        steps.push(Step::Descendants);
        let has_name = rest.starts_with(|c| is_of_word(c) || c == '*');
        return match has_name {
            true => field(rest, steps),
            false => Ok(rest),
        };
    }
    match &text[1..] {
        // As in `.items.[0]`.
        rest if rest.starts_with('[') => Ok(rest),
        rest => field(rest, steps),
    }
}

fn field<'t>(text: &'t str, steps: &mut Vec<Step>) -> Result<&'t str> {
    let (name, rest) = text.split_at(find(text, ends_name).unwrap_or(text.len()));
    steps.push(match name {
        "" => bail!("a name is missing behind a dot"),
        "*" => Step::Children,
        // `\.` stands for a dot.
        _ => Step::Field(name.replace('\\', "")),
    });
    Ok(rest)
}

fn ends_name(character: char) -> bool {
    " \t\r\n.,[]$@{}'\"".contains(character)
}

/// What `range`, `end`, `true` and `false` consist of.
fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The word that a text begins with, and what follows; it may be empty.
pub(super) fn word(text: &str) -> (&str, &str) {
    match text.starts_with(is_of_word) {
        true => text.split_at(text.find(ends_name).unwrap_or(text.len())),
        false => text.split_at(0),
    }
}

fn boolean<'t>(text: &'t str, steps: &mut Vec<Step>) -> Result<&'t str> {
    let (word, rest) = word(text);
    steps.push(match word {
        "true" => Step::Literal(true.into()),
        "false" => Step::Literal(false.into()),
        _ => bail!(
            "{} is no word of it (a field has a dot before it)",
            shown(word)
        ),
    });
    Ok(rest)
}

fn number<'t>(text: &'t str, steps: &mut Vec<Step>) -> Result<&'t str> {
    let is_of_number = |c: char| c.is_ascii_digit() || "+-.".contains(c);
    let (digits, rest) = text.split_at(text.find(|c| !is_of_number(c)).unwrap_or(text.len()));
    let number = match digits.parse::<i64>() {
        Ok(whole) => Some(whole.into()),
        Err(_) => digits.parse().ok().and_then(Number::from_f64),
    };
    let number = number.with_context(|| format!("{} is no number", shown(digits)))?;
    steps.push(Step::Literal(Value::Number(number)));
    Ok(rest)
}

fn quotes<'t>(text: &'t str, steps: &mut Vec<Step>) -> Result<&'t str> {
    let length = quoted_length(text).with_context(|| format!("{} is not closed", shown(text)))?;
    let (quoted, rest) = text.split_at(length);
    steps.push(Step::Literal(unescaped(&quoted[1..length - 1])?.into()));
    Ok(rest)
}

/// As in Go's strings, without bytes by their numbers.
fn unescaped(text: &str) -> Result<String> {
    let mut characters = text.chars();
    let mut inner = String::new();
    while let Some(character) = characters.next() {
        if character != '\\' {
            inner.push(character);
            continue;
        }
        inner.push(match characters.next() {
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some(other @ ('\\' | '"' | '\'')) => other,
            other => bail!(
                "there is no \\{} in quotes",
                other.map(String::from).unwrap_or_default()
            ),
        });
    }
    Ok(inner)
}

/// `[0]`, `[*]`, `['name']`, `[0,'name']`, `[?(@.a)]`; what follows.
fn brackets<'t>(text: &'t str, steps: &mut Vec<Step>) -> Result<&'t str> {
    if let Some(inner) = text.strip_prefix("[?(") {
        return filter(inner, steps);
    }
    let end = find(text, |c| c == ']').context("a [ is not closed")?;
    let arms = split(&text[1..end], ',').into_iter().map(arm);
    let mut arms: Vec<Path> = arms.collect::<Result<_>>()?;
    match arms.len() {
        1 => steps.extend(arms.remove(0).0),
        _ => steps.push(Step::Union(arms)),
    }
    Ok(&text[end + 1..])
}

/// One of those with commas between them.
fn arm(text: &str) -> Result<Path> {
    let text = text.trim();
    if quoted_length(text) == Some(text.len()) {
        // `['a.b']` is `.a.b`: the key with a dot is `['a\.b']`.
        return steps(&format!(".{}", &text[1..text.len() - 1])).map(Path);
    }
    let step = in_list(text).with_context(|| {
        let text = shown(text);
        format!("{text} is no place in a list: give [0], [-1], [0:2], [*] or ['name']")
    });
    Ok(Path(vec![step?]))
}

fn in_list(text: &str) -> Option<Step> {
    const EACH: NonZeroUsize = NonZeroUsize::MIN;
    if text == "*" {
        let (first, end, every) = (None, None, EACH);
        return Some(Step::Slice { first, end, every });
    }
    let number = |text: &str| match text {
        "" => Some(None),
        _ => text.parse::<i64>().ok().map(Some),
    };
    let numbers: Option<Vec<Option<i64>>> = text.split(':').map(number).collect();
    let (first, end, every) = match numbers?[..] {
        [Some(index)] => return Some(Step::Index(index)),
        [first, end] | [first, end, None] => (first, end, EACH),
        [first, end, Some(every)] => (first, end, usize::try_from(every).ok()?.try_into().ok()?),
        _ => return None,
    };
    Some(Step::Slice { first, end, every })
}

/// What follows `[?(`.
fn filter<'t>(text: &'t str, steps: &mut Vec<Step>) -> Result<&'t str> {
    let end = find(text, |c| c == ')').filter(|end| text[end + 1..].starts_with(']'));
    let end = end.context("a [?( is not closed by )]")?;
    let inner = &text[..end];
    let (left, rest) = inner.split_at(find(inner, is_of_operator).unwrap_or(end));
    let right = match rest {
        "" => None,
        rest => {
            let length = rest.find(|c| !is_of_operator(c)).unwrap_or(rest.len());
            let (operator, right) = rest.split_at(length);
            Some((comparison(operator)?, operand(right)?))
        }
    };
    let left = operand(left)?;
    steps.push(Step::Filter { left, right });
    Ok(&text[end + 2..])
}

fn is_of_operator(character: char) -> bool {
    "!<>=~".contains(character)
}

fn comparison(operator: &str) -> Result<Comparison> {
    Ok(match operator {
        "==" => Comparison::Equal,
        "!=" => Comparison::Unequal,
        "<" => Comparison::Less,
        "<=" => Comparison::AtMost,
        ">" => Comparison::More,
        ">=" => Comparison::AtLeast,
        _ => bail!(
            "{} compares nothing (==, !=, <, <=, > and >= do)",
            shown(operator)
        ),
    })
}

fn operand(text: &str) -> Result<Path> {
    match text.trim() {
        "" => bail!("a filter has nothing to look at"),
        _ => path(text),
    }
}

/// At signs that are not quoted and not behind `\`.
fn split(text: &str, sign: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = find(rest, |c| c == sign) {
        parts.push(&rest[..at]);
        rest = &rest[at + sign.len_utf8()..];
    }
    parts.push(rest);
    parts
}

/// Where the first of these characters is that is not quoted and not behind `\`; nowhere behind a quote that is open.
pub(super) fn find(text: &str, is_wanted: impl Fn(char) -> bool) -> Option<usize> {
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        at += match character {
            _ if is_wanted(character) => return Some(at),
            '\\' => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
            '"' | '\'' => quoted_length(&text[at..])?,
            _ => character.len_utf8(),
        };
    }
    None
}

/// How long the quotes are that a text begins with.
fn quoted_length(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if character == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// In an error, the begin of a text.
fn shown(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        None => format!("{text:?}"),
        Some((at, _)) => format!("{:?}...", &text[..at]),
    }
}
