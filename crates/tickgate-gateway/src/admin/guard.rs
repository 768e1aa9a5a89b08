//! Who may ask: nobody through a browser that shows a foreign page, and with a token nobody
//! without it.
//!
//! A page of anybody's can have a browser send requests to `127.0.0.1`. It cannot read the answers
//! and cannot send `DELETE`, because no answer allows it to ([Cross-Origin Resource Sharing]); but
//! were its own name to resolve to 127.0.0.1 (DNS rebinding), it could do both. So:
//!
//! - an `Origin` that is not that of the request itself is refused;
//! - without a token the `Host` must be an address or `localhost`, which no page can be served from
//!   but our own. With a token any name will do, since a foreign page does not know the token.
//!
//! [Cross-Origin Resource Sharing]: https://fetch.spec.whatwg.org/#http-cors-protocol

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{Admin, answer::Refused, token::Token};

/// Lets a request through or refuses it.
pub(super) async fn check(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Response {
    match judge(request.headers(), request.uri().host(), admin.token.as_ref()) {
        Ok(()) => next.run(request).await,
        Err(refused) => {
            let mut response = refused.into_response();
            if response.status() == StatusCode::UNAUTHORIZED {
                let scheme = HeaderValue::from_static("Bearer realm=\"tickgate\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            }
            response
        }
    }
}

/// `target` is the host of a request line that names one.
fn judge(headers: &HeaderMap, target: Option<&str>, token: Option<&Token>) -> Result<(), Refused> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let host = headers.get(header::HOST).map(text);
    if let Some(origin) = headers.get(header::ORIGIN).map(text) {
        let own = origin.split_once("://").map(|(_, authority)| authority);
        let is_own = own
            .is_some_and(|own| host.as_deref().is_some_and(|host| own.eq_ignore_ascii_case(host)));
        if !is_own {
            let message = "pages of other origins may not ask here".to_owned();
            return Err(Refused::new(StatusCode::FORBIDDEN, "foreign_origin", message));
        }
    }
    let Some(token) = token else {
        // A request without a host is no browser's.
        let hosts = [host.as_deref(), target];
        if hosts.into_iter().flatten().all(is_unmistakable) {
            return Ok(());
        }
        let message = "without admin.token the host must be an address or localhost".to_owned();
        return Err(Refused::new(StatusCode::FORBIDDEN, "foreign_host", message));
    };
    match headers.get(header::AUTHORIZATION) {
        Some(given) if token.is_in(given.as_bytes()) => Ok(()),
        Some(_) => {
            let message = "that is not the token".to_owned();
            Err(Refused::new(StatusCode::UNAUTHORIZED, "wrong_token", message))
        }
        None => {
            let message = "send the token: Authorization: Bearer <admin.token>".to_owned();
            Err(Refused::new(StatusCode::UNAUTHORIZED, "no_token", message))
        }
    }
}

/// True for an address or `localhost`, with a port or without: nobody's name can stand for them.
fn is_unmistakable(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(pairs: &[(header::HeaderName, &'static str)], token: Option<&Token>) -> &'static str {
        let pairs =
            pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        match judge(&pairs.collect(), None, token) {
            Ok(()) => "ok",
            Err(refused) => refused.code(),
        }
    }

    #[test]
    fn a_name_that_a_page_can_have_is_not_answered_without_a_token() {
        for (host, answer) in [
            ("127.0.0.1:7401", "ok"),
            ("127.0.0.1", "ok"),
            ("[::1]:7401", "ok"),
            ("[::1]", "ok"),
            ("LOCALHOST:7401", "ok"),
            ("evil.example:7401", "foreign_host"),
            ("localhost.evil.example", "foreign_host"),
            ("127.0.0.1.evil.example", "foreign_host"),
            ("[evil.example]", "foreign_host"),
            ("", "foreign_host"),
        ] {
            assert_eq!(code(&[(header::HOST, host)], None), answer, "{host}");
        }
        assert_eq!(code(&[], None), "ok", "no browser");
        let hosts = HeaderMap::new();
        assert!(judge(&hosts, Some("evil.example"), None).is_err(), "in the request line");
    }

    #[test]
    fn a_foreign_page_is_refused_whatever_it_knows() {
        let token = Token::new("0123456789abcdef").expect("long enough");
        let host = (header::HOST, "127.0.0.1:7401");
        let bearer = (header::AUTHORIZATION, "Bearer 0123456789abcdef");
        for (origin, answer) in [
            ("http://127.0.0.1:7401", "ok"),
            ("http://127.0.0.1:7400", "foreign_origin"),
            ("https://evil.example", "foreign_origin"),
            ("null", "foreign_origin"),
            ("", "foreign_origin"),
        ] {
            let origin = (header::ORIGIN, origin);
            let open = [host.clone(), origin.clone()];
            assert_eq!(code(&open, None), answer, "{origin:?}");
            let guarded = [host.clone(), origin.clone(), bearer.clone()];
            assert_eq!(code(&guarded, Some(&token)), answer, "{origin:?}");
        }
        assert_eq!(code(&[(header::ORIGIN, "http://x")], None), "foreign_origin", "no host");
    }

    #[test]
    fn with_a_token_any_name_will_do_and_nobody_is_let_in_without_it() {
        let token = Token::new("0123456789abcdef").expect("long enough");
        let host = (header::HOST, "gateway.internal:7401");
        for (authorization, answer) in [
            (Some("Bearer 0123456789abcdef"), "ok"),
            (Some("Bearer 0123456789abcdeg"), "wrong_token"),
            (Some("Basic 0123456789abcdef"), "wrong_token"),
            (None, "no_token"),
        ] {
            let given = authorization.map(|value| (header::AUTHORIZATION, value));
            let headers: Vec<_> = [host.clone()].into_iter().chain(given).collect();
            assert_eq!(code(&headers, Some(&token)), answer);
        }
    }
}
