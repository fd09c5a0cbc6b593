//! The protocol's error object and its codes (cni-compat 1.7).
use std::error::Error as StdError;

/// Error codes of the specification, section "Error", and the suite's catch-all 999.
pub mod code {
    pub const UNKNOWN: u32 = 0;
    pub const INCOMPATIBLE_VERSION: u32 = 1;
    pub const UNSUPPORTED_FIELD: u32 = 2;
    pub const UNKNOWN_CONTAINER: u32 = 3;
    pub const INVALID_ENVIRONMENT: u32 = 4;
    pub const IO_FAILURE: u32 = 5;
    pub const DECODING_FAILURE: u32 = 6;
    pub const INVALID_CONFIG: u32 = 7;
    pub const INVALID_NETNS: u32 = 8;
    pub const TRY_AGAIN_LATER: u32 = 11;
    pub const PLUGIN_NOT_AVAILABLE: u32 = 50;
    pub const PLUGIN_LIMITED: u32 = 51;
    pub const INTERNAL: u32 = 999;
}

/// `{code, msg, details?}`; keeps its cause.
#[derive(Debug)]
pub struct Error { pub code: u32, pub msg: String, pub details: String, pub source: Option<Box<dyn StdError + Send + Sync>> }

impl Error {
    pub fn new(code: u32, msg: impl Into<String>) -> Self { Self { code, msg: msg.into(), details: String::new(), source: None } }
    pub fn with_details(self, details: impl Into<String>) -> Self { Self { details: details.into(), ..self } }
    /// Code 999 with the text of `cause` and its whole chain (`a: b: c`) as message.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self { let _ = cause.into(); todo!() }
    /// Code 999 with a plain message.
    pub fn msg(msg: impl Into<String>) -> Self { Self::new(code::INTERNAL, msg) }
    /// `{context}: {msg}`, code and details kept.
    pub fn context(self, context: impl std::fmt::Display) -> Self { let msg = format!("{context}: {}", self.msg); Self { msg, ..self } }
}
impl std::fmt::Display for Error { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(&self.msg) } }
impl StdError for Error {}
