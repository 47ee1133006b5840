//! A world of reference data and batches of events, the same at every run.

use std::io::Cursor;

use prost_reflect::{DescriptorPool, DynamicMessage};
use referral_events::{
    contract::{BulkCreateReferralEventsRequest, DESCRIPTOR_SET},
    directory::{self, DirectoryKind, ImportSummary},
    id::OrganisationId,
    secret::CodeHasher,
    storage::Database,
};
use serde_json::{Value, json};

pub const ORGANISATION: &str = "acme";
const BUSINESS_UNITS: u64 = 8;
const UNITS: u64 = 40;
/// The participants that have access tokens, and refer the others.
pub const TOKENS: u64 = 5000;
/// Prime to the number of parties: in strides of it each is visited once, in no order.
pub const STRIDE: u64 = 7_368_787;

/// The directory of so many participants. Every event refers a participant that was not referred before, by one of
/// the first 5000, so that all can be created and no circle arises.
pub struct World {
    participants: u64,
    next: u64,
    random: u64,
}

impl World {
    /// The world in which so many of the events are there already.
    pub fn new(participants: u64, events: u64) -> Self {
        Self { participants, next: events, random: 0x9E37_79B9_7F4A_7C15 }
    }

    /// Loads `kinds` of the directory.
    pub async fn import(
        &self,
        database: &Database,
        hasher: &CodeHasher,
        organisation_id: OrganisationId,
        kinds: &[DirectoryKind],
    ) {
        for &kind in kinds {
            let rows = match kind {
                DirectoryKind::BusinessUnits => BUSINESS_UNITS,
                DirectoryKind::Units | DirectoryKind::Devices => UNITS,
                DirectoryKind::Taps => UNITS + BUSINESS_UNITS,
                DirectoryKind::Classifications => 5,
                DirectoryKind::AccountsReceivable | DirectoryKind::RewardsParticipants => self.participants,
                DirectoryKind::AccessTokens => TOKENS,
            };
            import(database, hasher, organisation_id, kind, file(kind, rows)).await;
        }
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
        let span = self.participants - TOKENS;
        let n = self.next;
        assert!(n < span, "the world has no more parties to refer");
        let referred = TOKENS + 1 + n * STRIDE % span;
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
                1 => ("accounts_receivable", json!({"id": format!("1{party:031}")})),
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

pub async fn import(
    database: &Database,
    hasher: &CodeHasher,
    organisation_id: OrganisationId,
    kind: DirectoryKind,
    file: String,
) -> ImportSummary {
    let summary = directory::import(database, hasher, organisation_id, kind, Cursor::new(file), |_| {}).await;
    let summary = summary.expect("an import");
    assert_eq!(summary.rejected, 0, "{:?}", summary.rejections);
    summary
}

/// The rows of a kind as CSV.
pub fn file(kind: DirectoryKind, rows: u64) -> String {
    let (header, row): (&str, fn(u64) -> String) = match kind {
        DirectoryKind::BusinessUnits => ("code,name", |i| format!("BU{i:03},Business Unit {i}")),
        DirectoryKind::Units => {
            ("name,alternative_code,business_unit_code", |i| format!("Unit {i},U{i:03},BU{:03}", i % BUSINESS_UNITS))
        }
        DirectoryKind::Taps => ("code,name,business_unit_code,unit_alternative_code,is_default", |i| {
            let business_unit = i % BUSINESS_UNITS;
            match i < UNITS {
                true => format!("TAP-U{i:03},Till {i},BU{business_unit:03},U{i:03},true"),
                false => format!("TAP-BU{business_unit:03},Counter {business_unit},BU{business_unit:03},,true"),
            }
        }),
        DirectoryKind::Devices => ("code,unit_alternative_code", |i| format!("DEV{i:03},U{i:03}")),
        DirectoryKind::Classifications => ("name,alternative_code", |i| format!("Classification {i},CL{i}")),
        DirectoryKind::AccountsReceivable => {
            ("id,number,state", |i| format!("1{party:031},ACR{party:010},ACTIVE", party = i + 1))
        }
        DirectoryKind::RewardsParticipants => ("id,number,accounts_receivable_number,state", |i| {
            format!("2{party:031},RP{party:010},ACR{party:010},EFFECTIVE", party = i + 1)
        }),
        DirectoryKind::AccessTokens => ("identifier,authentication_code,pass_code,rewards_participant_number", |i| {
            let party = i + 1;
            format!("user{party}@example.com,AUTH{party:012},{},RP{party:010}", 1000 + party % 9000)
        }),
    };
    (0..rows).fold(format!("{header}\n"), |text, i| text + &row(i) + "\n")
}

/// A batch as the gRPC request.
pub fn grpc_request(batch: &Value) -> BulkCreateReferralEventsRequest {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("a descriptor set");
    let name = "referral.v1.BulkCreateReferralEventsRequest";
    let descriptor = pool.get_message_by_name(name).expect("the request");
    let message = DynamicMessage::deserialize(descriptor, batch.clone()).expect("a request");
    message.transcode_to().expect("the request's type")
}
