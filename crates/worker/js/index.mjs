// The module that Workers start: it loads the WebAssembly, hands requests to it, and loads it anew when it
// has failed.

import module from "./pitchey_worker_bg.wasm";
import * as edge from "./pitchey_worker.js";
import { bind, flattened, living, problem } from "./glue.js";

edge.initSync({ module });

function variables(env) {
  const strings = Object.entries(env).filter(([, value]) => typeof value === "string");
  return JSON.stringify(Object.fromEntries(strings));
}

// An answer, at once if it is in memory; else the promise of one.
function answered(life, request, env, context) {
  if (!life.configured) {
    bind(env);
    life.run(() => edge.configure(variables(env)));
    life.configured = true;
  }
  const { method, url, headers, body } = request;
  return life.guard(() => edge.answer(method, url, flattened(headers), body, context));
}

// Perhaps it was another request that the module failed at: a read may be asked for once more.
async function again(life, request, env, context) {
  if (life.ended && (request.method === "GET" || request.method === "HEAD")) {
    try {
      return await answered(living(edge.__wbg_reset_state), request, env, context);
    } catch (error) {
      console.error(String(error));
    }
  }
  return problem(500, "Internal Server Error");
}

export default {
  fetch(request, env, context) {
    const life = living(edge.__wbg_reset_state);
    const instead = (error) => {
      console.error(String(error));
      return again(life, request, env, context);
    };
    try {
      const given = answered(life, request, env, context);
      return given instanceof Promise ? given.catch(instead) : given;
    } catch (error) {
      return instead(error);
    }
  },
};
