//! What the peer needs to know of a transfer frame, read without decoding the rest.

/// Octets of a frame that are enough to read the fields wanted, whatever form they have.
pub(super) const HEAD: usize = 128;

/// The beginning of a transfer frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) handle: u32,
    pub(super) delivery_id: Option<u32>,
    pub(super) settled: bool,
    pub(super) more: bool,
    pub(super) aborted: bool,
}

/// Whether a frame's body begins with the descriptor of a transfer, in the form that everyone writes.
pub(super) fn is_transfer(body: &[u8]) -> bool {
    body.starts_with(&[0x00, 0x53, 0x14])
}

/// Reads the fields. None if they are no transfer's.
pub(super) fn transfer(body: &[u8]) -> Option<Transfer> {
    let mut fields = Fields::of(body.get(3..)?)?;
    let handle = fields.uint()?;
    let delivery_id = fields.optional_uint()?;
    fields.skip()?;
    fields.skip()?;
    let settled = fields.boolean()?;
    let more = fields.boolean()?;
    for _ in 0..3 {
        fields.skip()?;
    }
    let aborted = fields.boolean()?;
    Some(Transfer { handle, delivery_id, settled, more, aborted })
}

/// A list's fields one after the other; those that are not written are null.
struct Fields<'a> {
    octets: &'a [u8],
    left: u32,
}

impl<'a> Fields<'a> {
    fn of(list: &'a [u8]) -> Option<Self> {
        match *list {
            [0xc0, _, left, ..] => Some(Self { octets: list.get(3..)?, left: left.into() }),
            [0xd0, _, _, _, _, a, b, c, d, ..] => {
                Some(Self { octets: list.get(9..)?, left: u32::from_be_bytes([a, b, c, d]) })
            }
            _ => None,
        }
    }

    /// The next field's constructor and value.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        if self.left == 0 {
            return Some((0x40, &[]));
        }
        self.left -= 1;
        let (&code, rest) = self.octets.split_first()?;
        let (prefix, len) = match (code, rest) {
            (0x40..=0x45, _) => (0, 0),
            (0x50..=0x56, _) => (0, 1),
            (0x70..=0x72, _) => (0, 4),
            (0xa0 | 0xc0, [len, ..]) => (1, usize::from(*len)),
            (0xb0 | 0xd0, [a, b, c, d, ..]) => {
                (4, usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?)
            }
            // The state, which is a described list.
            (0x00, [0x53, _, 0x45, ..]) => (0, 3),
            (0x00, [0x53, _, 0xc0, len, ..]) => (4, usize::from(*len)),
            _ => return None,
        };
        let value = rest.get(prefix..prefix + len)?;
        self.octets = rest.get(prefix + len..)?;
        Some((code, value))
    }

    fn skip(&mut self) -> Option<()> {
        self.next().map(|_| ())
    }

    fn optional_uint(&mut self) -> Option<Option<u32>> {
        match self.next()? {
            (0x40, _) => Some(None),
            (0x43, _) => Some(Some(0)),
            (0x52, [octet]) => Some(Some((*octet).into())),
            (0x70, octets) => Some(Some(u32::from_be_bytes(octets.try_into().ok()?))),
            _ => None,
        }
    }

    fn uint(&mut self) -> Option<u32> {
        self.optional_uint()?
    }

    fn boolean(&mut self) -> Option<bool> {
        match self.next()? {
            (0x40 | 0x42, _) | (0x56, [0]) => Some(false),
            (0x41, _) | (0x56, [1]) => Some(true),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use amqp_codec::messaging::{DeliveryState, Received};
    use amqp_codec::{BytesMut, Encode, transport};

    fn scanned(transfer: &transport::Transfer) -> Option<Transfer> {
        let mut body = BytesMut::new();
        transfer.encode(&mut body);
        assert!(is_transfer(&body));
        super::transfer(&body)
    }

    #[test]
    fn a_transfer_is_read_as_the_codec_wrote_it() {
        let mut transfer = transport::Transfer::new(3_u32);
        let plain = Transfer { handle: 3, delivery_id: None, settled: false, more: false, aborted: false };
        assert_eq!(scanned(&transfer), Some(plain));
        transfer.delivery_id = Some(70_000);
        transfer.delivery_tag = Some(vec![7; 32].into());
        transfer.message_format = Some(1 << 31);
        transfer.settled = Some(true);
        transfer.more = true;
        transfer.state = Some(DeliveryState::Received(Received::new(1_u32, 2_u64)));
        transfer.aborted = true;
        let full =
            Transfer { handle: 3, delivery_id: Some(70_000), settled: true, more: true, aborted: true };
        assert_eq!(scanned(&transfer), Some(full));
    }

    #[test]
    fn what_is_no_transfer_is_nothing() {
        assert_eq!(transfer(&[0x00, 0x53, 0x14, 0x45]), None);
        assert_eq!(transfer(&[0x00, 0x53, 0x14, 0xc0, 0x05, 0x01, 0x70, 0, 0]), None);
    }
}
