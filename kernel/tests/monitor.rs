//! What the monitor hears of changes that others make.

mod common;

use std::time::Duration;

use common::{Step, here};
use kernel::testing::World;
use kernel::{Change, Entry, Event, MacAddr, Monitor, Netlink, Route, RouteKind};

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.step().block_on(work)
}

/// The next event that `wanted` takes.
async fn heard(monitor: &mut Monitor, wanted: impl Fn(&Event) -> bool) -> Event {
    let wait = async {
        loop {
            let event = monitor.next().await.step();
            if wanted(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), wait)
        .await
        .step()
}

#[test]
fn every_sort_of_change_is_heard() {
    let Some(_world) = World::new() else { return };
    block_on(async {
        let mut monitor = Monitor::open().step();
        here().run("ip link add vx0 type vxlan id 1 dstport 8472");
        let link = |removed| {
            move |event: &Event| {
                matches!(event, Event::Link { name: Some(name), removed: gone, .. }
                if name.as_str() == "vx0" && *gone == removed)
            }
        };
        let Event::Link { index, .. } = heard(&mut monitor, link(false)).await else {
            panic!()
        };
        here().run("ip link set vx0 up");
        for (address, dst, neighbour) in [
            ("10.0.0.2/24", "10.1.0.0/24", "10.0.0.9"),
            ("fd00::2/64", "fd01::/64", "fd00::9"),
        ] {
            let address_line = |verb: &str| format!("ip address {verb} {address} dev vx0");
            here().run(&address_line("add"));
            heard(&mut monitor, |event| {
                *event
                    == Event::Address {
                        link: index,
                        removed: false,
                    }
            })
            .await;

            let route = Route {
                link: Some(index),
                ..Route::to(dst.parse().step())
            };
            // `ip` gives IPv4 routes without a next hop this scope.
            let scope = if route.dst.is_ipv4() { 253 } else { 0 };
            let route = Route { scope, ..route };
            for (verb, removed) in [("add", false), ("delete", true)] {
                here().run(&format!("ip route {verb} {dst} dev vx0"));
                let event = Event::Route {
                    route: route.clone(),
                    removed,
                };
                heard(&mut monitor, |heard| *heard == event).await;
                here().run(&format!(
                    "ip neighbour {verb} {neighbour} dev vx0 lladdr 02:00:00:00:00:01"
                ));
                let address: std::net::IpAddr = neighbour.parse().step();
                heard(&mut monitor, |heard| {
                    let Event::Neighbour {
                        link,
                        entry,
                        removed: gone,
                    } = heard
                    else {
                        return false;
                    };
                    let told = match entry {
                        Some(Entry::Neighbour {
                            address: at,
                            mac,
                            permanent,
                        }) => {
                            let mac = *mac == Some(MacAddr([2, 0, 0, 0, 0, 1]));
                            *at == address && (removed || mac && *permanent)
                        }
                        _ => false,
                    };
                    *link == index && *gone == removed && told
                })
                .await;
            }
            here().run(&address_line("delete"));
            heard(&mut monitor, |event| {
                *event
                    == Event::Address {
                        link: index,
                        removed: true,
                    }
            })
            .await;
        }
        for (verb, removed) in [("add", false), ("delete", true)] {
            here().run(&format!(
                "bridge fdb {verb} 02:00:00:00:00:02 dev vx0 dst 10.0.0.7"
            ));
            let mac = MacAddr([2, 0, 0, 0, 0, 2]);
            let dst = "10.0.0.7".parse().ok();
            let event = Event::Neighbour {
                link: index,
                entry: Some(Entry::Fdb {
                    mac,
                    dst,
                    permanent: true,
                }),
                removed,
            };
            heard(&mut monitor, |heard| *heard == event).await;
        }
        here().run("ip link delete vx0");
        heard(&mut monitor, link(true)).await;
    });
}

#[test]
fn leaving_a_bridge_is_not_going() {
    let Some(_world) = World::new() else { return };
    block_on(async {
        here().run("ip link add br0 type bridge");
        here().run("ip link add left type veth peer name right");
        here().run("ip link set left master br0");
        let mut monitor = Monitor::open().step();
        here().run("ip link set left nomaster");
        here().run("ip link set right mtu 1400");
        let named = |name: &'static str| move |event: &Event| matches!(event, Event::Link { name: Some(heard), .. } if heard.as_str() == name);
        loop {
            let event = heard(&mut monitor, |event| {
                named("left")(event) || named("right")(event)
            })
            .await;
            assert!(
                matches!(event, Event::Link { removed: false, .. }),
                "{event:?}"
            );
            if named("right")(&event) {
                break;
            }
        }
    });
}

#[test]
fn what_the_own_socket_changes_is_not_heard_of() {
    let Some(_world) = World::new() else { return };
    let hole = |dst: &str| Route {
        kind: RouteKind::Blackhole,
        ..Route::to(dst.parse().step())
    };
    block_on(async {
        let netlink = Netlink::open().step();
        let mut monitor = Monitor::of_others(&netlink).step();
        let own = ["10.1.0.0/16", "fd01::/64"].map(hole);
        let made = own.iter().cloned().map(Change::ReplaceRoute);
        let deleted = own.iter().cloned().map(Change::DeleteRoute);
        let changes: Vec<_> = made.chain(deleted).collect();
        for outcome in netlink.apply(&changes).step() {
            outcome.step();
        }
        let theirs = hole("10.2.0.0/16");
        here().run("ip route add blackhole 10.2.0.0/16");
        let first = heard(&mut monitor, |event| matches!(event, Event::Route { .. })).await;
        let route = theirs.clone();
        assert_eq!(
            first,
            Event::Route {
                route,
                removed: false
            }
        );
        // Another socket of this process is another one.
        let change = Change::DeleteRoute(theirs.clone());
        Netlink::open().step().apply(&[change]).step();
        let second = heard(&mut monitor, |event| matches!(event, Event::Route { .. })).await;
        assert_eq!(
            second,
            Event::Route {
                route: theirs,
                removed: true
            }
        );
    });
}

#[test]
fn an_overrun_is_told() {
    let Some(world) = World::new() else { return };
    let batch = world.dir().join("routes");
    let lines = |verb: &str| -> String {
        let line = |number: u32| {
            format!(
                "route {verb} blackhole 10.{}.{}.0/24\n",
                number / 256,
                number % 256
            )
        };
        (0..4096).map(line).collect()
    };
    std::fs::write(&batch, lines("add") + &lines("delete")).step();
    block_on(async {
        let mut monitor = Monitor::open().step();
        here().run(&format!("ip -batch {}", batch.display()));
        heard(&mut monitor, |event| *event == Event::StateLost).await;
        here().run("ip link add vx0 type vxlan id 1 dstport 8472");
        heard(&mut monitor, |event| matches!(event, Event::Link { .. })).await;
    });
}
