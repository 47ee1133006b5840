//! The calls that look back.

use serde_json::{Value, json};

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
