//! Paths: from a value to others in it.

use std::cmp::Ordering;
use std::num::NonZeroUsize;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Each step leads on from all values that the one before it led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(pub(super) Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `.name`
    Field(String),
    /// `.*`
    Children,
    /// `..`: the value, and all in it that has something in it.
    Descendants,
    /// `[0]`, and `[-1]` from the end.
    Index(i64),
    /// `[0:2]`, `[:-1]`, `[::2]`, `[*]`
    Slice {
        first: Option<i64>,
        end: Option<i64>,
        every: NonZeroUsize,
    },
    /// `[0,2]`: where one leads from all values, then where the next does.
    Union(Vec<Path>),
    /// `[?(@.a)]`, `[?(@.a=="b")]`: those of a list.
    Filter {
        left: Path,
        right: Option<(Comparison, Path)>,
    },
    /// Text in quotes, a number, `true` or `false`.
    Literal(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Path {
    /// # Errors
    /// A step needs a list and the value is none, or one that is too short; values that cannot be compared.
    pub(super) fn values<'a>(&'a self, from: &'a Value) -> Result<Vec<&'a Value>> {
        self.values_of(vec![from])
    }

    fn values_of<'a>(&'a self, from: Vec<&'a Value>) -> Result<Vec<&'a Value>> {
        let mut steps = self.0.iter();
        steps.try_fold(from, |values, step| step.values(&values))
    }
}

impl Step {
    fn values<'a>(&'a self, from: &[&'a Value]) -> Result<Vec<&'a Value>> {
        let mut found = Vec::new();
        match self {
            Self::Literal(value) => found.push(value),
            Self::Union(paths) => {
                for path in paths {
                    found.extend(path.values_of(from.to_vec())?);
                }
            }
            Self::Field(name) => found.extend(from.iter().filter_map(|value| value.get(name))),
            Self::Children => found.extend(from.iter().flat_map(|value| children(value))),
            Self::Descendants => from.iter().for_each(|value| descend(value, &mut found)),
            Self::Index(index) => {
                for list in lists(from)? {
                    found.push(&list[place(*index, list.len())?]);
                }
            }
            Self::Slice { first, end, every } => {
                for list in lists(from)? {
                    let part = part(list, *first, *end)?;
                    found.extend(part.iter().step_by(every.get()));
                }
            }
            Self::Filter { left, right } => {
                for value in lists(from)?.into_iter().flatten() {
                    if passes(value, left, right.as_ref())? {
                        found.push(value);
                    }
                }
            }
        }
        Ok(found)
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}

fn descend<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    let children = children(value);
    // To kubectl, text has its characters in it.
    if !children.is_empty() || value.as_str().is_some_and(|text| !text.is_empty()) {
        found.push(value);
    }
    for child in children {
        descend(child, found);
    }
}

/// Those that are there.
fn lists<'a>(values: &[&'a Value]) -> Result<Vec<&'a [Value]>> {
    let there = values.iter().filter(|value| !value.is_null());
    let list = |value: &&'a Value| match *value {
        Value::Array(list) => Ok(&list[..]),
        Value::Object(_) => bail!("an object is no list: give ['name'] or .name"),
        other => bail!("{other} is no list"),
    };
    there.map(list).collect()
}

/// Of an index that may count from the end.
fn place(index: i64, length: usize) -> Result<usize> {
    let place = from_begin(index, length).filter(|place| *place < length);
    place.with_context(|| format!("[{index}] is not in a list of {length}"))
}

fn from_begin(index: i64, length: usize) -> Option<usize> {
    let magnitude = usize::try_from(index.unsigned_abs()).ok()?;
    match index < 0 {
        true => length.checked_sub(magnitude),
        false => Some(magnitude),
    }
}

fn part(list: &[Value], first: Option<i64>, end: Option<i64>) -> Result<&[Value]> {
    let length = list.len();
    let begin = from_begin(first.unwrap_or(0), length);
    let end_of = end.map_or(Some(length), |end| from_begin(end, length));
    let part = match (begin, end_of) {
        (Some(begin), Some(end)) if begin == end => Some(&list[..0]),
        (Some(begin), Some(end)) => list.get(begin..end),
        _ => None,
    };
    part.with_context(|| {
        let shown = |index: Option<i64>| index.map(|index| index.to_string()).unwrap_or_default();
        let (first, end) = (shown(first), shown(end));
        format!("[{first}:{end}] is not in a list of {length}")
    })
}

/// What is not there passes no comparison.
fn passes(value: &Value, left: &Path, right: Option<&(Comparison, Path)>) -> Result<bool> {
    let lefts = left.values(value)?;
    let Some((comparison, right)) = right else {
        return Ok(!lefts.is_empty());
    };
    match (&lefts[..], &right.values(value)?[..]) {
        ([], _) | (_, []) => Ok(false),
        ([left], [right]) => comparison.holds(left, right),
        _ => bail!("a filter compares one value with one, and here are several"),
    }
}

impl Comparison {
    fn holds(self, left: &Value, right: &Value) -> Result<bool> {
        let order =
            order(left, right).with_context(|| format!("{left} and {right} cannot be compared"))?;
        Ok(match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::More => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        })
    }
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => match (left.as_i128(), right.as_i128()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
        },
        _ => None,
    }
}
