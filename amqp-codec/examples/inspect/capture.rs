//! Captures of connections (pcap, pcapng): the protocol headers and frames in them, in the order of their arrival.

use super::packet::{ip, network, tcp};
use super::stream::{Content, Stream};
use pcap_parser::pcapng::Block;
use pcap_parser::{
    Linktype, PcapBlockOwned, PcapError, PcapNGSlice, parse_pcap_frame, parse_pcap_frame_be,
    parse_pcap_header,
};
use std::collections::HashMap;
use std::net::SocketAddr;

/// What the first octets of pcapng and pcap files are; pcap in either order, with micro- or nanoseconds.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const PCAP: [[u8; 4]; 4] =
    [[0xa1, 0xb2, 0xc3, 0xd4], [0xd4, 0xc3, 0xb2, 0xa1], [0xa1, 0xb2, 0x3c, 0x4d], [0x4d, 0x3c, 0xb2, 0xa1]];

/// Whether octets are a capture, by their beginning.
pub(crate) fn is_capture(octets: &[u8]) -> bool {
    octets.starts_with(&PCAPNG) || PCAP.iter().any(|magic| octets.starts_with(magic))
}

/// From whom to whom.
pub(crate) type Direction = (SocketAddr, SocketAddr);

/// Something in a capture.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Where it was seen; none for what concerns the file.
    pub(crate) direction: Option<Direction>,
    pub(crate) content: Content,
}

/// All that went from or to one of these ports.
pub(crate) fn items(capture: &[u8], ports: &[u16]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut streams: HashMap<Direction, Stream> = HashMap::new();
    let mut order = Vec::new();
    let note = |why: String| Item { direction: None, content: Content::Trouble(why) };
    for packet in packets(capture) {
        let (link, data, missing) = match packet {
            Ok(packet) => packet,
            Err(why) => {
                items.push(note(why));
                break;
            }
        };
        let Some(network) = network(link, data) else {
            let why =
                note(format!("expected Ethernet, raw IP, loopback or Linux cooked packets, found {link}"));
            if !items.contains(&why) {
                items.push(why);
            }
            continue;
        };
        let Some(segment) = ip(network).and_then(|(from, to, segment)| tcp(from, to, segment)) else {
            continue;
        };
        let direction = (segment.from, segment.to);
        if !ports.contains(&direction.0.port()) && !ports.contains(&direction.1.port()) {
            continue;
        }
        let stream = streams.entry(direction).or_insert_with(|| {
            order.push(direction);
            Stream::default()
        });
        let contents = stream.take(&segment, missing);
        items.extend(contents.into_iter().map(|content| Item { direction: Some(direction), content }));
    }
    for direction in order {
        let trouble = streams.get(&direction).and_then(Stream::trouble_at_end);
        items.extend(trouble.map(|why| Item { direction: Some(direction), content: Content::Trouble(why) }));
    }
    items
}

/// Link type, octets, and how many more octets the packet had than were captured.
type Packet<'a> = (Linktype, &'a [u8], u32);

fn packets(capture: &[u8]) -> Box<dyn Iterator<Item = Result<Packet<'_>, String>> + '_> {
    if capture.starts_with(&PCAPNG) { pcapng(capture) } else { pcap(capture) }
}

fn pcap(capture: &[u8]) -> Box<dyn Iterator<Item = Result<Packet<'_>, String>> + '_> {
    // the crate's iterator knows one order of octets only
    let read = if capture.starts_with(&[0xa1]) { parse_pcap_frame_be } else { parse_pcap_frame };
    match parse_pcap_header(capture) {
        Err(error) => Box::new(std::iter::once(Err(damaged(&error)))),
        Ok((mut left, header)) => Box::new(std::iter::from_fn(move || {
            if left.is_empty() {
                return None;
            }
            Some(match read(left) {
                Ok((rest, packet)) => {
                    left = rest;
                    Ok((header.network, packet.data, packet.origlen.saturating_sub(packet.caplen)))
                }
                Err(error) => Err(damaged(&error)),
            })
        })),
    }
}

fn pcapng(capture: &[u8]) -> Box<dyn Iterator<Item = Result<Packet<'_>, String>> + '_> {
    let mut links = Vec::new();
    match PcapNGSlice::from_slice(capture) {
        Err(error) => Box::new(std::iter::once(Err(damaged(&error)))),
        Ok(slice) => Box::new(slice.filter_map(move |block| match block {
            Err(error) => Some(Err(damaged(&error))),
            Ok(PcapBlockOwned::NG(block)) => pcapng_packet(block, &mut links).map(Ok),
            Ok(PcapBlockOwned::Legacy(_) | PcapBlockOwned::LegacyHeader(_)) => None,
        })),
    }
}

fn damaged(error: &nom::Err<PcapError<&[u8]>>) -> String {
    let found = if error.is_incomplete() { "one that is cut off" } else { "a damaged one" };
    format!("expected whole packets up to the end of the capture, found {found}")
}

fn pcapng_packet<'a>(block: Block<'a>, links: &mut Vec<Linktype>) -> Option<Packet<'a>> {
    match block {
        Block::SectionHeader(_) => links.clear(),
        Block::InterfaceDescription(interface) => links.push(interface.linktype),
        Block::EnhancedPacket(packet) => {
            let link = links.get(usize::try_from(packet.if_id).ok()?)?;
            // behind the packet stands padding
            let data = packet.data.get(..usize::try_from(packet.caplen).ok()?)?;
            return Some((*link, data, packet.origlen.saturating_sub(packet.caplen)));
        }
        Block::SimplePacket(packet) => {
            // without a length of its own: as much as there is
            let len = usize::try_from(packet.origlen).ok()?.min(packet.data.len());
            let missing = packet.origlen.saturating_sub(u32::try_from(len).ok()?);
            return Some((*links.first()?, packet.data.get(..len)?, missing));
        }
        _ => {}
    }
    None
}
