//! Which processors a load's two ends run on.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The processors of each end, so that neither takes the other's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cores {
    pub(crate) client: Vec<usize>,
    pub(crate) server: Vec<usize>,
}

impl Cores {
    /// Half of those that this process may use for each end; none where there is but one.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub(super) fn halves() -> Result<Option<Self>> {
        let status = std::fs::read_to_string("/proc/self/status").context("read own status")?;
        let allowed = allowed(&status).context("find Cpus_allowed_list in /proc/self/status")?;
        Ok(split(&allowed))
    }
}

/// As `taskset --cpu-list` takes them: one, where the end is one thread, which then does not wander.
pub(super) fn list(cores: &[usize], threads: usize) -> String {
    let numbers: Vec<String> = cores.iter().take(threads).map(usize::to_string).collect();
    numbers.join(",")
}

fn split(allowed: &[usize]) -> Option<Cores> {
    let (client, server) = allowed.split_at(allowed.len() / 2);
    (!client.is_empty()).then(|| Cores {
        client: client.to_vec(),
        server: server.to_vec(),
    })
}

/// Of proc(5): `Cpus_allowed_list: 0-2,5`.
fn allowed(status: &str) -> Option<Vec<usize>> {
    let mut lines = status.lines();
    let list = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let ranges = list.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    let ranges = ranges.collect::<Option<Vec<_>>>()?;
    Some(ranges.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_half() {
        for (list, halves) in [
            ("0-1", Some((vec![0], vec![1]))),
            ("0-2,5", Some((vec![0, 1], vec![2, 5]))),
            ("3,7,9", Some((vec![3], vec![7, 9]))),
            ("4", None),
        ] {
            let status = format!("Name:\tlab\nCpus_allowed_list:\t{list}\n");
            let found = split(&allowed(&status).unwrap());
            let expected = halves.map(|(client, server)| Cores { client, server });
            assert_eq!(found, expected, "{list}");
        }
        for status in ["", "Cpus_allowed_list:\tx\n", "Cpus_allowed_list:\t1-\n"] {
            assert_eq!(allowed(status), None, "{status}");
        }
    }

    #[test]
    fn one_thread_has_one_processor() {
        assert_eq!(list(&[2, 5, 6], 1), "2");
        assert_eq!(list(&[2, 5], 8), "2,5");
    }
}
