//! What a group uses.

use std::path::Path;

use kernel::Result;

use super::Controller;
use super::files::{read, unexpected};
use super::group::Group;
use super::io::{self, Io};

/// What a group and the groups below it use, and have used. `None` where the controller, or the group, is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of memory, page cache included.
    pub memory_bytes: Option<u64>,
    /// The same without files that nobody has read for long: what cAdvisor calls the working set.
    pub memory_working_set_bytes: Option<u64>,
    /// Time that processors worked for it.
    pub cpu_nanoseconds: Option<u64>,
    /// Time that it was kept from them by its limit.
    pub cpu_throttled_nanoseconds: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Processes that were killed because the memory limit was reached: with version 1 without those of groups
    /// below it.
    pub out_of_memory_kills: Option<u64>,
    /// What went from disks and to them.
    pub io: Option<Io>,
}

impl Usage {
    pub(super) fn of(group: &Group<'_>) -> Result<Self> {
        let memory_bytes = known(group.memory_used())?;
        let inactive = known(inactive_files(group))?;
        Ok(Self {
            memory_bytes,
            // The kernel counts the two at different times.
            memory_working_set_bytes: memory_bytes
                .zip(inactive)
                .map(|(used, inactive)| used.saturating_sub(inactive)),
            cpu_nanoseconds: known(cpu_nanoseconds(group))?,
            cpu_throttled_nanoseconds: known(throttled_nanoseconds(group))?,
            pids: known(pids(group))?,
            out_of_memory_kills: known(group.out_of_memory_kills())?,
            io: known(io::used(group))?,
        })
    }
}

/// Bytes of memory in use.
pub(super) fn memory_used(group: &Group<'_>) -> Result<u64> {
    number(&group.file(
        Controller::Memory,
        "memory.usage_in_bytes",
        "memory.current",
    )?)
}

pub(super) fn out_of_memory_kills(group: &Group<'_>) -> Result<u64> {
    let file = group.file(Controller::Memory, "memory.oom_control", "memory.events")?;
    field(&file, "oom_kill")
}

fn inactive_files(group: &Group<'_>) -> Result<u64> {
    let name = if group.is_version_1(Controller::Memory) {
        "total_inactive_file"
    } else {
        "inactive_file"
    };
    field(
        &group.file(Controller::Memory, "memory.stat", "memory.stat")?,
        name,
    )
}

fn pids(group: &Group<'_>) -> Result<u64> {
    number(&group.file(Controller::Pids, "pids.current", "pids.current")?)
}

/// Version 2 counts it without a controller, so also beside version 1; else it is in the hierarchy of the
/// controller `cpu` where `cpuacct` is mounted with it.
fn cpu_nanoseconds(group: &Group<'_>) -> Result<u64> {
    if let Some(directory) = group.unified() {
        return Ok(1000 * field(&directory.join("cpu.stat"), "usage_usec")?);
    }
    number(&group.file(Controller::Cpu, "cpuacct.usage", "")?)
}

fn throttled_nanoseconds(group: &Group<'_>) -> Result<u64> {
    let file = group.file(Controller::Cpu, "cpu.stat", "cpu.stat")?;
    if group.is_version_1(Controller::Cpu) {
        return field(&file, "throttled_time");
    }
    Ok(1000 * field(&file, "throttled_usec")?)
}

/// `None` for what is not there.
fn known<T>(value: Result<T>) -> Result<Option<T>> {
    match value {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.source.kind() == std::io::ErrorKind::NotFound || error.is_gone() => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn number(file: &Path) -> Result<u64> {
    let text = read(file)?;
    text.trim().parse().map_err(|_| unexpected(file, &text))
}

/// One line of a file of names and numbers. Version 2 has lines only while the controller is there.
fn field(file: &Path, name: &str) -> Result<u64> {
    let text = read(file)?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    match line {
        Some(value) => value.trim().parse().map_err(|_| unexpected(file, &text)),
        None => Err(missing(file, name)),
    }
}

fn missing(file: &Path, name: &str) -> kernel::Error {
    let cause = std::io::Error::new(
        std::io::ErrorKind::NotFound,
        format!("there is no line {name:?}"),
    );
    kernel::Error::new("read", file.display(), cause)
}
