//! Where an event was performed, from the places that it names. Pure.

use crate::{id::EntryKey, storage::directory_entries::Entry};

/// The places that an event names, as the directory has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct NamedPlaces {
    pub business_unit: Option<Entry>,
    pub unit: Option<Entry>,
    pub tap: Option<Entry>,
    pub device: Option<Entry>,
}

/// The places of an event, those that follow from the named ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerformedBy {
    pub business_unit_key: Option<EntryKey>,
    pub unit_key: Option<EntryKey>,
    pub tap_key: Option<EntryKey>,
    pub device_key: Option<EntryKey>,
}

/// The named places disagree.
#[derive(Debug, PartialEq, Eq)]
pub struct Mismatch;

/// Completes the places: a device sets its unit; a unit its business unit and its default TAP, else that of its
/// business unit; a business unit its default TAP; a TAP its unit and business unit.
pub fn derive(named: NamedPlaces) -> Result<PerformedBy, Mismatch> {
    // A device without a unit says nothing of where it stands.
    let device_unit = named.device.filter(|device| device.unit_key.is_some());
    let unit = named.unit.or(device_unit);
    if let (Some(unit), Some(device)) = (unit, device_unit) {
        require(unit.unit_key == device.unit_key)?;
    }
    if let (Some(unit), Some(tap)) = (unit, named.tap) {
        // A TAP without a unit serves all units of its business unit.
        let belongs = match tap.unit_key {
            Some(_) => tap.unit_key == unit.unit_key,
            None => tap.business_unit_key.is_some() && tap.business_unit_key == unit.business_unit_key,
        };
        require(belongs)?;
    }
    if let Some(business_unit) = named.business_unit {
        for place in [unit, named.tap].into_iter().flatten() {
            require(place.business_unit_key == Some(business_unit.key))?;
        }
    }
    let place = unit.or(named.tap).or(named.business_unit);
    Ok(PerformedBy {
        business_unit_key: place.and_then(|place| place.business_unit_key),
        unit_key: place.and_then(|place| place.unit_key),
        tap_key: named.tap.or(place).and_then(|place| place.tap_key),
        device_key: named.device.map(|device| device.key),
    })
}

fn require(agrees: bool) -> Result<(), Mismatch> {
    if agrees { Ok(()) } else { Err(Mismatch) }
}
