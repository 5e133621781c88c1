/**
 * Words of other packages, and the words of this configuration that mean the same. The first word that is valid at the place
 * is suggested.
 */
const SYNONYMS = new Map<string, readonly string[]>(
  Object.entries({
    url: ['path', 'endpoint'],
    uri: ['url', 'path'],
    dsn: ['url', 'path'],
    file: ['path', 'storePath', 'sqlite', 'local'],
    filename: ['path'],
    dir: ['storePath', 'path'],
    directory: ['storePath', 'path'],
    connectionstring: ['path'],
    path: ['storePath'],
    user: ['username'],
    username: ['user'],
    db: ['database'],
    dbname: ['database'],
    max: ['maxConnections'],
    poolsize: ['maxConnections'],
    ttl: ['options.ttlSeconds'],
    pg: ['postgres'],
    'better-sqlite3': ['sqlite'],
    valkey: ['redis'],
    ram: ['in-memory'],
    fs: ['local'],
    disk: ['local'],
    filesystem: ['local'],
    r2: ['s3'],
    minio: ['s3'],
    garage: ['s3'],
    ceph: ['s3'],
    spaces: ['s3'],
    bucketname: ['bucket'],
    accesskey: ['accessKeyId'],
    accesskeyid: ['accessKeyId'],
    aws_access_key_id: ['accessKeyId'],
    secretkey: ['secretAccessKey'],
    secret: ['secretAccessKey'],
    aws_secret_access_key: ['secretAccessKey'],
    token: ['sessionToken'],
    aws_region: ['region'],
    host: ['endpoint'],
    endpointurl: ['endpoint'],
    keyprefix: ['prefix'],
    folder: ['prefix', 'storePath'],
    s3forcepathstyle: ['forcePathStyle'],
    pathstyle: ['forcePathStyle'],
  }),
)

/** Types of backend that people look for and that have no near equivalent here. */
const OTHER_BUCKETS = new Set(['gcs', 'azure'])

/** Returns the end of a message about an unknown type. Empty if no known type is close. */
export function hintFor(type: string, options: readonly string[]): string {
  if (OTHER_BUCKETS.has(type.toLowerCase())) return '; of the buckets only those of S3 are supported'
  const candidate = nearest(type, options)
  const isClose =
    candidate !== undefined && (isSynonym(type, candidate) || distance(type, candidate) <= type.length / 2)
  return isClose ? `; did you mean "${candidate}"?` : ''
}

/** Returns a synonym, or else the candidate with the fewest edits. A dotted candidate is compared by its last part. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const synonym = SYNONYMS.get(word.toLowerCase())?.find((known) => candidates.includes(known))
  return synonym ?? candidates.toSorted((a, b) => distance(word, a) - distance(word, b))[0]
}

function isSynonym(word: string, candidate: string): boolean {
  return SYNONYMS.get(word.toLowerCase())?.includes(candidate) ?? false
}

function distance(word: string, candidate: string): number {
  return edits(word.toLowerCase(), candidate.replace(/^.*\./, '').toLowerCase())
}

/** Returns the Levenshtein distance of two words. */
export function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (const [i, char] of [...a].entries()) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      next.push(Math.min((row[j] ?? 0) + Number(char !== b[j]), (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
