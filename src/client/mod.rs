//! A client of the service, over gRPC: it logs in and renews its token, waits as long as a call may take, tries again
//! what may succeed later, and loads events of any number.
//!
//! ```no_run
//! use referral_events::{
//!     client::{BulkOptions, Client, Error, LoadOptions, Login, Settings, Tokens},
//!     contract::ReferralCustomerEvent,
//!     secret::Secret,
//! };
//!
//! async fn load(events: Vec<ReferralCustomerEvent>) -> Result<(), Error> {
//!     let tokens = Tokens::Login(Login {
//!         username: "carla".to_owned(),
//!         password: Secret::new("…"),
//!         organisation: "acme".to_owned(),
//!         unit: None,
//!     });
//!     let client = Client::new("https://referral-events.example.com:50051", tokens, Settings::default())?;
//!
//!     // A call of up to 1000 events. It is made under an idempotency key, so that to try it again is safe.
//!     let answer = client.bulk_create(events[..10].to_vec(), BulkOptions::default()).await?;
//!     for refused in answer.response.unprocessed_customer_events_set {
//!         eprintln!("{}: {}", refused.error_code(), refused.error_description());
//!     }
//!
//!     // Any number of events, in chunks. After a break, or another start under the same id, it goes on where it was.
//!     let mut load = client.load("referrals-of-june", LoadOptions::default()).await?;
//!     let answered = usize::try_from(load.next_offset()).unwrap_or(usize::MAX).min(events.len());
//!     for chunk in events[answered..].chunks(1000) {
//!         if let Some(answer) = load.send(chunk.to_vec()).await? {
//!             println!("{} events are answered", answer.next_offset());
//!         }
//!     }
//!     while let Some(answer) = load.next().await? {
//!         println!("{} events are answered", answer.next_offset());
//!     }
//!     Ok(())
//! }
//! ```

mod attempts;
mod calls;
mod connection;
mod error;
mod load;
mod tokens;

pub use attempts::{OnRetry, Retry, Settings};
pub use calls::{BulkAnswer, BulkOptions};
pub use connection::Client;
pub use error::Error;
pub use load::{Load, LoadOptions};
pub use tokens::{Login, Tokens};
