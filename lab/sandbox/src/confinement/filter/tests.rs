//! Answers of the filters, on both architectures.

use super::*;

/// What a filter says to a call: the kernel's machine for these programs (kernel documentation,
/// networking/filter), as far as they need it.
fn verdict(program: &BpfProgram, architecture: u32, call: u32, arguments: [u64; 6]) -> u32 {
    let word = |offset: u32| match offset {
        0 => call,
        4 => architecture,
        _ => {
            let argument = arguments[(offset as usize - 16) / 8];
            (argument >> (offset % 8 * 8)) as u32
        }
    };
    let (mut accumulator, mut next) = (0_u32, 0);
    loop {
        let step = &program[next];
        let branch = |taken: bool| usize::from(if taken { step.jt } else { step.jf });
        next += 1;
        match step.code {
            0x20 => accumulator = word(step.k),
            0x54 => accumulator &= step.k,
            0x05 => next += step.k as usize,
            0x15 => next += branch(accumulator == step.k),
            0x25 => next += branch(accumulator > step.k),
            0x35 => next += branch(accumulator >= step.k),
            0x06 => return step.k,
            code => panic!("unknown instruction {code:#x}"),
        }
    }
}

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const KILL: u32 = 0x8000_0000;

/// `AUDIT_ARCH_X86_64` and `AUDIT_ARCH_AARCH64` (include/uapi/linux/audit.h).
const ARCHITECTURES: [(&str, u32); 2] = [("x86_64", 0xc000_003e), ("aarch64", 0xc000_00b7)];

/// The filters' strictest verdict, and of several errors the latest filter's (seccomp(2)).
fn answer(filters: &Filters, architecture: u32, call: u32, arguments: [u64; 6]) -> u32 {
    let of = |program| verdict(program, architecture, call, arguments);
    let refused = filters.0.iter().rev().map(of).find(|each| *each != ALLOW);
    refused.unwrap_or(ALLOW)
}

#[test]
fn the_same_calls_get_the_same_answers_on_both_architectures() {
    // Numbers of x86-64 and of AArch64, first and second argument, answer.
    for (numbers, first, second, expected) in [
        ([0, 63], 0, 0, ALLOW),             // read
        ([257, 56], 0, 0, ALLOW),           // openat
        ([59, 221], 0, 0, ALLOW),           // execve
        ([161, 51], 0, 0, ALLOW),           // chroot
        ([101, 117], 0, 0, EPERM),          // ptrace
        ([165, 40], 0, 0, EPERM),           // mount
        ([175, 105], 0, 0, EPERM),          // init_module
        ([246, 104], 0, 0, EPERM),          // kexec_load
        ([250, 219], 0, 0, EPERM),          // keyctl
        ([272, 97], 0x1000_0000, 0, EPERM), // unshare
        ([321, 280], 0, 0, EPERM),          // bpf
        ([425, 425], 0, 0, EPERM),          // io_uring_setup
        ([428, 428], 0, 0, EPERM),          // open_tree
        ([435, 435], 0, 0, ENOSYS),         // clone3
        ([462, 462], 0, 0, ALLOW),          // mseal
        ([463, 463], 0, 0, ENOSYS),         // setxattrat
        ([56, 220], 0x11, 0, ALLOW),        // clone: fork
        ([56, 220], 0x3d_0f00, 0, ALLOW),   // clone: a thread
        ([56, 220], 0x1000_0011, 0, EPERM), // clone: CLONE_NEWUSER
        ([56, 220], 0x0002_0011, 0, EPERM), // clone: CLONE_NEWNS
        ([56, 220], 0x4000_0011, 0, EPERM), // clone: CLONE_NEWNET
        // The kernel ignores the upper half of these arguments, and so must the filter.
        ([56, 220], 0xffff_ffff_1000_0011, 0, EPERM),
        ([16, 29], 0, 0x5401, ALLOW), // ioctl: TCGETS
        ([16, 29], 0, 0x5412, EPERM), // ioctl: TIOCSTI
        ([16, 29], 0, 0x541c, EPERM), // ioctl: TIOCLINUX
        ([16, 29], 0, 0x1_0000_5412, EPERM),
        ([41, 198], 1, 0, ALLOW),           // socket: AF_UNIX
        ([41, 198], 10, 0, ALLOW),          // socket: AF_INET6
        ([41, 198], 38, 0, EPERM),          // socket: AF_ALG
        ([41, 198], 40, 0, EPERM),          // socket: AF_VSOCK
        ([135, 92], 0xffff_ffff, 0, ALLOW), // personality: which?
        ([135, 92], 0x0004_0000, 0, EPERM), // personality: ADDR_NO_RANDOMIZE
    ] {
        for ((name, architecture), number) in ARCHITECTURES.into_iter().zip(numbers) {
            let filters = Filters::listed(name, Capabilities::container()).unwrap();
            let found = answer(&filters, architecture, number, [first, second, 0, 0, 0, 0]);
            assert_eq!(found, expected, "{name}: {number}({first:#x}, {second:#x})");
        }
    }
}

#[test]
fn without_the_list_typing_alone_is_refused() {
    for ((name, architecture), ioctl) in ARCHITECTURES.into_iter().zip([16, 29]) {
        let filters = Filters::against_typing(name).unwrap();
        for (call, request, expected) in [
            (ioctl, 0x5401, ALLOW), // TCGETS
            (ioctl, 0x5412, EPERM), // TIOCSTI
            (ioctl, 0x541c, EPERM), // TIOCLINUX
            (ioctl, 0x1_0000_5412, EPERM),
            (435, 0x5412, ALLOW), // clone3
            (500, 0, ALLOW),
        ] {
            let found = answer(&filters, architecture, call, [0, request, 0, 0, 0, 0]);
            assert_eq!(found, expected, "{name}: {call}({request:#x})");
        }
    }
    let filters = Filters::against_typing("x86_64").unwrap();
    let typing = [0, 0x5412, 0, 0, 0, 0];
    // By x32's number, and as a program of i386.
    assert_eq!(answer(&filters, 0xc000_003e, 0x4000_0202, typing), EPERM);
    assert_eq!(answer(&filters, 0x4000_0003, 54, typing), KILL);
}

#[test]
fn calls_by_another_architectures_numbers_find_no_gap() {
    let filters = Filters::listed("x86_64", Capabilities::container()).unwrap();
    // i386, where 165 is no mount, and x32, whose numbers have bit 30 set.
    assert_eq!(answer(&filters, 0x4000_0003, 0, [0; 6]), KILL);
    assert_eq!(answer(&filters, 0xc000_003e, 0x4000_0000, [0; 6]), EPERM);
}

#[test]
fn every_name_exists_on_both_architectures_and_stands_once() {
    for architecture in ["x86_64", "aarch64"] {
        let filters = Filters::listed(architecture, Capabilities::container()).unwrap();
        // What the kernel takes at most (BPF_MAXINSNS).
        assert!(
            filters.0.iter().all(|program| program.len() < 4096),
            "{architecture}"
        );
    }
    let mut names: Vec<&str> = EVERYWHERE.split_whitespace().collect();
    names.extend(X86_64.split_whitespace());
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name stands twice");
}

#[test]
fn a_capability_opens_the_calls_that_it_is_for_and_no_others() {
    let every: Vec<&str> = WITH
        .iter()
        .flat_map(|(_, names)| names.split_whitespace())
        .collect();
    assert!(X86_64_WITH.iter().all(|name| every.contains(name)));
    // Numbers of x86-64 and of AArch64, first argument, who opens the call.
    let calls = [
        ([165, 40], 0, &["SYS_ADMIN"][..]),       // mount
        ([308, 268], 0, &["SYS_ADMIN"]),          // setns
        ([56, 220], 0x1000_0011, &["SYS_ADMIN"]), // clone: CLONE_NEWUSER
        ([435, 435], 0, &["SYS_ADMIN"]),          // clone3
        ([101, 117], 0, &["SYS_PTRACE"]),         // ptrace
        ([175, 105], 0, &["SYS_MODULE"]),         // init_module
        ([227, 112], 0, &["SYS_TIME"]),           // clock_settime
        ([238, 237], 0, &["SYS_NICE"]),           // set_mempolicy
        ([321, 280], 0, &["BPF", "SYS_ADMIN"]),   // bpf
        ([304, 265], 0, &["DAC_READ_SEARCH"]),    // open_by_handle_at
        ([169, 142], 0, &["SYS_BOOT"]),           // reboot
        ([246, 104], 0, &[]),                     // kexec_load
    ];
    let with = WITH.map(|(capability, _)| capability);
    for adds in with.into_iter().chain([Capability::CAP_NET_ADMIN]) {
        let adds = adds.to_string();
        let held = Capabilities::adjusted(&[&adds], &[]).unwrap();
        for (index, (name, architecture)) in ARCHITECTURES.into_iter().enumerate() {
            let filters = Filters::listed(name, held).unwrap();
            for (numbers, first, by) in calls {
                let arguments = [first, 0, 0, 0, 0, 0];
                let found = answer(&filters, architecture, numbers[index], arguments);
                let opens = by.contains(&adds.trim_start_matches("CAP_"));
                assert_eq!(found == ALLOW, opens, "{name}: {numbers:?} with {adds}");
            }
        }
    }
}

#[test]
fn other_architectures_are_refused() {
    for architecture in ["riscv64", "s390x"] {
        let error = Filters::listed(architecture, Capabilities::container()).unwrap_err();
        let words = format!("compile system call filter for {architecture}");
        assert_eq!(error.to_string(), words);
    }
}

#[test]
fn calls_that_act_on_the_machine_are_on_no_list() {
    let names: Vec<&str> = EVERYWHERE
        .split_whitespace()
        .chain(X86_64.split_whitespace())
        .collect();
    let dangerous = "acct add_key bpf clock_settime delete_module fanotify_init finit_module \
         fsconfig fsmount fsopen fspick init_module io_uring_enter io_uring_register \
         io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mount \
         mount_setattr move_mount open_by_handle_at open_tree perf_event_open pidfd_getfd \
         pivot_root process_madvise process_vm_readv process_vm_writev ptrace quotactl \
         quotactl_fd reboot request_key setdomainname sethostname setns settimeofday swapoff \
         swapon syslog umount2 unshare userfaultfd vhangup socket clone ioctl personality";
    for name in dangerous.split_whitespace() {
        assert!(!names.contains(&name), "{name}");
    }
}
