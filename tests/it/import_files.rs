//! Files that are imported: their formats, what in them is refused, and how its place is named.

use std::io::{Cursor, Read};

use referral_events::{
    directory::{DirectoryKind, NAMED, Progress},
    error::ErrorKind,
};

use crate::support::{Directory, Setup, tests, time};

tests! {
    NoCalls:
        every_kind_is_read_from_csv,
        every_kind_is_read_from_ndjson,
        columns_come_in_any_order_with_a_byte_order_mark_crlf_and_blank_lines,
        a_file_with_an_unknown_or_doubled_column_is_refused_by_name,
        line_numbers_count_the_lines_inside_quotes,
        bytes_that_are_not_utf8_reject_their_row_alone,
        a_bad_line_of_ndjson_rejects_itself_alone,
        an_open_quote_does_not_fill_the_memory,
        a_large_file_is_reported_as_it_goes_and_its_first_rejections_are_kept;
}

async fn every_kind_is_read_from_csv(setup: Setup) {
    let directory = Directory::new(setup).await;
    assert_eq!(directory.load("business_units", "id,code,name\nb1,B1,Retail\n").await, (1, 0));
    assert_eq!(directory.load("units", "id,name,alternative_code,business_unit_code\nu1,Shop,U1,B1\n").await, (1, 0));
    let taps = "id,code,name,business_unit_code,unit_alternative_code,is_default\nt1,T1,Till,B1,U1,true\n";
    assert_eq!(directory.load("taps", taps).await, (1, 0));
    assert_eq!(directory.load("devices", "id,code,unit_alternative_code\nd1,D1,U1\n").await, (1, 0));
    assert_eq!(directory.load("classifications", "id,name,alternative_code\nc1,Friend,C1\n").await, (1, 0));
    assert_eq!(directory.load("accounts_receivable", "id,number,state\na1,A1,SUSPENDED\n").await, (1, 0));
    let participants = "id,number,accounts_receivable_number,state\nr1,R1,A1,NOT_EFFECTIVE\n";
    assert_eq!(directory.load("rewards_participants", participants).await, (1, 0));
    let tokens = "id,identifier,authentication_code,pass_code,state,effective_from,effective_to,\
                  rewards_participant_number,one_time_password,one_time_password_expires_on\n\
                  k1,me,AUTH,0123,PENDING_VERIFICATION,2016-06-22T15:00:00,2016-06-22T15:00:00.5+02:00,R1,0042,\
                  9999-12-31T23:59:59Z\n";
    let rejected = directory.rejections("access_tokens", tokens).await;
    assert_eq!(rejected, ["2: effective_to: before effective_from"]);
    assert_eq!(directory.load("access_tokens", &tokens.replace(".5+02:00", ".5-02:00")).await, (1, 0));
    check_every_kind(&directory).await;
}

async fn every_kind_is_read_from_ndjson(setup: Setup) {
    let directory = Directory::new(setup).await;
    for (kind, row) in [
        ("business_units", r#"{"ID": "b1", "Code": "B1", "name": "Retail"}"#),
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
        assert_eq!(directory.load(kind, &row.replace('\n', " ")).await, (1, 0));
    }
    check_every_kind(&directory).await;
}

async fn check_every_kind(directory: &Directory) {
    let business_unit = directory.business_unit("B1").await;
    assert_eq!((business_unit.id.as_str(), business_unit.name.as_deref()), ("b1", Some("Retail")));
    assert_eq!(business_unit.default_tap_key, None);
    let (unit, tap) = (directory.unit("U1").await, directory.tap("T1").await);
    assert_eq!((unit.id.as_str(), unit.name.as_deref()), ("u1", Some("Shop")));
    assert_eq!((unit.business_unit_key, unit.default_tap_key), (Some(business_unit.key), Some(tap.key)));
    assert_eq!((tap.id.as_str(), tap.name.as_deref()), ("t1", Some("Till")));
    assert_eq!((tap.business_unit_key, tap.unit_key), (Some(business_unit.key), Some(unit.key)));
    assert_eq!(directory.device("D1").await.unit_key, Some(unit.key));
    assert_eq!(directory.classification("C1").await.name.as_deref(), Some("Friend"));
    let (account, participant) = (directory.account("A1").await, directory.participant("R1").await);
    assert_eq!((account.id.as_str(), account.state.as_str()), ("a1", "SUSPENDED"));
    assert_eq!((participant.account_key, participant.state.as_str()), (account.key, "NOT_EFFECTIVE"));
    let token = directory.token("me").await;
    assert_eq!((token.participant_key, token.state.as_str()), (participant.key, "PENDING_VERIFICATION"));
    assert_eq!(token.effective_from, time("2016-06-22T15:00:00Z"));
    assert_eq!(token.effective_to, time("2016-06-22T17:00:00.5Z"));
    assert_eq!(token.authentication_code_hash, directory.authentication_code_hash("AUTH"));
    assert_eq!(token.pass_code_hash, directory.pass_code_hash("k1", "0123"));
    assert_eq!(token.one_time_password_hash, directory.one_time_password_hash("0042"));
    assert_eq!((token.one_time_password_live, token.one_time_password_used_by), (Some(true), None));
    assert_eq!(token.one_time_password_expires_on, time("9999-12-31T23:59:59Z"));
}

async fn columns_come_in_any_order_with_a_byte_order_mark_crlf_and_blank_lines(setup: Setup) {
    let directory = Directory::new(setup).await;
    let file = "\u{feff}\r\n name ,code\r\n\r\n\"Shop, \"\"big\"\"\",B1\r\n\r\n\r\n,\r\nOther,B2";
    let rejected = directory.rejections("business_units", file).await;
    assert_eq!(rejected, [""; 0]);
    assert_eq!(directory.business_unit("B1").await.name.as_deref(), Some("Shop, \"big\""));
    assert_eq!(directory.business_unit("B2").await.name.as_deref(), Some("Other"));
}

async fn a_file_with_an_unknown_or_doubled_column_is_refused_by_name(setup: Setup) {
    let directory = Directory::new(setup).await;
    for (file, message) in [
        ("code,colour\nB1,red\n", "\"colour\""),
        ("code,name,code\nB1,Shop,B1\n", "code occurs twice"),
        ("code,\nB1,\n", "\"\""),
        ("", "empty"),
        ("\u{feff} \n", "empty"),
    ] {
        let error = directory.try_import("business_units", file).await.expect_err(file);
        assert_eq!(error.kind(), ErrorKind::MalformedRequest);
        assert!(error.message().contains(message), "{error}");
    }
    assert_eq!(directory.find_business_unit("B1").await, None);
    let error = directory.try_import("shops", "code\n").await.expect_err("no such kind");
    assert!(error.message().contains("access_tokens"), "{error}");
}

async fn line_numbers_count_the_lines_inside_quotes(setup: Setup) {
    let directory = Directory::new(setup).await;
    let file = "code,name\nB1,One\n\"B2\",\"Two\nlines\r\nor three\"\nB3,Three\nB4\nB5,Five\n\nB6,Six,6\n";
    let rejected = directory.rejections("business_units", file).await;
    let expected = [
        "3: name: holds a control character; a quoted cell takes the 3 lines from here",
        "7: 1 cells where the header has 2",
        "10: 3 cells where the header has 2",
    ];
    assert_eq!(rejected, expected);
    for code in ["B1", "B3", "B5"] {
        directory.business_unit(code).await;
    }
}

async fn bytes_that_are_not_utf8_reject_their_row_alone(setup: Setup) {
    let directory = Directory::new(setup).await;
    let csv = b"code,name\nB1,\xff\nB2,Two\n".as_slice();
    assert_eq!(directory.rejections("business_units", csv).await, ["2: name: not UTF-8"]);
    let ndjson = b"{\"code\":\"B3\"}\n{\"code\":\"\xff\"}\n{\"code\":\"B4\"}".as_slice();
    assert_eq!(directory.rejections("business_units", ndjson).await, ["2: not UTF-8"]);
    for code in ["B2", "B3", "B4"] {
        directory.business_unit(code).await;
    }
}

async fn a_bad_line_of_ndjson_rejects_itself_alone(setup: Setup) {
    let directory = Directory::new(setup).await;
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
    let rejected = directory.rejections("business_units", lines.join("\n")).await;
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
    directory.business_unit("B1").await;
    assert_eq!(directory.business_unit("12").await.name, None);
}

async fn an_open_quote_does_not_fill_the_memory(setup: Setup) {
    struct Endless;
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            buffer.fill(b'x');
            Ok(buffer.len())
        }
    }
    let directory = Directory::new(setup).await;
    let source = Cursor::new("code,name\nB1,One\nB2,\"Two\n").chain(Endless);
    let imported = directory.import_from(DirectoryKind::BusinessUnits, source, |_| {}).await;
    let error = imported.expect_err("an endless row");
    assert!(error.message().contains("line 3: the row is longer than 1048576 bytes"), "{error}");
}

async fn a_large_file_is_reported_as_it_goes_and_its_first_rejections_are_kept(setup: Setup) {
    let directory = Directory::new(setup).await;
    let mut file = "number,state\n".to_owned();
    for i in 0..9000 {
        file.push_str(&format!("A{i},{}\n", if i % 4 == 3 { "OPEN" } else { "ACTIVE" }));
    }
    let length = file.len() as u64;
    let mut reports: Vec<Progress> = Vec::new();
    let kind = DirectoryKind::AccountsReceivable;
    let source = Cursor::new(file);
    let report = |progress| reports.push(progress);
    let summary = directory.import_from(kind, source, report).await.expect("an import");
    assert_eq!((summary.inserted, summary.rejected), (6750, 2250));
    assert_eq!(summary.rejections.len(), NAMED);
    assert_eq!((summary.rejections[0].line, summary.rejections[999].line), (5, 4001));
    assert!(reports.len() > 1);
    assert!(reports.is_sorted_by_key(|progress| (progress.rows, progress.bytes)));
    assert_eq!(reports.last().map(|progress| (progress.rows, progress.bytes)), Some((9000, length)));
}
