//! The protocol's error object and its codes (CNI specification, section "Error").

use std::error::Error as StdError;
use std::fmt;

use crate::json::{Node, print};

/// Error codes of the specification, section "Error", and the suite's catch-all 999.
pub mod code {
    /// A plugin died without an error object; made by the caller only.
    pub const UNKNOWN: u32 = 0;
    /// Incompatible CNI version.
    pub const INCOMPATIBLE_VERSION: u32 = 1;
    /// Unsupported field in the network configuration.
    pub const UNSUPPORTED_FIELD: u32 = 2;
    /// The container is unknown; the runtime need not clean up.
    pub const UNKNOWN_CONTAINER: u32 = 3;
    /// An environment variable is missing or invalid.
    pub const INVALID_ENVIRONMENT: u32 = 4;
    /// Input or output failed.
    pub const IO_FAILURE: u32 = 5;
    /// Content could not be decoded.
    pub const DECODING_FAILURE: u32 = 6;
    /// The network configuration is invalid.
    pub const INVALID_CONFIG: u32 = 7;
    /// The network namespace is invalid (the reference's library, not in the specification).
    pub const INVALID_NETNS: u32 = 8;
    /// Try again later.
    pub const TRY_AGAIN_LATER: u32 = 11;
    /// STATUS: the plugin cannot service ADD.
    pub const PLUGIN_NOT_AVAILABLE: u32 = 50;
    /// STATUS: the plugin cannot service ADD, and running containers may be impaired.
    pub const PLUGIN_LIMITED: u32 = 51;
    /// Every plain failure of a plugin, as in the reference plugins.
    pub const INTERNAL: u32 = 999;
}

/// `{code, msg, details?}`; keeps its cause.
#[derive(Debug)]
pub struct Error {
    /// See [`code`].
    pub code: u32,
    /// One line for people.
    pub msg: String,
    /// More of it; empty when there is none.
    pub details: String,
    /// What led to this error. Its text is already part of `msg` where `msg` tells it.
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without details and cause.
    pub fn new(code: u32, msg: impl Into<String>) -> Self {
        Self {
            code,
            msg: msg.into(),
            details: String::new(),
            source: None,
        }
    }

    /// Why ADD cannot be served, as STATUS says it: code 50. A configuration that is wrong is so in every command.
    #[must_use]
    pub fn for_status(self) -> Self {
        let code = match self.code {
            code::INVALID_CONFIG => self.code,
            _ => code::PLUGIN_NOT_AVAILABLE,
        };
        Self { code, ..self }
    }

    /// The same with `details`.
    pub fn with_details(self, details: impl Into<String>) -> Self {
        Self {
            details: details.into(),
            ..self
        }
    }

    /// Code 999 with the text of `cause` and its whole chain (`a: b: c`) as message. Where the
    /// chain holds a protocol error, that one is what the caller must see: it keeps its code,
    /// message and details.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let cause = match cause.into().downcast::<Self>() {
            Ok(error) => return *error,
            Err(cause) => cause,
        };
        let protocol_error = chain(&*cause).find_map(|link| link.downcast_ref::<Self>());
        let (code, msg, details) = match protocol_error {
            Some(inner) => (inner.code, inner.msg.clone(), inner.details.clone()),
            None => (code::INTERNAL, one_line(&*cause), String::new()),
        };
        Self {
            code,
            msg,
            details,
            source: Some(cause),
        }
    }

    /// Code 999 with a plain message.
    pub fn msg(msg: impl Into<String>) -> Self {
        Self::new(code::INTERNAL, msg)
    }

    /// `{context}: {msg}`, code and details kept.
    pub fn context(self, context: impl fmt::Display) -> Self {
        let msg = format!("{context}: {}", self.msg);
        Self { msg, ..self }
    }

    /// The error object as a plugin prints it: 4-space indent, no `cniVersion`, no newline at the
    /// end, `details` only when there are any.
    pub fn to_json(&self) -> String {
        let mut object = vec![
            ("code".to_owned(), Node::from(self.code)),
            ("msg".to_owned(), Node::from(self.msg.as_str())),
        ];
        if !self.details.is_empty() {
            object.push(("details".to_owned(), Node::from(self.details.as_str())));
        }
        print::pretty(&Node::Object(object))
    }
}

/// An error with all its causes in one line, `a: b: c`; a cause whose text the error before it
/// already ends with is not told twice.
pub fn one_line(error: &(dyn StdError + 'static)) -> String {
    chain(error).fold(String::new(), |text, link| {
        let part = link.to_string();
        match text.is_empty() {
            true => part,
            false if text.contains(&part) => text,
            false => format!("{text}: {part}"),
        }
    })
}

/// The error and its causes, outermost first.
fn chain<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |link| (**link).source())
}

/// `{msg}` or `{msg}; {details}`: the form for logs and for text output.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.msg)?;
        if self.details.is_empty() {
            Ok(())
        } else {
            write!(f, "; {}", self.details)
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|cause| cause as &(dyn StdError + 'static))
    }
}

impl From<crate::json::JsonError> for Error {
    /// Code 999, the reader's text as message; there is nothing more in the cause.
    fn from(cause: crate::json::JsonError) -> Self {
        Self::msg(cause.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<dyn StdError + Send + Sync>>,
    }

    #[test]
    fn internal_tells_the_whole_chain_once() {
        let inner = Link {
            text: "no such file",
            source: None,
        };
        let outer = Link {
            text: "read /x",
            source: Some(Box::new(inner)),
        };
        let error = Error::internal(outer);
        assert_eq!(
            (error.code, error.msg.as_str()),
            (999, "read /x: no such file")
        );
        assert_eq!(error.source().unwrap().to_string(), "read /x");
        assert_eq!(
            error.source().unwrap().source().unwrap().to_string(),
            "no such file"
        );
    }

    #[test]
    fn a_protocol_error_passes_unchanged_also_when_wrapped() {
        let original = || Error::new(11, "later").with_details("d");
        let same = Error::internal(original());
        assert_eq!((same.code, same.to_string()), (11, "later; d".to_owned()));
        let wrapped = Error::internal(Link {
            text: "ipam",
            source: Some(Box::new(original())),
        });
        assert_eq!(
            (wrapped.code, wrapped.to_string()),
            (11, "later; d".to_owned())
        );
    }

    #[test]
    fn context_comes_first_and_keeps_the_rest() {
        let error = Error::new(7, "bad")
            .with_details("d")
            .context("while reading");
        assert_eq!(
            (error.code, error.msg.as_str(), error.details.as_str()),
            (7, "while reading: bad", "d")
        );
    }

    #[test]
    fn prints_as_the_reference_prints() {
        let plain = Error::new(7, "missing network name");
        assert_eq!(
            plain.to_json(),
            "{\n    \"code\": 7,\n    \"msg\": \"missing network name\"\n}"
        );
        let detailed = Error::new(4, "a <b> & \"c\"").with_details("x\ny");
        assert_eq!(
            detailed.to_json(),
            "{\n    \"code\": 4,\n    \"msg\": \"a \\u003cb\\u003e \\u0026 \\\"c\\\"\",\n    \"details\": \"x\\ny\"\n}"
        );
    }
}
