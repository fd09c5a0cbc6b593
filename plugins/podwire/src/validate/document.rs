//! A JSON document whose values know where they stand.

use jsonc_parser::{
    CollectOptions, ParseOptions,
    ast::{Object, ObjectProp, Value},
    common::Ranged as _,
    parse_to_ast,
};

/// A document that is JSON.
pub(super) struct Document<'t> {
    /// Its value.
    pub(super) root: Value<'t>,
}

/// Why a document is no JSON, and at which byte that shows.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) offset: usize,
    pub(super) text: String,
}

impl<'t> Document<'t> {
    /// What JSON is, is judged by the reader that plugins have; the other one knows the places.
    ///
    /// # Errors
    /// The text is no JSON.
    pub(super) fn parse(text: &'t str) -> Result<Self, Problem> {
        serde_json::from_str::<serde::de::IgnoredAny>(text)
            .map_err(|error| not_json(text, &error))?;
        let strict = ParseOptions {
            allow_comments: false,
            allow_loose_object_property_names: false,
            allow_trailing_commas: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            ..ParseOptions::default()
        };
        let parsed = parse_to_ast(text, &CollectOptions::default(), &strict);
        match parsed.map(|result| result.value) {
            Ok(Some(root)) => Ok(Self { root }),
            Ok(None) => Err(Problem {
                offset: 0,
                text: "it is empty".to_owned(),
            }),
            Err(error) => Err(Problem {
                offset: error.range().start,
                text: error.kind().to_string(),
            }),
        }
    }
}

fn not_json(text: &str, error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    let what = message.split(" at line ").next().unwrap_or_default();
    let line = text
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1));
    let offset = line.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    Problem {
        offset,
        text: format!("this is no JSON: {what}"),
    }
}

/// Where a property begins, and so its key.
pub(super) fn key_place(property: &ObjectProp<'_>) -> usize {
    property.range.start
}

/// Where a value begins.
pub(super) fn place(value: &Value<'_>) -> usize {
    value.start()
}

/// What JSON calls the value's type, with its article.
pub(super) fn kind(value: &Value<'_>) -> &'static str {
    match value {
        Value::StringLit(_) => "a string",
        Value::NumberLit(_) => "a number",
        Value::BooleanLit(_) => "a boolean",
        Value::Object(_) => "an object",
        Value::Array(_) => "an array",
        Value::NullKeyword(_) => "null",
    }
}

/// The property that a plugin reads under `key`: the last that equals it without regard to case.
pub(super) fn find<'o, 't>(object: &'o Object<'t>, key: &str) -> Option<&'o ObjectProp<'t>> {
    let mut properties = object.properties.iter().rev();
    properties.find(|property| {
        property.name.as_str().eq_ignore_ascii_case(key)
            && !matches!(property.value, Value::NullKeyword(_))
    })
}

/// The same, where it is a string.
pub(super) fn string<'o>(object: &'o Object<'_>, key: &str) -> Option<(usize, &'o str)> {
    let property = find(object, key)?;
    let text = property.value.as_string_lit()?;
    Some((text.range.start, text.value.as_ref()))
}
