//! The statements that read pages of lists, for each index that leads to the events and each order.
//!
//! There is a text for each index, so that it is the index that is used: a planner that has no statistics of a table
//! that fills fast, or believes that the events it looks for are everywhere, would rather read all events by number.
//! The texts are put together when the program is compiled, for they differ in a line or two.

use super::sql::Sql;

/// In which order a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    NewestFirst,
    OldestFirst,
}

/// The index that leads to the events of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// All events, by number.
    Number,
    /// Those of one referrer, by number.
    ReferredBy,
    /// Those of one referred account: it has one in force, and a few that were cancelled.
    Referred,
    /// Those of one party on either side: of both indexes above.
    Either,
    /// Those of one external reference: it has one in force, and a few that were cancelled.
    ExternalReference,
}

/// $2 and $3 are the numbers between which the page lies, $4 to $11 what the column is to be, $12 whether the event is in
/// force, $13 to $16 the least and the greatest date, $17 the number of events to read, $18 a party on either side, $19
/// the external reference number, $20 the request and $21 the user that created the event, $22 the one that cancelled it.
/// NULL leaves a condition out.
macro_rules! page {
    ($table:literal, $led_by:literal, $order:literal) => {
        concat!(
            "SELECT e.* FROM ",
            $table,
            "\nWHERE e.organisation_id = $1 AND e.number > $2 AND e.number < $3",
            $led_by,
            "
    AND ($4 IS NULL OR e.referred_account_key = $4)
    AND ($5 IS NULL OR e.referred_by_account_key = $5)
    AND ($6 IS NULL OR e.classification_key = $6)
    AND ($7 IS NULL OR e.performed_by_business_unit_key = $7)
    AND ($8 IS NULL OR e.performed_by_unit_key = $8)
    AND ($9 IS NULL OR e.performed_by_tap_key = $9)
    AND ($10 IS NULL OR e.performed_by_device_key = $10)
    AND ($11 IS NULL OR e.external_system = $11)
    AND ($12 IS NULL OR (e.in_force IS NOT NULL) = $12)
    AND ($13 IS NULL OR e.performed_on >= $13)
    AND ($14 IS NULL OR e.performed_on <= $14)
    AND ($15 IS NULL OR e.created_on >= $15)
    AND ($16 IS NULL OR e.created_on <= $16)
    AND ($18 IS NULL OR $18 IN (e.referred_account_key, e.referred_by_account_key))
    AND ($19 IS NULL OR e.external_system_reference_number = $19)
    AND ($20 IS NULL AND $21 IS NULL OR EXISTS (
        SELECT 1 FROM (
            SELECT * FROM calls c WHERE c.organisation_id = $1 AND c.first_number <= e.number
            ORDER BY c.first_number DESC LIMIT 1) AS c
        WHERE c.last_number >= e.number AND ($20 IS NULL OR c.request_id = $20)
            AND ($21 IS NULL OR c.created_by = $21)))
    AND ($22 IS NULL OR $22 = (
        SELECT x.cancelled_by FROM cancellations x WHERE x.organisation_id = $1 AND x.number = e.number))
ORDER BY e.number ",
            $order,
            " LIMIT $17"
        )
    };
}

/// Of few events, which are all read.
macro_rules! page_of_few {
    ($led_by:literal, $order:literal) => {
        concat!(
            "WITH few AS MATERIALIZED (\n    SELECT * FROM referral_events e WHERE e.organisation_id = $1",
            $led_by,
            ")\n",
            page!("few e", "", $order)
        )
    };
}

/// An event of one party on both sides would be among those of the referrer alone.
macro_rules! page_of_either {
    ($table:literal, $order:literal) => {
        concat!(
            "WITH few AS MATERIALIZED (
    SELECT * FROM referral_events e WHERE e.organisation_id = $1 AND e.referred_account_key = $18
        AND e.referred_by_account_key <> $18)
SELECT e.* FROM (
SELECT * FROM (",
            page!($table, " AND e.referred_by_account_key = $18", $order),
            ") AS of_referrer\nUNION ALL\nSELECT * FROM (",
            page!("few e", "", $order),
            ") AS of_referred) AS e\nORDER BY e.number ",
            $order,
            " LIMIT $17"
        )
    };
}

/// For each engine. SQLite takes any two columns of an index for nearly a key: it would rather read all events by number
/// than be told the referrer.
macro_rules! by_referrer {
    ($text:ident!($($argument:literal),*)) => {
        Sql {
            postgres: $text!("referral_events e", $($argument),*),
            sqlite: $text!("referral_events e INDEXED BY referral_events_by_referrer_and_number", $($argument),*),
        }
    };
}

/// The events of a page.
pub fn page(index: Index, order: Order) -> Sql {
    use Order::{NewestFirst, OldestFirst};
    match (index, order) {
        (Index::Number, NewestFirst) => Sql::of_both(page!("referral_events e", "", "DESC")),
        (Index::Number, OldestFirst) => Sql::of_both(page!("referral_events e", "", "ASC")),
        (Index::ReferredBy, NewestFirst) => by_referrer!(page!(" AND e.referred_by_account_key = $5", "DESC")),
        (Index::ReferredBy, OldestFirst) => by_referrer!(page!(" AND e.referred_by_account_key = $5", "ASC")),
        (Index::Referred, NewestFirst) => Sql::of_both(page_of_few!(" AND e.referred_account_key = $4", "DESC")),
        (Index::Referred, OldestFirst) => Sql::of_both(page_of_few!(" AND e.referred_account_key = $4", "ASC")),
        (Index::Either, NewestFirst) => by_referrer!(page_of_either!("DESC")),
        (Index::Either, OldestFirst) => by_referrer!(page_of_either!("ASC")),
        (Index::ExternalReference, NewestFirst) => Sql::of_both(page_of_few!(
            "\n        AND e.external_system = $11 AND e.external_system_reference_number = $19",
            "DESC"
        )),
        (Index::ExternalReference, OldestFirst) => Sql::of_both(page_of_few!(
            "\n        AND e.external_system = $11 AND e.external_system_reference_number = $19",
            "ASC"
        )),
    }
}

macro_rules! nth_of_referrer {
    ($table:literal, $order:literal) => {
        concat!(
            "SELECT e.number FROM ",
            $table,
            "\nWHERE e.organisation_id = $1 AND e.number > $2 AND e.number < $3 AND e.referred_by_account_key = $5
ORDER BY e.number ",
            $order,
            " LIMIT 1 OFFSET $4"
        )
    };
}

/// A page that begins between the numbers $2 and $3 and reads $4 events at most, of all events or of those of referrer $5,
/// does not come to this event: its number, in the order of the list. `None` for an index to a few events.
///
/// Of all events it goes by the numbers: no two events have one, so $4 numbers are no more events than that.
pub fn end_of_reading(index: Index, order: Order) -> Option<Sql> {
    use Order::{NewestFirst, OldestFirst};
    match (index, order) {
        (Index::Number, NewestFirst) => Some(Sql::of_both(
            "\
SELECT e.number FROM referral_events e
WHERE e.organisation_id = $1 AND e.number > $2 AND e.number <= (
    SELECT f.number FROM referral_events f
    WHERE f.organisation_id = $1 AND f.number < $3 ORDER BY f.number DESC LIMIT 1) - $4
ORDER BY e.number DESC LIMIT 1",
        )),
        (Index::Number, OldestFirst) => Some(Sql::of_both(
            "\
SELECT e.number FROM referral_events e
WHERE e.organisation_id = $1 AND e.number < $3 AND e.number >= (
    SELECT f.number FROM referral_events f
    WHERE f.organisation_id = $1 AND f.number > $2 ORDER BY f.number LIMIT 1) + $4
ORDER BY e.number LIMIT 1",
        )),
        (Index::ReferredBy | Index::Either, NewestFirst) => Some(by_referrer!(nth_of_referrer!("DESC"))),
        (Index::ReferredBy | Index::Either, OldestFirst) => Some(by_referrer!(nth_of_referrer!("ASC"))),
        (Index::Referred | Index::ExternalReference, _) => None,
    }
}
