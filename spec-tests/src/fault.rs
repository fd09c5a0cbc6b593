//! Changes that can be laid over a real plugin: as faults, with which it must fail a case, and as
//! repairs, with which it does what a rule says.

/// One way for a plugin to be wrong. Texts that begin with `/` are JSON pointers (RFC 6901);
/// an empty value removes what the pointer names, one that begins with `=` is JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// This fault, but only in this command.
    On(&'static str, &'static Fault),
    /// This fault, but only where the configuration has what the pointer names.
    Where(&'static str, &'static Fault),
    /// This command fails without doing anything.
    Fail(&'static str),
    /// This command does its work twice and answers with the second.
    Twice(&'static str),
    /// Exit status 0, whatever happened.
    ExitZero,
    /// Exit status 1, whatever happened.
    ExitOne,
    /// Every error has this code.
    Code(u32),
    /// Errors are plain text.
    PlainError,
    /// Text behind whatever is printed on success.
    Garbage,
    /// This command does nothing and succeeds.
    Skip(&'static str),
    /// This command fails from the second time on.
    Once(&'static str),
    /// The plugin sees this variable with this value, whatever the caller set.
    Env(&'static str, &'static str),
    /// The plugin sees its configuration with this changed.
    Config(&'static str, &'static str),
    /// The result is printed with this changed.
    Result(&'static str, &'static str),
    /// The error is printed with this changed.
    Error(&'static str, &'static str),
    /// A shell script in place of the work of this command: it is given the configuration on stdin
    /// and the real plugin's path in `$REAL`, and its stdout and exit status are the answer. A
    /// script that fails without a word is given an error object to say.
    Instead(&'static str, &'static str),
    /// A shell command before the work of this command.
    Before(&'static str, &'static str),
    /// A shell command after the work of this command.
    After(&'static str, &'static str),
}
