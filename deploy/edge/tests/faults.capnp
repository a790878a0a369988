# The edge as it is deployed, behind a module that makes it fail on demand.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "rooms", disk = (writable = true)),
    (name = "internet", network = (allow = ["private"]))
  ],
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "edge")]
);

const edge :Workerd.Worker = (
  compatibilityDate = "2026-04-01",
  modules = [
    (name = "faults.mjs", esModule = embed "faults.mjs"),
    (name = "index.mjs", esModule = embed "/index.mjs"),
    (name = "rooms.mjs", esModule = embed "/rooms.mjs"),
    (name = "objects.js", esModule = embed "/objects.js"),
    (name = "regions.mjs", esModule = embed "/regions.mjs"),
    (name = "glue.js", esModule = embed "/glue.js"),
    (name = "pitchey_worker.js", esModule = embed "/pitchey_worker.js"),
    (name = "pitchey_worker_bg.wasm", wasm = embed "/pitchey_worker_bg.wasm")
  ],
  durableObjectNamespaces = [(className = "Rooms", uniqueKey = "pitchey-rooms", enableSql = true)],
  durableObjectStorage = (localDisk = "rooms"),
  bindings = [
    (name = "ROOMS", durableObjectNamespace = "Rooms"),
    (name = "ORIGIN__URL", fromEnvironment = "WORKER_ORIGIN__URL"),
    (name = "REALTIME__TICKET_KEY", fromEnvironment = "WORKER_REALTIME__TICKET_KEY"),
    (name = "REALTIME__PUBLISH_SECRET", fromEnvironment = "WORKER_REALTIME__PUBLISH_SECRET")
  ]
);
