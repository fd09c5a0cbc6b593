//! One error: operation, object, errno.
pub type Result<T> = std::result::Result<T, Error>;

/// A refused kernel operation, printed `add route 10.1.0.0/24 via 10.0.0.1: file exists`
/// when the cause is printed with it; the message itself is operation and object.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {object}")]
pub struct Error { pub operation: &'static str, pub object: String, #[source] pub source: std::io::Error }
impl Error {
    pub fn new(operation: &'static str, object: impl std::fmt::Display, source: std::io::Error) -> Self { Self { operation, object: object.to_string(), source } }
    /// EEXIST
    pub fn is_exists(&self) -> bool { self.source.kind() == std::io::ErrorKind::AlreadyExists }
    /// ENOENT, ENODEV, ESRCH, EADDRNOTAVAIL: the object is already gone
    pub fn is_gone(&self) -> bool { todo!() }
    pub fn errno(&self) -> Option<i32> { self.source.raw_os_error() }
}
