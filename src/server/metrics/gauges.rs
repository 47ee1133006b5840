//! What is at present, and what others have counted: asked when somebody wants to know.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelValue, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use crate::{
    logging,
    referral::ReferralEvents,
    server::connections::Open,
    storage::{Database, shards::Shard},
    transport::admission::Admission,
};

/// Who knows.
pub struct Gauges {
    pub writes: Admission,
    pub reads: Admission,
    pub connections: Open,
    pub database: Database,
    pub referral_events: ReferralEvents,
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}

/// A name without what the form adds, and a sentence.
type Described = (&'static str, &'static str);

/// Labels and a value.
type Value<L, const N: usize> = ([(&'static str, L); N], u64);

fn gauges<L: EncodeLabelValue, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): Described,
    values: impl IntoIterator<Item = Value<L, N>>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn counters<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): Described,
    values: impl IntoIterator<Item = Value<&'static str, N>>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let calls = [("write", self.writes.counts()), ("read", self.reads.counts())];
        let help = "Calls that wait for their turn.";
        let waiting = calls.map(|(kind, counts)| ([("kind", kind)], counts.waiting as u64));
        gauges(encoder, ("referral_events_calls_waiting", help), waiting)?;
        let help = "Calls that are carried out.";
        let at_work = calls.map(|(kind, counts)| ([("kind", kind)], counts.at_work as u64));
        gauges(encoder, ("referral_events_calls_at_work", help), at_work)?;
        let help = "Calls that were refused because too many waited.";
        let shed = calls.map(|(kind, counts)| ([("kind", kind)], counts.shed));
        counters(encoder, ("referral_events_calls_shed", help), shed)?;

        let connections = self.connections.by_condition().map(|(state, count)| ([("state", state)], count as u64));
        gauges(encoder, ("referral_events_connections", "Connections of callers, by state."), connections)?;

        let pools = self.database.pool_use();
        let used = pools.iter().flat_map(|(pool, used)| {
            [("in_use", used.in_use), ("idle", used.idle)]
                .map(|(state, count)| ([("pool", *pool), ("state", state)], count as u64))
        });
        gauges(encoder, ("referral_events_database_connections", "Connections to the database, by state."), used)?;
        let maximum = pools.map(|(pool, used)| ([("pool", pool)], used.maximum as u64));
        let help = "Connections to the database that there are at most.";
        gauges(encoder, ("referral_events_database_connections_maximum", help), maximum)?;
        let failures = self.database.failures().map(|(kind, count)| ([("kind", kind)], count));
        counters(encoder, ("referral_events_database_errors", "Failures of the database, by kind."), failures)?;

        let shards = self.database.shards().all();
        if !shards.is_empty() {
            let lost =
                |Shard { id, worker, is_lost }| ([("shard", id.to_string()), ("worker", worker)], u64::from(is_lost));
            let help = "Shards of a cluster of Citus whose worker does not answer (1) or does (0).";
            gauges(encoder, ("referral_events_shard_lost", help), shards.into_iter().map(lost))?;
        }

        let left_out = [([], self.referral_events.unprocessed_left_out())];
        let help = "Unprocessed events that are not kept.";
        counters(encoder, ("referral_events_unprocessed_left_out", help), left_out)?;

        let dropped = [([], logging::dropped_lines() as u64)];
        counters(encoder, ("referral_events_log_lines_dropped", "Lines of the log that were dropped."), dropped)
    }
}
