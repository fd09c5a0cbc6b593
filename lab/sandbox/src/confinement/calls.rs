//! The system calls that a confined process may make: what programs need that mind their own
//! files, memory, processes, sockets and time, as in the default profiles of container runtimes.
//!
//! Not among them are those that act on the machine (mount, modules, kexec, reboot, swap, clock,
//! accounting, quotas, ports), those that look into other processes or around the file system's
//! permissions (ptrace, process_vm_*, pidfd_getfd, kcmp, open_by_handle_at), and those whose share
//! of the kernel's faults is large for what pods use them for (bpf, perf_event_open, userfaultfd,
//! io_uring, keyrings, new namespaces).

use caps::Capability;

/// On every architecture.
pub(super) const EVERYWHERE: &str = "
accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg
sendmmsg sendmsg sendto setsockopt shutdown socketpair

chdir chroot close close_range copy_file_range dup dup3 faccessat faccessat2 fadvise64 fallocate
fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock
fremovexattr fsetxattr fstat fstatfs fsync ftruncate getcwd getdents64 getxattr lgetxattr linkat
listxattr llistxattr lremovexattr lseek lsetxattr mkdirat mknodat name_to_handle_at newfstatat
openat openat2 pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlinkat
readv removexattr renameat renameat2 sendfile setxattr splice statfs statx symlinkat sync
sync_file_range syncfs tee truncate umask unlinkat utimensat vmsplice write writev cachestat

inotify_add_watch inotify_init1 inotify_rm_watch
epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 eventfd2 ppoll pselect6 signalfd4
io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit

brk madvise membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap mseal msync
munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages

execve execveat exit exit_group wait4 waitid clone3
getegid geteuid getgid getgroups getpgid getpid getppid getresgid getresuid getsid gettid getuid
setfsgid setfsuid setgid setgroups setpgid setregid setresgid setresuid setreuid setsid setuid
capget capset prctl seccomp landlock_add_rule landlock_create_ruleset landlock_restrict_self
getcpu getpriority getrlimit getrusage ioprio_get ioprio_set prlimit64 setpriority setrlimit
sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
sched_setscheduler sched_yield sysinfo times uname
futex futex_requeue futex_wait futex_waitv futex_wake get_robust_list rseq set_robust_list
set_tid_address

kill pidfd_open pidfd_send_signal restart_syscall rt_sigaction rt_sigpending rt_sigprocmask
rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sigaltstack tgkill
tkill

mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd
semctl semget semop semtimedop shmat shmctl shmdt shmget

adjtimex clock_adjtime clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep
setitimer timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
timerfd_gettime timerfd_settime

getrandom
";

/// Older forms that x86-64 has kept, and what belongs to its processor.
pub(super) const X86_64: &str = "
access alarm chmod chown creat dup2 epoll_create epoll_wait eventfd fork futimesat getdents getpgrp
inotify_init lchown link lstat mkdir mknod open pause pipe poll readlink rename rmdir select signalfd
stat symlink time unlink utime utimes vfork
arch_prctl modify_ldt map_shadow_stack
";

/// `mseal`. Calls with higher numbers are younger than this list.
pub(super) const YOUNGEST: i64 = 462;

/// Calls that are there for a capability, and on the list where the container has it. They are those of
/// containerd's default profile, and what Linux has split off from them since.
pub(super) const WITH: [(Capability, &str); 13] = [
    (Capability::CAP_BPF, "bpf"),
    (Capability::CAP_DAC_READ_SEARCH, "open_by_handle_at"),
    (Capability::CAP_PERFMON, "perf_event_open"),
    (
        Capability::CAP_SYS_ADMIN,
        "bpf clone fanotify_init fanotify_mark fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr
        move_mount open_tree perf_event_open pivot_root quotactl quotactl_fd setdomainname sethostname setns syslog
        umount2 unshare",
    ),
    (Capability::CAP_SYS_BOOT, "reboot"),
    (
        Capability::CAP_SYS_MODULE,
        "delete_module finit_module init_module",
    ),
    (
        Capability::CAP_SYS_NICE,
        "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    ),
    (Capability::CAP_SYS_PACCT, "acct"),
    (
        Capability::CAP_SYS_PTRACE,
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    (Capability::CAP_SYS_TIME, "clock_settime settimeofday"),
    (Capability::CAP_SYS_TTY_CONFIG, "vhangup"),
    (Capability::CAP_SYSLOG, "syslog"),
    // What an architecture lacks is left out.
    (Capability::CAP_SYS_RAWIO, "ioperm iopl"),
];
/// Of those, the ones that x86-64 alone has.
pub(super) const X86_64_WITH: [&str; 2] = ["ioperm", "iopl"];
