//! The system call filters, from the lists in [`calls`](super::calls).

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use caps::Capability;
use kernel::{Error, Result};
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use serde_json::{Value, json};

use super::Capabilities;
use super::calls::{EVERYWHERE, WITH, X86_64, X86_64_WITH, YOUNGEST};

/// Flags of clone(2) that make a namespace: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID
/// and NEWNET.
const NEW_NAMESPACES: u32 = 0x7e02_0000;
/// The address families of pods. Others reach the hypervisor (AF_VSOCK) or make the kernel load
/// modules that hardly anybody looks after.
const FAMILIES: [i32; 5] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
    libc::AF_PACKET,
];
/// Execution domains (personality(2)): Linux, with or without the uname of 2.6 and of 32 bits, and
/// the question which one it is. Others turn protections off.
const PERSONALITIES: [u32; 5] = [0, 0x8, 0x2_0000, 0x2_0008, u32::MAX];
/// Calls of ioctl(2) that type on a terminal: `lab exec` may have the user's.
const TYPING: [u64; 2] = [0x5412, 0x541c];

/// ioctl(2) of x86-64 programs by its number in the x32 ABI, which has the same architecture for a filter.
const X32_IOCTL: i64 = 0x4000_0202;

/// Programs, in the order in which they are installed: each has one answer for what it refuses, and where
/// several refuse, the one that was installed last is heard (seccomp(2)).
#[derive(Debug)]
pub(super) struct Filters(Vec<BpfProgram>);

impl Filters {
    /// For an architecture, as Rust names it, and a container with these capabilities: what is not on the list
    /// fails with EPERM, what does not exist with ENOSYS.
    ///
    /// # Errors
    /// There is no list for it.
    pub(super) fn listed(architecture: &str, held: Capabilities) -> Result<Self> {
        compile(architecture, |target| {
            Ok(vec![allowed(target, held)?, missing(target, held)?])
        })
    }

    /// Nothing fails but typing on a terminal, with EPERM.
    ///
    /// # Errors
    /// There are no filters for this architecture.
    pub(super) fn against_typing(architecture: &str) -> Result<Self> {
        compile(architecture, |target| Ok(vec![no_typing(target)?]))
    }

    /// Filters the calling thread from now on.
    ///
    /// # Errors
    /// The kernel refused: EINVAL without CONFIG_SECCOMP_FILTER, EACCES of a thread that has neither CAP_SYS_ADMIN
    /// nor given up new privileges.
    pub(super) fn apply(&self) -> Result<()> {
        for program in &self.0 {
            let program: Vec<_> = program.iter().map(instruction).collect();
            kernel::seccomp::filter(&program)?;
        }
        Ok(())
    }
}

fn compile(
    architecture: &str,
    programs: impl FnOnce(TargetArch) -> io::Result<Vec<BpfProgram>>,
) -> Result<Filters> {
    TargetArch::try_from(architecture)
        .map_err(|error| io::Error::new(io::ErrorKind::Unsupported, error))
        .and_then(programs)
        .map(Filters)
        .map_err(|source| Error::new("compile system call filter for", architecture, source))
}

fn instruction(of: &seccompiler::sock_filter) -> libc::sock_filter {
    libc::sock_filter {
        code: of.code,
        jt: of.jt,
        jf: of.jf,
        k: of.k,
    }
}

/// Calls that are on the list for a capability's sake.
fn with(held: Capabilities, target: TargetArch) -> BTreeSet<&'static str> {
    WITH.into_iter()
        .filter(|(capability, _)| held.contains(*capability))
        .flat_map(|(_, names)| names.split_whitespace())
        .filter(|name| target == TargetArch::x86_64 || !X86_64_WITH.contains(name))
        .collect()
}

fn makes_namespaces(held: Capabilities) -> bool {
    held.contains(Capability::CAP_SYS_ADMIN)
}

fn allowed(target: TargetArch, held: Capabilities) -> io::Result<BpfProgram> {
    let own = match target {
        TargetArch::x86_64 => X86_64,
        TargetArch::aarch64 => "",
        other => {
            let text = format!("there is no list of system calls for {other:?}");
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
    };
    let names = EVERYWHERE
        .split_whitespace()
        .chain(own.split_whitespace())
        .chain(with(held, target));
    let mut rules: Vec<Value> = names.map(|name| json!({ "syscall": name })).collect();
    rules.extend(FAMILIES.map(|family| rule("socket", [argument(0, "eq", family)])));
    rules.extend(PERSONALITIES.map(|domain| rule("personality", [argument(0, "eq", domain)])));
    if !makes_namespaces(held) {
        rules.push(rule(
            "clone",
            [argument(0, json!({ "masked_eq": NEW_NAMESPACES }), 0)],
        ));
    }
    rules.push(rule(
        "ioctl",
        TYPING.map(|request| argument(1, "ne", request)),
    ));
    let profile = json!({ "pod": {
        "match_action": "allow",
        "mismatch_action": { "errno": libc::EPERM },
        "filter": rules,
    }});
    let mut compiled = seccompiler::compile_from_json(profile.to_string().as_bytes(), target)
        .map_err(io::Error::other)?;
    compiled
        .remove("pod")
        .ok_or_else(|| io::Error::other("the compiler lost the filter"))
}

fn rule(call: &str, arguments: impl Into<Vec<Value>>) -> Value {
    json!({ "syscall": call, "args": arguments.into() })
}

/// A comparison of the lower 32 bits, which is all that the kernel reads of these arguments.
fn argument(index: u8, operator: impl Into<Value>, value: impl Into<Value>) -> Value {
    json!({ "index": index, "type": "dword", "op": operator.into(), "val": value.into() })
}

fn missing(target: TargetArch, held: Capabilities) -> io::Result<BpfProgram> {
    /// As far ahead as one looks: Linux adds about four a year.
    const AHEAD: i64 = 64;
    let younger = YOUNGEST + 1..=YOUNGEST + AHEAD;
    // The number is the same everywhere, as of all calls since 2019.
    let clone3 = Some(libc::SYS_clone3).filter(|_| !makes_namespaces(held));
    let rules: BTreeMap<i64, Vec<_>> = younger
        .chain(clone3)
        .map(|call| (call, Vec::new()))
        .collect();
    refusing(rules, libc::ENOSYS, target)
}

fn no_typing(target: TargetArch) -> io::Result<BpfProgram> {
    let types = |request| {
        SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, request)
            .and_then(|is_it| SeccompRule::new(vec![is_it]))
    };
    let rules = TYPING
        .into_iter()
        .map(types)
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(io::Error::other)?;
    let x32 = Some(X32_IOCTL).filter(|_| target == TargetArch::x86_64);
    let calls = [ioctl(target)].into_iter().chain(x32);
    refusing(
        calls.map(|call| (call, rules.clone())).collect(),
        libc::EPERM,
        target,
    )
}

/// ioctl(2)'s number.
fn ioctl(target: TargetArch) -> i64 {
    match target {
        TargetArch::x86_64 => 16,
        TargetArch::aarch64 | TargetArch::riscv64 => 29,
    }
}

/// What fits a rule fails with this error, all else succeeds.
fn refusing(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    error: i32,
    target: TargetArch,
) -> io::Result<BpfProgram> {
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(error.unsigned_abs()),
        target,
    )
    .and_then(BpfProgram::try_from)
    .map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
