//! What is wrong with manifests.

use std::fmt;

use crate::path::Path;

/// Something wrong with an object, wherever it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// From the object's root.
    pub field: Path,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Something that keeps a manifest from being carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the caller called it.
    pub file: String,
    /// From 1.
    pub line: u64,
    /// Characters, from 1.
    pub column: u64,
    /// The field in its document; empty when it is the document, or the file is no YAML.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// Manifests that are not carried out: all that is wrong with them, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub Vec<Problem>);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}
