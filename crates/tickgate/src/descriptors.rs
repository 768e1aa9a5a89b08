//! How many descriptors the process may hold, and whether the configured limits fit into that.

use tickgate_gateway::GatewayConfig;

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
    match warning(settings, limit) {
        Some(warning) => tracing::warn!(descriptors = limit, "{warning}"),
        None => tracing::debug!(descriptors = limit, "enough descriptors for every limit"),
    }
}

/// What to say when the descriptors are too few for the sessions there may be. The default is what a
/// machine set up for it can hold, and many a shell's hard limit is far below: so it is told that
/// nobody has set it, what happens if nothing is done, and both ways to mend it.
fn warning(settings: &Settings, limit: u64) -> Option<String> {
    let wanted = settings.gateway.session_limit as u64;
    let sessions = sessions_within(settings, limit);
    if sessions >= wanted {
        return None;
    }
    let is_default = settings.gateway.session_limit == GatewayConfig::default().session_limit;
    let default = if is_default { ", the default," } else { "" };
    let needed = wanted + others(settings);
    let lower = match sessions {
        0 => String::new(),
        _ => format!(", or set gateway.session_limit to {sessions} or less"),
    };
    Some(format!(
        "gateway.session_limit = {wanted}{default} cannot be reached: the process may hold {limit} \
         descriptors, enough for {sessions} sessions; beyond that clients are told 503. Raise the \
         hard limit to {needed} (ulimit -Hn, LimitNOFILE){lower}"
    ))
}

/// Sessions that fit while as many connections are in HTTP as may be, on both listeners.
fn sessions_within(settings: &Settings, limit: u64) -> u64 {
    limit.saturating_sub(others(settings))
}

/// Descriptors that are for other things than sessions.
fn others(settings: &Settings) -> u64 {
    let http = 2 * settings.gateway.http_connection_limit as u64;
    http + OWN + PER_WORKER * settings.hub.workers as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Loaded;

    /// The settings with so many sessions, one worker.
    fn settings(session_limit: usize) -> Settings {
        let mut config = crate::config::Config::default();
        config.gateway.session_limit = session_limit;
        config.gateway.workers = 1;
        Loaded { config, origins: Default::default() }.settings().expect("valid")
    }

    #[test]
    fn too_few_descriptors_are_told_with_what_to_do_about_it() {
        let others = 2 * 512 + 64 + 4;
        assert_eq!(warning(&settings(50_000), others + 50_000), None);
        let told = warning(&settings(50_000), 1_048 + 2_000).expect("too few");
        assert_eq!(
            told,
            "gateway.session_limit = 50000, the default, cannot be reached: the process may hold \
             3048 descriptors, enough for 1956 sessions; beyond that clients are told 503. Raise \
             the hard limit to 51092 (ulimit -Hn, LimitNOFILE), or set gateway.session_limit to \
             1956 or less"
        );
        let told = warning(&settings(49_999), 1_024).expect("too few");
        assert!(told.contains("= 49999 cannot be reached") && told.contains("to 51091 "), "{told}");
        assert!(told.ends_with("LimitNOFILE)"), "no limit of sessions would do: {told}");
    }

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
