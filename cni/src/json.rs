//! JSON read as the reference reads it (cni-compat 1.8): keys match without regard to case,
//! the last of duplicates wins, `null` leaves the default, unknown keys pass, wrong types fail.
use serde::de::DeserializeOwned;

/// Reads one document; anything after it is an error. Structs derive `Deserialize` with
/// `#[serde(default)]`; keys are matched to their field names without regard to case.
pub fn from_slice<T: DeserializeOwned>(_bytes: &[u8]) -> Result<T, JsonError> { todo!() }
/// The same from a value (as kept raw inside another document).
pub fn from_value<T: DeserializeOwned>(_value: serde_json::Value) -> Result<T, JsonError> { todo!() }
/// Prints with `<`, `>`, `&` escaped and 4-space indent, as the reference does.
pub fn to_string_pretty(_value: &serde_json::Value) -> String { todo!() }

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(pub String);
