//! The MAC address that a user asked for.

use std::io;

use kernel::MacAddr;

use crate::{Error, Result};

/// Bytes of the longer hardware addresses that read as one (EUI-64, 20-byte IPoIB), which an
/// Ethernet link refuses.
const LONGER: [usize; 2] = [8, 20];
/// EINVAL
const INVALID_ARGUMENT: i32 = 22;

/// Reads a container MAC; empty means that none was asked for.
///
/// # Errors
/// Not a hardware address, or a longer one than Ethernet has; both in the words of the
/// operation that would have failed.
pub fn parse(text: &str) -> Result<Option<MacAddr>> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(mac) => Ok(Some(mac)),
        Err(_) if LONGER.contains(&hardware_address_len(text)) => Err(Error::MakeVeth {
            source: kernel::Error::new(
                "set hardware address",
                text,
                io::Error::from_raw_os_error(INVALID_ARGUMENT),
            )
            .into(),
        }),
        Err(_) => Err(Error::InvalidMac {
            address: text.to_owned(),
        }),
    }
}

/// Bytes of a hardware address written `00:11:..`, `00-11-..` or `0011.2233...`; 0 if it is none.
fn hardware_address_len(text: &str) -> usize {
    [(':', 2), ('-', 2), ('.', 4)]
        .into_iter()
        .find_map(|(separator, digits)| {
            let groups: Vec<&str> = text.split(separator).collect();
            let well_formed = groups.iter().all(|group| {
                group.len() == digits && group.bytes().all(|byte| byte.is_ascii_hexdigit())
            });
            (groups.len() > 1 && well_formed).then_some(groups.len() * digits / 2)
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_textual_form_is_read() {
        assert_eq!(parse("").unwrap(), None);
        for text in ["c2:11:22:33:44:77", "C2-11-22-33-44-77", "c211.2233.4477"] {
            assert_eq!(
                parse(text).unwrap().unwrap().to_string(),
                "c2:11:22:33:44:77"
            );
        }
    }

    #[test]
    fn what_is_no_ethernet_address_is_refused_in_the_words_of_the_reference_plugins() {
        for (text, message) in [
            (
                "c2:11:22",
                "failed to make veth pair: address c2:11:22: invalid MAC address",
            ),
            (
                "x",
                "failed to make veth pair: address x: invalid MAC address",
            ),
            (
                "02:00:11:22:33:44:55:66",
                "failed to make veth pair: invalid argument",
            ),
            (
                "0200.1122.3344.5566",
                "failed to make veth pair: invalid argument",
            ),
        ] {
            let error = cni::Error::internal(parse(text).unwrap_err());
            assert_eq!((error.code, error.msg.as_str()), (999, message));
        }
    }
}
