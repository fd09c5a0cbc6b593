//! JSONPath as kubectl writes it: `{.items[*].metadata.name}`, with text, `{"\n"}` and `{range ...}{end}` around it.
//!
//! Paths are made into those of RFC 9535, which a crate carries out: there, names with `-` or `/` are in quotes, and a
//! path begins with `$`. A field that is not there is no value, and is printed as nothing.

use std::iter::Peekable;
use std::str::{Chars, FromStr};

use anyhow::{Context, Error, Result, anyhow, bail};
use jsonpath_rust::JsonPath;
use jsonpath_rust::parser::parse_json_path;
use serde_json::Value;

/// A path from an object to values in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query(String);

impl Query {
    /// What the path leads to.
    ///
    /// # Errors
    /// The path compares what cannot be compared.
    pub(super) fn values<'a>(&self, object: &'a Value) -> Result<Vec<&'a Value>> {
        object
            .query(&self.0)
            .map_err(|error| anyhow!("{}: {error}", self.0))
    }
}

/// `.status.phase`, `$.status.phase`, in braces or not.
impl FromStr for Query {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let inner = text
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        query(inner.unwrap_or(text)).map_err(|why| refused(text, &why))
    }
}

/// In one line, whoever prints it.
fn refused(text: &str, why: &Error) -> Error {
    let why = format!("{why:#}");
    // A parser draws where it stopped.
    let why = why.lines().next().unwrap_or_default();
    anyhow!("{text:?} is no JSONPath, {why}: give one like {{.items[*].metadata.name}}")
}

/// A value as text: text without quotes, and everything else as JSON.
pub(super) fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What is printed of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// All its values, with blanks between them.
    Values(Query),
    /// The parts for each value.
    Range(Query, Vec<Part>),
}

impl Template {
    /// # Errors
    /// As [`Query::values`].
    pub(super) fn text(&self, object: &Value) -> Result<String> {
        let mut text = String::new();
        print(&self.0, object, &mut text)?;
        Ok(text)
    }
}

fn print(parts: &[Part], object: &Value, text: &mut String) -> Result<()> {
    for part in parts {
        match part {
            Part::Text(part) => text.push_str(part),
            Part::Values(query) => {
                let values: Vec<String> = query.values(object)?.into_iter().map(as_text).collect();
                text.push_str(&values.join(" "));
            }
            Part::Range(query, parts) => {
                for value in query.values(object)? {
                    print(parts, value, text)?;
                }
            }
        }
    }
    Ok(())
}

impl FromStr for Template {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(refused(text, &anyhow!("it is empty")));
        }
        // Nobody wants to print the path itself.
        if text.starts_with(['.', '$']) && !text.contains('{') {
            return Ok(Self(vec![Part::Values(text.parse()?)]));
        }
        template(text).map(Self).map_err(|why| refused(text, &why))
    }
}

fn template(text: &str) -> Result<Vec<Part>> {
    // The innermost range that is open comes last.
    let mut open: Vec<(Query, Vec<Part>)> = Vec::new();
    let mut parts = Vec::new();
    for piece in pieces(text)? {
        let part = match piece {
            Piece::Text(text) => Part::Text(text),
            Piece::Braces(inner) if inner == "end" => match open.pop() {
                None => bail!("there is an {{end}} without a {{range ...}}"),
                Some((query, outside)) => {
                    Part::Range(query, std::mem::replace(&mut parts, outside))
                }
            },
            Piece::Braces(inner) => match inner.strip_prefix("range ") {
                Some(path) => {
                    open.push((query(path.trim())?, std::mem::take(&mut parts)));
                    continue;
                }
                None if inner.starts_with(['"', '\'']) => Part::Text(unquoted(&inner)?),
                None => Part::Values(query(&inner)?),
            },
        };
        parts.push(part);
    }
    match open.is_empty() {
        true => Ok(parts),
        false => bail!("there is a {{range ...}} without an {{end}}"),
    }
}

enum Piece {
    Text(String),
    /// What is between braces.
    Braces(String),
}

fn pieces(text: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find('{') {
        if begin > 0 {
            pieces.push(Piece::Text(rest[..begin].to_owned()));
        }
        let length = end_of_braces(&rest[begin..]).context("a { is not closed")?;
        let inner = &rest[begin + 1..begin + length - 1];
        pieces.push(Piece::Braces(inner.trim().to_owned()));
        rest = &rest[begin + length..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

/// How long the braces are that a text begins with; those in quotes are none.
pub(super) fn end_of_braces(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            _ if is_escaped => is_escaped = false,
            (_, '\\') => is_escaped = true,
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '}') => return Some(at + 1),
            (None, _) => {}
        }
    }
    None
}

fn unquoted(text: &str) -> Result<String> {
    let mut characters = text.chars();
    let quote = characters.next();
    let mut inner = String::new();
    while let Some(character) = characters.next() {
        match character {
            '\\' => inner.push(match characters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(other) => other,
                None => bail!("{text} is not closed"),
            }),
            _ if Some(character) == quote && characters.as_str().is_empty() => return Ok(inner),
            _ if Some(character) == quote => bail!("{text} has something behind its quotes"),
            _ => inner.push(character),
        }
    }
    bail!("{text} is not closed")
}

/// A path of kubectl's as one of RFC 9535.
fn query(path: &str) -> Result<Query> {
    let mut characters = path.chars().peekable();
    let _root = characters.next_if(|c| matches!(c, '$' | '@'));
    let mut made = "$".to_owned();
    // The object itself.
    if path == "." {
        return Ok(Query(made));
    }
    // kubectl takes `metadata.name` for `.metadata.name`.
    if characters.peek().is_some_and(|c| is_of_name(*c)) {
        made.push_str(&quoted(&name(&mut characters)));
    }
    steps(&mut characters, &mut made)?;
    if let Some(character) = characters.next() {
        bail!("{character:?} has no place in it");
    }
    parse_json_path(&made).map_err(|_| anyhow!("its parts are not in order ({made})"))?;
    Ok(Query(made))
}

type Text<'a> = Peekable<Chars<'a>>;

fn steps(path: &mut Text<'_>, made: &mut String) -> Result<()> {
    loop {
        match path.peek() {
            Some('.') => {
                path.next();
                let is_deep = path.next_if_eq(&'.').is_some();
                made.push_str(if is_deep { ".." } else { "" });
                match path.peek() {
                    Some('*') => {
                        path.next();
                        made.push_str("[*]");
                    }
                    // As in `.items.[0]`.
                    Some('[') => {}
                    _ => match name(path) {
                        name if name.is_empty() => bail!("a name is missing behind a dot"),
                        name => made.push_str(&quoted(&name)),
                    },
                }
            }
            Some('[') => brackets(path, made)?,
            _ => return Ok(()),
        }
    }
}

/// Letters, digits, and signs that no operator has.
fn is_of_name(character: char) -> bool {
    character.is_alphanumeric() || "_-/:\\".contains(character)
}

/// With `\.` for a dot.
fn name(path: &mut Text<'_>) -> String {
    let mut name = String::new();
    while let Some(character) = path.next_if(|c| is_of_name(*c)) {
        name.extend(match character {
            '\\' => path.next(),
            other => Some(other),
        });
    }
    name
}

fn quoted(name: &str) -> String {
    let escaped = name.replace('\\', "\\\\").replace('\'', "\\'");
    format!("['{escaped}']")
}

/// `[0]`, `[*]`, `['a']`, `[?(@.a=="b")]`: as they are, but for the paths in them.
fn brackets(path: &mut Text<'_>, made: &mut String) -> Result<()> {
    let mut depth = 0;
    while let Some(character) = path.next() {
        made.push(character);
        match character {
            '[' => depth += 1,
            ']' => depth -= 1,
            '"' | '\'' => quote(path, made, character)?,
            '@' | '$' => steps(path, made)?,
            _ => {}
        }
        if depth == 0 {
            return Ok(());
        }
    }
    bail!("a [ is not closed")
}

fn quote(path: &mut Text<'_>, made: &mut String, end: char) -> Result<()> {
    while let Some(character) = path.next() {
        made.push(character);
        match character {
            '\\' => made.extend(path.next()),
            _ if character == end => return Ok(()),
            _ => {}
        }
    }
    bail!("a {end} is not closed")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list() -> Value {
        let pod = |name: &str, ready: &str, restarts: u32| {
            json!({
                "metadata": { "name": name, "labels": { "example.org/app": "web", "a-b": "c" } },
                "status": {
                    "conditions": [{ "type": "Initialized", "status": "True" }, { "type": "Ready", "status": ready }],
                    "containerStatuses": [{ "restartCount": restarts, "ready": true }],
                },
            })
        };
        json!({ "kind": "List", "items": [pod("web", "True", 0), pod("client", "False", 3)] })
    }

    #[test]
    fn templates_print_what_kubectl_prints() {
        for (template, expected) in [
            ("{.kind}", "List"),
            ("{$.kind}", "List"),
            ("{@.kind}", "List"),
            (".kind", "List"),
            ("kind: {.kind}\n", "kind: List\n"),
            ("{.items[*].metadata.name}", "web client"),
            ("{.items[0].metadata.name}", "web"),
            ("{.items[-1].metadata.name}", "client"),
            ("{.items[0:1].metadata.name}", "web"),
            ("{.items[1,0].metadata.name}", "client web"),
            ("{.items[*].metadata.labels.a-b}", "c c"),
            ("{.items[0].metadata.labels.example\\.org/app}", "web"),
            ("{.items[0].metadata.labels['example.org/app']}", "web"),
            ("{.items[0]['metadata'].name}", "web"),
            ("{..name}", "web client"),
            (
                "{.items[?(@.metadata.name=='client')].status.containerStatuses[0].restartCount}",
                "3",
            ),
            (
                "{.items[?(@.metadata.labels.a-b==\"c\")].metadata.name}",
                "web client",
            ),
            (
                "{.items[?(@.status.containerStatuses[0].restartCount > 0)].metadata.name}",
                "client",
            ),
            (
                "{.items[0].status.conditions[?(@.type==\"Ready\")].status}",
                "True",
            ),
            (
                "{.items[0].status.containerStatuses[0]}",
                r#"{"ready":true,"restartCount":0}"#,
            ),
            ("{.items[0].status.containerStatuses[0].ready}", "true"),
            ("{.items[9].metadata.name}{.nothing.at.all}", ""),
            (
                "{range .items[*]}{.metadata.name}{\"\\t\"}{.status.conditions[1].status}{'\\n'}{end}.",
                "web\tTrue\nclient\tFalse\n.",
            ),
            (
                "{range .items[*]}{range .status.conditions[*]}{.type} {end}{\"}\"}{end}",
                "Initialized Ready }Initialized Ready }",
            ),
            ("{.items[0].metadata.labels.*}", "c web"),
            ("{ .kind }", "List"),
            ("text", "text"),
        ] {
            let parsed: Template = template.parse().unwrap();
            assert_eq!(parsed.text(&list()).unwrap(), expected, "{template}");
        }
        for (template, why) in [
            ("", "is no JSONPath"),
            ("{.kind", "a { is not closed"),
            ("{.items[0}", "a [ is not closed"),
            ("{.items[one]}", "$['items'][one]"),
            ("{.a..}", "a name is missing behind a dot"),
            ("{range .items[*]}{.a}", "without an {end}"),
            ("{end}", "without a {range ...}"),
            ("{\"a}", "a { is not closed"),
            ("{\"a\" b}", "behind its quotes"),
            ("{.a b}", "' ' has no place in it"),
            ("{.items[?(@.a=~\"b\")]}", "is no JSONPath"),
        ] {
            let error = format!("{:#}", template.parse::<Template>().unwrap_err());
            assert!(error.contains(why), "{template}: {error}");
        }
    }

    #[test]
    fn a_path_of_its_own_may_have_no_braces() {
        let list = list();
        for text in [
            "{.items[0].metadata.name}",
            ".items[0].metadata.name",
            "items[0].metadata.name",
        ] {
            let query: Query = text.parse().unwrap();
            assert_eq!(query.values(&list).unwrap(), [&json!("web")], "{text}");
        }
        assert!("{.a} b".parse::<Query>().is_err());
    }
}
