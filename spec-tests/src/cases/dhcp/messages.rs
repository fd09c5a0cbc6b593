//! What DHCP clients say on the wire, as tcpdump sees it.

use std::collections::BTreeMap;

use crate::cases::{
    dhcp::lan::{DHCP, ready},
    prelude::*,
    sight::*,
};

const WIRE_TEXT: &str = "/run/wire";

/// A case that looks at the messages themselves.
pub(in crate::cases) const WIRE: Case = Case {
    needs: &["busybox", "tcpdump"],
    ..DHCP
};

/// Notes every DHCP message on `lan0` from now on, for [`said`].
pub(in crate::cases) fn listen(bench: &mut Bench) -> Result<(), Failure> {
    let line = "tcpdump -l --immediate-mode -n -x -i lan0 udp port 67";
    bench.run(
        "sh",
        &["-c", &format!("{line} >{WIRE_TEXT} 2>/run/tcpdump.log &")],
    )?;
    let listens = bench.in_time(|_| text("/run/tcpdump.log").contains("listening on"));
    ready(listens, "tcpdump")
}

/// One DHCP message of a client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cases) struct Message {
    /// What it is: [`DISCOVER`], [`REQUEST`], [`RELEASE`].
    pub kind: u8,
    /// The client's own address, `ciaddr` (RFC 2131, section 2).
    pub client: String,
    /// Options by their code (RFC 2132).
    pub options: BTreeMap<u8, Vec<u8>>,
}

/// Values of option 53 (RFC 2132, section 9.6).
pub(in crate::cases) const DISCOVER: u8 = 1;
/// A client takes an offer, or renews.
pub(in crate::cases) const REQUEST: u8 = 3;
/// A client gives its lease back.
pub(in crate::cases) const RELEASE: u8 = 7;

/// What clients said since [`listen`], the first message first.
pub(in crate::cases) fn said(bench: &mut Bench) -> Result<Vec<Message>, Failure> {
    let lines = bench.read(WIRE_TEXT)?;
    Ok(packets(&lines)
        .iter()
        .filter_map(|packet| message(packet))
        .collect())
}

/// The messages of that kind, once there are this many; fewer when they do not come in time.
pub(in crate::cases) fn heard(
    bench: &mut Bench,
    kind: u8,
    count: usize,
) -> Result<Vec<Message>, Failure> {
    let mut found = Vec::new();
    let came = bench.in_time(|bench| {
        found = said(bench).unwrap_or_default();
        found.retain(|message| message.kind == kind);
        found.len() >= count
    });
    let what = format!("{count} messages of kind {kind} on the wire");
    expect_that(came, &what, format!("{found:?}"))?;
    Ok(found)
}

/// The IP packets of tcpdump's hexadecimal output that are whole.
fn packets(text: &str) -> Vec<Vec<u8>> {
    let mut packets: Vec<Vec<u8>> = Vec::new();
    for line in text.lines() {
        match line.trim_start().strip_prefix("0x") {
            None => packets.push(Vec::new()),
            Some(rest) => {
                let digits: String = rest
                    .split(':')
                    .skip(1)
                    .collect::<String>()
                    .split_whitespace()
                    .collect();
                let bytes = digits.as_bytes().chunks(2).filter_map(byte);
                if let Some(packet) = packets.last_mut() {
                    packet.extend(bytes);
                }
            }
        }
    }
    let is_whole = |packet: &Vec<u8>| {
        let length = packet
            .get(2..4)
            .map(|b| usize::from(b[0]) << 8 | usize::from(b[1]));
        length == Some(packet.len())
    };
    packets.retain(is_whole);
    packets
}

fn byte(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// A client's message in this IPv4 packet.
fn message(packet: &[u8]) -> Option<Message> {
    const REQUEST_OF_CLIENT: u8 = 1;
    let udp = usize::from(packet.first()? & 0x0f) * 4;
    let dhcp = packet.get(udp + 8..)?;
    if dhcp.first() != Some(&REQUEST_OF_CLIENT) {
        return None;
    }
    let address = dhcp.get(12..16)?;
    let options = options(dhcp.get(240..)?);
    Some(Message {
        kind: *options.get(&53)?.first()?,
        client: format!(
            "{}.{}.{}.{}",
            address[0], address[1], address[2], address[3]
        ),
        options,
    })
}

fn options(mut bytes: &[u8]) -> BTreeMap<u8, Vec<u8>> {
    const PAD: u8 = 0;
    const END: u8 = 255;
    let mut options = BTreeMap::new();
    while let [code, rest @ ..] = bytes {
        bytes = match (*code, rest) {
            (PAD, rest) => rest,
            (END, _) => break,
            (code, [length, rest @ ..]) if rest.len() >= usize::from(*length) => {
                let (value, rest) = rest.split_at(usize::from(*length));
                options.insert(code, value.to_vec());
                rest
            }
            _ => break,
        };
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv4 packet with a DHCP message that holds these options.
    fn packet(client: [u8; 4], options: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 20 + 8 + 240];
        packet[0] = 0x45;
        packet[28] = 1;
        packet[40..44].copy_from_slice(&client);
        packet.extend(options);
        let length = u16::try_from(packet.len()).unwrap();
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet
    }

    fn dump(packet: &[u8]) -> String {
        let mut text = "12:00:00.0 IP 0.0.0.0.68 > 255.255.255.255.67: BOOTP/DHCP\n".to_owned();
        for (number, line) in packet.chunks(16).enumerate() {
            let words: Vec<_> = line
                .chunks(2)
                .map(|word| {
                    word.iter()
                        .map(|byte| format!("{byte:02x}"))
                        .collect::<String>()
                })
                .collect();
            text.push_str(&format!("\t0x{:04x}:  {}\n", number * 16, words.join(" ")));
        }
        text
    }

    #[test]
    fn reads_messages_and_leaves_out_what_is_cut_off() {
        let release = packet([10, 88, 0, 50], &[53, 1, 7, 0, 61, 2, 0, 9, 255, 1]);
        let text = dump(&packet([0; 4], &[53, 1, 1, 55, 2, 1, 3, 255])) + &dump(&release);
        let found: Vec<_> = packets(&text)
            .iter()
            .filter_map(|packet| message(packet))
            .collect();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].kind, found[0].client.as_str()),
            (DISCOVER, "0.0.0.0")
        );
        assert_eq!(found[0].options[&55], [1, 3]);
        assert_eq!(
            (found[1].kind, found[1].client.as_str()),
            (RELEASE, "10.88.0.50")
        );
        assert_eq!(
            found[1].options,
            BTreeMap::from([(53, vec![7]), (61, vec![0, 9])])
        );
        assert_eq!(packets(&text[..text.len() - 9]).len(), 1);
    }

    #[test]
    fn bytes_that_are_no_message_are_left_out() {
        for bytes in [&[][..], &[0x45], &[0; 300], &packet([0; 4], &[53, 9, 1])] {
            assert_eq!(message(bytes), None);
        }
    }
}
