//! What a refusal says: what was given, and what would do.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, Setup, envelope, event, tests};

tests! {
    Both:
        a_refusal_has_the_value_and_what_is_expected,
        an_identifier_is_refused_with_its_fields_and_those_that_were_given,
        an_event_that_is_not_found_is_named;
    Rest:
        a_blank_date_counts_as_not_given,
        a_name_that_does_not_exist_is_refused_with_those_that_do,
        an_event_without_attributes_is_told_which_it_needs;
}

async fn a_refusal_has_the_value_and_what_is_expected(setup: Setup) {
    let server = Server::start(setup).await;
    let long = "x".repeat(200);
    for (filter, expected) in [
        (json!({"life_cycle_state": "posted"}), "posted is neither POSTED nor CANCELLED"),
        (json!({"order": "by date"}), "\"by date\" is neither NEWEST_FIRST nor OLDEST_FIRST"),
        (json!({"number_of_results": 5000}), "5000 is not 1 to 1000"),
        (json!({"order": long}), &format!("{} is neither NEWEST_FIRST nor OLDEST_FIRST", &long[..100])),
    ] {
        let answer = server.list(filter).await;
        assert!(answer.message.ends_with(&format!(" - Description:{expected}.")), "{answer:?}");
    }
    for (name, expected) in [
        (json!({"id": "12"}), "12 is not 32 hexadecimal digits"),
        (json!({"number": "seven"}), "seven is not decimal digits"),
    ] {
        let answer = server.get(name).await;
        assert!(answer.message.ends_with(&format!(" - Description:{expected}.")), "{answer:?}");
    }
    let account = json!({"accounts_receivable_identifier": {"number": "ACR01"}, "state": "Asleep"});
    let answer = server.administer("SetAccountsReceivableState", account).await;
    assert!(answer.message.contains("Asleep is not one of ACTIVE, "), "{answer:?}");
}

async fn description_of(server: &Server, attribute: &str, value: Value) -> String {
    let mut event = event("1", "01", "02");
    event[attribute] = value;
    let answer = server.send(json!([event])).await;
    let described = answer.unprocessed()[0]["error_description"].as_str().expect("a text").to_owned();
    described.split_once(" - Description:").expect("a description").1.to_owned()
}

async fn an_identifier_is_refused_with_its_fields_and_those_that_were_given(setup: Setup) {
    let server = Server::start(setup).await;
    let (unit, party) = ("performed_by_unit_identifier", "referred_by_rewards_participant_identifier");
    let of_token = "One of authentication_code, identifier with pass_code, and one_time_password is expected, and ";
    for (attribute, value, expected) in [
        (unit, json!({}), "One of id, name and alternative_code is expected, and none is given.".to_owned()),
        (
            unit,
            json!({"id": "U1", "alternative_code": "U"}),
            "One of id, name and alternative_code is expected, and id and alternative_code are given.".to_owned(),
        ),
        ("performed_by_device_identifier", json!({}), "One of id and code is expected, and none is given.".to_owned()),
        (
            party,
            json!({"id": "1", "number": "2", "access_token_identifier": {"authentication_code": "AUTH20"}}),
            "One of id, number and access_token_identifier is expected, and id, number and access_token_identifier \
             are given."
                .to_owned(),
        ),
        (party, json!({"access_token_identifier": {}}), format!("{of_token}none is given.")),
        (
            party,
            json!({"access_token_identifier": {"identifier": "t20@example.com"}}),
            format!("{of_token}identifier alone is given."),
        ),
    ] {
        assert_eq!(description_of(&server, attribute, value).await, expected);
    }
    let answer = server.get(json!({"external_system": "till"})).await;
    assert!(answer.message.ends_with(" is expected, and external_system alone is given."), "{answer:?}");
}

async fn an_event_that_is_not_found_is_named(setup: Setup) {
    let server = Server::start(setup).await;
    let id = "01A209CF93AF710D8F87C9AEF7F642CB";
    for (name, expected) in [
        (json!({"id": id}), format!("of id {id}")),
        (json!({"number": "77"}), "of number 77".to_owned()),
        (json!({"number": "9".repeat(30)}), format!("of number {}", "9".repeat(30))),
        (
            json!({"external_system_reference_number": "R 7"}),
            "of external system reference number \"R 7\" of no external system".to_owned(),
        ),
        (
            json!({"external_system_reference_number": "R7", "external_system": "till"}),
            "of external system reference number R7 of till".to_owned(),
        ),
    ] {
        for answer in [server.get(name.clone()).await, server.cancel(name).await] {
            answer.assert_refused("CustomerEventNotFound");
            assert_eq!(answer.message, format!("The customer event {expected} does not exist."));
        }
    }
}

async fn a_blank_date_counts_as_not_given(setup: Setup) {
    let server = Server::start(setup).await;
    let mut with_blank = event("1", "01", "02");
    with_blank["udf_date_1"] = json!("");
    server.send(json!([with_blank])).await.assert_outcome(&["1"], &[]);
    let mut without = event("2", "03", "02");
    without["performed_on"] = json!(" ");
    server.send(json!([without])).await.assert_outcome(&[], &[("2", "MissingMandatoryAttribute")]);
    let filter = json!({"performed_on_from": "", "performed_on_to": "", "created_on_from": " ", "created_on_to": ""});
    assert_eq!(server.list(filter).await.data["customer_events_set"].as_array().map(Vec::len), Some(1));
    let described = description_of(&server, "performed_on", json!("2016-02-30T15:00:00")).await;
    assert_eq!(described, "2016-02-30T15:00:00 is a date or time that does not exist.");
}

async fn a_name_that_does_not_exist_is_refused_with_those_that_do(setup: Setup) {
    let server = Server::start(setup).await;
    let described = description_of(&server, "performed_by_unit_identifier", json!({"colour": "red"})).await;
    assert_eq!(described, "The attribute does not exist; what there is here is id, name and alternative_code.");
    let url = format!("http://{}/customer_events/referrals/show?colour=8", server.address);
    let request = reqwest::Client::new().request(Method::GET, url).bearer_auth(&server.token);
    let (_, answer) = envelope(request.send().await.expect("an answer")).await;
    answer.assert_refused("UnknownAttribute");
    let expected = "The attribute colour does not exist; what there is here is token, customer_event_identifier and \
                    fields_set.";
    assert_eq!(answer.message, expected);
    let token = json!({"access_token_identifier": {"one_time_password": true}});
    let described = description_of(&server, "referred_rewards_participant_identifier", token).await;
    assert_eq!(described, "A text or a whole number in digits is expected.");
}

async fn an_event_without_attributes_is_told_which_it_needs(setup: Setup) {
    let server = Server::start(setup).await;
    let answer = server.create(json!({}), json!({})).await;
    answer.assert_refused("MissingMandatoryAttribute");
    assert!(answer.message.contains("One of the attributes performed_by_business_unit_identifier, "), "{answer:?}");
    let answer = server.create(json!({}), json!({"referral_customer_event": event("1", "01", "02")})).await;
    answer.assert_refused("UnknownAttribute");
    assert!(answer.message.ends_with("; its attributes stand by themselves here."), "{answer:?}");
}
