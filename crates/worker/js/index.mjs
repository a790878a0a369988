// The module that Workers start: it loads the WebAssembly, hands requests to it, and loads it anew when it
// has failed.

import module from "./pitchey_worker_bg.wasm";
import * as edge from "./pitchey_worker.js";
import { bind, flattened, living, problem, variables } from "./glue.js";
import { bindObjects } from "./objects.js";
import { bindRegions, place } from "./regions.mjs";
import { atTheDoor, isOfRooms } from "./rooms.mjs";

export { Rooms } from "./rooms.mjs";

edge.initSync({ module });

// Tells the module its variables, once.
function configured(life, env) {
  if (life.configured) return;
  bind(env);
  bindObjects(env);
  bindRegions(env);
  life.run(() => edge.configure(variables(env), life.failures));
  life.configured = true;
}

// An answer, at once if it is in memory; else the promise of one.
function answered(life, request, env, context) {
  configured(life, env);
  const { method, url, headers } = request;
  const ofRooms = isOfRooms(url) ? atTheDoor(life, request, env) : undefined;
  if (ofRooms !== undefined) return ofRooms;
  const body = method === "GET" ? null : request.body;
  return life.guard(() => edge.answer(method, url, place(request.cf) + flattened(headers), body, context));
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

  // Every five minutes, as wrangler.toml says.
  async scheduled(controller, env, context) {
    const life = living(edge.__wbg_reset_state);
    configured(life, env);
    await life.guard(() => edge.scheduled(controller.scheduledTime, context));
  },
};
