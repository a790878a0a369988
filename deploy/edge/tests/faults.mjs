// Makes the edge fail from outside: the module is the one that is deployed, and the next look at the clock,
// which is that of the request, is what it cannot bear.

import edge from "./index.mjs";

const now = Date.now;

const faults = {
  // No date can be told: it panics.
  "/test/panic": () => 1e18,
  // An error of JavaScript goes through it, past all that it would have put in order.
  "/test/error": () => {
    throw new Error("no clock");
  },
};

export default {
  fetch(request, env, context) {
    const fault = faults[new URL(request.url).pathname];
    if (fault) {
      Date.now = () => {
        Date.now = now;
        return fault();
      };
    }
    return edge.fetch(request, env, context);
  },
};
