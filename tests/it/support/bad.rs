//! Events that are refused, each among good ones that are not.

use referral_events::directory::DirectoryKind;
use serde_json::{Value, json};

use super::{Server, Transport, event};

/// An event that is refused.
pub struct Bad {
    /// Its JSON, which need not be valid beyond where it ends.
    pub event: String,
    /// The error code, without the `Exception`.
    pub code: &'static str,
    /// What the error's description names.
    pub names: String,
}

impl Bad {
    pub fn new(event: impl ToString, code: &'static str, names: impl Into<String>) -> Self {
        Self { event: event.to_string(), code, names: names.into() }
    }
}

/// A good event but for the attribute at `path`.
pub fn with(identifier: &str, path: &str, value: Value) -> Value {
    let mut event = event(identifier, "01", "02");
    let mut place = &mut event;
    for name in path.split('.') {
        place = &mut place[name];
    }
    *place = value;
    event
}

impl Server {
    /// Sends the bad events in one call, each between two good ones: each is refused as it says, under the identifier
    /// that it has, as far as that is not too long, and all good ones are created.
    pub async fn assert_bad(&self, bad: &[Bad]) {
        assert!(!bad.is_empty());
        let stored = self.stored_events().await.len();
        let parties: Vec<String> = (0..=bad.len()).map(|n| (1000 + stored + n).to_string()).collect();
        let rows: String = parties.iter().map(|digits| format!("ACR{digits}\n")).collect();
        self.import("acme", DirectoryKind::AccountsReceivable, format!("number\n{rows}")).await;
        let rows: String = parties.iter().map(|digits| format!("RP{digits},ACR{digits}\n")).collect();
        let rows = format!("number,accounts_receivable_number\n{rows}");
        self.import("acme", DirectoryKind::RewardsParticipants, rows).await;

        let good: Vec<String> = parties.iter().map(|digits| format!("good {digits}")).collect();
        let mut events = Vec::new();
        for (n, digits) in parties.iter().enumerate() {
            events.push(event(&good[n], digits, "60").to_string());
            events.extend(bad.get(n).map(|bad| bad.event.clone()));
        }
        let events = events.join(",");
        let answer = match self.transport {
            Transport::Rest => {
                let body = format!(r#"{{"token":"{}","referral_customer_events_set":[{events}]}}"#, self.token);
                let (status, answer) = self.post_text("customer_events/bulk/referrals/create", body).await;
                assert_eq!(status, 200, "{answer:?}");
                answer
            }
            Transport::Grpc => self.send(serde_json::from_str(&format!("[{events}]")).expect("JSON")).await,
        };

        assert_eq!(answer.processed_identifiers(), good);
        let refused = answer.unprocessed();
        assert_eq!(refused.len(), bad.len(), "{refused:#?}");
        for (bad, refused) in bad.iter().zip(&refused) {
            let shown: String = bad.event.chars().take(400).collect();
            assert_eq!(refused["error_code"], format!("{}Exception", bad.code), "{refused} for {shown}");
            let description = refused["error_description"].as_str().expect("a description");
            let has_the_form = description.starts_with("Error:")
                && description.contains(". - Description:")
                && description.ends_with('.');
            assert!(has_the_form && description.contains(&bad.names), "{description} for {shown}");
            if let Ok(event) = serde_json::from_str::<Value>(&bad.event)
                && let Some(identifier) = event["request_unique_identifier"].as_str()
            {
                let identifier: String = identifier.chars().take(255).collect();
                assert_eq!(refused.get("request_unique_identifier"), Some(&json!(identifier)), "{shown}");
            }
        }
        assert_eq!(self.stored_events().await.len(), stored + good.len());
    }

    /// Asserts that good events are still created.
    pub async fn assert_serving(&self) {
        let answer = self.bulk(json!({"token": self.token, "referral_customer_events_set": [
            {"request_unique_identifier": "still", "external_system": "still", "external_system_reference_number": "1",
             "performed_by_unit_identifier": {"name": "Admin Unit"}, "performed_on": "2016-06-22T15:00:00",
             "referred_rewards_participant_identifier": {"number": "RP59"},
             "referred_by_rewards_participant_identifier": {"number": "RP60"}},
        ]}));
        answer.await.assert_outcome(&["still"], &[]);
    }
}
