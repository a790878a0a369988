// The module that Workers start: it loads the WebAssembly, hands requests to it, and loads it anew when it
// has failed.

import module from "./pitchey_worker_bg.wasm";
import * as edge from "./pitchey_worker.js";
import { flattened, living } from "./glue.js";

edge.initSync({ module });

function variables(env) {
  const strings = Object.entries(env).filter(([, value]) => typeof value === "string");
  return JSON.stringify(Object.fromEntries(strings));
}

function failed() {
  const problem = { type: "about:blank", title: "Internal Server Error", status: 500 };
  return Response.json(problem, {
    status: 500,
    headers: { "content-type": "application/problem+json", "cache-control": "no-store" },
  });
}

async function answered(life, request, env, context) {
  if (!life.configured) {
    edge.configure(variables(env));
    life.configured = true;
  }
  const { method, url, headers, body } = request;
  return life.guard(() => edge.answer(method, url, flattened(headers), body, context));
}

export default {
  async fetch(request, env, context) {
    const life = living(edge.__wbg_reset_state);
    try {
      return await answered(life, request, env, context);
    } catch (error) {
      console.error(String(error));
    }
    // Perhaps it was another request that it failed at: a read may be asked for once more.
    if (life.ended && (request.method === "GET" || request.method === "HEAD")) {
      try {
        return await answered(living(edge.__wbg_reset_state), request, env, context);
      } catch (error) {
        console.error(String(error));
      }
    }
    return failed();
  },
};
