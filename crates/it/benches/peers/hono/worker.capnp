# As deploy/edge/workerd.capnp, with another worker.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "internet", network = (
      allow = ["public", "private"],
      tlsOptions = (trustBrowserCas = true)
    ))
  ],
  sockets = [
    (name = "http", address = "127.0.0.1:8787", service = "edge", http = (
      injectRequestHeaders = [(name = "cf-connecting-ip", value = "127.0.0.1")]
    ))
  ]
);

const edge :Workerd.Worker = (
  compatibilityDate = "2026-04-01",
  modules = [(name = "bundle.mjs", esModule = embed "bundle.mjs")],
  bindings = [
    (name = "ORIGIN", fromEnvironment = "PEER_ORIGIN"),
    (name = "SECRET", fromEnvironment = "PEER_SECRET"),
    (name = "BOUND_MS", fromEnvironment = "PEER_BOUND_MS")
  ]
);
