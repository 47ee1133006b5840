//! Dates as a file has them.

use chrono::{
    DateTime, MappedLocalTime, NaiveDateTime, NaiveTime, TimeZone, Utc,
    format::{Item, Parsed, StrftimeItems, parse},
};
use chrono_tz::Tz;

use crate::{date, text};

/// How dates are read.
#[derive(Default)]
pub struct Dates {
    /// As it was given, and taken apart; the documented form where there is none.
    format: Option<(String, Vec<Item<'static>>)>,
    /// The one of dates that have no offset: UTC where none is given.
    zone: Option<Tz>,
}

impl Dates {
    pub fn new(format: Option<&str>, zone: Option<Tz>) -> Result<Self, String> {
        let read = |format: &str| match StrftimeItems::new(format).parse_to_owned() {
            Ok(items) => Ok((format.to_owned(), items)),
            Err(_) => Err(format!("{} is no form of dates; one is %d/%m/%Y %H:%M", text::quoted(format))),
        };
        Ok(Self { format: format.map(read).transpose()?, zone })
    }

    /// Reads a date, or says why it is none.
    pub fn read(&self, given: &str) -> Result<DateTime<Utc>, String> {
        let Some((format, items)) = &self.format else { return self.read_documented(given) };
        let wrong = || format!("{} is not a date like {format}", text::quoted(given));
        let mut parsed = Parsed::new();
        parse(&mut parsed, given, items.iter()).map_err(|_| wrong())?;
        if let Some(seconds) = parsed.timestamp() {
            return DateTime::from_timestamp(seconds, 0).ok_or_else(wrong);
        }
        if parsed.offset().is_some() {
            return parsed.to_datetime().map(|date| date.to_utc()).map_err(|_| wrong());
        }
        let day = parsed.to_naive_date().map_err(|_| wrong())?;
        // A form of days alone has no hour, and means their beginning.
        let has_hour = parsed.hour_mod_12().is_some();
        if parsed.minute().is_none() {
            parsed.set_minute(0).map_err(|_| wrong())?;
        }
        let time = if has_hour { parsed.to_naive_time().map_err(|_| wrong())? } else { NaiveTime::MIN };
        self.local(day.and_time(time), given)
    }

    fn read_documented(&self, given: &str) -> Result<DateTime<Utc>, String> {
        if self.zone.is_some()
            && let Ok(local) = date::read(&format!("{given}Z"))
        {
            return self.local(local.naive_utc(), given);
        }
        date::read(given).map_err(|reason| format!("{} is {reason}", text::quoted(given)))
    }

    /// The moment at which clocks of the zone show this; of two, when clocks are set back, the first.
    fn local(&self, local: NaiveDateTime, given: &str) -> Result<DateTime<Utc>, String> {
        let Some(zone) = self.zone else { return Ok(local.and_utc()) };
        match zone.from_local_datetime(&local) {
            MappedLocalTime::Single(moment) | MappedLocalTime::Ambiguous(moment, _) => Ok(moment.to_utc()),
            MappedLocalTime::None => Err(format!("clocks in {zone} were set forward past {}", text::quoted(given))),
        }
    }
}
