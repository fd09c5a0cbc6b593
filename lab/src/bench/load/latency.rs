//! One byte there and one byte back over one TCP connection.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    process, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{connect_to, listen, say, wait_for_the_end};
use crate::bench::measure::quantile;

/// How many times are told of all, at even distances; all where there are fewer.
const TOLD: usize = 1000;

/// How long the answers took.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(in crate::bench) struct Answers {
    /// How many there were.
    pub(in crate::bench) count: usize,
    /// Microseconds within which half of them came.
    pub(in crate::bench) p50: f64,
    /// Within which 99 % came.
    pub(in crate::bench) p99: f64,
    /// Within which 99.9 % came.
    pub(in crate::bench) p999: f64,
    /// [`TOLD`] of all, or all, in microseconds, in the order of the questions.
    pub(in crate::bench) some: Vec<f64>,
}

/// # Errors
/// The port is taken; a connection fails.
pub(super) fn echo(port: u16) -> Result<()> {
    let listener = listen(port)?;
    say("ready");
    thread::spawn(|| {
        wait_for_the_end();
        process::exit(0);
    });
    for connection in listener.incoming() {
        let mut connection = connection?;
        connection.set_nodelay(true)?;
        let mut byte = [0];
        while connection.read(&mut byte)? > 0 {
            match connection.write_all(&byte) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
                written => written?,
            }
        }
    }
    Ok(())
}

/// # Errors
/// There is no connection, or it breaks.
pub(super) fn ask(to: SocketAddr, time: Duration) -> Result<()> {
    let mut connection = connect_to(to)?;
    connection.set_nodelay(true)?;
    let mut times = Vec::new();
    let end = Instant::now() + time;
    while times.is_empty() || Instant::now() < end {
        let start = Instant::now();
        let asked = connection.write_all(&[0]);
        let answered = asked.and_then(|()| connection.read_exact(&mut [0]));
        answered.with_context(|| format!("ask {to}"))?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    say(serde_json::to_string(&answers(&mut times))?);
    Ok(())
}

fn answers(times: &mut [f64]) -> Answers {
    let some = some(times);
    Answers {
        count: times.len(),
        p50: quantile(times, 500),
        p99: quantile(times, 990),
        p999: quantile(times, 999),
        some,
    }
}

/// With a digit after the point: the clock tells no more.
fn some(times: &[f64]) -> Vec<f64> {
    let told = times.len().min(TOLD);
    let some = (0..told).filter_map(|at| times.get(at * times.len() / told));
    some.map(|time| (time * 10.0).round() / 10.0).collect()
}

#[cfg(test)]
mod tests {
    use super::{answers, some};

    #[test]
    fn no_more_times_are_told_than_a_thousand() {
        for (count, told, last) in [
            (0, 0, None),
            (3, 3, Some(2.0)),
            (1000, 1000, Some(999.0)),
            (1001, 1000, Some(999.0)),
            (1999, 1000, Some(1997.0)),
            (5000, 1000, Some(4995.0)),
        ] {
            let times: Vec<f64> = (0..count).map(f64::from).collect();
            let some = some(&times);
            assert_eq!((some.len(), some.last().copied()), (told, last), "{count}");
        }
    }

    #[test]
    fn of_a_thousand_answers_one_is_later_than_the_last_percentile() {
        let mut times: Vec<f64> = (1..=1000).rev().map(f64::from).collect();
        let answers = answers(&mut times);
        assert_eq!(answers.count, 1000);
        assert_eq!(
            [answers.p50, answers.p99, answers.p999],
            [500.0, 990.0, 999.0]
        );
    }
}
