//! Imports by a stream of rows.

use std::{
    collections::{BTreeMap, HashMap},
    io::Cursor,
    sync::Arc,
};

use futures_util::{StreamExt, stream};
use proptest::{collection::vec, option, prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};
use referral_events::{
    contract::{
        DirectoryRow, ImportDirectoryRequest, ImportDirectoryResponse, directory_service_client::DirectoryServiceClient,
    },
    directory::{self, DirectoryKind, ImportSummary},
    secret::CodeHasher,
    storage::{people::list_audit, users},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{
    Server, Setup, event,
    innocent::{Innocent, limits, start},
    tests, until,
};

tests! {
    Grpc:
        rows_of_a_stream_become_what_the_same_rows_of_a_file_become,
        the_last_of_rows_that_name_the_same_holds,
        a_stream_that_is_cut_keeps_what_was_stored_and_can_be_sent_again,
        each_message_wants_a_valid_token,
        what_cannot_be_meant_ends_the_stream_and_keeps_what_was_stored,
        a_rehearsal_writes_nothing,
        codes_that_are_imported_identify_and_are_told_nowhere,
        an_import_leaves_one_entry_in_the_audit,
        rejected_rows_are_told_up_to_a_thousand,
        a_stream_of_many_messages_is_imported_whole,
        calls_of_the_same_organisation_go_on_beside_an_import;
    Sqlite:
        an_import_of_which_nothing_more_comes_is_ended;
}

type Values = BTreeMap<&'static str, String>;

fn row(values: &Values) -> DirectoryRow {
    let values: HashMap<String, String> =
        values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    DirectoryRow { values }
}

fn rows(rows: &[Values]) -> ImportDirectoryRequest {
    ImportDirectoryRequest { rows: rows.iter().map(row).collect(), ..ImportDirectoryRequest::default() }
}

fn first(token: &str, kind: &str, of: &[Values]) -> ImportDirectoryRequest {
    let (token, kind) = (Some(token.to_owned()), Some(kind.to_owned()));
    ImportDirectoryRequest { token, kind, ..rows(of) }
}

fn accounts(numbers: std::ops::Range<usize>) -> Vec<Values> {
    numbers.map(|n| BTreeMap::from([("number", format!("N{n:05}"))])).collect()
}

impl Server {
    async fn import_by_stream(&self, messages: Vec<ImportDirectoryRequest>) -> Result<ImportDirectoryResponse, Status> {
        let mut client = DirectoryServiceClient::new(self.channel());
        client.import_directory(stream::iter(messages)).await.map(|answer| answer.into_inner())
    }

    /// Imports rows in messages of so many rows each, as adam of acme.
    async fn stream(&self, kind: &str, all: &[Values], size: usize) -> ImportDirectoryResponse {
        let token = self.login("acme", "adam").await;
        let mut parts = all.chunks(size);
        let mut messages = vec![first(&token, kind, parts.next().unwrap_or_default())];
        messages.extend(parts.map(rows));
        self.import_by_stream(messages).await.expect("an answer")
    }

    async fn import_file(&self, organisation: &str, kind: &str, text: String) -> ImportSummary {
        let organisation = users::find_organisation(self.database.reader(), organisation).await.expect("a look-up");
        let id = organisation.expect("an organisation").id;
        let (hasher, kind) = (CodeHasher::new(&self.keys.hash), kind.parse().expect("a kind"));
        directory::import(&self.database, &hasher, id, kind, Cursor::new(text), |_| {}).await.expect("an import")
    }
}

#[track_caller]
fn assert_refused(answer: Result<ImportDirectoryResponse, Status>, code: &str) -> Status {
    let status = answer.expect_err("a refusal");
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    assert_eq!(reason, format!("{code}Exception"), "{status:?}");
    status
}

fn counts(answer: &ImportDirectoryResponse) -> [u32; 5] {
    [answer.read, answer.inserted, answer.updated, answer.unchanged, answer.rejected]
        .map(|count| count.expect("a count"))
}

/// Rows of units that collide, refer to what is not there, and have other faults.
fn units() -> impl Strategy<Value = Vec<Values>> {
    let text =
        |values: &[&str]| option::weighted(0.8, select(values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>()));
    let unit = (
        option::weighted(0.2, select(vec!["I1".to_owned(), "I2".to_owned(), "x".repeat(65)])),
        text(&["V1", "V2", "V3", "V4", "V5", "", " "]),
        text(&["One", "Two", "Three", "", "a\u{1}b"]),
        text(&["B1", "B2", "B9", ""]),
        option::weighted(0.05, Just("7".to_owned())),
    );
    let unit = unit.prop_map(|(id, code, name, business_unit, unknown)| {
        let values = [
            ("id", id),
            ("alternative_code", code),
            ("name", name),
            ("business_unit_code", business_unit),
            ("shoe_size", unknown),
        ];
        values.into_iter().filter_map(|(column, value)| Some((column, value?))).collect::<Values>()
    });
    vec(unit, 60)
}

async fn rows_of_a_stream_become_what_the_same_rows_of_a_file_become(setup: Setup) {
    let mut runner = TestRunner::deterministic();
    let server = Server::start(setup).await;
    for organisation in ["acme", "other"] {
        server.import_file(organisation, "business_units", "code\nB1\nB2\n".to_owned()).await;
    }
    let oscar = server.login("other", "oscar").await;
    for size in [1, 7, 1000] {
        let all = units().new_tree(&mut runner).expect("rows").current();
        let streamed = server.stream("units", &all, size).await;
        let lines: Vec<String> = all.iter().map(|values| json!(values).to_string()).collect();
        let filed = server.import_file("other", "units", lines.join("\n")).await;
        let expected = [filed.read, filed.inserted, filed.updated, filed.unchanged, filed.rejected];
        assert_eq!(counts(&streamed).map(u64::from), expected, "{all:?}");
        assert!(filed.rejected > 5 && filed.inserted + filed.updated > 5, "{expected:?}");
        let told = streamed.rejected_rows_set.iter().map(|row| {
            let index = u64::from(row.index.expect("an index"));
            let code = row.error_code.clone().expect("a code");
            (index + 1, code, row.column.clone(), row.error_description.clone().expect("a reason"))
        });
        let expected = filed.rejections.iter().map(|rejection| {
            let column = rejection.cause.column.map(str::to_owned);
            (rejection.line, rejection.cause.code.name().to_owned(), column, rejection.reason.clone())
        });
        // Ids that are given by chance differ.
        let plain = |reason: &str| {
            let ends = ["with the id ", "of the one with "].map(|before| reason.find(before));
            reason[..ends.into_iter().flatten().min().unwrap_or(reason.len())].to_owned()
        };
        let told: Vec<_> = told.map(|(n, code, column, reason)| (n, code, column, plain(&reason))).collect();
        let expected: Vec<_> = expected.map(|(n, code, column, reason)| (n, code, column, plain(&reason))).collect();
        assert_eq!(told, expected);
        let stored = async |token: &str| {
            let request = json!({"token": token, "fields_set": ["name", "alternative_code", "business_unit_code"]});
            let (all, _) = server.pages("ListUnits", &request).await;
            let own = |unit: &Value| unit["alternative_code"].as_str().is_some_and(|code| code.starts_with('V'));
            all.into_iter().filter(own).collect::<Vec<Value>>()
        };
        let (by_stream, by_file) = (stored(&server.token).await, stored(&oscar).await);
        assert_eq!(by_stream, by_file);
        assert!(!by_stream.is_empty());
    }
}

async fn the_last_of_rows_that_name_the_same_holds(setup: Setup) {
    let server = Server::start(setup).await;
    let states = ["ACTIVE", "SUSPENDED", "TERMINATED"];
    let drawn = vec((0..20usize, select(states.to_vec())), 300).new_tree(&mut TestRunner::deterministic());
    let drawn = drawn.expect("rows").current();
    let model: BTreeMap<String, &str> = drawn.iter().map(|(n, state)| (format!("N{n:02}"), *state)).collect();
    let all: Vec<Values> = drawn
        .iter()
        .map(|(n, state)| BTreeMap::from([("number", format!("N{n:02}")), ("state", (*state).to_owned())]))
        .collect();
    let answer = server.stream("accounts_receivable", &all, 13).await;
    let [read, inserted, updated, unchanged, rejected] = counts(&answer);
    assert_eq!((read, inserted, rejected), (300, model.len() as u32, 0));
    assert_eq!(updated + unchanged, read - inserted);
    let (stored, _) = server.pages("ListAccountsReceivable", &json!({"number_of_results": 1000})).await;
    let stored: BTreeMap<String, &str> = stored
        .iter()
        .filter_map(|row| Some((row["number"].as_str()?.to_owned(), row["state"].as_str()?)))
        .filter(|(number, _)| number.starts_with('N'))
        .collect();
    assert_eq!(stored, model);
}

async fn count_of_new(server: &Server) -> usize {
    let (all, _) = server.pages("ListAccountsReceivable", &json!({"number_of_results": 1000})).await;
    all.iter().filter(|row| row["number"].as_str().is_some_and(|number| number.starts_with('N'))).count()
}

async fn a_stream_that_is_cut_keeps_what_was_stored_and_can_be_sent_again(setup: Setup) {
    let server = Server::start(setup).await;
    let token = server.login("acme", "adam").await;
    let (sender, receiver) = mpsc::channel(1);
    let messages = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    let mut client = DirectoryServiceClient::new(server.channel());
    let call = tokio::spawn(async move { client.import_directory(Box::pin(messages)).await });
    sender.send(first(&token, "accounts_receivable", &accounts(0..50))).await.expect("a reader");
    sender.send(rows(&accounts(50..100))).await.expect("a reader");
    until("the rows are in", async || count_of_new(&server).await == 100).await;
    call.abort();
    drop(sender);
    assert!(call.await.is_err());
    assert_eq!(count_of_new(&server).await, 100);
    let again = server.stream("accounts_receivable", &accounts(0..150), 40).await;
    assert_eq!(counts(&again), [150, 50, 0, 100, 0]);
}

async fn each_message_wants_a_valid_token(setup: Setup) {
    let server = Server::start(setup).await;
    let token = server.login("acme", "adam").await;
    let (sender, receiver) = mpsc::channel(1);
    let messages = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    let mut client = DirectoryServiceClient::new(server.channel());
    let call = tokio::spawn(async move { client.import_directory(Box::pin(messages)).await });
    sender.send(first(&token, "accounts_receivable", &accounts(0..10))).await.expect("a reader");
    until("the rows are in", async || count_of_new(&server).await == 10).await;
    assert_eq!(server.release_token(json!({"token": token})).await.code, "OK");
    sender.send(rows(&accounts(10..20))).await.expect("a reader");
    let answer = call.await.expect("no panic").map(|answer| answer.into_inner());
    assert_refused(answer, "InvalidToken");
    assert_eq!(count_of_new(&server).await, 10);
    for user in ["carla", "rita"] {
        let token = server.login("acme", user).await;
        assert_refused(server.import_by_stream(vec![first(&token, "units", &[])]).await, "AccessDenied");
    }
    assert_refused(server.import_by_stream(vec![first("nonsense", "units", &[])]).await, "InvalidToken");
    assert_refused(server.import_by_stream(vec![rows(&accounts(0..1))]).await, "InvalidToken");
    assert_refused(server.import_by_stream(vec![]).await, "InvalidToken");
}

async fn what_cannot_be_meant_ends_the_stream_and_keeps_what_was_stored(setup: Setup) {
    let server = Server::start(setup).await;
    let token = server.login("acme", "adam").await;
    let good = |kind: &str| first(&token, kind, &accounts(0..3));
    let without = ImportDirectoryRequest { kind: None, ..good("") };
    assert_refused(server.import_by_stream(vec![without]).await, "MissingMandatoryAttribute");
    let status = assert_refused(server.import_by_stream(vec![good("acounts")]).await, "InvalidAttributeValue");
    assert!(status.message().contains("accounts_receivable"), "{status:?}");
    assert_eq!(count_of_new(&server).await, 0);
    let kind = "accounts_receivable";
    let (too_many, large) = (rows(&accounts(0..1001)), BTreeMap::from([("number", "x".repeat(1024 * 1024))]));
    let with_token = ImportDirectoryRequest { token: Some(token.clone()), ..rows(&[]) };
    let with_rehearsal = ImportDirectoryRequest { validate_only: Some(false), ..rows(&[]) };
    for (second, code, field) in [
        (good(kind), "MalformedRequest", "token"),
        (with_token, "MalformedRequest", "token"),
        (with_rehearsal, "MalformedRequest", "validate_only"),
        (too_many, "MalformedRequest", "1001"),
        (rows(&[large]), "RequestTooLarge", "1048576"),
    ] {
        let status = assert_refused(server.import_by_stream(vec![good(kind), second]).await, code);
        assert!(status.message().contains(field), "{status:?}");
    }
    assert_eq!(count_of_new(&server).await, 3);
    // What is no message at all.
    let path = "/referral.v1.DirectoryService/ImportDirectory";
    let status = server.call_with_bytes(path, vec![0x0f], &[]).await.expect_err("a refusal");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    // A row that is none is refused by itself: its text is not UTF-8.
    let bytes = [vec![0x12, 0x05], b"units".to_vec(), vec![0x22, 0x05, 0x0a, 0x03, 0x0a, 0x01, 0xff]].concat();
    let bearer = format!("Bearer {token}");
    let answer = server.call_with_bytes(path, bytes, &[("authorization", &bearer)]).await.expect("an answer");
    let answer: ImportDirectoryResponse = prost::Message::decode(answer.as_slice()).expect("an answer");
    assert_eq!(counts(&answer), [1, 0, 0, 0, 1]);
    assert_eq!(answer.rejected_rows_set[0].error_code.as_deref(), Some("WRONG_ENCODING"));
}

async fn a_rehearsal_writes_nothing(setup: Setup) {
    let server = Server::start(setup).await;
    let token = server.login("acme", "adam").await;
    let mut before = Vec::new();
    for table in ["accounts_receivable", "counters", "audit_entries"] {
        before.push(server.dump(table).await);
    }
    let mut rehearsal = first(&token, "accounts_receivable", &accounts(0..20));
    rehearsal.validate_only = Some(true);
    let bad = vec![BTreeMap::from([("number", "N1".to_owned()), ("state", "OPEN".to_owned())])];
    let answer = server.import_by_stream(vec![rehearsal, rows(&bad), rows(&accounts(0..20))]).await.expect("an answer");
    // Each message is rehearsed by itself.
    assert_eq!(counts(&answer), [41, 40, 0, 0, 1]);
    assert_eq!(answer.rejected_rows_set[0].index, Some(20));
    for (table, before) in ["accounts_receivable", "counters", "audit_entries"].into_iter().zip(before) {
        assert_eq!(server.dump(table).await, before, "{table}");
    }
}

async fn codes_that_are_imported_identify_and_are_told_nowhere(setup: Setup) {
    let server = Server::start(setup).await;
    let token = |identifier: &str, code: &str| {
        BTreeMap::from([
            ("identifier", identifier.to_owned()),
            ("authentication_code", code.to_owned()),
            ("pass_code", "the pass code".to_owned()),
            ("rewards_participant_number", "RP30".to_owned()),
        ])
    };
    let all = [token("new", "the code"), token("newer", "the code"), token("newest", &"the code".repeat(40))];
    let answer = server.stream("access_tokens", &all, 10).await;
    assert_eq!(counts(&answer), [3, 1, 0, 0, 2]);
    let mut named = event("1", "30", "02");
    named["referred_rewards_participant_identifier"] =
        json!({"access_token_identifier": {"authentication_code": "the code"}});
    server.send(json!([named])).await.assert_outcome(&["1"], &[]);
    let told = format!("{answer:?}{:?}{:?}", server.dump("access_tokens").await, server.dump("audit_entries").await);
    assert!(!told.contains("the code") && !told.contains("the pass code"), "{told}");
    // Nor where the message itself is shown.
    assert!(!format!("{:?}", rows(&all)).contains("the code"));
}

async fn an_import_leaves_one_entry_in_the_audit(setup: Setup) {
    let server = Server::start(setup).await;
    server.stream("accounts_receivable", &accounts(0..100), 30).await;
    // What changes nothing leaves none.
    server.stream("accounts_receivable", &accounts(0..100), 30).await;
    server.stream("accounts_receivable", &[BTreeMap::from([("state", "ACTIVE".to_owned())])], 30).await;
    let entries = list_audit(server.database.reader(), Some(server.acme().await)).await.expect("a list");
    let entries: Vec<_> =
        entries.into_iter().map(|entry| (entry.actor, entry.host, entry.action, entry.details)).collect();
    let [(actor, host, action, Some(details))] = &entries[..] else { panic!("not one entry: {entries:?}") };
    assert_eq!((actor.as_str(), host.as_str(), action.as_str()), ("adam", "service", "import"));
    assert!(details.starts_with("accounts_receivable: inserted 100, updated 0; request "), "{details}");
}

async fn rejected_rows_are_told_up_to_a_thousand(setup: Setup) {
    let server = Server::start(setup).await;
    let bad: Vec<Values> =
        (0..1500).map(|n| BTreeMap::from([("number", format!("N{n}")), ("state", "OPEN".to_owned())])).collect();
    let answer = server.stream("accounts_receivable", &bad, 100).await;
    assert_eq!(counts(&answer), [1500, 0, 0, 0, 1500]);
    let indexes: Vec<u32> = answer.rejected_rows_set.iter().map(|row| row.index.expect("an index")).collect();
    assert_eq!(indexes, (0..1000).collect::<Vec<u32>>());
    let row = &answer.rejected_rows_set[0];
    assert_eq!((row.error_code.as_deref(), row.column.as_deref()), (Some("UNKNOWN_STATE"), Some("state")));
}

async fn a_stream_of_many_messages_is_imported_whole(setup: Setup) {
    let server = Server::start(setup).await;
    let answer = server.stream("accounts_receivable", &accounts(0..20_000), 900).await;
    assert_eq!(counts(&answer), [20_000, 20_000, 0, 0, 0]);
    assert_eq!(count_of_new(&server).await, 20_000);
    assert!(server.key::<i64>(DirectoryKind::AccountsReceivable, "N19999").await > 0);
}

async fn calls_of_the_same_organisation_go_on_beside_an_import(setup: Setup) {
    let server = Arc::new(Server::start(setup).await);
    let innocent = Innocent::start(&server);
    let answer = server.stream("accounts_receivable", &accounts(0..10_000), 500).await;
    assert_eq!(counts(&answer), [10_000, 10_000, 0, 0, 0]);
    innocent.was_served().await;
}

async fn an_import_of_which_nothing_more_comes_is_ended(setup: Setup) {
    let server = start(setup, limits()).await;
    let innocent = Innocent::start(&server);
    let token = server.login("acme", "adam").await;
    let begun = stream::iter([first(&token, "accounts_receivable", &accounts(0..10))]);
    let mut client = DirectoryServiceClient::new(server.channel());
    let answer = client.import_directory(begun.chain(stream::pending())).await.map(|answer| answer.into_inner());
    let status = assert_refused(answer, "DeadlineExceeded");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(count_of_new(&server).await, 10);
    innocent.was_served().await;
}
