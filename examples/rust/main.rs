//! A caller of the service in Rust, on what `referral-events serve --demo` serves:
//!
//!     cargo run --example rust -- http://127.0.0.1:50051
//!
//! It logs in, creates events and reads the outcome of each, sends the call again under its idempotency key, loads events
//! of any number, and reads all pages of a list. The client renews its token, and waits and tries again where that helps.

use std::{env, error::Error, sync::Arc};

use referral_events::{
    client::{BulkOptions, Client, LoadOptions, Login, Settings, Tokens},
    contract::{
        AccountsReceivableIdentifier, BulkCreateReferralEventsResponse, ListReferralEventsRequest,
        ReferralCustomerEvent, TransactionAcquiringPointIdentifier,
    },
    secret::Secret,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:50051".to_owned());
    let login = Login {
        username: "demo".to_owned(),
        password: Secret::new(env::var("REFERRAL_EVENTS_PASSWORD").unwrap_or_else(|_| "demo".to_owned())),
        organisation: "demo".to_owned(),
        unit: None,
    };
    let settings = Settings {
        on_retry: Some(Arc::new(|retry| eprintln!("{}; again in {:?}", retry.error, retry.wait))),
        ..Settings::default()
    };
    let client = Client::new(&url, Tokens::Login(login), settings)?;

    // A key that the caller has made and kept: to send the call again is safe, be it tomorrow.
    let events = vec![referral("1", "ACR0000000018"), referral("2", "ACR0000000004")];
    let options = BulkOptions { idempotency_key: Some("an example".to_owned()), ..BulkOptions::default() };
    let first = client.bulk_create(events.clone(), options.clone()).await?;
    tell(&first.response);
    let again = client.bulk_create(events, options).await?;
    println!("sent again: {}", if again.replayed { "the answer is that of the first time" } else { "another call" });

    // A load goes on where it was, whenever it is started again under its id.
    let file = [referral("1", "ACR0000000019"), referral("2", "ACR0000000020")];
    let mut load = client.load("an-example", LoadOptions::default()).await?;
    let answered = usize::try_from(load.next_offset())?.min(file.len());
    for chunk in file[answered..].chunks(1) {
        if let Some(answer) = load.send(chunk.to_vec()).await? {
            println!("loaded {} events", answer.next_offset());
        }
    }
    while let Some(answer) = load.next().await? {
        println!("loaded {} events", answer.next_offset());
    }

    let mut request = ListReferralEventsRequest { number_of_results: Some(4), ..ListReferralEventsRequest::default() };
    loop {
        let page = client.list_referral_events(request.clone()).await?;
        let numbers: Vec<&str> = page.customer_events_set.iter().map(|event| event.number()).collect();
        println!("a page: {}", numbers.join(" "));
        request.page_token = page.next_page_token;
        if request.page_token.is_none() {
            return Ok(());
        }
    }
}

/// Somebody was referred by ACR0000000002 at the till.
fn referral(name: &str, referred: &str) -> ReferralCustomerEvent {
    let account = |number: &str| AccountsReceivableIdentifier { number: Some(number.to_owned()), ..Default::default() };
    let till = TransactionAcquiringPointIdentifier { code: Some("TAP1".to_owned()), ..Default::default() };
    ReferralCustomerEvent {
        request_unique_identifier: Some(name.to_owned()),
        performed_by_tap_identifier: Some(till.into()),
        performed_on: Some(prost_types::Timestamp { seconds: 1_466_607_600, nanos: 0 }),
        referred_accounts_receivable_identifier: Some(account(referred).into()),
        referred_by_accounts_receivable_identifier: Some(account("ACR0000000002").into()),
        ..Default::default()
    }
}

/// Each event is in one of the two sets.
fn tell(response: &BulkCreateReferralEventsResponse) {
    for event in &response.processed_customer_events_set {
        println!("{}: created as number {}", event.request_unique_identifier(), event.number());
    }
    for event in &response.unprocessed_customer_events_set {
        println!("{}: {} {}", event.request_unique_identifier(), event.error_code(), event.error_description());
        if event.retryable() {
            println!("the same event may be processed later");
        }
    }
}
