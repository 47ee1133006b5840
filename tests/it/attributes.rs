//! Attributes are stored as they came.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::{Bad, Server, Setup, event, tests, with};

tests! {
    Both: every_attribute_is_stored, what_is_not_given_is_not_stored, texts_are_not_altered, dates_keep_their_microseconds;
    Rest: dates_may_have_an_offset, a_date_of_another_form_is_told_the_form;
}

fn date(text: &str) -> DateTime<Utc> {
    text.parse().expect("a date")
}

async fn every_attribute_is_stored(setup: Setup) {
    let server = Server::start(setup).await;
    let mut full = event("1", "01", "02");
    full["classification_identifier"] = json!({"name": "Friend"});
    full["description"] = json!("a description");
    full["external_system"] = json!("till");
    full["external_system_reference_number"] = json!("R1");
    for n in 1..=8 {
        full[format!("udf_string_{n}")] = json!(format!("text {n}"));
    }
    let floats = [0.1, -1.5e300, 5e-324, 16_777_217.0];
    for (n, float) in (1..).zip(floats) {
        full[format!("udf_float_{n}")] = json!(float);
        full[format!("udf_date_{n}")] = json!(format!("201{n}-02-03T04:05:06"));
    }
    let before = Utc::now() - TimeDelta::microseconds(1);
    let answer = server.send(json!([full])).await;
    let after = Utc::now();
    answer.assert_outcome(&["1"], &[]);
    let stored = server.stored_events().await.remove(0);
    let processed = &answer.processed()[0];
    assert_eq!(processed["id"], stored.id.to_string());
    assert_eq!(processed["number"], stored.number.to_string());
    assert_eq!(stored.in_force, Some(true));
    assert_eq!(stored.performed_on, date("2016-06-22T15:00:00Z"));
    assert_eq!(stored.description.as_deref(), Some("a description"));
    assert_eq!(stored.external_system, "till");
    assert_eq!(stored.external_system_reference_number.as_deref(), Some("R1"));
    let texts = [
        stored.udf_string_1,
        stored.udf_string_2,
        stored.udf_string_3,
        stored.udf_string_4,
        stored.udf_string_5,
        stored.udf_string_6,
        stored.udf_string_7,
        stored.udf_string_8,
    ];
    assert_eq!(texts, std::array::from_fn(|n| Some(format!("text {}", n + 1))));
    assert_eq!([stored.udf_float_1, stored.udf_float_2, stored.udf_float_3, stored.udf_float_4], floats.map(Some));
    let dates = [stored.udf_date_1, stored.udf_date_2, stored.udf_date_3, stored.udf_date_4];
    assert_eq!(dates, [1, 2, 3, 4].map(|n| Some(date(&format!("201{n}-02-03T04:05:06Z")))));
    assert!((before..=after).contains(&stored.created_on), "{}", stored.created_on);
}

async fn what_is_not_given_is_not_stored(setup: Setup) {
    let server = Server::start(setup).await;
    server.send(json!([event("1", "01", "02")])).await.assert_outcome(&["1"], &[]);
    let stored = server.stored_events().await.remove(0);
    let texts = [
        stored.description,
        stored.external_system_reference_number,
        stored.udf_string_1,
        stored.udf_string_2,
        stored.udf_string_3,
        stored.udf_string_4,
        stored.udf_string_5,
        stored.udf_string_6,
        stored.udf_string_7,
        stored.udf_string_8,
    ];
    assert_eq!(texts, [const { None }; 10]);
    assert_eq!([stored.udf_float_1, stored.udf_float_2, stored.udf_float_3, stored.udf_float_4], [None; 4]);
    assert_eq!([stored.udf_date_1, stored.udf_date_2, stored.udf_date_3, stored.udf_date_4], [None; 4]);
    assert_eq!((stored.external_system.as_str(), stored.classification_key), ("", None));
}

async fn texts_are_not_altered(setup: Setup) {
    let server = Server::start(setup).await;
    let texts = [
        " leading and trailing ",
        "\ttab\r\nlines\n",
        "",
        "   ",
        "Ελληνικά, 日本語, العربية, 👩‍👩‍👧",
        // One letter in two spellings, neither of which becomes the other.
        "\u{e9} e\u{301}",
        "\u{feff}\u{202e}\u{10ffff}",
        "'; DROP TABLE referral_events; --",
        "\"quoted\\\" \\u0041 %s {} $1 ?",
        "null",
    ];
    let events: Vec<Value> = (1..)
        .zip(texts)
        .map(|(n, text)| {
            let mut event = event(&format!("{text}{n}"), &format!("{n:02}"), "60");
            event["description"] = json!(text);
            event["udf_string_8"] = json!(text);
            event["external_system"] = json!(text);
            event["external_system_reference_number"] = json!(format!("{text}{n}"));
            event
        })
        .collect();
    let answer = server.send(json!(events)).await;
    let identifiers: Vec<String> = (1..).zip(texts).map(|(n, text)| format!("{text}{n}")).collect();
    assert_eq!(answer.failures(), []);
    assert_eq!(answer.processed_identifiers(), identifiers);
    for ((text, identifier), stored) in texts.into_iter().zip(identifiers).zip(server.stored_events().await) {
        assert_eq!(stored.description.as_deref(), Some(text));
        assert_eq!(stored.udf_string_8.as_deref(), Some(text));
        assert_eq!(stored.external_system_reference_number, Some(identifier));
        // A blank system is none.
        assert_eq!(stored.external_system, if text.trim().is_empty() { "" } else { text });
    }
    // And read back for what they are: each reference finds its event.
    let again = server.send(json!(events)).await;
    assert_eq!(again, answer);
}

async fn dates_keep_their_microseconds(setup: Setup) {
    let server = Server::start(setup).await;
    let dates = [
        ("2016-06-22T15:00:00.123456", "2016-06-22T15:00:00.123456Z"),
        ("2016-06-22T15:00:00.000001", "2016-06-22T15:00:00.000001Z"),
        // Finer than the databases keep.
        ("2016-06-22T15:00:00.999999999", "2016-06-22T15:00:00.999999Z"),
        ("1969-12-31T23:59:59.999999", "1969-12-31T23:59:59.999999Z"),
        ("0001-01-01T00:00:00", "0001-01-01T00:00:00Z"),
        ("1900-02-28T23:59:59", "1900-02-28T23:59:59Z"),
    ];
    let events: Vec<Value> = (1..)
        .zip(dates)
        .map(|(n, (given, _))| {
            let mut event = event(&n.to_string(), &format!("{n:02}"), "60");
            event["performed_on"] = json!(given);
            event["udf_date_4"] = json!(given);
            event
        })
        .collect();
    let mut events = json!(events);
    // What performed_on may not be, another date may.
    events[5]["udf_date_4"] = json!("9999-12-31T23:59:59.999999");
    assert_eq!(server.send(events).await.failures(), []);
    let stored = server.stored_events().await;
    for ((given, kept), event) in dates.into_iter().zip(&stored) {
        assert_eq!(event.performed_on, date(kept), "{given}");
    }
    for ((given, kept), event) in dates.into_iter().zip(&stored).take(5) {
        assert_eq!(event.udf_date_4, Some(date(kept)), "{given}");
    }
    assert_eq!(stored[5].udf_date_4, Some(date("9999-12-31T23:59:59.999999Z")));
}

async fn dates_may_have_an_offset(setup: Setup) {
    let server = Server::start(setup).await;
    let dates = [
        ("2016-06-22T15:00:00", "2016-06-22T15:00:00Z"),
        ("2016-06-22T15:00:00Z", "2016-06-22T15:00:00Z"),
        ("2016-06-22T15:00:00+03:00", "2016-06-22T12:00:00Z"),
        ("2016-06-22T15:00:00-05:30", "2016-06-22T20:30:00Z"),
        ("2016-06-22T15:00:00.5+0300", "2016-06-22T12:00:00.5Z"),
        ("2016-06-22T00:30:00+01:00", "2016-06-21T23:30:00Z"),
    ];
    let events: Vec<Value> = (1..)
        .zip(dates)
        .map(|(n, (given, _))| {
            let mut event = event(&n.to_string(), &format!("{n:02}"), "60");
            event["performed_on"] = json!(given);
            event
        })
        .collect();
    assert_eq!(server.send(json!(events)).await.failures(), []);
    for ((given, kept), event) in dates.into_iter().zip(server.stored_events().await) {
        assert_eq!(event.performed_on, date(kept), "{given}");
    }
}

async fn a_date_of_another_form_is_told_the_form(setup: Setup) {
    let server = Server::start(setup).await;
    let dates = [
        "16-06-22T15:00:00",
        "22-06-16T15:00:00Z",
        "2016-6-22T15:00:00",
        "2016-06-22T15:0:00",
        "2016-06-22T15:00:00+02",
        "2016-06-22T15:00:00,5",
        "2016-06-22T15:00:00.",
        "2016-06-22T15:00:00 ",
        " 2016-06-22T15:00:00",
        "2016-06-22 15:00:00",
    ];
    let form = "such as 2016-06-22T15:00:00";
    let mut bad: Vec<Bad> =
        dates.iter().map(|date| Bad::new(with(date, "performed_on", json!(date)), "MalformedEvent", form)).collect();
    for (date, what) in [
        ("2016-12-31T23:59:60", "a leap second"),
        ("2016-02-30T00:00:00", "does not exist"),
        ("10000-01-01T00:00:00", "not in the years 0001 to 9999"),
    ] {
        bad.push(Bad::new(with(date, "performed_on", json!(date)), "InvalidAttributeValue", what));
    }
    server.assert_bad(&bad).await;
    for date in ["16-06-22T15:00:00", "2016-06-22T15:00:00+02"] {
        server.list(json!({"performed_on_from": date})).await.assert_refused("MalformedRequest");
    }
}
