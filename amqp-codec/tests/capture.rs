//! Captures that `inspect` reads: made here octet by octet, then put in order and cut into headers and frames.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../examples/inspect/capture.rs"]
mod capture;
#[path = "../examples/inspect/packet.rs"]
mod packet;
#[path = "../examples/inspect/stream.rs"]
mod stream;

use amqp_codec::frame::encode_frame;
use amqp_codec::transport::{Begin, Open, Performative};
use amqp_codec::{Bytes, BytesMut};
use capture::{Item, is_capture, items};
use proptest::prelude::*;
use stream::Content;

const HEADER: &[u8] = b"AMQP\0\x01\0\0";
const CLIENT: u16 = 40_000;
const SERVER: u16 = 5672;
const FIRST: u32 = 0xffff_fff0; // so that the numbers begin anew within each test

fn open(container: &str) -> Bytes {
    frame(&Performative::Open(Box::new(Open::new(container))))
}

fn frame(performative: &Performative) -> Bytes {
    let mut out = BytesMut::new();
    encode_frame(&mut out, 0, performative);
    out.freeze()
}

/// A segment of TCP in IPv4 in Ethernet.
fn segment(from: u16, to: u16, sequence: u32, is_first: bool, payload: &[u8]) -> Vec<u8> {
    let mut packet = [[2; 6], [4; 6]].concat();
    packet.extend_from_slice(&[8, 0]);
    packet.extend_from_slice(&ipv4(&tcp(from, to, sequence, is_first, payload)));
    packet
}

fn ipv4(tcp: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + tcp.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend_from_slice(&len.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
    packet.extend_from_slice(tcp);
    packet
}

fn tcp(from: u16, to: u16, sequence: u32, is_first: bool, payload: &[u8]) -> Vec<u8> {
    let mut segment = [from.to_be_bytes(), to.to_be_bytes()].concat();
    segment.extend_from_slice(&sequence.to_be_bytes());
    segment.extend_from_slice(&[
        0,
        0,
        0,
        0,
        0x50,
        if is_first { 0x02 } else { 0x10 },
        0xff,
        0xff,
        0,
        0,
        0,
        0,
    ]);
    segment.extend_from_slice(payload);
    segment
}

/// A pcap file of packets, in network order.
fn pcap(link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
    pcap_with(u32::to_be_bytes, link, packets)
}

fn pcap_with(number: fn(u32) -> [u8; 4], link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = [0xa1b2_c3d4, 0x0002_0004, 0, 0, 0x4_0000, link].map(number).concat();
    for packet in packets {
        let len = u32::try_from(packet.len()).unwrap();
        file.extend_from_slice(&[0, 0, len, len].map(number).concat());
        file.extend_from_slice(packet);
    }
    file
}

/// A pcapng file of packets, the other order of octets.
fn pcapng(packets: &[Vec<u8>]) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let len = u32::try_from(12 + body.len()).unwrap().to_le_bytes();
        [&kind.to_le_bytes(), &len, body, &len].concat()
    };
    let section = [0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255];
    let mut file = block(0x0a0d_0d0a, &section);
    file.extend_from_slice(&block(1, &[1, 0, 0, 0, 0, 0, 0, 0]));
    for packet in packets {
        let len = u32::try_from(packet.len()).unwrap().to_le_bytes();
        let mut body = [[0; 4], [0; 4], [0; 4], len, len].concat();
        body.extend_from_slice(packet);
        body.resize(body.len().next_multiple_of(4), 0);
        file.extend_from_slice(&block(6, &body));
    }
    file
}

/// Octets from the client, at so many octets after the beginning.
fn sent(at: u32, payload: &[u8]) -> Vec<u8> {
    segment(CLIENT, SERVER, FIRST.wrapping_add(1 + at), false, payload)
}

/// What there is, with the port of who sent it.
fn seen(items: Vec<Item>) -> Vec<(u16, Content)> {
    items.into_iter().map(|item| (item.direction.map_or(0, |(from, _)| from.port()), item.content)).collect()
}

fn header() -> Content {
    Content::Header(Bytes::from_static(HEADER))
}

fn trouble(contents: &[(u16, Content)]) -> Vec<String> {
    let words = |(_, content): &'_ (u16, Content)| match content {
        Content::Trouble(why) => Some(why.clone()),
        Content::Header(_) | Content::Frame(_) => None,
    };
    contents.iter().filter_map(words).collect()
}

#[test]
fn both_directions_are_read_in_the_order_of_arrival() {
    let (client, server) = (open("client"), open("server"));
    let begin = frame(&Performative::Begin(Box::new(Begin::new(0_u32, 8_u32, 8_u32))));
    let back = 77_u32;
    let packets = [
        segment(CLIENT, SERVER, FIRST, true, b""),
        segment(SERVER, CLIENT, back, true, b""),
        // header and half a frame, then the rest with another frame
        sent(0, &[HEADER, &client[..5]].concat()),
        segment(SERVER, CLIENT, back + 1, false, HEADER),
        sent(13, &[&client[5..], &begin[..]].concat()),
        segment(SERVER, CLIENT, back + 9, false, &server),
        // no concern of ours
        segment(CLIENT, 443, 5, false, b"other"),
    ];
    let expected = vec![
        (CLIENT, header()),
        (SERVER, header()),
        (CLIENT, Content::Frame(client)),
        (CLIENT, Content::Frame(begin)),
        (SERVER, Content::Frame(server)),
    ];
    for file in [pcap(1, &packets), pcap_with(u32::to_le_bytes, 1, &packets), pcapng(&packets)] {
        assert!(is_capture(&file));
        assert_eq!(seen(items(&file, &[SERVER])), expected);
        assert_eq!(seen(items(&file, &[5671])), []);
    }
}

#[test]
fn what_was_sent_again_or_came_early_is_put_in_order() {
    let frame = open("client");
    let all = [HEADER, &frame].concat();
    let packets = [
        segment(CLIENT, SERVER, FIRST, true, b""),
        segment(CLIENT, SERVER, FIRST, true, b""),
        sent(12, &all[12..16]),
        sent(16, &all[16..]),
        sent(0, &all[..6]),
        sent(0, &all[..6]),
        sent(4, &all[4..14]),
        sent(4, &all[4..14]),
    ];
    let expected = [(CLIENT, header()), (CLIENT, Content::Frame(frame))];
    assert_eq!(seen(items(&pcap(1, &packets), &[SERVER])), expected);
}

#[test]
fn a_gap_ends_its_direction_and_says_where() {
    let packets = [
        segment(CLIENT, SERVER, FIRST, true, b""),
        sent(0, HEADER),
        sent(20, &open("client")),
        segment(SERVER, CLIENT, 1, false, HEADER),
    ];
    let contents = seen(items(&pcap(1, &packets), &[SERVER]));
    assert_eq!(contents[..2], [(CLIENT, header()), (SERVER, header())]);
    let gap = "expected octets 8 to 20 of this direction, found none of them; what follows is not shown";
    assert_eq!((contents.len(), trouble(&contents)), (3, vec![gap.to_owned()]));
}

#[test]
fn a_frame_that_is_not_whole_is_told() {
    let packets = [sent(0, HEADER), sent(8, &open("client")[..10])];
    let contents = seen(items(&pcap(1, &packets), &[SERVER]));
    assert_eq!(trouble(&contents), ["expected the rest of a frame, found the end after 10 octets of it"]);
}

#[test]
fn ports_that_are_used_again_begin_anew() {
    let again = 9_000_u32;
    let packets = [
        segment(CLIENT, SERVER, FIRST, true, b""),
        sent(0, HEADER),
        segment(CLIENT, SERVER, again, true, b""),
        segment(CLIENT, SERVER, again + 1, false, HEADER),
    ];
    assert_eq!(seen(items(&pcap(1, &packets), &[SERVER])), [(CLIENT, header()), (CLIENT, header())]);
}

#[test]
fn links_and_networks_of_every_day_are_known() {
    let tcp = tcp(CLIENT, SERVER, 7, false, HEADER);
    let mut ipv6 = vec![0x60, 0, 0, 0];
    ipv6.extend_from_slice(&u16::try_from(8 + tcp.len()).unwrap().to_be_bytes());
    ipv6.extend_from_slice(&[0, 64]);
    ipv6.extend_from_slice(&[[0; 15], [0; 15]].concat());
    ipv6.extend_from_slice(&[0, 1]);
    // an extension that takes 8 octets
    ipv6.extend_from_slice(&[6, 0, 0, 0, 0, 0, 0, 0]);
    ipv6.extend_from_slice(&tcp);
    let tagged = [&[1; 12][..], &[0x81, 0, 0, 7, 0x86, 0xdd], &ipv6].concat();
    // the shortest packets of Ethernet are padded
    let padded = [&[1; 12][..], &[8, 0], &ipv4(&tcp), &[0; 6]].concat();
    let before = |octets: usize| [&vec![0; octets][..], &ipv4(&tcp)].concat();
    for (link, packet) in [
        (1, tagged),
        (1, padded),
        (101, ipv6),
        (228, ipv4(&tcp)),
        (0, before(4)),
        (113, before(16)),
        (276, before(20)),
    ] {
        assert_eq!(seen(items(&pcap(link, &[packet]), &[SERVER])), [(CLIENT, header())], "link {link}");
    }
    let contents = seen(items(&pcap(147, &[vec![], vec![]]), &[SERVER]));
    assert_eq!(trouble(&contents).len(), 1, "{contents:?}");
}

#[test]
fn what_cannot_be_read_is_told_once() {
    let trouble_of = |packet: Vec<u8>| {
        let contents = seen(items(&pcap(1, &[packet, sent(8, b"more")]), &[SERVER]));
        assert_eq!(contents.len(), 1, "{contents:?}");
        trouble(&contents).swap_remove(0)
    };
    assert_eq!(
        trouble_of(sent(0, b"\x16\x03\x01\x02\0")),
        "expected a protocol header or a frame, found TLS"
    );
    assert_eq!(trouble_of(sent(0, &[0; 8])), "expected a protocol header or a frame, found size 0");
    let mut cut = pcap(1, &[sent(0, HEADER), sent(8, b"more")]);
    // the length that the first packet had before it was captured
    cut[39] += 3;
    let contents = seen(items(&cut, &[SERVER]));
    let whole =
        "expected whole packets (capture with a larger snapshot length), found one without its last 3 octets";
    assert_eq!(trouble(&contents), [whole]);
    let file = pcap(1, &[sent(0, HEADER), sent(8, b"more")]);
    let contents = seen(items(&file[..file.len() - 1], &[SERVER]));
    assert_eq!(
        trouble(&contents),
        ["expected whole packets up to the end of the capture, found one that is cut off"]
    );
}

proptest! {
    #[test]
    fn a_damaged_capture_is_read_as_far_as_it_goes(damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..6)) {
        let all = [HEADER, &open("client"), &open("again")].concat();
        let packets = [segment(CLIENT, SERVER, FIRST, true, b""), sent(0, &all[..20]), sent(20, &all[20..])];
        for mut file in [pcap(1, &packets), pcapng(&packets)] {
            for (at, octet) in &damage {
                let at = at % file.len();
                file[at] = *octet;
            }
            prop_assert!(items(&file, &[SERVER]).len() < 10);
        }
    }
}
