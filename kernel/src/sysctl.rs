//! sysctls of the calling thread's network namespace: read, compare, write, say which file.
use crate::*;
/// Key with `/` (`net/ipv4/conf/eth0.1/arp_notify`): interface names may contain dots.
/// Returns whether it had to be written.
pub fn set(_key: &str, _value: &str) -> Result<bool> { todo!() }
pub fn get(_key: &str) -> Result<String> { todo!() }
