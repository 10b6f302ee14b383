//! The trait that turns values into octets, and the few layouts that all encoders share (§1.2).
//!
//! Every encoder knows its exact length before it writes, so a buffer is sized once and nothing is written twice.

use bytes::{BufMut, Bytes, BytesMut};

/// What can be written as AMQP.
///
/// An implementation writes the smallest legal form, and exactly [`encoded_len`](Encode::encoded_len) octets of it.
/// Sizes on the wire have 32 bits: contents of 4 GiB and more cannot be encoded, and their sizes are clamped.
///
/// ```
/// use amqp_codec::{BytesMut, Encode};
///
/// let mut out = BytesMut::new();
/// 7_u32.encode(&mut out);
/// "seven".encode(&mut out);
/// assert_eq!(&out[..], b"\x52\x07\xa1\x05seven");
/// ```
pub trait Encode {
    /// How many octets [`encode`](Encode::encode) writes.
    fn encoded_len(&self) -> usize;

    /// Appends the encoding to `out`, which grows as needed.
    fn encode(&self, out: &mut BytesMut);

    /// The encoding in a buffer of its own, allocated once.
    fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.encoded_len());
        self.encode(&mut out);
        out.freeze()
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    fn encoded_len(&self) -> usize {
        (**self).encoded_len()
    }

    fn encode(&self, out: &mut BytesMut) {
        (**self).encode(out);
    }
}

impl<T: Encode + ?Sized> Encode for Box<T> {
    fn encoded_len(&self) -> usize {
        (**self).encoded_len()
    }

    fn encode(&self, out: &mut BytesMut) {
        (**self).encode(out);
    }
}

/// A size or count as it stands on the wire.
pub(crate) fn wire_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Length of a variable-width value of `len` octets, format code included.
pub(crate) fn variable_len(len: usize) -> usize {
    if u8::try_from(len).is_ok() { 2 + len } else { 5 + len }
}

/// Writes a variable-width value in the narrower of its two forms.
pub(crate) fn put_variable(out: &mut BytesMut, narrow: u8, wide: u8, data: &[u8]) {
    if let Ok(len) = u8::try_from(data.len()) {
        out.put_slice(&[narrow, len]);
    } else {
        out.put_u8(wide);
        out.put_u32(wire_u32(data.len()));
    }
    out.put_slice(data);
}

/// Whether `items` octets in `count` items fit the form with a size and a count of one octet.
pub(crate) fn compound_is_narrow(items: usize, count: usize) -> bool {
    items <= 254 && count <= 255
}

/// Length of a list, map or array, format code included, whose items take `items` octets.
pub(crate) fn compound_len(items: usize, count: usize) -> usize {
    if compound_is_narrow(items, count) { 3 + items } else { 9 + items }
}

/// Writes format code, size and count of a compound; its items follow.
pub(crate) fn put_compound(out: &mut BytesMut, narrow: u8, wide: u8, items: usize, count: usize) {
    let is_narrow = compound_is_narrow(items, count);
    out.put_u8(if is_narrow { narrow } else { wide });
    put_size_and_count(out, is_narrow, items, count);
}

/// A compound whose items are being written: room is left for size and count, which are filled in at the end, so that
/// nobody has to measure the items beforehand.
#[derive(Debug)]
#[must_use = "size and count are written by finish"]
pub(crate) struct OpenCompound {
    /// Where its format code stands.
    start: usize,
    is_wide: bool,
}

/// Format code, size and count with one octet each.
const NARROW_HEADER: usize = 3;
/// Format code, size and count with four octets each.
const WIDE_HEADER: usize = 9;

impl OpenCompound {
    /// Begins a compound that will have at least `count` items.
    #[inline]
    pub(crate) fn begin(out: &mut BytesMut, count: usize) -> Self {
        let start = out.len();
        // Every item takes an octet or more.
        let is_wide = !compound_is_narrow(count, count);
        out.put_slice(if is_wide { &[0; WIDE_HEADER] } else { &[0; NARROW_HEADER] });
        Self { start, is_wide }
    }

    /// Writes the header with its size and this count.
    #[inline]
    pub(crate) fn finish(self, out: &mut BytesMut, narrow: u8, wide: u8, count: usize) {
        let header = if self.is_wide { WIDE_HEADER } else { NARROW_HEADER };
        let items = out.len() - self.start - header;
        match (self.is_wide, u8::try_from(items + 1), u8::try_from(count)) {
            (false, Ok(size), Ok(count)) => {
                if let Some(header) = out.get_mut(self.start..self.start + NARROW_HEADER) {
                    header.copy_from_slice(&[narrow, size, count]);
                }
            }
            _ => self.finish_wide(out, wide, items, count),
        }
    }

    /// More octets than expected: they move to make room for the wide header.
    #[cold]
    fn finish_wide(self, out: &mut BytesMut, wide: u8, items: usize, count: usize) {
        let start = self.start;
        if !self.is_wide {
            out.put_bytes(0, WIDE_HEADER - NARROW_HEADER);
            out.copy_within(start + NARROW_HEADER..start + NARROW_HEADER + items, start + WIDE_HEADER);
        }
        let ([s0, s1, s2, s3], [c0, c1, c2, c3]) =
            (wire_u32(items + 4).to_be_bytes(), wire_u32(count).to_be_bytes());
        if let Some(header) = out.get_mut(start..start + WIDE_HEADER) {
            header.copy_from_slice(&[wide, s0, s1, s2, s3, c0, c1, c2, c3]);
        }
    }
}

/// Writes size and count of a compound; the size counts everything after itself, the count too.
pub(crate) fn put_size_and_count(out: &mut BytesMut, is_narrow: bool, items: usize, count: usize) {
    match (is_narrow, u8::try_from(items + 1), u8::try_from(count)) {
        (true, Ok(size), Ok(count)) => out.put_slice(&[size, count]),
        _ => {
            out.put_u32(wire_u32(items + 4));
            out.put_u32(wire_u32(count));
        }
    }
}
