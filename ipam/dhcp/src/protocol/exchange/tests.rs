use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::protocol::message::Options;

const MAC: Mac = [2, 0, 0, 0, 0, 9];
const SERVER_MAC: Mac = [2, 0, 0, 0, 0, 1];
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OTHER_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 50);
const OTHER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 51);

const TIMING: Timing = Timing {
    answer: Duration::from_secs(10),
    longest_pause: Duration::from_secs(62),
    give_up: Duration::from_secs(208),
};

/// What a server makes of a message.
type Script = Box<dyn Fn(usize, &Message) -> Vec<Message>>;

/// A link whose servers answer by a script, at once; time is the test's own.
struct Double {
    script: Script,
    said: RefCell<Vec<(Message, Ipv4Addr, Destination)>>,
    answers: RefCell<Vec<Message>>,
}

impl Double {
    fn new(script: impl Fn(usize, &Message) -> Vec<Message> + 'static) -> Self {
        Self {
            script: Box::new(script),
            said: RefCell::default(),
            answers: RefCell::default(),
        }
    }

    fn kinds(&self) -> Vec<MessageType> {
        let said = self.said.borrow();
        said.iter()
            .map(|(message, ..)| message.kind().unwrap())
            .collect()
    }
}

impl Wire for Double {
    async fn send(&self, message: &Message, from: Ipv4Addr, to: Destination) -> io::Result<()> {
        let number = self.said.borrow().len();
        self.said.borrow_mut().push((message.clone(), from, to));
        let mut answers = (self.script)(number, message);
        answers.reverse();
        *self.answers.borrow_mut() = answers;
        Ok(())
    }

    async fn receive(&self) -> io::Result<(Message, Mac)> {
        let next = self.answers.borrow_mut().pop();
        if let Some(answer) = next {
            return Ok((answer, SERVER_MAC));
        }
        std::future::pending().await
    }
}

fn client() -> Client {
    Client::new("c/n/i", &[], &[], &BTreeMap::new()).unwrap()
}

fn answer(to: &Message, kind: MessageType, yours: Ipv4Addr) -> Message {
    let mut options = Options::default();
    options.set(option::MESSAGE_TYPE, [kind as u8]);
    options.set(option::SERVER, SERVER.octets());
    options.set(option::SUBNET_MASK, [255, 255, 255, 0]);
    Message {
        is_reply: true,
        yours,
        options,
        ..to.clone()
    }
}

/// Offers the address and confirms it.
fn honest(to: &Message) -> Vec<Message> {
    match to.kind().unwrap() {
        MessageType::Discover => vec![answer(to, MessageType::Offer, ADDRESS)],
        MessageType::Request => vec![answer(to, MessageType::Ack, ADDRESS)],
        _ => vec![],
    }
}

fn with_server(mut message: Message, server: Ipv4Addr) -> Message {
    message.options.set(option::SERVER, server.octets());
    message
}

fn exchange<'a>(wire: &'a Double, client: &'a Client) -> Exchange<'a, Double> {
    Exchange {
        wire,
        client,
        mac: MAC,
        timing: TIMING,
    }
}

async fn acquired(wire: &Double) -> Result<Lease, ExchangeError> {
    let client = client();
    let found = exchange(wire, &client).acquire(None).await;
    found.map(|(lease, _)| lease)
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_discovered_requested_and_confirmed() {
    let wire = Double::new(|_, to| honest(to));
    let lease = acquired(&wire).await.unwrap();
    assert_eq!((lease.address, lease.server), (ADDRESS, SERVER));
    assert_eq!(lease.server_mac, SERVER_MAC);
    let said = wire.said.borrow();
    let [(discover, ..), (request, from, to)] = &said[..] else {
        panic!("{said:?}");
    };
    assert_eq!((*from, *to), (Ipv4Addr::UNSPECIFIED, EVERYBODY));
    assert_eq!(request.xid, discover.xid);
    assert!(!request.broadcast && request.client.is_unspecified());
    let option = |code| request.options.get(code).unwrap().to_vec();
    assert_eq!(option(option::REQUESTED_ADDRESS), ADDRESS.octets());
    assert_eq!(option(option::SERVER), SERVER.octets());
    assert_eq!(option(option::LARGEST_MESSAGE), [5, 220]);
    assert_eq!(discover.options.get(option::REQUESTED_ADDRESS), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_is_sent_again_after_longer_and_longer_pauses() {
    let wire = Double::new(|number, to| match number {
        0..6 => vec![],
        _ => honest(to),
    });
    let begin = Instant::now();
    acquired(&wire).await.unwrap();
    // Four times 2 s, 4 s, 8 s, each with a second more or less.
    let elapsed = begin.elapsed().as_secs();
    assert!((14..=26).contains(&elapsed), "{elapsed}");
    let last = &wire.said.borrow()[6];
    assert_eq!(u64::from(last.0.secs), elapsed);
    assert_eq!(wire.kinds().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn it_is_given_up_in_time_when_nobody_answers() {
    let wire = Double::new(|_, _| vec![]);
    let begin = Instant::now();
    let error = acquired(&wire).await.unwrap_err();
    assert_eq!(error.to_string(), "no more tries");
    assert_eq!(begin.elapsed(), TIMING.give_up);
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_not_for_this_client_are_not_taken() {
    let wire = Double::new(|_, to| {
        let right = honest(to);
        let Some(right) = right.first() else {
            return vec![];
        };
        let wrong = |change: fn(&mut Message)| {
            let mut message = answer(to, right.kind().unwrap(), OTHER_ADDRESS);
            change(&mut message);
            message
        };
        let mut all = vec![
            wrong(|message| message.xid ^= 1),
            wrong(|message| message.mac = SERVER_MAC),
            wrong(|message| message.is_reply = false),
            wrong(|message| message.options.set(option::MESSAGE_TYPE, [9])),
            wrong(|message| message.options.set(option::MESSAGE_TYPE, [])),
        ];
        match right.kind().unwrap() {
            MessageType::Offer => {
                // Nobody whom it could be requested from, and no address that a host can have.
                all.push(wrong(|message| {
                    drop(message.options.0.remove(&option::SERVER))
                }));
                all.push(wrong(|message| message.yours = Ipv4Addr::BROADCAST));
                all.push(wrong(|message| message.yours = Ipv4Addr::UNSPECIFIED));
            }
            _ => {
                // Another address, and another server's refusal.
                all.push(wrong(|_| {}));
                all.push(with_server(
                    answer(to, MessageType::Nak, ADDRESS),
                    OTHER_SERVER,
                ));
                all.push(with_server(
                    answer(to, MessageType::Ack, ADDRESS),
                    OTHER_SERVER,
                ));
            }
        }
        all.push(right.clone());
        all
    });
    let lease = acquired(&wire).await.unwrap();
    assert_eq!((lease.address, lease.server), (ADDRESS, SERVER));
    assert_eq!(wire.kinds().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_or_silence_after_an_offer_begins_again() {
    use MessageType::{Discover, Nak, Request};
    let wire = Double::new(|number, to| match number {
        1 => vec![answer(to, Nak, ADDRESS)],
        _ => honest(to),
    });
    acquired(&wire).await.unwrap();
    assert_eq!(wire.kinds(), [Discover, Request, Discover, Request]);
    // Silent until it begins again: how often it asks in that time is chance.
    let discovers = Cell::new(0);
    let wire = Double::new(move |_, to| {
        if to.kind() == Some(Discover) {
            discovers.set(discovers.get() + 1);
        } else if discovers.get() < 2 {
            return vec![];
        }
        honest(to)
    });
    acquired(&wire).await.unwrap();
    let mut kinds = wire.kinds();
    kinds.dedup();
    assert_eq!(kinds, [Discover, Request, Discover, Request]);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_must_be_the_same_is_asked_for_and_no_other_taken() {
    let wire = Double::new(|_, to| vec![answer(to, MessageType::Offer, OTHER_ADDRESS)]);
    let client = client();
    let begin = Instant::now();
    let found = exchange(&wire, &client).acquire(Some(ADDRESS)).await;
    assert!(matches!(found, Err(ExchangeError::NoMoreTries)));
    assert_eq!(begin.elapsed(), TIMING.answer);
    let said = wire.said.borrow();
    let wanted = said[0].0.options.get(option::REQUESTED_ADDRESS);
    assert_eq!(wanted, Some(&ADDRESS.octets()[..]));
    assert!(
        wire.kinds()
            .iter()
            .all(|kind| *kind == MessageType::Discover)
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_extended_by_its_server_or_by_any() {
    let wire = Double::new(|_, to| honest(to));
    let lease = acquired(&wire).await.unwrap();
    let client = client();
    let time = Duration::from_secs(3);
    for (everybody, to) in [(false, to_server(&lease)), (true, EVERYBODY)] {
        let wire = Double::new(move |_, to| {
            vec![
                with_server(answer(to, MessageType::Nak, ADDRESS), OTHER_SERVER),
                answer(to, MessageType::Ack, ADDRESS),
            ]
        });
        let extended = exchange(&wire, &client)
            .extend(&lease, everybody, time)
            .await;
        match extended.unwrap() {
            // Only its own server may refuse, as long as that one is asked.
            Some(Answer::Granted(extended)) if !everybody => assert_eq!(*extended, lease),
            Some(Answer::Refused(_)) if everybody => {}
            other => panic!("{everybody}: {other:?}"),
        }
        let said = wire.said.borrow();
        let (message, from, destination) = &said[0];
        assert_eq!(
            (*from, *destination, message.client),
            (ADDRESS, to, ADDRESS)
        );
        for code in [option::SERVER, option::REQUESTED_ADDRESS] {
            assert_eq!(message.options.get(code), None, "RFC 2131, section 4.3.2");
        }
    }
    let silent = Double::new(|_, _| vec![]);
    let begin = Instant::now();
    let extended = exchange(&silent, &client).extend(&lease, false, time).await;
    assert_eq!((extended.unwrap(), begin.elapsed()), (None, time));
}

#[tokio::test(start_paused = true)]
async fn a_release_goes_from_the_address_to_the_server_with_the_client_s_name() {
    let wire = Double::new(|_, to| honest(to));
    let lease = acquired(&wire).await.unwrap();
    let client = client();
    exchange(&wire, &client).release(&lease).await.unwrap();
    let said = wire.said.borrow();
    let (message, from, to) = said.last().unwrap();
    assert_eq!(message.kind(), Some(MessageType::Release));
    assert_eq!(
        (*from, *to, message.client),
        (ADDRESS, to_server(&lease), ADDRESS)
    );
    assert_eq!(
        message.options.get(option::SERVER),
        Some(&SERVER.octets()[..])
    );
    assert_eq!(
        message.options.get(option::CLIENT_ID),
        Some(&b"\0c/n/i"[..])
    );
    assert_eq!(message.options.get(option::REQUESTED_OPTIONS), None);
}

proptest! {
    /// Whatever else is said on the link, the client's own lease is found.
    #[test]
    fn noise_changes_nothing(
        noise in prop::collection::vec(
            (any::<u32>(), any::<Mac>(), any::<[u8; 4]>(), prop::collection::btree_map(any::<u8>(), prop::collection::vec(any::<u8>(), 0..9), 0..5)),
            0..20,
        )
    ) {
        let wire = Double::new(move |_, to| {
            let strangers = noise.iter().map(|(xid, mac, yours, options)| Message {
                is_reply: true,
                xid: *xid,
                mac: *mac,
                yours: Ipv4Addr::from(*yours),
                options: Options(options.clone()),
                ..to.clone()
            });
            strangers.chain(honest(to)).collect()
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let lease = runtime.block_on(acquired(&wire)).unwrap();
        prop_assert_eq!(lease.address, ADDRESS);
    }
}
