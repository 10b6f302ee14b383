//! Packets of links and networks, down to TCP segments: just as much as it takes to read a connection.

use pcap_parser::Linktype;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A segment of TCP.
pub(crate) struct Segment<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) sequence: u32,
    /// Whether it begins the stream, before its first octet.
    pub(crate) is_first: bool,
    pub(crate) payload: &'a [u8],
}

pub(crate) fn tcp(from: IpAddr, to: IpAddr, tcp: &[u8]) -> Option<Segment<'_>> {
    let header = usize::from(*tcp.get(12)? >> 4) * 4;
    Some(Segment {
        from: SocketAddr::new(from, u16_at(tcp, 0)?),
        to: SocketAddr::new(to, u16_at(tcp, 2)?),
        sequence: u32::from_be_bytes(*tcp.get(4..)?.first_chunk()?),
        is_first: tcp.get(13)? & 0x02 != 0,
        payload: tcp.get(header..)?,
    })
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().map(|octets| u16::from_be_bytes(*octets))
}

/// The packet of the network within that of the link; none for links that are not known, nothing where there is none.
pub(crate) fn network(link: Linktype, data: &[u8]) -> Option<&[u8]> {
    let start = match link {
        Linktype::ETHERNET => {
            let mut at = 12;
            // tags of virtual networks
            while let Some(0x8100 | 0x88a8) = u16_at(data, at) {
                at += 4;
            }
            at + 2
        }
        Linktype::NULL | Linktype(108) => 4,
        Linktype::RAW | Linktype(12 | 228 | 229) => 0,
        Linktype::LINUX_SLL => 16,
        Linktype(276) => 20,
        _ => return None,
    };
    Some(data.get(start..).unwrap_or_default())
}

/// Source, destination and TCP segment of an IP packet; none for anything else, and for fragments.
pub(crate) fn ip(packet: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    let version = packet.first()? >> 4;
    if version == 4 {
        let header = usize::from(packet.first()? & 0x0f) * 4;
        let is_fragment = u16_at(packet, 6)? & 0x3fff != 0;
        if *packet.get(9)? != 6 || is_fragment {
            return None;
        }
        let address =
            |at: usize| packet.get(at..)?.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into());
        // 0 where the network card cuts packets later
        let end = Some(usize::from(u16_at(packet, 2)?)).filter(|len| (1..packet.len()).contains(len));
        return Some((address(12)?, address(16)?, packet.get(header..end.unwrap_or(packet.len()))?));
    }
    let (mut next, mut at) = (*packet.get(6)?, 40);
    while let 0 | 43 | 60 = next {
        next = *packet.get(at)?;
        at += 8 + 8 * usize::from(*packet.get(at + 1)?);
    }
    if version != 6 || next != 6 {
        return None;
    }
    let address =
        |at: usize| packet.get(at..)?.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into());
    let len = 40 + usize::from(u16_at(packet, 4)?);
    let end = if (41..packet.len()).contains(&len) { len } else { packet.len() };
    Some((address(8)?, address(24)?, packet.get(at..end)?))
}
