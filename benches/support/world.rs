//! A world of reference data and batches of events, the same at every run.

use prost_reflect::{DescriptorPool, DynamicMessage};
use referral_events::{
    contract::{BulkCreateReferralEventsRequest, DESCRIPTOR_SET},
    directory::{self, DirectoryKind},
    secret::CodeHasher,
    storage::{Database, users},
};
use serde_json::{Value, json};
use std::{
    io::Cursor,
    time::{Duration, Instant},
};

pub const ORGANISATION: &str = "acme";
const BUSINESS_UNITS: u64 = 8;
const UNITS: u64 = 40;
const TOKENS: u64 = 5000;

/// The directory of so many participants. Every event refers a participant that was not referred before, by one of
/// the first 5000, so that all can be created and no circle arises.
pub struct World {
    participants: u64,
    next: u64,
    random: u64,
}

impl World {
    pub fn new(participants: u64) -> Self {
        Self { participants, next: TOKENS + 1, random: 0x9E37_79B9_7F4A_7C15 }
    }

    /// Loads the directory; answers how long the accounts and participants took, and how many rows those were.
    pub async fn import(&self, database: &Database, hasher: &CodeHasher) -> (u64, Duration) {
        let organisation = users::find_organisation(database.read(), ORGANISATION).await.expect("a look-up");
        let organisation_id = organisation.expect("the organisation").id;
        let (n, units, business_units) = (self.participants, UNITS, BUSINESS_UNITS);
        let lines = |header: &str, rows: &mut dyn Iterator<Item = String>| {
            rows.fold(format!("{header}\n"), |text, row| text + &row + "\n")
        };
        let unit_taps = (0..units).map(|i| format!("TAP-U{i:03},Till {i},BU{:03},U{i:03},true", i % business_units));
        let unit_taps: Vec<String> = unit_taps.collect();
        let taps = (0..business_units).map(|i| format!("TAP-BU{i:03},Counter {i},BU{i:03},,true"));
        let files = [
            (
                DirectoryKind::BusinessUnits,
                lines("code,name", &mut (0..business_units).map(|i| format!("BU{i:03},Business Unit {i}"))),
            ),
            (
                DirectoryKind::Units,
                lines(
                    "name,alternative_code,business_unit_code",
                    &mut (0..units).map(|i| format!("Unit {i},U{i:03},BU{:03}", i % business_units)),
                ),
            ),
            (
                DirectoryKind::Taps,
                lines(
                    "code,name,business_unit_code,unit_alternative_code,is_default",
                    &mut unit_taps.into_iter().chain(taps),
                ),
            ),
            (
                DirectoryKind::Classifications,
                lines("name,alternative_code", &mut (0..5).map(|i| format!("Classification {i},CL{i}"))),
            ),
            (
                DirectoryKind::AccountsReceivable,
                lines("id,number,state", &mut (1..=n).map(|i| format!("1{i:031X},ACR{i:010},ACTIVE"))),
            ),
            (
                DirectoryKind::RewardsParticipants,
                lines(
                    "id,number,accounts_receivable_number,state",
                    &mut (1..=n).map(|i| format!("2{i:031X},RP{i:010},ACR{i:010},EFFECTIVE")),
                ),
            ),
            (
                DirectoryKind::AccessTokens,
                lines(
                    "identifier,authentication_code,pass_code,rewards_participant_number",
                    &mut (1..=TOKENS).map(|i| format!("user{i}@example.com,AUTH{i:012},{},RP{i:010}", 1000 + i % 9000)),
                ),
            ),
        ];
        let mut timed = (0, Duration::ZERO);
        for (kind, text) in files {
            let started = Instant::now();
            let summary = directory::import(database, hasher, organisation_id, kind, Cursor::new(text), |_| {}).await;
            let summary = summary.expect("an import");
            assert_eq!(summary.rejected, 0, "{:?}", summary.rejections);
            if matches!(kind, DirectoryKind::AccountsReceivable | DirectoryKind::RewardsParticipants) {
                timed = (timed.0 + summary.inserted, timed.1 + started.elapsed());
            }
        }
        timed
    }

    /// The next batch, as the body of one call without its token.
    pub fn batch(&mut self, events: u64) -> Value {
        let events: Vec<Value> = (0..events).map(|_| self.event()).collect();
        json!({"referral_customer_events_set": events})
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn event(&mut self) -> Value {
        // A stride that is prime to the number of parties visits each of them once, in no order.
        let span = self.participants - TOKENS;
        let n = self.next - TOKENS - 1;
        assert!(n < span, "the world has no more parties to refer");
        let referred = TOKENS + 1 + n * 7_368_787 % span;
        self.next += 1;
        let unit = self.random(UNITS);
        let mut event = json!({
            "request_unique_identifier": n.to_string(),
            "performed_on": format!("2026-0{}-1{}T1{}:00:00Z", 1 + n % 9, n % 10, n % 10),
            "external_system": "shop",
            "external_system_reference_number": format!("order-{n}"),
            "classification_identifier": {"alternative_code": format!("CL{}", n % 5)},
            "description": format!("Referral {n}: invited at the counter of unit {unit}"),
        });
        let (place, name) = match self.random(3) {
            0 => ("performed_by_unit_identifier", json!({"name": format!("Unit {unit}")})),
            1 => ("performed_by_business_unit_identifier", json!({"code": format!("BU{:03}", unit % BUSINESS_UNITS)})),
            _ => ("performed_by_tap_identifier", json!({"code": format!("TAP-U{unit:03}")})),
        };
        event[place] = name;
        let referrer = 1 + self.random(TOKENS - 1);
        for (role, party) in [("referred", referred), ("referred_by", referrer)] {
            let (kind, identifier) = match self.random(4) {
                0 => ("accounts_receivable", json!({"number": format!("ACR{party:010}")})),
                1 => ("accounts_receivable", json!({"id": format!("1{party:031X}")})),
                2 if party <= TOKENS => (
                    "accounts_receivable",
                    json!({"access_token_identifier": {"authentication_code": format!("AUTH{party:012}")}}),
                ),
                _ => ("rewards_participant", json!({"number": format!("RP{party:010}")})),
            };
            event[format!("{role}_{kind}_identifier")] = identifier;
        }
        for i in 1..=8 {
            event[format!("udf_string_{i}")] = json!(format!("value {i} of {n}"));
        }
        for i in 1..=4 {
            event[format!("udf_float_{i}")] = json!((n * i) as f64 / 8.0);
            event[format!("udf_date_{i}")] = json!("2026-06-22T15:00:00Z");
        }
        event
    }
}

/// A batch as the gRPC request.
pub fn grpc_request(batch: &Value) -> BulkCreateReferralEventsRequest {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("a descriptor set");
    let name = "referral.v1.BulkCreateReferralEventsRequest";
    let descriptor = pool.get_message_by_name(name).expect("the request");
    let message = DynamicMessage::deserialize(descriptor, batch.clone()).expect("a request");
    message.transcode_to().expect("the request's type")
}
