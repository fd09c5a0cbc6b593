//! What a group may use, and how either version writes it down.

use kernel::Result;

use super::Controller;
use super::files::{write, write_if_present};
use super::group::Group;
use super::io::{self, Direction};

/// What a group may use, and what it is to have when there is not enough for all; `None` is no limit and
/// no claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes. A process that needs more is killed by the kernel.
    pub memory: Option<u64>,
    /// Bytes that the kernel takes from others first (`requests.memory`). With version 2 the groups above need as
    /// much of their own.
    pub memory_request: Option<u64>,
    /// Where memory runs out, all processes of the group are killed, not one: with version 2; version 1 has
    /// nothing like it and leaves the others.
    pub killed_as_one: bool,
    /// Thousandths of a processor: 500 is half of one.
    pub cpu: Option<u32>,
    /// Thousandths of a processor that the group gets while others want more than there is (`requests.cpu`).
    pub cpu_request: Option<u32>,
    /// Numbers of the processors that it runs on.
    pub cpuset: Option<Vec<u16>>,
    /// Processes and threads together.
    pub pids: Option<u64>,
    /// Bytes a second that are read from each disk.
    pub io_read: Option<u64>,
    /// Bytes a second that are written to each disk; with version 1 but what goes through the page cache.
    pub io_write: Option<u64>,
}

impl Limits {
    /// Whether it cannot be had without this controller.
    pub(super) fn need(&self, controller: Controller) -> bool {
        match controller {
            Controller::Memory => {
                self.memory.is_some() || self.memory_request.is_some() || self.killed_as_one
            }
            Controller::Cpu => self.cpu.is_some() || self.cpu_request.is_some(),
            Controller::Cpuset => self.cpuset.is_some(),
            Controller::Pids => self.pids.is_some(),
            Controller::Io => self.io_read.is_some() || self.io_write.is_some(),
        }
    }

    /// Writes them down in the group, which has the controllers that they need.
    pub(super) fn apply(&self, group: &Group<'_>) -> Result<()> {
        self.apply_memory(group)?;
        self.apply_cpu(group)?;
        if let Some(processors) = &self.cpuset {
            let file = group.file(Controller::Cpuset, "cpuset.cpus", "cpuset.cpus")?;
            let list: Vec<String> = processors.iter().map(u16::to_string).collect();
            write(&file, list.join(","))?;
        }
        if let Some(most) = self.pids {
            write(&group.file(Controller::Pids, "pids.max", "pids.max")?, most)?;
        }
        for (direction, bytes) in [
            (Direction::Read, self.io_read),
            (Direction::Write, self.io_write),
        ] {
            if let Some(bytes) = bytes {
                io::limit(group, direction, bytes)?;
            }
        }
        Ok(())
    }

    fn apply_memory(&self, group: &Group<'_>) -> Result<()> {
        let file = |version_1, version_2| group.file(Controller::Memory, version_1, version_2);
        if let Some(bytes) = self.memory {
            write(&file("memory.limit_in_bytes", "memory.max")?, bytes)?;
            // With version 1 and swap accounted, memory.memsw may never be below memory.limit: raising needs the
            // one order, lowering the other. The limit is first, since a new group starts without any. Version 2 has
            // a limit of swap alone. Both are absent where the kernel does not account swap.
            let swap = if group.is_version_1(Controller::Memory) {
                bytes
            } else {
                0
            };
            let limit = file("memory.memsw.limit_in_bytes", "memory.swap.max")?;
            write_if_present(&limit, swap)?;
        }
        if let Some(bytes) = self.memory_request {
            write(&file("memory.soft_limit_in_bytes", "memory.low")?, bytes)?;
        }
        if self.killed_as_one && !group.is_version_1(Controller::Memory) {
            write(&file("", "memory.oom.group")?, 1)?;
        }
        Ok(())
    }

    fn apply_cpu(&self, group: &Group<'_>) -> Result<()> {
        let file = |version_1, version_2| group.file(Controller::Cpu, version_1, version_2);
        let version_1 = group.is_version_1(Controller::Cpu);
        if let Some(thousandths) = self.cpu {
            let quota = u64::from(thousandths) * PERIOD_MICROSECONDS / 1000;
            if version_1 {
                write(&file("cpu.cfs_period_us", "")?, PERIOD_MICROSECONDS)?;
                write(&file("cpu.cfs_quota_us", "")?, quota)?;
            } else {
                write(
                    &file("", "cpu.max")?,
                    format!("{quota} {PERIOD_MICROSECONDS}"),
                )?;
            }
        }
        if let Some(thousandths) = self.cpu_request {
            let shares = shares(thousandths);
            let value = if version_1 { shares } else { weight(shares) };
            write(&file("cpu.shares", "cpu.weight")?, value)?;
        }
        Ok(())
    }
}

/// The kernel's default period for processor quotas (kernel documentation, scheduler/sched-bwc).
const PERIOD_MICROSECONDS: u64 = 100_000;

/// The least and the most shares that the kernel takes (kernel/sched/sched.h).
const SHARES: (u64, u64) = (2, 262_144);

/// A processor is 1024 shares, as Kubernetes has it.
fn shares(thousandths: u32) -> u64 {
    (u64::from(thousandths) * 1024 / 1000).clamp(SHARES.0, SHARES.1)
}

/// Shares of 2 to 262,144 as weights of 1 to 10,000, as Kubernetes has them (KEP 2254).
fn weight(shares: u64) -> u64 {
    1 + (shares - SHARES.0) * 9999 / (SHARES.1 - SHARES.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_become_shares_and_weights() {
        for (thousandths, expected_shares, expected_weight) in [
            (0, 2, 1),
            (1, 2, 1),
            (100, 102, 4),
            (250, 256, 10),
            (1000, 1024, 39),
            (2_000_000, 262_144, 10_000),
        ] {
            let shares = shares(thousandths);
            let found = (shares, weight(shares));
            assert_eq!(found, (expected_shares, expected_weight), "{thousandths}");
        }
    }
}
