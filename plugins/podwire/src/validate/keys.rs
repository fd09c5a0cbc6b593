//! An object against the schema of what reads it.
use std::net::IpAddr;

use jsonc_parser::ast::{Object, StringLit, Value};
use serde_json::Value as Schema;

use super::{
    document::{key_place, kind, place},
    finding::Findings,
};
use crate::likely::likely;

/// How keys are matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// As plugins do: without regard to case.
    Ignored,
    /// As libcni reads a list.
    Exact,
}

/// Judges the keys and values of `object`, which `reader` reads.
pub(super) fn judge(
    reader: &str,
    object: &Object<'_>,
    schema: &Schema,
    case: Case,
    findings: &mut Findings<'_>,
) {
    Judge {
        reader,
        case,
        findings,
    }
    .object(object, schema);
}

struct Judge<'j, 'f> {
    reader: &'j str,
    case: Case,
    findings: &'j mut Findings<'f>,
}

impl Judge<'_, '_> {
    fn object(&mut self, object: &Object<'_>, schema: &Schema) {
        if schema["properties"].is_object() {
            self.duplicates(object);
        }
        for property in &object.properties {
            let key = property.name.as_str();
            let place = key_place(property);
            if let Some(told) = schema["properties"].get(key) {
                self.value(key, &property.value, told);
            } else if let Some((right, told)) = self.in_other_case(schema, key) {
                let text = format!("{key:?} is read as {right:?}; that is how it is written");
                self.findings.warning(place, text);
                self.value(right, &property.value, told);
            } else if schema["additionalProperties"].is_object() {
                self.value(key, &property.value, &schema["additionalProperties"]);
            } else if schema["additionalProperties"] != true && !is_comment(key) {
                let text = self.unknown(key, schema);
                self.findings.warning(place, text);
            }
        }
    }

    fn in_other_case<'s>(&self, schema: &'s Schema, key: &str) -> Option<(&'s str, &'s Schema)> {
        let mut properties = schema["properties"].as_object()?.iter();
        let found = properties.find(|(name, _)| name.eq_ignore_ascii_case(key));
        let found = found.filter(|_| self.case == Case::Ignored);
        found.map(|(name, told)| (name.as_str(), told))
    }

    /// Of keys that are the same the last is read.
    fn duplicates(&mut self, object: &Object<'_>) {
        for (index, property) in object.properties.iter().enumerate() {
            let key = property.name.as_str();
            let is_same = |other: &str| match self.case {
                Case::Ignored => other.eq_ignore_ascii_case(key),
                Case::Exact => other == key,
            };
            let later = &object.properties[index + 1..];
            if later.iter().any(|other| is_same(other.name.as_str())) {
                let text = format!("{key:?} stands here again below, and the last one is read");
                self.findings.warning(key_place(property), text);
            }
        }
    }

    fn unknown(&self, key: &str, schema: &Schema) -> String {
        let reader = self.reader;
        let known = schema["properties"].as_object().into_iter().flatten();
        match likely(key, known.map(|(known, _)| known.as_str())) {
            Some(likely) => format!("{reader} has no key {key:?}; is {likely:?} meant?"),
            None => format!("{reader} has no key {key:?}, and passes over it"),
        }
    }

    fn value(&mut self, key: &str, value: &Value<'_>, schema: &Schema) {
        match (schema["type"].as_str(), value) {
            // The default.
            (_, Value::NullKeyword(_)) | (None, _) => {}
            (Some("object"), Value::Object(object)) => self.object(object, schema),
            (Some("array"), Value::Array(array)) => {
                for element in &array.elements {
                    self.value(key, element, &schema["items"]);
                }
            }
            (Some("string"), Value::StringLit(text)) => self.string(key, text, schema),
            (Some("boolean"), Value::BooleanLit(_)) => {}
            (Some("integer"), Value::NumberLit(number)) => match number.value.parse::<i128>() {
                Ok(integer) => self.bounds(key, number.range.start, integer, schema),
                Err(_) => {
                    let text = format!("{key:?} must be an integer, not {}", number.value);
                    self.findings.error(number.range.start, text);
                }
            },
            (Some("number"), Value::NumberLit(_)) => {}
            (Some(wanted), found) => {
                let text = format!("{key:?} must be {}, not {}", article(wanted), kind(found));
                self.findings.error(place(found), text);
            }
        }
    }

    fn bounds(&mut self, key: &str, place: usize, value: i128, schema: &Schema) {
        let bound = |word: &str| schema[word].as_i64().map(i128::from);
        let (low, high) = (bound("minimum"), bound("maximum"));
        if low.is_some_and(|low| value < low) || high.is_some_and(|high| value > high) {
            let allowed = match (low, high) {
                (Some(low), Some(high)) => format!("from {low} to {high}"),
                (Some(low), None) => format!("{low} or more"),
                (_, high) => format!("{} or less", high.unwrap_or_default()),
            };
            let text = format!("{key:?} must be {allowed}, not {value}");
            self.findings.error(place, text);
        }
    }

    /// An empty text is no text, where anything but a text is wanted.
    fn string(&mut self, key: &str, text: &StringLit<'_>, schema: &Schema) {
        let value = text.value.as_ref();
        let problem = match (&schema["enum"], schema["format"].as_str()) {
            _ if value.is_empty() => None,
            (Schema::Array(words), _) if !words.iter().any(|word| word == value) => {
                let words: Vec<String> = words.iter().map(Schema::to_string).collect();
                Some(format!("must be {}", words.join(" or ")))
            }
            (_, Some("ip")) if value.parse::<IpAddr>().is_err() => {
                Some("must be an IP address".to_owned())
            }
            (_, Some("cidr")) if cni::json::parse_cidr(value).is_err() => {
                Some("must be a network, address/prefix".to_owned())
            }
            _ => length(value, schema),
        };
        if let Some(problem) = problem {
            let text_ = format!("{key:?} {problem}, not {value:?}");
            self.findings.error(text.range.start, text_);
        }
    }
}

fn length(value: &str, schema: &Schema) -> Option<String> {
    let most = schema["maxLength"].as_u64()?;
    let is_too_long = value.len() as u64 > most;
    is_too_long.then(|| format!("must have {most} bytes at most"))
}

/// Whether the key is one that people write comments under.
fn is_comment(key: &str) -> bool {
    key.starts_with(['_', '/', '#'])
}

fn article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {kind}")
}
