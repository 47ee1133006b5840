//! Random calls, answered as the model answers them.

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use referral_events::{
    auth::{self, password},
    directory,
    id::OrganisationId,
    secret::{CodeHasher, Secret},
    storage::users,
};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::support::{
    Answer, Server, Setup,
    model::Model,
    small_world::{self, Name, Sent, cut, events},
    tests,
};

tests! {
    Both:
        calls_are_answered_as_the_model_says,
        one_call_or_several_give_the_same_outcomes,
        a_rehearsal_is_answered_as_the_call_that_follows;
}

const CASES: u32 = 32;
/// Each case has an organisation of its own.
const WORLD: usize = 0;

/// An organisation of a case's own, with a world in it.
struct Organisation<'a> {
    server: &'a Server,
    id: OrganisationId,
    token: String,
    /// The events that were created, in order.
    created: Vec<Name>,
}

impl<'a> Organisation<'a> {
    async fn new(server: &'a Server) -> Self {
        let name = uuid::Uuid::new_v4().to_string();
        let id = users::add_organisation(&server.database, &name, chrono::Utc::now()).await;
        let id = id.expect("an organisation");
        let hasher = CodeHasher::new(&server.keys.hash);
        for (kind, rows) in small_world::directory(WORLD..WORLD + 1) {
            let rows = std::io::Cursor::new(rows);
            let summary = directory::import(&server.database, &hasher, id, kind, rows, |_| {}).await;
            assert_eq!(summary.expect("an import").rejected, 0);
        }
        let hash = password::hash(Secret::new("anna")).await.expect("a hash");
        let user = auth::new_user(id, "anna", hash, "caller".to_owned(), None);
        users::add_user(server.database.writer(), user).await.expect("a user");
        let token = server.login(&name, "anna").await;
        Self { server, id, token, created: Vec::new() }
    }

    /// Sends a call, or its rehearsal.
    async fn send(&self, events: &[Sent], validate_only: bool) -> Answer {
        let sent: Vec<Value> = (0..).zip(events).map(|(position, event)| event.json(position, WORLD)).collect();
        let request =
            json!({"token": self.token, "referral_customer_events_set": sent, "validate_only": validate_only});
        self.server.bulk(request).await
    }

    /// Sends a call and reads its outcomes.
    async fn call(&mut self, events: &[Sent]) -> Result<Vec<Result<usize, String>>, TestCaseError> {
        let answer = self.send(events, false).await;
        prop_assert_eq!(&answer.code, "OK");
        let outcomes = small_world::outcomes(events, &answer).map_err(TestCaseError::fail)?;
        Ok(small_world::positions(&mut self.created, &outcomes))
    }

    /// The stored rows are what the model has, in its order, under the ids and numbers that were answered.
    async fn check_rows(&self, model: &Model) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.created.len(), model.created.len());
        let stored = small_world::stored(&self.server.database, self.id).await;
        prop_assert_eq!(stored, small_world::rows(&model.created, &self.created, WORLD));
        Ok(())
    }
}

/// Runs a property on random values; on one server, where the values' organisations keep apart.
fn check<S: Strategy>(values: &S, property: impl AsyncFn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases: CASES, max_shrink_iters: 300, failure_persistence: None, ..Config::default() };
    tokio::task::block_in_place(|| {
        let result = TestRunner::new(config).run(values, |value| Handle::current().block_on(property(value)));
        result.unwrap_or_else(|failure| panic!("{failure}"));
    });
}

async fn calls_are_answered_as_the_model_says(setup: Setup) {
    let server = Server::start(setup).await;
    check(&(events(1..60), vec(1..20usize, 1..4)), async |(events, sizes)| {
        let mut organisation = Organisation::new(&server).await;
        let mut model = Model::default();
        for call in cut(&events, &sizes) {
            let outcomes = organisation.call(call).await?;
            prop_assert_eq!(outcomes, model.call(call));
        }
        organisation.check_rows(&model).await
    });
}

async fn a_rehearsal_is_answered_as_the_call_that_follows(setup: Setup) {
    let server = Server::start(setup).await;
    check(&(events(1..60), vec(1..20usize, 1..4)), async |(events, sizes)| {
        let organisation = Organisation::new(&server).await;
        for call in cut(&events, &sizes) {
            let before = small_world::stored(&server.database, organisation.id).await;
            let rehearsed = organisation.send(call, true).await;
            prop_assert_eq!(small_world::stored(&server.database, organisation.id).await, before);
            let called = organisation.send(call, false).await;
            prop_assert_eq!(rehearsed.failures(), called.failures());
            prop_assert_eq!(rehearsed.processed_identifiers(), called.processed_identifiers());
            // What was there before has its number in the rehearsal too.
            for (rehearsed, called) in rehearsed.processed().iter().zip(called.processed()) {
                prop_assert!(rehearsed.get("number").is_none_or(|number| *number == called["number"]));
            }
        }
        Ok(())
    });
}

async fn one_call_or_several_give_the_same_outcomes(setup: Setup) {
    let server = Server::start(setup).await;
    let events = events(2..40).prop_map(|mut events| {
        // Identifiers are unique within a call, so sharing them is no matter of the events alone.
        events.iter_mut().for_each(|event| event.shares_identifier = false);
        events
    });
    check(&(events, vec(1..8usize, 1..6)), async |(events, sizes)| {
        let mut model = Model::default();
        let expected = model.call(&events);
        let (mut whole, mut split) = (Organisation::new(&server).await, Organisation::new(&server).await);
        prop_assert_eq!(&whole.call(&events).await?, &expected);
        whole.check_rows(&model).await?;

        let mut outcomes = Vec::new();
        for call in cut(&events, &sizes) {
            outcomes.extend(split.call(call).await?);
        }
        prop_assert_eq!(&outcomes, &expected);
        split.check_rows(&model).await?;

        // Once more, all in one: nothing is created, and the retries are answered as before.
        let again = whole.call(&events).await?;
        prop_assert_eq!(again, model.call(&events));
        whole.check_rows(&model).await
    });
}
