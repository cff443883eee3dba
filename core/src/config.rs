//! Which backend a storage stands on: the options say it, else the environment does.

use crate::error::{Code, Error, Result};
use crate::schema::{BackendName, StorageOptions};

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
    /// On the server at this URL.
    Redis(String),
}

/// Chooses. An environment that is neither for development nor for production chooses nothing: memory
/// where Redis was meant would lose data without a word.
///
/// # Errors
/// `STORAGE_CONFIG`, naming the ways out.
pub fn choose(options: &StorageOptions, environment: &Environment) -> Result<Choice> {
    let url =
        || options.url.clone().or_else(|| Some(environment.redis_url.clone()).filter(|url| !url.is_empty()));
    let missing = || {
        Error::new(
            Code::Config,
            "no server is named: set REDIS_URL (or the option url), or choose backend: 'memory'",
        )
    };
    match (options.backend, environment.node_env.as_str()) {
        (Some(BackendName::Memory), _) => Ok(Choice::Memory),
        (Some(BackendName::Redis), _) => url().map(Choice::Redis).ok_or_else(missing),
        (None, _) if options.url.is_some() => url().map(Choice::Redis).ok_or_else(missing),
        (None, "" | "development" | "test") => Ok(Choice::Memory),
        (None, "production") => url().map(Choice::Redis).ok_or_else(missing),
        (None, _) => Err(Error::new(
            Code::Config,
            "NODE_ENV is none of development, test, production: choose backend: 'memory' or backend: 'redis'",
        )),
    }
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
        let redis = |url: &str| Some(Choice::Redis(url.to_owned()));
        for node_env in ["", "development", "test"] {
            assert!(chosen(None, None, node_env, "") == Some(Choice::Memory));
            assert!(chosen(None, None, node_env, "redis://a") == Some(Choice::Memory));
        }
        assert!(chosen(None, None, "production", "redis://a") == redis("redis://a"));
        assert!(chosen(None, None, "production", "").is_none());
        assert!(chosen(Some(BackendName::Memory), None, "production", "redis://a") == Some(Choice::Memory));
        assert!(chosen(Some(BackendName::Redis), None, "test", "redis://a") == redis("redis://a"));
        assert!(chosen(Some(BackendName::Redis), Some("redis://b"), "", "redis://a") == redis("redis://b"));
        assert!(chosen(None, Some("redis://b"), "", "") == redis("redis://b"));
        assert!(chosen(Some(BackendName::Redis), None, "", "").is_none());
        assert!(chosen(None, None, "staging", "redis://a").is_none());
    }
}
