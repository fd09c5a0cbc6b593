//! What a report says in words, whatever it is written as.

use clap::ValueEnum;

use super::comparison::Comparison;
use crate::bench::net::loads::Load;

pub(super) const MEASURED_ON: &str = "What was measured on";
pub(super) const COMMANDS: &str = "Commands";
pub(super) const PATHS: &str = "Paths";
pub(super) const NOISE: &str = "Noise";

pub(super) use super::noise::paragraphs as noise;

/// Of the whole.
pub(super) fn title(comparison: &Comparison<'_>) -> String {
    match comparison.sides.len() {
        1 => "lab bench net".to_owned(),
        sides => format!("lab bench net: {sides} sides compared"),
    }
}

/// Of a load.
pub(super) fn load_heading(load: Load) -> String {
    format!("{load}: {}", meaning(&load))
}

/// What its figures mean.
pub(super) fn about(load: Load) -> String {
    let figure = match load {
        Load::Tcp1 | Load::Tcp1Reverse => "What arrives; more is better.",
        Load::Tcp8 | Load::Tcp8Reverse => {
            "What arrives; more is better. iperf3 before 3.16 runs all eight on one thread of each end."
        }
        Load::Udp64 | Load::Udp1400 => {
            "Packets that arrive; more is better. Lost are those that were sent and did not arrive: the sender \
             sends as fast as it can."
        }
        Load::Latency => {
            "Time from a question to its answer; less is better. Of 100 answers 50 come within p50 and 99 within \
             p99; of 1,000, 999 within p99.9."
        }
        Load::Connections => "Connections opened and closed one after the other; more is better.",
    };
    let cpu = match load {
        Load::Latency | Load::Connections => "",
        _ => {
            " CPU s/Gbit: how long the machine's processors work for what arrives, in seconds for a \
             gigabit of data without headers; less is better."
        }
    };
    format!("{figure}{cpu}")
}

/// How plots are read.
pub(super) const PLOTS: &str = "In the plots each dot is a sample, those of the first rounds above those of the last; \
    a bar, with the number beside it, is the median. A path with +1 \
    is that path with 1 other pod on each of its nodes; one with IPv6 has all of its addresses, and the tunnel below \
    it, of that family, the others of IPv4.";

/// Without what steers a terminal, breaks a line, or turns the direction of letters.
pub(super) fn on_one_line(text: &str) -> String {
    let one = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(one).collect()
}

/// What the command line's help says of a value.
pub(super) fn meaning<T: ValueEnum>(value: &T) -> String {
    let value = value.to_possible_value();
    let help = value.as_ref().and_then(|value| value.get_help());
    help.map(ToString::to_string).unwrap_or_default()
}
