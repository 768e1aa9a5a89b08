//! What an operator sees and does: the books, sessions, kicking, who is let in.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;
use tickgate_feed::simulated::SimulatedConfig;
use tickgate_protocol::{
    channel::Channels,
    command::Op,
    dialect::Dialect::{Json, MessagePack},
};

use crate::{
    client::Client,
    data::Recordings,
    gateway::Gateway,
    http::{Scrape, ask, get},
};

const TOKEN: &str = "correct-horse-battery-staple";

/// `tickgate` with arguments: exit code, stdout, stderr.
fn tickgate(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickgate"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TICKGATE_") {
            command.env_remove(name);
        }
    }
    let output = command.args(arguments).output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The formula of docs/OPERATIONS.md: both sides of the books.
fn books(scrape: &Scrape) -> (f64, f64) {
    let sent = ["quote", "last", "trade", "bar"]
        .map(|channel| scrape.sum("tickgate_entries_sent_total", &format!("\"{channel}\"")));
    let booked = sent.iter().sum::<f64>() - scrape.sum("tickgate_snapshots_sent_total", "")
        + scrape.sum("tickgate_updates_merged_total", "")
        + scrape.sum("tickgate_trades_lost_total", "")
        + scrape.sum("tickgate_bars_lost_total", "")
        + scrape.sum("tickgate_updates_pending", "")
        + scrape.sum("tickgate_updates_unsent_total", "");
    (scrape.sum("tickgate_updates_since_join", ""), booked)
}

#[test]
fn the_books_balance_under_load_and_when_the_feed_has_stopped() {
    let market =
        SimulatedConfig { symbols: 60, ticks_per_second: 6_000, ..SimulatedConfig::default() };
    let recordings = Recordings::simulated(market, 4);
    // A small tape, so that who is held up loses trades.
    let gateway = Gateway::start(&format!(
        "[gateway]\nworkers = 2\n[hub]\ntape_capacity = 16\nsymbol_limit = 64\n{}",
        recordings.config(1.0, 4)
    ));
    let address = gateway.metrics_address().to_owned();
    let subscribed = |throttle_ms, channels| {
        let mut client = Client::connect(&gateway.stream_url, MessagePack);
        client.subscribe(["*"], channels, throttle_ms);
        client.read_until(|client| client.readies == 1);
        client
    };
    // Held up by its credit until the end, then gone: it merges and loses.
    let mut held = Client::connect(&gateway.stream_url, MessagePack);
    held.command(Op::Credit { frames: Some(1) });
    held.subscribe(["*"], Channels::EVERY, 20);
    held.read_until(|client| client.readies == 1);
    let mut leaver = subscribed(50, Channels::EVERY);
    let mut changer = subscribed(0, Channels::EVERY);
    let mut reader = subscribed(100, Channels::ALL);

    // Under load: few subscriptions are surveyed in one turn, so each worker's figures are of one
    // moment and balance to the last update.
    leaver.read_until(|client| client.data_frames > 5);
    let scrape = Scrape::of(&address);
    let (heads, booked) = books(&scrape);
    assert!(heads > 0.0, "nothing was booked");
    assert_eq!(heads, booked, "under load");

    drop(leaver);
    changer.read_until(|client| client.data_frames > 20);
    let all = vec!["*".to_owned()];
    changer.command(Op::Unsubscribe { symbols: all, channels: Channels::EVERY });
    changer.read_to_the_unsubscribed();
    let (heads, booked) = books(&Scrape::of(&address));
    assert_eq!(heads, booked, "after one left and another unsubscribed");

    drop(changer);
    reader.read_to_the_end(100);
    let scrape = Scrape::of(&address);
    let (heads, booked) = books(&scrape);
    assert_eq!(heads, booked, "when the feed has stopped");
    assert!(scrape.sum("tickgate_updates_pending", "") > 0.0, "credit holds nothing back");
    drop(held);
    reader.read_until(|_| Scrape::of(&address).sum("tickgate_sessions", "") == 1.0);
    let scrape = Scrape::of(&address);
    let (heads, booked) = books(&scrape);
    assert_eq!(heads, booked, "when all but one have left");
    assert!(scrape.sum("tickgate_updates_unsent_total", "") > 0.0, "nobody left anything unsent");
    assert!(scrape.sum("tickgate_updates_merged_total", "") > 0.0, "nothing was merged");
    assert_eq!(scrape.sum("tickgate_updates_pending", ""), 0.0, "the reader has everything");

    // One reader that was there from the beginning to the end: its side alone is the feed's.
    let trades = scrape.sum("tickgate_ticks_total", "\"trade\"")
        + scrape.sum("tickgate_ticks_total", "\"correction\"");
    let told: u64 = reader
        .book
        .symbols()
        .map(|symbol| symbol.tape.trades + symbol.tape.corrections + symbol.tape.lost)
        .sum();
    assert_eq!(told as f64, trades, "trades told to the reader");
}

#[test]
fn figures_of_load_are_there_and_plausible() {
    let gateway = Gateway::start("[gateway]\nworkers = 2\n");
    let mut client = Client::connect(&gateway.stream_url, MessagePack);
    client.subscribe(["*"], Channels::ALL, 20);
    client.read_until(|client| client.data_frames > 20);
    let scrape = Scrape::of(gateway.metrics_address());
    let value = |metric, part| scrape.sum(metric, part);
    assert_eq!(value("tickgate_build_info", "version="), 1.0);
    assert_eq!(value("tickgate_sessions", ""), 1.0);
    assert_eq!(value("tickgate_wildcards", ""), 1.0);
    assert_eq!(value("tickgate_subscribed_channels", "\"trade\""), 1.0);
    assert_eq!(value("tickgate_workers_up", ""), 2.0);
    for (metric, part) in [
        ("tickgate_worker_busy_seconds_total", "worker=\"0\""),
        ("tickgate_flush_lateness_seconds_count", ""),
        ("tickgate_turn_wait_seconds_count", ""),
        ("tickgate_sent_bytes_total", "\"frame\""),
        ("tickgate_sent_bytes_total", "\"control\""),
        ("tickgate_feed_polls_total", ""),
        ("tickgate_feed_poll_seconds_total", ""),
        ("tickgate_publish_seconds_total", ""),
        ("tickgate_session_memory_bytes", ""),
        ("process_resident_memory_bytes", ""),
    ] {
        assert!(value(metric, part) > 0.0, "{metric} {part}");
    }
    let frames = value("tickgate_frames_sent_total", "");
    assert!(frames >= 20.0 && value("tickgate_turn_wait_seconds_count", "") >= frames / 4.0);
}

/// What begins with `tickgate_` in a text, less the endings of a histogram's series.
fn metric_names(text: &str) -> BTreeSet<String> {
    let parts = text.split(|each: char| !each.is_ascii_alphanumeric() && each != '_');
    let names = parts.filter(|part| part.starts_with("tickgate_") && *part != "tickgate_");
    names
        .map(|name| {
            let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            stem.unwrap_or(name).to_owned()
        })
        .collect()
}

#[test]
fn the_operators_document_names_every_metric_and_no_other() {
    const DOCUMENT: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/OPERATIONS.md"));
    // A recording and the simulated market have figures of their own.
    let recordings = Recordings::simulated(SimulatedConfig::default(), 1);
    let mut scraped = BTreeSet::new();
    for config in [recordings.config(1.0, 0), String::new()] {
        let gateway = Gateway::start(&config);
        scraped.extend(metric_names(&get(gateway.metrics_address(), "/metrics").body));
    }
    let (_, below) = DOCUMENT.split_once("\n## Metrics\n").expect("the heading is there");
    let section = below.split("\n## ").next().expect("something is below it");
    let rows = section.lines().filter(|line| line.starts_with("| `tickgate_"));
    let listed: BTreeSet<String> =
        rows.flat_map(|row| metric_names(row.split(" | ").next().unwrap_or_default())).collect();
    assert_eq!(listed, scraped);
    // Whatever else the document says of a metric, with its name or with what the table of limits
    // leaves of it, is said of one of these.
    for name in metric_names(DOCUMENT) {
        assert!(scraped.contains(&name), "{name}");
    }
    let (_, below) = DOCUMENT.split_once("\n## Limits\n").expect("the heading is there");
    let limits = below.split("\n## ").next().expect("something is below it");
    let counters = limits.split('`').skip(1).step_by(2).map(|each| each.split('{').next());
    for name in counters.flatten().filter(|name| name.ends_with("_total")) {
        assert!(scraped.contains(&format!("tickgate_{name}")), "{name}");
    }
}

#[test]
fn an_operator_sees_a_session_and_kicks_it() {
    let gateway = Gateway::start("[log]\nformat = \"json\"\n");
    let address = gateway.metrics_address().to_owned();
    let admin = format!("http://{address}");
    let mut stays = Client::connect(&gateway.stream_url, MessagePack);
    stays.subscribe(["AAPL", "MSFT"], Channels::DEFAULT, 100);
    stays.read_until(|client| client.data_frames > 2);
    let mut held = Client::connect(&gateway.stream_url, Json);
    held.command(Op::Credit { frames: Some(1) });
    held.subscribe(["AAPL", "MSFT", "NVDA"], Channels::ALL, 50);
    held.read_until(|client| client.readies == 1);

    // It needs a moment until credit holds it up; on a busy machine the gateway had been late before.
    let mut listed = Value::Null;
    stays.read_until(|_| {
        listed = get(&address, "/admin/sessions").json();
        let causes = listed["sessions"][0]["held_up_by"].as_array();
        causes.is_some_and(|causes| causes.contains(&"credit".into()))
    });
    assert_eq!(listed["open"], 2);
    let slowest = &listed["sessions"][0];
    assert_eq!(slowest["dialect"], "tickgate.v1.json");
    assert_eq!(slowest["user_agent"], "tickgate-test");
    assert_eq!(slowest["throttles_ms"], serde_json::json!([50]));
    assert_eq!(slowest["credit"], serde_json::json!({"frames": 1, "unacknowledged": 1}));
    assert_eq!(slowest["subscriptions"], 3);
    let other = &listed["sessions"][1];
    assert_eq!(other["subscriptions"], 2);
    assert_eq!(other["channels"], serde_json::json!(["quote", "last"]));
    assert_eq!(
        get(&address, "/admin/sessions?limit=1").json()["sessions"].as_array().map(Vec::len),
        Some(1)
    );

    let (code, table, _) = tickgate(&["sessions", "--admin", &admin]);
    assert_eq!(code, Some(0), "{table}");
    assert!(table.starts_with(" ID") || table.starts_with("ID"), "{table}");
    assert!(table.contains("credit") && table.contains("2 of 2 open sessions"), "{table}");
    let (code, json, _) = tickgate(&["sessions", "--admin", &admin, "--json", "--limit", "1"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((code, json["sessions"].as_array().map(Vec::len)), (Some(0), Some(1)));

    let id = slowest["id"].to_string();
    let (code, said, _) = tickgate(&["kick", "--admin", &admin, &id]);
    assert_eq!((code, said), (Some(0), format!("session {id} is being closed\n")));
    assert_eq!(held.read_to_the_close_frame(), (4505, "kicked".to_owned()));
    stays.read_until(|_| Scrape::of(&address).sum("tickgate_sessions", "") == 1.0);
    let closed = Scrape::of(&address).sum("tickgate_sessions_closed_total", "\"kicked\"");
    assert_eq!(closed, 1.0);
    let (code, _, error) = tickgate(&["kick", "--admin", &admin, &id]);
    assert_eq!(code, Some(6), "{error}");
    assert!(error.ends_with(&format!("no open session has the id {id}\n")), "{error}");

    drop(stays);
    let (status, printed) = gateway.stop();
    assert!(status.success(), "{printed}");
    let ended: Vec<Value> = printed
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["message"] == "session ended")
        .collect();
    assert_eq!(ended.len(), 2, "one line for each session:\n{printed}");
    let kicked = &ended[0];
    assert_eq!((&kicked["reason"], &kicked["code"]), (&"kicked".into(), &4505.into()), "{kicked}");
    assert!(kicked["frames"].as_u64() > Some(0) && kicked["bytes"].as_u64() > Some(0), "{kicked}");
    assert!(kicked["duration_s"].as_f64() > Some(0.0), "{kicked}");
    assert!(kicked["merged"].is_u64() && kicked["lost"].is_u64(), "{kicked}");
    assert_eq!(kicked["user_agent"], "tickgate-test");
}

#[test]
fn without_the_token_nobody_is_let_in_and_no_page_ever_is() {
    let gateway = Gateway::start(&format!("[admin]\ntoken = \"{TOKEN}\"\n"));
    let address = gateway.metrics_address().to_owned();
    let admin = format!("http://{address}");
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    for path in
        ["/metrics", "/admin/sessions", "/admin/symbols", "/admin/config", "/admin/openapi.json"]
    {
        assert_eq!(get(&address, path).status, 401, "{path}");
        let wrong = ask(&address, "GET", path, "Authorization: Bearer wrong\r\n");
        assert_eq!((wrong.status, &wrong.json()["error"]["code"]), (401, &"wrong_token".into()));
        assert_eq!(ask(&address, "GET", path, &bearer).status, 200, "{path}");
        let page = format!("{bearer}Origin: https://evil.example\r\n");
        assert_eq!(ask(&address, "GET", path, &page).status, 403, "{path}");
    }
    assert_eq!(ask(&address, "DELETE", "/admin/sessions/1", "").status, 401);
    assert_eq!(ask(&address, "DELETE", "/admin/sessions/1", &bearer).status, 404);
    assert_eq!(get(&address, "/healthz").status, 200);
    assert_ne!(get(&address, "/readyz").status, 401);
    let config = ask(&address, "GET", "/admin/config", &bearer);
    assert!(!config.body.contains(TOKEN), "{}", config.body);
    assert_eq!(config.json()["config"]["admin"]["token"], "***");

    let (code, _, error) = tickgate(&["sessions", "--admin", &admin]);
    assert_eq!(code, Some(5), "{error}");
    let (code, _, error) =
        tickgate(&["sessions", "--admin", &admin, "--token", "wrong-wrong-wrong"]);
    assert_eq!(code, Some(5), "{error}");
    assert!(error.ends_with("that is not the token\n"), "{error}");
    let (code, table, _) = tickgate(&["sessions", "--admin", &admin, "--token", TOKEN]);
    assert_eq!((code, table.lines().last()), (Some(0), Some("0 of 0 open sessions")));
    let (_, printed) = gateway.stop();
    assert!(!printed.contains(TOKEN), "{printed}");
}

#[test]
fn a_page_whose_name_was_rebound_to_loopback_gets_nothing() {
    let gateway = Gateway::start("");
    let address = gateway.metrics_address();
    let rebound = "Host: evil.example:7401\r\n";
    for (method, path) in
        [("GET", "/metrics"), ("GET", "/admin/sessions"), ("DELETE", "/admin/sessions/1")]
    {
        let answer = ask(address, method, path, rebound);
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (403, &"foreign_host".into()));
        let answer = ask(address, method, path, "Origin: http://evil.example\r\n");
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (403, &"foreign_origin".into())
        );
    }
    // What a browser asks before it sends a foreign page's DELETE: only a success allows it.
    let preflight = "Origin: http://evil.example\r\nAccess-Control-Request-Method: DELETE\r\n";
    assert_eq!(ask(address, "OPTIONS", "/admin/sessions/1", preflight).status, 405);
}

#[test]
fn commands_say_clearly_when_nobody_answers() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port();
    let admin = format!("http://127.0.0.1:{port}");
    for command in [vec!["sessions"], vec!["kick", "1"]] {
        let arguments = [&command[..], &["--admin", &admin]].concat();
        let (code, out, error) = tickgate(&arguments);
        assert_eq!((code, out.as_str()), (Some(4), ""), "{error}");
        assert!(
            error.starts_with(&format!("tickgate: no gateway answers at {admin}: ")),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let (code, _, error) = tickgate(&["--admin-listen", "0.0.0.0:0", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("must be a loopback address, unless admin.token"), "{error}");
}

#[test]
#[ignore = "needs promtool: cargo xtask promtool"]
fn promtool_finds_nothing_to_say_about_the_metrics() {
    use std::{io::Write, process::Stdio};
    let promtool = std::env::var("PROOF_PROMTOOL").expect("PROOF_PROMTOOL names promtool");
    let gateway = Gateway::start("");
    let mut client = Client::connect(&gateway.stream_url, MessagePack);
    client.subscribe(["*"], Channels::ALL, 20);
    client.read_until(|client| client.data_frames > 5);
    let page = get(gateway.metrics_address(), "/metrics").body;
    assert!(page.contains("\ntickgate_sessions 1\n"), "{page}");
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    child.stdin.take().expect("piped").write_all(page.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "promtool says:\n{said}");
}
