//! The load of events by a stream of chunks.
//!
//! A chunk is a bulk call under an idempotency key that is made of the load's id and the chunk's offset (`chunk`): the
//! answers that are kept for repeats are all that is known of a load. `messages` reads the stream, each message within
//! the limits of a call, and `stream` answers them one after another, as its answers are taken.

mod chunk;
mod messages;
mod stream;

pub use messages::Messages;
pub use stream::{Incoming, LoadStream};
