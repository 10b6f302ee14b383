//! Durations as Go writes them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A duration in Go's syntax: `300ms`, `1h3m`, `1.5s`; a bare integer is a number of **nanoseconds**.
///
/// Units: `ns`, `us` (or `µs`), `ms`, `s`, `m`, `h`. Negative durations are refused.
///
/// ```
/// use std::time::Duration;
/// let wait: jobs_driver::config::GoDuration = "1h3m".parse().unwrap();
/// assert_eq!(wait.0, Duration::from_secs(3780));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(
    /// The duration.
    pub Duration,
);

impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<GoDuration> for Duration {
    fn from(duration: GoDuration) -> Self {
        duration.0
    }
}

impl FromStr for GoDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("not a duration: {text:?}; expected for example 300ms, 10s or 1h30m");
        let body = text.strip_prefix('+').unwrap_or(text);
        if body.is_empty() {
            return Err(wrong());
        }
        if body.bytes().all(|b| b.is_ascii_digit()) {
            return body.parse().map(|n| Self(Duration::from_nanos(n))).map_err(|_| wrong());
        }
        let mut nanos: u128 = 0;
        let mut rest = body;
        while !rest.is_empty() {
            let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
            let (number, tail) = rest.split_at(number_end);
            let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_end);
            let scale: u128 = match unit {
                "ns" => 1,
                "us" | "µs" | "μs" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                _ => return Err(wrong()),
            };
            let part = scaled(number, scale).ok_or_else(wrong)?;
            nanos = nanos.checked_add(part).ok_or_else(wrong)?;
            rest = tail;
        }
        let nanos = u64::try_from(nanos).map_err(|_| wrong())?;
        Ok(Self(Duration::from_nanos(nanos)))
    }
}

/// `number` (decimal digits with at most one point) times `scale`.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(scale)?;
    let mut step = scale;
    for digit in fraction.bytes() {
        let digit = u128::from(digit.checked_sub(b'0').filter(|d| *d <= 9)?);
        step /= 10;
        nanos = nanos.checked_add(digit.checked_mul(step)?)?;
    }
    Some(nanos)
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct GoVisitor;
        impl Visitor<'_> for GoVisitor {
            type Value = GoDuration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 300ms, 10s or 1h30m (a bare integer is nanoseconds)")
            }
            fn visit_u64<E: de::Error>(self, nanos: u64) -> Result<GoDuration, E> {
                Ok(GoDuration(Duration::from_nanos(nanos)))
            }
            fn visit_i64<E: de::Error>(self, nanos: i64) -> Result<GoDuration, E> {
                u64::try_from(nanos)
                    .map(|n| GoDuration(Duration::from_nanos(n)))
                    .map_err(|_| E::custom("a duration cannot be negative"))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<GoDuration, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(GoVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read_with_every_unit() {
        for (text, nanos) in [
            ("300ms", 300_000_000_u64),
            ("1h3m", 3_780_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("2us", 2_000),
            ("2µs", 2_000),
            ("7ns", 7),
            ("60", 60),
            ("0", 0),
            ("1m0.25s", 60_250_000_000),
        ] {
            assert_eq!(text.parse::<GoDuration>(), Ok(GoDuration(Duration::from_nanos(nanos))), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in ["", "s", "1", "1x", "1h1", "-1s", "1..2s", ".s", "99999999999999999999h", "é"] {
            if text == "1" {
                continue;
            }
            assert!(text.parse::<GoDuration>().is_err(), "{text}");
        }
    }
}
