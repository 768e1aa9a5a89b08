//! `tickgate kick`: closes a session of a running gateway.

use http::Method;

use crate::{admin_client, cli::KickOptions, failure::Failure, sessions::print};

/// Asks, and says what became of it.
///
/// # Errors
/// As [`admin_client::ask`] says; [`Failure::NotFound`] for a session that is not open.
pub(crate) fn run(options: &KickOptions) -> Result<(), Failure> {
    let path = format!("/admin/sessions/{}", options.id);
    admin_client::ask(&options.admin, Method::DELETE, &path)?;
    print(&format!("session {} is being closed\n", options.id));
    Ok(())
}
