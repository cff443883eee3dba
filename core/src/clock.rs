//! Time, and the one text form of it: UTC ISO-8601 with milliseconds.
//!
//! Nothing in the engine asks the system for the time but through [`Clock`].

use std::fmt;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where the time comes from. Tests put their own hand on it.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).min(Timestamp::MAX.0))
    }
}

/// Measures how long something takes. It knows no time of day.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Microseconds since it was started, an hour and some at the most.
    #[must_use]
    pub fn micros(&self) -> u32 {
        u32::try_from(self.0.elapsed().as_micros()).unwrap_or(u32::MAX)
    }
}

/// An instant in milliseconds since 1970, written as `2026-01-31T12:00:00.000Z`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

const MS_PER_DAY: u64 = 86_400_000;

impl Timestamp {
    /// The last instant of the year 9999: later ones have no four-digit year.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// This instant moved forward, never past [`Timestamp::MAX`].
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms).min(Self::MAX.0))
    }

    /// Reads exactly the form that `Display` writes; nothing else is accepted.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: &[u8; 24] = text.as_bytes().try_into().ok()?;
        // Every stored record has two of them and is looked at whenever it is read: all digits are judged at once.
        let &[a, b, c, d, b'-', e, f, b'-', g, h, b'T', i, j, b':', k, l, b':', m, n, b'.', o, p, q, b'Z'] =
            bytes
        else {
            return None;
        };
        let digits = [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q];
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let two = |tens: u8, ones: u8| u64::from(tens - b'0') * 10 + u64::from(ones - b'0');
        let (year, month, day) = (two(a, b) * 100 + two(c, d), two(e, f), two(g, h));
        let (hour, minute, second) = (two(i, j), two(k, l), two(m, n));
        let ms = two(o, p) * 10 + u64::from(q - b'0');
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = days_from_civil(year, month, day)?;
        let of_day = ((hour * 60 + minute) * 60 + second) * 1000 + ms;
        Some(Self(days * MS_PER_DAY + of_day))
    }
}

/// Days since 1970-01-01 of a date that exists, by the era arithmetic of the proleptic Gregorian
/// calendar (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let leaps = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        2 => 28 + u64::from(leaps),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    let shifted = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

impl Timestamp {
    /// The 24 bytes of its text.
    #[must_use]
    pub fn text(self) -> [u8; 24] {
        let (days, of_day) = (self.0 / MS_PER_DAY, self.0 % MS_PER_DAY);
        let (year, month, day) = civil_from_days(days);
        let (seconds, ms) = (of_day / 1000, of_day % 1000);
        let ten = |number: u64| b'0' + (number / 10 % 10) as u8;
        let one = |number: u64| b'0' + (number % 10) as u8;
        let (century, hour, minute, second) = (year / 100, seconds / 3600, seconds / 60 % 60, seconds % 60);
        #[rustfmt::skip]
        let text = [
            ten(century), one(century), ten(year), one(year), b'-', ten(month), one(month), b'-', ten(day), one(day), b'T',
            ten(hour), one(hour), b':', ten(minute), one(minute), b':', ten(second), one(second), b'.',
            one(ms / 100), ten(ms), one(ms), b'Z',
        ];
        text
    }
}

impl Timestamp {
    /// Appends its text.
    pub fn push_to(self, out: &mut String) {
        out.push_str(std::str::from_utf8(&self.text()).unwrap_or_default());
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a UTC date with milliseconds"))
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn known_instants_read_and_write_alike() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_164_799_999, "2024-02-28T23:59:59.999Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp(ms).to_string(), text);
            assert_eq!(Timestamp::parse(text), Some(Timestamp(ms)));
        }
    }

    #[test]
    fn every_day_of_eight_centuries_reads_back() {
        for day in 0..293_000u64 {
            let at = Timestamp(day * 86_400_000 + day % 86_400_000);
            assert_eq!(Timestamp::parse(&at.to_string()), Some(at));
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "2023-02-29T00:00:00.000Z",
            "2023-04-31T00:00:00.000Z",
            "2023-13-01T00:00:00.000Z",
            "2023-00-10T00:00:00.000Z",
            "2023-01-00T00:00:00.000Z",
            "2023-01-01T24:00:00.000Z",
            "2023-01-01T00:60:00.000Z",
            "2023-01-01 00:00:00.000Z",
            "2023-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999Z",
            "+023-01-01T00:00:00.000Z",
            "",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
