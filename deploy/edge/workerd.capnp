# The edge in workerd alone, as tests, benchmarks and `cargo xtask worker dev` run it: the modules come from
# the directory that `--import-path` names, the variables from the environment, where they begin with WORKER_.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    # What rooms keep: a directory that `--directory-path rooms=` names.
    (name = "rooms", disk = (writable = true)),
    # What KV is here: named by --external-addr=pages=, and used if WORKER_KV__ENABLED says so.
    (name = "pages", external = (address = "127.0.0.1:1", http = ())),
    # What R2 and the Cache API are here: named by --external-addr=assets= and =cache=, and used if
    # WORKER_ASSETS__ENABLED and WORKER_CACHE__HOST say so.
    (name = "assets", external = (address = "127.0.0.1:1", http = ())),
    (name = "cache", external = (address = "127.0.0.1:1", http = ())),
    (name = "internet", network = (
      allow = ["public", "private"],
      tlsOptions = (trustBrowserCas = true)
    ))
  ],
  sockets = [
    (name = "http", address = "127.0.0.1:8787", service = "edge", http = (
      # As Cloudflare tells the client's address. Here everybody is on this machine.
      injectRequestHeaders = [(name = "cf-connecting-ip", value = "127.0.0.1")],
      # And as it tells where the client is: a field with request.cf in JSON.
      cfBlobHeader = "test-cf"
    ))
  ]
);

const edge :Workerd.Worker = (
  # As in wrangler.toml.
  compatibilityDate = "2026-04-01",
  modules = [
    (name = "index.mjs", esModule = embed "/index.mjs"),
    (name = "rooms.mjs", esModule = embed "/rooms.mjs"),
    (name = "objects.js", esModule = embed "/objects.js"),
    (name = "regions.mjs", esModule = embed "/regions.mjs"),
    (name = "glue.js", esModule = embed "/glue.js"),
    (name = "pitchey_worker.js", esModule = embed "/pitchey_worker.js"),
    (name = "pitchey_worker_bg.wasm", wasm = embed "/pitchey_worker_bg.wasm")
  ],
  cacheApiOutbound = "cache",
  durableObjectNamespaces = [(className = "Rooms", uniqueKey = "pitchey-rooms", enableSql = true)],
  durableObjectStorage = (localDisk = "rooms"),
  bindings = [
    (name = "ROOMS", durableObjectNamespace = "Rooms"),
    (name = "ORIGIN__URL", fromEnvironment = "WORKER_ORIGIN__URL"),
    (name = "ORIGIN__RESPONSE_TIMEOUT_MS", fromEnvironment = "WORKER_ORIGIN__RESPONSE_TIMEOUT_MS"),
    (name = "ORIGIN__STALL_TIMEOUT_MS", fromEnvironment = "WORKER_ORIGIN__STALL_TIMEOUT_MS"),
    (name = "PITCHEY__SECRET", fromEnvironment = "WORKER_PITCHEY__SECRET"),
    (name = "PITCHEY__BOUND_MS", fromEnvironment = "WORKER_PITCHEY__BOUND_MS"),
    (name = "REDIS__REST_URL", fromEnvironment = "WORKER_REDIS__REST_URL"),
    (name = "REDIS__REST_TOKEN", fromEnvironment = "WORKER_REDIS__REST_TOKEN"),
    (name = "REDIS__PREFIX", fromEnvironment = "WORKER_REDIS__PREFIX"),
    (name = "REDIS__TIMEOUT_MS", fromEnvironment = "WORKER_REDIS__TIMEOUT_MS"),
    (name = "PAGES", kvNamespace = "pages"),
    (name = "KV__ENABLED", fromEnvironment = "WORKER_KV__ENABLED"),
    (name = "KV__BOUND_MS", fromEnvironment = "WORKER_KV__BOUND_MS"),
    (name = "KV__TIMEOUT_MS", fromEnvironment = "WORKER_KV__TIMEOUT_MS"),
    (name = "HEALTH__TARGETS", fromEnvironment = "WORKER_HEALTH__TARGETS"),
    (name = "HEALTH__TIMEOUT_MS", fromEnvironment = "WORKER_HEALTH__TIMEOUT_MS"),
    (name = "WARM__PATHS", fromEnvironment = "WORKER_WARM__PATHS"),
    (name = "FIGURES__WRITE_AFTER_MS", fromEnvironment = "WORKER_FIGURES__WRITE_AFTER_MS"),
    (name = "ASSETS", r2Bucket = "assets"),
    (name = "ASSETS__ENABLED", fromEnvironment = "WORKER_ASSETS__ENABLED"),
    (name = "ASSETS__MEMORY_MIB", fromEnvironment = "WORKER_ASSETS__MEMORY_MIB"),
    (name = "ASSETS__TIMEOUT_MS", fromEnvironment = "WORKER_ASSETS__TIMEOUT_MS"),
    (name = "CACHE__HOST", fromEnvironment = "WORKER_CACHE__HOST"),
    (name = "CACHE__TIMEOUT_MS", fromEnvironment = "WORKER_CACHE__TIMEOUT_MS"),
    (name = "REGIONS", fromEnvironment = "WORKER_REGIONS"),
    (name = "REGIONAL__CURSOR_KEY", fromEnvironment = "WORKER_REGIONAL__CURSOR_KEY"),
    (name = "REGIONAL__CONNECT_TIMEOUT_MS", fromEnvironment = "WORKER_REGIONAL__CONNECT_TIMEOUT_MS"),
    (name = "REGIONAL__READ_TIMEOUT_MS", fromEnvironment = "WORKER_REGIONAL__READ_TIMEOUT_MS"),
    (name = "REGIONAL__STATEMENT_TIMEOUT_MS", fromEnvironment = "WORKER_REGIONAL__STATEMENT_TIMEOUT_MS"),
    (name = "DESK__SECRET", fromEnvironment = "WORKER_DESK__SECRET"),
    (name = "LIMITS__CLIENTS", fromEnvironment = "WORKER_LIMITS__CLIENTS"),
    (name = "LIMITS__CROWD", fromEnvironment = "WORKER_LIMITS__CROWD"),
    (name = "LIMITS__READ", fromEnvironment = "WORKER_LIMITS__READ"),
    (name = "LIMITS__SEARCH", fromEnvironment = "WORKER_LIMITS__SEARCH"),
    (name = "LIMITS__WRITE", fromEnvironment = "WORKER_LIMITS__WRITE"),
    (name = "LIMITS__AUTH", fromEnvironment = "WORKER_LIMITS__AUTH"),
    (name = "LIMITS__BEACON", fromEnvironment = "WORKER_LIMITS__BEACON"),
    (name = "STORE__MEMORY_MIB", fromEnvironment = "WORKER_STORE__MEMORY_MIB"),
    (name = "STORE__LARGEST_BODY_KIB", fromEnvironment = "WORKER_STORE__LARGEST_BODY_KIB"),
    (name = "HTTP__MAX_BODY_BYTES", fromEnvironment = "WORKER_HTTP__MAX_BODY_BYTES"),
    (name = "HTTP__MAX_HEADER_BYTES", fromEnvironment = "WORKER_HTTP__MAX_HEADER_BYTES"),
    (name = "HEADERS__DEBUG", fromEnvironment = "WORKER_HEADERS__DEBUG"),
    (name = "REALTIME__URL", fromEnvironment = "WORKER_REALTIME__URL"),
    (name = "REALTIME__TICKET_KEY", fromEnvironment = "WORKER_REALTIME__TICKET_KEY"),
    (name = "REALTIME__PREVIOUS_TICKET_KEY", fromEnvironment = "WORKER_REALTIME__PREVIOUS_TICKET_KEY"),
    (name = "REALTIME__PUBLISH_SECRET", fromEnvironment = "WORKER_REALTIME__PUBLISH_SECRET"),
    (name = "REALTIME__ALLOWED_ORIGINS", fromEnvironment = "WORKER_REALTIME__ALLOWED_ORIGINS"),
    (name = "REALTIME__MAX_CONNECTIONS", fromEnvironment = "WORKER_REALTIME__MAX_CONNECTIONS"),
    (name = "REALTIME__MAX_PER_USER", fromEnvironment = "WORKER_REALTIME__MAX_PER_USER"),
    (name = "REALTIME__MAX_PER_ADDRESS", fromEnvironment = "WORKER_REALTIME__MAX_PER_ADDRESS"),
    (name = "REALTIME__WINDOW_MS", fromEnvironment = "WORKER_REALTIME__WINDOW_MS")
  ]
);
