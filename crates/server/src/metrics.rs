//! What the server counts, for Prometheus. Where text-embeddings-inference counts the same, under its name: what was made to look
//! at that looks at this.

use std::time::Duration;

use minilm::SentenceTransformer;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
    exponential_buckets,
};

use crate::queue::Queue;

/// All counters of a server.
pub(crate) struct Metrics {
    registry: Registry,
    /// By path. A request that was given up is counted, but neither as a success nor as a failure.
    pub(crate) requests: IntCounterVec,
    pub(crate) successes: IntCounterVec,
    /// By what was wrong.
    pub(crate) failures: IntCounterVec,
    pub(crate) cancelled: IntCounter,
    /// By path and status.
    pub(crate) responses: IntCounterVec,
    pub(crate) request_duration: Histogram,
    pub(crate) tokenization_duration: Histogram,
    pub(crate) queue_duration: Histogram,
    pub(crate) inference_duration: Histogram,
    pub(crate) texts: IntCounter,
    pub(crate) tokens: IntCounter,
    pub(crate) truncated_texts: IntCounter,
    pub(crate) batch_size: Histogram,
    pub(crate) batch_tokens: Histogram,
    queue_size: IntGauge,
    open_requests: IntGauge,
}

/// Seconds, from 50 microseconds to half a minute.
const DURATIONS: (f64, f64, usize) = (50e-6, 2.0, 20);
const COUNTS: (f64, f64, usize) = (1.0, 2.0, 15);

impl Metrics {
    /// # Errors
    ///
    /// If two had one name, or one no valid name.
    pub(crate) fn new(model: &SentenceTransformer, model_name: &str) -> prometheus::Result<Metrics> {
        let registry = Registry::new();
        let all = Registered(&registry);
        let information = Opts::new("minilm_info", "Always 1; what the server is, in the labels")
            .const_label("version", env!("CARGO_PKG_VERSION"))
            .const_label("model", model_name)
            .const_label("precision", model.precision().name())
            .const_label("isa", model.isa().name())
            .const_label("threads", model.threads().to_string());
        let information = all.add(IntGauge::with_opts(information)?)?;
        information.set(1);
        Ok(Metrics {
            requests: all.counters("te_request_count", "Requests for vectors or tokens", &["path"])?,
            successes: all.counters(
                "te_request_success",
                "Requests that got what they asked for",
                &["path"],
            )?,
            failures: all.counters("te_request_failure", "Requests that got an error", &["err"])?,
            cancelled: all.counter(
                "minilm_cancelled_requests_total",
                "Requests whose client went away before the answer",
            )?,
            responses: all.counters("minilm_http_responses_total", "Answers", &["path", "status"])?,
            request_duration: all.histogram(
                "te_request_duration",
                "From a request's head to its answer, in seconds",
                DURATIONS,
            )?,
            tokenization_duration: all.histogram(
                "te_request_tokenization_duration",
                "Checking and tokenising a request's texts, in seconds",
                DURATIONS,
            )?,
            queue_duration: all.histogram(
                "te_request_queue_duration",
                "From there to the first computation with a text of the request, in seconds",
                DURATIONS,
            )?,
            inference_duration: all.histogram(
                "te_request_inference_duration",
                "Computing batches with texts of a request, in seconds",
                DURATIONS,
            )?,
            texts: all.counter("te_embed_count", "Texts that were embedded")?,
            tokens: all.counter("minilm_tokens_total", "Tokens of them, after truncation")?,
            truncated_texts: all.counter("minilm_truncated_texts_total", "Texts that were cut")?,
            batch_size: all.histogram("te_batch_next_size", "Texts of a batch", COUNTS)?,
            batch_tokens: all.histogram("te_batch_next_tokens", "Tokens of a batch", COUNTS)?,
            queue_size: all.gauge("te_queue_size", "Requests that wait or are computed")?,
            open_requests: all.gauge(
                "minilm_open_requests",
                "Requests that have one of the places that there are: those, and whose answers are written",
            )?,
            registry,
        })
    }

    /// All of them, in Prometheus' text format.
    pub(crate) fn text(&self, queue: &Queue) -> prometheus::Result<String> {
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.queue_size.set(number(queue.unanswered()));
        self.open_requests.set(number(queue.places()));
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// A batch that is to be computed.
    pub(crate) fn batch(&self, texts: usize, tokens: usize) {
        self.batch_size.observe(texts as f64);
        self.batch_tokens.observe(tokens as f64);
    }
}

/// For [`Histogram::observe`].
pub(crate) fn observe(histogram: &Histogram, time: Duration) {
    histogram.observe(time.as_secs_f64());
}

struct Registered<'a>(&'a Registry);

impl Registered<'_> {
    fn add<T: prometheus::core::Collector + Clone + 'static>(&self, metric: T) -> prometheus::Result<T> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(name, help)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn histogram(
        &self,
        name: &str,
        help: &str,
        (start, factor, count): (f64, f64, usize),
    ) -> prometheus::Result<Histogram> {
        let options = HistogramOpts::new(name, help).buckets(exponential_buckets(start, factor, count)?);
        self.add(Histogram::with_opts(options)?)
    }
}
