//! How many descriptors the process may hold, and whether the configured limits fit into that.

use crate::config::Settings;

/// What is held beside connections: the listeners and their spares, standard streams, recordings
/// and the reactors of main thread and workers, rounded up.
const OWN: u64 = 64;

/// Reactors of a worker.
const PER_WORKER: u64 = 4;

/// Raises the soft limit to the hard one, as every process may, and says plainly when even that is
/// too few for the configured numbers of connections.
pub(crate) fn raise(settings: &Settings) {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => warn_if_few(settings, limit),
        Err(error) => tracing::warn!(%error, "the limit of open descriptors is not known"),
    }
}

fn warn_if_few(settings: &Settings, limit: u64) {
    let sessions = sessions_within(settings, limit);
    if sessions < settings.gateway.session_limit as u64 {
        tracing::warn!(
            descriptors = limit,
            sessions,
            "gateway.session_limit = {} cannot be reached: the process may hold {limit} \
             descriptors, enough for {sessions} sessions; raise the hard limit (ulimit -Hn, \
             LimitNOFILE)",
            settings.gateway.session_limit
        );
    } else {
        tracing::debug!(descriptors = limit, "enough descriptors for every configured limit");
    }
}

/// Sessions that fit while as many connections are in HTTP as may be, on both listeners.
fn sessions_within(settings: &Settings, limit: u64) -> u64 {
    let http = 2 * settings.gateway.http_connection_limit as u64;
    let own = OWN + PER_WORKER * settings.hub.workers as u64;
    limit.saturating_sub(http + own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Loaded;

    #[test]
    fn sessions_have_what_everything_else_leaves() {
        let config = crate::config::Config::default();
        let settings = Loaded { config, origins: Default::default() }.settings().expect("valid");
        let others = 2 * 512 + 64 + 4 * settings.hub.workers as u64;
        assert_eq!(sessions_within(&settings, others + 50_000), 50_000);
        assert_eq!(sessions_within(&settings, others + 49_999), 49_999, "one below");
        assert_eq!(sessions_within(&settings, 1_024), 0);
    }
}
