//! Those who refer and are referred: what is told of a participant, and the tree of referrals that a party stands in.

mod named;
mod participant;
mod tree;

pub use participant::Participant;
pub use tree::{ReferralTree, TreeNode, TreeRequest};
