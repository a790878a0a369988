// Makes the edge fail from outside: the module is the one that is deployed, and the next look at the clock,
// which is that of the request, is what it cannot bear. And tells how often an object has come to life.

import edge, { Rooms as Deployed } from "./index.mjs";

const now = Date.now;

const faults = {
  // No date can be told: it panics.
  "/test/panic": () => 1e18,
  // An error of JavaScript goes through it, past all that it would have put in order.
  "/test/error": () => {
    throw new Error("no clock");
  },
};

let born = 0;

export class Rooms extends Deployed {
  constructor(state, env) {
    super(state, env);
    born += 1;
  }
}

export default {
  fetch(request, env, context) {
    const path = new URL(request.url).pathname;
    if (path === "/test/born") return Response.json(born);
    const fault = faults[request.headers.get("x-test-fault") ?? path];
    if (fault) {
      Date.now = () => {
        Date.now = now;
        return fault();
      };
    }
    return edge.fetch(request, env, context);
  },
};
