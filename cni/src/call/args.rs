//! `CNI_ARGS`: extra arguments of one call, `K=V` joined by `;`.

use std::collections::BTreeMap;

use crate::Error;
use crate::json::print::{go_quote, go_quote_list};

/// Values of the known keys of `CNI_ARGS`; the last of equal keys wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CniArgs(pub BTreeMap<String, String>);

impl CniArgs {
    /// Reads `text` as the reference plugins do. Keys are case-sensitive. `IgnoreUnknown` is
    /// known to every plugin: its last value decides whether unknown keys are an error.
    ///
    /// # Errors
    /// Code 999: a piece that is not exactly one `K=V` (so a trailing `;` and a `=` in a value),
    /// an `IgnoreUnknown` that is no boolean, unknown keys.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, Error> {
        let mut args = BTreeMap::new();
        if text.is_empty() {
            return Ok(Self(args));
        }
        let (mut unknown, mut ignore_unknown) = (Vec::new(), false);
        for pair in text.split(';') {
            let (key, value) = split_pair(pair)?;
            if key == IGNORE_UNKNOWN {
                ignore_unknown = parse_bool(pair, value)?;
            }
            if known.contains(&key) {
                args.insert(key.to_owned(), value.to_owned());
            } else if key != IGNORE_UNKNOWN {
                unknown.push(pair);
            }
        }
        if !unknown.is_empty() && !ignore_unknown {
            return Err(Error::msg(format!(
                "ARGS: unknown args {}",
                go_quote_list(unknown)
            )));
        }
        Ok(Self(args))
    }

    /// The value of `key`; `None` when it is not given.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

const IGNORE_UNKNOWN: &str = "IgnoreUnknown";

fn split_pair(pair: &str) -> Result<(&str, &str), Error> {
    match pair.split_once('=') {
        Some((key, value)) if !value.contains('=') => Ok((key, value)),
        _ => Err(Error::msg(format!("ARGS: invalid pair {}", go_quote(pair)))),
    }
}

fn parse_bool(pair: &str, value: &str) -> Result<bool, Error> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(Error::msg(format!(
            "ARGS: error parsing value of pair {}: boolean unmarshal error: invalid input {value}",
            go_quote(pair)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
        CniArgs::parse(text, &["MAC", "IP"])
            .map(|args| args.0.into_iter().collect())
            .map_err(|error| error.msg)
    }

    #[test]
    fn known_keys_are_returned() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        for (text, expected) in [
            ("", vec![]),
            ("MAC=a", vec![pair("MAC", "a")]),
            ("MAC=a;IP=b;MAC=c", vec![pair("IP", "b"), pair("MAC", "c")]),
            ("MAC=", vec![pair("MAC", "")]),
            ("IgnoreUnknown=0;MAC=a", vec![pair("MAC", "a")]),
            (
                "IgnoreUnknown=1;K8S_POD_NAME=x;MAC=a",
                vec![pair("MAC", "a")],
            ),
            ("K8S_POD_NAME=x;IgnoreUnknown=True", vec![]),
            ("IgnoreUnknown=false;FOO=x;IgnoreUnknown=TRUE", vec![]),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn bad_arguments_are_told_as_recorded() {
        for (text, message) in [
            ("IgnoreUnknown=1;FOO", r#"ARGS: invalid pair "FOO""#),
            ("IgnoreUnknown=1;", r#"ARGS: invalid pair """#),
            ("MAC=a=b", r#"ARGS: invalid pair "MAC=a=b""#),
            (
                "K8S_POD_NAME=x;FOO=bar",
                r#"ARGS: unknown args ["K8S_POD_NAME=x" "FOO=bar"]"#,
            ),
            ("mac=a", r#"ARGS: unknown args ["mac=a"]"#),
            (
                "IgnoreUnknown=1;FOO=x;IgnoreUnknown=0",
                r#"ARGS: unknown args ["FOO=x"]"#,
            ),
            (
                "IgnoreUnknown=yes",
                r#"ARGS: error parsing value of pair "IgnoreUnknown=yes": boolean unmarshal error: invalid input yes"#,
            ),
        ] {
            assert_eq!(parse(text), Err(message.to_owned()));
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = CniArgs::parse(&text, &["MAC"]);
        }
    }
}
