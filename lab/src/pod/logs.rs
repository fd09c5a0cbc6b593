//! What containers print: `pods/POD/logs/CONTAINER/N.log`, where N counts the container's starts. The last two
//! are kept.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::Pod;
use crate::state::LabDir;

/// The log of a container (of the first one without a name): of its present start, or of the `previous` one.
///
/// # Errors
/// There is no such container, or it was not started (again).
pub fn log_path(
    dir: &LabDir,
    pod: &Pod,
    container: Option<&str>,
    previous: bool,
) -> Result<PathBuf> {
    let name = &pod.container(container)?.name;
    let numbers = numbers(dir, pod, name)?;
    let number = numbers.into_iter().rev().nth(usize::from(previous));
    match number {
        Some(number) => Ok(path(dir, pod, name, number)),
        None if previous => bail!(
            "container {name} of pod {} has no previous log: it was not started again",
            pod.name
        ),
        None => bail!(
            "container {name} of pod {} has no log: it was not started yet",
            pod.name
        ),
    }
}

/// Makes the log for one start of a container and forgets all but the one before.
pub(super) fn create(dir: &LabDir, pod: &Pod, container: &str, number: u32) -> Result<File> {
    let path = path(dir, pod, container, number);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    }
    for old in numbers(dir, pod, container)? {
        if old + 1 < number {
            let _ = fs::remove_file(self::path(dir, pod, container, old));
        }
    }
    // Whoever writes it never overwrites what is there.
    let file = File::options().append(true).create(true).open(&path);
    file.with_context(|| format!("create {}", path.display()))
}

fn path(dir: &LabDir, pod: &Pod, container: &str, number: u32) -> PathBuf {
    directory(dir, pod, container).join(format!("{number}.log"))
}

fn directory(dir: &LabDir, pod: &Pod, container: &str) -> PathBuf {
    dir.pod(&pod.name).join("logs").join(container)
}

/// The starts whose logs there are, in order.
fn numbers(dir: &LabDir, pod: &Pod, container: &str) -> Result<Vec<u32>> {
    let directory = directory(dir, pod, container);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("read {}", directory.display())),
    };
    let number = |entry: fs::DirEntry| -> Option<u32> {
        let name = entry.file_name();
        name.to_str()?.strip_suffix(".log")?.parse().ok()
    };
    let mut numbers: Vec<u32> = entries.flatten().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}
