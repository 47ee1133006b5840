//! What a new password must be like. One that was given before is accepted for as long as it stays.

use std::collections::HashSet;

use zeroize::Zeroizing;

use crate::secret::Secret;

const SHORTEST: usize = 12;
/// More than anybody types, and far less than a login may send.
const LONGEST: usize = 1000;
/// So many characters must be there beside a word that is tried first.
const BESIDE_A_WORD: usize = 6;
/// So many characters of it must differ.
const DIFFERENT: usize = 5;
/// Names that are shorter occur in many words.
const SHORTEST_NAME: usize = 3;

/// What is tried first, in lower case, one a line.
const WORST: &str = include_str!("worst_passwords.txt");

/// Why a password is refused, for who gives it. It says nothing of the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    #[error("the password must have {SHORTEST} to {LONGEST} characters")]
    Length,
    #[error("the password repeats a few characters: at least {DIFFERENT} different ones are needed")]
    Repetition,
    #[error(
        "the password is one of those that are tried first, the name of the user or of the organisation, or little more \
         than that: choose another"
    )]
    Guessable,
}

/// Refuses a password that is easily guessed.
pub fn check_password(password: &Secret, user: &str, organisation: &str) -> Result<(), Weakness> {
    let password = Zeroizing::new(password.expose().to_lowercase());
    if !(SHORTEST..=LONGEST).contains(&password.chars().count()) {
        return Err(Weakness::Length);
    }
    if password.chars().collect::<HashSet<char>>().len() < DIFFERENT {
        return Err(Weakness::Repetition);
    }
    let names = [user, organisation].map(str::to_lowercase);
    let names = names.iter().map(String::as_str).filter(|name| name.chars().count() >= SHORTEST_NAME);
    let spellings = [plain(&password), password];
    let is_little_more = |word: &str| {
        let beside = |spelling: &str| spelling.split(word).map(|part| part.chars().count()).sum::<usize>();
        spellings.iter().any(|spelling| spelling.contains(word) && beside(spelling) < BESIDE_A_WORD)
    };
    if WORST.lines().chain(names).any(is_little_more) {
        return Err(Weakness::Guessable);
    }
    Ok(())
}

/// Takes back what stands for a letter.
fn plain(password: &str) -> Zeroizing<String> {
    let letter = |c| match c {
        '@' | '4' => 'a',
        '3' => 'e',
        '1' | '!' => 'i',
        '0' => 'o',
        '$' | '5' => 's',
        '7' => 't',
        other => other,
    };
    Zeroizing::new(password.chars().map(letter).collect())
}
