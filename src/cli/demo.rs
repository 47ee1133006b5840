//! The demo organisation, on which the documented example gives the documented answer.

use std::{io::Cursor, net::SocketAddr};

use chrono::Utc;

use super::{Failure, say};
use crate::{
    auth::{self, Authenticator, Credentials, Origin},
    clock::Clock,
    config::{Keys, SettingError},
    directory::{self, DirectoryKind},
    guessing::{Guessing, Limits},
    referral::{
        Options, ReferralEvents, ReferralSettings, Sender,
        event::{EntryIdentifier, EventRequest, Instant, PartyIdentifier, PartyIdentifiers},
    },
    secret::{CodeHasher, Secret},
    storage::{Database, users},
};

const NAME: &str = "demo";
const PARTICIPANTS: u32 = 20;
/// Referred and referrer of the events made beforehand: seven, so that the next number is 8; RP0000000004 is referred.
const REFERRALS: [(u32, u32); 7] = [(4, 1), (5, 1), (6, 2), (7, 2), (8, 3), (9, 3), (13, 11)];

/// Makes the organisation, its user, its directory and its first events, where they are not there yet.
pub async fn prepare(database: &Database, keys: &Keys) -> Result<(), Failure> {
    if users::find_organisation(database.reader(), NAME).await?.is_some() {
        return Ok(());
    }
    let organisation_id = users::add_organisation(database, NAME, Utc::now()).await?;
    let user = auth::new_user(organisation_id, NAME, Secret::new(NAME), "administrator".to_owned(), None).await?;
    users::add_user(database.writer(), user).await?;

    let hasher = CodeHasher::new(&keys.hash);
    let numbers = || 1..=PARTICIPANTS;
    let accounts: String = numbers().map(|n| format!("ACR{n:010}\n")).collect();
    let participants: String = numbers().map(|n| format!("RP{n:010},ACR{n:010}\n")).collect();
    let files = [
        (DirectoryKind::BusinessUnits, "code,name\nBU1,Demo Business Unit\n".to_owned()),
        (DirectoryKind::Units, "name,alternative_code,business_unit_code\nAdmin Unit,ADMIN,BU1\n".to_owned()),
        (DirectoryKind::Taps, "code,name,unit_alternative_code,is_default\nTAP1,Demo Till,ADMIN,true\n".to_owned()),
        (DirectoryKind::AccountsReceivable, format!("number\n{accounts}")),
        (DirectoryKind::RewardsParticipants, format!("number,accounts_receivable_number\n{participants}")),
    ];
    for (kind, text) in files {
        let summary = directory::import(database, &hasher, organisation_id, kind, Cursor::new(text), |_| {}).await?;
        if summary.rejected > 0 {
            return Err(SettingError::new(format!("the demo's {} were rejected", kind.name())).into());
        }
    }
    let events = REFERRALS.into_iter().map(|(referred, referrer)| event(referred, referrer)).collect();
    let guessing = Guessing::new(database.clone(), hasher.clone(), Limits::default(), Clock::default());
    ReferralEvents::new(database.clone(), hasher, ReferralSettings::default(), guessing, Clock::default())
        .bulk_create(Sender { organisation_id, user_id: NAME.to_owned() }, events, Options::default(), None, ())
        .await?;
    Ok(())
}

fn event(referred: u32, referrer: u32) -> EventRequest {
    let participant = |n: u32| PartyIdentifiers {
        rewards_participant: Some(Box::new(PartyIdentifier {
            number: Some(format!("RP{n:010}")),
            ..Default::default()
        })),
        ..Default::default()
    };
    EventRequest {
        request_unique_identifier: Some(referred.to_string()),
        performed_by_unit: Some(EntryIdentifier { name: Some("Admin Unit".to_owned()), ..Default::default() }),
        // 2016-06-21T15:00:00Z, the day before the documented example.
        performed_on: Some(Instant { seconds: 1_466_521_200, nanoseconds: 0 }),
        referred: participant(referred),
        referred_by: participant(referrer),
        ..Default::default()
    }
}

/// The documented example, without its token.
const EXAMPLE: &str = r#"{"referral_customer_events_set":[{"request_unique_identifier":"125","performed_by_unit_identifier":{"name":"Admin Unit"},"performed_on":"2016-06-22T15:00:00Z","referred_rewards_participant_identifier":{"number":"RP0000000017"},"referred_by_rewards_participant_identifier":{"number":"RP0000000010"}},{"request_unique_identifier":"124","performed_by_unit_identifier":{"name":"Admin Unit"},"performed_on":"2016-06-22T15:00:00Z","referred_rewards_participant_identifier":{"number":"RP0000000014"},"referred_by_rewards_participant_identifier":{"number":"RP0000000012"}},{"request_unique_identifier":"123","performed_by_unit_identifier":{"name":"Admin Unit"},"performed_on":"2016-06-22T15:00:00Z","referred_rewards_participant_identifier":{"number":"RP0000000004"},"referred_by_rewards_participant_identifier":{"number":"RP0000000010"}}]}"#;

/// Prints the documented example, ready to be sent, for either transport.
pub async fn print_calls(address: SocketAddr, database: &Database, keys: &Keys) -> Result<(), Failure> {
    let credentials = Credentials {
        username: NAME.to_owned(),
        password: Secret::new(NAME),
        organisation: NAME.to_owned(),
        unit: None,
    };
    let guessing = Guessing::new(database.clone(), CodeHasher::new(&keys.hash), Limits::default(), Clock::default());
    let authenticator = Authenticator::new(database.clone(), &keys.token, guessing, Clock::default());
    let token = authenticator.create_token(credentials, Origin { peer: None, former_token: None }).await?;
    let token = token.expose();
    say(&format!(
        "The demo organisation is \"{NAME}\", its user \"{NAME}\", the password \"{NAME}\". The documented example:\n\n\
         curl http://{address}/customer_events/bulk/referrals/create -H 'content-type: application/json' \
         -H 'authorization: Bearer {token}' -d '{EXAMPLE}'\n\n\
         grpcurl -plaintext -H 'authorization: Bearer {token}' -d '{EXAMPLE}' {address} \
         referral.v1.ReferralEventService/BulkCreateReferralEvents\n"
    ));
    Ok(())
}
