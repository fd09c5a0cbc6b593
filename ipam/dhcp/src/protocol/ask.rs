//! What a client says of itself and wants to know: option names, `provide` and `request`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::message::{Mac, Message, MessageType, Options, option};
use crate::config::{Provided, Requested};

/// The largest message that a client takes (option 57), in bytes.
const LARGEST_MESSAGE: u16 = 1500;
/// What an option holds at most.
const LONGEST_VALUE: usize = 255;
/// What is asked for without being configured: what makes a result, and name resolution.
const USUAL: [u8; 5] = [
    option::ROUTERS,
    option::SUBNET_MASK,
    option::NAME_SERVERS,
    option::DOMAIN,
    option::SEARCH,
];
/// Options by name, as the reference plugin calls them.
const NAMES: [(&str, u8); 6] = [
    ("dhcp-client-identifier", option::CLIENT_ID),
    ("subnet-mask", option::SUBNET_MASK),
    ("routers", option::ROUTERS),
    ("host-name", option::HOST_NAME),
    ("user-class", option::USER_CLASS),
    ("vendor-class-identifier", option::VENDOR_CLASS),
];
/// What only the exchange itself can know.
const OWN: [u8; 5] = [
    option::PAD,
    option::MESSAGE_TYPE,
    option::SERVER,
    option::REQUESTED_OPTIONS,
    option::END,
];

/// Why options cannot be sent; the texts are the reference plugin's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// Neither a known name nor a number.
    #[error(
        "Can not parse option {0:?}: Can not parse option: strconv.ParseUint: parsing {0:?}: {1}"
    )]
    Name(String, &'static str),
    /// More than 255 bytes.
    #[error("value too long for option {0:?}: {1:?}")]
    TooLong(String, String),
    /// It would break the exchange.
    #[error("option {0:?} is the client's own and cannot be provided")]
    Own(String),
}

/// A client as servers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Client {
    /// Options that each message holds: the client identifier and those of `provide`.
    pub(crate) options: Options,
    /// Codes of the options that it asks for.
    pub(crate) request: Vec<u8>,
    /// Answers shall go to everybody.
    pub(crate) broadcast: bool,
}

impl Client {
    /// `identity` is what servers know the client by, unless `provide` says otherwise.
    pub(crate) fn new(
        identity: &str,
        provide: &[Provided],
        request: &[Requested],
        args: &BTreeMap<&str, &str>,
    ) -> Result<Self, OptionError> {
        let mut options = Options::default();
        options.set(option::LARGEST_MESSAGE, LARGEST_MESSAGE.to_be_bytes());
        options.set(option::CLIENT_ID, client_id(identity));
        for provided in provide {
            set_provided(&mut options, provided, args)?;
        }
        Ok(Self {
            options,
            request: requested(request)?,
            broadcast: false,
        })
    }

    /// A message with everything in it that does not depend on the exchange.
    fn message(&self, kind: MessageType, mac: Mac, xid: u32) -> Message {
        let mut options = self.options.clone();
        options.set(option::MESSAGE_TYPE, [kind as u8]);
        Message {
            is_reply: false,
            xid,
            secs: 0,
            broadcast: false,
            client: Ipv4Addr::UNSPECIFIED,
            yours: Ipv4Addr::UNSPECIFIED,
            mac,
            options,
        }
    }

    fn question(&self, kind: MessageType, mac: Mac, xid: u32) -> Message {
        let mut message = self.message(kind, mac, xid);
        if !self.request.is_empty() {
            let request = self.request.clone();
            message.options.set(option::REQUESTED_OPTIONS, request);
        }
        message.broadcast = self.broadcast;
        message
    }

    /// DHCPDISCOVER; `wanted`: an address that the client would like.
    pub(crate) fn discover(&self, mac: Mac, xid: u32, wanted: Option<Ipv4Addr>) -> Message {
        let mut message = self.question(MessageType::Discover, mac, xid);
        if let Some(wanted) = wanted {
            let wanted = wanted.octets();
            message.options.set(option::REQUESTED_ADDRESS, wanted);
        }
        message
    }

    /// DHCPREQUEST that takes an offer.
    pub(crate) fn select(
        &self,
        mac: Mac,
        xid: u32,
        offered: Ipv4Addr,
        server: Ipv4Addr,
    ) -> Message {
        let mut message = self.question(MessageType::Request, mac, xid);
        message
            .options
            .set(option::REQUESTED_ADDRESS, offered.octets());
        message.options.set(option::SERVER, server.octets());
        message
    }

    /// DHCPREQUEST that extends a lease. The client has the address, so answers find it.
    pub(crate) fn extend(&self, mac: Mac, xid: u32, leased: Ipv4Addr) -> Message {
        let mut message = self.question(MessageType::Request, mac, xid);
        message.client = leased;
        message.broadcast = false;
        message
    }

    /// DHCPRELEASE.
    pub(crate) fn release(&self, mac: Mac, leased: Ipv4Addr, server: Ipv4Addr) -> Message {
        let mut message = self.message(MessageType::Release, mac, fastrand::u32(..));
        message.client = leased;
        message.options.set(option::SERVER, server.octets());
        message
    }
}

/// A byte 0, which means that the rest is no hardware address (RFC 2132, section 9.14), and as
/// much of the text as an option holds.
fn client_id(identity: &str) -> Vec<u8> {
    let identity = identity.as_bytes();
    let kept = &identity[..identity.len().min(LONGEST_VALUE - 1)];
    [&[0], kept].concat()
}

fn set_provided(
    options: &mut Options,
    provided: &Provided,
    args: &BTreeMap<&str, &str>,
) -> Result<(), OptionError> {
    let code = code_of(&provided.option)?;
    let from_args = args.get(provided.from_arg.as_str()).copied();
    for value in [Some(provided.value.as_str()), from_args] {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            continue;
        };
        if OWN.contains(&code) {
            return Err(OptionError::Own(provided.option.clone()));
        }
        if value.len() > LONGEST_VALUE {
            let option = provided.option.clone();
            return Err(OptionError::TooLong(option, value.to_owned()));
        }
        options.set(code, value);
    }
    Ok(())
}

/// Codes to ask for, each once.
fn requested(request: &[Requested]) -> Result<Vec<u8>, OptionError> {
    let mut codes = match request.iter().any(|requested| requested.skip_default) {
        true => Vec::new(),
        false => USUAL.to_vec(),
    };
    for requested in request.iter().filter(|one| !one.option.is_empty()) {
        let code = code_of(&requested.option)?;
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    Ok(codes)
}

fn code_of(name: &str) -> Result<u8, OptionError> {
    if let Some((_, code)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*code);
    }
    let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let why = match is_number {
        true => "value out of range",
        false => "invalid syntax",
    };
    let code = name.parse().ok().filter(|_| is_number);
    code.ok_or_else(|| OptionError::Name(name.to_owned(), why))
}

/// `CNI_ARGS` as `fromArg` sees it: every piece with a `=`, split at the first one.
pub(crate) fn lenient_args(text: &str) -> BTreeMap<&str, &str> {
    text.split(';')
        .filter_map(|piece| piece.split_once('='))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provided(option: &str, value: &str, from_arg: &str) -> Provided {
        Provided {
            option: option.to_owned(),
            value: value.to_owned(),
            from_arg: from_arg.to_owned(),
        }
    }

    fn asked(option: &str, skip_default: bool) -> Requested {
        Requested {
            option: option.to_owned(),
            skip_default,
        }
    }

    #[test]
    fn provided_values_come_from_the_configuration_or_the_call() {
        let provide = [
            provided("host-name", "h1", ""),
            provided("12", "", "K8S_POD_NAME"),
            provided("60", "vendor", "NOT_THERE"),
        ];
        let args = lenient_args("IgnoreUnknown=1;;K8S_POD_NAME=a=b");
        let client = Client::new("c/n/i", &provide, &[], &args).unwrap();
        let options = &client.options;
        assert_eq!(options.get(option::HOST_NAME), Some(&b"a=b"[..]));
        assert_eq!(options.get(option::VENDOR_CLASS), Some(&b"vendor"[..]));
        assert_eq!(options.get(option::CLIENT_ID), Some(&b"\0c/n/i"[..]));
        let own = [provided("dhcp-client-identifier", "me", "")];
        let client = Client::new("c/n/i", &own, &[], &args).unwrap();
        assert_eq!(client.options.get(option::CLIENT_ID), Some(&b"me"[..]));
    }

    #[test]
    fn requested_options_are_the_usual_ones_and_more() {
        let request = |request: &[Requested]| requested(request).unwrap();
        assert_eq!(request(&[]), USUAL);
        assert_eq!(
            request(&[asked("42", false), asked("routers", false)]),
            [3, 1, 6, 15, 119, 42]
        );
        assert_eq!(request(&[asked("", true), asked("121", false)]), [121]);
    }

    #[test]
    fn bad_options_are_told_as_recorded() {
        let refused = |provide: &Provided| {
            let error = Client::new("", std::slice::from_ref(provide), &[], &BTreeMap::new());
            error.unwrap_err().to_string()
        };
        assert_eq!(
            refused(&provided("bogus", "x", "")),
            "Can not parse option \"bogus\": Can not parse option: strconv.ParseUint: parsing \"bogus\": invalid syntax"
        );
        assert!(refused(&provided("256", "x", "")).ends_with("\"256\": value out of range"));
        assert!(refused(&provided("+1", "x", "")).ends_with("\"+1\": invalid syntax"));
        let long = "v".repeat(256);
        assert_eq!(
            refused(&provided("12", &long, "")),
            format!("value too long for option \"12\": \"{long}\"")
        );
        assert!(refused(&provided("53", "x", "")).contains("client's own"));
    }

    #[test]
    fn a_long_identity_is_cut() {
        assert_eq!(client_id(&"c".repeat(300)).len(), 255);
    }
}
