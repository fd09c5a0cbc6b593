//! JSONPath as kubectl writes it: `{.items[*].metadata.name}`, with text, `{"\n"}` and `{range ...}{end}` around it.
//!
//! The rules are those of k8s.io/client-go/util/jsonpath, which are not RFC 9535's: `['a.b']` are two steps, an index
//! that is not in its list is an error, and a path does not begin with `$`. A field that is not there is no value, and
//! is printed as nothing.

mod parse;
mod path;

use std::str::FromStr;

use anyhow::{Context, Error, Result, anyhow, bail};
use serde_json::Value;

use path::Path;

/// How many ranges there may be in each other.
const MOST_RANGES: usize = 16;

/// A path from an object to values in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    text: String,
    path: Path,
}

impl Query {
    fn parse(text: &str) -> Result<Self> {
        Ok(Self {
            path: parse::path(text)?,
            text: text.to_owned(),
        })
    }

    /// What the path leads to.
    ///
    /// # Errors
    /// The path needs a list where none is, or one that is longer, or compares what cannot be compared.
    pub(super) fn values<'a>(&'a self, object: &'a Value) -> Result<Vec<&'a Value>> {
        let values = self.path.values(object);
        values.with_context(|| format!("JSONPath {{{}}}", self.text))
    }
}

/// `.status.phase`, `$.status.phase`, `status.phase`, in braces or not.
impl FromStr for Query {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let inner = text
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        let inner = inner.unwrap_or(text).trim();
        match parse::word(inner) {
            ("", _) => Self::parse(inner),
            _ => Self::parse(&format!(".{inner}")),
        }
        .map_err(|why| refused(&why))
    }
}

/// In one line, and without the text: whoever reads command lines shows it.
fn refused(why: &Error) -> Error {
    anyhow!("it is no JSONPath, {why:#}: give one like {{.items[*].metadata.name}}")
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
            return Err(refused(&anyhow!("it is empty")));
        }
        // Nobody wants to print the path itself.
        if text.starts_with(['.', '$']) && !text.contains('{') {
            return Ok(Self(vec![Part::Values(text.parse()?)]));
        }
        template(text).map(Self).map_err(|why| refused(&why))
    }
}

fn template(text: &str) -> Result<Vec<Part>> {
    // The innermost range that is open comes last.
    let mut open: Vec<(Query, Vec<Part>)> = Vec::new();
    let mut parts = Vec::new();
    for piece in pieces(text)? {
        let part = match piece {
            Piece::Text(text) => Part::Text(text.to_owned()),
            Piece::Braces(inner) => match parse::word(inner) {
                ("range", _) if open.len() == MOST_RANGES => {
                    bail!("there are more than {MOST_RANGES} {{range ...}} in each other")
                }
                ("range", path) => {
                    open.push((Query::parse(path.trim())?, std::mem::take(&mut parts)));
                    continue;
                }
                ("end", "") => match open.pop() {
                    None => bail!("there is an {{end}} without a {{range ...}}"),
                    Some((query, outside)) => {
                        Part::Range(query, std::mem::replace(&mut parts, outside))
                    }
                },
                _ => Part::Values(Query::parse(inner)?),
            },
        };
        parts.push(part);
    }
    match open.is_empty() {
        true => Ok(parts),
        false => bail!("there is a {{range ...}} without an {{end}}"),
    }
}

enum Piece<'t> {
    Text(&'t str),
    /// What is between braces.
    Braces(&'t str),
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find('{') {
        if begin > 0 {
            pieces.push(Piece::Text(&rest[..begin]));
        }
        let length = length_of_braces(&rest[begin..]).context("a { is not closed")?;
        pieces.push(Piece::Braces(rest[begin + 1..begin + length - 1].trim()));
        rest = &rest[begin + length..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

/// How long the braces are that a text begins with; those in quotes are none.
pub(super) fn length_of_braces(text: &str) -> Option<usize> {
    parse::find(text, |c| c == '}').map(|end| end + 1)
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
            ("{.items[0].metadata.labels['example\\.org/app']}", "web"),
            ("{.items[0].metadata.labels['example.org/app']}", ""),
            (
                "{.items[0].metadata.labels['a-b','example\\.org/app']}",
                "c web",
            ),
            (
                "{.items[*]['metadata.name', 'metadata.labels.a-b']}",
                "web client c c",
            ),
            ("{.items[0]['metadata']['labels.*']}", "c web"),
            ("{.items[-1:]['metadata.name']}", "client"),
            ("{.items[:-1].metadata.name}", "web"),
            ("{.items[::2].metadata.name}", "web"),
            ("{.items[0:0].metadata.name}", ""),
            ("{.items.[0].metadata.name}", "web"),
            ("{.items[0] .metadata .name}", "web"),
            ("{...name}", "web client"),
            (
                "{.items[0].status.containerStatuses..}",
                r#"[{"ready":true,"restartCount":0}] {"ready":true,"restartCount":0}"#,
            ),
            (
                "{range .items[0].metadata.labels.*}{@},{end}{$.kind}",
                "c,web,List",
            ),
            ("{range.items[*]}{ .metadata.name } { end }", "web client "),
            ("{range .nothing[*]}{.a}{end}", ""),
            ("{.items[?(@.metadata.name)].metadata.name}", "web client"),
            ("{.items[?(@.nothing)].metadata.name}", ""),
            ("{.items[?(@.nothing == 'a')].metadata.name}", ""),
            (
                "{.items[?(@.metadata.name != \"web\")].metadata.name}",
                "client",
            ),
            (
                "{.items[?(@.metadata.labels.example\\.org/app=='web')].metadata.name}",
                "web client",
            ),
            ("{.items[?(@..ready==true)].metadata.name}", "web client"),
            (
                "{.items[*].status.containerStatuses[?(@.restartCount>=-1.5)].restartCount}",
                "0 3",
            ),
            (
                "{.items[*].status.containerStatuses[?(@.restartCount<=0)].restartCount}",
                "0",
            ),
            (
                "{.items[*].status.containerStatuses[?(3<@.restartCount)].restartCount}",
                "",
            ),
            ("{\"{\"}{'a \"}\" \\' b'}{\"\\\\\"}", "{a \"}\" ' b\\"),
            ("{@.items[0].metadata.name}} {.kind}", "web} List"),
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
            ("{.nothing.at.all}{.items.name}{.kind.name}", ""),
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
            (
                "{.items[9].metadata.name}",
                "JSONPath {.items[9].metadata.name}: [9] is not in a list of 2",
            ),
            ("{.items[-3]}", "[-3] is not in a list of 2"),
            ("{.items[0:3]}", "[0:3] is not in a list of 2"),
            ("{.items[1:0]}", "[1:0] is not in a list of 2"),
            ("{.items[-9223372036854775808]}", "is not in a list of 2"),
            (
                "{.metadata[0]}{.items[0].metadata[0]}",
                "an object is no list: give ['name'] or .name",
            ),
            ("{.kind[*]}", "\"List\" is no list"),
            (
                "{.items[0].metadata.labels[?(@.a)]}",
                "an object is no list",
            ),
            (
                "{.items[?(@.metadata.name>3)]}",
                "\"web\" and 3 cannot be compared",
            ),
            (
                "{.items[?(@.metadata.labels.*=='web')]}",
                "compares one value with one",
            ),
        ] {
            let parsed: Template = template.parse().unwrap();
            let error = format!("{:#}", parsed.text(&list()).unwrap_err());
            assert!(error.contains(why), "{template}: {error}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused_with_the_reason() {
        for (template, why) in [
            ("", "it is empty"),
            ("{.kind", "a { is not closed"),
            ("{.items[0}", "a [ is not closed"),
            ("{.items[one]}", "\"one\" is no place in a list"),
            ("{.items[]}", "\"\" is no place in a list"),
            ("{.items[::0]}", "\"::0\" is no place in a list"),
            ("{.items[0,]}", "\"\" is no place in a list"),
            ("{.items['a b']}", "\"b\" is no word of it"),
            ("{.a.}", "a name is missing behind a dot"),
            ("{....a}", "too many dots"),
            ("{range .items[*]}{.a}", "without an {end}"),
            ("{end}", "without a {range ...}"),
            ("{\"a}", "a { is not closed"),
            ("{\"\\x41\"}", "there is no \\x in quotes"),
            ("{.a, .b}", "',' has no place in it"),
            (
                "{\"a\" b}",
                "\"b\" is no word of it (a field has a dot before it)",
            ),
            ("{.a b}", "\"b\" is no word of it"),
            ("{rnage .items[*]}", "\"rnage\" is no word of it"),
            ("{1.2.3}", "\"1.2.3\" is no number"),
            ("{.items[?(@.a=~\"b\")]}", "\"=~\" compares nothing"),
            ("{.items[?(@.a==)]}", "a filter has nothing to look at"),
            ("{.items[?(@.a==\"b\"]}", "is not closed by )]"),
        ] {
            let error = format!("{:#}", template.parse::<Template>().unwrap_err());
            assert!(error.contains(why), "{template}: {error}");
            assert!(error.starts_with("it is no JSONPath, "), "{error}");
        }
    }

    #[test]
    fn no_template_is_too_deep_for_the_stack() {
        let many = |text: &str| text.repeat(100_000);
        for (template, why) in [
            (many("{range .a}"), "more than 16 {range ...} in each other"),
            (many("{range"), "a { is not closed"),
            (format!("{{{}}}", many("[")), "a [ is not closed"),
            (format!("{{{}}}", many("['")), "a [ is not closed"),
            (
                format!("{{{}{}}}", many("["), many("]")),
                "is no place in a list",
            ),
            (format!("{{{}}}", many("[?(")), "is not closed by )]"),
            (
                format!("{{{}{}}}", many("[?("), many(")]")),
                "is not closed by )]",
            ),
            (format!("{{{}}}", many(".a'[?(")), "is not closed by )]"),
            (format!("{{{}}}", many("..")), "too many dots"),
        ] {
            let error = format!("{:#}", template.parse::<Template>().unwrap_err());
            assert!(error.contains(why), "{}: {error}", &template[..20]);
            assert!(error.len() < 300, "{why}");
        }
        let deep: Template = format!("{{{}}}", many(".a")).parse().unwrap();
        assert_eq!(deep.text(&list()).unwrap(), "");
        let most = ["{range .items[*]}", "{end}"].map(|each| each.repeat(MOST_RANGES));
        assert!(most.concat().parse::<Template>().is_ok());
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
