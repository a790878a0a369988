// The peer of the edge on Workers: the same route, kept in the memory of the isolate for as long and under the
// same key, with the same fields in the answer, by Hono.

import { Hono } from "hono";

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const LARGEST = 1 << 20;
const MOST_BYTES = 64 << 20;

const pages = new Map();
let bytes = 0;

function keep(key, page) {
  const old = pages.get(key);
  if (old !== undefined) {
    bytes -= old.body.byteLength;
    pages.delete(key);
  }
  pages.set(key, page);
  bytes += page.body.byteLength;
  // The first of a map is the one that was put there first.
  while (bytes > MOST_BYTES) {
    const [oldest, { body }] = pages.entries().next().value;
    pages.delete(oldest);
    bytes -= body.byteLength;
  }
}

async function load(env, path, coding, id) {
  const asked = Date.now();
  const response = await fetch(env.ORIGIN + path, {
    headers: { "accept-encoding": coding, "pitchey-edge-key": env.SECRET, "x-request-id": id },
    redirect: "manual",
    signal: AbortSignal.timeout(10_000),
  });
  const body = await response.arrayBuffer();
  const headers = {};
  for (const [name, value] of response.headers) {
    if (!name.startsWith("pitchey-edge-") && name !== "date" && name !== "content-length") headers[name] = value;
  }
  const vouched = response.headers.has("pitchey-edge-stamp");
  const page = { status: response.status, headers, body, etag: headers.etag, until: asked + Number(env.BOUND_MS) };
  return { page, keeps: vouched && response.status === 200 && body.byteLength <= LARGEST };
}

const app = new Hono();

app.get("/api/pitches/:id", async (c) => {
  const begun = performance.now();
  const id = c.req.param("id");
  if (!ID.test(id)) return c.json({ title: "Not Found", status: 404 }, 404);
  const accepted = c.req.header("accept-encoding") ?? "";
  const coding = accepted.includes("br") ? "br" : accepted.includes("gzip") ? "gzip" : "identity";
  const path = `/api/pitches/${id}`;
  const key = `pitch_detail:${path}|${coding}`;
  const request = crypto.randomUUID();
  let page = pages.get(key);
  let how;
  const left = page === undefined ? 0 : page.until - Date.now();
  if (left > 0) {
    how = ["HIT", `pitchey-edge; hit; ttl=${Math.floor(left / 1000)}; detail=memory`];
    if (left < Number(c.env.BOUND_MS) / 5 && !page.renews) {
      page.renews = true;
      const renewal = load(c.env, path, coding, request).then(({ page, keeps }) => keeps && keep(key, page));
      c.executionCtx.waitUntil(renewal);
    }
  } else {
    const loaded = await load(c.env, path, coding, request);
    page = loaded.page;
    if (loaded.keeps) keep(key, page);
    how = ["MISS", "pitchey-edge; fwd=miss"];
  }
  for (const name in page.headers) c.header(name, page.headers[name]);
  c.header("x-cache-status", how[0]);
  c.header("cache-status", how[1]);
  c.header("x-request-id", request);
  c.header("server-timing", `edge;dur=${(performance.now() - begun).toFixed(3)}`);
  if (page.etag !== undefined && c.req.header("if-none-match") === page.etag) return c.body(null, 304);
  return c.body(page.body, page.status);
});

export default app;
