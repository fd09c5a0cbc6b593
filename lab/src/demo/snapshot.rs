//! What the machine looks like: everything that a lab could leave behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kernel::nft::Nft;

use crate::home;
use crate::keeper::LAB_VARIABLE;
use crate::program::{self, command, output};
use crate::state::Name;

/// Starts the kernel's own threads, which come and go as it likes.
const KTHREADD: &str = "2";

/// The machine at one moment.
pub(super) struct Snapshot {
    /// `net:[4026531840]`, of every process.
    pub namespaces: BTreeSet<String>,
    /// By number and start time.
    pub processes: BTreeSet<(u32, String)>,
    /// Links of the machine's own network, as `ip` shows them.
    pub links: BTreeSet<String>,
    /// Routes, routing rules and packet filter of the machine's own network.
    pub rules: BTreeSet<String>,
    /// Mounts of the machine's own mount namespace.
    pub mounts: BTreeSet<String>,
    /// Directories of all hierarchies.
    pub cgroups: BTreeSet<PathBuf>,
    /// Of this lab: its processes, by the environment they carry, and those known to be its own.
    pub own_processes: BTreeSet<(u32, String)>,
    /// The namespaces that these are in.
    pub own_namespaces: BTreeSet<String>,
}

impl Snapshot {
    /// `known`: processes of the lab, whatever their environment says.
    pub(super) fn take(lab: &Name, known: &BTreeSet<(u32, String)>) -> Result<Self> {
        let mut snapshot = Self {
            namespaces: BTreeSet::new(),
            processes: BTreeSet::new(),
            links: lines(&["-brief", "link"])?,
            rules: rules()?,
            mounts: mounts()?,
            cgroups: cgroups()?,
            own_processes: BTreeSet::new(),
            own_namespaces: BTreeSet::new(),
        };
        let mark = format!("{LAB_VARIABLE}={lab}");
        for entry in fs::read_dir("/proc").context("read /proc")?.flatten() {
            let pid = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            if let Some(pid) = pid {
                // One that ends meanwhile is not there.
                let _ = snapshot.add_process(pid, &entry.path(), mark.as_bytes(), known);
            }
        }
        Ok(snapshot)
    }

    fn add_process(
        &mut self,
        pid: u32,
        proc: &Path,
        mark: &[u8],
        known: &BTreeSet<(u32, String)>,
    ) -> std::io::Result<()> {
        let stat = fs::read_to_string(proc.join("stat"))?;
        // Counted after the name in parentheses: field 4, the parent, and field 22, the start, which
        // tells a later process apart.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().collect())
            .unwrap_or_default();
        if fields.get(1) == Some(&KTHREADD) {
            return Ok(());
        }
        let start = fields.get(19).copied();
        let process = (pid, start.unwrap_or_default().to_owned());
        let environment = fs::read(proc.join("environ")).unwrap_or_default();
        let own = environment
            .split(|&byte| byte == 0)
            .any(|variable| variable == mark);
        let own = own || known.contains(&process);
        self.processes.insert(process.clone());
        if own {
            self.own_processes.insert(process);
        }
        for entry in fs::read_dir(proc.join("ns"))? {
            let name = fs::read_link(entry?.path())?.to_string_lossy().into_owned();
            if own {
                self.own_namespaces.insert(name.clone());
            }
            self.namespaces.insert(name);
        }
        Ok(())
    }
}

fn lines(arguments: &[&str]) -> Result<BTreeSet<String>> {
    let text = output(command(program::IP.program).args(arguments))?;
    Ok(text
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect())
}

fn rules() -> Result<BTreeSet<String>> {
    let mut rules = BTreeSet::new();
    for family in ["-4", "-6"] {
        for what in [&["rule"][..], &["route", "show", "table", "all"]] {
            rules.extend(lines(&[&[family], what].concat())?);
        }
    }
    for file in ["ip_tables_names", "ip6_tables_names", "arp_tables_names"] {
        // Missing where the kernel has no such tables.
        let tables = fs::read_to_string(Path::new("/proc/net").join(file)).unwrap_or_default();
        rules.extend(tables.lines().map(|table| format!("{file} {table}")));
    }
    if home::is_without_root() {
        // Of the machine's nothing can be seen, and nothing changed.
        return Ok(rules);
    }
    match Nft::open().and_then(|mut nft| nft.generation()) {
        // The kernel counts every change to any rule.
        Ok(generation) => drop(rules.insert(format!("nftables generation {generation}"))),
        Err(error) if Nft::is_unsupported(&error) => {}
        Err(error) => return Err(error).context("look at nftables"),
    }
    Ok(rules)
}

fn mounts() -> Result<BTreeSet<String>> {
    let text = fs::read_to_string("/proc/self/mountinfo").context("read the mount table")?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn cgroups() -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let hierarchies = home::control_groups()?;
    let mut open: Vec<PathBuf> = hierarchies
        .roots()
        .into_iter()
        .map(Path::to_owned)
        .collect();
    while let Some(directory) = open.pop() {
        // A group that is removed meanwhile is not there.
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
                found.insert(entry.path());
            }
        }
    }
    Ok(found)
}
