//! The calls of the directory.

use serde_json::{Value, json};

use super::{Answer, Server, Transport, method};

impl Server {
    /// What a method that shows one thing answers, which REST has in `data` and gRPC in a field of the response.
    pub async fn show(&self, name: &str, mut request: Value) -> Answer {
        self.add_token(&mut request);
        let mut answer = self.call(&method(name), request, &[]).await;
        if self.transport == Transport::Grpc && answer.code == "OK" {
            let fields = answer.data.as_object_mut().expect("an object");
            assert_eq!(fields.len(), 1, "{fields:?}");
            answer.data = fields.values_mut().next().expect("a field").take();
        }
        answer
    }

    /// A page of a list.
    pub async fn page(&self, name: &str, mut request: Value) -> Answer {
        self.add_token(&mut request);
        self.call(&method(name), request, &[]).await
    }

    /// All rows of a list, page by page; and how many pages there were.
    pub async fn pages(&self, name: &str, request: &Value) -> (Vec<Value>, usize) {
        let (mut request, mut all, mut pages) = (request.clone(), Vec::new(), 0);
        loop {
            let page = self.page(name, request.clone()).await;
            all.extend(rows(&page));
            pages += 1;
            match page.data.get("next_page_token") {
                Some(token) => request["page_token"] = token.clone(),
                None => return (all, pages),
            }
        }
    }

    /// Calls as adam of acme, an administrator.
    pub async fn administer(&self, name: &str, mut request: Value) -> Answer {
        let token = self.login("acme", "adam").await;
        request["token"] = json!(token);
        self.call(&method(name), request, &[]).await
    }

    fn add_token(&self, request: &mut Value) {
        if request.get("token").is_none() {
            request["token"] = json!(self.token);
        }
    }
}

/// The rows of a page, whatever its set is called.
#[track_caller]
pub fn rows(page: &Answer) -> Vec<Value> {
    assert_eq!(page.code, "OK", "{page:?}");
    let sets = page.data.as_object().expect("an object").values().filter_map(Value::as_array);
    sets.flatten().cloned().collect()
}
