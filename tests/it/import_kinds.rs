//! What the import asks of the rows of each kind: values, the TAPs' places, the access tokens' codes.

use crate::support::{Directory, Setup, tests};

tests! {
    NoCalls:
        a_value_that_its_column_does_not_take_rejects_the_row_and_names_the_column,
        a_reason_never_shows_a_secret,
        a_tap_whose_unit_belongs_to_another_business_unit_is_rejected,
        a_default_tap_is_its_units_or_else_its_business_units,
        a_tap_that_moves_is_no_longer_the_default_where_it_was,
        a_used_one_time_password_stays_used_when_its_file_is_imported_again,
        an_empty_one_time_password_takes_it_and_its_expiry_away,
        two_access_tokens_cannot_have_the_same_live_one_time_password,
        a_period_is_checked_against_the_end_that_is_stored,
        a_pass_code_is_hashed_with_the_id_of_the_row_it_updates;
}

async fn a_value_that_its_column_does_not_take_rejects_the_row_and_names_the_column(setup: Setup) {
    let directory = Directory::new(setup).await.with_participants().await.with_places().await;
    let (long, longer) = ("x".repeat(255), "é".repeat(256));
    directory.load("business_units", &format!("code,name\n{long},{}\n", "é".repeat(255))).await;
    directory.load("business_units", &format!("id,code\n{},I64\n", "i".repeat(64))).await;
    for (kind, header, row, reason) in [
        ("business_units", "code", longer.as_str(), "code: longer than 255 characters"),
        ("business_units", "id,code", &format!("{},B9", "i".repeat(65)), "id: longer than 64 characters"),
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
        ("accounts_receivable", "number,state", "A9,open", "state: not one of ACTIVE, SUSPENDED, TERMINATED"),
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
        let rejected = directory.rejections(kind, format!("{header}\n{row}\n")).await;
        assert_eq!(rejected, [format!("2: {reason}")], "{kind} {header} {row}");
    }
}

async fn a_reason_never_shows_a_secret(setup: Setup) {
    let directory = Directory::new(setup).await.with_participants().await;
    let header = "identifier,rewards_participant_number,authentication_code,one_time_password,pass_code\n";
    directory.load("access_tokens", &format!("{header}one,RP1,SESAME,SESAME,SESAME\n")).await;
    let file = format!(
        "{header}two,RP2,SESAME,,\ntwo,RP2,,SESAME,\ntwo,RP2,,,SESAME\u{1}\n{}\n{{\"x\":\"SESAME\n",
        format_args!("two,RP2,{},,", "SESAME".repeat(99))
    );
    let rejected = directory.rejections("access_tokens", file).await;
    let expected = [
        "2: authentication_code: another access token has the same",
        "3: one_time_password: another access token has the same",
        "4: pass_code: holds a control character",
        "5: authentication_code: longer than 255 characters",
    ];
    assert_eq!(rejected[..4], expected);
    let ndjson = "{\"pass_code\": \"SESAME}\n{\"pass_code\": [\"SESAME\"]}\n{\"pass_code\": \"SESAME\", SESAME}\n";
    for reason in rejected.into_iter().chain(directory.rejections("access_tokens", ndjson).await) {
        assert!(!reason.contains("SESAME"), "{reason}");
    }
}

async fn a_tap_whose_unit_belongs_to_another_business_unit_is_rejected(setup: Setup) {
    let directory = Directory::new(setup).await.with_places().await;
    let header = "code,business_unit_code,unit_alternative_code\n";
    let rejected = directory.rejections("taps", format!("{header}T1,B2,U1\nT2,B1,U1\nT3,B2,\n")).await;
    assert_eq!(rejected, ["2: unit_alternative_code: the unit belongs to another business unit than the TAP"]);
    let rejected = directory.rejections("taps", "code,unit_alternative_code\nT3,U1\nT2,U1\n").await;
    assert_eq!(rejected, ["2: unit_alternative_code: the unit belongs to another business unit than the TAP"]);
    let rejected = directory.rejections("taps", "code,business_unit_code\nT2,B2\nT3,B1\n").await;
    assert_eq!(rejected, ["2: business_unit_code: the TAP's unit belongs to another business unit than the TAP"]);
    directory.load("taps", &format!("{header}T2,B2,U2\n")).await;
    assert_eq!(directory.tap("T2").await.unit_key, Some(directory.unit("U2").await.key));
}

async fn a_default_tap_is_its_units_or_else_its_business_units(setup: Setup) {
    let directory = Directory::new(setup).await.with_places().await;
    let header = "code,business_unit_code,unit_alternative_code,is_default\n";
    directory.load("taps", &format!("{header}T1,B1,U1,1\nT2,B1,,TRUE\nT3,,U2,0\n")).await;
    let (unit, business_unit) = (directory.unit("U1").await, directory.business_unit("B1").await);
    assert_eq!(unit.default_tap_key, Some(directory.tap("T1").await.key));
    assert_eq!(business_unit.default_tap_key, Some(directory.tap("T2").await.key));
    assert_eq!(directory.unit("U2").await.default_tap_key, None);

    // Of two that ask for it the later has it, and false takes it from nobody else.
    directory.load("taps", "code,unit_alternative_code,is_default\nT4,U1,true\nT5,U1,true\nT1,U1,false\n").await;
    assert_eq!(directory.unit("U1").await.default_tap_key, Some(directory.tap("T5").await.key));
    directory.load("taps", "code,name\nT5,Five\n").await;
    assert_eq!(directory.unit("U1").await.default_tap_key, Some(directory.tap("T5").await.key));
    directory.load("taps", "code,is_default\nT5,false\nT2,\n").await;
    assert_eq!(directory.unit("U1").await.default_tap_key, None);
    assert_eq!(directory.business_unit("B1").await.default_tap_key, None);
}

async fn a_tap_that_moves_is_no_longer_the_default_where_it_was(setup: Setup) {
    let directory = Directory::new(setup).await.with_places().await;
    directory.load("taps", "code,unit_alternative_code,is_default\nT1,U1,true\nT2,U1,\n").await;
    directory.load("taps", "code,unit_alternative_code\nT1,U2\n").await;
    assert_eq!(directory.unit("U1").await.default_tap_key, None);
    assert_eq!(directory.unit("U2").await.default_tap_key, None);
    directory.load("taps", "code,unit_alternative_code,is_default\nT1,U1,true\n").await;
    directory.load("taps", "code,unit_alternative_code,is_default\nT2,U1,true\nT1,U2,true\n").await;
    assert_eq!(directory.unit("U1").await.default_tap_key, Some(directory.tap("T2").await.key));
    assert_eq!(directory.unit("U2").await.default_tap_key, Some(directory.tap("T1").await.key));
}

async fn a_used_one_time_password_stays_used_when_its_file_is_imported_again(setup: Setup) {
    let directory = Directory::new(setup).await.with_participants().await;
    let file = "identifier,rewards_participant_number,one_time_password,one_time_password_expires_on\n\
                me,RP1,0042,2030-01-01T00:00:00\n";
    directory.load("access_tokens", file).await;
    directory.use_one_time_password("me", 8).await;
    let used = directory.token("me").await;
    assert_eq!((used.one_time_password_live, used.one_time_password_used_by), (None, Some(8)));
    assert_eq!(directory.load("access_tokens", file).await, (0, 1));
    assert_eq!(directory.token("me").await, used);

    // Another token may have it meanwhile; that takes nothing from this file.
    directory.load("access_tokens", "identifier,rewards_participant_number,one_time_password\nyou,RP2,0042\n").await;
    assert_eq!(directory.load("access_tokens", file).await, (0, 1));
    assert_eq!(directory.token("me").await, used);

    assert_eq!(directory.load("access_tokens", "identifier,one_time_password\nme,0043\n").await, (0, 1));
    let renewed = directory.token("me").await;
    assert_eq!((renewed.one_time_password_live, renewed.one_time_password_used_by), (Some(true), None));
    assert_eq!(renewed.one_time_password_hash, directory.one_time_password_hash("0043"));
}

async fn an_empty_one_time_password_takes_it_and_its_expiry_away(setup: Setup) {
    let directory = Directory::new(setup).await.with_participants().await;
    let header = "identifier,rewards_participant_number,one_time_password,one_time_password_expires_on\n";
    for clearing in [
        "identifier,one_time_password\nme,\n".to_owned(),
        format!("{header}me,RP1,,2030-01-01T00:00:00\n"),
        "{\"identifier\": \"me\", \"one_time_password\": null}".to_owned(),
    ] {
        directory.load("access_tokens", &format!("{header}me,RP1,0042,2030-01-01T00:00:00\n")).await;
        directory.load("access_tokens", &clearing).await;
        let token = directory.token("me").await;
        assert_eq!((token.one_time_password_hash, token.one_time_password_live), (None, None));
        assert_eq!((token.one_time_password_expires_on, token.one_time_password_used_by), (None, None));
    }
}

async fn two_access_tokens_cannot_have_the_same_live_one_time_password(setup: Setup) {
    let directory = Directory::new(setup).await.with_participants().await;
    let header = "identifier,rewards_participant_number,one_time_password\n";
    let rejected = directory.rejections("access_tokens", format!("{header}one,RP1,42\ntwo,RP2,42\ntwo,RP2,43\n")).await;
    assert_eq!(rejected, ["3: one_time_password: another access token has the same"]);
    // The first gives it up before the second takes it.
    assert_eq!(directory.load("access_tokens", &format!("{header}one,RP1,44\ntwo,RP2,42\n")).await, (0, 2));
    let ndjson = r#"{"identifier": "two", "one_time_password": 1042}"#;
    directory.load("access_tokens", ndjson).await;
    assert_eq!(directory.token("two").await.one_time_password_hash, directory.one_time_password_hash("1042"));
}

async fn a_period_is_checked_against_the_end_that_is_stored(setup: Setup) {
    let directory = Directory::new(setup).await.with_participants().await;
    let header = "identifier,rewards_participant_number,effective_from,effective_to\n";
    directory.load("access_tokens", &format!("{header}me,RP1,2020-01-01T00:00:00,2020-01-01T00:00:00\n")).await;
    let rejected = directory.rejections("access_tokens", "identifier,effective_to\nme,2019-12-31T23:59:59\n").await;
    assert_eq!(rejected, ["2: effective_to: before effective_from"]);
    directory.load("access_tokens", "identifier,effective_from,effective_to\nme,,2019-12-31T23:59:59\n").await;
    assert_eq!(directory.token("me").await.effective_from, None);
}

async fn a_pass_code_is_hashed_with_the_id_of_the_row_it_updates(setup: Setup) {
    let directory = Directory::new(setup).await.with_participants().await;
    directory.load("access_tokens", "identifier,rewards_participant_number\nme,RP1\n").await;
    directory.load("access_tokens", "identifier,pass_code\nme,0123\n").await;
    let token = directory.token("me").await;
    assert_eq!(token.pass_code_hash, directory.pass_code_hash(&token.id, "0123"));
    directory.load("access_tokens", &format!("id,pass_code\n{},\n", token.id)).await;
    assert_eq!(directory.token("me").await.pass_code_hash, None);
}
