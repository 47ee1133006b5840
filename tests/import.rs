//! The directory import, from a file's bytes to the rows.

use std::{
    io::{Cursor, Read},
    sync::atomic::{AtomicU64, Ordering},
};

use chrono::{DateTime, Utc};
use referral_events::{
    cli::import::{ImportArguments, run},
    directory::{DirectoryKind, ImportSummary, Progress, REJECTIONS_KEPT, import},
    error::{Error, ErrorKind},
    secret::{CodeHasher, Key, Secret},
    storage::{
        Database,
        access_tokens::use_one_time_passwords,
        entity::{
            access_token, account_receivable, business_unit, classification, device, rewards_participant, tap, unit,
        },
        users::add_organisation,
    },
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use tempfile::TempDir;

/// A database with an organisation in it. `TEST_POSTGRES_URL` names one to use in place of a SQLite file.
struct World {
    database: Database,
    hasher: CodeHasher,
    organisation_id: i64,
    organisation: String,
    directory: TempDir,
}

static ORGANISATIONS: AtomicU64 = AtomicU64::new(0);

impl World {
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let url = std::env::var("TEST_POSTGRES_URL")
            .unwrap_or_else(|_| format!("sqlite:{}/import.db", directory.path().display()));
        let database = Database::connect(&url).await.unwrap();
        database.migrate().await.unwrap();
        let n = ORGANISATIONS.fetch_add(1, Ordering::Relaxed);
        let organisation = format!("organisation {}-{n}", std::process::id());
        let organisation_id = add_organisation(database.write(), &organisation, Utc::now()).await.unwrap();
        let hasher = CodeHasher::new(&Key::from_hex(&"5a".repeat(32)).unwrap());
        Self { database, hasher, organisation_id, organisation, directory }
    }

    async fn try_import(&self, kind: &str, source: impl Into<Vec<u8>>) -> Result<ImportSummary, Error> {
        let source = Cursor::new(source.into());
        let kind: DirectoryKind = kind.parse()?;
        import(&self.database, &self.hasher, self.organisation_id, kind, source, |_| {}).await
    }

    async fn import(&self, kind: &str, source: impl Into<Vec<u8>>) -> ImportSummary {
        self.try_import(kind, source).await.unwrap()
    }

    /// Imports a file and expects nothing rejected; answers the rows inserted and updated.
    async fn load(&self, kind: &str, source: &str) -> (u64, u64) {
        let summary = self.import(kind, source).await;
        assert_eq!(summary.rejections, [], "{source}");
        (summary.inserted, summary.updated)
    }

    /// Imports a file, and answers the rejected rows as `line: reason`.
    async fn rejections(&self, kind: &str, source: impl Into<Vec<u8>>) -> Vec<String> {
        let summary = self.import(kind, source).await;
        assert_eq!(summary.rejected, summary.rejections.len() as u64);
        summary.rejections.iter().map(|rejection| format!("{}: {}", rejection.line, rejection.reason)).collect()
    }

    async fn business_unit(&self, code: &str) -> business_unit::Model {
        self.find_business_unit(code).await.unwrap()
    }

    async fn find_business_unit(&self, code: &str) -> Option<business_unit::Model> {
        find::<business_unit::Entity>(self, business_unit::Column::OrganisationId, business_unit::Column::Code, code)
            .await
    }

    async fn unit(&self, code: &str) -> unit::Model {
        find::<unit::Entity>(self, unit::Column::OrganisationId, unit::Column::AlternativeCode, code).await.unwrap()
    }

    async fn tap(&self, code: &str) -> tap::Model {
        find::<tap::Entity>(self, tap::Column::OrganisationId, tap::Column::Code, code).await.unwrap()
    }

    async fn account(&self, number: &str) -> account_receivable::Model {
        use account_receivable::{Column, Entity};
        find::<Entity>(self, Column::OrganisationId, Column::Number, number).await.unwrap()
    }

    async fn participant(&self, number: &str) -> rewards_participant::Model {
        use rewards_participant::{Column, Entity};
        find::<Entity>(self, Column::OrganisationId, Column::Number, number).await.unwrap()
    }

    async fn token(&self, identifier: &str) -> access_token::Model {
        use access_token::{Column, Entity};
        find::<Entity>(self, Column::OrganisationId, Column::Identifier, identifier).await.unwrap()
    }

    /// Two participants, RP1 and RP2, with their accounts.
    async fn with_participants(self) -> Self {
        self.load("accounts_receivable", "number\nACR1\nACR2\n").await;
        self.load("rewards_participants", "number,accounts_receivable_number\nRP1,ACR1\nRP2,ACR2\n").await;
        self
    }

    /// Business units B1 and B2, with a unit each, U1 and U2.
    async fn with_places(self) -> Self {
        self.load("business_units", "code\nB1\nB2\n").await;
        self.load("units", "alternative_code,business_unit_code\nU1,B1\nU2,B2\n").await;
        self
    }

    fn one_time_password_hash(&self, code: &str) -> Option<String> {
        Some(self.hasher.one_time_password(self.organisation_id, &Secret::new(code)))
    }

    fn pass_code_hash(&self, id: &str, code: &str) -> Option<String> {
        Some(self.hasher.pass_code(self.organisation_id, id, &Secret::new(code)))
    }

    async fn use_one_time_password(&self, identifier: &str, event: i64) {
        let key = self.token(identifier).await.key;
        let used = use_one_time_passwords(self.database.write(), self.organisation_id, &[(key, event)]).await.unwrap();
        assert_eq!(used, 1);
    }
}

async fn find<E: EntityTrait>(
    world: &World,
    organisation: E::Column,
    column: E::Column,
    value: &str,
) -> Option<E::Model>
where
    E::Model: Send + Sync,
{
    E::find()
        .filter(organisation.eq(world.organisation_id))
        .filter(column.eq(value))
        .one(world.database.read())
        .await
        .unwrap()
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    Some(text.parse().unwrap())
}

// Every kind.

#[tokio::test]
async fn every_kind_is_read_from_csv() {
    let world = World::new().await;
    assert_eq!(world.load("business_units", "id,code,name\nb1,B1,Retail\n").await, (1, 0));
    assert_eq!(world.load("units", "id,name,alternative_code,business_unit_code\nu1,Shop,U1,B1\n").await, (1, 0));
    let taps = "id,code,name,business_unit_code,unit_alternative_code,is_default\nt1,T1,Till,B1,U1,true\n";
    assert_eq!(world.load("taps", taps).await, (1, 0));
    assert_eq!(world.load("devices", "id,code,unit_alternative_code\nd1,D1,U1\n").await, (1, 0));
    assert_eq!(world.load("classifications", "id,name,alternative_code\nc1,Friend,C1\n").await, (1, 0));
    assert_eq!(world.load("accounts_receivable", "id,number,state\na1,A1,SUSPENDED\n").await, (1, 0));
    let participants = "id,number,accounts_receivable_number,state\nr1,R1,A1,NOT_EFFECTIVE\n";
    assert_eq!(world.load("rewards_participants", participants).await, (1, 0));
    let tokens = "id,identifier,authentication_code,pass_code,state,effective_from,effective_to,\
                  rewards_participant_number,one_time_password,one_time_password_expires_on\n\
                  k1,me,AUTH,0123,PENDING_VERIFICATION,2016-06-22T15:00:00,2016-06-22T15:00:00.5+02:00,R1,0042,\
                  9999-12-31T23:59:59Z\n";
    let rejected = world.rejections("access_tokens", tokens).await;
    assert_eq!(rejected, ["2: effective_to: before effective_from"]);
    assert_eq!(world.load("access_tokens", &tokens.replace(".5+02:00", ".5-02:00")).await, (1, 0));
    check_every_kind(&world).await;
}

#[tokio::test]
async fn every_kind_is_read_from_ndjson() {
    let world = World::new().await;
    for (kind, row) in [
        ("business_units", r#"{"id": "b1", "code": "B1", "name": "Retail"}"#),
        ("units", r#"{"name": "Shop", "id": "u1", "alternative_code": "U1", "business_unit_code": "B1"}"#),
        (
            "taps",
            r#"{"id": "t1", "code": "T1", "name": "Till", "business_unit_code": "B1", "unit_alternative_code": "U1",
                "is_default": true}"#,
        ),
        ("devices", r#"{"id": "d1", "code": "D1", "unit_alternative_code": "U1"}"#),
        ("classifications", r#"{"id": "c1", "name": "Friend", "alternative_code": "C1"}"#),
        ("accounts_receivable", r#"{"id": "a1", "number": "A1", "state": "SUSPENDED"}"#),
        (
            "rewards_participants",
            r#"{"id": "r1", "number": "R1", "accounts_receivable_number": "A1", "state": "NOT_EFFECTIVE"}"#,
        ),
        (
            "access_tokens",
            r#"{"id": "k1", "identifier": "me", "authentication_code": "AUTH", "pass_code": "0123",
                "state": "PENDING_VERIFICATION", "effective_from": "2016-06-22T15:00:00",
                "effective_to": "2016-06-22T15:00:00.5-02:00", "rewards_participant_number": "R1",
                "one_time_password": "0042", "one_time_password_expires_on": "9999-12-31T23:59:59Z"}"#,
        ),
    ] {
        assert_eq!(world.load(kind, &row.replace('\n', " ")).await, (1, 0));
    }
    check_every_kind(&world).await;
}

async fn check_every_kind(world: &World) {
    let business_unit = world.business_unit("B1").await;
    assert_eq!((business_unit.id.as_str(), business_unit.name.as_deref()), ("b1", Some("Retail")));
    assert_eq!(business_unit.default_tap_key, None);
    let (unit, tap) = (world.unit("U1").await, world.tap("T1").await);
    assert_eq!((unit.id.as_str(), unit.name.as_deref()), ("u1", Some("Shop")));
    assert_eq!((unit.business_unit_key, unit.default_tap_key), (Some(business_unit.key), Some(tap.key)));
    assert_eq!((tap.id.as_str(), tap.name.as_deref()), ("t1", Some("Till")));
    assert_eq!((tap.business_unit_key, tap.unit_key), (Some(business_unit.key), Some(unit.key)));
    let device = find::<device::Entity>(world, device::Column::OrganisationId, device::Column::Code, "D1").await;
    assert_eq!(device.unwrap().unit_key, Some(unit.key));
    use classification::{Column, Entity};
    let classification = find::<Entity>(world, Column::OrganisationId, Column::AlternativeCode, "C1").await;
    assert_eq!(classification.unwrap().name.as_deref(), Some("Friend"));
    let (account, participant) = (world.account("A1").await, world.participant("R1").await);
    assert_eq!((account.id.as_str(), account.state.as_str()), ("a1", "SUSPENDED"));
    assert_eq!((participant.account_key, participant.state.as_str()), (account.key, "NOT_EFFECTIVE"));
    let token = world.token("me").await;
    assert_eq!((token.participant_key, token.state.as_str()), (participant.key, "PENDING_VERIFICATION"));
    assert_eq!(token.effective_from, time("2016-06-22T15:00:00Z"));
    assert_eq!(token.effective_to, time("2016-06-22T17:00:00.5Z"));
    let hash = world.hasher.authentication_code(world.organisation_id, &Secret::new("AUTH"));
    assert_eq!(token.authentication_code_hash, Some(hash));
    assert_eq!(token.pass_code_hash, world.pass_code_hash("k1", "0123"));
    assert_eq!(token.one_time_password_hash, world.one_time_password_hash("0042"));
    assert_eq!((token.one_time_password_live, token.one_time_password_used_by), (Some(true), None));
    assert_eq!(token.one_time_password_expires_on, time("9999-12-31T23:59:59Z"));
}

#[tokio::test]
async fn a_row_without_id_or_state_gets_them() {
    let world = World::new().await;
    world.load("accounts_receivable", "number,id,state\nA1,,\nA2,,\n").await;
    world.load("rewards_participants", "number,accounts_receivable_number\nR1,A1\n").await;
    world.load("access_tokens", "identifier,rewards_participant_number,pass_code\nme,R1,1234\n").await;
    let (account, participant, token) =
        (world.account("A1").await, world.participant("R1").await, world.token("me").await);
    for id in [&account.id, &world.account("A2").await.id, &participant.id, &token.id] {
        assert_eq!(id.len(), 32);
        assert!(id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F')), "{id}");
    }
    assert_eq!((account.state.as_str(), participant.state.as_str()), ("ACTIVE", "EFFECTIVE"));
    assert_eq!(token.state, "EFFECTIVE");
    assert_eq!(token.pass_code_hash, world.pass_code_hash(&token.id, "1234"));
    assert_eq!((token.one_time_password_live, token.authentication_code_hash), (None, None));
}

#[tokio::test]
async fn an_organisation_does_not_see_anothers_rows() {
    let (one, other) = (World::new().await.with_places().await, World::new().await);
    assert_eq!(other.load("business_units", "code\nB1\n").await, (1, 0));
    let rejected = other.rejections("units", "alternative_code,business_unit_code\nU1,B2\n").await;
    assert_eq!(rejected, ["2: business_unit_code: no business unit has the code \"B2\""]);
    assert_eq!(one.load("business_units", "code\nB1\n").await, (0, 1));
}

// Reading files.

#[tokio::test]
async fn columns_come_in_any_order_with_a_byte_order_mark_crlf_and_blank_lines() {
    let world = World::new().await;
    let file = "\u{feff}\r\n name ,code\r\n\r\n\"Shop, \"\"big\"\"\",B1\r\n\r\n\r\n,\r\nOther,B2";
    let rejected = world.rejections("business_units", file).await;
    assert_eq!(rejected, ["7: code: missing"]);
    assert_eq!(world.business_unit("B1").await.name.as_deref(), Some("Shop, \"big\""));
    assert_eq!(world.business_unit("B2").await.name.as_deref(), Some("Other"));
}

#[tokio::test]
async fn a_file_with_an_unknown_or_doubled_column_is_refused_by_name() {
    let world = World::new().await;
    for (file, message) in [
        ("code,colour\nB1,red\n", "\"colour\""),
        ("code,name,code\nB1,Shop,B1\n", "code occurs twice"),
        ("code,\nB1,\n", "\"\""),
        ("", "empty"),
        ("\u{feff} \n", "empty"),
    ] {
        let error = world.try_import("business_units", file).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MalformedRequest);
        assert!(error.message().contains(message), "{error}");
    }
    assert_eq!(world.find_business_unit("B1").await, None);
    assert!(world.try_import("shops", "code\n").await.unwrap_err().message().contains("access_tokens"));
}

#[tokio::test]
async fn line_numbers_count_the_lines_inside_quotes() {
    let world = World::new().await;
    let file = "code,name\nB1,One\n\"B2\",\"Two\nlines\r\nor three\"\nB3,Three\nB4\nB5,Five\n\nB6,Six,6\n";
    let rejected = world.rejections("business_units", file).await;
    let expected = [
        "3: name: holds a control character",
        "7: 1 fields where the header has 2",
        "10: 3 fields where the header has 2",
    ];
    assert_eq!(rejected, expected);
    for code in ["B1", "B3", "B5"] {
        world.business_unit(code).await;
    }
}

#[tokio::test]
async fn bytes_that_are_not_utf8_reject_their_row_alone() {
    let world = World::new().await;
    let csv = b"code,name\nB1,\xff\nB2,Two\n".as_slice();
    assert_eq!(world.rejections("business_units", csv).await, ["2: name: not UTF-8"]);
    let ndjson = b"{\"code\":\"B3\"}\n{\"code\":\"\xff\"}\n{\"code\":\"B4\"}".as_slice();
    assert_eq!(world.rejections("business_units", ndjson).await, ["2: not UTF-8"]);
    for code in ["B2", "B3", "B4"] {
        world.business_unit(code).await;
    }
}

#[tokio::test]
async fn a_bad_line_of_ndjson_rejects_itself_alone() {
    let world = World::new().await;
    let long = format!(r#"{{"code":"{}"}}"#, "x".repeat(2 << 20));
    let lines = [
        r#"{"code":"B1"}"#,
        r#"{"code":"B2","colour":"red"}"#,
        "",
        r#"{"code":true}"#,
        r#"{"code":1.5}"#,
        r#"{"code":["B2"]}"#,
        r#"{"code":"B2","code":"B3"}"#,
        r#"["B2"]"#,
        r#"{"code":"B2"} x"#,
        r#"{"code":"B2""#,
        &long,
        r#"{"code":12,"name":null}"#,
    ];
    let rejected = world.rejections("business_units", lines.join("\n")).await;
    let expected = [
        "2: \"colour\": no such column",
        "4: code: of the wrong type",
        "5: code: of the wrong type",
        "6: code: of the wrong type",
        "7: code: given twice",
        "8: not a JSON object",
        "9: not a JSON object (column 15)",
        "10: not a JSON object (column 12)",
        "11: longer than 1048576 bytes",
    ];
    assert_eq!(rejected, expected);
    world.business_unit("B1").await;
    assert_eq!(world.business_unit("12").await.name, None);
}

#[tokio::test]
async fn an_open_quote_does_not_fill_the_memory() {
    struct Endless;
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            buffer.fill(b'x');
            Ok(buffer.len())
        }
    }
    let world = World::new().await;
    let source = Cursor::new("code,name\nB1,One\nB2,\"Two\n").chain(Endless);
    let kind = DirectoryKind::BusinessUnits;
    let imported = import(&world.database, &world.hasher, world.organisation_id, kind, source, |_| {}).await;
    let error = imported.unwrap_err();
    assert!(error.message().contains("line 3: the row is longer than 1048576 bytes"), "{error}");
}

// Values.

#[tokio::test]
async fn a_value_that_its_column_does_not_take_rejects_the_row_and_names_the_column() {
    let world = World::new().await.with_participants().await.with_places().await;
    let (long, longer) = ("x".repeat(255), "é".repeat(256));
    world.load("business_units", &format!("code,name\n{long},{}\n", "é".repeat(255))).await;
    world.load("business_units", &format!("id,code\n{},I64\n", "i".repeat(64))).await;
    for (kind, header, row, reason) in [
        ("business_units", "code", longer.as_str(), "code: longer than 255 characters"),
        ("business_units", "id,code", &format!("{},B9", "i".repeat(65)), "id: longer than 64 characters"),
        ("business_units", "code,name", "B9,  ", "name: blank"),
        ("business_units", "code,name", "B9,a\tb", "name: holds a control character"),
        ("business_units", "code,name", ",Nine", "code: missing"),
        ("business_units", "name", "Nine", "code: missing"),
        ("business_units", "id", "nine", "code: missing, and no row has the id \"nine\""),
        (
            "units",
            "alternative_code,business_unit_code",
            "U9,B9",
            "business_unit_code: no business unit has the code \"B9\"",
        ),
        (
            "devices",
            "code,unit_alternative_code",
            "D9,U9",
            "unit_alternative_code: no unit has the alternative_code \"U9\"",
        ),
        (
            "taps",
            "code,unit_alternative_code",
            "T9,U9",
            "unit_alternative_code: no unit has the alternative_code \"U9\"",
        ),
        ("taps", "code,is_default", "T9,yes", "is_default: neither true nor false"),
        ("taps", "code,is_default", "T9,TRUE", "is_default: the TAP has neither a unit nor a business unit"),
        ("accounts_receivable", "number,state", "A9,active", "state: not one of ACTIVE, SUSPENDED, TERMINATED"),
        ("rewards_participants", "number", "R9", "accounts_receivable_number: missing"),
        ("rewards_participants", "number,accounts_receivable_number", "R9,", "accounts_receivable_number: missing"),
        (
            "rewards_participants",
            "number,accounts_receivable_number",
            "R9,A9",
            "accounts_receivable_number: no account receivable has the number \"A9\"",
        ),
        ("rewards_participants", "number,state", "R9,ACTIVE", "state: not one of EFFECTIVE, NOT_EFFECTIVE"),
        ("access_tokens", "identifier", "me", "rewards_participant_number: missing"),
        (
            "access_tokens",
            "identifier,rewards_participant_number",
            "me,RP9",
            "rewards_participant_number: no rewards participant has the number \"RP9\"",
        ),
    ] {
        let rejected = world.rejections(kind, format!("{header}\n{row}\n")).await;
        assert_eq!(rejected, [format!("2: {reason}")], "{kind} {header} {row}");
    }
}

#[tokio::test]
async fn dates_are_read_in_the_documented_form_alone() {
    let world = World::new().await.with_participants().await;
    let file = |from: &str| format!("identifier,rewards_participant_number,effective_from\nme,RP1,{from}\n");
    for (given, stored) in [
        ("2016-06-22T15:00:00", "2016-06-22T15:00:00Z"),
        ("2016-06-22T15:00:00.1234567", "2016-06-22T15:00:00.123456Z"),
        ("2016-06-22T15:00:00Z", "2016-06-22T15:00:00Z"),
        ("2016-06-22T15:00:00.25-05:30", "2016-06-22T20:30:00.25Z"),
        ("0001-01-01T00:00:00", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59", "9999-12-31T23:59:59Z"),
    ] {
        world.load("access_tokens", &file(given)).await;
        assert_eq!(world.token("me").await.effective_from, time(stored), "{given}");
    }
    for given in [
        "2016-06-22",
        "2016-06-22 15:00:00",
        "2016-6-22T15:00:00",
        "2016-02-30T15:00:00",
        "2016-06-22T24:00:00",
        "2016-06-22T15:00:60",
        "2016-06-22T15:00:00x",
        "0000-12-31T00:00:00",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "12016-06-22T15:00:00",
        "tomorrow",
    ] {
        let rejected = world.rejections("access_tokens", file(given)).await;
        assert!(matches!(rejected.as_slice(), [reason] if reason.starts_with("2: effective_from: ")), "{rejected:?}");
    }
    let number = r#"{"identifier": "me", "effective_from": 2016}"#;
    assert_eq!(world.rejections("access_tokens", number).await, ["1: effective_from: of the wrong type"]);
}

#[tokio::test]
async fn a_reason_never_shows_a_secret() {
    let world = World::new().await.with_participants().await;
    let header = "identifier,rewards_participant_number,authentication_code,one_time_password,pass_code\n";
    world.load("access_tokens", &format!("{header}one,RP1,SESAME,SESAME,SESAME\n")).await;
    let file = format!(
        "{header}two,RP2,SESAME,,\ntwo,RP2,,SESAME,\ntwo,RP2,,,SESAME\u{1}\n{}\n{{\"x\":\"SESAME\n",
        format_args!("two,RP2,{},,", "SESAME".repeat(99))
    );
    let rejected = world.rejections("access_tokens", file).await;
    let expected = [
        "2: authentication_code: another access token has the same",
        "3: one_time_password: another access token has the same",
        "4: pass_code: holds a control character",
        "5: authentication_code: longer than 255 characters",
    ];
    assert_eq!(rejected[..4], expected);
    let ndjson = "{\"pass_code\": \"SESAME}\n{\"pass_code\": [\"SESAME\"]}\n{\"pass_code\": \"SESAME\", SESAME}\n";
    for reason in rejected.into_iter().chain(world.rejections("access_tokens", ndjson).await) {
        assert!(!reason.contains("SESAME"), "{reason}");
    }
}

// Updates.

#[tokio::test]
async fn a_column_left_out_keeps_what_is_stored_and_an_empty_cell_clears_it() {
    let world = World::new().await.with_places().await;
    world.load("business_units", "id,code,name\nb9,B9,Nine\n").await;
    assert_eq!(world.load("business_units", "id,code\nb9,B9\n").await, (0, 1));
    assert_eq!(world.business_unit("B9").await.name.as_deref(), Some("Nine"));
    assert_eq!(world.load("business_units", "{\"code\": \"B9\"}\n{\"id\": \"b9\"}\n").await, (0, 2));
    assert_eq!(world.business_unit("B9").await.name.as_deref(), Some("Nine"));
    assert_eq!(world.load("business_units", "code,name\nB9,\n").await, (0, 1));
    assert_eq!(world.business_unit("B9").await.name, None);

    assert_eq!(world.load("units", r#"{"alternative_code": "U1", "name": "One"}"#).await, (0, 1));
    let unit = world.unit("U1").await;
    assert_eq!(unit.business_unit_key, Some(world.business_unit("B1").await.key));
    assert_eq!(world.load("units", r#"{"alternative_code": "U1", "business_unit_code": null}"#).await, (0, 1));
    assert_eq!(world.unit("U1").await, unit::Model { business_unit_key: None, ..unit });
}

#[tokio::test]
async fn a_mandatory_value_cannot_be_cleared() {
    let world = World::new().await.with_participants().await;
    world.load("rewards_participants", "id,number,state\n,RP1,NOT_EFFECTIVE\n").await;
    let before = world.participant("RP1").await;
    let file = format!("id,number,accounts_receivable_number,state\n{},,,\n", before.id);
    assert_eq!(world.load("rewards_participants", &file).await, (0, 1));
    assert_eq!(world.participant("RP1").await, before);
}

#[tokio::test]
async fn a_row_named_by_its_id_can_change_its_natural_key() {
    let world = World::new().await;
    world.load("business_units", "id,code,name\nb1,B1,One\nb2,B2,Two\n").await;
    assert_eq!(world.load("business_units", "id,code\nb1,B9\n").await, (0, 1));
    assert_eq!(world.business_unit("B9").await.id, "b1");
    assert_eq!(world.load("business_units", "code\nB1\n").await, (1, 0));
    let rejected = world.rejections("business_units", "id,code\nb7,B2\nb1,B2\n").await;
    let expected = [
        "2: id: no business unit has the id \"b7\", and code \"B2\" is of the one with \"b2\"",
        "3: code: \"B2\" is of the business unit with the id \"b2\"",
    ];
    assert_eq!(rejected, expected);
}

#[tokio::test]
async fn a_name_that_another_row_has_rejects_the_row_and_no_neighbour() {
    let world = World::new().await.with_participants().await;
    world.load("classifications", "id,alternative_code,name\nc1,C1,One\n").await;
    let file = "alternative_code,name\nC2,Two\nC3,One\nC4,Two\nC5,Five\n";
    let summary = world.import("classifications", file).await;
    assert_eq!((summary.inserted, summary.rejected), (2, 2));
    let reasons: Vec<_> = summary.rejections.iter().map(|rejection| rejection.reason.as_str()).collect();
    assert_eq!(reasons[0], "name: \"One\" is of the classification with the id \"c1\"");
    assert!(reasons[1].starts_with("name: \"Two\" is of the classification with the id "), "{reasons:?}");

    let file = "number,accounts_receivable_number\nRP3,ACR1\nRP2,ACR1\n";
    let expected = ["2", "3"].map(|line| {
        format!(
            "{line}: accounts_receivable_number: the account receivable \"ACR1\" is of the rewards participant \"RP1\""
        )
    });
    assert_eq!(world.rejections("rewards_participants", file).await, expected);
}

#[tokio::test]
async fn rows_of_a_file_mean_what_they_mean_one_after_another() {
    let world = World::new().await;
    let summary = world.import("business_units", "id,code,name\nb1,B1,One\nb1,B1,Two\n,B1,Three\n").await;
    assert_eq!((summary.inserted, summary.updated, summary.rejected), (1, 2, 0));
    assert_eq!(world.business_unit("B1").await.name.as_deref(), Some("Three"));
    // The code is given up by the first row and taken by the second, and the name of the third by the fourth.
    let file = "id,code,name\nb1,B2,Three\nb2,B1,\nb1,B2,\nb3,B3,Three\n";
    let summary = world.import("business_units", file).await;
    assert_eq!((summary.inserted, summary.updated, summary.rejected), (2, 2, 0));
    assert_eq!(world.business_unit("B1").await.id, "b2");
    assert_eq!(world.business_unit("B2").await.name, None);
    assert_eq!(world.business_unit("B3").await.name.as_deref(), Some("Three"));
    // Taken before it is given up.
    let rejected = world.rejections("business_units", "id,code\nb2,B2\nb1,B9\nb2,B2\n").await;
    assert_eq!(rejected, ["2: code: \"B2\" is of the business unit with the id \"b1\""]);
    assert_eq!(world.business_unit("B2").await.id, "b2");
}

#[tokio::test]
async fn a_long_chain_of_codes_handed_on_is_followed() {
    let world = World::new().await;
    let rows = |shift: usize| (0..2500).rev().map(|i| format!("b{i},B{}\n", i + shift)).collect::<String>();
    assert_eq!(world.load("business_units", &format!("id,code\n{}", rows(0))).await, (2500, 0));
    assert_eq!(world.load("business_units", &format!("id,code\n{}", rows(1))).await, (0, 2500));
    assert_eq!(world.business_unit("B1").await.id, "b0");
    assert_eq!(world.find_business_unit("B0").await, None);
}

#[tokio::test]
async fn importing_a_file_again_inserts_nothing_and_changes_nothing() {
    let world = World::new().await.with_places().await.with_participants().await;
    let tokens = "identifier,rewards_participant_number,authentication_code,pass_code,one_time_password\n\
                  one,RP1,A1,1234,777\ntwo,RP2,A2,1234,\n";
    let taps = "code,unit_alternative_code,is_default\nT1,U1,true\nT2,U1,\n";
    for (kind, file) in [("access_tokens", tokens), ("taps", taps)] {
        assert_eq!(world.load(kind, file).await, (2, 0));
        let before = (world.token("one").await, world.tap_state().await);
        assert_eq!(world.load(kind, file).await, (0, 2));
        assert_eq!((world.token("one").await, world.tap_state().await), before);
    }
}

impl World {
    async fn tap_state(&self) -> (Vec<tap::Model>, unit::Model) {
        let taps = tap::Entity::find().filter(tap::Column::OrganisationId.eq(self.organisation_id));
        (taps.all(self.database.read()).await.unwrap(), self.unit("U1").await)
    }
}

// TAPs.

#[tokio::test]
async fn a_tap_whose_unit_belongs_to_another_business_unit_is_rejected() {
    let world = World::new().await.with_places().await;
    let header = "code,business_unit_code,unit_alternative_code\n";
    let rejected = world.rejections("taps", format!("{header}T1,B2,U1\nT2,B1,U1\nT3,B2,\n")).await;
    assert_eq!(rejected, ["2: unit_alternative_code: the unit belongs to another business unit than the TAP"]);
    let rejected = world.rejections("taps", "code,unit_alternative_code\nT3,U1\nT2,U1\n").await;
    assert_eq!(rejected, ["2: unit_alternative_code: the unit belongs to another business unit than the TAP"]);
    let rejected = world.rejections("taps", "code,business_unit_code\nT2,B2\nT3,B1\n").await;
    assert_eq!(rejected, ["2: business_unit_code: the TAP's unit belongs to another business unit than the TAP"]);
    world.load("taps", &format!("{header}T2,B2,U2\n")).await;
    assert_eq!(world.tap("T2").await.unit_key, Some(world.unit("U2").await.key));
}

#[tokio::test]
async fn a_default_tap_is_its_units_or_else_its_business_units() {
    let world = World::new().await.with_places().await;
    let header = "code,business_unit_code,unit_alternative_code,is_default\n";
    world.load("taps", &format!("{header}T1,B1,U1,1\nT2,B1,,TRUE\nT3,,U2,0\n")).await;
    let (unit, business_unit) = (world.unit("U1").await, world.business_unit("B1").await);
    assert_eq!(unit.default_tap_key, Some(world.tap("T1").await.key));
    assert_eq!(business_unit.default_tap_key, Some(world.tap("T2").await.key));
    assert_eq!(world.unit("U2").await.default_tap_key, None);

    // Of two that ask for it the later has it, and false takes it from nobody else.
    world.load("taps", "code,unit_alternative_code,is_default\nT4,U1,true\nT5,U1,true\nT1,U1,false\n").await;
    assert_eq!(world.unit("U1").await.default_tap_key, Some(world.tap("T5").await.key));
    world.load("taps", "code,name\nT5,Five\n").await;
    assert_eq!(world.unit("U1").await.default_tap_key, Some(world.tap("T5").await.key));
    world.load("taps", "code,is_default\nT5,false\nT2,\n").await;
    assert_eq!(world.unit("U1").await.default_tap_key, None);
    assert_eq!(world.business_unit("B1").await.default_tap_key, None);
}

#[tokio::test]
async fn a_tap_that_moves_is_no_longer_the_default_where_it_was() {
    let world = World::new().await.with_places().await;
    world.load("taps", "code,unit_alternative_code,is_default\nT1,U1,true\nT2,U1,\n").await;
    world.load("taps", "code,unit_alternative_code\nT1,U2\n").await;
    assert_eq!(world.unit("U1").await.default_tap_key, None);
    assert_eq!(world.unit("U2").await.default_tap_key, None);
    world.load("taps", "code,unit_alternative_code,is_default\nT1,U1,true\n").await;
    world.load("taps", "code,unit_alternative_code,is_default\nT2,U1,true\nT1,U2,true\n").await;
    assert_eq!(world.unit("U1").await.default_tap_key, Some(world.tap("T2").await.key));
    assert_eq!(world.unit("U2").await.default_tap_key, Some(world.tap("T1").await.key));
}

// Access tokens.

#[tokio::test]
async fn a_used_one_time_password_stays_used_when_its_file_is_imported_again() {
    let world = World::new().await.with_participants().await;
    let file = "identifier,rewards_participant_number,one_time_password,one_time_password_expires_on\n\
                me,RP1,0042,2030-01-01T00:00:00\n";
    world.load("access_tokens", file).await;
    world.use_one_time_password("me", 8).await;
    let used = world.token("me").await;
    assert_eq!((used.one_time_password_live, used.one_time_password_used_by), (None, Some(8)));
    assert_eq!(world.load("access_tokens", file).await, (0, 1));
    assert_eq!(world.token("me").await, used);

    // Another token may have it meanwhile; that takes nothing from this file.
    world.load("access_tokens", "identifier,rewards_participant_number,one_time_password\nyou,RP2,0042\n").await;
    assert_eq!(world.load("access_tokens", file).await, (0, 1));
    assert_eq!(world.token("me").await, used);

    assert_eq!(world.load("access_tokens", "identifier,one_time_password\nme,0043\n").await, (0, 1));
    let renewed = world.token("me").await;
    assert_eq!((renewed.one_time_password_live, renewed.one_time_password_used_by), (Some(true), None));
    assert_eq!(renewed.one_time_password_hash, world.one_time_password_hash("0043"));
}

#[tokio::test]
async fn an_empty_one_time_password_takes_it_and_its_expiry_away() {
    let world = World::new().await.with_participants().await;
    let header = "identifier,rewards_participant_number,one_time_password,one_time_password_expires_on\n";
    for clearing in [
        "identifier,one_time_password\nme,\n".to_owned(),
        format!("{header}me,RP1,,2030-01-01T00:00:00\n"),
        "{\"identifier\": \"me\", \"one_time_password\": null}".to_owned(),
    ] {
        world.load("access_tokens", &format!("{header}me,RP1,0042,2030-01-01T00:00:00\n")).await;
        world.load("access_tokens", &clearing).await;
        let token = world.token("me").await;
        assert_eq!((token.one_time_password_hash, token.one_time_password_live), (None, None));
        assert_eq!((token.one_time_password_expires_on, token.one_time_password_used_by), (None, None));
    }
}

#[tokio::test]
async fn two_access_tokens_cannot_have_the_same_live_one_time_password() {
    let world = World::new().await.with_participants().await;
    let header = "identifier,rewards_participant_number,one_time_password\n";
    let rejected = world.rejections("access_tokens", format!("{header}one,RP1,42\ntwo,RP2,42\ntwo,RP2,43\n")).await;
    assert_eq!(rejected, ["3: one_time_password: another access token has the same"]);
    // The first gives it up before the second takes it.
    assert_eq!(world.load("access_tokens", &format!("{header}one,RP1,44\ntwo,RP2,42\n")).await, (0, 2));
    let ndjson = r#"{"identifier": "two", "one_time_password": 1042}"#;
    world.load("access_tokens", ndjson).await;
    assert_eq!(world.token("two").await.one_time_password_hash, world.one_time_password_hash("1042"));
}

#[tokio::test]
async fn a_period_is_checked_against_the_end_that_is_stored() {
    let world = World::new().await.with_participants().await;
    let header = "identifier,rewards_participant_number,effective_from,effective_to\n";
    world.load("access_tokens", &format!("{header}me,RP1,2020-01-01T00:00:00,2020-01-01T00:00:00\n")).await;
    let rejected = world.rejections("access_tokens", "identifier,effective_to\nme,2019-12-31T23:59:59\n").await;
    assert_eq!(rejected, ["2: effective_to: before effective_from"]);
    world.load("access_tokens", "identifier,effective_from,effective_to\nme,,2019-12-31T23:59:59\n").await;
    assert_eq!(world.token("me").await.effective_from, None);
}

#[tokio::test]
async fn a_pass_code_is_hashed_with_the_id_of_the_row_it_updates() {
    let world = World::new().await.with_participants().await;
    world.load("access_tokens", "identifier,rewards_participant_number\nme,RP1\n").await;
    world.load("access_tokens", "identifier,pass_code\nme,0123\n").await;
    let token = world.token("me").await;
    assert_eq!(token.pass_code_hash, world.pass_code_hash(&token.id, "0123"));
    world.load("access_tokens", &format!("id,pass_code\n{},\n", token.id)).await;
    assert_eq!(world.token("me").await.pass_code_hash, None);
}

// The import as a whole.

#[tokio::test]
async fn a_large_file_is_reported_as_it_goes_and_its_first_rejections_are_kept() {
    let world = World::new().await;
    let mut file = "number,state\n".to_owned();
    for i in 0..9000 {
        file.push_str(&format!("A{i},{}\n", if i % 4 == 3 { "OPEN" } else { "ACTIVE" }));
    }
    let length = file.len() as u64;
    let mut reports: Vec<Progress> = Vec::new();
    let kind = DirectoryKind::AccountsReceivable;
    let source = Cursor::new(file);
    let report = |progress| reports.push(progress);
    let summary = import(&world.database, &world.hasher, world.organisation_id, kind, source, report).await.unwrap();
    assert_eq!((summary.inserted, summary.rejected), (6750, 2250));
    assert_eq!(summary.rejections.len(), REJECTIONS_KEPT);
    assert_eq!((summary.rejections[0].line, summary.rejections[999].line), (5, 4001));
    assert!(reports.len() > 1);
    assert!(reports.is_sorted_by_key(|progress| (progress.rows, progress.bytes)));
    assert_eq!(reports.last().map(|progress| (progress.rows, progress.bytes)), Some((9000, length)));
}

#[tokio::test]
async fn the_number_of_statements_does_not_depend_on_the_number_of_rows() {
    let mut world = World::new().await.with_participants().await;
    let count = std::sync::Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    world.database.observe_statements(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    // The beginning, the look-up, the keys, the rows, the end.
    for (rows, statements) in [(1, 5), (1000, 5)] {
        let file: String = (0..rows).map(|i| format!("R{rows}-{i},ACTIVE\n")).collect();
        count.store(0, Ordering::Relaxed);
        world.load("accounts_receivable", &format!("number,state\n{file}")).await;
        assert_eq!(count.load(Ordering::Relaxed), statements);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_imports_of_one_file_at_once_insert_each_row_once() {
    let world = World::new().await;
    let file: String = (0..6000).map(|i| format!("A{i}\n")).collect();
    let file = format!("number\n{file}");
    let (one, other) =
        tokio::join!(world.import("accounts_receivable", file.clone()), world.import("accounts_receivable", file));
    assert_eq!((one.rejections, other.rejections), (vec![], vec![]));
    assert_eq!(one.inserted + other.inserted, 6000);
    assert_eq!(one.updated + other.updated, 6000);
}

#[tokio::test]
async fn the_command_says_whether_every_row_was_imported() {
    let world = World::new().await;
    let file = world.directory.path().join("units.csv");
    let arguments = |organisation: &str| ImportArguments {
        organisation: organisation.to_owned(),
        kind: DirectoryKind::Units,
        file: file.clone(),
    };
    let missing = run(arguments(&world.organisation), &world.database, &world.hasher).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    std::fs::write(&file, "alternative_code\nU1\n").unwrap();
    assert!(run(arguments(&world.organisation), &world.database, &world.hasher).await.unwrap());
    std::fs::write(&file, "alternative_code,name\n,Shop\n").unwrap();
    assert!(!run(arguments(&world.organisation), &world.database, &world.hasher).await.unwrap());
    let unknown = run(arguments("nobody"), &world.database, &world.hasher).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    assert!(unknown.message().contains("\"nobody\""), "{unknown}");
}
