//! Which versions of CNI the runtimes on this node know, where that is known.
use std::process::Command;

use cni::SpecVersion;

/// A runtime that is installed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Runtime {
    /// `containerd 1.6.20`.
    pub(super) name: String,
    /// The newest version of the specification whose results it reads.
    pub(super) newest: SpecVersion,
}

/// Programs, and the first release of each that knows a version of CNI, newest first. Releases in
/// between of which it is not known are left out: nothing is said of them.
type Known = (&'static str, &'static [((u32, u32), Option<SpecVersion>)]);
const KNOWN: [Known; 2] = [
    (
        "containerd",
        &[
            ((2, 0), Some(SpecVersion::V1_1_0)),
            ((1, 6), Some(SpecVersion::V1_0_0)),
            ((1, 0), Some(SpecVersion::V0_4_0)),
        ],
    ),
    (
        "crio",
        &[
            ((1, 32), Some(SpecVersion::V1_1_0)),
            ((1, 30), None),
            ((1, 24), Some(SpecVersion::V1_0_0)),
            ((1, 0), Some(SpecVersion::V0_4_0)),
        ],
    ),
];

/// The runtimes that `PATH` leads to and that tell their version.
#[allow(
    clippy::disallowed_methods,
    reason = "nothing but the program itself knows its version"
)]
pub(super) fn installed() -> Vec<Runtime> {
    let told = |(program, known): &Known| {
        let output = Command::new(program).arg("--version").output().ok()?;
        judge(program, known, &String::from_utf8_lossy(&output.stdout))
    };
    KNOWN.iter().filter_map(told).collect()
}

fn judge(
    program: &str,
    known: &[((u32, u32), Option<SpecVersion>)],
    output: &str,
) -> Option<Runtime> {
    let (version, release) = output.split_whitespace().find_map(|word| {
        let word = word.trim_start_matches('v');
        let mut numbers = word.split(['.', '~', '-', '+']);
        let release = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        Some((word, release))
    })?;
    let (_, newest) = known.iter().find(|(first, _)| release >= *first)?;
    Some(Runtime {
        name: format!("{program} {version}"),
        newest: (*newest)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_runtimes_print() {
        let containerd = "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1";
        for (index, output, expected) in [
            (
                0,
                containerd,
                Some(("containerd 1.6.20~ds1", SpecVersion::V1_0_0)),
            ),
            (
                0,
                "containerd github.com/containerd/containerd/v2 v2.0.1 88aa2f5",
                Some(("containerd 2.0.1", SpecVersion::V1_1_0)),
            ),
            (
                1,
                "crio version 1.28.4\nVersion: 1.28.4",
                Some(("crio 1.28.4", SpecVersion::V1_0_0)),
            ),
            (1, "crio version 1.31.0", None),
            (0, "containerd unknown", None),
        ] {
            let (program, known) = KNOWN[index];
            let expected = expected.map(|(name, newest)| Runtime {
                name: name.to_owned(),
                newest,
            });
            assert_eq!(judge(program, known, output), expected, "{output}");
        }
    }
}
