//! Why a document could not be read, in the words of someone who writes JSON.

use serde::de::{Expected, Unexpected};

/// Why a value could not be read, and where; becomes a [`crate::json::JsonError`] at the edge.
#[derive(Debug)]
pub(super) struct Failure {
    /// `ipam.ranges[0][1].subnet`; grows from the right while the error travels up.
    key: String,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// JSON of one type where another is wanted.
    Type { found: String, wanted: String },
    /// A key that a type cannot do without.
    Missing(&'static str),
    /// A type's own text, which stands alone.
    Own(String),
}

impl Failure {
    fn new(why: Why) -> Self {
        Self {
            key: String::new(),
            why,
        }
    }

    pub(super) fn under_key(mut self, key: &str) -> Self {
        let dot = if self.key.is_empty() || self.key.starts_with('[') {
            ""
        } else {
            "."
        };
        self.key = format!("{key}{dot}{}", self.key);
        self
    }

    pub(super) fn under_index(mut self, index: usize) -> Self {
        let dot = if self.key.is_empty() || self.key.starts_with('[') {
            ""
        } else {
            "."
        };
        self.key = format!("[{index}]{dot}{}", self.key);
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.why {
            Why::Own(text) => f.write_str(text),
            Why::Type { found, wanted } if self.key.is_empty() => {
                write!(f, "json: cannot unmarshal {found} into {wanted}")
            }
            Why::Type { found, wanted } => {
                write!(
                    f,
                    "json: cannot unmarshal {found} into key \"{}\" of type {wanted}",
                    self.key
                )
            }
            Why::Missing(field) if self.key.is_empty() => {
                write!(f, "json: key \"{field}\" is missing")
            }
            Why::Missing(field) => write!(f, "json: key \"{}.{field}\" is missing", self.key),
        }
    }
}

impl std::error::Error for Failure {}

impl serde::de::Error for Failure {
    fn custom<T: std::fmt::Display>(text: T) -> Self {
        Self::new(Why::Own(text.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::new(Why::Type {
            found: found_text(found),
            wanted: wanted_text(&wanted.to_string()),
        })
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::invalid_type(found, wanted)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Why::Missing(field))
    }
}

fn found_text(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(_) => "bool".to_owned(),
        Unexpected::Unsigned(n) => format!("number {n}"),
        Unexpected::Signed(n) => format!("number {n}"),
        Unexpected::Float(n) => format!("number {n:?}"),
        Unexpected::Str(_) | Unexpected::Char(_) => "string".to_owned(),
        Unexpected::Unit | Unexpected::Option => "null".to_owned(),
        Unexpected::Seq => "array".to_owned(),
        Unexpected::Map => "object".to_owned(),
        other => other.to_string(),
    }
}

/// Serde's word for a Rust type in the words of someone who writes JSON.
fn wanted_text(wanted: &str) -> String {
    let text = match wanted {
        "a boolean" => "bool",
        "a string" => "string",
        "a sequence" => "array",
        "a map" => "object",
        "u8" => "integer (0 to 255)",
        "u16" => "integer (0 to 65535)",
        "u32" => "integer (0 to 4294967295)",
        "u64" | "usize" => "integer (0 or more)",
        "i8" | "i16" | "i32" | "i64" | "isize" => "integer",
        "f32" | "f64" => "number",
        _ if wanted.starts_with("struct ") => "object",
        other => other,
    };
    text.to_owned()
}
