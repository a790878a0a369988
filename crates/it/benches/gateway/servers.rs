//! The caches that take turns, each as its manual says for a cache on one core, and without an access log: the
//! gateway has none either.

use crate::beside::Peer;
use crate::{bodies, cores};
use anyhow::{Context as _, Result, ensure};
use pitchey_testkit::guard::Guard;
use pitchey_testkit::native::http_status;
use pitchey_testkit::process::Process;
use pitchey_testkit::{net, wait};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub(crate) const GATEWAY: &str = "gateway";
pub(crate) const VARNISH: &str = "Varnish";
pub(crate) const NGINX: &str = "nginx";

const READY_WITHIN: Duration = Duration::from_secs(30);

/// A cache on the servers' core. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    process: Process,
    address: SocketAddr,
}

impl Server {
    pub(crate) fn start(
        name: &'static str,
        upstream: SocketAddr,
        scratch: &Path,
        guard: &Guard,
    ) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], net::free_port()?));
        let home = scratch.join(name);
        std::fs::create_dir(&home)?;
        let command = match name {
            VARNISH => varnish(address, upstream, &home)?,
            NGINX => nginx(address, upstream, &home)?,
            _ => gateway(address, upstream)?,
        };
        let log = scratch.join(format!("{name}.log"));
        let mut process = cores::on_core(cores::SERVERS, || {
            Process::spawn(name, command, &log, Signal::TERM, guard)
        })
        .with_context(|| format!("is there no {name}? Debian: nginx-light, varnish"))?;
        let target = format!("/{}", bodies::BODIES[0]);
        wait::until(&format!("{name} to answer"), READY_WITHIN, || {
            if let Some(status) = process.exited()? {
                anyhow::bail!("{name} ended at once ({status})");
            }
            Ok((http_status(address, &target).ok() == Some(200)).then_some(()))
        })
        .with_context(|| process.log_tail(20))?;
        Ok(Self {
            name,
            process,
            address,
        })
    }

    /// What the load asks.
    pub(crate) fn peer(&self) -> Result<Peer> {
        Ok(Peer {
            name: self.name,
            address: self.address,
            process: self.worker()?,
        })
    }

    /// The process that answers: Varnish's is a child of the one that was started.
    fn worker(&self) -> Result<u32> {
        let pid = self.process.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let mut children = children.split_whitespace();
        let worker = match children.next() {
            Some(child) => child.parse()?,
            None => pid,
        };
        ensure!(
            children.next().is_none(),
            "{} has several processes",
            self.name
        );
        Ok(worker)
    }
}

fn gateway(address: SocketAddr, upstream: SocketAddr) -> Result<Command> {
    let programs = std::env::var_os("PITCHEY_BIN_DIR").context("started without `xtask bench`")?;
    let mut command = Command::new(Path::new(&programs).join("gateway"));
    command
        .args(["--origin", &format!("http://{upstream}")])
        .args(["--listen", &address.to_string()]);
    Ok(command)
}

fn varnish(address: SocketAddr, upstream: SocketAddr, home: &Path) -> Result<Command> {
    let rules = home.join("default.vcl");
    let text = format!(
        "vcl 4.1;\nbackend default {{ .host = \"{}\"; .port = \"{}\"; }}\n",
        upstream.ip(),
        upstream.port()
    );
    std::fs::write(&rules, text)?;
    let mut command = Command::new("varnishd");
    command
        // In the foreground, and without another user: it may have been started by root or not.
        .args(["-F", "-j", "none", "-s", "malloc,256m"])
        .args(["-a", &address.to_string()])
        .arg("-n")
        .arg(home.join("work"))
        .arg("-f")
        .arg(rules);
    Ok(command)
}

fn nginx(address: SocketAddr, upstream: SocketAddr, home: &Path) -> Result<Command> {
    let config = home.join("nginx.conf");
    let at = home.display();
    let text = format!(
        "daemon off;
master_process off;
pid {at}/pid;
error_log {at}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  keepalive_requests 1000000000;
  client_body_temp_path {at}/client;
  proxy_temp_path {at}/proxy;
  fastcgi_temp_path {at}/fastcgi;
  uwsgi_temp_path {at}/uwsgi;
  scgi_temp_path {at}/scgi;
  proxy_cache_path {at}/cache keys_zone=all:10m inactive=1d;
  server {{
    listen {address};
    location / {{
      proxy_pass http://{upstream};
      proxy_cache all;
    }}
  }}
}}
"
    );
    std::fs::write(&config, text)?;
    let mut command = Command::new("nginx");
    command.arg("-e").arg(home.join("error.log"));
    command.arg("-c").arg(config);
    Ok(command)
}
