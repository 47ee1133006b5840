//! Random chunks on several streams of one load, answered as a naive model answers them.

use proptest::{
    collection::vec,
    prelude::*,
    sample::Index,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tonic_types::StatusExt;

use crate::support::{Loading, Server, Setup, tests};

tests! {
    Grpc: chunks_are_answered_as_the_model_says;
}

const STREAMS: usize = 3;

/// A chunk to send.
#[derive(Clone, Debug)]
struct Move {
    stream: usize,
    offset: Index,
    chunk: Chunk,
}

/// As many events, of one content or another.
#[derive(Clone, Debug, PartialEq)]
struct Chunk {
    events: u64,
    content: bool,
}

impl Chunk {
    /// Events of which none can be created: they are answered all the same.
    fn json(&self, offset: u64) -> Vec<Value> {
        let name = |n: u64| json!({"request_unique_identifier": format!("{n} {}", self.content)});
        (offset..offset + self.events).map(name).collect()
    }
}

/// What is answered to a chunk.
#[derive(Debug, PartialEq)]
enum Outcome {
    CarriedOut,
    Replayed,
    OtherContent,
    /// With the offset at which the load goes on.
    Elsewhere(u64),
}

/// The chunks of a load that were carried out, with their offsets.
#[derive(Default)]
struct Model(Vec<(u64, Chunk)>);

impl Model {
    fn next_offset(&self) -> u64 {
        self.0.iter().map(|(_, chunk)| chunk.events).sum()
    }

    fn send(&mut self, offset: u64, chunk: &Chunk) -> Outcome {
        let next_offset = self.next_offset();
        match self.0.iter().find(|(known, _)| *known == offset) {
            Some((_, known)) if known == chunk => Outcome::Replayed,
            Some(_) => Outcome::OtherContent,
            None if offset == next_offset => {
                self.0.push((offset, chunk.clone()));
                Outcome::CarriedOut
            }
            None => Outcome::Elsewhere(next_offset),
        }
    }
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let chunk = (1..4u64, any::<bool>()).prop_map(|(events, content)| Chunk { events, content });
    let one = (0..STREAMS, any::<Index>(), chunk).prop_map(|(stream, offset, chunk)| Move { stream, offset, chunk });
    vec(one, 1..30)
}

/// Sends a chunk; answers what became of it.
async fn send(load: &mut Loading, offset: u64, chunk: &Chunk) -> Outcome {
    load.send_chunk(offset, &chunk.json(offset));
    match load.next().await.expect("no end of the stream") {
        Ok(answer) => {
            let names: Vec<Value> =
                chunk.json(offset).iter().map(|event| event["request_unique_identifier"].clone()).collect();
            let answered = answer["unprocessed_customer_events_set"].as_array().expect("a set");
            assert!(answered.iter().map(|event| &event["request_unique_identifier"]).eq(&names), "{answer}");
            assert_eq!(answer["next_offset"], offset + chunk.events);
            if answer["replayed"] == true { Outcome::Replayed } else { Outcome::CarriedOut }
        }
        Err(status) => {
            let details = status.get_error_details();
            let info = details.error_info().expect("an ErrorInfo");
            match info.reason.as_str() {
                "IdempotencyKeyReusedException" => Outcome::OtherContent,
                "OffsetOutOfRangeException" => {
                    Outcome::Elsewhere(info.metadata["next_offset"].parse().expect("an offset"))
                }
                _ => panic!("{status:?}"),
            }
        }
    }
}

async fn chunks_are_answered_as_the_model_says(setup: Setup) {
    let server = Server::start(setup).await;
    let replica = server.replica().await;
    let check = async |moves: Vec<Move>| {
        let id = uuid::Uuid::new_v4().to_string();
        let mut model = Model::default();
        let mut streams: [Option<Loading>; STREAMS] = [None, None, None];
        for Move { stream, offset, chunk } in moves {
            let next_offset = model.next_offset();
            let server = if stream == 0 { &replica } else { &server };
            let load = match &mut streams[stream] {
                Some(open) => open,
                closed => {
                    let (load, opened_at) = server.load(&id).await;
                    prop_assert_eq!(opened_at, next_offset);
                    closed.insert(load)
                }
            };
            // Half of them where the load goes on.
            let ends = 2 * next_offset as usize + 4;
            let offset =
                Some(offset.index(ends) as u64).filter(|offset| *offset < next_offset + 2).unwrap_or(next_offset);
            let outcome = send(load, offset, &chunk).await;
            if matches!(outcome, Outcome::OtherContent | Outcome::Elsewhere(_)) {
                streams[stream] = None;
            }
            prop_assert_eq!(outcome, model.send(offset, &chunk));
        }
        Ok::<(), TestCaseError>(())
    };
    let config = Config { cases: 32, max_shrink_iters: 100, failure_persistence: None, ..Config::default() };
    tokio::task::block_in_place(|| {
        let outcome = TestRunner::new(config).run(&moves(), |moves| Handle::current().block_on(check(moves)));
        outcome.unwrap_or_else(|failure| panic!("{failure}"));
    });
}
