//! Tickgate itself, on a market that changes every symbol all the time.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tungstenite::{Message, WebSocket, client::IntoClientRequest, http::HeaderValue};

use super::{Job, SERVER_CORE, Server, discard};
use crate::{process::Running, sink::Content};

const PATH: &str = "/v1/stream";
const SUBPROTOCOL: &str = "tickgate.v1.msgpack";
/// Tickgate's own default.
const DEFAULT_SILENCE_LIMIT_MS: u64 = 40_000;
/// How long it may take to listen and to list every symbol.
const START_LIMIT: Duration = Duration::from_secs(20);

pub(super) fn start(job: &Job) -> Result<Server> {
    let files = tempfile::tempdir()?;
    let (address, admin) = (free_address()?, free_address()?);
    let path = files.path().join("tickgate.toml");
    fs::write(&path, config(job, address, admin))?;
    let mut command = Command::new(fs::canonicalize(&job.tickgate)?);
    command.arg("--config").arg(&path);
    // The settings are those of the file, whatever the caller's environment says.
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("TICKGATE_")) {
        command.env_remove(key);
    }
    let mut running = Running::start_pinned(SERVER_CORE, &command)?;
    discard(running.take_stdout().context("standard output")?);
    let symbols = await_symbols(&mut running, address, job.load.universe)?;
    Ok(Server {
        running,
        address,
        path: PATH,
        subprotocol: Some(SUBPROTOCOL),
        content: Content::Tickgate,
        symbols,
        _files: Some(files),
    })
}

/// One worker; activity spread evenly, no bursts and no halts, so that every symbol changes in
/// every interval; every other key at its default.
fn config(job: &Job, address: SocketAddr, admin: SocketAddr) -> String {
    format!(
        "[gateway]\nlisten = \"{address}\"\nworkers = 1\n\
         [admin]\nlisten = \"{admin}\"\n\
         [session]\ndrain_age_ms = {drain_age_ms}\nclient_silence_limit_ms = {client_silence_limit_ms}\n\
         [log]\nfilter = \"warn\"\n\
         [feed]\nkind = \"simulated\"\n\
         [feed.simulated]\nsymbols = {symbols}\nticks_per_second = {ticks_per_second}\n\
         zipf_exponent = 0.0\nburst_factor = 1\nhalts_per_hour = 0\n",
        drain_age_ms = job.drain_age_ms,
        // A stalled session answers no ping either.
        client_silence_limit_ms = job.drain_age_ms.max(DEFAULT_SILENCE_LIMIT_MS),
        symbols = job.load.universe,
        ticks_per_second = job.load.ticks_per_second,
    )
}

/// The names in the directory once it lists as many as it should, in its order.
fn await_symbols(running: &mut Running, address: SocketAddr, count: usize) -> Result<Vec<String>> {
    let started = Instant::now();
    let mut last_error = None;
    while started.elapsed() < START_LIMIT {
        ensure!(running.is_running(), "it ended at once; its message is on standard error");
        match directory(address) {
            Ok(symbols) if symbols.len() == count => return Ok(symbols),
            Ok(symbols) => last_error = Some(anyhow::anyhow!("it lists {} symbols", symbols.len())),
            Err(error) => last_error = Some(error),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let error = last_error.unwrap_or_else(|| anyhow::anyhow!("no attempt was made"));
    Err(error.context(format!("it was not ready within {START_LIMIT:?}")))
}

fn directory(address: SocketAddr) -> Result<Vec<String>> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(START_LIMIT))?;
    let mut request = format!("ws://{address}{PATH}").into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
    let (mut socket, _) = tungstenite::client(request, stream)?;
    let mut names: Vec<String> = Vec::new();
    loop {
        let mut command = serde_json::json!({ "op": "symbols", "prefix": "" });
        if let Some(last) = names.last() {
            command["after"] = last.as_str().into();
        }
        socket.send(Message::binary(rmp_serde::to_vec(&command)?))?;
        let reply = read_reply(&mut socket, "symbols")?;
        let page = reply["symbols"].as_array().context("a reply without `symbols`")?;
        names.extend(page.iter().filter_map(|line| Some(line["name"].as_str()?.to_owned())));
        if reply["more"] != serde_json::Value::Bool(true) || page.is_empty() {
            // The answer to the close is not waited for: the server closes with the socket.
            let _ = socket.close(None);
            return Ok(names);
        }
    }
}

fn read_reply(socket: &mut WebSocket<TcpStream>, kind: &str) -> Result<serde_json::Value> {
    loop {
        let Message::Binary(payload) = socket.read()? else { continue };
        // Data frames are arrays; replies are maps.
        let Ok(reply) = rmp_serde::from_slice::<serde_json::Value>(&payload) else { continue };
        match reply["type"].as_str() {
            Some(found) if found == kind => return Ok(reply),
            Some("error") => bail!("refused: {reply}"),
            _ => {}
        }
    }
}

/// An address of the loopback interface that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
