//! What lists have in common: how many results a page has, the periods of filters, tokens of pages, and refusals.

use std::fmt::Display;

use chrono::{DateTime, Datelike, TimeDelta, Utc};

use super::{event::Instant, rules::validate::Validator, violation::Violation};
use crate::{
    error::{Error, ErrorKind, Result},
    id::OrganisationId,
    secret::{CodeHasher, Hashes},
};

const DEFAULT_NUMBER_OF_RESULTS: u32 = 100;
const MAXIMUM_NUMBER_OF_RESULTS: u32 = 1000;

/// The page tokens of one list: what a page begins after, and proof that it was we who said so, of this list.
pub struct PageTokens {
    pub hasher: CodeHasher,
    pub organisation_id: OrganisationId,
    /// What tells the list from others.
    pub list: String,
}

impl PageTokens {
    /// The token of the page that begins after this, which the digits stand for.
    pub fn token(&self, digits: &str, after: impl Display) -> String {
        format!("{digits}{}", self.proof(after).first)
    }

    fn proof(&self, after: impl Display) -> Hashes {
        self.hasher.page_token(self.organisation_id, &self.list, after)
    }

    /// What the page of a token begins after, where there is one, by so many digits that stand for it.
    pub fn read<T: Copy + Display>(
        &self,
        token: Option<String>,
        digits: usize,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
        let parts = token.split_at_checked(digits);
        let after = parts.and_then(|(digits, proof)| Some((parse(digits)?, proof)));
        let ours = after.filter(|(after, proof)| self.proof(after).have(proof)).map(|(after, _)| after);
        ours.map(Some).ok_or_else(|| {
            Error::new(ErrorKind::InvalidPageToken, "The page token is not of this list.").at_field("page_token")
        })
    }
}

/// How many results a page has at most.
pub fn number_of_results(validator: &mut Validator, given: Option<u32>) -> usize {
    let number = given.unwrap_or(DEFAULT_NUMBER_OF_RESULTS);
    if !(1..=MAXIMUM_NUMBER_OF_RESULTS).contains(&number) {
        let description = format!("{number} is not 1 to {MAXIMUM_NUMBER_OF_RESULTS}");
        validator.violations.push(Violation::invalid_value("number_of_results", &description));
    }
    number as usize
}

/// The end of a period.
pub fn latest(validator: &mut Validator, field: &str, instant: Option<Instant>) -> Option<DateTime<Utc>> {
    instant.and_then(|instant| validator.date(field, instant))
}

/// The first microsecond, which is what dates are stored to, that is not before the instant.
pub fn earliest(validator: &mut Validator, field: &str, instant: Option<Instant>) -> Option<DateTime<Utc>> {
    let is_between = instant.is_some_and(|instant| instant.nanoseconds % 1000 != 0);
    let date = latest(validator, field, instant)?;
    // After the last microsecond of the year 9999, which no event can be of, comes no date that is written like the others.
    let next = date.checked_add_signed(TimeDelta::microseconds(1)).filter(|next| next.year() <= 9999);
    Some(if is_between { next.unwrap_or(date) } else { date })
}

/// Refuses a call of which something is wrong.
pub fn refuse(violations: Vec<Violation>) -> Result<()> {
    if violations.is_empty() { Ok(()) } else { Err(refuse_first(violations)) }
}

/// The refusal for the violation that comes first in the catalogue.
pub fn refuse_first(violations: Vec<Violation>) -> Error {
    let first = violations.into_iter().min_by_key(|violation| violation.kind);
    first.map_or_else(|| Error::internal("a refusal without a reason"), Error::from)
}
