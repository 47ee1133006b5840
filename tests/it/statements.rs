//! How often a call asks the database.

use std::{collections::BTreeSet, fmt::Write};

use referral_events::{config::Config, directory::DirectoryKind};
use serde_json::{Value, json};

use crate::support::{Engine, Server, Setup, StatementLog, tests};

tests! {
    Both:
        the_number_of_statements_does_not_depend_on_the_number_of_events,
        calls_of_one_kind_send_the_same_statements,
        a_circle_is_looked_for_where_one_is_possible,
        a_call_of_which_nothing_is_created_writes_nothing,
        nothing_is_inserted_in_a_way_that_citus_refuses;
}

/// Of the last ten, each refers others; no test is about more than two thousand of those before.
const ACCOUNTS: usize = 2100;

/// A server, and what its database tells of the statements that it gets. SQLite, which tells nothing, is part of the
/// server itself: what is observed there is what the server gives to it.
struct Stage {
    server: Server,
    log: Option<StatementLog>,
}

impl Stage {
    /// On PostgreSQL calls of one organisation take turns, by a statement that is sent with the one before it: to the
    /// database both are one.
    fn turn(&self) -> usize {
        usize::from(!self.server.database.is_sqlite() && self.log.is_none())
    }

    /// The beginning, the turn, and the numbers with who has referred, which are sent with both.
    fn beginning(&self) -> usize {
        if self.log.is_some() { 1 } else { 2 + self.turn() }
    }

    /// The events and the end: sent at once to PostgreSQL where the events are few.
    fn end(&self, events: usize) -> usize {
        if events <= 4 && !self.server.database.is_sqlite() { 1 } else { 2 }
    }

    /// The statements since the last time.
    fn take(&self) -> Vec<String> {
        let observed = self.server.take_statements();
        self.log.as_ref().map_or(observed, StatementLog::take)
    }
}

async fn start(setup: Setup) -> Stage {
    let mut files = setup.engine.create_world();
    let mut log = None;
    if setup.engine == Engine::Postgres
        && let Some((of_database, url)) = StatementLog::of(&files.url).await
    {
        log = Some(of_database);
        files.url = url;
    }
    let server = Server::start_over(setup, files, Config::default()).await;
    let mut accounts = String::from("number\n");
    let mut participants = String::from("number,accounts_receivable_number\n");
    let mut tokens = String::from("identifier,authentication_code,pass_code,rewards_participant_number\n");
    for n in 0..ACCOUNTS {
        writeln!(accounts, "A{n:04}").expect("a line");
        writeln!(participants, "P{n:04},A{n:04}").expect("a line");
        writeln!(tokens, "card-{n:04},code-{n:04},{n:04},P{n:04}").expect("a line");
    }
    server.import("acme", DirectoryKind::AccountsReceivable, accounts).await;
    server.import("acme", DirectoryKind::RewardsParticipants, participants).await;
    server.import("acme", DirectoryKind::AccessTokens, tokens).await;
    Stage { server, log }
}

/// A good event of account `n`, referred by one of a few; all ways to name things take turns.
fn event_of(n: usize) -> Value {
    let referrer = format!("{:04}", ACCOUNTS - 10 + n % 10);
    let mut event = json!({
        "request_unique_identifier": n.to_string(),
        "performed_on": "2016-06-22T15:00:00",
        "external_system": "till",
        "external_system_reference_number": format!("R{n}"),
    });
    let (attribute, place) = [
        ("performed_by_unit_identifier", json!({"name": "Admin Unit"})),
        ("performed_by_unit_identifier", json!({"alternative_code": "U2"})),
        ("performed_by_business_unit_identifier", json!({"code": "BU1"})),
        ("performed_by_tap_identifier", json!({"id": "TAP2-ID"})),
        ("performed_by_device_identifier", json!({"code": "DEV1"})),
    ][n % 5]
        .clone();
    event[attribute] = place;
    if n.is_multiple_of(3) {
        event["classification_identifier"] = json!({"name": "Friend"});
    }
    let (attribute, party) = [
        ("referred_accounts_receivable_identifier", json!({"number": format!("A{n:04}")})),
        ("referred_rewards_participant_identifier", json!({"number": format!("P{n:04}")})),
        (
            "referred_rewards_participant_identifier",
            json!({"access_token_identifier": {"authentication_code": format!("code-{n:04}")}}),
        ),
        (
            "referred_accounts_receivable_identifier",
            json!({"access_token_identifier": {"identifier": format!("card-{n:04}"), "pass_code": format!("{n:04}")}}),
        ),
    ][n % 4]
        .clone();
    event[attribute] = party;
    event["referred_by_rewards_participant_identifier"] = json!({"number": format!("P{referrer}")});
    event
}

/// The statements of one call, all of whose events are created.
async fn statements_of(stage: &Stage, events: Vec<Value>) -> Vec<String> {
    stage.take();
    let answer = stage.server.send(json!(events)).await;
    assert_eq!(answer.failures(), []);
    stage.take()
}

async fn the_number_of_statements_does_not_depend_on_the_number_of_events(setup: Setup) {
    let stage = start(setup).await;
    // Each call has codes.
    let mut first = 2;
    for events in [1, 10, 1000, 2, 1000] {
        let statements = statements_of(&stage, (first..first + events).map(event_of).collect()).await;
        first += events;
        // Who calls; whether it has guessed at codes; the places; the parties of both sides, by two statements where they
        // are many; the beginning with the numbers; the events; the end.
        assert_eq!(statements.len(), 4 + usize::from(events == 1000) + stage.beginning() + stage.end(events));
    }
    // Without codes, nothing is asked about guesses.
    assert_eq!(statements_of(&stage, vec![event_of(0), event_of(1)]).await.len(), 3 + stage.beginning() + stage.end(2));

    // Repeats are found out by the insert; then who has referred, what is there already and the references are looked up.
    stage.take();
    let answer = stage.server.send(json!((0..1000).map(event_of).collect::<Vec<_>>())).await;
    assert_eq!((answer.processed().len(), answer.failures()), (1000, vec![]));
    let statements = stage.take();
    // The attempt that failed is rolled back before the next begins.
    assert_eq!(statements.len(), 6 + stage.beginning() + 1 + 5 + stage.turn(), "{statements:#?}");
    let rolled_back = statements.iter().position(|sql| sql == "ROLLBACK");
    let begun_again = statements.iter().rposition(|sql| sql.starts_with("BEGIN"));
    assert!(rolled_back.is_some() && rolled_back < begun_again, "{statements:#?}");
    assert_eq!(stage.server.stored_events().await.len(), first);
}

async fn calls_of_one_kind_send_the_same_statements(setup: Setup) {
    let stage = start(setup).await;
    // A statement of another text is prepared anew, and pushes others out of the connection's cache.
    let mut texts = BTreeSet::new();
    for call in 0..6 {
        let mut events: Vec<Value> = (call * 20..call * 20 + 20).map(event_of).collect();
        if call % 2 == 1 {
            events.reverse();
        }
        texts.extend(statements_of(&stage, events).await);
    }
    assert_eq!(texts.len(), 4 + stage.beginning() + stage.end(20));
}

async fn a_circle_is_looked_for_where_one_is_possible(setup: Setup) {
    let stage = start(setup).await;
    let mut first = 0;
    for events in [4, 10, 900] {
        // The account after the last of a chain has referred, and so is left out.
        let clean = statements_of(&stage, (first..first + events).map(event_of).collect()).await;
        // Within the call, where the first event's referrer is the second's referred party and so on, nothing is asked.
        let mut chained: Vec<Value> = (first + events..first + 2 * events).map(event_of).collect();
        for (n, event) in (first + events..).zip(&mut chained) {
            event["referred_by_rewards_participant_identifier"] = json!({"number": format!("P{:04}", n + 1)});
        }
        let chained = statements_of(&stage, chained).await;
        assert_eq!(chained.len(), clean.len());
        first += 2 * events + 1;
    }
    // Through the database, where the referred party has referred others.
    let mut event = event_of(first);
    event["request_unique_identifier"] = json!("root");
    event.as_object_mut().expect("an object").retain(|name, _| !name.starts_with("referred_"));
    event["referred_rewards_participant_identifier"] = json!({"number": format!("P{:04}", ACCOUNTS - 10)});
    event["referred_by_rewards_participant_identifier"] = json!({"number": format!("P{:04}", ACCOUNTS - 11)});
    let statements = statements_of(&stage, vec![event]).await;
    // The way up from the referrer, and nothing else.
    assert_eq!(statements.len(), 3 + stage.beginning() + 1 + stage.end(1));
}

async fn a_call_of_which_nothing_is_created_writes_nothing(setup: Setup) {
    let stage = start(setup).await;
    for events in [1, 1000] {
        let mut refused: Vec<Value> = (0..events).map(event_of).collect();
        for event in &mut refused {
            event["performed_by_unit_identifier"] = json!({"name": "Nowhere"});
        }
        stage.take();
        let answer = stage.server.send(json!(refused)).await;
        assert_eq!(answer.failures().len(), events);
        // Who calls; whether it has guessed, where there are codes; the places; the parties of both sides.
        let statements = stage.take();
        assert_eq!(statements.len(), if events == 1 { 3 } else { 5 });

        // Nothing is asked for events of which it is known without asking that they are bad.
        for event in &mut refused {
            event["performed_on"] = json!("9000-01-01T00:00:00");
        }
        let answer = stage.server.send(json!(refused)).await;
        assert_eq!(answer.failures().len(), events);
        assert_eq!(stage.take().len(), 1);
    }
    assert!(stage.server.stored_events().await.is_empty());
}

async fn nothing_is_inserted_in_a_way_that_citus_refuses(setup: Setup) {
    let stage = start(setup).await;
    let mut statements = stage.take();
    statements.extend(statements_of(&stage, (0..10).map(event_of).collect()).await);
    let inserts: Vec<&String> = statements.iter().filter(|statement| statement.starts_with("INSERT")).collect();
    assert!(inserts.len() > 3, "{statements:#?}");
    for insert in inserts {
        // INSERT … SELECT it runs, and subqueries in an UPDATE.
        assert!(!insert.contains("(SELECT"), "{insert}");
    }
}
