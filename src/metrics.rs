//! What is counted while the service runs, in Prometheus' text form.
//!
//! One registry for a process; clones share it. No label takes a value from outside: tenants and sides are named by
//! manifests, everything else is one of a few words of ours. Names have the prefix `syncline_`.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus::{
    CounterVec, Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, core::Collector,
};

/// Seconds, from what a cached answer takes to what nobody waits for.
const SECONDS: [f64; 14] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0];
/// Seconds, from a webhook that came at once to one that was retried for a day.
const LAGS: [f64; 10] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 3600.0, 21_600.0, 86_400.0];

/// The counters of a process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

struct Families {
    registry: Registry,
    /// Totals that the engine keeps itself are brought up to date by one reader at a time.
    totals: Mutex<()>,
    webhook_events: IntCounterVec,
    signature_failures: IntCounterVec,
    unknown_accounts: IntCounterVec,
    event_lag: HistogramVec,
    outbox_depth: IntGaugeVec,
    outbox_oldest: GaugeVec,
    crm_requests: IntCounterVec,
    crm_seconds: HistogramVec,
    rate_limit: GaugeVec,
    breaker: IntGaugeVec,
    resyncs: IntCounterVec,
    drift: IntGaugeVec,
    alarms: IntGaugeVec,
    engine_totals: IntCounterVec,
    echoes: IntCounterVec,
    dead_letters: IntGaugeVec,
    conflicts: IntCounterVec,
    conflicts_open: IntGaugeVec,
    records: IntGaugeVec,
    bytes: IntGaugeVec,
    ready: IntGaugeVec,
    http_seconds: HistogramVec,
    http_active: IntGauge,
    connections: IntGauge,
    connections_refused: IntCounterVec,
    turned_away: IntCounterVec,
    streams: IntGauge,
    build: CounterVec,
    panics: IntCounter,
}

/// The totals of one tenant, as its engine keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// What sides and persons said.
    pub events: u64,
    /// What was heard again.
    pub duplicates: u64,
    /// What only repeated a write of ours.
    pub echoes: u64,
    /// Writes that left.
    pub sent: u64,
    /// Writes that were taken.
    pub receipts: u64,
    /// Writes that were refused.
    pub refused: u64,
    /// Records of which something was said.
    pub records: u64,
    /// Fields whose candidates differ.
    pub conflicts_open: u64,
    /// What waits for a person.
    pub parked: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Bytes of derived state.
    pub state_bytes: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn listed<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let family = made.expect("names and labels of metrics are words of ours");
    registry.register(Box::new(family.clone())).expect("no two metrics have one name");
    family
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("syncline")
}

fn histogram(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts::new(name, help).namespace("syncline").buckets(buckets.to_vec())
}

impl Metrics {
    /// A registry with every family in it, all at zero.
    pub fn new() -> Self {
        let registry = Registry::new();
        let counter = |name, help, labels: &[&str]| listed(&registry, IntCounterVec::new(opts(name, help), labels));
        let gauge = |name, help, labels: &[&str]| listed(&registry, IntGaugeVec::new(opts(name, help), labels));
        let real = |name, help, labels: &[&str]| listed(&registry, GaugeVec::new(opts(name, help), labels));
        let times = |name, help, labels: &[&str], buckets: &[f64]| {
            listed(&registry, HistogramVec::new(histogram(name, help, buckets), labels))
        };
        let families = Families {
            totals: Mutex::new(()),
            webhook_events: counter(
                "webhook_events_total",
                "Statements that webhooks brought, by what became of them.",
                &["tenant", "source", "type", "outcome"],
            ),
            signature_failures: counter(
                "webhook_signature_failures_total",
                "Webhooks that were not shown to be genuine.",
                &["source", "reason"],
            ),
            unknown_accounts: counter(
                "webhook_unknown_accounts_total",
                "Batches of webhooks for accounts that no tenant has.",
                &["source"],
            ),
            event_lag: times(
                "event_lag_seconds",
                "From when a side says that something happened to when it was heard.",
                &["source"],
                &LAGS,
            ),
            outbox_depth: gauge("outbox_depth", "Records that are not in agreement with a side.", &["tenant", "side"]),
            outbox_oldest: real(
                "outbox_oldest_age_seconds",
                "Since when the longest of them is not.",
                &["tenant", "side"],
            ),
            crm_requests: counter("crm_requests_total", "Calls to sides.", &["crm", "op", "status_class"]),
            crm_seconds: times("crm_request_duration_seconds", "What calls to sides took.", &["crm", "op"], &SECONDS),
            rate_limit: real("rate_limit_remaining", "Calls that a side still allows.", &["tenant", "crm", "window"]),
            breaker: gauge("breaker_open", "Whether writes to a side are held back.", &["tenant", "side"]),
            resyncs: counter("resyncs_total", "Records that were read back, by why.", &["reason"]),
            drift: gauge(
                "reconcile_drift_records",
                "Records that the last reconcile found to differ.",
                &["tenant", "side"],
            ),
            alarms: gauge("alarms", "Whether an alarm stands.", &["tenant", "side", "alarm"]),
            engine_totals: counter("events_total", "Events of the log, by kind of total.", &["tenant", "of"]),
            echoes: counter(
                "echoes_suppressed_total",
                "Words of sides that only repeated what was written to them.",
                &["tenant"],
            ),
            dead_letters: gauge("parked", "What waits for a person.", &["tenant"]),
            conflicts: counter("conflicts_total", "Conflicts that persons settled over HTTP.", &["resolution"]),
            conflicts_open: gauge("conflicts_open", "Fields whose candidates differ.", &["tenant"]),
            records: gauge("records", "Records of which something was said.", &["tenant"]),
            ready: gauge("tenant_ready", "Whether a tenant could work when that was last asked.", &["tenant"]),
            bytes: gauge("store_bytes", "What a store takes on disk.", &["tenant", "part"]),
            http_seconds: times(
                "http_server_request_duration_seconds",
                "What requests took, without the streams' bodies.",
                &["method", "route", "status"],
                &SECONDS,
            ),
            http_active: listed(
                &registry,
                IntGauge::with_opts(opts("http_server_active_requests", "Requests that are being answered.")),
            ),
            connections: listed(&registry, IntGauge::with_opts(opts("http_connections", "Open connections."))),
            connections_refused: counter(
                "http_connections_refused_total",
                "Connections that were closed unheard, by which cap.",
                &["cap"],
            ),
            turned_away: counter(
                "http_turned_away_total",
                "Requests that were answered 503 because something was full.",
                &["of"],
            ),
            streams: listed(&registry, IntGauge::with_opts(opts("http_streams", "Live streams that are open."))),
            build: listed(
                &registry,
                CounterVec::new(opts("build_info", "Which version runs; always 1."), &["version"]),
            ),
            panics: listed(
                &registry,
                IntCounter::with_opts(opts("panics_total", "Requests that ended in a panic and were answered 500.")),
            ),
            registry,
        };
        families.build.with_label_values(&[env!("CARGO_PKG_VERSION")]).inc();
        Metrics(Arc::new(families))
    }

    /// Statements of one webhook: `source` is the dialect, `kind` the kind of event, `outcome` what became of them.
    pub fn webhook_events(&self, tenant: &str, source: &'static str, kind: &'static str, outcome: Taken, count: u64) {
        self.0.webhook_events.with_label_values(&[tenant, source, kind, outcome.word()]).inc_by(count);
    }

    /// A webhook that was not shown to be genuine.
    pub fn signature_failure(&self, source: &'static str, reason: &'static str) {
        self.0.signature_failures.with_label_values(&[source, reason]).inc();
    }

    /// The part of a batch that is of an account which no tenant has.
    pub fn unknown_account(&self, source: &'static str) {
        self.0.unknown_accounts.with_label_values(&[source]).inc();
    }

    /// How long after it happened something was heard.
    pub fn event_lag(&self, source: &'static str, lag: Duration) {
        self.0.event_lag.with_label_values(&[source]).observe(lag.as_secs_f64());
    }

    /// How much waits for a side, and how long the oldest of it has.
    pub fn outbox(&self, tenant: &str, side: &str, depth: usize, oldest: Duration) {
        self.0.outbox_depth.with_label_values(&[tenant, side]).set(i64::try_from(depth).unwrap_or(i64::MAX));
        self.0.outbox_oldest.with_label_values(&[tenant, side]).set(oldest.as_secs_f64());
    }

    /// A call to a side and its answer; `None`: there was none.
    pub fn crm_request(&self, crm: &'static str, op: &'static str, status: Option<u16>, took: Duration) {
        self.0.crm_requests.with_label_values(&[crm, op, status_class(status)]).inc();
        self.0.crm_seconds.with_label_values(&[crm, op]).observe(took.as_secs_f64());
    }

    /// How many calls a side still allows; `window` is `secondly`, `ten_secondly` or `daily`.
    pub fn rate_limit_remaining(&self, tenant: &str, crm: &'static str, window: &'static str, left: f64) {
        self.0.rate_limit.with_label_values(&[tenant, crm, window]).set(left);
    }

    /// Whether writes to a side are held back.
    pub fn breaker(&self, tenant: &str, side: &str, open: bool) {
        self.0.breaker.with_label_values(&[tenant, side]).set(i64::from(open));
    }

    /// Records that were read back.
    pub fn resyncs(&self, reason: &'static str, count: u64) {
        self.0.resyncs.with_label_values(&[reason]).inc_by(count);
    }

    /// How many records the last reconcile of a side found to differ.
    pub fn drift(&self, tenant: &str, side: &str, records: u64) {
        self.0.drift.with_label_values(&[tenant, side]).set(i64::try_from(records).unwrap_or(i64::MAX));
    }

    /// Raises or ends an alarm, such as `stale` or `clock`.
    pub fn alarm(&self, tenant: &str, side: &str, alarm: &'static str, stands: bool) {
        self.0.alarms.with_label_values(&[tenant, side, alarm]).set(i64::from(stands));
    }

    /// A conflict that a person settled.
    pub fn conflict(&self, resolution: &'static str) {
        self.0.conflicts.with_label_values(&[resolution]).inc();
    }

    /// Takes over what a tenant's engine counts itself.
    pub fn totals(&self, tenant: &str, totals: &Totals) {
        let counted = self.0.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let raise = |counter: IntCounter, to: u64| counter.inc_by(to.saturating_sub(counter.get()));
        let of = |name| self.0.engine_totals.with_label_values(&[tenant, name]);
        raise(of("said"), totals.events);
        raise(of("duplicate"), totals.duplicates);
        raise(of("sent"), totals.sent);
        raise(of("receipt"), totals.receipts);
        raise(of("refused"), totals.refused);
        raise(self.0.echoes.with_label_values(&[tenant]), totals.echoes);
        drop(counted);
        let set = |gauge: &IntGaugeVec, labels: &[&str], to: u64| {
            gauge.with_label_values(labels).set(i64::try_from(to).unwrap_or(i64::MAX));
        };
        set(&self.0.records, &[tenant], totals.records);
        set(&self.0.conflicts_open, &[tenant], totals.conflicts_open);
        set(&self.0.dead_letters, &[tenant], totals.parked);
        set(&self.0.bytes, &[tenant, "log"], totals.log_bytes);
        set(&self.0.bytes, &[tenant, "state"], totals.state_bytes);
    }

    /// Whether a tenant can work.
    pub fn ready(&self, tenant: &str, ready: bool) {
        self.0.ready.with_label_values(&[tenant]).set(i64::from(ready));
    }

    /// A request and its answer; `route` is the route's template, never the path.
    pub fn http_request(&self, method: &str, route: &str, status: u16, took: Duration) {
        let seconds = took.as_secs_f64();
        self.0.http_seconds.with_label_values(&[method, route, &status.to_string()]).observe(seconds);
    }

    /// Counts a request as being answered until the guard goes.
    pub fn http_active(&self) -> Counted {
        Counted::of(&self.0.http_active)
    }

    /// Counts a connection as open until the guard goes.
    pub fn connection(&self) -> Counted {
        Counted::of(&self.0.connections)
    }

    /// Counts a live stream as open until the guard goes.
    pub fn stream(&self) -> Counted {
        Counted::of(&self.0.streams)
    }

    /// A connection that was closed unheard; `cap` is `total` or `address`.
    pub fn connection_refused(&self, cap: &'static str) {
        self.0.connections_refused.with_label_values(&[cap]).inc();
    }

    /// A request that was answered 503 because something was full.
    pub fn turned_away(&self, of: &'static str) {
        self.0.turned_away.with_label_values(&[of]).inc();
    }

    /// A request that ended in a panic.
    pub fn panicked(&self) {
        self.0.panics.inc();
    }

    /// Everything counted, in Prometheus' text form, version 0.0.4.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.0.registry.gather(), &mut text);
        encoded.expect("a registry of checked families prints");
        String::from_utf8(text).expect("names, labels and numbers are UTF-8")
    }
}

/// What became of a statement that a webhook brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in the log.
    New,
    /// The log had it.
    Duplicate,
    /// It is in the log as source data: the manifest maps nothing of it.
    Unmapped,
}

impl Taken {
    fn word(self) -> &'static str {
        match self {
            Taken::New => "new",
            Taken::Duplicate => "duplicate",
            Taken::Unmapped => "unmapped",
        }
    }
}

/// One of what a gauge counts, for as long as it lives.
pub struct Counted(IntGauge);

impl Counted {
    fn of(gauge: &IntGauge) -> Self {
        gauge.inc();
        Counted(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn status_class(status: Option<u16>) -> &'static str {
    match status.map(|status| status / 100) {
        Some(1) => "1xx",
        Some(2) => "2xx",
        Some(3) => "3xx",
        Some(4) => "4xx",
        Some(5) => "5xx",
        Some(_) => "other",
        None => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_prints_under_its_name() {
        let metrics = Metrics::new();
        metrics.webhook_events("acme", "hubspot", "edit", Taken::New, 3);
        metrics.signature_failure("portal", "stale");
        metrics.crm_request("hubspot", "batch_update", Some(429), Duration::from_millis(20));
        metrics.crm_request("hubspot", "batch_update", None, Duration::from_secs(10));
        metrics.outbox("acme", "crm", 7, Duration::from_secs(2));
        let text = metrics.text();
        for line in [
            r#"syncline_webhook_events_total{outcome="new",source="hubspot",tenant="acme",type="edit"} 3"#,
            r#"syncline_webhook_signature_failures_total{reason="stale",source="portal"} 1"#,
            r#"syncline_crm_requests_total{crm="hubspot",op="batch_update",status_class="4xx"} 1"#,
            r#"syncline_crm_requests_total{crm="hubspot",op="batch_update",status_class="none"} 1"#,
            r#"syncline_outbox_depth{side="crm",tenant="acme"} 7"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn totals_of_an_engine_only_grow_by_what_is_new() {
        let metrics = Metrics::new();
        metrics.totals("acme", &Totals { events: 5, parked: 2, ..Totals::default() });
        metrics.totals("acme", &Totals { events: 8, parked: 1, ..Totals::default() });
        let text = metrics.text();
        assert!(text.contains(r#"syncline_events_total{of="said",tenant="acme"} 8"#), "{text}");
        assert!(text.contains(r#"syncline_parked{tenant="acme"} 1"#), "{text}");
    }

    #[test]
    fn what_is_open_is_counted_while_it_lives() {
        let metrics = Metrics::new();
        let first = metrics.connection();
        let second = metrics.connection();
        drop(first);
        assert!(metrics.text().contains("syncline_http_connections 1"));
        drop(second);
        assert!(metrics.text().contains("syncline_http_connections 0"));
    }
}
