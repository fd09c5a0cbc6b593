//! Errors of one among several: the others are done all the same.

use anyhow::{Error, Result, anyhow};

use crate::output::ReaderGone;

/// One error as it is, with its cause; several as one, with `between` between their texts: a line's end for people, and
/// `"; "` where the error is part of another one's line.
///
/// # Errors
/// There are failures.
pub(crate) fn all_or_failures(mut failures: Vec<Error>, between: &str) -> Result<()> {
    // Worth a word only where nothing else is, and then for who asks whether it is that.
    let is_silent = |each: &Error| each.is::<ReaderGone>();
    match failures.iter().all(is_silent) {
        true => failures.truncate(1),
        false => failures.retain(|each| !is_silent(each)),
    }
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0)),
        _ => {
            let texts: Vec<String> = failures.iter().map(|each| format!("{each:#}")).collect();
            Err(anyhow!("{}", texts.join(between)))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn one_failure_keeps_its_cause_and_several_are_told_each() {
        let failures = |texts: &[&'static str]| -> Vec<Error> {
            texts
                .iter()
                .map(|text| anyhow!("{text}").context("pod"))
                .collect()
        };
        let told = |texts: &[&'static str], between: &str| {
            let error = all_or_failures(failures(texts), between).unwrap_err();
            format!("{error:#}")
        };
        assert!(all_or_failures(Vec::new(), "\n").is_ok());
        assert_eq!(told(&["a"], "\n"), "pod: a");
        assert_eq!(told(&["a", "b"], "\n"), "pod: a\npod: b");
        assert_eq!(told(&["a", "b"], "; "), "pod: a; pod: b");
        let silent = || -> Vec<Error> { vec![ReaderGone.into(), ReaderGone.into()] };
        let error = all_or_failures(silent(), "\n").unwrap_err();
        assert!(error.is::<ReaderGone>());
        let both = silent().into_iter().chain(failures(&["a"])).collect();
        let error = all_or_failures(both, "\n").unwrap_err();
        assert_eq!(format!("{error:#}"), "pod: a");
    }
}
