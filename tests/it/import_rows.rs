//! Rows that are imported: which are inserted, which are updated and with what, and which are rejected.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use referral_events::storage::entity::unit;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use crate::support::{Directory, Engine, Setup, tables::tap, tests};

tests! {
    NoCalls:
        a_row_without_id_or_state_gets_them,
        an_organisation_does_not_see_anothers_rows,
        a_column_left_out_keeps_what_is_stored_and_an_empty_cell_clears_it,
        a_mandatory_value_cannot_be_cleared,
        a_row_named_by_its_id_can_change_its_natural_key,
        a_name_that_another_row_has_rejects_the_row_and_no_neighbour,
        rows_of_a_file_mean_what_they_mean_one_after_another,
        a_long_chain_of_codes_handed_on_is_followed,
        importing_a_file_again_inserts_nothing_and_changes_nothing,
        the_number_of_statements_does_not_depend_on_the_number_of_rows,
        two_imports_of_one_file_at_once_insert_each_row_once;
}

async fn a_row_without_id_or_state_gets_them(setup: Setup) {
    let directory = Directory::new(setup).await;
    directory.load("accounts_receivable", "number,id,state\nA1,,\nA2,,\n").await;
    directory.load("rewards_participants", "number,accounts_receivable_number\nR1,A1\n").await;
    directory.load("access_tokens", "identifier,rewards_participant_number,pass_code\nme,R1,1234\n").await;
    let (account, participant, token) =
        (directory.account("A1").await, directory.participant("R1").await, directory.token("me").await);
    for id in [&account.id, &directory.account("A2").await.id, &participant.id, &token.id] {
        assert_eq!(id.len(), 32);
        assert!(id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F')), "{id}");
    }
    assert_eq!((account.state.as_str(), participant.state.as_str()), ("ACTIVE", "EFFECTIVE"));
    assert_eq!(token.state, "EFFECTIVE");
    assert_eq!(token.pass_code_hash, directory.pass_code_hash(&token.id, "1234"));
    assert_eq!((token.one_time_password_live, token.authentication_code_hash), (None, None));
}

async fn an_organisation_does_not_see_anothers_rows(setup: Setup) {
    let one = Directory::new(setup).await.with_places().await;
    let other = one.of_another_organisation().await;
    assert_eq!(other.load("business_units", "code\nB1\n").await, (1, 0));
    let rejected = other.rejections("units", "alternative_code,business_unit_code\nU1,B2\n").await;
    assert_eq!(rejected, ["2: business_unit_code: no business unit has the code \"B2\""]);
    assert_eq!(one.load("business_units", "code\nB1\n").await, (0, 1));
}

async fn a_column_left_out_keeps_what_is_stored_and_an_empty_cell_clears_it(setup: Setup) {
    let directory = Directory::new(setup).await.with_places().await;
    directory.load("business_units", "id,code,name\nb9,B9,Nine\n").await;
    assert_eq!(directory.load("business_units", "id,code\nb9,B9\n").await, (0, 1));
    assert_eq!(directory.business_unit("B9").await.name.as_deref(), Some("Nine"));
    assert_eq!(directory.load("business_units", "{\"code\": \"B9\"}\n{\"id\": \"b9\"}\n").await, (0, 2));
    assert_eq!(directory.business_unit("B9").await.name.as_deref(), Some("Nine"));
    assert_eq!(directory.load("business_units", "code,name\nB9,\n").await, (0, 1));
    assert_eq!(directory.business_unit("B9").await.name, None);

    assert_eq!(directory.load("units", r#"{"alternative_code": "U1", "name": "One"}"#).await, (0, 1));
    let unit = directory.unit("U1").await;
    assert_eq!(unit.business_unit_key, Some(directory.business_unit("B1").await.key));
    assert_eq!(directory.load("units", r#"{"alternative_code": "U1", "business_unit_code": null}"#).await, (0, 1));
    assert_eq!(directory.unit("U1").await, unit::Model { business_unit_key: None, ..unit });
}

async fn a_mandatory_value_cannot_be_cleared(setup: Setup) {
    let directory = Directory::new(setup).await.with_participants().await;
    directory.load("rewards_participants", "id,number,state\n,RP1,NOT_EFFECTIVE\n").await;
    let before = directory.participant("RP1").await;
    let file = format!("id,number,accounts_receivable_number,state\n{},,,\n", before.id);
    assert_eq!(directory.load("rewards_participants", &file).await, (0, 1));
    assert_eq!(directory.participant("RP1").await, before);
}

async fn a_row_named_by_its_id_can_change_its_natural_key(setup: Setup) {
    let directory = Directory::new(setup).await;
    directory.load("business_units", "id,code,name\nb1,B1,One\nb2,B2,Two\n").await;
    assert_eq!(directory.load("business_units", "id,code\nb1,B9\n").await, (0, 1));
    assert_eq!(directory.business_unit("B9").await.id, "b1");
    assert_eq!(directory.load("business_units", "code\nB1\n").await, (1, 0));
    let rejected = directory.rejections("business_units", "id,code\nb7,B2\nb1,B2\n").await;
    let expected = [
        "2: id: no business unit has the id \"b7\", and code \"B2\" is of the one with \"b2\"",
        "3: code: \"B2\" is of the business unit with the id \"b2\"",
    ];
    assert_eq!(rejected, expected);
}

async fn a_name_that_another_row_has_rejects_the_row_and_no_neighbour(setup: Setup) {
    let directory = Directory::new(setup).await.with_participants().await;
    directory.load("classifications", "id,alternative_code,name\nc1,C1,One\n").await;
    let file = "alternative_code,name\nC2,Two\nC3,One\nC4,Two\nC5,Five\n";
    let summary = directory.import("classifications", file).await;
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
    assert_eq!(directory.rejections("rewards_participants", file).await, expected);
}

async fn rows_of_a_file_mean_what_they_mean_one_after_another(setup: Setup) {
    let directory = Directory::new(setup).await;
    let summary = directory.import("business_units", "id,code,name\nb1,B1,One\nb1,B1,Two\n,B1,Three\n").await;
    assert_eq!((summary.inserted, summary.updated, summary.rejected), (1, 2, 0));
    assert_eq!(directory.business_unit("B1").await.name.as_deref(), Some("Three"));
    // The code is given up by the first row and taken by the second, and the name of the third by the fourth.
    let file = "id,code,name\nb1,B2,Three\nb2,B1,\nb1,B2,\nb3,B3,Three\n";
    let summary = directory.import("business_units", file).await;
    assert_eq!((summary.inserted, summary.updated, summary.rejected), (2, 2, 0));
    assert_eq!(directory.business_unit("B1").await.id, "b2");
    assert_eq!(directory.business_unit("B2").await.name, None);
    assert_eq!(directory.business_unit("B3").await.name.as_deref(), Some("Three"));
    // Taken before it is given up.
    let rejected = directory.rejections("business_units", "id,code\nb2,B2\nb1,B9\nb2,B2\n").await;
    assert_eq!(rejected, ["2: code: \"B2\" is of the business unit with the id \"b1\""]);
    assert_eq!(directory.business_unit("B2").await.id, "b2");
}

async fn a_long_chain_of_codes_handed_on_is_followed(setup: Setup) {
    let directory = Directory::new(setup).await;
    let rows = |shift: usize| (0..2500).rev().map(|i| format!("b{i},B{}\n", i + shift)).collect::<String>();
    assert_eq!(directory.load("business_units", &format!("id,code\n{}", rows(0))).await, (2500, 0));
    assert_eq!(directory.load("business_units", &format!("id,code\n{}", rows(1))).await, (0, 2500));
    assert_eq!(directory.business_unit("B1").await.id, "b0");
    assert_eq!(directory.find_business_unit("B0").await, None);
}

async fn importing_a_file_again_inserts_nothing_and_changes_nothing(setup: Setup) {
    let directory = Directory::new(setup).await.with_places().await.with_participants().await;
    let tokens = "identifier,rewards_participant_number,authentication_code,pass_code,one_time_password\n\
                  one,RP1,A1,1234,777\ntwo,RP2,A2,1234,\n";
    let taps = "code,unit_alternative_code,is_default\nT1,U1,true\nT2,U1,\n";
    for (kind, file) in [("access_tokens", tokens), ("taps", taps)] {
        assert_eq!(directory.load(kind, file).await, (2, 0));
        let before = (directory.token("one").await, tap_state(&directory).await);
        let summary = directory.import(kind, file).await;
        assert_eq!((summary.inserted, summary.updated, summary.unchanged, summary.rejected), (0, 0, 2, 0));
        assert_eq!((directory.token("one").await, tap_state(&directory).await), before);
    }
}

/// The TAPs, and unit U1 with its default.
async fn tap_state(directory: &Directory) -> (Vec<tap::Model>, unit::Model) {
    let taps = tap::Entity::find().filter(tap::Column::OrganisationId.eq(directory.organisation_id));
    let taps = taps.order_by_asc(tap::Column::Key);
    (taps.all(directory.database.reader()).await.expect("a look-up"), directory.unit("U1").await)
}

async fn the_number_of_statements_does_not_depend_on_the_number_of_rows(setup: Setup) {
    let mut directory = Directory::new(setup).await.with_participants().await;
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    directory.database.observe_statements(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    // The beginning, the new version, the look-up, the keys, the rows, the end; on PostgreSQL the statistics.
    let statements = if setup.engine == Engine::Postgres { 7 } else { 6 };
    for rows in [1, 1000] {
        let file: String = (0..rows).map(|i| format!("R{rows}-{i},ACTIVE\n")).collect();
        count.store(0, Ordering::Relaxed);
        directory.load("accounts_receivable", &format!("number,state\n{file}")).await;
        assert_eq!(count.load(Ordering::Relaxed), statements);
    }
}

async fn two_imports_of_one_file_at_once_insert_each_row_once(setup: Setup) {
    let directory = Directory::new(setup).await;
    let file: String = (0..6000).map(|i| format!("A{i}\n")).collect();
    let file = format!("number\n{file}");
    let (one, other) = tokio::join!(
        directory.import("accounts_receivable", file.clone()),
        directory.import("accounts_receivable", file)
    );
    assert_eq!((one.rejections, other.rejections), (vec![], vec![]));
    assert_eq!(one.inserted + other.inserted, 6000);
    assert_eq!(one.unchanged + other.unchanged, 6000);
}
