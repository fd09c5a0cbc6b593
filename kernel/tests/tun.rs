//! Queues of tun devices, sockets for many datagrams at once, and descriptors that go to another process.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use kernel::handover::ReceiveError;
use kernel::testing::World;
use kernel::{
    DatagramSocket, IfName, LinkChange, Netlink, NewKind, NewLink, Received, TunQueue, handover,
    wait,
};

/// What comes for certain is waited for so long: more than any machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `look` finds; a failure that says what is `missing` when it does not come.
fn awaited<T>(missing: impl Fn() -> String, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{}", missing());
        std::thread::yield_now();
    }
}

/// A datagram that comes for certain.
fn next(socket: &DatagramSocket, buffer: &mut [u8]) -> Received {
    let missing = || format!("no datagram comes to {}", socket.local().unwrap());
    awaited(missing, || match socket.receive(buffer) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        received => Some(received.unwrap()),
    })
}

/// A socket that fails when nothing comes.
fn bound(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[test]
fn what_a_tun_device_sends_is_read_and_what_is_written_is_received() {
    let Some(_world) = World::new() else { return };
    let netlink = Netlink::open().unwrap();
    let name: IfName = "tun7".parse().unwrap();
    let new = NewLink::new(&name, NewKind::Tap(TunQueue::DEVICE));
    let link = netlink.add_link(&new).unwrap();
    let queue = TunQueue::attach(&name).unwrap();
    let other = TunQueue::attach(&name).unwrap();
    assert_eq!(queue.device().unwrap(), Some(name.clone()));
    let address = "10.9.0.1/24".parse().unwrap();
    netlink.add_address(link.index, address).unwrap();
    let up = LinkChange {
        up: Some(true),
        ..LinkChange::default()
    };
    netlink.set_link(link.index, &up).unwrap();
    let socket = bound("10.9.0.1:5000");
    socket.send_to(b"out", "10.9.0.2:6000").unwrap();
    // The kernel chooses the queue, and sends packets of IPv6's own as well.
    let mut buffer = [0; 2000];
    let missing = || "the device sends no IPv4 packet".to_owned();
    awaited(missing, || {
        [&queue, &other]
            .iter()
            .find(|queue| match queue.read(&mut buffer) {
                Ok(_) => buffer[10] >> 4 == 4,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    false
                }
            })
            .map(drop)
    });
    let packet = &buffer[10..41];
    assert_eq!(&packet[28..], b"out");
    let mut answer = packet.to_vec();
    answer[12..20].rotate_left(4);
    answer[20..24].rotate_left(2);
    answer[26..28].fill(0);
    answer[28..].copy_from_slice(b"in!");
    other
        .write(&[IoSlice::new(&[0; 10]), IoSlice::new(&answer)])
        .unwrap();
    let mut came = [0; 9];
    assert_eq!(socket.recv(&mut came).unwrap(), 3);
    assert_eq!(&came[..3], b"in!");

    drop((queue, other));
    let left = netlink.link(&name).unwrap().map(|link| link.index);
    assert_eq!(left, Some(link.index), "it stays without a program");
    let queue = TunQueue::attach(&name).unwrap();
    netlink.delete_link(link.index).unwrap();
    assert_eq!(queue.device().unwrap(), None, "until it is deleted");
    let strange = TunQueue::from(std::os::fd::OwnedFd::from(File::open("/dev/null").unwrap()));
    assert!(strange.device().is_err());
}

#[test]
fn datagrams_are_sent_at_once_and_received_at_once() {
    let Some(_world) = World::new() else { return };
    let here = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7000);
    let one = |local| DatagramSocket::open(local, 1).map(|mut one| one.remove(0));
    let receiver = one(here).unwrap();
    assert_eq!(receiver.local().unwrap(), here);
    let sender = one(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7001)).unwrap();
    let mut buffer = vec![0; 65_535];
    let nothing = receiver.receive(&mut buffer).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    let parts = [&[1; 60][..], &[2; 100], &[3; 90]];
    let parts = parts.map(IoSlice::new);
    sender.send(here, &parts, Some(100)).unwrap();
    let mut came: Vec<u8> = Vec::new();
    while came.len() < 250 {
        let received = next(&receiver, &mut buffer);
        assert_eq!(received.from, sender.local().unwrap());
        assert!(received.segment == received.length.min(100), "{received:?}");
        came.extend(&buffer[..received.length]);
    }
    assert_eq!(came, [vec![1; 60], vec![2; 100], vec![3; 90]].concat());
    sender.send(here, &parts[..1], None).unwrap();
    let received = next(&receiver, &mut buffer);
    assert_eq!((received.length, received.segment), (60, 60));
    let taken = UdpSocket::bind("127.0.0.1:7002").unwrap();
    let refused = one(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7002));
    assert!(refused.unwrap_err().is_address_in_use());
    drop(taken);
}

#[test]
fn several_sockets_share_a_port_that_nobody_else_has() {
    let Some(_world) = World::new() else { return };
    let here = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7000);
    let sockets = DatagramSocket::open(here, 3).unwrap();
    assert!(sockets.iter().all(|socket| socket.local().unwrap() == here));
    for count in [1, 2] {
        let refused = DatagramSocket::open(here, count).unwrap_err();
        assert!(refused.is_address_in_use(), "{refused}");
    }
    // The kernel chooses by the sender: with so many it is certain that each has some.
    let senders: Vec<_> = (0..256)
        .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
        .collect();
    for sender in &senders {
        sender.send_to(b"x", here).unwrap();
        sender.send_to(b"x", here).unwrap();
    }
    let mut buffer = vec![0; 65_535];
    let mut came = [const { Vec::new() }; 3];
    let counted = Cell::new([0; 3]);
    let sent = 2 * senders.len();
    let missing = || format!("of {sent} datagrams came only {:?}", counted.get());
    awaited(missing, || {
        for (socket, from) in sockets.iter().zip(&mut came) {
            from.extend(socket.receive(&mut buffer).map(|received| received.from));
        }
        counted.set(came.each_ref().map(Vec::len));
        (counted.get().iter().sum::<usize>() == sent).then_some(())
    });
    for from in &came {
        assert!(!from.is_empty() && from.chunks(2).all(|pair| pair[0] == pair[1]));
    }
}

#[test]
fn descriptors_reach_the_other_side() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut reader, writer) = io::pipe().unwrap();
    handover::send(&ours, &[writer.as_fd(), theirs.as_fd()]).unwrap();
    drop(writer);
    let mut came = handover::receive(&theirs).unwrap().into_iter();
    let mut writer = File::from(came.next().unwrap());
    assert!(came.next().is_some() && came.next().is_none());
    writer.write_all(b"hello").unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    assert!(handover::is_of_this_user(&ours).unwrap());
    drop(ours);
    let ended = handover::receive(&theirs).unwrap_err();
    assert!(matches!(ended, ReceiveError::Ended), "{ended}");
}

#[test]
fn a_wait_ends_when_it_is_told_to() {
    let (reader, writer) = io::pipe().unwrap();
    let (stop, stopper) = io::pipe().unwrap();
    (&writer).write_all(b"x").unwrap();
    assert!(wait::until_readable(&reader, &stop).unwrap());
    drop(stopper);
    assert!(!wait::until_readable(&reader, &stop).unwrap());
}

#[test]
fn a_thread_that_gives_up_everything_has_nothing() {
    let dropped = std::thread::spawn(|| {
        kernel::capability::drop_all().unwrap();
        std::fs::read_to_string("/proc/thread-self/status").unwrap()
    });
    let status = dropped.join().unwrap();
    for line in [
        "CapEff:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
}
