//! What was counted: requests, errors and visitors by the hour, how long requests took by the minute.

use std::collections::BTreeMap;

use super::search::text;
use super::{
    COUNTS_MS, ERRORS, HOUR_MS, MINUTE_MS, REQUESTS, bytes, counts_key, hour_of, instant, times_key,
    visitors_key,
};
use crate::clock::Timestamp;
use crate::command::{Command, Data};
use crate::error::Result;
use crate::schema::LogSpan;
use crate::stores::{Call, Stores};

/// Minutes that are looked at together.
const MINUTES: u64 = 10;
/// Each bucket's times are at most so many times those of the one before: the middle of a bucket is within 1 % of all that
/// is in it. After DDSketch (<https://arxiv.org/abs/1908.10693>).
const GROWTH: f64 = 1.02;
/// Times below a hundredth of a ms are as good as none.
const SHORTEST_MS: f64 = 0.01;

/// The bucket that a time belongs to.
#[expect(clippy::cast_possible_truncation, reason = "times are bounded: some 1,200 buckets")]
pub(super) fn bucket(ms: f64) -> i64 {
    (ms.max(SHORTEST_MS).ln() / GROWTH.ln()).ceil() as i64
}

/// The time that stands for a bucket.
fn middle(bucket: i64) -> f64 {
    let most = GROWTH.powf(bucket as f64);
    2.0 * most / (GROWTH + 1.0)
}

/// The time that a part of all requests did not exceed.
fn percentile(buckets: &BTreeMap<i64, u64>, count: u64, part: f64) -> Option<f64> {
    let rank = (part * count as f64).ceil().max(1.0);
    let mut seen = 0;
    let found = buckets.iter().find(|(_, times)| {
        seen += **times;
        seen as f64 >= rank
    });
    // To three digits behind the point: more would be invented.
    found.map(|(bucket, _)| (middle(*bucket) * 1_000.0).round() / 1_000.0)
}

impl Stores {
    /// For each hour of a span (the last 24 unless it says otherwise, 48 at the most): requests and errors, and with a host
    /// its visitors. *Round trips*: one.
    pub async fn log_hourly(&self, call: Call, span: &LogSpan) -> Result<String> {
        let now = self.clock.now();
        let oldest = Timestamp(now.0.saturating_sub(COUNTS_MS));
        let until = instant(span.until.as_deref()).map_or(now, |until| until.min(now));
        let usual = Timestamp(until.0.saturating_sub(24 * HOUR_MS - HOUR_MS));
        let since = instant(span.since.as_deref()).unwrap_or(usual).max(oldest);
        let hours: Vec<u64> = (hour_of(since)..=hour_of(until)).collect();
        let host = span.host.as_ref().map(|host| host.to_lowercase());
        let both = || vec![bytes(REQUESTS), bytes(ERRORS)];
        let mut ask: Vec<_> =
            hours.iter().map(|hour| (counts_key(*hour), Command::HashGets(both()))).collect();
        if let Some(host) = &host {
            ask.extend(hours.iter().map(|hour| (visitors_key(*hour, host), Command::SketchCount)));
        }
        let told = self.on_log(call, ask).await?;
        let (counts, visitors) = told.split_at_checked(hours.len()).unwrap_or_default();
        let mut items = Vec::with_capacity(hours.len());
        for (at, (hour, counts)) in hours.iter().zip(counts).enumerate() {
            let count = |place: usize| match counts {
                Data::List(counts) => counts.get(place).and_then(text).unwrap_or_else(|| "0".to_owned()),
                _ => "0".to_owned(),
            };
            let visitors = visitors.get(at).and_then(Data::int);
            let visitors = visitors.map_or_else(String::new, |count| format!(",\"visitors\":{count}"));
            let (hour, requests, errors) = (Timestamp(hour * HOUR_MS), count(0), count(1));
            items.push(format!(
                "{{\"hour\":\"{hour}\",\"requests\":{requests},\"errors\":{errors}{visitors}}}"
            ));
        }
        Ok(format!("[{}]", items.join(",")))
    }

    /// How long requests took in the ten minutes up to a time, the minute of that time included. Within 1 %.
    /// *Round trips*: one.
    pub async fn log_percentiles(&self, call: Call, span: &LogSpan) -> Result<String> {
        let until = instant(span.until.as_deref()).unwrap_or_else(|| self.clock.now());
        let last = until.0 / MINUTE_MS;
        let minutes = last.saturating_sub(MINUTES - 1)..=last;
        let ask = minutes.map(|minute| (times_key(minute), Command::HashAll)).collect();
        let mut buckets: BTreeMap<i64, u64> = BTreeMap::new();
        for told in self.on_log(call, ask).await? {
            let Data::List(pairs) = told else { continue };
            for pair in pairs.chunks(2) {
                if let [bucket, times] = pair
                    && let Some(bucket) = text(bucket).and_then(|text| text.parse().ok())
                    && let Some(times) = text(times).and_then(|text| text.parse::<u64>().ok())
                {
                    *buckets.entry(bucket).or_default() += times;
                }
            }
        }
        let count: u64 = buckets.values().sum();
        let told = |part: f64| {
            percentile(&buckets, count, part).map_or_else(|| "null".to_owned(), |ms| ms.to_string())
        };
        Ok(format!(
            "{{\"count\":{count},\"p50\":{},\"p90\":{},\"p95\":{},\"p99\":{},\"max\":{}}}",
            told(0.5),
            told(0.9),
            told(0.95),
            told(0.99),
            told(1.0)
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{bucket, middle, percentile};

    #[test]
    fn percentiles_are_within_one_percent() {
        let mut buckets = BTreeMap::new();
        let times: Vec<f64> = (1..=10_000).map(|n| f64::from(n) * 0.37).collect();
        for ms in &times {
            *buckets.entry(bucket(*ms)).or_default() += 1;
            assert!((middle(bucket(*ms)) / ms - 1.0).abs() < 0.01, "{ms}");
        }
        for part in [0.5, 0.9, 0.99, 1.0] {
            let exact = times[(part * 10_000.0) as usize - 1];
            let told = percentile(&buckets, 10_000, part).unwrap();
            assert!((told / exact - 1.0).abs() < 0.011, "{part}: {told} for {exact}");
        }
        assert_eq!(percentile(&BTreeMap::new(), 0, 0.5), None);
        assert_eq!(bucket(0.0), bucket(0.001));
    }
}
