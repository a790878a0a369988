//! Servers in containers, by testcontainers.

use std::future::Future;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use testcontainers::bollard::models::PortBinding;
use testcontainers::core::{IntoContainerPort as _, client::docker_client_instance};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt as _};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::guard::Guard;
use crate::net;

/// A daemon of this machine answers at once or is not there.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A first download over a slow line.
const PULL_WITHIN: Duration = Duration::from_mins(5);
const START_WITHIN: Duration = Duration::from_mins(2);

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct ContainerSpec {
    /// The image, with or without a tag.
    pub(crate) image: String,
    /// The port that the server listens on inside.
    pub(crate) port: u16,
    /// The container's environment.
    pub(crate) env: Vec<(String, String)>,
    /// The arguments of the image's entry point.
    pub(crate) args: Vec<String>,
}

impl ContainerSpec {
    fn request(&self) -> ContainerRequest<GenericImage> {
        let (name, tag) = split_image(&self.image);
        let port = self.port;
        let mut request = GenericImage::new(name, tag)
            .with_exposed_port(port.tcp())
            .with_cmd(self.args.clone())
            .with_startup_timeout(START_WITHIN)
            .with_label("pitchey", "testkit");
        for (name, value) in &self.env {
            request = request.with_env_var(name, value);
        }
        request.with_host_config_modifier(move |config| {
            // testcontainers would publish the port to the whole network.
            let binding = PortBinding {
                host_ip: Some("127.0.0.1".to_owned()),
                host_port: Some(String::new()),
            };
            config.publish_all_ports = Some(false);
            config.port_bindings = Some([(format!("{port}/tcp"), Some(vec![binding]))].into());
        })
    }
}

/// Whether a daemon answers and has the image or gets it, or why not.
pub(crate) fn probe(spec: &ContainerSpec) -> Result<(), String> {
    let answer = block_on(async {
        let docker = docker_client_instance().await?;
        timeout(ANSWER_WITHIN, docker.ping())
            .await
            .context("the Docker daemon is silent")?
            .context("no Docker daemon answers")?;
        if docker.inspect_image(&spec.image).await.is_ok() {
            return Ok(());
        }
        eprintln!("testkit: pulling the image {}", spec.image);
        let pulled = timeout(PULL_WITHIN, spec.request().pull_image()).await;
        pulled
            .context("the download takes too long")
            .and_then(|pulled| Ok(pulled.map(drop)?))
            .with_context(|| format!("the image {} cannot be had", spec.image))
    });
    answer.map_err(|error: anyhow::Error| format!("{error:#}"))
}

/// A running container. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Container {
    inner: Option<ContainerAsync<GenericImage>>,
    /// Where the server may be reached, as in `127.0.0.1:49153`: by the published port or, when we
    /// run in a container ourselves, by the network that containers share.
    pub(crate) addresses: Vec<String>,
    // After the container: it removes what is still there.
    _guard: Guard,
}

impl Container {
    /// Starts the container; the server inside may not be ready yet.
    pub(crate) fn start(spec: &ContainerSpec) -> Result<Self> {
        // The guard knows the name before there is a container, so that none escapes it.
        let guard = Guard::start(Duration::ZERO)?;
        let name = format!("pitchey-testkit-{}", net::random_hex(6)?);
        guard.remove_container(&name)?;
        block_on(async {
            let request = spec.request().with_container_name(&name);
            let container = timeout(START_WITHIN, request.start())
                .await
                .context("the container does not start")??;
            let published = container.get_host_port_ipv4(spec.port.tcp()).await?;
            let mut addresses = vec![format!("127.0.0.1:{published}")];
            if let Ok(address) = container.get_bridge_ip_address().await {
                addresses.push(format!("{address}:{}", spec.port));
            }
            Ok(Self {
                inner: Some(container),
                addresses,
                _guard: guard.clone(),
            })
        })
    }

    /// The id that Docker gave it.
    pub(crate) fn id(&self) -> &str {
        self.inner.as_ref().map_or("", |container| container.id())
    }

    /// Whether the program inside still runs.
    pub(crate) fn is_running(&self) -> Result<bool> {
        match &self.inner {
            Some(container) => block_on(async { Ok(container.is_running().await?) }),
            None => Ok(false),
        }
    }

    /// What the container has printed to standard error, for a message about a failed start.
    pub(crate) fn log(&self) -> String {
        let Some(container) = &self.inner else {
            return String::new();
        };
        let log = block_on(async { Ok(container.stderr_to_vec().await?) });
        String::from_utf8_lossy(&log.unwrap_or_default()).into_owned()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(container) = self.inner.take() {
            let _ = block_on(async { Ok(timeout(START_WITHIN, container.rm()).await??) });
        }
    }
}

/// Runs on the one runtime that the connections to the daemon live on, from any thread.
fn block_on<T: Send>(future: impl Future<Output = Result<T>> + Send) -> Result<T> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    let runtime = RUNTIME
        .get_or_init(|| {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("docker")
                .enable_all()
                .build()
        })
        .as_ref()
        .map_err(|error| anyhow::anyhow!("no runtime: {error}"))?;
    // On a thread of its own, since the caller's may belong to a runtime, where blocking panics.
    thread::scope(|scope| {
        let worker = scope.spawn(|| runtime.block_on(future));
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Splits `registry:5000/name:tag` into name and tag; without a tag it is `latest`.
fn split_image(image: &str) -> (&str, &str) {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_splits_into_name_and_tag() {
        for (image, expected) in [
            ("postgres:17-alpine", ("postgres", "17-alpine")),
            ("postgres", ("postgres", "latest")),
            (
                "host:5000/team/postgres",
                ("host:5000/team/postgres", "latest"),
            ),
            (
                "host:5000/team/postgres:17",
                ("host:5000/team/postgres", "17"),
            ),
        ] {
            assert_eq!(split_image(image), expected);
        }
    }
}
