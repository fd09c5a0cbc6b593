//! The plugin edge as values that tests can fill (cni-compat 1.1, 1.2).
use crate::Plugin;
use std::{collections::BTreeMap, io::Read};

/// Environment of one call. Only `main` reads the process's own.
pub type Env = BTreeMap<String, String>;

/// What a plugin was called with. `stdin` is read lazily: VERSION must not read it.
pub struct Invocation<'a> {
    pub env: Env,
    pub stdin: &'a mut dyn Read,
}
/// What the process prints and exits with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    pub stdout: String,
    pub stderr: String,
    pub code: i32,
}

/// The whole front end: environment, version gates, own-namespace check before the work, handler, printing.
/// `registry`: every plugin of this executable, for in-process delegation.
pub fn run(
    _plugin: &dyn Plugin,
    _registry: &[&dyn Plugin],
    _invocation: Invocation<'_>,
) -> Outcome {
    todo!()
}
