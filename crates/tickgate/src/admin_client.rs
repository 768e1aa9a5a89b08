//! One request to the admin listener of a running gateway.

use std::{fs, time::Duration};

use anyhow::{Context, anyhow, bail};
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

use crate::{cli::AdminOptions, failure::Failure};

/// Longest time for connection, request and answer together: a survey of a busy gateway takes up
/// to five seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Longest answer that is read: 1,000 sessions are about a megabyte.
const ANSWER_LIMIT_BYTES: usize = 16 << 20;

/// Sends a request and gives the JSON of its answer.
///
/// # Errors
/// [`Failure::Unreachable`] when nobody answers in time, [`Failure::NotAllowed`] when the token is
/// wrong or missing, [`Failure::NotFound`] when what was asked for is not there,
/// [`Failure::Running`] for any other refusal.
pub(crate) fn ask(options: &AdminOptions, method: Method, path: &str) -> Result<Value, Failure> {
    let token = token(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("no runtime")
        .map_err(Failure::Running)?;
    let request = request(&options.admin, method, path, token).map_err(Failure::Config)?;
    let answered = runtime.block_on(async { timeout(ANSWER_WITHIN, send(request)).await });
    let (status, body) = answered
        .unwrap_or_else(|_| Err(anyhow!("no answer within {} s", ANSWER_WITHIN.as_secs())))
        .with_context(|| format!("no gateway answers at {}", options.admin))
        .map_err(Failure::Unreachable)?;
    let answer: Option<Value> = serde_json::from_slice(&body).ok();
    match (status.is_success(), answer) {
        (true, Some(answer)) => Ok(answer),
        (_, answer) => Err(refused(status, answer.as_ref(), &options.admin)),
    }
}

fn token(options: &AdminOptions) -> Result<Option<String>, Failure> {
    let Some(file) = &options.token_file else { return Ok(options.token.clone()) };
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read {}", file.display()))
        .map_err(Failure::Config)?;
    Ok(Some(text.trim().to_owned()))
}

fn request(
    admin: &str,
    method: Method,
    path: &str,
    token: Option<String>,
) -> anyhow::Result<Request<Empty<Bytes>>> {
    let uri: Uri = format!("{}{path}", admin.trim_end_matches('/'))
        .parse()
        .with_context(|| format!("--admin {admin}: must be a URL"))?;
    if uri.scheme_str() != Some("http") {
        bail!("--admin {admin}: must begin with http://");
    }
    let authority = uri.authority().context("a URL with a scheme has a host")?;
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, authority.as_str())
        .header(header::USER_AGENT, concat!("tickgate/", env!("CARGO_PKG_VERSION")));
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(Empty::new()).context("--token: must be printable ASCII")
}

async fn send(request: Request<Empty<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
    let host = request.headers()[header::HOST].to_str()?.to_owned();
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port { host } else { format!("{host}:80") };
    let stream = TcpStream::connect(&address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its error shows in the answer as well.
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_LIMIT_BYTES).collect().await;
    Ok((status, body.map_err(|error| anyhow!(error))?.to_bytes()))
}

fn refused(status: StatusCode, answer: Option<&Value>, admin: &str) -> Failure {
    let message = answer.and_then(|answer| answer["error"]["message"].as_str());
    let error = match message {
        Some(message) => anyhow!("{admin} answers: {message}"),
        None => anyhow!("{admin} answers {status}, and not as a gateway does"),
    };
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::NotAllowed(error),
        StatusCode::NOT_FOUND if message.is_some() => Failure::NotFound(error),
        _ => Failure::Running(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_is_spoken_and_the_path_is_the_targets() {
        let built = |admin| request(admin, Method::GET, "/admin/sessions", None);
        for admin in ["127.0.0.1:7401", "https://gateway:7401", "", "http://"] {
            assert!(built(admin).is_err(), "{admin}");
        }
        let request = built("http://127.0.0.1:7401/").expect("valid");
        assert_eq!(request.uri(), "/admin/sessions");
        assert_eq!(request.headers()[header::HOST], "127.0.0.1:7401");
    }

    #[test]
    fn a_refusal_is_told_in_the_gateways_words() {
        let answer = serde_json::json!({"error": {"code": "x", "message": "no such thing"}});
        for (status, code) in [(401, 5), (403, 5), (404, 6), (503, 1)] {
            let status = StatusCode::from_u16(status).expect("valid");
            let failure = refused(status, Some(&answer), "http://a");
            let kind = match failure {
                Failure::NotAllowed(_) => 5,
                Failure::NotFound(_) => 6,
                _ => 1,
            };
            assert_eq!(kind, code, "{status}");
        }
        let stranger = refused(StatusCode::NOT_FOUND, None, "http://a");
        assert!(matches!(stranger, Failure::Running(_)), "somebody else's 404");
    }
}
