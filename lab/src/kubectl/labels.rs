//! Which objects a command is about, by their labels: `app=web,tier!=db`, `app in (web, api)`, `!canary`.
//!
//! The grammar is that of Kubernetes' selectors (k8s.io/apimachinery/pkg/labels).

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::str::FromStr;
use std::vec::IntoIter;

use anyhow::{Context, Result, anyhow, bail};

/// What labels have to be; all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    wanted: Wanted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// A label with this key, whatever its value.
    Exists,
    /// No label with this key.
    Missing,
    /// One of these values.
    In(BTreeSet<String>),
    /// None of these values, or no label with this key.
    NotIn(BTreeSet<String>),
    MoreThan(i64),
    LessThan(i64),
}

impl Selector {
    /// Whether an object with these labels is meant.
    pub(super) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            requirement.wanted.is_met(value.map(String::as_str))
        })
    }
}

impl Wanted {
    fn is_met(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::Exists => value.is_some(),
            Self::Missing => value.is_none(),
            Self::In(values) => value.is_some_and(|value| values.contains(value)),
            Self::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Self::MoreThan(least) => number().is_some_and(|number| number > *least),
            Self::LessThan(most) => number().is_some_and(|number| number < *most),
        }
    }
}

impl FromStr for Selector {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        // In one line, and without the text: whoever reads command lines shows it.
        requirements(text).map(Self).map_err(|why| {
            anyhow!(
                "it is no selector, {why:#}: give app=web, app!=web, \"app in (web, api)\", \"app notin (web)\", app, \
                 \"!app\", or several with commas between them"
            )
        })
    }
}

/// A word, or a sign.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Sign(&'static str),
}

const SIGNS: [&str; 9] = ["==", "!=", "=", "!", ">", "<", "(", ")", ","];

fn tokens(mut text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    loop {
        text = text.trim_start();
        if text.is_empty() {
            return tokens;
        }
        if let Some(sign) = SIGNS.into_iter().find(|sign| text.starts_with(sign)) {
            tokens.push(Token::Sign(sign));
            text = &text[sign.len()..];
            continue;
        }
        let ends = |c: char| c.is_whitespace() || "=!><(),".contains(c);
        let (word, rest) = text.split_at(text.find(ends).unwrap_or(text.len()));
        tokens.push(Token::Word(word.to_owned()));
        text = rest;
    }
}

type Tokens = Peekable<IntoIter<Token>>;

fn requirements(text: &str) -> Result<Vec<Requirement>> {
    let mut tokens = tokens(text).into_iter().peekable();
    let mut requirements = Vec::new();
    if tokens.peek().is_none() {
        bail!("it is empty");
    }
    loop {
        requirements.push(requirement(&mut tokens)?);
        match tokens.next() {
            None => return Ok(requirements),
            Some(Token::Sign(",")) => {}
            Some(other) => bail!("a comma has to be before {}", shown(Some(&other))),
        }
    }
}

fn requirement(tokens: &mut Tokens) -> Result<Requirement> {
    if tokens.next_if_eq(&Token::Sign("!")).is_some() {
        return Ok(Requirement {
            key: key(tokens)?,
            wanted: Wanted::Missing,
        });
    }
    Ok(Requirement {
        key: key(tokens)?,
        wanted: wanted(tokens)?,
    })
}

fn key(tokens: &mut Tokens) -> Result<String> {
    match tokens.next() {
        Some(Token::Word(key)) => match manifest::wrong_with_key(&key) {
            Some(wrong) => bail!(wrong),
            None => Ok(key),
        },
        other => bail!(
            "the key of a label has to be before {}",
            shown(other.as_ref())
        ),
    }
}

fn wanted(tokens: &mut Tokens) -> Result<Wanted> {
    let of_one = |value: String| BTreeSet::from([value]);
    match tokens.peek() {
        None | Some(Token::Sign(",")) => return Ok(Wanted::Exists),
        _ => {}
    }
    Ok(match tokens.next() {
        Some(Token::Sign("=" | "==")) => Wanted::In(of_one(value(tokens)?)),
        Some(Token::Sign("!=")) => Wanted::NotIn(of_one(value(tokens)?)),
        Some(Token::Sign(">")) => Wanted::MoreThan(number(tokens)?),
        Some(Token::Sign("<")) => Wanted::LessThan(number(tokens)?),
        Some(Token::Word(word)) if word == "in" => Wanted::In(values(tokens)?),
        Some(Token::Word(word)) if word == "notin" => Wanted::NotIn(values(tokens)?),
        other => bail!(
            "{} is none of =, !=, in, notin, > and <",
            shown(other.as_ref())
        ),
    })
}

/// A value may be empty.
fn value(tokens: &mut Tokens) -> Result<String> {
    let word = match tokens.next_if(|token| matches!(token, Token::Word(_))) {
        Some(Token::Word(word)) => word,
        _ => String::new(),
    };
    match manifest::wrong_with_value(&word) {
        Some(wrong) => bail!(wrong),
        None => Ok(word),
    }
}

fn number(tokens: &mut Tokens) -> Result<i64> {
    let word = value(tokens)?;
    word.parse()
        .with_context(|| format!("{word:?} is not a whole number"))
}

/// `(a, b)`
fn values(tokens: &mut Tokens) -> Result<BTreeSet<String>> {
    let mut values = BTreeSet::new();
    if tokens.next_if_eq(&Token::Sign("(")).is_none() {
        bail!("values have to be in parentheses");
    }
    loop {
        values.insert(value(tokens)?);
        match tokens.next() {
            Some(Token::Sign(",")) => {}
            Some(Token::Sign(")")) => return Ok(values),
            other => bail!(
                "a comma or a parenthesis has to be before {}",
                shown(other.as_ref())
            ),
        }
    }
}

fn shown(token: Option<&Token>) -> String {
    match token {
        None => "its end".to_owned(),
        Some(Token::Word(word)) => format!("{word:?}"),
        Some(Token::Sign(sign)) => format!("{sign:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_selected_as_by_kubernetes() {
        let labels = |text: &str| -> BTreeMap<String, String> {
            let pairs = text
                .split_whitespace()
                .filter_map(|pair| pair.split_once('='));
            pairs
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect()
        };
        for (selector, selected, others) in [
            ("app=web", "app=web", "app=api"),
            ("app==web", "app=web tier=a", ""),
            ("app!=web", "app=api", "app=web"),
            ("app!=web", "", "app=web"),
            ("app", "app=", "tier=a"),
            ("!app", "tier=a", "app="),
            (" ! app ", "", "app=web"),
            ("app=", "app=", "app=web"),
            ("app=,tier", "app= tier=a", "app="),
            ("app in (web, api)", "app=api", "app=db"),
            ("app in (web,)", "app=", "app=db"),
            ("app in(web)", "app=web", ""),
            ("app notin (web,api)", "", "app=web"),
            ("app notin (web),tier", "tier=a", "app=db"),
            (
                "example.org/app=web,tier in (a,b),!old",
                "example.org/app=web tier=b",
                "tier=b",
            ),
            ("n>3,n<10", "n=4", "n=10"),
            ("n>3", "n=10", "n=x"),
            ("in in (in)", "in=in", "in=out"),
        ] {
            let parsed: Selector = selector.parse().unwrap();
            assert!(parsed.matches(&labels(selected)), "{selector}: {selected}");
            assert!(!parsed.matches(&labels(others)), "{selector}: {others}");
        }
        for (selector, why) in [
            ("", "it is empty"),
            ("=web", "the key of a label has to be before \"=\""),
            ("app=web,", "the key of a label has to be before its end"),
            ("app=web tier=a", "a comma has to be before \"tier\""),
            ("app web", "\"web\" is none of"),
            ("app in web", "in parentheses"),
            ("app in (web", "before its end"),
            ("app in (a b)", "before \"b\""),
            ("n>many", "is not a whole number"),
            ("a/b/c=d", "is not a key"),
            ("app=a/b", "is not a value"),
            ("!app=web", "a comma has to be before \"=\""),
        ] {
            let error = format!("{:#}", selector.parse::<Selector>().unwrap_err());
            assert!(error.contains(why), "{selector}: {error}");
        }
    }
}
