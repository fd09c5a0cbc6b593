//! Which versions of the specification a plugin says it supports.

use std::path::Path;

use serde::Deserialize;

use super::{Runner, request};
use crate::{Error, SpecVersion, json};

/// Asks the plugin. One from before VERSION supports 0.1.0.
pub(super) fn supported(runner: &dyn Runner, file: &Path) -> Result<Vec<String>, Error> {
    let stdin = format!("{{\"cniVersion\":\"{}\"}}", SpecVersion::LATEST);
    match runner.run(file, &request::version_env(), stdin.as_bytes()) {
        Ok(answer) => read(&answer),
        Err(error) if error.msg == "unknown CNI_COMMAND: VERSION" => Ok(texts(&["0.1.0"])),
        Err(error) => Err(error),
    }
}

fn read(answer: &[u8]) -> Result<Vec<String>, Error> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Answer {
        #[serde(rename = "cniVersion")]
        version: String,
        #[serde(rename = "supportedVersions")]
        supported: Vec<String>,
    }
    let undecodable = |error: Error| error.context("decoding version info");
    let answer: Answer = json::from_slice(answer)
        .map_err(Error::from)
        .map_err(undecodable)?;
    match (answer.version.as_str(), answer.supported.is_empty()) {
        (_, false) => Ok(answer.supported),
        ("0.2.0", true) => Ok(texts(&["0.1.0", "0.2.0"])),
        ("", true) => Err(undecodable(Error::msg("missing field cniVersion"))),
        (_, true) => Err(undecodable(Error::msg("missing field supportedVersions"))),
    }
}

fn texts(versions: &[&str]) -> Vec<String> {
    versions
        .iter()
        .map(|version| (*version).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_every_age_are_understood() {
        for (answer, expected) in [
            (
                r#"{"cniVersion":"1.1.0","supportedVersions":["0.4.0","1.1.0"]}"#,
                Ok("0.4.0 1.1.0"),
            ),
            (r#"{"cniVersion":"0.2.0"}"#, Ok("0.1.0 0.2.0")),
            (
                r#"{"cniVersion":"0.3.0"}"#,
                Err("decoding version info: missing field supportedVersions"),
            ),
            ("{}", Err("decoding version info: missing field cniVersion")),
            (
                "",
                Err("decoding version info: unexpected end of JSON input"),
            ),
        ] {
            let read = read(answer.as_bytes());
            let read = read
                .as_ref()
                .map(|list| list.join(" "))
                .map_err(|e| e.msg.as_str());
            assert_eq!(read, expected.map(str::to_owned), "{answer}");
        }
    }
}
