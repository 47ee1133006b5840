//! The secrets that tests use, none of which any server of any test may tell its log or its metrics.

/// How each token begins, the keys, and passwords that are no names as well.
const KNOWN: [&str; 6] = [
    "eyJ0eXAiOiJKV1Qi",
    "7070707070707070707070707070707070707070707070707070707070707070",
    "4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a",
    "seven green kettles",
    "password-s3cret",
    "opensesame",
];

#[track_caller]
pub fn assert_none_in(text: &str) {
    for secret in KNOWN {
        let line = text.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "a secret is told: {line:?}");
    }
}
