//! Which attributes an event has in each release of the API, which of them are mandatory, which deprecated. Pure.

use super::release::{Release, release};
use crate::{
    referral::event::{EventRequest, PartyIdentifier},
    text::is_blank,
};

impl Release {
    /// The deprecated attributes that the events use, and how many of the events use each.
    pub fn deprecated_of(self, events: &[EventRequest]) -> Vec<(&'static str, usize)> {
        let deprecated = ATTRIBUTES.iter().filter(|attribute| attribute.is_deprecated_in(self));
        let used = deprecated.map(|attribute| {
            let count = events.iter().filter(|event| (attribute.is_given)(event)).count();
            (attribute.name, count)
        });
        used.filter(|(_, count)| *count > 0).collect()
    }
}

/// The attributes that are deprecated in some release.
pub fn deprecated() -> impl Iterator<Item = &'static str> {
    ATTRIBUTES.iter().filter(|attribute| attribute.deprecated_from.is_some()).map(|attribute| attribute.name)
}

/// What the releases say of an attribute of an event.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    /// The path of the attribute.
    pub name: &'static str,
    /// The release that brought it.
    pub available_from: Release,
    /// The release that made it optional, where it was mandatory before.
    pub mandatory_before: Option<Release>,
    pub deprecated_from: Option<Release>,
    /// Whether an event has it; blank counts as not given.
    pub is_given: fn(&EventRequest) -> bool,
}

impl Attribute {
    const fn new(name: &'static str, available_from: Release, is_given: fn(&EventRequest) -> bool) -> Self {
        Self { name, available_from, mandatory_before: None, deprecated_from: None, is_given }
    }

    const fn mandatory_before(self, release: Release) -> Self {
        Self { mandatory_before: Some(release), ..self }
    }

    const fn deprecated_from(self, release: Release) -> Self {
        Self { deprecated_from: Some(release), ..self }
    }

    pub fn is_available_in(&self, release: Release) -> bool {
        release >= self.available_from
    }

    pub fn is_mandatory_in(&self, release: Release) -> bool {
        self.mandatory_before.is_some_and(|first| release < first)
    }

    fn is_deprecated_in(&self, release: Release) -> bool {
        self.deprecated_from.is_some_and(|first| release >= first)
    }
}

/// The attributes that are not the same in all releases.
///
/// Where none is mandatory by itself, one of a group is: a `performed_by_…`, which the documentation calls
/// semi-optional from R17 on and so is demanded in R17 as in R18, of those that the release has; and for each party
/// the accounts receivable or the rewards participant.
pub const ATTRIBUTES: [Attribute; 13] = [
    Attribute::new("performed_by_business_unit_identifier", release(18, 0), |event| {
        event.performed_by_business_unit.is_some()
    }),
    Attribute::new("performed_by_unit_identifier", release(10, 0), |event| event.performed_by_unit.is_some())
        .mandatory_before(release(17, 0))
        .deprecated_from(release(18, 0)),
    Attribute::new("performed_by_tap_identifier", release(17, 0), |event| event.performed_by_tap.is_some()),
    Attribute::new("performed_by_device_identifier", release(17, 0), |event| event.performed_by_device.is_some()),
    Attribute::new("referred_accounts_receivable_identifier", release(17, 0), |event| {
        event.referred.accounts_receivable.is_some()
    }),
    Attribute::new(
        "referred_accounts_receivable_identifier.access_token_identifier.one_time_password",
        release(13, 0),
        |event| has_one_time_password(&event.referred.accounts_receivable),
    ),
    Attribute::new("referred_by_accounts_receivable_identifier", release(17, 0), |event| {
        event.referred_by.accounts_receivable.is_some()
    }),
    Attribute::new(
        "referred_by_accounts_receivable_identifier.access_token_identifier.one_time_password",
        release(13, 0),
        |event| has_one_time_password(&event.referred_by.accounts_receivable),
    ),
    Attribute::new("referred_rewards_participant_identifier", release(10, 0), |event| {
        event.referred.rewards_participant.is_some()
    })
    .mandatory_before(release(17, 0))
    .deprecated_from(release(17, 0)),
    Attribute::new(
        "referred_rewards_participant_identifier.access_token_identifier.one_time_password",
        release(13, 0),
        |event| has_one_time_password(&event.referred.rewards_participant),
    ),
    Attribute::new("referred_by_rewards_participant_identifier", release(10, 0), |event| {
        event.referred_by.rewards_participant.is_some()
    })
    .mandatory_before(release(17, 0))
    .deprecated_from(release(17, 0)),
    Attribute::new(
        "referred_by_rewards_participant_identifier.access_token_identifier.one_time_password",
        release(13, 0),
        |event| has_one_time_password(&event.referred_by.rewards_participant),
    ),
    Attribute::new("external_system_reference_number", release(10, 1), |event| {
        event.external_system_reference_number.as_deref().is_some_and(|number| !is_blank(number))
    }),
];

fn has_one_time_password(party: &Option<Box<PartyIdentifier>>) -> bool {
    let token = party.as_ref().and_then(|party| party.access_token.as_ref());
    let password = token.and_then(|token| token.one_time_password.as_ref());
    password.is_some_and(|password| !is_blank(password.expose()))
}
