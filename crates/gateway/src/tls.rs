//! TLS of the clients' connections: a certificate and its key from files, read again when they change, so that a
//! renewed one needs no restart.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context as _, ensure};
use pitchey_runtime::{SystemRuntime, Timer as _};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsAcceptor;

use crate::config::{TlsConfig, ms};

/// The most bytes of a file.
const MOST: u64 = 1 << 20;

/// HTTP/2 where the client knows it.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What makes connections of clients private.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    present: Arc<Present>,
    config: TlsConfig,
    runtime: SystemRuntime,
}

/// The certificate that is shown at present.
#[derive(Debug)]
struct Present(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Present {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let present = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&present))
    }
}

/// The files, as they are.
#[derive(PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    fn read(config: &TlsConfig) -> anyhow::Result<Self> {
        let read = |path: &Path| {
            let name = || path.display().to_string();
            let length = std::fs::metadata(path).with_context(name)?.len();
            ensure!(length <= MOST, "{}: more than {MOST} bytes", name());
            std::fs::read(path).with_context(name)
        };
        Ok(Self {
            certificate: read(&config.certificate)?,
            key: read(&config.key)?,
        })
    }

    /// The certificate with those that vouch for it, and its key.
    fn certified(&self) -> anyhow::Result<CertifiedKey> {
        let chain = CertificateDer::pem_slice_iter(&self.certificate);
        let chain: Vec<_> = chain
            .collect::<Result<_, _>>()
            .context("tls.certificate: is not PEM")?;
        ensure!(!chain.is_empty(), "tls.certificate: holds no certificate");
        let key = PrivateKeyDer::from_pem_slice(&self.key).context("tls.key: holds no key")?;
        let key = ring::sign::any_supported_type(&key).context("tls.key")?;
        let certified = CertifiedKey::new(chain, key);
        let matching = certified.keys_match();
        matching.context("tls.key: is not that of tls.certificate")?;
        Ok(certified)
    }
}

impl Tls {
    /// What the configuration names, if it names anything.
    pub(crate) fn new(config: &TlsConfig, runtime: SystemRuntime) -> anyhow::Result<Option<Self>> {
        if !config.is_on() {
            return Ok(None);
        }
        let certified = Files::read(config)?.certified()?;
        let present = Arc::new(Present(RwLock::new(Arc::new(certified))));
        let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(present.clone());
        server.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(Some(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            present,
            config: config.clone(),
            runtime,
        }))
    }

    /// Looks again and again whether the files are others, until dropped. What is wrong with new ones is
    /// logged, and the old ones stay.
    pub(crate) async fn follow(self) {
        let mut known = None;
        loop {
            let config = self.config.clone();
            let files = spawn_blocking(move || Files::read(&config)).await;
            match files.map_err(anyhow::Error::from).flatten() {
                Ok(files) if known.as_ref() == Some(&files) => {}
                Ok(files) => {
                    self.take(&files, known.is_none());
                    known = Some(files);
                }
                Err(error) => tracing::error!(error = format!("{error:#}"), "TLS files"),
            }
            self.runtime.sleep(ms(self.config.reload_ms)).await;
        }
    }

    fn take(&self, files: &Files, first: bool) {
        match files.certified() {
            Ok(certified) => {
                let mut present = self
                    .present
                    .0
                    .write()
                    .unwrap_or_else(PoisonError::into_inner);
                *present = Arc::new(certified);
                drop(present);
                if !first {
                    tracing::info!("another certificate is shown from now on");
                }
            }
            // A certificate may be there before its key is.
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the certificate stays as it was"
                );
            }
        }
    }
}
