//! Dates are read in one documented form, and what is refused is told what it is.

use chrono::{DateTime, Datelike, FixedOffset, SecondsFormat, TimeZone, Utc};
use proptest::{prelude::*, test_runner::TestRunner};
use referral_events::date;

use crate::support::{Directory, Importer, Setup, counts, tests, time};

tests! {
    NoCalls: dates_are_read_in_the_documented_form, what_is_no_such_date_is_refused_with_what_it_is;
    Once: every_moment_is_read_back_from_every_form;
}

fn file(from: &str) -> String {
    format!("identifier,rewards_participant_number,effective_from\nme,RP1,{from}\n")
}

async fn dates_are_read_in_the_documented_form(setup: Setup) {
    let directory = Directory::new(setup).await.with_participants().await;
    for (given, stored) in [
        ("2016-06-22T15:00:00", "2016-06-22T15:00:00Z"),
        ("2016-06-22T15:00:00.1234567", "2016-06-22T15:00:00.123456Z"),
        ("2016-06-22T15:00:00.12345678901234567890Z", "2016-06-22T15:00:00.123456Z"),
        ("2016-06-22T15:00:00Z", "2016-06-22T15:00:00Z"),
        ("2016-06-22T15:00:00z", "2016-06-22T15:00:00Z"),
        ("2016-06-22T15:00:00.25-05:30", "2016-06-22T20:30:00.25Z"),
        ("2016-06-22T15:00:00+0200", "2016-06-22T13:00:00Z"),
        ("2016-06-22T15:00:00.5-0030", "2016-06-22T15:30:00.5Z"),
        ("2016-06-22T00:30:00+23:59", "2016-06-21T00:31:00Z"),
        ("2016-02-29T00:00:00-00:00", "2016-02-29T00:00:00Z"),
        ("0001-01-01T00:00:00", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59", "9999-12-31T23:59:59Z"),
    ] {
        directory.load("access_tokens", &file(given)).await;
        assert_eq!(directory.token("me").await.effective_from, time(stored), "{given}");
    }
}

async fn what_is_no_such_date_is_refused_with_what_it_is(setup: Setup) {
    let form = "not a date and time like 2016-06-22T15:00:00, which may have a fraction, and Z or an offset like +02:00 \
                where it is not UTC";
    let no_such = "a date or time that does not exist";
    let leap_second = "a leap second, which is not counted; :59 is the last second of a minute";
    let year = "not in the years 0001 to 9999 of UTC";
    let acme = Importer::new(setup);
    acme.load("accounts_receivable", "number\nACR1\n");
    acme.load("rewards_participants", "number,accounts_receivable_number\nRP1,ACR1\n");
    let refused = [
        ("2016-06-22", form),
        ("2016-06-22 15:00:00", form),
        ("2016-06-22t15:00:00", form),
        ("2016-6-22T15:00:00", form),
        ("16-06-22T15:00:00", form),
        ("016-06-22T15:00:00", form),
        ("2016-06-22T15:00", form),
        ("2016-06-22T15:00:00.", form),
        ("2016-06-22T15:00:00,5", form),
        ("2016-06-22T15:00:00x", form),
        ("2016-06-22T15:00:00 Z", form),
        ("2016-06-22T15:00:00+2", form),
        ("2016-06-22T15:00:00+02", form),
        ("2016-06-22T15:00:00+02:0", form),
        ("2016-06-22T15:00:00+02:000", form),
        ("2016-06-22T15:00:00\u{2212}02:00", form),
        ("20160622T150000Z", form),
        ("22.06.2016 15:00", form),
        ("42543.625", form),
        ("tomorrow", form),
        ("2016-02-30T15:00:00", no_such),
        ("2015-02-29T15:00:00", no_such),
        ("2016-13-01T15:00:00", no_such),
        ("2016-00-01T15:00:00", no_such),
        ("2016-06-22T24:00:00", no_such),
        ("2016-06-22T15:60:00", no_such),
        ("2016-06-22T15:00:61", no_such),
        ("2016-06-22T15:00:00+24:00", no_such),
        ("2016-06-22T15:00:00+02:60", no_such),
        ("2016-12-31T23:59:60Z", leap_second),
        ("2016-06-22T15:00:60", leap_second),
        ("0000-12-31T00:00:00", year),
        ("0001-01-01T00:00:00+01:00", year),
        ("9999-12-31T23:59:59-01:00", year),
        ("12016-06-22T15:00:00", year),
        ("+12016-06-22T15:00:00Z", year),
        ("-2016-06-22T15:00:00", year),
    ];
    let rows: String = refused.iter().map(|(given, _)| format!("me;RP1;{given}\n")).collect();
    let header = "identifier;rewards_participant_number;effective_from\n";
    let ended = acme.load("access_tokens", format!("{header}{rows}"));
    assert_eq!(ended.counts(), counts(0, 0, 0, refused.len() as u64));
    for (n, ((given, reason), said)) in refused.iter().zip(ended.stderr.lines()).enumerate() {
        assert_eq!(said, format!("line {}: effective_from: {reason}", n + 2), "{given}");
    }
    let number = r#"{"identifier": "me", "effective_from": 2016}"#;
    let ended = acme.load("access_tokens", number);
    ended.assert_says(&["line 1: effective_from: of the wrong type"]);
}

async fn every_moment_is_read_back_from_every_form(_: Setup) {
    // The years 0001 to 9999 of UTC.
    let moments = (-62_135_596_800_i64..=253_402_300_799, 0..1_000_000_000_u32, -1439..=1439_i32);
    let check = |(seconds, nanoseconds, minutes): (i64, u32, i32)| {
        let moment = Utc.timestamp_opt(seconds, nanoseconds).single().expect("a moment");
        let offset = FixedOffset::east_opt(minutes * 60).expect("an offset");
        let local: DateTime<FixedOffset> = moment.with_timezone(&offset);
        let written = moment.to_rfc3339_opts(SecondsFormat::Nanos, true);
        prop_assert_eq!(date::read(&written), Ok(moment));
        prop_assert_eq!(date::read(written.trim_end_matches('Z')), Ok(moment));
        // The local year may be one that four digits do not say.
        if (1..=9999).contains(&local.year()) {
            for form in ["%Y-%m-%dT%H:%M:%S%.9f%:z", "%Y-%m-%dT%H:%M:%S%.9f%z"] {
                let written = local.format(form).to_string();
                prop_assert_eq!(date::read(&written), Ok(moment), "{}", written);
            }
        }
        Ok(())
    };
    TestRunner::default().run(&moments, check).expect("every moment");
    TestRunner::default()
        .run(&"[-+0-9TZz:. ]{0,32}", |text| {
            // Whatever it is, chrono takes it for the same.
            if let Ok(read) = date::read(&text) {
                let theirs = DateTime::parse_from_rfc3339(&text)
                    .or_else(|_| DateTime::parse_from_rfc3339(&format!("{text}Z")))
                    .or_else(|_| DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f%z"));
                prop_assert_eq!(theirs.map(|date| date.to_utc()), Ok(read));
            }
            Ok(())
        })
        .expect("every text");
}
