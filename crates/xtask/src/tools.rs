//! Tools that a check needs beyond the Rust toolchain: found, or fetched into `target/`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    check::Trouble,
    command::{self, cargo},
};

/// The release of cargo-deny that is fetched when none is installed.
const CARGO_DENY: &str = "0.20.2";

/// Likewise of cargo-fuzz.
const CARGO_FUZZ: &str = "0.13.2";

/// The project's root.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package)
}

/// A folder under `target/`, as an absolute path.
pub(crate) fn target(name: &str) -> PathBuf {
    root().join("target").join(name)
}

/// Makes sure that cargo has a subcommand which comes as a component of the toolchain.
pub(crate) fn component(subcommand: &str, name: &str) -> Result<(), Trouble> {
    match command::output(cargo([subcommand, "--version"]).stderr(Stdio::null())) {
        Some(_) => Ok(()),
        None => Err(Trouble::Missing(format!(
            "the toolchain lacks {name}: rustup component add {name}"
        ))),
    }
}

/// cargo-deny: the one installed, or one built into `target/tools` (some minutes, once).
pub(crate) fn cargo_deny() -> Result<PathBuf, Trouble> {
    subcommand("cargo-deny", CARGO_DENY)
}

/// cargo-fuzz: likewise.
pub(crate) fn cargo_fuzz() -> Result<PathBuf, Trouble> {
    subcommand("cargo-fuzz", CARGO_FUZZ)
}

/// A subcommand of cargo, installed or built.
fn subcommand(name: &str, version: &str) -> Result<PathBuf, Trouble> {
    let folder = target("tools");
    let own = folder.join("bin").join(name);
    for candidate in [PathBuf::from(name), own.clone()] {
        if command::output(Command::new(&candidate).arg("--version")).is_some() {
            return Ok(candidate);
        }
    }
    println!("{name} is not installed: building {version} into target/tools");
    let mut install = cargo(["install", name, "--version", version]);
    // Unoptimized: it runs for a second, and would be built for minutes more.
    install.args(["--locked", "--debug", "--root"]).arg(&folder);
    let build = folder.join("build").join(name);
    install.env("CARGO_TARGET_DIR", &build).env("CARGO_PROFILE_DEV_DEBUG", "0");
    install.env("CARGO_PROFILE_DEV_OPT_LEVEL", "0");
    command::run(&mut install).map_err(|why| missing(name, &why))?;
    // The tool itself stays; a gigabyte of its objects need not.
    let _ = fs::remove_dir_all(build);
    Ok(own)
}

/// promtool: the one installed, or that of Debian's package `prometheus`.
pub(crate) fn promtool() -> Result<PathBuf, Trouble> {
    debian_program("promtool", "prometheus", "usr/bin/promtool")
}

/// nats-server: the one installed, or that of Debian's package of the same name.
pub(crate) fn nats_server() -> Result<PathBuf, Trouble> {
    debian_program("nats-server", "nats-server", "usr/sbin/nats-server")
}

/// A program that says its `--version`: the one installed, or that of a package of Debian,
/// unpacked into a folder of the program's name under `target/` without being installed.
fn debian_program(name: &str, package: &str, path: &str) -> Result<PathBuf, Trouble> {
    let folder = target(name);
    let own = folder.join(path);
    for candidate in [PathBuf::from(name), own.clone()] {
        if command::output(Command::new(&candidate).arg("--version")).is_some() {
            return Ok(candidate);
        }
    }
    println!("{name} is not installed: unpacking it into target/{name}");
    let fetch = || {
        fs::create_dir_all(&folder).map_err(|error| trouble(&folder, &error))?;
        // It downloads into where it runs, and there is no option to say otherwise.
        let mut download = Command::new("sh");
        let script = "cd \"$0\" && apt-get download --quiet \"$1\"";
        download.args(["-c", script]).arg(&folder).arg(package);
        command::run(&mut download)?;
        let entries = fs::read_dir(&folder).map_err(|error| trouble(&folder, &error))?;
        let mut packages = entries.flatten().map(|entry| entry.path());
        let package = packages
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .ok_or_else(|| Trouble::Failed("no package was downloaded".to_owned()))?;
        command::run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&folder))?;
        // Megabytes of which one file is needed.
        let _ = fs::remove_file(package);
        Ok(())
    };
    fetch().map_err(|why| missing(name, &why))?;
    Ok(own)
}

/// A Python 3 interpreter with the standard library alone.
pub(crate) fn python() -> Result<PathBuf, Trouble> {
    let version = command::output(Command::new("python3").arg("--version"))
        .ok_or_else(|| Trouble::Missing("python3 is not installed".to_owned()))?;
    println!("{version}");
    Ok(PathBuf::from("python3"))
}

/// A Python 3 interpreter that has the packages of `clients/python/requirements.txt`, in a virtual
/// environment under `target/`.
pub(crate) fn python_with_packages() -> Result<PathBuf, Trouble> {
    let python = python()?;
    let folder = target("python");
    let interpreter = folder.join("bin/python");
    let requirements = root().join("clients/python/requirements.txt");
    once_for(&folder, &[&requirements], || {
        command::run(Command::new(&python).args(["-m", "venv", "--clear"]).arg(&folder))?;
        let mut install = Command::new(&interpreter);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        command::run(install.arg("--requirement").arg(&requirements))
    })
    .map_err(|why| missing("the Python packages", &why))?;
    Ok(interpreter)
}

/// A copy of `clients/node` under `target/` with its packages beside it: modules are resolved
/// from where the program lies, and the sources stay free of them.
pub(crate) fn node_client() -> Result<PathBuf, Trouble> {
    for program in ["node", "npm"] {
        let version = command::output(Command::new(program).arg("--version"))
            .ok_or_else(|| Trouble::Missing(format!("{program} is not installed")))?;
        println!("{program} {version}");
    }
    let source = root().join("clients/node");
    let folder = target("node");
    let manifests = [source.join("package.json"), source.join("package-lock.json")];
    once_for(&folder, &[&manifests[0], &manifests[1]], || {
        for manifest in &manifests {
            copy_into(manifest, &folder)?;
        }
        let mut install = Command::new("npm");
        command::run(install.args(["ci", "--no-audit", "--no-fund", "--prefix"]).arg(&folder))
    })
    .map_err(|why| missing("the npm packages", &why))?;
    for module in ["wire.mjs", "watch.mjs"] {
        copy_into(&source.join(module), &folder)?;
    }
    Ok(folder.join("watch.mjs"))
}

/// A copy of the peer `ws.js` of the benchmarks, below the packages of [`node_client`].
pub(crate) fn ws_peer() -> Result<PathBuf, Trouble> {
    node_client()?;
    let source = root().join("benches/peers");
    let folder = target("node").join("peers");
    fs::create_dir_all(&folder).map_err(|error| trouble(&folder, &error))?;
    for file in ["package.json", "market.js", "ws.js"] {
        copy_into(&source.join(file), &folder)?;
    }
    Ok(folder.join("ws.js"))
}

/// Runs `install` unless it succeeded before for files of the same content.
fn once_for(
    folder: &Path,
    inputs: &[&Path],
    install: impl FnOnce() -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let stamp = folder.join("installed-for");
    let mut wanted = String::new();
    for input in inputs {
        wanted += &fs::read_to_string(input).map_err(|error| trouble(input, &error))?;
    }
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|error| trouble(folder, &error))?;
    install()?;
    fs::write(&stamp, wanted).map_err(|error| trouble(&stamp, &error))
}

fn copy_into(file: &Path, folder: &Path) -> Result<(), Trouble> {
    let name = file.file_name().unwrap_or_default();
    fs::copy(file, folder.join(name)).map(|_| ()).map_err(|error| trouble(file, &error))
}

fn trouble(path: &Path, error: &std::io::Error) -> Trouble {
    Trouble::Failed(format!("{}: {error}", path.display()))
}

fn missing(what: &str, why: &Trouble) -> Trouble {
    Trouble::Missing(format!("could not get {what}: {why}"))
}
