//! Events whose JSON is not that of an event: each fails alone, whatever it is.

use serde_json::{Value, json};

use crate::support::{Answer, Bad, Leaf, Server, Setup, event, leaves, tests, with};

tests! {
    Rest:
        what_is_no_object_is_no_event,
        attributes_in_their_order_without_their_names_are_no_object,
        an_attribute_of_the_wrong_type_is_named,
        an_attribute_that_does_not_exist_is_named_by_its_path,
        an_attribute_that_is_given_twice_spoils_its_event,
        text_that_is_no_unicode_spoils_its_event,
        depth_spoils_its_event_alone,
        what_looks_like_a_date_and_is_none_is_an_invalid_value,
        a_number_that_is_too_large_is_an_invalid_value,
        a_number_is_the_one_that_is_nearest,
        a_one_time_password_is_a_whole_number_or_a_text,
        null_is_absent_everywhere;
}

/// The text of a good event with more members behind its own.
fn with_members(identifier: &str, members: &str) -> String {
    let event = event(identifier, "01", "02").to_string();
    format!("{},{members}}}", event.strip_suffix('}').expect("an object"))
}

async fn what_is_no_object_is_no_event(setup: Setup) {
    let server = Server::start(setup).await;
    let nested = format!("[{}]", event("inner", "01", "02"));
    let text = json!(event("inner", "01", "02").to_string()).to_string();
    let values = [
        "null",
        "0",
        "-1.5e300",
        "1e999",
        "\"text\"",
        "\"\"",
        "\"\\ud800\"",
        "true",
        "false",
        "[[]]",
        "[null]",
        "[{}]",
        &nested,
        &text,
    ];
    let bad: Vec<Bad> = values.into_iter().map(|value| Bad::new(value, "MalformedEvent", "not an object")).collect();
    server.assert_bad(&bad).await;
    server.assert_serving().await;
}

async fn attributes_in_their_order_without_their_names_are_no_object(setup: Setup) {
    let server = Server::start(setup).await;
    let mut attributes = vec![Value::Null; 30];
    attributes[0] = json!("1");
    let mut bad = vec![Bad::new(json!(attributes).to_string(), "MalformedEvent", "not an object")];
    let (party, token) = ("referred_rewards_participant_identifier", "access_token_identifier");
    for (path, value) in [
        ("performed_by_unit_identifier".to_owned(), json!([null, "Admin Unit", null])),
        ("classification_identifier".to_owned(), json!([null, "Friend"])),
        (party.to_owned(), json!([null, "RP01", null])),
        (format!("{party}.{token}"), json!(["AUTH20", null, null, null])),
    ] {
        bad.push(Bad::new(with(&path, &path, value), "MalformedEvent", &path));
    }
    server.assert_bad(&bad).await;
}

async fn an_attribute_of_the_wrong_type_is_named(setup: Setup) {
    let server = Server::start(setup).await;
    let mut bad = Vec::new();
    for (path, leaf) in leaves() {
        let mut values = vec![json!(true), json!([]), json!([null]), json!({}), json!({"seconds": 1}), json!(-1.5)];
        match leaf {
            Leaf::Text => values.push(json!(["text"])),
            Leaf::Number => {
                values.retain(|value| !value.is_number());
                values.extend([json!("1"), json!(""), json!("NaN")]);
            }
            Leaf::Date => {
                let texts = ["today", "2016-06-22", "15:00:00", "22/06/2016", "2016-06-22 15:00:00", "1466607600"];
                values.extend(texts.map(|text| json!(text)));
                values.push(json!(1_466_607_600));
            }
        }
        for (n, value) in values.into_iter().enumerate() {
            bad.push(Bad::new(with(&format!("{path} {n}"), &path, value), "MalformedEvent", &path));
        }
        // What contains it is an object.
        if let Some((object, _)) = path.rsplit_once('.') {
            for (n, value) in [json!("text"), json!(1), json!(false), json!([{}])].into_iter().enumerate() {
                bad.push(Bad::new(with(&format!("{path} in {n}"), object, value), "MalformedEvent", object));
            }
        }
    }
    // In several calls: of more than 1000 events none is one.
    for bad in bad.chunks(400) {
        server.assert_bad(bad).await;
    }
    server.assert_serving().await;
}

async fn an_attribute_that_does_not_exist_is_named_by_its_path(setup: Setup) {
    let server = Server::start(setup).await;
    let mut paths = vec!["colour".to_owned(), "Performed_On".to_owned(), "performedOn".to_owned(), "token".to_owned()];
    paths.extend(["id", "number", "udf_string_9", "udf_string_0", " description", "performed_on "].map(str::to_owned));
    let objects: std::collections::BTreeSet<String> =
        leaves().iter().filter_map(|(path, _)| path.rsplit_once('.')).map(|(object, _)| object.to_owned()).collect();
    assert!(objects.contains("referred_by_rewards_participant_identifier.access_token_identifier"), "{objects:?}");
    paths.extend(objects.into_iter().map(|object| format!("{object}.colour")));
    let mut bad: Vec<Bad> =
        paths.iter().map(|path| Bad::new(with(path, path, json!("red")), "UnknownAttribute", path)).collect();
    // Nor does one exist that has no name, or one that nobody wants to read.
    bad.push(Bad::new(with("no name", "", json!(1)), "UnknownAttribute", ""));
    bad.push(Bad::new(with("long", &"x".repeat(100_000), json!(1)), "UnknownAttribute", "x".repeat(100)));
    bad.push(Bad::new(with("control", "a\0\u{1b}b", json!(1)), "UnknownAttribute", "a"));
    bad.push(Bad::new(with("object", "colour", json!({"red": [1, {"green": null}]})), "UnknownAttribute", "colour"));
    server.assert_bad(&bad).await;
    let answer =
        server.send(json!([with("1", &"x".repeat(100_000), json!(1)), with("2", "a\0\u{1b}b", json!(1))])).await;
    for event in answer.unprocessed() {
        let description = event["error_description"].as_str().expect("a text");
        assert!(description.len() < 300 && !description.contains(char::is_control), "{description}");
    }
}

async fn an_attribute_that_is_given_twice_spoils_its_event(setup: Setup) {
    let server = Server::start(setup).await;
    let date = r#""performed_on":"2016-06-22T15:00:00""#;
    let bad = [
        Bad::new(with_members("1", date), "MalformedEvent", "performed_on"),
        Bad::new(with_members("2", r#""performed_\u006fn":"2016-06-22T15:00:00""#), "MalformedEvent", "performed_on"),
        Bad::new(with_members("3", r#""performed_on":null"#), "MalformedEvent", "performed_on"),
        Bad::new(with_members("4", r#""description":null,"description":"x""#), "MalformedEvent", "description"),
        Bad::new(
            with_members("5", r#""classification_identifier":{"name":"Friend","name":"Friend"}"#),
            "MalformedEvent",
            "classification_identifier.name",
        ),
        Bad::new(
            with_members(
                "5b",
                r#""referred_accounts_receivable_identifier":{"access_token_identifier":{"pass_code":null,"pass_code":"1"}}"#,
            ),
            "MalformedEvent",
            "referred_accounts_receivable_identifier.access_token_identifier.pass_code",
        ),
        Bad::new(
            with_members("6", r#""performed_by_unit_identifier":{"name":"Admin Unit"}"#),
            "MalformedEvent",
            "performed_by_unit_identifier",
        ),
        Bad::new(
            with_members("7", r#""request_unique_identifier":"8""#),
            "MalformedEvent",
            "request_unique_identifier",
        ),
        Bad::new(with_members("9", r#""colour":1,"colour":2"#), "UnknownAttribute", "colour"),
    ];
    server.assert_bad(&bad).await;
}

async fn text_that_is_no_unicode_spoils_its_event(setup: Setup) {
    let server = Server::start(setup).await;
    let attributes = [r"\ud800", r"\udc00", r"\ud800\ud800", r"a\udfffb", r"\ud83d", r"\ud83dx"];
    let mut bad: Vec<Bad> = (0..)
        .zip(attributes)
        .map(|(n, text)| {
            let event = with_members(&n.to_string(), &format!(r#""description":"{text}""#));
            Bad::new(event, "MalformedEvent", "description")
        })
        .collect();
    let nested = with_members("nested", r#""classification_identifier":{"name":"\ud800"}"#);
    bad.push(Bad::new(nested, "MalformedEvent", "classification_identifier.name"));
    bad.push(Bad::new(r#"{"request_unique_identifier":"\ud800"}"#, "MalformedEvent", "request_unique_identifier"));
    server.assert_bad(&bad).await;

    // A name that cannot be read leaves the event its identifier.
    let name = with_members("name", r#""\ud800":1"#);
    let name_within = with_members("name within", r#""classification_identifier":{"a\udc00":1}"#);
    let answer = post_events(&server, &[event("1", "03", "04").to_string(), name, name_within]).await;
    answer.assert_outcome(&["1"], &[("name", "MalformedEvent"), ("name within", "MalformedEvent")]);
    for (event, path) in answer.unprocessed().iter().zip([r"\ud800", r"classification_identifier.a\udc00"]) {
        let description = event["error_description"].as_str().expect("a text");
        assert!(description.contains(path), "{description}");
    }

    // A pair of them is a character.
    let pair = with_members("pair", r#""description":"\ud83d\ude00""#);
    post_events(&server, &[pair]).await.assert_outcome(&["pair"], &[]);
    assert_eq!(server.stored_events().await.last().expect("an event").description.as_deref(), Some("😀"));
}

async fn post_events(server: &Server, events: &[String]) -> Answer {
    let events = events.join(",");
    let body = format!(r#"{{"token":"{}","referral_customer_events_set":[{events}]}}"#, server.token);
    server.post_text("customer_events/bulk/referrals/create", body).await.1
}

async fn depth_spoils_its_event_alone(setup: Setup) {
    let server = Server::start(setup).await;
    let deep = 100_000;
    let array = "[".repeat(deep) + &"]".repeat(deep);
    let object = r#"{"a":"#.repeat(deep) + "1" + &"}".repeat(deep);
    let both = r#"[{"number":"#.repeat(deep) + "1" + &"}]".repeat(deep);
    let identifier = r#"{"access_token_identifier":"#.repeat(deep) + "{}" + &"}".repeat(deep);
    let mut bad = vec![
        Bad::new(&array, "MalformedEvent", "not an object"),
        Bad::new(&object, "UnknownAttribute", "a"),
        Bad::new(&both, "MalformedEvent", "not an object"),
    ];
    for (n, value) in [&array, &object, &both].into_iter().enumerate() {
        let event = with_members(&format!("unknown {n}"), &format!(r#""colour":{value}"#));
        bad.push(Bad::new(event, "UnknownAttribute", "colour"));
        for attribute in ["description", "udf_float_1", "udf_date_1"] {
            let event = with_members(&format!("{attribute} {n}"), &format!(r#""{attribute}":{value}"#));
            bad.push(Bad::new(event, "MalformedEvent", attribute));
        }
    }
    // As deep as it may be, and on.
    let attribute = "referred_accounts_receivable_identifier";
    let event = with_members("identifier", &format!(r#""{attribute}":{identifier}"#));
    bad.push(Bad::new(
        event,
        "UnknownAttribute",
        format!("{attribute}.access_token_identifier.access_token_identifier"),
    ));
    server.assert_bad(&bad).await;
    server.assert_serving().await;
}

async fn what_looks_like_a_date_and_is_none_is_an_invalid_value(setup: Setup) {
    let server = Server::start(setup).await;
    let dates = [
        "2016-13-45T00:00:00",
        "2016-02-30T00:00:00",
        "2015-02-29T00:00:00",
        "2016-00-01T00:00:00",
        "2016-06-22T24:00:00",
        "2016-06-22T15:60:00",
        "2016-06-22T15:00:61",
        "2016-12-31T23:59:60",
        "2016-06-22T15:00:00+99:99",
        "0000-12-31T23:59:59",
        "0001-01-01T00:00:00+00:01",
        "10000-01-01T00:00:00",
        "9999-12-31T23:59:59-00:01",
        "99999999999999999999-01-01T00:00:00",
    ];
    let mut bad = Vec::new();
    for attribute in ["performed_on", "udf_date_1", "udf_date_4"] {
        for date in dates {
            let event = with(&format!("{attribute} {date}"), attribute, json!(date));
            bad.push(Bad::new(event, "InvalidAttributeValue", attribute));
        }
    }
    server.assert_bad(&bad).await;
}

async fn a_number_that_is_too_large_is_an_invalid_value(setup: Setup) {
    let server = Server::start(setup).await;
    let digits = "9".repeat(400);
    let mut bad = Vec::new();
    for (n, number) in ["1e999", "-1e999", "1E+400", &digits].into_iter().enumerate() {
        for attribute in ["udf_float_1", "udf_float_4"] {
            let event = with_members(&format!("{attribute} {n}"), &format!(r#""{attribute}":{number}"#));
            bad.push(Bad::new(event, "InvalidAttributeValue", attribute));
        }
    }
    server.assert_bad(&bad).await;
    let numbers = ["0", "-0", "1e308", "-1.7976931348623157e308", "5e-324", "1e-999", "0.1", "12345678901234567890"];
    let events: Vec<String> =
        (1..).zip(numbers).map(|(n, number)| with_number(number, &event(number, &format!("{n:02}"), "60"))).collect();
    let answer = post_events(&server, &events).await;
    answer.assert_outcome(&numbers, &[]);
    let stored = server.stored_events().await;
    for (number, event) in numbers.iter().rev().zip(stored.iter().rev()) {
        assert_eq!(event.udf_float_2, Some(number.parse().expect("a number")), "{number}");
    }
}

/// Each of them is off by one bit where it is read carelessly.
async fn a_number_is_the_one_that_is_nearest(setup: Setup) {
    let server = Server::start(setup).await;
    let numbers = [
        "3.5844466002796428e298",
        "2.638344616030823e-256",
        "-1.0626305350010186e-4",
        "1.1125369292536007e-308",
        "9007199254740993",
        "123456789012345680001e-1",
    ];
    let events: Vec<String> =
        (1..).zip(numbers).map(|(n, number)| with_number(number, &event(number, &format!("{n:02}"), "60"))).collect();
    post_events(&server, &events).await.assert_outcome(&numbers, &[]);
    let stored = server.stored_events().await;
    for (number, event) in numbers.iter().rev().zip(stored.iter().rev()) {
        let nearest: f64 = number.parse().expect("a number");
        assert_eq!(event.udf_float_2.map(f64::to_bits), Some(nearest.to_bits()), "{number}");
    }
}

fn with_number(number: &str, event: &Value) -> String {
    let event = event.to_string();
    format!(r#"{},"udf_float_2":{number}}}"#, event.strip_suffix('}').expect("an object"))
}

async fn a_one_time_password_is_a_whole_number_or_a_text(setup: Setup) {
    let server = Server::start(setup).await;
    let attribute = "referred_by_rewards_participant_identifier";
    let path = format!("{attribute}.access_token_identifier.one_time_password");
    let by = |identifier: &str, password: &str| {
        let mut event = event(identifier, "05", "06");
        event.as_object_mut().expect("an object").remove(attribute);
        let event = event.to_string();
        let event = event.strip_suffix('}').expect("an object");
        format!(r#"{event},"{attribute}":{{"access_token_identifier":{{"one_time_password":{password}}}}}}}"#)
    };
    let mut bad = Vec::new();
    for (n, password) in
        ["-123456", "123456.0", "123456.5", "1.23456e5", "true", "[123456]", "{}"].into_iter().enumerate()
    {
        bad.push(Bad::new(by(&n.to_string(), password), "MalformedEvent", &path));
    }
    // Digits that lead to nobody, of any length. 20020 is not 020020.
    let digits = "9".repeat(255);
    for (n, password) in
        ["20020", "0", &digits, "\"0123456\"", "\" 123456\"", "\"１２３４５６\""].into_iter().enumerate()
    {
        bad.push(Bad::new(by(&format!("unknown {n}"), password), "InvalidAccessToken", "Access Token"));
    }
    let digits = "9".repeat(256);
    bad.push(Bad::new(by("long", &digits), "InvalidAttributeValue", &path));
    server.assert_bad(&bad).await;
    post_events(&server, &[by("good", "123456")]).await.assert_outcome(&["good"], &[]);
}

async fn null_is_absent_everywhere(setup: Setup) {
    let server = Server::start(setup).await;
    // Every attribute that a good event does not have, and every one that its identifiers do not have.
    let mut event = event("1", "01", "02");
    for (path, _) in leaves() {
        let mut place = &mut event;
        let names: Vec<&str> = path.split('.').collect();
        for name in &names {
            let object = place.as_object_mut().expect("an object");
            place = object.entry(*name).or_insert(Value::Null);
            if place.is_null() {
                break;
            }
        }
    }
    assert!(event["referred_accounts_receivable_identifier"].is_null());
    assert_eq!(
        event["performed_by_unit_identifier"],
        json!({"id": null, "name": "Admin Unit", "alternative_code": null})
    );
    let mut by_token = event.clone();
    by_token["request_unique_identifier"] = json!("2");
    by_token["referred_rewards_participant_identifier"] = json!({"number": "RP03"});
    by_token["referred_by_rewards_participant_identifier"] = json!({"id": null, "number": null,
        "access_token_identifier": {"authentication_code": "AUTH20", "identifier": null, "pass_code": null,
            "one_time_password": null}});
    let request = json!({"token": server.token, "fields_set": null, "referral_customer_events_set": [event, by_token]});
    server.bulk(request).await.assert_outcome(&["1", "2"], &[]);
    let stored = server.stored_events().await;
    assert!(stored.iter().all(|event| event.description.is_none() && event.udf_date_1.is_none()), "{stored:?}");

    let missing = "MissingMandatoryAttribute";
    let bad = [
        Bad::new(with("", "request_unique_identifier", json!(null)), missing, "request_unique_identifier"),
        Bad::new(with("date", "performed_on", json!(null)), missing, "performed_on"),
        Bad::new(with("place", "performed_by_unit_identifier", json!(null)), missing, "performed_by"),
        Bad::new(with("party", "referred_rewards_participant_identifier", json!(null)), missing, "referred"),
        Bad::new(
            with("field", "performed_by_unit_identifier.name", json!(null)),
            "InvalidIdentifier",
            "performed_by_unit_identifier",
        ),
    ];
    server.assert_bad(&bad).await;
}
