//! The structures of xtables matches and targets: `linux/netfilter/xt_comment.h`, `xt_conntrack.h`, `xt_multiport.h`,
//! `xt_mark.h`; `linux/netfilter/nf_nat.h`. They are padded to eight bytes (XT_ALIGN).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use super::{Extension, Masked, States, Translation};

/// XT_MAX_COMMENT_LEN
const COMMENT_LENGTH: usize = 256;
/// `struct xt_conntrack_mtinfo3`
const CONNTRACK_LENGTH: usize = 168;
const CONNTRACK_REVISION: u32 = 3;
/// Offsets of `match_flags`, `invert_flags` and `state_mask`.
const MATCH_FLAGS: usize = 146;
const INVERT_FLAGS: usize = 148;
const STATE_MASK: usize = 150;
/// XT_CONNTRACK_STATE, and XT_CONNTRACK_STATE_ALIAS of `-m state`.
const BY_STATE: u16 = 1;
const STATE_ALIAS: u16 = 1 << 13;
/// `struct xt_multiport_v1`: which ports, how many fields, the fields, which of them begin a range,
/// whether none is meant.
const MULTIPORT_LENGTH: usize = 48;
const MULTIPORT_FIELDS: usize = 15;
const MULTIPORT_PORTS: usize = 2;
const MULTIPORT_RANGES: usize = MULTIPORT_PORTS + 2 * MULTIPORT_FIELDS;
/// XT_MULTIPORT_DESTINATION
const BY_DESTINATION: u8 = 1;

/// `struct nf_nat_range2`: flags, first and last address, first port. What the flags say is in it
/// (NF_NAT_RANGE_MAP_IPS, NF_NAT_RANGE_PROTO_SPECIFIED).
const NAT_ADDRESS: usize = 4;
const NAT_PORT: usize = NAT_ADDRESS + 2 * 16;
const NAT_HAS_ADDRESS: u32 = 1;
const NAT_HAS_PORT: u32 = 2;

impl Extension {
    /// Its name in xtables.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Comment(_) => "comment",
            Self::ConntrackState(_) => "conntrack",
        }
    }

    pub(super) fn revision(&self) -> u32 {
        match self {
            Self::Comment(_) => 0,
            Self::ConntrackState(_) => CONNTRACK_REVISION,
        }
    }

    pub(super) fn info(&self) -> Vec<u8> {
        match self {
            Self::Comment(text) => {
                let mut info = text.as_bytes().to_vec();
                // The kernel wants a zero at the end.
                info.truncate(COMMENT_LENGTH - 1);
                info.resize(COMMENT_LENGTH, 0);
                info
            }
            // xtables numbers the states as nftables does.
            Self::ConntrackState(states) => {
                let mut info = vec![0; CONNTRACK_LENGTH];
                put(&mut info, MATCH_FLAGS, BY_STATE);
                put(&mut info, STATE_MASK, states.0 as u16);
                info
            }
        }
    }
}

/// The ports of a multiport match, if it looks for destinations.
pub(super) fn ports(info: &[u8]) -> Option<Vec<RangeInclusive<u16>>> {
    let [BY_DESTINATION, count, ..] = *info else {
        return None;
    };
    if info.len() < MULTIPORT_LENGTH || info[MULTIPORT_LENGTH - 1] != 0 {
        return None;
    }
    let port = |field: usize| {
        let at = MULTIPORT_PORTS + 2 * field;
        u16::from_ne_bytes([info[at], info[at + 1]])
    };
    let mut ports = Vec::new();
    let mut fields = 0..usize::from(count).min(MULTIPORT_FIELDS);
    while let Some(field) = fields.next() {
        let last = match info[MULTIPORT_RANGES + field] {
            0 => field,
            _ => fields.next()?,
        };
        ports.push(port(field)..=port(last));
    }
    Some(ports)
}

/// The states of a conntrack match that looks at nothing else.
pub(super) fn states(info: &[u8]) -> Option<States> {
    let get = |at: usize| Some(u16::from_ne_bytes(info.get(at..at + 2)?.try_into().ok()?));
    let is_by_state = get(MATCH_FLAGS)? & !STATE_ALIAS == BY_STATE && get(INVERT_FLAGS)? == 0;
    let states = u32::from(get(STATE_MASK)?);
    is_by_state.then_some(States(states))
}

/// The mark of a match (`struct xt_mark_mtinfo1`) or of a target (`struct xt_mark_tginfo2`): value and
/// mask. A match may mean all others, which is not read.
pub(super) fn mark(info: &[u8], is_match: bool) -> Option<Masked> {
    let number = |at: usize| Some(u32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?));
    let (value, mask) = (number(0)?, number(4)?);
    if is_match && *info.get(8)? != 0 {
        return None;
    }
    Some(Masked { value, mask })
}

/// Where a DNAT target of revision 2 leads. Its structure does not tell the family; no host has an IPv6
/// address of which only the first four bytes are not zero.
pub(super) fn destination(info: &[u8]) -> Option<Translation> {
    let flags = u32::from_ne_bytes(info.get(..4)?.try_into().ok()?);
    if flags & NAT_HAS_ADDRESS == 0 {
        return None;
    }
    let address: [u8; 16] = info.get(NAT_ADDRESS..NAT_ADDRESS + 16)?.try_into().ok()?;
    let port = info.get(NAT_PORT..NAT_PORT + 2)?.try_into().ok()?;
    let address = match address {
        [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => Ipv4Addr::new(a, b, c, d).into(),
        address => IpAddr::from(Ipv6Addr::from(address)),
    };
    let port = (flags & NAT_HAS_PORT != 0).then(|| u16::from_be_bytes(port));
    Some(Translation::To(address, port))
}

fn put(info: &mut [u8], at: usize, value: u16) {
    info[at..at + 2].copy_from_slice(&value.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_read_back_and_nothing_else_is_taken_for_states() {
        let wanted = States::ESTABLISHED.or(States::RELATED);
        let mut info = Extension::ConntrackState(wanted).info();
        assert_eq!(states(&info), Some(wanted));
        put(&mut info, INVERT_FLAGS, BY_STATE);
        assert_eq!(states(&info), None, "none of the states");
        put(&mut info, INVERT_FLAGS, 0);
        put(&mut info, MATCH_FLAGS, BY_STATE | 2);
        assert_eq!(states(&info), None, "also the protocol");
        assert_eq!(states(&info[..100]), None, "an earlier revision");
    }

    #[test]
    fn ports_are_read_unless_others_are_meant() {
        let mut info = vec![0; MULTIPORT_LENGTH];
        info[..2].copy_from_slice(&[BY_DESTINATION, 4]);
        for (field, port) in [53, 8080, 8090, 65535].into_iter().enumerate() {
            put(&mut info, MULTIPORT_PORTS + 2 * field, port);
        }
        info[MULTIPORT_RANGES + 1] = 1;
        let wanted = vec![53..=53, 8080..=8090, 65535..=65535];
        assert_eq!(ports(&info), Some(wanted));
        assert_eq!(ports(&info[..40]), None, "cut off");
        info[1] = 2;
        assert_eq!(ports(&info), None, "a range without an end");
        info[1] = 4;
        info[MULTIPORT_LENGTH - 1] = 1;
        assert_eq!(ports(&info), None, "none of them");
        info[MULTIPORT_LENGTH - 1] = 0;
        info[0] = 0;
        assert_eq!(ports(&info), None, "of the source");
    }

    #[test]
    fn comments_end_with_a_zero() {
        for length in [0, 1, 255, 256, 300] {
            let info = Extension::Comment("x".repeat(length)).info();
            assert_eq!(info.len(), COMMENT_LENGTH);
            assert_eq!(
                info.iter().take_while(|byte| **byte != 0).count(),
                length.min(255)
            );
        }
    }
}
