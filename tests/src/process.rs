//! Programs that tests run: Varve itself, Prometheus, exporters, Python.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Set by `.ci/run`: what is missing is an error then, not a reason to skip a test.
const REQUIRE: &str = "VARVE_TEST_REQUIRE";

/// Says that a test is skipped and why; fails it where nothing may be missing.
///
/// # Panics
/// Where `VARVE_TEST_REQUIRE` is set.
pub fn skip(reason: &str) {
    assert!(
        std::env::var_os(REQUIRE).is_none(),
        "{reason}, and {REQUIRE} is set"
    );
    eprintln!("SKIPPED: {reason}");
}

/// Looks a program up in the path. `None` (and a word about it) means that the test should return.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|folder| folder.join(program));
    let found = found.into_iter().find(|file| file.is_file());
    if found.is_none() {
        skip(&format!("{program} is not installed"));
    }
    found
}

/// A Python that can import some modules: `VARVE_TEST_PYTHON`, or `python3`. `None` as in [`find`].
pub fn python(modules: &[&str]) -> Option<PathBuf> {
    let python = std::env::var_os("VARVE_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let import = format!("import {}", modules.join(", "));
    let mut check = Command::new(&python);
    check.args(["-c", &import]).stderr(Stdio::null());
    if check.status().is_ok_and(|status| status.success()) {
        return Some(python.into());
    }
    skip(&format!(
        "{} cannot import {}: pip install -r .ci/requirements.txt, and set VARVE_TEST_PYTHON",
        Path::new(&python).display(),
        modules.join(", "),
    ));
    None
}

/// The `varve` binary of this build, built now if need be; or the one in `VARVE_TEST_BIN`.
///
/// # Errors
/// When cargo cannot build it.
pub fn varve() -> io::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build_varve().map_err(|e| e.to_string()));
    built.clone().map_err(io::Error::other)
}

fn build_varve() -> io::Result<PathBuf> {
    if let Some(path) = std::env::var_os("VARVE_TEST_BIN") {
        return Ok(path.into());
    }
    // target/debug/deps/it-… is this test; the binary of the same profile lies two folders up.
    let test = std::env::current_exe()?;
    let profile = test.ancestors().nth(2);
    let profile = profile.ok_or_else(|| io::Error::other("the test is not in a target folder"))?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "varve", "--bin", "varve"]);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    if let Some(target) = profile.parent() {
        cargo.arg("--target-dir").arg(target);
    }
    // What cargo tells this test about its own package must not reach build scripts: they would take it for a change, and
    // everything above them would be compiled anew.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_CRATE_",
            "CARGO_BIN_",
        ]
        .iter()
        .any(|of_package| text.starts_with(of_package))
        {
            cargo.env_remove(&name);
        }
    }
    let status = cargo.status()?;
    if !status.success() {
        return Err(io::Error::other("cargo could not build varve"));
    }
    Ok(profile.join("varve"))
}

/// A port of the loopback interface that was free a moment ago.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A running program; killed when dropped.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts a program; what it writes goes to `<folder>/<name>.log`, after what an earlier run wrote there.
    pub fn start(
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        environment: &[(&str, String)],
        folder: &Path,
    ) -> io::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        Ok(Self {
            name: name.to_owned(),
            child: command.spawn()?,
            log,
        })
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its memory now and at its peak, in bytes (`VmRSS`, `VmHWM`).
    pub fn memory_bytes(&self) -> Option<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
            Some(kib << 10)
        };
        Some((field("VmRSS:")?, field("VmHWM:")?))
    }

    /// Waits until a URL answers 200.
    ///
    /// # Errors
    /// When the program ends before, or the time is over; with the end of its log.
    pub async fn ready(&mut self, url: &str, patience: Duration) -> io::Result<()> {
        let started = Instant::now();
        let client = reqwest::Client::new();
        loop {
            let answer = client.get(url).timeout(Duration::from_secs(2)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            let reason = match self.child.try_wait()? {
                Some(status) => format!("ended with {status}"),
                None if started.elapsed() > patience => format!("did not answer {url}"),
                None => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let log = self.log();
            let tail = log.lines().rev().take(20).collect::<Vec<_>>();
            let tail: Vec<_> = tail.into_iter().rev().collect();
            return Err(io::Error::other(format!(
                "{} {reason}; its last words:\n{}",
                self.name,
                tail.join("\n")
            )));
        }
    }

    /// SIGKILL: no chance to write anything more.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }

    /// A signal by name (`TERM`, `HUP`), then on.
    pub fn signal(&self, signal: &str) -> io::Result<()> {
        let mut kill = Command::new("kill");
        kill.args(["-s", signal, &self.child.id().to_string()]);
        match kill.status()?.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("{} is gone", self.name))),
        }
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When it does not come in time.
    pub async fn ended(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if started.elapsed() > patience {
                let reason = format!("{} does not end:\n{}", self.name, self.log());
                return Err(io::Error::other(reason));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already; there is nothing to do about an error here.
        let _ = self.kill();
    }
}
