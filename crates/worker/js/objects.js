// R2 and the Cache API, as the module asks for them.

// The bucket, if there is one.
let bucket;

export function bindObjects(env) {
  bucket = env.ASSETS;
}

class Late extends Error {}

// What `work` promises, or an error when it takes too long; what comes later goes to `late`.
async function within(patience, what, work, late) {
  let timer;
  let over = false;
  const ended = new Promise((_, reject) => {
    timer = setTimeout(() => {
      over = true;
      reject(new Late(`${what} is slow`));
    }, patience);
  });
  const working = work();
  working.then(
    (value) => {
      if (over) late?.(value);
    },
    () => {},
  );
  try {
    return await Promise.race([working, ended]);
  } finally {
    clearTimeout(timer);
  }
}

function leave(object) {
  object?.body?.cancel().catch(() => {});
}

// What the module reads an object by: see `bucket.rs`.
export async function r2Open(name, head, tag, first, length, patience) {
  const open = async () => {
    if (head) return bucket.head(name);
    if (length > 0) {
      return bucket.get(name, { onlyIf: { etagMatches: tag }, range: { offset: first, length } });
    }
    return bucket.get(name, tag === undefined ? {} : { onlyIf: { etagDoesNotMatch: tag } });
  };
  try {
    const object = await within(patience, "R2", open, leave);
    if (object === null) return ["missing"];
    if (!head && object.body === undefined) return ["unwanted"];
    return ["found", object.etag, object.size, object.body ?? null];
  } catch (error) {
    console.error(`R2: ${error}`);
    return [error instanceof Late ? "timeout" : "failed", String(error)];
  }
}

// A cache of our own: nothing else of the zone is in it.
const opened = () => caches.open("pitchey-edge");

// The address that stands for a key. Nobody else can ask for it.
const address = (place, key) => place + encodeURIComponent(key);

async function nearby(patience, work, instead) {
  try {
    return await within(patience, "the Cache API", work);
  } catch (error) {
    console.error(`the Cache API: ${error}`);
    return instead;
  }
}

export function cacheGet(place, key, largest, patience) {
  return nearby(
    patience,
    async () => {
      const kept = await (await opened()).match(address(place, key));
      if (kept === undefined) return null;
      if (Number(kept.headers.get("content-length")) > largest) {
        await kept.body?.cancel();
        return null;
      }
      return new Uint8Array(await kept.arrayBuffer());
    },
    false,
  );
}

export function cachePut(place, key, value, seconds, patience) {
  return nearby(
    patience,
    async () => {
      const headers = {
        "cache-control": `public, max-age=${Math.floor(seconds)}`,
        "content-type": "application/octet-stream",
      };
      await (await opened()).put(address(place, key), new Response(value, { headers }));
      return true;
    },
    false,
  );
}

export function cacheDelete(place, key, patience) {
  return nearby(
    patience,
    async () => {
      await (await opened()).delete(address(place, key));
      return true;
    },
    false,
  );
}
