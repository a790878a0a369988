# The edge as it is deployed, behind a module that makes it fail on demand.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "internet", network = (allow = ["private"]))
  ],
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "edge")]
);

const edge :Workerd.Worker = (
  compatibilityDate = "2026-04-01",
  modules = [
    (name = "faults.mjs", esModule = embed "faults.mjs"),
    (name = "index.mjs", esModule = embed "/index.mjs"),
    (name = "glue.js", esModule = embed "/glue.js"),
    (name = "pitchey_worker.js", esModule = embed "/pitchey_worker.js"),
    (name = "pitchey_worker_bg.wasm", wasm = embed "/pitchey_worker_bg.wasm")
  ],
  bindings = [(name = "ORIGIN__URL", fromEnvironment = "WORKER_ORIGIN__URL")]
);
