//! Which backend a storage stands on: the options say it, else the environment does.

use std::path::Path;

use crate::breaker::Span;
use crate::error::{Code, Error, Result};
use crate::journal::{Found, Fsync, JournalFile};
use crate::layers::resilient::{Conflicts, Policy};
use crate::schema::{BackendName, FsyncOption, OnConflict, OnUnavailable, ResilienceOptions, StorageOptions};

/// The variables that count where the options are silent.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `NODE_ENV`; empty when not set.
    pub node_env: String,
    /// `REDIS_URL`; empty when not set.
    pub redis_url: String,
}

/// What a storage stands on.
#[derive(Clone, PartialEq, Eq)]
pub enum Choice {
    Memory,
    /// On what this URL names; it was given as the option `url` or as the variable `REDIS_URL`.
    Redis(String, &'static str),
}

/// Chooses. An environment that is neither for development nor for production chooses nothing: memory
/// where Redis was meant would lose data without a word.
///
/// # Errors
/// `STORAGE_CONFIG`, naming the ways out.
pub fn choose(options: &StorageOptions, environment: &Environment) -> Result<Choice> {
    let url = || {
        let given = options.url.clone().map(|url| Choice::Redis(url, "url"));
        let variable = || Choice::Redis(environment.redis_url.clone(), "REDIS_URL");
        given.or_else(|| (!environment.redis_url.is_empty()).then(variable))
    };
    let missing = || {
        Error::new(
            Code::Config,
            "no server is named: set REDIS_URL (or the option url), or choose backend: 'memory'",
        )
    };
    match (options.backend, environment.node_env.as_str()) {
        (Some(BackendName::Memory), _) => Ok(Choice::Memory),
        (Some(BackendName::Redis), _) => url().ok_or_else(missing),
        (None, _) if options.url.is_some() => url().ok_or_else(missing),
        (None, "" | "development" | "test") => Ok(Choice::Memory),
        (None, "production") => url().ok_or_else(missing),
        (None, _) => Err(Error::new(
            Code::Config,
            "NODE_ENV is none of development, test, production: choose backend: 'memory' or backend: 'redis'",
        )),
    }
}

/// The journal's file, if these options ask for one, and what it holds. `owner` is the prefix of the keys that its writes
/// are of.
///
/// # Errors
/// As [`JournalFile::open`], and `STORAGE_CONFIG` where nothing is to be kept.
pub fn journal(options: &ResilienceOptions, owner: &str) -> Result<Option<(JournalFile, Found)>> {
    let Some(path) = &options.journal.path else { return Ok(None) };
    if options.on_unavailable == Some(OnUnavailable::Reject) {
        let message = "resilience.journal.path is of no use: onUnavailable is 'reject', so nothing is kept";
        return Err(Error::new(Code::Config, message));
    }
    let fsync = match options.journal.fsync {
        None | Some(FsyncOption::Always) => Fsync::Always,
        Some(FsyncOption::Interval) => Fsync::Interval,
        Some(FsyncOption::Never) => Fsync::Never,
    };
    JournalFile::open(Path::new(path), fsync, owner).map(Some)
}

/// The policy that these options ask for; what they leave out is as the stack has it.
#[must_use]
pub fn policy(options: &ResilienceOptions) -> Policy {
    let conflicts = match options.conflicts {
        Some(OnConflict::LocalWins) => Conflicts::LocalWins,
        Some(OnConflict::Manual) => Conflicts::Manual,
        Some(OnConflict::RemoteWins) | None => Conflicts::RemoteWins,
    };
    let journals = options.on_unavailable != Some(OnUnavailable::Reject);
    let mut policy = Policy { journals, conflicts, ..Policy::default() };
    let put = |place: &mut u64, ms: Option<f64>| *place = ms.map_or(*place, whole);
    put(&mut policy.attempt_ms, options.attempt_timeout_ms);
    put(&mut policy.retry.first_pause_ms, options.retry.first_pause_ms);
    put(&mut policy.retry.longest_pause_ms, options.retry.longest_pause_ms);
    let set = |place: &mut f64, number: Option<f64>| *place = number.unwrap_or(*place);
    if let Some(attempts) = options.retry.attempts {
        policy.retry.attempts = u32::try_from(whole(attempts)).unwrap_or(u32::MAX);
    }
    set(&mut policy.retry.budget, options.retry.budget_percentage.map(|part| part / 100.0));
    set(&mut policy.retry.reserve, options.retry.reserve);
    let (breaker, asked) = (&mut policy.breaker, &options.breaker);
    breaker.consecutive = asked.failures.or(breaker.consecutive);
    if let Some(rate) = &mut breaker.rate {
        set(&mut rate.percentage, asked.percentage);
        set(&mut rate.minimum, asked.minimum);
    }
    if let Some(ms) = asked.window_ms {
        breaker.span = Span::Time(ms);
    }
    set(&mut breaker.open_ms, asked.open_ms);
    set(&mut breaker.max_open_ms, asked.longest_open_ms);
    set(&mut breaker.success_threshold, asked.successes);
    let size = |number: f64| usize::try_from(whole(number)).unwrap_or(usize::MAX);
    policy.bounds.entries = options.journal.max_entries.map_or(policy.bounds.entries, size);
    policy.bounds.bytes = options.journal.max_bytes.map_or(policy.bounds.bytes, size);
    policy
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the schema bounds it")]
fn whole(number: f64) -> u64 {
    number.ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::{Choice, Environment, choose};
    use crate::error::Code;
    use crate::schema::{BackendName, StorageOptions};

    fn chosen(
        backend: Option<BackendName>,
        url: Option<&str>,
        node_env: &str,
        redis_url: &str,
    ) -> Option<Choice> {
        let options = StorageOptions { backend, url: url.map(str::to_owned), ..StorageOptions::default() };
        let environment = Environment { node_env: node_env.to_owned(), redis_url: redis_url.to_owned() };
        choose(&options, &environment).map_err(|error| assert_eq!(error.code, Code::Config)).ok()
    }

    #[test]
    fn the_table_of_the_contract() {
        let given = |url: &str| Some(Choice::Redis(url.to_owned(), "url"));
        let redis = |url: &str| Some(Choice::Redis(url.to_owned(), "REDIS_URL"));
        for node_env in ["", "development", "test"] {
            assert!(chosen(None, None, node_env, "") == Some(Choice::Memory));
            assert!(chosen(None, None, node_env, "redis://a") == Some(Choice::Memory));
        }
        assert!(chosen(None, None, "production", "redis://a") == redis("redis://a"));
        assert!(chosen(None, None, "production", "").is_none());
        assert!(chosen(Some(BackendName::Memory), None, "production", "redis://a") == Some(Choice::Memory));
        assert!(chosen(Some(BackendName::Redis), None, "test", "redis://a") == redis("redis://a"));
        assert!(chosen(Some(BackendName::Redis), Some("redis://b"), "", "redis://a") == given("redis://b"));
        assert!(chosen(None, Some("redis://b"), "", "") == given("redis://b"));
        assert!(chosen(Some(BackendName::Redis), None, "", "").is_none());
        assert!(chosen(None, None, "staging", "redis://a").is_none());
    }
}
