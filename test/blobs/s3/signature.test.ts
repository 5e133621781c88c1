import { AwsV4Signer } from 'aws4fetch'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { canonicalQuery, encodePath, presignedQuery, signedHeaders } from '../../../src/blobs/bytes/s3/signature.ts'
import { rounds } from '../../setup/rounds.ts'

// aws4fetch is an independent signer, which its authors test against the vectors of AWS.

const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter((value) => value.isWellFormed())
const word = fc.stringMatching(/^[\w./+=-]{1,30}$/)
const request = fc.record({
  method: fc.constantFrom('GET', 'PUT', 'POST', 'DELETE', 'HEAD'),
  host: fc.constantFrom('s3.eu-central-1.amazonaws.com', 'localhost:9000', 'agents.localhost:9000'),
  path: fc
    .array(
      text.filter((part) => !/^\.+$|[/\\]/.test(part)),
      { maxLength: 4 },
    )
    .map((parts) => `/${parts.join('/')}`),
  query: fc.dictionary(
    text,
    fc.string({ unit: 'grapheme', maxLength: 20 }).filter((value) => value.isWellFormed()),
    {
      maxKeys: 4,
      noNullPrototype: true,
    },
  ),
  headers: fc.dictionary(
    fc.constantFrom('range', 'content-type', 'content-md5', 'if-none-match', 'x-amz-copy-source'),
    word,
    { noNullPrototype: true },
  ),
})
const keys = fc.record({
  accessKeyId: fc.stringMatching(/^[A-Z0-9]{16}$/),
  secretAccessKey: word,
  sessionToken: fc.option(word, { nil: undefined }),
})
const scope = fc.record({
  region: fc.constantFrom('us-east-1', 'eu-central-1', 'auto'),
  now: fc.date({ min: new Date('2015-01-01'), max: new Date('2049-12-31'), noInvalidDate: true }),
})
const sha256 = fc.stringMatching(/^[0-9a-f]{64}$/)
const numRuns = rounds(200, 20_000)

it('canonicalQuery() orders parameters by their names, of which one may begin another', () => {
  expect(canonicalQuery({ 'a ': '', a: '' })).toBe('a=&a%20=')
})

it('signedHeaders() signs as an independent signer does', async () => {
  await fc.assert(
    fc.asyncProperty(request, sha256, keys, scope, async (request, bodySha256, keys, scope) => {
      const own = signedHeaders(request, bodySha256, keys, scope)
      const other = await new AwsV4Signer({
        ...keys,
        method: request.method,
        url: `https://${request.host}${encodePath(request.path)}?${canonicalQuery(request.query)}`,
        headers: { ...request.headers, 'x-amz-content-sha256': bodySha256 },
        service: 's3',
        region: scope.region,
        datetime: own['x-amz-date'] ?? '',
        allHeaders: true,
      }).sign()
      expect(own.authorization).toBe(other.headers.get('authorization'))
    }),
    { numRuns },
  )
})

it('presignedQuery() signs as an independent signer does', async () => {
  await fc.assert(
    fc.asyncProperty(
      request,
      fc.integer({ min: 1, max: 604_800 }),
      keys,
      scope,
      async (request, seconds, keys, scope) => {
        const own = new URLSearchParams(presignedQuery({ ...request, method: 'GET' }, seconds, keys, scope))
        const search = canonicalQuery({ ...request.query, 'X-Amz-Expires': String(seconds) })
        const other = await new AwsV4Signer({
          ...keys,
          method: 'GET',
          url: `https://${request.host}${encodePath(request.path)}?${search}`,
          service: 's3',
          region: scope.region,
          datetime: own.get('X-Amz-Date') ?? '',
          signQuery: true,
        }).sign()
        expect(own.get('X-Amz-Signature')).toBe(other.url.searchParams.get('X-Amz-Signature'))
      },
    ),
    { numRuns },
  )
})
