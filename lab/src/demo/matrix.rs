//! Every pod to every pod: a round trip, and a page that says who served it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sandbox::Interrupt;

use super::Demo;
use super::capture::{PATIENCE, Place, run};
use crate::interrupt::pause;
use crate::pod::Pod;
use crate::state::LabDir;

pub(super) fn show(demo: &mut Demo<'_>, pods: &[Pod]) -> Result<()> {
    demo.screen
        .step("every pod to every pod: round trip in ms, and the name on the page fetched");
    for pod in pods {
        wait_for_server(&demo.dir, pod, demo.interrupt)?;
    }
    let name = |pod: &Pod| pod.name.to_string();
    let mut width = pods.iter().map(|pod| name(pod).len()).max().unwrap_or(0);
    // "0.123 " before the name.
    width += 8;
    let headings: Vec<String> = pods
        .iter()
        .map(|to| format!("{:width$}", name(to)))
        .collect();
    demo.screen
        .row(format_args!("{:8} {}", "from", headings.concat()));
    let mut reached = 0;
    for from in pods {
        let mut line = format!("{:8} ", name(from));
        for to in pods {
            let cell = visit(&demo.dir, from, to, demo.interrupt);
            crate::interrupt::check(demo.interrupt)?;
            match cell {
                Ok(text) => {
                    reached += 1;
                    line.push_str(&demo.screen.paint().good(format!("{text:width$}")));
                }
                Err(error) => {
                    line.push_str(&demo.screen.paint().bad(format!("{:width$}", "failed")));
                    demo.screen
                        .failed(format_args!("{} to {}: {error:#}", name(from), name(to)));
                }
            }
        }
        demo.screen.row(line);
    }
    if reached == pods.len() * pods.len() {
        demo.screen.good(format_args!(
            "{reached} of {reached} pairs reach each other"
        ));
    }
    demo.screen.done();
    Ok(())
}

/// One cell: `0.123 web-2`.
fn visit(dir: &LabDir, from: &Pod, to: &Pod, interrupt: Interrupt) -> Result<String> {
    let trip = round_trip(dir, from, address(to)?, interrupt)?;
    let page = fetch(dir, from, to, interrupt)?;
    if page != to.name.as_str() {
        bail!("the page at {} says {page:?}", address(to)?);
    }
    Ok(format!("{trip:.3} {page}"))
}

pub(super) fn address(pod: &Pod) -> Result<IpAddr> {
    pod.address()
        .with_context(|| format!("pod {} has no address", pod.name))
}

/// The shortest of a few round trips, in milliseconds: the first one also resolves neighbours.
pub(super) fn round_trip(
    dir: &LabDir,
    from: &Pod,
    to: IpAddr,
    interrupt: Interrupt,
) -> Result<f64> {
    let to = to.to_string();
    let ping = ["ping", "-n", "-q", "-c", "3", "-i", "0.005", "-W", "2", &to];
    let said = run(dir, Place::Pod(from), &ping, interrupt)?;
    shortest(&said).with_context(|| format!("understand ping: {said:?}"))
}

/// `rtt min/avg/max/mdev = 0.041/0.052/0.071/0.011 ms`
fn shortest(said: &str) -> Option<f64> {
    let (_, times) = said
        .lines()
        .find(|line| line.starts_with("rtt "))?
        .split_once("= ")?;
    times.split('/').next()?.parse().ok()
}

pub(super) fn fetch(dir: &LabDir, from: &Pod, to: &Pod, interrupt: Interrupt) -> Result<String> {
    let url = match address(to)? {
        IpAddr::V4(address) => format!("http://{address}/"),
        IpAddr::V6(address) => format!("http://[{address}]/"),
    };
    let curl = [
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "30",
        &url,
    ];
    let page = run(dir, Place::Pod(from), &curl, interrupt)?;
    Ok(page.trim().to_owned())
}

fn wait_for_server(dir: &LabDir, pod: &Pod, interrupt: Interrupt) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match fetch(dir, pod, pod, interrupt) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("pod {} serves no page", pod.name)));
            }
            Err(_) => pause(interrupt, Duration::from_millis(20))?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_round_trip_of_what_ping_says() {
        let said = "PING 10.244.1.2 (10.244.1.2) 56(84) bytes of data.\n\n\
                    --- 10.244.1.2 ping statistics ---\n\
                    3 packets transmitted, 3 received, 0% packet loss, time 11ms\n\
                    rtt min/avg/max/mdev = 0.041/0.052/0.071/0.011 ms\n";
        assert_eq!(shortest(said), Some(0.041));
        assert_eq!(shortest("3 packets transmitted, 0 received"), None);
    }
}
