// The peer of `cargo xtask bench origin`: the origin's answers from Fastify, in a production set-up.
//
// Answers are kept ready to send (JSON, tag and both codings) in this process, behind that in Redis, behind
// that they come from PostgreSQL. So a hit in memory does as little here as can be done on Fastify.

import { createHash, randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import Fastify from 'fastify';
import { Redis } from 'ioredis';
import { LRUCache } from 'lru-cache';
import pg from 'pg';

const { DATABASE_URL, REDIS_URL, PORT } = process.env;
const FRESH_MS = 60_000;
const MIN_COMPRESSED = 1024;
const POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox";
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const database = new pg.Pool({ connectionString: DATABASE_URL, max: 16 });
const redis = new Redis(REDIS_URL, { maxRetriesPerRequest: 1 });
const memory = new LRUCache({ max: 10_000, ttl: FRESH_MS });
/** Loads that are under way: those who ask meanwhile wait for the same one. */
const loads = new Map();

const time = (column) => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')`;

const CARD = `p.id, p.title, p.logline, p.genres, p.format, p.stage, p.visibility, p.release_year,
  p.cover_media_id, ${time('p.published_at')} AS published_at, p.view_count::int AS view_count,
  u.id AS creator_id, u.username AS creator_username, u.display_name AS creator_display_name`;

const DETAIL = {
  name: 'detail',
  text: `SELECT ${CARD}, p.synopsis, p.cast_members, ${time('p.updated_at')} AS updated_at, p.version::int AS version
    FROM pitches p JOIN users u ON u.id = p.creator_id
    WHERE p.id = $1 AND p.status = 'published' AND p.visibility <> 'private' AND p.deleted_at IS NULL`,
};

const LIMIT = 20;
const TRENDING = {
  name: 'trending',
  text: `SELECT ${CARD}, l.trending_score AS sort_key
    FROM (
      -- A pitch has one entry on each shelf.
      SELECT pitch_id, trending_score FROM pitch_listings WHERE shelf = 'all'
      ORDER BY trending_score DESC, pitch_id DESC LIMIT $1
    ) l
    JOIN pitches p ON p.id = l.pitch_id JOIN users u ON u.id = p.creator_id
    ORDER BY l.trending_score DESC, l.pitch_id DESC`,
};

/** As short as RFC 3339 allows, like the origin's. */
const shortest = (text) => `${text.replace(/\.?0+$/, '')}Z`;

/** The keys are sorted, as in the origin's answers. */
const card = (row) => ({
  cover_media_id: row.cover_media_id,
  creator: { display_name: row.creator_display_name, id: row.creator_id, username: row.creator_username },
  format: row.format,
  genres: row.genres,
  id: row.id,
  logline: row.logline,
  published_at: shortest(row.published_at),
  release_year: row.release_year,
  stage: row.stage,
  title: row.title,
  view_count: row.view_count,
  visibility: row.visibility,
});

const detail = (row) => {
  const { cover_media_id, creator, ...rest } = card(row);
  const { format, genres, id, logline, published_at, release_year, stage, title, view_count, visibility } = rest;
  return {
    cast: row.cast_members, cover_media_id, creator, format, genres, id, logline, published_at, release_year,
    stage, synopsis: row.synopsis, title, updated_at: shortest(row.updated_at), version: row.version, view_count,
    visibility,
  };
};

const brotli = promisify(brotliCompress);
const zip = promisify(gzip);

/** An answer with everything that can be done before anybody asks. */
async function ready(json, version) {
  const body = Buffer.from(json);
  const hash = createHash('sha256').update(body).digest().subarray(0, 16).toString('base64url');
  const content = version === undefined ? hash : `${version}.${hash}`;
  const answer = { identity: { body, tag: `"${content}"` } };
  if (body.length >= MIN_COMPRESSED) {
    const params = { [constants.BROTLI_PARAM_QUALITY]: 5, [constants.BROTLI_PARAM_LGWIN]: 20 };
    answer.br = { body: await brotli(body, { params }), tag: `"${content}-br"` };
    answer.gzip = { body: await zip(body, { level: 6 }), tag: `"${content}-gzip"` };
  }
  return answer;
}

/** From memory, else from Redis, else from the database; undefined if there is none. */
async function read(key, query) {
  const known = memory.get(key);
  if (known) return known;
  let load = loads.get(key);
  if (!load) {
    load = fill(key, query).finally(() => loads.delete(key));
    loads.set(key, load);
  }
  return load;
}

async function fill(key, query) {
  const kept = await redis.get(key);
  let found = kept === null ? undefined : JSON.parse(kept);
  if (!found) {
    found = await query();
    if (!found) return undefined;
    await redis.set(key, JSON.stringify(found), 'PX', FRESH_MS);
  }
  const answer = await ready(found.json, found.version);
  memory.set(key, answer);
  return answer;
}

async function queryDetail(id) {
  const { rows } = await database.query({ ...DETAIL, values: [id] });
  return rows.length === 0 ? undefined : { json: JSON.stringify(detail(rows[0])), version: rows[0].version };
}

async function queryTrending() {
  const { rows } = await database.query({ ...TRENDING, values: [LIMIT + 1] });
  const items = rows.slice(0, LIMIT);
  let next_cursor = null;
  if (rows.length > LIMIT) {
    // As long as the origin's, which alone can seal one.
    const last = Buffer.alloc(50);
    last.writeDoubleBE(items.at(-1).sort_key, 10);
    last.write(items.at(-1).id.replaceAll('-', ''), 18, 'hex');
    next_cursor = last.toString('base64url');
  }
  return { json: JSON.stringify({ items: items.map(card), next_cursor }) };
}

/** Brotli before gzip; the bench sends no weights, so none are read. */
function coded(request, answer) {
  const accepted = request.headers['accept-encoding'];
  if (accepted && answer.br) {
    if (accepted.includes('br')) return 'br';
    if (accepted.includes('gzip')) return 'gzip';
  }
  return 'identity';
}

function send(request, reply, started, answer) {
  reply.header('x-request-id', request.id);
  reply.header('x-content-type-options', 'nosniff');
  reply.header('referrer-policy', 'no-referrer');
  reply.header('content-security-policy', POLICY);
  reply.header('server-timing', `app;dur=${(performance.now() - started).toFixed(3)}`);
  if (!answer) return reply.code(404).send();
  const coding = coded(request, answer);
  const { body, tag } = answer[coding];
  reply.header('cache-control', 'public, max-age=60');
  reply.header('etag', tag);
  if (answer.br) reply.header('vary', 'accept-encoding');
  if (request.headers['if-none-match'] === tag) return reply.code(304).send();
  if (coding !== 'identity') reply.header('content-encoding', coding);
  reply.header('content-type', 'application/json');
  return reply.send(body);
}

const app = Fastify({
  logger: false,
  keepAliveTimeout: 75_000,
  genReqId: (request) => request.headers['x-request-id'] ?? randomUUID(),
});

app.get('/api/pitches/trending', async (request, reply) => {
  const started = performance.now();
  return send(request, reply, started, await read('trending', queryTrending));
});

app.get('/api/pitches/:id', async (request, reply) => {
  const started = performance.now();
  const { id } = request.params;
  const answer = UUID.test(id) ? await read(`pitch:${id}`, () => queryDetail(id)) : undefined;
  return send(request, reply, started, answer);
});

process.once('SIGTERM', () => process.exit(0));
await app.listen({ host: '127.0.0.1', port: Number(PORT) });
