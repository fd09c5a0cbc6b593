use attach::masquerade::{self, Backend, Owner};
use kernel::{block_on, testing::World};
use std::time::Instant;
fn main_(backend: Option<Backend>) {
    let Some(_w) = World::new() else { return };
    for n in [1u32, 100, 5000] {
        let mut adds = vec![];
        let mut dels = vec![];
        let mut dels0 = vec![];
        let mut again = vec![];
        block_on(async {
            for i in 0..n {
                let id = format!("c{i}");
                let o = Owner {
                    network: "dbnet",
                    container_id: &id,
                    ifname: "eth0",
                };
                if backend.is_some() {
                    break;
                }
                let a = [format!("10.22.{}.{}/16", i / 250, i % 250 + 2)
                    .parse()
                    .unwrap()];
                masquerade::add(backend, &o, &a).await.unwrap();
            }
            for i in 0..10 {
                let id = format!("x{i}");
                let o = Owner {
                    network: "dbnet",
                    container_id: &id,
                    ifname: "eth0",
                };
                let a = [format!("10.22.200.{}/16", i + 2).parse().unwrap()];
                let t = Instant::now();
                masquerade::add(backend, &o, &a).await.unwrap();
                adds.push(t.elapsed());
                let t = Instant::now();
                masquerade::remove(&o, &a).await.unwrap();
                dels.push(t.elapsed());
                let t = Instant::now();
                masquerade::remove(&o, &a).await.unwrap();
                again.push(t.elapsed());
                masquerade::add(backend, &o, &a).await.unwrap();
                let t = Instant::now();
                masquerade::remove(&o, &[]).await.unwrap();
                dels0.push(t.elapsed());
            }
        })
        .unwrap();
        for (name, mut v) in [
            ("add", adds),
            ("del", dels),
            ("del again", again),
            ("del without addresses", dels0),
        ] {
            v.sort();
            println!(
                "{n} pods: {name} median {:?} max {:?}",
                v[v.len() / 2],
                v[v.len() - 1]
            );
        }
        if backend.is_some() {
            break;
        }
    }
}
#[test]
fn bench() {
    main_(None);
    main_(Some(Backend::Iptables));
}
