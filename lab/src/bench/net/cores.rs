//! Which processors a load's two ends run on.

use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The processors of each end, so that neither takes the other's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cores {
    pub(crate) client: Vec<usize>,
    pub(crate) server: Vec<usize>,
}

impl Cores {
    /// Half of those that this process may use for each end; none where there is but one. The threads of one
    /// core share its units, so they are at one end, unless that core is all there is.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub(super) fn halves() -> Result<Option<Self>> {
        let status = fs::read_to_string("/proc/self/status").context("read own status")?;
        let allowed = allowed(&status).context("find Cpus_allowed_list in /proc/self/status")?;
        Ok(split(&allowed, siblings))
    }
}

/// As `taskset --cpu-list` takes them: one, where the end is one thread, which then does not wander.
pub(super) fn list(cores: &[usize], threads: usize) -> String {
    let numbers: Vec<String> = cores.iter().take(threads).map(usize::to_string).collect();
    numbers.join(",")
}

fn split(allowed: &[usize], siblings: impl Fn(usize) -> Option<Vec<usize>>) -> Option<Cores> {
    let mut units = units(allowed, siblings);
    if units.len() == 1 {
        units = allowed.iter().map(|&one| vec![one]).collect();
    }
    let (client, server) = units.split_at(units.len() / 2);
    (!client.is_empty()).then(|| Cores {
        client: sorted(client),
        server: sorted(server),
    })
}

/// The processors by the core whose threads they are, in the order of each core's first.
fn units(allowed: &[usize], siblings: impl Fn(usize) -> Option<Vec<usize>>) -> Vec<Vec<usize>> {
    let mut units: Vec<Vec<usize>> = Vec::new();
    for &one in allowed {
        let siblings = siblings(one).unwrap_or_default();
        let is_sibling = |unit: &&mut Vec<usize>| unit.iter().any(|other| siblings.contains(other));
        match units.iter_mut().find(is_sibling) {
            Some(unit) => unit.push(one),
            None => units.push(vec![one]),
        }
    }
    units
}

fn sorted(units: &[Vec<usize>]) -> Vec<usize> {
    let mut cores = units.concat();
    cores.sort_unstable();
    cores
}

/// The threads of the same core, with itself; none where the kernel does not tell.
fn siblings(processor: usize) -> Option<Vec<usize>> {
    let file = format!("/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list");
    numbers(&fs::read_to_string(file).ok()?)
}

/// Of proc(5): `Cpus_allowed_list: 0-2,5`.
fn allowed(status: &str) -> Option<Vec<usize>> {
    let mut lines = status.lines();
    numbers(lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?)
}

/// Of a list as the kernel writes them: `0-2,5`.
fn numbers(list: &str) -> Option<Vec<usize>> {
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
            let found = split(&allowed(&status).unwrap(), |_| None);
            let expected = halves.map(|(client, server)| Cores { client, server });
            assert_eq!(found, expected, "{list}");
        }
        for status in ["", "Cpus_allowed_list:\tx\n", "Cpus_allowed_list:\t1-\n"] {
            assert_eq!(allowed(status), None, "{status}");
        }
    }

    #[test]
    fn threads_of_one_core_are_at_one_end() {
        let distant = |one: usize| Some(vec![one % 4, one % 4 + 4]);
        let next = |one: usize| Some(vec![one & !1, one | 1]);
        type Siblings<'a> = &'a dyn Fn(usize) -> Option<Vec<usize>>;
        for (list, siblings, client, server) in [
            (
                "0-7",
                &distant as Siblings<'_>,
                vec![0, 1, 4, 5],
                vec![2, 3, 6, 7],
            ),
            ("0-7", &next, vec![0, 1, 2, 3], vec![4, 5, 6, 7]),
            ("0,2,4,5", &distant, vec![0, 4], vec![2, 5]),
            ("1,5", &distant, vec![1], vec![5]),
        ] {
            let found = split(&numbers(list).unwrap(), siblings);
            assert_eq!(found, Some(Cores { client, server }), "{list}");
        }
    }

    #[test]
    fn one_thread_has_one_processor() {
        assert_eq!(list(&[2, 5, 6], 1), "2");
        assert_eq!(list(&[2, 5], 8), "2,5");
    }
}
