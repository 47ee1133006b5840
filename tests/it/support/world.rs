//! The directory that the tests' events name.
//!
//! Organisation `acme`: business units BU1 (North) and BU2 (South); units U1 (Admin Unit) and U2 (Shop) of BU1, U3
//! (Kiosk) of BU2; TAPs TAP1 (default of U1), TAP2 (of U1), TAPB (default of BU1); devices DEV1 (in U1), DEV3 (in
//! U3), DEV0 (nowhere); accounts ACR01 to ACR60 of participants RP01 to RP60, some of which are not active, and
//! ACR70 without a participant. The id of each row is its code or number with `-ID`. Organisation `other` has the
//! same kinds under codes that begin with X.

use std::io::Cursor;

use referral_events::{
    auth::password,
    directory::{self, DirectoryKind},
    secret::{CodeHasher, Secret},
    storage::{Database, entity::user, users},
};
use serde_json::{Value, json};

/// The users: name, organisation, role. Each has its name as its password.
pub const USERS: [(&str, &str, &str); 5] = [
    ("carla", "acme", "caller"),
    ("rita", "acme", "reader"),
    ("adam", "acme", "administrator"),
    ("oscar", "other", "caller"),
    ("carla", "other", "caller"),
];

/// The fields of the answer's event objects.
pub const EVENT_FIELDS: [&str; 5] = ["request_unique_identifier", "id", "number", "error_code", "error_description"];

/// A good event: `referred` and `referrer` are two digits of participants.
pub fn event(identifier: &str, referred: &str, referrer: &str) -> Value {
    json!({
        "request_unique_identifier": identifier,
        "performed_by_unit_identifier": {"name": "Admin Unit"},
        "performed_on": "2016-06-22T15:00:00",
        "referred_rewards_participant_identifier": {"number": format!("RP{referred}")},
        "referred_by_rewards_participant_identifier": {"number": format!("RP{referrer}")},
    })
}

/// Adds the organisations, their users and their directories.
pub async fn populate(database: &Database, hasher: &CodeHasher) {
    let now = chrono::Utc::now();
    for (organisation, prefix) in [("acme", ""), ("other", "X")] {
        let organisation_id = users::add_organisation(database, organisation, now).await.expect("an organisation");
        for (kind, text) in directory_of(prefix) {
            let summary = directory::import(database, hasher, organisation_id, kind, Cursor::new(text), |_| {})
                .await
                .expect("an import");
            assert_eq!(summary.rejected, 0, "{}: {:?}", kind.name(), summary.rejections);
        }
        for (name, _, role) in USERS.into_iter().filter(|(_, of, _)| *of == organisation) {
            let user = user::Model {
                organisation_id,
                id: format!("{name}-{organisation}"),
                name: name.to_owned(),
                password_hash: password::hash(Secret::new(name)).await.expect("a hash"),
                role: role.to_owned(),
                default_unit_id: None,
                created_on: now,
                disabled_on: None,
                token_generation: 0,
            };
            users::add_user(database.writer(), user).await.expect("a user");
        }
    }
}

fn directory_of(x: &str) -> Vec<(DirectoryKind, String)> {
    let mut accounts = String::from("id,number,state\n");
    let mut participants = String::from("id,number,accounts_receivable_number,state\n");
    for n in 1..=60 {
        let account_state = match n {
            51 => "SUSPENDED",
            52 => "TERMINATED",
            _ => "ACTIVE",
        };
        let participant_state = if n == 53 { "NOT_EFFECTIVE" } else { "EFFECTIVE" };
        accounts += &format!("{x}ACR{n:02}-ID,{x}ACR{n:02},{account_state}\n");
        participants += &format!("{x}RP{n:02}-ID,{x}RP{n:02},{x}ACR{n:02},{participant_state}\n");
    }
    accounts += &format!("{x}ACR70-ID,{x}ACR70,ACTIVE\n");
    let tokens = format!(
        "id,identifier,authentication_code,pass_code,state,effective_from,effective_to,rewards_participant_number,\
         one_time_password,one_time_password_expires_on\n\
         {x}T20,{x}t20@example.com,{x}AUTH20,2020,EFFECTIVE,,,{x}RP20,020020,\n\
         {x}T21,{x}t21@example.com,{x}AUTH21,2121,NOT_EFFECTIVE,,,{x}RP21,021021,\n\
         {x}T22,{x}t22@example.com,{x}AUTH22,2222,PENDING_VERIFICATION,,,{x}RP22,022022,\n\
         {x}T23,{x}t23@example.com,{x}AUTH23,2323,EFFECTIVE,2000-01-01T00:00:00,2001-01-01T00:00:00,{x}RP23,023023,\n\
         {x}T24,{x}t24@example.com,{x}AUTH24,2424,EFFECTIVE,9000-01-01T00:00:00,,{x}RP24,024024,\n\
         {x}T25,{x}t25@example.com,{x}AUTH25,2525,EFFECTIVE,2000-01-01T00:00:00,9000-01-01T00:00:00,{x}RP25,025025,2001-01-01T00:00:00\n\
         {x}T26,{x}t26@example.com,{x}AUTH26,2626,EFFECTIVE,,,{x}RP26,{otp26},9000-01-01T00:00:00\n",
        otp26 = if x.is_empty() { "123456" } else { "654321" }
    );
    vec![
        (DirectoryKind::BusinessUnits, format!("id,code,name\n{x}BU1-ID,{x}BU1,{x}North\n{x}BU2-ID,{x}BU2,{x}South\n")),
        (
            DirectoryKind::Units,
            format!(
                "id,name,alternative_code,business_unit_code\n{x}U1-ID,{x}Admin Unit,{x}U1,{x}BU1\n\
                 {x}U2-ID,{x}Shop,{x}U2,{x}BU1\n{x}U3-ID,{x}Kiosk,{x}U3,{x}BU2\n"
            ),
        ),
        (
            DirectoryKind::Taps,
            format!(
                "id,code,name,business_unit_code,unit_alternative_code,is_default\n\
                 {x}TAP1-ID,{x}TAP1,{x}Till 1,{x}BU1,{x}U1,true\n{x}TAP2-ID,{x}TAP2,{x}Till 2,,{x}U1,\n\
                 {x}TAPB-ID,{x}TAPB,{x}Counter,{x}BU1,,true\n"
            ),
        ),
        (
            DirectoryKind::Devices,
            format!(
                "id,code,unit_alternative_code\n{x}DEV1-ID,{x}DEV1,{x}U1\n{x}DEV3-ID,{x}DEV3,{x}U3\n\
                 {x}DEV0-ID,{x}DEV0,\n"
            ),
        ),
        (DirectoryKind::Classifications, format!("id,name,alternative_code\n{x}CL1-ID,{x}Friend,{x}CL1\n")),
        (DirectoryKind::AccountsReceivable, accounts),
        (DirectoryKind::RewardsParticipants, participants),
        (DirectoryKind::AccessTokens, tokens),
    ]
}
