import { createHash } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { AwsClient, AwsV4Signer } from 'aws4fetch'
import { type S3Fault, type S3ServerOptions, startS3Server } from 'holdfast/testing'
import { expect, it } from 'vitest'

// The requests are signed by aws4fetch: the server must accept a client that is not ours.

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

async function serve(options: S3ServerOptions = {}) {
  const server = await startS3Server(options)
  const { accessKeyId, secretAccessKey, region, sessionToken, bucket } = server.config
  const keys = { accessKeyId, secretAccessKey, sessionToken, region, service: 's3' }
  const client = new AwsClient({ ...keys, retries: 0 })
  const url = `${server.endpoint}/${bucket}`
  const send = (method: string, path: string, body = '', headers: Record<string, string> = {}) =>
    client.fetch(url + path, {
      method,
      headers: { 'x-amz-content-sha256': sha256(body), ...headers },
      ...(body !== '' && { body }),
    })
  return { ...server, url, keys, send, [Symbol.asyncDispose]: server.close }
}

const codeIn = async (answer: Response) => /<Code>(.*)<\/Code>/.exec(await answer.text())?.[1]

it('stores, reads, copies, lists and removes objects', async () => {
  await using server = await serve({ pageSize: 2, sessionToken: 'a/token+=' })
  const { send, objects, counts } = server
  for (const name of ['a', 'b', 'c&d', 'other'])
    expect((await send('PUT', `/x/${name}`, `the ${name}`)).status).toBe(200)
  expect(objects.get('x/a')?.bytes.toString()).toBe('the a')
  const part = await send('GET', '/x/a', '', { range: 'bytes=1-2' })
  expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([206, 'bytes 1-2/5', 'he'])
  expect((await send('GET', '/x/a', '', { range: 'bytes=5-' })).status).toBe(416)
  expect((await send('HEAD', '/x/b')).headers.get('content-length')).toBe('5')
  expect((await send('PUT', '/y/a', '', { 'x-amz-copy-source': '/holdfast/x/a' })).status).toBe(200)
  expect(objects.get('y/a')?.bytes.toString()).toBe('the a')

  const first = await (await send('GET', '?list-type=2&prefix=x/&start-after=x/a')).text()
  expect(first.match(/<Key>.*?<\/Key>/g)).toEqual(['<Key>x/b</Key>', '<Key>x/c&amp;d</Key>'])
  const [, token = ''] = /<NextContinuationToken>(.*)<\/Next/.exec(first) ?? []
  const rest = await (
    await send('GET', `?list-type=2&prefix=x/&continuation-token=${encodeURIComponent(token)}`)
  ).text()
  expect(rest).toMatch(/<IsTruncated>false.*<Key>x\/other<\/Key>/)

  expect((await send('DELETE', '/x/a')).status).toBe(204)
  expect((await send('DELETE', '/x/a')).status).toBe(204)
  const list = '<Delete><Object><Key>x/b</Key></Object><Object><Key>x/none</Key></Object></Delete>'
  const md5 = createHash('md5').update(list).digest('base64')
  expect((await send('POST', '?delete', list, { 'content-md5': md5 })).status).toBe(200)
  expect(await codeIn(await send('POST', '?delete', list, { 'content-md5': 'wrong' }))).toBe('BadDigest')
  expect(await codeIn(await send('GET', '/x/a'))).toBe('NoSuchKey')
  expect([...objects.keys()]).toEqual(['x/c&d', 'x/other', 'y/a'])
  expect(counts).toMatchObject({ PutObject: 4, DeleteObject: 2, ListObjectsV2: 2 })
})

it('refuses other signatures, other bodies, old requests and conditions that do not hold', async () => {
  let now = new Date()
  await using server = await serve({ now: () => now })
  const { send, keys, url } = server
  expect(await codeIn(await send('PUT', '/a', 'body', { 'x-amz-content-sha256': sha256('other') }))).toBe(
    'XAmzContentSHA256Mismatch',
  )
  const as = (settings: object) => new AwsClient({ ...keys, retries: 0, ...settings }).fetch(`${url}/a`)
  expect(await codeIn(await as({ secretAccessKey: 'wrong' }))).toBe('SignatureDoesNotMatch')
  expect(await codeIn(await as({ accessKeyId: 'nobody' }))).toBe('InvalidAccessKeyId')
  expect(await codeIn(await as({ region: 'eu-west-9' }))).toBe('AuthorizationHeaderMalformed')
  expect(await codeIn(await as({ sessionToken: 'none' }))).toBe('InvalidToken')
  expect((await fetch(`${url}/a`)).status).toBe(403)
  expect(await codeIn(await send('PATCH', '/a'))).toBe('NotImplemented')
  expect((await send('PUT', '/a', 'body', { 'if-none-match': '*' })).status).toBe(200)
  expect((await send('PUT', '/a', 'body', { 'if-none-match': '*' })).status).toBe(412)
  now = new Date(now.getTime() + 16 * 60_000)
  expect(await codeIn(await send('GET', '/a'))).toBe('RequestTimeTooSkewed')
})

it.each(['PUT', 'GET', 'DELETE'])('refuses a %s of what belongs to an object and leaves the object', async (method) => {
  await using server = await serve()
  await server.send('PUT', '/a', 'body')
  const answer = await server.send(method, '/a?tagging', method === 'PUT' ? '<Tagging></Tagging>' : '')
  expect([answer.status, await codeIn(answer)]).toEqual([501, 'NotImplemented'])
  expect(server.objects.get('a')?.bytes.toString()).toBe('body')
})

it('answers with what the function that chooses faults has thrown', async () => {
  const fault = () => {
    throw new Error('my <mistake>')
  }
  await using server = await serve({ fault })
  const answer = await server.send('PUT', '/a', 'body')
  expect(answer.status).toBe(500)
  expect(await answer.text()).toContain(
    '<Code>TestFailed</Code><Message>The test server cannot answer: Error: my &lt;mistake></Message>',
  )
})

it('ends within a second though connections are open', { timeout: 1000 }, async () => {
  const { send, close } = await serve({ fault: () => ({ after: 'stall' }) })
  const stalled = send('PUT', '/a', 'body').catch(() => 'ended')
  await setTimeout(100)
  await close()
  expect(await stalled).toBe('ended')
})

it('accepts a presigned URL until it expires', async () => {
  let now = new Date()
  await using server = await serve({ now: () => now })
  await server.send('PUT', '/a', 'body')
  const search = 'X-Amz-Expires=60&response-content-disposition=attachment'
  const { url } = await new AwsV4Signer({ ...server.keys, url: `${server.url}/a?${search}`, signQuery: true }).sign()
  const answer = await fetch(url)
  expect([await answer.text(), answer.headers.get('content-disposition')]).toEqual(['body', 'attachment'])
  expect((await fetch(String(url).replace('attachment', 'inline'))).status).toBe(403)
  now = new Date(now.getTime() + 61_000)
  expect((await fetch(url)).status).toBe(403)
})

it('fails as the function says', async () => {
  let fault: S3Fault | undefined
  await using server = await serve({ fault: () => fault })
  const { send, objects } = server
  const put = (given: S3Fault) => {
    fault = given
    return send('PUT', `/${objects.size}`, 'body')
  }
  expect((await put({ before: { status: 503, code: 'SlowDown' } })).status).toBe(503)
  await expect(put({ before: 'reset' })).rejects.toThrow()
  expect(objects.size).toBe(0)
  expect((await put({ after: { status: 500, code: 'InternalError' } })).status).toBe(500)
  await expect(put({ after: 'reset' })).rejects.toThrow()
  expect([...objects.keys()]).toEqual(['0', '1'])
  fault = { cutAt: 2 }
  await expect(send('GET', '/0').then((answer) => answer.text())).rejects.toThrow()
  fault = { stallAt: 2 }
  const stalled = send('GET', '/0').then((answer) => answer.text())
  const outcome = await Promise.race([stalled, setTimeout(200, 'nothing')])
  stalled.catch(() => {}) // it ends with the server
  expect(outcome).toBe('nothing')
  fault = { againAfterMillis: 30 }
  await send('DELETE', '/0')
  fault = undefined
  await send('PUT', '/0', 'body')
  await expect.poll(() => objects.has('0')).toBe(false)
})
