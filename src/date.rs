//! The documented form of a date and time, and its one reader.

use std::fmt;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Utc};

/// Why a text is no date and time. Each is a sentence without its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotADate {
    Form,
    /// The form is right, but the calendar or the clock has no such moment.
    NoSuchMoment,
    LeapSecond,
    Year,
}

impl fmt::Display for NotADate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => {
                "not a date and time like 2016-06-22T15:00:00, which may have a fraction, and Z or an offset like \
                 +02:00 where it is not UTC"
            }
            Self::NoSuchMoment => "a date or time that does not exist",
            Self::LeapSecond => "a leap second, which is not counted; :59 is the last second of a minute",
            Self::Year => "not in the years 0001 to 9999 of UTC",
        })
    }
}

/// Reads `YYYY-MM-DDThh:mm:ss`, with a fraction, and with `Z`, `+hh:mm` or `+hhmm` where given; without an offset it is
/// UTC. A fraction is cut off after nanoseconds.
pub fn read(text: &str) -> Result<DateTime<Utc>, NotADate> {
    let bytes = text.as_bytes();
    if has_another_year(bytes) {
        return Err(NotADate::Year);
    }
    let (clock, rest) = bytes.split_at_checked(CLOCK.len()).ok_or(NotADate::Form)?;
    if !has_form(clock, CLOCK) {
        return Err(NotADate::Form);
    }
    let number = |from: usize, to: usize| clock[from..to].iter().fold(0, |n, digit| n * 10 + u32::from(digit - b'0'));
    let (nanoseconds, rest) = read_fraction(rest).ok_or(NotADate::Form)?;
    let offset = read_offset(rest)?;
    let (year, second) = (number(0, 4), number(17, 19));
    if year == 0 {
        return Err(NotADate::Year);
    }
    if second == 60 {
        return Err(NotADate::LeapSecond);
    }
    let day = NaiveDate::from_ymd_opt(year.cast_signed(), number(5, 7), number(8, 10));
    let time = NaiveTime::from_hms_nano_opt(number(11, 13), number(14, 16), second, nanoseconds);
    let local = day.zip(time).map(|(day, time)| NaiveDateTime::new(day, time)).ok_or(NotADate::NoSuchMoment)?;
    let moment = local.checked_sub_offset(offset).ok_or(NotADate::Year)?.and_utc();
    if (1..=9999).contains(&moment.year()) { Ok(moment) } else { Err(NotADate::Year) }
}

const CLOCK: &[u8] = b"0000-00-00T00:00:00";

/// Whether there is a digit wherever the form has one, and elsewhere what the form has.
fn has_form(bytes: &[u8], form: &[u8]) -> bool {
    bytes.len() == form.len()
        && bytes.iter().zip(form).all(|(byte, form)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form })
}

/// Whether it would be a date if its year had four digits and no sign.
fn has_another_year(bytes: &[u8]) -> bool {
    let unsigned = bytes.strip_prefix(b"-").or_else(|| bytes.strip_prefix(b"+"));
    let digits = unsigned.unwrap_or(bytes);
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = CLOCK.len() - 4;
    (count > 4 || unsigned.is_some() && count == 4)
        && digits.get(count..count + rest).is_some_and(|rest| has_form(rest, &CLOCK[4..]))
}

/// The nanoseconds, and what comes after them.
fn read_fraction(rest: &[u8]) -> Option<(u32, &[u8])> {
    let Some(fraction) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = fraction.split_at(length);
    let padded = digits.iter().chain([&b'0'; 9]).take(9);
    (length > 0).then(|| (padded.fold(0, |n, digit| n * 10 + u32::from(digit - b'0')), rest))
}

fn read_offset(rest: &[u8]) -> Result<FixedOffset, NotADate> {
    let (sign, digits) = match rest {
        b"" | b"Z" | b"z" => return FixedOffset::east_opt(0).ok_or(NotADate::Form),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return Err(NotADate::Form),
    };
    if !has_form(digits, b"00:00") && !has_form(digits, b"0000") {
        return Err(NotADate::Form);
    }
    let number = |digits: &[u8]| digits.iter().fold(0, |n, digit| n * 10 + i32::from(digit - b'0'));
    let (hours, minutes) = (number(&digits[..2]), number(&digits[digits.len() - 2..]));
    let seconds = (minutes < 60).then_some(sign * (hours * 3600 + minutes * 60));
    seconds.and_then(FixedOffset::east_opt).ok_or(NotADate::NoSuchMoment)
}
