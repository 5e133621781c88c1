import * as z from 'zod/mini'
import { pathOfFileUrl } from './file-url.ts'

/** Makes a field that may be left out. `stated` is the default that the documentation names, if something else fills it in. */
export function optional<S extends z.core.$ZodType>(schema: S, description: string, stated?: unknown) {
  return documented(z.optional(schema), stated === undefined ? { description } : { description, default: stated })
}

/** Makes a field that has `value` if it is left out. */
export function withDefault<S extends z.core.$ZodType>(
  schema: S,
  value: z.core.util.NoUndefined<z.output<S>>,
  description: string,
) {
  return documented(z._default(schema, value), { description })
}

/** Makes a section that may be left out: then each of its fields has its default. */
export function section<Shape extends z.core.$ZodLooseShape>(shape: Shape, description: string) {
  const schema = z.strictObject(shape)
  const nothing = {} as z.input<typeof schema> // each field may be left out
  return documented(z.prefault(schema, nothing), { description })
}

/** Makes a copy of a schema that has a description. */
export function described<S extends z.ZodMiniType>(schema: S, description: string): S {
  return schema.check(z.describe(description))
}

function documented<S extends z.core.$ZodType>(schema: S, meta: { description: string; default?: unknown }): S {
  const plain: z.core.$ZodType = schema
  z.globalRegistry.add(plain, meta)
  return schema
}

/** The largest number of milliseconds that timers of Node.js and settings of servers accept. */
export const int32 = 2_147_483_647
/** Accepts whole numbers. Unlike an error of `z.int()`, an error of `refine` lets the checks of the whole section run. */
export const integer = (max = Number.MAX_SAFE_INTEGER, min = 1) =>
  z
    .number()
    .check(z.refine(Number.isInteger, 'expected a whole number'), z.gte(min), z.lte(max))
    .register(z.globalRegistry, { type: 'integer' })
export const connections = integer(10_000)
export const duration = integer(int32)
export const idleTimeout = integer(int32, 0)
export const port = integer(65_535)

export const text = z.string().check(
  z.minLength(1),
  z.refine((value) => !value.includes('\0'), 'contains a NUL character; remove it'),
)
export const password = z
  .string()
  .check(z.refine((value) => !value.includes('\0'), 'contains a NUL character; remove it'))
function isPath(value: string): boolean {
  return value.startsWith('file:') ? pathOfFileUrl(value) !== undefined : !/^[a-z][a-z\d+.-]+:\/\//i.test(value)
}

export const path = text.check(
  z.refine((value) => !/^~($|[\\/])/.test(value), '~ is not expanded here; write the directory, or $HOME in a file'),
  z.refine((value) => !/^(?:file:)?:memory:/.test(value), 'is not a file; use "type: in-memory"'),
  z.refine(isPath, 'is a url that names no local file; write a path, or a url like file:///data/agent.db'),
)

export const url = (example: string, ...schemes: string[]) => {
  // No fragment, and no @ after the host: both come from a password that was not percent-encoded.
  const form = new RegExp(`^(?:${schemes.join('|')})://[^/?#]*(?:/[^@?#]*)?(?:\\?[^#]*)?$`)
  const isUrl = (value: string) => {
    try {
      decodeURIComponent(value)
      // PostgreSQL accepts several hosts, which a WHATWG URL cannot contain: only the first is checked.
      return form.test(value) && URL.canParse(value.replace(/^(\w+:\/\/(?:[^/?#]*@)?[^/?#,]+)[^/?#]*/, '$1'))
    } catch {
      return false
    }
  }
  return text.check(
    z.refine(isUrl, {
      error: `expected a url like ${example}; percent-encode special characters in its password`,
      abort: true,
    }),
  )
}

export const postgresUrl = url('postgres://user:password@host:5432/database', 'postgres', 'postgresql')

/** The address of an HTTP server, without a user, a query or a fragment. */
export const httpUrl = text.check(
  z.refine((value) => {
    const found = URL.canParse(value) ? new URL(value) : undefined
    if (found === undefined || !['http:', 'https:'].includes(found.protocol)) return false
    return found.username === '' && found.password === '' && found.search === '' && found.hash === ''
  }, 'expected a url like https://s3.example.com, without a user and a query'),
)

/** The name of a bucket. */
export const bucketName = text.check(
  z.regex(
    /^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/i,
    'expected the name of a bucket: 3 to 63 letters, digits, dots and hyphens',
  ),
)

/** A folder in a bucket. Its characters need no encoding, neither in a URL nor in XML. */
export const keyPrefix = z
  .string()
  .check(
    z.maxLength(512),
    z.regex(
      /^(?!(?:.*\/)?\.{1,2}(?:\/|$))(?:[\w.-]+(?:\/[\w.-]+)*\/?)?$/,
      'expected letters, digits and . _ - in folders, such as agents/production',
    ),
  )

export const tls = z.strictObject({
  ca: optional(
    z.union([text, z.array(text)]),
    'Trusted certificate authorities, PEM: one text or a list. Default: the authorities of Node.js.',
  ),
  cert: optional(text, 'Client certificate, PEM.'),
  key: optional(text, 'Private key of the client certificate, PEM.'),
  passphrase: optional(text, 'Passphrase of the private key.'),
  servername: optional(text, 'Server name to verify (SNI). Default: the host.'),
  rejectUnauthorized: optional(z.boolean(), 'Refuse a server whose certificate cannot be verified. Default true.'),
})

export const node = (defaultPort: number) =>
  z.strictObject({
    host: described(text, 'Host name or address.'),
    port: withDefault(port, defaultPort, 'TCP port. Default 6379, for a sentinel 26379.'),
  })

export const ignoredPoolFields = {
  maxConnections: optional(connections, 'Accepted on every backend. This backend has no pool to tune.'),
  idleTimeoutMillis: optional(idleTimeout, 'Accepted on every backend. This backend has no idle connections.'),
  connectionTimeoutMillis: optional(duration, 'Accepted on every backend. This backend does not wait for connections.'),
}
export const noOptions = section({}, 'This backend has no further options.')

const AGE = 'expected a duration such as "30d" or "12h", or "never"'

/** How long rows are kept: days or hours, or `never` if they are never removed. */
export const age = z.string({ error: AGE }).check(z.regex(/^(?:[1-9]\d{0,4}d|[1-9]\d{0,5}h|never)$/, AGE))

/** The name of a PostgreSQL schema. */
export const schemaName = text.check(
  z.refine((name) => new TextEncoder().encode(name).length <= 63, 'is too long; expected at most 63 bytes'),
  z.refine(
    (name) => !name.startsWith('pg_'),
    'starts with pg_, which PostgreSQL keeps for itself; choose another name',
  ),
)

/** A configuration is parsed once: zod would compile each schema for the next time. */
export const parsedOnce = { jitless: true }

/** Lets the check of a whole section run even if one of its fields is wrong, so that every problem is reported at once. */
export const runAlways = { when: ({ value }: { value: unknown }) => typeof value === 'object' && value !== null }

/** Reports each of `fields` that has a value. A key may be a path, such as `options.tls`. */
export function rejectFields(ctx: z.core.$RefinementCtx, fields: Record<string, unknown>, message: string) {
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) ctx.addIssue({ code: 'custom', path: name.split('.'), message })
  }
}
