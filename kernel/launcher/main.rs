//! A name of podwire in a file of its own, of a few kilobytes: executes the `podwire` that lies
//! beside it, with its own arguments and environment, so that `argv[0]` still says which plugin is
//! meant. For names that others write over in place.
//!
//! A program of its own, without standard library and C library, and no part of the crate around
//! it: `plugins/podwire/build.rs` compiles it, and `podwire install` writes it. For `x86_64` only: on
//! other architectures such a name gets a copy of the whole executable.
#![no_std]
#![no_main]

use core::{
    arch::{asm, global_asm},
    panic::PanicInfo,
};

const OWN: &[u8] = b"/proc/self/exe\0";
const PROGRAM: &[u8] = b"podwire\0";
/// `PATH_MAX` of Linux, with the final zero.
const PATH_MAX: usize = 4096;
/// The suite's catch-all code: what a runtime shows to its user.
const FAILED: &[u8] = b"{\"code\":999,\"msg\":\"the executable podwire, which must lie in the \
same directory as this plugin, cannot be executed\"}\n";

// The kernel starts a program with its argument count, arguments and environment on the stack
// (System V ABI, "Process Initialization"), which no function could find from inside.
global_asm!(
    ".globl _start",
    "_start:",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {start}",
    start = sym start
);

mod call {
    pub const READLINKAT: usize = 267;
    pub const EXECVE: usize = 59;
    pub const WRITE: usize = 1;
    pub const EXIT_GROUP: usize = 231;
}
/// `AT_FDCWD`: irrelevant for an absolute path.
const AT_FDCWD: usize = -100_isize as usize;

/// # Safety
/// The arguments are what the call wants, pointers among them are valid for what it does to them.
unsafe fn system_call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    // SAFETY: Linux's calling convention; the kernel keeps all other registers.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b,
            in("rdx") c, in("r10") d, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// # Safety
/// `stack` is the stack pointer that the kernel started the program with.
unsafe extern "C" fn start(stack: *const usize) -> ! {
    let mut path = [0_u8; PATH_MAX];
    if beside(&mut path) {
        // SAFETY: the kernel put the count, that many arguments, a null pointer and the
        // environment there; `path` ends with a zero.
        unsafe {
            let count = *stack;
            let arguments = stack.add(1);
            let environment = stack.add(count + 2);
            let program = path.as_ptr() as usize;
            system_call(
                call::EXECVE,
                program,
                arguments as usize,
                environment as usize,
                0,
            );
        }
    }
    // SAFETY: the text outlives the call, which reads as much of it as there is.
    unsafe {
        system_call(call::WRITE, 1, FAILED.as_ptr() as usize, FAILED.len(), 0);
    }
    end()
}

/// Makes the path of `podwire` beside this program, with a final zero.
fn beside(path: &mut [u8; PATH_MAX]) -> bool {
    let (own, buffer) = (OWN.as_ptr() as usize, path.as_mut_ptr() as usize);
    // SAFETY: OWN ends with a zero; the kernel writes no more than the buffer's length.
    let length = unsafe { system_call(call::READLINKAT, AT_FDCWD, own, buffer, PATH_MAX) };
    let Some(own) = usize::try_from(length)
        .ok()
        .and_then(|length| path.get(..length))
    else {
        return false;
    };
    let Some(slash) = own.iter().rposition(|&byte| byte == b'/') else {
        return false;
    };
    match path.get_mut(slash + 1..slash + 1 + PROGRAM.len()) {
        Some(name) => {
            for (to, from) in name.iter_mut().zip(PROGRAM) {
                *to = *from;
            }
            true
        }
        None => false,
    }
}

fn end() -> ! {
    loop {
        // SAFETY: takes a number and does not return.
        unsafe {
            system_call(call::EXIT_GROUP, 1, 0, 0, 0);
        }
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    end()
}
