//! Loads of any number of events: what a stream of chunks creates, and how it goes on after a break.

use std::{ops::Range, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tonic_types::StatusExt;

use crate::support::{Loading, Server, Setup, event, method, tests};

tests! {
    Grpc:
        a_load_is_answered_chunk_by_chunk,
        a_load_goes_on_where_it_was_at_every_replica,
        a_load_goes_on_after_a_break_at_each_step,
        a_chunk_is_answered_again_as_the_first_time,
        a_chunk_goes_on_where_the_load_does_and_nowhere_else,
        several_streams_may_be_open_for_one_load,
        streams_that_cut_a_load_in_different_ways_create_each_event_once,
        loads_and_keys_of_other_names_are_others,
        a_load_belongs_to_its_organisation,
        a_rehearsal_keeps_nothing,
        all_or_nothing_holds_for_each_chunk,
        a_load_names_the_fields_that_it_wants,
        a_load_is_forgotten_after_its_time,
        a_stream_begins_with_its_opening,
        a_refusal_names_the_attribute_by_its_path_from_the_message_on,
        a_chunk_has_the_limits_of_a_call,
        the_events_of_a_load_tell_its_request;
}

/// The events of these places in a file, of which no two refer the same party.
fn events(places: Range<usize>) -> Vec<Value> {
    places.map(|n| event(&n.to_string(), &format!("{:02}", n + 1), "60")).collect()
}

async fn a_load_is_answered_chunk_by_chunk(setup: Setup) {
    let server = Server::start(setup).await;
    let (mut load, next_offset) = server.load("file").await;
    assert_eq!(next_offset, 0);
    // Two are under way at once.
    load.send_chunk(0, &events(0..3));
    load.send_chunk(3, &[event("3", "01", "59"), event("4", "05", "60")]);
    let first = load.answer().await;
    first.assert_outcome(&["0", "1", "2"], &[]);
    assert_eq!((&first.data["offset"], &first.data["next_offset"]), (&json!(0), &json!(3)));
    assert_eq!(first.data["replayed"], false);
    let second = load.answer().await;
    second.assert_outcome(&["4"], &[("3", "ReferredByAnotherParticipant")]);
    // What is not created is answered too.
    assert_eq!((&second.data["offset"], &second.data["next_offset"]), (&json!(3), &json!(5)));
    assert_eq!(second.data["summary"], json!({"requested": 2, "processed": 1, "replayed": 0, "unprocessed": 1}));
    let index = |event: &Value| event["index"].clone();
    assert_eq!((index(&second.processed()[0]), index(&second.unprocessed()[0])), (json!(1), json!(0)));
    load.end().await;
    assert_eq!(server.stored_events().await.len(), 4);
}

async fn a_load_goes_on_where_it_was_at_every_replica(setup: Setup) {
    let server = Server::start(setup).await;
    let replica = server.replica().await;
    for (n, server) in [&server, &replica, &server, &replica].into_iter().enumerate() {
        let (mut load, next_offset) = server.load("file").await;
        assert_eq!(next_offset, n as u64 * 4);
        for begin in [n * 4, n * 4 + 2] {
            let answer = load.load(begin as u64, &events(begin..begin + 2)).await;
            assert_eq!(answer.processed().len(), 2, "{answer:?}");
        }
    }
    assert_eq!(server.stored_events().await.len(), 16);
}

async fn a_load_goes_on_after_a_break_at_each_step(setup: Setup) {
    let server = Server::start(setup).await;
    let replica = server.replica().await;
    let (mut load, _) = server.load("file").await;
    load.load(0, &events(0..1)).await.assert_outcome(&["0"], &[]);
    server.take_statements();
    load.load(1, &events(1..2)).await.assert_outcome(&["1"], &[]);
    let statements = server.take_statements();
    assert!(statements.len() > 4, "{statements:?}");
    for (n, statement) in (2..).zip(&statements) {
        let (load, next_offset) = server.load("file").await;
        assert_eq!(next_offset, n);
        let place = n as usize;
        let begun = statement.get(..120).unwrap_or(statement).to_owned();
        let held = server.hold_at(begun.leak());
        load.send_chunk(n, &events(place..place + 1));
        held.meanwhile(async { drop(load) }).await;
        // What was sent is sent again, whether or not it is known already.
        let (mut load, next_offset) = replica.load("file").await;
        assert!([n, n + 1].contains(&next_offset), "{next_offset} after a break at {n}: {statement}");
        load.load(n, &events(place..place + 1)).await.assert_outcome(&[&n.to_string()], &[]);
    }
    assert_eq!(server.stored_events().await.len(), 2 + statements.len());
}

async fn a_chunk_is_answered_again_as_the_first_time(setup: Setup) {
    let server = Server::start(setup).await;
    let (mut load, _) = server.load("file").await;
    let chunk = [event("1", "01", "20"), event("2", "01", "21")];
    let mut first = load.load(0, &chunk).await;
    first.assert_outcome(&["1"], &[("2", "ReferredByAnotherParticipant")]);
    load.load(2, &events(2..4)).await.assert_outcome(&["2", "3"], &[]);
    first.data["replayed"] = json!(true);
    assert_eq!(load.load(0, &chunk).await, first);
    let (mut other, next_offset) = server.load("file").await;
    assert_eq!((next_offset, other.load(0, &chunk).await), (4, first));
    // It moves nothing.
    other.load(4, &events(4..5)).await.assert_outcome(&["4"], &[]);
    for content in [&events(0..2)[..], &chunk[..1]] {
        let (mut load, _) = server.load("file").await;
        load.load(0, content).await.assert_refused("IdempotencyKeyReused");
    }
    assert_eq!(server.stored_events().await.len(), 4);
}

async fn a_chunk_goes_on_where_the_load_does_and_nowhere_else(setup: Setup) {
    let server = Server::start(setup).await;
    let (mut load, _) = server.load("file").await;
    assert_eq!(load.next_offset_told(1, &events(0..1)).await, "0");
    let (mut load, _) = server.load("file").await;
    load.load(0, &events(0..3)).await.assert_outcome(&["0", "1", "2"], &[]);
    for offset in [1, 2, 4, 1000, u64::MAX] {
        let (mut load, next_offset) = server.load("file").await;
        assert_eq!(next_offset, 3);
        assert_eq!(load.next_offset_told(offset, &events(5..6)).await, "3", "{offset}");
    }
    assert_eq!(server.stored_events().await.len(), 3);
}

async fn several_streams_may_be_open_for_one_load(setup: Setup) {
    let server = Server::start(setup).await;
    let (mut one, _) = server.load("file").await;
    let (mut other, _) = server.load("file").await;
    one.load(0, &events(0..2)).await.assert_outcome(&["0", "1"], &[]);
    assert_eq!(other.load(0, &events(0..2)).await.data["replayed"], true);
    other.load(2, &events(2..3)).await.assert_outcome(&["2"], &[]);
    // It has not heard of the chunk of the other stream.
    one.load(3, &events(3..4)).await.assert_outcome(&["3"], &[]);
    other.load(3, &events(4..5)).await.assert_refused("IdempotencyKeyReused");
    assert_eq!(server.stored_events().await.len(), 4);
}

async fn streams_that_cut_a_load_in_different_ways_create_each_event_once(setup: Setup) {
    const EVENTS: usize = 48;
    let server = Server::start(setup).await;
    let replica = server.replica().await;
    let stream = async |server: &Server, size: usize| {
        let mut fresh = Vec::new();
        loop {
            let (mut load, mut offset) = server.load("file").await;
            while offset < EVENTS as u64 {
                let begin = offset as usize;
                load.send_chunk(offset, &events(begin..(begin + size).min(EVENTS)));
                // Another one may have cut it there in another way.
                let Some(Ok(answer)) = load.next().await else { break };
                assert_eq!(answer["unprocessed_customer_events_set"], json!([]));
                offset = answer["next_offset"].as_u64().expect("an offset");
                if answer["replayed"] == false {
                    fresh.push(begin as u64..offset);
                }
            }
            if offset >= EVENTS as u64 {
                return fresh;
            }
        }
    };
    let streams = [(&server, 1), (&server, 2), (&replica, 3), (&replica, 5), (&server, 7)];
    let fresh = join_all(streams.map(|(server, size)| stream(server, size))).await;
    let mut fresh: Vec<Range<u64>> = fresh.into_iter().flatten().collect();
    fresh.sort_by_key(|range| range.start);
    let ends = fresh.iter().map(|range| range.end);
    assert!(fresh.iter().map(|range| range.start).eq([0].into_iter().chain(ends).take(fresh.len())), "{fresh:?}");
    assert_eq!(fresh.last().map(|range| range.end), Some(EVENTS as u64));
    assert_eq!(server.stored_events().await.len(), EVENTS);
}

async fn loads_and_keys_of_other_names_are_others(setup: Setup) {
    let server = Server::start(setup).await;
    let longest = "~".repeat(128);
    let names = ["a", "a/", "a/00000000000000000000", "a0", "a!", "A", "!", &longest];
    for (n, name) in names.iter().enumerate() {
        let (mut load, next_offset) = server.load(name).await;
        assert_eq!(next_offset, 0, "{name}");
        load.load(0, &events(n..n + 1)).await.assert_outcome(&[&n.to_string()], &[]);
    }
    for name in names {
        assert_eq!(server.load(name).await.1, 1, "{name}");
    }
    // A call under the key that a chunk has is another call.
    let request = json!({"token": server.token, "referral_customer_events_set": [event("x", "40", "60")]});
    let (answer, is_marked) = server.bulk_under("a 00000000000000000000", request).await;
    answer.assert_outcome(&["x"], &[]);
    assert!(!is_marked);
}

async fn a_load_belongs_to_its_organisation(setup: Setup) {
    let server = Server::start(setup).await;
    let (mut load, _) = server.load("file").await;
    load.load(0, &events(0..2)).await.assert_outcome(&["0", "1"], &[]);
    // Another user of it goes on.
    let adam = server.login("acme", "adam").await;
    let (_, next_offset) = server.load_with(json!({"load_id": "file", "token": adam})).await;
    assert_eq!(next_offset, 2);
    let oscar = server.login("other", "oscar").await;
    let (_, next_offset) = server.load_with(json!({"load_id": "file", "token": oscar})).await;
    assert_eq!(next_offset, 0);
}

async fn a_rehearsal_keeps_nothing(setup: Setup) {
    let server = Server::start(setup).await;
    let (mut load, _) = server.load("file").await;
    load.load(0, &events(0..1)).await.assert_outcome(&["0"], &[]);
    let open = json!({"load_id": "file", "token": server.token, "validate_only": true});
    let (mut rehearsal, next_offset) = server.load_with(open.clone()).await;
    assert_eq!(next_offset, 0);
    for begin in [7, 9] {
        let answer = rehearsal.load(begin as u64, &events(begin..begin + 2)).await;
        assert_eq!((answer.processed().len(), &answer.data["replayed"]), (2, &json!(false)), "{answer:?}");
        assert!(answer.processed().iter().all(|event| event["id"].is_null()), "{answer:?}");
    }
    assert_eq!(rehearsal.next_offset_told(7, &events(7..9)).await, "11");
    let (mut rehearsal, _) = server.load_with(open).await;
    rehearsal.load(0, &events(0..1)).await.assert_outcome(&[], &[("0", "ReferralAlreadyExists")]);
    assert_eq!(rehearsal.next_offset_told(2, &events(2..3)).await, "1");
    assert_eq!(server.load("file").await.1, 1);
    assert_eq!(server.stored_events().await.len(), 1);
}

async fn all_or_nothing_holds_for_each_chunk(setup: Setup) {
    let server = Server::start(setup).await;
    let open = json!({"load_id": "file", "token": server.token, "all_or_nothing": true});
    let (mut load, _) = server.load_with(open).await;
    load.load(0, &events(0..2)).await.assert_outcome(&["0", "1"], &[]);
    let answer = load.load(2, &[event("2", "03", "60"), event("3", "01", "59")]).await;
    answer.assert_outcome(&[], &[("2", "NotAttempted"), ("3", "ReferredByAnotherParticipant")]);
    load.load(4, &events(4..5)).await.assert_outcome(&["4"], &[]);
}

async fn a_load_names_the_fields_that_it_wants(setup: Setup) {
    let server = Server::start(setup).await;
    let open = |fields: Value| json!({"load_id": "file", "token": server.token, "fields_set": fields});
    let (mut load, _) = server.load_with(open(json!(["number"]))).await;
    let first = load.load(0, &events(0..1)).await;
    let number = first.processed()[0]["number"].clone();
    assert_eq!(first.processed(), [json!({"number": number})]);
    assert_eq!(first.data["summary"], Value::Null);
    // What is kept has all of them.
    let (mut load, _) = server.load_with(open(json!(["request_unique_identifier"]))).await;
    assert_eq!(load.load(0, &events(0..1)).await.processed(), [json!({"request_unique_identifier": "0"})]);
    let mut load = Loading::begin(server.channel(), &[]).await.expect("a stream");
    load.send(json!({"open": open(json!(["size"]))}));
    load.answer().await.assert_refused("InvalidFieldsSet");
}

async fn a_load_is_forgotten_after_its_time(setup: Setup) {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let server = Server::start(setup).await;
    let (mut load, _) = server.load("file").await;
    load.load(0, &events(0..2)).await.assert_outcome(&["0", "1"], &[]);
    server.advance(4 * DAY);
    let login = async || server.login("acme", "carla").await;
    let open = async || server.load_with(json!({"load_id": "file", "token": login().await})).await;
    let (mut load, next_offset) = open().await;
    assert_eq!(next_offset, 2);
    load.load(2, &events(2..3)).await.assert_outcome(&["2"], &[]);
    // The first chunk is forgotten, and the load is not: nothing is created twice.
    server.advance(4 * DAY);
    let (mut load, next_offset) = open().await;
    assert_eq!(next_offset, 3);
    assert_eq!(load.next_offset_told(0, &events(0..2)).await, "3");
    server.advance(4 * DAY);
    assert_eq!(open().await.1, 0);
}

async fn a_stream_begins_with_its_opening(setup: Setup) {
    let server = Server::start(setup).await;
    let token = &server.token;
    let open = json!({"open": {"load_id": "file", "token": token}});
    let with_id = |id: &str| json!({"open": {"load_id": id, "token": token}});
    for (messages, code) in [
        (vec![json!({"chunk": {"offset": 0}})], "InvalidToken"),
        (vec![json!({})], "InvalidToken"),
        (vec![json!({"open": {"load_id": "file"}})], "InvalidToken"),
        (vec![json!({"open": {"load_id": "file", "token": "nonsense"}})], "InvalidToken"),
        (vec![json!({"open": {"token": token}})], "MissingMandatoryAttribute"),
        (vec![with_id("")], "MissingMandatoryAttribute"),
        (vec![with_id(&"a".repeat(129))], "MalformedRequest"),
        (vec![with_id("a file")], "MalformedRequest"),
        (vec![with_id("α")], "MalformedRequest"),
        (vec![with_id(&"a".repeat(70_000))], "RequestTooLarge"),
        (vec![open.clone(), open.clone()], "MalformedRequest"),
        (vec![open.clone(), json!({})], "MalformedRequest"),
    ] {
        let mut load = Loading::begin(server.channel(), &[]).await.expect("a stream");
        for message in &messages {
            load.send(message.clone());
        }
        for _ in 1..messages.len() {
            assert_eq!(load.answer().await.code, "OK");
        }
        load.answer().await.assert_refused(code);
    }
    // With the token in the header.
    let bearer = format!("Bearer {token}");
    for message in [json!({"chunk": {"offset": 0}}), json!({})] {
        let mut load = Loading::begin(server.channel(), &[("authorization", &bearer)]).await.expect("a stream");
        load.send(message);
        load.answer().await.assert_refused("MalformedRequest");
    }
    let status = Loading::begin(server.channel(), &[("authorization", "Bearer nonsense")]).await.err();
    assert_eq!(status.map(|status| status.code()), Some(tonic::Code::Unauthenticated));
    let mut load = Loading::begin(server.channel(), &[("authorization", &bearer)]).await.expect("a stream");
    load.send(json!({"open": {"load_id": "file"}}));
    assert_eq!(load.answer().await.data["next_offset"], 0);
    load.end().await;
}

async fn a_refusal_names_the_attribute_by_its_path_from_the_message_on(setup: Setup) {
    let server = Server::start(setup).await;
    let open = |open: Value| (json!({"open": open}), Value::Null);
    let chunk = |chunk: Value| (json!({"open": {"load_id": "file", "token": server.token}}), json!({"chunk": chunk}));
    for ((first, second), path) in [
        (open(json!({"token": server.token})), "open.load_id"),
        (open(json!({"token": server.token, "load_id": "a file"})), "open.load_id"),
        (open(json!({"token": server.token, "load_id": "file", "fields_set": ["nonsense"]})), "open.fields_set"),
        (chunk(json!({"referral_customer_events_set": events(0..1)})), "chunk.offset"),
        (chunk(json!({"offset": 7, "referral_customer_events_set": events(0..1)})), "chunk.offset"),
        (chunk(json!({"offset": 0})), "chunk.referral_customer_events_set"),
    ] {
        let mut load = Loading::begin(server.channel(), &[]).await.expect("a stream");
        load.send(first);
        if !second.is_null() {
            assert_eq!(load.answer().await.code, "OK");
            load.send(second);
        }
        let refused = load.next().await.expect("an answer").expect_err("a refusal");
        let details = refused.get_error_details();
        let violations = &details.bad_request().expect("a BadRequest").field_violations;
        assert_eq!(violations.iter().map(|violation| violation.field.as_str()).collect::<Vec<_>>(), [path]);
    }
}

async fn a_chunk_has_the_limits_of_a_call(setup: Setup) {
    let server = Server::start(setup).await;
    let thousand_and_one: Vec<Value> = (0..1001).map(|n| json!({"request_unique_identifier": n.to_string()})).collect();
    for (chunk, code) in [
        (json!({"offset": 0}), "MissingMandatoryAttribute"),
        (json!({"referral_customer_events_set": events(0..1)}), "MissingMandatoryAttribute"),
        (json!({"offset": 0, "referral_customer_events_set": thousand_and_one}), "MaximumNumberOfEventsExceeded"),
    ] {
        let (mut load, next_offset) = server.load("file").await;
        assert_eq!(next_offset, 0);
        load.send(json!({"chunk": chunk}));
        load.answer().await.assert_refused(code);
    }
    let (mut load, _) = server.load("file").await;
    let answer = load.load(0, &thousand_and_one[..1000]).await;
    assert_eq!((answer.unprocessed().len(), &answer.data["next_offset"]), (1000, &json!(1000)));
}

async fn the_events_of_a_load_tell_its_request(setup: Setup) {
    let server = Server::start(setup).await;
    let (mut load, _) = server.load("file").await;
    load.load(0, &events(0..2)).await.assert_outcome(&["0", "1"], &[]);
    load.load(2, &events(2..3)).await.assert_outcome(&["2"], &[]);
    let request = json!({"token": server.token, "request_id": load.request_id, "created_by": "carla"});
    let listed = server.call(&method("ListReferralEvents"), request, &[]).await;
    assert_eq!(listed.data["customer_events_set"].as_array().map(Vec::len), Some(3), "{listed:?}");
}
