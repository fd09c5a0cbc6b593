//! How the C library keeps memory.
//!
//! No capabilities needed.

/// From this size on a piece of memory is mapped by itself, and given back when it is free.
#[cfg(target_env = "gnu")]
const LARGE: nix::libc::c_int = 128 * 1024;

/// Large pieces of memory go back to the machine when they are free, for as long as the process lives. By default glibc
/// takes a piece that was freed for a sign that such are needed again and again, and keeps them (mallopt(3)); other
/// C libraries are left as they are. To be called before there are threads.
#[cfg_attr(target_env = "gnu", allow(unsafe_code, reason = "nix has no mallopt"))]
pub fn return_large_pieces() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it changes a number that the allocator reads, while no other thread runs. It fails for numbers alone that
    // are out of range, and leaves the default then.
    unsafe {
        nix::libc::mallopt(nix::libc::M_MMAP_THRESHOLD, LARGE);
    }
}

/// What is free goes back to the machine, page by page: for after much was needed for a moment.
#[cfg_attr(
    target_env = "gnu",
    allow(unsafe_code, reason = "nix has no malloc_trim")
)]
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the allocator's own locks, and touches what is free alone.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}
