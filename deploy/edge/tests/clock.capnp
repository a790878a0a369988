# The edge as it is deployed, with a timer that goes off when it is asked, for ?at= milliseconds since 1970, as
# Cloudflare's does every five minutes.

using Workerd = import "/workerd/workerd.capnp";
using Deployed = import "../workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = Deployed.edge),
    (name = "clock", worker = .clock),
    (name = "rooms", disk = (writable = true)),
    (name = "pages", external = (address = "127.0.0.1:1", http = ())),
    (name = "assets", external = (address = "127.0.0.1:1", http = ())),
    (name = "cache", external = (address = "127.0.0.1:1", http = ())),
    (name = "internet", network = (allow = ["private"]))
  ],
  sockets = [
    (name = "http", address = "127.0.0.1:8787", http = (), service = "edge"),
    (name = "clock", address = "127.0.0.1:0", http = (), service = "clock")
  ]
);

const clock :Workerd.Worker = (
  compatibilityDate = "2026-04-01",
  compatibilityFlags = ["service_binding_extra_handlers"],
  modules = [(name = "clock.mjs", esModule =
    `export default {
    `  async fetch(request, env) {
    `    const at = Number(new URL(request.url).searchParams.get("at"));
    `    const { outcome } = await env.EDGE.scheduled({ scheduledTime: new Date(at), cron: "*/5 * * * *" });
    `    return new Response(outcome, { status: outcome === "ok" ? 200 : 500 });
    `  },
    `};
  )],
  bindings = [(name = "EDGE", service = "edge")]
);
