//! The content of a call, by which a repeat under one idempotency key is known. Pure.

use super::call::Options;
use crate::{
    referral::event::{
        AccessTokenIdentifier, EntryIdentifier, EventRequest, Instant, PartyIdentifier, PartyIdentifiers,
    },
    secret::Secret,
};

/// The content of a call as bytes that no other content has. It holds what is secret.
pub fn canonical(
    requests: &[EventRequest],
    Options { validate_only, all_or_nothing, is_of_one: _ }: Options,
) -> Vec<u8> {
    let mut content = Canonical(Vec::with_capacity(requests.len() * 512));
    content.0.extend([u8::from(validate_only), u8::from(all_or_nothing)]);
    for request in requests {
        content.event(request);
    }
    content.0
}

struct Canonical(Vec<u8>);

impl Canonical {
    /// A byte for absence, or the length first: no two sequences of parts give the same bytes.
    fn part(&mut self, part: Option<impl AsRef<[u8]>>) {
        match part {
            Some(bytes) => {
                let bytes = bytes.as_ref();
                self.0.push(1);
                self.0.extend((bytes.len() as u64).to_be_bytes());
                self.0.extend(bytes);
            }
            None => self.0.push(0),
        }
    }

    fn event(&mut self, event: &EventRequest) {
        let EventRequest {
            request_unique_identifier,
            classification,
            performed_by_business_unit,
            performed_by_unit,
            performed_by_tap,
            performed_by_device,
            performed_on,
            description,
            referred,
            referred_by,
            external_system,
            external_system_reference_number,
            udf_strings,
            udf_floats,
            udf_dates,
            violations,
        } = event;
        for text in [request_unique_identifier, description, external_system, external_system_reference_number] {
            self.part(text.as_ref());
        }
        udf_strings.iter().for_each(|text| self.part(text.as_ref()));
        udf_floats.iter().for_each(|number| self.part(number.map(f64::to_be_bytes)));
        self.date(performed_on);
        udf_dates.iter().for_each(|date| self.date(date));
        let places = [performed_by_business_unit, performed_by_unit, performed_by_tap, performed_by_device];
        for place in [classification].into_iter().chain(places) {
            self.part(place.as_ref().map(|_| ""));
            if let Some(EntryIdentifier { id, name, code }) = place {
                [id, name, code].into_iter().for_each(|text| self.part(text.as_ref()));
            }
        }
        for PartyIdentifiers { accounts_receivable, rewards_participant } in [referred, referred_by] {
            self.party(accounts_receivable);
            self.party(rewards_participant);
        }
        self.0.extend((violations.len() as u64).to_be_bytes());
        for violation in violations {
            self.part(Some(violation.kind.code()));
            self.part(Some(&violation.field));
        }
    }

    fn date(&mut self, date: &Option<Instant>) {
        self.part(date.map(|Instant { seconds, nanoseconds }| {
            seconds.to_be_bytes().into_iter().chain(nanoseconds.to_be_bytes()).collect::<Vec<u8>>()
        }));
    }

    fn party(&mut self, identifier: &Option<Box<PartyIdentifier>>) {
        self.part(identifier.as_ref().map(|_| ""));
        let Some(PartyIdentifier { id, number, access_token }) = identifier.as_deref() else { return };
        [id, number].into_iter().for_each(|text| self.part(text.as_ref()));
        self.part(access_token.as_ref().map(|_| ""));
        let Some(AccessTokenIdentifier { authentication_code, identifier, pass_code, one_time_password }) =
            access_token
        else {
            return;
        };
        self.part(identifier.as_ref());
        for code in [authentication_code, pass_code, one_time_password] {
            self.part(code.as_ref().map(Secret::expose));
        }
    }
}
