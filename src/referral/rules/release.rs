//! The releases of the API.

use std::{fmt, str::FromStr};

/// A release of the API, such as R17.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    major: u32,
    minor: u32,
}

impl Release {
    const OLDEST: Self = release(10, 0);
    const NEWEST: Self = release(18, 0);
}

pub(super) const fn release(major: u32, minor: u32) -> Release {
    Release { major, minor }
}

impl Default for Release {
    fn default() -> Self {
        Self::NEWEST
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R{}.{}", self.major, self.minor)
    }
}

/// A text that names no release of the API.
#[derive(Debug, thiserror::Error)]
#[error("a release is one of {} to {}, such as R17.0", Release::OLDEST, Release::NEWEST)]
pub struct NoSuchRelease;

impl FromStr for Release {
    type Err = NoSuchRelease;

    fn from_str(text: &str) -> Result<Self, NoSuchRelease> {
        let number = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_digit()) {
            true => digits.parse().map_err(|_| NoSuchRelease),
            false => Err(NoSuchRelease),
        };
        let (major, minor) = text.strip_prefix('R').and_then(|rest| rest.split_once('.')).ok_or(NoSuchRelease)?;
        let read = release(number(major)?, number(minor)?);
        if (Self::OLDEST..=Self::NEWEST).contains(&read) { Ok(read) } else { Err(NoSuchRelease) }
    }
}
