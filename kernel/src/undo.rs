//! Each successful step pushes its inverse; `commit` disarms; rolling back runs them in reverse.
use std::{future::Future, pin::Pin};
type Step<'a> = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>> + 'a>> + 'a>;
pub struct Undo<'a> { _steps: Vec<(&'static str, Step<'a>)> }
impl<'a> Undo<'a> {
    pub fn new() -> Self { todo!() }
    pub fn push(&mut self, _what: &'static str, _inverse: Step<'a>) { todo!() }
    pub fn commit(self) { todo!() }
    /// Runs every inverse, last first; failures are logged (`tracing::warn`) and do not stop the rest.
    pub async fn roll_back(self) { todo!() }
}
