//! The demo organisation, on which the documented example gives the documented answer.

use std::{io::Cursor, net::SocketAddr, os::unix::ffi::OsStrExt, path::Path};

use chrono::Utc;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::{Failure, say};
use crate::{
    auth::{self, password},
    clock::Clock,
    config::{Keys, SettingError},
    directory::{self, DirectoryKind},
    guessing::{Guessing, Limits},
    referral::{
        EventIdentifier, Options, ReferralEvents, ReferralSettings, Sender,
        event::{EntryIdentifier, EventRequest, Instant, PartyIdentifier, PartyIdentifiers},
    },
    secret::{CodeHasher, Secret},
    storage::{Database, users},
};

const NAME: &str = "demo";
/// The directory, which `docs/demo.md` describes.
const DIRECTORY: [(DirectoryKind, &str); 8] = [
    (DirectoryKind::BusinessUnits, include_str!("../../demo/business_units.csv")),
    (DirectoryKind::Units, include_str!("../../demo/units.csv")),
    (DirectoryKind::Taps, include_str!("../../demo/taps.csv")),
    (DirectoryKind::Devices, include_str!("../../demo/devices.csv")),
    (DirectoryKind::Classifications, include_str!("../../demo/classifications.csv")),
    (DirectoryKind::AccountsReceivable, include_str!("../../demo/accounts_receivable.csv")),
    (DirectoryKind::RewardsParticipants, include_str!("../../demo/rewards_participants.csv")),
    (DirectoryKind::AccessTokens, include_str!("../../demo/access_tokens.csv")),
];
/// Referred and referrer of the events made beforehand: seven, so that the next number is 8. RP0000000004, whom the
/// documented example refers again, refers nobody: where a referred party has referred somebody, a call takes its numbers
/// twice and leaves some out. The next three are a chain.
const REFERRALS: [(u32, u32); 7] = [(4, 1), (5, 2), (6, 5), (7, 6), (8, 3), (9, 3), (13, 11)];
/// The number of the one of them that is cancelled.
const CANCELLED: &str = "7";

/// Makes the organisation, its user, its directory and its first events.
pub async fn prepare(database: &Database, keys: &Keys) -> Result<(), Failure> {
    let organisation_id = users::add_organisation(database, NAME, Utc::now()).await?;
    // What new passwords must be like is no matter of one that everybody knows.
    let hash = password::hash(Secret::new(NAME)).await?;
    let user = auth::new_user(organisation_id, NAME, hash, "administrator".to_owned(), None);
    users::add_user(database.writer(), user).await?;

    let hasher = CodeHasher::new(&keys.hash);
    for (kind, rows) in DIRECTORY {
        let summary = directory::import(database, &hasher, organisation_id, kind, Cursor::new(rows), |_| {}).await?;
        if summary.rejected > 0 {
            return Err(SettingError::new(format!("the demo's {} were rejected", kind.name())).into());
        }
    }
    let events = REFERRALS.into_iter().map(|(referred, referrer)| event(referred, referrer)).collect();
    let guessing = Guessing::new(database.clone(), hasher.clone(), Limits::default(), Clock::default());
    let referral_events =
        ReferralEvents::new(database.clone(), hasher, ReferralSettings::default(), guessing, Clock::default());
    let sender =
        Sender { organisation_id, user_id: NAME.to_owned(), user_name: NAME.to_owned(), request_id: NAME.to_owned() };
    referral_events.bulk_create(sender.clone(), events, Options::default(), None, ()).await?;
    let cancelled = EventIdentifier { number: Some(CANCELLED.to_owned()), ..Default::default() };
    referral_events.cancel(sender, Some(cancelled), Some("Entered twice".to_owned()), ()).await?;
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

/// Says where everything is, and what to do first; `certificate` is what it is served with by TLS.
pub fn introduce(address: SocketAddr, folder: &Path, certificate: Option<&Path>) {
    let (trusting, scheme) = match certificate {
        Some(file) => (format!(" --cacert {}", file.display()), "https"),
        None => (String::new(), "http"),
    };
    say(&format!(
        "the demo is served on {address}\n\
         database: {} (removed at the end)\n\
         user: {NAME} of the organisation {NAME}, password {NAME}\n\
         try: curl -s{trusting} {scheme}://{address}/authentication/token -H 'content-type: application/json' \
         -d '{{\"organisation\":\"{NAME}\",\"username\":\"{NAME}\",\"password\":\"{NAME}\"}}'",
        folder.join(FILE).display()
    ));
}

const FILE: &str = "demo.db";

/// The URL of the demo's database in a folder.
pub fn database_url(folder: &Path) -> String {
    let file = folder.join(FILE);
    format!("sqlite:{}", percent_encode(file.as_os_str().as_bytes(), &AS_IT_IS))
}

/// What stands as it is in the path of a URL.
const AS_IT_IS: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');
