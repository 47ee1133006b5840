//! Where TAPs are, and of which places they are the default.

use std::collections::BTreeMap;

use super::row::Cell;
use crate::id::EntryKey;

/// A place that can have a default TAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Home {
    BusinessUnit(EntryKey),
    Unit(EntryKey),
}

/// What becomes of a place's default TAP.
#[derive(Debug, Default)]
pub struct DefaultTap {
    pub set: Option<EntryKey>,
    /// Not the default any more, where one of these is it.
    pub cleared: Vec<EntryKey>,
}

pub type DefaultTaps = BTreeMap<Home, DefaultTap>;

/// Where a TAP is.
#[derive(Default)]
pub struct Place {
    pub unit: Option<EntryKey>,
    pub unit_business_unit: Option<EntryKey>,
    pub business_unit: Option<EntryKey>,
}

impl Place {
    /// The place whose default the TAP can be.
    pub fn home(&self) -> Option<Home> {
        self.unit.map(Home::Unit).or(self.business_unit.map(Home::BusinessUnit))
    }

    pub fn make_default(&self, tap: EntryKey, taps: &mut DefaultTaps) {
        if let Some(home) = self.home() {
            taps.entry(home).or_default().set = Some(tap);
        }
    }

    /// Moves a stored TAP here from its `former` place, whose default was `former_default`: it stays the default only
    /// of the place where it is. Answers whether it becomes a default, or is one no more.
    pub fn take_over(
        &self,
        tap: EntryKey,
        is_default: &Cell,
        former: &Self,
        former_default: Option<EntryKey>,
        taps: &mut DefaultTaps,
    ) -> bool {
        let mut was_default = false;
        let mut stays_default = false;
        if let Some(home) = former.home() {
            let planned = taps.get(&home).and_then(|planned| planned.set);
            was_default = planned.or(former_default) == Some(tap);
            if self.home() != Some(home) || matches!(is_default, Cell::Flag(false) | Cell::Empty) {
                taps.entry(home).or_default().cleared.push(tap);
            } else {
                stays_default = was_default;
            }
        }
        if is_default == &Cell::Flag(true) {
            self.make_default(tap, taps);
            stays_default = true;
        }
        was_default != stays_default
    }
}
