//! Addresses and subnets as the configuration writes them. IPv4-mapped IPv6 addresses are IPv4
//! everywhere, as in the reference plugins.
use std::net::IpAddr;

pub(crate) use cni::json::cidr_as_written as parse_cidr;

/// `text` as an address, or `None`.
pub(crate) fn parse_address(text: &str) -> Option<IpAddr> {
    cni::json::parse_ip(text).ok()
}

/// `ADDRESS` or `ADDRESS/LENGTH`; the length is checked and dropped.
pub(crate) fn parse_address_or_cidr(text: &str) -> Option<IpAddr> {
    match text.contains('/') {
        true => parse_cidr(text).map(|net| net.ip().to_canonical()),
        false => parse_address(text),
    }
}

/// An address as a number, to count with.
pub(crate) fn to_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// The address of `like`'s family with this number; numbers past the family's end are cut.
pub(crate) fn from_number(number: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4((number as u32).into()),
        IpAddr::V6(_) => IpAddr::V6(number.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_need_an_address_and_a_decimal_length() {
        for good in [
            "10.1.2.3/24",
            "0.0.0.0/0",
            "2001:db8::/64",
            "::ffff:10.0.0.0/120",
        ] {
            assert!(parse_cidr(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "x",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/255.0.0.0",
            "/8",
        ] {
            assert!(parse_cidr(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn requested_addresses_may_carry_a_length_and_any_spelling() {
        let cases = [
            ("10.22.0.77/16", Some("10.22.0.77")),
            ("::ffff:10.22.0.50", Some("10.22.0.50")),
            ("2001:0DB8:0:0::00AB", Some("2001:db8::ab")),
            ("10.22.0.300", None),
            ("10.22.0.7/99", None),
            ("zz", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(
                parse_address_or_cidr(text)
                    .map(|a| a.to_string())
                    .as_deref(),
                wanted,
                "{text}"
            );
        }
    }
}
