//! The calls that look back.

use chrono::{DateTime, Utc};
use referral_events::{
    id::{AccountKey, EntryKey, EventId, EventNumber, OrganisationId},
    storage::{
        bulk_load,
        counters::{self, Wanted},
        entity::referral_event,
        users,
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Answer, Server, Transport, method};

impl Server {
    /// The event that this identifier names, as carla of acme sees it.
    pub async fn get(&self, identifier: Value) -> Answer {
        self.get_with(json!({"token": self.token, "customer_event_identifier": identifier})).await
    }

    /// The event itself, which REST has in `data` and gRPC in a field of the response.
    pub async fn get_with(&self, request: Value) -> Answer {
        let mut answer = self.call(&method("GetReferralEvent"), request, &[]).await;
        if self.transport == Transport::Grpc && answer.code == "OK" {
            answer.data = answer.data["customer_event"].take();
        }
        answer
    }

    /// A page of the list with these filters.
    pub async fn list(&self, mut request: Value) -> Answer {
        if request.get("token").is_none() {
            request["token"] = json!(self.token);
        }
        self.call(&method("ListReferralEvents"), request, &[]).await
    }

    /// The numbers of all events of the list, page by page; the pages that were asked for, too.
    pub async fn list_all(&self, request: &Value) -> (Vec<i64>, usize) {
        let mut request = request.clone();
        let (mut all, mut pages) = (Vec::new(), 0);
        loop {
            let page = self.list(request.clone()).await;
            all.extend(numbers(&page));
            pages += 1;
            match page.data.get("next_page_token") {
                Some(token) => request["page_token"] = token.clone(),
                None => return (all, pages),
            }
        }
    }

    pub async fn cancel(&self, identifier: Value) -> Answer {
        self.cancel_with(json!({"token": self.token, "customer_event_identifier": identifier})).await
    }

    pub async fn cancel_with(&self, request: Value) -> Answer {
        self.call(&method("CancelReferralEvent"), request, &[]).await
    }
}

/// The numbers of a page's events.
pub fn numbers(page: &Answer) -> Vec<i64> {
    assert_eq!(page.code, "OK", "{page:?}");
    let events = page.data["customer_events_set"].as_array().unwrap_or_else(|| panic!("no events: {page:?}"));
    events
        .iter()
        .map(|event| event["number"].as_str().and_then(|number| number.parse().ok()).expect("a number"))
        .collect()
}

/// An event to insert: its number, when it was created and its classification.
pub type Row = (i64, DateTime<Utc>, Option<i64>);

/// An event of one referrer.
fn new_event(organisation_id: OrganisationId, row: &Row, referrer: AccountKey) -> referral_event::Model {
    new_referral(organisation_id, row, AccountKey(1_000_000 + row.0), referrer)
}

fn new_referral(
    organisation_id: OrganisationId,
    (number, created_on, classification_key): &Row,
    referred: AccountKey,
    referrer: AccountKey,
) -> referral_event::Model {
    referral_event::Model {
        organisation_id,
        id: EventId(Uuid::from_u128(((created_on.timestamp_millis() as u128) << 80) + *number as u128)),
        number: EventNumber(*number),
        in_force: Some(true),
        classification_key: classification_key.map(EntryKey),
        performed_by_business_unit_key: None,
        performed_by_unit_key: None,
        performed_by_tap_key: None,
        performed_by_device_key: None,
        performed_on: *created_on,
        description: None,
        referred_account_key: referred,
        referred_by_account_key: referrer,
        external_system: String::new(),
        external_system_reference_number: None,
        content_hash: None,
        udf_string_1: None,
        udf_string_2: None,
        udf_string_3: None,
        udf_string_4: None,
        udf_string_5: None,
        udf_string_6: None,
        udf_string_7: None,
        udf_string_8: None,
        udf_float_1: None,
        udf_float_2: None,
        udf_float_3: None,
        udf_float_4: None,
        udf_date_1: None,
        udf_date_2: None,
        udf_date_3: None,
        udf_date_4: None,
        created_on: *created_on,
        cancelled_on: None,
        cancellation_reason: None,
    }
}

impl Server {
    /// The key of acme.
    pub async fn acme(&self) -> OrganisationId {
        let organisation = users::find_organisation(self.database.reader(), "acme").await;
        organisation.expect("a look-up").expect("an organisation").id
    }

    /// Inserts events of one referrer, by the way the service itself takes.
    pub async fn insert(&self, rows: Vec<Row>) {
        let (organisation_id, referrer) = (self.acme().await, self.account("60").await);
        let transaction = self.database.begin().await.expect("a transaction");
        for rows in rows.chunks(5000) {
            let rows = rows.iter().map(|row| new_event(organisation_id, row, referrer)).collect();
            assert!(bulk_load::insert_events(&transaction, rows).await.expect("an insert"));
        }
        transaction.commit().await.expect("a commit");
    }

    /// Inserts events of which each has nearly 17 KB of text.
    pub async fn insert_large(&self, numbers: std::ops::RangeInclusive<i64>) {
        let (organisation_id, referrer) = (self.acme().await, self.account("60").await);
        let large = |number| referral_event::Model {
            description: Some("🎈".repeat(4000)),
            udf_string_1: Some("🎈".repeat(255)),
            ..new_event(organisation_id, &(number, Utc::now(), None), referrer)
        };
        let transaction = self.database.begin().await.expect("a transaction");
        let rows = numbers.map(large).collect();
        assert!(bulk_load::insert_events(&transaction, rows).await.expect("an insert"));
        transaction.commit().await.expect("a commit");
    }

    /// Inserts referrals in force, by which each of the accounts was referred by the next. Their numbers begin at a million.
    pub async fn insert_chain(&self, account_keys: &[AccountKey]) {
        let organisation_id = self.acme().await;
        let numbered: Vec<(i64, &[AccountKey])> = (1_000_000..).zip(account_keys.windows(2)).collect();
        let transaction = self.database.begin().await.expect("a transaction");
        for pairs in numbered.chunks(5000) {
            let new = |(number, pair): &(i64, &[AccountKey])| {
                new_referral(organisation_id, &(*number, Utc::now(), None), pair[0], pair[1])
            };
            let rows = pairs.iter().map(new).collect();
            assert!(bulk_load::insert_events(&transaction, rows).await.expect("an insert"));
        }
        transaction.commit().await.expect("a commit");
    }

    /// Creates so many events, by a call each, at these moments of the servers' clocks. Answers their numbers.
    pub async fn create_at(&self, calls: &[(DateTime<Utc>, usize)]) -> Vec<(i64, DateTime<Utc>)> {
        let (organisation_id, referrer) = (self.acme().await, self.account("60").await);
        let mut created = Vec::new();
        let transaction = self.database.begin().await.expect("a transaction");
        for (now, count) in calls {
            let wanted = Wanted { count: *count, now: *now, account_keys: &[] };
            let numbers = counters::take_numbers(&transaction, organisation_id, &wanted).await;
            let first = numbers.expect("numbers").first.0;
            let numbers = first..first + *count as i64;
            let rows =
                numbers.clone().map(|number| new_event(organisation_id, &(number, *now, None), referrer)).collect();
            assert!(bulk_load::insert_events(&transaction, rows).await.expect("an insert"));
            created.extend(numbers.map(|number| (number, *now)));
        }
        transaction.commit().await.expect("a commit");
        created
    }
}
