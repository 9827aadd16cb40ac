//! `/metrics`: the core's counters, the sockets' and the features' gauges as OpenMetrics text. Nothing is kept here:
//! every scrape reads what the hot path counted in plain numbers, and asks the kernel what it dropped before our sockets.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use leasehold_protocol::time::Now;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::AdminState;
use crate::{ledger::Condition, logs, process::datagrams_dropped};

/// What a scraper is told the text is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Counters whose names begin like this are one family, told apart by reason.
const DROP: &str = "drop_";

pub(super) fn text(state: &Arc<AdminState>, now: Now) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("leasehold");
    registry.register_collector(Box::new(Scrape { state: state.clone(), now }));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

/// One scrape.
struct Scrape {
    state: Arc<AdminState>,
    now: Now,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.core(&mut encoder)?;
        self.sockets(&mut encoder)?;
        self.server(&mut encoder)?;
        self.ledger(&mut encoder)?;
        self.licences(&mut encoder)?;
        self.features(&mut encoder)?;
        self.alerts(&mut encoder)?;
        self.journal(&mut encoder)?;
        self.clock(&mut encoder)?;
        self.history(&mut encoder)
    }
}

impl Scrape {
    fn core(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counters = self.state.shared.counters();
        let (drops, others): (Vec<_>, Vec<_>) = counters.into_iter().partition(|(name, _)| name.starts_with(DROP));
        for (name, value) in others {
            counter(encoder, name, &name.replace('_', " "), value)?;
        }
        let help = "Datagrams dropped unanswered";
        let mut family = encoder.encode_descriptor("datagrams_dropped", help, None, MetricType::Counter)?;
        for (name, value) in drops {
            let reason = [("reason", name.strip_prefix(DROP).unwrap_or(name))];
            ConstCounter::new(value).encode(family.encode_family(&reason)?)?;
        }
        Ok(())
    }

    fn sockets(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, value) in self.state.net.snapshot() {
            counter(encoder, &format!("net_{name}"), help, value)?;
        }
        let port = self.state.udp.first().map(SocketAddr::port);
        match port.and_then(datagrams_dropped) {
            Some(dropped) => counter(
                encoder,
                "net_receive_dropped",
                "Datagrams the kernel dropped because our sockets were full",
                dropped,
            ),
            None => Ok(()),
        }
    }

    fn server(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let state = &self.state;
        let help = "Version and protocol of this server";
        let mut info = encoder.encode_descriptor("build", help, None, MetricType::Info)?;
        let protocol = leasehold_protocol::packet::VERSION.to_string();
        let aead = leasehold_protocol::crypto::AEAD_BACKEND;
        info.encode_info(&[("version", crate::VERSION), ("protocol", &protocol), ("aead", aead)])?;
        counter(encoder, "log_lines_dropped", "Lines of log that nobody took in time", logs::lines_dropped())?;
        gauge(encoder, "leases", "Leases that are out", signed(state.shared.live_leases()))?;
        gauge(encoder, "sessions", "Sessions of clients that proved themselves", signed(state.shared.live_sessions()))?;
        let uptime_s = self.now.mono.ms_since(state.started.mono) / 1000;
        gauge(encoder, "uptime_seconds", "Seconds since the server started", signed(uptime_s))?;
        gauge(encoder, "draining", "Whether the server is on its way out", i64::from(state.is_draining()))
    }

    fn ledger(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let ledger = &self.state.ledger;
        let state = ledger.health().state;
        let help = "How the ledger is: 1 for its state; changes are refused in any but good";
        let mut family = encoder.encode_descriptor("ledger_state", help, None, MetricType::Gauge)?;
        for (word, is_so) in [
            ("good", state == Condition::Good),
            ("full", state == Condition::Full),
            ("failing", state == Condition::Failing),
            ("closed", state == Condition::Closed),
        ] {
            ConstGauge::new(i64::from(is_so)).encode(family.encode_family(&[("state", word)])?)?;
        }
        counter(encoder, "ledger_refused", "Changes refused because they could not be kept", ledger.refused())?;
        counter(encoder, "ledger_healed", "Times the ledger came back after it failed", ledger.healed())?;
        let help = "Uses of trials and meters that could not be kept: they are forgotten at the next start";
        counter(encoder, "ledger_uses_lost", help, ledger.uses_lost())
    }

    fn licences(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let report = self.state.licences_now(self.now);
        let faults = i64::try_from(report.faults()).unwrap_or(i64::MAX);
        gauge(encoder, "licence_faults", "Licence files and certificates refused at the last reading", faults)?;
        let help = "Certificates by what has become of them, by now";
        let mut family = encoder.encode_descriptor("licence_certificates", help, None, MetricType::Gauge)?;
        for (outcome, count) in report.outcomes() {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(family.encode_family(&[("outcome", outcome)])?)?;
        }
        let read = i64::try_from(report.read.0 / 1000).unwrap_or(i64::MAX);
        gauge(encoder, "licence_read_timestamp_seconds", "When the licences in force were read", read)?;
        let help = "How long reading them, checking them and putting them in force took";
        let took = ConstGauge::new(Duration::from_millis(report.took_ms).as_secs_f64());
        took.encode(encoder.encode_descriptor("licence_read_duration_seconds", help, None, MetricType::Gauge)?)?;
        let failed = self.state.reads_failed.load(Relaxed);
        counter(
            encoder,
            "licence_reads_failed",
            "Readings that failed, so that the licences in force were kept",
            failed,
        )
    }

    fn journal(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (journal, shared) = (&self.state.journal, &self.state.shared);
        let figures = journal.figures();
        let (bytes, used, log) = journal.extent();
        for (name, help, value) in [
            ("journal_records", "Leases opened and ended that were written down", &figures.records),
            ("journal_syncs", "How often the journal was brought to the disk", &figures.syncs),
            ("journal_files", "Files of the journal that were begun", &figures.files),
            ("journal_failures", "How often the journal could not be written any more", &figures.failures),
            ("journal_grants_waited", "Grants that waited for the disk", &figures.waited),
        ] {
            counter(encoder, name, help, value.load(Relaxed))?;
        }
        let took = ConstCounter::new(Duration::from_micros(figures.sync_us.load(Relaxed)).as_secs_f64());
        took.encode(encoder.encode_descriptor(
            "journal_sync_seconds",
            "How long that took",
            None,
            MetricType::Counter,
        )?)?;
        for (name, help, value) in [
            ("journal_bytes", "How long the file in use is", signed(bytes)),
            ("journal_bytes_used", "How much of it is used", signed(used)),
            ("journal_log", "How far the log has come", signed(log)),
            ("journal_failing", "Whether the journal cannot be written", i64::from(journal.failing().is_some())),
            ("store_old", "Whether the data folder is an old copy", i64::from(shared.is_store_old())),
            (
                "restored_leases",
                "Leases of the life before that are out again",
                signed(self.state.remembered.restoration.restored),
            ),
        ] {
            gauge(encoder, name, help, value)?;
        }
        Ok(())
    }

    fn clock(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let status = self.state.clock.status();
        let pending_s = status.pending_until.map_or(0, |until| until.ms_since(self.now.mono) / 1000);
        for (name, help, value) in [
            (
                "clock_raw_ahead_seconds",
                "By how much the machine's clock is ahead of the time licence dates are held against",
                status.raw_ahead_ms / 1000,
            ),
            (
                "clock_suspect",
                "Whether the machine's clock is behind by more than the tolerance",
                i64::from(status.is_suspect),
            ),
            (
                "clock_jump_pending",
                "Whether a jump of the machine's clock is not believed yet",
                i64::from(status.pending_until.is_some()),
            ),
            ("clock_jump_pending_seconds", "How long such a jump has to stand yet", signed(pending_s)),
            (
                "clock_clients_differ",
                "Whether the median of clients' clocks differs by more than the tolerance",
                i64::from(status.clients_differ),
            ),
        ] {
            gauge(encoder, name, help, value)?;
        }
        Ok(())
    }

    fn history(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (history, figures) = (&self.state.history, self.state.history.figures());
        for (name, help, value) in [
            ("history_events_written", "Events written into the usage history", &figures.written),
            ("history_events_dropped", "Events that are missing from it", &figures.dropped),
            ("history_gaps", "Gaps noted in it", &figures.gaps),
        ] {
            counter(encoder, name, help, value.load(Relaxed))?;
        }
        let failing = i64::from(history.failing().is_some());
        gauge(encoder, "history_failing", "Whether the usage history cannot be written", failing)
    }

    fn alerts(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let realms = self.state.shared.realms();
        let publisher = |id| realms.iter().find(|r| r.id == id).map_or("", |r| r.publisher.as_str());
        let help = "How often more seats were found out than a limit allows";
        let mut family = encoder.encode_descriptor("feature_limit_passed", help, None, MetricType::Counter)?;
        for (limit, times) in self.state.alerts.all() {
            let labels = [
                ("publisher", publisher(limit.realm)),
                ("feature", limit.feature.as_str()),
                ("limit", limit.kind.word()),
            ];
            ConstCounter::new(times).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn features(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (realms, features) = (self.state.shared.realms(), self.state.shared.features(self.now));
        let publisher = |id| realms.iter().find(|r| r.id == id).map_or("", |r| r.publisher.as_str());
        type Value = fn(&leasehold_core::FeatureStatus) -> Option<i64>;
        let families: [(&str, &str, Value); 15] = [
            ("feature_seats", "Seats there are; absent if they are not counted", |f| f.count.map(i64::from)),
            ("feature_seats_used", "Seats out", |f| Some(i64::from(f.used))),
            ("feature_seats_free", "Seats left, below zero in overage", |f| f.count.map(|_| f.free)),
            ("feature_seats_upgraded", "Of the seats there are, those that upgrades add", |f| {
                Some(i64::from(f.upgraded_by))
            }),
            ("feature_seats_overage", "Seats out that no licence in force covers", |f| Some(i64::from(f.overage))),
            (
                "feature_seats_soft_limit",
                "From how many seats out on alerts rise; absent if there is no such limit",
                |f| f.soft_limit.map(i64::from),
            ),
            ("feature_overdraft_seats", "Seats of overdraft besides", |f| Some(i64::from(f.overdraft))),
            ("feature_overdraft_seats_used", "Those of them that are out", |f| Some(i64::from(f.overdraft_used))),
            ("feature_seats_lingering", "Of the seats out, those that stay with their holder after a release", |f| {
                Some(i64::from(f.lingering))
            }),
            ("feature_seats_reserved", "Free seats that reservations keep for some", |f| Some(i64::from(f.reserved))),
            ("feature_seats_withheld", "Free seats withheld after a power cut", |f| Some(i64::from(f.withheld))),
            ("feature_units_used_up", "Units of a meter that are used up for good", |f| i64::try_from(f.used_up).ok()),
            ("feature_waiting", "Requests that wait for its seats", |f| Some(i64::from(f.waiting))),
            ("feature_leases", "Leases that hold the seats", |f| Some(i64::from(f.leases))),
            ("feature_next_end_timestamp_seconds", "When one of its rights ends next", |f| {
                f.next_end.and_then(|end| i64::try_from(end.0 / 1000).ok())
            }),
        ];
        for (name, help, value) in families {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for feature in &features {
                let labels = [("publisher", publisher(feature.realm)), ("feature", feature.name.as_str())];
                if let Some(value) = value(feature) {
                    ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstCounter::new(value);
    let place = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
    metric.encode(place)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: i64) -> fmt::Result {
    let metric = ConstGauge::new(value);
    let place = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
    metric.encode(place)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
