//! Serial numbers (§2.8.10, RFC 1982): 32-bit counters that wrap, compared by distance.

use std::fmt;

/// A 32-bit RFC 1982 serial number: transfer-ids, delivery-ids and delivery-counts.
///
/// It starts anywhere, wraps from 2³²−1 to 0, and has no total order: two numbers are compared by the
/// shorter way round, so only numbers less than 2³¹ apart can be compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Serial(pub(crate) u32);

impl Serial {
    /// The number as it stands in a frame.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The number `n` steps further on.
    #[must_use]
    pub const fn plus(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }

    /// How many steps lead from `earlier` to this number, the long way round included.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Whether this number comes after `other`. Numbers exactly 2³¹ apart have no order; then this is false.
    #[must_use]
    pub const fn is_after(self, other: Self) -> bool {
        let distance = self.0.wrapping_sub(other.0);
        distance != 0 && distance < 1 << 31
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Serial;
    use proptest::prelude::*;

    // §2.8.10
    #[test]
    fn numbers_wrap_past_the_largest() {
        assert_eq!(Serial(u32::MAX).plus(1), Serial(0));
        assert_eq!(Serial(1).since(Serial(u32::MAX - 1)), 3);
        assert!(Serial(1).is_after(Serial(u32::MAX)));
        assert!(!Serial(u32::MAX).is_after(Serial(1)));
    }

    #[test]
    fn half_the_circle_has_no_order() {
        assert!(!Serial(1 << 31).is_after(Serial(0)));
        assert!(!Serial(0).is_after(Serial(1 << 31)));
    }

    proptest! {
        #[test]
        fn plus_and_since_are_inverse(start: u32, steps: u32) {
            prop_assert_eq!(Serial(start).plus(steps).since(Serial(start)), steps);
        }

        #[test]
        fn at_most_one_of_two_numbers_is_after_the_other(a: u32, b: u32) {
            prop_assert!(!(Serial(a).is_after(Serial(b)) && Serial(b).is_after(Serial(a))));
        }
    }
}
