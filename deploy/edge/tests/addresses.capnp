# The edge as it is deployed, where each client says itself which address it has: for tests of limits.

using Workerd = import "/workerd/workerd.capnp";
using Deployed = import "../workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = Deployed.edge),
    (name = "rooms", disk = (writable = true)),
    (name = "pages", external = (address = "127.0.0.1:1", http = ())),
    (name = "assets", external = (address = "127.0.0.1:1", http = ())),
    (name = "cache", external = (address = "127.0.0.1:1", http = ())),
    (name = "internet", network = (allow = ["private"]))
  ],
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "edge")]
);
